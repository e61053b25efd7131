//! An IAM role: who may take it on, and what it may do.
//!
//! Calls: CreateRole; UpdateRole, UpdateAssumeRolePolicy, PutRolePermissionsBoundary,
//! DeleteRolePermissionsBoundary, PutRolePolicy, DeleteRolePolicy, AttachRolePolicy, DetachRolePolicy, TagRole,
//! UntagRole; DeleteRole. Reads: three and one more per inline policy for up to three roles, and a walk through
//! GetAccountAuthorizationDetails and ListRoles (both 1,000 a page) for more; ListPolicyTags per customer
//! policy that is attached.
//! Waits: until GetRole finds the new role. Its consumers may still refuse it for a while; they wait themselves.
//! An update that takes several calls keeps between its ends by an inline policy of its own; see `change`.
//! Traps: attachments of a policy that opora made belong to that policy (`attach_to`), so they are not read
//! here. A trust policy that names a principal made just now is refused for a while.

mod change;
mod read;
mod trust;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::iam_account::{gone, iam_tags, is_aws_role, role_details, split_tags};
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Problem, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, Poll, until, while_not_yet};
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Arn, Identity, PolicyDocument, Scope, canonical_policy};
use trust::Trust;

/// An IAM role, with its trust, its inline policies and the policies attached to it.
///
/// A policy that the spec makes itself is attached by its own `attach_to`, not here. Inline policies and
/// attachments that the spec does not name are removed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The role's name, at most 64 characters; left out, one is made of environment and address.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[\w+=,.@-]{1,64}$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// Groups roles; begins and ends with `/`.
    #[serde(default = "root")]
    #[schemars(regex(pattern = r"^(/|/[!-~]{1,510}/)$"), extend("x-change" = "replace"))]
    pub path: String,
    /// What the role is for, at most 1,000 characters.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub description: String,
    /// Who may take the role on.
    #[schemars(extend("x-access" = true))]
    pub trust: Trust,
    /// The longest session in seconds, from one hour to twelve.
    #[serde(default = "hour")]
    #[schemars(range(min = 3600, max = 43200))]
    pub max_session_seconds: u32,
    /// The ARN of a policy that limits what all others can allow.
    #[serde(default)]
    #[schemars(extend("format" = "arn", "x-access" = true))]
    pub permissions_boundary: Option<String>,
    /// Inline policies by their names.
    #[serde(default)]
    pub policies: BTreeMap<String, PolicyDocument>,
    /// ARNs of policies that are made elsewhere: AWS's own, or the account's.
    #[serde(default)]
    #[schemars(with = "Vec<Arn>", extend("x-set" = true, "x-access" = true))]
    pub attach: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The role's ARN.
    pub arn: String,
    /// The role's unique id (`AROA…`); a role made again under the same name has another.
    pub role_id: String,
    /// The role's name.
    pub name: String,
}

fn root() -> String {
    "/".to_owned()
}

fn hour() -> u32 {
    3600
}

/// See the module's header.
pub struct IamRole;

