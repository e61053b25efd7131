//! What opora's own records show, for the controls that rest on records.
//!
//! A record that is not kept, or shows nothing yet, is unknown and never a pass.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::commit;
use super::context::{Connected, Context, Spec};
use crate::aws::ClockOffset;
use crate::controls::{Audit, RecordEvidence, RecordKind, Verdict};
use crate::engine::{DriftFound, LiveAccount};
use crate::jobs::{self, Stage};
use crate::render::counted;
use crate::report;
use crate::state::{Entry, RunId, State, StateError, StateLog};

/// The stream of the ledger that audits of the live account have.
const AUDITS: &str = "audits";
/// The audits that the state itself remembers; older ones are in the log.
const AUDITS_KEPT: usize = 50;
/// How old the last audit may be for the record to show that they are regular.
const AUDIT_AGE_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How far the clocks may be apart for records to be put in one order with AWS's.
const CLOCK_OFFSET_MAX_S: f64 = 5.0;

/// What the log keeps of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AuditRecord {
    version: u32,
    at: Timestamp,
    who: String,
    /// SHA-256 of the audit's JSON report, in hex.
    digest: String,
    /// How many controls are in each state.
    controls: std::collections::BTreeMap<String, usize>,
}

/// All that the records are taken from.
pub(super) struct Sources<'a> {
    pub spec: &'a Spec,
    pub connected: &'a Connected,
    pub state: &'a State,
    pub account: &'a LiveAccount,
    pub found: &'a DriftFound,
}

/// Says what the records show.
pub(super) fn records(context: &Context, sources: &Sources<'_>) -> Vec<RecordEvidence> {
    let location = sources.spec.environment.state.as_str();
    let now = sources.connected.aws.now();
    vec![
        inventory(context, sources.account),
        apply_log(sources.state, location),
        drift(sources.found),
        state_history(sources.state, location),
        job_ledger(sources.state),
        clock_offsets(sources.connected.aws.clock_offset()),
        audits(sources.state, now, location),
        spec_commits(sources.state, location),
    ]
}

fn evidence(kind: RecordKind, verdict: Verdict, summary: String, reference: &str) -> RecordEvidence {
    RecordEvidence { kind, verdict, summary, reference: reference.to_owned() }
}

fn passes(good: bool) -> Verdict {
    if good { Verdict::Pass } else { Verdict::Fail }
}

fn inventory(context: &Context, account: &LiveAccount) -> RecordEvidence {
    let managed = account.resources.iter().filter(|resource| resource.address.is_some()).count();
    let complete = account.unlisted.is_empty() && account.unread.is_empty();
    let summary = format!(
        "{} of {} kinds listed, {managed} managed, {} kinds or resources could not be read",
        counted(account.resources.len(), "resource"),
        context.schemas.iter().count(),
        account.unlisted.len() + account.unread.len(),
    );
    let verdict = if complete { Verdict::Pass } else { Verdict::Unknown };
    evidence(RecordKind::Inventory, verdict, summary, "opora drift --json")
}

fn apply_log(state: &State, location: &str) -> RecordEvidence {
    let unfinished = state.runs.iter().filter(|run| run.finished.is_none()).count();
    let verdict = if state.runs.is_empty() { Verdict::Unknown } else { passes(unfinished == 0) };
    let summary = format!("{} recorded, {unfinished} of them did not end in order", counted(state.runs.len(), "run"));
    evidence(RecordKind::ApplyLog, verdict, summary, location)
}

fn drift(found: &DriftFound) -> RecordEvidence {
    let coverage = &found.drift.coverage;
    let verdict = match (found.drift.unreadable.is_empty(), found.drift.drifted.is_empty()) {
        (_, false) => Verdict::Fail,
        (true, true) => Verdict::Pass,
        (false, true) => Verdict::Unknown,
    };
    let summary = format!(
        "{} managed resources compared in {} fields: {} drifted, {} fields unreadable",
        coverage.managed,
        coverage.fields_checked,
        found.drift.drifted.len(),
        coverage.fields_unreadable,
    );
    evidence(RecordKind::Drift, verdict, summary, "opora drift --json")
}

fn state_history(state: &State, location: &str) -> RecordEvidence {
    let verdict = if state.number == 0 { Verdict::Unknown } else { Verdict::Pass };
    let summary = format!("{} numbered entries, each holding the digest of the one before", state.number);
    evidence(RecordKind::StateHistory, verdict, summary, location)
}

