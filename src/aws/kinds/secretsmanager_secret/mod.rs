//! A secret of Secrets Manager, with its value, policy, rotation and replicas.
//!
//! Calls: CreateSecret; PutSecretValue, UpdateSecret, RotateSecret, CancelRotateSecret, PutResourcePolicy,
//! DeleteResourcePolicy, ReplicateSecretToRegions, RemoveRegionsFromReplication, TagResource, UntagResource;
//! DeleteSecret. Reads: DescribeSecret per secret (it is
//! never behind, as ListSecrets may be by five minutes), GetResourcePolicy where it is wanted. The value is
//! written and never read. Waits: on new principals of the policy, until replicas are in sync.
//! Traps: a deleted secret keeps its name until its recovery window is over; it reads as absent, and a new one
//! of that name is refused. A version's id is its client token, made of the value's source and of the version
//! it follows: so a repeated call makes no second version, and a lost reply is recognised. A replica carries its
//! primary's tags; it is no resource of its own region. A secret that has replicas can't be deleted.

mod replica;
mod value;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::{RotationRulesType, SecretListEntry, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, SecretValues, Update, yes,
};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Holding, Identity, PolicyDocument};

use replica::Replica;
use value::Source;

/// The longest name that Secrets Manager takes, in characters.
const NAME_CHARS_MAX: usize = 512;
/// Names the key that Secrets Manager uses where none is given.
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// A secret of Secrets Manager.
///
/// Its value comes from an environment variable, a file or a generator and goes to AWS only: it is in no spec,
/// state, plan or log. A new value is set when the source changes or `value_version` is raised. A deleted
/// secret can be restored for `recovery_window_days`, and its name is taken until then.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The name, such as `acme/registry`; made of environment and address where it is left out.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[A-Za-z0-9/_+=.@-]{1,512}$"), extend("x-change" = "replace", "x-unique" = [], "x-kept" = true))]
    pub name: Option<String>,
    /// What the secret is for.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub description: String,
    /// The ARN, id or alias of the KMS key; left out, the account's `aws/secretsmanager` key.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Where the value comes from; left out, something else sets it, such as the rotation.
    #[serde(default)]
    #[schemars(extend("x-local" = true))]
    pub value: Option<Source>,
    /// Raised to set the value anew from the same source.
    #[serde(default = "one")]
    #[schemars(range(min = 1), extend("x-local" = true))]
    pub value_version: u32,
    /// New values at set times, made by a Lambda function.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// Whether a change of the rotation also rotates at once.
    #[serde(default = "yes")]
    #[schemars(extend("x-local" = true))]
    pub rotate_immediately: bool,
    /// Who may use the secret besides what IAM policies say. Public access is always refused.
    #[serde(default)]
    pub policy: Option<PolicyDocument>,
    /// Other regions that have the secret too. Secrets Manager keeps its value, policy and tags there in step.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub replicas: Vec<Replica>,
    /// Days for which a deleted secret can be restored, 7 to 30; 0 deletes it at once, for good.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 30), extend("x-local" = true, "x-waits" = true))]
    pub recovery_window_days: u32,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Rotation of the value. It has `days` or `schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Days between rotations.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub days: Option<u32>,
    /// A schedule in place of days: `rate(12 hours)` or `cron(0 4 1 * ? *)`, in UTC.
    #[serde(default)]
    pub schedule: Option<String>,
    /// The hours that a rotation may take from its scheduled time on.
    #[serde(default)]
    #[schemars(range(min = 1, max = 24))]
    pub window_hours: Option<u32>,
    /// The ARN of the Lambda function that rotates.
    #[schemars(extend("format" = "arn"))]
    pub lambda: String,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The secret's ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The id of the version that readers get; empty while there is no value.
    #[schemars(extend("x-volatile" = true))]
    pub version_id: String,
    /// The id of the version before that; empty where there is none.
    #[schemars(extend("x-volatile" = true))]
    pub previous_version_id: String,
}

fn one() -> u32 {
    1
}

fn thirty() -> u32 {
    30
}

/// See the module's header.
pub struct SecretsmanagerSecret;

impl ResourceKind for SecretsmanagerSecret {
    const NAME: &'static str = "secretsmanager_secret";
    const SERVICE: &'static str = "secretsmanager";
    const IDENTITY: Identity = Identity::ClientToken;
    const HOLDS_DATA: bool = true;
    const ACTIONS: Actions = Actions {
        read: &["secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:ListSecrets"],
        create: &[
            "secretsmanager:CreateSecret",
            "secretsmanager:PutResourcePolicy",
            "secretsmanager:ReplicateSecretToRegions",
            "secretsmanager:RotateSecret",
            "secretsmanager:TagResource",
        ],
        update: &[
            "secretsmanager:CancelRotateSecret",
            "secretsmanager:DeleteResourcePolicy",
            "secretsmanager:PutResourcePolicy",
            "secretsmanager:PutSecretValue",
            "secretsmanager:RemoveRegionsFromReplication",
            "secretsmanager:ReplicateSecretToRegions",
            "secretsmanager:RotateSecret",
            "secretsmanager:TagResource",
            "secretsmanager:UntagResource",
            "secretsmanager:UpdateSecret",
        ],
        delete: &["secretsmanager:DeleteSecret", "secretsmanager:RemoveRegionsFromReplication"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        if let Some(value) = arguments.get("value").filter(|value| value.is_object()) {
            out.extend(value::check(value));
        }
        if let Some(rotation) = arguments.get("rotation").filter(|rotation| rotation.is_object()) {
            let set = |name: &str| rotation.get(name).is_some_and(|value| !value.is_null());
            if set("days") == set("schedule") {
                out.push(Problem::new("rotation", "a rotation has either `days` or `schedule`"));
            }
        }
        out.extend(arguments.get("replicas").map(replica::check).unwrap_or_default());
        let window = arguments.get("recovery_window_days").and_then(Value::as_u64);
        if window.is_some_and(|days| (1..7).contains(&days)) {
            out.push(Problem::new("recovery_window_days", "the window is 0 or from 7 to 30 days"));
        }
        out
    }

    fn check_secrets(arguments: &Value, secrets: &dyn SecretValues) -> Option<(&'static str, AwsError)> {
        Some(("value", value::missing(arguments.get("value")?, secrets)?))
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let reads = ids.iter().map(|id| async { (id.clone(), read_one(aws, id, fields).await) });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let mut pages = aws.secretsmanager().list_secrets().max_results(100).into_paginator().send();
        let mut out = Vec::new();
        while let Some(page) = pages.next().await {
            // A service that owns a secret manages it itself, and a replica is its primary's.
            let secrets = page?.secret_list.unwrap_or_default().into_iter();
            let own = |secret: &SecretListEntry| {
                secret.owning_service.is_none() && is_at_home(aws, secret.primary_region.as_deref())
            };
            out.extend(secrets.filter(own).filter_map(|secret| {
                let owner = split(pairs(secret.tags.unwrap_or_default())).1;
                Some(Discovered { id: secret.arn?.into(), owner, name: secret.name })
            }));
        }
        Ok(out)
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        // By name, and not by a list: a list may not show it for some minutes.
        let Some(secret) = describe(cx.aws, &name(&cx, arguments)).await? else { return Ok(Vec::new()) };
        let at_home = is_at_home(cx.aws, secret.primary_region.as_deref());
        let owner = split(pairs(secret.tags.unwrap_or_default())).1;
        let id = secret.arn.filter(|_| at_home && owner.as_ref() == Some(cx.owner));
        Ok(id.map(PhysicalId::from).into_iter().collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name(&cx, arguments);
        let text = arguments.value.as_ref().map(|value| value.text(cx.secrets)).transpose()?;
        let token = version_token(cx.owner, arguments, "");
        let call = cx
            .aws
            .secretsmanager()
            .create_secret()
            .name(&name)
            .set_description((!arguments.description.is_empty()).then(|| arguments.description.clone()))
            .set_kms_key_id(arguments.kms_key.clone())
            .set_secret_string(text.map(|text| text.expose()))
            .client_request_token(token)
            .set_add_replica_regions(
                (!arguments.replicas.is_empty()).then(|| arguments.replicas.iter().map(Replica::to_aws).collect()),
            )
            .set_tags(Some(aws_tags(&cx.tags(&arguments.tags))));
        match call.send().await.map_err(AwsError::from) {
            Ok(output) => Ok(output.arn.expect("internal error: CreateSecret answers with the ARN").into()),
            Err(error) if error.class == ErrorClass::AlreadyExists => {
                // An earlier attempt whose generated value differs; its version is as good as this one.
                let found = Self::find(cx, arguments).await?;
                found.into_iter().next().ok_or(error)
            }
            Err(error) if error.class == ErrorClass::InUse => Err(name_is_blocked(error, &name)),
            Err(error) => Err(error),
        }
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        // A replica that failed is for the update to make anew.
        replica::settled(aws, id.as_str()).await.map(|_| ())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (client, id, after) = (cx.aws.secretsmanager(), cx.id.as_str(), cx.after);
        if cx.touches("description") || cx.touches("kms_key") {
            let key = after.kms_key.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned());
            let call = client.update_secret().secret_id(id);
            let call = call.set_description(cx.touches("description").then(|| after.description.clone()));
            call.set_kms_key_id(cx.touches("kms_key").then_some(key)).send().await?;
        }
        if cx.touches("value") || cx.touches("value_version") {
            put_value(&cx).await?;
        }
        if cx.touches("policy") {
            put_policy(&cx).await?;
        }
        if cx.touches("rotation") {
            match &after.rotation {
                Some(rotation) => {
                    let call = client.rotate_secret().secret_id(id).rotation_lambda_arn(&rotation.lambda);
                    let token = version_token(cx.owner, after, &cx.before.attributes.version_id);
                    let call = call.rotation_rules(rotation.rules()).rotate_immediately(after.rotate_immediately);
                    call.client_request_token(rotation_token(&token)).send().await?;
                }
                None => {
                    client.cancel_rotate_secret().secret_id(id).send().await?;
                }
            }
        }
        if cx.touches("replicas") {
            replica::update(&cx).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &after.tags);
            if !changes.set.is_empty() {
                client.tag_resource().secret_id(id).set_tags(Some(aws_tags(&changes.set))).send().await?;
            }
            if !changes.remove.is_empty() {
                client.untag_resource().secret_id(id).set_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        Ok(())
    }

    async fn holds(aws: &Aws, id: &PhysicalId) -> Result<Holding, AwsError> {
        let secret = aws.secretsmanager().describe_secret().secret_id(id.as_str()).send().await?;
        let has_value = secret.version_ids_to_stages.is_some_and(|versions| !versions.is_empty());
        Ok(if has_value { Holding::Always("its value".to_owned()) } else { Holding::Nothing })
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let days = cx.recorded.get("recovery_window_days").and_then(Value::as_i64).unwrap_or(30);
        let delete = || async {
            let call = cx.aws.secretsmanager().delete_secret().secret_id(cx.id.as_str());
            let call = match days {
                0 => call.force_delete_without_recovery(true),
                days => call.recovery_window_in_days(days),
            };
            match call.send().await.map_err(AwsError::from) {
                // Scheduled by an earlier attempt.
                Err(error) if error.class == ErrorClass::InUse => Ok(()),
                other => other.map(|_| ()),
            }
        };
        match delete().await {
            Err(error) if error.class == ErrorClass::Invalid => {
                // Refused for its replicas, if it has any.
                if replica::remove_all(cx.aws, cx.id.as_str()).await? { delete().await } else { Err(error) }
            }
            other => other,
        }
    }
}

impl Rotation {
    fn rules(&self) -> RotationRulesType {
        RotationRulesType::builder()
            .set_automatically_after_days(self.days.map(i64::from))
            .set_schedule_expression(self.schedule.clone())
            .set_duration(self.window_hours.map(|hours| format!("{hours}h")))
            .build()
    }

    /// Reads the rotation; that of a secret whose rotation was cancelled is still shown by AWS, and is none.
    fn of_aws(secret: &DescribeSecretOutput) -> Option<Self> {
        let lambda = secret.rotation_lambda_arn.clone().filter(|_| secret.rotation_enabled == Some(true))?;
        let rules = secret.rotation_rules.as_ref();
        let days = rules.and_then(|rules| rules.automatically_after_days);
        let schedule = rules.and_then(|rules| rules.schedule_expression.clone());
        let hours = rules.and_then(|rules| rules.duration.as_deref()?.strip_suffix('h')?.parse().ok());
        // Of a schedule AWS works out the days itself.
        let days = days.filter(|_| schedule.is_none()).and_then(|days| u32::try_from(days).ok());
        Some(Self { days, schedule, window_hours: hours, lambda })
    }
}

fn name(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_CHARS_MAX))
}

/// Tells whether a secret with this primary region is no replica of one elsewhere; AWS names it of replicated ones only.
fn is_at_home(aws: &Aws, primary_region: Option<&str>) -> bool {
    primary_region.is_none_or(|region| region == aws.region())
}

/// Makes the client token of a value, which becomes its version's id: the same for the same source after the same version.
fn version_token(owner: &Owner, arguments: &Arguments, previous: &str) -> String {
    let source = serde_json::to_string(&arguments.value).expect("internal error: a source is plain data");
    let parts = [
        owner.environment.as_str(),
        &owner.address,
        &owner.generation.to_string(),
        &source,
        &arguments.value_version.to_string(),
        previous,
    ];
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("opora:secret:{}", parts.join("\n")).as_bytes()).to_string()
}

fn rotation_token(version: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("opora:rotation:{version}").as_bytes()).to_string()
}

async fn put_value(cx: &Update<'_, SecretsmanagerSecret>) -> Result<(), AwsError> {
    let Some(value) = &cx.after.value else { return Ok(()) };
    let (current, previous) = (&cx.before.attributes.version_id, &cx.before.attributes.previous_version_id);
    // Set by the create call, or by an update whose reply was lost.
    let first = version_token(cx.owner, cx.after, "");
    let rotated = cx.before.arguments.rotation.is_some() && *previous == first;
    if *current == version_token(cx.owner, cx.after, previous) || rotated {
        return Ok(());
    }
    let text = value.text(cx.secrets)?;
    let token = version_token(cx.owner, cx.after, current);
    let call = cx.aws.secretsmanager().put_secret_value().secret_id(cx.id.as_str());
    call.secret_string(text.expose()).client_request_token(token).send().await?;
    Ok(())
}

async fn put_policy(cx: &Update<'_, SecretsmanagerSecret>) -> Result<(), AwsError> {
    let (client, id) = (cx.aws.secretsmanager(), cx.id.as_str());
    let Some(policy) = &cx.after.policy else {
        client.delete_resource_policy().secret_id(id).send().await?;
        return Ok(());
    };
    let text = policy.to_text();
    while_not_yet(cx.aws, Bound::propagation(), || async {
        client.put_resource_policy().secret_id(id).resource_policy(&text).block_public_policy(true).send().await?;
        Ok(())
    })
    .await
}

fn name_is_blocked(mut error: AwsError, name: &str) -> AwsError {
    error.message = format!(
        "a secret named `{name}` was deleted and can still be restored, so its name is taken; `aws secretsmanager \
         restore-secret --secret-id {name}` brings it back for `opora import`, and `aws secretsmanager delete-secret \
         --secret-id {name} --force-delete-without-recovery` frees the name after a restore"
    );
    error
}

fn aws_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn pairs(tags: Vec<Tag>) -> impl Iterator<Item = (String, String)> {
    tags.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
}

/// Reads a secret; one that waits for its deletion is `None`.
async fn describe(aws: &Aws, id: &str) -> Result<Option<DescribeSecretOutput>, AwsError> {
    match aws.secretsmanager().describe_secret().secret_id(id).send().await.map_err(AwsError::from) {
        Ok(secret) => Ok(Some(secret).filter(|secret| secret.deleted_date.is_none())),
        Err(error) => error.absent(),
    }
}

async fn read_one(aws: &Aws, id: &PhysicalId, fields: &Fields) -> Observation<SecretsmanagerSecret> {
    let secret = match describe(aws, id.as_str()).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Observation::Absent,
        Err(error) => return Observation::Unreadable(error),
    };
    let policy = read_policy(aws, id, fields.wants("policy")).await;
    let stages = secret.version_ids_to_stages.clone().unwrap_or_default();
    let attributes = Attributes {
        arn: secret.arn.clone().unwrap_or_default(),
        name: secret.name.clone().unwrap_or_default(),
        version_id: with_stage(&stages, "AWSCURRENT"),
        previous_version_id: with_stage(&stages, "AWSPREVIOUS"),
    };
    let rotation = Rotation::of_aws(&secret);
    let replicas = replica::read(secret.replication_status());
    let (user, owner) = split(pairs(secret.tags.unwrap_or_default()));
    let arguments = Arguments {
        name: secret.name,
        description: secret.description.unwrap_or_default(),
        kms_key: secret.kms_key_id.filter(|key| key != DEFAULT_KEY),
        value: None,
        value_version: one(),
        rotation,
        rotate_immediately: yes(),
        policy: None,
        replicas,
        recovery_window_days: thirty(),
        tags: user,
    };
    let mut observed: Observed<SecretsmanagerSecret> = Observed::new(arguments, attributes, owner);
    observed.arguments.policy = observed.field("policy", policy);
    Observation::Present(Box::new(observed))
}

async fn read_policy(aws: &Aws, id: &PhysicalId, wanted: bool) -> Result<Option<PolicyDocument>, AwsError> {
    if !wanted {
        return Ok(None);
    }
    let output = aws.secretsmanager().get_resource_policy().secret_id(id.as_str()).send().await?;
    Ok(output.resource_policy.as_deref().map(PolicyDocument::from_text))
}

fn with_stage(stages: &HashMap<String, Vec<String>>, stage: &str) -> String {
    let ordered: BTreeMap<_, _> = stages.iter().collect();
    let found = ordered.into_iter().find(|(_, names)| names.iter().any(|name| name == stage));
    found.map(|(id, _)| id.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_token_follows_source_version_and_predecessor() {
        let owner =
            Owner { environment: "research".into(), address: "secretsmanager_secret.token".into(), generation: 1 };
        let token = |arguments: Value, previous: &str| {
            version_token(&owner, &serde_json::from_value(arguments).unwrap(), previous)
        };
        let first = token(json!({ "value": { "from_env": "A" } }), "");
        assert_eq!(first, token(json!({ "value": { "from_env": "A" }, "description": "other" }), ""));
        assert_ne!(first, token(json!({ "value": { "from_env": "B" } }), ""));
        assert_ne!(first, token(json!({ "value": { "from_env": "A" }, "value_version": 2 }), ""));
        assert_ne!(first, token(json!({ "value": { "from_env": "A" } }), &first));
        assert!((32..=64).contains(&first.len()), "the bounds of ClientRequestToken");
    }

    #[test]
    fn arguments_that_contradict_each_other_are_found() {
        for (arguments, path) in [
            (json!({ "rotation": { "lambda": "arn", "days": 1, "schedule": "rate(1 day)" } }), "rotation"),
            (json!({ "rotation": { "lambda": "arn" } }), "rotation"),
            (json!({ "recovery_window_days": 3 }), "recovery_window_days"),
            (json!({ "replicas": [{ "region": "eu-west-1" }, { "region": "eu-west-1" }] }), "replicas[1].region"),
            (json!({ "value": {} }), "value"),
        ] {
            assert_eq!(SecretsmanagerSecret::check(&arguments)[0].path, path);
        }
        assert_eq!(SecretsmanagerSecret::check(&json!({ "recovery_window_days": 0, "value": null })), vec![]);
    }
}
