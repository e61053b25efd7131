//! The log of model invocations: one configuration for an account and region.
//!
//! A configuration is taken only when Bedrock can write where it says. It tries that, and leaves an empty object
//! in each bucket and a line in the log group, as AWS does: neither is empty from then on.

use serde_json::{Value, json};

use super::validation;
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::time;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::{Operations, roles};

pub(super) const OPERATIONS: Operations = &[
    ("DeleteModelInvocationLoggingConfiguration", delete),
    ("GetModelInvocationLoggingConfiguration", get),
    ("PutModelInvocationLoggingConfiguration", put),
];

/// The collection with the one configuration, and its id there.
pub(in crate::sandbox::services) const CONFIGURATION: (&str, &str) = ("invocation_logging", "configuration");
/// The log stream that invocations go to.
pub(in crate::sandbox::services) const STREAM: &str = "aws/bedrock/modelinvocations";
const SERVICE: &str = "bedrock.amazonaws.com";
/// The object that Bedrock writes to see whether it can.
const PROBE: &str = "amazon-bedrock-logs-permission-check";
const FLAGS: [&str; 5] = [
    "textDataDeliveryEnabled",
    "imageDataDeliveryEnabled",
    "embeddingDataDeliveryEnabled",
    "videoDataDeliveryEnabled",
    "audioDataDeliveryEnabled",
];

fn put(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut config = input["loggingConfig"].clone();
    if config.get("cloudWatchConfig").is_none() && config.get("s3Config").is_none() {
        return Err(validation("Either a CloudWatch or an S3 destination has to be configured."));
    }
    let logs = &config["cloudWatchConfig"];
    let buckets: Vec<Value> = [&config["s3Config"], &logs["largeDataDeliveryS3Config"]]
        .into_iter()
        .filter(|it| it.is_object())
        .cloned()
        .collect();
    if logs.is_object() {
        check_group(call, text(logs, "logGroupName"), text(logs, "roleArn"))?;
    }
    for bucket in &buckets {
        check_bucket(call, text(bucket, "bucketName"), &folder(call, bucket))?;
    }
    if let Some(group) = optional(logs, "logGroupName") {
        let line = "Permissions are correctly set for Amazon Bedrock logs.".to_owned();
        call.put_log_events(group, STREAM, false, &[(call.now(), line)])?;
    }
    for bucket in &buckets {
        let key = format!("{}/{PROBE}", folder(call, bucket));
        call.put_object(text(bucket, "bucketName"), &key, Vec::new())?;
    }
    for flag in FLAGS {
        if config.get(flag).is_none() {
            config[flag] = json!(true);
        }
    }
    call.put(CONFIGURATION.0, CONFIGURATION.1, json!({"loggingConfig": config}));
    Ok(json!({}))
}

/// Returns the ARNs of which Bedrock says that it comes on their behalf.
fn source(call: &Call<'_>) -> String {
    format!("arn:{}:bedrock:{}:{}:*", call.partition(), call.region, call.account)
}

/// Returns where in a bucket the records of this hour lie, without a slash at the end.
pub(in crate::sandbox::services) fn folder(call: &Call<'_>, bucket: &Value) -> String {
    let stamp = time::iso(call.now());
    let (date, clock) = stamp.split_once('T').unwrap_or((&stamp, "00"));
    let prefix = optional(bucket, "keyPrefix").map(|prefix| prefix.trim_end_matches('/'));
    let prefix = prefix.filter(|prefix| !prefix.is_empty()).map(|prefix| format!("{prefix}/"));
    format!(
        "{}AWSLogs/{}/BedrockModelInvocationLogs/{}/{}/{}",
        prefix.unwrap_or_default(),
        call.account,
        call.region,
        date.replace('-', "/"),
        clock.split(':').next().unwrap_or("00"),
    )
}

/// Checks that the group is there and that the role lets Bedrock write to it; AWS answers all that is wrong alike.
fn check_group(call: &Call<'_>, group: &str, role: &str) -> Result<(), AwsError> {
    let stream =
        format!("arn:{}:logs:{}:{}:log-group:{group}:log-stream:{STREAM}", call.partition(), call.region, call.account);
    let writes = |found: &Value| {
        ["logs:CreateLogStream", "logs:PutLogEvents"].iter().all(|action| roles::allows(call, found, action, &stream))
    };
    let found = roles::trusting(call, role, SERVICE, &source(call));
    if call.elsewhere("logs", "groups", group).is_some() && found.is_some_and(|found| writes(&found)) {
        return Ok(());
    }
    Err(validation(format!(
        "Failed to validate permissions for log group: {group}, with role: {role}. Verify the IAM role permissions \
         are correct."
    )))
}

/// Checks that the bucket is there, in this account and region, and that it and its key let Bedrock write.
fn check_bucket(call: &Call<'_>, name: &str, folder: &str) -> Result<(), AwsError> {
    let source = source(call);
    let lets = |policy: Option<&str>, action: &str, resource: &str| {
        roles::policy_lets(call, policy, (SERVICE, &source), action, resource)
    };
    let writes = |bucket: &Value| {
        let object = format!("{}/{folder}/{PROBE}", text(bucket, "BucketArn"));
        let default = &bucket["_encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"];
        let key = optional(default, "KMSMasterKeyID").and_then(|arn| arn.rsplit('/').next());
        let key = key.and_then(|id| call.anywhere("kms", "keys", id)).map(|(_, key)| key);
        lets(optional(bucket, "_policy"), "s3:PutObject", &object)
            && key.is_none_or(|key| lets(optional(&key, "_policy"), "kms:GenerateDataKey", text(&key, "Arn")))
    };
    let found = call.anywhere("s3", "buckets", name);
    let own =
        found.filter(|(place, bucket)| place.account == call.account && text(bucket, "BucketRegion") == call.region);
    if own.is_some_and(|(_, bucket)| writes(&bucket)) {
        return Ok(());
    }
    Err(validation(format!(
        "Failed to validate permissions for bucket: {name}. Verify the S3 bucket policy is correct."
    )))
}

fn get(call: &mut Call<'_>, _: &Value) -> Answer {
    Ok(call.get(CONFIGURATION.0, CONFIGURATION.1).unwrap_or_else(|| json!({})))
}

fn delete(call: &mut Call<'_>, _: &Value) -> Answer {
    call.remove(CONFIGURATION.0, CONFIGURATION.1);
    Ok(json!({}))
}
