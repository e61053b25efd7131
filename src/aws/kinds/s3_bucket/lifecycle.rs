//! Lifecycle rules of a bucket, to and from S3's form.
//!
//! Pure. S3 gives each rule an id; where the spec gives none, one is made of the rule's content, and is not
//! shown when it is read back, so that rules compare by what they do.

use aws_sdk_s3::types as s3;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::filter::Filter;
use super::set;
use crate::aws::resource::{Problem, yes};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, ErrorClass};

/// Marks an id that the user did not give.
pub(super) const MADE_ID: &str = "opora-";

/// Makes the id of a rule that the user gave none, of its content.
pub(super) fn made_id(rule: &impl Serialize) -> String {
    let text = serde_json::to_string(rule).expect("internal error: a rule is plain data");
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    format!("{MADE_ID}{}", &digest[..16])
}

/// A rule that moves or deletes objects by their age. All of `prefix`, `tags` and sizes have to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// A name of the rule, unique in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub id: Option<String>,
    /// Whether the rule is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The beginning of the keys that it is for; empty for all.
    #[serde(default)]
    pub prefix: String,
    /// Tags that objects need to have.
    #[serde(default)]
    pub tags: Tags,
    /// Only objects of more bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than_bytes: Option<u64>,
    /// Only objects of fewer bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub smaller_than_bytes: Option<u64>,
    /// Days after which an object is deleted; with versioning, a delete marker takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub expire_days: Option<u32>,
    /// The day from which on objects are deleted, as `2027-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub expire_on: Option<String>,
    /// Whether delete markers without any older version are removed.
    #[serde(default)]
    pub expire_delete_markers: bool,
    /// Days after which a version that is no longer current is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub noncurrent_expire_days: Option<u32>,
    /// The number of newer noncurrent versions that are kept nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub noncurrent_keep: Option<u32>,
    /// Days after which an unfinished multipart upload is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub abort_multipart_days: Option<u32>,
    /// Moves to other storage classes.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub transitions: Vec<Transition>,
    /// Moves of versions that are no longer current.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

/// A move to another storage class. It has `days` or `on`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Days after an object's creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// The day from which on objects are moved, as `2027-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub on: Option<String>,
    /// The storage class.
    pub storage_class: StorageClass,
}

/// A move of versions that are no longer current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoncurrentTransition {
    /// Days after a version stopped to be the current one.
    pub days: u32,
    /// The number of newer noncurrent versions that stay where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: Option<u32>,
    /// The storage class.
    pub storage_class: StorageClass,
}

/// A storage class that objects can be moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    StandardIa,
    OnezoneIa,
    IntelligentTiering,
    GlacierIr,
    Glacier,
    DeepArchive,
}

/// Returns S3's name of a storage class, which is the spec's.
pub(super) fn class_name(class: impl Serialize) -> String {
    let name = serde_json::to_value(class).ok().and_then(|name| name.as_str().map(str::to_owned));
    name.expect("internal error: a storage class is a name")
}

/// Returns the storage class of a name, where it is one that the spec can say.
pub(super) fn class_of<C: DeserializeOwned>(name: &str) -> Option<C> {
    serde_json::from_value(Value::from(name)).ok()
}

impl StorageClass {
    fn to_aws(self) -> s3::TransitionStorageClass {
        class_name(self).as_str().into()
    }

    fn of_aws(class: Option<&s3::TransitionStorageClass>) -> Option<Self> {
        class_of(class?.as_str())
    }
}

fn count(number: Option<u32>) -> Option<i32> {
    number.map(|number| i32::try_from(number).unwrap_or(i32::MAX))
}

pub(super) fn number(count: Option<i32>) -> Option<u32> {
    count.and_then(|count| u32::try_from(count).ok())
}

