//! LookupEvents: the management events of the sandbox's own log of calls, the newest first.
//!
//! Events show at once; AWS shows them within minutes. Request parameters are not in the log, so not in the
//! events either.

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

fn event(record: &Record) -> Value {
    let user = record.principal.rsplit('/').next().unwrap_or_default();
    let resources: Vec<Value> = record
        .touched
        .iter()
        .filter(|(collection, _)| !collection.starts_with('_'))
        .map(|(_, id)| json!({"ResourceName": id}))
        .collect();
    let read = is_read(&record.operation);
    let id = &record.request_id;
    let whole = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "arn": record.principal,
            "accountId": record.account,
            "accessKeyId": record.access_key,
            "userName": user,
        },
        "eventTime": time::iso(record.time),
        "eventSource": source(record),
        "eventName": record.operation,
        "awsRegion": record.region,
        "errorCode": record.error,
        "requestID": id,
        "eventID": id,
        "readOnly": read,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": record.account,
        "eventCategory": "Management",
    });
    json!({
        "EventId": id,
        "EventName": record.operation,
        "ReadOnly": read.to_string(),
        "AccessKeyId": record.access_key,
        "EventTime": record.time,
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
    let found: Vec<(String, Value)> = call
        .log()
        .iter()
        .rev()
        .filter(|record| record.account == call.account && region(record) == call.region && !is_data(record))
        .filter(|record| (start..=end).contains(&record.time))
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
