//! Finds what is damaged in the log and names it; restores only what can be proved.
//!
//! Packs are second copies of the entries, and each object names the digest of the one before it: a copy is
//! proved when that digest is its own. Repair puts back proved copies, drops derived objects that are damaged,
//! and takes away a torn last object, which no caller was ever told is durable. All it removes it first copies
//! to `quarantine/`. It leaves everything else as it is and says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::StateLog;
use super::error::StateError;
use super::fold::State;
use super::object::{Commit, NO_PREVIOUS, describe, sha256};
use super::read::{
    LOG, PACK, PACK_LENGTH, SNAPSHOT, Snapshot, log_path, numbers, pack_lines, pack_path, snapshot_path,
};
use super::store::{Creation, Store};

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// It is not there, and later ones are.
    Missing,
    /// It ends too early.
    Torn,
    /// Its bytes are not those that were written.
    Altered,
    /// It is whole, but was written to follow another object than the one before it.
    Misplaced,
    /// It is whole and makes no sense.
    Malformed(String),
    /// It is whole, and its writer did not hold the lease.
    Unleased,
    /// It is whole and differs from what the entries say.
    Disagrees,
}

/// One damaged object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its path in the store.
    pub object: String,
    pub number: Option<u64>,
    pub damage: Damage,
    /// What it held, as far as that can still be told.
    pub held: Option<String>,
}

impl Problem {
    pub(super) fn entry(number: u64, damage: Damage) -> Self {
        Self::object(log_path(number), Some(number), damage)
    }

    pub(super) fn object(object: String, number: Option<u64>, damage: Damage) -> Self {
        Self { object, number, damage, held: None }
    }

    #[must_use]
    pub(super) fn held(mut self, held: Option<String>) -> Self {
        self.held = held;
        self
    }

    pub(super) fn corrupt(self) -> StateError {
        StateError::Corrupt(self)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        match &self.damage {
            Damage::Missing => write!(f, "{object} is missing")?,
            Damage::Torn => write!(f, "{object} is cut off")?,
            Damage::Altered => write!(f, "{object} was altered")?,
            Damage::Misplaced => write!(f, "{object} does not follow the object before it")?,
            Damage::Malformed(what) => write!(f, "{object} makes no sense: {what}")?,
            Damage::Unleased => write!(f, "{object} was written without the lease")?,
            Damage::Disagrees => write!(f, "{object} differs from the entries")?,
        }
        match &self.held {
            Some(held) => write!(f, " (it held: {held})"),
            None => Ok(()),
        }
    }
}

/// What repair did about a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repaired {
    /// The entry is back, from a copy whose digest the next entry names.
    Restored,
    /// It was taken away; a copy is in `quarantine/`.
    Removed,
    /// Nothing was done, for this reason.
    Refused(String),
}

/// What repair would do about a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Put the entry back from a copy whose digest the next entry names.
    Restore,
    /// Take it away, and keep a copy in `quarantine/`.
    Remove,
    /// Leave it, for this reason.
    Leave(String),
}

/// A problem and what repair would do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    pub problem: Problem,
    pub remedy: Remedy,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Remedy::Restore => write!(f, "{}: would be put back from a proved copy", self.problem),
            Remedy::Remove => write!(f, "{}: would be taken away, with a copy in `quarantine/`", self.problem),
            Remedy::Leave(why) => write!(f, "{}: would be left as it is, {why}", self.problem),
        }
    }
}

/// A problem and what repair did about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repair {
    pub problem: Problem,
    pub repaired: Repaired,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repaired {
            Repaired::Restored => write!(f, "{}: put back from a copy", self.problem),
            Repaired::Removed => write!(f, "{}: taken away, a copy is in `quarantine/`", self.problem),
            Repaired::Refused(why) => write!(f, "{}: left as it is, {why}", self.problem),
        }
    }
}

/// All that a check of the log finds out.
struct Survey {
    problems: Vec<Problem>,
    /// Proved copies of entries that are damaged or missing.
    copies: BTreeMap<u64, Bytes>,
    last: u64,
}

impl Survey {
    fn remedy(&self, problem: &Problem) -> Remedy {
        // Packs and snapshots are derived: the entries say the same.
        if !problem.object.starts_with(LOG) {
            return Remedy::Remove;
        }
        match problem.number {
            Some(number) if self.copies.contains_key(&number) => Remedy::Restore,
            // Nobody was told that it is durable.
            Some(number) if number == self.last && problem.damage == Damage::Torn => Remedy::Remove,
            _ => Remedy::Leave(
                "no proved copy of it exists; restore the state from a backup (`opora restore`), or rebuild it from \
                 the resources' tags (`opora state rebuild`)"
                    .to_owned(),
            ),
        }
    }
}

