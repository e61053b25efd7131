//! Reading the log: the newest snapshot, the packs after it, then the entries after these.
//!
//! Snapshots and packs only make reading cheap: both are derived from the entries, and where one is damaged
//! the entries are read in its place. What can't be read whole is an error and never a shorter log.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::RunId;
use super::error::StateError;
use super::fold::State;
use super::object::{Commit, FORMAT_VERSION, NO_PREVIOUS, check_seal, seal, sha256};
use super::store::Store;
use super::verify::{Damage, Problem};

/// Log objects in one pack; part of the format, since packs begin at multiples of it.
pub const PACK_LENGTH: u64 = 256;

/// Objects that are read at a time.
pub(super) const READS_AT_ONCE: usize = 32;

pub(super) const LOG: &str = "log";
pub(super) const PACK: &str = "pack";
pub(super) const SNAPSHOT: &str = "snapshot";

/// Returns the name of a numbered object.
pub(super) fn name(number: u64, extension: &str) -> String {
    format!("{number:020}.{extension}")
}

pub(super) fn log_path(number: u64) -> String {
    format!("{LOG}/{}", name(number, "json"))
}

pub(super) fn pack_path(last: u64) -> String {
    format!("{PACK}/{}", name(last, "jsonl"))
}

pub(super) fn snapshot_path(number: u64) -> String {
    format!("{SNAPSHOT}/{}", name(number, "json"))
}

/// Returns the number of a name that this module gave; other names are none of its business.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let (digits, extension) = name.split_once('.')?;
    let ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (ours && matches!(extension, "json" | "jsonl")).then(|| digits.parse().ok()).flatten()
}

/// Returns the numbers in a folder that come after `after`, in order.
pub(super) async fn numbers(store: &dyn Store, folder: &str, after: u64) -> Result<Vec<u64>, StateError> {
    let extension = if folder == PACK { "jsonl" } else { "json" };
    let names = store.list(folder, Some(&name(after, extension))).await?;
    Ok(names.iter().filter_map(|name| number_of(name)).filter(|number| *number > after).collect())
}

/// The state at one number, as a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub version: u32,
    pub number: u64,
    /// The SHA-256 of the log object at `number`.
    pub last: String,
    pub time: Timestamp,
    pub writer: RunId,
    pub state: State,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Bytes {
        seal(self)
    }

    pub(super) fn decode(number: u64, bytes: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let problem = |damage| Problem::object(snapshot_path(number), Some(number), damage).corrupt();
        check_seal(bytes).map_err(problem)?;
        let malformed = |error: serde_json::Error| problem(Damage::Malformed(error.to_string()));
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > FORMAT_VERSION {
            return Err(StateError::Newer { number, what: format!("snapshot version {version}") });
        }
        let snapshot: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if snapshot.number == number && snapshot.state.number == number {
            Ok(snapshot)
        } else {
            Err(problem(Damage::Misplaced))
        }
    }
}

/// What a reader knows of the log, up to one number.
#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    pub state: State,
    /// The SHA-256 of the object at `state.number`.
    pub last: String,
    /// The objects that no pack holds yet, in order, without a gap.
    pub tail: Vec<(u64, Bytes)>,
    /// Bytes of the log since the snapshot that was read.
    pub since_snapshot: u64,
    /// Bytes of that snapshot.
    pub snapshot: u64,
    /// All objects read, for readers of the history.
    pub kept: Option<Vec<(Commit, Bytes)>>,
}

impl Position {
    /// Folds one object in whose bytes were just read or written.
    pub(super) fn push(&mut self, commit: &Commit, bytes: Bytes) {
        self.state.fold(commit);
        self.last = sha256(&bytes);
        self.since_snapshot += bytes.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.push((commit.clone(), bytes.clone()));
        }
        self.tail.push((commit.number, bytes));
    }

    fn accept(&mut self, number: u64, bytes: Bytes) -> Result<(), StateError> {
        let commit = Commit::decode(number, &bytes, Some(&self.last))?;
        self.push(&commit, bytes);
        Ok(())
    }

    /// Reads what others wrote since; returns how many objects that were.
    pub(super) async fn catch_up(&mut self, store: &dyn Store) -> Result<u64, StateError> {
        let before = self.state.number;
        while let Some(bytes) = store.get(&log_path(self.state.number + 1)).await? {
            self.accept(self.state.number + 1, bytes)?;
        }
        Ok(self.state.number - before)
    }
}

