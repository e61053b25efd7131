//! Flow logs: where a VPC's, subnet's or interface's traffic records go. No records are written.

use serde_json::{Value, json};

use super::{describe, interface, new_tags, vpc};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::{Operations, roles};

pub(super) const OPERATIONS: Operations = &[
    ("CreateFlowLogs", create_flow_logs),
    ("DeleteFlowLogs", delete_flow_logs),
    ("DescribeFlowLogs", describe_flow_logs),
];

const LOGS: &str = "flow_logs";
/// The format of logs that were given none.
const DEFAULT_FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";
/// The service that assumes a flow log's role.
const PRINCIPAL: &str = "vpc-flow-logs.amazonaws.com";

fn missing(id: &str) -> AwsError {
    AwsError::new("InvalidFlowLogId.NotFound", format!("The flow log ID '{id}' does not exist"))
}

fn parameter(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameter", message)
}

fn create_flow_logs(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let token = input["ClientToken"].as_str().map(str::to_owned);
    call.once(token.as_deref(), input, |call| {
        let parts = Parts::read(call, input)?;
        let tags = new_tags(input, "vpc-flow-log")?;
        let (mut ids, mut unsuccessful) = (Vec::new(), Vec::new());
        for target in texts(input, "ResourceIds") {
            match create(call, input, &parts, target, &tags) {
                Ok(id) => ids.push(id),
                Err(error) => unsuccessful
                    .push(json!({"ResourceId": target, "Error": {"Code": error.code, "Message": error.message}})),
            }
        }
        Ok(json!({"FlowLogIds": ids, "Unsuccessful": unsuccessful, "ClientToken": input["ClientToken"]}))
    })
}

/// Where records go, as a flow log shows it.
struct Parts {
    kind: String,
    destination: Option<String>,
    group: Option<String>,
}

impl Parts {
    fn read(call: &Call<'_>, input: &Value) -> Result<Self, AwsError> {
        let kind = input["LogDestinationType"].as_str().unwrap_or("cloud-watch-logs").to_owned();
        let destination = input["LogDestination"].as_str().map(str::to_owned);
        let group = input["LogGroupName"].as_str().map(str::to_owned);
        let role = input["DeliverLogsPermissionArn"].as_str();
        let is_transit = text(input, "ResourceType").starts_with("Transit");
        match input["TrafficType"].as_str() {
            None if !is_transit => return Err(super::needs("TrafficType")),
            _ => {}
        }
        if let Some(interval) =
            input["MaxAggregationInterval"].as_i64().filter(|interval| ![60, 600].contains(interval))
        {
            return Err(parameter(format!("Invalid Flow Log Max Aggregation Interval: {interval}")));
        }
        match kind.as_str() {
            "cloud-watch-logs" => {
                if destination.is_none() == group.is_none() {
                    return Err(parameter("Provide either LogGroupName or LogDestination, and not both."));
                }
                let role = role.ok_or_else(|| {
                    parameter("DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.")
                })?;
                check_role(call, role)?;
                let from_arn = destination.as_deref().map(|arn| arn.splitn(7, ':').nth(6).unwrap_or_default());
                let name = from_arn.map(|name| name.trim_end_matches(":*").to_owned());
                if name.as_deref() == Some("") {
                    return Err(parameter("LogDestination is not the ARN of a log group"));
                }
                Ok(Self { kind, group: group.or(name), destination })
            }
            _ => {
                if group.is_some() {
                    return Err(parameter(format!("LogGroupName can't be given if LogDestinationType is {kind}.")));
                }
                if role.is_some() && kind == "s3" {
                    return Err(parameter("DeliverLogsPermissionArn is not applicable for s3 delivery."));
                }
                let destination = destination.ok_or_else(|| super::needs("LogDestination"))?;
                Ok(Self { kind, group: None, destination: Some(destination) })
            }
        }
    }
}

/// Checks that AWS's delivery may assume a role.
fn check_role(call: &Call<'_>, arn: &str) -> Result<(), AwsError> {
    let source = call.arn("vpc-flow-log/fl-0");
    match roles::trusting(call, arn, PRINCIPAL, &source) {
        Some(_) => Ok(()),
        None => Err(parameter("Unable to assume given IAM role")),
    }
}

