//! What an operation needs: its IAM actions and the ARNs they are asked on, by the table in `actions.json`.
//!
//! The table holds what differs from `service:Operation`; nothing about a service's actions is written in code
//! but how a name becomes the ARN of what it names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::services::iam::at_home;
use crate::sandbox::services::kms::sealed_by;

/// The table of `actions.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The prefix of a service's actions, where it is not the service's name.
    prefixes: BTreeMap<String, String>,
    /// Operations that need no permission, or whose handler asks for itself.
    open: Vec<String>,
    /// The actions of operations that are not called as they are, by service.
    actions: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The action in place of another where the request names a version.
    versioned: BTreeMap<String, String>,
    /// Operations that are asked on each of several resources.
    every: BTreeMap<String, Vec<String>>,
    /// The forms of a service's ARNs; the first that a request can fill is taken.
    resources: BTreeMap<String, Vec<String>>,
    /// The service that gets a role which a request passes, by service or operation.
    pub(super) passes: BTreeMap<String, String>,
    /// The members that hold the ARN of a passed role.
    pub(super) passing_members: Vec<String>,
    /// The type of an EC2 resource by the prefix of its id.
    ec2_types: BTreeMap<String, String>,
    /// What an EC2 operation makes.
    ec2_makes: BTreeMap<String, Vec<String>>,
}

/// Returns the table.
pub(super) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        serde_json::from_str(include_str!("actions.json")).expect("internal error: the table of actions is valid")
    });
    &TABLE
}

/// Returns what must be allowed before an operation runs, as actions with their resources.
pub(super) fn needs(call: &Call<'_>, input: &Value) -> Vec<(String, String)> {
    let (service, operation) = (call.service.name, call.operation.name.as_str());
    let named = format!("{service}:{operation}");
    let table = table();
    if table.open.contains(&named) {
        return Vec::new();
    }
    let prefix = table.prefixes.get(service).map_or(service, String::as_str);
    let resources = if service == "ec2" { ec2_resources(call, input) } else { resources(call, input, &named) };
    let own = vec![operation.to_owned()];
    let names = table.actions.get(service).and_then(|known| known.get(operation)).unwrap_or(&own);
    let version = text(input, "VersionId");
    let mut needs = Vec::new();
    for name in names {
        let action = format!("{prefix}:{name}");
        let action = table.versioned.get(&action).filter(|_| !version.is_empty()).unwrap_or(&action);
        needs.extend(resources.iter().map(|resource| (action.clone(), resource.clone())));
    }
    needs.extend(further(call, input, &named));
    needs
}

/// Returns what few operations need besides.
fn further(call: &Call<'_>, input: &Value, named: &str) -> Vec<(String, String)> {
    match named {
        "s3:CopyObject" | "s3:UploadPartCopy" => {
            let source = percent_encoding::percent_decode_str(text(input, "CopySource")).decode_utf8_lossy();
            let source = source.split("?versionId=").next().unwrap_or_default().trim_start_matches('/').to_owned();
            vec![("s3:GetObject".to_owned(), format!("arn:{}:s3:::{source}", call.partition()))]
        }
        "kms:ReEncrypt" => {
            let source = fill(call, input, "{key:SourceKeyId}").or_else(|| fill(call, input, "{key:CiphertextBlob}"));
            vec![("kms:ReEncryptFrom".to_owned(), source.unwrap_or_else(|| "*".to_owned()))]
        }
        "secretsmanager:BatchGetSecretValue" => texts(input, "SecretIdList")
            .into_iter()
            .map(|id| ("secretsmanager:GetSecretValue".to_owned(), secret(call, id)))
            .collect(),
        "secretsmanager:CreateSecret" if input.get("AddReplicaRegions").is_some() => resources(call, input, named)
            .into_iter()
            .map(|resource| ("secretsmanager:ReplicateSecretToRegions".to_owned(), resource))
            .collect(),
        _ if call.service.name == "ec2" && has_tags(input) => {
            let makes = table().ec2_makes.get(call.operation.name.as_str()).into_iter().flatten();
            makes.map(|kind| ("ec2:CreateTags".to_owned(), format!("{}:{kind}/*", base(call)))).collect()
        }
        _ => Vec::new(),
    }
}

