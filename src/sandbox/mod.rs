//! A simulated AWS: the real wire protocols over a deterministic world, in process and on a socket.
//!
//! It behaves as AWS documents, never so that some client passes, and uses nothing of the rest of the
//! crate. No background work: asynchronous states are timelines resolved when read.
//!
//! To add an OPERATION:
//! 1. write its name in `models/operations.txt` and run `scripts/sandbox-models.py`;
//! 2. in `services/<service>.rs` write `fn create_thing(call: &mut Call, input: &Value) -> Answer` and add
//!    `("CreateThing", create_thing)` to `OPERATIONS`;
//! 3. add success and error cases to `tests/sandbox/test_<service>.py`.
//!
//! To add a SERVICE: the above, plus its name in `model.rs` (`models!`), a `services/<service>.rs`, and one
//! row in `services/mod.rs` (`SERVICES`).
//!
//! A handler gets input in the model's member names with types, required members, bounds, patterns and
//! enumerations already checked. It answers the output in member names (blobs base64, timestamps seconds),
//! or `AwsError::new("WireCode", "message")`; status and shape follow from the model. It stores resources
//! with `call.put(collection, id, value)` in AWS's own shape; keys with `_` stay private, `_arn` makes a
//! resource visible to the tagging API. `call.once` is for client tokens, `call.paged` for lists,
//! `Transition` for states over time, `call.elsewhere` to look at other services, `tags` for tags.
//! It checks everything before it changes anything.

mod access;
mod admin;
mod call;
mod call_log;
mod clock;
mod codec;
mod conditions;
mod delivery;
mod dispatch;
mod enforce;
mod error;
mod iam_eval;
mod identity;
mod ids;
mod model;
mod quota;
mod rename;
mod route;
mod seam;
mod server;
mod services;
mod shelf_log;
mod store;
mod tags;
mod validate;
mod world;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use access::{Access, Breach, Moment};
pub use call_log::Record;
pub use clock::{Clock, VIRTUAL_START};
pub use conditions::{Conditions, Fault, FaultKind, Rate};
pub use error::AwsError;
pub use quota::{QUOTAS, Quota};

use store::Store;
use world::World;

/// The file in a world's folder that holds its conditions.
const CONDITIONS_FILE: &str = "conditions.json";

/// A simulated AWS; clones share one world.
#[derive(Debug, Clone)]
pub struct Sandbox {
    world: Arc<Mutex<World>>,
    clock: Clock,
}

impl Sandbox {
    /// Makes an empty world in memory on a virtual clock; the same seed gives the same ids.
    pub fn in_memory(seed: u64) -> Self {
        let world = World::new(Store::new(seed, VIRTUAL_START), None)
            .expect("internal error: a world without a folder reads no file");
        Sandbox { world: Arc::new(Mutex::new(world)), clock: Clock::virtual_at(VIRTUAL_START) }
    }

    /// Opens a world in a folder, made if absent, on a virtual clock that goes on where it stopped.
    ///
    /// The conditions are those of the folder's `conditions.json`, where there is one.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let store = Store::open(dir, 0, VIRTUAL_START)?;
        let clock = Clock::virtual_at(store.header.now);
        let mut world = World::new(store, Some(dir.to_owned()))?;
        world.conditions = conditions::read(&dir.join(CONDITIONS_FILE))?;
        Ok(Sandbox { world: Arc::new(Mutex::new(world)), clock })
    }

    /// Copies the world as it is now into memory; from here on each goes its own way, on a clock of its own.
    pub fn fork(&self) -> Self {
        let world = self.lock().fork();
        Sandbox { world: Arc::new(Mutex::new(world)), clock: Clock::virtual_at(self.clock.seconds()) }
    }

    /// Replaces the clock, for example by [`Clock::wall`] for a server.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Holds users and role sessions to their IAM policies, and verifies signatures, from now on.
    pub fn enforce_iam(&self) {
        self.lock().enforces = true;
    }

    /// Returns the clock, which is also the SDK's time source and sleep.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Sets the conditions: rates, propagation delays, faults.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().conditions = conditions;
    }

    /// Returns the conditions, with the faults' counts.
    pub fn conditions(&self) -> Conditions {
        self.lock().conditions.clone()
    }

    /// Returns the log of handled calls, oldest first.
    pub fn calls(&self) -> Vec<Record> {
        self.lock().log.records().to_vec()
    }

    /// Returns how many calls were handled in this world's life.
    pub fn call_count(&self) -> u64 {
        self.lock().store.header.calls
    }

    /// Begins to keep what the account allows after each call, from now on.
    pub fn watch_access(&self) {
        let mut world = self.lock();
        let access = Access::of(&world.store, self.clock.seconds());
        world.moments = Some(vec![Moment { operation: String::new(), access }]);
    }

    /// Ends the watch: the moment at which it began, and one for each call that changed what is allowed.
    pub fn watched(&self) -> Vec<Moment> {
        self.lock().moments.take().unwrap_or_default()
    }

    /// Writes the whole world to a folder.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.store.header.now = self.clock.seconds();
        world.store.save(dir)?;
        world.save_log(dir)
    }

    /// Replaces the world by a saved one; the clock moves forward to its time, never back.
    pub fn load(&self, dir: &Path) -> io::Result<()> {
        let loaded = Store::load(dir)?;
        self.clock.advance_to(loaded.header.now);
        self.refill(loaded, Some(dir))
    }

    /// Exchanges words, as ids are, in every text of the world: a copy of an account bears the account's ids.
    pub fn rename(&self, words: &std::collections::BTreeMap<String, String>) {
        rename::rename(&mut self.lock().store, words);
    }

    /// Empties the world; seed and clock stay.
    pub fn reset(&self) -> io::Result<()> {
        let seed = self.lock().store.header.seed;
        self.refill(Store::new(seed, self.clock.seconds()), None)
    }

    fn refill(&self, store: Store, log: Option<&Path>) -> io::Result<()> {
        let mut world = self.lock();
        world.store.replace(store)?;
        world.log = call_log::CallLog::default();
        world.buckets = conditions::Buckets::default();
        world.conditions = Conditions::default();
        if let Some(dir) = log {
            world.read_log(dir)?;
        }
        world.rewrite_log()
    }

    /// Returns facts about the world: seed, time, number of calls, resources by kind.
    pub fn status(&self) -> serde_json::Value {
        let now = self.clock.seconds();
        let mut status = self.lock().status(now);
        status["time"] = codec::time::iso(now).into();
        status
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last clone leaves the time in the folder, so that the next process goes on where the clock stopped: what was
/// written down at a time by one command is in the past of the next.
impl Drop for Sandbox {
    fn drop(&mut self) {
        if Arc::strong_count(&self.world) == 1 {
            let now = self.clock.seconds();
            self.lock().store.leave(now);
        }
    }
}
