//! What the live audit takes from opora's own records: jobs, clocks, earlier audits, and the commits of the spec.

use std::process::Command;

use super::terminal::{SPEC, Server, Terminal};

/// Returns the verdict and the summary of a record, by a control that rests on it.
fn record(audit: &serde_json::Value, control: &str, kind: &str) -> (String, String) {
    let controls = audit["controls"].as_array().unwrap();
    let control = controls.iter().find(|one| one["id"] == control).unwrap();
    let records = control["records"].as_array().unwrap();
    let found = records.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("{control:#}"));
    (found["verdict"].as_str().unwrap().to_owned(), found["summary"].as_str().unwrap().to_owned())
}

fn audit(terminal: &Terminal) -> serde_json::Value {
    terminal.run("audit --live --json --sandbox").json()
}

fn git(terminal: &Terminal, line: &str) {
    let done = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
        .args(line.split(' '))
        .env_clear()
        .env("HOME", terminal.path(""))
        .current_dir(terminal.path(""))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn audits_are_recorded_and_the_next_one_knows() {
    let terminal = Terminal::applied();
    let first = audit(&terminal);
    let (verdict, summary) = record(&first, "A.5.36", "audits");
    assert_eq!(verdict, "unknown", "{summary}");
    let (verdict, summary) = record(&audit(&terminal), "A.5.36", "audits");
    assert_eq!(verdict, "pass", "{summary}");
    assert!(summary.starts_with("1 earlier audits of the live account recorded, the last at "), "{summary}");
    assert_eq!(terminal.run("state verify").code, Some(0));
}

#[test]
fn jobs_are_judged_by_deadline_and_budget_and_none_is_unknown() {
    let terminal = Terminal::applied();
    assert_eq!(record(&audit(&terminal), "A.8.6", "job-ledger").0, "unknown");
    terminal.write(
        "job.yaml",
        "opora: 1\njob: ask\nenvironment: research\nengine: bedrock.converse\n\
        model: amazon.nova-lite-v1:0\nprompt: Why?\nmax_tokens: 50\ndeadline: 2m\nbudget: 0.05 USD\n",
    );
    let ran = terminal.run("job run job.yaml --sandbox");
    assert_eq!(ran.code, Some(0), "{ran}");
    let (verdict, summary) = record(&audit(&terminal), "A.8.6", "job-ledger");
    assert_eq!(verdict, "pass", "{summary}");
    assert!(summary.starts_with("1 jobs recorded"), "{summary}");
}

#[test]
fn the_clock_is_compared_with_the_dates_of_the_answers() {
    let terminal = Terminal::applied();
    let (verdict, summary) = record(&audit(&terminal), "A.8.17", "clock-offsets");
    assert_eq!(verdict, "pass", "{summary}");
    // A server whose clock is hours ahead of this machine's.
    let server = Server::start(&[]);
    let away = Terminal::with(SPEC).signed_in("123456789012", &server);
    server.admin("clock", Some(r#"{"advance_s":7200}"#));
    let (verdict, summary) = record(&away.run("audit --live --json").json(), "A.8.17", "clock-offsets");
    assert_eq!(verdict, "fail", "{summary}");
}

#[test]
fn runs_name_the_commit_of_their_spec() {
    let terminal = Terminal::with(SPEC);
    git(&terminal, "init --quiet");
    git(&terminal, "add opora.yaml");
    git(&terminal, "commit --quiet -m spec");
    assert_eq!(terminal.run("apply --yes --sandbox").code, Some(0));
    let (verdict, summary) = record(&audit(&terminal), "A.8.32", "spec-commits");
    assert_eq!(verdict, "pass", "{summary}");
    let commit = terminal.run("state history --json").json()[0]["spec_commit"].clone();
    assert_eq!(commit.as_str().unwrap().len(), 40);
    terminal.write("opora.yaml", &SPEC.replace("description: Data", "description: More"));
    assert_eq!(terminal.run("apply --yes --sandbox").code, Some(0));
    let commit = terminal.run("state history --json").json()[0]["spec_commit"].clone();
    assert!(commit.as_str().unwrap().ends_with("+changes"), "{commit}");
    assert_eq!(record(&audit(&terminal), "A.8.32", "spec-commits").0, "fail");
    // Without git's help nothing is claimed.
    let elsewhere = Terminal::applied();
    assert_eq!(record(&audit(&elsewhere), "A.8.32", "spec-commits").0, "unknown");
}
