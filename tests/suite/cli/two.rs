//! Two runs on one state: one goes on, the other is told who holds it; a stopped one is taken over and fenced off.

use std::process::{Child, Stdio};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use opora::aws::connect::live_seam;
use opora::state::{Holder, RunId, S3Access, StateLog};

use super::interrupt::signal;
use super::terminal::{Ended, Server, Terminal};

const SPEC: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
state: STATE
resources:
  vpc:
    main: { cidr: 10.40.0.0/16 }
  subnet:
    a: { vpc: $(vpc.main.id), cidr: 10.40.0.0/20, zone: us-east-1a }
  nat_gateway:
    out: { subnet: $(subnet.a.id), connectivity: private }
  kms_key:
    last: { description: "Beside $(nat_gateway.out.id)" }
"#;

const BUCKET: &str = r#"opora: 1
environment: states
account: "123456789012"
region: us-east-1
resources:
  s3_bucket:
    states: { name: acme-states, versioning: true }
"#;

fn start(terminal: &Terminal) -> Child {
    terminal.command(&["apply", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended::new(output.status.code(), &output.stdout, &output.stderr)
}

/// Returns how many calls so far changed something; the state's own objects are not counted.
pub(super) fn writes(server: &Server) -> usize {
    let calls = server.admin("calls", None);
    let reads = ["Describe", "Get", "Head", "List", "Lookup"];
    let changes = |name: &str| name != "PutObject" && !reads.iter().any(|verb| name.starts_with(verb));
    calls["calls"].as_array().unwrap().iter().filter(|call| changes(call["operation"].as_str().unwrap())).count()
}

fn stopped_past_its_lease(state: &str) {
    let server = Server::start(&["--speed", "60"]);
    let states = Terminal::with(BUCKET).signed_in("123456789012", &server);
    let made = states.run("apply --yes --quiet");
    assert_eq!(made.code, Some(0), "{made}");
    let spec = SPEC.replace("STATE", state);
    let terminal = Terminal::with(&spec).signed_in("123456789012", &server).set("OPORA_LEASE_SECONDS", "2");
    let first = start(&terminal);
    server.wait_for("CreateSubnet");
    signal(&first, "STOP");
    let before = writes(&server);
    let refused = terminal.run("apply --yes --quiet");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.err.starts_with("error[STATE001]: another run holds the state\n"), "{refused}");
    let told: Vec<String> = format!("{refused}").split_whitespace().map(str::to_owned).collect();
    let told = told.join(" ").replace("! ", "");
    let text = "(process [n]) holds it since [time]; its lease ends at [time] unless it is renewed";
    assert!(told.contains(text), "{told}");
    assert_eq!(writes(&server), before, "who is refused changes nothing");
    // Only the end of the lease lets the second one in: the first lives, so that it is never taken for dead.
    let second = loop {
        let ended = terminal.run("apply --yes --quiet");
        if !ended.err.contains("STATE001") {
            break ended;
        }
    };
    assert_eq!(second.code, Some(0), "{second}");
    let done = writes(&server);
    signal(&first, "CONT");
    let ended = end(first);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("error[STATE002]: this run lost its lease on the state"), "{ended}");
    assert_eq!(writes(&server), done, "the late one changes nothing");
    assert_eq!(terminal.run("plan --quiet").code, Some(0));
    let verified = terminal.run("state verify");
    assert_eq!(verified.code, Some(0), "{verified}");
}

#[test]
#[cfg(unix)]
fn a_run_stopped_past_its_lease_is_fenced_off_on_a_local_disk() {
    stopped_past_its_lease(".opora/state");
}

#[test]
#[cfg(unix)]
fn a_run_stopped_past_its_lease_is_fenced_off_on_s3() {
    stopped_past_its_lease("s3://acme-states/research");
}

/// Seconds that the lease of a holder on another machine lasts.
const ELSEWHERE_S: i64 = 3;

/// A holder of whom nobody here can tell whether it lives takes the lease, and dies.
async fn die_elsewhere(log: &StateLog) -> jiff::Timestamp {
    let holder =
        Holder { name: "ana@elsewhere (process 1)", process: Some("linux another-boot"), has_ended: &|_| false };
    let lease = jiff::SignedDuration::from_secs(ELSEWHERE_S);
    let writer = log.acquire_as(RunId(uuid::Uuid::from_u128(1)), holder, lease).await.unwrap();
    let until = writer.state().await.unwrap().lease.unwrap().until;
    drop(writer);
    until
}

fn died_on_another_machine(state: &str) {
    let server = Server::start(&["--speed", "60"]);
    let states = Terminal::with(BUCKET).signed_in("123456789012", &server);
    let made = states.run("apply --yes --quiet");
    assert_eq!(made.code, Some(0), "{made}");
    let terminal = Terminal::with(&SPEC.replace("STATE", state)).signed_in("123456789012", &server);
    let access = S3Access {
        http: live_seam().http,
        credentials: SharedCredentialsProvider::new(Credentials::from_keys("123456789012", "any", None)),
        region: "us-east-1".to_owned(),
        endpoint: Some(server.url.clone()),
    };
    let location = if state.contains("://") { state.to_owned() } else { terminal.path(state).display().to_string() };
    let log = StateLog::open(&location, Some(access), Arc::new(jiff::Timestamp::now)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (before, until) = (writes(&server), runtime.block_on(die_elsewhere(&log)));
    let mut refusals = 0;
    let heir = loop {
        let ended = terminal.run("apply --yes --quiet");
        if ended.code == Some(0) {
            break ended;
        }
        assert!(ended.err.starts_with("error[STATE001]: another run holds the state\n"), "{ended}");
        assert!(ended.err.contains("ana@elsewhere (process 1) holds it since "), "{ended}");
        assert_eq!(writes(&server), before, "who is refused changes nothing");
        refusals += 1;
    };
    assert!(refusals > 0, "the lease is respected while it lasts: {heir}");
    let taken = runtime.block_on(log.history()).unwrap();
    assert!(taken.last().unwrap().started >= until, "nobody goes on before the lease ends");
    assert_eq!(terminal.run("plan --quiet").code, Some(0));
    assert_eq!(terminal.run("state verify").code, Some(0));
}

#[test]
fn a_holder_that_died_on_another_machine_is_waited_for_on_a_local_disk() {
    died_on_another_machine(".opora/state");
}

#[test]
fn a_holder_that_died_on_another_machine_is_waited_for_on_s3() {
    died_on_another_machine("s3://acme-states/research");
}
