//! The entries of the log: what a run says before and after each thing it does.
//!
//! The words are part of the state's format (docs/adr/0005-state-is-a-log.md). A reader that meets an entry or
//! a field it does not know stops with "written by a newer opora": it never skips one. No entry has a place
//! for a secret; see [`super::secret`].

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::graph::{Address, PhysicalId};

/// Names one run of a command that may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl From<Uuid> for RunId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a step is about to do to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Read,
    Update,
    Replace,
    Delete,
    Forget,
}

/// What a failed step left behind in AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residue {
    /// Nothing: AWS is as it was before the step.
    Nothing,
    /// This resource exists, complete or not.
    Resource(PhysicalId),
    /// It can't be told; the next run has to look.
    Unknown,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// Some steps failed or were skipped; the state says which.
    Failed,
    /// Stopped by the user.
    Interrupted,
    /// Refused before the first write.
    Refused,
}

/// One thing that the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A run that may write begins.
    RunStarted {
        run: RunId,
        command: String,
        /// The caller's ARN, or the local user where no account is involved.
        who: String,
        host: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spec_digest: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_digest: Option<String>,
        /// The commit that the spec was at; `+changes` behind it where files differed from it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spec_commit: Option<String>,
        /// The version of opora.
        opora: String,
    },
    /// A run ended in order; one without this entry was killed.
    RunFinished { run: RunId, outcome: Outcome },
    /// A run takes the lease: only it may write resources until `until`.
    LeaseTaken {
        run: RunId,
        holder: String,
        until: Timestamp,
        /// Names the holder's process, so that a run on the same machine can tell when it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
    },
    /// The holder goes on.
    LeaseRenewed { run: RunId, until: Timestamp },
    /// The holder is done.
    LeaseReleased { run: RunId },
    /// A step is about to make its first call.
    Intent {
        run: RunId,
        step: u32,
        address: Address,
        kind: String,
        action: Action,
        generation: u64,
        /// The idempotency token of the create call, made of environment, address and generation.
        token: String,
        /// The id of what is updated or deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<PhysicalId>,
        /// What a create asks for, so that it can be looked for or asked for again; null otherwise.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        arguments: Value,
        /// What protects the resource from its first moment; null where the step makes none.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        lifecycle: Value,
    },
    /// A create call answered with an id; further calls may follow before the resource is complete.
    Created { run: RunId, step: u32, address: Address, kind: String, id: PhysicalId, generation: u64 },
    /// The step is complete: this is the resource now.
    Recorded {
        run: RunId,
        step: u32,
        address: Address,
        kind: String,
        id: PhysicalId,
        generation: u64,
        arguments: Value,
        attributes: Value,
        references: Vec<Address>,
        lifecycle: Value,
    },
    /// The resource with this id is gone from AWS.
    Deleted { run: RunId, step: u32, address: Address, id: PhysicalId },
    /// The replaced resource waits for its deletion (`create_before_destroy`).
    Deposed { address: Address, id: PhysicalId, kind: String, generation: u64 },
    /// The step failed.
    Failed {
        run: RunId,
        step: u32,
        address: Address,
        /// The error class (`denied`, `throttled`, …).
        class: String,
        code: String,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        residue: Residue,
    },
    /// The resource has another address now.
    Moved { from: Address, to: Address },
    /// The resource is no longer managed and still exists.
    Forgotten { address: Address, reason: String },
    /// The plan with this digest is being applied, and never will be again.
    PlanApplied { digest: String, run: RunId },
    /// A read found other values than the state had.
    Refreshed { address: Address, arguments: Value, attributes: Value },
    /// The latest record of something that is no resource, such as a job; `null` takes it away.
    Ledger { stream: String, key: String, record: Value },
    /// A remark for people.
    Note { text: String },
}

/// The `type` of every entry this version knows; the same as serde's names, which a test proves.
pub(super) const ENTRY_TYPES: [&str; 17] = [
    "run_started",
    "run_finished",
    "lease_taken",
    "lease_renewed",
    "lease_released",
    "intent",
    "created",
    "recorded",
    "deleted",
    "deposed",
    "failed",
    "moved",
    "forgotten",
    "plan_applied",
    "refreshed",
    "ledger",
    "note",
];

impl Entry {
    /// Tells whether it may be written without holding the lease.
    pub fn needs_lease(&self) -> bool {
        !matches!(self, Self::Ledger { .. } | Self::Note { .. })
    }

    /// Returns the address it is about, where there is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Intent { address, .. }
            | Self::Created { address, .. }
            | Self::Recorded { address, .. }
            | Self::Deleted { address, .. }
            | Self::Deposed { address, .. }
            | Self::Failed { address, .. }
            | Self::Forgotten { address, .. }
            | Self::Refreshed { address, .. }
            | Self::Moved { to: address, .. } => Some(address),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunStarted { command, who, .. } => write!(f, "{command} started by {who}"),
            Self::RunFinished { outcome, .. } => write!(f, "run finished: {outcome:?}"),
            Self::LeaseTaken { holder, until, .. } => write!(f, "lease taken by {holder} until {until}"),
            Self::LeaseRenewed { until, .. } => write!(f, "lease renewed until {until}"),
            Self::LeaseReleased { .. } => f.write_str("lease released"),
            Self::Intent { address, action, .. } => write!(f, "intent to {action:?} {address}"),
            Self::Created { address, id, .. } => write!(f, "created {address} as {id}"),
            Self::Recorded { address, id, .. } => write!(f, "recorded {address} as {id}"),
            Self::Deleted { address, id, .. } => write!(f, "deleted {address} ({id})"),
            Self::Deposed { address, id, .. } => write!(f, "deposed {address} ({id})"),
            Self::Failed { address, code, .. } => write!(f, "failed {address}: {code}"),
            Self::Moved { from, to } => write!(f, "moved {from} to {to}"),
            Self::Forgotten { address, .. } => write!(f, "forgot {address}"),
            Self::PlanApplied { digest, .. } => write!(f, "plan {digest} applied"),
            Self::Refreshed { address, .. } => write!(f, "refreshed {address}"),
            Self::Ledger { stream, key, .. } => write!(f, "ledger {stream}/{key}"),
            Self::Note { text } => write!(f, "note: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_types_are_those_that_can_be_read() {
        let error = serde_json::from_str::<Entry>(r#"{"type":"other"}"#).unwrap_err().to_string();
        let expected = error.split_once("expected one of ").unwrap().1;
        let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert_eq!(names, ENTRY_TYPES);
    }
}
