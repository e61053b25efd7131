//! The condition keys of a request: those that all services have, and the common ones of each.
//!
//! A key that is not here is absent, as one that AWS does not put in is.

use serde_json::Value;

use super::Principal;
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::codec::time;
use crate::sandbox::iam_eval::Context;
use crate::sandbox::tags::{self, Tags};

/// Members of requests that are condition keys under another name.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("s3", "Prefix", "s3:prefix"),
    ("s3", "Delimiter", "s3:delimiter"),
    ("s3", "MaxKeys", "s3:max-keys"),
    ("s3", "VersionId", "s3:VersionId"),
    ("s3", "ACL", "s3:x-amz-acl"),
    ("s3", "ServerSideEncryption", "s3:x-amz-server-side-encryption"),
    ("s3", "SSEKMSKeyId", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
    ("iam", "PolicyArn", "iam:PolicyARN"),
    ("iam", "PermissionsBoundary", "iam:PermissionsBoundary"),
    ("iam", "AWSServiceName", "iam:AWSServiceName"),
    ("kms", "GranteePrincipal", "kms:GranteePrincipal"),
    ("kms", "KeySpec", "kms:KeySpec"),
    ("secretsmanager", "SecretId", "secretsmanager:SecretId"),
    ("secretsmanager", "Name", "secretsmanager:Name"),
    ("secretsmanager", "KmsKeyId", "secretsmanager:KmsKeyId"),
    ("secretsmanager", "VersionStage", "secretsmanager:VersionStage"),
    ("ec2", "InstanceType", "ec2:InstanceType"),
    ("bedrock-runtime", "guardrailIdentifier", "bedrock:GuardrailIdentifier"),
];

/// Returns the context in which an action on a resource is asked for.
pub(super) fn of(call: &Call<'_>, principal: &Principal, input: &Value, resource: &str) -> Context {
    let mut context = Context::new();
    let mut put = |key: &str, value: String| {
        context.insert(key.to_ascii_lowercase(), vec![value]);
    };
    let caller = &principal.caller;
    put("aws:PrincipalArn", caller.role.clone().unwrap_or_else(|| caller.arn.clone()));
    put("aws:PrincipalAccount", caller.account.clone());
    put("aws:userid", call.user_id.clone());
    put("aws:PrincipalType", if caller.role.is_some() { "AssumedRole" } else { "User" }.to_owned());
    if let Some(name) = &principal.user {
        put("aws:username", name.clone());
    }
    if call.access_key.starts_with("ASIA") {
        put("aws:MultiFactorAuthPresent", "false".to_owned());
    }
    // Every client is local, and taken to have come by TLS.
    put("aws:SourceIp", "127.0.0.1".to_owned());
    put("aws:SecureTransport", "true".to_owned());
    put("aws:CurrentTime", time::iso(call.now()));
    put("aws:EpochTime", format!("{:.0}", call.now()));
    put("aws:RequestedRegion", call.region.clone());
    if let Some(agent) = call.headers.get("user-agent").and_then(|agent| agent.to_str().ok()) {
        put("aws:UserAgent", agent.to_owned());
    }
    for (service, member, key) in MEMBERS {
        let value = input.get(*member).filter(|_| *service == call.service.name);
        match value {
            Some(Value::String(value)) => put(key, value.clone()),
            Some(Value::Number(value)) => put(key, value.to_string()),
            _ => {}
        }
    }
    special(call, input, &mut put);
    with_tags(&mut context, "aws:PrincipalTag", &principal.tags);
    let requested = requested_tags(input);
    with_tags(&mut context, "aws:RequestTag", &requested);
    let mut keys: Vec<String> = requested.keys().cloned().collect();
    keys.extend(texts(input, "TagKeys").into_iter().map(str::to_owned));
    if !keys.is_empty() {
        context.insert("aws:tagkeys".to_owned(), keys);
    }
    if let Some((_, _, _, found)) = call.tagged().into_iter().find(|(_, _, _, value)| value["_arn"] == resource) {
        let kept = tags::of(&found);
        with_tags(&mut context, "aws:ResourceTag", &kept);
        with_tags(&mut context, &format!("{}:ResourceTag", call.service.name), &kept);
    }
    context
}

/// Puts in the keys whose values are not members as they are.
fn special(call: &Call<'_>, input: &Value, put: &mut impl FnMut(&str, String)) {
    match call.service.name {
        "ec2" => {
            put("ec2:Region", call.region.clone());
            if input.get("TagSpecifications").is_some() {
                put("ec2:CreateAction", call.operation.name.clone());
            }
        }
        "kms" => {
            put("kms:CallerAccount", call.account.clone());
            for (key, value) in input["EncryptionContext"].as_object().into_iter().flatten() {
                put(&format!("kms:EncryptionContext:{key}"), value.as_str().unwrap_or_default().to_owned());
            }
            if let Some(alias) = optional(input, "KeyId").filter(|key| key.starts_with("alias/")) {
                put("kms:RequestAlias", alias.to_owned());
            }
        }
        "sagemaker" => {
            if let Some(kind) = optional(&input["ResourceConfig"], "InstanceType") {
                put("sagemaker:InstanceTypes", kind.to_owned());
            }
        }
        _ => {}
    }
}

fn with_tags(context: &mut Context, prefix: &str, tags: &Tags) {
    for (key, value) in tags {
        context.insert(format!("{prefix}/{key}").to_ascii_lowercase(), vec![value.clone()]);
    }
}

/// Returns the tags that a request gives, wherever the service has them.
fn requested_tags(input: &Value) -> Tags {
    let mut out = Tags::new();
    for member in ["Tags", "tags", "TagsList", "ResourceTags", "resourceTags"] {
        out.extend(tags::parse(input.get(member)));
    }
    for specification in input["TagSpecifications"].as_array().into_iter().flatten() {
        out.extend(tags::parse(specification.get("Tags")));
    }
    if let Some(set) = input.get("Tagging") {
        let texts = text(input, "Tagging");
        let pairs = url::form_urlencoded::parse(texts.as_bytes()).into_owned();
        out.extend(pairs.filter(|(key, _)| !key.is_empty()));
        out.extend(tags::parse(set.get("TagSet")));
    }
    out
}
