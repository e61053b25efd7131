//! Jobs as a process: run, list, status, logs, result, cancel; left by Ctrl-C, killed, and found again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use insta::assert_snapshot;

use super::interrupt::interrupt;
use super::terminal::{Ended, Server, Terminal};

const SPEC: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  s3_bucket:
    data: { name: acme-research-training }
  iam_role:
    trainer: { name: trainer, trust: { service: sagemaker.amazonaws.com } }
"#;

const CONVERSE: &str = "opora: 1
job: summary
environment: research
engine: bedrock.converse
model: amazon.nova-lite-v1:0
prompt: What is a lease?
max_tokens: 300
deadline: 2m
budget: 0.05 USD
";

const TRAIN: &str = "opora: 1
job: finetune
environment: research
engine: sagemaker.training
image: 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1
role: $(iam_role.trainer.arn)
data: { upload: train.jsonl, to: $(s3_bucket.data.name) }
output: { bucket: $(s3_bucket.data.name), prefix: models }
instance: { type: ml.g5.2xlarge }
deadline: 8h
budget: 20 USD
";

/// A simulated day of the server passes in no time where a test wants it to, and else stands still.
pub fn server() -> Server {
    Server::start(&["--speed", "0.001"])
}

pub fn applied(server: &Server) -> Terminal {
    let terminal = Terminal::with(SPEC).signed_in("123456789012", server);
    let ended = terminal.run("apply --yes --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
    terminal.write("converse.yaml", CONVERSE);
    terminal.write("train.yaml", TRAIN);
    terminal.write("train.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
    terminal
}

pub fn pass(server: &Server, seconds: u32) {
    server.admin("clock", Some(&format!(r#"{{"advance_s":{seconds}}}"#)));
}

fn started(server: &Server) -> usize {
    let calls = server.admin("calls", None);
    calls["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "CreateTrainingJob").count()
}

/// Starts the training job and waits until AWS is known to have it.
pub fn training(terminal: &Terminal) -> Child {
    let mut command = terminal.command(&["job", "run", "train.yaml"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.trim_start().starts_with("submitted") && !line.trim_start().starts_with("running") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended: {:?}", child.wait());
    }
    child.stderr = Some(told.into_inner());
    child
}

pub fn end(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended::new(output.status.code(), &output.stdout, &output.stderr)
}

#[test]
fn a_conversation_is_streamed_kept_and_not_repeated() {
    let server = server();
    let terminal = applied(&server);
    assert_snapshot!(terminal.run("job list"), @"
    ! no jobs yet; `opora job run FILE` runs one
    exit 0
    ");
    let ran = terminal.run("job run converse.yaml --json");
    assert_eq!(ran.code, Some(0), "{ran}");
    let job = &ran.json()["job"];
    assert_eq!((&job["stage"], &ran.json()["was_done"]), (&"succeeded".into(), &false.into()));
    let again = terminal.run("job run converse.yaml");
    assert_eq!(again.code, Some(0), "{again}");
    assert!(again.out.contains("is done already"), "{again}");
    let calls = server.admin("calls", None);
    let asked = calls["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "ConverseStream");
    assert_eq!(asked.count(), 1, "an answer is paid for once");
    let listed = terminal.run("job list");
    assert!(listed.out.starts_with("summary-"), "{listed}");
    assert_eq!(terminal.run("job list --json").json()[0]["id"], job["id"]);
    let result = terminal.run("job result summary");
    assert_eq!(result.code, Some(0));
    assert!(!result.out.trim().is_empty() && again.out.contains(result.out.trim()), "{result}");
    let status = terminal.run("job status summary --json").json();
    assert_eq!(status["stage"], "succeeded");
    assert_eq!(terminal.run("job status nothing").code, Some(1));
}

#[test]
fn ctrl_c_leaves_a_training_job_running() {
    let server = server();
    let terminal = applied(&server);
    let child = training(&terminal);
    interrupt(&child);
    let left = end(child);
    assert_eq!(left.code, Some(130), "{left}");
    assert!(left.err.contains("left; job finetune goes on."), "{left}");
    let status = terminal.run("job status finetune --json").json();
    assert!(["submitted", "running"].contains(&status["stage"].as_str().unwrap()), "{status}");
    let early = terminal.run("job result finetune");
    assert_eq!(early.code, Some(1), "{early}");
    // Its machines are there within the hour, and its training is done.
    pass(&server, 4 * 3_600);
    let done = terminal.run("job run train.yaml");
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(started(&server), 1);
    let result = terminal.run("job result finetune");
    assert!(result.out.contains("model  s3://acme-research-training/models/"), "{result}");
    let logs = terminal.run("job logs finetune");
    assert_eq!(logs.code, Some(0), "{logs}");
    assert!(logs.out.lines().count() > 1, "{logs}");
}

#[test]
fn a_killed_client_finds_its_job_and_starts_no_second_one() {
    let server = server();
    let terminal = applied(&server);
    let mut child = training(&terminal);
    child.kill().unwrap();
    assert_eq!(end(child).code, None);
    let child = training(&terminal);
    assert_eq!(started(&server), 1, "the second client follows the first one's job");
    interrupt(&child);
    assert_eq!(end(child).code, Some(130));
    let mut cancel = terminal.command(&["job", "cancel", "finetune", "--json"]);
    let cancel = cancel.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for("StopTrainingJob");
    pass(&server, 4 * 3_600);
    let cancelled = end(cancel);
    assert_eq!(cancelled.code, Some(0), "{cancelled}");
    assert_eq!(cancelled.json()["stage"], "cancelled");
    let refused = terminal.run("job run train.yaml");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert_eq!(started(&server), 1);
}
