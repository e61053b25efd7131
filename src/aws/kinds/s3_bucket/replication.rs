//! Replication of a bucket: to and from S3's form, and the two moments of an update at which it changes.
//!
//! S3 takes a replication only while the bucket and its destinations keep versions, and lets versioning be suspended
//! only without one: it goes before versioning and comes after it. What was changed a moment ago may not be known to
//! S3 everywhere yet, so both calls are repeated. As with lifecycle rules, an id that the spec leaves out is made of
//! the content and is not read back. Rules are written in the second version of S3's schema; those of the first are
//! read as what they mean. S3 takes `ExistingObjectReplication` no more.

use std::collections::BTreeSet;

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::Filter;
use super::lifecycle::{MADE_ID, class_name, class_of, made_id};
use super::{S3Bucket, set};
use crate::aws::AwsError;
use crate::aws::resource::{Problem, Update, yes};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, while_failing};

/// The time within which replication time control copies, in minutes; S3 knows no other.
const MINUTES: i32 = 15;

/// Copies of new objects in other buckets. Both sides keep versions. What is there already is not copied; that takes
/// S3 Batch Replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// The ARN of the role that copies; it trusts `s3.amazonaws.com`, reads here and writes there.
    #[schemars(extend("format" = "arn"))]
    pub role: String,
    /// What is copied, and where to.
    #[schemars(extend("x-set" = true), length(min = 1, max = 1000))]
    pub rules: Vec<ReplicationRule>,
}

/// What is copied to one bucket. Both of `prefix` and `tags` have to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicationRule {
    /// A name of the rule, unique in the bucket, in ASCII; left out, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[\x20-\x7E]{1,255}$"))]
    pub id: Option<String>,
    /// Which of several rules with the same destination counts: the highest. Each rule has one of its own.
    #[serde(default)]
    #[schemars(range(max = 2_147_483_647))]
    pub priority: u32,
    /// Whether the rule is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The beginning of the keys that it is for; empty for all.
    #[serde(default)]
    pub prefix: String,
    /// Tags that objects need to have.
    #[serde(default)]
    pub tags: Tags,
    /// Whether delete markers are copied as well; not with `tags`.
    #[serde(default)]
    pub delete_markers: bool,
    /// Whether objects are copied that a key of KMS encrypts; needs `destination.kms_key`.
    #[serde(default)]
    pub kms_objects: bool,
    /// Whether objects that are copies themselves are copied when their metadata changes.
    #[serde(default)]
    pub replica_modifications: bool,
    /// Where the copies go.
    pub destination: ReplicationDestination,
}

/// Where copies go, and how they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicationDestination {
    /// The ARN of the bucket, which keeps versions.
    #[schemars(extend("format" = "arn"))]
    pub bucket: String,
    /// The account that the bucket belongs to, where it is another one.
    #[serde(default)]
    #[schemars(regex(pattern = r"^\d{12}$"))]
    pub account: Option<String>,
    /// Whether that account owns the copies; left out, who owns an object owns its copy. Needs `account`.
    #[serde(default)]
    pub owner_override: bool,
    /// The storage class of the copies; left out, that of the object.
    #[serde(default)]
    pub storage_class: Option<ReplicaClass>,
    /// The ARN of the KMS key that encrypts copies of objects which KMS encrypts; needs `kms_objects`.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub kms_key: Option<String>,
    /// Whether S3 measures what waits and tells of what failed.
    #[serde(default)]
    pub metrics: bool,
    /// Whether S3 copies within 15 minutes (replication time control), which costs by the byte; needs `metrics`.
    #[serde(default)]
    pub time_control: bool,
}

/// A storage class of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicaClass {
    Standard,
    ReducedRedundancy,
    StandardIa,
    OnezoneIa,
    IntelligentTiering,
    GlacierIr,
    Glacier,
    DeepArchive,
}

impl Replication {
    pub(super) fn to_aws(&self) -> s3::ReplicationConfiguration {
        let rules = self.rules.iter().map(ReplicationRule::to_aws).collect();
        let made = s3::ReplicationConfiguration::builder().role(&self.role).set_rules(Some(rules)).build();
        made.expect("internal error: role and rules are set")
    }

    pub(super) fn of_aws(configuration: &s3::ReplicationConfiguration) -> Self {
        let rules = configuration.rules.iter().filter_map(ReplicationRule::of_aws).collect();
        Self { role: configuration.role.clone(), rules }
    }
}

