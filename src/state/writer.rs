//! Writing the log: one task per run commits what its callers append, many entries in one object.
//!
//! An append returns when its entries are durable. The task writes at the number after the last one it knows;
//! where another writer was quicker it reads what that one wrote, and goes on only if it still holds the
//! lease. A write whose reply was lost is recognised by its bytes. Dropping the last [`Writer`] stops the
//! task as a kill would: what was not acknowledged may or may not be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::entry::{Entry, RunId};
use super::error::StateError;
use super::fold::State;
use super::object::{Commit, FORMAT_VERSION};
use super::read::{PACK_LENGTH, Position, SNAPSHOT, Snapshot, log_path, numbers, pack_path, snapshot_path};
use super::secret::{Secrets, find_exposed};
use super::store::Creation;
use super::{Clock, Holder, StateLog};

/// Entries in one object, at most; a caller's own entries are never split.
const ENTRIES_AT_ONCE: usize = 512;

/// Appends that wait for the task before callers wait for a place.
const QUEUE_LENGTH: usize = 1024;

/// Lost races in a row before an append gives up; each means that somebody else wrote.
const RACES_MAX: u32 = 1000;

/// Attempts at one number when the store answers with an error that leaves open whether it wrote.
const ATTEMPTS_MAX: u32 = 3;

/// Snapshots that are kept; the older one serves when the newer is damaged.
const SNAPSHOTS_KEPT: usize = 2;

type Check = Box<dyn Fn(&State) -> bool + Send + Sync>;
type Reply<T> = oneshot::Sender<Result<T, StateError>>;

enum Request {
    Append { entries: Vec<Entry>, reply: Reply<()> },
    AppendIf { entries: Vec<Entry>, check: Check, reply: Reply<bool> },
    KeepAlive { reply: Reply<Option<Timestamp>> },
    State { reply: Reply<State> },
    Release { reply: Reply<()> },
}

/// The log's writer in one run; clones share it.
#[derive(Clone)]
pub struct Writer {
    run: RunId,
    secrets: Secrets,
    requests: mpsc::Sender<Request>,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
    _task: Arc<AbortOnDrop>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("run", &self.run).finish_non_exhaustive()
    }
}

/// What a run's lease is known to be, for those that ask often.
#[derive(Debug, Default)]
struct Held {
    ttl_ms: AtomicI64,
    /// When it ends; 0 without a lease.
    until_ms: AtomicI64,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Writer {
    pub(super) fn start(appender: Appender) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        let (run, clock, held) = (appender.run, Arc::clone(&appender.log.clock), Arc::clone(&appender.held));
        let task = tokio::spawn(serve(appender, queue));
        Self { run, secrets: Secrets::default(), requests, clock, held, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// Returns the run that it writes for.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Returns the secrets that it refuses to write; tell it every one the run comes to know.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Writes entries, all in one object; they are durable when it returns.
    ///
    /// # Errors
    /// [`StateError::Fenced`] once the lease is lost. After [`StateError::Storage`] the entries may be there or
    /// not; after every other error they are not.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), StateError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.check_secrets(&entries)?;
        self.ask(|reply| Request::Append { entries, reply }).await
    }

    /// Writes entries if `check` holds for the state they would follow; tells whether they were written.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub async fn append_if(
        &self,
        entries: Vec<Entry>,
        check: impl Fn(&State) -> bool + Send + Sync + 'static,
    ) -> Result<bool, StateError> {
        self.check_secrets(&entries)?;
        self.ask(|reply| Request::AppendIf { entries, check: Box::new(check), reply }).await
    }

