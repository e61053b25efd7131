//! The audit as a person reads it on a terminal; colour is the caller's affair.

use std::fmt::Write as _;

use super::language::Texts;
use super::{Language, Locate};
use crate::controls::{Audit, Change, ComplianceDiff, ControlResult, Evidence, Finding, Severity, State, Verdict};

/// Findings of one kind that are written out; the others are counted.
const LINES_MAX: usize = 40;

/// Writes an audit: counts, then what fails, what is not known, what is waived.
pub fn text(audit: &Audit, locate: Locate<'_>, language: Language) -> String {
    let words = language.words();
    let mut out = String::new();
    let scope = &audit.scope;
    let _ = writeln!(
        out,
        "{}   {} {}, {}, {}",
        words.title,
        words.account.to_lowercase(),
        scope.account,
        scope.region,
        words.moment(audit.moment)
    );
    let counts: Vec<String> = State::ALL
        .iter()
        .filter(|state| audit.count(**state) > 0)
        .map(|state| format!("{} {}", words.state(*state), audit.count(*state)))
        .collect();
    let _ = writeln!(out, "  {}", counts.join("   "));
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut faults: Vec<&Finding> = audit.findings.iter().filter(|finding| finding.is_open_fault()).collect();
    faults.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.check.cmp(&b.check)));
    rows.extend(faults.iter().take(LINES_MAX).map(|finding| row(audit, finding, words.state_fail, locate, language)));
    omitted(&mut rows, words.state_fail, faults.len(), words.more);
    rows.extend(unknown_rows(audit, language));
    for finding in audit.findings.iter().filter(|finding| finding.waiver.is_some()).take(LINES_MAX) {
        let mut waived = row(audit, finding, words.state_waived, locate, language);
        if let Some(waiver) = &finding.waiver {
            waived[3] = format!("{}, {} {}: {}", waiver.owner, words.expires, waiver.expires, waiver.reason);
        }
        rows.push(waived);
    }
    for idle in &audit.idle_waivers {
        let waiver = &idle.waiver;
        rows.push([
            words.waivers.to_lowercase(),
            String::new(),
            format!("{} {}", waiver.check, waiver.address),
            idle.reason.into(),
        ]);
    }
    align(&mut out, &rows);
    out
}

fn omitted(rows: &mut Vec<[String; 4]>, state: &str, count: usize, more: &str) {
    if count > LINES_MAX {
        rows.push([state.to_owned(), String::new(), format!("… {} {more}", count - LINES_MAX), String::new()]);
    }
}

fn row(audit: &Audit, finding: &Finding, state: &str, locate: Locate<'_>, language: Language) -> [String; 4] {
    let texts = Texts::new(audit, language);
    let place = match (locate(finding), &finding.address) {
        (Some(place), _) => format!("{}  {}:{}", finding.subject(), place.file, place.line),
        (None, None) if finding.id.is_some() => format!("{}  {}", finding.subject(), language.words().not_in_spec),
        _ => finding.subject(),
    };
    let reason = finding.reason.as_deref().map(|reason| texts.of(reason)).unwrap_or_default();
    [state.to_owned(), supported(audit, &finding.check), reason, place]
}

/// Returns the ids of the controls that a check supports.
fn supported(audit: &Audit, check: &str) -> String {
    let of = |control: &&ControlResult| control.checks.iter().any(|one| one.check == check);
    audit.controls.iter().filter(of).map(|control| control.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// One line per reason why something is not known; those that wait for people or records are counted.
fn unknown_rows(audit: &Audit, language: Language) -> Vec<[String; 4]> {
    let words = language.words();
    let mut rows = Vec::new();
    let unknown: Vec<&Finding> = audit.findings.iter().filter(|one| one.verdict == Verdict::Unknown).collect();
    for finding in unknown.iter().take(LINES_MAX) {
        let reason = finding.reason.clone().unwrap_or_default();
        rows.push([words.state_unknown.to_owned(), supported(audit, &finding.check), reason, finding.subject()]);
    }
    omitted(&mut rows, words.state_unknown, unknown.len(), words.more);
    for population in audit.populations.iter().filter(|one| one.state == State::Unknown && one.examined == 0) {
        if let (Some(note), 0) = (&population.note, population.unknown) {
            let controls = supported(audit, &population.check);
            rows.push([words.state_unknown.to_owned(), controls, note.clone(), population.check.clone()]);
        }
    }
    for (evidence, label) in
        [(Evidence::Attestation, words.waits_for_people), (Evidence::Records, words.waits_for_records)]
    {
        let waiting = audit.controls.iter().filter(|one| one.state == State::Unknown && one.evidence == evidence);
        let ids: Vec<&str> = waiting.map(|control| control.id.as_str()).collect();
        if !ids.is_empty() {
            let shown = if ids.len() > 6 { format!("{} …", ids[..6].join(" ")) } else { ids.join(" ") };
            rows.push([words.state_unknown.to_owned(), ids.len().to_string(), label.to_lowercase(), shown]);
        }
    }
    rows
}

/// Writes what a plan does to the controls, in one line for each direction that has any.
pub fn text_of_diff(diff: &ComplianceDiff) -> String {
    let list = |changes: &[Change]| {
        let ids = ComplianceDiff::controls(changes);
        let first = |id: &String| {
            let mut of: Vec<&Change> = changes.iter().filter(|change| change.control == *id).collect();
            of.sort_by_key(|change| std::cmp::Reverse(change.severity));
            match &of[..] {
                [] => id.clone(),
                [one] => format!("{id} ({}: {})", one.subject, one.reason),
                [one, rest @ ..] => format!("{id} ({}: {}, and {} more)", one.subject, one.reason, rest.len()),
            }
        };
        if ids.is_empty() { "none".to_owned() } else { ids.iter().map(first).collect::<Vec<_>>().join(", ") }
    };
    format!(
        "controls   repaired {}   broken {}   unknown {}\n",
        list(&diff.repaired),
        list(&diff.broken),
        list(&diff.unknown)
    )
}

fn align(out: &mut String, rows: &[[String; 4]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths.into_iter().chain([0])) {
            let _ = write!(line, " {cell:width$} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Returns SARIF's and the terminal's word for a severity's weight.
pub(super) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}