impl ReplicationRule {
    fn to_aws(&self) -> s3::ReplicationRule {
        let status =
            if self.enabled { s3::ReplicationRuleStatus::Enabled } else { s3::ReplicationRuleStatus::Disabled };
        let markers = match self.delete_markers {
            true => s3::DeleteMarkerReplicationStatus::Enabled,
            false => s3::DeleteMarkerReplicationStatus::Disabled,
        };
        let rule = s3::ReplicationRule::builder()
            .id(self.id.clone().unwrap_or_else(|| made_id(self)))
            .priority(i32::try_from(self.priority).unwrap_or(i32::MAX))
            .filter(self.filter())
            .status(status)
            .set_source_selection_criteria(self.criteria())
            .destination(self.destination.to_aws())
            .delete_marker_replication(s3::DeleteMarkerReplication::builder().status(markers).build());
        rule.build().expect("internal error: the status is set")
    }

    fn filter(&self) -> s3::ReplicationRuleFilter {
        let filter = s3::ReplicationRuleFilter::builder();
        match Filter::new(&self.prefix, &self.tags) {
            Filter::All => filter.prefix(""),
            Filter::Prefix(prefix) => filter.prefix(prefix),
            Filter::Tag(tag) => filter.tag(tag),
            Filter::And(prefix, tags) => {
                let and = s3::ReplicationRuleAndOperator::builder().set_prefix(prefix).set_tags(Some(tags));
                filter.and(and.build())
            }
        }
        .build()
    }

    fn criteria(&self) -> Option<s3::SourceSelectionCriteria> {
        let kms = self.kms_objects.then(|| {
            let kms = s3::SseKmsEncryptedObjects::builder().status(s3::SseKmsEncryptedObjectsStatus::Enabled);
            kms.build().expect("internal error: the status is set")
        });
        let changes = self.replica_modifications.then(|| {
            let changes = s3::ReplicaModifications::builder().status(s3::ReplicaModificationsStatus::Enabled);
            changes.build().expect("internal error: the status is set")
        });
        let criteria = s3::SourceSelectionCriteria::builder();
        (kms.is_some() || changes.is_some())
            .then(|| criteria.set_sse_kms_encrypted_objects(kms).set_replica_modifications(changes).build())
    }

    fn of_aws(rule: &s3::ReplicationRule) -> Option<Self> {
        let filter = rule.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        #[expect(deprecated, reason = "rules of the schema's first version have their prefix here")]
        let old_prefix = rule.prefix.as_deref();
        let alone = filter.and_then(|filter| filter.prefix.as_deref());
        let tags = and.map(s3::ReplicationRuleAndOperator::tags).unwrap_or_default();
        let tags = tags.iter().chain(filter.and_then(|filter| filter.tag.as_ref()));
        let (prefix, tags) = Filter::read([and.and_then(|and| and.prefix.as_deref()), alone.or(old_prefix)], tags);
        let criteria = rule.source_selection_criteria.as_ref();
        let kms = criteria.and_then(|criteria| criteria.sse_kms_encrypted_objects.as_ref());
        let kms_objects = kms.is_some_and(|kms| kms.status == s3::SseKmsEncryptedObjectsStatus::Enabled);
        let changes = criteria.and_then(|criteria| criteria.replica_modifications.as_ref());
        let markers = rule.delete_marker_replication.as_ref().and_then(|markers| markers.status.as_ref());
        Some(Self {
            id: rule.id.clone().filter(|id| !id.starts_with(MADE_ID)),
            priority: rule.priority.and_then(|priority| u32::try_from(priority).ok()).unwrap_or_default(),
            enabled: rule.status == s3::ReplicationRuleStatus::Enabled,
            prefix,
            tags,
            // In the first version, which has no filter, they always are.
            delete_markers: filter.is_none() || markers == Some(&s3::DeleteMarkerReplicationStatus::Enabled),
            kms_objects,
            replica_modifications: changes.is_some_and(|it| it.status == s3::ReplicaModificationsStatus::Enabled),
            destination: ReplicationDestination::of_aws(rule.destination.as_ref()?, kms_objects),
        })
    }
}

