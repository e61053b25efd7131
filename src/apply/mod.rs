//! Runs a plan's steps: journal, call, journal. It decides nothing and never plans again.
//!
//! Before each first call an intent is in the log, after it the id, at the end what was read back. A run that
//! is killed anywhere is taken up by [`recover`] at the start of the next one. Steps run as soon as what they
//! need is done; how many are in flight follows from the pacing alone.

mod change;
mod rebuild;
mod recover;
mod refresh;
mod rollback;
mod run;
mod step;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use rebuild::{By, Found, Leftover, Rebuilt, Search, rebuild};
pub use recover::recover;
pub use refresh::{Unmanaged, observe, observe_new, observe_recorded, observe_unmanaged, wanted_fields};
pub use rollback::{Kept, Rollback};
pub use run::{OnFailure, Report, Skipped, StepFailure, changes_since, check_state, run};

use crate::aws::resource::{Kind, SecretValues};
use crate::aws::{Aws, AwsError, Fence};
use crate::graph::{Address, PhysicalId};
use crate::kind::Scope;
use crate::plan::StepKind;
use crate::state::{Secrets, StateError, Writer};

/// How often a run looks whether its lease has to be renewed, at least; several times in a lease's life.
const LEASE_CHECK: Duration = Duration::from_secs(20);

/// In how many parts of a lease's life that is, at least.
const LEASE_CHECKS: u32 = 6;

/// Asks a run to finish what is in flight and to start nothing more.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Tells whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a run reports while it goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Started {
        step: u32,
        kind: StepKind,
        address: Address,
    },
    Created {
        step: u32,
        address: Address,
        id: PhysicalId,
    },
    Done {
        step: u32,
        kind: StepKind,
        address: Address,
        id: Option<PhysicalId>,
    },
    Failed {
        step: u32,
        address: Address,
        message: String,
    },
    Skipped {
        step: u32,
        address: Address,
    },
    /// What the run made is deleted again from here on.
    RollingBack,
    /// An interrupted create was found again, or not.
    Recovered {
        address: Address,
        id: Option<PhysicalId>,
    },
}

/// Secret values of which the log is told before they are used: it then refuses to hold them.
pub struct Watched<'a> {
    inner: &'a dyn SecretValues,
    known: &'a Secrets,
}

impl<'a> Watched<'a> {
    /// Tells `known` every value that `inner` gives.
    pub fn new(inner: &'a dyn SecretValues, known: &'a Secrets) -> Self {
        Self { inner, known }
    }
}

impl SecretValues for Watched<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.inner.variable(name).inspect(|value| self.known.forbid(value))
    }

    fn file(&self, path: &str) -> Option<String> {
        // A line break at a file's end is no part of the value.
        self.inner.file(path).inspect(|text| self.known.forbid(text.trim_end_matches(['\r', '\n'])))
    }
}

/// All that a run works with.
pub struct Session<'a> {
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub log: &'a Writer,
    pub kinds: &'a (dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    pub secrets: &'a dyn SecretValues,
    pub events: &'a (dyn Fn(Event) + Sync),
    pub stop: Stop,
}

impl Session<'_> {
    fn kind(&self, name: &str) -> Result<&'static dyn Kind, AwsError> {
        (self.kinds)(name).ok_or_else(|| {
            let message = format!("this opora does not know the kind `{name}`");
            AwsError::own("opora:Kind", crate::aws::ErrorClass::Invalid, "UnknownKind", message)
        })
    }

    /// Does work that may wait long, and keeps the lease meanwhile; without the lease no call that writes is sent.
    ///
    /// # Errors
    /// Returns the log's error once the lease is lost: whoever took it over goes on, and this run must not.
    async fn leased<T>(&self, work: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        let _fence = self.aws.fenced(Arc::new(LeaseFence(self.log.clone())));
        let check = LEASE_CHECK.min(self.log.ttl().unwrap_or(LEASE_CHECK) / LEASE_CHECKS);
        let keep = async {
            loop {
                self.aws.sleep_beside(check).await;
                if let Err(error) = self.log.keep_alive().await {
                    return error;
                }
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            lost = keep => Err(lost),
        }
    }

    fn emit(&self, event: Event) {
        (self.events)(event);
    }
}

/// Lets calls that write go out only while this run holds the lease.
struct LeaseFence(Writer);

#[async_trait]
impl Fence for LeaseFence {
    async fn check(&self) -> Result<(), String> {
        self.0.assure().await.map_err(|error| error.to_string())
    }
}

/// Makes the client token of a create: the same for every attempt at one generation of one address.
pub(crate) fn client_token(scope: &Scope, address: &Address, generation: u64) -> String {
    let text = format!("{}\n{}\n{}\n{address}\n{generation}", scope.account, scope.region, scope.environment);
    hex::encode(&Sha256::digest(text)[..16])
}

/// Lifecycle as the state keeps it.
fn lifecycle_value(lifecycle: &crate::spec::Lifecycle) -> Value {
    serde_json::to_value(lifecycle).expect("internal error: a lifecycle is plain JSON")
}
