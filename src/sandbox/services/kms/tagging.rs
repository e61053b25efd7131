//! Tags of keys.

use serde_json::{Value, json};

use super::{KEYS, customer_managed, in_state, key};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) const OPERATIONS: Operations =
    &[("ListResourceTags", list_resource_tags), ("TagResource", tag_resource), ("UntagResource", untag_resource)];

fn refused(fault: TagFault) -> AwsError {
    let code = if fault == TagFault::TooMany { "LimitExceededException" } else { "TagException" };
    AwsError::new(code, fault.message())
}

/// Returns the tags a request gives, checked.
pub(super) fn requested(input: &Value) -> Result<Tags, AwsError> {
    tags::requested(input.get("Tags")).map_err(refused)
}

fn taggable(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingImport"])?;
    Ok((id, found))
}

fn tag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = taggable(call, input)?;
    let all = tags::merge(tags::of(&found), requested(input)?).map_err(refused)?;
    call.change(KEYS, &id, |key| key["Tags"] = tags::list(&all, "TagKey", "TagValue"));
    Ok(json!({}))
}

fn untag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = taggable(call, input)?;
    let mut all = tags::of(&found);
    for name in texts(input, "TagKeys") {
        all.shift_remove(name);
    }
    call.change(KEYS, &id, |key| key["Tags"] = tags::list(&all, "TagKey", "TagValue"));
    Ok(json!({}))
}

fn list_resource_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = key(call, input)?;
    let items = tags::of(&found).into_iter();
    let items = items.map(|(k, v)| (k.clone(), json!({"TagKey": k, "TagValue": v})));
    call.paged(input, "Tags", items.collect(), 50)
}
