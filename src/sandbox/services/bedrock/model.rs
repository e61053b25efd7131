//! Foundation models, from a short table of real ones, and inference profiles over them.

use serde_json::{Value, json};

use super::{new_tags, not_found, validation};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids::BASE36;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateInferenceProfile", create_inference_profile),
    ("DeleteInferenceProfile", delete_inference_profile),
    ("GetFoundationModel", get_foundation_model),
    ("GetInferenceProfile", get_inference_profile),
    ("ListFoundationModels", list_foundation_models),
    ("ListInferenceProfiles", list_inference_profiles),
];

/// Application inference profiles, by id.
pub(super) const PROFILES: &str = "inference_profiles";

/// Whether a model is called by its own id, by an inference profile, or both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    OnDemand,
    Profile,
    Both,
}

/// A model: id, name, provider, output, access, whether it can be fine-tuned.
type Model = (&'static str, &'static str, &'static str, &'static str, Access, bool);

const MODELS: &[Model] = &[
    ("amazon.nova-lite-v1:0", "Nova Lite", "Amazon", "TEXT", Access::Both, true),
    ("amazon.nova-micro-v1:0", "Nova Micro", "Amazon", "TEXT", Access::Both, true),
    ("amazon.nova-pro-v1:0", "Nova Pro", "Amazon", "TEXT", Access::Both, true),
    ("amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2", "Amazon", "EMBEDDING", Access::OnDemand, false),
    ("amazon.titan-text-express-v1", "Titan Text G1 - Express", "Amazon", "TEXT", Access::OnDemand, true),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude 3.5 Sonnet v2", "Anthropic", "TEXT", Access::Both, false),
    ("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku", "Anthropic", "TEXT", Access::Both, true),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "Anthropic", "TEXT", Access::Profile, false),
    ("anthropic.claude-sonnet-4-20250514-v1:0", "Claude Sonnet 4", "Anthropic", "TEXT", Access::Profile, false),
    ("meta.llama3-1-8b-instruct-v1:0", "Llama 3.1 8B Instruct", "Meta", "TEXT", Access::Both, true),
    ("mistral.mistral-large-2407-v1:0", "Mistral Large (24.07)", "Mistral AI", "TEXT", Access::OnDemand, false),
];

fn model(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.0 == id)
}

/// Tells whether a model can be fine-tuned.
pub(super) fn can_be_tuned(id: &str) -> bool {
    model(id).is_some_and(|model| model.5)
}

pub(super) fn model_arn(call: &Call<'_>, id: &str) -> String {
    format!("arn:{}:bedrock:{}::foundation-model/{id}", call.partition(), call.region)
}

/// The first part of system profile ids in a region.
fn geography(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("eu") => "eu",
        Some("ap") => "apac",
        _ => "us",
    }
}

