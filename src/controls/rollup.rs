//! Derives a control's state from what supports it.
//!
//! The worst wins: a fault no waiver covers, then what could not be looked at, then a waived fault, then a pass.
//! So a lost permission can turn a pass into unknown, and nothing into a pass. A control that nothing speaks for
//! is unknown, not passed; only a person's dated statement makes it attested, and only a justified decision
//! excludes it.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use super::audit::{Population, Question, RecordEvidence, Verdict};
use super::catalogue::{AttestationRequest, Control, Evidence, Theme};
use super::check::Severity;
use super::governance::{Attestation, Exclusion, day};

/// The state of a control, or of a check over its population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Pass,
    Fail,
    Unknown,
    NotApplicable,
    Attested,
    Waived,
    Excluded,
}

impl State {
    /// All states, in the order of a summary.
    pub const ALL: [Self; 7] =
        [Self::Fail, Self::Unknown, Self::Pass, Self::Attested, Self::Waived, Self::NotApplicable, Self::Excluded];

    /// Returns the word that files and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not-applicable",
            Self::Attested => "attested",
            Self::Waived => "waived",
            Self::Excluded => "excluded",
        }
    }

    /// Orders states of several supports of one control: the highest decides.
    fn weight(self) -> u8 {
        match self {
            Self::Fail => 6,
            Self::Unknown => 5,
            Self::Waived => 4,
            Self::Pass | Self::Attested => 3,
            Self::NotApplicable => 2,
            Self::Excluded => 1,
        }
    }
}

/// One check that supports a control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Support {
    pub check: String,
    pub severity: Severity,
    pub state: State,
    /// Why the check is evidence for this control.
    pub why: String,
}

/// A control with its state and what that rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlResult {
    pub id: String,
    pub title: String,
    pub theme: Theme,
    pub intent: String,
    pub evidence: Evidence,
    pub state: State,
    /// What decided.
    pub reason: String,
    pub checks: Vec<Support>,
    pub records: Vec<RecordEvidence>,
    /// What a person is asked, where a person answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<AttestationRequest>,
    /// The answer that counts, or that no longer does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusion: Option<Exclusion>,
}

pub(super) fn control_results(question: &Question<'_>, populations: &[Population]) -> Vec<ControlResult> {
    question.catalogue.iter().map(|control| control_result(control, question, populations)).collect()
}

fn control_result(control: &Control, question: &Question<'_>, populations: &[Population]) -> ControlResult {
    let mut votes: Vec<(State, String)> = Vec::new();
    let checks = supports(control, question, populations);
    for support in &checks {
        votes.push((support.state, vote_text(support, populations)));
    }
    let mut records = Vec::new();
    for wanted in &control.records {
        match question.records.iter().find(|record| record.kind == *wanted) {
            Some(record) => {
                records.push(record.clone());
                votes.push((record_state(record), record.summary.clone()));
            }
            None => votes.push((State::Unknown, format!("no record `{}` was given to this audit", wanted.as_str()))),
        }
    }
    let attestation = latest(control, question);
    if let Some(request) = &control.attestation {
        votes.push(attested(request, attestation.as_ref(), day(question.now)));
    }
    let exclusion = exclusion(control, question);
    let (state, reason) = match &exclusion {
        Some(exclusion) => (State::Excluded, exclusion.justification.clone()),
        None => decide(votes),
    };
    ControlResult {
        id: control.id.clone(),
        title: control.title.clone(),
        theme: control.theme,
        intent: control.intent.clone(),
        evidence: control.evidence,
        state,
        reason,
        checks,
        records,
        request: control.attestation.clone(),
        attestation,
        exclusion,
    }
}

/// The first of the weightiest votes decides, and says so.
fn decide(votes: Vec<(State, String)>) -> (State, String) {
    let mut decided = (State::Unknown, "no check or record speaks for it yet".to_owned());
    for (at, vote) in votes.into_iter().enumerate() {
        if at == 0 || vote.0.weight() > decided.0.weight() {
            decided = vote;
        }
    }
    decided
}

fn supports(control: &Control, question: &Question<'_>, populations: &[Population]) -> Vec<Support> {
    let support = |population: &Population| {
        let why = question.checks.get(&population.check)?.supports.get(&control.key)?;
        let Population { check, severity, state, .. } = population;
        Some(Support { check: check.clone(), severity: *severity, state: *state, why: why.clone() })
    };
    populations.iter().filter_map(support).collect()
}

fn vote_text(support: &Support, populations: &[Population]) -> String {
    let Some(population) = populations.iter().find(|population| population.check == support.check) else {
        return support.check.clone();
    };
    match (support.state, &population.note) {
        (State::Fail, _) => population.message.clone(),
        (State::Unknown, Some(note)) | (State::NotApplicable, Some(note)) => note.clone(),
        (State::Unknown, None) => format!("{}: not known for {} of them", support.check, population.unknown),
        (State::Waived, _) => format!("waived: {}", population.message),
        _ => support.why.clone(),
    }
}

fn record_state(record: &RecordEvidence) -> State {
    match record.verdict {
        Verdict::Pass => State::Pass,
        Verdict::Fail => State::Fail,
        Verdict::Unknown => State::Unknown,
        Verdict::NotApplicable => State::NotApplicable,
    }
}

/// Returns the statement that was made last, up to today.
fn latest(control: &Control, question: &Question<'_>) -> Option<Attestation> {
    let today = day(question.now);
    let mine = question.attestations.attestations.iter().filter(|one| names(&one.control, control));
    mine.filter(|one| one.date <= today).max_by_key(|one| (one.date, one.valid_until)).cloned()
}

fn exclusion(control: &Control, question: &Question<'_>) -> Option<Exclusion> {
    let today = day(question.now);
    let mine = question.attestations.exclusions.iter().filter(|one| names(&one.control, control));
    mine.filter(|one| one.date <= today && !one.justification.trim().is_empty()).max_by_key(|one| one.date).cloned()
}

fn names(name: &str, control: &Control) -> bool {
    name == control.id || name == control.key
}

fn attested(request: &AttestationRequest, attestation: Option<&Attestation>, today: Date) -> (State, String) {
    let Some(attestation) = attestation else {
        return (State::Unknown, format!("waits for the {}: {}", request.owner_role, request.question));
    };
    let bound = attestation.date.checked_add(i64::from(request.valid_days).days()).unwrap_or(attestation.valid_until);
    let until = attestation.valid_until.min(bound);
    if today > until {
        return (State::Unknown, format!("the statement of {} was valid until {until}", attestation.owner));
    }
    (State::Attested, format!("{}, on {}, valid until {until}", attestation.owner, attestation.date))
}
