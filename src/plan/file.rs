//! A saved plan: versioned, with the digest that makes it applicable exactly once.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Plan;
use crate::diagnostic::Diagnostic;

/// The version of the file format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// A plan as it lies on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    pub format: u32,
    /// The opora version that made it.
    pub opora: String,
    /// When the observations were made.
    pub observed_at: jiff::Timestamp,
    /// SHA-256 of the plan, in hex.
    pub digest: String,
    pub plan: Plan,
}

/// Says why a plan file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    #[error("the file is no plan of opora: {0}")]
    NotAPlan(String),
    #[error("the plan has format {found}, this opora reads format {FORMAT_VERSION}")]
    OtherFormat { found: u64 },
    #[error("the plan was altered after it was made")]
    Altered,
}

impl PlanFileError {
    /// Returns what a user is told.
    pub fn diagnostic(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::NotAPlan(_) => ("PLAN001", "make one with `opora plan --out FILE`"),
            Self::OtherFormat { .. } => ("PLAN002", "make the plan again with this opora"),
            Self::Altered => ("PLAN003", "make the plan again; a plan is applied exactly as it was made"),
        };
        Diagnostic::error(code, "the plan file can't be used").detail(self.to_string()).help(help)
    }
}

impl PlanFile {
    /// Wraps a plan.
    pub fn new(plan: Plan, observed_at: jiff::Timestamp) -> Self {
        let digest = digest(&plan, observed_at);
        Self { format: FORMAT_VERSION, opora: env!("CARGO_PKG_VERSION").to_owned(), observed_at, digest, plan }
    }

    /// Writes the file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("internal error: a plan is plain JSON")
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Refuses what is no plan, another format, and a plan that was altered.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanFileError> {
        let not_a_plan = |error: serde_json::Error| PlanFileError::NotAPlan(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(not_a_plan)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT_VERSION) => {}
            Some(found) => return Err(PlanFileError::OtherFormat { found }),
            None => return Err(PlanFileError::NotAPlan("it has no format".to_owned())),
        }
        let file: Self = serde_json::from_value(value).map_err(not_a_plan)?;
        if digest(&file.plan, file.observed_at) == file.digest { Ok(file) } else { Err(PlanFileError::Altered) }
    }
}

fn digest(plan: &Plan, observed_at: jiff::Timestamp) -> String {
    let body = serde_json::to_vec(&(plan, observed_at)).expect("internal error: a plan is plain JSON");
    hex::encode(Sha256::digest(body))
}
