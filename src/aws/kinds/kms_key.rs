//! An AWS KMS customer key with its alias, policy and rotation.
//!
//! Calls: CreateKey; CreateAlias, DeleteAlias, PutKeyPolicy, EnableKeyRotation, DisableKeyRotation, EnableKey,
//! DisableKey, UpdateKeyDescription, TagResource, UntagResource; ScheduleKeyDeletion. Reads: DescribeKey,
//! GetKeyPolicy, GetKeyRotationStatus, ListResourceTags per key, ListAliases once.
//! Waits: none; a key can be used as soon as CreateKey answers, its policy's new principals may not be.
//! Traps: CreateKey takes no client token, and a duplicate can't be deleted for 7 days, so tags in the create
//! call are its identity. A key that waits for its deletion reads as absent. An alias keeps its name until the
//! key is really gone, so it is deleted first.

use std::collections::BTreeMap;

use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::primitives::DateTime;
use aws_sdk_kms::types::{KeyManagerType, KeyMetadata, KeySpec, KeyState, KeyUsageType, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, yes,
};
use crate::aws::tags::{Owner, Tags, split};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Holding, Identity, PolicyDocument, Scope};

/// A customer key of AWS KMS, with its alias, its policy and its rotation.
///
/// Other resources name it by `$(kms_key.NAME.arn)`. Deleting one starts AWS's waiting period; until that is
/// over, `aws kms cancel-key-deletion` brings it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// What the key is for.
    #[serde(default)]
    pub description: String,
    /// A name that applications use in place of the id; starts with `alias/`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^alias/[a-zA-Z0-9/_-]{1,250}$"), extend("x-unique" = []))]
    pub alias: Option<String>,
    /// What the key does: `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, `GENERATE_VERIFY_MAC` or `KEY_AGREEMENT`.
    #[serde(default = "encrypt_decrypt")]
    #[schemars(extend("x-change" = "replace"))]
    pub usage: String,
    /// The key's algorithm and length, such as `SYMMETRIC_DEFAULT`, `RSA_4096` or `ECC_NIST_P256`.
    #[serde(default = "symmetric")]
    #[schemars(extend("x-change" = "replace"))]
    pub spec: String,
    /// Whether the key can be replicated to other regions.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub multi_region: bool,
    /// Whether the key may be used.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub enabled: bool,
    /// New key material at set times; left out, the material is never renewed.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// Who may use and administer the key; left out, AWS's default lets the account's IAM policies decide.
    #[serde(default)]
    pub policy: Option<PolicyDocument>,
    /// Days from a deletion until the key is gone for good.
    #[serde(default = "thirty")]
    #[schemars(range(min = 7, max = 30), extend("x-local" = true, "x-waits" = true))]
    pub deletion_window_days: u32,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Rotation of the key material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Days between rotations.
    #[serde(default = "year")]
    #[schemars(range(min = 90, max = 2560))]
    pub period_days: u32,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The key's ARN.
    pub arn: String,
    /// The key's id.
    pub key_id: String,
    /// `Enabled`, `Disabled`, `PendingImport`, …
    #[schemars(extend("x-volatile" = true))]
    pub state: String,
}

fn encrypt_decrypt() -> String {
    KeyUsageType::EncryptDecrypt.as_str().to_owned()
}

fn symmetric() -> String {
    KeySpec::SymmetricDefault.as_str().to_owned()
}

fn thirty() -> u32 {
    30
}

fn year() -> u32 {
    365
}

/// See the module's header.
pub struct KmsKey;

