//! Encryption: a bucket's default, and what a request asks for.
//!
//! Bytes are stored as they are; what an encryption changes for a client (headers, entity tags, refusals) is
//! simulated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::{Bucket, bucket, change, denied, fault, invalid, malformed_xml, refused};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::keys::{self, KeyFault};

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketEncryption", delete_bucket_encryption),
    ("GetBucketEncryption", get_bucket_encryption),
    ("PutBucketEncryption", put_bucket_encryption),
];

/// Returns the encryption that a new bucket has.
pub(super) fn default_of_new() -> Value {
    json!({"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": false,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }]})
}

fn get_bucket_encryption(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"ServerSideEncryptionConfiguration": found.value["_encryption"]}))
}

fn put_bucket_encryption(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let rules = input["ServerSideEncryptionConfiguration"]["Rules"].as_array().cloned().unwrap_or_default();
    let [rule] = rules.as_slice() else { return Err(malformed_xml()) };
    let default = &rule["ApplyServerSideEncryptionByDefault"];
    let algorithm = optional(default, "SSEAlgorithm").unwrap_or("AES256");
    let key = optional(default, "KMSMasterKeyID");
    if algorithm == "AES256" && key.is_some() {
        let message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse";
        return Err(invalid(message));
    }
    let mut kept = json!({"SSEAlgorithm": algorithm});
    if let Some(key) = key {
        kept["KMSMasterKeyID"] = json!(key);
    }
    let before = &found.value["_encryption"]["Rules"][0]["BlockedEncryptionTypes"];
    let blocked = rule.get("BlockedEncryptionTypes").unwrap_or(before).clone();
    let rule = json!({
        "ApplyServerSideEncryptionByDefault": kept,
        "BucketKeyEnabled": rule["BucketKeyEnabled"] == true,
        "BlockedEncryptionTypes": blocked,
    });
    change(call, &found, |bucket| bucket["_encryption"] = json!({"Rules": [rule]}));
    Ok(json!({}))
}

fn delete_bucket_encryption(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_encryption"] = default_of_new());
    Ok(json!({}))
}

/// Works out how a new object is encrypted: the members that its answers have.
pub(super) fn of_new(call: &Call<'_>, bucket: &Bucket, input: &Value) -> Result<Map<String, Value>, AwsError> {
    let rule = &bucket.value["_encryption"]["Rules"][0];
    if let Some(own) = customer_key(input)? {
        let blocked = rule["BlockedEncryptionTypes"]["EncryptionType"].as_array();
        if blocked.is_some_and(|types| types.contains(&json!("SSE-C"))) {
            return Err(denied());
        }
        return Ok(own);
    }
    let default = &rule["ApplyServerSideEncryptionByDefault"];
    let asked = optional(input, "ServerSideEncryption");
    let algorithm = asked.unwrap_or_else(|| text(default, "SSEAlgorithm"));
    let mut out = Map::from_iter([("ServerSideEncryption".to_owned(), json!(algorithm))]);
    let given = optional(input, "SSEKMSKeyId");
    if algorithm == "AES256" {
        if given.is_some() {
            let message = "Server Side Encryption with AWS KMS managed key requires HTTP header \
                           x-amz-server-side-encryption : aws:kms";
            return Err(invalid(message));
        }
        return Ok(out);
    }
    let of_default = optional(default, "KMSMasterKeyID").filter(|_| text(default, "SSEAlgorithm") == algorithm);
    let arn = match given.or(of_default) {
        Some(key) => usable_key(call, key)?,
        None => keys::managed(call, "alias/aws/s3"),
    };
    out.insert("SSEKMSKeyId".to_owned(), json!(arn));
    if let Some(context) = optional(input, "SSEKMSEncryptionContext") {
        out.insert("SSEKMSEncryptionContext".to_owned(), json!(context));
    }
    let bucket_key = input.get("BucketKeyEnabled").unwrap_or(&rule["BucketKeyEnabled"]) == true;
    if bucket_key && algorithm == "aws:kms" {
        out.insert("BucketKeyEnabled".to_owned(), json!(true));
    }
    Ok(out)
}

/// Finds a KMS key that an object is to be encrypted or was encrypted with.
pub(super) fn usable_key(call: &Call<'_>, key: &str) -> Result<String, AwsError> {
    keys::usable(call, key).map_err(|error| match error {
        KeyFault::Missing => fault("KMS.NotFoundException", 400, &format!("Key '{key}' does not exist")),
        KeyFault::State(state) if state == "Disabled" => {
            fault("KMS.DisabledException", 400, &format!("{key} is disabled."))
        }
        KeyFault::State(state) => {
            let message = format!("{key} is {state}.");
            fault("KMS.KMSInvalidStateException", 400, &message)
        }
        KeyFault::Unfit => {
            fault("KMS.InvalidKeyUsageException", 400, &format!("{key} key usage is not valid for this operation."))
        }
    })
}

/// Reads a key that the client sends along (SSE-C); its MD5 stands for it.
fn customer_key(input: &Value) -> Result<Option<Map<String, Value>>, AwsError> {
    let Some(algorithm) = optional(input, "SSECustomerAlgorithm") else { return Ok(None) };
    let given = text(input, "SSECustomerKeyMD5");
    let key = STANDARD.decode(text(input, "SSECustomerKey")).unwrap_or_default();
    if algorithm != "AES256" {
        return Err(fault(
            "InvalidEncryptionAlgorithmError",
            400,
            "The encryption request you specified is not valid.",
        ));
    }
    if key.len() != 32 || STANDARD.encode(Md5::digest(&key)) != given {
        return Err(invalid("The secret key was invalid for the specified algorithm, or its MD5 does not match."));
    }
    Ok(Some(Map::from_iter([
        ("SSECustomerAlgorithm".to_owned(), json!(algorithm)),
        ("SSECustomerKeyMD5".to_owned(), json!(given)),
    ])))
}

/// Checks that a request may read an object: with the key it was written with, or a key of KMS that is usable.
pub(super) fn check_read(call: &Call<'_>, version: &Value, input: &Value) -> Result<(), AwsError> {
    let stored = optional(version, "SSECustomerKeyMD5");
    let given = customer_key(input)?;
    match (stored, given) {
        (None, None) => {}
        (None, Some(_)) => {
            let message = "The encryption parameters are not applicable to this object.";
            return Err(refused(message));
        }
        (Some(_), None) => {
            let message = "The object was stored using a form of Server Side Encryption. The correct parameters must be \
                           provided to retrieve the object.";
            return Err(refused(message));
        }
        (Some(stored), Some(given)) if given["SSECustomerKeyMD5"] == stored => {}
        (Some(_), Some(_)) => return Err(denied()),
    }
    match optional(version, "SSEKMSKeyId") {
        Some(key) if key != keys::managed(call, "alias/aws/s3") => usable_key(call, key).map(|_| ()),
        _ => Ok(()),
    }
}
