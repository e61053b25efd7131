//! A log group of CloudWatch Logs.
//!
//! Calls: CreateLogGroup; PutRetentionPolicy, DeleteRetentionPolicy, AssociateKmsKey, DisassociateKmsKey,
//! PutLogGroupDeletionProtection, PutDataProtectionPolicy, DeleteDataProtectionPolicy, TagResource, UntagResource;
//! DeleteLogGroup. Reads: DescribeLogGroups in pages below the names' common prefix, ListTagsForResource per group
//! whose tags are not known in bulk, GetDataProtectionPolicy per group that has one where it is wanted.
//! Waits: on the key's policy, which CloudWatch Logs sees a little later than KMS.
//! Traps: services make their own group of the expected name when they write first, so a create can meet one.
//! Tags hang on the ARN without its trailing `:*`. A retention policy deletes what is already older.

mod protection;

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::types::{LogGroup as Group, LogGroupClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Holding, Identity, Scope};
use protection::DataProtection;

/// The longest name that CloudWatch Logs takes, in characters.
const NAME_CHARS_MAX: usize = 512;

/// The retentions that CloudWatch Logs has, in days.
const RETENTIONS: [u64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// A log group of CloudWatch Logs, with its retention and its key.
///
/// Deleting one deletes its logs. A group that has log streams is deleted only where the loss of data is allowed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The name, such as `/acme/training`; made of environment and address where it is left out.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[.\-_/#A-Za-z0-9]{1,512}$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// Days that log events are kept: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827,
    /// 2192, 2557, 2922, 3288 or 3653. Left out, they are kept for ever.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3653))]
    pub retention_days: Option<u32>,
    /// The ARN of the KMS key that encrypts what is written from now on; left out, a key of AWS's own does.
    ///
    /// The key's policy has to let `logs.REGION.amazonaws.com` use it.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub kms_key: Option<String>,
    /// What can be done with the logs, and at what price.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub class: Class,
    /// Whether CloudWatch Logs itself refuses to delete the group.
    #[serde(default)]
    pub deletion_protection: bool,
    /// The data protection policy: what is found in logs that are written from now on, and masked. Its document has two
    /// statements with the same `DataIdentifier` list, one with the operation `Audit` and one with `Deidentify`.
    ///
    /// Destinations of findings have to exist; to name one, `logs:CreateLogDelivery` is needed too.
    #[serde(default)]
    pub data_protection: Option<DataProtection>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// A class of log group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Class {
    /// All features.
    #[default]
    Standard,
    /// Cheaper to write; without live tail, metric filters and subscriptions.
    InfrequentAccess,
    /// Only hands logs on; keeps them for a day or two.
    Delivery,
}

impl Class {
    fn to_aws(self) -> LogGroupClass {
        match self {
            Self::Standard => LogGroupClass::Standard,
            Self::InfrequentAccess => LogGroupClass::InfrequentAccess,
            Self::Delivery => LogGroupClass::Delivery,
        }
    }

    fn of_aws(class: Option<&LogGroupClass>) -> Self {
        match class {
            Some(LogGroupClass::InfrequentAccess) => Self::InfrequentAccess,
            Some(LogGroupClass::Delivery) => Self::Delivery,
            _ => Self::Standard,
        }
    }
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The group's ARN, without a trailing `:*`.
    pub arn: String,
    /// The name.
    pub name: String,
}

/// See the module's header.
pub struct LogGroup;

