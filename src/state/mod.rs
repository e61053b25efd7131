//! The state of an environment: a log of numbered entries in a folder, on S3 or in memory.
//!
//! One mechanism is lock, fence, history and audit trail: each object of the log is created where none is, so
//! that a second writer of the same number loses and knows it. Format and reasons: docs/state.md and
//! docs/adr/0005-state-is-a-log.md. The caller gives the clock, the HTTP client and the credentials; nothing
//! here reads the wall clock or the environment, prints, or knows an SDK. No secret is ever written.

mod backup;
mod entry;
mod error;
mod fold;
mod local;
mod object;
mod read;
mod s3;
mod secret;
mod store;
mod verify;
mod writer;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use backup::{FileCopy, LogCopy, Manifest, Restored, Role, Subject, write_backup};
pub use entry::{Action, Entry, Outcome, Residue, RunId};
pub use error::StateError;
pub use fold::{AppliedPlan, DeposedRecord, Lease, OpenIntent, Record, Run, State};
pub use local::LocalStore;
pub use object::{Commit, FORMAT_VERSION};
pub use read::PACK_LENGTH;
pub use s3::S3Access;
pub use secret::{Secrets, holds_private_key, is_redacted, redacted};
pub use store::{Creation, Store, memory};
pub use verify::{Damage, Problem, Proposal, Remedy, Repair, Repaired};
pub use writer::Writer;

use writer::Appender;

/// Where the state is kept when the spec does not say.
pub const DEFAULT_LOCATION: &str = ".opora/state";

/// Tells the time; the only source of it in this module.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// Who asks for the lease.
#[derive(Clone, Copy)]
pub struct Holder<'a> {
    /// What people are told.
    pub name: &'a str,
    /// Names the process, for [`Holder::has_ended`] of another run.
    pub process: Option<&'a str>,
    /// Tells whether a named process is known to have ended; false where that can't be told.
    pub has_ended: &'a (dyn Fn(&str) -> bool + Send + Sync),
}

/// The log of one environment.
#[derive(Clone)]
pub struct StateLog {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshot_floor: u64,
}

impl std::fmt::Debug for StateLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateLog").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Log bytes after which a new snapshot may pay, whatever the state's size.
const SNAPSHOT_FLOOR_BYTES: u64 = 8 << 20;

/// Opens a place for objects, as [`StateLog::open`] does for a log; for backups.
///
/// # Errors
/// As [`StateLog::open`].
pub fn open_store(
    location: &str,
    access: Option<S3Access>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StateError> {
    let refuse = |reason: &str| StateError::Location { location: location.to_owned(), reason: reason.to_owned() };
    match location.split_once("://") {
        _ if location == "memory:" => Ok(memory()),
        Some(("s3", _)) => {
            let access = access.ok_or_else(|| refuse("S3 needs credentials and a region"))?;
            s3::open(location, access, clock)
        }
        Some(_) => Err(refuse("only folders and s3:// are known")),
        None if location.trim().is_empty() => Err(refuse("it is empty")),
        None => Ok(Arc::new(LocalStore::new(location))),
    }
}

impl StateLog {
    /// Opens the log at a folder's path, `memory:` or `s3://bucket/prefix?kms_key=alias/x`; writes nothing.
    ///
    /// # Errors
    /// For a location that is none of these, or S3 without `access`.
    pub fn open(location: &str, access: Option<S3Access>, clock: Arc<dyn Clock>) -> Result<Self, StateError> {
        Ok(Self::on(open_store(location, access, Arc::clone(&clock))?, clock))
    }

    /// Opens the log in a store that the caller made.
    pub fn on(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, snapshot_floor: SNAPSHOT_FLOOR_BYTES }
    }

    /// Sets after how many log bytes a snapshot may be written; for tests.
    #[must_use]
    pub fn with_snapshot_floor(mut self, bytes: u64) -> Self {
        self.snapshot_floor = bytes;
        self
    }

    /// Reads the log's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns what a user calls the place.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// Reads the state; an empty log is an empty state.
    ///
    /// # Errors
    /// Where anything can't be read, is damaged or missing: never a state that lacks something.
    pub async fn load(&self) -> Result<State, StateError> {
        Ok(read::load(&self.store).await?.state)
    }

    /// Takes the lease and returns the only writer of resources there is until it is released or lapses.
    ///
    /// # Errors
    /// [`StateError::LeaseHeld`] where another run's lease is in force.
    pub async fn acquire(&self, run: RunId, holder: &str, ttl: SignedDuration) -> Result<Writer, StateError> {
        self.acquire_as(run, Holder { name: holder, process: None, has_ended: &|_| false }, ttl).await
    }

    /// Takes the lease, also at once from a run whose process is known to have ended.
    ///
    /// Should that one write all the same, it is fenced as any that was taken over.
    ///
    /// # Errors
    /// As [`StateLog::acquire`].
    pub async fn acquire_as(&self, run: RunId, holder: Holder<'_>, ttl: SignedDuration) -> Result<Writer, StateError> {
        let mut appender = Appender::new(self.clone(), run, read::load(&self.store).await?);
        appender.take_lease(holder, ttl).await?;
        Ok(Writer::start(appender))
    }

    /// Returns a writer without the lease, for ledger entries and notes beside a running apply.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub async fn join(&self, run: RunId) -> Result<Writer, StateError> {
        Ok(Writer::start(Appender::new(self.clone(), run, read::load(&self.store).await?)))
    }

    /// Returns all runs since the beginning, oldest first.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub async fn history(&self) -> Result<Vec<Run>, StateError> {
        let mut runs = std::collections::VecDeque::new();
        for (commit, _) in read::read_all(&self.store).await? {
            for entry in &commit.entries {
                fold::fold_run(&mut runs, entry, commit.time);
            }
        }
        Ok(runs.into())
    }

    /// Returns every object of the log, in order.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub async fn commits(&self) -> Result<Vec<Commit>, StateError> {
        Ok(read::read_all(&self.store).await?.into_iter().map(|(commit, _)| commit).collect())
    }
}
