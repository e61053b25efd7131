//! A flow log: the record of which connections a VPC, subnet or interface had.
//!
//! Calls: CreateFlowLogs; CreateTags, DeleteTags; DeleteFlowLogs. Reads: DescribeFlowLogs.
//! Waits: until a Describe shows it.
//! Traps: nothing but tags can change in place. Creates and deletes answer 200 and list failures in their bodies.
//! A new role is refused for some seconds ("unable to assume").

use aws_sdk_ec2::types::{
    DestinationFileFormat, DestinationOptionsRequest, Filter, FlowLog as SdkFlowLog, FlowLogsResourceType,
    LogDestinationType, ResourceType, TrafficType, UnsuccessfulItem,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// A record of the network traffic of a VPC, a subnet or a network interface.
///
/// It goes to a log group, which needs a `role`, or to a bucket or Firehose stream, which need none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The id of the VPC, subnet, network interface or transit gateway whose traffic is recorded.
    #[schemars(extend("x-change" = "replace", "x-unique" = ["destination", "traffic"]))]
    pub target: String,
    /// The ARN of the log group, bucket (with a prefix behind a `/` if wanted) or Firehose stream.
    #[schemars(extend("x-change" = "replace", "format" = "arn"))]
    pub destination: String,
    /// The ARN of the role that writes to a log group.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace", "format" = "arn"))]
    pub role: Option<String>,
    /// Which traffic: `all`, or only what was accepted or rejected.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub traffic: Traffic,
    /// The longest time in seconds that is summed up in one record: 60 or 600.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-change" = "replace", "enum" = [60, 600]))]
    pub aggregation_seconds: i32,
    /// The fields of a record, such as `${srcaddr} ${dstaddr} ${action}`; left out, AWS's default.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub format: Option<String>,
    /// How the files in a bucket look.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub files: Option<Files>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Which traffic is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    #[default]
    All,
    Accept,
    Reject,
}

/// How the files in a bucket look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// `plain_text` or `parquet`.
    #[serde(default)]
    pub format: FileFormat,
    /// Whether the prefixes are in Hive's form (`year=2026/month=01/…`).
    #[serde(default)]
    pub hive_partitions: bool,
    /// Whether each hour has a prefix of its own, and not each day only.
    #[serde(default)]
    pub hourly_partitions: bool,
}

/// A file format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    #[default]
    PlainText,
    Parquet,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The flow log's id (`fl-…`).
    pub id: String,
    /// Whether records arrive: `SUCCESS`, or `FAILED` with the reason in `delivery_error`.
    #[schemars(extend("x-volatile" = true))]
    pub delivery: Option<String>,
    /// Why records do not arrive.
    #[schemars(extend("x-volatile" = true))]
    pub delivery_error: Option<String>,
}

fn ten_minutes() -> i32 {
    600
}

/// See the module's header.
pub struct FlowLog;

