//! The simulated world's memory: resources in AWS's own API shapes, per account, region and service.
//!
//! One shelf per (account, region, service) is one JSON file on disk, rewritten whole and atomically when a
//! call changed it. Object bodies are files named by their SHA-256. Keys of a resource that start with `_`
//! are the sandbox's own (timelines, for example) and never reach the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version of the on-disk format.
const FORMAT: u32 = 1;

/// The region name under which global services keep their resources.
pub(crate) const GLOBAL: &str = "global";

/// Which shelf: account, region (or `global`), service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// A resource with the moment it was first put.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: f64,
    pub(crate) value: Value,
}

/// The resources of one kind, by id.
pub(crate) type Collection = BTreeMap<String, Entry>;

/// All that one service holds in one account and region.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// Counts the ids given out, so that ids depend on the seed and on this shelf's history only.
    pub(crate) serial: u64,
    pub(crate) collections: BTreeMap<String, Collection>,
}

/// World-wide facts beside the shelves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) seed: u64,
    pub(crate) now: f64,
    pub(crate) calls: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) header: Header,
    shelves: BTreeMap<Place, Shelf>,
    dirty: BTreeSet<Place>,
    blobs: BTreeMap<String, Bytes>,
    dir: Option<PathBuf>,
}

impl Store {
    /// Makes an empty store that lives in memory.
    pub(crate) fn new(seed: u64, now: f64) -> Self {
        Store {
            header: Header { format: FORMAT, seed, now, calls: 0 },
            shelves: BTreeMap::new(),
            dirty: BTreeSet::new(),
            blobs: BTreeMap::new(),
            dir: None,
        }
    }

    /// Copies the store; the copy lives in memory.
    pub(crate) fn fork(&self) -> Self {
        Store { dir: None, ..self.clone() }
    }

    /// Opens a folder, made if absent; every later flush writes there.
    pub(crate) fn open(dir: &Path, seed: u64, now: f64) -> io::Result<Self> {
        let mut store = if dir.join("sandbox.json").exists() { Store::load(dir)? } else { Store::new(seed, now) };
        make_private(dir)?;
        store.dir = Some(dir.to_owned());
        store.flush_header()?;
        Ok(store)
    }

    /// Reads a folder into memory, object bodies included.
    pub(crate) fn load(dir: &Path) -> io::Result<Self> {
        let header: Header = read_json(&dir.join("sandbox.json"))?;
        if header.format != FORMAT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has format {}, this build reads {FORMAT}", dir.display(), header.format),
            ));
        }
        let mut store = Store::new(header.seed, header.now);
        store.header = header;
        for (account, path) in subfolders(dir)? {
            if account == "blobs" {
                continue;
            }
            for (region, path) in subfolders(&path)? {
                for entry in fs::read_dir(&path)? {
                    let path = entry?.path();
                    if path.extension().is_none_or(|e| e != "json") {
                        continue;
                    }
                    let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    let place = Place { account: account.clone(), region: region.clone(), service };
                    store.shelves.insert(place, read_json(&path)?);
                }
            }
        }
        let blobs = dir.join("blobs");
        if blobs.is_dir() {
            for entry in fs::read_dir(&blobs)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if !name.contains('.') {
                    store.blobs.insert(name, Bytes::from(fs::read(entry.path())?));
                }
            }
        }
        Ok(store)
    }

    /// Writes everything to a folder that is not this store's own.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        let saved = self.saved_world();
        for (place, shelf) in &self.shelves {
            write_json(&shelf_path(dir, place), shelf)?;
        }
        for (hash, bytes) in &self.blobs {
            write_new(&dir.join("blobs").join(hash), bytes)?;
        }
        // Shelves of an earlier save that this world does not have would come back on load.
        if dir.is_dir() {
            for (account, path) in subfolders(dir)? {
                if account == "blobs" {
                    continue;
                }
                for (region, path) in subfolders(&path)? {
                    for entry in fs::read_dir(&path)? {
                        let path = entry?.path();
                        let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                        if !saved.contains(&(account.clone(), region.clone(), service)) {
                            fs::remove_file(&path)?;
                        }
                    }
                }
            }
        }
        write_json(&dir.join("sandbox.json"), &self.header)
    }

    fn saved_world(&self) -> BTreeSet<(String, String, String)> {
        let key = |p: &Place| (p.account.clone(), p.region.clone(), p.service.clone());
        self.shelves.keys().map(key).collect()
    }

    /// Takes another store's contents, and writes them if this one has a folder.
    pub(crate) fn replace(&mut self, other: Store) -> io::Result<()> {
        let dir = self.dir.take();
        *self = Store { dir: None, dirty: BTreeSet::new(), ..other };
        if let Some(dir) = dir {
            self.save(&dir)?;
            self.dir = Some(dir);
        }
        Ok(())
    }

    /// Returns a shelf if anything was ever put on it.
    pub(crate) fn shelf(&self, place: &Place) -> Option<&Shelf> {
        self.shelves.get(place)
    }

    /// Returns a shelf to change; it is written at the next flush.
    pub(crate) fn shelf_mut(&mut self, place: &Place) -> &mut Shelf {
        if !self.dirty.contains(place) {
            self.dirty.insert(place.clone());
        }
        self.shelves.entry(place.clone()).or_default()
    }

    /// Iterates over all shelves in order.
    pub(crate) fn shelves(&self) -> impl Iterator<Item = (&Place, &Shelf)> {
        self.shelves.iter()
    }

    /// Keeps an object's body and returns its hash.
    pub(crate) fn put_blob(&mut self, bytes: Bytes) -> io::Result<String> {
        let hash = hex::encode(Sha256::digest(&bytes));
        if let Some(dir) = &self.dir {
            write_new(&dir.join("blobs").join(&hash), &bytes)?;
        }
        self.blobs.insert(hash.clone(), bytes);
        Ok(hash)
    }

    /// Returns an object's body.
    pub(crate) fn blob(&self, hash: &str) -> Option<Bytes> {
        self.blobs.get(hash).cloned()
    }

    /// Writes what changed since the last flush; nothing without a folder.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        let Some(dir) = &self.dir else { return Ok(()) };
        if dirty.is_empty() {
            return Ok(());
        }
        for place in dirty {
            if let Some(shelf) = self.shelves.get(&place) {
                write_json(&shelf_path(dir, &place), shelf)?;
            }
        }
        self.flush_header()
    }

    /// Notes the time at the end, unless another process has worked on the folder since.
    pub(crate) fn leave(&mut self, now: f64) {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join("sandbox.json")) else { return };
        let Ok(there) = read_json::<Header>(&path) else { return };
        if there.calls <= self.header.calls && there.now < now {
            self.header.now = now;
            // A folder that can't be written keeps the time of its last change.
            let _ = self.flush_header();
        }
    }

    fn flush_header(&self) -> io::Result<()> {
        match &self.dir {
            Some(dir) => write_json(&dir.join("sandbox.json"), &self.header),
            None => Ok(()),
        }
    }
}

fn shelf_path(dir: &Path, place: &Place) -> PathBuf {
    dir.join(&place.account).join(&place.region).join(format!("{}.json", place.service))
}

fn subfolders(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    write_atomic(path, &bytes)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.exists() { Ok(()) } else { write_atomic(path, bytes) }
}

/// Makes a folder for its owner alone: the simulated account holds secret values as AWS does.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

pub(super) fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_private(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
