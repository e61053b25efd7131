//! Versions of a secret's value and the stages that point at them.
//!
//! A version's id is the client token it came with; the same token with the same value is the same version.

use serde_json::{Value, json};

use super::replica::keep;
use super::{SECRETS, any, check_key, given_value, invalid, live, primary, refused};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("BatchGetSecretValue", batch_get_secret_value),
    ("GetSecretValue", get_secret_value),
    ("ListSecretVersionIds", list_secret_version_ids),
    ("PutSecretValue", put_secret_value),
    ("UpdateSecretVersionStage", update_secret_version_stage),
];

pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// Returns the id of the version that a stage points at.
pub(super) fn staged(secret: &Value, stage: &str) -> Option<String> {
    let versions = secret["_versions"].as_object()?;
    let found = versions.iter().find(|(_, version)| texts(version, "VersionStages").contains(&stage));
    found.map(|(id, _)| id.clone())
}

/// Points a stage at a version; the version that had AWSCURRENT before becomes AWSPREVIOUS.
fn move_stage(secret: &mut Value, stage: &str, to: &str) {
    let from = staged(secret, stage);
    if from.as_deref() == Some(to) {
        return;
    }
    take_stage(secret, stage);
    add_stage(secret, stage, to);
    if let (CURRENT, Some(from)) = (stage, from) {
        take_stage(secret, PREVIOUS);
        add_stage(secret, PREVIOUS, &from);
    }
}

fn take_stage(secret: &mut Value, stage: &str) {
    for (_, version) in secret["_versions"].as_object_mut().into_iter().flatten() {
        if let Some(stages) = version["VersionStages"].as_array_mut() {
            stages.retain(|known| known != stage);
        }
    }
}

fn add_stage(secret: &mut Value, stage: &str, to: &str) {
    if let Some(stages) = secret["_versions"][to]["VersionStages"].as_array_mut() {
        stages.push(json!(stage));
    }
}

/// Adds a version under a token with its stages, or finds the one that this very token and value made before.
pub(super) fn put(
    call: &mut Call<'_>,
    secret: &mut Value,
    token: Option<&str>,
    (kind, value): (&str, String),
    stages: &[&str],
) -> Result<String, AwsError> {
    let id = match token {
        Some(token) => token.to_owned(),
        None => call.uuid(),
    };
    if let Some(known) = secret["_versions"].get(&id) {
        if known[kind] != value {
            let message = format!(
                "You can't use ClientRequestToken {id} because that value is already in use for a version of this secret."
            );
            return Err(AwsError::new("ResourceExistsException", message));
        }
        return Ok(id);
    }
    let mut version = json!({"VersionId": id, "CreatedDate": call.timestamp(), "VersionStages": []});
    version[kind] = json!(value);
    secret["_versions"][&id] = version;
    secret["LastChangedDate"] = call.timestamp();
    let first = secret["_versions"].as_object().is_some_and(|versions| versions.len() == 1);
    for stage in stages {
        move_stage(secret, stage, &id);
    }
    // The first value is always the current one.
    if first && !stages.contains(&CURRENT) {
        move_stage(secret, CURRENT, &id);
    }
    Ok(id)
}

fn put_secret_value(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let Some(value) = given_value(input)? else {
        return Err(refused("You must provide either SecretString or SecretBinary."));
    };
    check_key(call, optional(&secret, "KmsKeyId"))?;
    let stages = texts(input, "VersionStages");
    let stages = if stages.is_empty() { vec![CURRENT] } else { stages };
    let id = put(call, &mut secret, optional(input, "ClientRequestToken"), value, &stages)?;
    let answer = json!({
        "ARN": secret["ARN"],
        "Name": name,
        "VersionId": id,
        "VersionStages": secret["_versions"][&id]["VersionStages"],
    });
    keep(call, &name, secret);
    Ok(answer)
}

/// Picks the version that a request names by id, stage, both, or neither.
fn picked(secret: &Value, id: Option<&str>, stage: Option<&str>) -> Result<Value, AwsError> {
    let missing = |what: &str| {
        let message = format!("Secrets Manager can't find the specified secret value for {what}");
        AwsError::new("ResourceNotFoundException", message)
    };
    let found = match id {
        Some(id) => Some(id.to_owned()),
        None => staged(secret, stage.unwrap_or(CURRENT)),
    };
    let what =
        id.map_or_else(|| format!("staging label: {}", stage.unwrap_or(CURRENT)), |id| format!("VersionId: {id}"));
    let version = found.and_then(|id| secret["_versions"].get(&id).cloned()).ok_or_else(|| missing(&what))?;
    if id.is_some() && stage.is_some_and(|stage| !texts(&version, "VersionStages").contains(&stage)) {
        return Err(refused("You provided a VersionStage that is not associated to the provided VersionId."));
    }
    Ok(version)
}

