//! IAM: roles, customer and AWS policies, instance profiles, users with keys, the account's facts.
//!
//! Names are unique without regard to case, deletes refuse what is still in use, documents are checked and
//! come back percent-encoded. Groups, federation providers and MFA devices are deliberately absent.

mod account;
mod departed;
mod details;
mod document;
mod identity;
mod managed;
mod policy;
mod profile;
mod role;
mod service_role;
mod simulate;
mod tagging;
mod user;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::ids::BASE32;
use crate::sandbox::store::{GLOBAL, Place};

pub(crate) use identity::identity_policies;
pub(crate) use policy::default_document as document_of;
pub(crate) use policy::document_of as document_of_own;

pub(super) const OPERATIONS: &[Operations] = &[
    account::OPERATIONS,
    details::OPERATIONS,
    identity::OPERATIONS,
    policy::OPERATIONS,
    profile::OPERATIONS,
    role::OPERATIONS,
    service_role::OPERATIONS,
    simulate::OPERATIONS,
    tagging::OPERATIONS,
    user::OPERATIONS,
];

/// The collections, by name; policies by ARN.
/// Returns where IAM keeps what belongs to the caller's account, for any service's call.
pub(crate) fn at_home(call: &Call<'_>) -> Place {
    Place { account: call.account.clone(), region: GLOBAL.to_owned(), service: "iam".to_owned() }
}

const ROLES: &str = "roles";
const USERS: &str = "users";
const POLICIES: &str = "policies";
const PROFILES: &str = "instance_profiles";
const KEYS: &str = "access_keys";

/// The page size without a limit in the request.
const PAGE: usize = 100;

/// RFC 3986's unreserved characters stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(document: &str) -> String {
    utf8_percent_encode(document, ENCODED).to_string()
}

fn no_such(message: impl Into<String>) -> AwsError {
    AwsError::new("NoSuchEntity", message)
}

fn limit(message: impl Into<String>) -> AwsError {
    AwsError::new("LimitExceeded", message)
}

fn conflict(message: impl Into<String>) -> AwsError {
    AwsError::new("DeleteConflict", message)
}

fn unique_id(call: &mut Call<'_>, prefix: &str) -> String {
    format!("{prefix}{}", call.letters(BASE32, 17))
}

/// Returns the name under which a collection has `name` in any case.
fn taken(call: &Call<'_>, collection: &str, name: &str) -> bool {
    call.any(collection, |known, _| known.eq_ignore_ascii_case(name))
}

fn role(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    call.get(ROLES, name).ok_or_else(|| no_such(format!("The role with name {name} cannot be found.")))
}

/// Returns the members of a resource that a list shows: all but the private ones and those named.
fn without(resource: &Value, left_out: &[&str]) -> Value {
    let members = resource.as_object().cloned().unwrap_or_default();
    let keep = |key: &String| !key.starts_with('_') && !left_out.contains(&key.as_str());
    Value::Object(members.into_iter().filter(|(key, _)| keep(key)).collect::<Map<_, _>>())
}

/// Returns the items whose path starts as asked for.
fn below(input: &Value, items: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let prefix = input.get("PathPrefix").and_then(Value::as_str).unwrap_or("/").to_owned();
    items.into_iter().filter(|(_, item)| text(item, "Path").starts_with(&prefix)).collect()
}

/// Puts tags of a request on a new resource.
fn new_tags(input: &Value) -> Result<Value, AwsError> {
    let tags = crate::sandbox::tags::requested(input.get("Tags")).map_err(|fault| tagging::refused(&fault))?;
    Ok(crate::sandbox::tags::list(&tags, "Key", "Value"))
}

/// Reads a policy that may bound permissions: one that exists.
fn boundary(call: &Call<'_>, arn: &str) -> Result<Value, AwsError> {
    if policy::find(call, arn).is_none() {
        return Err(no_such(format!("Scope ARN: {arn} does not exist or is not attachable.")));
    }
    Ok(json!({ "PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn }))
}
