//! The numbered versions of a guardrail: publishes new ones, and deletes old ones where the spec says how many to keep.
//!
//! A version carries no tags, so its description tells that opora published it. A version without that mark, one
//! that AWS says is in use, and the newest one before a change are never deleted here.

use aws_sdk_bedrock::types::GuardrailSummary;
use sha2::{Digest, Sha256};

use super::bedrock_guardrail::{BedrockGuardrail, until_ready};
use crate::aws::resource::Update;
use crate::aws::{Aws, AwsError, ErrorClass};

/// The description of versions that opora publishes.
const MARK: &str = "Published by opora";

/// A numbered version, and whether opora published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    number: u64,
    own: bool,
}

/// Returns the newest numbered version.
pub(super) async fn newest(aws: &Aws, id: &str) -> Result<Option<String>, AwsError> {
    let newest = versions(aws, id).await?.into_iter().map(|version| version.number).max();
    Ok(newest.map(|number| number.to_string()))
}

async fn versions(aws: &Aws, id: &str) -> Result<Vec<Numbered>, AwsError> {
    let mut pages = aws.bedrock().list_guardrails().guardrail_identifier(id).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(found) = pages.next().await {
        let GuardrailSummary { version, description, .. } = found?;
        let own = description.as_deref() == Some(MARK);
        out.extend(version.parse().ok().map(|number| Numbered { number, own }));
    }
    Ok(out)
}

/// Publishes the draft as a new version.
pub(super) async fn publish(cx: &Update<'_, BedrockGuardrail>) -> Result<(), AwsError> {
    let id = cx.id.as_str();
    // The same attempt after the same version gives the same token, so a lost reply makes no second one.
    let attempt = format!("{} publish {} {:?}", cx.token, cx.before.attributes.version, cx.after);
    let token = hex::encode(&Sha256::digest(attempt)[..16]);
    let create = || async {
        let call = cx.aws.bedrock().create_guardrail_version().guardrail_identifier(id).description(MARK);
        call.client_request_token(&token).send().await.map_err(AwsError::from)
    };
    let made = match (create().await, cx.after.versions_kept) {
        (Err(error), Some(kept)) if error.class == ErrorClass::Quota => {
            prune(cx.aws, id, kept.saturating_sub(1)).await?;
            create().await
        }
        (made, _) => made,
    };
    let version = made.map_err(|error| explained(error, cx.after.versions_kept))?.version;
    until_ready(cx.aws, id, &version).await
}

fn explained(mut error: AwsError, kept: Option<u32>) -> AwsError {
    if error.class == ErrorClass::Quota {
        let way = match kept {
            Some(_) => {
                "those that opora did not publish, or that are in use, are left alone; delete what nothing names"
            }
            None => "delete those that nothing names, or say by `versions_kept` how many opora is to keep",
        };
        error.message = format!("{} AWS keeps 20 versions of a guardrail: {way}", error.message);
    }
    error
}

/// Deletes the oldest of the versions that opora published, until `kept` of them are left.
pub(super) async fn prune(aws: &Aws, id: &str, kept: u32) -> Result<(), AwsError> {
    for number in surplus(versions(aws, id).await?, kept) {
        let call = aws.bedrock().delete_guardrail().guardrail_identifier(id).guardrail_version(number.to_string());
        match call.send().await.map_err(AwsError::from) {
            Ok(_) => {}
            // Something still uses it.
            Err(error) if error.class == ErrorClass::InUse || error.code == "ConflictException" => {}
            Err(error) => error.absent::<()>().map(|_| ())?,
        }
    }
    Ok(())
}

/// Returns the numbers of the own versions beyond the newest `kept`, oldest first.
fn surplus(mut versions: Vec<Numbered>, kept: u32) -> Vec<u64> {
    versions.retain(|version| version.own);
    versions.sort_by_key(|version| version.number);
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let surplus = versions.len().saturating_sub(kept);
    versions[..surplus].iter().map(|version| version.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_own_versions_are_surplus() {
        let versions: Vec<Numbered> = (1..=12).rev().map(|number| Numbered { number, own: number % 3 != 0 }).collect();
        assert_eq!(surplus(versions.clone(), 5), [1, 2, 4]);
        assert_eq!(surplus(versions.clone(), 8), [0; 0]);
        assert_eq!(surplus(versions, 2), [1, 2, 4, 5, 7, 8]);
    }
}
