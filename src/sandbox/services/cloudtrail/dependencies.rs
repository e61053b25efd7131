//! What CloudTrail tests of the things a trail writes to.

use serde_json::Value;

use super::fault;
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::services::documents::lets_service;
use crate::sandbox::services::keys::{self, KeyFault};
use crate::sandbox::services::roles;

const SERVICE: &str = "cloudtrail.amazonaws.com";

fn statements(document: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    match document.get("Statement") {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

/// Checks that the bucket exists and that its policy lets CloudTrail write below the prefix.
///
/// `owner` is the account or the organization whose folder is written to.
pub(super) fn bucket(
    call: &Call<'_>,
    name: &str,
    prefix: Option<&str>,
    owner: &str,
    trail: &str,
) -> Result<(), AwsError> {
    if prefix.is_some_and(|prefix| prefix.len() > 200 || prefix.starts_with('/')) {
        return Err(fault("InvalidS3PrefixException", "The S3 prefix is not valid."));
    }
    let missing = || fault("S3BucketDoesNotExistException", format!("S3 bucket {name} does not exist!"));
    let (_, bucket) = call.anywhere("s3", "buckets", name).ok_or_else(missing)?;
    let statements = statements(optional(&bucket, "_policy").unwrap_or_default());
    let arn = text(&bucket, "BucketArn");
    let folder = prefix.map_or_else(String::new, |prefix| format!("{}/", prefix.trim_end_matches('/')));
    let object = format!("{arn}/{folder}AWSLogs/{owner}/CloudTrail/{}/log.json.gz", call.region);
    let facts = [
        ("aws:SourceArn", trail),
        ("aws:SourceAccount", call.account.as_str()),
        ("s3:x-amz-acl", "bucket-owner-full-control"),
        ("aws:SecureTransport", "true"),
    ];
    let reads = lets_service(&statements, SERVICE, "s3:GetBucketAcl", arn, &facts);
    let writes = lets_service(&statements, SERVICE, "s3:PutObject", &object, &facts);
    if reads && writes {
        return Ok(());
    }
    let message = format!("Incorrect S3 bucket policy is detected for bucket: {name}");
    Err(fault("InsufficientS3BucketPolicyException", message))
}

/// Checks the key and that its policy lets CloudTrail use it; returns its ARN.
pub(super) fn key(call: &Call<'_>, given: &str, trail: &str) -> Result<String, AwsError> {
    let arn = keys::usable(call, given).map_err(|error| match error {
        KeyFault::Missing if given.starts_with("arn:") && !given.starts_with("arn:aws") => {
            fault("InvalidKmsKeyIdException", format!("The KMS key id {given} is not valid."))
        }
        KeyFault::Missing => fault("KmsKeyNotFoundException", format!("The KMS key {given} does not exist.")),
        KeyFault::State(state) => fault("KmsKeyDisabledException", format!("The KMS key {given} is {state}.")),
        KeyFault::Unfit => fault("InvalidKmsKeyIdException", format!("The KMS key {given} can't encrypt log files.")),
    })?;
    let id = arn.rsplit('/').next().unwrap_or_default();
    let found = call.anywhere("kms", "keys", id);
    let policy = found.as_ref().and_then(|(_, key)| optional(key, "_policy")).unwrap_or_default();
    let context = format!("arn:{}:cloudtrail:{}:{}:trail/x", call.partition(), call.region, call.account);
    let facts = [
        ("aws:SourceArn", trail),
        ("aws:SourceAccount", call.account.as_str()),
        ("kms:EncryptionContext:aws:cloudtrail:arn", context.as_str()),
    ];
    if found.is_some() && !lets_service(&statements(policy), SERVICE, "kms:GenerateDataKey", &arn, &facts) {
        let message = "Insufficient permissions to access the S3 bucket or KMS key.";
        return Err(fault("InsufficientEncryptionPolicyException", message));
    }
    Ok(arn)
}

/// Checks the log group and the role, which come together.
pub(super) fn logs(call: &Call<'_>, group: Option<&str>, role: Option<&str>, trail: &str) -> Result<(), AwsError> {
    let bad_group = |message: &str| fault("InvalidCloudWatchLogsLogGroupArnException", message);
    let bad_role = |message: &str| fault("InvalidCloudWatchLogsRoleArnException", message);
    let (group, role) = match (group, role) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(bad_group("You must specify a log group ARN together with the role ARN.")),
        (Some(_), None) => return Err(bad_role("You must specify a role ARN together with the log group ARN.")),
        (Some(group), Some(role)) => (group, role),
    };
    let prefix = format!("arn:{}:logs:{}:{}:log-group:", call.partition(), call.region, call.account);
    let name = group.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(":*"));
    let name = name.ok_or_else(|| bad_group("CloudTrail cannot validate the specified log group ARN."))?;
    if call.elsewhere("logs", "groups", name).is_none() {
        return Err(bad_group("CloudTrail cannot validate the specified log group ARN."));
    }
    // A role of a moment ago, and one that does not trust CloudTrail, are refused alike.
    if roles::trusting(call, role, SERVICE, trail).is_some() {
        return Ok(());
    }
    Err(bad_role("Access denied. Verify in IAM that the role has adequate permissions."))
}

/// Checks a topic's name or ARN, and returns its ARN. SNS itself is not simulated.
pub(super) fn topic(call: &Call<'_>, given: &str) -> Result<String, AwsError> {
    let wrong = || fault("InvalidSnsTopicNameException", format!("SNS topic {given} is not valid."));
    if given.starts_with("arn:") {
        let of_sns = given.split(':').count() == 6 && given.split(':').nth(2) == Some("sns");
        return if of_sns { Ok(given.to_owned()) } else { Err(wrong()) };
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if given.len() > 256 || !given.chars().all(valid) {
        return Err(wrong());
    }
    Ok(format!("arn:{}:sns:{}:{}:{given}", call.partition(), call.region, call.account))
}
