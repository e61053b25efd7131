//! Replication configurations: checked as S3 checks them and given back. Nothing is copied by them.
//!
//! The role is not looked up: S3 takes any of the caller's account, and assumes it only when it copies. A rule without
//! a `Filter` makes the whole configuration one of the schema's first version. What S3 refuses is from "List of
//! Replication-related error codes" and the API reference of `PutBucketReplication`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BUCKETS, Bucket, bucket, change, denied, invalid, malformed_xml, missing, refused};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketReplication", delete_bucket_replication),
    ("GetBucketReplication", get_bucket_replication),
    ("PutBucketReplication", put_bucket_replication),
];

const RULES_MAX: usize = 1000;
/// The only time that replication time control knows, in minutes.
const MINUTES: i64 = 15;

fn get_bucket_replication(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match &found.value["_replication"] {
        Value::Null => {
            let message = "The replication configuration was not found";
            Err(missing(&found, "ReplicationConfigurationNotFoundError", message))
        }
        kept => Ok(json!({"ReplicationConfiguration": kept})),
    }
}

fn delete_bucket_replication(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_replication"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn put_bucket_replication(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let mut given = input["ReplicationConfiguration"].clone();
    check_role(call, text(&given, "Role"))?;
    if found.versioning() != "Enabled" {
        let message = "Versioning must be 'Enabled' on the bucket to apply a replication configuration";
        return Err(refused(message).with("BucketName", found.name));
    }
    let Some(rules) = given["Rules"].as_array_mut().filter(|rules| (1..=RULES_MAX).contains(&rules.len())) else {
        return Err(malformed_xml());
    };
    let first_version = rules.iter().any(|rule| rule.get("Filter").is_none());
    let (mut ids, mut priorities) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        check_rule(rule, first_version)?;
        check_destination(call, &found, rule)?;
        if text(rule, "ID").is_empty() {
            rule["ID"] = json!(call.uuid());
        }
        if !ids.insert(text(rule, "ID").to_owned()) {
            return Err(invalid("Rule Id must be unique"));
        }
        if let Some(priority) = rule["Priority"].as_i64()
            && !priorities.insert(priority)
        {
            return Err(refused(&format!("Found duplicate priority {priority}.")));
        }
    }
    change(call, &found, |bucket| bucket["_replication"] = given);
    Ok(json!({}))
}

fn check_role(call: &Call<'_>, role: &str) -> Result<(), AwsError> {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", account, path] = parts.as_slice() else {
        return Err(invalid("Invalid Role specified in replication configuration"));
    };
    if partition != call.partition() || path.strip_prefix("role/").is_none_or(str::is_empty) {
        return Err(invalid("Invalid Role specified in replication configuration"));
    }
    // A role of another account can't be passed.
    if account == call.account { Ok(()) } else { Err(denied()) }
}

fn check_rule(rule: &Value, first_version: bool) -> Result<(), AwsError> {
    let filter = &rule["Filter"];
    let parts = filter.as_object().map_or(0, serde_json::Map::len);
    // S3 takes `ExistingObjectReplication` no more.
    let both = rule.get("Prefix").is_some() == rule.get("Filter").is_some();
    if both || parts > 1 || rule.get("ExistingObjectReplication").is_some() {
        return Err(malformed_xml());
    }
    for member in ["Priority", "DeleteMarkerReplication"] {
        if rule.get(member).is_some() == first_version {
            let must = if first_version { "cannot be used" } else { "must be specified" };
            return Err(refused(&format!(
                "{member} {must} for this version of Cross Region Replication configuration schema. Please refer to S3 \
                 Developer Guide for more information."
            )));
        }
    }
    let criteria = &rule["SourceSelectionCriteria"];
    if first_version && criteria.get("ReplicaModifications").is_some() {
        return Err(malformed_xml());
    }
    if criteria.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(refused("SourceSelectionCriteria cannot be empty."));
    }
    if is_on(&rule["DeleteMarkerReplication"]) && has_tags(filter) {
        let message = "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 \
                       Developer Guide for more information.";
        return Err(refused(message));
    }
    if rule["Priority"].as_i64().is_some_and(|priority| priority < 0) {
        return Err(refused("Priority must be between 0 and 2147483647."));
    }
    let id = text(rule, "ID");
    if id.len() > 255 {
        return Err(invalid("Rule Id cannot be greater than 255"));
    }
    if id.is_ascii() { Ok(()) } else { Err(invalid("Rule ID must not contain non-ASCII characters")) }
}

