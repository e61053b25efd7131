//! Guardrails: a draft that can be changed, and numbered versions that can't.

use serde_json::{Map, Value, json};

use super::{new_tags, not_found, validation};
use crate::sandbox::call::{Call, Transition, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids::BASE36;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateGuardrail", create_guardrail),
    ("CreateGuardrailVersion", create_guardrail_version),
    ("DeleteGuardrail", delete_guardrail),
    ("GetGuardrail", get_guardrail),
    ("ListGuardrails", list_guardrails),
    ("UpdateGuardrail", update_guardrail),
];

pub(super) const GUARDRAILS: &str = "guardrails";
/// The versions, by guardrail id and number.
const VERSIONS: &str = "guardrail_versions";
const VERSIONS_MAX: usize = 20;
/// Seconds until a new, a changed and a deleted guardrail, or a new version, has settled.
const SETTLING_S: f64 = 4.0;

/// A policy in requests, the same in answers, and its lists: the name in a request and in an answer.
type Policy = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const POLICIES: &[Policy] = &[
    ("topicPolicyConfig", "topicPolicy", &[("topicsConfig", "topics"), ("tierConfig", "tier")]),
    ("contentPolicyConfig", "contentPolicy", &[("filtersConfig", "filters"), ("tierConfig", "tier")]),
    ("wordPolicyConfig", "wordPolicy", &[("wordsConfig", "words"), ("managedWordListsConfig", "managedWordLists")]),
    (
        "sensitiveInformationPolicyConfig",
        "sensitiveInformationPolicy",
        &[("piiEntitiesConfig", "piiEntities"), ("regexesConfig", "regexes")],
    ),
    ("contextualGroundingPolicyConfig", "contextualGroundingPolicy", &[("filtersConfig", "filters")]),
];

fn missing(id: &str) -> AwsError {
    not_found(format!("The guardrail {id} was not found."))
}

fn version_key(id: &str, number: u64) -> String {
    format!("{id}/{number:08}")
}

/// Finds a guardrail's draft by id or ARN.
fn draft(call: &Call<'_>, identifier: &str) -> Result<(String, Value), AwsError> {
    let prefix = call.arn("guardrail/");
    let id = identifier.strip_prefix(&prefix).unwrap_or(identifier);
    call.get(GUARDRAILS, id).map(|found| (id.to_owned(), found)).ok_or_else(|| missing(identifier))
}

/// Finds a guardrail at a version, for an invocation; only a settled one can be used.
pub(in crate::sandbox::services) fn at_version(
    call: &Call<'_>,
    identifier: &str,
    version: &str,
) -> Result<Value, AwsError> {
    let (id, found) = draft(call, identifier)?;
    if version == "DRAFT" {
        return Ok(found);
    }
    let number = version.parse().map_err(|_| validation(format!("Version {version} is not valid.")))?;
    call.get(VERSIONS, &version_key(&id, number)).ok_or_else(|| missing(identifier))
}

/// Brings the configuration of a request into the shape of answers.
fn configuration(call: &Call<'_>, input: &Value) -> Result<Map<String, Value>, AwsError> {
    let mut out = Map::new();
    for name in ["name", "description", "blockedInputMessaging", "blockedOutputsMessaging"] {
        if let Some(value) = input.get(name) {
            out.insert(name.to_owned(), value.clone());
        }
    }
    for (given, answered, lists) in POLICIES {
        let Some(policy) = input.get(*given) else { continue };
        let mut made = Map::new();
        for (from, to) in *lists {
            if let Some(value) = policy.get(*from) {
                made.insert((*to).to_owned(), value.clone());
            }
        }
        out.insert((*answered).to_owned(), Value::Object(made));
    }
    if !POLICIES.iter().any(|(_, answered, _)| out.contains_key(*answered)) {
        return Err(validation("At least one policy has to be configured in the guardrail."));
    }
    if let Some(profile) = input["crossRegionConfig"]["guardrailProfileIdentifier"].as_str() {
        let id = profile.rsplit('/').next().unwrap_or(profile);
        let arn = call.arn(&format!("guardrail-profile/{id}"));
        out.insert("crossRegionDetails".to_owned(), json!({"guardrailProfileId": id, "guardrailProfileArn": arn}));
    }
    check(&out)?;
    if let Some(key) = optional(input, "kmsKeyId") {
        out.insert("kmsKeyArn".to_owned(), json!(kms_key(call, key)?));
    }
    Ok(out)
}

