//! A run killed at any operation of the store, and replies that are lost.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use opora::state::{Action, Creation, PACK_LENGTH, RunId, StateError, StateLog, Store, memory};
use tokio::sync::Notify;

use super::{FakeClock, TTL, address, intent, log_path, recorded, run};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// The run dies before the operation has an effect.
    KillBefore,
    /// The run dies after it, without having seen the reply.
    KillAfter,
    /// The reply is lost, once; the run lives.
    LoseReply,
    /// The operation fails without effect, once.
    FailBefore,
}

/// A store with one fault at its n-th operation.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn Store>,
    at: u64,
    fault: Fault,
    seen: AtomicU64,
    wrote: AtomicBool,
    pub(super) killed: Notify,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn Store>, at: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner,
            at,
            fault,
            seen: AtomicU64::new(0),
            wrote: AtomicBool::new(false),
            killed: Notify::new(),
        })
    }

    async fn run<T>(&self, operation: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return operation.await;
        }
        let lost = || StateError::Storage {
            operation: "testing",
            location: "memory:".to_owned(),
            source: Arc::new(std::io::Error::other("the connection broke")),
        };
        match self.fault {
            Fault::KillBefore => self.die().await,
            Fault::KillAfter => {
                operation.await?;
                self.die().await
            }
            Fault::LoseReply => {
                operation.await?;
                Err(lost())
            }
            Fault::FailBefore => Err(lost()),
        }
    }

    async fn die<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        self.wrote.store(true, Ordering::SeqCst);
        self.run(self.inner.create(path, bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        // The reads of a load are all alike; the ones that count come after the first write.
        if !self.wrote.load(Ordering::SeqCst) {
            return self.inner.get(path).await;
        }
        self.run(self.inner.get(path)).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        self.run(self.inner.list(folder, after)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        self.run(self.inner.delete(path)).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

const RESOURCES: usize = 8;

/// Creates `RESOURCES` resources and notes in `acknowledged` what it was told is durable.
async fn script(log: &StateLog, by: RunId, acknowledged: &Mutex<Vec<usize>>) -> Result<(), StateError> {
    let writer = log.acquire(by, "script", TTL).await?;
    for number in 0..RESOURCES {
        let state = writer.state().await?;
        if state.resources.contains_key(&address(number)) {
            continue;
        }
        writer.append(vec![intent(by, number, 1, Action::Create)]).await?;
        writer.append(vec![recorded(by, number, 1)]).await?;
        acknowledged.lock().unwrap().push(number);
    }
    writer.release().await
}

/// A log that is nearly at the end of a pack, so that the script writes packs and snapshots too.
struct Prepared(Vec<(u64, Bytes)>);

impl Prepared {
    async fn new() -> Self {
        let (store, count) = (memory(), PACK_LENGTH - 9);
        let log = StateLog::on(store.clone(), FakeClock::new());
        super::write_some(&log, run(1), count as usize - 2).await;
        let mut objects = Vec::new();
        for number in 1..=count {
            objects.push((number, store.get(&log_path(number)).await.unwrap().unwrap()));
        }
        Self(objects)
    }

    async fn copy(&self) -> (Arc<dyn Store>, Arc<FakeClock>) {
        let store = memory();
        for (number, bytes) in &self.0 {
            store.create(&log_path(*number), bytes.clone()).await.unwrap();
        }
        (store, FakeClock::new())
    }
}

#[tokio::test]
async fn killed_at_any_operation_the_state_is_right_and_the_next_run_goes_on() {
    let (prepared, mut kills) = (Prepared::new().await, 0);
    for at in 1.. {
        let mut reached = false;
        for fault in [Fault::KillBefore, Fault::KillAfter] {
            let (store, clock) = prepared.copy().await;
            let faulty = Faulty::new(store.clone(), at, fault);
            let log = StateLog::on(faulty.clone(), clock.clone()).with_snapshot_floor(1);
            let acknowledged = Mutex::new(Vec::new());
            let killed = tokio::select! {
                biased;
                () = faulty.killed.notified() => true,
                done = script(&log, run(2), &acknowledged) => { done.unwrap(); false }
            };
            drop(log);
            let log = StateLog::on(store, clock.clone()).with_snapshot_floor(1);
            let state = log.load().await.unwrap();
            let told = acknowledged.into_inner().unwrap();
            for number in &told {
                assert!(state.resources.contains_key(&address(*number)), "{fault:?} at {at} lost {number}");
            }
            assert!(state.resources.len() <= told.len() + 1, "{fault:?} at {at}");
            assert!(state.intents.len() <= 1, "{fault:?} at {at}");
            assert_eq!(log.verify().await.unwrap(), [], "{fault:?} at {at}");
            clock.advance(TTL + SignedDuration::from_secs(1));
            script(&log, run(3), &Mutex::default()).await.unwrap();
            let state = log.load().await.unwrap();
            assert_eq!((state.resources.len(), state.intents.len(), &state.lease), (RESOURCES, 0, &None));
            assert_eq!(log.verify().await.unwrap(), [], "{fault:?} at {at}");
            reached |= killed;
            kills += usize::from(killed);
        }
        if !reached {
            break;
        }
    }
    assert!(kills > 2 * 2 * RESOURCES, "only {kills} kills");
    println!("{kills} kills");
}

#[tokio::test]
async fn a_lost_reply_or_a_passing_failure_at_any_write_is_not_noticed() {
    let (prepared, mut faults) = (Prepared::new().await, 0);
    for at in 1.. {
        let mut reached = false;
        for fault in [Fault::LoseReply, Fault::FailBefore] {
            let (store, clock) = prepared.copy().await;
            let faulty = Faulty::new(store.clone(), at, fault);
            let log = StateLog::on(faulty.clone(), clock.clone()).with_snapshot_floor(1);
            let done = script(&log, run(2), &Mutex::default()).await;
            reached |= faulty.seen.load(Ordering::SeqCst) >= at;
            let log = StateLog::on(store, clock.clone());
            if let Err(error) = done {
                // Reads before the first write are not tried again here: the store's client does that.
                assert!(matches!(error, StateError::Storage { .. }), "{error}");
                assert!(log.load().await.unwrap().resources.is_empty(), "{fault:?} at {at}");
                continue;
            }
            faults += 1;
            let commits = log.commits().await.unwrap();
            let entries: Vec<_> = commits.iter().flat_map(|commit| &commit.entries).collect();
            let ours = entries.iter().filter(|entry| entry.address().is_some()).count();
            assert_eq!(ours, 2 * RESOURCES, "{fault:?} at {at}: written once each");
            assert_eq!(log.verify().await.unwrap(), [], "{fault:?} at {at}");
        }
        if !reached {
            break;
        }
    }
    assert!(faults > 2 * 2 * RESOURCES, "only {faults} faults");
}
