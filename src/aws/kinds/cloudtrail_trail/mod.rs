//! A trail of CloudTrail with its event selectors, insights and logging state.
//!
//! Calls: CreateTrail; UpdateTrail, PutEventSelectors, PutInsightSelectors, StartLogging, StopLogging, AddTags,
//! RemoveTags; DeleteTrail. Reads: DescribeTrails once, ListTags for 20 trails at a time, and per trail
//! GetTrailStatus, GetEventSelectors and GetInsightSelectors where they are wanted.
//! Waits: on the policies of bucket, key and role, which CloudTrail tests when it is given them.
//! Traps: a trail logs only after StartLogging. Logging never pauses during an update: it is started first and
//! stopped last, and no change needs a stop. All writes together are limited to about one a second. Trails of
//! other regions show as shadows and are left out. A basic selector is read as the advanced one that equals it.

mod selectors;

use std::collections::BTreeMap;

use aws_sdk_cloudtrail::types::{EventSelector, InsightSelector, InsightType, ReadWriteType, Tag, Trail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, default_name, yes,
};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};

use selectors::{Selector, of_basic};

/// The longest name that CloudTrail takes, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Trails that one ListTags call takes.
const TAGS_PER_CALL: usize = 20;

/// A trail: it records who called which AWS API, into an S3 bucket and optionally into CloudWatch Logs.
///
/// The bucket's policy has to let `cloudtrail.amazonaws.com` write; a new trail records from its creation on
/// unless `enabled` is false.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The name; made of environment and address where it is left out.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,126}[A-Za-z0-9]$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// The name of the bucket that log files go to.
    #[schemars(extend("x-access" = true))]
    pub bucket: String,
    /// The beginning of the log files' keys, without a slash at its end.
    #[serde(default)]
    #[schemars(length(max = 200), extend("x-access" = true))]
    pub prefix: Option<String>,
    /// The ARN of the KMS key that encrypts the log files; left out, the bucket's own key for S3 does.
    #[serde(default)]
    #[schemars(extend("format" = "arn", "x-access" = true))]
    pub kms_key: Option<String>,
    /// Whether the trail records all regions.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub multi_region: bool,
    /// Whether the trail records all accounts of the organization; only from its management account.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub organization: bool,
    /// Whether CloudTrail writes signed digests, by which a changed or missing log file is found.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub log_file_validation: bool,
    /// Whether calls of global services such as IAM are recorded.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub include_global: bool,
    /// The ARN of a log group that also gets the events.
    #[serde(default)]
    #[schemars(extend("format" = "arn", "x-access" = true))]
    pub log_group: Option<String>,
    /// The ARN of the role by which CloudTrail writes to the log group.
    #[serde(default)]
    #[schemars(extend("format" = "arn", "x-access" = true))]
    pub log_role: Option<String>,
    /// The ARN of an SNS topic that is told of each new log file.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub sns_topic: Option<String>,
    /// Which events are recorded; left empty, all management events.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-access" = true))]
    pub event_selectors: Vec<Selector>,
    /// Which unusual activity CloudTrail looks for.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub insights: Vec<Insight>,
    /// Whether the trail records.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub enabled: bool,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// A kind of unusual activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Insight {
    /// Unusual rates of write calls.
    ApiCallRateInsight,
    /// Unusual rates of errors.
    ApiErrorRateInsight,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The trail's ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The region that the trail was made in, from where alone it can be changed.
    pub home_region: String,
}

/// See the module's header.
pub struct CloudtrailTrail;

