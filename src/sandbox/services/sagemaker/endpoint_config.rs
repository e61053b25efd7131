//! Endpoint configurations: made and deleted, never changed.
//!
//! As with AWS, one that an endpoint runs on can be deleted, which breaks the endpoint's later updates.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{arn, copied, exists_already, listed, missing, model, new_tags, validation};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateEndpointConfig", create_endpoint_config),
    ("DeleteEndpointConfig", delete_endpoint_config),
    ("DescribeEndpointConfig", describe_endpoint_config),
    ("ListEndpointConfigs", list_endpoint_configs),
];

pub(super) const CONFIGS: &str = "endpoint_configs";

/// Families with disks of their own, for which a volume key is refused.
const LOCAL_DISK: &[&str] = &[
    "ml.p4d", "ml.p4de", "ml.p5", "ml.p5e", "ml.p5en", "ml.g4dn", "ml.g5", "ml.g6", "ml.g6e", "ml.m5d", "ml.c5d",
    "ml.r5d", "ml.trn1",
];

/// Returns a configuration by its name.
pub(super) fn config(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    let absent = || missing("endpoint configuration", &arn(call, "endpoint-config", name));
    call.get(CONFIGS, name).ok_or_else(absent)
}

fn check_variants(call: &Call<'_>, input: &Value) -> Result<(), AwsError> {
    let mut names = BTreeSet::new();
    for list in ["ProductionVariants", "ShadowProductionVariants"] {
        for variant in input[list].as_array().into_iter().flatten() {
            let name = text(variant, "VariantName");
            if !names.insert(name) {
                return Err(validation(format!("Duplicate variant name {name}.")));
            }
            let kind = optional(variant, "InstanceType");
            if kind.is_some() == variant.get("ServerlessConfig").is_some() {
                return Err(validation(format!(
                    "Either InstanceType or ServerlessConfig has to be specified for variant {name}."
                )));
            }
            let family = kind.and_then(|kind| kind.rsplit_once('.')).map(|(family, _)| family);
            if input.get("KmsKeyId").is_some() && family.is_some_and(|family| LOCAL_DISK.contains(&family)) {
                let kind = kind.unwrap_or_default();
                return Err(validation(format!(
                    "KmsKeyId can't be specified for instance type {kind}, which has local instance storage."
                )));
            }
            if let Some(named) = optional(variant, "ModelName") {
                model::model(call, named)?;
            } else if input.get("ExecutionRoleArn").is_none() {
                return Err(validation(format!("ModelName has to be specified for variant {name}.")));
            }
        }
    }
    Ok(())
}

fn create_endpoint_config(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "EndpointConfigName");
    let tags = new_tags(input)?;
    check_variants(call, input)?;
    let arn = arn(call, "endpoint-config", name);
    if call.get(CONFIGS, name).is_some() {
        return Err(exists_already("endpoint configuration", &arn));
    }
    let mut made = copied(
        input,
        &[
            "EndpointConfigName",
            "ProductionVariants",
            "ShadowProductionVariants",
            "DataCaptureConfig",
            "KmsKeyId",
            "AsyncInferenceConfig",
            "ExplainerConfig",
            "ExecutionRoleArn",
            "VpcConfig",
        ],
    );
    for list in ["ProductionVariants", "ShadowProductionVariants"] {
        for variant in made.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if variant.get("InitialVariantWeight").is_none() {
                variant["InitialVariantWeight"] = json!(1.0);
            }
        }
    }
    made["EnableNetworkIsolation"] = json!(input["EnableNetworkIsolation"] == true);
    made["EndpointConfigArn"] = json!(arn);
    made["CreationTime"] = call.timestamp();
    made["Tags"] = tags;
    made["_arn"] = json!(arn);
    call.put(CONFIGS, name, made);
    Ok(json!({"EndpointConfigArn": arn}))
}

fn describe_endpoint_config(call: &mut Call<'_>, input: &Value) -> Answer {
    config(call, text(input, "EndpointConfigName"))
}

fn list_endpoint_configs(call: &mut Call<'_>, input: &Value) -> Answer {
    let members = &["EndpointConfigName", "EndpointConfigArn", "CreationTime"];
    listed(call, input, (CONFIGS, "EndpointConfigs"), ("EndpointConfigName", ""), members, true)
}

fn delete_endpoint_config(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "EndpointConfigName");
    config(call, name)?;
    call.remove(CONFIGS, name);
    Ok(json!({}))
}