impl StateLog {
    /// Reads every object there is and names each that is damaged or missing.
    ///
    /// # Errors
    /// Where the store can't be read or a newer opora wrote to it; damage is not an error here.
    pub async fn verify(&self) -> Result<Vec<Problem>, StateError> {
        Ok(self.survey().await?.problems)
    }

    /// Restores what can be proved and reports on all the rest. No other run may be writing.
    ///
    /// # Errors
    /// Where the store can't be read or written.
    pub async fn repair(&self) -> Result<Vec<Repair>, StateError> {
        let survey = self.survey().await?;
        let mut out = Vec::new();
        for problem in &survey.problems {
            out.push(Repair { problem: problem.clone(), repaired: self.repair_one(&survey, problem).await? });
        }
        Ok(out)
    }

    /// Says what [`StateLog::repair`] would do, and changes nothing.
    ///
    /// # Errors
    /// As [`StateLog::verify`].
    pub async fn propose_repair(&self) -> Result<Vec<Proposal>, StateError> {
        let survey = self.survey().await?;
        let propose = |problem: &Problem| Proposal { problem: problem.clone(), remedy: survey.remedy(problem) };
        Ok(survey.problems.iter().map(propose).collect())
    }

    async fn repair_one(&self, survey: &Survey, problem: &Problem) -> Result<Repaired, StateError> {
        let copy = problem.number.and_then(|number| survey.copies.get(&number));
        match (survey.remedy(problem), copy) {
            (Remedy::Leave(why), _) => Ok(Repaired::Refused(why)),
            (Remedy::Restore, Some(copy)) => {
                self.quarantine(&problem.object).await?;
                Ok(match self.store.create(&problem.object, copy.clone()).await? {
                    Creation::Written => Repaired::Restored,
                    Creation::Exists => Repaired::Refused("another run wrote it meanwhile".to_owned()),
                })
            }
            (Remedy::Remove | Remedy::Restore, _) => {
                self.quarantine(&problem.object).await?;
                Ok(Repaired::Removed)
            }
        }
    }

    pub(super) async fn quarantine(&self, path: &str) -> Result<(), StateError> {
        let Some(bytes) = self.store.get(path).await? else { return Ok(()) };
        let kept = format!("quarantine/{}-{}", sha256(&bytes), path.replace('/', "-"));
        self.store.create(&kept, bytes).await?;
        self.store.delete(path).await
    }

    async fn survey(&self) -> Result<Survey, StateError> {
        let mut walk = Walk::new(Arc::clone(&self.store)).await?;
        for number in 1..=walk.last {
            walk.entry(number).await?;
        }
        Ok(Survey { problems: walk.problems, copies: walk.copies, last: walk.last })
    }
}

/// A walk over all entries, with what packs and snapshots say of each.
struct Walk {
    store: Arc<dyn Store>,
    last: u64,
    packs: Vec<u64>,
    snapshots: BTreeMap<u64, Bytes>,
    pack: Vec<Bytes>,
    /// The digest of the entry before, where that is whole or has a proved copy.
    previous: Option<String>,
    state: State,
    /// Whether all entries so far were folded into `state`.
    complete: bool,
    problems: Vec<Problem>,
    copies: BTreeMap<u64, Bytes>,
}

impl Walk {
    async fn new(store: Arc<dyn Store>) -> Result<Self, StateError> {
        let log = numbers(store.as_ref(), LOG, 0).await?;
        let packs = numbers(store.as_ref(), PACK, 0).await?;
        let mut snapshots = BTreeMap::new();
        for number in numbers(store.as_ref(), SNAPSHOT, 0).await? {
            if let Some(bytes) = store.get(&snapshot_path(number)).await? {
                snapshots.insert(number, bytes);
            }
        }
        let last = [log.last(), packs.last(), snapshots.keys().last()].into_iter().flatten().max().copied();
        Ok(Self {
            store,
            last: last.unwrap_or(0),
            packs,
            snapshots,
            pack: Vec::new(),
            previous: Some(NO_PREVIOUS.to_owned()),
            state: State::default(),
            complete: true,
            problems: Vec::new(),
            copies: BTreeMap::new(),
        })
    }

