//! An S3 bucket with everything that stands on it.
//!
//! Calls: CreateBucket; PutPublicAccessBlock, PutBucketOwnershipControls, PutBucketPolicy, DeleteBucketPolicy,
//! PutBucketEncryption, PutBucketVersioning, PutObjectLockConfiguration, PutBucketLifecycleConfiguration,
//! DeleteBucketLifecycle, PutBucketLogging, PutBucketCors, DeleteBucketCors, PutBucketNotificationConfiguration,
//! PutBucketAccelerateConfiguration, PutBucketIntelligentTieringConfiguration,
//! DeleteBucketIntelligentTieringConfiguration, PutBucketReplication, DeleteBucketReplication, PutBucketTagging;
//! DeleteBucket, before it DeleteObjects and AbortMultipartUpload where data may be lost. Reads: GetBucketTagging, and
//! one GET per setting that is wanted.
//! Waits: on new principals of the policy, until a new bucket answers, and on versioning and replication, each of which
//! S3 refuses until it knows of the other's change.
//! Traps: names are shared by all accounts. In us-east-1 creating an own bucket again succeeds, so a bucket that
//! is there is looked at first. "Not configured" is an error of its own per setting; a refused read is not that.
//! Versioning and acceleration, once on, can only be suspended. S3 may show a setting a little after it was put.

mod access;
mod empty;
mod filter;
mod lifecycle;
mod notifications;
mod read;
mod replication;
mod settings;
mod tiering;

use std::collections::BTreeSet;

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Problem, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::wait::{Bound, Poll, until, while_failing};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Holding, Identity, PolicyDocument, Scope};

use access::{Ownership, PublicAccessBlock};
use lifecycle::LifecycleRule;
use notifications::Notifications;
use replication::Replication;
use settings::{Acceleration, CorsRule, Encryption, Logging, Retention};
use tiering::Tiering;

/// The longest bucket name, in characters.
const NAME_CHARS_MAX: usize = 63;

/// Attempts to delete a bucket that is emptied before each: logs that are on their way may arrive in between.
const DELETIONS_MAX: u32 = 5;

/// An S3 bucket.
///
/// A new bucket is encrypted, blocks all public access and has no access control lists, as AWS makes them and
/// as the defaults here keep them. A bucket that holds objects is deleted only where the loss of data is
/// allowed; then all versions go first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The name, unique among all buckets of all accounts; made of environment, address and account where it is left out.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// How new objects are encrypted where their writer does not say.
    #[serde(default)]
    pub encryption: Encryption,
    /// Whether overwritten and deleted objects are kept as older versions.
    #[serde(default)]
    pub versioning: bool,
    /// What S3 refuses and ignores that would make the bucket public.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub public_access_block: PublicAccessBlock,
    /// The bucket's policy.
    #[serde(default)]
    pub policy: Option<PolicyDocument>,
    /// Who owns the objects.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub ownership: Ownership,
    /// Rules that move and delete objects by their age.
    #[serde(default)]
    #[schemars(extend("x-set" = true), length(max = 1000))]
    pub lifecycle_rules: Vec<LifecycleRule>,
    /// Where records of the requests to the bucket are written to.
    #[serde(default)]
    pub logging: Option<Logging>,
    /// Whether versions can be locked against deletion. S3 can't take it back, so a change makes a new bucket.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub object_lock: bool,
    /// How long a new object can't be deleted or overwritten; needs `object_lock`.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// Which web pages of other origins may use the bucket; the first rule that fits counts.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub cors: Vec<CorsRule>,
    /// Who is told of what happens to the objects.
    #[serde(default)]
    pub notifications: Notifications,
    /// Copies of new objects in other buckets; needs `versioning`, here and there.
    #[serde(default)]
    pub replication: Option<Replication>,
    /// Whether clients may use S3's edge locations (transfer acceleration), which costs by the byte. Once it was on it
    /// can only be suspended. Not for a name with dots.
    #[serde(default)]
    #[schemars(extend("x-rest" = "suspended"))]
    pub acceleration: Option<Acceleration>,
    /// When objects in the class `INTELLIGENT_TIERING` move to its archive tiers.
    #[serde(default)]
    #[schemars(extend("x-set" = true), length(max = 1000))]
    pub intelligent_tiering: Option<Vec<Tiering>>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The bucket's ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The host that serves the bucket in its region.
    pub domain: String,
}

