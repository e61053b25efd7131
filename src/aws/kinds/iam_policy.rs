//! A customer managed IAM policy and the roles it is attached to.
//!
//! Calls: CreatePolicy; CreatePolicyVersion, ListPolicyVersions, DeletePolicyVersion, AttachRolePolicy,
//! DetachRolePolicy, TagPolicy, UntagPolicy; DeletePolicy with ListEntitiesForPolicy, DetachUserPolicy,
//! DetachGroupPolicy. Reads: GetPolicy, GetPolicyVersion and ListEntitiesForPolicy per policy for up to three,
//! one walk through GetAccountAuthorizationDetails for more, and GetPolicy per policy whose tags and description are
//! not known in bulk.
//! Waits: until GetPolicy finds the new policy.
//! Traps: five versions are kept at most, so the oldest that is not in force goes first; an ARN is made of
//! account, path and name, so it is known before the create. A policy that is someone's permissions boundary
//! can't be deleted, and nothing is taken away from them here.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{EntityType, ManagedPolicyDetail, Policy, PolicyScopeType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::iam_account::{BULK_MIN, document, gone, iam_tags, policy_details, split_tags};
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, PolicyDocument, Scope};

/// The versions of a policy that IAM keeps at most.
const VERSIONS_MAX: usize = 5;

/// A customer managed IAM policy, attached to roles.
///
/// A change of the document makes a new version and puts it in force at once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The policy's name, at most 128 characters; left out, one is made of environment and address.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[\w+=,.@-]{1,128}$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// Groups policies; begins and ends with `/`.
    #[serde(default = "root")]
    #[schemars(regex(pattern = r"^(/|/[!-~]{1,510}/)$"), extend("x-change" = "replace"))]
    pub path: String,
    /// What the policy is for, at most 1,000 characters; IAM can't change it later.
    #[serde(default)]
    #[schemars(length(max = 1000), extend("x-change" = "replace"))]
    pub description: String,
    /// What it allows and denies, at most 6,144 characters without white space.
    pub document: PolicyDocument,
    /// Names of the roles that it is attached to; roles not named here lose it.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-access" = true))]
    pub attach_to: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The policy's ARN.
    pub arn: String,
    /// The policy's unique id (`ANPA…`).
    pub policy_id: String,
    /// The policy's name.
    pub name: String,
    /// The version in force, such as `v3`.
    #[schemars(extend("x-volatile" = true))]
    pub version: String,
}

fn root() -> String {
    "/".to_owned()
}

/// See the module's header.
pub struct IamPolicy;

