//! What people decide: waivers, attestations, and exclusions from the Statement of Applicability.
//!
//! Each has an owner, a reason and a date, and one that is out of date does not count and is said so. None can
//! turn "could not look" into anything better. The time is an argument.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Evidence};
use super::check::Checks;
use super::document::Document;
use super::expression::did_you_mean;
use crate::diagnostic::{Diagnostic, SourceId};

/// A known fault that someone answers for until a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The id of the check whose failure is waived.
    pub check: String,
    /// An address, or AWS's id of an unmanaged resource; `*` stands for any run of characters.
    pub address: String,
    pub reason: String,
    pub owner: String,
    /// The last day on which it counts (UTC).
    pub expires: Date,
}

/// A person's answer for a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    pub control: String,
    pub statement: String,
    pub owner: String,
    pub evidence: Vec<String>,
    pub date: Date,
    /// The last day on which it counts; never later than the control's own bound.
    pub valid_until: Date,
}

/// A control that the Statement of Applicability leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    pub control: String,
    pub justification: String,
    pub owner: String,
    pub date: Date,
}

/// The waivers file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waivers(pub Vec<Waiver>);

/// The attestations file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestations {
    #[serde(default)]
    pub attestations: Vec<Attestation>,
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
}

/// Returns the day (UTC) of a moment.
pub(super) fn day(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiversFile {
    waivers: Vec<Waiver>,
}

impl Waivers {
    /// Loads `waivers.yaml`; a waiver of an unknown check, or without owner or reason, is an error.
    pub fn load(text: &str, source: SourceId, checks: &Checks) -> (Self, Vec<Diagnostic>) {
        let document = match Document::parse(text, source, "CTL020") {
            Ok(document) => document,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let file: WaiversFile = match document.decode("CTL020") {
            Ok(file) => file,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let mut problems = Vec::new();
        for (at, waiver) in file.waivers.iter().enumerate() {
            if checks.get(&waiver.check).is_none() {
                let label = format!("`{}` is not a check", waiver.check);
                let mut problem = Diagnostic::error("CTL020", "waiver of an unknown check")
                    .at(document.span(&format!("waivers[{at}].check")), label);
                if let Some(help) = did_you_mean(&waiver.check, checks.iter().map(|check| check.id.as_str())) {
                    problem = problem.help(help);
                }
                problems.push(problem);
            }
            for (field, text) in [("address", &waiver.address), ("reason", &waiver.reason), ("owner", &waiver.owner)] {
                if text.trim().is_empty() {
                    let span = document.span(&format!("waivers[{at}].{field}"));
                    problems.push(Diagnostic::error("CTL020", "a waiver is incomplete").at(span, "it is empty"));
                }
            }
        }
        (Self(file.waivers), problems)
    }
}

impl Waiver {
    /// Tells whether it still counts.
    pub fn is_valid(&self, today: Date) -> bool {
        today <= self.expires
    }

    /// Tells whether it is meant for a resource, by its address or AWS's id.
    pub(super) fn covers(&self, check: &str, names: &[&str]) -> bool {
        self.check == check && names.iter().any(|name| glob(&self.address, name))
    }
}

/// Fits a pattern whose only special character is `*`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = pattern.contains('*').then(|| pattern.rsplit('*').next().unwrap_or_default()) else {
        return rest.is_empty();
    };
    let middle: Vec<&str> = parts.collect();
    for part in &middle[..middle.len().saturating_sub(1)] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Attestations {
    /// Loads `attestations.yaml`; one for a control that checks decide, or without owner or evidence, is an error.
    pub fn load(text: &str, source: SourceId, catalogue: &Catalogue) -> (Self, Vec<Diagnostic>) {
        let document = match Document::parse(text, source, "CTL021") {
            Ok(document) => document,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let file: Self = match document.decode("CTL021") {
            Ok(file) => file,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let mut problems = Vec::new();
        let mut wrong = |path: String, label: &str| {
            problems.push(Diagnostic::error("CTL021", "an attestation does not fit").at(document.span(&path), label));
        };
        for (at, one) in file.attestations.iter().enumerate() {
            let path = |field: &str| format!("attestations[{at}].{field}");
            match catalogue.find(&one.control) {
                None => wrong(path("control"), "the catalogue has no such control"),
                Some(control) if control.evidence != Evidence::Attestation => {
                    wrong(path("control"), "checks or records answer for this control, not a statement");
                }
                Some(_) => {}
            }
            if one.statement.trim().is_empty() || one.owner.trim().is_empty() {
                wrong(path("statement"), "a statement and its owner are needed");
            }
            if one.evidence.iter().all(|text| text.trim().is_empty()) {
                wrong(path("evidence"), "no evidence is named");
            }
            if one.valid_until < one.date {
                wrong(path("valid_until"), "it ends before it begins");
            }
        }
        for (at, one) in file.exclusions.iter().enumerate() {
            let path = |field: &str| format!("exclusions[{at}].{field}");
            if catalogue.find(&one.control).is_none() {
                wrong(path("control"), "the catalogue has no such control");
            }
            if one.justification.trim().is_empty() || one.owner.trim().is_empty() {
                wrong(path("justification"), "an exclusion needs its justification and its owner");
            }
        }
        (file, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, text, expected) in [
            ("*", "s3_bucket.a", true),
            ("s3_bucket.*", "s3_bucket.a", true),
            ("s3_bucket.a", "s3_bucket.a", true),
            ("s3_bucket.a", "s3_bucket.ab", false),
            ("*.a", "s3_bucket.a", true),
            ("s3*a*", "s3_bucket.a", true),
            ("s3*x*a", "s3_bucket.a", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