impl ResourceKind for IamRole {
    const NAME: &'static str = "iam_role";
    const SERVICE: &'static str = "iam";
    const IDENTITY: Identity = Identity::UniqueName;
    const ACTIONS: Actions = Actions {
        read: &[
            "iam:GetAccountAuthorizationDetails",
            "iam:GetRole",
            "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:ListPolicyTags",
            "iam:ListRolePolicies",
            "iam:ListRoles",
        ],
        create: &[
            "iam:AttachRolePolicy",
            "iam:CreateRole",
            "iam:PutRolePermissionsBoundary",
            "iam:PutRolePolicy",
            "iam:TagRole",
        ],
        update: &[
            "iam:AttachRolePolicy",
            "iam:DeleteRolePermissionsBoundary",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:PutRolePermissionsBoundary",
            "iam:PutRolePolicy",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:UpdateRole",
        ],
        delete: &["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        if let Some(trust) = arguments.get("trust") {
            check_trust(trust, &mut out);
        }
        let attach = arguments.get("attach").and_then(Value::as_array);
        for (index, arn) in attach.into_iter().flatten().enumerate() {
            let references = arn.as_str().map(crate::value::unknown_references).unwrap_or_default();
            if references.iter().any(|reference| reference.starts_with("iam_policy.")) {
                let mut problem = Problem::new(format!("attach[{index}]"), "this policy is made by the spec itself");
                problem.help = Some("name the role in the policy's `attach_to` instead".to_owned());
                out.push(problem);
            }
        }
        out
    }

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").unwrap_or_else(|| default_name(owner, 64));
        let path = text("path").unwrap_or_else(root);
        let arn = scope.arn("-iam", &format!("role{path}{name}"));
        Map::from_iter([("arn".to_owned(), Value::from(arn)), ("name".to_owned(), Value::from(name))])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        read::read_many(aws, ids, fields).await
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let roles = role_details(aws).await?.into_iter().filter(|role| !is_aws_role(role.path().unwrap_or_default()));
        let found = roles.filter_map(|role| {
            let name = role.role_name?;
            Some(Discovered { id: name.into(), owner: split_tags(role.tags).1, name: None })
        });
        Ok(found.collect())
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(&cx, arguments);
        match cx.aws.iam().get_role().role_name(&name).send().await.map_err(AwsError::from) {
            Ok(found) => {
                let owner = split_tags(found.role.and_then(|role| role.tags)).1;
                Ok(if owner.as_ref() == Some(cx.owner) { vec![name.into()] } else { Vec::new() })
            }
            Err(error) => Ok(error.absent::<PhysicalId>()?.into_iter().collect()),
        }
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(&cx, arguments);
        let document = arguments.trust.to_document(cx.scope.partition()).to_string();
        let tags = iam_tags(&cx.tags(&arguments.tags));
        let description = Some(arguments.description.clone()).filter(|text| !text.is_empty());
        while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .iam()
                .create_role()
                .role_name(&name)
                .path(&arguments.path)
                .assume_role_policy_document(&document)
                .set_description(description.clone())
                .max_session_duration(seconds(arguments.max_session_seconds))
                .set_permissions_boundary(arguments.permissions_boundary.clone())
                .set_tags(Some(tags.clone()));
            Ok(call.send().await?)
        })
        .await?;
        Ok(name.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "iam:GetRole", Bound::propagation(), || async {
            match aws.iam().get_role().role_name(id.as_str()).send().await.map_err(AwsError::from) {
                Ok(_) => Ok(Poll::Ready(())),
                Err(error) => error.absent::<()>().map(|_| Poll::Pending("not visible".to_owned())),
            }
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let after = cx.after;
        // Where trust and permissions both change, only those whom both states let in may come meanwhile.
        let permissions = ["policies", "attach", "permissions_boundary"].iter().any(|name| cx.touches(name));
        let partition = cx.scope.partition();
        let (old, new) = (cx.before.arguments.trust.to_document(partition), after.trust.to_document(partition));
        let mut trust = old.clone();
        if cx.touches("trust") && permissions {
            trust = trust::common(&old, &new);
            if trust != old {
                put_trust(&cx, &trust).await?;
            }
        }
        if permissions {
            change::permissions(&cx).await?;
        }
        if cx.touches("trust") && trust != new {
            put_trust(&cx, &new).await?;
        }
        if cx.touches("description") || cx.touches("max_session_seconds") {
            let call = cx.aws.iam().update_role().role_name(cx.id.as_str());
            let call = call.description(&after.description).max_session_duration(seconds(after.max_session_seconds));
            call.send().await?;
        }
        if cx.touches("tags") {
            put_tags(&cx).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let (iam, name) = (cx.aws.iam(), cx.id.as_str());
        let mut attached = iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
        while let Some(policy) = attached.next().await {
            gone(iam.detach_role_policy().role_name(name).set_policy_arn(policy?.policy_arn).send().await)?;
        }
        let mut inline = iam.list_role_policies().role_name(name).into_paginator().items().send();
        while let Some(policy) = inline.next().await {
            gone(iam.delete_role_policy().role_name(name).policy_name(policy?).send().await)?;
        }
        iam.delete_role().role_name(name).send().await?;
        Ok(())
    }
}

fn check_trust(trust: &Value, out: &mut Vec<Problem>) {
    let Ok(words) = serde_json::from_value::<Trust>(trust.clone()) else { return };
    let Some(document) = &words.document else {
        if !words.names_somebody() {
            out.push(Problem::new("trust", "it names nobody who may take the role on"));
        }
        if words.service.is_empty() && !(words.source_account.is_empty() && words.source_arn.is_empty()) {
            out.push(Problem::new("trust", "`source_account` and `source_arn` limit a `service`, and there is none"));
        }
        let nobody = words.accounts.is_empty() && words.principals.is_empty();
        if nobody && (words.mfa || !words.external_id.is_empty()) {
            out.push(Problem::new(
                "trust",
                "`external_id` and `mfa` limit `accounts` and `principals`, and there are none",
            ));
        }
        if let Some(index) = words.principals.iter().position(|name| name == "*") {
            let mut problem = Problem::new(format!("trust.principals[{index}]"), "this lets every AWS account in");
            problem.help =
                Some("name accounts or principals; a trust that is meant for all goes into `document`".to_owned());
            out.push(problem);
        }
        let digits = |text: &String| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        for (index, account) in words.accounts.iter().enumerate() {
            if !digits(account) && crate::value::unknown_references(account).is_empty() {
                out.push(Problem::new(format!("trust.accounts[{index}]"), "an account's id has 12 digits"));
            }
        }
        return;
    };
    if (Trust { document: None, ..words.clone() }) != Trust::default() {
        out.push(Problem::new("trust.document", "a whole document stands alone"));
    } else if let Some(words) = Trust::in_words(&canonical_policy(&document.0)) {
        let mut problem = Problem::new("trust.document", "the other arguments of `trust` can say this");
        problem.help = Some(format!("write `trust: {}`", said(&words)));
        out.push(problem);
    }
}

/// Returns a trust without the arguments that say nothing.
fn said(words: &Trust) -> Value {
    let value = serde_json::to_value(words).expect("internal error: a trust is a map with text keys");
    let empty = [Value::Null, Value::from(""), Value::from(false), Value::Array(Vec::new())];
    let map = value.as_object().cloned().unwrap_or_default();
    Value::Object(map.into_iter().filter(|(_, item)| !empty.contains(item)).collect())
}

fn name_of(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(64))
}

