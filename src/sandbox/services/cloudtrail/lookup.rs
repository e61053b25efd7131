//! LookupEvents: the management events of the sandbox's own log of calls, the newest first.
//!
//! Events show at once, unless the sandbox is told to delay what CloudTrail tells (`propagation`); AWS shows them
//! within a quarter of an hour. Of the request's parameters only the names of resources are in the log, and so in
//! the events. Services that AWS has no resource types for in its history are without one here.

use serde_json::{Value, json};

use super::fault;
use crate::sandbox::call::{Call, text};
use crate::sandbox::call_log::Record;
use crate::sandbox::codec::time;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("LookupEvents", lookup_events)];

/// Events are kept for 90 days, in seconds.
const KEPT_S: f64 = 90.0 * 86_400.0;
/// The events of one page; the model has it as the bound of the request too.
const PAGE_MAX: usize = 50;

/// Tells whether a call is one on data, which lookups never show.
fn is_data(record: &Record) -> bool {
    match record.service.as_str() {
        "s3" => {
            let of_objects = ["Object", "Multipart", "UploadPart", "ListParts"];
            of_objects.iter().any(|part| record.operation.contains(part))
                && !record.operation.contains("LockConfiguration")
        }
        "logs" => ["PutLogEvents", "GetLogEvents", "FilterLogEvents"].contains(&record.operation.as_str()),
        "bedrock-runtime" | "sagemaker-runtime" => true,
        _ => false,
    }
}

fn is_read(operation: &str) -> bool {
    ["Describe", "Get", "Head", "List", "Lookup", "BatchGet", "Simulate", "Validate"]
        .iter()
        .any(|start| operation.starts_with(start))
}

/// Returns the region in which a service's events show.
fn region(record: &Record) -> &str {
    match record.service.as_str() {
        "iam" | "budgets" => "us-east-1",
        _ => &record.region,
    }
}

fn source(record: &Record) -> String {
    let name = match record.service.as_str() {
        "resourcegroupstaggingapi" => "tagging",
        other => other,
    };
    format!("{name}.amazonaws.com")
}

/// Returns CloudFormation's name for what a collection holds.
fn resource_type(service: &str, collection: &str) -> Option<&'static str> {
    Some(match (service, collection) {
        ("ec2", "vpcs") => "AWS::EC2::VPC",
        ("ec2", "subnets") => "AWS::EC2::Subnet",
        ("ec2", "security_groups") => "AWS::EC2::SecurityGroup",
        ("ec2", "route_tables") => "AWS::EC2::RouteTable",
        ("ec2", "internet_gateways") => "AWS::EC2::InternetGateway",
        ("ec2", "nat_gateways") => "AWS::EC2::NatGateway",
        ("ec2", "vpc_endpoints") => "AWS::EC2::VPCEndpoint",
        ("ec2", "instances") => "AWS::EC2::Instance",
        ("ec2", "network_interfaces") => "AWS::EC2::NetworkInterface",
        ("ec2", "flow_logs") => "AWS::EC2::FlowLog",
        ("ec2", "launch_templates") => "AWS::EC2::LaunchTemplate",
        ("iam", "roles") => "AWS::IAM::Role",
        ("iam", "users") => "AWS::IAM::User",
        ("iam", "policies") => "AWS::IAM::Policy",
        ("iam", "instance_profiles") => "AWS::IAM::InstanceProfile",
        ("iam", "access_keys") => "AWS::IAM::AccessKey",
        ("kms", "keys") => "AWS::KMS::Key",
        ("kms", "aliases") => "AWS::KMS::Alias",
        ("s3", "buckets") => "AWS::S3::Bucket",
        ("logs", "groups") => "AWS::Logs::LogGroup",
        ("secretsmanager", "secrets") => "AWS::SecretsManager::Secret",
        ("cloudtrail", "trails") => "AWS::CloudTrail::Trail",
        _ => return None,
    })
}

/// Returns the resources of an event: what the call changed, and what its request names.
fn resources(record: &Record) -> Vec<Value> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    for (collection, id) in record.touched.iter().filter(|(collection, _)| !collection.starts_with('_')) {
        found.push((resource_name(record, collection, id), resource_type(&record.service, collection)));
    }
    for name in &record.named {
        let collection = if record.service == "kms" && !name.starts_with("alias/") { "keys" } else { "" };
        let name = resource_name(record, collection, name);
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, resource_type(&record.service, collection)));
        }
    }
    let with_type = |(name, kind): (String, Option<&str>)| match kind {
        Some(kind) => json!({"ResourceName": name, "ResourceType": kind}),
        None => json!({"ResourceName": name}),
    };
    found.into_iter().map(with_type).collect()
}

/// Returns the name that events have for a resource: keys of KMS stand under their ARN.
fn resource_name(record: &Record, collection: &str, id: &str) -> String {
    if (record.service.as_str(), collection) == ("kms", "keys") && !id.starts_with("arn:") {
        let partition = record.principal.split(':').nth(1).unwrap_or("aws");
        return format!("arn:{partition}:kms:{}:{}:key/{id}", record.region, record.account);
    }
    id.to_owned()
}

