//! Training jobs: through their states by the clock, to a model, a failure or a stop.
//!
//! Hyperparameters steer the rehearsal: `sandbox_seconds` (default 300) is how long it trains, `sandbox_fail`
//! its failure's reason. AWS has no such meaning for them. Nothing runs in the background: log events and the
//! model are written before somebody looks at the job, at logs or at S3, with the times at which they came to be.

use serde_json::{Value, json};

use super::{arn, check_role, copied, listed, new_tags, validation};
use crate::sandbox::call::{Call, Transition, text};
use crate::sandbox::delivery::{s3_uri, tar_gz};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateTrainingJob", create_training_job),
    ("DescribeTrainingJob", describe_training_job),
    ("ListTrainingJobs", list_training_jobs),
    ("StopTrainingJob", stop_training_job),
];

pub(crate) const JOBS: &str = "training_jobs";
/// Seconds of each phase.
const STARTING_S: f64 = 60.0;
const DOWNLOADING_S: f64 = 30.0;
const TRAINING_S: f64 = 300.0;
const UPLOADING_S: f64 = 20.0;
const STOPPING_S: f64 = 20.0;
const RUNTIME_MAX_S: f64 = 86_400.0;

fn job(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    call.get(JOBS, name).ok_or_else(|| validation("Requested resource not found."))
}

/// The phases a job has gone through, for `SecondaryStatusTransitions`.
struct Phases {
    at: f64,
    rows: Vec<Value>,
    timeline: Transition,
}

impl Phases {
    fn start(now: f64, status: &str, message: &str) -> (Self, Value) {
        let rows = vec![json!({"Status": status, "StartTime": now, "StatusMessage": message})];
        let first = json!(rows);
        (Phases { at: now, rows, timeline: Transition::from(now) }, first)
    }

    /// Goes to the next phase after `seconds` of the present one.
    fn then(mut self, seconds: f64, status: &str, message: &str, mut members: Value) -> Self {
        self.at += seconds;
        if let Some(last) = self.rows.last_mut() {
            last["EndTime"] = json!(self.at);
        }
        self.rows.push(json!({"Status": status, "StartTime": self.at, "StatusMessage": message}));
        members["SecondaryStatus"] = json!(status);
        members["SecondaryStatusTransitions"] = json!(self.rows);
        members["LastModifiedTime"] = json!(self.at);
        self.timeline = self.timeline.then(seconds, members);
        self
    }

    /// Ends the job after `seconds` of the present phase.
    fn end(mut self, seconds: f64, status: &str, secondary: &str, message: &str, mut members: Value) -> Transition {
        self.at += seconds;
        if let Some(last) = self.rows.last_mut() {
            last["EndTime"] = json!(self.at);
        }
        self.rows.push(json!({
            "Status": secondary, "StartTime": self.at, "EndTime": self.at, "StatusMessage": message,
        }));
        members["TrainingJobStatus"] = json!(status);
        members["SecondaryStatus"] = json!(secondary);
        members["SecondaryStatusTransitions"] = json!(self.rows);
        members["LastModifiedTime"] = json!(self.at);
        members["TrainingEndTime"] = json!(self.at);
        self.timeline.then(seconds, members)
    }
}

fn check(input: &Value) -> Result<(), AwsError> {
    for (member, inner) in
        [("AlgorithmSpecification", "TrainingInputMode"), ("ResourceConfig", ""), ("StoppingCondition", "")]
    {
        if input.get(member).is_none() {
            return Err(validation(format!("{member} has to be specified.")));
        }
        if !inner.is_empty() && input[member].get(inner).is_none() {
            return Err(validation(format!("{member}.{inner} has to be specified.")));
        }
    }
    let algorithm = &input["AlgorithmSpecification"];
    if algorithm.get("TrainingImage").is_some() == algorithm.get("AlgorithmName").is_some() {
        return Err(validation("Either TrainingImage or AlgorithmName has to be specified."));
    }
    let resources = &input["ResourceConfig"];
    let kind = text(resources, "InstanceType");
    let local_disk =
        ["ml.p4d.", "ml.p4de.", "ml.p5.", "ml.p5e.", "ml.p5en."].iter().any(|family| kind.starts_with(family));
    if local_disk && resources.get("VolumeKmsKeyId").is_some() {
        return Err(validation(format!(
            "VolumeKmsKeyId can't be specified for instance type {kind}, which has local instance storage."
        )));
    }
    let mut names = std::collections::BTreeSet::new();
    for channel in input["InputDataConfig"].as_array().into_iter().flatten() {
        let name = text(channel, "ChannelName");
        if !names.insert(name) {
            return Err(validation(format!("Channel names must be unique: {name}.")));
        }
    }
    Ok(())
}

