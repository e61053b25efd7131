//! Who can reach a bucket: public access block, policy and ownership, and the order in which they change.
//!
//! At no moment is access wider than both before and after allow it.

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::S3Bucket;
use crate::aws::resource::{Update, yes};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError};
use crate::kind::{PolicyDocument, is_public};

/// What S3 refuses and ignores that would make the bucket public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicAccessBlock {
    /// Whether access control lists that grant public access are refused.
    #[serde(default = "yes")]
    pub block_acls: bool,
    /// Whether access control lists that grant public access have no effect.
    #[serde(default = "yes")]
    pub ignore_acls: bool,
    /// Whether a bucket policy that grants public access is refused.
    #[serde(default = "yes")]
    pub block_policy: bool,
    /// Whether a public bucket policy lets in AWS services and the own account only.
    #[serde(default = "yes")]
    pub restrict_buckets: bool,
}

impl Default for PublicAccessBlock {
    fn default() -> Self {
        Self { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true }
    }
}

/// Who owns the objects in the bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// The bucket's owner; access control lists are off.
    #[default]
    BucketOwnerEnforced,
    /// The bucket's owner where the writer grants it full control.
    BucketOwnerPreferred,
    /// Whoever writes an object.
    ObjectWriter,
}

impl PublicAccessBlock {
    /// Nothing blocked: what a bucket without a configuration has.
    pub(super) const NONE: Self =
        Self { block_acls: false, ignore_acls: false, block_policy: false, restrict_buckets: false };

    pub(super) fn of_aws(block: &s3::PublicAccessBlockConfiguration) -> Self {
        Self {
            block_acls: block.block_public_acls.unwrap_or_default(),
            ignore_acls: block.ignore_public_acls.unwrap_or_default(),
            block_policy: block.block_public_policy.unwrap_or_default(),
            restrict_buckets: block.restrict_public_buckets.unwrap_or_default(),
        }
    }

    /// Returns the block under which the policy changes: lists as tight as both, and the new policy is let in.
    ///
    /// `block_policy` refuses new policies only; what a policy that is there may do, `restrict_buckets` decides,
    /// and it decides on public policies alone. So with only the old policy public, the block waits for the new
    /// one; with only the new one public, the block comes first; with both, the tighter block is there meanwhile.
    /// In each case the bucket is in between as it is before, as it is after, or as what both have in common.
    fn between(before: Self, after: Self, public_before: bool, public_after: bool) -> Self {
        let restrict_buckets = match (public_before, public_after) {
            (_, false) => before.restrict_buckets,
            (false, true) => after.restrict_buckets,
            (true, true) => before.restrict_buckets || after.restrict_buckets,
        };
        Self {
            block_acls: before.block_acls || after.block_acls,
            ignore_acls: before.ignore_acls || after.ignore_acls,
            block_policy: after.block_policy,
            restrict_buckets,
        }
    }
}

impl Ownership {
    pub(super) fn to_aws(self) -> s3::ObjectOwnership {
        match self {
            Self::BucketOwnerEnforced => s3::ObjectOwnership::BucketOwnerEnforced,
            Self::BucketOwnerPreferred => s3::ObjectOwnership::BucketOwnerPreferred,
            Self::ObjectWriter => s3::ObjectOwnership::ObjectWriter,
        }
    }

    /// A bucket without ownership controls is an old one, whose objects belong to their writers.
    pub(super) fn of_aws(ownership: Option<&s3::ObjectOwnership>) -> Self {
        match ownership {
            Some(s3::ObjectOwnership::BucketOwnerEnforced) => Self::BucketOwnerEnforced,
            Some(s3::ObjectOwnership::BucketOwnerPreferred) => Self::BucketOwnerPreferred,
            _ => Self::ObjectWriter,
        }
    }
}