impl ReplicationDestination {
    fn to_aws(&self) -> s3::Destination {
        let minutes = || s3::ReplicationTimeValue::builder().minutes(MINUTES).build();
        let owner = self.owner_override.then(|| {
            let owner = s3::AccessControlTranslation::builder().owner(s3::OwnerOverride::Destination);
            owner.build().expect("internal error: the owner is set")
        });
        let key = self.kms_key.as_ref();
        let time = self.time_control.then(|| {
            let time = s3::ReplicationTime::builder().status(s3::ReplicationTimeStatus::Enabled).time(minutes());
            time.build().expect("internal error: status and time are set")
        });
        let metrics = self.metrics.then(|| {
            let metrics = s3::Metrics::builder().status(s3::MetricsStatus::Enabled);
            let metrics = metrics.set_event_threshold(self.time_control.then(minutes));
            metrics.build().expect("internal error: the status is set")
        });
        s3::Destination::builder()
            .bucket(&self.bucket)
            .set_account(self.account.clone())
            .set_storage_class(self.storage_class.map(|class| class_name(class).as_str().into()))
            .set_access_control_translation(owner)
            .set_encryption_configuration(
                key.map(|key| s3::EncryptionConfiguration::builder().replica_kms_key_id(key).build()),
            )
            .set_replication_time(time)
            .set_metrics(metrics)
            .build()
            .expect("internal error: the bucket is set")
    }

    /// Reads a destination; without objects of KMS its key does nothing, and is none.
    fn of_aws(destination: &s3::Destination, kms_objects: bool) -> Self {
        let encryption = destination.encryption_configuration.as_ref().filter(|_| kms_objects);
        let time = destination.replication_time.as_ref();
        let metrics = destination.metrics.as_ref();
        Self {
            bucket: destination.bucket.clone(),
            account: destination.account.clone(),
            owner_override: destination.access_control_translation.is_some(),
            storage_class: destination.storage_class.as_ref().and_then(|class| class_of(class.as_str())),
            kms_key: encryption.and_then(|encryption| encryption.replica_kms_key_id.clone()),
            metrics: metrics.is_some_and(|metrics| metrics.status == s3::MetricsStatus::Enabled),
            time_control: time.is_some_and(|time| time.status == s3::ReplicationTimeStatus::Enabled),
        }
    }
}

/// Deletes a replication that is wanted no more; tells whether there was one.
pub(super) async fn remove(cx: &Update<'_, S3Bucket>) -> Result<bool, AwsError> {
    let gone = cx.touches("replication") && cx.after.replication.is_none();
    if gone {
        cx.aws.s3().delete_bucket_replication().bucket(cx.id.as_str()).send().await?;
    }
    Ok(gone)
}

/// Tells whether S3 still sees a replication that was deleted a moment ago.
pub(super) fn still_there(error: &AwsError) -> bool {
    error.code == "InvalidBucketState" && error.message.contains("replication configuration")
}

/// Puts the replication that is wanted; last, when everything that S3 asks for is there.
pub(super) async fn put(cx: &Update<'_, S3Bucket>) -> Result<(), AwsError> {
    let Some(replication) = cx.after.replication.as_ref().filter(|_| cx.touches("replication")) else {
        return Ok(());
    };
    let configuration = replication.to_aws();
    // Versioning was perhaps enabled a moment ago, here or there.
    let unversioned =
        |error: &AwsError| error.code == "InvalidRequest" && error.message.to_ascii_lowercase().contains("versioning");
    while_failing(cx.aws, Bound::propagation(), unversioned, || async {
        let call = cx.aws.s3().put_bucket_replication().bucket(cx.id.as_str());
        call.replication_configuration(configuration.clone()).send().await?;
        Ok(())
    })
    .await
}