fn seconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

async fn put_trust(cx: &Update<'_, IamRole>, document: &Value) -> Result<(), AwsError> {
    let text = document.to_string();
    while_not_yet(cx.aws, Bound::propagation(), || async {
        let call = cx.aws.iam().update_assume_role_policy().role_name(cx.id.as_str());
        call.policy_document(&text).send().await?;
        Ok(())
    })
    .await
}

async fn put_tags(cx: &Update<'_, IamRole>) -> Result<(), AwsError> {
    let (iam, role) = (cx.aws.iam(), cx.id.as_str());
    let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
    if !changes.set.is_empty() {
        iam.tag_role().role_name(role).set_tags(Some(iam_tags(&changes.set))).send().await?;
    }
    if !changes.remove.is_empty() {
        iam.untag_role().role_name(role).set_tag_keys(Some(changes.remove)).send().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::unknown;

    fn messages(arguments: Value) -> Vec<String> {
        IamRole::check(&arguments).into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn a_trust_says_something_and_says_it_once() {
        assert_eq!(messages(json!({ "trust": { "service": "ec2.amazonaws.com" } })), Vec::<String>::new());
        assert_eq!(messages(json!({ "trust": { "accounts": [unknown("x.y.z")], "mfa": true } })), Vec::<String>::new());
        assert_eq!(messages(json!({ "trust": {} })), ["trust: it names nobody who may take the role on"]);
        assert_eq!(messages(json!({ "trust": { "service": "a", "mfa": true } })).len(), 1);
        assert_eq!(messages(json!({ "trust": { "accounts": ["12"] } })).len(), 1);
        assert_eq!(messages(json!({ "trust": { "principals": ["*"] } })).len(), 1);
        let document = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
        let problem = &IamRole::check(&json!({ "trust": { "document": document } }))[0];
        assert_eq!(problem.help.as_deref(), Some(r#"write `trust: {"service":"ec2.amazonaws.com"}`"#));
        assert_eq!(
            messages(json!({ "trust": { "document": {}, "service": "a" } })),
            ["trust.document: a whole document stands alone"]
        );
    }

    #[test]
    fn a_policy_of_the_spec_is_attached_from_its_own_side() {
        let arguments = json!({ "trust": { "service": "a" }, "attach": ["arn:aws:iam::aws:policy/x", unknown("iam_policy.p.arn")] });
        assert_eq!(messages(arguments), ["attach[1]: this policy is made by the spec itself"]);
    }
}
