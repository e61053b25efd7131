//! A run whose lease is taken over between its intent and its create: the create is never sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use opora::apply::{OnFailure, Session, Stop};
use opora::aws::kinds;
use opora::engine;
use opora::state::{Creation, StateError, StateLog, Store, memory};

use super::{FakeClock, TTL, run};
use crate::support::{TestSecrets, World};

/// A store after whose first intent the machine sleeps past the lease, and another run takes over.
#[derive(Debug)]
struct Overtaken {
    inner: Arc<dyn Store>,
    clock: Arc<FakeClock>,
    /// Whether the other one gives the lease back before the first wakes up.
    released: bool,
    happened: AtomicBool,
}

#[async_trait]
impl Store for Overtaken {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        let is_intent = std::str::from_utf8(&bytes).unwrap().contains("\"type\":\"intent\"");
        let done = self.inner.create(path, bytes).await;
        if is_intent && !self.happened.swap(true, Ordering::SeqCst) {
            self.clock.advance(TTL + SignedDuration::from_secs(1));
            let heir = StateLog::on(self.inner.clone(), self.clock.clone()).acquire(run(2), "heir", TTL).await?;
            if self.released {
                heir.release().await?;
            }
        }
        done
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        self.inner.get(path).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        self.inner.list(folder, after).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        self.inner.delete(path).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

const SPEC: &str = r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data }
  vpc:
    main: { cidr: 10.0.0.0/16 }
"#;

#[tokio::test]
async fn a_run_that_was_taken_over_sends_no_call_that_writes() {
    for released in [false, true] {
        let world = World::new(7);
        let environment = world.load(SPEC);
        let plan = world.plan(&environment, false).await.unwrap();
        let clock = FakeClock::new();
        let store = Overtaken { inner: memory(), clock: clock.clone(), released, happened: AtomicBool::new(false) };
        let log = StateLog::on(Arc::new(store), clock);
        let writer = log.acquire(run(1), "sleeper", TTL).await.unwrap();
        let session = Session {
            aws: &world.aws,
            scope: &environment.scope,
            log: &writer,
            kinds: &kinds::get,
            secrets: &TestSecrets,
            events: &|_| {},
            stop: Stop::default(),
        };
        let state = writer.state().await.unwrap();
        let error = engine::apply_plan(&session, &plan, &state, OnFailure::Continue).await.unwrap_err();
        assert!(matches!(error, StateError::Fenced { .. }), "{error}");
        let calls = world.sandbox.calls();
        let written: Vec<_> = calls.iter().filter(|call| call.operation.starts_with("Create")).collect();
        assert!(written.is_empty(), "{written:?}");
        // Without a run the same clients write again.
        world.aws.kms().create_key().send().await.unwrap();
    }
}

#[tokio::test]
async fn a_long_run_renews_its_lease_before_it_writes() {
    let clock = FakeClock::new();
    let log = StateLog::on(memory(), clock.clone());
    let writer = log.acquire(run(1), "tester", TTL).await.unwrap();
    writer.assure().await.unwrap();
    assert_eq!(log.commits().await.unwrap().len(), 1, "most of the lease is left");
    clock.advance(TTL * 4 / 5);
    writer.assure().await.unwrap();
    assert_eq!(log.commits().await.unwrap().len(), 2);
    writer.assure().await.unwrap();
    assert_eq!(log.commits().await.unwrap().len(), 2, "it was renewed");
    clock.advance(TTL * 2);
    let heir = log.acquire(run(2), "heir", TTL).await.unwrap();
    assert!(matches!(writer.assure().await, Err(StateError::Fenced { by }) if by == "heir"));
    heir.release().await.unwrap();
    assert!(matches!(writer.assure().await, Err(StateError::Fenced { .. })));
}
