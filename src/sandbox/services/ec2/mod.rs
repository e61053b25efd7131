//! EC2: networking and compute. Its model has few constraints, so handlers check their own input.
//!
//! Add a kind as a file with its own `OPERATIONS` and a row below. Conventions: resources carry `_arn` and
//! `Tags`; new ones take tags by [`new_tags`]; lists answer through [`describe`].

mod account;
mod filter;
mod subnet;
mod tagging;
mod vpc;

use serde_json::{Value, json};

use super::Operations;
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) const OPERATIONS: &[Operations] =
    &[account::OPERATIONS, subnet::OPERATIONS, tagging::OPERATIONS, vpc::OPERATIONS];

/// The error for an id that names nothing, such as `InvalidVpcID.NotFound`.
fn not_found(code: &str, kind: &str, id: &str) -> AwsError {
    AwsError::new(code, format!("The {kind} ID '{id}' does not exist"))
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterValue", message)
}

fn dependency(kind: &str, id: &str) -> AwsError {
    let message = format!("The {kind} '{id}' has dependencies and cannot be deleted.");
    AwsError::new("DependencyViolation", message)
}

fn refused(fault: TagFault) -> AwsError {
    match fault {
        TagFault::TooMany => AwsError::new("TagLimitExceeded", fault.message()),
        fault => invalid(fault.message()),
    }
}

/// Returns the tags that a create request gives to a resource of this type.
fn new_tags(input: &Value, resource_type: &str) -> Result<Value, AwsError> {
    let mut all = Tags::new();
    for specification in input["TagSpecifications"].as_array().into_iter().flatten() {
        if text(specification, "ResourceType") != resource_type {
            let message = format!(
                "'{}' is not a valid taggable resource type for this operation.",
                text(specification, "ResourceType")
            );
            return Err(invalid(message));
        }
        all.extend(tags::requested(specification.get("Tags")).map_err(refused)?);
    }
    Ok(tags::list(&all, "Key", "Value"))
}

/// Answers a describe operation: by ids, by filters, paged.
///
/// `extra` answers the filters that are not the resource's own members; see [`filter::matches`].
fn describe(
    call: &mut Call<'_>,
    input: &Value,
    (collection, result): (&str, &str),
    (ids, missing): (&str, fn(&str) -> AwsError),
    known: &[filter::Known],
) -> Answer {
    vpc::ensure_default(call);
    let wanted = texts(input, ids);
    if !wanted.is_empty() && input.get("MaxResults").is_some() {
        let message = "The parameters MaxResults and ids cannot be used together";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    for id in &wanted {
        call.get(collection, id).ok_or_else(|| missing(id))?;
    }
    let filters = filter::parse(input, known)?;
    let mut rows = call.list(collection);
    rows.retain(|(id, row)| {
        (wanted.is_empty() || wanted.contains(&id.as_str())) && filters.iter().all(|f| f.fits(row))
    });
    call.paged(input, result, rows, usize::MAX)
}

/// Returns whether anything in a collection refers to an id by a member.
fn refers(call: &Call<'_>, collection: &str, member: &str, id: &str) -> bool {
    call.list(collection).iter().any(|(_, row)| text(row, member) == id)
}

/// Returns the zones of a region.
fn zones(region: &str) -> Vec<String> {
    let letters = match region {
        "us-east-1" => "abcdef",
        "us-west-2" => "abcd",
        _ => "abc",
    };
    letters.chars().map(|letter| format!("{region}{letter}")).collect()
}

/// Returns the zone id of a zone, `use1-az1` for `us-east-1a`.
fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let short: Vec<&str> = region.split('-').collect();
    let number = letter.bytes().next().map_or(0, |b| b.wrapping_sub(b'a') + 1);
    let middle = short.get(1).map_or(String::new(), |word| match *word {
        "northeast" => "ne".to_owned(),
        "southeast" => "se".to_owned(),
        "northwest" => "nw".to_owned(),
        "southwest" => "sw".to_owned(),
        other => other.chars().take(1).collect(),
    });
    format!("{}{middle}{}-az{number}", short.first().unwrap_or(&""), short.last().unwrap_or(&""))
}

/// Gives the answer of an operation that only succeeds.
fn done() -> Answer {
    Ok(json!({"Return": true}))
}
