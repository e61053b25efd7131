//! A process that dies at a chosen API call: the HTTP client and the state's store that it lives with.
//!
//! Dying means that nothing it asks for is answered any more; whoever runs it drops it. What the call had done by
//! then stays done.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use opora::state::{Creation, StateError, Store};
use tokio::sync::Notify;

/// When around its call a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the request leaves.
    Unsent,
    /// After AWS has done it, before the reply arrives.
    Unanswered,
    /// After the reply, before anything about it is journaled.
    Unjournaled,
}

pub(super) const MOMENTS: [Moment; 3] = [Moment::Unsent, Moment::Unanswered, Moment::Unjournaled];

/// What becomes of one process.
#[derive(Debug)]
pub(super) struct Fate {
    /// The call at which it dies, from 1; 0 for a long life.
    at: u64,
    moment: Moment,
    calls: AtomicU64,
    /// It has had its last reply and dies with the next thing it asks for.
    doomed: AtomicBool,
    dead: AtomicBool,
    killed: Notify,
}

impl Fate {
    pub(super) fn new(at: u64, moment: Moment) -> Arc<Self> {
        Arc::new(Self {
            at,
            moment,
            calls: AtomicU64::new(0),
            doomed: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            killed: Notify::new(),
        })
    }

    pub(super) fn long_life() -> Arc<Self> {
        Self::new(0, Moment::Unsent)
    }

    /// Returns how many calls it made.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until it is dead.
    pub(super) async fn end(&self) {
        self.killed.notified().await;
    }

    async fn die<T>(&self) -> T {
        self.dead.store(true, Ordering::SeqCst);
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn live(&self) {
        if self.doomed.load(Ordering::SeqCst) || self.dead.load(Ordering::SeqCst) {
            self.die().await
        }
    }
}

/// An HTTP client of a mortal process.
pub(super) struct MortalHttp {
    pub inner: SharedHttpClient,
    pub fate: Arc<Fate>,
}

impl fmt::Debug for MortalHttp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MortalHttp")
    }
}

impl HttpClient for MortalHttp {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(MortalConnector { inner, fate: Arc::clone(&self.fate) })
    }
}

struct MortalConnector {
    inner: SharedHttpConnector,
    fate: Arc<Fate>,
}

impl fmt::Debug for MortalConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MortalConnector")
    }
}

impl HttpConnector for MortalConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, fate) = (self.inner.clone(), Arc::clone(&self.fate));
        HttpConnectorFuture::new(async move {
            fate.live().await;
            let last = fate.calls.fetch_add(1, Ordering::SeqCst) + 1 == fate.at;
            if last && fate.moment == Moment::Unsent {
                fate.die::<()>().await;
            }
            let reply = inner.call(request).await;
            if last && fate.moment == Moment::Unanswered {
                fate.die::<()>().await;
            }
            if last {
                fate.doomed.store(true, Ordering::SeqCst);
            }
            reply
        })
    }
}

/// The state's store as a mortal process sees it.
#[derive(Debug)]
pub(super) struct MortalStore {
    pub inner: Arc<dyn Store>,
    pub fate: Arc<Fate>,
}

#[async_trait]
impl Store for MortalStore {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        self.fate.live().await;
        self.inner.create(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        self.fate.live().await;
        self.inner.get(path).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        self.fate.live().await;
        self.inner.list(folder, after).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        self.fate.live().await;
        self.inner.delete(path).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