    async fn entry(&mut self, number: u64) -> Result<(), StateError> {
        if (number - 1).is_multiple_of(PACK_LENGTH) {
            self.open_pack(number - 1 + PACK_LENGTH).await?;
        }
        let at = ((number - 1) % PACK_LENGTH) as usize;
        let copy = self.pack.get(at).cloned();
        let there = self.store.get(&log_path(number)).await?;
        let decoded = match &there {
            None => Err(Problem::entry(number, Damage::Missing)),
            Some(bytes) => match Commit::decode(number, bytes, self.previous.as_deref()) {
                Ok(commit) => Ok(commit),
                Err(StateError::Corrupt(problem)) => Err(problem),
                Err(error) => return Err(error),
            },
        };
        match decoded {
            Ok(commit) => {
                if copy.is_some() && copy != there {
                    let path = pack_path(number - 1 - at as u64 + PACK_LENGTH);
                    self.report(Problem::object(path, Some(number), Damage::Disagrees));
                    self.pack.clear();
                }
                self.previous = there.as_deref().map(sha256);
                self.accept(&commit);
            }
            Err(problem) => self.damaged(number, problem, copy),
        }
        self.compare_snapshot(number);
        Ok(())
    }

    async fn open_pack(&mut self, last: u64) -> Result<(), StateError> {
        self.pack.clear();
        if !self.packs.contains(&last) {
            return Ok(());
        }
        if let Some(bytes) = self.store.get(&pack_path(last)).await? {
            self.pack = pack_lines(&bytes);
        }
        if self.pack.len() as u64 != PACK_LENGTH {
            self.report(Problem::object(pack_path(last), Some(last), Damage::Torn));
            self.pack.clear();
        }
        Ok(())
    }

    /// Notes a damaged entry; its copy in the pack is proved by following the one before and by its own seal.
    fn damaged(&mut self, number: u64, mut problem: Problem, copy: Option<Bytes>) {
        let proved = copy.and_then(|copy| {
            let previous = self.previous.as_deref()?;
            Some((Commit::decode(number, &copy, Some(previous)).ok()?, copy))
        });
        match proved {
            Some((commit, copy)) => {
                problem.held = describe(&copy);
                self.previous = Some(sha256(&copy));
                self.accept(&commit);
                self.copies.insert(number, copy);
            }
            None => {
                self.previous = None;
                self.complete = false;
            }
        }
        self.report(problem);
    }

    fn accept(&mut self, commit: &Commit) {
        let before = self.state.lease.as_ref().map(|lease| lease.run);
        self.state.fold(commit);
        let after = self.state.lease.as_ref().map(|lease| lease.run);
        let leased = [before, after].contains(&Some(commit.writer));
        if self.complete && !leased && commit.entries.iter().any(super::Entry::needs_lease) {
            self.report(Problem::entry(commit.number, Damage::Unleased).held(Some(commit.to_string())));
        }
    }

    fn compare_snapshot(&mut self, number: u64) {
        let Some(bytes) = self.snapshots.get(&number) else { return };
        match Snapshot::decode(number, bytes) {
            Ok(mut snapshot) => {
                // A hint that ages, and of which an opora before this one kept more.
                snapshot.state.touched.clone_from(&self.state.touched);
                let differs = self.previous.as_ref().is_some_and(|last| *last != snapshot.last)
                    || (self.complete && snapshot.state != self.state);
                if differs {
                    self.report(Problem::object(snapshot_path(number), Some(number), Damage::Disagrees));
                }
            }
            Err(StateError::Corrupt(problem)) => self.report(problem),
            Err(error) => {
                self.report(Problem::object(snapshot_path(number), Some(number), Damage::Malformed(error.to_string())));
            }
        }
    }

    fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::{RunId, StateLog, memory};
    use super::*;

    #[tokio::test]
    async fn a_snapshot_may_remember_more_touches_than_the_log_tells_and_nothing_else() {
        let store = memory();
        let log = StateLog::on(store.clone(), std::sync::Arc::new(jiff::Timestamp::now)).with_snapshot_floor(1);
        for number in 1..3 {
            let run = RunId(uuid::Uuid::from_u128(number));
            let writer = log.acquire(run, "tester", SignedDuration::from_mins(5)).await.unwrap();
            writer.release().await.unwrap();
        }
        let name = store.list(SNAPSHOT, None).await.unwrap().pop().unwrap();
        let number = name.trim_end_matches(".json").parse().unwrap();
        let path = snapshot_path(number);
        let mut snapshot = Snapshot::decode(number, &store.get(&path).await.unwrap().unwrap()).unwrap();
        let address: crate::graph::Address = "vpc.main".parse().unwrap();
        snapshot.state.touched.insert(address.clone(), jiff::Timestamp::UNIX_EPOCH);
        store.delete(&path).await.unwrap();
        store.create(&path, snapshot.encode()).await.unwrap();
        assert_eq!(log.verify().await.unwrap(), []);
        snapshot.state.generations.insert(address, 7);
        store.delete(&path).await.unwrap();
        store.create(&path, snapshot.encode()).await.unwrap();
        let found = log.verify().await.unwrap();
        assert!(matches!(found.as_slice(), [problem] if problem.damage == Damage::Disagrees), "{found:?}");
    }
}