/// Returns the model that an invocation's `modelId` stands for.
pub(in crate::sandbox::services) fn resolve(call: &Call<'_>, given: &str) -> Result<&'static str, AwsError> {
    let invalid = || validation("The provided model identifier is invalid.");
    let last = given.rsplit('/').next().unwrap_or(given);
    if given.contains(":application-inference-profile/") {
        let profile = call.elsewhere("bedrock", PROFILES, last).ok_or_else(invalid)?;
        let arn = text(&profile["models"][0], "modelArn").to_owned();
        let id = arn.rsplit('/').next().unwrap_or_default();
        return model(id).map(|model| model.0).ok_or_else(invalid);
    }
    let prefix = format!("{}.", geography(&call.region));
    if let Some(id) = last.strip_prefix(&prefix) {
        let found = model(id).filter(|model| model.4 != Access::OnDemand);
        return found.map(|model| model.0).ok_or_else(invalid);
    }
    let found = model(last).ok_or_else(invalid)?;
    if given.starts_with("arn:") && given != model_arn(call, last) {
        return Err(invalid());
    }
    if found.4 == Access::Profile {
        return Err(validation(format!(
            "Invocation of model ID {last} with on-demand throughput isn’t supported. Retry your request with the ID \
             or ARN of an inference profile that contains this model."
        )));
    }
    Ok(found.0)
}

fn details(call: &Call<'_>, model: &Model) -> Value {
    let (id, name, provider, output, access, tuned) = *model;
    let inference: &[&str] = match access {
        Access::OnDemand => &["ON_DEMAND"],
        Access::Profile => &["INFERENCE_PROFILE"],
        Access::Both => &["ON_DEMAND", "INFERENCE_PROFILE"],
    };
    json!({
        "modelArn": model_arn(call, id), "modelId": id, "modelName": name, "providerName": provider,
        "inputModalities": ["TEXT"], "outputModalities": [output],
        "responseStreamingSupported": output == "TEXT",
        "customizationsSupported": if tuned { json!(["FINE_TUNING"]) } else { json!([]) },
        "inferenceTypesSupported": inference,
        "modelLifecycle": {"status": "ACTIVE"},
    })
}

fn list_foundation_models(call: &mut Call<'_>, input: &Value) -> Answer {
    let has = |row: &Value, list: &str, given: &str| {
        optional(input, given).is_none_or(|wanted| row[list].as_array().is_some_and(|all| all.contains(&json!(wanted))))
    };
    let rows = MODELS.iter().map(|model| details(call, model));
    let rows: Vec<Value> = rows
        .filter(|row| {
            let by_provider = optional(input, "byProvider");
            by_provider.is_none_or(|wanted| text(row, "providerName").eq_ignore_ascii_case(wanted))
                && has(row, "customizationsSupported", "byCustomizationType")
                && has(row, "outputModalities", "byOutputModality")
                && has(row, "inferenceTypesSupported", "byInferenceType")
        })
        .collect();
    Ok(json!({"modelSummaries": rows}))
}

fn get_foundation_model(call: &mut Call<'_>, input: &Value) -> Answer {
    let given = text(input, "modelIdentifier");
    let id = given.rsplit('/').next().unwrap_or(given);
    let found = model(id).ok_or_else(|| not_found(format!("Could not find the model {given}.")))?;
    Ok(json!({"modelDetails": details(call, found)}))
}

/// The profiles that AWS has in every account.
fn system_profiles(call: &Call<'_>) -> Vec<(String, Value)> {
    let geography = geography(&call.region);
    let profile = |model: &Model| {
        let id = format!("{geography}.{}", model.0);
        let value = json!({
            "inferenceProfileName": format!("{} {}", geography.to_uppercase(), model.1),
            "inferenceProfileArn": call.arn(&format!("inference-profile/{id}")),
            "inferenceProfileId": id, "models": [{"modelArn": model_arn(call, model.0)}],
            "status": "ACTIVE", "type": "SYSTEM_DEFINED",
        });
        (id, value)
    };
    MODELS.iter().filter(|model| model.4 != Access::OnDemand).map(profile).collect()
}

fn create_inference_profile(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "clientRequestToken"), input, |call| {
        let name = text(input, "inferenceProfileName");
        let tags = new_tags(input)?;
        let source = input["modelSource"]["copyFrom"].as_str().unwrap_or_default();
        let id = source.rsplit('/').next().unwrap_or_default();
        let id = id.strip_prefix(&format!("{}.", geography(&call.region))).unwrap_or(id);
        if model(id).is_none() {
            return Err(not_found(format!("Could not find the model source {source}.")));
        }
        if call.any(PROFILES, |_, other| text(other, "inferenceProfileName") == name) {
            let message = format!("An inference profile with the name {name} already exists.");
            return Err(AwsError::new("ConflictException", message));
        }
        let key = call.letters(BASE36, 12);
        let arn = call.arn(&format!("application-inference-profile/{key}"));
        let mut profile = json!({
            "inferenceProfileName": name, "inferenceProfileArn": arn, "inferenceProfileId": key,
            "models": [{"modelArn": model_arn(call, id)}], "status": "ACTIVE", "type": "APPLICATION",
            "createdAt": call.timestamp(), "updatedAt": call.timestamp(), "tags": tags, "_arn": arn,
        });
        if let Some(description) = optional(input, "description") {
            profile["description"] = json!(description);
        }
        call.put(PROFILES, &key, profile);
        Ok(json!({"inferenceProfileArn": arn, "status": "ACTIVE"}))
    })
}

fn profile(call: &Call<'_>, given: &str) -> Result<(String, Value), AwsError> {
    let id = given.rsplit('/').next().unwrap_or(given);
    let mut all = call.list(PROFILES);
    all.extend(system_profiles(call));
    let found = all.into_iter().find(|(key, _)| key == id);
    found.ok_or_else(|| not_found(format!("The inference profile {given} was not found.")))
}

fn get_inference_profile(call: &mut Call<'_>, input: &Value) -> Answer {
    profile(call, text(input, "inferenceProfileIdentifier")).map(|(_, found)| found)
}

fn list_inference_profiles(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut rows = call.list(PROFILES);
    rows.extend(system_profiles(call));
    let wanted = optional(input, "typeEquals").unwrap_or("SYSTEM_DEFINED");
    rows.retain(|(_, row)| text(row, "type") == wanted);
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    call.paged(input, "inferenceProfileSummaries", rows, 100)
}

fn delete_inference_profile(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = profile(call, text(input, "inferenceProfileIdentifier"))?;
    if text(&found, "type") == "SYSTEM_DEFINED" {
        return Err(validation("A system-defined inference profile can't be deleted."));
    }
    call.remove(PROFILES, &id);
    Ok(json!({}))
}
