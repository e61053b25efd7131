//! Ctrl-C: the first ends in order, the second at once, and nothing is lost by either.

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

fn interrupt(child: &Child) {
    let done = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
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

#[test]
fn the_second_one_leaves_at_once_and_the_lease_says_so() {
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
    assert!(ended.err.contains("left; the next apply takes up what was in flight"), "{ended}");
    // The dead run's lease holds for two minutes more, and the refusal says so.
    let refused = terminal.run("apply --yes --quiet");
    assert!(refused.err.starts_with("error[STATE001]: another run holds the state\n"), "{refused}");
}
