//! Backups: copies of the log and of files, under their digests, and a manifest that names them.
//!
//! A place holds any number of backups; what two of them share is stored once, since full chunks of the log never
//! change. The manifest is written last, so that a backup that was cut off is none. Reading proves every digest,
//! and the chain of the log from its first object on.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StateLog;
use super::error::StateError;
use super::fold::State;
use super::object::{Commit, NO_PREVIOUS, check_seal, seal, sha256};
use super::read::snapshot_path;
use super::read::{
    LOG, PACK, PACK_LENGTH, READS_AT_ONCE, SNAPSHOT, log_path, numbers, pack_lines, pack_path, read_all,
};
use super::store::{Creation, Store};

/// The version of the manifest that this module writes.
const MANIFEST_VERSION: u32 = 1;

const MANIFESTS: &str = "backup";
const OBJECTS: &str = "object";

/// A whole log, proved from its first object on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogCopy {
    objects: Vec<Bytes>,
    pub state: State,
}

/// What a backup has a file for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Spec,
    Evidence,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCopy {
    /// Relative to the spec's folder, with `/`.
    pub path: String,
    pub role: Role,
    pub sha256: String,
}

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub environment: String,
    pub account: String,
    pub region: String,
    /// The spec's name in its folder.
    pub spec: String,
    /// The inputs that were given beside it, as `NAME=VALUE`.
    pub inputs: Vec<String>,
    pub opora: String,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub time: Timestamp,
    pub subject: Subject,
    /// The number of the last log object.
    pub number: u64,
    pub resources: usize,
    /// The digests of the log's chunks, in order.
    pub log: Vec<String>,
    pub files: Vec<FileCopy>,
}

/// What restoring a log did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// All of it was written.
    Written,
    /// The log there was left, since it is the beginning of another history, or not whole.
    Differs,
}

impl LogCopy {
    /// Reads the chunks of a backup.
    ///
    /// # Errors
    /// Where an object is damaged or does not follow the one before.
    fn decode(chunks: &[Bytes]) -> Result<Self, StateError> {
        let mut copy = Self::default();
        let mut previous = NO_PREVIOUS.to_owned();
        for line in chunks.iter().flat_map(pack_lines) {
            let commit = Commit::decode(copy.state.number + 1, &line, Some(&previous))?;
            copy.state.fold(&commit);
            previous = sha256(&line);
            copy.objects.push(line);
        }
        Ok(copy)
    }

    fn chunks(&self) -> Vec<Bytes> {
        self.objects.chunks(PACK_LENGTH as usize).map(|lines| Bytes::from(lines.concat())).collect()
    }

