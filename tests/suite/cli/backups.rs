//! The state is lost: it comes back from a backup, and from the resources' tags alone.

use std::path::Path;

use insta::assert_snapshot;

use super::terminal::{SPEC, Server, Terminal};

fn lose_the_state(terminal: &Terminal) {
    std::fs::remove_dir_all(terminal.path(".opora/state")).unwrap();
}

fn applied(spec: &str) -> Terminal {
    let terminal = Terminal::with(spec).set("REGISTRY_TOKEN", "canary-registry-token");
    let ended = terminal.run("apply --yes --quiet --sandbox");
    assert_eq!(ended.code, Some(0), "{ended}");
    terminal
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).join("opora.yaml");
    std::fs::read_to_string(path).unwrap()
}

/// Returns the ids of all that the state has, by address.
fn ids(terminal: &Terminal) -> Vec<(String, String)> {
    let listed = terminal.run("state list --json").json();
    let row = |row: &serde_json::Value| {
        assert_eq!(row["complete"], true, "{row}");
        (row["address"].as_str().unwrap().to_owned(), row["id"].as_str().unwrap().to_owned())
    };
    listed.as_array().unwrap().iter().map(row).collect()
}

#[track_caller]
fn comes_back(example: &str) {
    let terminal = applied(example);
    let whole = ids(&terminal);
    let backup = terminal.run("backup backups --sandbox");
    assert_eq!(backup.code, Some(0), "{backup}");

    lose_the_state(&terminal);
    let restored = terminal.run("restore backups --sandbox");
    assert_eq!(restored.code, Some(0), "{restored}");
    assert_eq!(ids(&terminal), whole);
    let plan = terminal.run("plan --quiet --sandbox");
    assert_eq!(plan.code, Some(0), "{plan}");

    lose_the_state(&terminal);
    let rebuilt = terminal.run("state rebuild --yes --sandbox");
    assert_eq!(rebuilt.code, Some(0), "{rebuilt}");
    assert_eq!(ids(&terminal), whole);
    let plan = terminal.run("plan --quiet --sandbox");
    assert_eq!(plan.code, Some(0), "{plan}");
    assert_eq!(terminal.run("state verify").code, Some(0));
}

#[test]
fn the_core_example_comes_back_from_a_backup_and_from_its_tags() {
    comes_back(&example("core"));
}

#[test]
fn the_research_example_comes_back_from_a_backup_and_from_its_tags() {
    comes_back(&example("research"));
}

