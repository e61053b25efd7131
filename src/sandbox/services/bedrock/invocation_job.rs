//! Batch inference: a job reads records from S3 and writes an answer for each.
//!
//! The output is written when the finished job is next looked at: nothing runs in the background.

use serde_json::{Value, json};

use super::model::resolve;
use super::{new_tags, not_found, validation};
use crate::sandbox::call::{Call, Transition, optional, settle, text};
use crate::sandbox::delivery::s3_uri;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids::BASE36;
use crate::sandbox::services::Operations;
use crate::sandbox::services::bedrock_runtime::invoke::batch_answer;

pub(super) const OPERATIONS: Operations = &[
    ("CreateModelInvocationJob", create),
    ("GetModelInvocationJob", get),
    ("ListModelInvocationJobs", list),
    ("StopModelInvocationJob", stop),
];

pub(super) const JOBS: &str = "invocation_jobs";
/// Seconds until each next state.
const VALIDATING_S: f64 = 30.0;
const SCHEDULED_S: f64 = 30.0;
const IN_PROGRESS_S: f64 = 60.0;
const WORKING_S: f64 = 180.0;
const STOPPING_S: f64 = 20.0;

fn find(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let given = text(input, "jobIdentifier");
    let id = given.rsplit('/').next().unwrap_or(given);
    let found = call.get(JOBS, id).map(|found| (id.to_owned(), found));
    found.ok_or_else(|| not_found(format!("The invocation job {given} was not found.")))
}

/// Returns the objects that a job reads; none where S3 is not simulated.
fn input_keys(call: &mut Call<'_>, uri: &str) -> Result<Vec<(String, String)>, AwsError> {
    let (bucket, prefix) = s3_uri(uri).ok_or_else(|| validation(format!("{uri} is not a valid S3 URI.")))?;
    let keys = call.object_keys(bucket, prefix)?;
    Ok(keys.into_iter().filter(|key| !key.ends_with('/')).map(|key| (bucket.to_owned(), key)).collect())
}

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "clientRequestToken"), input, |call| {
        let name = text(input, "jobName");
        let model = resolve(call, text(input, "modelId"))?;
        let tags = new_tags(input)?;
        let source = text(&input["inputDataConfig"]["s3InputDataConfig"], "s3Uri");
        let target = text(&input["outputDataConfig"]["s3OutputDataConfig"], "s3Uri");
        if s3_uri(source).is_none() || s3_uri(target).is_none() {
            return Err(validation("Input and output have to be S3 URIs."));
        }
        if call.any(JOBS, |_, other| text(other, "jobName") == name) {
            let message = format!("A job with the name {name} already exists.");
            return Err(AwsError::new("ConflictException", message));
        }
        let id = call.letters(BASE36, 12);
        let arn = call.arn(&format!("model-invocation-job/{id}"));
        let mut job = json!({
            "jobArn": arn, "_arn": arn, "jobName": name, "modelId": input["modelId"], "roleArn": input["roleArn"],
            "status": "Submitted", "submitTime": call.timestamp(), "lastModifiedTime": call.timestamp(),
            "inputDataConfig": input["inputDataConfig"], "outputDataConfig": input["outputDataConfig"],
            "timeoutDurationInHours": input["timeoutDurationInHours"].as_u64().unwrap_or(24), "tags": tags,
            "_model": model,
        });
        if let Some(vpc) = input.get("vpcConfig") {
            job["vpcConfig"] = vpc.clone();
        }
        let fault = match input_keys(call, source) {
            Ok(keys) if keys.is_empty() => Some(format!("No input was found at {source}.")),
            Err(error) if error.code != "NotImplementedBySandbox" => Some(error.message),
            _ => None,
        };
        let now = call.now();
        let timeline = Transition::from(now).then(VALIDATING_S, json!({"status": "Validating"}));
        let timeline = match fault {
            Some(message) => {
                let end = now + VALIDATING_S + SCHEDULED_S;
                timeline.then(SCHEDULED_S, json!({"status": "Failed", "message": message, "endTime": end}))
            }
            None => {
                let end = now + VALIDATING_S + SCHEDULED_S + IN_PROGRESS_S + WORKING_S;
                timeline
                    .then(SCHEDULED_S, json!({"status": "Scheduled"}))
                    .then(IN_PROGRESS_S, json!({"status": "InProgress"}))
                    .then(WORKING_S, json!({"status": "Completed", "endTime": end, "lastModifiedTime": end}))
            }
        };
        timeline.attach(&mut job);
        call.put(JOBS, &id, job);
        Ok(json!({"jobArn": arn}))
    })
}