    /// Renews the lease where half of it is over; returns when it ends, or `None` without a lease.
    ///
    /// Appends renew it by themselves, so that only a run that waits long has to call this.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub async fn keep_alive(&self) -> Result<Option<Timestamp>, StateError> {
        self.ask(|reply| Request::KeepAlive { reply }).await
    }

    /// Makes sure that the lease holds for a while yet, for what is to be done beside the log.
    ///
    /// Writes nothing and asks nobody while three quarters of the lease are not over.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub async fn assure(&self) -> Result<(), StateError> {
        let left = self.held.until_ms.load(Ordering::SeqCst) - self.clock.now().as_millisecond();
        if left > self.held.ttl_ms.load(Ordering::SeqCst) / 4 {
            return Ok(());
        }
        self.keep_alive().await.map(|_| ())
    }

    /// Returns how long the lease lasts from each renewal; `None` without one.
    pub fn ttl(&self) -> Option<Duration> {
        let ttl = u64::try_from(self.held.ttl_ms.load(Ordering::SeqCst)).ok()?;
        (ttl > 0).then(|| Duration::from_millis(ttl))
    }

    /// Returns the state with all that this writer has read and written so far.
    ///
    /// # Errors
    /// [`StateError::Stopped`] after the release.
    pub async fn state(&self) -> Result<State, StateError> {
        self.ask(|reply| Request::State { reply }).await
    }

    /// Gives the lease back, after all appends before it.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub async fn release(self) -> Result<(), StateError> {
        self.ask(|reply| Request::Release { reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StateError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| StateError::Stopped)?;
        answer.await.map_err(|_| StateError::Stopped)?
    }

    fn check_secrets(&self, entries: &[Entry]) -> Result<(), StateError> {
        for entry in entries {
            let value = serde_json::to_value(entry).expect("internal error: entries always serialise");
            if find_exposed(&value) || self.secrets.occur_in(&value.to_string()) {
                let what = entry.address().map_or_else(|| "this run".to_owned(), ToString::to_string);
                return Err(StateError::Secret { what });
            }
        }
        Ok(())
    }
}

