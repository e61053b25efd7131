//! Secrets Manager: secrets, their versions and stages, rotation schedules, policies, deletion windows.
//!
//! Rotation keeps a schedule and, when it is due or asked for at once, makes no new value: there is no Lambda
//! function to make one.

mod delete;
mod list;
mod policy;
mod replica;
mod rotate;
mod secret;
mod value;

use serde_json::Value;

use super::Operations;
use super::keys::{self, KeyFault};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::AwsError;

pub(super) const OPERATIONS: &[Operations] = &[
    delete::OPERATIONS,
    list::OPERATIONS,
    policy::OPERATIONS,
    replica::OPERATIONS,
    rotate::OPERATIONS,
    secret::OPERATIONS,
    value::OPERATIONS,
];

/// The collection of secrets, by name.
const SECRETS: &str = "secrets";

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterException", message)
}

fn refused(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidRequestException", message)
}

fn not_found() -> AwsError {
    AwsError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

/// Finds a secret by name, ARN, or ARN without its random end, deleted ones included.
fn any(call: &Call<'_>, id: &str) -> Result<(String, Value), AwsError> {
    let prefix = call.arn("secret:");
    let Some(rest) = id.strip_prefix(&prefix) else {
        if id.starts_with("arn:") {
            return Err(not_found());
        }
        return call.get(SECRETS, id).map(|secret| (id.to_owned(), secret)).ok_or_else(not_found);
    };
    let exact = call.find(SECRETS, |_, secret| text(secret, "ARN") == id);
    exact.or_else(|| call.get(SECRETS, rest).map(|secret| (rest.to_owned(), secret))).ok_or_else(not_found)
}

/// Finds the secret that a request names; one that waits for its deletion is refused.
fn live(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    let (name, secret) = any(call, text(input, "SecretId"))?;
    if secret.get("DeletedDate").is_some() {
        let message = "You can't perform this operation on the secret because it was marked for deletion.";
        return Err(refused(message));
    }
    Ok((name, secret))
}

/// Finds the secret that a request is to change; a replica is refused.
fn primary(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    live(call, input).and_then(unless_replica)
}

fn unless_replica((name, secret): (String, Value)) -> Result<(String, Value), AwsError> {
    if replica::is_replica(&secret) {
        return Err(invalid(
            "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
        ));
    }
    Ok((name, secret))
}

/// Checks the key that values are encrypted with.
fn check_key(call: &Call<'_>, key: Option<&str>) -> Result<(), AwsError> {
    let Some(key) = key else { return Ok(()) };
    match keys::usable(call, key) {
        Ok(_) => Ok(()),
        Err(KeyFault::Missing) if key.contains("alias/") => {
            Err(AwsError::new("EncryptionFailure", format!("Alias {key} is not found.")))
        }
        Err(KeyFault::Missing) => Err(AwsError::new("EncryptionFailure", format!("Key '{key}' does not exist"))),
        Err(KeyFault::State(state)) => Err(AwsError::new("EncryptionFailure", format!("{key} is {state}."))),
        Err(KeyFault::Unfit) => Err(AwsError::new("EncryptionFailure", format!("{key} can't be used to encrypt."))),
    }
}

/// Reads the value in a request, text or bytes; both at once are refused.
fn given_value(input: &Value) -> Result<Option<(&'static str, String)>, AwsError> {
    match (optional(input, "SecretString"), optional(input, "SecretBinary")) {
        (Some(_), Some(_)) => {
            Err(refused("You can't specify both a binary secret value and a string secret value in the same secret."))
        }
        (Some(text), None) => Ok(Some(("SecretString", text.to_owned()))),
        (None, Some(bytes)) => Ok(Some(("SecretBinary", bytes.to_owned()))),
        (None, None) => Ok(None),
    }
}
