//! A Bedrock guardrail, its draft and its numbered versions.
//!
//! Calls: CreateGuardrail (tags and client token in it); UpdateGuardrail, CreateGuardrailVersion, TagResource,
//! UntagResource; DeleteGuardrail, for an old version or for the guardrail with all its versions. Reads:
//! GetGuardrail of the draft and of the newest version, ListGuardrails for the versions, ListTagsForResource.
//! Waits: until the draft, and a new version, are `READY`; until a deleted one is gone.
//! Traps: UpdateGuardrail takes the whole configuration, and what is left out of it is removed. A published
//! version never changes, so `version: publish` holds when the newest version says what the draft says.

use aws_sdk_bedrock::operation::get_guardrail::GetGuardrailOutput;
use aws_sdk_bedrock::types::{GuardrailStatus, Tag};
use serde_json::Value;

pub use super::bedrock_guardrail_arguments::{Arguments, Attributes};
use super::bedrock_guardrail_arguments::{Version, check};
use super::bedrock_guardrail_policies as policies;
use super::bedrock_guardrail_versions as versions;
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::{TagChanges, Tags, split};
use crate::aws::wait::{Bound, Poll, until, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// Characters of a name; the API's limit.
const NAME_MAX: usize = 50;
const DRAFT: &str = "DRAFT";

/// See the module's header.
pub struct BedrockGuardrail;

impl ResourceKind for BedrockGuardrail {
    const NAME: &'static str = "bedrock_guardrail";
    const SERVICE: &'static str = "bedrock";
    const IDENTITY: Identity = Identity::ClientToken;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("bedrock:guardrail"));
    const ACTIONS: Actions = Actions {
        read: &["bedrock:GetGuardrail", "bedrock:ListGuardrails", "bedrock:ListTagsForResource", "tag:GetResources"],
        create: &["bedrock:CreateGuardrail", "bedrock:CreateGuardrailVersion", "bedrock:TagResource"],
        update: &[
            "bedrock:CreateGuardrailVersion",
            "bedrock:DeleteGuardrail",
            "bedrock:GetGuardrail",
            "bedrock:ListGuardrails",
            "bedrock:TagResource",
            "bedrock:UntagResource",
            "bedrock:UpdateGuardrail",
        ],
        delete: &["bedrock:DeleteGuardrail", "bedrock:GetGuardrail"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        check(arguments)
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let reads = ids.iter().map(|id| async {
            let read = read_one(aws, id.as_str(), fields).await;
            (id.clone(), Observation::from_read(read))
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let mut pages = aws.bedrock().list_guardrails().into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(guardrail) = pages.next().await {
            found.push(guardrail?);
        }
        let tags = together(found.iter().map(|guardrail| tags(aws, &guardrail.arn))).await;
        let mut out = Vec::new();
        for (guardrail, tags) in found.into_iter().zip(tags) {
            // One that was deleted between the two calls is not there.
            let Some(tags) = tags.map_or_else(AwsError::absent, |tags| Ok(Some(tags)))? else { continue };
            let (_, owner) = split(tags);
            out.push(Discovered { id: guardrail.id.into(), owner, name: Some(guardrail.name) });
        }
        Ok(out)
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = arguments.name.clone().unwrap_or_else(|| cx.default_name(NAME_MAX));
        let tags = bedrock_tags(&cx.tags(&arguments.tags));
        let output = while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .bedrock()
                .create_guardrail()
                .name(&name)
                .set_description(arguments.description.clone())
                .set_content_policy_config(policies::content(arguments))
                .set_topic_policy_config(policies::topics(arguments))
                .set_word_policy_config(policies::words(arguments))
                .set_sensitive_information_policy_config(policies::sensitive(arguments))
                .set_contextual_grounding_policy_config(policies::grounding(arguments))
                .set_cross_region_config(policies::cross_region(arguments))
                .blocked_input_messaging(&arguments.blocked_input_message)
                .blocked_outputs_messaging(&arguments.blocked_output_message)
                .set_kms_key_id(arguments.kms_key.clone())
                .set_tags(Some(tags.clone()))
                .client_request_token(cx.token);
            Ok(call.send().await?)
        })
        .await?;
        Ok(output.guardrail_id.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until_ready(aws, id.as_str(), DRAFT).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let id = cx.id.as_str();
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            retag(cx.aws, &cx.before.attributes.arn, &changes).await?;
        }
        let of_draft = |path: &String| {
            !["tags", "version", "versions_kept"].contains(&path.split(['.', '[']).next().unwrap_or_default())
        };
        let changes_draft = cx.changes.0.iter().any(of_draft);
        if changes_draft {
            update_draft(&cx).await?;
            until_ready(cx.aws, id, DRAFT).await?;
        }
        let publish = cx.after.version == Some(Version::Publish);
        if publish && (changes_draft || cx.before.arguments.version.is_none()) {
            versions::publish(&cx).await?;
        }
        if let Some(kept) = cx.after.versions_kept {
            versions::prune(cx.aws, id, kept).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let id = cx.id.as_str();
        cx.aws.bedrock().delete_guardrail().guardrail_identifier(id).send().await?;
        until(cx.aws, "a guardrail's deletion", Bound::seconds(300), || async {
            match get(cx.aws, id, DRAFT).await {
                Ok(found) => Ok(Poll::Pending(found.status.as_str().to_owned())),
                Err(error) => error.absent::<()>().map(|_| Poll::Ready(())),
            }
        })
        .await
    }
}

/// Sends the whole configuration; optional arguments that are not this change's keep what they have.
async fn update_draft(cx: &Update<'_, BedrockGuardrail>) -> Result<(), AwsError> {
    let before = &cx.before.arguments;
    let mut after = cx.after.clone();
    macro_rules! keep {
        ($($field:ident),*) => {
            $(if !cx.touches(stringify!($field)) { after.$field = before.$field.clone(); })*
        };
    }
    keep!(name, description, contextual_grounding, cross_region_profile, kms_key);
    let after = &after;
    while_not_yet(cx.aws, Bound::propagation(), || async {
        let call = cx
            .aws
            .bedrock()
            .update_guardrail()
            .guardrail_identifier(cx.id.as_str())
            .set_name(after.name.clone().or_else(|| before.name.clone()))
            .set_description(after.description.clone())
            .set_content_policy_config(policies::content(after))
            .set_topic_policy_config(policies::topics(after))
            .set_word_policy_config(policies::words(after))
            .set_sensitive_information_policy_config(policies::sensitive(after))
            .set_contextual_grounding_policy_config(policies::grounding(after))
            .set_cross_region_config(policies::cross_region(after))
            .blocked_input_messaging(&after.blocked_input_message)
            .blocked_outputs_messaging(&after.blocked_output_message)
            .set_kms_key_id(after.kms_key.clone());
        call.send().await?;
        Ok(())
    })
    .await
}

async fn get(aws: &Aws, id: &str, version: &str) -> Result<GetGuardrailOutput, AwsError> {
    Ok(aws.bedrock().get_guardrail().guardrail_identifier(id).guardrail_version(version).send().await?)
}

pub(super) async fn until_ready(aws: &Aws, id: &str, version: &str) -> Result<(), AwsError> {
    until(aws, "a guardrail", Bound::seconds(600), || async {
        let found = match get(aws, id, version).await {
            Ok(found) => found,
            Err(error) => {
                error.absent::<()>()?;
                return Ok(Poll::Pending("not visible".to_owned()));
            }
        };
        match found.status {
            GuardrailStatus::Ready => Ok(Poll::Ready(())),
            GuardrailStatus::Failed => {
                let reasons =
                    [found.status_reasons.unwrap_or_default(), found.failure_recommendations.unwrap_or_default()];
                let message = format!("guardrail `{id}` failed: {}", reasons.concat().join("; "));
                Err(AwsError::own("bedrock:GetGuardrail", ErrorClass::Invalid, "GuardrailFailed", message))
            }
            status => Ok(Poll::Pending(status.as_str().to_owned())),
        }
    })
    .await
}

async fn tags(aws: &Aws, arn: &str) -> Result<Vec<(String, String)>, AwsError> {
    let output = aws.bedrock().list_tags_for_resource().resource_arn(arn).send().await?;
    Ok(output.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
}

async fn retag(aws: &Aws, arn: &str, changes: &TagChanges) -> Result<(), AwsError> {
    if !changes.set.is_empty() {
        let tags = bedrock_tags(&changes.set);
        aws.bedrock().tag_resource().resource_arn(arn).set_tags(Some(tags)).send().await?;
    }
    if !changes.remove.is_empty() {
        let keys = changes.remove.clone();
        aws.bedrock().untag_resource().resource_arn(arn).set_tag_keys(Some(keys)).send().await?;
    }
    Ok(())
}

fn bedrock_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| {
        Tag::builder().key(key).value(value).build().expect("internal error: key and value are set")
    };
    tags.iter().map(tag).collect()
}

async fn read_one(aws: &Aws, id: &str, fields: &Fields) -> Result<Observed<BedrockGuardrail>, AwsError> {
    let draft = get(aws, id, DRAFT).await?;
    let read_tags = async { if fields.wants("tags") { tags(aws, &draft.guardrail_arn).await } else { Ok(Vec::new()) } };
    let (tags, newest) = futures::join!(read_tags, versions::newest(aws, id));
    let mut arguments = policies::read(&draft);
    let mut attributes = Attributes {
        id: draft.guardrail_id.clone(),
        arn: draft.guardrail_arn.clone(),
        version: DRAFT.to_owned(),
        status: draft.status.as_str().to_owned(),
    };
    let mut unreadable = std::collections::BTreeMap::new();
    let published = match newest {
        Ok(None) => Ok(None),
        Ok(Some(number)) => {
            attributes.version.clone_from(&number);
            if fields.wants("version") { get(aws, id, &number).await.map(Some) } else { Ok(None) }
        }
        Err(error) => Err(error),
    };
    match published {
        Ok(published) => {
            let same = published.is_some_and(|published| policies::same(&policies::read(&published), &arguments));
            arguments.version = same.then_some(Version::Publish);
        }
        Err(error) => {
            unreadable.insert("version".to_owned(), error.reason());
        }
    }
    let mut observed = Observed::<BedrockGuardrail>::new(arguments, attributes, None);
    observed.unreadable = unreadable;
    let (user, owner) = split(observed.field("tags", tags));
    observed.arguments.tags = user;
    observed.owner = owner;
    Ok(observed)
}