fn create_training_job(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "TrainingJobName");
    check(input)?;
    let tags = new_tags(input)?;
    let arn = arn(call, "training-job", name);
    check_role(call, text(input, "RoleArn"), &arn)?;
    if call.get(JOBS, name).is_some() {
        let message = format!(
            "Training job names must be unique within an AWS account and region, and a training job with this name \
             already exists ({arn})"
        );
        return Err(AwsError::new("ResourceInUse", message));
    }
    let mut made = copied(
        input,
        &[
            "TrainingJobName",
            "HyperParameters",
            "AlgorithmSpecification",
            "RoleArn",
            "InputDataConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "VpcConfig",
            "StoppingCondition",
            "CheckpointConfig",
            "Environment",
            "RetryStrategy",
            "DebugHookConfig",
            "ProfilerConfig",
            "TensorBoardOutputConfig",
            "ExperimentConfig",
        ],
    );
    for flag in ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"] {
        made[flag] = json!(input[flag] == true);
    }
    let output = text(&input["OutputDataConfig"], "S3OutputPath").trim_end_matches('/').to_owned();
    made["ModelArtifacts"] = json!({"S3ModelArtifacts": format!("{output}/{name}/output/model.tar.gz")});
    made["TrainingJobArn"] = json!(arn);
    made["TrainingJobStatus"] = json!("InProgress");
    made["SecondaryStatus"] = json!("Starting");
    made["CreationTime"] = call.timestamp();
    made["LastModifiedTime"] = call.timestamp();
    made["Tags"] = tags;
    made["_arn"] = json!(arn);
    let absent = absent_input(call, input);
    let (timeline, first) = plan(call.now(), input, absent);
    made["SecondaryStatusTransitions"] = first;
    timeline.attach(&mut made);
    call.put(JOBS, name, made);
    Ok(json!({"TrainingJobArn": arn}))
}

/// Lays out what a job will go through.
fn plan(now: f64, input: &Value, absent: Option<String>) -> (Transition, Value) {
    let parameters = &input["HyperParameters"];
    let seconds = parameters["sandbox_seconds"].as_str().and_then(|text| text.parse().ok()).unwrap_or(TRAINING_S);
    let bound = input["StoppingCondition"]["MaxRuntimeInSeconds"].as_f64().unwrap_or(RUNTIME_MAX_S);
    let (phases, first) = Phases::start(now, "Starting", "Launching requested ML instances");
    let started = json!({"TrainingStartTime": now + STARTING_S});
    let phases = phases.then(STARTING_S, "Downloading", "Downloading input data", started);
    if let Some(uri) = absent {
        let reason = format!("ClientError: Data download failed: no objects found at {uri}");
        let members = json!({"FailureReason": reason});
        return (phases.end(DOWNLOADING_S, "Failed", "Failed", "Training job failed", members), first);
    }
    let phases =
        phases.then(DOWNLOADING_S, "Training", "Training image download completed. Training in progress.", json!({}));
    let ran = |seconds: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds, as SageMaker counts them")]
        let whole = seconds as i64;
        json!({"TrainingTimeInSeconds": whole, "BillableTimeInSeconds": whole})
    };
    if let Some(reason) = parameters["sandbox_fail"].as_str() {
        let mut members = ran(DOWNLOADING_S + seconds);
        members["FailureReason"] = json!(format!("AlgorithmError: {reason}, exit code: 1"));
        return (phases.end(seconds, "Failed", "Failed", "Training job failed", members), first);
    }
    let phases_end = if seconds > bound {
        let phases = phases.then(bound, "Uploading", "Uploading generated training model", json!({}));
        phases.end(
            UPLOADING_S,
            "Stopped",
            "MaxRuntimeExceeded",
            "Training job runtime exceeded MaxRuntimeInSeconds provided",
            ran(DOWNLOADING_S + bound + UPLOADING_S),
        )
    } else {
        let mut members = ran(DOWNLOADING_S + seconds + UPLOADING_S);
        let done = now + STARTING_S + DOWNLOADING_S + seconds;
        members["FinalMetricDataList"] = metrics(input, done);
        let phases = phases.then(seconds, "Uploading", "Uploading generated training model", json!({}));
        phases.end(UPLOADING_S, "Completed", "Completed", "Training job completed", members)
    };
    (phases_end, first)
}

/// Gives each metric that the request defines a value that depends on its name only.
fn metrics(input: &Value, at: f64) -> Value {
    let defined = input["AlgorithmSpecification"]["MetricDefinitions"].as_array().into_iter().flatten();
    let row = |metric: &Value| {
        let name = text(metric, "Name");
        let value = name.bytes().map(f64::from).sum::<f64>() % 100.0 / 100.0;
        json!({"MetricName": name, "Value": value, "Timestamp": at})
    };
    defined.map(row).collect()
}

/// Returns a channel's URI at which S3 has nothing, if there is one.
fn absent_input(call: &mut Call<'_>, input: &Value) -> Option<String> {
    let channels = input["InputDataConfig"].as_array().cloned().unwrap_or_default();
    channels.iter().find_map(|channel| {
        let uri = text(&channel["DataSource"]["S3DataSource"], "S3Uri");
        let (bucket, prefix) = s3_uri(uri)?;
        match call.object_keys(bucket, prefix) {
            Ok(keys) if !keys.is_empty() => None,
            Err(error) if error.code == "NotImplementedBySandbox" => None,
            _ => Some(uri.to_owned()),
        }
    })
}