/// Writes the answers of a finished job, once.
fn deliver(call: &mut Call<'_>, id: &str) {
    let Some(found) = call.get(JOBS, id) else { return };
    if text(&found, "status") != "Completed" || found.get("_delivered").is_some() {
        return;
    }
    let source = text(&found["inputDataConfig"]["s3InputDataConfig"], "s3Uri").to_owned();
    let target = text(&found["outputDataConfig"]["s3OutputDataConfig"], "s3Uri").to_owned();
    let (Ok(keys), Some((bucket, prefix))) = (input_keys(call, &source), s3_uri(&target)) else { return };
    let (mut total, mut good) = (0_u64, 0_u64);
    let folder = format!("{}/{id}", prefix.trim_end_matches('/'));
    let folder = folder.trim_start_matches('/').to_owned();
    for (from, key) in keys {
        let Ok(bytes) = call.get_object(&from, &key) else { continue };
        let mut out = String::new();
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            total += 1;
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            let mut row = json!({"recordId": record["recordId"], "modelInput": record["modelInput"]});
            match batch_answer(call, text(&found, "modelId"), &record["modelInput"]) {
                Ok(answer) => {
                    good += 1;
                    row["modelOutput"] = answer;
                }
                Err(error) => row["error"] = json!({"errorCode": 400, "errorMessage": error.message}),
            }
            out.push_str(&row.to_string());
            out.push('\n');
        }
        let name = key.rsplit('/').next().unwrap_or(&key).to_owned();
        let _ = call.put_object(bucket, &format!("{folder}/{name}.out"), out.into_bytes());
    }
    let counts = json!({"totalRecordCount": total, "processedRecordCount": total, "successRecordCount": good, "errorRecordCount": total - good});
    let _ = call.put_object(bucket, &format!("{folder}/manifest.json.out"), counts.to_string().into_bytes());
    call.change(JOBS, id, |job| {
        job["_delivered"] = json!(true);
        for (key, value) in counts.as_object().into_iter().flatten() {
            job[key] = value.clone();
        }
    });
}

fn get(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, _) = find(call, input)?;
    deliver(call, &id);
    find(call, input).map(|(_, found)| found)
}

fn list(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut rows = call.list(JOBS);
    rows.retain(|(_, row)| {
        let at = row["submitTime"].as_f64().unwrap_or_default();
        optional(input, "statusEquals").is_none_or(|status| text(row, "status") == status)
            && optional(input, "nameContains").is_none_or(|part| text(row, "jobName").contains(part))
            && input["submitTimeAfter"].as_f64().is_none_or(|after| at > after)
            && input["submitTimeBefore"].as_f64().is_none_or(|before| at < before)
    });
    call.paged(input, "invocationJobSummaries", rows, 100)
}

fn stop(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = find(call, input)?;
    if !["Submitted", "Validating", "Scheduled", "InProgress"].contains(&text(&found, "status")) {
        let message = format!("The job is in status {} and can't be stopped.", text(&found, "status"));
        return Err(AwsError::new("ConflictException", message));
    }
    let now = call.now();
    call.change(JOBS, &id, |job| {
        settle(job);
        job["status"] = json!("Stopping");
        let end = json!({"status": "Stopped", "endTime": now + STOPPING_S});
        Transition::from(now).then(STOPPING_S, end).attach(job);
    });
    Ok(json!({}))
}
