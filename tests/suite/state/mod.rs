//! The state log: races, kills, damage, leases, secrets and cost, on memory and on a local disk.

mod backup;
mod cost;
mod damage;
mod faults;
mod fence;
pub(crate) mod lease;
mod positions;
mod replay;
mod s3;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use opora::graph::Address;
use opora::state::{Action, Clock, Creation, Entry, RunId, StateError, StateLog, Store, Writer};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const TTL: SignedDuration = SignedDuration::from_mins(5);

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub(crate) struct FakeClock(AtomicI64);

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000)))
    }

    pub(crate) fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A store that counts what goes through it.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) operations: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        let (operations, bytes_written, bytes_read) = Default::default();
        Arc::new(Self { inner, operations, bytes_written, bytes_read })
    }

    pub(crate) fn take(&self) -> (u64, u64) {
        (self.operations.swap(0, Ordering::SeqCst), self.bytes_written.swap(0, Ordering::SeqCst))
    }
}

#[async_trait]
impl Store for Counted {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        self.bytes_written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.inner.create(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        let read = self.inner.get(path).await?;
        self.bytes_read.fetch_add(read.as_ref().map_or(0, Bytes::len) as u64, Ordering::SeqCst);
        Ok(read)
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        self.inner.list(folder, after).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        self.inner.delete(path).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

pub(crate) fn run(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

pub(crate) fn address(number: usize) -> Address {
    Address::new("s3_bucket", "many").with_key(format!("{number:06}"))
}

pub(crate) fn ledger(key: impl Into<String>, record: Value) -> Entry {
    Entry::Ledger { stream: "jobs".to_owned(), key: key.into(), record }
}

pub(crate) fn recorded(run: RunId, number: usize, generation: u64) -> Entry {
    Entry::Recorded {
        run,
        step: 1,
        address: address(number),
        kind: "s3_bucket".to_owned(),
        id: format!("bucket-{number}-{generation}").into(),
        generation,
        arguments: json!({ "name": format!("bucket-{number}"), "tags": { "team": "research", "cost": "ml" } }),
        attributes: json!({ "arn": format!("arn:aws:s3:::bucket-{number}-{generation}") }),
        references: vec![Address::new("kms_key", "data")],
        lifecycle: json!({ "prevent_destroy": true }),
    }
}

pub(crate) fn created(run: RunId, number: usize, generation: u64) -> Entry {
    Entry::Created {
        run,
        step: 1,
        address: address(number),
        kind: "s3_bucket".to_owned(),
        id: format!("bucket-{number}-{generation}").into(),
        generation,
    }
}

pub(crate) fn intent(run: RunId, number: usize, generation: u64, action: Action) -> Entry {
    Entry::Intent {
        run,
        step: 1,
        address: address(number),
        kind: "s3_bucket".to_owned(),
        action,
        generation,
        token: format!("token-{number}-{generation}"),
        id: (action != Action::Create).then(|| format!("bucket-{number}-{generation}").into()),
        arguments: serde_json::Value::Null,
        lifecycle: serde_json::Value::Null,
    }
}

pub(crate) fn log_path(number: u64) -> String {
    format!("log/{number:020}.json")
}

/// Writes `count` ledger entries, one object each, between taking and giving back the lease.
pub(crate) async fn write_some(log: &StateLog, by: RunId, count: usize) {
    let writer = log.acquire(by, "tester", TTL).await.unwrap();
    append_some(&writer, count).await;
    writer.release().await.unwrap();
}

pub(crate) async fn append_some(writer: &Writer, count: usize) {
    for number in 0..count {
        writer.append(vec![ledger(number.to_string(), json!({ "n": number }))]).await.unwrap();
    }
}