/// See the module's header.
pub struct S3Bucket;

impl ResourceKind for S3Bucket {
    const NAME: &'static str = "s3_bucket";
    const SERVICE: &'static str = "s3";
    const IDENTITY: Identity = Identity::UniqueName;
    const HOLDS_DATA: bool = true;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("s3"));
    const ACTIONS: Actions = Actions {
        read: &[
            "s3:GetAccelerateConfiguration",
            "s3:GetBucketCORS",
            "s3:GetBucketLogging",
            "s3:GetBucketNotification",
            "s3:GetBucketObjectLockConfiguration",
            "s3:GetBucketOwnershipControls",
            "s3:GetBucketPolicy",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetBucketTagging",
            "s3:GetBucketVersioning",
            "s3:GetEncryptionConfiguration",
            "s3:GetIntelligentTieringConfiguration",
            "s3:GetLifecycleConfiguration",
            "s3:GetReplicationConfiguration",
            "s3:ListAllMyBuckets",
            "s3:ListBucket",
            "tag:GetResources",
        ],
        create: &[
            "iam:PassRole",
            "s3:CreateBucket",
            "s3:PutAccelerateConfiguration",
            "s3:PutBucketCORS",
            "s3:PutBucketLogging",
            "s3:PutBucketNotification",
            "s3:PutBucketObjectLockConfiguration",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketVersioning",
            "s3:PutEncryptionConfiguration",
            "s3:PutIntelligentTieringConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:PutReplicationConfiguration",
            "s3:TagResource",
        ],
        update: &[
            "iam:PassRole",
            "s3:DeleteBucketPolicy",
            "s3:PutAccelerateConfiguration",
            "s3:PutBucketCORS",
            "s3:PutBucketLogging",
            "s3:PutBucketNotification",
            "s3:PutBucketObjectLockConfiguration",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketTagging",
            "s3:PutBucketVersioning",
            "s3:PutEncryptionConfiguration",
            "s3:PutIntelligentTieringConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:PutReplicationConfiguration",
        ],
        delete: &[
            "s3:AbortMultipartUpload",
            "s3:DeleteBucket",
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:ListBucketMultipartUploads",
            "s3:ListBucketVersions",
        ],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        check(arguments)
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let name = match arguments.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => made_name(owner, scope),
        };
        let suffix = if scope.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        Map::from_iter([
            ("arn".to_owned(), json!(format!("arn:{}:s3:::{name}", scope.partition()))),
            ("domain".to_owned(), json!(format!("{name}.s3.{}.{suffix}", scope.region))),
            ("name".to_owned(), json!(name)),
        ])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        if fields.wants("tags") {
            let reads = ids.iter().map(|id| async { (id.clone(), read::read_one(aws, id.as_str(), fields).await) });
            return Ok(together(reads).await);
        }
        let names = names(aws).await?;
        let reads = ids.iter().map(|id| async {
            let observation = match names.contains(id.as_str()) {
                true => read::read_settings(aws, id.as_str(), fields, Ok(Default::default())).await,
                false => Observation::Absent,
            };
            (id.clone(), observation)
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let names = names(aws).await?;
        let reads = names.iter().map(|name| async move {
            match read::tags(aws, name).await {
                Ok(tags) => Ok(Some(Discovered { id: name.clone().into(), owner: split(tags).1, name: None })),
                // Deleted since it was listed.
                Err(error) => error.absent(),
            }
        });
        let found: Result<Vec<_>, AwsError> = together(reads).await.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name(&cx, arguments);
        let owner = match read::tags(cx.aws, &name).await {
            Ok(tags) => split(tags).1,
            // A bucket of another account refuses; it is not one that was made here.
            Err(error) if error.class == ErrorClass::Denied => None,
            Err(error) => error.absent()?,
        };
        Ok(if owner.as_ref() == Some(cx.owner) { vec![name.into()] } else { Vec::new() })
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name(&cx, arguments);
        refuse_existing(&cx, &name).await?;
        let tags = cx.tags(&arguments.tags);
        let location = (cx.aws.region() != "us-east-1").then(|| cx.aws.region().into());
        let configuration = s3::CreateBucketConfiguration::builder()
            .set_location_constraint(location)
            .set_tags(Some(tags.iter().map(|(key, value)| lifecycle::tag(key, value)).collect()))
            .build();
        let call = cx
            .aws
            .s3()
            .create_bucket()
            .bucket(&name)
            .create_bucket_configuration(configuration)
            .object_ownership(arguments.ownership.to_aws())
            .set_object_lock_enabled_for_bucket(arguments.object_lock.then_some(true));
        call.send().await?;
        Ok(name.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "s3:CreateBucket", Bound::propagation(), || async {
            match read::tags(aws, id.as_str()).await {
                Ok(_) => Ok(Poll::Ready(())),
                Err(error) if error.is_not_found() => Ok(Poll::Pending("not visible".to_owned())),
                // Whoever may make a bucket need not be allowed to read it; it is there.
                Err(error) if error.class == ErrorClass::Denied => Ok(Poll::Ready(())),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let unreplicated = replication::remove(&cx).await?;
        // Encrypted and versioned before anything else can be written; reachable last.
        update_objects(&cx, unreplicated).await?;
        access::update(&cx).await?;
        update_surroundings(&cx).await?;
        if cx.touches("tags") {
            let tags = cx.owner.tags_with(&cx.after.tags);
            let set = tags.iter().map(|(key, value)| lifecycle::tag(key, value)).collect();
            let tagging = s3::Tagging::builder().set_tag_set(Some(set)).build();
            let tagging = tagging.expect("internal error: the tags are set");
            cx.aws.s3().put_bucket_tagging().bucket(cx.id.as_str()).tagging(tagging).send().await?;
        }
        replication::put(&cx).await
    }

    async fn holds(aws: &Aws, id: &PhysicalId) -> Result<Holding, AwsError> {
        empty::holds(aws, id.as_str()).await
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let delete =
            || async { cx.aws.s3().delete_bucket().bucket(cx.id.as_str()).send().await.map_err(AwsError::from) };
        for _ in 1..DELETIONS_MAX {
            match delete().await {
                Err(error) if error.code == "BucketNotEmpty" && cx.allow_data_loss => {
                    empty::empty(cx.aws, cx.id.as_str()).await?;
                }
                other => return other.map(|_| ()),
            }
        }
        delete().await.map(|_| ())
    }
}

/// Lists the names of the region's buckets.
async fn names(aws: &Aws) -> Result<BTreeSet<String>, AwsError> {
    let call = aws.s3().list_buckets().bucket_region(aws.region()).max_buckets(1000);
    let mut pages = call.into_paginator().send();
    let mut names = BTreeSet::new();
    while let Some(page) = pages.next().await {
        names.extend(page?.buckets.unwrap_or_default().into_iter().filter_map(|bucket| bucket.name));
    }
    Ok(names)
}

/// Changes what becomes of objects; `unreplicated` where a replication was deleted just before.
async fn update_objects(cx: &Update<'_, S3Bucket>, unreplicated: bool) -> Result<(), AwsError> {
    let (s3, bucket, after) = (cx.aws.s3(), cx.id.as_str(), cx.after);
    if cx.touches("encryption") {
        let configuration = after.encryption.to_aws(&cx.before.arguments.encryption);
        let call = s3.put_bucket_encryption().bucket(bucket);
        call.server_side_encryption_configuration(configuration).send().await?;
    }
    if cx.touches("versioning") {
        let status =
            if after.versioning { s3::BucketVersioningStatus::Enabled } else { s3::BucketVersioningStatus::Suspended };
        let configuration = s3::VersioningConfiguration::builder().status(status).build();
        let stale = |error: &AwsError| unreplicated && replication::still_there(error);
        while_failing(cx.aws, Bound::propagation(), stale, || async {
            let call = s3.put_bucket_versioning().bucket(bucket);
            call.versioning_configuration(configuration.clone()).send().await?;
            Ok(())
        })
        .await?;
    }
    if cx.touches("retention") {
        let lock = settings::lock(after.retention.as_ref());
        s3.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock).send().await?;
    }
    Ok(())
}

async fn update_surroundings(cx: &Update<'_, S3Bucket>) -> Result<(), AwsError> {
    let (s3, bucket, after) = (cx.aws.s3(), cx.id.as_str(), cx.after);
    if cx.touches("lifecycle_rules") {
        if after.lifecycle_rules.is_empty() {
            s3.delete_bucket_lifecycle().bucket(bucket).send().await?;
        } else {
            let rules: Result<Vec<_>, AwsError> = after.lifecycle_rules.iter().map(LifecycleRule::to_aws).collect();
            let configuration = s3::BucketLifecycleConfiguration::builder().set_rules(Some(rules?)).build();
            let configuration = configuration.expect("internal error: the rules are set");
            let call = s3.put_bucket_lifecycle_configuration().bucket(bucket);
            call.lifecycle_configuration(configuration).send().await?;
        }
    }
    if cx.touches("logging") {
        let enabled = after.logging.as_ref().map(Logging::to_aws);
        let status = s3::BucketLoggingStatus::builder().set_logging_enabled(enabled).build();
        s3.put_bucket_logging().bucket(bucket).bucket_logging_status(status).send().await?;
    }
    if cx.touches("cors") {
        if after.cors.is_empty() {
            s3.delete_bucket_cors().bucket(bucket).send().await?;
        } else {
            let rules = after.cors.iter().map(CorsRule::to_aws).collect();
            let configuration = s3::CorsConfiguration::builder().set_cors_rules(Some(rules)).build();
            let configuration = configuration.expect("internal error: the rules are set");
            s3.put_bucket_cors().bucket(bucket).cors_configuration(configuration).send().await?;
        }
    }
    if cx.touches("notifications") {
        let call = s3.put_bucket_notification_configuration().bucket(bucket);
        call.notification_configuration(after.notifications.to_aws()).send().await?;
    }
    if cx.touches("acceleration") {
        let status = after.acceleration.unwrap_or(Acceleration::Suspended).to_aws();
        let configuration = s3::AccelerateConfiguration::builder().status(status).build();
        let call = s3.put_bucket_accelerate_configuration().bucket(bucket);
        call.accelerate_configuration(configuration).send().await?;
    }
    if cx.touches("intelligent_tiering") {
        tiering::update(cx).await?;
    }
    Ok(())
}

fn name(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| made_name(cx.owner, cx.scope))
}

/// Makes a name with the account in it: names are shared by all accounts.
fn made_name(owner: &Owner, scope: &Scope) -> String {
    let room = NAME_CHARS_MAX - 1 - scope.account.len().min(12);
    format!("{}-{}", default_name(owner, room), scope.account).to_lowercase()
}

/// Refuses a name whose bucket is there already: us-east-1 would answer that the create succeeded.
async fn refuse_existing(cx: &Creation<'_>, name: &str) -> Result<(), AwsError> {
    match read::tags(cx.aws, name).await {
        Ok(tags) if split(tags.clone()).1.as_ref() != Some(cx.owner) => {
            let message = format!("bucket `{name}` exists already in this account");
            Err(AwsError::own("s3:CreateBucket", ErrorClass::AlreadyExists, "BucketAlreadyOwnedByYou", message))
        }
        Ok(_) => Ok(()),
        // Where it can't be read, the create call itself tells.
        Err(error) if error.is_not_found() || error.class == ErrorClass::Denied => Ok(()),
        Err(error) if error.code == "PermanentRedirect" || error.code == "AuthorizationHeaderMalformed" => Ok(()),
        Err(error) => Err(error),
    }
}

/// Tells whether an argument says anything: neither nothing nor `false` nor empty.
fn set(arguments: &Value, name: &str) -> bool {
    match arguments.get(name) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Bool(on)) => *on,
        Some(value) => !value.is_null(),
        None => false,
    }
}

