//! KMS keys as other services see them: found by id, ARN or alias, and usable or not.
//!
//! Looks only; a key of a moment ago may not have propagated yet.

use crate::sandbox::call::{Call, text};
use crate::sandbox::ids;

/// Why a key can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// There is none under this name.
    Missing,
    /// It is in a state other than enabled.
    State(String),
    /// It is not a symmetric key for encryption.
    Unfit,
}

/// Finds a key that a service was told to encrypt with, and returns its ARN.
pub(super) fn usable(call: &Call<'_>, given: &str) -> Result<String, KeyFault> {
    let prefix = format!("arn:{}:kms:{}:", call.partition(), call.region);
    let (account, resource) = match given.strip_prefix(&prefix).map(|rest| rest.split_once(':')) {
        Some(Some((account, resource))) => (account.to_owned(), resource.to_owned()),
        _ if given.starts_with("arn:") => return Err(KeyFault::Missing),
        _ if given.starts_with("alias/") => (call.account.clone(), given.to_owned()),
        _ => (call.account.clone(), format!("key/{given}")),
    };
    let id = if resource.starts_with("alias/aws/") {
        return Ok(managed(call, &resource));
    } else if resource.starts_with("alias/") {
        let alias = call.elsewhere("kms", "aliases", &resource).ok_or(KeyFault::Missing)?;
        text(&alias, "TargetKeyId").to_owned()
    } else {
        resource.strip_prefix("key/").ok_or(KeyFault::Missing)?.to_owned()
    };
    let key = if account == call.account {
        call.elsewhere("kms", "keys", &id)
    } else {
        let found = call.anywhere("kms", "keys", &id);
        found.filter(|(place, _)| place.account == account && place.region == call.region).map(|(_, key)| key)
    };
    let key = key.ok_or(KeyFault::Missing)?;
    match (text(&key, "KeyState"), text(&key, "KeySpec")) {
        ("Enabled", "SYMMETRIC_DEFAULT") => Ok(format!("{prefix}{account}:key/{id}")),
        ("Enabled", _) => Err(KeyFault::Unfit),
        (state, _) => Err(KeyFault::State(state.to_owned())),
    }
}

/// Returns the ARN of the key that AWS manages for a service, by its alias (`alias/aws/s3`).
pub(super) fn managed(call: &Call<'_>, alias: &str) -> String {
    let place = format!("kms/{}/{}/{alias}", call.account, call.region);
    let id = ids::uuid(&call.derived(&place));
    format!("arn:{}:kms:{}:{}:key/{id}", call.partition(), call.region, call.account)
}
