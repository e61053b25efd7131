//! Log streams.

use serde_json::{Value, json};

use super::{STREAMS, asked, group, invalid, not_found, now_ms, stream_id};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateLogStream", create_log_stream),
    ("DeleteLogStream", delete_log_stream),
    ("DescribeLogStreams", describe_log_streams),
];

/// Finds a stream of a group.
pub(super) fn stream(call: &Call<'_>, group: &str, name: &str) -> Result<Value, AwsError> {
    call.get(STREAMS, &stream_id(group, name)).ok_or_else(|| not_found("log stream"))
}

/// Returns the streams of a group, in order of their names.
pub(super) fn of_group(call: &Call<'_>, group: &str) -> Vec<Value> {
    let prefix = stream_id(group, "");
    let all = call.select(STREAMS, |id, _| id.starts_with(&prefix)).into_iter();
    all.map(|(_, stream)| stream).collect()
}

fn create_log_stream(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group, found) = group(call, text(input, "logGroupName"))?;
    let name = text(input, "logStreamName");
    if name.contains([':', '*']) {
        return Err(invalid("A log stream's name can't contain ':' or '*'."));
    }
    let id = stream_id(&group, name);
    if call.get(STREAMS, &id).is_some() {
        return Err(AwsError::new("ResourceAlreadyExistsException", "The specified log stream already exists"));
    }
    let made = json!({
        "logStreamName": name,
        "creationTime": now_ms(call),
        "arn": format!("{}:log-stream:{name}", text(&found, "logGroupArn")),
        "storedBytes": 0,
        "uploadSequenceToken": "1",
        "_events": [],
    });
    call.put(STREAMS, &id, made);
    Ok(json!({}))
}

fn delete_log_stream(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group, found) = group(call, text(input, "logGroupName"))?;
    stream(call, &group, text(input, "logStreamName"))?;
    if found["deletionProtectionEnabled"] == true {
        let message = "The log stream can't be deleted because its group's deletion protection is on.";
        return Err(AwsError::new("ValidationException", message));
    }
    call.remove(STREAMS, &stream_id(&group, text(input, "logStreamName")));
    Ok(json!({}))
}

fn describe_log_streams(call: &mut Call<'_>, input: &Value) -> Answer {
    let (group, _) = asked(call, input)?;
    let prefix = optional(input, "logStreamNamePrefix");
    let by_time = optional(input, "orderBy") == Some("LastEventTime");
    if by_time && prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let mut found = of_group(call, &group);
    found.retain(|stream| prefix.is_none_or(|prefix| text(stream, "logStreamName").starts_with(prefix)));
    if by_time {
        found.sort_by_key(|stream| stream["lastEventTimestamp"].as_i64());
    }
    if input["descending"] == true {
        found.reverse();
    }
    let items = found.into_iter().map(|stream| (text(&stream, "logStreamName").to_owned(), stream)).collect();
    call.paged(input, "logStreams", items, 50)
}
