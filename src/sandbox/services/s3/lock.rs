//! Object lock: the bucket's configuration, what it gives new objects, and what it keeps from being deleted.

use serde_json::{Map, Value, json};

use super::{Bucket, bucket, change, denied, fault, invalid, malformed_xml, refused};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("GetObjectLockConfiguration", get_object_lock_configuration),
    ("PutObjectLockConfiguration", put_object_lock_configuration),
];

const DAY_S: f64 = 86_400.0;

fn get_object_lock_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match found.value.get("_lock") {
        Some(lock) => Ok(json!({"ObjectLockConfiguration": lock})),
        None => {
            let message = "Object Lock configuration does not exist for this bucket";
            Err(fault("ObjectLockConfigurationNotFoundError", 404, message).with("BucketName", found.name))
        }
    }
}

fn put_object_lock_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let Some(given) = input.get("ObjectLockConfiguration").cloned() else { return Err(malformed_xml()) };
    if text(&given, "ObjectLockEnabled") != "Enabled" {
        return Err(malformed_xml());
    }
    if found.versioning() != "Enabled" {
        let message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
        return Err(fault("InvalidBucketState", 409, message));
    }
    if let Some(rule) = given.get("Rule") {
        let default = &rule["DefaultRetention"];
        let times: Vec<i64> = ["Days", "Years"].iter().filter_map(|name| default[*name].as_i64()).collect();
        if times.len() != 1 || default.get("Mode").is_none() {
            return Err(malformed_xml());
        }
        if times[0] < 1 {
            return Err(invalid("Default retention period must be a positive integer value."));
        }
    }
    change(call, &found, |bucket| bucket["_lock"] = given);
    Ok(json!({}))
}

/// Works out the lock of a new version, from the request or the bucket's default.
pub(super) fn of_new(call: &Call<'_>, bucket: &Bucket, input: &Value) -> Result<Map<String, Value>, AwsError> {
    let names = ["ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"];
    let given: Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), input.get(*name)?.clone()))).collect();
    let Some(lock) = bucket.value.get("_lock") else {
        if given.is_empty() {
            return Ok(given);
        }
        let message = "Bucket is missing Object Lock Configuration";
        return Err(refused(message));
    };
    if given.contains_key("ObjectLockMode") != given.contains_key("ObjectLockRetainUntilDate") {
        return Err(invalid("x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"));
    }
    if let Some(until) = given.get("ObjectLockRetainUntilDate").and_then(Value::as_f64) {
        if until <= call.now() {
            return Err(invalid("The retain until date must be in the future!"));
        }
        return Ok(given);
    }
    let mut out = given;
    let default = &lock["Rule"]["DefaultRetention"];
    if let Some(mode) = optional(default, "Mode") {
        let days = default["Days"].as_f64().or(default["Years"].as_f64().map(|years| years * 365.0));
        out.insert("ObjectLockMode".to_owned(), json!(mode));
        out.insert("ObjectLockRetainUntilDate".to_owned(), json!(call.now() + days.unwrap_or_default() * DAY_S));
    }
    Ok(out)
}

/// Refuses to delete a version that is locked.
pub(super) fn check_delete(call: &Call<'_>, version: &Value, bypass: bool) -> Result<(), AwsError> {
    let held = text(version, "ObjectLockLegalHoldStatus") == "ON";
    let until = version["ObjectLockRetainUntilDate"].as_f64();
    let retained = until.is_some_and(|until| until > call.now());
    let lifted = bypass && text(version, "ObjectLockMode") == "GOVERNANCE";
    if held || (retained && !lifted) {
        return Err(denied());
    }
    Ok(())
}