impl ResourceKind for KmsKey {
    const NAME: &'static str = "kms_key";
    const SERVICE: &'static str = "kms";
    const IDENTITY: Identity = Identity::Tags;
    const HOLDS_DATA: bool = true;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("kms:key"));
    const ACTIONS: Actions = Actions {
        read: &[
            "kms:DescribeKey",
            "kms:GetKeyPolicy",
            "kms:GetKeyRotationStatus",
            "kms:ListAliases",
            "kms:ListKeys",
            "kms:ListResourceTags",
            "tag:GetResources",
        ],
        create: &["kms:CreateKey", "kms:TagResource", "kms:CreateAlias", "kms:PutKeyPolicy", "kms:EnableKeyRotation"],
        update: &[
            "kms:CreateAlias",
            "kms:DeleteAlias",
            "kms:DisableKey",
            "kms:DisableKeyRotation",
            "kms:EnableKey",
            "kms:EnableKeyRotation",
            "kms:PutKeyPolicy",
            "kms:TagResource",
            "kms:UntagResource",
            "kms:UpdateKeyDescription",
        ],
        delete: &["kms:DeleteAlias", "kms:ListAliases", "kms:ScheduleKeyDeletion"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut out = Vec::new();
        if arguments.get("rotation").is_some_and(|rotation| !rotation.is_null()) && text("spec") != symmetric() {
            out.push(Problem::new("rotation", "only a `SYMMETRIC_DEFAULT` key rotates by itself"));
        }
        if text("alias").starts_with("alias/aws/") {
            out.push(Problem::new("alias", "`alias/aws/` is kept for AWS's own keys"));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let aliases = aliases(aws).await;
        let reads = ids.iter().map(|id| async {
            let read = read_one(aws, id, fields, &aliases).await;
            (id.clone(), read)
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let mut keys = aws.kms().list_keys().into_paginator().items().send();
        let mut ids = Vec::new();
        while let Some(key) = keys.next().await {
            ids.extend(key?.key_id);
        }
        let reads = together(ids.iter().map(|id| describe_and_tags(aws, id))).await;
        let mut out = Vec::new();
        for read in reads {
            let Some((key, tags)) = read? else { continue };
            let (_, owner) = split(tags);
            out.push(Discovered {
                id: key.key_id.into(),
                owner,
                name: key.description.filter(|text| !text.is_empty()),
            });
        }
        Ok(out)
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let tags = kms_tags(&cx.tags(&arguments.tags));
        let output = while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .kms()
                .create_key()
                .description(&arguments.description)
                .key_usage(arguments.usage.as_str().into())
                .key_spec(arguments.spec.as_str().into())
                .multi_region(arguments.multi_region)
                .set_policy(arguments.policy.as_ref().map(PolicyDocument::to_text))
                .set_tags(Some(tags.clone()));
            Ok(call.send().await?)
        })
        .await?;
        Ok(output.key_metadata.expect("internal error: CreateKey answers with the key").key_id.into())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (kms, id, after) = (cx.aws.kms(), cx.id.as_str(), cx.after);
        let (opens, closes) = (cx.touches("enabled") && after.enabled, cx.touches("enabled") && !after.enabled);
        if cx.touches("description") {
            kms.update_key_description().key_id(id).description(&after.description).send().await?;
        }
        // The key is shut while its policy changes: nobody gets in by the new policy before the key is disabled,
        // nor by the old one after it is enabled. Its rotation can only be set while it is enabled.
        if closes {
            put_rotation(&cx).await?;
            kms.disable_key().key_id(id).send().await?;
        }
        if cx.touches("policy") {
            put_policy(&cx).await?;
        }
        if opens {
            kms.enable_key().key_id(id).send().await?;
        }
        if !closes {
            put_rotation(&cx).await?;
        }
        if cx.touches("alias") {
            // The new name first: at no moment is the key without one.
            if let Some(alias) = &after.alias {
                let created = kms.create_alias().alias_name(alias).target_key_id(id).send().await;
                if let Err(error) = created.map_err(AwsError::from)
                    && (error.class != ErrorClass::AlreadyExists || !has_alias(cx.aws, id, alias).await?)
                {
                    return Err(error);
                }
            }
            if let Some(alias) = &cx.before.arguments.alias
                && after.alias.as_ref() != Some(alias)
            {
                kms.delete_alias().alias_name(alias).send().await?;
            }
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &after.tags);
            if !changes.set.is_empty() {
                let tags = kms_tags(&changes.set);
                kms.tag_resource().key_id(id).set_tags(Some(tags)).send().await?;
            }
            if !changes.remove.is_empty() {
                kms.untag_resource().key_id(id).set_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        Ok(())
    }

    async fn holds(_: &Aws, _: &PhysicalId) -> Result<Holding, AwsError> {
        // KMS does not tell what a key has encrypted.
        Ok(Holding::Always("whatever it has encrypted".to_owned()))
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let kms = cx.aws.kms();
        let mut aliases = kms.list_aliases().key_id(cx.id.as_str()).into_paginator().items().send();
        while let Some(alias) = aliases.next().await {
            if let Some(name) = alias?.alias_name {
                kms.delete_alias().alias_name(name).send().await?;
            }
        }
        let days = cx.recorded.get("deletion_window_days").and_then(Value::as_i64).unwrap_or(30);
        let days = i32::try_from(days).unwrap_or(30);
        let call = kms.schedule_key_deletion().key_id(cx.id.as_str()).pending_window_in_days(days);
        match call.send().await {
            // Scheduled by an earlier attempt.
            Err(SdkError::ServiceError(error)) if error.err().is_kms_invalid_state_exception() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }
}

async fn put_rotation(cx: &Update<'_, KmsKey>) -> Result<(), AwsError> {
    let (kms, id) = (cx.aws.kms(), cx.id.as_str());
    if !cx.touches("rotation") {
        return Ok(());
    }
    match &cx.after.rotation {
        Some(rotation) => {
            let days = i32::try_from(rotation.period_days).unwrap_or(i32::MAX);
            kms.enable_key_rotation().key_id(id).rotation_period_in_days(days).send().await?;
        }
        None => {
            kms.disable_key_rotation().key_id(id).send().await?;
        }
    }
    Ok(())
}

async fn put_policy(cx: &Update<'_, KmsKey>) -> Result<(), AwsError> {
    let text = match &cx.after.policy {
        Some(policy) => policy.to_text(),
        None => default_policy(cx.scope).to_string(),
    };
    while_not_yet(cx.aws, Bound::propagation(), || async {
        cx.aws.kms().put_key_policy().key_id(cx.id.as_str()).policy(&text).send().await?;
        Ok(())
    })
    .await
}

/// The policy that CreateKey sets where it is given none.
fn default_policy(scope: &Scope) -> Value {
    serde_json::json!({ "Version": "2012-10-17", "Id": "key-default-1", "Statement": [{
        "Sid": "Enable IAM User Permissions", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": format!("arn:{}:iam::{}:root", scope.partition(), scope.account) },
    }] })
}

fn kms_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| {
        Tag::builder().tag_key(key).tag_value(value).build().expect("internal error: key and value are set")
    };
    tags.iter().map(tag).collect()
}

/// Returns the alias of each key id that has one; the oldest where there are several.
///
/// A change of alias that was cut short leaves two, and the older one is the one that has to go.
async fn aliases(aws: &Aws) -> Result<BTreeMap<String, String>, AwsError> {
    let mut pages = aws.kms().list_aliases().into_paginator().items().send();
    let mut oldest: BTreeMap<String, (Option<DateTime>, String)> = BTreeMap::new();
    while let Some(alias) = pages.next().await {
        let alias = alias?;
        if let (Some(key), Some(name)) = (alias.target_key_id, alias.alias_name) {
            let found = (alias.creation_date, name);
            let known = oldest.entry(key).or_insert_with(|| found.clone());
            if found.0 < known.0 {
                *known = found;
            }
        }
    }
    Ok(oldest.into_iter().map(|(key, (_, name))| (key, name)).collect())
}

/// Tells whether an alias stands for a key; asked of the alias itself, which no list is late for.
async fn has_alias(aws: &Aws, id: &str, name: &str) -> Result<bool, AwsError> {
    match aws.kms().describe_key().key_id(name).send().await.map_err(AwsError::from) {
        Ok(found) => Ok(found.key_metadata.is_some_and(|key| key.key_id == id)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a customer key and its tags; AWS's own keys and keys that wait for their deletion are `None`.
async fn describe_and_tags(aws: &Aws, id: &str) -> Result<Option<(KeyMetadata, Vec<(String, String)>)>, AwsError> {
    let Some(key) = describe(aws, id).await? else { return Ok(None) };
    Ok(Some((key, tags(aws, id).await?)))
}

async fn describe(aws: &Aws, id: &str) -> Result<Option<KeyMetadata>, AwsError> {
    let read = aws.kms().describe_key().key_id(id).send().await.map_err(AwsError::from);
    let key = match read {
        Ok(output) => output.key_metadata,
        Err(error) => error.absent()?,
    };
    let leaving = [KeyState::PendingDeletion, KeyState::PendingReplicaDeletion];
    Ok(key
        .filter(|key| key.key_manager != Some(KeyManagerType::Aws))
        .filter(|key| !key.key_state.as_ref().is_some_and(|state| leaving.contains(state))))
}

async fn tags(aws: &Aws, id: &str) -> Result<Vec<(String, String)>, AwsError> {
    let mut pages = aws.kms().list_resource_tags().key_id(id).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(tag) = pages.next().await {
        let tag = tag?;
        out.push((tag.tag_key, tag.tag_value));
    }
    Ok(out)
}

async fn read_one(
    aws: &Aws,
    id: &PhysicalId,
    fields: &Fields,
    aliases: &Result<BTreeMap<String, String>, AwsError>,
) -> Observation<KmsKey> {
    let key = match describe(aws, id.as_str()).await {
        Ok(Some(key)) => key,
        Ok(None) => return Observation::Absent,
        Err(error) => return Observation::Unreadable(error),
    };
    let (policy, rotation, tags) = futures::join!(
        read_policy(aws, id, fields.wants("policy")),
        read_rotation(aws, &key, fields.wants("rotation")),
        read_tags(aws, id, fields.wants("tags")),
    );
    let mut unreadable = BTreeMap::new();
    let mut note = |path: &str, error: &AwsError| {
        unreadable.insert(path.to_owned(), error.reason());
    };
    let policy = policy.unwrap_or_else(|error| {
        note("policy", &error);
        None
    });
    let rotation = rotation.unwrap_or_else(|error| {
        note("rotation", &error);
        None
    });
    let (user, owner) = match tags {
        Ok(tags) => split(tags),
        Err(error) => {
            note("tags", &error);
            (Tags::new(), None::<Owner>)
        }
    };
    let alias = match aliases {
        Ok(aliases) => aliases.get(id.as_str()).cloned(),
        Err(error) => {
            note("alias", error);
            None
        }
    };
    let arguments = Arguments {
        description: key.description.unwrap_or_default(),
        alias,
        usage: key.key_usage.map(|usage| usage.as_str().to_owned()).unwrap_or_default(),
        spec: key.key_spec.map(|spec| spec.as_str().to_owned()).unwrap_or_default(),
        multi_region: key.multi_region.unwrap_or_default(),
        enabled: key.enabled,
        rotation,
        policy,
        deletion_window_days: thirty(),
        tags: user,
    };
    let attributes = Attributes {
        arn: key.arn.unwrap_or_default(),
        key_id: key.key_id,
        state: key.key_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
    };
    Observation::Present(Box::new(Observed { arguments, attributes, owner, unreadable }))
}

async fn read_tags(aws: &Aws, id: &PhysicalId, wanted: bool) -> Result<Vec<(String, String)>, AwsError> {
    if wanted { tags(aws, id.as_str()).await } else { Ok(Vec::new()) }
}

async fn read_policy(aws: &Aws, id: &PhysicalId, wanted: bool) -> Result<Option<PolicyDocument>, AwsError> {
    if !wanted {
        return Ok(None);
    }
    let output = aws.kms().get_key_policy().policy_name("default").key_id(id.as_str()).send().await?;
    Ok(output.policy.as_deref().map(PolicyDocument::from_text))
}

async fn read_rotation(aws: &Aws, key: &KeyMetadata, wanted: bool) -> Result<Option<Rotation>, AwsError> {
    // Asymmetric and HMAC keys answer GetKeyRotationStatus with an error; they never rotate.
    if !wanted || key.key_spec != Some(KeySpec::SymmetricDefault) {
        return Ok(None);
    }
    let status = aws.kms().get_key_rotation_status().key_id(&key.key_id).send().await?;
    let days = status.rotation_period_in_days.and_then(|days| u32::try_from(days).ok()).unwrap_or_else(year);
    Ok(status.key_rotation_enabled.then_some(Rotation { period_days: days }))
}