    fn get(&self, number: u64) -> Option<&Bytes> {
        self.objects.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

impl Manifest {
    /// Names the newest backup of a place; `None` where there is none.
    ///
    /// # Errors
    /// Where the place can't be read.
    pub async fn newest(store: &dyn Store) -> Result<Option<String>, StateError> {
        Ok(store.list(MANIFESTS, None).await?.into_iter().rfind(|name| name.ends_with(".json")))
    }

    /// Reads a backup by its name.
    ///
    /// # Errors
    /// Where it is not there, damaged, or of a newer opora.
    pub async fn read(store: &dyn Store, name: &str) -> Result<Self, StateError> {
        let path = format!("{MANIFESTS}/{name}");
        let bytes = store.get(&path).await?.ok_or_else(|| unusable(store, &path, "it is not there"))?;
        check_seal(&bytes).map_err(|_| unusable(store, &path, "it was cut off or altered"))?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| unusable(store, &path, &error.to_string()))?;
        if manifest.version > MANIFEST_VERSION {
            return Err(unusable(store, &path, "a newer opora wrote it"));
        }
        Ok(manifest)
    }

    /// Reads its log.
    ///
    /// # Errors
    /// Where a chunk is missing or damaged.
    pub async fn read_log(&self, store: &dyn Store) -> Result<LogCopy, StateError> {
        let reads = futures::stream::iter(&self.log).map(|digest| read_object(store, digest)).buffered(READS_AT_ONCE);
        let copy = LogCopy::decode(&reads.try_collect::<Vec<Bytes>>().await?)?;
        if copy.state.number == self.number { Ok(copy) } else { Err(unusable(store, LOG, "it lacks entries")) }
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// Where it is missing or damaged.
    pub async fn read_file(&self, store: &dyn Store, file: &FileCopy) -> Result<Bytes, StateError> {
        read_object(store, &file.sha256).await
    }
}

fn unusable(store: &dyn Store, what: &str, reason: &str) -> StateError {
    StateError::Backup { location: store.location(), reason: format!("{what}: {reason}") }
}

async fn read_object(store: &dyn Store, digest: &str) -> Result<Bytes, StateError> {
    let path = format!("{OBJECTS}/{digest}");
    let bytes = store.get(&path).await?.ok_or_else(|| unusable(store, &path, "it is not there"))?;
    if sha256(&bytes) == digest { Ok(bytes) } else { Err(unusable(store, &path, "it was cut off or altered")) }
}

async fn write_object(store: &dyn Store, bytes: Bytes) -> Result<String, StateError> {
    let digest = sha256(&bytes);
    // What is there under the digest is proved when it is read; a damaged one is found here and now.
    if store.create(&format!("{OBJECTS}/{digest}"), bytes).await? == Creation::Exists {
        read_object(store, &digest).await?;
    }
    Ok(digest)
}

/// Writes a backup; returns its name and what it has.
///
/// # Errors
/// Where the place can't be written; there is no backup then.
pub async fn write_backup(
    store: &dyn Store,
    time: Timestamp,
    subject: Subject,
    log: &LogCopy,
    files: Vec<(String, Role, Bytes)>,
) -> Result<(String, Manifest), StateError> {
    let writes = futures::stream::iter(log.chunks()).map(|chunk| write_object(store, chunk)).buffered(READS_AT_ONCE);
    let chunks = writes.try_collect().await?;
    let mut copies = Vec::new();
    for (path, role, bytes) in files {
        let sha256 = write_object(store, bytes).await?;
        copies.push(FileCopy { path, role, sha256 });
    }
    let (number, resources) = (log.state.number, log.state.resources.len());
    let manifest = Manifest { version: MANIFEST_VERSION, time, subject, number, resources, log: chunks, files: copies };
    let name = format!("{}.json", time.strftime("%Y%m%dT%H%M%S%.3fZ"));
    match store.create(&format!("{MANIFESTS}/{name}"), seal(&manifest)).await? {
        Creation::Written => Ok((name, manifest)),
        Creation::Exists => Err(unusable(store, &name, "another backup was written at this moment")),
    }
}

impl StateLog {
    /// Copies the whole log.
    ///
    /// # Errors
    /// Where anything of it can't be read or is damaged.
    pub async fn copy(&self) -> Result<LogCopy, StateError> {
        let all = read_all(&self.store).await?;
        let mut copy = LogCopy::default();
        for (commit, bytes) in all {
            copy.state.fold(&commit);
            copy.objects.push(bytes);
        }
        Ok(copy)
    }

    /// Brings a copy back; no other run may be writing.
    ///
    /// What is there and is no part of the copy is left, and nothing written, unless `replace` allows to put it
    /// aside into `quarantine/`. A restore that is cut off leaves a log that lacks its first object, which nothing
    /// reads as a state, and can be run again.
    ///
    /// # Errors
    /// Where the place can't be read or written.
    pub async fn restore(&self, copy: &LogCopy, replace: bool) -> Result<Restored, StateError> {
        let store = self.store.as_ref();
        let there = numbers(store, LOG, 0).await?;
        if !(self.is_part_of(copy, &there).await?) {
            if !replace {
                return Ok(Restored::Differs);
            }
            self.put_aside(copy, &there).await?;
        }
        let count = copy.objects.len() as u64;
        let rest =
            futures::stream::iter(2..=count).map(|number| self.put(copy, number)).buffer_unordered(READS_AT_ONCE);
        rest.try_collect::<Vec<()>>().await?;
        // What the copy lacks goes before its first object makes it readable.
        for number in there.into_iter().filter(|number| *number > count) {
            self.quarantine(&log_path(number)).await?;
        }
        if count > 0 {
            self.put(copy, 1).await?;
        }
        Ok(Restored::Written)
    }

    async fn put(&self, copy: &LogCopy, number: u64) -> Result<(), StateError> {
        let Some(bytes) = copy.get(number) else { return Ok(()) };
        let path = log_path(number);
        if self.store.create(&path, bytes.clone()).await? == Creation::Exists
            && self.store.get(&path).await?.as_ref() != Some(bytes)
        {
            // The last of what was there is left until now, so that the log never looks empty.
            self.quarantine(&path).await?;
            self.store.create(&path, bytes.clone()).await?;
        }
        Ok(())
    }

    /// Tells whether all that is there is in the copy as well.
    async fn is_part_of(&self, copy: &LogCopy, there: &[u64]) -> Result<bool, StateError> {
        let store = self.store.as_ref();
        let derived = [numbers(store, PACK, 0).await?, numbers(store, SNAPSHOT, 0).await?].concat();
        if derived.iter().any(|number| !there.contains(number)) {
            return Ok(false);
        }
        for number in there {
            if store.get(&log_path(*number)).await?.as_ref() != copy.get(*number) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn put_aside(&self, copy: &LogCopy, there: &[u64]) -> Result<(), StateError> {
        let store: &Arc<dyn Store> = &self.store;
        for number in numbers(store.as_ref(), SNAPSHOT, 0).await? {
            self.quarantine(&snapshot_path(number)).await?;
        }
        for number in numbers(store.as_ref(), PACK, 0).await? {
            self.quarantine(&pack_path(number)).await?;
        }
        let Some((_, all_but_last)) = there.split_last() else { return Ok(()) };
        for number in all_but_last {
            if self.store.get(&log_path(*number)).await?.as_ref() != copy.get(*number) || *number == 1 {
                self.quarantine(&log_path(*number)).await?;
            }
        }
        Ok(())
    }
}
