//! What commands say where no other test shows it: rehearsals, copies, jobs in text, the demo's steps, forms for editors.

use insta::assert_snapshot;
use regex::Regex;
use serde_json::Value;

use super::jobs::{applied, end, pass, server, training};
use super::terminal::{SPEC, Terminal};

#[test]
fn a_rehearsal_counts_what_it_tried() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("rehearse --sandbox"), @"
    3 to create, 0 unchanged. Nothing would fail; 0 resources of the account copied, 3 steps tried. Nothing was written.
    ! quotas: the account's own for IAM and Elastic IPs, else AWS's published defaults (`--quota NAME=NUMBER`)
    exit 0
    ");
}

#[test]
fn a_backup_is_made_and_needs_no_bringing_back() {
    let terminal = Terminal::applied();
    let named = |line: &str| {
        let ended = terminal.run(line).to_string();
        let ended = Regex::new(r"\d{8}T\d{6}\.\d+Z").unwrap().replace_all(&ended, "[name]").into_owned();
        Regex::new(r"entry \d+").unwrap().replace_all(&ended, "entry [n]").into_owned()
    };
    assert_snapshot!(named("backup copy --sandbox"), @"
    backup [name].json in copy: the log up to entry [n] with 3 resources, 1 file
    exit 0
    ");
    assert_snapshot!(named("restore copy --sandbox"), @"
    the log up to entry [n] with 3 resources
    the state has all that the backup has; nothing was written
    exit 0
    ");
}

#[test]
fn an_empty_state_says_so() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("show"), @"
    ! nothing of research is in the state
    exit 0
    ");
    assert_snapshot!(terminal.run("state history"), @"exit 0");
    assert_snapshot!(terminal.run("state verify"), @"
    every entry of the log is whole and in its place
    exit 0
    ");
}

#[test]
fn a_training_job_in_text() {
    let server = server();
    let terminal = applied(&server);
    let child = training(&terminal);
    super::interrupt::interrupt(&child);
    assert_eq!(end(child).code, Some(130));
    assert_snapshot!(terminal.run("job status finetune"), @"
    finetune-1b7bf3129bbc  submitted
      status     Starting: Launching requested ML instances
      cost       12.206667 USD of 20.00 USD at most
    exit 0
    ");
    assert_snapshot!(terminal.run("job logs finetune"), @"
    ! finetune-1b7bf3129bbc has no log, or it has none any more
    exit 0
    ");
    assert_snapshot!(terminal.run("job result finetune"), @"
    ! error[JOB019]: no result
    !   job finetune-1b7bf3129bbc has no result: it is submitted
    !   help: `opora job status` shows where it stands
    exit 1
    ");
    pass(&server, 3600);
    let ran = terminal.run("job run train.yaml --quiet");
    assert_eq!(ran.code, Some(0), "{ran}");
    let listed = terminal.run("job list").to_string();
    assert_snapshot!(Regex::new(r"\d+\.\d+ USD").unwrap().replace(&listed, "[cost] USD"), @"
    finetune-1b7bf3129bbc  succeeded   sagemaker.training  [time]  [cost] USD
    exit 0
    ");
    assert_snapshot!(terminal.run("job result finetune"), @"
    model  s3://acme-research-training/models/opora-finetune-1b7bf3129bbc-1/output/model.tar.gz
    exit 0
    ");
    assert_snapshot!(terminal.run("job cancel finetune"), @"
    ! error[JOB018]: the job can't be stopped
    !   job finetune-1b7bf3129bbc can't be stopped: it has ended: succeeded
    !   help: `opora job status` shows where it stands
    exit 1
    ");
    let logs = terminal.run("job logs finetune");
    assert!(logs.out.contains("  training opora-finetune-1b7bf3129bbc-1 started\n"), "{logs}");
}

#[test]
fn the_demo_goes_the_whole_way() {
    let ended = Terminal::empty().run("demo");
    assert_eq!(ended.code, Some(0), "{ended}");
    let step = |line: &&str| line.get(..4).is_some_and(|start| start.trim().parse::<u8>().is_ok());
    let steps: Vec<&str> = ended.out.lines().filter(step).collect();
    assert_snapshot!(steps.join("\n"), @"
     1  Check the spec
     2  Plan: what would happen, and what it does to the controls
     3  Apply exactly that plan
     4  Find what differs, and what nobody manages
     5  Repair it
     6  Collect evidence for the controls
     7  Ask a model on Bedrock
     8  Train on SageMaker
     9  Destroy: refused, as some of it is protected and more of it holds data
    10  Apply that
    11  Destroy
    ");
}

#[test]
fn editors_and_shells_get_their_forms() {
    let terminal = Terminal::empty();
    let schema = terminal.run("schema").json();
    let members: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_snapshot!(serde_json::to_string(&members).unwrap(), @r#"["opora","environment","account","region","state","controls","tags","describe","inputs","resources","modules","outputs"]"#);
    let kinds = schema["properties"]["resources"]["properties"].as_object().unwrap();
    assert_eq!(kinds.len(), opora::aws::kinds::all().count());
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = terminal.run(&format!("completions {shell}"));
        assert_eq!(ended.code, Some(0), "{shell}");
        assert!(ended.out.contains("rehearse") && ended.out.contains("completions"), "{shell}");
    }
}

/// Every command that answers in JSON answers with one document, and with nothing else, also when it refuses.
#[test]
fn json_is_one_document_of_each_command() {
    let terminal = Terminal::applied();
    let plan = terminal.run("plan --destroy --allow-data-loss kms_key.data --out plan.opora --sandbox --quiet");
    assert_eq!(plan.code, Some(2), "{plan}");
    for (line, code) in [
        ("validate", 0),
        ("graph", 0),
        ("plan --sandbox", 0),
        ("rehearse --sandbox", 0),
        ("apply --yes --sandbox", 0),
        ("drift --sandbox", 0),
        ("audit --spec", 5),
        ("show", 0),
        ("show plan.opora", 0),
        ("show vpc.main", 0),
        ("state list", 0),
        ("state show vpc.main", 0),
        ("state history", 0),
        ("state verify", 0),
        ("state repair --yes", 0),
        ("backup copy --sandbox", 0),
        ("restore copy --sandbox", 0),
        ("job list", 0),
        ("sandbox status", 0),
        ("import vpc.main vpc-0123456789abcdef0 --sandbox", 1),
        ("state rm vpc.none", 1),
        ("job status none", 1),
        ("explain", 0),
        ("explain SPEC012", 0),
        ("explain vpc", 0),
        ("explain NONE001", 1),
        ("init --file another.yaml", 0),
        ("init", 1),
        ("schema", 0),
        ("sandbox save kept", 0),
        ("sandbox load kept", 0),
        ("destroy --yes --allow-data-loss kms_key.data --sandbox", 0),
    ] {
        let ended = terminal.run(&format!("{line} --json"));
        assert_eq!(ended.code, Some(code), "{line}: {ended}");
        let document: Result<Value, _> = serde_json::from_str(&ended.out);
        assert!(document.is_ok(), "{line}: {ended}");
    }
}
