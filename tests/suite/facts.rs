//! Errors as facts: each is told by its own code, leaves a state that is true, and is never taken for "not there".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use bytes::Bytes;
use futures::future::BoxFuture;
use insta::assert_snapshot;
use opora::apply::{OnFailure, Report, Session, Stop, Watched};
use opora::aws::{Aws, Pacing, Seam, connect, kinds};
use opora::diagnostic::Diagnostic;
use opora::engine::{self, Asked};
use opora::sandbox::{Clock, Conditions, FaultKind, Sandbox};
use opora::spec::Environment;
use opora::state::{Creation, RunId, StateError, StateLog, Store, memory};

use crate::support::{ACCOUNT, REGION, TestSecrets, World, connect_to};
use crate::weather::{Fate, ec2_error, fault, json_error, unreachable};

const SPEC: &str = r#"
opora: 1
environment: facts
account: "123456789012"
region: us-east-1
resources:
  kms_key: { data: { alias: alias/data, rotation: {} } }
  vpc: { main: { cidr: 10.0.0.0/16 } }
  subnet: { a: { vpc: $(vpc.main.id), zone: us-east-1a, cidr: 10.0.0.0/24 } }
  security_group: { nodes: { vpc: $(vpc.main.id), description: Nodes } }
"#;

/// Writes a diagnostic with its parts on lines of their own; ids are named.
fn text(diagnostic: &Diagnostic) -> String {
    let ids =
        regex::Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(vpc|subnet|sg)-[0-9a-f]{17}");
    let (detail, help) = (diagnostic.detail.clone().unwrap_or_default(), diagnostic.help.clone().unwrap_or_default());
    let text = format!("{}: {}\n{detail}\nhelp: {help}", diagnostic.code, diagnostic.summary);
    ids.unwrap().replace_all(&text, "[id]").into_owned()
}

fn first_failure(report: &Report) -> String {
    text(&report.failed[0].error.diagnostic())
}

/// A plain apply by somebody whom nothing hinders makes it good: no duplicate, no orphan, nothing left to do.
async fn converge(world: World, environment: &Environment) {
    assert_eq!(world.log.verify().await.unwrap(), [], "the state is whole");
    world.sandbox.set_conditions(Conditions::default());
    let calm = World { aws: connect_to(&world.sandbox), ..world };
    calm.apply_all(environment).await;
    assert!(calm.plan(environment, false).await.unwrap().is_empty());
    calm.assert_no_orphan("facts").await;
    let vpcs = calm.aws.ec2().describe_vpcs().send().await.unwrap().vpcs.unwrap_or_default();
    assert_eq!(vpcs.iter().filter(|vpc| vpc.is_default != Some(true)).count(), 1);
    assert_eq!(calm.aws.kms().list_keys().send().await.unwrap().keys.unwrap_or_default().len(), 1);
    assert_eq!(calm.log.verify().await.unwrap(), []);
}

