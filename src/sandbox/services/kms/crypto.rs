//! Encryption and data keys: reversible ciphertexts, bound to key and encryption context.
//!
//! Key material is derived from the seed and the key's ARN, so a saved world decrypts after a reload. The
//! cipher is a keystream of HMAC-SHA-256 blocks with an HMAC over nonce, context and text (encrypt, then
//! MAC). It protects nothing: the seed is not secret.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{KEYS, in_state, key_or_alias};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::{from_base64, to_base64};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("Decrypt", decrypt),
    ("Encrypt", encrypt),
    ("GenerateDataKey", generate_data_key),
    ("GenerateDataKeyWithoutPlaintext", generate_data_key_without_plaintext),
    ("GenerateRandom", generate_random),
    ("ReEncrypt", re_encrypt),
];

/// Opens every ciphertext of the sandbox.
const MAGIC: &[u8] = b"OSX1";
const NONCE: usize = 16;
const TAG: usize = 32;

fn invalid() -> AwsError {
    AwsError::new("InvalidCiphertextException", "")
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("internal error: HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn apply_keystream(secret: &[u8], nonce: &[u8], data: &mut [u8]) {
    for (index, block) in data.chunks_mut(32).enumerate() {
        let stream = mac(secret, &[b"stream", nonce, &(index as u64).to_be_bytes()]);
        block.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
}

/// Returns the encryption context in one canonical form.
fn context(input: &Value, member: &str) -> Vec<u8> {
    let mut context = input.get(member).cloned().unwrap_or_else(|| json!({}));
    context.sort_all_objects();
    context.to_string().into_bytes()
}

fn secret(call: &Call<'_>, id: &str) -> [u8; 32] {
    call.derived(&format!("material/{}", super::key_arn(call, id)))
}

fn seal(call: &mut Call<'_>, id: &str, context: &[u8], plain: &[u8]) -> String {
    let nonce = call.entropy();
    let nonce = &nonce[..NONCE];
    let secret = secret(call, id);
    let mut data = plain.to_vec();
    apply_keystream(&secret, nonce, &mut data);
    let tag = mac(&secret, &[b"tag", nonce, context, &data]);
    let mut out = MAGIC.to_vec();
    out.push(id.len() as u8);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(nonce);
    out.extend_from_slice(&tag);
    out.extend_from_slice(&data);
    to_base64(&out)
}

/// Returns the id of the key that made a ciphertext, without opening it.
pub(crate) fn sealed_by(blob: &str) -> Option<String> {
    let bytes = from_base64(blob)?;
    let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first()?;
    String::from_utf8(rest.get(..usize::from(*length))?.to_vec()).ok()
}

/// Opens a ciphertext; answers its key's id and the text.
fn open(call: &Call<'_>, blob: &str, context: &[u8]) -> Result<(String, Vec<u8>), AwsError> {
    let bytes = from_base64(blob).ok_or_else(invalid)?;
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(invalid)?;
    let (length, rest) = rest.split_first().ok_or_else(invalid)?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(invalid)?;
    let (nonce, rest) = rest.split_at_checked(NONCE).ok_or_else(invalid)?;
    let (tag, data) = rest.split_at_checked(TAG).ok_or_else(invalid)?;
    let id = std::str::from_utf8(id).map_err(|_| invalid())?.to_owned();
    let secret = secret(call, &id);
    if mac(&secret, &[b"tag", nonce, context, data]) != *tag {
        return Err(invalid());
    }
    let mut data = data.to_vec();
    apply_keystream(&secret, nonce, &mut data);
    Ok((id, data))
}

/// Returns a key that may encrypt or decrypt now.
fn usable(call: &mut Call<'_>, given: &str) -> Result<(String, Value), AwsError> {
    let (id, key) = key_or_alias(call, given)?;
    fit(call, &id, &key)?;
    Ok((id, key))
}

fn fit(call: &Call<'_>, id: &str, key: &Value) -> Result<(), AwsError> {
    in_state(call, id, key, &["Enabled"])?;
    let arn = super::key_arn(call, id);
    if text(key, "KeyUsage") != "ENCRYPT_DECRYPT" {
        let message = format!("{arn} key usage is {} which is not valid for this operation.", text(key, "KeyUsage"));
        return Err(AwsError::new("InvalidKeyUsageException", message));
    }
    if text(key, "KeySpec") != "SYMMETRIC_DEFAULT" {
        let message = format!("the sandbox does not encrypt with {}", text(key, "KeySpec"));
        return Err(AwsError::new("NotImplementedBySandbox", message));
    }
    Ok(())
}

fn dry(input: &Value) -> Result<(), AwsError> {
    if input["DryRun"] == true {
        let message = "The request would have succeeded, but the DryRun option is set.";
        return Err(AwsError::new("DryRunOperationException", message));
    }
    Ok(())
}

fn encrypt(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, key) = usable(call, text(input, "KeyId"))?;
    dry(input)?;
    let plain = from_base64(text(input, "Plaintext")).unwrap_or_default();
    let blob = seal(call, &id, &context(input, "EncryptionContext"), &plain);
    Ok(json!({"CiphertextBlob": blob, "KeyId": key["Arn"], "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
}

/// Opens the ciphertext of a request; a key it names must be the one that made it.
fn opened(
    call: &mut Call<'_>,
    input: &Value,
    key_member: &str,
    context_member: &str,
) -> Result<(Value, Vec<u8>), AwsError> {
    let named = match optional(input, key_member) {
        Some(given) => Some(usable(call, given)?.0),
        None => None,
    };
    let (id, plain) = open(call, text(input, "CiphertextBlob"), &context(input, context_member))?;
    if named.is_some_and(|named| named != id) {
        let message = "The key ID in the request does not identify a CMK that can perform this operation.";
        return Err(AwsError::new("IncorrectKeyException", message));
    }
    let key = call
        .get(KEYS, &id)
        .ok_or_else(|| super::not_found(format!("Key '{}' does not exist", super::key_arn(call, &id))))?;
    fit(call, &id, &key)?;
    Ok((key, plain))
}

fn decrypt(call: &mut Call<'_>, input: &Value) -> Answer {
    let (key, plain) = opened(call, input, "KeyId", "EncryptionContext")?;
    dry(input)?;
    Ok(json!({"KeyId": key["Arn"], "Plaintext": to_base64(&plain), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
}

fn re_encrypt(call: &mut Call<'_>, input: &Value) -> Answer {
    let (source, plain) = opened(call, input, "SourceKeyId", "SourceEncryptionContext")?;
    let (id, key) = usable(call, text(input, "DestinationKeyId"))?;
    dry(input)?;
    let blob = seal(call, &id, &context(input, "DestinationEncryptionContext"), &plain);
    Ok(json!({
        "CiphertextBlob": blob,
        "SourceKeyId": source["Arn"],
        "KeyId": key["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

fn random(call: &mut Call<'_>, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count + 32);
    while out.len() < count {
        out.extend_from_slice(&call.entropy());
    }
    out.truncate(count);
    out
}

fn data_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let size = match (input["NumberOfBytes"].as_u64(), optional(input, "KeySpec")) {
        (Some(count), None) => usize::try_from(count).unwrap_or(1024),
        (None, Some("AES_128")) => 16,
        (None, Some(_)) => 32,
        _ => {
            let message = "Please specify either number of bytes or key spec.";
            return Err(AwsError::new("ValidationException", message));
        }
    };
    let (id, key) = usable(call, text(input, "KeyId"))?;
    dry(input)?;
    let plain = random(call, size);
    let blob = seal(call, &id, &context(input, "EncryptionContext"), &plain);
    Ok(json!({"CiphertextBlob": blob, "Plaintext": to_base64(&plain), "KeyId": key["Arn"]}))
}

fn generate_data_key(call: &mut Call<'_>, input: &Value) -> Answer {
    data_key(call, input)
}

fn generate_data_key_without_plaintext(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut input = input.clone();
    // Unlike its sibling, this operation has a default size.
    if input.get("NumberOfBytes").is_none() && input.get("KeySpec").is_none() {
        input["KeySpec"] = json!("AES_256");
    }
    // The answer's shape has no plaintext member, so it does not leave.
    data_key(call, &input)
}

fn generate_random(call: &mut Call<'_>, input: &Value) -> Answer {
    let count = input["NumberOfBytes"].as_u64().and_then(|n| usize::try_from(n).ok());
    let Some(count) = count else {
        return Err(AwsError::new("ValidationException", "Number of bytes not set."));
    };
    let bytes = random(call, count);
    Ok(json!({"Plaintext": to_base64(&bytes)}))
}
