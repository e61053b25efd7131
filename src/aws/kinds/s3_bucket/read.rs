//! Reads a bucket: whether it is there, and each setting that is wanted by a call of its own.
//!
//! "Not configured" is told apart from "may not look" by S3's error code for each setting.

use std::future::Future;

use crate::aws::resource::{Fields, Observation, Observed};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::kind::PolicyDocument;

use super::access::{Ownership, PublicAccessBlock};
use super::lifecycle::LifecycleRule;
use super::notifications::Notifications;
use super::replication::Replication;
use super::settings::{Acceleration, CorsRule, Encryption, Logging, Retention};
use super::tiering;
use super::{Arguments, Attributes, S3Bucket};

/// Codes that say that a bucket has no such setting.
const NOT_CONFIGURED: [&str; 9] = [
    "NoSuchBucketPolicy",
    "NoSuchCORSConfiguration",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "ObjectLockConfigurationNotFoundError",
    "OwnershipControlsNotFoundError",
    "ReplicationConfigurationNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
];

fn configured<T>(read: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if NOT_CONFIGURED.contains(&error.code.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns a bucket's tags.
///
/// # Errors
/// A bucket that does not exist is [`ErrorClass::NotFound`]; one without tags has none.
pub(super) async fn tags(aws: &Aws, bucket: &str) -> Result<Vec<(String, String)>, AwsError> {
    let read = aws.s3().get_bucket_tagging().bucket(bucket).send().await.map_err(AwsError::from);
    let set = configured(read)?.map(|output| output.tag_set).unwrap_or_default();
    Ok(set.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

async fn wanted<T: Default>(wanted: bool, read: impl Future<Output = Result<T, AwsError>>) -> Result<T, AwsError> {
    if wanted { read.await } else { Ok(T::default()) }
}

/// Reads one bucket.
pub(super) async fn read_one(aws: &Aws, bucket: &str, fields: &Fields) -> Observation<S3Bucket> {
    let tags = match tags(aws, bucket).await {
        Ok(tags) => Ok(split(tags)),
        Err(error) if error.class == ErrorClass::Denied => {
            // Whether the bucket is there at all has to be known nevertheless.
            match aws.s3().head_bucket().bucket(bucket).send().await.map_err(AwsError::from) {
                Ok(_) => Err(error),
                Err(head) if head.is_not_found() => return Observation::Absent,
                Err(_) => return Observation::Unreadable(error),
            }
        }
        Err(error) if error.is_not_found() => return Observation::Absent,
        Err(error) => return Observation::Unreadable(error),
    };
    read_settings(aws, bucket, fields, tags).await
}

/// Reads the settings of a bucket that is there.
pub(super) async fn read_settings(
    aws: &Aws,
    bucket: &str,
    fields: &Fields,
    tags: Result<(Tags, Option<Owner>), AwsError>,
) -> Observation<S3Bucket> {
    let (encryption, versioning, block, policy, ownership) = futures::join!(
        wanted(fields.wants("encryption"), encryption(aws, bucket)),
        wanted(fields.wants("versioning"), versioning(aws, bucket)),
        wanted(fields.wants("public_access_block"), public_access_block(aws, bucket)),
        wanted(fields.wants("policy"), policy(aws, bucket)),
        wanted(fields.wants("ownership"), ownership(aws, bucket)),
    );
    let (rules, logging, lock, cors, notifications) = futures::join!(
        wanted(fields.wants("lifecycle_rules"), lifecycle_rules(aws, bucket)),
        wanted(fields.wants("logging"), logging(aws, bucket)),
        wanted(fields.wants("object_lock") || fields.wants("retention"), lock(aws, bucket)),
        wanted(fields.wants("cors"), cors(aws, bucket)),
        wanted(fields.wants("notifications"), notifications(aws, bucket)),
    );
    let (replication, acceleration, tiering) = futures::join!(
        wanted(fields.wants("replication"), replication(aws, bucket)),
        wanted(fields.wants("acceleration"), acceleration(aws, bucket)),
        wanted(fields.wants("intelligent_tiering"), tiering::read(aws, bucket)),
    );
    let (user, owner) = tags.as_ref().cloned().unwrap_or_default();
    let mut observed: Observed<S3Bucket> = Observed::new(unset(bucket, user), attributes(aws, bucket), owner);
    if let Err(error) = tags {
        observed.unreadable.insert("tags".to_owned(), error.reason());
    }
    observed.arguments.encryption = observed.field("encryption", encryption);
    observed.arguments.versioning = observed.field("versioning", versioning);
    observed.arguments.public_access_block = observed.field("public_access_block", block);
    observed.arguments.policy = observed.field("policy", policy);
    observed.arguments.ownership = observed.field("ownership", ownership);
    observed.arguments.lifecycle_rules = observed.field("lifecycle_rules", rules);
    observed.arguments.logging = observed.field("logging", logging);
    observed.arguments.cors = observed.field("cors", cors);
    observed.arguments.notifications = observed.field("notifications", notifications);
    observed.arguments.replication = observed.field("replication", replication);
    observed.arguments.acceleration = observed.field("acceleration", acceleration);
    observed.arguments.intelligent_tiering = observed.field("intelligent_tiering", tiering);
    match lock {
        Ok((object_lock, retention)) => {
            observed.arguments.object_lock = object_lock;
            observed.arguments.retention = retention;
        }
        Err(error) => {
            for field in ["object_lock", "retention"] {
                observed.unreadable.insert(field.to_owned(), error.reason());
            }
        }
    }
    Observation::Present(Box::new(observed))
}

fn unset(bucket: &str, tags: Tags) -> Arguments {
    Arguments {
        name: Some(bucket.to_owned()),
        encryption: Encryption::default(),
        versioning: false,
        public_access_block: PublicAccessBlock::default(),
        policy: None,
        ownership: Ownership::default(),
        lifecycle_rules: Vec::new(),
        logging: None,
        object_lock: false,
        retention: None,
        cors: Vec::new(),
        notifications: Notifications::default(),
        replication: None,
        acceleration: None,
        intelligent_tiering: None,
        tags,
    }
}

fn attributes(aws: &Aws, bucket: &str) -> Attributes {
    let region = aws.region();
    let (partition, suffix) = match region.split('-').next() {
        Some("cn") => ("aws-cn", "amazonaws.com.cn"),
        Some("us") if region.starts_with("us-gov-") => ("aws-us-gov", "amazonaws.com"),
        _ => ("aws", "amazonaws.com"),
    };
    Attributes {
        arn: format!("arn:{partition}:s3:::{bucket}"),
        name: bucket.to_owned(),
        domain: format!("{bucket}.s3.{region}.{suffix}"),
    }
}

async fn encryption(aws: &Aws, bucket: &str) -> Result<Encryption, AwsError> {
    let read = aws.s3().get_bucket_encryption().bucket(bucket).send().await.map_err(AwsError::from);
    let output = configured(read)?;
    let configuration = output.and_then(|output| output.server_side_encryption_configuration);
    Ok(configuration.as_ref().map(Encryption::of_aws).unwrap_or_default())
}

async fn versioning(aws: &Aws, bucket: &str) -> Result<bool, AwsError> {
    let output = aws.s3().get_bucket_versioning().bucket(bucket).send().await?;
    Ok(output.status == Some(aws_sdk_s3::types::BucketVersioningStatus::Enabled))
}

async fn public_access_block(aws: &Aws, bucket: &str) -> Result<PublicAccessBlock, AwsError> {
    let read = aws.s3().get_public_access_block().bucket(bucket).send().await.map_err(AwsError::from);
    let block = configured(read)?.and_then(|output| output.public_access_block_configuration);
    Ok(block.as_ref().map_or(PublicAccessBlock::NONE, PublicAccessBlock::of_aws))
}

async fn policy(aws: &Aws, bucket: &str) -> Result<Option<PolicyDocument>, AwsError> {
    let read = aws.s3().get_bucket_policy().bucket(bucket).send().await.map_err(AwsError::from);
    let text = configured(read)?.and_then(|output| output.policy);
    Ok(text.as_deref().map(PolicyDocument::from_text))
}

async fn ownership(aws: &Aws, bucket: &str) -> Result<Ownership, AwsError> {
    let read = aws.s3().get_bucket_ownership_controls().bucket(bucket).send().await.map_err(AwsError::from);
    let controls = configured(read)?.and_then(|output| output.ownership_controls);
    let rule = controls.as_ref().and_then(|controls| controls.rules().first());
    Ok(Ownership::of_aws(rule.map(|rule| &rule.object_ownership)))
}

async fn lifecycle_rules(aws: &Aws, bucket: &str) -> Result<Vec<LifecycleRule>, AwsError> {
    let read = aws.s3().get_bucket_lifecycle_configuration().bucket(bucket).send().await.map_err(AwsError::from);
    let rules = configured(read)?.and_then(|output| output.rules).unwrap_or_default();
    Ok(rules.iter().map(LifecycleRule::of_aws).collect())
}

async fn logging(aws: &Aws, bucket: &str) -> Result<Option<Logging>, AwsError> {
    let output = aws.s3().get_bucket_logging().bucket(bucket).send().await?;
    Ok(output.logging_enabled.as_ref().map(Logging::of_aws))
}

async fn lock(aws: &Aws, bucket: &str) -> Result<(bool, Option<Retention>), AwsError> {
    let read = aws.s3().get_object_lock_configuration().bucket(bucket).send().await.map_err(AwsError::from);
    let lock = configured(read)?.and_then(|output| output.object_lock_configuration);
    Ok((lock.is_some(), lock.as_ref().and_then(Retention::of_aws)))
}

async fn cors(aws: &Aws, bucket: &str) -> Result<Vec<CorsRule>, AwsError> {
    let read = aws.s3().get_bucket_cors().bucket(bucket).send().await.map_err(AwsError::from);
    let rules = configured(read)?.and_then(|output| output.cors_rules).unwrap_or_default();
    Ok(rules.iter().map(CorsRule::of_aws).collect())
}

async fn notifications(aws: &Aws, bucket: &str) -> Result<Notifications, AwsError> {
    let found = aws.s3().get_bucket_notification_configuration().bucket(bucket).send().await?;
    let bridge = found.event_bridge_configuration().is_some();
    let (topics, queues) = (found.topic_configurations(), found.queue_configurations());
    Ok(Notifications::of_aws(bridge, topics, queues, found.lambda_function_configurations()))
}

async fn replication(aws: &Aws, bucket: &str) -> Result<Option<Replication>, AwsError> {
    let read = aws.s3().get_bucket_replication().bucket(bucket).send().await.map_err(AwsError::from);
    let configuration = configured(read)?.and_then(|output| output.replication_configuration);
    Ok(configuration.as_ref().map(Replication::of_aws))
}

async fn acceleration(aws: &Aws, bucket: &str) -> Result<Option<Acceleration>, AwsError> {
    match aws.s3().get_bucket_accelerate_configuration().bucket(bucket).send().await.map_err(AwsError::from) {
        Ok(output) => Ok(output.status.as_ref().and_then(Acceleration::of_aws)),
        // A region without acceleration, such as those of GovCloud.
        Err(error) if matches!(error.code.as_str(), "UnsupportedArgument" | "MethodNotAllowed") => Ok(None),
        Err(error) => Err(error),
    }
}
