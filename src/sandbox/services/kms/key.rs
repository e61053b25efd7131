//! Keys: create, describe, list, enable, disable, deletion with its waiting window.

use serde_json::{Value, json};

use super::{KEYS, customer_managed, in_state, key, key_arn, key_or_alias, policy};
use crate::sandbox::call::{Call, Transition, optional, settle, text};
use crate::sandbox::codec::time;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations = &[
    ("CancelKeyDeletion", cancel_key_deletion),
    ("CreateKey", create_key),
    ("DescribeKey", describe_key),
    ("DisableKey", disable_key),
    ("EnableKey", enable_key),
    ("ListKeys", list_keys),
    ("ScheduleKeyDeletion", schedule_key_deletion),
    ("UpdateKeyDescription", update_key_description),
];

const DAY_S: f64 = 86_400.0;

fn create_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let spec = optional(input, "KeySpec").or_else(|| optional(input, "CustomerMasterKeySpec"));
    let spec = spec.unwrap_or("SYMMETRIC_DEFAULT");
    let usage = usage(spec, optional(input, "KeyUsage"))?;
    let origin = optional(input, "Origin").unwrap_or("AWS_KMS");
    if matches!(origin, "AWS_CLOUDHSM" | "EXTERNAL_KEY_STORE") {
        return Err(AwsError::new("UnsupportedOperationException", format!("the sandbox has no origin {origin}")));
    }
    let bypass = input["BypassPolicyLockoutSafetyCheck"] == true;
    let policy = match optional(input, "Policy") {
        Some(text) => {
            policy::check(call, text, bypass)?;
            text.to_owned()
        }
        None => policy::default(call),
    };
    let tags = super::tagging::requested(input)?;
    if call.count(KEYS) >= call.quota("kms_keys") {
        return Err(AwsError::new("LimitExceededException", "The quota of KMS keys of this account has been reached."));
    }
    let multi_region = input["MultiRegion"] == true;
    let id = if multi_region { format!("mrk-{}", call.uuid().replace('-', "")) } else { call.uuid() };
    let mut made = new_key(call, &id, spec, usage, "CUSTOMER");
    made["Origin"] = json!(origin);
    made["Description"] = json!(text(input, "Description"));
    made["MultiRegion"] = json!(multi_region);
    if multi_region {
        made["MultiRegionConfiguration"] = json!({
            "MultiRegionKeyType": "PRIMARY",
            "PrimaryKey": {"Arn": made["Arn"], "Region": call.region},
            "ReplicaKeys": [],
        });
    }
    if origin == "EXTERNAL" {
        made["KeyState"] = json!("PendingImport");
        made["Enabled"] = json!(false);
    }
    made["_policy"] = json!(policy);
    made["Tags"] = tags::list(&tags, "TagKey", "TagValue");
    made["_arn"] = made["Arn"].clone();
    call.put(KEYS, &id, made.clone());
    Ok(json!({"KeyMetadata": made}))
}

