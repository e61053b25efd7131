//! The resource groups tagging API: finds every resource that has `_arn` by its tags.
//!
//! Only resources that have tags are found; of those that once had some, AWS may also tell. IAM's users and roles are
//! not found, as AWS documents, and budgets neither, of which it says nothing.

use serde_json::{Value, json};

use super::Operations;
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::store::Place;
use crate::sandbox::tags::{self, Tags};

pub(super) const OPERATIONS: Operations = &[
    ("GetResources", get_resources),
    ("GetTagKeys", get_tag_keys),
    ("GetTagValues", get_tag_values),
    ("TagResources", tag_resources),
    ("UntagResources", untag_resources),
];

/// The most resources on a page.
const PAGE_MAX: u64 = 100;

struct Found {
    place: Place,
    collection: String,
    id: String,
    arn: String,
    tags: Tags,
}

fn all(call: &Call<'_>) -> Vec<Found> {
    let mut found: Vec<Found> = call
        .tagged()
        .into_iter()
        .map(|(place, collection, id, value)| {
            let (arn, tags) = (text(&value, "_arn").to_owned(), tags::of(&value));
            Found { place, collection, id, arn, tags }
        })
        .collect();
    found.sort_by(|a, b| a.arn.cmp(&b.arn));
    found
}

/// Tells whether an ARN is of a type such as `ec2:vpc`, or of a service such as `ec2`.
fn is_type(arn: &str, wanted: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let (Some(service), Some(resource)) = (parts.get(2), parts.get(5)) else { return false };
    match wanted.split_once(':') {
        None => *service == wanted,
        // Buckets have no type in their ARNs.
        Some(("s3", "bucket")) => *service == "s3",
        Some((wanted_service, kind)) => {
            *service == wanted_service && resource.split(['/', ':']).next() == kind.split('/').next()
        }
    }
}

fn get_resources(call: &mut Call<'_>, input: &Value) -> Answer {
    let (arns, types) = (texts(input, "ResourceARNList"), texts(input, "ResourceTypeFilters"));
    let filters = input["TagFilters"].as_array().cloned().unwrap_or_default();
    if !arns.is_empty() && (!types.is_empty() || !filters.is_empty()) {
        let message = "ResourceARNList can not be combined with filters";
        return Err(AwsError::new("InvalidParameterException", message));
    }
    if input.get("ResourcesPerPage").and_then(Value::as_u64).is_some_and(|rows| !(1..=PAGE_MAX).contains(&rows)) {
        let message = format!("ResourcesPerPage must be between 1 and {PAGE_MAX}");
        return Err(AwsError::new("InvalidParameterException", message));
    }
    let matches = |found: &Found| {
        let by_tag = filters.iter().all(|filter| {
            let values = texts(filter, "Values");
            let value = found.tags.get(text(filter, "Key"));
            value.is_some_and(|value| values.is_empty() || values.contains(&value.as_str()))
        });
        let listed = arns.is_empty() || arns.contains(&found.arn.as_str());
        let typed = types.is_empty() || types.iter().any(|wanted| is_type(&found.arn, wanted));
        !found.tags.is_empty() && by_tag && listed && typed
    };
    let rows = all(call).into_iter().filter(matches).map(|found| {
        let tags = tags::list(&found.tags, "Key", "Value");
        (found.arn.clone(), json!({"ResourceARN": found.arn, "Tags": tags}))
    });
    let rows = rows.collect();
    // This API says that a list is complete by an empty token.
    let mut answer = call.paged(input, "ResourceTagMappingList", rows, 50)?;
    if answer.get("PaginationToken").is_none() {
        answer["PaginationToken"] = json!("");
    }
    Ok(answer)
}

fn distinct(call: &Call<'_>, pick: impl Fn(&Tags) -> Vec<String>) -> Vec<(String, Value)> {
    let mut names: Vec<String> = all(call).iter().flat_map(|found| pick(&found.tags)).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| (name.clone(), json!(name))).collect()
}

fn get_tag_keys(call: &mut Call<'_>, input: &Value) -> Answer {
    let rows = distinct(call, |tags| tags.keys().cloned().collect());
    call.paged(input, "TagKeys", rows, 100)
}

fn get_tag_values(call: &mut Call<'_>, input: &Value) -> Answer {
    let key = text(input, "Key");
    let rows = distinct(call, |tags| tags.get(key).cloned().into_iter().collect());
    call.paged(input, "TagValues", rows, 100)
}

/// Changes the tags of listed resources; what can not be changed is answered per resource.
fn each(call: &mut Call<'_>, input: &Value, change: impl Fn(Tags) -> Result<Tags, tags::TagFault>) -> Answer {
    let known = all(call);
    let mut failed = serde_json::Map::new();
    let mut fail = |arn: &str, message: String| {
        failed.insert(
            arn.to_owned(),
            json!({"StatusCode": 400, "ErrorCode": "InvalidParameterException", "ErrorMessage": message}),
        );
    };
    for arn in texts(input, "ResourceARNList") {
        let Some(found) = known.iter().find(|found| found.arn == arn) else {
            fail(arn, "The resource does not exist.".to_owned());
            continue;
        };
        match change(found.tags.clone()) {
            Ok(tags) => {
                if let Some(mut value) = call.get_at(&found.place, &found.collection, &found.id) {
                    tags::set(&mut value, &tags);
                    call.put_at(&found.place, &found.collection, &found.id, value);
                }
            }
            Err(fault) => fail(arn, fault.message()),
        }
    }
    Ok(json!({"FailedResourcesMap": failed}))
}

fn tag_resources(call: &mut Call<'_>, input: &Value) -> Answer {
    let added = tags::requested(input.get("Tags"))
        .map_err(|fault| AwsError::new("InvalidParameterException", fault.message()))?;
    each(call, input, |tags| tags::merge(tags, added.clone()))
}

fn untag_resources(call: &mut Call<'_>, input: &Value) -> Answer {
    let keys = texts(input, "TagKeys");
    each(call, input, |mut tags| {
        tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(tags)
    })
}
