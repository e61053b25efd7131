//! SageMaker's runtime: endpoints that are in service answer with what they were asked, and who asked.
//!
//! No model runs here: the answer is a JSON object made of the request, the same each time.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Operations;
use super::sagemaker::ENDPOINTS;
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::{from_base64, to_base64};
use crate::sandbox::error::{Answer, AwsError};

pub(super) const OPERATIONS: Operations = &[("InvokeEndpoint", invoke_endpoint)];

/// Bytes of a request; the API's limit.
const BODY_MAX: usize = 25 * 1024 * 1024;

fn invoke_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "EndpointName");
    let found = call.get(ENDPOINTS, name).filter(|found| text(found, "EndpointStatus") != "Deleting");
    let found = found.ok_or_else(|| {
        AwsError::new("ValidationError", format!("Endpoint {name} of account {} not found.", call.account))
    })?;
    let variants = found["ProductionVariants"].as_array().cloned().unwrap_or_default();
    if variants.is_empty() {
        let message = format!("Endpoint {name} of account {} not found.", call.account);
        return Err(AwsError::new("ValidationError", message));
    }
    let variant = match optional(input, "TargetVariant") {
        None => variants.first().cloned().unwrap_or_default(),
        Some(wanted) => {
            let found = variants.into_iter().find(|variant| text(variant, "VariantName") == wanted);
            found.ok_or_else(|| {
                AwsError::new("ValidationError", format!("Variant {wanted} not found for endpoint {name}."))
            })?
        }
    };
    let body = match input.get("Body").and_then(Value::as_str) {
        Some(encoded) => from_base64(encoded).unwrap_or_default(),
        None => call.body.to_vec(),
    };
    if body.len() > BODY_MAX {
        return Err(AwsError::new("ValidationError", format!("The request is longer than {BODY_MAX} bytes.")));
    }
    let digest = hex::encode(&Sha256::digest(&body)[..8]);
    let answer = json!({
        "endpoint": name, "variant": variant["VariantName"], "bytes": body.len(), "sha256": digest,
        "predictions": [u32::from(body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)))],
    });
    let bytes = answer.to_string().into_bytes();
    call.reply_body = Some(bytes.clone().into());
    Ok(json!({
        "Body": to_base64(&bytes), "ContentType": "application/json",
        "InvokedProductionVariant": variant["VariantName"],
    }))
}
