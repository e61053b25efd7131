//! Bedrock's control plane: guardrails, invocation logging, models, inference profiles, jobs, tags.
//!
//! Resources hold `tags` as a list of key and value, and `_arn`. Not simulated: provisioned throughput, model
//! import, evaluation.

mod customization;
pub(super) mod guardrail;
mod invocation_job;
mod logging;
pub(super) mod model;

use serde_json::{Value, json};

use super::Operations;
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::tags::{self, TagFault};

pub(super) use logging::{CONFIGURATION, STREAM, folder};

pub(super) const OPERATIONS: &[Operations] = &[
    customization::OPERATIONS,
    guardrail::OPERATIONS,
    invocation_job::OPERATIONS,
    logging::OPERATIONS,
    model::OPERATIONS,
    OWN_OPERATIONS,
];

const OWN_OPERATIONS: Operations = &[
    ("ListTagsForResource", list_tags_for_resource),
    ("TagResource", tag_resource),
    ("UntagResource", untag_resource),
];

/// The collections whose resources take tags.
const TAGGABLE: &[&str] =
    &[customization::JOBS, customization::MODELS, guardrail::GUARDRAILS, invocation_job::JOBS, model::PROFILES];

fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationException", message)
}

fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new("ResourceNotFoundException", message)
}

fn refused(fault: TagFault) -> AwsError {
    match fault {
        TagFault::TooMany => AwsError::new("TooManyTagsException", fault.message()),
        fault => validation(fault.message()),
    }
}

/// Returns the tags that a create request gives, checked.
fn new_tags(input: &Value) -> Result<Value, AwsError> {
    let tags = tags::requested(input.get("tags")).map_err(refused)?;
    Ok(tags::list(&tags, "key", "value"))
}

fn taggable(call: &Call<'_>, input: &Value) -> Result<(&'static str, String, Value), AwsError> {
    let arn = text(input, "resourceARN");
    for collection in TAGGABLE {
        if let Some((id, found)) = call.find(collection, |_, found| found["_arn"] == arn) {
            return Ok((collection, id, found));
        }
    }
    Err(not_found(format!("The resource {arn} was not found.")))
}

fn tag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (collection, id, found) = taggable(call, input)?;
    let added = tags::requested(input.get("tags")).map_err(refused)?;
    let all = tags::merge(tags::of(&found), added).map_err(refused)?;
    call.change(collection, &id, |found| found["tags"] = tags::list(&all, "key", "value"));
    Ok(json!({}))
}

fn untag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (collection, id, found) = taggable(call, input)?;
    let mut all = tags::of(&found);
    for key in texts(input, "tagKeys") {
        all.shift_remove(key);
    }
    call.change(collection, &id, |found| found["tags"] = tags::list(&all, "key", "value"));
    Ok(json!({}))
}

fn list_tags_for_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, _, found) = taggable(call, input)?;
    Ok(json!({"tags": found["tags"]}))
}
