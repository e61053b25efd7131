//! All the ways in which the state can't be read or written, and how a user is told.
//!
//! "Could not look" is one of these errors and never an empty state.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::verify::Problem;
use crate::diagnostic::Diagnostic;

/// The error beneath, shared by all callers that waited for one write.
pub type Source = Arc<dyn Error + Send + Sync + 'static>;

/// Says why the state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another run holds the lease.
    #[error("{holder} holds it since {since:.0}; its lease ends at {until:.0} unless it is renewed")]
    LeaseHeld { holder: String, since: Timestamp, until: Timestamp },
    /// This run's lease lapsed and was taken over or given back; nothing more is written.
    #[error("the lease of this run is lost to {by}")]
    Fenced { by: String },
    /// Entries are damaged or missing.
    #[error("the state log is damaged: {0}")]
    Corrupt(Problem),
    /// An entry has words that this version does not know.
    #[error("entry {number} was written by a newer opora: {what}")]
    Newer { number: u64, what: String },
    /// The disk or quota is used up; nothing was written.
    #[error("no space left for {location}")]
    DiskFull { location: String, source: Source },
    /// The file system is mounted read-only.
    #[error("{location} is read-only")]
    ReadOnly { location: String, source: Source },
    /// The folder or bucket refused access.
    #[error("access to {location} is denied")]
    Permission { location: String, source: Source },
    /// The credentials are missing, expired or wrong.
    #[error("the credentials for {location} are not accepted")]
    Credentials { location: String, source: Source },
    /// This machine's clock is too far off for signed requests.
    #[error("{location} refuses requests of this machine's time")]
    ClockSkew { location: String, source: Source },
    /// The bucket does not exist.
    #[error("the bucket of {location} does not exist")]
    BucketNotFound { location: String, source: Source },
    /// The store ignores create-if-absent, so that two writers would overwrite each other.
    #[error("{location} does not honour conditional writes")]
    Precondition { location: String },
    /// The file system has no hard links, which create-if-absent needs.
    #[error("the file system of {location} has no hard links")]
    HardLinks { location: String, source: Source },
    /// Any other failure of the store, after its retries.
    #[error("{operation} {location} failed")]
    Storage { operation: &'static str, location: String, source: Source },
    /// An entry holds a secret; nothing was written.
    #[error("an entry of {what} holds a secret value")]
    Secret { what: String },
    /// The location is none that the state can be kept in.
    #[error("`{location}` is no location for a state: {reason}")]
    Location { location: String, reason: String },
    /// Too many others wrote at the same time, more often than the bound allows.
    #[error("gave up after {attempts} lost races for {location}")]
    Contended { location: String, attempts: u32 },
    /// A backup lacks something, or is damaged.
    #[error("the backup in {location} can't be used: {reason}")]
    Backup { location: String, reason: String },
    /// The entry may only be written by the holder of the lease.
    #[error("`{entry}` needs the lease")]
    NeedsLease { entry: String },
    /// The run was ended while the entry waited; it may or may not have been written.
    #[error("the writer of this run has stopped")]
    Stopped,
}

