//! Replicas of a secret in other regions.
//!
//! A failed replica is none: it reads as absent, and an update makes it anew. No call changes a replica's key, so
//! the replica is removed and added again; meanwhile its region has no secret.

use async_trait::async_trait;
use aws_sdk_secretsmanager::types::{ReplicaRegionType, ReplicationStatusType, StatusType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DEFAULT_KEY, SecretsmanagerSecret, describe};
use crate::aws::resource::{Problem, Update};
use crate::aws::wait::{Bound, Poll, Stepwise, step_by_step, until};
use crate::aws::{Aws, AwsError, ErrorClass};

/// Seconds for which replicas may take to be in sync.
const IN_SYNC_S: u64 = 600;

/// A copy of the secret in another region, under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// The region, such as `eu-west-1`; not the secret's own.
    #[schemars(length(max = 128), regex(pattern = r"^([a-z]+-)+\d+$"))]
    pub region: String,
    /// The ARN, id or alias of a KMS key in that region; left out, its `aws/secretsmanager` key.
    ///
    /// A change removes the replica and makes it anew.
    #[serde(default)]
    pub kms_key: Option<String>,
}

impl Replica {
    pub(super) fn to_aws(&self) -> ReplicaRegionType {
        ReplicaRegionType::builder().region(&self.region).set_kms_key_id(self.kms_key.clone()).build()
    }

    fn of_aws(status: &ReplicationStatusType) -> Self {
        let kms_key = status.kms_key_id.clone().filter(|key| key != DEFAULT_KEY);
        Self { region: status.region.clone().unwrap_or_default(), kms_key }
    }
}

/// Reads the replicas that there are or will be.
pub(super) fn read(statuses: &[ReplicationStatusType]) -> Vec<Replica> {
    statuses.iter().filter(|status| !has_failed(status)).map(Replica::of_aws).collect()
}

fn has_failed(status: &ReplicationStatusType) -> bool {
    matches!(status.status, Some(StatusType::Failed))
}

/// Checks that no region has two replicas.
pub(super) fn check(replicas: &Value) -> Vec<Problem> {
    let regions =
        replicas.as_array().into_iter().flatten().map(|replica| replica.get("region").and_then(Value::as_str));
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for (index, region) in regions.enumerate() {
        if region.is_some() && seen.contains(&region) {
            out.push(Problem::new(format!("replicas[{index}].region"), "a region has one replica"));
        }
        seen.push(region);
    }
    out
}

/// Removes what is not wanted, adds what is, and waits until all are in sync; one that fails is an error.
pub(super) async fn update(cx: &Update<'_, SecretsmanagerSecret>) -> Result<(), AwsError> {
    step_by_step(cx.aws, &Replicas { aws: cx.aws, id: cx.id.as_str(), wanted: &cx.after.replicas }).await
}

/// A secret's replicas on their way to what is wanted.
struct Replicas<'a> {
    aws: &'a Aws,
    id: &'a str,
    wanted: &'a [Replica],
}

#[async_trait]
impl Stepwise for Replicas<'_> {
    type Step = Step;

    const WHAT: &'static str = "the secret's replicas";

    async fn next(&self, sent: &[Step]) -> Result<Option<Step>, AwsError> {
        let there = settled(self.aws, self.id).await?;
        let asked = |region: &Option<String>| sent.iter().any(|step| step.adds(region.as_deref()));
        match there.iter().find(|status| has_failed(status) && asked(&status.region)) {
            Some(failed) => Err(failure(failed)),
            None => Ok(next(&there, self.wanted)),
        }
    }

    async fn send(&self, step: &Step) -> Result<(), AwsError> {
        match step {
            Step::Remove(regions) => remove(self.aws, self.id, regions.clone()).await,
            Step::Add(replicas) => {
                let regions = replicas.iter().map(Replica::to_aws).collect();
                let call = self.aws.secretsmanager().replicate_secret_to_regions().secret_id(self.id);
                call.set_add_replica_regions(Some(regions)).send().await?;
                Ok(())
            }
        }
    }
}

/// One call that brings a secret closer to its arguments.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Takes replicas away, by their regions.
    Remove(Vec<String>),
    Add(Vec<Replica>),
}

impl Step {
    fn adds(&self, region: Option<&str>) -> bool {
        matches!(self, Self::Add(replicas) if replicas.iter().any(|replica| Some(replica.region.as_str()) == region))
    }
}

