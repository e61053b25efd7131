//! Compares two audits, and says what stops a plan.
//!
//! A fault is the same fault when the same check finds it on the same resource. What a plan repairs and breaks
//! is told per control. The gate looks at what the plan breaks or leaves broken, by severity.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::audit::{Audit, Finding, Verdict};
use super::check::Severity;

/// What a change does to one control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// `A.8.24`.
    pub control: String,
    pub check: String,
    pub severity: Severity,
    pub subject: String,
    /// What is, or was, wrong, or why it is not known.
    pub reason: String,
    /// Whether an apply makes an unknown known.
    pub after_apply: bool,
}

/// What a plan does to the controls.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ComplianceDiff {
    /// Faults that are gone after it.
    pub repaired: Vec<Change>,
    /// Faults that are there only after it.
    pub broken: Vec<Change>,
    /// What was known before and is not known after it.
    pub unknown: Vec<Change>,
}

impl ComplianceDiff {
    /// Tells whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.repaired.is_empty() && self.broken.is_empty() && self.unknown.is_empty()
    }

    /// Returns the controls of one of its lists, each once, in the framework's order.
    pub fn controls(changes: &[Change]) -> Vec<String> {
        let mut ids: Vec<String> = changes.iter().map(|change| change.control.clone()).collect();
        let order = |id: &String| id.split('.').filter_map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
        ids.sort_by_key(|id| (order(id), id.clone()));
        ids.dedup();
        ids
    }
}

/// Compares the audit of the world as it is with that of the world as planned.
pub fn compliance_diff(before: &Audit, after: &Audit) -> ComplianceDiff {
    let (old, new) = (by_subject(before), by_subject(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut diff = ComplianceDiff::default();
    for key in keys {
        let (was, is) = (old.get(key).copied(), new.get(key).copied());
        let failed = was.is_some_and(Finding::is_open_fault);
        match is {
            Some(is) if is.is_open_fault() => {
                if !failed {
                    changes(after, is, &mut diff.broken);
                }
            }
            Some(is) if is.verdict == Verdict::Unknown => {
                if was.is_none_or(|was| was.verdict != Verdict::Unknown) {
                    changes(after, is, &mut diff.unknown);
                }
            }
            _ => {
                if let Some(was) = was.filter(|was| was.is_open_fault()) {
                    changes(before, was, &mut diff.repaired);
                }
            }
        }
    }
    diff
}

fn by_subject(audit: &Audit) -> BTreeMap<(&str, String), &Finding> {
    audit.findings.iter().map(|finding| ((finding.check.as_str(), finding.subject()), finding)).collect()
}

fn changes(audit: &Audit, finding: &Finding, out: &mut Vec<Change>) {
    let supported = audit.controls.iter().filter(|control| control.checks.iter().any(|one| one.check == finding.check));
    for control in supported {
        out.push(Change {
            control: control.id.clone(),
            check: finding.check.clone(),
            severity: finding.severity,
            subject: finding.subject(),
            reason: finding.reason.clone().unwrap_or_default(),
            after_apply: finding.after_apply,
        });
    }
}

/// What a fault of some severity does to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateAction {
    Block,
    Warn,
}

/// The spec's `controls.gate`: severity to action; a severity that is not named lets pass.
pub type Gate = BTreeMap<Severity, GateAction>;

/// Faults that the gate has something to say about.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GateOutcome {
    pub blocked: Vec<Finding>,
    pub warned: Vec<Finding>,
}

/// Holds a gate against an audit; a waived fault passes it.
///
/// What is not known warns where a fault of its severity would block, unless only the apply can tell.
pub fn gate(rules: &Gate, audit: &Audit) -> GateOutcome {
    let mut outcome = GateOutcome::default();
    for finding in &audit.findings {
        let action = rules.get(&finding.severity);
        let unseen = finding.verdict == Verdict::Unknown && !finding.after_apply;
        match action {
            Some(GateAction::Block) if finding.is_open_fault() => outcome.blocked.push(finding.clone()),
            Some(GateAction::Warn) if finding.is_open_fault() => outcome.warned.push(finding.clone()),
            Some(GateAction::Block) if unseen => outcome.warned.push(finding.clone()),
            _ => {}
        }
    }
    outcome
}
