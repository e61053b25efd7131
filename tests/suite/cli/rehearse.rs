//! `opora rehearse` as a process: against the sandbox's folder, and against an account on a socket.

use super::terminal::{SPEC, Server, Terminal};

const ACCOUNT: &str = "123456789012";

/// Names of calls that change something.
fn writes(server: &Server) -> Vec<String> {
    let calls = server.admin("calls", None);
    let changed = calls["calls"].as_array().unwrap().iter().filter(|call| {
        let verb = call["operation"].as_str().unwrap();
        let reads = ["Describe", "Get", "Head", "List", "Simulate"].iter().any(|read| verb.starts_with(read));
        !reads || call["touched"].as_array().is_some_and(|touched| !touched.is_empty())
    });
    changed.map(|call| call["operation"].to_string()).collect()
}

#[test]
fn nothing_would_fail_and_nothing_is_written() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    let ended = terminal.run("rehearse");
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.out.contains("Nothing would fail; 0 resources of the account copied, 3 steps tried"), "{ended}");
    assert!(ended.out.contains("Nothing was written."), "{ended}");
    assert!(!ended.out.contains("unknown"), "{ended}");
    assert_eq!(writes(&server), Vec::<String>::new());
    assert!(!terminal.path(".opora/state").exists(), "no state is written");
}

#[test]
fn what_would_fail_has_its_place_in_the_spec() {
    let server = Server::start(&[]);
    let theirs = SPEC.replace("environment: research", "environment: theirs");
    let other = Terminal::with(&theirs).signed_in(ACCOUNT, &server);
    assert_eq!(other.run("apply --yes").code, Some(0));
    let before = writes(&server).len();
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    let ended = terminal.run("rehearse --quota vpcs=2");
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("error[REHEARSE001]: the apply would reach a quota"), "{ended}");
    assert!(ended.err.contains("opora.yaml:9:5"), "{ended}");
    assert!(ended.err.contains("ec2:CreateVpc would answer VpcLimitExceeded"), "{ended}");
    assert!(ended.err.contains("kms:CreateAlias would answer AlreadyExistsException"), "{ended}");
    assert!(ended.out.contains("2 things would fail; 3 resources of the account copied, 0 steps tried"), "{ended}");
    let json = terminal.run("rehearse --quota vpcs=2 --json").json();
    let alias = &json["diagnostics"][0]["labels"][0];
    assert_eq!(
        (&alias["address"], &alias["path"], &alias["line"]),
        (&"kms_key.data".into(), &"alias".into(), &7.into())
    );
    assert_eq!(json["skipped"][0]["because"], "vpc.main");
    assert_eq!(json["quotas"]["given"]["vpcs"], 2);
    assert_eq!(writes(&server).len(), before, "only reads");
    // The apply meets just that.
    server.admin("faults", Some(r#"{"quotas":{"vpcs":2}}"#));
    let applied = terminal.run("apply --yes");
    assert!(applied.err.contains("VpcLimitExceeded") && applied.err.contains("AlreadyExistsException"), "{applied}");
}

#[test]
fn a_saved_plan_is_held_to_the_world_it_was_made_from() {
    let terminal = Terminal::applied();
    terminal.write("opora.yaml", &SPEC.replace("period_days: 365", "period_days: 180"));
    assert_eq!(terminal.run("plan --sandbox --out p.opora").code, Some(2));
    let ended = terminal.run("rehearse p.opora --sandbox");
    assert_eq!(ended.code, Some(0), "{ended}");
    terminal.write("opora.yaml", &SPEC.replace("period_days: 365", "period_days: 90"));
    assert!(terminal.run("rehearse p.opora --sandbox").err.starts_with("error[PLAN013]"));
    terminal.write("opora.yaml", &SPEC.replace("period_days: 365", "period_days: 180"));
    assert_eq!(terminal.run("apply p.opora --sandbox").code, Some(0));
    assert!(terminal.run("rehearse p.opora --sandbox").err.starts_with("error[PLAN010]"));
}

#[test]
fn an_unknown_quota_is_refused() {
    let terminal = Terminal::with(SPEC);
    let ended = terminal.run("rehearse --sandbox --quota vps=3");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error[REHEARSE003]"), "{ended}");
}
