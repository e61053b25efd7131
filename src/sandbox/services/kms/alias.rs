//! Aliases. Names below `alias/aws/` belong to AWS; a known one makes its managed key on first use.

use serde_json::{Value, json};

use super::{ALIASES, KEYS, in_state, key, key_id, not_found, policy};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateAlias", create_alias),
    ("DeleteAlias", delete_alias),
    ("ListAliases", list_aliases),
    ("UpdateAlias", update_alias),
];

/// The services whose managed keys exist, or come to exist when named.
const MANAGED: &[&str] = &[
    "ebs",
    "lambda",
    "rds",
    "s3",
    "sagemaker",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "backup",
    "elasticfilesystem",
    "dynamodb",
    "kinesis",
    "bedrock",
];

/// Returns the id of the key an alias names, making an AWS managed key where one is implied.
pub(super) fn target(call: &mut Call<'_>, name: &str) -> Result<String, AwsError> {
    if let Some(alias) = call.get(ALIASES, name) {
        return Ok(text(&alias, "TargetKeyId").to_owned());
    }
    let missing = || not_found(format!("Alias {} is not found.", call.arn(name)));
    let service = name.strip_prefix("alias/aws/").filter(|service| MANAGED.contains(service));
    let service = service.ok_or_else(missing)?;
    let place = format!("kms/{}/{}/{name}", call.account, call.region);
    let id = ids::uuid(&call.derived(&place));
    let mut made = super::key::new_key(call, &id, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS");
    made["Description"] = json!(format!("Default key that protects my {service} data when no other key is defined"));
    made["_policy"] = json!(policy::default(call));
    made["_rotation"] = json!({"since": call.timestamp(), "days": 365});
    call.put(KEYS, &id, made);
    let alias = alias(call, name, &id);
    call.put(ALIASES, name, alias);
    Ok(id)
}

fn alias(call: &Call<'_>, name: &str, key: &str) -> Value {
    json!({
        "AliasName": name,
        "AliasArn": call.arn(name),
        "TargetKeyId": key,
        "CreationDate": call.timestamp(),
        "LastUpdatedDate": call.timestamp(),
    })
}

fn check_name(name: &str) -> Result<(), AwsError> {
    if name.starts_with("alias/aws/") {
        let message = format!("The alias name {name} is reserved for AWS managed keys");
        return Err(AwsError::new("NotAuthorizedException", message).status(400));
    }
    let rest = name.strip_prefix("alias/").unwrap_or_default();
    if rest.is_empty() {
        let message = "Alias must start with the prefix \"alias/\". Please see the documentation for aliases.";
        return Err(AwsError::new("ValidationException", message));
    }
    Ok(())
}

fn create_alias(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "AliasName").to_owned();
    check_name(&name)?;
    let id = target_key(call, input)?;
    if call.get(ALIASES, &name).is_some() {
        let message = format!("An alias with the name {} already exists", call.arn(&name));
        return Err(AwsError::new("AlreadyExistsException", message));
    }
    let of_key = call.count_of(ALIASES, |alias| text(alias, "TargetKeyId") == id);
    if of_key >= call.quota("kms_aliases_per_key") {
        return Err(AwsError::new("LimitExceededException", "The quota of aliases of this key has been reached."));
    }
    let made = alias(call, &name, &id);
    call.put(ALIASES, &name, made);
    Ok(json!({}))
}

fn target_key(call: &Call<'_>, input: &Value) -> Result<String, AwsError> {
    let given = json!({"KeyId": input["TargetKeyId"]});
    let (id, found) = key(call, &given)?;
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingImport"])?;
    Ok(id)
}

fn update_alias(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "AliasName").to_owned();
    check_name(&name)?;
    let Some(old) = call.get(ALIASES, &name) else {
        return Err(not_found(format!("Alias {} is not found.", call.arn(&name))));
    };
    let id = target_key(call, input)?;
    let fact = |key: Option<Value>| key.map(|k| (k["KeySpec"].clone(), k["KeyUsage"].clone()));
    if fact(call.get(KEYS, &id)) != fact(call.get(KEYS, text(&old, "TargetKeyId"))) {
        let message = "The current and the new key must have the same type and usage.";
        return Err(AwsError::new("ValidationException", message));
    }
    let now = call.timestamp();
    call.change(ALIASES, &name, |alias| {
        alias["TargetKeyId"] = json!(id);
        alias["LastUpdatedDate"] = now;
    });
    Ok(json!({}))
}

fn delete_alias(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "AliasName").to_owned();
    check_name(&name)?;
    if !call.remove(ALIASES, &name) {
        return Err(not_found(format!("Alias {} is not found.", call.arn(&name))));
    }
    Ok(json!({}))
}

fn list_aliases(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = match optional(input, "KeyId") {
        Some(given) => {
            key(call, input)?;
            Some(key_id(call, given)?)
        }
        None => None,
    };
    let mut aliases =
        call.select(ALIASES, |_, alias| wanted.as_deref().is_none_or(|id| text(alias, "TargetKeyId") == id));
    // An alias lives as long as its key.
    aliases.retain(|(_, alias)| call.get(KEYS, text(alias, "TargetKeyId")).is_some());
    call.paged(input, "Aliases", aliases, 50)
}