/// Makes the metadata of a new key.
pub(super) fn new_key(call: &Call<'_>, id: &str, spec: &str, usage: &str, manager: &str) -> Value {
    let mut made = json!({
        "AWSAccountId": call.account,
        "KeyId": id,
        "Arn": key_arn(call, id),
        "CreationDate": call.timestamp(),
        "Enabled": true,
        "Description": "",
        "KeyUsage": usage,
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": manager,
        "CustomerMasterKeySpec": spec,
        "KeySpec": spec,
        "MultiRegion": false,
        "Tags": [],
    });
    let algorithms = match (spec, usage) {
        ("SYMMETRIC_DEFAULT", _) => ("EncryptionAlgorithms", json!(["SYMMETRIC_DEFAULT"])),
        ("SM2", "ENCRYPT_DECRYPT") => ("EncryptionAlgorithms", json!(["SM2PKE"])),
        (_, "ENCRYPT_DECRYPT") => ("EncryptionAlgorithms", json!(["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])),
        ("HMAC_224", _) => ("MacAlgorithms", json!(["HMAC_SHA_224"])),
        ("HMAC_256", _) => ("MacAlgorithms", json!(["HMAC_SHA_256"])),
        ("HMAC_384", _) => ("MacAlgorithms", json!(["HMAC_SHA_384"])),
        ("HMAC_512", _) => ("MacAlgorithms", json!(["HMAC_SHA_512"])),
        (_, "KEY_AGREEMENT") => ("KeyAgreementAlgorithms", json!(["ECDH"])),
        ("ECC_NIST_P384", _) => ("SigningAlgorithms", json!(["ECDSA_SHA_384"])),
        ("ECC_NIST_P521", _) => ("SigningAlgorithms", json!(["ECDSA_SHA_512"])),
        (spec, _) if spec.starts_with("ECC_NIST_P256") || spec.starts_with("ECC_SECG") => {
            ("SigningAlgorithms", json!(["ECDSA_SHA_256"]))
        }
        (spec, _) if spec.starts_with("RSA_") => (
            "SigningAlgorithms",
            json!([
                "RSASSA_PKCS1_V1_5_SHA_256",
                "RSASSA_PKCS1_V1_5_SHA_384",
                "RSASSA_PKCS1_V1_5_SHA_512",
                "RSASSA_PSS_SHA_256",
                "RSASSA_PSS_SHA_384",
                "RSASSA_PSS_SHA_512",
            ]),
        ),
        _ => ("SigningAlgorithms", json!([])),
    };
    made[algorithms.0] = algorithms.1;
    made
}

/// Returns the usage of a key, which only symmetric encryption keys may leave out.
fn usage<'v>(spec: &str, given: Option<&'v str>) -> Result<&'v str, AwsError> {
    let allowed: &[&str] = match spec {
        "SYMMETRIC_DEFAULT" => &["ENCRYPT_DECRYPT"],
        spec if spec.starts_with("HMAC_") => &["GENERATE_VERIFY_MAC"],
        spec if spec.starts_with("RSA_") => &["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
        "SM2" => &["ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"],
        spec if spec.starts_with("ECC_NIST_P") => &["SIGN_VERIFY", "KEY_AGREEMENT"],
        _ => &["SIGN_VERIFY"],
    };
    match given {
        None if spec == "SYMMETRIC_DEFAULT" => Ok("ENCRYPT_DECRYPT"),
        None => Err(AwsError::new("ValidationException", "You must specify a KeyUsage value for this KeySpec.")),
        Some(usage) if allowed.contains(&usage) => Ok(usage),
        Some(usage) => {
            let message = format!("KeyUsage {usage} is not compatible with KeySpec {spec}");
            Err(AwsError::new("ValidationException", message))
        }
    }
}

fn describe_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, key) = key_or_alias(call, text(input, "KeyId"))?;
    Ok(json!({"KeyMetadata": key}))
}

fn list_keys(call: &mut Call<'_>, input: &Value) -> Answer {
    let keys = call.list(KEYS).into_iter();
    let keys = keys.map(|(id, key)| (id.clone(), json!({"KeyId": id, "KeyArn": key["Arn"]})));
    call.paged(input, "Keys", keys.collect(), 100)
}

fn update_key_description(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingImport"])?;
    let description = text(input, "Description").to_owned();
    call.change(KEYS, &id, |key| key["Description"] = json!(description));
    Ok(json!({}))
}

fn enable_key(call: &mut Call<'_>, input: &Value) -> Answer {
    switch(call, input, "Enabled")
}

fn disable_key(call: &mut Call<'_>, input: &Value) -> Answer {
    switch(call, input, "Disabled")
}

fn switch(call: &mut Call<'_>, input: &Value, state: &str) -> Answer {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    in_state(call, &id, &found, &["Enabled", "Disabled"])?;
    call.change(KEYS, &id, |key| {
        key["KeyState"] = json!(state);
        key["Enabled"] = json!(state == "Enabled");
    });
    Ok(json!({}))
}

fn schedule_key_deletion(call: &mut Call<'_>, input: &Value) -> Answer {
    let days = input["PendingWindowInDays"].as_i64().unwrap_or(30);
    if !(7..=30).contains(&days) {
        let message = "PendingWindowInDays must be between 7 and 30";
        return Err(AwsError::new("ValidationException", message));
    }
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingImport"])?;
    let window = days as f64 * DAY_S;
    let (now, end) = (call.now(), time::value(call.now() + window));
    call.change(KEYS, &id, |key| {
        key["KeyState"] = json!("PendingDeletion");
        key["Enabled"] = json!(false);
        key["DeletionDate"] = end.clone();
        Transition::from(now).gone(window).attach(key);
    });
    Ok(json!({
        "KeyId": found["Arn"],
        "DeletionDate": end,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

fn cancel_key_deletion(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    if text(&found, "KeyState") != "PendingDeletion" {
        let message = format!("{} is not pending deletion.", text(&found, "Arn"));
        return Err(AwsError::new("KMSInvalidStateException", message));
    }
    call.change(KEYS, &id, |key| {
        settle(key);
        key["KeyState"] = json!("Disabled");
        if let Some(members) = key.as_object_mut() {
            members.shift_remove("DeletionDate");
        }
    });
    Ok(json!({"KeyId": found["Arn"]}))
}