/// Tells whether a job may have something to write that it has not written.
pub(crate) fn owes(job: &Value) -> bool {
    let over = matches!(text(job, "TrainingJobStatus"), "Completed" | "Failed" | "Stopped");
    !over || job.get("_settled").is_none()
}

/// Writes what a job has produced by now: its log, and its model once it has ended with one.
fn deliver(call: &mut Call<'_>, name: &str) {
    let Some(found) = call.get(JOBS, name).filter(owes) else { return };
    let transitions = found["SecondaryStatusTransitions"].as_array().cloned().unwrap_or_default();
    let now = call.now();
    let events = transitions.iter().find(|row| row["Status"] == "Training").map(|row| {
        let start = row["StartTime"].as_f64().unwrap_or(now);
        let end = row["EndTime"].as_f64().unwrap_or(now).min(now);
        log_lines(&found, start, end)
    });
    let logged = found["_logged"].as_u64().map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let events = events.unwrap_or_default();
    if events.len() > logged {
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch fit")]
        let millis = (found["CreationTime"].as_f64().unwrap_or_default() * 1000.0) as i64;
        let stream = format!("{name}/algo-1-{millis}");
        let written = call.put_log_events("/aws/sagemaker/TrainingJobs", &stream, true, &events[logged..]);
        if written.is_ok() {
            call.change(JOBS, name, |found| found["_logged"] = json!(events.len()));
        }
    }
    let has_model = ["Completed", "MaxRuntimeExceeded"].contains(&text(&found, "SecondaryStatus"));
    if has_model && found.get("_delivered").is_none() {
        let model = json!({"job": name, "parameters": found["HyperParameters"]}).to_string();
        let artifacts = s3_uri(text(&found["ModelArtifacts"], "S3ModelArtifacts"));
        call.now = found["TrainingEndTime"].as_f64().unwrap_or(now);
        let written =
            artifacts.map(|(bucket, key)| call.put_object(bucket, key, tar_gz("model.json", model.as_bytes())));
        call.now = now;
        if written.is_some_and(|written| written.is_ok()) {
            call.change(JOBS, name, |found| found["_delivered"] = json!(true));
        }
    }
    if text(&found, "TrainingJobStatus") != "InProgress" && text(&found, "TrainingJobStatus") != "Stopping" {
        // One attempt after the end: what could not be written then never is.
        call.change(JOBS, name, |found| found["_settled"] = json!(true));
    }
}

/// One line a minute of training, with each metric that the job defines.
fn log_lines(found: &Value, start: f64, end: f64) -> Vec<(f64, String)> {
    const EVERY_S: f64 = 60.0;
    let names: Vec<&str> = found["AlgorithmSpecification"]["MetricDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|metric| text(metric, "Name"))
        .collect();
    let mut out = vec![(start, format!("training {} started", text(found, "TrainingJobName")))];
    let mut epoch = 1_u32;
    while start + f64::from(epoch) * EVERY_S <= end {
        let metrics: Vec<String> =
            names.iter().map(|name| format!("{name}={:.4}", 1.0 / f64::from(epoch + 1))).collect();
        out.push((start + f64::from(epoch) * EVERY_S, format!("epoch={epoch} {}", metrics.join(" "))));
        epoch += 1;
    }
    out
}

fn describe_training_job(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "TrainingJobName");
    job(call, name)?;
    deliver(call, name);
    job(call, name)
}

fn list_training_jobs(call: &mut Call<'_>, input: &Value) -> Answer {
    let members = &[
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
    ];
    for (name, _) in call.list(JOBS) {
        deliver(call, &name);
    }
    let names = ("TrainingJobName", "TrainingJobStatus");
    listed(call, input, (JOBS, "TrainingJobSummaries"), names, members, false)
}

fn stop_training_job(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "TrainingJobName");
    let found = job(call, name)?;
    let status = text(&found, "TrainingJobStatus");
    if status != "InProgress" {
        let arn = text(&found, "TrainingJobArn");
        let message = format!("The request was rejected because the training job is in status {status}: {arn}");
        return Err(validation(message));
    }
    let now = call.now();
    let mut rows = found["SecondaryStatusTransitions"].as_array().cloned().unwrap_or_default();
    if let Some(last) = rows.last_mut() {
        last["EndTime"] = json!(now);
    }
    rows.push(json!({"Status": "Stopping", "StartTime": now, "StatusMessage": "Stopping the training job"}));
    let phases = Phases { at: now, rows: rows.clone(), timeline: Transition::from(now) };
    let ran = found["TrainingStartTime"].as_f64().map_or(0.0, |start| now - start);
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds, as SageMaker counts them")]
    let members = json!({"TrainingTimeInSeconds": ran as i64, "BillableTimeInSeconds": ran as i64});
    let timeline = phases.end(STOPPING_S, "Stopped", "Stopped", "Training job stopped", members);
    call.change(JOBS, name, |found| {
        found["TrainingJobStatus"] = json!("Stopping");
        found["SecondaryStatus"] = json!("Stopping");
        found["SecondaryStatusTransitions"] = json!(rows);
        found["LastModifiedTime"] = json!(now);
        timeline.attach(found);
    });
    Ok(json!({}))
}
