//! EC2: networking and compute. Its model has few constraints, so handlers check their own input.
//!
//! Add a kind as a file with its own `OPERATIONS` and a row below. Conventions: resources carry `_arn` and
//! `Tags`; new ones take tags by [`new_tags`]; lists answer through [`describe`].

mod account;
mod address;
mod endpoint;
mod endpoint_service;
mod filter;
mod flow_log;
mod image;
mod instance;
mod instance_type;
mod interface;
mod internet_gateway;
mod ipv6;
mod launch_template;
mod nat_address;
mod nat_gateway;
mod network_acl;
mod permission;
mod placement;
mod prefix_list;
mod route;
mod route_table;
mod security_group;
mod security_group_rule;
mod subnet;
mod tagging;
mod vpc;

use serde_json::{Value, json};

use super::Operations;
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) use account::REGIONS;
pub(crate) use route::leads as route_leads;

pub(super) const OPERATIONS: &[Operations] = &[
    address::OPERATIONS,
    endpoint::OPERATIONS,
    endpoint_service::OPERATIONS,
    flow_log::OPERATIONS,
    image::OPERATIONS,
    instance::OPERATIONS,
    instance_type::OPERATIONS,
    interface::OPERATIONS,
    internet_gateway::OPERATIONS,
    ipv6::OPERATIONS,
    launch_template::OPERATIONS,
    nat_address::OPERATIONS,
    nat_gateway::OPERATIONS,
    network_acl::OPERATIONS,
    placement::OPERATIONS,
    prefix_list::OPERATIONS,
    route::OPERATIONS,
    route_table::OPERATIONS,
    security_group::OPERATIONS,
    security_group_rule::OPERATIONS,
    subnet::OPERATIONS,
    tagging::OPERATIONS,
    vpc::OPERATIONS,
    account::OPERATIONS,
];

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
fn describe(
    call: &mut Call<'_>,
    input: &Value,
    kept: (&str, &str),
    ids: (&str, fn(&str) -> AwsError),
    known: &[filter::Known],
) -> Answer {
    describe_as(call, input, kept, ids, known, &[], |_, _| {})
}

/// Answers a describe operation whose resources look otherwise than they are kept; filters see what is shown.
///
/// `made` names the members that `show` makes.
fn describe_as(
    call: &mut Call<'_>,
    input: &Value,
    (collection, result): (&str, &str),
    (ids, missing): (&str, fn(&str) -> AwsError),
    known: &[filter::Known],
    made: &[&str],
    show: impl Fn(&Call<'_>, &mut Value),
) -> Answer {
    vpc::ensure_default(call);
    check_page_size(call, input)?;
    let wanted = texts(input, ids);
    if !wanted.is_empty() && input.get("MaxResults").is_some() {
        let message = "The parameters MaxResults and ids cannot be used together";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    for id in &wanted {
        call.get(collection, id).ok_or_else(|| missing(id))?;
    }
    // Most of those who filter look for one resource among many: only what passes is shown.
    let (kept, others): (Vec<_>, Vec<_>) =
        filter::parse(input, known)?.into_iter().partition(|filter| !filter.looks_at(made));
    let mut rows = call.select(collection, |id, row| {
        (wanted.is_empty() || wanted.contains(&id)) && kept.iter().all(|filter| filter.fits(row))
    });
    for (_, row) in &mut rows {
        show(call, row);
    }
    rows.retain(|(_, row)| others.iter().all(|filter| filter.fits(row)));
    call.paged(input, result, rows, usize::MAX)
}

/// The operations whose pages may be smaller than five.
const SMALL_PAGES: &[&str] = &[
    "DescribeFlowLogs",
    "DescribeLaunchTemplateVersions",
    "DescribeLaunchTemplates",
    "DescribeManagedPrefixLists",
    "DescribePrefixLists",
    "DescribeVpcEndpointServices",
    "DescribeVpcEndpoints",
];

fn check_page_size(call: &Call<'_>, input: &Value) -> Result<(), AwsError> {
    let Some(size) = input.get("MaxResults").and_then(Value::as_i64) else { return Ok(()) };
    let least = if SMALL_PAGES.contains(&call.operation.name.as_str()) { 1 } else { 5 };
    let most = if call.operation.name == "DescribeRouteTables" { 100 } else { 1000 };
    if (least..=most).contains(&size) {
        return Ok(());
    }
    let message =
        format!("Value ( {size} ) for parameter maxResults is invalid. Expecting a value between {least} and {most}.");
    Err(invalid(message))
}

/// Refuses an id that has not the form of its kind's ids.
fn check_form(prefix: &str, id: &str, code: &str) -> Result<(), AwsError> {
    let rest = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let fine = rest.is_some_and(|rest| {
        (rest.len() == 8 || rest.len() == 17) && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if fine { Ok(()) } else { Err(AwsError::new(code, format!("Invalid id: \"{id}\" (expecting \"{prefix}-...\")"))) }
}

/// Returns the members of a list of structures.
fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// Returns the error for a member that is missing.
fn needs(parameter: &str) -> AwsError {
    AwsError::new("MissingParameter", format!("The request must contain the parameter {parameter}"))
}

/// Adds a value to a list member.
fn push(resource: &mut Value, key: &str, value: Value) {
    if !resource[key].is_array() {
        resource[key] = json!([]);
    }
    if let Some(list) = resource[key].as_array_mut() {
        list.push(value);
    }
}

/// Keeps those items of a list member that pass.
fn retain(resource: &mut Value, key: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(list) = resource[key].as_array_mut() {
        list.retain(keep);
    }
}

/// Returns whether anything in a collection refers to an id by a member.
fn refers(call: &Call<'_>, collection: &str, member: &str, id: &str) -> bool {
    call.any(collection, |_, row| text(row, member) == id)
}

/// Returns the zones of a region.
fn zones(call: &Call<'_>) -> Vec<String> {
    let known = call.catalogue("zones");
    if !known.is_empty() {
        return known;
    }
    let region = call.region.as_str();
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
