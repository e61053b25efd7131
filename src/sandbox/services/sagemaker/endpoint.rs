//! Endpoints: created, updated with rollback, and deleted over time.
//!
//! A container fails its health check when its environment has `SANDBOX_FAIL`, so that failed deployments can
//! be rehearsed; AWS has no such variable.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{arn, endpoint_config, exists_already, listed, missing, model, new_tags, validation};
use crate::sandbox::call::{Call, Transition, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::quota::ENDPOINT_INSTANCES;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateEndpoint", create_endpoint),
    ("DeleteEndpoint", delete_endpoint),
    ("DescribeEndpoint", describe_endpoint),
    ("ListEndpoints", list_endpoints),
    ("UpdateEndpoint", update_endpoint),
    ("UpdateEndpointWeightsAndCapacities", update_weights),
];

pub(in crate::sandbox::services) const ENDPOINTS: &str = "endpoints";
/// Seconds that a deployment, a rollback, and a deletion take.
const DEPLOYMENT_S: f64 = 240.0;
const ROLLBACK_S: f64 = 60.0;
const DELETION_S: f64 = 30.0;

fn endpoint(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    call.get(ENDPOINTS, name).ok_or_else(|| missing("endpoint", &arn(call, "endpoint", name)))
}

/// Returns the variants as DescribeEndpoint shows them, once deployed.
fn deployed(call: &Call<'_>, config: &Value) -> Value {
    let row = |variant: &Value| {
        let weight = &variant["InitialVariantWeight"];
        let found = call.get(model::MODELS, text(variant, "ModelName")).unwrap_or_default();
        let image = &found["PrimaryContainer"]["Image"];
        let mut row = json!({"VariantName": variant["VariantName"], "CurrentWeight": weight, "DesiredWeight": weight});
        if let Some(serverless) = variant.get("ServerlessConfig") {
            row["CurrentServerlessConfig"] = serverless.clone();
        } else {
            let count = variant.get("InitialInstanceCount").cloned().unwrap_or(json!(1));
            row["CurrentInstanceCount"] = count.clone();
            row["DesiredInstanceCount"] = count;
        }
        if image.is_string() {
            let at = call.timestamp();
            row["DeployedImages"] = json!([{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": at}]);
        }
        row
    };
    config["ProductionVariants"].as_array().into_iter().flatten().map(row).collect()
}

/// Returns why a configuration can't come up, if so.
fn failure(call: &Call<'_>, config: &Value) -> Option<String> {
    for variant in config["ProductionVariants"].as_array().into_iter().flatten() {
        let name = text(variant, "VariantName");
        let Some(found) = call.get(model::MODELS, text(variant, "ModelName")) else {
            return Some(format!("The model of production variant {name} was deleted."));
        };
        let several = found["Containers"].as_array().cloned().unwrap_or_default();
        let fails = |container: &Value| container["Environment"].get("SANDBOX_FAIL").is_some();
        if fails(&found["PrimaryContainer"]) || several.iter().any(fails) {
            return Some(format!(
                "The primary container for production variant {name} did not pass the ping health check. Please \
                 check CloudWatch logs for this endpoint."
            ));
        }
    }
    None
}

/// Counts the instances of each type that a configuration asks for.
fn instances(config: &Value) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for list in ["ProductionVariants", "ShadowProductionVariants"] {
        for variant in config[list].as_array().into_iter().flatten() {
            if let Some(kind) = variant["InstanceType"].as_str() {
                *out.entry(kind.to_owned()).or_default() += variant["InitialInstanceCount"].as_u64().unwrap_or(1);
            }
        }
    }
    out
}

/// Refuses what the account may not have for endpoints, type by type.
fn check_quotas(call: &Call<'_>, config: &Value) -> Result<(), AwsError> {
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    for (_, other) in call.list(ENDPOINTS) {
        let other = call.get(endpoint_config::CONFIGS, text(&other, "EndpointConfigName")).unwrap_or_default();
        for (kind, count) in instances(&other) {
            *used.entry(kind).or_default() += count;
        }
    }
    for (kind, wanted) in instances(config) {
        let most = u64::try_from(call.quota(&format!("{ENDPOINT_INSTANCES}{kind}"))).unwrap_or(u64::MAX);
        let now = used.get(&kind).copied().unwrap_or_default();
        if now.saturating_add(wanted) > most {
            let message = format!(
                "The account-level service limit '{kind} for endpoint usage' is {most} Instances, with current \
                 utilization of {now} Instances and a request delta of {wanted} Instances."
            );
            return Err(AwsError::new("ResourceLimitExceeded", message));
        }
    }
    Ok(())
}

fn create_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, wanted) = (text(input, "EndpointName"), text(input, "EndpointConfigName"));
    let config = endpoint_config::config(call, wanted)?;
    let tags = new_tags(input)?;
    let arn = arn(call, "endpoint", name);
    if call.get(ENDPOINTS, name).is_some() {
        return Err(exists_already("endpoint", &arn));
    }
    check_quotas(call, &config)?;
    let mut made = json!({
        "EndpointName": name, "EndpointArn": arn, "EndpointConfigName": wanted, "EndpointStatus": "Creating",
        "CreationTime": call.timestamp(), "LastModifiedTime": call.timestamp(), "Tags": tags, "_arn": arn,
    });
    for member in ["AsyncInferenceConfig", "ExplainerConfig"] {
        if let Some(value) = config.get(member) {
            made[member] = value.clone();
        }
    }
    if let Some(capture) = config.get("DataCaptureConfig") {
        made["DataCaptureConfig"] = json!({
            "EnableCapture": capture["EnableCapture"] != false, "CaptureStatus": "Started",
            "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
            "DestinationS3Uri": capture["DestinationS3Uri"],
            "KmsKeyId": capture.get("KmsKeyId").cloned().unwrap_or(json!("")),
        });
    }
    let done = call.now() + DEPLOYMENT_S;
    let end = match failure(call, &config) {
        Some(reason) => json!({"EndpointStatus": "Failed", "FailureReason": reason, "LastModifiedTime": done}),
        None => json!({
            "EndpointStatus": "InService", "ProductionVariants": deployed(call, &config), "LastModifiedTime": done,
        }),
    };
    Transition::from(call.now()).then(DEPLOYMENT_S, end).attach(&mut made);
    call.put(ENDPOINTS, name, made);
    Ok(json!({"EndpointArn": arn}))
}