impl ResourceKind for CloudtrailTrail {
    const NAME: &'static str = "cloudtrail_trail";
    const SERVICE: &'static str = "cloudtrail";
    const IDENTITY: Identity = Identity::UniqueName;
    const ACTIONS: Actions = Actions {
        read: &[
            "cloudtrail:DescribeTrails",
            "cloudtrail:GetEventSelectors",
            "cloudtrail:GetInsightSelectors",
            "cloudtrail:GetTrailStatus",
            "cloudtrail:ListTags",
        ],
        create: &[
            "cloudtrail:AddTags",
            "cloudtrail:CreateTrail",
            "cloudtrail:PutEventSelectors",
            "cloudtrail:PutInsightSelectors",
            "cloudtrail:StartLogging",
            "iam:PassRole",
        ],
        update: &[
            "cloudtrail:AddTags",
            "cloudtrail:PutEventSelectors",
            "cloudtrail:PutInsightSelectors",
            "cloudtrail:RemoveTags",
            "cloudtrail:StartLogging",
            "cloudtrail:StopLogging",
            "cloudtrail:UpdateTrail",
            "iam:PassRole",
        ],
        delete: &["cloudtrail:DeleteTrail"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        let on = |name: &str| arguments.get(name).and_then(Value::as_bool);
        let mut out = Vec::new();
        for (one, other) in [("log_group", "log_role"), ("log_role", "log_group")] {
            if set(one) && !set(other) {
                out.push(Problem::new(one, format!("`{one}` needs `{other}`")));
            }
        }
        if arguments.get("log_group").and_then(Value::as_str).is_some_and(|arn| arn.ends_with(":*")) {
            out.push(Problem::new("log_group", "the ARN stands without `:*` at its end"));
        }
        if on("multi_region") == Some(true) && on("include_global") == Some(false) {
            out.push(Problem::new("include_global", "a trail of all regions always records global services"));
        }
        if on("multi_region") == Some(false) && on("organization") == Some(true) {
            out.push(Problem::new("multi_region", "a trail of the organization records all regions"));
        }
        for (index, selector) in
            arguments.get("event_selectors").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let fields = selector.get("fields").and_then(Value::as_array);
            let named = |field: &Value| field.get("field").and_then(Value::as_str) == Some("eventCategory");
            if !fields.is_some_and(|fields| fields.iter().any(named)) {
                let path = format!("event_selectors[{index}].fields");
                out.push(Problem::new(path, "a selector needs a condition on `eventCategory`"));
            }
        }
        out
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let name = match arguments.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => default_name(owner, NAME_CHARS_MAX),
        };
        let arn = scope.arn("cloudtrail", &format!("trail/{name}"));
        Map::from_iter([
            ("arn".to_owned(), json!(arn)),
            ("name".to_owned(), json!(name)),
            ("home_region".to_owned(), json!(scope.region)),
        ])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let trails = trails(aws).await?;
        let mine = |id: &PhysicalId| {
            let fits =
                |trail: &&Trail| [&trail.trail_arn, &trail.name].iter().any(|own| own.as_deref() == Some(id.as_str()));
            trails.iter().find(fits)
        };
        let arns: Vec<&str> = ids.iter().filter_map(|id| mine(id)?.trail_arn.as_deref()).collect();
        let tags = tags(aws, &arns).await;
        let reads = ids.iter().map(|id| async {
            let observation = match mine(id) {
                Some(trail) => observe(aws, trail, &tags, fields).await,
                None => Observation::Absent,
            };
            (id.clone(), observation)
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let trails = trails(aws).await?;
        let arns: Vec<&str> = trails.iter().filter_map(|trail| trail.trail_arn.as_deref()).collect();
        let mut tags = tags(aws, &arns).await?;
        let found = trails.iter().filter_map(|trail| {
            let id = trail.trail_arn.clone()?;
            let owner = split(tags.remove(&id).unwrap_or_default()).1;
            Some(Discovered { id: id.into(), owner, name: trail.name.clone() })
        });
        Ok(found.collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_CHARS_MAX));
        let output = while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .cloudtrail()
                .create_trail()
                .name(&name)
                .s3_bucket_name(&arguments.bucket)
                .set_s3_key_prefix(arguments.prefix.clone())
                .set_sns_topic_name(arguments.sns_topic.clone())
                .include_global_service_events(arguments.include_global)
                .is_multi_region_trail(arguments.multi_region)
                .is_organization_trail(arguments.organization)
                .enable_log_file_validation(arguments.log_file_validation)
                .set_cloud_watch_logs_log_group_arn(arguments.log_group.as_deref().map(with_star))
                .set_cloud_watch_logs_role_arn(arguments.log_role.clone())
                .set_kms_key_id(arguments.kms_key.clone())
                .set_tags_list(Some(aws_tags(&cx.tags(&arguments.tags))));
            Ok(call.send().await?)
        })
        .await?;
        Ok(output.trail_arn.expect("internal error: CreateTrail answers with the trail").into())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (cloudtrail, arn, after) = (cx.aws.cloudtrail(), cx.before.attributes.arn.as_str(), cx.after);
        // Started first and stopped last: at no moment does less get recorded than before and after.
        if cx.touches("enabled") && after.enabled {
            cloudtrail.start_logging().name(arn).send().await?;
        }
        if OF_TRAIL.iter().any(|argument| cx.touches(argument)) {
            update_trail(&cx).await?;
        }
        // Insights need the events they look at, so these come on before and go after.
        if cx.touches("insights") && after.insights.is_empty() {
            put_insights(&cx).await?;
        }
        if cx.touches("event_selectors") {
            put_selectors(&cx).await?;
        }
        if cx.touches("insights") && !after.insights.is_empty() {
            put_insights(&cx).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &after.tags);
            if !changes.set.is_empty() {
                let tags = aws_tags(&changes.set);
                cloudtrail.add_tags().resource_id(arn).set_tags_list(Some(tags)).send().await?;
            }
            if !changes.remove.is_empty() {
                let keys = changes.remove.into_iter().map(|key| tag(&key, None)).collect();
                cloudtrail.remove_tags().resource_id(arn).set_tags_list(Some(keys)).send().await?;
            }
        }
        if cx.touches("enabled") && !after.enabled {
            cloudtrail.stop_logging().name(arn).send().await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        cx.aws.cloudtrail().delete_trail().name(cx.id.as_str()).send().await?;
        Ok(())
    }
}

