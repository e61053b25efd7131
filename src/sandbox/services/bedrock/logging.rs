//! The log of model invocations: one configuration for an account and region.

use serde_json::{Value, json};

use super::validation;
use crate::sandbox::call::Call;
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteModelInvocationLoggingConfiguration", delete),
    ("GetModelInvocationLoggingConfiguration", get),
    ("PutModelInvocationLoggingConfiguration", put),
];

/// The collection with the one configuration, and its id there.
pub(in crate::sandbox::services) const CONFIGURATION: (&str, &str) = ("invocation_logging", "configuration");
const FLAGS: [&str; 5] = [
    "textDataDeliveryEnabled",
    "imageDataDeliveryEnabled",
    "embeddingDataDeliveryEnabled",
    "videoDataDeliveryEnabled",
    "audioDataDeliveryEnabled",
];

fn put(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut config = input["loggingConfig"].clone();
    if config.get("cloudWatchConfig").is_none() && config.get("s3Config").is_none() {
        return Err(validation("Either a CloudWatch or an S3 destination has to be configured."));
    }
    for flag in FLAGS {
        if config.get(flag).is_none() {
            config[flag] = json!(true);
        }
    }
    call.put(CONFIGURATION.0, CONFIGURATION.1, json!({"loggingConfig": config}));
    Ok(json!({}))
}

fn get(call: &mut Call<'_>, _: &Value) -> Answer {
    Ok(call.get(CONFIGURATION.0, CONFIGURATION.1).unwrap_or_else(|| json!({})))
}

fn delete(call: &mut Call<'_>, _: &Value) -> Answer {
    call.remove(CONFIGURATION.0, CONFIGURATION.1);
    Ok(json!({}))
}