impl ResourceKind for FlowLog {
    const NAME: &'static str = "flow_log";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::ClientToken;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeFlowLogs"],
        create: &[
            "ec2:CreateFlowLogs",
            "ec2:CreateTags",
            "iam:PassRole",
            "logs:CreateLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
        ],
        update: &["ec2:CreateTags", "ec2:DeleteTags"],
        delete: &["ec2:DeleteFlowLogs", "logs:DeleteLogDelivery"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let given = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        let mut out = Vec::new();
        let destination = text("destination");
        if destination.ends_with(":*") {
            let problem = Problem::new("destination", "the log group's ARN without the `:*` of its streams is wanted");
            out.push(Problem { help: Some("leave `:*` out".to_owned()), ..problem });
        }
        match destination_type(destination) {
            Some(LogDestinationType::CloudWatchLogs) if !given("role") => {
                out.push(Problem::new("role", "a log group is written to by a role"));
            }
            Some(LogDestinationType::S3) if given("role") => {
                out.push(Problem::new("role", "a bucket is written to by AWS's delivery service, not by a role"));
            }
            _ => {}
        }
        if given("files") && destination_type(destination).is_some_and(|to| to != LogDestinationType::S3) {
            out.push(Problem::new("files", "only a bucket holds files"));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = list_by_ids(aws, ids).await?;
        Ok(ec2::answers(ids, found.into_iter().map(|log| observe(aws, log))))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?;
        Ok(found.into_iter().map(|log| ec2::discovered(log.flow_log_id, log.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|log| log.flow_log_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        while_not_yet(cx.aws, Bound::propagation(), || async {
            let output = create_call(&cx, arguments).send().await?;
            if let Some(id) = output.flow_log_ids.unwrap_or_default().into_iter().next() {
                return Ok(id.into());
            }
            Err(item_error("ec2:CreateFlowLogs", output.unsuccessful.unwrap_or_default()))
        })
        .await
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        ec2::until_seen(aws, "the flow log", || list_by_ids(aws, std::slice::from_ref(id))).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let output = cx.aws.ec2().delete_flow_logs().flow_log_ids(cx.id.as_str()).send().await?;
        let failures = output.unsuccessful.unwrap_or_default();
        if failures.is_empty() { Ok(()) } else { Err(item_error("ec2:DeleteFlowLogs", failures)) }
    }
}

fn create_call(
    cx: &Creation<'_>,
    arguments: &Arguments,
) -> aws_sdk_ec2::operation::create_flow_logs::builders::CreateFlowLogsFluentBuilder {
    let traffic = match arguments.traffic {
        Traffic::All => TrafficType::All,
        Traffic::Accept => TrafficType::Accept,
        Traffic::Reject => TrafficType::Reject,
    };
    let options = arguments.files.as_ref().map(|files| {
        let format = match files.format {
            FileFormat::PlainText => DestinationFileFormat::PlainText,
            FileFormat::Parquet => DestinationFileFormat::Parquet,
        };
        DestinationOptionsRequest::builder()
            .file_format(format)
            .hive_compatible_partitions(files.hive_partitions)
            .per_hour_partition(files.hourly_partitions)
            .build()
    });
    let call = cx.aws.ec2().create_flow_logs().client_token(cx.token).resource_ids(&arguments.target);
    let call = call.resource_type(target_type(&arguments.target)).traffic_type(traffic);
    let call = call.set_log_destination_type(destination_type(&arguments.destination));
    let call = call.log_destination(&arguments.destination);
    let call = call.set_deliver_logs_permission_arn(arguments.role.clone()).set_log_format(arguments.format.clone());
    let call = call.max_aggregation_interval(arguments.aggregation_seconds).set_destination_options(options);
    call.tag_specifications(ec2::tag_specification(ResourceType::VpcFlowLog, &cx.tags(&arguments.tags)))
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkFlowLog>, AwsError> {
    let call = aws.ec2().describe_flow_logs().set_filter(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

async fn list_by_ids(aws: &Aws, ids: &[PhysicalId]) -> Result<Vec<SdkFlowLog>, AwsError> {
    ec2::list_by_ids("flow-log-id", ids, |filters| list(aws, filters)).await
}

fn item_error(action: &str, items: Vec<UnsuccessfulItem>) -> AwsError {
    let error = items.into_iter().find_map(|item| item.error);
    let (code, message) = error.map_or_else(Default::default, |error| (error.code, error.message));
    AwsError::answered(action, &code.unwrap_or_default(), message.unwrap_or_default())
}

fn target_type(target: &str) -> FlowLogsResourceType {
    match target.split_once('-').map(|(prefix, _)| prefix) {
        Some("subnet") => FlowLogsResourceType::Subnet,
        Some("eni") => FlowLogsResourceType::NetworkInterface,
        Some("tgw") => FlowLogsResourceType::TransitGateway,
        _ => FlowLogsResourceType::Vpc,
    }
}

fn destination_type(destination: &str) -> Option<LogDestinationType> {
    match destination.split(':').nth(2)? {
        "logs" => Some(LogDestinationType::CloudWatchLogs),
        "s3" => Some(LogDestinationType::S3),
        "firehose" => Some(LogDestinationType::KinesisDataFirehose),
        _ => None,
    }
}

fn observe(aws: &Aws, log: SdkFlowLog) -> (PhysicalId, Observed<FlowLog>) {
    let destination = destination(aws, &log);
    let (tags, owner) = ec2::split_tags(log.tags);
    let id = log.flow_log_id.unwrap_or_default();
    let files = log.destination_options.map(|options| Files {
        format: match options.file_format {
            Some(DestinationFileFormat::Parquet) => FileFormat::Parquet,
            _ => FileFormat::PlainText,
        },
        hive_partitions: options.hive_compatible_partitions.unwrap_or_default(),
        hourly_partitions: options.per_hour_partition.unwrap_or_default(),
    });
    let arguments = Arguments {
        target: log.resource_id.unwrap_or_default(),
        destination,
        role: log.deliver_logs_permission_arn,
        traffic: match log.traffic_type {
            Some(TrafficType::Accept) => Traffic::Accept,
            Some(TrafficType::Reject) => Traffic::Reject,
            _ => Traffic::All,
        },
        aggregation_seconds: log.max_aggregation_interval.unwrap_or_else(ten_minutes),
        format: log.log_format,
        files,
        tags,
    };
    let attributes = Attributes {
        id: id.clone(),
        delivery: log.deliver_logs_status,
        delivery_error: log.deliver_logs_error_message,
    };
    (id.into(), Observed::new(arguments, attributes, owner))
}

/// Returns the destination's ARN; an old log group is given by its name only.
fn destination(aws: &Aws, log: &SdkFlowLog) -> String {
    if let Some(destination) = &log.log_destination {
        return destination.strip_suffix(":*").unwrap_or(destination).to_owned();
    }
    let role = log.deliver_logs_permission_arn.as_deref().unwrap_or_default();
    let account = role.split(':').nth(4).unwrap_or_default();
    let group = log.log_group_name.as_deref().unwrap_or_default();
    ec2::scope(aws, account).arn("logs", &format!("log-group:{group}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_destination_decides_what_else_is_needed() {
        let check =
            |given: Value| -> Vec<String> { FlowLog::check(&given).into_iter().map(|problem| problem.path).collect() };
        let group = "arn:aws:logs:us-east-1:123456789012:log-group:flow";
        assert_eq!(check(json!({ "destination": group })), ["role"]);
        assert_eq!(check(json!({ "destination": format!("{group}:*"), "role": "r" })), ["destination"]);
        assert_eq!(check(json!({ "destination": "arn:aws:s3:::b/p", "role": "r" })), ["role"]);
        assert_eq!(check(json!({ "destination": group, "role": "r", "files": {} })), ["files"]);
        assert!(check(json!({ "destination": crate::value::unknown("s3_bucket.x.arn") })).is_empty());
    }

    #[test]
    fn the_target_decides_its_type() {
        assert_eq!(target_type("vpc-1"), FlowLogsResourceType::Vpc);
        assert_eq!(target_type("subnet-1"), FlowLogsResourceType::Subnet);
        assert_eq!(target_type("eni-1"), FlowLogsResourceType::NetworkInterface);
    }
}