#[test]
fn a_rebuild_says_what_it_found_and_what_not_and_asks() {
    let terminal = applied(SPEC);
    lose_the_state(&terminal);
    terminal
        .write("opora.yaml", &SPEC.replace("vpc:\n    main:", "vpc:\n    other: { cidr: 10.50.0.0/16 }\n    main:"));
    let asked = terminal.run("state rebuild --sandbox");
    assert_snapshot!(asked, @r#"
      found      kms_key.data  [uuid]
                   as the spec has it, not readable: deletion_window_days
      found      subnet.private["a"]  subnet-[id]
      found      vpc.main  vpc-[id]
      not found  vpc.other
    ! error[CLI003]: nobody can be asked
    !   standard input is no terminal
    !   help: pass `--yes` to have them recorded
    exit 1
    "#);
    assert_eq!(terminal.run("state list").out, "");
    let rebuilt = terminal.run("state rebuild --yes --sandbox --json").json();
    assert_eq!(rebuilt["found"]["vpc.main"]["by"], "tags");
    assert_eq!(rebuilt["missing"], serde_json::json!(["vpc.other"]));
    let counts = terminal.run("plan --sandbox --json").json()["counts"].clone();
    assert_eq!((counts["create"].as_u64(), counts["unchanged"].as_u64()), (Some(1), Some(3)), "{counts}");
    // What the spec does not have any more is found as well, and is a deletion to agree to.
    lose_the_state(&terminal);
    terminal.write("opora.yaml", SPEC.split("  vpc:").next().unwrap());
    let rebuilt = terminal.run("state rebuild --yes --sandbox");
    assert!(rebuilt.out.contains("vpc.main  vpc-"), "{rebuilt}");
    assert!(rebuilt.out.contains("(not in the spec: the next plan deletes it)"), "{rebuilt}");
    let counts = terminal.run("plan --sandbox --json").json()["counts"].clone();
    assert_eq!((counts["delete"].as_u64(), counts["unchanged"].as_u64()), (Some(2), Some(1)), "{counts}");
    let applied = terminal.run("apply --yes --quiet --sandbox");
    assert_eq!(applied.code, Some(0), "{applied}");
}

/// An empty state is not an empty account: what would make everything again, or find nothing to compare, is refused.
#[test]
fn a_state_that_was_lost_is_not_taken_for_a_new_one() {
    let terminal = applied(SPEC);
    lose_the_state(&terminal);
    let before = std::fs::read(terminal.path(".opora/sandbox/journal.jsonl")).ok();
    assert_snapshot!(terminal.run("plan --sandbox"), @r#"
    ! error[STATE026]: the state is empty, and the account has resources of the environment
    !   nothing was ever written to .opora/state, and account 123456789012 has, by the tags of `research`:
    !   kms_key.data  [uuid]
    !   subnet.private["a"]  subnet-[id]
    !   vpc.main  vpc-[id]
    !   help: correct `state:` if it is elsewhere; bring it back with `opora restore` or `opora state
    !   rebuild`; or give this environment another name
    exit 1
    "#);
    for command in ["apply --yes", "plan --destroy", "destroy --yes", "drift", "rehearse"] {
        let refused = terminal.run(&format!("{command} --sandbox"));
        assert_eq!(refused.code, Some(1), "{command}: {refused}");
        assert!(refused.err.contains("error[STATE026]"), "{command}: {refused}");
    }
    assert_eq!(terminal.run("state list").out, "", "nothing was recorded");
    assert_eq!(std::fs::read(terminal.path(".opora/sandbox/journal.jsonl")).ok(), before);
    assert_eq!(terminal.run("state rebuild --yes --sandbox").code, Some(0));
    assert_eq!(terminal.run("plan --quiet --sandbox").code, Some(0));
}

/// What an earlier environment of the name left on its way out, such as a key that waits for its deletion, is nothing.
#[test]
fn a_state_that_was_removed_after_everything_was_destroyed_may_begin_anew() {
    let terminal = applied(SPEC);
    let ended = terminal.run("destroy --yes --quiet --sandbox --allow-data-loss kms_key.data");
    assert_eq!(ended.code, Some(0), "{ended}");
    lose_the_state(&terminal);
    let again = terminal.run("apply --yes --quiet --sandbox");
    assert_eq!(again.code, Some(0), "{again}");
}

/// Who may not ask for tags is told so, and goes on.
#[test]
fn that_it_could_not_be_looked_whether_the_state_was_lost_is_said() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("123456789012", &server);
    server.fault("GetResources", "denied");
    let plan = terminal.run("plan");
    assert_eq!(plan.code, Some(2), "{plan}");
    let note = "whether the account has resources of `research` is not known: access denied: tag:GetResources";
    assert!(plan.err.contains(note), "{plan}");
}

#[test]
fn two_environments_in_one_account_do_not_take_each_others_resources() {
    let first = applied(SPEC);
    let second = Terminal::with(&SPEC.replace("research", "other").replace("alias/data", "alias/other"));
    let sandbox = format!("--sandbox={}", first.path(".opora/sandbox").display());
    let ended = second.run(&format!("apply --yes --quiet {sandbox}"));
    assert_eq!(ended.code, Some(0), "{ended}");
    let (ours, theirs) = (ids(&first), ids(&second));
    lose_the_state(&first);
    lose_the_state(&second);
    for (terminal, own) in [(&first, &ours), (&second, &theirs)] {
        let rebuilt = terminal.run(&format!("state rebuild --yes {sandbox}"));
        assert_eq!(rebuilt.code, Some(0), "{rebuilt}");
        assert_eq!(&ids(terminal), own);
        assert_eq!(terminal.run(&format!("plan --quiet {sandbox}")).code, Some(0));
    }
}

#[test]
fn what_could_not_be_listed_is_not_taken_for_absent() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("123456789012", &server);
    let ended = terminal.run("apply --yes --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
    lose_the_state(&terminal);
    server.fault("ListKeys", "denied");
    let refused = terminal.run("state rebuild --yes");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.err.contains("error[STATE023]: not everything could be looked at or decided"), "{refused}");
    assert!(refused.err.contains("kms_key: they could not be listed: access denied: kms:ListKeys"), "{refused}");
    assert!(!refused.out.contains("not found  kms_key.data"), "{refused}");
    assert_eq!(terminal.run("state list").out, "", "nothing was recorded");
    let partial = terminal.run("state rebuild --yes --partial");
    assert_eq!(partial.code, Some(1), "{partial}");
    assert_eq!(ids(&terminal).len(), 2);
}

