//! Job files: everything wrong is told at once, with the place and a hint.

use opora::diagnostic::Location;

use super::converse::CONVERSE;
use super::training::TRAIN;
use super::world::World;

/// Loads a text and returns code, underlined text, label and help of each diagnostic.
async fn problems(world: &World, text: &str) -> Vec<String> {
    let found = world.load(text).await.err().unwrap_or_default();
    let one = |diagnostic: &opora::diagnostic::Diagnostic| {
        let label = diagnostic.labels.first();
        let place = label.map_or("", |label| match &label.location {
            Location::Span(span) => &text[span.start..span.end],
            Location::Argument { .. } => "",
        });
        let text = label.map_or("", |label| label.text.as_str());
        format!("{} {place:?}: {text}; {}", diagnostic.code, diagnostic.help.as_deref().unwrap_or_default())
    };
    found.iter().map(one).collect()
}

#[tokio::test]
async fn every_problem_is_told_with_its_place() {
    let world = World::new().await;
    let text = TRAIN
        .replace("iam_role.trainer.arn", "iam_role.trainr.arn")
        .replace("deadline: 1h", "dedline: 1h")
        .replace("type: ml.m5.xlarge", "type: m5.xlarge")
        .replace("budget: 1 USD", "budget: much\nnotify: [x]")
        .replace("environment: research", "environment: prod");
    insta::assert_debug_snapshot!(problems(&world, &text).await, @r#"
    [
        "JOB003 \"\": a job has no `deadline`; add `deadline: 8h`",
        "JOB005 \"prod\": the spec's environment is `research`; name the spec of this environment with `--file`",
        "JOB006 \"iam_role.trainr.arn\": `iam_role.trainr` is not in the state; did you mean `trainer`?",
        "JOB009 \"train.jsonl\": `train.jsonl`: No such file or directory (os error 2); paths are relative to the job file",
        "JOB005 \"m5.xlarge\": `m5.xlarge` is not a training instance; write a type such as ml.m5.xlarge",
        "JOB002 \"dedline\": `dedline` is not a field of a job; did you mean `deadline`?",
        "JOB005 \"much\": `much` is not an amount such as `400 USD`; write an amount such as `400 USD`",
        "JOB008 \"[x]\": opora sends no notifications of jobs yet; remove `notify`; an EventBridge rule on the job's state does it meanwhile",
    ]
    "#);
}

#[tokio::test]
async fn what_an_engine_does_not_take_is_refused() {
    let world = World::new().await;
    world.write("train.jsonl", "{}");
    let check = async |text: String, expected: &str| {
        let found = problems(&world, &text).await;
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}\nin {found:#?}");
    };
    let jumpstart =
        TRAIN.replace("image: 111122223333.dkr.ecr.us-east-1.amazonaws.com/train:1", "model: { jumpstart: x }");
    check(jumpstart, "JOB008").await;
    check(TRAIN.replace("type: ml.m5.xlarge", "type: ml.p5.48xlarge, volume_kms_key: k"), "local disks").await;
    check(TRAIN.replace("upload: train.jsonl", "upload: gone.jsonl"), "JOB009 \"gone.jsonl\"").await;
    check(TRAIN.replace("sagemaker.training", "sagemaker.trainig"), "did you mean `sagemaker.training`?").await;
    check(format!("{CONVERSE}guardrail: {{ id: g, version: DRAFT }}\n"), "published version").await;
    check(format!("{CONVERSE}messages: [{{ role: user, text: x }}]\n"), "`prompt` is there too").await;
    check(CONVERSE.replace("max_tokens: 200", "max_tokens: 0"), "JOB005 \"0\"").await;
    check(format!("{CONVERSE}hyperparameters: {{}}\n"), "JOB002 \"hyperparameters\"").await;
    check(CONVERSE.replace("job: ask", "job: Ask"), "JOB005 \"Ask\"").await;
    check("job: [".to_owned(), "SPEC004").await;
    check("[]".to_owned(), "JOB004").await;
}

#[tokio::test]
async fn prompts_come_from_files_and_expressions_from_the_state() {
    let world = World::new().await;
    world.write("prompt.txt", "Tell $(nothing) of it.");
    let text = CONVERSE
        .replace(
            "What does a pillar of the zebrafish carry, and why does it stand for so long?",
            "{ file: prompt.txt }",
        )
        .replace("Answer in one sentence about the aardvark.", "Data lies in $(s3_bucket.datasets.name), $$(here).");
    let job = world.load(&text).await.unwrap();
    let run = world.run(&job, false).await.unwrap();
    let answer = std::fs::read_to_string(world.answers().join(&run.record.remote.outputs["text"])).unwrap();
    assert!(answer.contains("Tell $(nothing) of it."), "{answer}");
}
