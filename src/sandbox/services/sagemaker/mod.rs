//! SageMaker: models, endpoint configurations, endpoints and training jobs, all known by unique names.
//!
//! Resources hold `Tags` and `_arn`. ARNs have names in lower case, as SageMaker writes them. Not simulated:
//! inference components, domains, HyperPod, pipelines.

mod endpoint;
mod endpoint_config;
mod model;
mod training;

use serde_json::{Value, json};

use super::{Operations, roles};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::tags::{self, TagFault};

pub(super) use endpoint::ENDPOINTS;
pub(super) use training::{JOBS, owes};

pub(super) const OPERATIONS: &[Operations] =
    &[endpoint::OPERATIONS, endpoint_config::OPERATIONS, model::OPERATIONS, training::OPERATIONS, OWN_OPERATIONS];

const OWN_OPERATIONS: Operations = &[("AddTags", add_tags), ("DeleteTags", delete_tags), ("ListTags", list_tags)];

const TAGGABLE: &[&str] = &[endpoint::ENDPOINTS, endpoint_config::CONFIGS, model::MODELS, training::JOBS];
/// The page size of lists without a limit.
const PAGE: usize = 10;

fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationException", message)
}

fn arn(call: &Call<'_>, kind: &str, name: &str) -> String {
    call.arn(&format!("{kind}/{}", name.to_lowercase()))
}

fn missing(what: &str, arn: &str) -> AwsError {
    validation(format!("Could not find {what} \"{arn}\"."))
}

fn exists_already(what: &str, arn: &str) -> AwsError {
    validation(format!("Cannot create already existing {what} \"{arn}\"."))
}

/// Checks that SageMaker may assume a role of this account; of another account's nothing is known here.
///
/// `made` is the ARN of what the role is for.
fn check_role(call: &Call<'_>, role: &str, made: &str) -> Result<(), AwsError> {
    let own = format!("arn:{}:iam::{}:role/", call.partition(), call.account);
    if !role.starts_with(&own) || roles::trusting(call, role, "sagemaker.amazonaws.com", made).is_some() {
        return Ok(());
    }
    Err(validation(format!(
        "Could not assume role {role}. Please ensure that the role exists and allows principal \
         'sagemaker.amazonaws.com' to assume the role."
    )))
}

fn refused(fault: TagFault) -> AwsError {
    validation(fault.message())
}

fn new_tags(input: &Value) -> Result<Value, AwsError> {
    let tags = tags::requested(input.get("Tags")).map_err(refused)?;
    Ok(tags::list(&tags, "Key", "Value"))
}

/// Copies the members that a create request gives and a describe answers.
fn copied(input: &Value, members: &[&str]) -> Value {
    let mut out = json!({});
    for name in members {
        if let Some(value) = input.get(*name) {
            out[*name] = value.clone();
        }
    }
    out
}

fn taggable(call: &Call<'_>, input: &Value) -> Result<(&'static str, String, Value), AwsError> {
    let arn = text(input, "ResourceArn");
    for collection in TAGGABLE {
        if let Some((id, found)) = call.find(collection, |_, found| found["_arn"] == arn) {
            return Ok((collection, id, found));
        }
    }
    Err(validation(format!("Could not find resource \"{arn}\": it does not exist.")))
}

fn add_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let (collection, id, found) = taggable(call, input)?;
    let added = tags::requested(input.get("Tags")).map_err(refused)?;
    let all = tags::merge(tags::of(&found), added).map_err(refused)?;
    let all = tags::list(&all, "Key", "Value");
    call.change(collection, &id, |found| found["Tags"] = all.clone());
    Ok(json!({"Tags": all}))
}

fn delete_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let (collection, id, found) = taggable(call, input)?;
    let mut all = tags::of(&found);
    for key in texts(input, "TagKeys") {
        all.shift_remove(key);
    }
    call.change(collection, &id, |found| found["Tags"] = tags::list(&all, "Key", "Value"));
    Ok(json!({}))
}

fn list_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, _, found) = taggable(call, input)?;
    let all = tags::of(&found);
    let row = |(key, value): (&String, &String)| (key.clone(), json!({"Key": key, "Value": value}));
    call.paged(input, "Tags", all.iter().map(row).collect(), 50)
}

/// Answers a list: filtered by name, status and times, sorted, paged.
fn listed(
    call: &Call<'_>,
    input: &Value,
    (collection, result): (&str, &str),
    (name, status): (&str, &str),
    members: &[&str],
    newest_first: bool,
) -> Answer {
    let mut rows: Vec<Value> = call.list(collection).into_iter().map(|(_, row)| row).collect();
    let within = |row: &Value, member: &str| {
        let at = row[member].as_f64().unwrap_or_default();
        let bound = |side: &str| input.get(format!("{member}{side}")).and_then(Value::as_f64);
        bound("After").is_none_or(|after| at > after) && bound("Before").is_none_or(|before| at < before)
    };
    rows.retain(|row| {
        let contains = optional(input, "NameContains").unwrap_or_default().to_lowercase();
        text(row, name).to_lowercase().contains(&contains)
            && optional(input, "StatusEquals").is_none_or(|wanted| text(row, status) == wanted)
            && within(row, "CreationTime")
            && within(row, "LastModifiedTime")
    });
    match optional(input, "SortBy") {
        Some("Name") => rows.sort_by_key(|row| text(row, name).to_owned()),
        Some("Status") => rows.sort_by_key(|row| (text(row, status).to_owned(), text(row, name).to_owned())),
        _ => rows.sort_by(|a, b| {
            let at = |row: &Value| row["CreationTime"].as_f64().unwrap_or_default();
            at(a).total_cmp(&at(b)).then_with(|| text(a, name).cmp(text(b, name)))
        }),
    }
    if optional(input, "SortOrder").map_or(newest_first, |order| order == "Descending") {
        rows.reverse();
    }
    let rows = rows.into_iter().map(|row| (text(&row, name).to_owned(), copied(&row, members))).collect();
    call.paged(input, result, rows, PAGE)
}