/// Checks what the schema of a replication can't express.
pub(super) fn check(replication: &Value, own_name: Option<&str>) -> Vec<Problem> {
    let mut out = Vec::new();
    let (mut ids, mut priorities) = (BTreeSet::new(), BTreeSet::new());
    let rules = replication.get("rules").and_then(Value::as_array).into_iter().flatten();
    for (index, rule) in rules.enumerate() {
        let mut problem =
            |name: &str, text: &str| out.push(Problem::new(format!("replication.rules[{index}]{name}"), text));
        let destination = rule.get("destination").unwrap_or(&Value::Null);
        if set(rule, "delete_markers") && set(rule, "tags") {
            problem(".delete_markers", "a rule with `tags` can't do this");
        }
        match (set(rule, "kms_objects"), set(destination, "kms_key")) {
            (true, false) => problem(".kms_objects", "objects of KMS are copied with a `destination.kms_key`"),
            (false, true) => problem(".destination.kms_key", "a key is for `kms_objects: true`"),
            _ => {}
        }
        if set(destination, "owner_override") && !set(destination, "account") {
            problem(".destination.owner_override", "`owner_override` needs `account`");
        }
        if set(destination, "time_control") && !set(destination, "metrics") {
            problem(".destination.time_control", "`time_control` needs `metrics: true`");
        }
        let bucket = destination.get("bucket").and_then(Value::as_str).and_then(|arn| arn.split_once(":::"));
        if bucket.is_some_and(|(_, bucket)| own_name == Some(bucket)) {
            problem(".destination.bucket", "a bucket can't be replicated to itself");
        }
        if !priorities.insert(rule.get("priority").and_then(Value::as_u64).unwrap_or_default()) {
            problem(".priority", "another rule has this priority");
        }
        if let Some(id) = rule.get("id").and_then(Value::as_str)
            && !ids.insert(id)
        {
            problem(".id", "another rule has this id");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn there_and_back(rule: Value) {
        let given = json!({ "role": "arn:aws:iam::123456789012:role/copier", "rules": [rule] });
        let given: Replication = serde_json::from_value(given).unwrap();
        assert_eq!(Replication::of_aws(&given.to_aws()), given);
    }

    #[test]
    fn rules_come_back_as_they_went() {
        let to = |more: Value| {
            let mut to = json!({ "bucket": "arn:aws:s3:::copies" });
            to.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            to
        };
        there_and_back(json!({ "destination": to(json!({})) }));
        there_and_back(json!({ "id": "all", "priority": 7, "enabled": false, "delete_markers": true,
            "destination": to(json!({ "storage_class": "GLACIER_IR", "metrics": true })) }));
        there_and_back(json!({ "prefix": "in/", "replica_modifications": true,
            "destination": to(json!({ "account": "111122223333", "owner_override": true })) }));
        there_and_back(json!({ "tags": { "a": "b" }, "kms_objects": true,
            "destination": to(json!({ "kms_key": "arn:aws:kms:eu-west-1:111122223333:key/k" })) }));
        there_and_back(json!({ "prefix": "in/", "tags": { "a": "b", "c": "d" },
            "destination": to(json!({ "metrics": true, "time_control": true })) }));
    }

    #[test]
    fn a_rule_of_the_first_version_copies_delete_markers() {
        let destination = s3::Destination::builder().bucket("arn:aws:s3:::copies").build().unwrap();
        #[expect(deprecated, reason = "the first version")]
        let rule = s3::ReplicationRule::builder().prefix("in/").destination(destination);
        let rule = rule.status(s3::ReplicationRuleStatus::Enabled).build().unwrap();
        let read = ReplicationRule::of_aws(&rule).unwrap();
        assert_eq!((read.prefix.as_str(), read.delete_markers), ("in/", true));
    }

    #[test]
    fn what_s3_would_refuse_is_found() {
        let to = json!({ "bucket": "arn:aws:s3:::copies" });
        for (rules, path) in [
            (json!([{ "destination": to, "tags": { "a": "b" }, "delete_markers": true }]), "[0].delete_markers"),
            (json!([{ "destination": to, "kms_objects": true }]), "[0].kms_objects"),
            (json!([{ "destination": { "kms_key": "arn" } }]), "[0].destination.kms_key"),
            (json!([{ "destination": { "owner_override": true } }]), "[0].destination.owner_override"),
            (json!([{ "destination": { "time_control": true } }]), "[0].destination.time_control"),
            (json!([{ "destination": { "bucket": "arn:aws:s3:::own" } }]), "[0].destination.bucket"),
            (json!([{ "destination": to }, { "destination": to, "enabled": false }]), "[1].priority"),
            (json!([{ "id": "a", "destination": to }, { "id": "a", "priority": 1, "destination": to }]), "[1].id"),
        ] {
            let problems = check(&json!({ "rules": rules }), Some("own"));
            let found: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(found, [format!("replication.rules{path}")], "{rules}");
        }
    }
}