/// Refuses a change while another runs, as SageMaker words it for updates and deletions alike.
fn idle(found: &Value) -> Result<(), AwsError> {
    let busy = ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"];
    if busy.contains(&text(found, "EndpointStatus")) {
        return Err(validation(format!("Cannot update in-progress endpoint \"{}\".", text(found, "EndpointArn"))));
    }
    Ok(())
}

fn update_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, wanted) = (text(input, "EndpointName"), text(input, "EndpointConfigName"));
    let found = endpoint(call, name)?;
    let config = endpoint_config::config(call, wanted)?;
    idle(&found)?;
    if text(&found, "EndpointStatus") == "Failed" {
        return Err(validation(format!(
            "Cannot update endpoint \"{}\" in status Failed.",
            text(&found, "EndpointArn")
        )));
    }
    let done = call.now() + DEPLOYMENT_S;
    let start = Transition::from(call.now());
    let timeline = match failure(call, &config) {
        None => {
            let mut variants = deployed(call, &config);
            if input["RetainAllVariantProperties"] == true {
                retain(&mut variants, &found["ProductionVariants"]);
            }
            start.then(
                DEPLOYMENT_S,
                json!({
                    "EndpointStatus": "InService", "EndpointConfigName": wanted, "ProductionVariants": variants,
                    "LastModifiedTime": done, "PendingDeploymentSummary": null, "FailureReason": null,
                }),
            )
        }
        // What fails goes back to the configuration before, and is in service again.
        Some(reason) => start.then(DEPLOYMENT_S, json!({"EndpointStatus": "RollingBack"})).then(
            ROLLBACK_S,
            json!({
                "EndpointStatus": "InService", "FailureReason": reason, "LastModifiedTime": done + ROLLBACK_S,
                "PendingDeploymentSummary": null,
            }),
        ),
    };
    let (now, deployment) = (call.timestamp(), input.get("DeploymentConfig").cloned());
    call.change(ENDPOINTS, name, |found| {
        found["EndpointStatus"] = json!("Updating");
        found["LastModifiedTime"] = now.clone();
        found["PendingDeploymentSummary"] = json!({"EndpointConfigName": wanted, "StartTime": now});
        if let Some(deployment) = deployment {
            found["LastDeploymentConfig"] = deployment;
        }
        timeline.attach(found);
    });
    Ok(json!({"EndpointArn": found["EndpointArn"]}))
}

/// Keeps weights and instance counts of the variants that stay.
fn retain(variants: &mut Value, before: &Value) {
    for variant in variants.as_array_mut().into_iter().flatten() {
        let mut all = before.as_array().into_iter().flatten();
        let Some(old) = all.find(|old| old["VariantName"] == variant["VariantName"]) else { continue };
        for member in ["CurrentWeight", "DesiredWeight", "CurrentInstanceCount", "DesiredInstanceCount"] {
            if let Some(value) = old.get(member) {
                variant[member] = value.clone();
            }
        }
    }
}

fn update_weights(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "EndpointName");
    let found = endpoint(call, name)?;
    idle(&found)?;
    let mut variants = found["ProductionVariants"].clone();
    for wanted in input["DesiredWeightsAndCapacities"].as_array().into_iter().flatten() {
        let mut all = variants.as_array_mut().into_iter().flatten();
        let Some(variant) = all.find(|variant| variant["VariantName"] == wanted["VariantName"]) else {
            return Err(validation(format!("The variant {} does not exist.", text(wanted, "VariantName"))));
        };
        for (from, to) in [("DesiredWeight", "Weight"), ("DesiredInstanceCount", "InstanceCount")] {
            if let Some(value) = wanted.get(from) {
                variant[format!("Desired{to}")] = value.clone();
                variant[format!("Current{to}")] = value.clone();
            }
        }
    }
    let now = call.now();
    call.change(ENDPOINTS, name, |found| {
        found["EndpointStatus"] = json!("Updating");
        let end = json!({"EndpointStatus": "InService", "ProductionVariants": variants});
        Transition::from(now).then(ROLLBACK_S, end).attach(found);
    });
    Ok(json!({"EndpointArn": found["EndpointArn"]}))
}

fn describe_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    endpoint(call, text(input, "EndpointName"))
}

fn list_endpoints(call: &mut Call<'_>, input: &Value) -> Answer {
    let members = &["EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"];
    listed(call, input, (ENDPOINTS, "Endpoints"), ("EndpointName", "EndpointStatus"), members, true)
}

fn delete_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "EndpointName");
    let found = endpoint(call, name)?;
    idle(&found)?;
    let now = call.now();
    call.change(ENDPOINTS, name, |found| {
        found["EndpointStatus"] = json!("Deleting");
        Transition::from(now).gone(DELETION_S).attach(found);
    });
    Ok(json!({}))
}
