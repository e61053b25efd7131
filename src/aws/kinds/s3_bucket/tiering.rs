//! S3 Intelligent-Tiering of a bucket: to and from S3's form, read as one list, changed by one call for each name.

use std::collections::BTreeSet;

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::Filter;
use super::lifecycle::number;
use super::{S3Bucket, set};
use crate::aws::resource::{Problem, Update, yes};
use crate::aws::tags::Tags;
use crate::aws::{Aws, AwsError, ErrorClass};

/// The most pages of a list: a bucket has no more than 1000 configurations.
const PAGES_MAX: usize = 1000;

/// Days after which objects in the class `INTELLIGENT_TIERING` that nobody reads move to an archive tier. Both of
/// `prefix` and `tags` have to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tiering {
    /// The name, unique in the bucket.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub name: String,
    /// Whether it is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The beginning of the keys that it is for; empty for all.
    #[serde(default)]
    pub prefix: String,
    /// Tags that objects need to have.
    #[serde(default)]
    pub tags: Tags,
    /// Days without a read after which an object moves to Archive Access, from where it is back within hours.
    #[serde(default)]
    #[schemars(range(min = 90, max = 730))]
    pub archive_days: Option<u32>,
    /// Days without a read after which an object moves to Deep Archive Access, from where it is back within half a day.
    #[serde(default)]
    #[schemars(range(min = 180, max = 730))]
    pub deep_archive_days: Option<u32>,
}

impl Tiering {
    fn to_aws(&self) -> s3::IntelligentTieringConfiguration {
        let status =
            if self.enabled { s3::IntelligentTieringStatus::Enabled } else { s3::IntelligentTieringStatus::Disabled };
        let tiers = [
            (self.archive_days, s3::IntelligentTieringAccessTier::ArchiveAccess),
            (self.deep_archive_days, s3::IntelligentTieringAccessTier::DeepArchiveAccess),
        ];
        let tierings = tiers.into_iter().filter_map(|(days, tier)| {
            let tiering = s3::Tiering::builder().days(i32::try_from(days?).unwrap_or(i32::MAX)).access_tier(tier);
            Some(tiering.build().expect("internal error: days and tier are set"))
        });
        let made = s3::IntelligentTieringConfiguration::builder()
            .id(&self.name)
            .set_filter(self.filter())
            .status(status)
            .set_tierings(Some(tierings.collect()));
        made.build().expect("internal error: name, status and tiers are set")
    }

    fn filter(&self) -> Option<s3::IntelligentTieringFilter> {
        let filter = s3::IntelligentTieringFilter::builder();
        let filter = match Filter::new(&self.prefix, &self.tags) {
            // S3 takes no empty prefix here.
            Filter::All => return None,
            Filter::Prefix(prefix) => filter.prefix(prefix),
            Filter::Tag(tag) => filter.tag(tag),
            Filter::And(prefix, tags) => {
                let and = s3::IntelligentTieringAndOperator::builder().set_prefix(prefix).set_tags(Some(tags));
                filter.and(and.build())
            }
        };
        Some(filter.build())
    }

    fn of_aws(configuration: &s3::IntelligentTieringConfiguration) -> Self {
        let filter = configuration.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        let tags = and.map(s3::IntelligentTieringAndOperator::tags).unwrap_or_default();
        let tags = tags.iter().chain(filter.and_then(|filter| filter.tag.as_ref()));
        let alone = filter.and_then(|filter| filter.prefix.as_deref());
        let (prefix, tags) = Filter::read([and.and_then(|and| and.prefix.as_deref()), alone], tags);
        let days = |tier: s3::IntelligentTieringAccessTier| {
            let tiering = configuration.tierings.iter().find(|tiering| tiering.access_tier == tier);
            number(tiering.map(|tiering| tiering.days))
        };
        Self {
            name: configuration.id.clone(),
            enabled: configuration.status == s3::IntelligentTieringStatus::Enabled,
            prefix,
            tags,
            archive_days: days(s3::IntelligentTieringAccessTier::ArchiveAccess),
            deep_archive_days: days(s3::IntelligentTieringAccessTier::DeepArchiveAccess),
        }
    }
}

