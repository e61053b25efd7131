//! The whole mutable state behind one lock: store, call log, conditions, bucket fills.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::access::{Access, Moment};
use super::call::resolve;
use super::call_log::{CallLog, Record};
use super::conditions::{Buckets, Conditions};
use super::identity::{DEFAULT_ACCOUNT, is_account};
use super::store::{GLOBAL, Place, Store, write_atomic};

/// The file of the calls that changed something, one JSON record a line.
const CALLS_FILE: &str = "calls.ndjson";

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) log: CallLog,
    pub(crate) conditions: Conditions,
    pub(crate) buckets: Buckets,
    /// What resources were before their latest changes, where the conditions make lists lag.
    pub(crate) past: Past,
    /// Whether policies and signatures are enforced whatever the conditions say.
    pub(crate) enforces: bool,
    /// What was allowed after each call, while somebody watches.
    pub(crate) moments: Option<Vec<Moment>>,
    /// Why the log could not be written; the call at hand reports it.
    pub(crate) failure: Option<String>,
    dir: Option<PathBuf>,
}

/// Earlier values of resources, newest last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past(BTreeMap<(Place, String), Vec<Change>>);

#[derive(Debug, Clone)]
struct Change {
    id: String,
    at: f64,
    /// What it was before; none where it was not there.
    was: Option<Value>,
}

impl Past {
    /// Remembers what a resource was before a change.
    pub(crate) fn add(&mut self, place: &Place, collection: &str, id: &str, at: f64, was: Option<Value>) {
        let changes = self.0.entry((place.clone(), collection.to_owned())).or_default();
        changes.push(Change { id: id.to_owned(), at, was });
    }

    /// Returns a collection as it was at a moment.
    pub(crate) fn rewind<'v>(
        &'v self,
        place: &Place,
        collection: &str,
        current: impl Iterator<Item = (&'v str, &'v Value)>,
        moment: f64,
    ) -> BTreeMap<&'v str, &'v Value> {
        let mut out: BTreeMap<&str, &Value> = current.collect();
        let changes = self.0.get(&(place.clone(), collection.to_owned()));
        for change in changes.into_iter().flatten().rev().take_while(|change| change.at > moment) {
            match &change.was {
                Some(value) => out.insert(&change.id, value),
                None => out.remove(change.id.as_str()),
            };
        }
        out
    }
}

/// Whom an access key stands for.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) account: String,
    pub(crate) arn: String,
    pub(crate) user_id: String,
    /// Whether policies apply to it where they are enforced.
    pub(crate) policed: bool,
}

impl World {
    /// Makes a world around a store; `dir` is where the store lives.
    pub(crate) fn new(store: Store, dir: Option<PathBuf>) -> io::Result<Self> {
        let mut world = World {
            store,
            log: CallLog::default(),
            conditions: Conditions::default(),
            buckets: Buckets::default(),
            past: Past::default(),
            enforces: false,
            moments: None,
            failure: None,
            dir,
        };
        if let Some(dir) = world.dir.clone() {
            world.read_log(&dir)?;
        }
        Ok(world)
    }

    /// Copies the world; the copy lives in memory.
    pub(crate) fn fork(&self) -> Self {
        World {
            store: self.store.fork(),
            log: self.log.clone(),
            conditions: self.conditions.clone(),
            buckets: self.buckets.clone(),
            past: self.past.clone(),
            enforces: self.enforces,
            moments: None,
            failure: None,
            dir: None,
        }
    }

    /// Reads the log of a saved world.
    pub(crate) fn read_log(&mut self, dir: &Path) -> io::Result<()> {
        let path = dir.join(CALLS_FILE);
        if path.exists() {
            // A line cut short by a kill is the last one and is left out.
            for line in fs::read_to_string(path)?.lines() {
                if let Ok(record) = serde_json::from_str(line) {
                    self.log.push(record);
                }
            }
        }
        Ok(())
    }

    /// Writes the log of changes beside a saved world.
    pub(crate) fn save_log(&self, dir: &Path) -> io::Result<()> {
        let mut text = String::new();
        for record in self.log.records().iter().filter(|record| !record.touched.is_empty()) {
            text += &serde_json::to_string(record).map_err(io::Error::other)?;
            text.push('\n');
        }
        write_atomic(&dir.join(CALLS_FILE), text.as_bytes())
    }

