//! What the ledger says of a job: one record per attempt, rewritten at each step, in the state's log.
//!
//! Holds ids, digests, sizes, times, counts and places; never the contents of a prompt, an answer or a data file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::price::Stated;
use super::units::Usd;
use crate::aws::AwsError;

/// The stream of the ledger that jobs have.
pub const STREAM: &str = "jobs";

/// The version of the records; a reader refuses a later one.
pub const RECORD_VERSION: u32 = 1;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Known and within its budget; nothing was sent.
    Planned,
    /// Its data is on the way to S3.
    Uploading,
    /// The call that starts it is being made; whether it had its effect is not known yet.
    Submitting,
    /// AWS has it, and has not begun.
    Submitted,
    /// It runs.
    Running,
    /// AWS was asked to stop it.
    Stopping,
    Succeeded,
    Failed,
    Cancelled,
    /// It was sent, no end of it was seen, and none will be; it may have been billed.
    Lost,
}

impl Stage {
    /// Tells whether nothing more happens to it.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Lost)
    }

    /// Returns its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Uploading => "uploading",
            Self::Submitting => "submitting",
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// One file of a job's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its path below what the job file names.
    pub path: String,
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

/// Data that lies on S3 for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    pub channel: String,
    pub bucket: String,
    /// The keys' common start; it carries the digest of the data.
    pub prefix: String,
    /// SHA-256 over the paths and digests of all files, in hex.
    pub digest: String,
    pub files: Vec<DataFile>,
    /// The customer key it is encrypted with; the bucket's default where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// What was used, and so is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Of all instances together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billable_seconds: Option<u64>,
}

impl Usage {
    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What AWS says of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remote {
    /// Its ARN, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request id of the call that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// AWS's own word for where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why it failed or stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
    /// Places of what it made, by name (`model`, `text`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

/// The last call that failed and left the job as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub action: String,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub at: Timestamp,
}

impl Refusal {
    pub(crate) fn new(error: &AwsError, at: Timestamp) -> Self {
        Self {
            action: error.action(),
            code: error.code.clone(),
            message: error.message.clone(),
            request_id: error.request_id.clone(),
            at,
        }
    }
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    /// `name-digest`, and `.2` and so on for later attempts.
    pub id: String,
    pub job: String,
    pub environment: String,
    pub engine: String,
    /// SHA-256 of environment, name, resolved spec and data, in hex: what makes it this job.
    pub digest: String,
    /// From 1.
    pub attempt: u32,
    /// Grows with each record, so that of two writers one knows that it lost.
    pub sequence: u64,
    pub stage: Stage,
    /// The resolved job file without contents.
    pub spec: Value,
    /// What AWS knows it by; derived from the digest and the attempt.
    pub name: String,
    /// In whole seconds.
    pub deadline_seconds: u64,
    /// `None` where the job file has `budget: none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Usd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case: Option<Usd>,
    /// The prices that the job file states.
    #[serde(default, skip_serializing_if = "Stated::is_empty")]
    pub price: Stated,
    /// What the usage comes to at the prices of the worst case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Usd>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Uploaded>,
    #[serde(default)]
    pub remote: Remote,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    pub planned: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

impl Record {
    /// Returns the id that all attempts share.
    pub fn base(&self) -> &str {
        base_of(&self.id)
    }
}

/// Returns an id without the number of its attempt.
pub(crate) fn base_of(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((base, attempt)) if attempt.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => id,
    }
}
