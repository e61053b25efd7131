//! Secrets: made, described, changed, tagged.

use serde_json::{Map, Value, json};

use super::replica::{self, keep};
use super::value::{self, CURRENT};
use super::{SECRETS, any, check_key, given_value, invalid, live, primary, refused, unless_replica};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids;
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault, Tags};

pub(super) const OPERATIONS: Operations = &[
    ("CreateSecret", create_secret),
    ("DescribeSecret", describe_secret),
    ("TagResource", tag_resource),
    ("UntagResource", untag_resource),
    ("UpdateSecret", update_secret),
];

fn tag_fault(fault: &TagFault) -> AwsError {
    invalid(fault.message())
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.chars().all(allowed) {
        return Ok(());
    }
    let message = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: \
                   -/_+=.@!";
    Err(AwsError::new("ValidationException", message))
}

fn create_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "Name").to_owned();
    check_name(&name)?;
    let replicas = replica::requested(call, input)?;
    let value = given_value(input)?;
    let token = optional(input, "ClientRequestToken");
    if let Some(known) = call.get(SECRETS, &name) {
        return again(&name, &known, token, value.as_ref());
    }
    check_key(call, optional(input, "KmsKeyId"))?;
    if call.count(SECRETS) >= call.quota("secrets") {
        return Err(AwsError::new("LimitExceededException", "The quota of secrets of this account has been reached."));
    }
    let given = tags::requested(input.get("Tags")).map_err(|fault| tag_fault(&fault))?;
    let bytes = call.entropy();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let arn = call.arn(&format!("secret:{name}-{}", ids::letters(&bytes, alphabet, 6)));
    let mut made = json!({
        "ARN": arn,
        "Name": name,
        "CreatedDate": call.timestamp(),
        "LastChangedDate": call.timestamp(),
        "Tags": tags::list(&given, "Key", "Value"),
        "_arn": arn,
        "_versions": {},
    });
    for member in ["Description", "KmsKeyId", "Type"] {
        if let Some(given) = optional(input, member) {
            made[member] = json!(given);
        }
    }
    let mut answer = json!({"ARN": arn, "Name": name});
    if let Some(value) = value {
        answer["VersionId"] = json!(value::put(call, &mut made, token, value, &[CURRENT])?);
    }
    if !replicas.is_empty() {
        replica::add(call, &mut made, &replicas, input["ForceOverwriteReplicaSecret"] == true);
        answer["ReplicationStatus"] = made["ReplicationStatus"].clone();
    }
    keep(call, &name, made);
    Ok(answer)
}

/// Answers a create whose name is taken: the same request again is a success.
fn again(name: &str, known: &Value, token: Option<&str>, value: Option<&(&str, String)>) -> Answer {
    if known.get("DeletedDate").is_some() {
        let message = "You can't create this secret because a secret with this name is already scheduled for deletion.";
        return Err(refused(message));
    }
    let version = token.and_then(|token| known["_versions"].get(token));
    let same = version.is_some_and(|version| value.is_some_and(|(kind, value)| version[*kind] == *value));
    if same {
        return Ok(json!({"ARN": known["ARN"], "Name": name, "VersionId": token}));
    }
    let message = format!("The operation failed because the secret {name} already exists.");
    Err(AwsError::new("ResourceExistsException", message))
}

fn describe_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, secret) = any(call, text(input, "SecretId"))?;
    Ok(described(&secret))
}

/// Adds the stages to a secret as its answers have them; versions without a stage are left out.
pub(super) fn described(secret: &Value) -> Value {
    let mut out = secret.clone();
    let versions = secret["_versions"].as_object().into_iter().flatten();
    let stages: Map<String, Value> = versions
        .filter(|(_, version)| !texts(version, "VersionStages").is_empty())
        .map(|(id, version)| (id.clone(), version["VersionStages"].clone()))
        .collect();
    if !stages.is_empty() {
        out["VersionIdsToStages"] = Value::Object(stages.clone());
        out["SecretVersionsToStages"] = Value::Object(stages);
    }
    if secret["Tags"].as_array().is_some_and(Vec::is_empty) {
        out["Tags"] = Value::Null;
    }
    out
}

fn update_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = live(call, input)?;
    let value = given_value(input)?;
    let key = optional(input, "KmsKeyId");
    let more = ["Description", "Type", "SecretString", "SecretBinary"].iter().any(|member| input.get(member).is_some());
    if let (Some(key), false, true) = (key, more, replica::is_replica(&secret)) {
        check_key(call, Some(key))?;
        replica::change_key(call, &name, &mut secret, key);
        return Ok(json!({"ARN": secret["ARN"], "Name": name}));
    }
    let (name, mut secret) = unless_replica((name, secret))?;
    check_key(call, key)?;
    for member in ["Description", "KmsKeyId", "Type"] {
        if let Some(given) = optional(input, member) {
            secret[member] = json!(given);
        }
    }
    let mut answer = json!({"ARN": secret["ARN"], "Name": name});
    secret["LastChangedDate"] = call.timestamp();
    if let Some(value) = value {
        let token = optional(input, "ClientRequestToken");
        answer["VersionId"] = json!(value::put(call, &mut secret, token, value, &[CURRENT])?);
    }
    keep(call, &name, secret);
    Ok(answer)
}

fn tag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let given = tags::requested(input.get("Tags")).map_err(|fault| tag_fault(&fault))?;
    let merged = tags::merge(tags::of(&secret), given).map_err(|fault| tag_fault(&fault))?;
    tags::set(&mut secret, &merged);
    keep(call, &name, secret);
    Ok(json!({}))
}

fn untag_resource(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let keys = texts(input, "TagKeys");
    let kept: Tags = tags::of(&secret).into_iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect();
    tags::set(&mut secret, &kept);
    keep(call, &name, secret);
    Ok(json!({}))
}
