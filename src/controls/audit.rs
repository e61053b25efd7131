//! The outcome of checking: findings, the populations behind them, and the state of each control.
//!
//! [`evaluate`] is a pure function of its question: the same question gives the same audit, byte for byte. What
//! could not be looked at shows as `unknown` in findings, populations and controls, and never improves a state.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::catalogue::{Catalogue, RecordKind};
use super::check::{ACCOUNT, Check, Checks, Severity, TAGGED};
use super::expression::{Evaluator, Read, Subject, Unknown, Val};
use super::governance::{Attestations, Waiver, Waivers, day};
use super::rollup::{ControlResult, State, control_results};
use super::world::{View, World};
use crate::graph::Address;
use crate::kind::{KindSchemas, Resource, Scope};

/// The version of the audit's JSON form.
pub const FORMAT: u32 = 1;

/// What a check says of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    Unknown,
    NotApplicable,
}

/// Which of the three views of the resources was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Desired, as the spec has it.
    Spec,
    /// Planned: observed, with the plan's actions applied.
    Plan,
    /// Observed.
    Live,
}

impl Moment {
    /// Returns the word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Plan => "plan",
            Self::Live => "live",
        }
    }
}

/// What could not be read of the account as a whole; a field that could not be read is a value of its resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadProblems {
    /// Kinds whose resources could not be listed, with the reason (`access denied: iam:ListRoles`).
    pub unlisted: BTreeMap<String, String>,
}

/// What opora's own records say for the controls that they answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordEvidence {
    pub kind: RecordKind,
    /// Whether the record is kept and what it shows is in order.
    pub verdict: Verdict,
    /// What it shows, with counts.
    pub summary: String,
    /// Where it can be looked up.
    pub reference: String,
}

/// All that an audit is a function of.
pub struct Question<'a> {
    pub checks: &'a Checks,
    pub catalogue: &'a Catalogue,
    pub kinds: &'a KindSchemas,
    pub resources: &'a [Resource],
    pub problems: &'a ReadProblems,
    pub waivers: &'a Waivers,
    pub attestations: &'a Attestations,
    pub records: &'a [RecordEvidence],
    pub scope: &'a Scope,
    pub moment: Moment,
    pub now: Timestamp,
}

/// What a check says of one resource, or of the account, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub check: String,
    pub severity: Severity,
    pub verdict: Verdict,
    pub kind: String,
    /// `None` for a resource that the spec does not have, and for the account.
    pub address: Option<Address>,
    pub id: Option<String>,
    /// What is wrong, or why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether an apply makes an unknown verdict known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub after_apply: bool,
    /// The fields the verdict rests on.
    pub reads: Vec<Read>,
    /// Fields read beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    pub reads_omitted: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waiver>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Finding {
    /// Names what was looked at: an address, else AWS's id, else the account.
    pub fn subject(&self) -> String {
        match (&self.address, &self.id) {
            (Some(address), _) => address.to_string(),
            (None, Some(id)) => format!("{} {id}", self.kind),
            (None, None) => self.kind.clone(),
        }
    }

    /// Tells whether it is a fault that no waiver covers.
    pub fn is_open_fault(&self) -> bool {
        self.verdict == Verdict::Fail && self.waiver.is_none()
    }
}

/// How many resources a check looked at, and how they came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Population {
    pub check: String,
    pub kind: String,
    pub severity: Severity,
    /// What a failure means.
    pub message: String,
    /// The outcome over all of them.
    pub state: State,
    pub examined: usize,
    pub pass: usize,
    pub fail: usize,
    /// Failures that a waiver covers; not counted in `fail`.
    pub waived: usize,
    pub unknown: usize,
    pub not_applicable: usize,
    /// Why the numbers are what they are: nothing exists, or the listing failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The check's own texts, English to Ukrainian; reports for people take them from here.
    #[serde(skip)]
    pub ukrainian: BTreeMap<String, String>,
}

/// A waiver that did not count, or counted for nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdleWaiver {
    pub waiver: Waiver,
    pub reason: &'static str,
}

/// The whole outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    pub format: u32,
    pub framework: String,
    pub moment: Moment,
    pub scope: Scope,
    pub at: Timestamp,
    pub resources: usize,
    pub controls: Vec<ControlResult>,
    pub populations: Vec<Population>,
    pub findings: Vec<Finding>,
    pub idle_waivers: Vec<IdleWaiver>,
    pub read_problems: ReadProblems,
}

impl Audit {
    /// Returns how many controls are in a state.
    pub fn count(&self, state: State) -> usize {
        self.controls.iter().filter(|control| control.state == state).count()
    }

    /// Returns the findings of a check.
    pub fn findings_of<'a>(&'a self, check: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.check == check)
    }
}

/// Checks all resources and derives the state of every control.
pub fn evaluate(question: &Question<'_>) -> Audit {
    let world = World::new(question.resources, question.kinds, question.problems);
    let mut findings = Vec::new();
    let mut populations = Vec::new();
    for check in question.checks.iter() {
        let start = findings.len();
        run(check, &world, &mut findings);
        for finding in &mut findings[start..] {
            finding.waiver = waiver_for(finding, question);
        }
        populations.push(population(check, &world, &findings[start..]));
    }
    let controls = control_results(question, &populations);
    let idle_waivers = idle_waivers(question, &findings);
    Audit {
        format: FORMAT,
        framework: question.catalogue.framework.clone(),
        moment: question.moment,
        scope: question.scope.clone(),
        at: question.now,
        resources: question.resources.len(),
        controls,
        populations,
        findings,
        idle_waivers,
        read_problems: question.problems.clone(),
    }
}

