//! Tags of budgets, by ARN.

use serde_json::{Value, json};

use super::{BUDGETS, invalid, not_found};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault};

pub(super) const OPERATIONS: Operations =
    &[("ListTagsForResource", list), ("TagResource", tag), ("UntagResource", untag)];

fn refused(fault: &TagFault) -> AwsError {
    match fault {
        TagFault::TooMany => AwsError::new("ServiceQuotaExceededException", fault.message()),
        _ => invalid(fault.message()),
    }
}

/// Reads the tags of a request.
pub(super) fn requested(input: &Value) -> Result<Value, AwsError> {
    let tags = tags::requested(input.get("ResourceTags")).map_err(|fault| refused(&fault))?;
    Ok(tags::list(&tags, "Key", "Value"))
}

fn budget(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let arn = text(input, "ResourceARN");
    let name = arn.strip_prefix(&call.arn("budget/")).map(str::to_owned);
    let found = name.and_then(|name| call.get(BUDGETS, &name).map(|budget| (name, budget)));
    found.ok_or_else(|| not_found(format!("Unable to find the resource {arn}")))
}

fn list(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = budget(call, input)?;
    Ok(json!({ "ResourceTags": found["Tags"] }))
}

fn tag(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = budget(call, input)?;
    let added = tags::requested(input.get("ResourceTags")).map_err(|fault| refused(&fault))?;
    let all = tags::merge(tags::of(&found), added).map_err(|fault| refused(&fault))?;
    call.change(BUDGETS, &name, |budget| budget["Tags"] = tags::list(&all, "Key", "Value"));
    Ok(json!({}))
}

fn untag(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = budget(call, input)?;
    let mut all = tags::of(&found);
    for key in texts(input, "ResourceTagKeys") {
        all.shift_remove(key);
    }
    call.change(BUDGETS, &name, |budget| budget["Tags"] = tags::list(&all, "Key", "Value"));
    Ok(json!({}))
}