async fn serve(mut appender: Appender, mut queue: mpsc::Receiver<Request>) {
    let mut next = None;
    loop {
        let request = match next.take() {
            Some(request) => request,
            None => match queue.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        // A caller that no longer waits was dropped; its entries are written all the same.
        match request {
            Request::Append { entries, reply } => {
                next = serve_group(&mut appender, &mut queue, entries, reply).await;
            }
            Request::AppendIf { entries, check, reply } => {
                let _ = reply.send(appender.append_if(&entries, &check).await);
            }
            Request::KeepAlive { reply } => {
                let _ = reply.send(appender.keep_alive().await);
            }
            Request::State { reply } => {
                let _ = reply.send(Ok(appender.position.state.clone()));
            }
            Request::Release { reply } => {
                let _ = reply.send(appender.release().await);
                return;
            }
        }
        // After the replies: nobody waits for a pack.
        appender.write_packs().await;
    }
}

/// Commits an append together with those that wait behind it; returns the first request that is none.
async fn serve_group(
    appender: &mut Appender,
    queue: &mut mpsc::Receiver<Request>,
    mut entries: Vec<Entry>,
    reply: Reply<()>,
) -> Option<Request> {
    let mut next = None;
    let mut replies = Vec::new();
    match appender.refuse_unleased(&entries) {
        Ok(()) => replies.push(reply),
        Err(error) => {
            let _ = reply.send(Err(error));
            return None;
        }
    }
    while entries.len() < ENTRIES_AT_ONCE {
        match queue.try_recv() {
            Ok(Request::Append { entries: more, reply }) => match appender.refuse_unleased(&more) {
                Ok(()) => {
                    entries.extend(more);
                    replies.push(reply);
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Ok(other) => {
                next = Some(other);
                break;
            }
            Err(_) => break,
        }
    }
    let written = appender.append(&entries).await;
    for reply in replies {
        let _ = reply.send(written.clone());
    }
    next
}

/// How long the lease of a run lasts from each renewal.
#[derive(Debug, Clone, Copy)]
struct Tenure {
    ttl: SignedDuration,
}

/// The one place that writes log objects.
#[derive(Debug)]
pub(super) struct Appender {
    log: StateLog,
    run: RunId,
    position: Position,
    tenure: Option<Tenure>,
    held: Arc<Held>,
}

impl Appender {
    pub(super) fn new(log: StateLog, run: RunId, position: Position) -> Self {
        Self { log, run, position, tenure: None, held: Arc::default() }
    }

    /// Takes the lease, or takes it over where it has lapsed or its holder's process has ended.
    pub(super) async fn take_lease(&mut self, holder: Holder<'_>, ttl: SignedDuration) -> Result<(), StateError> {
        let run = self.run;
        let taken = self
            .commit(|state, now| match state.lease_at(now) {
                Some(lease) if lease.run != run && !lease.process.as_deref().is_some_and(holder.has_ended) => {
                    Err(StateError::LeaseHeld { holder: lease.holder.clone(), since: lease.since, until: lease.until })
                }
                _ => Ok(Some(vec![Entry::LeaseTaken {
                    run,
                    holder: holder.name.to_owned(),
                    until: now + ttl,
                    process: holder.process.map(str::to_owned),
                }])),
            })
            .await?;
        self.tenure = Some(Tenure { ttl });
        self.held.ttl_ms.store(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        if let Some(bytes) = taken.filter(|_| self.log.store.must_prove_conditions()) {
            self.prove_conditions(bytes).await?;
        }
        // What makes later reads cheap may fail; the entries are what counts, and they are written.
        let _ = self.log.store.sweep().await;
        self.write_packs().await;
        self.write_snapshot().await;
        Ok(())
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<(), StateError> {
        self.append_if(entries, &|_| true).await.map(|_| ())
    }

    async fn append_if(
        &mut self,
        entries: &[Entry],
        check: &(dyn Fn(&State) -> bool + Send + Sync),
    ) -> Result<bool, StateError> {
        self.refuse_unleased(entries)?;
        let (run, tenure) = (self.run, self.tenure);
        let written = self
            .commit(|state, now| {
                let renewal = renewal(run, tenure, state, now)?;
                let wanted = check(state);
                Ok(wanted.then(|| entries.iter().cloned().chain(renewal).collect()))
            })
            .await?;
        Ok(written.is_some())
    }

    async fn keep_alive(&mut self) -> Result<Option<Timestamp>, StateError> {
        let (run, tenure) = (self.run, self.tenure);
        self.commit(|state, now| Ok(renewal(run, tenure, state, now)?.map(|entry| vec![entry]))).await?;
        Ok(self.position.state.lease.as_ref().filter(|lease| lease.run == run).map(|lease| lease.until))
    }

    async fn release(&mut self) -> Result<(), StateError> {
        let run = self.run;
        if self.tenure.is_none() {
            return Ok(());
        }
        self.commit(|state, _| {
            check_fence(run, state)?;
            Ok(Some(vec![Entry::LeaseReleased { run }]))
        })
        .await?;
        Ok(())
    }

    fn refuse_unleased(&self, entries: &[Entry]) -> Result<(), StateError> {
        match entries.iter().find(|entry| entry.needs_lease()) {
            Some(entry) if self.tenure.is_none() => Err(StateError::NeedsLease { entry: entry.to_string() }),
            _ => Ok(()),
        }
    }

    /// Writes one object with what `make` says, asked anew whenever another writer was quicker.
    ///
    /// Returns the object's bytes, or `None` where `make` had nothing to write.
    async fn commit(
        &mut self,
        make: impl Fn(&State, Timestamp) -> Result<Option<Vec<Entry>>, StateError>,
    ) -> Result<Option<Bytes>, StateError> {
        for _ in 0..RACES_MAX {
            let now = self.log.clock.now();
            let Some(entries) = make(&self.position.state, now)? else { return Ok(None) };
            let commit = Commit {
                version: FORMAT_VERSION,
                number: self.position.state.number + 1,
                previous: self.position.last.clone(),
                time: now,
                writer: self.run,
                entries,
            };
            let bytes = commit.encode();
            if self.write(commit.number, &bytes).await? {
                self.position.push(&commit, bytes.clone());
                self.note_lease();
                return Ok(Some(bytes));
            }
            self.position.catch_up(self.log.store.as_ref()).await?;
            self.note_lease();
        }
        Err(StateError::Contended { location: self.log.location(), attempts: RACES_MAX })
    }

    fn note_lease(&self) {
        let own = self.position.state.lease.as_ref().filter(|lease| lease.run == self.run);
        self.held.until_ms.store(own.map_or(0, |lease| lease.until.as_millisecond()), Ordering::SeqCst);
    }

    /// Writes the bytes at a number; false where another object stands there.
    async fn write(&self, number: u64, bytes: &Bytes) -> Result<bool, StateError> {
        let (store, path) = (&self.log.store, log_path(number));
        let mut attempt = 1;
        loop {
            let failed = match store.create(&path, bytes.clone()).await {
                Ok(Creation::Written) => return Ok(true),
                Ok(Creation::Exists) => None,
                Err(error) if error.is_ambiguous() => Some(error),
                Err(error) => return Err(error),
            };
            // What stands there may be this very object: an earlier attempt whose reply was lost.
            match (store.get(&path).await, failed) {
                (Ok(Some(there)), _) if there != *bytes => return Ok(false),
                (Ok(Some(_)), None) => return Ok(true),
                // After an error it is durable only once the store says that it exists.
                _ if attempt < ATTEMPTS_MAX => attempt += 1,
                (_, Some(error)) | (Err(error), None) => return Err(error),
                (Ok(None), None) => {
                    return Err(StateError::Contended { location: store.location(), attempts: attempt });
                }
            }
        }
    }

    /// Finds a store that would let two writers overwrite each other, by writing the same object once more.
    async fn prove_conditions(&self, bytes: Bytes) -> Result<(), StateError> {
        match self.log.store.create(&log_path(self.position.state.number), bytes).await? {
            Creation::Exists => Ok(()),
            Creation::Written => Err(StateError::Precondition { location: self.log.location() }),
        }
    }

    /// Packs what fills packs; each holds the same bytes whoever writes it, so that losing a race is no matter.
    async fn write_packs(&mut self) {
        let tail = &mut self.position.tail;
        while let Some((first, _)) = tail.first() {
            let whole = (first - 1).is_multiple_of(PACK_LENGTH) && tail.len() as u64 >= PACK_LENGTH;
            if !whole {
                // Begun amid a pack: this run can't write that one, and the next reader has its entries.
                let misaligned = !(first - 1).is_multiple_of(PACK_LENGTH);
                let next = tail.iter().position(|(number, _)| (number - 1).is_multiple_of(PACK_LENGTH));
                match (misaligned, next) {
                    (true, Some(at)) => drop(tail.drain(..at)),
                    _ => return,
                }
                continue;
            }
            let last = first - 1 + PACK_LENGTH;
            let pack: Vec<u8> =
                tail[..PACK_LENGTH as usize].iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
            // A missing pack costs reads and nothing else; the next run that reads its entries writes it.
            let _ = self.log.store.create(&pack_path(last), Bytes::from(pack)).await;
            tail.drain(..PACK_LENGTH as usize);
        }
    }

    /// Writes a snapshot where the log since the last one outweighs it, so that its cost per entry is bounded.
    async fn write_snapshot(&mut self) {
        let position = &mut self.position;
        if position.since_snapshot < self.log.snapshot_floor.max(position.snapshot) {
            return;
        }
        let number = position.state.number;
        let snapshot = Snapshot {
            version: FORMAT_VERSION,
            number,
            last: position.last.clone(),
            time: self.log.clock.now(),
            writer: self.run,
            state: position.state.clone(),
        };
        let bytes = snapshot.encode();
        let size = bytes.len() as u64;
        let store = &self.log.store;
        if store.create(&snapshot_path(number), bytes).await.is_err() {
            return;
        }
        (position.since_snapshot, position.snapshot) = (0, size);
        if let Ok(known) = numbers(store.as_ref(), SNAPSHOT, 0).await {
            for old in known.iter().rev().skip(SNAPSHOTS_KEPT) {
                let _ = store.delete(&snapshot_path(*old)).await;
            }
        }
    }
}

fn check_fence(run: RunId, state: &State) -> Result<(), StateError> {
    match &state.lease {
        Some(lease) if lease.run == run => Ok(()),
        Some(lease) => Err(StateError::Fenced { by: lease.holder.clone() }),
        None => Err(StateError::Fenced { by: "nobody: it was taken over and released".to_owned() }),
    }
}

/// Returns the entry that renews the lease, where half of it is over.
fn renewal(run: RunId, tenure: Option<Tenure>, state: &State, now: Timestamp) -> Result<Option<Entry>, StateError> {
    let Some(Tenure { ttl }) = tenure else { return Ok(None) };
    check_fence(run, state)?;
    let until = state.lease.as_ref().map_or(now, |lease| lease.until);
    Ok((until.duration_since(now) * 2 < ttl).then(|| Entry::LeaseRenewed { run, until: now + ttl }))
}
