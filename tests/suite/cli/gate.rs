//! The spec's gate: what fails its checks is not applied, by whichever way, and what a selection leaves alone counts.

use super::terminal::{Ended, Terminal};

const HEAD: &str = "opora: 1\nenvironment: research\naccount: \"123456789012\"\nregion: us-east-1\n";

fn broken(ended: &Ended) -> serde_json::Value {
    ended.json()["controls"]["diff"]["broken"].clone()
}

#[test]
fn a_saved_plan_does_not_go_past_the_gate() {
    let spec = |tags: &str| {
        format!("{HEAD}controls: {{ gate: {{ low: block }} }}\nresources:\n  placement_group:\n    a: {{{tags}}}\n")
    };
    let terminal = Terminal::with(&spec(""));
    assert_eq!(terminal.run("plan --sandbox --out saved.opora").code, Some(5));
    for command in ["apply saved.opora --sandbox", "apply --yes --sandbox", "apply --yes --sandbox --json"] {
        let ended = terminal.run(command);
        assert_eq!(ended.code, Some(5), "{command}: {ended}");
        let told = format!("{}{}", ended.out, ended.err);
        assert!(told.contains("PLAN016") && told.contains("resource_without_owner_tag"), "{command}: {ended}");
        assert_eq!(terminal.run("state list --json --sandbox").json(), serde_json::json!([]), "{command}");
    }
    terminal.write("opora.yaml", &spec(" tags: { owner: research, data-classification: internal } "));
    assert_eq!(terminal.run("plan --sandbox --out saved.opora").code, Some(2));
    assert_eq!(terminal.run("apply saved.opora --sandbox").code, Some(0));
    // What is taken down has no controls to keep.
    terminal.write("opora.yaml", &spec(""));
    assert_eq!(terminal.run("plan --destroy --sandbox --out saved.opora").code, Some(2));
    assert_eq!(terminal.run("apply saved.opora --sandbox").code, Some(0));
}

#[test]
fn what_a_selection_leaves_alone_is_still_there() {
    let spec = format!(
        "{HEAD}controls: {{ gate: {{ medium: block }} }}\nresources:\n  placement_group:\n    a: {{}}\n  budget:\n    \
         month: {{ amount: 100, notifications: [{{ spend: actual, threshold: 80, emails: [ops@example.com] }}] }}\n"
    );
    let terminal = Terminal::with(&spec);
    let ended = terminal.run("apply --yes --sandbox");
    assert_eq!(ended.code, Some(0), "{ended}");
    for selection in ["--target placement_group.a", "--exclude budget.month"] {
        let ended = terminal.run(&format!("plan {selection} --sandbox --json"));
        assert_eq!((ended.code, broken(&ended)), (Some(0), serde_json::json!([])), "{selection}: {ended}");
    }
    terminal.write("opora.yaml", &spec.replace("a: {}", "a: { strategy: spread }"));
    assert_eq!(terminal.run("plan --target placement_group.a --sandbox --out saved.opora").code, Some(2));
    let audit = terminal.run("audit --plan saved.opora --json").json();
    let mut findings = audit["findings"].as_array().unwrap().iter();
    let alert = findings.find(|finding| finding["check"] == "account_without_budget_alert").unwrap();
    assert_eq!(alert["verdict"], "pass", "{alert}");
    assert_eq!(terminal.run("apply saved.opora --sandbox").code, Some(0));
}

#[test]
fn a_waivers_file_that_is_missing_is_said_by_validate() {
    let spec = format!("{HEAD}controls: {{ waivers: waivers.yaml }}\nresources:\n  placement_group:\n    a: {{}}\n");
    let ended = Terminal::with(&spec).run("validate");
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("CLI009") && ended.err.contains("waivers.yaml"), "{ended}");
}
