//! `sagemaker.training`: data, progress, model; failure, cancellation, deadline, refusals.

use opora::jobs::{self, JobError, Stage};

use super::world::{ACCOUNT, BUCKET, Gate, World};

pub const TRAIN: &str = r#"
opora: 1
job: finetune
environment: research
engine: sagemaker.training
image: 111122223333.dkr.ecr.us-east-1.amazonaws.com/train:1
role: $(iam_role.trainer.arn)
data: { upload: train.jsonl, to: $(s3_bucket.datasets.name) }
output: { bucket: $(s3_bucket.datasets.name) }
instance: { type: ml.m5.xlarge }
hyperparameters: { epochs: 3, sandbox_seconds: 1 }
deadline: 1h
budget: 1 USD
"#;

async fn world() -> World {
    let world = World::new().await;
    world.write("train.jsonl", "{\"text\": \"wombat\"}\n");
    world
}

#[tokio::test]
async fn a_job_trains_on_uploaded_data_and_says_where_its_model_is() {
    let world = world().await;
    let job = world.load(TRAIN).await.unwrap();
    let run = world.run(&job, false).await.unwrap();
    let record = &run.record;
    assert_eq!(record.stage, Stage::Succeeded);
    let model = &record.remote.outputs["model"];
    assert!(model.starts_with(&format!("s3://{BUCKET}/jobs/output/{}", record.name)), "{model}");
    assert!(record.remote.usage.billable_seconds.is_some_and(|seconds| seconds > 0));
    assert!(record.cost.is_some_and(|cost| cost <= record.worst_case.unwrap()));

    let aws = world.aws(&Gate::open());
    let there = aws.sagemaker().describe_training_job().training_job_name(&record.name).send().await.unwrap();
    let key = world.state().await.resources[&"kms_key.data".parse().unwrap()].attributes["arn"].clone();
    let key = key.as_str();
    assert_eq!(there.stopping_condition().unwrap().max_runtime_in_seconds(), Some(3600));
    assert_eq!(there.output_data_config().unwrap().kms_key_id(), key);
    assert_eq!(there.resource_config().unwrap().volume_kms_key_id(), key);
    assert_eq!(there.hyper_parameters().unwrap()["epochs"], "3");
    let channel = there.input_data_config()[0].data_source().unwrap().s3_data_source().unwrap();
    let object = &world.object_keys().await[0];
    assert_eq!(format!("s3://{BUCKET}/{object}"), format!("{}train.jsonl", channel.s3_uri().unwrap()));
    let head = aws.s3().head_object().bucket(BUCKET).key(object).send().await.unwrap();
    assert_eq!(head.ssekms_key_id(), key);
    let tags = aws.sagemaker().list_tags().resource_arn(record.remote.id.as_ref().unwrap()).send().await.unwrap();
    let tags: Vec<(&str, &str)> = tags.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    for wanted in [("opora:environment", "research"), ("opora:job", &record.id), ("owner", "ml")] {
        assert!(tags.contains(&wanted), "{wanted:?} in {tags:?}");
    }

    // Other data under the same name is another job; the old data is not sent again.
    let again = world.run(&job, true).await.unwrap();
    assert_eq!((again.record.attempt, world.done("PutObject")), (2, 1));
    world.write("train.jsonl", "{\"text\": \"numbat\"}\n");
    let other = world.run(&job, false).await.unwrap();
    assert_ne!(other.record.digest, record.digest);
    assert_eq!((world.done("PutObject"), world.training_jobs().await), (2, 3));
    assert!(!world.whole_log().await.contains("wombat"));
}

#[tokio::test]
async fn a_failed_job_says_why_and_runs_again_only_when_asked() {
    let world = world().await;
    let job = world.load(&TRAIN.replace("sandbox_seconds: 1", "sandbox_fail: out of wombats")).await.unwrap();
    let run = world.run(&job, false).await.unwrap();
    assert_eq!(run.record.stage, Stage::Failed);
    assert!(run.record.remote.reason.as_ref().is_some_and(|reason| reason.contains("out of wombats")));
    let error = world.run(&job, false).await.unwrap_err();
    let diagnostic = error.diagnostic();
    assert_eq!(diagnostic.code, "JOB013");
    assert!(diagnostic.detail.is_some_and(|detail| detail.contains("out of wombats")));
    assert_eq!(world.training_jobs().await, 1);
    assert_eq!(world.run(&job, true).await.unwrap().record.attempt, 2);
    assert_eq!(world.training_jobs().await, 2);
}