fn check(configuration: &Map<String, Value>) -> Result<(), AwsError> {
    let list = |policy: &str, name: &str| {
        let found = configuration.get(policy).and_then(|policy| policy[name].as_array());
        found.cloned().unwrap_or_default()
    };
    let filters = list("contentPolicy", "filters");
    for filter in &filters {
        if filter["type"] == "PROMPT_ATTACK" && filter["outputStrength"] != "NONE" {
            return Err(validation("The output strength of the PROMPT_ATTACK filter must be NONE."));
        }
    }
    let unique = |items: &[Value], member: &str, what: &str| {
        let mut seen = std::collections::BTreeSet::new();
        match items.iter().find(|item| !seen.insert(item[member].to_string())) {
            Some(item) => Err(validation(format!("The {what} {} is configured more than once.", item[member]))),
            None => Ok(()),
        }
    };
    unique(&filters, "type", "content filter")?;
    unique(&list("topicPolicy", "topics"), "name", "topic")?;
    unique(&list("sensitiveInformationPolicy", "piiEntities"), "type", "PII entity")?;
    unique(&list("sensitiveInformationPolicy", "regexes"), "name", "regex")?;
    for pattern in list("sensitiveInformationPolicy", "regexes") {
        let expression = text(&pattern, "pattern");
        if regex::Regex::new(expression).is_err() {
            return Err(validation(format!("The regex pattern {expression} is not valid.")));
        }
    }
    let standard =
        |policy: &str| configuration.get(policy).is_some_and(|policy| policy["tier"]["tierName"] == "STANDARD");
    let crosses = configuration.contains_key("crossRegionDetails");
    if (standard("contentPolicy") || standard("topicPolicy")) && !crosses {
        return Err(validation("The STANDARD tier needs a cross-region configuration."));
    }
    Ok(())
}

fn kms_key(call: &Call<'_>, given: &str) -> Result<String, AwsError> {
    let id = given.rsplit('/').next().unwrap_or(given);
    let key = call.elsewhere("kms", "keys", id);
    let found = key.and_then(|key| key["Arn"].as_str().or(key["_arn"].as_str()).map(str::to_owned));
    found.ok_or_else(|| validation(format!("The KMS key {given} does not exist or can't be used.")))
}

fn create_guardrail(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "clientRequestToken"), input, |call| {
        let mut guardrail = Value::Object(configuration(call, input)?);
        let tags = new_tags(input)?;
        let name = text(input, "name");
        if call.any(GUARDRAILS, |_, other| text(other, "name") == name) {
            let message = "Another guardrail in your account already has this name. Update the name and try again.";
            return Err(AwsError::new("ConflictException", message));
        }
        if call.count(GUARDRAILS) >= call.quota("guardrails") {
            let message = "You have reached the limit of guardrails of this account.";
            return Err(AwsError::new("ServiceQuotaExceededException", message));
        }
        let id = call.letters(BASE36, 12);
        let arn = call.arn(&format!("guardrail/{id}"));
        guardrail["guardrailId"] = json!(id);
        guardrail["guardrailArn"] = json!(arn);
        guardrail["_arn"] = json!(arn);
        guardrail["version"] = json!("DRAFT");
        guardrail["status"] = json!("CREATING");
        guardrail["createdAt"] = call.timestamp();
        guardrail["updatedAt"] = call.timestamp();
        guardrail["tags"] = tags;
        guardrail["_versions"] = json!(0);
        Transition::from(call.now()).then(SETTLING_S, json!({"status": "READY"})).attach(&mut guardrail);
        call.put(GUARDRAILS, &id, guardrail);
        Ok(json!({"guardrailId": id, "guardrailArn": arn, "version": "DRAFT", "createdAt": call.timestamp()}))
    })
}

/// Refuses a change while another is not settled.
fn settled(found: &Value) -> Result<(), AwsError> {
    let status = text(found, "status");
    if status == "READY" || status == "FAILED" {
        return Ok(());
    }
    let message = format!("The guardrail is in status {status} and can't be changed now.");
    Err(AwsError::new("ConflictException", message))
}

