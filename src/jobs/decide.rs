//! What makes a job this job, what it may cost, and what to do next with it.
//!
//! [`decide`] is pure and holds every decision of a run; it looks at the latest record and nothing else.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::data;
use super::engine::DataSet;
use super::error::JobError;
use super::file::Job;
use super::price::WorstCase;
use super::record::{RECORD_VERSION, Record, Stage, Uploaded};
use super::units::Usd;

/// What to do next with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Write the first record of an attempt; the one before is given up where it had no end.
    Plan { attempt: u32 },
    /// Nothing was sent: upload and send.
    Start,
    /// It was to be sent: look whether it was.
    Recover,
    /// Ask AWS until it ends.
    Follow,
    /// It ended well before.
    Done,
    /// It ended, and not well; only the user can want it again.
    Refuse,
}

/// Decides the next step from the latest record alone.
pub(super) fn decide(record: Option<&Record>, again: bool, detached: bool) -> Move {
    let Some(record) = record else { return Move::Plan { attempt: 1 } };
    let next = Move::Plan { attempt: record.attempt + 1 };
    match record.stage {
        Stage::Planned | Stage::Uploading => Move::Start,
        Stage::Submitting => Move::Recover,
        Stage::Submitted | Stage::Running | Stage::Stopping if detached => Move::Follow,
        // What runs in the client ends with it.
        Stage::Submitted | Stage::Running | Stage::Stopping => Move::Recover,
        Stage::Succeeded | Stage::Failed | Stage::Cancelled | Stage::Lost if again => next,
        Stage::Succeeded => Move::Done,
        Stage::Failed | Stage::Cancelled | Stage::Lost => Move::Refuse,
    }
}

/// A job with its data read and its identity known.
pub(super) struct Identified {
    pub digest: String,
    pub base: String,
    pub sets: Vec<DataSet>,
    pub data: Vec<Uploaded>,
}

/// Reads the data and makes the identity.
pub(super) async fn identify(job: &Job) -> Result<Identified, JobError> {
    let sets = job.engine.data(&job.spec);
    let mut data = Vec::with_capacity(sets.len());
    for set in &sets {
        data.push(data::digest(&job.folder, set).await?);
    }
    let digests: Vec<Value> = data.iter().map(|set| json!({ "channel": set.channel, "digest": set.digest })).collect();
    // What changes nothing of the work (budget, prices, tags) is no part of its identity.
    let whole = json!({
        "version": RECORD_VERSION,
        "environment": job.scope.environment,
        "account": job.scope.account,
        "region": job.scope.region,
        "job": job.name,
        "engine": job.engine.name(),
        "spec": job.spec,
        "deadline": job.deadline.as_secs(),
        "data": digests,
    });
    let digest = hex::encode(Sha256::digest(whole.to_string()));
    let base = format!("{}-{}", job.name, &digest[..12]);
    Ok(Identified { digest, base, sets, data })
}

/// Returns the worst case, where it is known and within the budget.
pub(super) fn check_budget(job: &Job) -> Result<Option<Usd>, JobError> {
    let worst = job.engine.worst_case(&job.spec, job.deadline, &job.scope.region, &job.price);
    match (worst, job.budget) {
        (WorstCase::Known(worst), Some(budget)) if worst > budget => {
            Err(JobError::OverBudget { job: job.name.clone(), worst, budget })
        }
        (WorstCase::Known(worst), _) => Ok(Some(worst)),
        (WorstCase::Unknown(what), Some(_)) => Err(JobError::UnknownPrice { what }),
        (WorstCase::Unknown(_), None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stage: Stage) -> Record {
        let value = json!({
            "version": 1, "id": "a-1", "job": "a", "environment": "e", "engine": "x", "digest": "d", "attempt": 3,
            "sequence": 1, "stage": stage, "spec": {}, "name": "n", "deadline_seconds": 1,
            "planned": "2026-01-05T09:00:00Z",
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_the_user_makes_another_attempt() {
        use Move::{Done, Follow, Plan, Recover, Refuse, Start};
        assert_eq!(decide(None, false, true), Plan { attempt: 1 });
        let next = Plan { attempt: 4 };
        for (stage, detached, attached, again) in [
            (Stage::Planned, Start, Start, Start),
            (Stage::Uploading, Start, Start, Start),
            (Stage::Submitting, Recover, Recover, Recover),
            (Stage::Submitted, Follow, Recover, Follow),
            (Stage::Running, Follow, Recover, Follow),
            (Stage::Stopping, Follow, Recover, Follow),
            (Stage::Succeeded, Done, Done, next),
            (Stage::Failed, Refuse, Refuse, next),
            (Stage::Cancelled, Refuse, Refuse, next),
            (Stage::Lost, Refuse, Refuse, next),
        ] {
            let record = record(stage);
            assert_eq!(decide(Some(&record), false, true), detached, "{stage:?}");
            assert_eq!(decide(Some(&record), false, false), attached, "{stage:?}");
            assert_eq!(decide(Some(&record), true, true), again, "{stage:?}");
        }
    }
}