fn bytes(number: Option<u64>) -> Option<i64> {
    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn midnight(day: &Option<String>) -> Result<Option<DateTime>, AwsError> {
    let parse = |day: &String| {
        let not_a_day = |_| {
            let message = format!("`{day}` is no day of the calendar");
            AwsError::own("s3:PutBucketLifecycleConfiguration", ErrorClass::Invalid, "InvalidDate", message)
        };
        DateTime::from_str(&format!("{day}T00:00:00Z"), Format::DateTime).map_err(not_a_day)
    };
    day.as_ref().map(parse).transpose()
}

fn day(time: &DateTime) -> String {
    let text = time.fmt(Format::DateTime).unwrap_or_default();
    text.split('T').next().unwrap_or_default().to_owned()
}

impl LifecycleRule {
    /// Writes the rule in S3's form.
    ///
    /// # Errors
    /// Returns an error for a day that the calendar does not have.
    pub(super) fn to_aws(&self) -> Result<s3::LifecycleRule, AwsError> {
        let id = self.id.clone().unwrap_or_else(|| made_id(self));
        let status = if self.enabled { s3::ExpirationStatus::Enabled } else { s3::ExpirationStatus::Disabled };
        let expires = self.expire_days.is_some() || self.expire_on.is_some() || self.expire_delete_markers;
        let expiration = s3::LifecycleExpiration::builder()
            .set_days(count(self.expire_days))
            .set_date(midnight(&self.expire_on)?)
            .set_expired_object_delete_marker(self.expire_delete_markers.then_some(true))
            .build();
        let noncurrent = s3::NoncurrentVersionExpiration::builder()
            .set_noncurrent_days(count(self.noncurrent_expire_days))
            .set_newer_noncurrent_versions(count(self.noncurrent_keep))
            .build();
        let abort = s3::AbortIncompleteMultipartUpload::builder();
        let abort = abort.set_days_after_initiation(count(self.abort_multipart_days)).build();
        let transitions: Result<Vec<_>, AwsError> = self.transitions.iter().map(Transition::to_aws).collect();
        let noncurrent_transitions: Vec<_> =
            self.noncurrent_transitions.iter().map(NoncurrentTransition::to_aws).collect();
        let rule = s3::LifecycleRule::builder()
            .id(id)
            .status(status)
            .filter(self.filter())
            .set_expiration(expires.then_some(expiration))
            .set_noncurrent_version_expiration(self.noncurrent_expire_days.map(|_| noncurrent))
            .set_abort_incomplete_multipart_upload(self.abort_multipart_days.map(|_| abort))
            .set_transitions(Some(transitions?).filter(|list| !list.is_empty()))
            .set_noncurrent_version_transitions(Some(noncurrent_transitions).filter(|list| !list.is_empty()));
        Ok(rule.build().expect("internal error: the status is set"))
    }

    fn filter(&self) -> s3::LifecycleRuleFilter {
        let (larger, smaller) = (bytes(self.larger_than_bytes), bytes(self.smaller_than_bytes));
        let tags: Vec<_> = self.tags.iter().map(|(key, value)| tag(key, value)).collect();
        let conditions =
            usize::from(!self.prefix.is_empty()) + tags.len() + larger.iter().count() + smaller.iter().count();
        let filter = s3::LifecycleRuleFilter::builder();
        if conditions > 1 {
            let and = s3::LifecycleRuleAndOperator::builder()
                .set_prefix((!self.prefix.is_empty()).then(|| self.prefix.clone()))
                .set_tags((!tags.is_empty()).then_some(tags))
                .set_object_size_greater_than(larger)
                .set_object_size_less_than(smaller)
                .build();
            return filter.and(and).build();
        }
        let prefix = (larger.is_none() && smaller.is_none() && tags.is_empty()).then(|| self.prefix.clone());
        filter
            .set_prefix(prefix)
            .set_tag(tags.into_iter().next())
            .set_object_size_greater_than(larger)
            .set_object_size_less_than(smaller)
            .build()
    }

    /// Reads a rule from S3's form.
    pub(super) fn of_aws(rule: &s3::LifecycleRule) -> Self {
        let filter = rule.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        #[expect(deprecated, reason = "rules made before filters existed have their prefix here")]
        let old_prefix = rule.prefix.as_deref();
        let alone = filter.and_then(|filter| filter.prefix.as_deref());
        let tags = and.map(s3::LifecycleRuleAndOperator::tags).unwrap_or_default();
        let tags = tags.iter().chain(filter.and_then(|filter| filter.tag.as_ref()));
        let (prefix, tags) = Filter::read([and.and_then(|and| and.prefix.as_deref()), alone.or(old_prefix)], tags);
        let size =
            |together: Option<i64>, alone: Option<i64>| together.or(alone).and_then(|size| u64::try_from(size).ok());
        let expiration = rule.expiration.as_ref();
        let noncurrent = rule.noncurrent_version_expiration.as_ref();
        let abort = rule.abort_incomplete_multipart_upload.as_ref();
        Self {
            id: rule.id.clone().filter(|id| !id.starts_with(MADE_ID)),
            enabled: rule.status == s3::ExpirationStatus::Enabled,
            prefix,
            tags,
            larger_than_bytes: size(
                and.and_then(|and| and.object_size_greater_than),
                filter.and_then(|filter| filter.object_size_greater_than),
            ),
            smaller_than_bytes: size(
                and.and_then(|and| and.object_size_less_than),
                filter.and_then(|filter| filter.object_size_less_than),
            ),
            expire_days: number(expiration.and_then(|expiration| expiration.days)).filter(|days| *days > 0),
            expire_on: expiration.and_then(|expiration| expiration.date.as_ref()).map(day),
            expire_delete_markers: expiration.is_some_and(|it| it.expired_object_delete_marker == Some(true)),
            noncurrent_expire_days: number(noncurrent.and_then(|noncurrent| noncurrent.noncurrent_days)),
            noncurrent_keep: number(noncurrent.and_then(|noncurrent| noncurrent.newer_noncurrent_versions)),
            abort_multipart_days: number(abort.and_then(|abort| abort.days_after_initiation)),
            transitions: rule.transitions().iter().filter_map(Transition::of_aws).collect(),
            noncurrent_transitions: rule
                .noncurrent_version_transitions()
                .iter()
                .filter_map(NoncurrentTransition::of_aws)
                .collect(),
        }
    }
}

impl Transition {
    fn to_aws(&self) -> Result<s3::Transition, AwsError> {
        let transition = s3::Transition::builder().set_days(count(self.days)).set_date(midnight(&self.on)?);
        Ok(transition.storage_class(self.storage_class.to_aws()).build())
    }

    fn of_aws(transition: &s3::Transition) -> Option<Self> {
        let storage_class = StorageClass::of_aws(transition.storage_class.as_ref())?;
        let on = transition.date.as_ref().map(day);
        let days = number(transition.days).filter(|_| on.is_none());
        Some(Self { days, on, storage_class })
    }
}

impl NoncurrentTransition {
    fn to_aws(&self) -> s3::NoncurrentVersionTransition {
        s3::NoncurrentVersionTransition::builder()
            .set_noncurrent_days(count(Some(self.days)))
            .set_newer_noncurrent_versions(count(self.keep))
            .storage_class(self.storage_class.to_aws())
            .build()
    }

    fn of_aws(transition: &s3::NoncurrentVersionTransition) -> Option<Self> {
        let storage_class = StorageClass::of_aws(transition.storage_class.as_ref())?;
        let keep = number(transition.newer_noncurrent_versions);
        Some(Self { days: number(transition.noncurrent_days).unwrap_or_default(), keep, storage_class })
    }
}

/// Makes a tag in S3's form.
pub(super) fn tag(key: &str, value: &str) -> s3::Tag {
    s3::Tag::builder().key(key).value(value).build().expect("internal error: key and value are set")
}

/// Checks what the schema of the rules can't express.
pub(super) fn check(rules: &[Value]) -> Vec<Problem> {
    let mut out = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let set = |name: &str| set(rule, name);
        let path = |name: &str| format!("lifecycle_rules[{index}]{name}");
        let actions = [
            "expire_days",
            "expire_on",
            "expire_delete_markers",
            "noncurrent_expire_days",
            "abort_multipart_days",
            "transitions",
            "noncurrent_transitions",
        ];
        if !actions.iter().any(|action| set(action)) {
            out.push(Problem::new(path(""), "the rule does nothing: it needs one of the expiries or transitions"));
        }
        let expiries = ["expire_days", "expire_on", "expire_delete_markers"].iter().filter(|name| set(name)).count();
        if expiries > 1 {
            let message = "a rule has one of `expire_days`, `expire_on` and `expire_delete_markers`";
            out.push(Problem::new(path(""), message));
        }
        if set("noncurrent_keep") && !set("noncurrent_expire_days") {
            out.push(Problem::new(path(".noncurrent_keep"), "`noncurrent_keep` needs `noncurrent_expire_days`"));
        }
        for name in ["abort_multipart_days", "expire_delete_markers"] {
            if set("tags") && set(name) {
                out.push(Problem::new(path(&format!(".{name}")), "a rule with `tags` can't do this"));
            }
        }
        let transitions = rule.get("transitions").and_then(Value::as_array).into_iter().flatten();
        for (at, transition) in transitions.enumerate() {
            if super::set(transition, "days") == super::set(transition, "on") {
                let path = path(&format!(".transitions[{at}]"));
                out.push(Problem::new(path, "a transition has either `days` or `on`"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn there_and_back(rule: Value) {
        let rule: LifecycleRule = serde_json::from_value(rule).unwrap();
        assert_eq!(LifecycleRule::of_aws(&rule.to_aws().unwrap()), rule);
    }

    #[test]
    fn rules_come_back_as_they_went() {
        there_and_back(json!({ "prefix": "tmp/", "expire_days": 7 }));
        there_and_back(json!({ "id": "mine", "enabled": false, "abort_multipart_days": 1 }));
        there_and_back(json!({ "tags": { "a": "b" }, "expire_on": "2027-01-31" }));
        there_and_back(json!({ "tags": { "a": "b", "c": "d" }, "prefix": "x", "expire_days": 1 }));
        there_and_back(json!({ "larger_than_bytes": 0, "smaller_than_bytes": 10, "expire_delete_markers": true }));
        there_and_back(json!({ "noncurrent_expire_days": 3, "noncurrent_keep": 2,
            "transitions": [{ "days": 0, "storage_class": "GLACIER_IR" }, { "on": "2027-01-31", "storage_class": "GLACIER" }],
            "noncurrent_transitions": [{ "days": 30, "keep": 1, "storage_class": "DEEP_ARCHIVE" }] }));
    }

    #[test]
    fn a_day_that_is_none_is_refused() {
        let rule: LifecycleRule = serde_json::from_value(json!({ "expire_on": "2027-02-31" })).unwrap();
        assert!(rule.to_aws().is_err());
    }

    #[test]
    fn rules_that_do_nothing_or_too_much_are_found() {
        for (rule, problems) in [
            (json!({ "expire_days": 1 }), 0),
            (json!({ "prefix": "x" }), 1),
            (json!({ "expire_days": 1, "expire_on": "2027-01-31" }), 1),
            (json!({ "expire_days": 1, "noncurrent_keep": 1 }), 1),
            (json!({ "abort_multipart_days": 1, "tags": { "a": "b" } }), 1),
            (json!({ "transitions": [{ "storage_class": "GLACIER" }] }), 1),
        ] {
            assert_eq!(check(std::slice::from_ref(&rule)).len(), problems, "{rule}");
        }
    }
}