fn shown(secret: &Value, version: &Value) -> Value {
    let mut out = version.clone();
    out["ARN"] = secret["ARN"].clone();
    out["Name"] = secret["Name"].clone();
    out
}

fn read(call: &mut Call<'_>, name: &str, secret: &Value) -> Result<(), AwsError> {
    check_key(call, optional(secret, "KmsKeyId")).map_err(|error| AwsError::new("DecryptionFailure", error.message))?;
    // Secrets Manager shows the day of the last access only.
    let day = (call.now() / 86_400.0).floor() * 86_400.0;
    if secret["LastAccessedDate"].as_f64() != Some(day) {
        call.change(SECRETS, name, |secret| secret["LastAccessedDate"] = json!(day));
    }
    Ok(())
}

fn get_secret_value(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, secret) = live(call, input)?;
    let version = picked(&secret, optional(input, "VersionId"), optional(input, "VersionStage"))?;
    read(call, &name, &secret)?;
    Ok(shown(&secret, &version))
}

fn batch_get_secret_value(call: &mut Call<'_>, input: &Value) -> Answer {
    let ids = texts(input, "SecretIdList");
    let filters = input["Filters"].as_array().cloned().unwrap_or_default();
    if ids.is_empty() == filters.is_empty() {
        return Err(invalid("Either 'SecretIdList' or 'Filters' must be provided, but not both."));
    }
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    let wanted: Vec<String> = if ids.is_empty() {
        let all = call.select(SECRETS, |_, secret| secret.get("DeletedDate").is_none()).into_iter();
        all.filter(|(_, secret)| super::list::matches(secret, &filters)).map(|(name, _)| name).collect()
    } else {
        ids.iter().map(|id| (*id).to_owned()).collect()
    };
    for id in wanted {
        let result = live(call, &json!({"SecretId": id})).and_then(|(name, secret)| {
            let version = picked(&secret, None, None)?;
            read(call, &name, &secret)?;
            Ok(shown(&secret, &version))
        });
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(json!({"SecretId": id, "ErrorCode": error.code, "Message": error.message})),
        }
    }
    Ok(json!({"SecretValues": values, "Errors": errors}))
}

fn list_secret_version_ids(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, secret) = any(call, text(input, "SecretId"))?;
    let deprecated = input["IncludeDeprecated"] == true;
    let versions = secret["_versions"].as_object().cloned().unwrap_or_default();
    let items: Vec<(String, Value)> = versions
        .into_iter()
        .filter(|(_, version)| deprecated || !texts(version, "VersionStages").is_empty())
        .map(|(id, version)| {
            let stages = version["VersionStages"].clone();
            (id.clone(), json!({"VersionId": id, "VersionStages": stages, "CreatedDate": version["CreatedDate"]}))
        })
        .collect();
    let (versions, next) = super::list::page(call, input, items, 100)?;
    Ok(json!({"ARN": secret["ARN"], "Name": name, "Versions": versions, "NextToken": next}))
}

fn update_secret_version_stage(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let stage = text(input, "VersionStage").to_owned();
    let (from, to) = (optional(input, "RemoveFromVersionId"), optional(input, "MoveToVersionId"));
    for id in [from, to].into_iter().flatten() {
        if secret["_versions"].get(id).is_none() {
            let message = format!("Secrets Manager can't find the specified secret value for VersionId: {id}");
            return Err(AwsError::new("ResourceNotFoundException", message));
        }
    }
    let holder = staged(&secret, &stage);
    if let Some(holder) = &holder {
        if from != Some(holder.as_str()) && to != Some(holder.as_str()) {
            let message = format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to \
                 version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            );
            return Err(invalid(message));
        }
    } else if from.is_some() {
        return Err(invalid(format!(
            "The staging label {stage} is not attached to the version in RemoveFromVersionId."
        )));
    }
    match to {
        Some(to) => move_stage(&mut secret, &stage, to),
        None if stage == CURRENT => {
            return Err(invalid(
                "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
            ));
        }
        None => take_stage(&mut secret, &stage),
    }
    secret["LastChangedDate"] = call.timestamp();
    let answer = json!({"ARN": secret["ARN"], "Name": name});
    keep(call, &name, secret);
    Ok(answer)
}