fn always(fate: impl Fn() -> Fate + Send + Sync + 'static, operations: &'static [&'static str]) -> Box<Rule> {
    Box::new(move |_, operation| {
        let struck = operations.contains(&operation).then(&fate);
        Box::pin(async move { struck.flatten() })
    })
}

type Rule = dyn Fn(&Sandbox, &str) -> BoxFuture<'static, Fate> + Send + Sync;

/// From a call of this operation on, all calls meet this fate.
fn from_then_on(fate: impl Fn() -> Fate + Send + Sync + 'static, first: &'static str) -> Box<Rule> {
    let struck = AtomicBool::new(false);
    Box::new(move |_, operation| {
        let strikes = struck.fetch_or(operation == first, Ordering::SeqCst) || operation == first;
        let fate = strikes.then(&fate);
        Box::pin(async move { fate.flatten() })
    })
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_of_a_run() {
    let world = World::new(1);
    let session = world.aws.sts().get_session_token().duration_seconds(900).send().await.unwrap().credentials.unwrap();
    let sandbox = world.sandbox.clone();
    let http = crate::weather::under(&world.sandbox, move |operation| {
        if operation == "CreateSubnet" {
            sandbox.clock().advance(1_000.0);
        }
        Box::pin(async { None })
    });
    let keys =
        Credentials::new(session.access_key_id, session.secret_access_key, Some(session.session_token), None, "test");
    let aws = connect::connect_with(seam(&world.sandbox, http, 0), keys, REGION, Pacing::new(1.0));
    let world = World { aws, ..world };
    let environment = world.load(SPEC);
    let report = world.apply(&environment, false).await;
    assert!(report.failed.iter().all(|one| one.error.diagnostic().code == "AWS005"), "{report:#?}");
    let subnet = report.failed.iter().find(|one| one.address.kind == "subnet").unwrap();
    assert_snapshot!(text(&subnet.error.diagnostic()), @"
    AWS005: the credentials are missing, expired or not valid
    ec2:CreateSubnet answered RequestExpired: The security token included in the request is expired
    request id [id]
    help: sign in again (for example `aws sso login`) and repeat the command
    ");
    // What can't be asked for any more is not gone.
    let problems = world.plan(&environment, false).await.unwrap_err();
    assert!(problems.iter().all(|problem| problem.code == "PLAN004"), "{problems:#?}");
    converge(world, &environment).await;
}

#[tokio::test]
async fn access_denied_to_a_write_and_to_a_read() {
    let world = World::new(1);
    let environment = world.load(SPEC);
    let faults = vec![fault("CreateSubnet", FaultKind::Denied)];
    world.sandbox.set_conditions(Conditions { faults, ..Conditions::default() });
    assert_snapshot!(first_failure(&world.apply(&environment, false).await), @"
    AWS004: access denied
    ec2:CreateSubnet answered UnauthorizedOperation: User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform: ec2:CreateSubnet
    request id [id]
    help: grant the action to the caller; `opora plan --json` lists what the plan needs
    ");
    let before = world.state().await;
    for operation in ["DescribeKey", "DescribeVpcs", "DescribeSecurityGroups"] {
        let faults = vec![fault(operation, FaultKind::Denied)];
        world.sandbox.set_conditions(Conditions { faults, ..Conditions::default() });
        let problems = world.plan(&environment, false).await.unwrap_err();
        assert!(problems.iter().all(|problem| problem.code == "PLAN004"), "{operation}: {problems:#?}");
    }
    assert_eq!(world.state().await, before, "a plan that can't look writes nothing");
    converge(world, &environment).await;
}

#[tokio::test]
async fn a_region_that_is_not_offered_or_not_enabled() {
    let told = [
        (
            ec2_error as fn(u16, &str, &str) -> Fate,
            "OptInRequired",
            "You are not authorized to use the requested service.",
        ),
        (ec2_error, "AuthFailure", "AWS was not able to validate the provided access credentials"),
    ];
    let mut texts = Vec::new();
    for (make, code, message) in told {
        let world = World::under(1, always(move || make(401, code, message), &["CreateSubnet"]));
        let environment = world.load(SPEC);
        texts.push(first_failure(&world.apply(&environment, false).await));
        converge(world, &environment).await;
    }
    let rule = always(
        || unreachable("dns error: failed to lookup address information: Name or service not known"),
        &["CreateKey"],
    );
    let world = World::under(1, rule);
    let environment = world.load(SPEC);
    texts.push(first_failure(&world.apply(&environment, false).await));
    converge(world, &environment).await;
    assert_snapshot!(texts.join("\n\n"), @"
    AWS012: not offered here
    ec2:CreateSubnet answered OptInRequired: You are not authorized to use the requested service.
    help: check that the region offers the service and the operation

    AWS005: the credentials are missing, expired or not valid
    ec2:CreateSubnet answered AuthFailure: AWS was not able to validate the provided access credentials
    help: sign in again (for example `aws sso login`) and repeat the command

    AWS019: the service's address is not known
    kms:CreateKey got no answer: dispatch failure: io error: client error (Connect): dns error: failed to lookup address information: Name or service not known
    help: check `region:` in the spec, that the region has the service, and this machine's DNS
    ");
}

/// A region that is not enabled answers like one that is given a false key: who is accepted at home tells them apart.
#[tokio::test]
async fn a_disabled_region_is_told_from_a_false_key() {
    for (key, accepted) in [(ACCOUNT, true), ("ASIAXXXXXXXXXXXXXXXX", false)] {
        let sandbox = Sandbox::in_memory(1);
        let aws = connect::connect_with(
            seam(&sandbox, sandbox.http_client(), 0),
            Credentials::from_keys(key, "secret", None),
            "me-south-1",
            Pacing::new(1.0),
        );
        assert_eq!(connect::is_accepted_at_home(&aws).await, accepted, "{key}");
    }
    let sandbox = Sandbox::in_memory(1);
    assert!(!connect::is_accepted_at_home(&connect_to(&sandbox)).await, "at home there is no other region to ask");
    assert_eq!(sandbox.call_count(), 0);
}

#[tokio::test]
async fn a_quota_that_is_reached() {
    let world = World::new(1);
    let environment = world.load(SPEC);
    let quotas = [("vpcs".to_owned(), 1)].into();
    world.sandbox.set_conditions(Conditions { quotas, ..Conditions::default() });
    let report = world.apply(&environment, false).await;
    assert_snapshot!(first_failure(&report), @"
    AWS007: a quota of the account is reached
    ec2:CreateVpc answered VpcLimitExceeded: The maximum number of VPCs has been reached.
    request id [id]
    help: ask for a higher quota in Service Quotas, or delete what is not needed
    ");
    assert_eq!(report.skipped.len(), 2);
    converge(world, &environment).await;
}

#[tokio::test]
async fn an_endpoint_that_can_not_be_reached_while_planning_and_while_applying() {
    let refused = || unreachable("tcp connect error: Connection refused (os error 111)");
    for first in ["CreateVpc", "CreateSubnet", "CreateKey", "EnableKeyRotation"] {
        let world = World::under(1, from_then_on(refused, first));
        let environment = world.load(SPEC);
        let report = world.apply(&environment, false).await;
        assert!(!report.failed.is_empty());
        assert!(report.failed.iter().all(|one| one.error.diagnostic().code == "AWS014"), "{first}: {report:#?}");
        if first == "CreateSubnet" {
            let subnet = report.failed.iter().find(|one| one.address.kind == "subnet").unwrap();
            assert_snapshot!(text(&subnet.error.diagnostic()), @"
            AWS014: the service could not be reached
            ec2:DescribeSubnets got no answer: dispatch failure: io error: client error (Connect): tcp connect error: Connection refused (os error 111)
            it may have had its effect; the next apply looks before it repeats it
            help: check the network, the endpoint and the region
            ");
        }
        let before = world.state().await;
        // The connection stays down: nothing that is recorded is taken for gone.
        match world.plan(&environment, false).await {
            Ok(plan) => assert!(before.resources.is_empty(), "{first}: {plan:#?}"),
            Err(problems) => assert!(problems.iter().all(|one| one.code == "PLAN004"), "{first}: {problems:#?}"),
        }
        assert_eq!(world.state().await, before);
        converge(world, &environment).await;
    }
}

/// A clock beside the sandbox's, off by some seconds.
#[derive(Debug)]
struct OffClock(Clock, i64);

impl TimeSource for OffClock {
    fn now(&self) -> SystemTime {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(self.0.seconds());
        let by = Duration::from_secs(self.1.unsigned_abs());
        if self.1 < 0 { now - by } else { now + by }
    }
}

fn seam(sandbox: &Sandbox, http: aws_smithy_runtime_api::client::http::SharedHttpClient, off: i64) -> Seam {
    let clock = sandbox.clock();
    Seam {
        http,
        time: SharedTimeSource::new(OffClock(clock.clone(), off)),
        background: clock.background(),
        sleep: SharedAsyncSleep::new(clock),
    }
}

/// Connects with a key whose signatures are verified, by a clock that is off.
async fn signed(world: &World, http: aws_smithy_runtime_api::client::http::SharedHttpClient, off: i64) -> Aws {
    let iam = world.aws.iam();
    iam.create_user().user_name("deployer").send().await.unwrap();
    let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let call = iam.put_user_policy().user_name("deployer").policy_name("all").policy_document(all);
    call.send().await.unwrap();
    let key = iam.create_access_key().user_name("deployer").send().await.unwrap().access_key.unwrap();
    world.sandbox.set_conditions(Conditions { enforce_iam: true, ..Conditions::default() });
    let keys = Credentials::from_keys(key.access_key_id, key.secret_access_key, None);
    connect::connect_with(seam(&world.sandbox, http, off), keys, REGION, Pacing::new(1.0))
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_the_answers_dates() {
    for off in [-7_200, 7_200] {
        let world = World::new(1);
        let aws = signed(&world, world.sandbox.http_client(), off).await;
        let world = World { aws, ..world };
        let environment = world.load(SPEC);
        world.apply_all(&environment).await;
        assert!(world.plan(&environment, false).await.unwrap().is_empty());
        converge(world, &environment).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_off_and_can_not_be_corrected() {
    let world = World::new(1);
    let late = "Signature expired: 20260105T070000Z is now earlier than 20260105T085500Z (20260105T090000Z - 5 min.)";
    let rule = always(move || json_error("InvalidSignatureException", late), &["CreateKey"]);
    let sandbox = world.sandbox.clone();
    let http = crate::weather::under(&world.sandbox, move |operation| rule(&sandbox, operation));
    let world = World { aws: signed(&world, http, 0).await, ..world };
    let environment = world.load(SPEC);
    assert_snapshot!(first_failure(&world.apply(&environment, false).await), @"
    AWS015: this machine's clock is wrong
    kms:CreateKey answered InvalidSignatureException: Signature expired: 20260105T070000Z is now earlier than 20260105T085500Z (20260105T090000Z - 5 min.)
    help: set the clock (AWS allows a difference of five minutes)
    ");
    converge(world, &environment).await;
}

/// A store that takes no more from its nth object on.
#[derive(Debug)]
struct Full {
    inner: Arc<dyn Store>,
    left: AtomicU64,
    error: fn() -> StateError,
}

#[async_trait]
impl Store for Full {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err((self.error)());
        }
        self.inner.create(path, bytes).await
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
        ".opora/state".to_owned()
    }
}

fn io(code: i32) -> std::sync::Arc<std::io::Error> {
    Arc::new(std::io::Error::from_raw_os_error(code))
}

const STORE_ERRORS: [fn() -> StateError; 4] = [
    || StateError::DiskFull { location: ".opora/state".to_owned(), source: io(28) },
    || StateError::ReadOnly { location: ".opora/state".to_owned(), source: io(30) },
    || StateError::Permission { location: ".opora/state".to_owned(), source: io(13) },
    || StateError::BucketNotFound { location: "s3://acme-state".to_owned(), source: io(2) },
];

/// The state can't be written from the nth object on: the run ends there, and a later one makes it good.
#[tokio::test]
async fn a_state_that_takes_no_more() {
    let mut texts = Vec::new();
    for (nth, error) in STORE_ERRORS.into_iter().enumerate() {
        for left in 0.. {
            let world = World::new(1);
            let environment = world.load(SPEC);
            let store = memory();
            let open = |store: Arc<dyn Store>| {
                let clock = world.aws.clone();
                StateLog::on(store, Arc::new(move || clock.now()))
            };
            let full = Full { inner: Arc::clone(&store), left: AtomicU64::new(left), error };
            let ended = run(&world, &open(Arc::new(full)), &environment).await;
            let Err(error) = ended else {
                // A run writes at least its lease, and before and after each step.
                assert!(left > 8, "{left} objects were all");
                break;
            };
            let error = error.into_diagnostic();
            if left == 3 {
                texts.push(text(&error));
            }
            assert_eq!(error.code, ["STATE005", "STATE006", "STATE007", "STATE008"][nth], "after {left}");
            // The lease that could not be given back lapses.
            world.sandbox.clock().advance(10.0);
            let log = open(store);
            assert_eq!(log.verify().await.unwrap(), [], "after {left}");
            converge(World { log, ..world }, &environment).await;
        }
    }
    assert_snapshot!(texts.join("\n\n"), @"
    STATE005: no space left for the state
    no space left for .opora/state: No space left on device (os error 28)
    help: free some space and run the same command again

    STATE006: the state's folder is read-only
    .opora/state is read-only: Read-only file system (os error 30)
    help: make the folder writable, or name another one in the spec's `state:`

    STATE007: access to the state is denied
    access to .opora/state is denied: Permission denied (os error 13)
    help: grant read, write and list access to the state's location

    STATE008: the state's bucket does not exist
    the bucket of s3://acme-state does not exist: No such file or directory (os error 2)
    help: create the bucket, or correct the spec's `state:`
    ");
}

async fn run(world: &World, log: &StateLog, environment: &Environment) -> Result<Report, StateError> {
    let ttl = jiff::SignedDuration::from_secs(5);
    let writer = log.acquire(RunId(uuid::Uuid::new_v4()), "test", ttl).await?;
    let session = Session {
        aws: &world.aws,
        scope: &environment.scope,
        log: &writer,
        kinds: &kinds::get,
        secrets: &Watched::new(&TestSecrets, writer.secrets()),
        events: &|_| {},
        stop: Stop::default(),
    };
    let state = log.load().await?;
    let observed = engine::observe_state(&world.aws, Some(environment), &state).await;
    let (schemas, selection) = (&world.schemas, &Default::default());
    let plan =
        Asked { environment, schemas, state: &state, selection, destroy: false }.plan_as_read(&observed).unwrap();
    let report = engine::apply_plan(&session, &plan, &state, OnFailure::Continue).await?;
    writer.release().await?;
    Ok(report)
}

/// A service that repeats what it was sent: the value is taken out before anybody sees or records it.
#[tokio::test]
async fn a_message_that_carries_a_secret_is_shown_and_recorded_without_it() {
    let rule = always(|| json_error("InvalidParameterException", "no: canary-OPORA_TEST_TOKEN"), &["CreateSecret"]);
    let world = World::under(1, rule);
    let environment = world.load(
        r#"
opora: 1
environment: facts
account: "123456789012"
region: us-east-1
resources:
  secretsmanager_secret: { token: { value: { from_env: OPORA_TEST_TOKEN } } }
"#,
    );
    let report = run(&world, &world.log, &environment).await.expect("the log takes it");
    assert_eq!(report.failed[0].error.message, "no: (a secret value)");
    let written = format!("{:?} {report:?}", world.log.commits().await.unwrap());
    assert!(written.contains("(a secret value)") && !written.contains("canary"), "{written}");
}