#[test]
fn a_restore_replaces_no_state_unasked() {
    let terminal = applied(SPEC);
    assert_eq!(terminal.run("backup backups").code, Some(0));
    let again = terminal.run("restore backups");
    assert_eq!(again.code, Some(0), "{again}");
    assert!(again.out.ends_with("the state has all that the backup has; nothing was written\n"), "{again}");
    terminal
        .write("opora.yaml", &SPEC.replace("    main: { cidr", "    new: { cidr: 10.60.0.0/16 }\n    main: { cidr"));
    assert_eq!(terminal.run("apply --yes --quiet --sandbox").code, Some(0));
    let refused = terminal.run("restore backups");
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.starts_with("error[STATE018]: there is a state that the backup would replace\n"), "{refused}");
    assert!(refused.err.contains("- vpc.new  vpc-"), "{refused}");
    assert_eq!(ids(&terminal).len(), 4);
    let forced = terminal.run("restore backups --force");
    assert_eq!(forced.code, Some(0), "{forced}");
    assert!(forced.out.contains("- vpc.new  vpc-"), "{forced}");
    assert_eq!(ids(&terminal).len(), 3);
    assert!(std::fs::read_dir(terminal.path(".opora/state/quarantine")).unwrap().count() >= 8);
    // The backup is older than the account: what it lacks is found by its tags.
    assert_eq!(terminal.run("state rebuild --yes --sandbox").code, Some(0));
    assert_eq!(terminal.run("plan --quiet --sandbox").code, Some(0));
    terminal.write("opora.yaml", &SPEC.replace("environment: research", "environment: other"));
    let other = terminal.run("restore backups --force");
    assert!(other.err.starts_with("error[STATE017]: the backup is of another environment\n"), "{other}");
    let none = terminal.run("restore nowhere");
    assert!(none.err.starts_with("error[STATE016]: the backup can't be used\n"), "{none}");
}

#[test]
fn a_backup_has_the_spec_with_all_that_it_names_and_no_secret() {
    let spec = SPEC.replace(
        "  vpc:\n",
        "  secretsmanager_secret:\n    token: { name: token, value: { from_file: token.txt } }\n  vpc:\n",
    );
    let terminal = Terminal::with(&spec);
    terminal.write("token.txt", "canary-4f1d0c2b");
    terminal.write("attestations.yaml", "attestations: []\n");
    std::fs::create_dir(terminal.path("reports")).unwrap();
    terminal.write("reports/audit.json", "{}");
    let ended = terminal.run("apply --yes --quiet --sandbox");
    assert_eq!(ended.code, Some(0), "{ended}");
    let refused = terminal.run("backup backups --include token.txt");
    assert!(
        refused.err.starts_with("error[STATE019]: a file holds a secret and is no part of a backup\n"),
        "{refused}"
    );
    terminal.write("reports/key.pem", "-----BEGIN RSA PRIVATE KEY-----\nMII");
    let refused = terminal.run("backup backups --include reports");
    assert!(refused.err.contains("`reports/key.pem`: it holds a private key"), "{refused}");
    std::fs::remove_file(terminal.path("reports/key.pem")).unwrap();
    let done = terminal.run("backup backups --include reports");
    assert_eq!(done.code, Some(0), "{done}");
    for folder in ["object", "backup"] {
        for file in std::fs::read_dir(terminal.path("backups").join(folder)).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!text.contains("canary"), "{text}");
        }
    }
    let files = terminal.run("restore backups --files back --json").json();
    let mut names: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["attestations.yaml", "opora.yaml", "reports/audit.json"]);
    assert_eq!(std::fs::read_to_string(terminal.path("back/opora.yaml")).unwrap(), spec);
    terminal.write("back/opora.yaml", "mine");
    let refused = terminal.run("restore backups --files back");
    assert!(refused.err.starts_with("error[CLI005]"), "{refused}");
}