impl ResourceKind for LogGroup {
    const NAME: &'static str = "log_group";
    const SERVICE: &'static str = "logs";
    const IDENTITY: Identity = Identity::UniqueName;
    const HOLDS_DATA: bool = true;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("logs:log-group"));
    const ACTIONS: Actions = Actions {
        read: &[
            "logs:DescribeLogGroups",
            "logs:GetDataProtectionPolicy",
            "logs:ListTagsForResource",
            "tag:GetResources",
        ],
        create: &["logs:CreateLogGroup", "logs:TagResource", "logs:PutRetentionPolicy"],
        update: &[
            "logs:AssociateKmsKey",
            "logs:DeleteDataProtectionPolicy",
            "logs:DeleteRetentionPolicy",
            "logs:DisassociateKmsKey",
            "logs:PutDataProtectionPolicy",
            "logs:PutLogGroupDeletionProtection",
            "logs:PutRetentionPolicy",
            "logs:TagResource",
            "logs:UntagResource",
        ],
        delete: &["logs:DeleteLogGroup", "logs:DescribeLogStreams"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        if arguments.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("aws/")) {
            out.push(Problem::new("name", "names that start with `aws/` are kept for AWS"));
        }
        let days = arguments.get("retention_days").and_then(Value::as_u64);
        if days.is_some_and(|days| !RETENTIONS.contains(&days)) {
            let list: Vec<String> = RETENTIONS.iter().map(u64::to_string).collect();
            let mut problem = Problem::new("retention_days", "CloudWatch Logs has no such retention");
            problem.help = Some(format!("one of {} days", list.join(", ")));
            out.push(problem);
        }
        let delivery = arguments.get("class").and_then(Value::as_str) == Some("DELIVERY");
        if delivery && arguments.get("retention_days").is_some_and(|days| !days.is_null()) {
            out.push(Problem::new("retention_days", "a group of class `DELIVERY` has a retention that AWS sets"));
        }
        protection::check(arguments, &mut out);
        out
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let name = match arguments.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => default_name(owner, NAME_CHARS_MAX),
        };
        let arn = scope.arn("logs", &format!("log-group:{name}"));
        Map::from_iter([("arn".to_owned(), json!(arn)), ("name".to_owned(), json!(name))])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let names: Vec<&str> = ids.iter().map(PhysicalId::as_str).collect();
        let found = groups(aws, common_prefix(&names)).await?;
        let reads = ids.iter().map(|id| async {
            let observation = match found.get(id.as_str()) {
                Some(group) => observe(aws, group, fields).await,
                None => Observation::Absent,
            };
            (id.clone(), observation)
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = groups(aws, "").await?;
        let reads = found.iter().map(|(name, group)| async move {
            match tags(aws, &arn(group)).await {
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
        let tags = tags(cx.aws, &cx.scope.arn("logs", &format!("log-group:{name}"))).await;
        let owner = match tags {
            Ok(tags) => split(tags).1,
            Err(error) => error.absent()?,
        };
        Ok(if owner.as_ref() == Some(cx.owner) { vec![name.into()] } else { Vec::new() })
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name(&cx, arguments);
        while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .logs()
                .create_log_group()
                .log_group_name(&name)
                .set_kms_key_id(arguments.kms_key.clone())
                .log_group_class(arguments.class.to_aws())
                .set_tags(Some(cx.tags(&arguments.tags).into_iter().collect()));
            call.send().await.map(|_| ()).map_err(key_not_usable_yet)
        })
        .await?;
        Ok(name.into())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (logs, name, after) = (cx.aws.logs(), cx.id.as_str(), cx.after);
        if cx.touches("kms_key") {
            match &after.kms_key {
                Some(key) => {
                    while_not_yet(cx.aws, Bound::propagation(), || async {
                        let call = logs.associate_kms_key().log_group_name(name).kms_key_id(key);
                        call.send().await.map(|_| ()).map_err(key_not_usable_yet)
                    })
                    .await?;
                }
                None => {
                    logs.disassociate_kms_key().log_group_name(name).send().await?;
                }
            }
        }
        if cx.touches("retention_days") {
            match after.retention_days {
                Some(days) => {
                    let days = i32::try_from(days).unwrap_or(i32::MAX);
                    logs.put_retention_policy().log_group_name(name).retention_in_days(days).send().await?;
                }
                None => {
                    logs.delete_retention_policy().log_group_name(name).send().await?;
                }
            }
        }
        if cx.touches("data_protection") {
            protection::update(cx.aws, name, after.data_protection.as_ref()).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &after.tags);
            let arn = &cx.before.attributes.arn;
            if !changes.set.is_empty() {
                let tags = changes.set.into_iter().collect();
                logs.tag_resource().resource_arn(arn).set_tags(Some(tags)).send().await?;
            }
            if !changes.remove.is_empty() {
                logs.untag_resource().resource_arn(arn).set_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        if cx.touches("deletion_protection") {
            let call = logs.put_log_group_deletion_protection().log_group_identifier(name);
            call.deletion_protection_enabled(after.deletion_protection).send().await?;
        }
        Ok(())
    }

    async fn holds(aws: &Aws, id: &PhysicalId) -> Result<Holding, AwsError> {
        let streams = aws.logs().describe_log_streams().log_group_name(id.as_str()).limit(1).send().await?;
        Ok(match streams.log_streams().first() {
            Some(stream) => {
                let name = stream.log_stream_name().unwrap_or_default();
                Holding::Data(format!("its log streams, such as `{name}`"))
            }
            None => Holding::Nothing,
        })
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let (logs, name) = (cx.aws.logs(), cx.id.as_str());
        if !cx.allow_data_loss {
            let held = Self::holds(cx.aws, cx.id).await?;
            if held != Holding::Nothing {
                let message = format!("log group `{name}` has log streams, and deleting it deletes them");
                return Err(AwsError::own("logs:DeleteLogGroup", ErrorClass::InUse, "LogGroupNotEmpty", message));
            }
        }
        logs.delete_log_group().log_group_name(name).send().await?;
        Ok(())
    }
}

fn name(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_CHARS_MAX))
}