fn has_tags(input: &Value) -> bool {
    let member = input.get("TagSpecifications").or(input.get("TagSpecification")).and_then(Value::as_array);
    member.is_some_and(|specifications| !specifications.is_empty())
}

fn base(call: &Call<'_>) -> String {
    let arn = call.arn("");
    arn.trim_end_matches(':').to_owned()
}

fn resources(call: &Call<'_>, input: &Value, named: &str) -> Vec<String> {
    let table = table();
    let everything = || vec!["*".to_owned()];
    if let Some(forms) = table.every.get(named) {
        let all: Vec<String> = forms.iter().filter_map(|form| fill(call, input, form)).collect();
        return if all.is_empty() { everything() } else { all };
    }
    let forms = table.resources.get(call.service.name).into_iter().flatten();
    forms.filter_map(|form| fill(call, input, form)).next().map_or_else(everything, |one| vec![one])
}

/// Fills a form such as `{arn}:model/{lower:ModelName}`; none if the request lacks a member.
fn fill(call: &Call<'_>, input: &Value, form: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = form;
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}')?;
        out.push_str(&rest[..start]);
        out.push_str(&part(call, input, &rest[start + 1..end])?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

fn part(call: &Call<'_>, input: &Value, name: &str) -> Option<String> {
    match name {
        "partition" => return Some(call.partition().to_owned()),
        "arn" => return Some(base(call)),
        "global-arn" => {
            return Some(format!("arn:{}:{}::{}", call.partition(), call.service.arn_name, call.account));
        }
        "path:Path" => return Some(input.get("Path").and_then(Value::as_str).unwrap_or("/").to_owned()),
        _ => {}
    }
    let (kind, member) = name.split_once(':').unwrap_or(("", name));
    let found = member.split('.').try_fold(input, |value, member| value.get(member))?;
    let given = found.as_str().filter(|given| !given.is_empty())?;
    let within = |kind: &str| format!("{}:{kind}/{given}", base(call));
    let whole = given.starts_with("arn:");
    Some(match kind {
        "lower" => given.to_ascii_lowercase(),
        "key" => key(call, given)?,
        "secret" => secret(call, given),
        "role" => entity(call, "roles", "role", given, input),
        "user" => entity(call, "users", "user", given, input),
        "instance-profile" => entity(call, "instance_profiles", "instance-profile", given, input),
        _ if whole => given.to_owned(),
        "trail" => within("trail"),
        "guardrail" => within("guardrail"),
        // A profile of several regions is named like a model with a region's prefix.
        "model" if given.split('.').count() > 2 => within("inference-profile"),
        "model" => format!("arn:{}:bedrock:{}::foundation-model/{given}", call.partition(), call.region),
        _ => given.to_owned(),
    })
}

/// Returns the ARN of an IAM entity with its path, be it there or still to be made.
fn entity(call: &Call<'_>, collection: &str, kind: &str, name: &str, input: &Value) -> String {
    let known = call.get_at(&at_home(call), collection, name).map(|found| text(&found, "Arn").to_owned());
    let path = input.get("Path").and_then(Value::as_str).unwrap_or("/");
    known
        .filter(|arn| !arn.is_empty())
        .unwrap_or_else(|| format!("arn:{}:iam::{}:{kind}{path}{name}", call.partition(), call.account))
}

/// Returns the ARN of a key named by id, ARN, alias or a text that it has encrypted.
fn key(call: &Call<'_>, given: &str) -> Option<String> {
    if let Some(alias) = given.rsplit_once(":alias/").map(|(_, name)| name).or(given.strip_prefix("alias/")) {
        let found = call.get("aliases", &format!("alias/{alias}"));
        let id = found.map(|found| text(&found, "TargetKeyId").to_owned());
        return id.map(|id| call.arn(&format!("key/{id}")));
    }
    if given.starts_with("arn:") {
        return Some(given.to_owned());
    }
    let id = sealed_by(given).unwrap_or_else(|| given.to_owned());
    Some(call.arn(&format!("key/{id}")))
}

/// Returns the ARN of a secret; one that is missing is named as AWS does, with six characters left open.
fn secret(call: &Call<'_>, given: &str) -> String {
    if given.starts_with("arn:") {
        return given.to_owned();
    }
    let known = call.get("secrets", given).map(|found| text(&found, "ARN").to_owned());
    known.unwrap_or_else(|| call.arn(&format!("secret:{given}")))
}

/// Returns what an EC2 call makes and every resource that it names; what only describes has none.
fn ec2_resources(call: &Call<'_>, input: &Value) -> Vec<String> {
    let operation = call.operation.name.as_str();
    let mut out = Vec::new();
    if !operation.starts_with("Describe") && !operation.starts_with("Get") {
        let makes = table().ec2_makes.get(operation).into_iter().flatten();
        out.extend(makes.map(|kind| format!("{}:{kind}/*", base(call))));
        named_in(call, input, &mut out);
    }
    if out.is_empty() {
        out.push("*".to_owned());
    }
    out
}

fn named_in(call: &Call<'_>, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| named_in(call, value, out)),
        Value::Array(items) => items.iter().for_each(|value| named_in(call, value, out)),
        Value::String(id) => {
            let Some((prefix, number)) = id.split_once('-') else { return };
            let Some(kind) = table().ec2_types.get(prefix) else { return };
            if number.len() < 8 || !number.bytes().all(|b| b.is_ascii_hexdigit()) {
                return;
            }
            // An image is named without its owner.
            let owner = if prefix == "ami" { "" } else { call.account.as_str() };
            let arn = format!("arn:{}:ec2:{}:{owner}:{kind}/{id}", call.partition(), call.region);
            if !out.contains(&arn) {
                out.push(arn);
            }
        }
        _ => {}
    }
}

