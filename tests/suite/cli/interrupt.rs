//! Ctrl-C: the first ends in order, the second at once, and nothing is lost by either, nor by a kill.

use std::process::{Child, Command, Stdio};

use insta::assert_snapshot;

use super::terminal::{Ended, Server, Terminal};

/// A NAT gateway takes 90 simulated seconds, and the key waits for it.
const SLOW: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
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

pub fn interrupt(child: &Child) {
    signal(child, "INT");
}

pub fn signal(child: &Child, name: &str) {
    let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(done.success());
}

fn start(terminal: &Terminal) -> Child {
    terminal.command(&["apply", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended::new(output.status.code(), &output.stdout, &output.stderr)
}

fn gateways(server: &Server) -> usize {
    let calls = server.admin("calls", None);
    calls["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "CreateNatGateway").count()
}

#[test]
fn the_first_one_finishes_what_is_in_flight_and_the_next_apply_goes_on() {
    let server = Server::start(&["--speed", "60"]);
    let terminal = Terminal::with(SLOW).signed_in("123456789012", &server);
    let child = start(&terminal);
    server.wait_for("CreateNatGateway");
    interrupt(&child);
    let ended = end(child);
    let told: Vec<&str> = ended.out.lines().skip_while(|line| !line.starts_with("  created")).collect();
    assert_snapshot!(Ended::new(ended.code, told.join("\n").as_bytes(), ended.err.as_bytes()), @"
      created   nat_gateway.out  nat-[id]
      created   subnet.a  subnet-[id]
      created   vpc.main  vpc-[id]
      skipped  kms_key.last  the run was stopped
    3 done, 0 failed, 1 skipped; [n] calls, [n] throttled; stopped, the same command goes on from here
    ! stopping: calls in flight are finished and recorded; Ctrl-C again leaves at once
    exit 1
    ");
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    assert_eq!(gateways(&server), 1, "no second gateway was asked for");
    assert_eq!(terminal.run("plan").code, Some(0));
}

/// What is left of the environment once the first run was stopped.
const VPC_ONLY: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  vpc:
    main: { cidr: 10.40.0.0/16 }
"#;

/// Applies what is left, after simulated hours in which the VPC becomes available; returns how it ended.
fn go_on(terminal: &Terminal, server: &Server) -> Ended {
    terminal.write("opora.yaml", VPC_ONLY);
    server.admin("clock", Some(r#"{"advance_s":36000}"#));
    let ended = terminal.run("apply --yes --quiet");
    let calls = server.admin("calls", None);
    let made = calls["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "CreateVpc").count();
    assert_eq!(made, 1, "no second VPC was asked for: {ended}");
    ended
}

#[test]
fn the_second_one_leaves_at_once_and_gives_the_lease_back() {
    let server = Server::start(&["--speed", "0.001"]);
    let terminal = Terminal::with(SLOW).signed_in("123456789012", &server);
    let mut child = start(&terminal);
    // At this speed the VPC stays pending for hours.
    server.wait_for("CreateVpc");
    interrupt(&child);
    // The first is known to have been taken when it is answered.
    let mut first = [0_u8; 9];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"stopping:");
    interrupt(&child);
    let ended = end(child);
    assert_eq!(ended.code, Some(130), "{ended}");
    assert!(ended.err.ends_with("left; the next apply takes up what was in flight\n"), "{ended}");
    let log = std::fs::read_dir(terminal.path(".opora/state/log")).unwrap();
    let mut log: Vec<_> = log.map(|entry| entry.unwrap().path()).collect();
    log.sort();
    assert!(std::fs::read_to_string(log.last().unwrap()).unwrap().contains("lease_released"));
    let next = go_on(&terminal, &server);
    assert_eq!(next.code, Some(0), "{next}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_run_is_taken_over_at_once_and_a_live_one_is_not() {
    let server = Server::start(&["--speed", "0.001"]);
    let terminal = Terminal::with(SLOW).signed_in("123456789012", &server);
    let mut child = start(&terminal);
    server.wait_for("CreateVpc");
    let refused = terminal.run("apply --yes --quiet");
    assert!(refused.err.starts_with("error[STATE001]: another run holds the state\n"), "{refused}");
    child.kill().unwrap();
    assert_eq!(end(child).code, None);
    let next = go_on(&terminal, &server);
    assert_eq!(next.code, Some(0), "{next}");
    assert_eq!(terminal.run("state verify").code, Some(0));
}
