//! What the IAM kinds share: documents as IAM encodes them, tags, and reading the whole account's IAM at once.
//!
//! Not a kind. GetAccountAuthorizationDetails gives roles with their policies and tags, and customer policies
//! with their documents, up to 1,000 a page; it has no role's description and session length (ListRoles has
//! them) and no policy's description and tags (GetPolicy has them).

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{AttachedPolicy, EntityType, ManagedPolicyDetail, RoleDetail, Tag};
use percent_encoding::percent_decode_str;

use crate::aws::tags::{Owner, Tags, split};
use crate::aws::{Aws, AwsError, together};
use crate::kind::PolicyDocument;

/// From this many ids on, one walk through the account is cheaper than a few calls for each.
pub(super) const BULK_MIN: usize = 4;

/// The most that IAM gives on one page.
const PAGE: i32 = 1000;

/// Reads a document as IAM returns it: JSON, percent-encoded (RFC 3986).
pub(super) fn document(encoded: Option<&str>) -> PolicyDocument {
    PolicyDocument::from_text(&percent_decode_str(encoded.unwrap_or_default()).decode_utf8_lossy())
}

/// Takes "it is not there" as success.
pub(super) fn gone<T, E: Into<AwsError>>(result: Result<T, E>) -> Result<(), AwsError> {
    match result.map_err(Into::into) {
        Ok(_) => Ok(()),
        Err(error) => error.absent::<()>().map(|_| ()),
    }
}

/// Makes IAM's tags.
pub(super) fn iam_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| {
        Tag::builder().key(key).value(value).build().expect("internal error: key and value are set")
    };
    tags.iter().map(tag).collect()
}

/// Splits IAM's tags into the user's and the owner's.
pub(super) fn split_tags(tags: Option<Vec<Tag>>) -> (Tags, Option<Owner>) {
    split(tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)))
}

/// Tells whether AWS itself keeps the role: service-linked ones and those of IAM Identity Center.
pub(super) fn is_aws_role(path: &str) -> bool {
    path.starts_with("/aws-service-role/") || path.starts_with("/aws-reserved/")
}

/// Tells whether an ARN names one of AWS's own policies.
pub(super) fn is_aws_policy(arn: &str) -> bool {
    arn.split(':').nth(4) == Some("aws")
}

/// Reads all roles, with their policies and tags.
pub(super) async fn role_details(aws: &Aws) -> Result<Vec<RoleDetail>, AwsError> {
    let call = aws.iam().get_account_authorization_details().filter(EntityType::Role).max_items(PAGE);
    let mut pages = call.into_paginator().send();
    let mut out = Vec::new();
    while let Some(page) = pages.next().await {
        out.extend(page?.role_detail_list.unwrap_or_default());
    }
    Ok(out)
}

/// Reads all customer policies with their documents, and all roles, for what is attached where.
pub(super) async fn policy_details(aws: &Aws) -> Result<(Vec<ManagedPolicyDetail>, Vec<RoleDetail>), AwsError> {
    let call = aws
        .iam()
        .get_account_authorization_details()
        .filter(EntityType::LocalManagedPolicy)
        .filter(EntityType::Role)
        .max_items(PAGE);
    let mut pages = call.into_paginator().send();
    let (mut policies, mut roles) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page?;
        policies.extend(page.policies.unwrap_or_default());
        roles.extend(page.role_detail_list.unwrap_or_default());
    }
    Ok((policies, roles))
}

/// What ListRoles has and [`role_details`] has not: description and longest session, by role name.
pub(super) async fn role_extras(aws: &Aws) -> Result<BTreeMap<String, (String, u32)>, AwsError> {
    let mut roles = aws.iam().list_roles().max_items(PAGE).into_paginator().items().send();
    let mut out = BTreeMap::new();
    while let Some(role) = roles.next().await {
        let role = role?;
        let seconds = session_seconds(role.max_session_duration);
        out.insert(role.role_name, (role.description.unwrap_or_default(), seconds));
    }
    Ok(out)
}

/// Returns the longest session; IAM leaves its default of one hour out of some answers.
pub(super) fn session_seconds(seconds: Option<i32>) -> u32 {
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(3600)
}

/// Returns the ARNs of those of the attached customer policies that opora made, in any environment.
///
/// One ListPolicyTags for each distinct customer policy.
pub(super) async fn owned_policies(
    aws: &Aws,
    attached: impl IntoIterator<Item = &AttachedPolicy>,
) -> BTreeMap<String, Result<bool, AwsError>> {
    let arns: BTreeSet<&str> =
        attached.into_iter().filter_map(|policy| policy.policy_arn()).filter(|arn| !is_aws_policy(arn)).collect();
    let reads = arns.into_iter().map(|arn| async move { (arn.to_owned(), is_owned_policy(aws, arn).await) });
    together(reads).await.into_iter().collect()
}

/// Tells whether opora made a customer policy; one that is gone is nobody's.
pub(super) async fn is_owned_policy(aws: &Aws, arn: &str) -> Result<bool, AwsError> {
    let mut tags = aws.iam().list_policy_tags().policy_arn(arn).into_paginator().items().send();
    let mut all = Vec::new();
    while let Some(tag) = tags.next().await {
        match tag.map_err(AwsError::from) {
            Ok(tag) => all.push(tag),
            Err(error) => return error.absent::<bool>().map(|_| false),
        }
    }
    Ok(split_tags(Some(all)).1.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_decoded() {
        let encoded = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Sid%22%3A%22a%2Bb%22%7D%5D%7D";
        assert_eq!(document(Some(encoded)).0, json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "a+b" }] }));
        assert_eq!(document(None).0, json!(""));
    }

    #[test]
    fn aws_keeps_some_roles_and_policies() {
        assert!(is_aws_policy("arn:aws-cn:iam::aws:policy/ReadOnlyAccess"));
        assert!(!is_aws_policy("arn:aws:iam::123456789012:policy/aws/x"));
        assert!(is_aws_role("/aws-service-role/ecs.amazonaws.com/"));
        assert!(!is_aws_role("/service-role/"));
    }
}
