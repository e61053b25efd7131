//! Lifecycle configurations: checked as S3 checks them and given back. Nothing expires by them.

use serde_json::{Value, json};

use super::{bucket, change, fault, invalid, malformed_xml, refused};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketLifecycle", delete_bucket_lifecycle),
    ("GetBucketLifecycleConfiguration", get_bucket_lifecycle_configuration),
    ("PutBucketLifecycleConfiguration", put_bucket_lifecycle_configuration),
];

const DEFAULT_MINIMUM: &str = "all_storage_classes_128K";

fn get_bucket_lifecycle_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match found.value["_lifecycle"].as_object() {
        Some(lifecycle) => Ok(Value::Object(lifecycle.clone())),
        None => {
            let message = "The lifecycle configuration does not exist";
            Err(fault("NoSuchLifecycleConfiguration", 404, message).with("BucketName", found.name))
        }
    }
}

fn delete_bucket_lifecycle(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_lifecycle"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn put_bucket_lifecycle_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let mut rules = input["LifecycleConfiguration"]["Rules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() || rules.len() > 1000 {
        return Err(malformed_xml());
    }
    let mut ids = std::collections::BTreeSet::new();
    for rule in &mut rules {
        check(rule)?;
        if text(rule, "ID").is_empty() {
            rule["ID"] = json!(call.uuid());
        }
        if text(rule, "ID").len() > 255 {
            return Err(invalid("ID length should not exceed allowed limit of 255"));
        }
        if !ids.insert(text(rule, "ID").to_owned()) {
            return Err(invalid("Rule ID must be unique. Found same ID for more than one rule"));
        }
    }
    let minimum = optional(input, "TransitionDefaultMinimumObjectSize").unwrap_or(DEFAULT_MINIMUM);
    let kept = json!({"Rules": rules, "TransitionDefaultMinimumObjectSize": minimum});
    change(call, &found, |bucket| bucket["_lifecycle"] = kept);
    Ok(json!({"TransitionDefaultMinimumObjectSize": minimum}))
}

const ACTIONS: [&str; 5] = [
    "Expiration",
    "Transitions",
    "NoncurrentVersionTransitions",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
];

fn check(rule: &Value) -> Result<(), AwsError> {
    if rule.get("Prefix").is_some() == rule.get("Filter").is_some() {
        return Err(malformed_xml());
    }
    let filter = &rule["Filter"];
    if filter.as_object().is_some_and(|members| members.len() > 1) {
        return Err(malformed_xml());
    }
    if !ACTIONS.iter().any(|action| rule.get(*action).is_some()) {
        let message = "At least one action needs to be specified in a rule";
        return Err(refused(message));
    }
    let tagged = filter.get("Tag").is_some() || filter["And"].get("Tags").is_some();
    if tagged && rule.get("AbortIncompleteMultipartUpload").is_some() {
        let message = "AbortIncompleteMultipartUpload cannot be specified with Tags.";
        return Err(refused(message));
    }
    check_expiration(rule, tagged)?;
    for transition in rule["Transitions"].as_array().into_iter().flatten() {
        check_transition(rule, transition)?;
    }
    let positive = |path: &Value, member: &str, action: &str| match path.get(member).and_then(Value::as_i64) {
        Some(days) if days < 1 => Err(invalid(&format!("'{member}' for {action} action must be a positive integer"))),
        _ => Ok(()),
    };
    positive(&rule["NoncurrentVersionExpiration"], "NoncurrentDays", "NoncurrentVersionExpiration")?;
    positive(&rule["AbortIncompleteMultipartUpload"], "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
}

fn check_expiration(rule: &Value, tagged: bool) -> Result<(), AwsError> {
    let Some(expiration) = rule.get("Expiration") else { return Ok(()) };
    let given = ["Date", "Days", "ExpiredObjectDeleteMarker"].iter().filter(|name| expiration.get(**name).is_some());
    if given.count() != 1 {
        return Err(malformed_xml());
    }
    if expiration["Days"].as_i64().is_some_and(|days| days < 1) {
        return Err(invalid("'Days' for Expiration action must be a positive integer"));
    }
    if tagged && expiration.get("ExpiredObjectDeleteMarker").is_some() {
        let message = "ExpiredObjectDeleteMarker cannot be specified with Tags.";
        return Err(refused(message));
    }
    check_date(expiration)
}

fn check_date(action: &Value) -> Result<(), AwsError> {
    let midnight = action["Date"].as_f64().is_none_or(|seconds| seconds.rem_euclid(86_400.0) == 0.0);
    if midnight { Ok(()) } else { Err(invalid("'Date' must be at midnight GMT")) }
}

fn check_transition(rule: &Value, transition: &Value) -> Result<(), AwsError> {
    if transition.get("Days").is_some() == transition.get("Date").is_some() {
        return Err(malformed_xml());
    }
    check_date(transition)?;
    let class = text(transition, "StorageClass");
    let Some(days) = transition["Days"].as_i64() else { return Ok(()) };
    if matches!(class, "STANDARD_IA" | "ONEZONE_IA") && days < 30 {
        let message =
            format!("'Days' in Transition action must be greater than or equal to 30 for storageClass '{class}'");
        return Err(invalid(&message));
    }
    if rule["Expiration"]["Days"].as_i64().is_some_and(|expires| expires <= days) {
        let message = "'Days' in the Expiration action must be greater than 'Days' in the Transition action";
        return Err(invalid(message));
    }
    Ok(())
}