/// Runs one check over its population, and adds a finding for each resource.
fn run(check: &Check, world: &World<'_>, findings: &mut Vec<Finding>) {
    let view = View::new(world, check);
    if check.kind == ACCOUNT {
        findings.push(examine(check, &view, None));
        return;
    }
    for subject in world.population(&check.kind) {
        findings.push(examine(check, &view, Some(subject)));
    }
}

fn examine<'w>(check: &'w Check, view: &'w View<'w>, subject: Option<&'w Subject<'w>>) -> Finding {
    let lists = view.lists_for(subject);
    let evaluator = Evaluator::new(subject, &lists);
    let applies = check.when.as_ref().map_or(Val::Bool(true), |when| evaluator.run(when, None));
    let excepted = matches!(applies, Val::Bool(false));
    let outcome = match applies {
        Val::Bool(true) => evaluator.run(&check.assert, None),
        other => other,
    };
    let (verdict, reason, after_apply) = match outcome {
        Val::Bool(false) if excepted => {
            let when = check.condition().unwrap_or_default();
            (Verdict::NotApplicable, Some(format!("it applies where `{when}`")), false)
        }
        Val::Bool(true) => (Verdict::Pass, None, false),
        Val::Bool(false) => (Verdict::Fail, Some(check.message.clone()), false),
        Val::Unknown(why) => (Verdict::Unknown, Some(why.reason()), why.is_after_apply()),
        other => (Verdict::Unknown, Some(Unknown::invalid(other.type_name()).reason()), false),
    };
    let (reads, reads_omitted) = evaluator.into_reads();
    Finding {
        check: check.id.clone(),
        severity: check.severity,
        verdict,
        kind: subject.map_or(&check.kind, |subject| &subject.resource.kind).clone(),
        address: subject.and_then(|subject| subject.resource.address.clone()),
        id: subject.and_then(|subject| subject.resource.id.as_ref().map(|id| id.0.clone())),
        reason,
        after_apply,
        reads,
        reads_omitted,
        waiver: None,
    }
}

fn waiver_for(finding: &Finding, question: &Question<'_>) -> Option<Waiver> {
    if finding.verdict != Verdict::Fail {
        return None;
    }
    let address = finding.address.as_ref().map(ToString::to_string);
    let names: Vec<&str> = match (&address, &finding.id) {
        (Some(address), _) => vec![address.as_str()],
        (None, Some(id)) => vec![id.as_str()],
        (None, None) => vec![ACCOUNT],
    };
    let today = day(question.now);
    let valid = question.waivers.0.iter().filter(|waiver| waiver.is_valid(today));
    valid.filter(|waiver| waiver.covers(&finding.check, &names)).max_by_key(|waiver| waiver.expires).cloned()
}

fn idle_waivers(question: &Question<'_>, findings: &[Finding]) -> Vec<IdleWaiver> {
    let today = day(question.now);
    let idle = |waiver: &Waiver| {
        let used = || findings.iter().any(|finding| finding.waiver.as_ref() == Some(waiver));
        let reason = match waiver.is_valid(today) {
            false => "it has expired and does not count",
            true if used() => return None,
            true => "nothing fails that it covers",
        };
        Some(IdleWaiver { waiver: waiver.clone(), reason })
    };
    question.waivers.0.iter().filter_map(idle).collect()
}

fn population(check: &Check, world: &World<'_>, findings: &[Finding]) -> Population {
    let count = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let waived = findings.iter().filter(|finding| finding.waiver.is_some()).count();
    let unlisted = world.unlisted(&check.kind).map(|why| why.reason());
    let note = match &unlisted {
        Some(reason) => Some(reason.clone()),
        None if findings.is_empty() => Some(match check.kind.as_str() {
            TAGGED => "no resource exists that takes tags".to_owned(),
            kind => format!("no {kind} exists"),
        }),
        None => None,
    };
    let (fail, unknown, pass) = (count(Verdict::Fail) - waived, count(Verdict::Unknown), count(Verdict::Pass));
    let state = match (fail, unknown, waived, pass) {
        (1.., ..) => State::Fail,
        (0, 1.., ..) => State::Unknown,
        _ if unlisted.is_some() => State::Unknown,
        (0, 0, 1.., _) => State::Waived,
        (0, 0, 0, 1..) => State::Pass,
        (0, 0, 0, 0) => State::NotApplicable,
    };
    let mut examined = findings.len();
    if check.kind == ACCOUNT {
        examined = check.kinds.iter().map(|kind| world.of_kind(kind).count()).sum();
    }
    Population {
        check: check.id.clone(),
        kind: check.kind.clone(),
        severity: check.severity,
        message: check.message.clone(),
        state,
        examined,
        pass,
        fail,
        waived,
        unknown,
        not_applicable: count(Verdict::NotApplicable),
        note,
        ukrainian: check.ukrainian(),
    }
}