/// Reads the whole state.
pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Position, StateError> {
    let mut position = read_snapshot(store.as_ref()).await?;
    read_packs(store.as_ref(), &mut position).await?;
    read_entries(store.as_ref(), &mut position).await?;
    Ok(position)
}

/// Reads every object of the log, with its bytes.
pub(super) async fn read_all(store: &Arc<dyn Store>) -> Result<Vec<(Commit, Bytes)>, StateError> {
    let mut position = Position { last: NO_PREVIOUS.to_owned(), kept: Some(Vec::new()), ..Position::default() };
    read_packs(store.as_ref(), &mut position).await?;
    read_entries(store.as_ref(), &mut position).await?;
    Ok(position.kept.unwrap_or_default())
}

async fn read_snapshot(store: &dyn Store) -> Result<Position, StateError> {
    for number in numbers(store, SNAPSHOT, 0).await?.into_iter().rev() {
        let Some(bytes) = store.get(&snapshot_path(number)).await? else { continue };
        match Snapshot::decode(number, &bytes) {
            Ok(snapshot) => {
                let Snapshot { state, last, .. } = snapshot;
                return Ok(Position { state, last, snapshot: bytes.len() as u64, ..Position::default() });
            }
            // An older snapshot or the entries say the same; `verify` names this one.
            Err(StateError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Position { last: NO_PREVIOUS.to_owned(), ..Position::default() })
}

async fn read_packs(store: &dyn Store, position: &mut Position) -> Result<(), StateError> {
    let found = numbers(store, PACK, position.state.number).await?;
    let first = (position.state.number / PACK_LENGTH + 1) * PACK_LENGTH;
    let usable: Vec<u64> = found
        .into_iter()
        .zip((first..).step_by(PACK_LENGTH as usize))
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a)
        .collect();
    let mut packs = futures::stream::iter(usable)
        .map(|last| async move { (last, store.get(&pack_path(last)).await) })
        .buffered(READS_AT_ONCE);
    while let Some((last, bytes)) = packs.next().await {
        let Some(bytes) = bytes? else { break };
        match decode_pack(last, &bytes, position) {
            Ok(commits) => {
                for (commit, bytes) in commits {
                    position.push(&commit, bytes);
                }
                position.tail.clear();
            }
            // The entries say the same; `verify` names this pack.
            Err(StateError::Corrupt(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the objects of a pack that follow a position.
fn decode_pack(last: u64, bytes: &Bytes, position: &Position) -> Result<Vec<(Commit, Bytes)>, StateError> {
    let lines = pack_lines(bytes);
    let problem = |damage| Problem::object(pack_path(last), Some(last), damage).corrupt();
    if lines.len() as u64 != PACK_LENGTH {
        return Err(problem(Damage::Torn));
    }
    let mut out = Vec::new();
    let mut previous = position.last.clone();
    for (number, line) in (last + 1 - PACK_LENGTH..=last).zip(lines) {
        if number > position.state.number {
            let commit = Commit::decode(number, &line, Some(&previous))?;
            previous = sha256(&line);
            out.push((commit, line));
        } else if number == position.state.number && sha256(&line) != previous {
            return Err(problem(Damage::Misplaced));
        }
    }
    Ok(out)
}

async fn read_entries(store: &dyn Store, position: &mut Position) -> Result<(), StateError> {
    let folded = position.state.number;
    let packed = folded / PACK_LENGTH * PACK_LENGTH;
    let found = numbers(store, LOG, packed).await?;
    // A folder's listing may leave out what is written meanwhile, so that each number is asked for.
    let last = found.last().copied().unwrap_or(0);
    let mut objects = futures::stream::iter(packed + 1..=last)
        .map(|number| async move { (number, store.get(&log_path(number)).await) })
        .buffered(READS_AT_ONCE);
    while let Some((number, bytes)) = objects.next().await {
        match bytes? {
            Some(bytes) if number > folded => position.accept(number, bytes)?,
            Some(bytes) => position.tail.push((number, bytes)),
            None if number > folded => return Err(Problem::entry(number, Damage::Missing).corrupt()),
            // The snapshot has it; only the next pack lacks it.
            None => position.tail.clear(),
        }
    }
    Ok(())
}

/// Splits a pack into its objects.
pub(super) fn pack_lines(bytes: &Bytes) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        out.push(bytes.slice(start..=at));
        start = at + 1;
    }
    if start < bytes.len() {
        out.push(bytes.slice(start..));
    }
    out
}
