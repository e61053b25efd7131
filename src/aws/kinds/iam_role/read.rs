//! Reads roles: each by its own calls when they are few, all at once when they are many.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{AttachedPolicy, Role, RoleDetail};

use super::super::iam_account::{
    BULK_MIN, document, is_aws_policy, owned_policies, role_details, role_extras, session_seconds, split_tags,
};
use super::trust::Trust;
use super::{Arguments, Attributes, IamRole};
use crate::aws::resource::{Fields, Observation, Observed};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::PolicyDocument;

type Answer = Result<Vec<(PhysicalId, Observation<IamRole>)>, AwsError>;
type Inline = BTreeMap<String, PolicyDocument>;
type OwnedPolicies = BTreeMap<String, Result<bool, AwsError>>;

pub(super) async fn read_many(aws: &Aws, ids: &[PhysicalId], fields: &Fields) -> Answer {
    if ids.len() < BULK_MIN {
        return read_each(aws, ids, fields).await;
    }
    match read_bulk(aws, ids).await {
        // The caller may be allowed to read its own roles only.
        Err(error) if error.class == ErrorClass::Denied => read_each(aws, ids, fields).await,
        other => other,
    }
}

async fn read_bulk(aws: &Aws, ids: &[PhysicalId]) -> Answer {
    let (details, extras) = futures::try_join!(role_details(aws), role_extras(aws))?;
    let mut details: BTreeMap<String, RoleDetail> =
        details.into_iter().filter_map(|role| Some((role.role_name.clone()?, role))).collect();
    let wanted = ids.iter().filter_map(|id| details.get(id.as_str()));
    let owned = owned_policies(aws, wanted.flat_map(|role| role.attached_managed_policies())).await;
    let mut out = Vec::new();
    for id in ids {
        let observation = match (details.remove(id.as_str()), extras.get(id.as_str())) {
            (Some(role), Some(extra)) => Observation::Present(Box::new(from_detail(role, extra.clone(), &owned))),
            // Made or deleted between the two walks, or not visible to one of them yet.
            (Some(_), None) | (None, Some(_)) => read_one(aws, id, &Fields::All).await,
            (None, None) => Observation::Absent,
        };
        out.push((id.clone(), observation));
    }
    Ok(out)
}

fn from_detail(role: RoleDetail, extra: (String, u32), owned: &OwnedPolicies) -> Observed<IamRole> {
    let inline = role.role_policy_list.unwrap_or_default().into_iter().filter_map(|policy| {
        let text = document(policy.policy_document.as_deref());
        Some((policy.policy_name?, text))
    });
    let inline = inline.collect();
    let (tags, owner) = split_tags(role.tags);
    let (description, max_session_seconds) = extra;
    let name = role.role_name.unwrap_or_default();
    let arguments = Arguments {
        name: Some(name.clone()),
        path: role.path.unwrap_or_default(),
        description,
        trust: Trust::from_document(&document(role.assume_role_policy_document.as_deref())),
        max_session_seconds,
        permissions_boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        policies: inline,
        attach: Vec::new(),
        tags,
    };
    let attributes = Attributes { arn: role.arn.unwrap_or_default(), role_id: role.role_id.unwrap_or_default(), name };
    let mut observed = Observed::<IamRole>::new(arguments, attributes, owner);
    let attach = attachments(&role.attached_managed_policies.unwrap_or_default(), owned);
    observed.arguments.attach = observed.field("attach", attach);
    observed
}

async fn read_each(aws: &Aws, ids: &[PhysicalId], fields: &Fields) -> Answer {
    let reads = ids.iter().map(|id| async move { (id.clone(), read_one(aws, id, fields).await) });
    Ok(together(reads).await)
}

async fn read_one(aws: &Aws, id: &PhysicalId, fields: &Fields) -> Observation<IamRole> {
    let role = match aws.iam().get_role().role_name(id.as_str()).send().await.map_err(AwsError::from) {
        Ok(output) => match output.role {
            Some(role) => role,
            None => return Observation::Absent,
        },
        Err(error) => return Observation::from_read(Err(error)),
    };
    let (inline, attach) =
        futures::join!(read_inline(aws, id, fields.wants("policies")), read_attached(aws, id, fields.wants("attach")));
    let mut observed = from_role(role);
    observed.arguments.policies = observed.field("policies", inline);
    observed.arguments.attach = observed.field("attach", attach);
    Observation::Present(Box::new(observed))
}

fn from_role(role: Role) -> Observed<IamRole> {
    let (tags, owner) = split_tags(role.tags);
    let arguments = Arguments {
        name: Some(role.role_name.clone()),
        path: role.path,
        description: role.description.unwrap_or_default(),
        trust: Trust::from_document(&document(role.assume_role_policy_document.as_deref())),
        max_session_seconds: session_seconds(role.max_session_duration),
        permissions_boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        policies: BTreeMap::new(),
        attach: Vec::new(),
        tags,
    };
    let attributes = Attributes { arn: role.arn, role_id: role.role_id, name: role.role_name };
    Observed::new(arguments, attributes, owner)
}

async fn read_inline(aws: &Aws, id: &PhysicalId, wanted: bool) -> Result<Inline, AwsError> {
    let mut out = BTreeMap::new();
    if !wanted {
        return Ok(out);
    }
    let mut names = aws.iam().list_role_policies().role_name(id.as_str()).into_paginator().items().send();
    while let Some(name) = names.next().await {
        let name = name?;
        let policy = aws.iam().get_role_policy().role_name(id.as_str()).policy_name(&name).send().await?;
        out.insert(name, document(Some(&policy.policy_document)));
    }
    Ok(out)
}

async fn read_attached(aws: &Aws, id: &PhysicalId, wanted: bool) -> Result<Vec<String>, AwsError> {
    if !wanted {
        return Ok(Vec::new());
    }
    let mut pages = aws.iam().list_attached_role_policies().role_name(id.as_str()).into_paginator().items().send();
    let mut attached = Vec::new();
    while let Some(policy) = pages.next().await {
        attached.push(policy?);
    }
    let owned = owned_policies(aws, &attached).await;
    attachments(&attached, &owned)
}

/// Returns what the role's `attach` has to name: everything but the policies that opora made.
fn attachments(attached: &[AttachedPolicy], owned: &OwnedPolicies) -> Result<Vec<String>, AwsError> {
    let mut out = Vec::new();
    for arn in attached.iter().filter_map(|policy| policy.policy_arn()) {
        let own = match owned.get(arn) {
            Some(known) => known.clone()?,
            None => false,
        };
        if is_aws_policy(arn) || !own {
            out.push(arn.to_owned());
        }
    }
    Ok(out)
}