/// Decides what to do next. What is not wanted goes first, for its region may be wanted with another key.
fn next(there: &[ReplicationStatusType], wanted: &[Replica]) -> Option<Step> {
    let kept = read(there);
    let gone = there.iter().filter(|status| has_failed(status) || !wanted.contains(&Replica::of_aws(status)));
    let gone: Vec<String> = gone.filter_map(|status| status.region.clone()).collect();
    if !gone.is_empty() {
        return Some(Step::Remove(gone));
    }
    let new: Vec<Replica> = wanted.iter().filter(|replica| !kept.contains(replica)).cloned().collect();
    (!new.is_empty()).then_some(Step::Add(new))
}

/// Removes all replicas of a secret, and tells whether it had any.
pub(super) async fn remove_all(aws: &Aws, id: &str) -> Result<bool, AwsError> {
    let statuses = statuses(aws, id).await?;
    if !statuses.is_empty() {
        remove(aws, id, statuses.iter().filter_map(|status| status.region.clone()).collect()).await?;
    }
    Ok(!statuses.is_empty())
}

async fn remove(aws: &Aws, id: &str, regions: Vec<String>) -> Result<(), AwsError> {
    let call = aws.secretsmanager().remove_regions_from_replication().secret_id(id);
    call.set_remove_replica_regions(Some(regions)).send().await?;
    Ok(())
}

/// Waits until no replica is in progress, and returns what they are.
pub(super) async fn settled(aws: &Aws, id: &str) -> Result<Vec<ReplicationStatusType>, AwsError> {
    until(aws, "the replicas to be in sync", Bound::seconds(IN_SYNC_S), || async {
        let statuses = statuses(aws, id).await?;
        let over = |status: &ReplicationStatusType| has_failed(status) || status.status == Some(StatusType::InSync);
        let pending = statuses.iter().find(|status| !over(status)).and_then(|status| status.region.clone());
        Ok(pending.map_or_else(|| Poll::Ready(statuses), |region| Poll::Pending(format!("in progress in {region}"))))
    })
    .await
}

fn failure(failed: &ReplicationStatusType) -> AwsError {
    let reason = failed.status_message.as_deref().unwrap_or("Secrets Manager says no reason");
    let message = format!("the replica in {} failed: {reason}", failed.region.as_deref().unwrap_or_default());
    AwsError::own("secretsmanager:ReplicateSecretToRegions", ErrorClass::Other, "ReplicationFailed", message)
}

async fn statuses(aws: &Aws, id: &str) -> Result<Vec<ReplicationStatusType>, AwsError> {
    let secret = describe(aws, id).await?;
    Ok(secret.and_then(|secret| secret.replication_status).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_region_has_one_replica() {
        let twice = json!([{ "region": "eu-west-1" }, { "region": "eu-west-1", "kms_key": "alias/acme" }]);
        assert_eq!(check(&twice)[0].path, "replicas[1].region");
        assert_eq!(check(&json!([{ "region": "eu-west-1" }, { "region": "eu-west-2" }])), vec![]);
        assert_eq!(check(&Value::Null), vec![]);
    }

    fn status(region: &str, status: StatusType) -> ReplicationStatusType {
        ReplicationStatusType::builder().region(region).status(status).kms_key_id(DEFAULT_KEY).build()
    }

    #[test]
    fn a_failed_replica_is_none() {
        let read = read(&[status("eu-west-1", StatusType::InSync), status("eu-west-2", StatusType::Failed)]);
        assert_eq!(read, vec![Replica { region: "eu-west-1".to_owned(), kms_key: None }]);
    }

    #[test]
    fn what_is_not_wanted_goes_before_what_is_comes() {
        let wanted =
            |region: &str, key: Option<&str>| Replica { region: region.to_owned(), kms_key: key.map(str::to_owned) };
        let there = [status("eu-west-1", StatusType::InSync), status("eu-west-2", StatusType::Failed)];
        let both = [wanted("eu-west-1", None), wanted("eu-west-2", None)];
        assert_eq!(next(&there, &both), Some(Step::Remove(vec!["eu-west-2".to_owned()])));
        assert_eq!(next(&there[..1], &both), Some(Step::Add(vec![both[1].clone()])));
        assert_eq!(next(&there[..1], &both[..1]), None);
        let other_key = [wanted("eu-west-1", Some("alias/acme"))];
        assert_eq!(next(&there[..1], &other_key), Some(Step::Remove(vec!["eu-west-1".to_owned()])));
        assert_eq!(next(&[], &other_key), Some(Step::Add(other_key.to_vec())));
    }
}