impl ResourceKind for IamPolicy {
    const NAME: &'static str = "iam_policy";
    const SERVICE: &'static str = "iam";
    const IDENTITY: Identity = Identity::UniqueName;
    const IN_BULK: Option<InBulk> =
        Some(InBulk { tagged_as: "iam:policy", fixed: &["description"], unique: Some("policy_id") });
    const ACTIONS: Actions = Actions {
        read: &[
            "iam:GetAccountAuthorizationDetails",
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:ListEntitiesForPolicy",
            "iam:ListPolicies",
            "tag:GetResources",
        ],
        create: &["iam:AttachRolePolicy", "iam:CreatePolicy", "iam:TagPolicy"],
        update: &[
            "iam:AttachRolePolicy",
            "iam:CreatePolicyVersion",
            "iam:DeletePolicyVersion",
            "iam:DetachRolePolicy",
            "iam:ListPolicyVersions",
            "iam:TagPolicy",
            "iam:UntagPolicy",
        ],
        delete: &[
            "iam:DeletePolicy",
            "iam:DeletePolicyVersion",
            "iam:DetachGroupPolicy",
            "iam:DetachRolePolicy",
            "iam:DetachUserPolicy",
            "iam:ListEntitiesForPolicy",
            "iam:ListPolicyVersions",
        ],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").unwrap_or_else(|| default_name(owner, 128));
        let arn = arn(scope, &text("path").unwrap_or_else(root), &name);
        Map::from_iter([("arn".to_owned(), Value::from(arn)), ("name".to_owned(), Value::from(name))])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let walk = if ids.len() < BULK_MIN { None } else { Some(Account::read(aws).await) };
        let account = match walk {
            Some(Ok(account)) => Some(account),
            // The caller may be allowed to read its own policies only.
            Some(Err(error)) if error.class == ErrorClass::Denied => None,
            Some(Err(error)) => return Err(error),
            None => None,
        };
        let account = account.as_ref();
        let reads = ids.iter().map(|id| async move { (id.clone(), read_one(aws, id, fields, account).await) });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let call = aws.iam().list_policies().scope(PolicyScopeType::Local).max_items(1000);
        let mut pages = call.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(policy) = pages.next().await {
            let policy = policy?;
            found.extend(policy.arn.zip(policy.policy_name));
        }
        let reads = together(found.iter().map(|(arn, _)| get_policy(aws, arn))).await;
        let mut out = Vec::new();
        for ((arn, name), read) in found.iter().zip(reads) {
            if let Some(policy) = read? {
                let owner = split_tags(policy.tags).1;
                out.push(Discovered { id: arn.as_str().into(), owner, name: Some(name.clone()) });
            }
        }
        Ok(out)
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let arn = arn(cx.scope, &arguments.path, &name_of(&cx, arguments));
        let found =
            get_policy(cx.aws, &arn).await?.filter(|it| split_tags(it.tags.clone()).1.as_ref() == Some(cx.owner));
        Ok(found.into_iter().map(|_| arn.as_str().into()).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let call = cx
            .aws
            .iam()
            .create_policy()
            .policy_name(name_of(&cx, arguments))
            .path(&arguments.path)
            .policy_document(arguments.document.to_text())
            .set_description(Some(arguments.description.clone()).filter(|text| !text.is_empty()))
            .set_tags(Some(iam_tags(&cx.tags(&arguments.tags))));
        let policy = call.send().await?.policy.and_then(|policy| policy.arn);
        Ok(policy.expect("internal error: CreatePolicy answers with the policy").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "iam:GetPolicy", Bound::propagation(), || async {
            let found = get_policy(aws, id.as_str()).await?;
            Ok(found.map_or_else(|| Poll::Pending("not visible".to_owned()), |_| Poll::Ready(())))
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (iam, arn) = (cx.aws.iam(), cx.id.as_str());
        let (before, after) = (&cx.before.arguments.attach_to, &cx.after.attach_to);
        // Roles that lose the policy never see its new version, and roles that get it never see the old one.
        if cx.touches("attach_to") {
            for role in before.iter().filter(|role| !after.contains(role)) {
                gone(iam.detach_role_policy().role_name(role).policy_arn(arn).send().await)?;
            }
        }
        if cx.touches("document") {
            new_version(&cx).await?;
        }
        if cx.touches("attach_to") {
            for role in after.iter().filter(|role| !before.contains(role)) {
                iam.attach_role_policy().role_name(role).policy_arn(arn).send().await?;
            }
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            if !changes.set.is_empty() {
                iam.tag_policy().policy_arn(arn).set_tags(Some(iam_tags(&changes.set))).send().await?;
            }
            if !changes.remove.is_empty() {
                iam.untag_policy().policy_arn(arn).set_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let (iam, arn) = (cx.aws.iam(), cx.id.as_str());
        detach_all(cx.aws, arn).await?;
        for (version, in_force) in versions(cx.aws, arn).await? {
            if !in_force {
                gone(iam.delete_policy_version().policy_arn(arn).version_id(version).send().await)?;
            }
        }
        iam.delete_policy().policy_arn(arn).send().await?;
        Ok(())
    }
}

fn arn(scope: &Scope, path: &str, name: &str) -> String {
    scope.arn("-iam", &format!("policy{path}{name}"))
}

fn name_of(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(128))
}

async fn new_version(cx: &Update<'_, IamPolicy>) -> Result<(), AwsError> {
    let (iam, arn) = (cx.aws.iam(), cx.id.as_str());
    let known = versions(cx.aws, arn).await?;
    if known.len() >= VERSIONS_MAX {
        let oldest = known.iter().filter(|(_, in_force)| !in_force).min_by_key(|(version, _)| number(version));
        if let Some((version, _)) = oldest {
            gone(iam.delete_policy_version().policy_arn(arn).version_id(version).send().await)?;
        }
    }
    let call = iam.create_policy_version().policy_arn(arn).policy_document(cx.after.document.to_text());
    call.set_as_default(true).send().await?;
    Ok(())
}

fn number(version: &str) -> u64 {
    version.trim_start_matches('v').parse().unwrap_or(u64::MAX)
}

/// Lists the versions, and whether each is the one in force.
async fn versions(aws: &Aws, arn: &str) -> Result<Vec<(String, bool)>, AwsError> {
    let mut pages = aws.iam().list_policy_versions().policy_arn(arn).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(version) = pages.next().await {
        let version = version?;
        out.extend(version.version_id.map(|id| (id, version.is_default_version)));
    }
    Ok(out)
}

async fn detach_all(aws: &Aws, arn: &str) -> Result<(), AwsError> {
    let iam = aws.iam();
    let mut pages = iam.list_entities_for_policy().policy_arn(arn).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page?;
        for role in page.policy_roles.unwrap_or_default() {
            gone(iam.detach_role_policy().policy_arn(arn).set_role_name(role.role_name).send().await)?;
        }
        for user in page.policy_users.unwrap_or_default() {
            gone(iam.detach_user_policy().policy_arn(arn).set_user_name(user.user_name).send().await)?;
        }
        for group in page.policy_groups.unwrap_or_default() {
            gone(iam.detach_group_policy().policy_arn(arn).set_group_name(group.group_name).send().await)?;
        }
    }
    Ok(())
}

async fn get_policy(aws: &Aws, arn: &str) -> Result<Option<Policy>, AwsError> {
    match aws.iam().get_policy().policy_arn(arn).send().await.map_err(AwsError::from) {
        Ok(output) => Ok(output.policy),
        Err(error) => error.absent(),
    }
}

/// What one walk through the account says of all policies.
struct Account {
    policies: BTreeMap<String, ManagedPolicyDetail>,
    /// Names of the roles that each policy is attached to, by its ARN.
    roles: BTreeMap<String, Vec<String>>,
}

impl Account {
    async fn read(aws: &Aws) -> Result<Self, AwsError> {
        let (policies, details) = policy_details(aws).await?;
        let policies = policies.into_iter().filter_map(|policy| Some((policy.arn.clone()?, policy))).collect();
        let mut roles = BTreeMap::<String, Vec<String>>::new();
        for role in details {
            let name = role.role_name.unwrap_or_default();
            for policy in role.attached_managed_policies.unwrap_or_default() {
                roles.entry(policy.policy_arn.unwrap_or_default()).or_default().push(name.clone());
            }
        }
        Ok(Self { policies, roles })
    }

    /// Returns a policy as far as the walk has it: without description and tags.
    fn policy(&self, arn: &str) -> Option<Policy> {
        let found = self.policies.get(arn)?;
        let policy = Policy::builder()
            .set_arn(found.arn.clone())
            .set_policy_id(found.policy_id.clone())
            .set_policy_name(found.policy_name.clone())
            .set_path(found.path.clone())
            .set_default_version_id(found.default_version_id.clone());
        Some(policy.build())
    }

    /// Returns the document of a version, where the walk saw it.
    fn document(&self, arn: &str, version: &str) -> Option<PolicyDocument> {
        let versions = self.policies.get(arn)?.policy_version_list();
        let found = versions.iter().find(|found| found.version_id() == Some(version))?;
        Some(document(Some(found.document()?)))
    }
}

async fn read_one(aws: &Aws, id: &PhysicalId, fields: &Fields, account: Option<&Account>) -> Observation<IamPolicy> {
    // Only GetPolicy has these.
    let whole = fields.wants("tags") || fields.wants("description");
    let listed = account.filter(|_| !whole).and_then(|account| account.policy(id.as_str()));
    let read = match listed {
        Some(policy) => Ok(Some(policy)),
        None => get_policy(aws, id.as_str()).await,
    };
    let policy = match read {
        Ok(Some(policy)) => policy,
        Ok(None) => return Observation::Absent,
        Err(error) => return Observation::Unreadable(error),
    };
    let version = policy.default_version_id.clone().unwrap_or_default();
    let (text, roles) = futures::join!(
        read_document(aws, id, &version, account, fields.wants("document")),
        read_roles(aws, id, account, fields.wants("attach_to")),
    );
    let (tags, owner) = split_tags(policy.tags);
    let name = policy.policy_name.unwrap_or_default();
    let arguments = Arguments {
        name: Some(name.clone()),
        path: policy.path.unwrap_or_default(),
        description: policy.description.unwrap_or_default(),
        document: PolicyDocument(Value::Null),
        attach_to: Vec::new(),
        tags,
    };
    let attributes =
        Attributes { arn: id.as_str().to_owned(), policy_id: policy.policy_id.unwrap_or_default(), name, version };
    let mut observed = Observed::<IamPolicy>::new(arguments, attributes, owner);
    observed.arguments.document = PolicyDocument(observed.field("document", text.map(|text| text.0)));
    observed.arguments.attach_to = observed.field("attach_to", roles);
    Observation::Present(Box::new(observed))
}

async fn read_document(
    aws: &Aws,
    id: &PhysicalId,
    version: &str,
    account: Option<&Account>,
    wanted: bool,
) -> Result<PolicyDocument, AwsError> {
    if !wanted {
        return Ok(PolicyDocument(Value::Null));
    }
    if let Some(found) = account.and_then(|account| account.document(id.as_str(), version)) {
        return Ok(found);
    }
    let output = aws.iam().get_policy_version().policy_arn(id.as_str()).version_id(version).send().await?;
    Ok(document(output.policy_version.as_ref().and_then(|version| version.document())))
}

async fn read_roles(
    aws: &Aws,
    id: &PhysicalId,
    account: Option<&Account>,
    wanted: bool,
) -> Result<Vec<String>, AwsError> {
    if !wanted {
        return Ok(Vec::new());
    }
    if let Some(account) = account {
        return Ok(account.roles.get(id.as_str()).cloned().unwrap_or_default());
    }
    let call = aws.iam().list_entities_for_policy().policy_arn(id.as_str()).entity_filter(EntityType::Role);
    let mut pages = call.into_paginator().send();
    let mut out = Vec::new();
    while let Some(page) = pages.next().await {
        out.extend(page?.policy_roles.unwrap_or_default().into_iter().filter_map(|role| role.role_name));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert!(number("v10") > number("v9"));
    }

    #[test]
    fn the_arn_is_known_before_the_policy() {
        let scope = Scope {
            environment: "research".to_owned(),
            account: "123456789012".to_owned(),
            region: "cn-north-1".to_owned(),
        };
        let owner = Owner::new("research", &"iam_policy.data".parse().unwrap(), 2);
        let known = IamPolicy::predict(&serde_json::json!({ "path": "/ml/" }), &owner, &scope);
        assert_eq!(known["arn"], "arn:aws-cn:iam::123456789012:policy/ml/research-data-2");
    }
}