fn is_on(setting: &Value) -> bool {
    text(setting, "Status") == "Enabled"
}

fn has_tags(filter: &Value) -> bool {
    let parts = filter.as_object().into_iter().flatten();
    parts.into_iter().any(|(name, part)| matches!(name.as_str(), "Tag" | "Tags") || has_tags(part))
}

fn check_destination(call: &Call<'_>, source: &Bucket, rule: &Value) -> Result<(), AwsError> {
    let destination = &rule["Destination"];
    let start = format!("arn:{}:s3:::", call.partition());
    let Some(name) = text(destination, "Bucket").strip_prefix(&start).filter(|name| !name.is_empty()) else {
        return Err(invalid("Invalid bucket ARN"));
    };
    if name == source.name {
        return Err(refused("Destination bucket cannot be the same as the source bucket."));
    }
    let account = destination.get("Account").and_then(Value::as_str);
    if account == Some("") {
        return Err(invalid("The Account element is empty. It must contain a valid account ID."));
    }
    if account.is_none() && destination.get("AccessControlTranslation").is_some() {
        return Err(refused("Account must be specified if the Owner in AccessControlTranslation has a value"));
    }
    check_encryption(&rule["SourceSelectionCriteria"], destination)?;
    check_time(destination)?;
    let Some((place, bucket)) = call.anywhere("s3", BUCKETS, name) else {
        return Err(refused("Destination bucket must exist."));
    };
    if account.is_some_and(|account| account != place.account) {
        let message = "The AWS account specified in the Account element must match the destination bucket owner.";
        return Err(invalid(message));
    }
    if text(&bucket, "_versioning") != "Enabled" {
        return Err(refused("Destination bucket must have versioning enabled."));
    }
    Ok(())
}

fn check_encryption(criteria: &Value, destination: &Value) -> Result<(), AwsError> {
    let selected = criteria.get("SseKmsEncryptedObjects").is_some();
    let encryption = destination.get("EncryptionConfiguration");
    if encryption.is_some() && !selected {
        return Err(refused("SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present."));
    }
    let names_key =
        |it: &Value| ["ReplicaKmsKeyID", "UseSourceMultiRegionKey"].iter().any(|key| it.get(*key).is_some());
    if selected && !encryption.is_some_and(names_key) {
        return Err(refused("ReplicaKmsKeyID must be specified if SseKmsEncryptedObjects tag is present."));
    }
    Ok(())
}

/// Checks replication time control, which needs metrics; these do without it.
fn check_time(destination: &Value) -> Result<(), AwsError> {
    let (time, metrics) = (&destination["ReplicationTime"], &destination["Metrics"]);
    let threshold = metrics.get("EventThreshold");
    if time.is_null() {
        return match threshold {
            Some(_) => Err(invalid("Metrics cannot contain an event threshold when ReplicationTime is not specified")),
            None => Ok(()),
        };
    }
    if metrics.is_null() {
        return Err(refused("Replication destination must contain both ReplicationTime and Metrics or neither."));
    }
    if is_on(time) != is_on(metrics) {
        return Err(refused("ReplicationTime and ReplicationMetrics must have the same status."));
    }
    if time["Time"]["Minutes"] != MINUTES {
        return Err(invalid("ReplicationTime-ReplicationTimeValue-Minutes value must be 15."));
    }
    match threshold {
        None if is_on(time) => Err(invalid("ReplicationMetrics must contain an EventThreshold.")),
        Some(threshold) if threshold["Minutes"] != MINUTES => {
            Err(invalid("EventThreshold-ReplicationTimeValue-Minutes value must be 15."))
        }
        _ => Ok(()),
    }
}
