//! Whole lives of environments, played by seed: what opora does is cut off anywhere, AWS answers late, wrongly or
//! not at all, and shows what it has done only after a while. A plain apply at the end makes it good.
//!
//! `OPORA_SEED=n` plays one seed, `OPORA_SEEDS=n` so many, from `OPORA_SEED_FIRST` on. `OPORA_STRIDE=1` kills the
//! examples at every call.

mod changed_world;
mod examples;
mod lives;
mod mortal;
mod propagation;
mod replaced;
mod rollback;
mod schedules;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use opora::apply::{OnFailure, Report, Session, Stop, check_state, recover};
use opora::aws::resource::SecretValues;
use opora::aws::{Aws, kinds};
use opora::diagnostic::Diagnostic;
use opora::engine::{self, Asked};
use opora::kind::KindSchemas;
use opora::plan::{Action, Plan, Selection};
use opora::sandbox::Sandbox;
use opora::spec::{self, Environment, MemoryFiles, NoPredict};
use opora::state::{RunId, State, StateError, StateLog, Store, Writer, memory};

use mortal::{Fate, MortalHttp, MortalStore};

use crate::support::{TestSecrets, connect_by, unguard};

/// Numbers from a seed, the same everywhere (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws one of `0..below`.
    fn below(&mut self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    /// Is true in `percent` of all draws.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// An account and a state, on which one process after another works.
struct Life {
    sandbox: Sandbox,
    store: Arc<dyn Store>,
    on_failure: OnFailure,
}

/// The schemas of all kinds, made once for all lives.
static SCHEMAS: LazyLock<KindSchemas> = LazyLock::new(kinds::schemas);

/// The module of the audit trail, without the protection of what it makes: a life ends.
static UNPROTECTED: LazyLock<String> = LazyLock::new(lives::module);

/// How a process ended.
#[derive(Debug)]
enum End {
    Killed,
    /// It refused to go on, or the log failed.
    Refused(#[expect(dead_code, reason = "shown when a test fails")] Vec<Diagnostic>),
    Ran(Report),
}

impl Life {
    fn new(seed: u64) -> Self {
        Self::on(Sandbox::in_memory(seed))
    }

    /// Begins in an account that may hold something.
    fn on(sandbox: Sandbox) -> Self {
        Self { sandbox, store: memory(), on_failure: OnFailure::Continue }
    }

    /// Copies account and state as they are; from here on each goes its own way.
    async fn fork(&self) -> Self {
        let other = Self { on_failure: self.on_failure, ..Self::on(self.sandbox.fork()) };
        let copy = self.log(&Fate::long_life()).copy().await.expect("the state can be read");
        other.log(&Fate::long_life()).restore(&copy, false).await.expect("the state can be written");
        other
    }

    #[track_caller]
    fn load(&self, yaml: &str) -> Environment {
        let path = std::path::Path::new("opora.yaml");
        let files = MemoryFiles::default().with(path, yaml.as_bytes());
        let files = files.with(lives::MODULE, UNPROTECTED.as_bytes());
        let loaded = spec::load(path, &files, &SCHEMAS, &NoPredict, &BTreeMap::new());
        loaded.environment.unwrap_or_else(|| panic!("the spec has errors: {:#?}\n{yaml}", loaded.diagnostics))
    }

    fn log(&self, fate: &Arc<Fate>) -> StateLog {
        let store = MortalStore { inner: Arc::clone(&self.store), fate: Arc::clone(fate) };
        let clock = self.sandbox.clock();
        let now = move || {
            jiff::Timestamp::from_millisecond((clock.seconds() * 1_000.0) as i64).expect("the clock shows a time")
        };
        StateLog::on(Arc::new(store), Arc::new(now))
    }

    /// Runs one process: takes the lease, takes up what is open, plans and applies.
    async fn process(&self, fate: &Arc<Fate>, environment: &Environment, destroy: bool) -> End {
        tokio::select! {
            biased;
            () = fate.end() => {
                // Its lease lapses.
                self.sandbox.clock().advance(2.0);
                End::Killed
            }
            end = self.run(fate, environment, destroy) => end.unwrap_or_else(|error| End::Refused(vec![error.into_diagnostic()])),
        }
    }

    async fn run(&self, fate: &Arc<Fate>, environment: &Environment, destroy: bool) -> Result<End, StateError> {
        let http = MortalHttp { inner: self.sandbox.http_client(), fate: Arc::clone(fate) };
        let aws = connect_by(&self.sandbox, SharedHttpClient::new(http));
        let log = self.log(fate);
        let writer = self.lease(&log).await?;
        let session = self.session(&aws, environment, &writer);
        let problems = recover(&session, &writer.state().await?).await?;
        if !problems.is_empty() {
            writer.release().await?;
            return Ok(End::Refused(problems));
        }
        let state = writer.state().await?;
        let end = match self.plan(&aws, environment, &state, destroy).await {
            Ok(plan) => {
                assert_eq!(check_state(&plan, &state), Vec::new(), "nobody else works on this state");
                End::Ran(engine::apply_plan(&session, &plan, &state, self.on_failure).await?)
            }
            Err(problems) => End::Refused(problems),
        };
        writer.release().await?;
        Ok(end)
    }

    async fn lease(&self, log: &StateLog) -> Result<Writer, StateError> {
        log.acquire(RunId(uuid::Uuid::new_v4()), "test", jiff::SignedDuration::from_secs(1)).await
    }

    fn session<'a>(&self, aws: &'a Aws, environment: &'a Environment, log: &'a Writer) -> Session<'a> {
        let scope = &environment.scope;
        let secrets: &dyn SecretValues = &TestSecrets;
        Session { aws, scope, log, kinds: &kinds::get, secrets, events: &|_| {}, stop: Stop::default() }
    }

    async fn plan(
        &self,
        aws: &Aws,
        environment: &Environment,
        state: &State,
        destroy: bool,
    ) -> Result<Plan, Vec<Diagnostic>> {
        let mut observed = engine::observe_state(aws, Some(environment), state).await;
        unguard(&mut observed, state);
        let (schemas, selection) = (&SCHEMAS, &Selection::default());
        Asked { environment, schemas, state, selection, destroy }.plan_as_read(&observed)
    }

    /// A plain run, which has to succeed and to leave nothing to do.
    async fn converge(&self, environment: &Environment, destroy: bool) -> u64 {
        let fate = Fate::long_life();
        match self.process(&fate, environment, destroy).await {
            End::Ran(report) => {
                assert!(report.is_complete(), "the plain run: {:#?} {:#?}", report.failed, report.skipped);
            }
            other => panic!("the plain run: {other:#?}"),
        }
        let calls = fate.calls();
        let aws = connect_by(&self.sandbox, self.sandbox.http_client());
        let state = self.log(&fate).load().await.expect("the state loads");
        assert!(state.intents.is_empty(), "open intents: {:#?}", state.intents);
        assert!(state.deposed.is_empty(), "left over: {:#?}", state.deposed);
        if destroy {
            assert!(state.resources.is_empty(), "still recorded: {:#?}", state.resources.keys());
        }
        let plan = self.plan(&aws, environment, &state, destroy).await.expect("a plan after the plain run");
        let changes: Vec<_> = plan.changes.iter().filter(|change| change.action != Action::NoOp).collect();
        assert!(changes.is_empty(), "the plan after the plain run is not empty: {changes:#?}");
        calls
    }

    /// Counts what the account holds, kind by kind of the simulated AWS: no orphan and no duplicate escapes it.
    fn inventory(&self) -> BTreeMap<String, u64> {
        // AWS shows some things for an hour after their end.
        let later = self.sandbox.fork();
        later.clock().advance(7_200.0);
        let status = later.status();
        let counts = status["resources"].as_object().expect("resources by collection");
        // What services write by themselves depends on how many calls there were.
        let by_calls =
            |name: &str| ["streams", "events", "objects", "invocations"].iter().any(|end| name.ends_with(end));
        let kept = counts.iter().filter(|(name, count)| !by_calls(name) && count.as_u64() != Some(0));
        kept.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default())).collect()
    }
}

/// Runs tests on all cores, each on a runtime of its own; fails with all that failed.
fn on_all_cores(names: Vec<String>, test: impl Fn(&str) + Sync) -> Vec<String> {
    let next = Mutex::new(names.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(name) = next.lock().unwrap().next() else { return };
                    let run = std::panic::AssertUnwindSafe(|| test(&name));
                    if let Err(panic) = std::panic::catch_unwind(run) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failed.lock().unwrap().push(format!("{name}: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Reads a number from the environment.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}
