//! Tags of log groups, by ARN and in the older way by name.

use serde_json::{Value, json};

use super::{GROUPS, group, invalid};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) const OPERATIONS: Operations = &[
    ("ListTagsForResource", list_tags_for_resource),
    ("ListTagsLogGroup", list_tags_log_group),
    ("TagLogGroup", tag_log_group),
    ("TagResource", tag_resource),
    ("UntagLogGroup", untag_log_group),
    ("UntagResource", untag_resource),
];

/// Finds a group by the ARN that tags hang on. The model refuses one with `:*` at its end.
fn by_arn(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let arn = text(input, "resourceArn");
    if !arn.contains(":log-group:") {
        return Err(invalid("The resource ARN is not valid."));
    }
    group(call, arn)
}

fn add(call: &mut Call<'_>, name: &str, found: &Value, input: &Value) -> Answer {
    let too_many = |fault: TagFault| match fault {
        TagFault::TooMany => AwsError::new("TooManyTagsException", fault.message()),
        fault => invalid(fault.message()),
    };
    let given = tags::requested(input.get("tags")).map_err(too_many)?;
    let merged = tags::merge(tags::of(found), given).map_err(too_many)?;
    call.change(GROUPS, name, |group| group["tags"] = json!(merged));
    Ok(json!({}))
}

fn remove(call: &mut Call<'_>, name: &str, found: &Value, keys: &[&str]) -> Answer {
    let kept: Tags = tags::of(found).into_iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect();
    call.change(GROUPS, name, |group| group["tags"] = json!(kept));
    Ok(json!({}))
}

fn list_tags_for_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = by_arn(call, input)?;
    Ok(json!({"tags": found["tags"]}))
}

fn tag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = by_arn(call, input)?;
    add(call, &name, &found, input)
}

fn untag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = by_arn(call, input)?;
    remove(call, &name, &found, &texts(input, "tagKeys"))
}

fn list_tags_log_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = group(call, text(input, "logGroupName"))?;
    Ok(json!({"tags": found["tags"]}))
}

fn tag_log_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = group(call, text(input, "logGroupName"))?;
    add(call, &name, &found, input)
}

fn untag_log_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = group(call, text(input, "logGroupName"))?;
    remove(call, &name, &found, &texts(input, "tags"))
}