#[test]
fn a_backup_on_s3_brings_a_state_on_s3_back() {
    let server = Server::start(&["--speed", "60"]);
    let states = Terminal::with(
        "opora: 1\nenvironment: states\naccount: \"123456789012\"\nregion: us-east-1\nresources:\n  s3_bucket:\n    states: { name: acme-states }\n    backups: { name: acme-backups }\n",
    )
    .signed_in("123456789012", &server);
    assert_eq!(states.run("apply --yes --quiet").code, Some(0));
    let spec = SPEC.replace("resources:", "state: s3://acme-states/research\nresources:");
    let terminal = Terminal::with(&spec).signed_in("123456789012", &server);
    assert_eq!(terminal.run("apply --yes --quiet").code, Some(0));
    let backup = terminal.run("backup s3://acme-backups/research");
    assert_eq!(backup.code, Some(0), "{backup}");
    // Another prefix is an empty state, and not a new environment.
    terminal.write("opora.yaml", &spec.replace("acme-states/research", "acme-states/anew"));
    assert!(terminal.run("plan --quiet").err.starts_with("error[STATE026]"));
    let restored = terminal.run("restore s3://acme-backups/research");
    assert_eq!(restored.code, Some(0), "{restored}");
    assert_eq!(terminal.run("plan --quiet").code, Some(0));
    let files = terminal.run("restore s3://acme-backups/research --files back");
    assert_eq!(files.code, Some(0), "{files}");
    assert_eq!(std::fs::read_to_string(terminal.path("back/opora.yaml")).unwrap(), spec);
}

#[test]
fn repair_says_what_it_would_do_and_asks() {
    let terminal = applied(SPEC);
    let log = terminal.path(".opora/state/log");
    let count = std::fs::read_dir(&log).unwrap().count();
    let torn = format!(".opora/state/log/{:020}.json", count + 1);
    terminal.write(&torn, "{\"version\":1,\"num");
    let asked = terminal.run("state repair");
    assert_eq!(asked.code, Some(1));
    assert!(asked.err.contains("is cut off: would be taken away, with a copy in `quarantine/`"), "{asked}");
    assert!(asked.err.contains("error[CLI003]"), "{asked}");
    assert!(terminal.path(&torn).exists(), "nothing was done");
    let repaired = terminal.run("state repair --yes");
    assert_eq!(repaired.code, Some(0), "{repaired}");
    assert!(!terminal.path(&torn).exists());
    assert_eq!(std::fs::read_dir(terminal.path(".opora/state/quarantine")).unwrap().count(), 1);
    assert_eq!(terminal.run("plan --quiet --sandbox").code, Some(0));
    // Without a proved copy nothing is done, and nobody is asked about it.
    std::fs::remove_file(log.join(format!("{:020}.json", 2))).unwrap();
    let left = terminal.run("state repair");
    assert_eq!(left.code, Some(1));
    assert!(left.out.contains("is missing: left as it is, no proved copy of it exists"), "{left}");
}

#[test]
fn the_history_has_the_newest_first_with_the_commit_of_the_spec() {
    let terminal = Terminal::with(SPEC);
    for arguments in [
        vec!["init", "-q"],
        vec!["add", "opora.yaml"],
        vec!["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "spec"],
    ] {
        let done = std::process::Command::new("git")
            .current_dir(terminal.path(""))
            .env("HOME", terminal.path(""))
            .args(arguments)
            .status()
            .unwrap();
        assert!(done.success());
    }
    let terminal = terminal.set("PATH", &std::env::var("PATH").unwrap());
    assert_eq!(terminal.run("apply --yes --quiet --sandbox").code, Some(0));
    assert_eq!(terminal.run("state mv vpc.main vpc.core").code, Some(0));
    terminal.write("opora.yaml", &SPEC.replace("main", "core"));
    assert_eq!(terminal.run("apply --yes --quiet --sandbox").code, Some(0));
    let history = terminal.run("state history --json").json();
    let runs = history.as_array().unwrap();
    let commands: Vec<&str> = runs.iter().map(|run| run["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["apply", "state mv", "apply"]);
    let commit = runs[2]["spec_commit"].as_str().unwrap();
    assert_eq!(commit.len(), 40, "{commit}");
    assert_eq!(runs[0]["spec_commit"].as_str().unwrap(), format!("{commit}+changes"));
    assert!(runs[2]["plan_digest"].is_string() && runs[1]["plan_digest"].is_null());
    assert_eq!(terminal.run("state history -n 2 --json").json().as_array().unwrap().len(), 2);
    let text = terminal.run("state history -n 1").out;
    assert!(text.contains(&format!("commit {}+changes  succeeded at", &commit[..12])), "{text}");
}
