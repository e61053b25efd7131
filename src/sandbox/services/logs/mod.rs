//! CloudWatch Logs: groups with retention, keys, classes, protection, data protection and tags; streams; events.
//!
//! Events older than a group's retention are not shown. Metric and subscription filters can be listed, and
//! there are none. Live tail answers one session without events: nothing waits here.

mod events;
mod filter;
mod group;
mod policy;
mod protection;
mod stream;
mod tagging;

use serde_json::Value;

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;

pub(super) const OPERATIONS: &[Operations] = &[
    events::OPERATIONS,
    group::OPERATIONS,
    policy::OPERATIONS,
    protection::OPERATIONS,
    stream::OPERATIONS,
    tagging::OPERATIONS,
];

/// The collection of groups, by name.
pub(super) const GROUPS: &str = "groups";
/// The collection of streams, by group and name with a colon between: neither has one.
const STREAMS: &str = "streams";
/// The collection of account policies, by name.
const POLICIES: &str = "policies";

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn not_found(what: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", format!("The specified {what} does not exist."))
}

/// Takes the name out of a group's name or ARN.
fn name_of<'n>(call: &Call<'_>, given: &'n str) -> Result<&'n str, AwsError> {
    if !given.starts_with("arn:") {
        return Ok(given);
    }
    let prefix = call.arn("log-group:");
    let rest = given.strip_prefix(&prefix).ok_or_else(|| not_found("log group"))?;
    Ok(rest.strip_suffix(":*").unwrap_or(rest))
}

/// Finds a group by name or ARN.
fn group(call: &Call<'_>, given: &str) -> Result<(String, Value), AwsError> {
    let name = name_of(call, given)?;
    call.get(GROUPS, name).map(|group| (name.to_owned(), group)).ok_or_else(|| not_found("log group"))
}

/// Finds the group that a request names by name or by identifier.
fn asked(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    match (text(input, "logGroupName"), text(input, "logGroupIdentifier")) {
        ("", "") => Err(invalid("Either logGroupName or logGroupIdentifier is required.")),
        (name, "") => group(call, name),
        ("", identifier) => group(call, identifier),
        _ => Err(invalid("logGroupName and logGroupIdentifier can't be given together.")),
    }
}

/// Returns the time in milliseconds, as this API counts.
fn now_ms(call: &Call<'_>) -> i64 {
    (call.now() * 1000.0) as i64
}

fn stream_id(group: &str, stream: &str) -> String {
    format!("{group}:{stream}")
}