/// Returns the roles that a request passes to a service, each with the service's name.
pub(super) fn passed(call: &Call<'_>, input: &Value) -> Vec<(String, &'static str)> {
    let (service, operation) = (call.service.name, call.operation.name.as_str());
    let table = table();
    let to = table.passes.get(&format!("{service}:{operation}")).or_else(|| table.passes.get(service));
    let Some(to) = to else { return Vec::new() };
    let mut roles = Vec::new();
    if service != "iam" {
        passed_in(input, &mut roles);
    } else if operation == "AddRoleToInstanceProfile" {
        roles.push(entity(call, "roles", "role", text(input, "RoleName"), input));
    }
    if operation == "RunInstances" {
        roles.extend(profile_roles(call, &input["IamInstanceProfile"]));
    }
    roles.into_iter().map(|role| (role, to.as_str())).collect()
}

fn passed_in(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(arn) if table().passing_members.contains(name) && !out.iter().any(|it| it == arn) => {
                        out.push(arn.to_owned());
                    }
                    _ => passed_in(value, out),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|value| passed_in(value, out)),
        _ => {}
    }
}

fn profile_roles(call: &Call<'_>, named: &Value) -> Vec<String> {
    let name = match text(named, "Name") {
        "" => text(named, "Arn").rsplit('/').next().unwrap_or_default(),
        name => name,
    };
    let Some(profile) = call.get_at(&at_home(call), "instance_profiles", name) else { return Vec::new() };
    let role = optional(&profile, "_role");
    role.map(|role| entity(call, "roles", "role", role, &Value::Null)).into_iter().collect()
}