/// Changes public access block, ownership and policy, in the order that `between` tells.
pub(super) async fn update(cx: &Update<'_, S3Bucket>) -> Result<(), AwsError> {
    let (before, after) = (cx.before.arguments.public_access_block, cx.after.public_access_block);
    let public = |policy: &Option<PolicyDocument>| policy.as_ref().is_some_and(|policy| is_public(&policy.0));
    let (public_before, public_after) = (public(&cx.before.arguments.policy), public(&cx.after.policy));
    let between = match cx.touches("public_access_block") {
        true => PublicAccessBlock::between(before, after, public_before, public_after),
        false => before,
    };
    if between != before {
        put_block(cx.aws, cx.id.as_str(), between).await?;
    }
    if cx.touches("ownership") {
        let rule = s3::OwnershipControlsRule::builder().object_ownership(cx.after.ownership.to_aws());
        let rule = rule.build().expect("internal error: the ownership is set");
        let controls = s3::OwnershipControls::builder().rules(rule).build();
        let controls = controls.expect("internal error: there is a rule");
        cx.aws.s3().put_bucket_ownership_controls().bucket(cx.id.as_str()).ownership_controls(controls).send().await?;
    }
    if cx.touches("policy") {
        put_policy(cx).await?;
    }
    if cx.touches("public_access_block") && after != between {
        put_block(cx.aws, cx.id.as_str(), after).await?;
    }
    Ok(())
}

async fn put_block(aws: &Aws, bucket: &str, block: PublicAccessBlock) -> Result<(), AwsError> {
    let configuration = s3::PublicAccessBlockConfiguration::builder()
        .block_public_acls(block.block_acls)
        .ignore_public_acls(block.ignore_acls)
        .block_public_policy(block.block_policy)
        .restrict_public_buckets(block.restrict_buckets)
        .build();
    let call = aws.s3().put_public_access_block().bucket(bucket);
    call.public_access_block_configuration(configuration).send().await?;
    Ok(())
}

async fn put_policy(cx: &Update<'_, S3Bucket>) -> Result<(), AwsError> {
    let (s3, bucket) = (cx.aws.s3(), cx.id.as_str());
    let Some(policy) = &cx.after.policy else {
        s3.delete_bucket_policy().bucket(bucket).send().await?;
        return Ok(());
    };
    let text = policy.to_text();
    while_not_yet(cx.aws, Bound::propagation(), || async {
        s3.put_bucket_policy().bucket(bucket).policy(&text).send().await?;
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_is_never_wider_than_both() {
        let all = |bits: u8| PublicAccessBlock {
            block_acls: bits & 1 != 0,
            ignore_acls: bits & 2 != 0,
            block_policy: bits & 4 != 0,
            restrict_buckets: bits & 8 != 0,
        };
        for before in 0..16 {
            for after in 0..16 {
                let (before, after) = (all(before), all(after));
                for (old, new) in [(false, false), (false, true), (true, false), (true, true)] {
                    let between = PublicAccessBlock::between(before, after, old, new);
                    // How far the old policy reaches under the block of the moment, and the new one: 0 is not
                    // beyond the account, 1 is to those it names, 2 is to everybody.
                    let reach = |public: bool, restricts: bool| if !public { 1 } else { 2 * u8::from(!restricts) };
                    let ends = [reach(old, before.restrict_buckets), reach(new, after.restrict_buckets)];
                    for moment in [reach(old, between.restrict_buckets), reach(new, between.restrict_buckets)] {
                        assert!(ends.iter().min() <= Some(&moment) && Some(&moment) <= ends.iter().max());
                    }
                }
                let between = PublicAccessBlock::between(before, after, true, true);
                // What a list that is there can do: each of the two tightens it.
                assert!(between.ignore_acls >= before.ignore_acls.max(after.ignore_acls));
                // What can be put: the new policy, and no list that either refuses.
                assert_eq!(between.block_policy, after.block_policy);
                assert!(between.block_acls >= before.block_acls.max(after.block_acls));
            }
        }
    }
}
