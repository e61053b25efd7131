//! `bedrock.converse`: a whole answer, what is kept of it and what is not, refusals.

use opora::jobs::{JobError, Stage, Usd};

use super::world::World;

pub const CONVERSE: &str = r#"
opora: 1
job: ask
environment: research
engine: bedrock.converse
model: amazon.nova-lite-v1:0
system: Answer in one sentence about the aardvark.
prompt: What does a pillar of the zebrafish carry, and why does it stand for so long?
max_tokens: 200
temperature: 0
deadline: 2m
idle: 10s
budget: 0.01 USD
"#;

#[tokio::test]
async fn an_answer_is_streamed_kept_and_counted() {
    let world = World::new().await;
    let job = world.load(CONVERSE).await.unwrap();
    let run = world.run(&job, false).await.unwrap();
    let record = &run.record;
    assert_eq!((record.stage, run.was_done), (Stage::Succeeded, false));
    assert!(record.remote.usage.input_tokens.is_some_and(|tokens| tokens > 0));
    assert!(record.cost.is_some_and(|cost| cost > Usd(0) && cost <= record.worst_case.unwrap()));
    assert!(record.remote.request_id.is_some());

    let path = world.answers().join(&record.remote.outputs["text"]);
    let kept = std::fs::read_to_string(&path).unwrap();
    let events = world.events.lock().unwrap().clone();
    let streamed: String = events.iter().filter_map(|event| event.strip_prefix("text ")).collect();
    assert_eq!(kept, streamed);
    assert!(kept.contains("zebrafish"));
    let stages: Vec<&String> = events.iter().filter(|event| !event.starts_with("text ")).collect();
    assert_eq!(stages, ["planned", "submitting", "running", "succeeded"]);

    let log = world.whole_log().await;
    assert!(!log.contains("zebrafish") && !log.contains("aardvark"), "contents must stay out of the state");
    assert!(log.contains(&record.id));

    // The same file again is the same job: nothing is sent.
    let again = world.run(&job, false).await.unwrap();
    assert!(again.was_done);
    assert_eq!(again.record, run.record);
    assert_eq!(world.done("ConverseStream"), 1);
    // Asked for, it is sent once more.
    assert_eq!(world.run(&job, true).await.unwrap().record.attempt, 2);
    assert_eq!(world.done("ConverseStream"), 2);
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_can_be_run_again() {
    for kind in ["denied", "throttle"] {
        let world = World::new().await;
        let job = world.load(CONVERSE).await.unwrap();
        let faults = format!(r#"{{"faults": [{{"operation": "ConverseStream", "every": 1, "kind": "{kind}"}}]}}"#);
        world.sandbox.set_conditions(serde_json::from_str(&faults).unwrap());
        let error = world.run(&job, false).await.unwrap_err();
        assert!(matches!(error, JobError::Aws(_)), "{kind}: {error}");
        let record = world.records().await.remove(0);
        assert_eq!(record.stage, Stage::Planned, "{kind}");
        assert!(record.refusal.is_some_and(|refusal| refusal.action == "bedrock:ConverseStream"), "{kind}");
        world.sandbox.set_conditions(opora::sandbox::Conditions::default());
        let run = world.run(&job, false).await.unwrap();
        assert_eq!((run.record.stage, run.record.attempt), (Stage::Succeeded, 1), "{kind}");
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_the_job_lost_and_is_not_repeated() {
    let world = World::new().await;
    let job = world.load(CONVERSE).await.unwrap();
    let faults = r#"{"faults": [{"operation": "ConverseStream", "nth": 1, "kind": "lost_reply"}]}"#;
    world.sandbox.set_conditions(serde_json::from_str(faults).unwrap());
    assert!(matches!(world.run(&job, false).await, Err(JobError::Aws(error)) if error.is_ambiguous()));
    assert_eq!(world.records().await[0].stage, Stage::Lost);
    assert!(matches!(world.run(&job, false).await, Err(JobError::Ended(_))));
    assert_eq!(world.done("ConverseStream"), 1);
}

#[tokio::test]
async fn a_budget_is_held_before_the_first_call() {
    let world = World::new().await;
    let before = world.sandbox.call_count();
    let dear = CONVERSE.replace("0.01 USD", "0.000001 USD");
    let error = world.run(&world.load(&dear).await.unwrap(), false).await.unwrap_err();
    assert!(matches!(error, JobError::OverBudget { .. }), "{error}");
    let unpriced = CONVERSE.replace("amazon.nova-lite-v1:0", "meta.llama3-1-8b-instruct-v1:0");
    let error = world.run(&world.load(&unpriced).await.unwrap(), false).await.unwrap_err();
    assert!(matches!(error, JobError::UnknownPrice { .. }), "{error}");
    assert_eq!(world.sandbox.call_count(), before);
    assert!(world.records().await.is_empty());
    let stated = format!("{unpriced}price: {{ input_tokens: 1 USD, output_tokens: 2 USD }}\n");
    assert_eq!(world.run(&world.load(&stated).await.unwrap(), false).await.unwrap().record.stage, Stage::Succeeded);
}
