//! Why a job was not started, or did not end well, and how a user is told.

use super::record::Record;
use super::units::Usd;
use crate::aws::AwsError;
use crate::diagnostic::Diagnostic;
use crate::state::StateError;

/// Says why a job could not be run, followed, stopped or shown.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    State(#[from] StateError),
    /// The worst case is dearer than the budget.
    #[error("job {job} can cost {worst}, its budget is {budget}")]
    OverBudget { job: String, worst: Usd, budget: Usd },
    /// A budget can't be checked, because no price is known.
    #[error("no price is known for {what}")]
    UnknownPrice { what: String },
    /// A data file is not there or can't be read.
    #[error("{path}: {reason}")]
    Data { path: String, reason: String },
    /// A data file is not what it was when the job was identified.
    #[error("{path} changed while it was uploaded")]
    DataChanged { path: String },
    /// The same job ended before, and not well.
    #[error("job {} ended before: {}", .0.id, .0.stage.word())]
    Ended(Box<Record>),
    /// It was sent and no end of it is known.
    #[error("job {} was sent, and no end of it is known", .0.id)]
    InDoubt(Box<Record>),
    /// The model's answer ended before it was whole.
    #[error("the answer of job {id} is not whole: {reason}")]
    CutOff { id: String, reason: String },
    /// Something else has the name that belongs to this job.
    #[error("`{name}` exists and is not this job")]
    NameTaken { name: String },
    /// The state knows no such job.
    #[error("no job `{id}`")]
    NotFound { id: String },
    /// Several jobs fit.
    #[error("`{id}` fits several jobs: {}", .fits.join(", "))]
    Ambiguous { id: String, fits: Vec<String> },
    /// It can't be stopped.
    #[error("job {id} can't be stopped: {reason}")]
    NotCancellable { id: String, reason: String },
    /// It has no result yet, or never will.
    #[error("job {id} has no result: {reason}")]
    NoResult { id: String, reason: String },
    /// The folder of results can't be used.
    #[error("{path}: {reason}")]
    Folder { path: String, reason: String },
    /// A record of the ledger can't be read.
    #[error("the ledger's record of `{id}` can't be read: {reason}")]
    Record { id: String, reason: String },
    /// Others changed the record more often than the bound allows.
    #[error("job {id} is being changed by others")]
    Contended { id: String },
}

impl JobError {
    /// Returns code, summary and help; `None` where another module explains the error.
    fn explain(&self) -> Option<(&'static str, &'static str, &'static str)> {
        Some(match self {
            Self::Aws(_) | Self::State(_) => return None,
            Self::OverBudget { .. } => (
                "JOB010",
                "the worst case is dearer than the budget",
                "shorten the deadline, choose less, or raise `budget`; nothing was sent",
            ),
            Self::UnknownPrice { .. } => (
                "JOB011",
                "no price is known, so the budget can't hold",
                "state one under `price:`, or write `budget: none`; nothing was sent",
            ),
            Self::Data { .. } => ("JOB009", "a data file can't be read", "correct the path in the job file"),
            Self::DataChanged { .. } => {
                ("JOB012", "the data changed on the way", "run it again when nothing writes to it")
            }
            Self::Ended(_) => (
                "JOB013",
                "this job ended before",
                "`--again` runs it once more, and costs once more; a changed job file is another job",
            ),
            Self::InDoubt(_) => (
                "JOB014",
                "this job was sent, and no end of it is known",
                "it may be running elsewhere, or have been billed; `--again` sends it once more",
            ),
            Self::CutOff { .. } => (
                "JOB015",
                "the answer is not whole",
                "what came is kept in the job's folder and may be billed; `--again` sends it once more",
            ),
            Self::NameTaken { .. } => {
                ("JOB016", "the job's name is taken by another", "change the name in `job:`; nothing was started")
            }
            Self::NotFound { .. } => ("JOB017", "no such job", "`opora job list` shows them"),
            Self::Ambiguous { .. } => ("JOB017", "more than one such job", "write more of the id"),
            Self::NotCancellable { .. } => {
                ("JOB018", "the job can't be stopped", "`opora job status` shows where it stands")
            }
            Self::NoResult { .. } => ("JOB019", "no result", "`opora job status` shows where it stands"),
            Self::Folder { .. } => ("JOB020", "the folder of results can't be used", "make it writable for you"),
            Self::Record { .. } => ("JOB021", "a record of the ledger can't be read", "use the opora that wrote it"),
            Self::Contended { .. } => ("JOB022", "others change this job", "run it again"),
        })
    }

    /// Makes what the user sees.
    pub fn diagnostic(&self) -> Diagnostic {
        let (code, summary, help) = match (self, self.explain()) {
            (Self::Aws(error), _) => return error.diagnostic(),
            (Self::State(error), _) => return error.clone().into_diagnostic(),
            (_, explained) => explained.expect("internal error: every error of this module is explained"),
        };
        let mut detail = self.to_string();
        if let Self::Ended(record) | Self::InDoubt(record) = self {
            if let Some(reason) = &record.remote.reason {
                detail.push_str(&format!("\n{reason}"));
            }
            if let Some(request) = &record.remote.request_id {
                detail.push_str(&format!("\nrequest id {request}"));
            }
        }
        Diagnostic::error(code, summary).detail(detail).help(help)
    }
}
