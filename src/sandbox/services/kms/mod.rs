//! KMS: keys with their states, aliases, policies, rotation, tags, grants and cryptography.
//!
//! A disabled key or one pending deletion refuses use, as AWS documents. Symmetric keys only encrypt;
//! asymmetric and HMAC keys can be made and described but have no sign, verify or MAC operation here.

mod alias;
mod crypto;
mod grant;
mod key;
mod policy;
mod rotation;
mod tagging;

pub(crate) use crypto::sealed_by;
use serde_json::Value;

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;

pub(super) const OPERATIONS: &[Operations] = &[
    alias::OPERATIONS,
    crypto::OPERATIONS,
    grant::OPERATIONS,
    key::OPERATIONS,
    policy::OPERATIONS,
    rotation::OPERATIONS,
    tagging::OPERATIONS,
];

/// The collection of keys, by key id.
const KEYS: &str = "keys";
/// The collection of aliases, by alias name.
const ALIASES: &str = "aliases";

fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new("NotFoundException", message)
}

fn key_arn(call: &Call<'_>, id: &str) -> String {
    call.arn(&format!("key/{id}"))
}

/// Takes a key id or key ARN apart; an ARN of another region or account is not found here.
fn key_id(call: &Call<'_>, given: &str) -> Result<String, AwsError> {
    if !given.starts_with("arn:") {
        return Ok(given.to_owned());
    }
    let prefix = call.arn("key/");
    if let Some(id) = given.strip_prefix(&prefix) {
        return Ok(id.to_owned());
    }
    if given.split(':').nth(2) != Some("kms") || !given.contains(":key/") {
        return Err(AwsError::new("InvalidArnException", format!("Invalid arn {given}")));
    }
    let region = given.split(':').nth(3).unwrap_or_default();
    if region != call.region {
        return Err(not_found(format!("Invalid arn {region}")));
    }
    Err(not_found(format!("Key '{given}' does not exist")))
}

/// Returns a key by key id or key ARN, as the control operations take it.
fn key(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let given = text(input, "KeyId");
    if given.starts_with("alias/") || given.contains(":alias/") {
        // Only the operations that use a key, and DescribeKey, take an alias.
        return Err(not_found(format!("Invalid keyId '{given}'")));
    }
    let id = key_id(call, given)?;
    let found = call.get(KEYS, &id);
    found.map(|key| (id.clone(), key)).ok_or_else(|| not_found(format!("Key '{}' does not exist", key_arn(call, &id))))
}

/// Returns a key by id, ARN, alias name or alias ARN, as the cryptographic operations take it.
fn key_or_alias(call: &mut Call<'_>, given: &str) -> Result<(String, Value), AwsError> {
    let prefix = call.arn("alias/");
    let name = match given.strip_prefix(&prefix) {
        Some(rest) => Some(format!("alias/{rest}")),
        None => given.starts_with("alias/").then(|| given.to_owned()),
    };
    if let Some(name) = name {
        let id = alias::target(call, &name)?;
        let key = call.get(KEYS, &id).ok_or_else(|| not_found(format!("Alias {given} is not found.")))?;
        return Ok((id, key));
    }
    if given.contains(":alias/") {
        return Err(not_found(format!("Alias {given} is not found.")));
    }
    let id = key_id(call, given)?;
    let found = call.get(KEYS, &id);
    found.map(|key| (id.clone(), key)).ok_or_else(|| not_found(format!("Key '{}' does not exist", key_arn(call, &id))))
}

/// Refuses a key that is not in one of the given states.
fn in_state(call: &Call<'_>, id: &str, key: &Value, allowed: &[&str]) -> Result<(), AwsError> {
    let state = text(key, "KeyState");
    if allowed.contains(&state) {
        return Ok(());
    }
    let arn = key_arn(call, id);
    if state == "Disabled" {
        return Err(AwsError::new("DisabledException", format!("{arn} is disabled.")));
    }
    let words = match state {
        "PendingDeletion" => "is pending deletion",
        "PendingImport" => "is pending import",
        other => other,
    };
    Err(AwsError::new("KMSInvalidStateException", format!("{arn} {words}.")))
}

/// Refuses changes to the keys that AWS manages.
fn customer_managed(call: &Call<'_>, id: &str, key: &Value) -> Result<(), AwsError> {
    if text(key, "KeyManager") == "AWS" {
        let message =
            format!("User: {} is not authorized to change the AWS managed key {}", call.principal, key_arn(call, id));
        return Err(AwsError::new("AccessDeniedException", message).status(400));
    }
    Ok(())
}
