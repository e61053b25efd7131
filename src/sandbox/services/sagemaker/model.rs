//! Models: made and deleted, never changed.

use serde_json::{Value, json};

use super::{arn, check_role, copied, exists_already, listed, missing, new_tags, validation};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateModel", create_model),
    ("DeleteModel", delete_model),
    ("DescribeModel", describe_model),
    ("ListModels", list_models),
];

pub(super) const MODELS: &str = "models";

/// Returns a model by its name.
pub(super) fn model(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    call.get(MODELS, name).ok_or_else(|| missing("model", &arn(call, "model", name)))
}

fn create_model(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "ModelName");
    let given = ["PrimaryContainer", "Containers"].map(|member| input.get(member).is_some());
    if given == [true, true] {
        return Err(validation("You can't specify both PrimaryContainer and Containers."));
    }
    if given == [false, false] {
        return Err(validation("Either PrimaryContainer or Containers has to be specified."));
    }
    if input.get("ExecutionRoleArn").is_none() {
        return Err(validation("ExecutionRoleArn has to be specified."));
    }
    let mut made = copied(
        input,
        &["ModelName", "PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig"],
    );
    let mut containers: Vec<&mut Value> = match made.get_mut("PrimaryContainer") {
        Some(_) => Vec::from([&mut made["PrimaryContainer"]]),
        None => made["Containers"].as_array_mut().into_iter().flatten().collect(),
    };
    for container in &mut containers {
        if container.get("Image").is_none() && container.get("ModelPackageName").is_none() {
            return Err(validation("A container needs an Image or a ModelPackageName."));
        }
        let sources = container["AdditionalModelDataSources"].as_array().into_iter().flatten();
        let channels: Vec<&str> = sources.map(|source| text(source, "ChannelName")).collect();
        if channels.iter().enumerate().any(|(index, channel)| channels[..index].contains(channel)) {
            return Err(validation("The channel names of AdditionalModelDataSources must be unique."));
        }
        complete(container);
    }
    let tags = new_tags(input)?;
    let arn = arn(call, "model", name);
    check_role(call, text(input, "ExecutionRoleArn"), &arn)?;
    if call.get(MODELS, name).is_some() {
        return Err(exists_already("model", &arn));
    }
    made["ModelArn"] = json!(arn);
    made["EnableNetworkIsolation"] = json!(input["EnableNetworkIsolation"] == true);
    made["CreationTime"] = call.timestamp();
    made["Tags"] = tags;
    made["_arn"] = json!(arn);
    call.put(MODELS, name, made);
    Ok(json!({"ModelArn": arn}))
}

/// Adds what DescribeModel shows of a container without it having been said.
fn complete(container: &mut Value) {
    if container.get("Mode").is_none() {
        container["Mode"] = json!("SingleModel");
    }
    if container.get("Environment").is_none() {
        container["Environment"] = json!({});
    }
    if let Some(url) = container.get("ModelDataUrl").cloned() {
        let kind = if container["Mode"] == "MultiModel" { "S3Prefix" } else { "S3Object" };
        container["ModelDataSource"] = json!({
            "S3DataSource": {"S3Uri": url, "S3DataType": kind, "CompressionType": "Gzip"}
        });
    }
}

fn describe_model(call: &mut Call<'_>, input: &Value) -> Answer {
    model(call, text(input, "ModelName"))
}

fn list_models(call: &mut Call<'_>, input: &Value) -> Answer {
    let members = &["ModelName", "ModelArn", "CreationTime"];
    listed(call, input, (MODELS, "Models"), ("ModelName", ""), members, true)
}

fn delete_model(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "ModelName");
    model(call, name)?;
    call.remove(MODELS, name);
    Ok(json!({}))
}