/// The arguments that UpdateTrail sets.
const OF_TRAIL: [&str; 10] = [
    "bucket",
    "prefix",
    "kms_key",
    "multi_region",
    "organization",
    "log_file_validation",
    "include_global",
    "log_group",
    "log_role",
    "sns_topic",
];

async fn update_trail(cx: &Update<'_, CloudtrailTrail>) -> Result<(), AwsError> {
    let after = cx.after;
    // What is touched and left out is taken away by an empty text; what is not touched is not sent.
    let text = |argument: &str, value: &Option<String>| cx.touches(argument).then(|| value.clone().unwrap_or_default());
    while_not_yet(cx.aws, Bound::propagation(), || async {
        let logs = cx.touches("log_group") || cx.touches("log_role");
        let group = after.log_group.as_deref().map(with_star).unwrap_or_default();
        let call = cx
            .aws
            .cloudtrail()
            .update_trail()
            .name(&cx.before.attributes.arn)
            .s3_bucket_name(&after.bucket)
            .include_global_service_events(after.include_global)
            .is_multi_region_trail(after.multi_region)
            .is_organization_trail(after.organization)
            .enable_log_file_validation(after.log_file_validation)
            .set_s3_key_prefix(text("prefix", &after.prefix))
            .set_sns_topic_name(text("sns_topic", &after.sns_topic))
            .set_kms_key_id(text("kms_key", &after.kms_key))
            .set_cloud_watch_logs_log_group_arn(logs.then_some(group))
            .set_cloud_watch_logs_role_arn(logs.then(|| after.log_role.clone().unwrap_or_default()));
        call.send().await?;
        Ok(())
    })
    .await
}

async fn put_selectors(cx: &Update<'_, CloudtrailTrail>) -> Result<(), AwsError> {
    let call = cx.aws.cloudtrail().put_event_selectors().trail_name(&cx.before.attributes.arn);
    let call = if cx.after.event_selectors.is_empty() {
        let default = EventSelector::builder().read_write_type(ReadWriteType::All).include_management_events(true);
        call.event_selectors(default.build())
    } else {
        call.set_advanced_event_selectors(Some(cx.after.event_selectors.iter().map(Selector::to_aws).collect()))
    };
    call.send().await?;
    Ok(())
}

async fn put_insights(cx: &Update<'_, CloudtrailTrail>) -> Result<(), AwsError> {
    let selector = |insight: &Insight| {
        let kind = match insight {
            Insight::ApiCallRateInsight => InsightType::ApiCallRateInsight,
            Insight::ApiErrorRateInsight => InsightType::ApiErrorRateInsight,
        };
        InsightSelector::builder().insight_type(kind).build()
    };
    let selectors = cx.after.insights.iter().map(selector).collect();
    let call = cx.aws.cloudtrail().put_insight_selectors().trail_name(&cx.before.attributes.arn);
    call.set_insight_selectors(Some(selectors)).send().await?;
    Ok(())
}

/// CloudTrail wants the ARN of a log group with `:*` at its end, and gives it back so.
fn with_star(arn: &str) -> String {
    if arn.ends_with(":*") { arn.to_owned() } else { format!("{arn}:*") }
}

fn tag(key: &str, value: Option<&str>) -> Tag {
    let tag = Tag::builder().key(key).set_value(value.map(str::to_owned));
    tag.build().expect("internal error: the key is set")
}

fn aws_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| tag(key, Some(value))).collect()
}

async fn trails(aws: &Aws) -> Result<Vec<Trail>, AwsError> {
    let output = aws.cloudtrail().describe_trails().include_shadow_trails(false).send().await?;
    Ok(output.trail_list.unwrap_or_default())
}

type TrailTags = BTreeMap<String, Vec<(String, String)>>;

async fn tags(aws: &Aws, arns: &[&str]) -> Result<TrailTags, AwsError> {
    let mut out = TrailTags::new();
    for chunk in arns.chunks(TAGS_PER_CALL) {
        let ids = chunk.iter().map(|arn| (*arn).to_owned()).collect();
        let mut pages = aws.cloudtrail().list_tags().set_resource_id_list(Some(ids)).into_paginator().items().send();
        while let Some(resource) = pages.next().await {
            let resource = resource?;
            let tags = resource.tags_list.unwrap_or_default().into_iter();
            let tags = tags.map(|tag| (tag.key, tag.value.unwrap_or_default()));
            out.entry(resource.resource_id.unwrap_or_default()).or_default().extend(tags);
        }
    }
    Ok(out)
}

