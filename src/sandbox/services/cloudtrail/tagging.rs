//! Tags of trails.

use serde_json::{Value, json};

use super::{TRAILS, any, fault, home};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) const OPERATIONS: Operations =
    &[("AddTags", add_tags), ("ListTags", list_tags), ("RemoveTags", remove_tags)];

/// Resources that one ListTags call takes.
const RESOURCES_MAX: usize = 20;

fn tag_fault(error: &TagFault) -> AwsError {
    let code = if *error == TagFault::TooMany { "TagsLimitExceededException" } else { "InvalidTagParameterException" };
    fault(code, error.message())
}

/// Requires the ARN of a trail; a trail that is not there is a missing resource here.
fn arn<'i>(call: &Call<'_>, given: &'i str) -> Result<&'i str, AwsError> {
    if !given.starts_with("arn:") {
        return Err(fault("CloudTrailARNInvalidException", format!("Got an invalid ARN: {given}")));
    }
    any(call, given).map_err(|error| match error.code.as_str() {
        "TrailNotFoundException" => fault("ResourceNotFoundException", format!("Resource not found: {given}")),
        _ => error,
    })?;
    Ok(given)
}

fn add_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let given = arn(call, text(input, "ResourceId"))?;
    let (name, trail) = home(call, given)?;
    let new = tags::requested(input.get("TagsList")).map_err(|error| tag_fault(&error))?;
    let merged = tags::merge(tags::of(&trail), new).map_err(|error| tag_fault(&error))?;
    call.change(TRAILS, &name, |trail| tags::set(trail, &merged));
    Ok(json!({}))
}

fn remove_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let given = arn(call, text(input, "ResourceId"))?;
    let (name, trail) = home(call, given)?;
    let gone = tags::parse(input.get("TagsList"));
    let kept: Tags = tags::of(&trail).into_iter().filter(|(key, _)| !gone.contains_key(key)).collect();
    call.change(TRAILS, &name, |trail| tags::set(trail, &kept));
    Ok(json!({}))
}

fn list_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let ids = texts(input, "ResourceIdList");
    if ids.len() > RESOURCES_MAX {
        let message = format!("The number of resources exceeds {RESOURCES_MAX}.");
        return Err(fault("InvalidTagParameterException", message));
    }
    let mut out = Vec::new();
    for id in ids {
        let (_, trail) = any(call, arn(call, id)?)?;
        out.push((id.to_owned(), json!({"ResourceId": id, "TagsList": trail["TagsList"]})));
    }
    call.paged(input, "ResourceTagList", out, usize::MAX)
}