/// Passes where every job kept to its deadline and budget, and the fate of each is known.
fn job_ledger(state: &State) -> RecordEvidence {
    let all = jobs::list(state);
    let unread = all.iter().filter(|job| job.is_err()).count();
    let known: Vec<_> = all.iter().flatten().collect();
    let lost = known.iter().filter(|job| job.stage == Stage::Lost).count();
    let over = known.iter().filter(|job| matches!((job.cost, job.budget), (Some(cost), Some(budget)) if cost > budget));
    let over = over.count();
    let late = known.iter().filter(|job| {
        let deadline = SignedDuration::from_secs(i64::try_from(job.deadline_seconds).unwrap_or(i64::MAX));
        matches!((job.submitted, job.ended), (Some(from), Some(to)) if to.duration_since(from) > deadline)
    });
    let late = late.count();
    let verdict = match (all.is_empty(), unread) {
        (true, _) => Verdict::Unknown,
        (false, 0) => passes(lost + over + late == 0),
        (false, _) => Verdict::Unknown,
    };
    let summary = format!(
        "{} jobs recorded with deadline and budget: {late} ended after their deadline, {over} cost more than their \
         budget, the fate of {lost} is unknown, {unread} records could not be read",
        all.len(),
    );
    evidence(RecordKind::JobLedger, verdict, summary, "opora job list --json")
}

fn clock_offsets(offset: ClockOffset) -> RecordEvidence {
    let verdict = if offset.answers == 0 { Verdict::Unknown } else { passes(offset.seconds_max <= CLOCK_OFFSET_MAX_S) };
    let summary = format!(
        "the dates of {} answers of AWS compared with the clock that stamps the records: {:.1} s apart at most",
        offset.answers, offset.seconds_max,
    );
    evidence(RecordKind::ClockOffsets, verdict, summary, "opora audit --live")
}

/// Passes where the last audit before this one is recent.
fn audits(state: &State, now: Timestamp, location: &str) -> RecordEvidence {
    let earlier = state.ledger.get(AUDITS).into_iter().flat_map(|stream| stream.values());
    let times = earlier.filter_map(|record| serde_json::from_value::<AuditRecord>(record.clone()).ok());
    let times: Vec<Timestamp> = times.map(|record| record.at).collect();
    let (verdict, summary) = match times.iter().max() {
        None => (Verdict::Unknown, "no earlier audit of the live account is recorded; this one is".to_owned()),
        Some(last) => (
            passes(now.duration_since(*last) <= AUDIT_AGE_MAX),
            format!(
                "{} earlier audits of the live account recorded, the last at {last:.0}; they are to be {} days apart \
                 at most",
                times.len(),
                AUDIT_AGE_MAX.as_hours() / 24,
            ),
        ),
    };
    evidence(RecordKind::Audits, verdict, summary, location)
}

/// Passes where every remembered run was made from a committed spec.
fn spec_commits(state: &State, location: &str) -> RecordEvidence {
    let runs = state.runs.len();
    let committed = state.runs.iter().filter_map(|run| run.spec_commit.as_deref());
    let changed = committed.clone().filter(|commit| commit.ends_with(commit::CHANGED)).count();
    let known = committed.count();
    let verdict = match () {
        () if changed > 0 => Verdict::Fail,
        () if runs == 0 || known < runs => Verdict::Unknown,
        () => Verdict::Pass,
    };
    let summary = format!(
        "{known} of {runs} runs name the commit of their spec, {changed} of them with changes that were not committed"
    );
    evidence(RecordKind::SpecCommits, verdict, summary, location)
}

/// Writes an audit of the live account into the log, beside whoever holds the lease.
pub(super) async fn remember(log: &StateLog, state: &State, who: &str, audit: &Audit) -> Result<(), StateError> {
    let mut controls = std::collections::BTreeMap::new();
    for control in &audit.controls {
        let state = serde_json::to_value(control.state).ok().and_then(|word| word.as_str().map(str::to_owned));
        *controls.entry(state.unwrap_or_default()).or_default() += 1;
    }
    let digest = hex::encode(Sha256::digest(report::json(audit)));
    let record = AuditRecord { version: 1, at: audit.at, who: who.to_owned(), digest, controls };
    let record = serde_json::to_value(&record).expect("internal error: a record is plain JSON");
    let ledger = |key: String, record: Value| Entry::Ledger { stream: AUDITS.to_owned(), key, record };
    let known: Vec<&String> = state.ledger.get(AUDITS).into_iter().flat_map(|stream| stream.keys()).collect();
    let old = known.len().saturating_sub(AUDITS_KEPT - 1);
    let mut entries: Vec<Entry> = known.into_iter().take(old).map(|key| ledger(key.clone(), Value::Null)).collect();
    entries.push(ledger(audit.at.to_string(), record));
    log.join(RunId(uuid::Uuid::new_v4())).await?.append(entries).await
}