/// CloudWatch Logs tests the key when it is given; a key policy of a moment ago may not be in force yet.
fn key_not_usable_yet(error: impl Into<AwsError>) -> AwsError {
    let mut error = error.into();
    if error.code == "InvalidParameterException" && error.message.contains("KMS key") {
        error.class = ErrorClass::NotYet;
    }
    error
}

/// Returns the beginning that all names share.
fn common_prefix<'a>(names: &[&'a str]) -> &'a str {
    let Some((first, rest)) = names.split_first() else { return "" };
    let shared = |other: &&str| first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let end = rest.iter().map(shared).min().unwrap_or(first.len());
    // Names are ASCII; any other text has no such group and is looked for by an empty prefix.
    first.get(..end).unwrap_or_default()
}

async fn groups(aws: &Aws, prefix: &str) -> Result<BTreeMap<String, Group>, AwsError> {
    let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
    let call = aws.logs().describe_log_groups().set_log_group_name_prefix(prefix).limit(50);
    let mut pages = call.into_paginator().items().send();
    let mut out = BTreeMap::new();
    while let Some(group) = pages.next().await {
        let group = group?;
        if let Some(name) = group.log_group_name.clone() {
            out.insert(name, group);
        }
    }
    Ok(out)
}

fn arn(group: &Group) -> String {
    let arn = group.log_group_arn.as_deref().or(group.arn.as_deref()).unwrap_or_default();
    arn.strip_suffix(":*").unwrap_or(arn).to_owned()
}

async fn tags(aws: &Aws, arn: &str) -> Result<Tags, AwsError> {
    let output = aws.logs().list_tags_for_resource().resource_arn(arn).send().await?;
    Ok(output.tags.unwrap_or_default().into_iter().collect())
}

async fn observe(aws: &Aws, group: &Group, fields: &Fields) -> Observation<LogGroup> {
    let arn = arn(group);
    let mut unreadable = BTreeMap::new();
    let read = if fields.wants("tags") { tags(aws, &arn).await } else { Ok(Tags::new()) };
    let (user, owner) = match read {
        Ok(tags) => split(tags),
        Err(error) if error.is_not_found() => return Observation::Absent,
        Err(error) => {
            unreadable.insert("tags".to_owned(), error.reason());
            (Tags::new(), None)
        }
    };
    let read = protection::read(aws, group, &arn, fields.wants("data_protection")).await;
    let data_protection = read.unwrap_or_else(|error| {
        unreadable.insert("data_protection".to_owned(), error.reason());
        None
    });
    let arguments = Arguments {
        name: group.log_group_name.clone(),
        retention_days: group.retention_in_days.and_then(|days| u32::try_from(days).ok()),
        kms_key: group.kms_key_id.clone(),
        class: Class::of_aws(group.log_group_class.as_ref()),
        deletion_protection: group.deletion_protection_enabled.unwrap_or_default(),
        data_protection,
        tags: user,
    };
    let attributes = Attributes { arn, name: group.log_group_name.clone().unwrap_or_default() };
    Observation::Present(Box::new(Observed { arguments, attributes, owner, unreadable }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_retentions_exist() {
        assert_eq!(LogGroup::check(&json!({ "retention_days": 30 })), vec![]);
        assert_eq!(LogGroup::check(&json!({ "retention_days": 31 }))[0].path, "retention_days");
    }

    #[test]
    fn names_share_their_beginning() {
        for (names, expected) in [
            (&["/a/b"][..], "/a/b"),
            (&["/a/b", "/a/c"], "/a/"),
            (&["/a", "/a/b"], "/a"),
            (&["x", "y"], ""),
            (&[], ""),
            (&["é", "è"], ""),
        ] {
            assert_eq!(common_prefix(names), expected, "{names:?}");
        }
    }
}