#[tokio::test]
async fn nothing_runs_past_its_deadline() {
    let world = world().await;
    let job = world.load(&TRAIN.replace("sandbox_seconds: 1", "sandbox_seconds: 90000")).await.unwrap();
    let run = world.run(&job, false).await.unwrap();
    assert_eq!(run.record.stage, Stage::Failed);
    assert!(run.record.remote.reason.is_some_and(|reason| reason.contains("deadline")));
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_a_planned_one_is_never_sent() {
    let world = world().await;
    let job = world.load(TRAIN).await.unwrap();
    // Found by its name and stopped, wherever its client was killed.
    let mut outcomes = Vec::new();
    for at in [3, 8, 12, 14] {
        let world = self::world().await;
        assert!(world.run_gated(&Gate::killing_at(at), &job_of(&world).await, false).await.is_none());
        let before = world.training_jobs().await;
        let record = world.with(&Gate::open(), async |jobs| jobs.cancel("finetune").await).await.unwrap().unwrap();
        assert_eq!(record.stage, Stage::Cancelled, "moment {at}");
        assert_eq!((world.training_jobs().await, world.done("StopTrainingJob")), (before, before), "moment {at}");
        let refused = world.run(&job_of(&world).await, false).await.unwrap_err();
        assert!(matches!(refused, JobError::Ended(_)), "{refused}");
        outcomes.push(before);
    }
    assert!(outcomes.contains(&0) && outcomes.contains(&1), "{outcomes:?}");
    world.run(&job, false).await.unwrap();
    let late = world.with(&Gate::open(), async |jobs| jobs.cancel("finetune").await).await.unwrap();
    assert!(matches!(late, Err(JobError::NotCancellable { .. })));
}

async fn job_of(world: &World) -> jobs::Job {
    world.load(TRAIN).await.unwrap()
}

#[tokio::test]
async fn a_cancel_meets_a_client_that_sends() {
    let world = world().await;
    let job = world.load(TRAIN).await.unwrap();
    let cancel = async {
        loop {
            match world.with(&Gate::open(), async |jobs| jobs.cancel("finetune").await).await.unwrap() {
                Err(JobError::NotFound { .. }) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let (run, cancelled) = tokio::join!(world.run(&job, false), cancel);
    assert_eq!(cancelled.unwrap().stage, Stage::Cancelled);
    assert_eq!(run.unwrap().record.stage, Stage::Cancelled);
    assert_eq!(world.training_jobs().await, world.done("StopTrainingJob"));
}

#[tokio::test]
async fn refusals_and_lost_replies_leave_one_job() {
    for (kind, fails) in [("denied", true), ("lost_reply", false), ("server_error", false), ("throttle", false)] {
        let world = world().await;
        let job = world.load(TRAIN).await.unwrap();
        let faults = format!(r#"{{"faults": [{{"operation": "CreateTrainingJob", "nth": 1, "kind": "{kind}"}}]}}"#);
        world.sandbox.set_conditions(serde_json::from_str(&faults).unwrap());
        let first = world.run(&job, false).await;
        assert_eq!(first.is_err(), fails, "{kind}");
        if fails {
            let record = world.records().await.remove(0);
            assert_eq!(record.stage, Stage::Planned);
            assert_eq!(record.refusal.unwrap().action, "sagemaker:CreateTrainingJob");
        }
        assert_eq!(world.run(&job, false).await.unwrap().record.stage, Stage::Succeeded, "{kind}");
        assert_eq!(world.training_jobs().await, 1, "{kind}");
    }
}

#[tokio::test]
async fn a_job_of_the_name_that_is_not_ours_is_not_adopted() {
    let world = world().await;
    let job = world.load(TRAIN).await.unwrap();
    world.run(&job, false).await.unwrap();
    let name = world.records().await.remove(0).name;
    let other = self::world().await;
    let aws = other.aws(&Gate::open());
    use aws_sdk_sagemaker::types::*;
    aws.sagemaker()
        .create_training_job()
        .training_job_name(&name)
        .role_arn(format!("arn:aws:iam::{ACCOUNT}:role/trainer"))
        .algorithm_specification(
            AlgorithmSpecification::builder().training_image("x").training_input_mode(TrainingInputMode::File).build(),
        )
        .output_data_config(OutputDataConfig::builder().s3_output_path(format!("s3://{BUCKET}/x")).build())
        .resource_config(
            ResourceConfig::builder()
                .instance_type(TrainingInstanceType::MlM5Xlarge)
                .instance_count(1)
                .volume_size_in_gb(30)
                .build(),
        )
        .stopping_condition(StoppingCondition::builder().max_runtime_in_seconds(60).build())
        .send()
        .await
        .unwrap();
    let job = other.load(TRAIN).await.unwrap();
    // The key in the fields differs between the two worlds only if the sandbox's ids do.
    let error = other.run(&job, false).await.unwrap_err();
    assert!(matches!(error, JobError::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn jobs_are_found_by_name_id_and_the_start_of_it() {
    let world = world().await;
    let job = world.load(TRAIN).await.unwrap();
    let id = world.run(&job, false).await.unwrap().record.id;
    world.run(&job, true).await.unwrap();
    let state = world.state().await;
    for text in ["finetune", &id, &id[..12], &format!("{id}.2")] {
        assert_eq!(jobs::find(&state, text).unwrap().attempt, 2, "{text}");
    }
    assert!(matches!(jobs::find(&state, "other"), Err(JobError::NotFound { .. })));
    world.write("train.jsonl", "other");
    world.run(&job, false).await.unwrap();
    let state = world.state().await;
    assert!(matches!(jobs::find(&state, "finetune"), Err(JobError::Ambiguous { fits, .. }) if fits.len() == 2));
}