fn update_guardrail(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = draft(call, text(input, "guardrailIdentifier"))?;
    let configured = configuration(call, input)?;
    settled(&found)?;
    let name = text(input, "name");
    if call.any(GUARDRAILS, |other, value| other != id && text(value, "name") == name) {
        let message = "Another guardrail in your account already has this name. Update the name and try again.";
        return Err(AwsError::new("ConflictException", message));
    }
    let mut guardrail = Value::Object(configured);
    for kept in ["guardrailId", "guardrailArn", "_arn", "version", "createdAt", "tags", "_versions"] {
        guardrail[kept] = found[kept].clone();
    }
    guardrail["status"] = json!("UPDATING");
    guardrail["updatedAt"] = call.timestamp();
    Transition::from(call.now()).then(SETTLING_S, json!({"status": "READY"})).attach(&mut guardrail);
    call.put(GUARDRAILS, &id, guardrail);
    let arn = &found["guardrailArn"];
    Ok(json!({"guardrailId": id, "guardrailArn": arn, "version": "DRAFT", "updatedAt": call.timestamp()}))
}

fn create_guardrail_version(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "clientRequestToken"), input, |call| {
        let (id, found) = draft(call, text(input, "guardrailIdentifier"))?;
        settled(&found)?;
        let held = versions(call, &id).len();
        if held >= VERSIONS_MAX {
            let message = "You have reached the limit of versions of this guardrail.";
            return Err(AwsError::new("ServiceQuotaExceededException", message));
        }
        let number = found["_versions"].as_u64().unwrap_or_default() + 1;
        let mut version = found;
        if let Some(members) = version.as_object_mut() {
            // Tags are the guardrail's, and only it is found by them.
            for private in ["tags", "_arn", "_versions"] {
                members.shift_remove(private);
            }
        }
        version["version"] = json!(number.to_string());
        version["status"] = json!("CREATING");
        version["createdAt"] = call.timestamp();
        version["updatedAt"] = call.timestamp();
        if let Some(description) = optional(input, "description") {
            version["description"] = json!(description);
        }
        Transition::from(call.now()).then(SETTLING_S, json!({"status": "READY"})).attach(&mut version);
        call.put(VERSIONS, &version_key(&id, number), version);
        call.change(GUARDRAILS, &id, |found| found["_versions"] = json!(number));
        Ok(json!({"guardrailId": id, "version": number.to_string()}))
    })
}

fn versions(call: &Call<'_>, id: &str) -> Vec<(String, Value)> {
    let prefix = format!("{id}/");
    call.select(VERSIONS, |key, _| key.starts_with(&prefix))
}

fn get_guardrail(call: &mut Call<'_>, input: &Value) -> Answer {
    at_version(call, text(input, "guardrailIdentifier"), optional(input, "guardrailVersion").unwrap_or("DRAFT"))
}

fn summary(found: &Value) -> Value {
    let mut out = json!({"id": found["guardrailId"], "arn": found["guardrailArn"]});
    for name in ["status", "name", "description", "version", "createdAt", "updatedAt", "crossRegionDetails"] {
        if let Some(value) = found.get(name) {
            out[name] = value.clone();
        }
    }
    out
}

fn list_guardrails(call: &mut Call<'_>, input: &Value) -> Answer {
    let rows = match optional(input, "guardrailIdentifier") {
        None => call.list(GUARDRAILS),
        Some(identifier) => {
            let (id, found) = draft(call, identifier)?;
            let mut rows = vec![(format!("{id}/"), found)];
            rows.extend(versions(call, &id));
            rows
        }
    };
    let rows = rows.into_iter().map(|(key, found)| (key, summary(&found))).collect();
    call.paged(input, "guardrails", rows, 100)
}

fn delete_guardrail(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = draft(call, text(input, "guardrailIdentifier"))?;
    if let Some(version) = optional(input, "guardrailVersion") {
        let number = version.parse().map_err(|_| validation(format!("Version {version} is not valid.")))?;
        if !call.remove(VERSIONS, &version_key(&id, number)) {
            return Err(missing(&id));
        }
        return Ok(json!({}));
    }
    settled(&found)?;
    for (key, _) in versions(call, &id) {
        call.remove(VERSIONS, &key);
    }
    let now = call.now();
    call.change(GUARDRAILS, &id, |found| {
        found["status"] = json!("DELETING");
        Transition::from(now).gone(SETTLING_S).attach(found);
    });
    Ok(json!({}))
}
