//! Customisation jobs and the custom models they make.

use serde_json::{Value, json};

use super::model::{can_be_tuned, model_arn};
use super::{new_tags, not_found, validation};
use crate::sandbox::call::{Call, Transition, optional, settle, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids::BASE36;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateModelCustomizationJob", create),
    ("DeleteCustomModel", delete_model),
    ("GetCustomModel", get_model),
    ("GetModelCustomizationJob", get),
    ("ListCustomModels", list_models),
    ("ListModelCustomizationJobs", list),
    ("StopModelCustomizationJob", stop),
];

pub(super) const JOBS: &str = "customization_jobs";
pub(super) const MODELS: &str = "custom_models";
/// Seconds that a job trains, and that it takes to stop.
const TRAINING_S: f64 = 1800.0;
const STOPPING_S: f64 = 30.0;

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "clientRequestToken"), input, |call| {
        let (name, model) = (text(input, "jobName"), text(input, "customModelName"));
        let base = text(input, "baseModelIdentifier");
        let base = base.rsplit('/').next().unwrap_or(base);
        if !can_be_tuned(base) {
            return Err(validation(format!("The model {base} can't be customized.")));
        }
        let tags = new_tags(&json!({"tags": input.get("jobTags").cloned().unwrap_or_else(|| json!([]))}))?;
        let model_tags =
            new_tags(&json!({"tags": input.get("customModelTags").cloned().unwrap_or_else(|| json!([]))}))?;
        if call.any(JOBS, |_, other| text(other, "jobName") == name) {
            return Err(AwsError::new("ConflictException", format!("A job with the name {name} already exists.")));
        }
        let taken = call.any(MODELS, |_, other| text(other, "modelName") == model);
        let planned = call.any(JOBS, |_, other| text(other, "outputModelName") == model);
        if taken || planned {
            return Err(AwsError::new("ConflictException", format!("A model with the name {model} already exists.")));
        }
        let id = call.letters(BASE36, 12);
        let arn = call.arn(&format!("model-customization-job/{base}/{id}"));
        let mut job = json!({
            "jobArn": arn, "_arn": arn, "jobName": name, "outputModelName": model, "roleArn": input["roleArn"],
            "status": "InProgress", "creationTime": call.timestamp(), "lastModifiedTime": call.timestamp(),
            "baseModelArn": model_arn(call, base), "trainingDataConfig": input["trainingDataConfig"],
            "validationDataConfig": input.get("validationDataConfig").cloned().unwrap_or_else(|| json!({"validators": []})),
            "outputDataConfig": input["outputDataConfig"],
            "customizationType": optional(input, "customizationType").unwrap_or("FINE_TUNING"),
            "hyperParameters": input.get("hyperParameters").cloned().unwrap_or_else(|| json!({})),
            "tags": tags, "_model_tags": model_tags,
        });
        for (given, kept) in [("vpcConfig", "vpcConfig"), ("customModelKmsKeyId", "outputModelKmsKeyArn")] {
            if let Some(value) = input.get(given) {
                job[kept] = value.clone();
            }
        }
        let model_arn = call.arn(&format!("custom-model/{base}/{id}"));
        let end = call.now() + TRAINING_S;
        let members = json!({
            "status": "Completed", "outputModelArn": model_arn, "endTime": end, "lastModifiedTime": end,
            "trainingMetrics": {"trainingLoss": 0.25},
        });
        Transition::from(call.now()).then(TRAINING_S, members).attach(&mut job);
        call.put(JOBS, &id, job);
        Ok(json!({"jobArn": arn}))
    })
}

/// Makes the models of all jobs that have completed.
fn settle_models(call: &mut Call<'_>) {
    for (id, job) in call.list(JOBS) {
        if text(&job, "status") != "Completed" || job.get("_made").is_some() {
            continue;
        }
        let arn = &job["outputModelArn"];
        let model = json!({
            "modelArn": arn, "_arn": arn, "modelName": job["outputModelName"], "jobName": job["jobName"],
            "jobArn": job["jobArn"], "baseModelArn": job["baseModelArn"],
            "customizationType": job["customizationType"], "hyperParameters": job["hyperParameters"],
            "trainingDataConfig": job["trainingDataConfig"], "outputDataConfig": job["outputDataConfig"],
            "creationTime": job["endTime"], "modelStatus": "Active", "tags": job["_model_tags"],
        });
        call.put(MODELS, &id, model);
        call.change(JOBS, &id, |job| job["_made"] = json!(true));
    }
}

fn find(call: &Call<'_>, collection: &str, given: &str, name: &str) -> Result<(String, Value), AwsError> {
    let id = given.rsplit('/').next().unwrap_or(given);
    let mut all = call.list(collection).into_iter();
    let found = all.find(|(key, row)| key == id || text(row, name) == given);
    found.ok_or_else(|| not_found(format!("{given} was not found.")))
}

fn get(call: &mut Call<'_>, input: &Value) -> Answer {
    settle_models(call);
    find(call, JOBS, text(input, "jobIdentifier"), "jobName").map(|(_, found)| found)
}

fn list(call: &mut Call<'_>, input: &Value) -> Answer {
    settle_models(call);
    let mut rows = call.list(JOBS);
    rows.retain(|(_, row)| {
        optional(input, "statusEquals").is_none_or(|status| text(row, "status") == status)
            && optional(input, "nameContains").is_none_or(|part| text(row, "jobName").contains(part))
    });
    for (_, row) in &mut rows {
        row["customModelName"] = row["outputModelName"].clone();
        if let Some(arn) = row.get("outputModelArn").cloned() {
            row["customModelArn"] = arn;
        }
    }
    call.paged(input, "modelCustomizationJobSummaries", rows, 100)
}

fn stop(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = find(call, JOBS, text(input, "jobIdentifier"), "jobName")?;
    if text(&found, "status") != "InProgress" {
        let message = format!("The job is in status {} and can't be stopped.", text(&found, "status"));
        return Err(AwsError::new("ConflictException", message));
    }
    let now = call.now();
    call.change(JOBS, &id, |job| {
        settle(job);
        job["status"] = json!("Stopping");
        Transition::from(now).then(STOPPING_S, json!({"status": "Stopped", "endTime": now + STOPPING_S})).attach(job);
    });
    Ok(json!({}))
}

fn get_model(call: &mut Call<'_>, input: &Value) -> Answer {
    settle_models(call);
    find(call, MODELS, text(input, "modelIdentifier"), "modelName").map(|(_, found)| found)
}

fn list_models(call: &mut Call<'_>, input: &Value) -> Answer {
    settle_models(call);
    let mut rows = call.list(MODELS);
    rows.retain(|(_, row)| optional(input, "nameContains").is_none_or(|part| text(row, "modelName").contains(part)));
    for (_, row) in &mut rows {
        let base = text(row, "baseModelArn").rsplit('/').next().unwrap_or_default().to_owned();
        row["baseModelName"] = json!(base);
    }
    call.paged(input, "modelSummaries", rows, 100)
}

fn delete_model(call: &mut Call<'_>, input: &Value) -> Answer {
    settle_models(call);
    let (id, _) = find(call, MODELS, text(input, "modelIdentifier"), "modelName")?;
    call.remove(MODELS, &id);
    Ok(json!({}))
}
