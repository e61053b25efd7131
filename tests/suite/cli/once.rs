//! A saved plan has one effect, however often and by however many it is applied.

use std::process::{Child, Stdio};

use super::terminal::{Ended, SPEC, Server, Terminal};
use super::two::{end, writes};

/// How often one plan is applied.
const TIMES: usize = 10;

fn planned(server: &Server) -> Terminal {
    let terminal = Terminal::with(SPEC).signed_in("123456789012", server);
    let plan = terminal.run("plan --out plan.opora --quiet");
    assert_eq!(plan.code, Some(2), "{plan}");
    terminal
}

/// Returns the calls that the plan makes where it is applied once, by nobody else.
fn writes_of_one() -> usize {
    let server = Server::start(&["--speed", "60"]);
    let applied = planned(&server).run("apply plan.opora --quiet");
    assert_eq!(applied.code, Some(0), "{applied}");
    writes(&server)
}

#[test]
fn a_plan_applied_ten_times_is_applied_once() {
    let server = Server::start(&["--speed", "60"]);
    let terminal = planned(&server);
    let applied: Vec<Ended> = (0..TIMES).map(|_| terminal.run("apply plan.opora --quiet")).collect();
    assert_eq!(applied[0].code, Some(0), "{}", applied[0]);
    for again in &applied[1..] {
        assert_eq!(again.code, Some(1), "{again}");
        assert!(again.err.starts_with("error[PLAN010]: this plan was applied already\n"), "{again}");
    }
    assert_eq!(writes(&server), writes_of_one());
    assert_eq!(terminal.run("plan --quiet").code, Some(0));
}

#[test]
fn a_plan_applied_by_ten_at_once_is_applied_once() {
    let server = Server::start(&["--speed", "60"]);
    let terminal = planned(&server);
    let start = || -> Child {
        let mut command = terminal.command(&["apply", "plan.opora", "--quiet"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<Child> = (0..TIMES).map(|_| start()).collect();
    let ended: Vec<Ended> = all.into_iter().map(end).collect();
    let (done, refused): (Vec<&Ended>, Vec<&Ended>) = ended.iter().partition(|ended| ended.code == Some(0));
    assert_eq!(done.len(), 1, "one of them applies it");
    for other in refused {
        // Either the lease was held, or the plan was applied by then.
        let told = ["error[STATE001]", "error[PLAN010]"].iter().any(|code| other.err.starts_with(code));
        assert!(other.code == Some(1) && told, "{other}");
    }
    assert_eq!(writes(&server), writes_of_one());
    let again = terminal.run("apply plan.opora --quiet");
    assert!(again.err.starts_with("error[PLAN010]"), "{again}");
    assert_eq!(terminal.run("plan --quiet").code, Some(0));
    assert_eq!(terminal.run("state verify").code, Some(0));
}