    /// Writes the folder's log anew from the one in memory.
    pub(crate) fn rewrite_log(&self) -> io::Result<()> {
        match &self.dir {
            Some(dir) => self.save_log(dir),
            None => Ok(()),
        }
    }

    /// Adds a call to the log, and to the folder's if it changed something.
    pub(crate) fn record(&mut self, record: Record) -> io::Result<()> {
        if let Some(dir) = self.dir.as_ref().filter(|_| !record.touched.is_empty()) {
            let mut line = serde_json::to_vec(&record).map_err(io::Error::other)?;
            line.push(b'\n');
            let mut options = fs::OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(dir.join(CALLS_FILE))?;
            file.write_all(&line)?;
        }
        if let Some(moments) = self.moments.as_mut().filter(|_| !record.touched.is_empty()) {
            let access = Access::of(&self.store, record.time);
            if moments.last().is_none_or(|last| last.access != access) {
                moments.push(Moment { operation: record.operation.clone(), access });
            }
        }
        self.log.push(record);
        Ok(())
    }

    /// Returns where registered access keys are kept.
    pub(crate) fn sessions() -> Place {
        Place { account: "sandbox".to_owned(), region: GLOBAL.to_owned(), service: "sessions".to_owned() }
    }

    /// Tells whether callers are held to their policies.
    pub(crate) fn enforced(&self) -> bool {
        self.enforces || self.conditions.enforce_iam
    }

    /// Returns what is kept of an access key that was given out.
    pub(crate) fn key_entry(&self, access_key: &str) -> Option<&Value> {
        let keys = self.store.shelf(&Self::sessions())?.collections.get("keys")?;
        keys.get(access_key).map(|entry| &entry.value)
    }

    /// Returns whom an access key stands for: a registered identity, else an account's default user.
    pub(crate) fn identity(&self, access_key: &str, partition: &str, now: f64) -> Result<Identity, &'static str> {
        if let Some(entry) = self.key_entry(access_key) {
            if entry["expires"].as_f64().is_some_and(|end| end <= now) {
                return Err("ExpiredToken");
            }
            let get = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let (account, arn) = (get("account"), get("arn"));
            let admin = entry["admin"] == true || arn == administrator(&account, partition);
            return Ok(Identity { account, arn, user_id: get("user_id"), policed: !admin });
        }
        // Whoever enforces policies has no use for keys that look given out and are not.
        let given_out = self.enforced() && access_key.len() == 20 && access_key.starts_with("AKIA");
        if access_key.starts_with("ASIA") || given_out {
            return Err("InvalidClientTokenId");
        }
        let account = if is_account(access_key) { access_key } else { DEFAULT_ACCOUNT };
        let bytes = super::ids::entropy(0, &format!("user/{account}"), 0);
        let tail = super::ids::letters(&bytes, super::ids::BASE32, 17);
        Ok(Identity {
            account: account.to_owned(),
            arn: administrator(account, partition),
            user_id: format!("AIDA{tail}"),
            policed: false,
        })
    }

    /// Returns facts about the world at a time, for people; what is gone by then is not counted.
    pub(crate) fn status(&self, now: f64) -> Value {
        let mut kinds = serde_json::Map::new();
        for (place, shelf) in self.store.shelves() {
            for (name, entries) in shelf.collections.iter().filter(|(name, _)| !name.starts_with('_')) {
                let key = format!("{}/{}/{}/{name}", place.account, place.region, place.service);
                let there = entries.values().filter(|entry| resolve(&entry.value, now).is_some());
                kinds.insert(key, Value::from(there.count()));
            }
        }
        serde_json::json!({
            "seed": self.store.header.seed,
            "calls": self.store.header.calls,
            "resources": kinds,
        })
    }
}

/// Returns the ARN of an account's administrator, for whom any key stands that names nobody else.
fn administrator(account: &str, partition: &str) -> String {
    format!("arn:{partition}:iam::{account}:user/sandbox")
}
