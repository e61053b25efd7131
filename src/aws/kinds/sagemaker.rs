//! What the kinds of SageMaker share: tags, names and VPC settings.
//!
//! SageMaker knows its things by names that are unique in account and region, and lists no tags with them; so
//! an earlier attempt is found under its name, and its tags tell whose it is. Nothing here is a kind.

use aws_sdk_sagemaker::types::{Tag, VpcConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::aws::resource::{Creation, Discovered, Fields, default_name};
use crate::aws::tags::{Owner, TagChanges, Tags, split};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::value::has_unknown;

/// Characters of a name; the API's limit.
pub(super) const NAME_MAX: usize = 63;
/// What a name looks like.
pub(super) const NAME_PATTERN: &str = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$";

/// Subnets and security groups that containers run in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// The subnets; at least two zones for endpoints that should survive the loss of one.
    #[schemars(length(min = 1, max = 16), extend("x-set" = true))]
    pub subnets: Vec<String>,
    /// The security groups.
    #[schemars(length(min = 1, max = 5), extend("x-set" = true))]
    pub security_groups: Vec<String>,
}

impl Vpc {
    pub(super) fn to_sdk(&self) -> VpcConfig {
        VpcConfig::builder()
            .set_subnets(Some(self.subnets.clone()))
            .set_security_group_ids(Some(self.security_groups.clone()))
            .build()
    }

    pub(super) fn of_sdk(found: &VpcConfig) -> Self {
        Self { subnets: found.subnets().to_vec(), security_groups: found.security_group_ids().to_vec() }
    }
}

/// Returns the name that a create uses.
pub(super) fn name_of(owner: &Owner, name: Option<&String>) -> String {
    name.cloned().unwrap_or_else(|| default_name(owner, NAME_MAX))
}

/// Predicts the `name` attribute.
pub(super) fn predict_name(arguments: &Value, owner: &Owner) -> Map<String, Value> {
    let name = match arguments.get("name") {
        Some(name) if has_unknown(name) => return Map::new(),
        Some(Value::String(name)) => name.clone(),
        _ => default_name(owner, NAME_MAX),
    };
    Map::from_iter([("name".to_owned(), name.into())])
}

pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// Reads the tags of an ARN.
pub(super) async fn tags(aws: &Aws, arn: &str) -> Result<(Tags, Option<Owner>), AwsError> {
    let mut pages = aws.sagemaker().list_tags().resource_arn(arn).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(tag) = pages.next().await {
        let tag = tag?;
        out.push((tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    }
    Ok(split(out))
}

/// Reads the tags of an ARN, where they are wanted.
pub(super) async fn read_tags(aws: &Aws, arn: &str, fields: &Fields) -> Result<(Tags, Option<Owner>), AwsError> {
    if fields.wants("tags") { tags(aws, arn).await } else { Ok(Default::default()) }
}

/// Sets new tags, then takes old ones away.
pub(super) async fn retag(aws: &Aws, arn: &str, changes: &TagChanges) -> Result<(), AwsError> {
    if !changes.set.is_empty() {
        aws.sagemaker().add_tags().resource_arn(arn).set_tags(Some(sdk_tags(&changes.set))).send().await?;
    }
    if !changes.remove.is_empty() {
        let keys = changes.remove.clone();
        aws.sagemaker().delete_tags().resource_arn(arn).set_tag_keys(Some(keys)).send().await?;
    }
    Ok(())
}

/// Answers a search by name: the thing, where there is one and it is the creator's own.
pub(super) async fn find_by_name(
    cx: Creation<'_>,
    name: String,
    arn: Result<Option<String>, AwsError>,
) -> Result<Vec<PhysicalId>, AwsError> {
    let found = match arn {
        Ok(found) => found,
        Err(error) => error.absent()?,
    };
    let Some(arn) = found else { return Ok(Vec::new()) };
    let owner = match tags(cx.aws, &arn).await {
        Ok((_, owner)) => owner,
        // Made a moment ago, its tags do not show yet.
        Err(error) => error.absent()?,
    };
    Ok(if owner.as_ref() == Some(cx.owner) { vec![name.into()] } else { Vec::new() })
}

/// Returns a text, unless it is empty.
pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub(super) fn natural(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

/// Adds the owners to what a list answered with.
pub(super) async fn discovered(aws: &Aws, found: Vec<(String, String)>) -> Result<Vec<Discovered>, AwsError> {
    let reads = together(found.iter().map(|(_, arn)| tags(aws, arn))).await;
    let mut out = Vec::new();
    for ((name, _), read) in found.into_iter().zip(reads) {
        // One that was deleted between the two calls is not there.
        let Some((_, owner)) = read.map_or_else(AwsError::absent, |tags| Ok(Some(tags)))? else { continue };
        out.push(Discovered { id: name.into(), owner, name: None });
    }
    Ok(out)
}