/// Returns who called, as CloudTrail writes it, and the name that the list of events shows.
fn user_identity(record: &Record) -> (Value, String) {
    let tail = record.principal.rsplit(':').next().unwrap_or_default();
    let parts: Vec<&str> = tail.split('/').collect();
    let mut identity = json!({
        "principalId": record.user_id,
        "arn": record.principal,
        "accountId": record.account,
        "accessKeyId": record.access_key,
    });
    let name = parts.last().copied().unwrap_or_default();
    match parts.first().copied().unwrap_or_default() {
        "assumed-role" => {
            let role = parts.get(1).copied().unwrap_or_default();
            let partition = record.principal.split(':').nth(1).unwrap_or("aws");
            identity["type"] = json!("AssumedRole");
            identity["sessionContext"] = json!({"sessionIssuer": {
                "type": "Role",
                "principalId": record.user_id.split(':').next().unwrap_or_default(),
                "arn": format!("arn:{partition}:iam::{}:role/{role}", record.account),
                "accountId": record.account,
                "userName": role,
            }});
        }
        "root" => identity["type"] = json!("Root"),
        "federated-user" => identity["type"] = json!("FederatedUser"),
        _ => {
            identity["type"] = json!("IAMUser");
            identity["userName"] = json!(name);
        }
    }
    (identity, name.to_owned())
}

fn event(record: &Record) -> Value {
    let (identity, user) = user_identity(record);
    let resources = resources(record);
    let read = is_read(&record.operation);
    let id = &record.request_id;
    let mut whole = json!({
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": time::iso(record.time),
        "eventSource": source(record),
        "eventName": record.operation,
        "awsRegion": record.region,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": record.user_agent,
        "requestID": id,
        "eventID": id,
        "readOnly": read,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": record.account,
        "eventCategory": "Management",
    });
    if let Some(error) = &record.error {
        whole["errorCode"] = json!(error);
    }
    json!({
        "EventId": id,
        "EventName": record.operation,
        "ReadOnly": read.to_string(),
        "AccessKeyId": record.access_key,
        // Events have whole seconds.
        "EventTime": record.time.floor(),
        "EventSource": source(record),
        "Username": user,
        "Resources": resources,
        "CloudTrailEvent": whole.to_string(),
    })
}

fn fits(event: &Value, attribute: &Value) -> bool {
    let wanted = text(attribute, "AttributeValue");
    match text(attribute, "AttributeKey") {
        "ResourceName" => {
            event["Resources"].as_array().into_iter().flatten().any(|it| text(it, "ResourceName") == wanted)
        }
        "ResourceType" => {
            event["Resources"].as_array().into_iter().flatten().any(|it| text(it, "ResourceType") == wanted)
        }
        key => text(event, key) == wanted,
    }
}

fn lookup_events(call: &mut Call<'_>, input: &Value) -> Answer {
    let start = input["StartTime"].as_f64().unwrap_or(f64::MIN).max(call.now() - KEPT_S);
    let end = input["EndTime"].as_f64().unwrap_or(f64::MAX);
    if start > end {
        return Err(fault("InvalidTimeRangeException", "The end time has to be after the start time."));
    }
    let attributes = input["LookupAttributes"].as_array().cloned().unwrap_or_default();
    if attributes.len() > 1 {
        return Err(fault("InvalidLookupAttributesException", "You can only specify one lookup attribute."));
    }
    if input.get("EventCategory").is_some() {
        // Insights events are all that the category can ask for, and there are none.
        return call.paged(input, "Events", Vec::new(), 50);
    }
    let shown = call.now() - call.propagation("cloudtrail");
    let found: Vec<(String, Value)> = call
        .log()
        .iter()
        .rev()
        .filter(|record| record.account == call.account && region(record) == call.region && !is_data(record))
        .filter(|record| (start..=end).contains(&record.time.floor()) && record.time <= shown)
        .map(|record| (record.request_id.clone(), event(record)))
        .filter(|(_, event)| attributes.iter().all(|attribute| fits(event, attribute)))
        .collect();
    page(input, found)
}

/// Pages of a list that grows at its beginning: the token names the last event that was shown.
fn page(input: &Value, found: Vec<(String, Value)>) -> Answer {
    let max = input["MaxResults"].as_u64().and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_MAX);
    let bad = || -> AwsError { fault("InvalidNextTokenException", "The next token is not valid.") };
    let start = match input.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => {
            let id = token.strip_prefix("after:").ok_or_else(bad)?;
            found.iter().position(|(known, _)| known == id).ok_or_else(bad)? + 1
        }
    };
    let end = (start + max).min(found.len());
    let next = (end < found.len() && end > start).then(|| format!("after:{}", found[end - 1].0));
    let events: Vec<Value> = found.into_iter().skip(start).take(end - start).map(|(_, event)| event).collect();
    Ok(json!({"Events": events, "NextToken": next}))
}
