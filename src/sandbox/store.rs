//! The simulated world's memory: resources in AWS's own API shapes, per account, region and service.
//!
//! One shelf per (account, region, service) is one JSON file on disk, with a log of what calls changed since
//! it was written. Object bodies are files named by their SHA-256. Keys of a resource that start with `_` are
//! the sandbox's own (timelines, for example) and never reach the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::shelf_log::{self, Lengths, Line};

/// The version of the on-disk format. The first one had no logs.
const FORMAT: u32 = 2;

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

impl Shelf {
    /// Makes the changes of one call.
    pub(super) fn apply(&mut self, line: Line) {
        self.serial = self.serial.max(line.serial);
        for (collection, id, entry) in line.entries {
            let entries = self.collections.entry(collection).or_default();
            match entry {
                Some(entry) => entries.insert(id, entry),
                None => entries.remove(&id),
            };
        }
    }
}

/// What of a shelf is not on disk yet.
#[derive(Debug, Clone, Default)]
struct Dirt {
    /// All of it may have changed.
    whole: bool,
    /// Collections and ids.
    entries: BTreeSet<(String, String)>,
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
    dirty: BTreeMap<Place, Dirt>,
    lengths: BTreeMap<Place, Lengths>,
    blobs: BTreeMap<String, Bytes>,
    dir: Option<PathBuf>,
}

impl Store {
    /// Makes an empty store that lives in memory.
    pub(crate) fn new(seed: u64, now: f64) -> Self {
        Store {
            header: Header { format: FORMAT, seed, now, calls: 0 },
            shelves: BTreeMap::new(),
            dirty: BTreeMap::new(),
            lengths: BTreeMap::new(),
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
        if !(1..=FORMAT).contains(&header.format) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has format {}, this build reads {FORMAT}", dir.display(), header.format),
            ));
        }
        let mut store = Store::new(header.seed, header.now);
        store.header = Header { format: FORMAT, ..header };
        for (account, path) in subfolders(dir)? {
            if account == "blobs" {
                continue;
            }
            for (region, path) in subfolders(&path)? {
                for entry in fs::read_dir(&path)? {
                    let path = entry?.path();
                    // A shelf that was never written whole has its log alone.
                    let extension = path.extension().unwrap_or_default();
                    if extension != "json" && (extension != "log" || path.with_extension("json").exists()) {
                        continue;
                    }
                    let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    let place = Place { account: account.clone(), region: region.clone(), service };
                    store.read_shelf(place, &path)?;
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

    fn read_shelf(&mut self, place: Place, path: &Path) -> io::Result<()> {
        let path = path.with_extension("json");
        let (mut shelf, length) = match fs::read(&path) {
            Ok(bytes) => (parse(&path, &bytes)?, bytes.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Shelf::default(), 0),
            Err(error) => return Err(error),
        };
        match shelf_log::replay(&path.with_extension("log"), &mut shelf)? {
            Some(log) => {
                self.lengths.insert(place.clone(), Lengths { shelf: length, log });
            }
            // Nothing may be appended to half a line.
            None => self.dirty.entry(place.clone()).or_default().whole = true,
        }
        self.shelves.insert(place, shelf);
        Ok(())
    }

    /// Writes everything to a folder that is not this store's own.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        let saved = self.saved_world();
        for (place, shelf) in &self.shelves {
            write_shelf(dir, place, shelf)?;
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
        *self = Store { dir: None, dirty: BTreeMap::new(), lengths: BTreeMap::new(), ..other };
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

    /// Returns a shelf to change anywhere; it is written whole at the next flush.
    pub(crate) fn shelf_mut(&mut self, place: &Place) -> &mut Shelf {
        self.soil(place).whole = true;
        self.shelves.entry(place.clone()).or_default()
    }

    /// Puts an entry, new or replaced.
    pub(crate) fn put(&mut self, place: &Place, collection: &str, id: &str, entry: Entry) {
        self.soil(place).entries.insert((collection.to_owned(), id.to_owned()));
        let shelf = self.shelves.entry(place.clone()).or_default();
        shelf.collections.entry(collection.to_owned()).or_default().insert(id.to_owned(), entry);
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, place: &Place, collection: &str, id: &str) {
        self.soil(place).entries.insert((collection.to_owned(), id.to_owned()));
        if let Some(entries) = self.shelves.get_mut(place).and_then(|shelf| shelf.collections.get_mut(collection)) {
            entries.remove(id);
        }
    }

    /// Counts one more id of a shelf, and returns its number.
    pub(crate) fn next_serial(&mut self, place: &Place) -> u64 {
        self.soil(place);
        let shelf = self.shelves.entry(place.clone()).or_default();
        shelf.serial += 1;
        shelf.serial
    }

    fn soil(&mut self, place: &Place) -> &mut Dirt {
        self.dirty.entry(place.clone()).or_default()
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
        for (place, dirt) in dirty {
            let Some(shelf) = self.shelves.get(&place) else { continue };
            let lengths = self.lengths.entry(place.clone()).or_default();
            if dirt.whole || lengths.is_due() {
                *lengths = Lengths { shelf: write_shelf(dir, &place, shelf)?, log: 0 };
                continue;
            }
            let entry = |(collection, id): (String, String)| {
                let entry = shelf.collections.get(&collection).and_then(|entries| entries.get(&id)).cloned();
                (collection, id, entry)
            };
            let line = Line { serial: shelf.serial, entries: dirt.entries.into_iter().map(entry).collect() };
            lengths.log += shelf_log::append(&shelf_path(dir, &place).with_extension("log"), &line)?;
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

/// Writes a shelf whole, and returns its length; what its log had is in it then.
fn write_shelf(dir: &Path, place: &Place, shelf: &Shelf) -> io::Result<u64> {
    let path = shelf_path(dir, place);
    let bytes = serde_json::to_vec(shelf).map_err(io::Error::other)?;
    write_atomic(&path, &bytes)?;
    match fs::remove_file(path.with_extension("log")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(bytes.len() as u64),
    }
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
    parse(path, &fs::read(path)?)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes)
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
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
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
