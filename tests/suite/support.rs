//! An environment in process: a sandbox on its virtual clock, a state in memory, and the engine between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use opora::apply::{Event, OnFailure, Report, Session, Stop, recover};
use opora::aws::resource::SecretValues;
use opora::aws::{Aws, Pacing, Seam, connect, kinds};
use opora::diagnostic::Diagnostic;
use opora::engine::{self, Asked, Observed};
use opora::graph::Address;
use opora::kind::{Holding, KindSchemas};
use opora::plan::{Plan, Selection};
use opora::sandbox::Sandbox;
use opora::spec::{self, Environment, MemoryFiles, NoPredict};
use opora::state::{DeposedRecord, RunId, State, StateLog, memory};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";

/// One environment from nothing.
pub struct World {
    pub sandbox: Sandbox,
    pub aws: Aws,
    pub log: StateLog,
    pub schemas: KindSchemas,
}

/// Secret values that no test prints.
pub struct TestSecrets;

impl SecretValues for TestSecrets {
    fn variable(&self, name: &str) -> Option<String> {
        // The second is the one that the examples take.
        (name.starts_with("OPORA_TEST_") || name == "REGISTRY_TOKEN").then(|| format!("canary-{name}"))
    }

    fn file(&self, _: &str) -> Option<String> {
        Some("canary-file".to_owned())
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let sandbox = Sandbox::in_memory(seed);
        let aws = connect_to(&sandbox);
        let clock = aws.clone();
        let log = StateLog::on(memory(), Arc::new(move || clock.now()));
        Self { sandbox, aws, log, schemas: kinds::schemas() }
    }

    /// Loads a spec; the test fails with its diagnostics where it has errors.
    #[track_caller]
    pub fn load(&self, yaml: &str) -> Environment {
        let path = Path::new("opora.yaml");
        let files = MemoryFiles::default().with(path, yaml.as_bytes());
        let loaded = spec::load(path, &files, &self.schemas, &NoPredict, &BTreeMap::new());
        match loaded.environment {
            Some(environment) => environment,
            None => panic!("the spec has errors: {:#?}\n{yaml}", loaded.diagnostics),
        }
    }

    pub async fn state(&self) -> State {
        self.log.load().await.expect("the state loads")
    }

    pub async fn plan(&self, environment: &Environment, destroy: bool) -> Result<Plan, Vec<Diagnostic>> {
        let state = self.state().await;
        let mut observed = engine::observe_state(&self.aws, Some(environment), &state).await;
        unguard(&mut observed, &state);
        let (schemas, selection) = (&self.schemas, &Selection::default());
        Asked { environment, schemas, state: &state, selection, destroy }.plan_as_read(&observed)
    }

    /// Takes up what is open, plans and applies.
    pub async fn apply(&self, environment: &Environment, destroy: bool) -> Report {
        self.apply_or(environment, destroy, OnFailure::Continue).await
    }

    /// Takes up what is open, plans and applies; a failure stops what `on_failure` says.
    pub async fn apply_or(&self, environment: &Environment, destroy: bool, on_failure: OnFailure) -> Report {
        let ttl = jiff::SignedDuration::from_secs(3_600);
        let writer = self.log.acquire(RunId(uuid::Uuid::new_v4()), "test", ttl).await.expect("the lease is free");
        let events = Mutex::new(Vec::new());
        let emit = |event: Event| events.lock().unwrap().push(event);
        let session = Session {
            aws: &self.aws,
            scope: &environment.scope,
            log: &writer,
            kinds: &kinds::get,
            secrets: &TestSecrets,
            events: &emit,
            stop: Stop::default(),
        };
        let problems = recover(&session, &self.state().await).await.expect("the log works");
        assert_eq!(problems, Vec::new(), "recovery");
        let plan = match self.plan(environment, destroy).await {
            Ok(plan) => plan,
            Err(problems) => panic!("no plan: {problems:#?}"),
        };
        let state = self.state().await;
        let report = engine::apply_plan(&session, &plan, &state, on_failure).await.expect("the log works");
        writer.release().await.expect("the lease is released");
        report
    }

    /// Applies, and fails the test where anything fails.
    pub async fn apply_all(&self, environment: &Environment) {
        let report = self.apply(environment, false).await;
        assert!(report.is_complete(), "apply: {:#?}", report.failed);
    }
}

/// Lets plans destroy what holds data: the tests of the guards look themselves.
pub fn unguard(observed: &mut Observed, state: &State) {
    let current = state.resources.iter().map(|(address, record)| (address.clone(), record.id.clone()));
    let old = |(address, old): (&Address, &Vec<DeposedRecord>)| {
        old.iter().map(|old| (address.clone(), old.id.clone())).collect::<Vec<_>>()
    };
    let all = current.chain(state.deposed.iter().flat_map(old));
    observed.holds.extend(all.map(|key| (key, Holding::Nothing)));
}

/// Connects to a sandbox as somebody who works without opora.
pub fn connect_outsider(sandbox: &Sandbox) -> Aws {
    connect::connect_outsider(seam_to(sandbox), Credentials::from_keys(ACCOUNT, "sandbox", None), REGION)
}

/// Connects to a sandbox as the account's administrator.
pub fn connect_to(sandbox: &Sandbox) -> Aws {
    connect_by(sandbox, sandbox.http_client())
}

/// Connects to a sandbox through an HTTP client that may do things to the calls.
pub fn connect_by(sandbox: &Sandbox, http: SharedHttpClient) -> Aws {
    connect_with(Seam { http, ..seam_to(sandbox) }, ACCOUNT, REGION)
}

/// Connects to a sandbox with an access key; an account's number is its administrator's.
pub fn connect_as(sandbox: &Sandbox, key: &str, region: &str) -> Aws {
    connect_with(seam_to(sandbox), key, region)
}

fn connect_with(seam: Seam, key: &str, region: &str) -> Aws {
    connect::connect_with(seam, Credentials::from_keys(key, "sandbox", None), region, Pacing::new(1.0))
}

/// Returns the seam to a sandbox on its own clock.
pub fn seam_to(sandbox: &Sandbox) -> Seam {
    let clock = sandbox.clock();
    Seam {
        http: sandbox.http_client(),
        time: SharedTimeSource::new(clock.clone()),
        background: clock.background(),
        sleep: SharedAsyncSleep::new(clock),
    }
}