impl StateError {
    /// Sorts an I/O error by what a user can do about it.
    pub(super) fn from_io(operation: &'static str, location: &str, error: io::Error) -> Self {
        let location = location.to_owned();
        let kind = error.kind();
        let source: Source = Arc::new(error);
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { location, source }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { location, source },
            io::ErrorKind::PermissionDenied => Self::Permission { location, source },
            _ => Self::Storage { operation, location, source },
        }
    }

    /// Tells whether the write may have happened although it reported an error.
    pub(super) fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Storage { .. })
    }

    fn code(&self) -> &'static str {
        match self {
            Self::LeaseHeld { .. } => "STATE001",
            Self::Fenced { .. } => "STATE002",
            Self::Corrupt(_) => "STATE003",
            Self::Newer { .. } => "STATE004",
            Self::DiskFull { .. } => "STATE005",
            Self::ReadOnly { .. } => "STATE006",
            Self::Permission { .. } => "STATE007",
            Self::BucketNotFound { .. } => "STATE008",
            Self::Storage { .. } | Self::Contended { .. } => "STATE009",
            Self::Secret { .. } => "STATE010",
            Self::Location { .. } => "STATE011",
            Self::Credentials { .. } => "STATE012",
            Self::ClockSkew { .. } => "STATE025",
            Self::HardLinks { .. } => "STATE013",
            Self::Precondition { .. } => "STATE014",
            Self::NeedsLease { .. } | Self::Stopped => "STATE015",
            Self::Backup { .. } => "STATE016",
        }
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::LeaseHeld { .. } => "another run holds the state",
            Self::Fenced { .. } => "this run lost its lease on the state",
            Self::Corrupt(_) => "the state log is damaged",
            Self::Newer { .. } => "the state was written by a newer opora",
            Self::DiskFull { .. } => "no space left for the state",
            Self::ReadOnly { .. } => "the state's folder is read-only",
            Self::Permission { .. } => "access to the state is denied",
            Self::BucketNotFound { .. } => "the state's bucket does not exist",
            Self::Storage { .. } | Self::Contended { .. } => "the state's store can't be used",
            Self::Secret { .. } => "a secret would have been written to the state",
            Self::Location { .. } => "not a location for a state",
            Self::Credentials { .. } => "the credentials for the state are not accepted",
            Self::ClockSkew { .. } => "this machine's clock is wrong, and the state is out of reach",
            Self::HardLinks { .. } => "the state's file system has no hard links",
            Self::Precondition { .. } => "the state's store ignores conditional writes",
            Self::NeedsLease { .. } | Self::Stopped => "the state's writer has stopped",
            Self::Backup { .. } => "the backup can't be used",
        }
    }

    fn help(&self) -> &'static str {
        match self {
            Self::LeaseHeld { .. } => {
                "wait for that run to end; one that died is taken over when its lease has ended, on the same machine at once"
            }
            Self::Fenced { .. } => "run the same command again; what was done is recorded",
            Self::Corrupt(_) => {
                "`opora state verify` names every damaged entry, `opora state repair` says what can be restored"
            }
            Self::Newer { .. } => "use the version of opora that wrote it, or a later one",
            Self::DiskFull { .. } => "free some space and run the same command again",
            Self::ReadOnly { .. } => "make the folder writable, or name another one in the spec's `state:`",
            Self::Permission { .. } => "grant read, write and list access to the state's location",
            Self::BucketNotFound { .. } => "create the bucket, or correct the spec's `state:`",
            Self::Storage { .. } => "run the same command again once the store answers",
            Self::Contended { .. } => "run the same command again",
            Self::Secret { .. } => {
                "keep the value in a secret store and refer to it; please report the kind that put it here"
            }
            Self::Location { .. } => "write a folder's path, `memory:` or `s3://bucket/prefix`",
            Self::Credentials { .. } => "log in again and run the same command",
            Self::ClockSkew { .. } => "set the clock (S3 allows a difference of fifteen minutes)",
            Self::HardLinks { .. } => "keep the state on a local disk or on S3",
            Self::Precondition { .. } => "keep the state on Amazon S3, or a store that honours `If-None-Match: *`",
            Self::NeedsLease { .. } | Self::Stopped => "run the same command again; what was done is recorded",
            Self::Backup { .. } => "name an older one with `--at`, or rebuild the state from the resources' tags",
        }
    }

    /// Makes what the user sees.
    pub fn into_diagnostic(self) -> Diagnostic {
        Diagnostic::error(self.code(), self.summary()).detail(WithSources(&self).to_string()).help(self.help())
    }
}

/// Writes an error and all beneath it on one line.
struct WithSources<'e>(&'e StateError);

impl fmt::Display for WithSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Many errors repeat the ones beneath them; each fact is said once.
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(error) = source {
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            source = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_are_told_apart() {
        let code =
            |errno| StateError::from_io("writing to", ".opora/state", io::Error::from_raw_os_error(errno)).code();
        // Linux's EACCES, ENOSPC, EROFS, EDQUOT and EIO.
        assert_eq!([13, 28, 30, 122, 5].map(code), ["STATE007", "STATE005", "STATE006", "STATE005", "STATE009"]);
    }

    #[test]
    fn the_detail_says_each_fact_once() {
        let error = StateError::from_io("writing to", "x", io::Error::other("the disk is on fire"));
        assert_eq!(error.into_diagnostic().detail.as_deref(), Some("writing to x failed: the disk is on fire"));
    }
}