fn create(call: &mut Call<'_>, input: &Value, parts: &Parts, target: &str, tags: &Value) -> Result<String, AwsError> {
    let (collection, code, kind) = match text(input, "ResourceType") {
        "VPC" => (vpc::VPCS, "InvalidVpcId.NotFound", "vpc"),
        "Subnet" => ("subnets", "InvalidSubnetId.NotFound", "subnet"),
        "NetworkInterface" => (interface::INTERFACES, "InvalidNetworkInterfaceId.NotFound", "networkInterface"),
        _ => return Err(AwsError::new("NotImplementedBySandbox", "the sandbox has no transit gateways")),
    };
    call.get(collection, target).ok_or_else(|| super::not_found(code, kind, target))?;
    if parts.kind == "s3" {
        let bucket = parts.destination.as_deref().and_then(|arn| arn.splitn(6, ':').nth(5)).unwrap_or_default();
        let bucket = bucket.split('/').next().unwrap_or_default();
        if call.anywhere("s3", "buckets", bucket).is_none() {
            return Err(AwsError::new("400", format!("LogDestination: {bucket} does not exist")));
        }
    }
    let same = |row: &Value| {
        text(row, "ResourceId") == target
            && text(row, "LogDestinationType") == parts.kind
            && row.get("LogGroupName").and_then(Value::as_str) == parts.group.as_deref()
            && (parts.kind == "cloud-watch-logs"
                || row.get("LogDestination").and_then(Value::as_str) == parts.destination.as_deref())
            && row["TrafficType"] == input["TrafficType"]
    };
    if call.any(LOGS, |_, row| same(row)) {
        let message = "Error. There is an existing Flow Log with the same configuration and log destination.";
        return Err(AwsError::new("FlowLogAlreadyExists", message));
    }
    let id = call.id("fl");
    let mut row = json!({
        "FlowLogId": id,
        "ResourceId": target,
        "FlowLogStatus": "ACTIVE",
        "DeliverLogsStatus": "SUCCESS",
        "CreationTime": call.timestamp(),
        "LogDestinationType": parts.kind,
        "LogFormat": input["LogFormat"].as_str().unwrap_or(DEFAULT_FORMAT),
        "MaxAggregationInterval": input["MaxAggregationInterval"].as_i64().unwrap_or(600),
        "TrafficType": input["TrafficType"],
        "Tags": tags,
        "_arn": call.arn(&format!("vpc-flow-log/{id}")),
    });
    let more = [
        ("LogDestination", parts.destination.as_deref()),
        ("LogGroupName", parts.group.as_deref()),
        ("DeliverLogsPermissionArn", input["DeliverLogsPermissionArn"].as_str()),
        ("DeliverCrossAccountRole", input["DeliverCrossAccountRole"].as_str()),
    ];
    for (key, value) in more {
        if let Some(value) = value {
            row[key] = json!(value);
        }
    }
    if parts.kind == "s3" {
        let given = &input["DestinationOptions"];
        row["DestinationOptions"] = json!({
            "FileFormat": given["FileFormat"].as_str().unwrap_or("plain-text"),
            "HiveCompatiblePartitions": given["HiveCompatiblePartitions"].as_bool().unwrap_or(false),
            "PerHourPartition": given["PerHourPartition"].as_bool().unwrap_or(false),
        });
    }
    call.put(LOGS, &id, row);
    Ok(id)
}

fn describe_flow_logs(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (LOGS, "FlowLogs"),
        ("FlowLogIds", missing),
        &[
            ("deliver-log-status", "DeliverLogsStatus"),
            ("flow-log-id", "FlowLogId"),
            ("log-destination-type", "LogDestinationType"),
            ("log-group-name", "LogGroupName"),
            ("resource-id", "ResourceId"),
            ("traffic-type", "TrafficType"),
        ],
    )
}

fn delete_flow_logs(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut unsuccessful = Vec::new();
    for id in texts(input, "FlowLogIds") {
        if !call.remove(LOGS, id) {
            let error = missing(id);
            unsuccessful.push(json!({"ResourceId": id, "Error": {"Code": error.code, "Message": error.message}}));
        }
    }
    Ok(json!({"Unsuccessful": unsuccessful}))
}
