//! An IAM instance profile: how an EC2 instance carries a role.
//!
//! Calls: CreateInstanceProfile; AddRoleToInstanceProfile, RemoveRoleFromInstanceProfile, TagInstanceProfile,
//! UntagInstanceProfile; DeleteInstanceProfile. Reads: ListInstanceProfiles, which leaves the tags out, where they
//! are known in bulk, else GetInstanceProfile per profile.
//! Waits: until GetInstanceProfile finds the new profile. EC2 may not know it for some seconds more; it waits.
//! Traps: a profile holds one role at most, so another role needs the old one out first; instances keep the
//! old role's credentials until they expire.

use std::collections::BTreeMap;

use aws_sdk_iam::types::InstanceProfile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::iam_account::{gone, iam_tags, split_tags};
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, ResourceKind, Update, default_name,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};

/// An instance profile, by which EC2 instances carry a role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The profile's name, at most 128 characters; left out, one is made of environment and address.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[\w+=,.@-]{1,128}$"), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// Groups profiles; begins and ends with `/`.
    #[serde(default = "root")]
    #[schemars(regex(pattern = r"^(/|/[!-~]{1,510}/)$"), extend("x-change" = "replace"))]
    pub path: String,
    /// The name of the role that instances carry.
    #[schemars(length(min = 1, max = 64))]
    pub role: String,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The profile's ARN.
    pub arn: String,
    /// The profile's unique id (`AIPA…`).
    pub instance_profile_id: String,
    /// The profile's name.
    pub name: String,
}

fn root() -> String {
    "/".to_owned()
}

/// See the module's header.
pub struct IamInstanceProfile;

impl ResourceKind for IamInstanceProfile {
    const NAME: &'static str = "iam_instance_profile";
    const SERVICE: &'static str = "iam";
    const IDENTITY: Identity = Identity::UniqueName;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("iam:instance-profile"));
    const ACTIONS: Actions = Actions {
        read: &["iam:GetInstanceProfile", "iam:ListInstanceProfiles", "tag:GetResources"],
        create: &[
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:PassRole",
            "iam:TagInstanceProfile",
        ],
        update: &[
            "iam:AddRoleToInstanceProfile",
            "iam:PassRole",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:UntagInstanceProfile",
        ],
        delete: &["iam:DeleteInstanceProfile", "iam:GetInstanceProfile", "iam:RemoveRoleFromInstanceProfile"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn predict(arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").unwrap_or_else(|| default_name(owner, 128));
        let path = text("path").unwrap_or_else(root);
        let arn = scope.arn("-iam", &format!("instance-profile{path}{name}"));
        Map::from_iter([("arn".to_owned(), Value::from(arn)), ("name".to_owned(), Value::from(name))])
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        if !fields.wants("tags") {
            let mut found: BTreeMap<String, InstanceProfile> =
                list(aws).await?.into_iter().map(|it| (it.instance_profile_name.clone(), it)).collect();
            let answer = |id: &PhysicalId| match found.remove(id.as_str()) {
                Some(profile) => (id.clone(), Observation::Present(Box::new(observed(profile)))),
                None => (id.clone(), Observation::Absent),
            };
            return Ok(ids.iter().map(answer).collect());
        }
        let reads = ids.iter().map(|id| async move {
            let observation = match get(aws, id.as_str()).await {
                Ok(Some(profile)) => Observation::Present(Box::new(observed(profile))),
                Ok(None) => Observation::Absent,
                Err(error) => Observation::Unreadable(error),
            };
            (id.clone(), observation)
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let names: Vec<String> = list(aws).await?.into_iter().map(|profile| profile.instance_profile_name).collect();
        let reads = together(names.iter().map(|name| get(aws, name))).await;
        let mut out = Vec::new();
        for (name, read) in names.into_iter().zip(reads) {
            if let Some(profile) = read? {
                out.push(Discovered { id: name.into(), owner: split_tags(profile.tags).1, name: None });
            }
        }
        Ok(out)
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(&cx, arguments);
        let found = get(cx.aws, &name).await?.filter(|it| split_tags(it.tags.clone()).1.as_ref() == Some(cx.owner));
        Ok(found.into_iter().map(|_| name.as_str().into()).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(&cx, arguments);
        let call = cx.aws.iam().create_instance_profile().instance_profile_name(&name).path(&arguments.path);
        call.set_tags(Some(iam_tags(&cx.tags(&arguments.tags)))).send().await?;
        Ok(name.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "iam:GetInstanceProfile", Bound::propagation(), || async {
            let found = get(aws, id.as_str()).await?;
            Ok(found.map_or_else(|| Poll::Pending("not visible".to_owned()), |_| Poll::Ready(())))
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let (iam, name) = (cx.aws.iam(), cx.id.as_str());
        if cx.touches("role") && cx.before.arguments.role != cx.after.role {
            let old = &cx.before.arguments.role;
            if !old.is_empty() {
                let call = iam.remove_role_from_instance_profile().instance_profile_name(name).role_name(old);
                gone(call.send().await)?;
            }
            let call = iam.add_role_to_instance_profile().instance_profile_name(name).role_name(&cx.after.role);
            call.send().await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            if !changes.set.is_empty() {
                let call = iam.tag_instance_profile().instance_profile_name(name);
                call.set_tags(Some(iam_tags(&changes.set))).send().await?;
            }
            if !changes.remove.is_empty() {
                let call = iam.untag_instance_profile().instance_profile_name(name);
                call.set_tag_keys(Some(changes.remove)).send().await?;
            }
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let (iam, name) = (cx.aws.iam(), cx.id.as_str());
        let Some(profile) = get(cx.aws, name).await? else { return Ok(()) };
        for role in profile.roles {
            let call = iam.remove_role_from_instance_profile().instance_profile_name(name);
            gone(call.role_name(role.role_name).send().await)?;
        }
        iam.delete_instance_profile().instance_profile_name(name).send().await?;
        Ok(())
    }
}

fn name_of(cx: &Creation<'_>, arguments: &Arguments) -> String {
    arguments.name.clone().unwrap_or_else(|| cx.default_name(128))
}

/// Lists all profiles, without their tags.
async fn list(aws: &Aws) -> Result<Vec<InstanceProfile>, AwsError> {
    let mut pages = aws.iam().list_instance_profiles().max_items(1000).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(profile) = pages.next().await {
        out.push(profile?);
    }
    Ok(out)
}

async fn get(aws: &Aws, name: &str) -> Result<Option<InstanceProfile>, AwsError> {
    match aws.iam().get_instance_profile().instance_profile_name(name).send().await.map_err(AwsError::from) {
        Ok(output) => Ok(output.instance_profile),
        Err(error) => error.absent(),
    }
}

fn observed(profile: InstanceProfile) -> Observed<IamInstanceProfile> {
    let (tags, owner) = split_tags(profile.tags);
    let arguments = Arguments {
        name: Some(profile.instance_profile_name.clone()),
        path: profile.path,
        role: profile.roles.into_iter().next().map(|role| role.role_name).unwrap_or_default(),
        tags,
    };
    let attributes = Attributes {
        arn: profile.arn,
        instance_profile_id: profile.instance_profile_id,
        name: profile.instance_profile_name,
    };
    Observed::new(arguments, attributes, owner)
}