fn check(arguments: &Value) -> Vec<Problem> {
    let at = |path: &str| crate::value::get(arguments, path).filter(|value| !value.is_null());
    let text = |path: &str| at(path).and_then(Value::as_str);
    let on = |path: &str| at(path).and_then(Value::as_bool);
    let mut out = Vec::new();
    if let Some(name) = text("name") {
        let reserved = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| name.starts_with(start))
            || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| name.ends_with(end));
        if reserved {
            out.push(Problem::new("name", "S3 keeps names with this beginning or end for itself"));
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() || name.contains("..") {
            out.push(Problem::new("name", "a bucket's name is no IP address and has no two dots side by side"));
        }
    }
    if text("encryption.algorithm") == Some("AES256") {
        if at("encryption.kms_key").is_some() {
            out.push(Problem::new("encryption.kms_key", "`AES256` uses keys of S3's own"));
        }
        if on("encryption.bucket_key") == Some(true) {
            out.push(Problem::new("encryption.bucket_key", "a bucket key needs `aws:kms`"));
        }
    }
    if text("encryption.algorithm") == Some("aws:kms:dsse") && on("encryption.bucket_key") == Some(true) {
        out.push(Problem::new("encryption.bucket_key", "`aws:kms:dsse` can't use a bucket key"));
    }
    if on("object_lock") == Some(true) && on("versioning") != Some(true) {
        out.push(Problem::new("object_lock", "object lock needs `versioning: true`"));
    }
    if let Some(retention) = at("retention") {
        if on("object_lock") != Some(true) {
            out.push(Problem::new("retention", "a retention needs `object_lock: true`"));
        }
        let set = |name: &str| retention.get(name).is_some_and(|value| !value.is_null());
        if set("days") == set("years") {
            out.push(Problem::new("retention", "a retention has either `days` or `years`"));
        }
    }
    if let Some(rules) = at("lifecycle_rules").and_then(Value::as_array) {
        out.extend(lifecycle::check(rules));
    }
    if let Some(notifications) = at("notifications") {
        out.extend(notifications::check(notifications));
    }
    if let Some(replication) = at("replication") {
        if on("versioning") != Some(true) {
            out.push(Problem::new("replication", "replication needs `versioning: true`"));
        }
        out.extend(replication::check(replication, text("name")));
    }
    if at("acceleration").is_some() && text("name").is_some_and(|name| name.contains('.')) {
        out.push(Problem::new("acceleration", "a bucket with dots in its name can't have it"));
    }
    if let Some(configurations) = at("intelligent_tiering").and_then(Value::as_array) {
        out.extend(tiering::check(configurations));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_contradict_each_other_are_found() {
        for (arguments, path) in [
            (json!({ "name": "xn--a" }), "name"),
            (json!({ "name": "10.0.0.1" }), "name"),
            (json!({ "encryption": { "algorithm": "AES256", "kms_key": "arn" } }), "encryption.kms_key"),
            (json!({ "encryption": { "algorithm": "aws:kms:dsse", "bucket_key": true } }), "encryption.bucket_key"),
            (json!({ "object_lock": true }), "object_lock"),
            (json!({ "retention": { "mode": "GOVERNANCE", "days": 1 } }), "retention"),
            (json!({ "lifecycle_rules": [{ "prefix": "x" }] }), "lifecycle_rules[0]"),
            (json!({ "replication": { "rules": [] } }), "replication"),
            (json!({ "name": "a.b", "acceleration": "suspended" }), "acceleration"),
            (json!({ "intelligent_tiering": [{ "name": "x" }] }), "intelligent_tiering[0]"),
        ] {
            let problems = check(&arguments);
            assert_eq!(problems.first().map(|problem| problem.path.as_str()), Some(path), "{arguments}");
        }
        assert_eq!(
            check(&json!({ "name": "acme-data", "encryption": { "kms_key": "arn", "bucket_key": true } })),
            vec![]
        );
    }

    #[test]
    fn a_made_name_is_a_bucket_name() {
        let scope =
            Scope { environment: "Research".into(), account: "123456789012".into(), region: "us-east-1".into() };
        let address = "s3_bucket.a_very_long_name_that_goes_on_and_on_and_on_and_on_and_on".parse().unwrap();
        let name = made_name(&Owner::new("Research", &address, 2), &scope);
        assert!(name.len() <= NAME_CHARS_MAX && name.ends_with("-2-123456789012"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
    }
}