/// Reads all configurations of a bucket; `None` where it has none.
pub(super) async fn read(aws: &Aws, bucket: &str) -> Result<Option<Vec<Tiering>>, AwsError> {
    let mut found = Vec::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let call = aws.s3().list_bucket_intelligent_tiering_configurations().bucket(bucket);
        let page = call.set_continuation_token(token).send().await?;
        found.extend(page.intelligent_tiering_configuration_list().iter().map(Tiering::of_aws));
        token = page.next_continuation_token;
        if token.is_none() {
            return Ok((!found.is_empty()).then_some(found));
        }
    }
    let message = format!("the list of bucket `{bucket}` has no end after {PAGES_MAX} pages");
    Err(AwsError::own("s3:ListBucketIntelligentTieringConfigurations", ErrorClass::Other, "EndlessList", message))
}

/// Deletes the configurations whose names are wanted no more, and puts those that are new or differ.
pub(super) async fn update(cx: &Update<'_, S3Bucket>) -> Result<(), AwsError> {
    let (s3, bucket) = (cx.aws.s3(), cx.id.as_str());
    let before = cx.before.arguments.intelligent_tiering.as_deref().unwrap_or_default();
    let after = cx.after.intelligent_tiering.as_deref().unwrap_or_default();
    for one in before.iter().filter(|one| after.iter().all(|other| other.name != one.name)) {
        let call = s3.delete_bucket_intelligent_tiering_configuration().bucket(bucket).id(&one.name);
        if let Err(error) = call.send().await.map_err(AwsError::from) {
            error.absent::<()>()?;
        }
    }
    for one in after.iter().filter(|one| !before.contains(one)) {
        let call = s3.put_bucket_intelligent_tiering_configuration().bucket(bucket).id(&one.name);
        call.intelligent_tiering_configuration(one.to_aws()).send().await?;
    }
    Ok(())
}

/// Checks what the schema of the configurations can't express.
pub(super) fn check(configurations: &[Value]) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut names = BTreeSet::new();
    for (index, one) in configurations.iter().enumerate() {
        let path = |name: &str| format!("intelligent_tiering[{index}]{name}");
        if !set(one, "archive_days") && !set(one, "deep_archive_days") {
            let message = "it does nothing: it needs `archive_days` or `deep_archive_days`";
            out.push(Problem::new(path(""), message));
        }
        let days = |name: &str| one.get(name).and_then(Value::as_u64);
        if days("archive_days").zip(days("deep_archive_days")).is_some_and(|(archive, deep)| deep <= archive) {
            out.push(Problem::new(path(".deep_archive_days"), "it has to be more than `archive_days`"));
        }
        if let Some(name) = one.get("name").and_then(Value::as_str)
            && !names.insert(name)
        {
            out.push(Problem::new(path(".name"), "another configuration has this name"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configurations_come_back_as_they_went() {
        for given in [
            json!({ "name": "all", "archive_days": 90 }),
            json!({ "name": "off", "enabled": false, "prefix": "in/", "deep_archive_days": 180 }),
            json!({ "name": "tagged", "tags": { "a": "b" }, "archive_days": 90, "deep_archive_days": 730 }),
            json!({ "name": "both", "prefix": "in/", "tags": { "a": "b" }, "archive_days": 100 }),
        ] {
            let given: Tiering = serde_json::from_value(given).unwrap();
            assert_eq!(Tiering::of_aws(&given.to_aws()), given);
        }
    }

    #[test]
    fn what_s3_would_refuse_is_found() {
        for (given, path) in [
            (json!([{ "name": "a" }]), "[0]"),
            (json!([{ "name": "a", "archive_days": 200, "deep_archive_days": 200 }]), "[0].deep_archive_days"),
            (json!([{ "name": "a", "archive_days": 90 }, { "name": "a", "archive_days": 91 }]), "[1].name"),
        ] {
            let problems = check(given.as_array().unwrap());
            let found: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(found, [format!("intelligent_tiering{path}")], "{given}");
        }
    }
}