async fn observe(
    aws: &Aws,
    trail: &Trail,
    tags: &Result<TrailTags, AwsError>,
    fields: &Fields,
) -> Observation<CloudtrailTrail> {
    let arn = trail.trail_arn.clone().unwrap_or_default();
    let (enabled, selectors, insights) = futures::join!(
        read_enabled(aws, &arn, fields.wants("enabled")),
        read_selectors(aws, &arn, fields.wants("event_selectors")),
        read_insights(aws, trail, &arn, fields.wants("insights")),
    );
    let attributes = Attributes {
        arn: arn.clone(),
        name: trail.name.clone().unwrap_or_default(),
        home_region: trail.home_region.clone().unwrap_or_default(),
    };
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let (user, owner) = match tags {
        Ok(tags) => split(tags.get(&arn).cloned().unwrap_or_default()),
        Err(_) => (Tags::new(), None),
    };
    let arguments = Arguments {
        name: trail.name.clone(),
        bucket: trail.s3_bucket_name.clone().unwrap_or_default(),
        prefix: text(&trail.s3_key_prefix),
        kms_key: text(&trail.kms_key_id),
        multi_region: trail.is_multi_region_trail.unwrap_or_default(),
        organization: trail.is_organization_trail.unwrap_or_default(),
        log_file_validation: trail.log_file_validation_enabled.unwrap_or_default(),
        include_global: trail.include_global_service_events.unwrap_or_default(),
        log_group: text(&trail.cloud_watch_logs_log_group_arn)
            .map(|arn| arn.strip_suffix(":*").unwrap_or(&arn).to_owned()),
        log_role: text(&trail.cloud_watch_logs_role_arn),
        sns_topic: text(&trail.sns_topic_arn),
        event_selectors: Vec::new(),
        insights: Vec::new(),
        enabled: false,
        tags: user,
    };
    let mut observed: Observed<CloudtrailTrail> = Observed::new(arguments, attributes, owner);
    observed.arguments.enabled = observed.field("enabled", enabled);
    observed.arguments.event_selectors = observed.field("event_selectors", selectors);
    observed.arguments.insights = observed.field("insights", insights);
    if let Err(error) = tags {
        observed.unreadable.insert("tags".to_owned(), error.reason());
    }
    Observation::Present(Box::new(observed))
}

async fn read_enabled(aws: &Aws, arn: &str, wanted: bool) -> Result<bool, AwsError> {
    if !wanted {
        return Ok(false);
    }
    Ok(aws.cloudtrail().get_trail_status().name(arn).send().await?.is_logging.unwrap_or_default())
}

async fn read_selectors(aws: &Aws, arn: &str, wanted: bool) -> Result<Vec<Selector>, AwsError> {
    if !wanted {
        return Ok(Vec::new());
    }
    let output = aws.cloudtrail().get_event_selectors().trail_name(arn).send().await?;
    let basic = output.event_selectors.unwrap_or_default();
    let advanced = output.advanced_event_selectors.unwrap_or_default();
    Ok(basic.iter().flat_map(of_basic).chain(advanced.into_iter().map(Selector::of_aws)).collect())
}

async fn read_insights(aws: &Aws, trail: &Trail, arn: &str, wanted: bool) -> Result<Vec<Insight>, AwsError> {
    // DescribeTrails says whether there are any, which spares a call for most trails.
    if !wanted || trail.has_insight_selectors == Some(false) {
        return Ok(Vec::new());
    }
    let output = match aws.cloudtrail().get_insight_selectors().trail_name(arn).send().await.map_err(AwsError::from) {
        Err(error) if error.code == "InsightNotEnabledException" => return Ok(Vec::new()),
        other => other?,
    };
    let kinds = output.insight_selectors.unwrap_or_default().into_iter().filter_map(|selector| selector.insight_type);
    let insight = |kind| match kind {
        InsightType::ApiErrorRateInsight => Insight::ApiErrorRateInsight,
        _ => Insight::ApiCallRateInsight,
    };
    Ok(kinds.map(insight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_group_is_sent_with_its_star() {
        assert_eq!(with_star("arn:aws:logs:r:1:log-group:a"), "arn:aws:logs:r:1:log-group:a:*");
        assert_eq!(with_star("arn:aws:logs:r:1:log-group:a:*"), "arn:aws:logs:r:1:log-group:a:*");
    }
}
