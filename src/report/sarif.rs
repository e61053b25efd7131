//! The audit as SARIF 2.1.0, for code hosts and editors.
//!
//! Faults become results at their place in the spec; what is not known becomes a `notApplicable`-free result of
//! kind `open`, which SARIF means by "not decided", so that no reader counts it as passed. Waivers become
//! suppressions with their justification. Passes are counted in the run's properties, not listed.

use serde_json::{Map, Value, json};

use super::text::level;
use super::{Locate, Place};
use crate::controls::{Audit, Check, Checks, Finding, Severity, Verdict};

/// The schema that the output meets.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Writes an audit as one SARIF log with one run.
pub fn sarif(audit: &Audit, checks: &Checks, locate: Locate<'_>) -> String {
    let rules: Vec<&Check> = checks.iter().collect();
    let index = |id: &str| rules.iter().position(|rule| rule.id == id);
    let told = audit.findings.iter().filter(|one| matches!(one.verdict, Verdict::Fail | Verdict::Unknown));
    let results: Vec<Value> = told.map(|finding| result(finding, index(&finding.check), locate)).collect();
    let counts: Map<String, Value> = audit
        .populations
        .iter()
        .map(|one| {
            let counts = json!({ "examined": one.examined, "pass": one.pass, "fail": one.fail, "waived": one.waived,
                "unknown": one.unknown, "notApplicable": one.not_applicable });
            (one.check.clone(), counts)
        })
        .collect();
    let unlisted = &audit.read_problems.unlisted;
    let problems: Vec<Value> = unlisted
        .iter()
        .map(|(kind, reason)| json!({ "level": "error", "message": { "text": format!("{kind} could not be listed: {reason}") } }))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "opora",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|check| rule(check)).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "automationDetails": { "id": format!("opora/{}/{}", audit.framework, audit.moment.as_str()) },
            "invocations": [{
                "executionSuccessful": unlisted.is_empty(),
                "endTimeUtc": audit.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "toolExecutionNotifications": problems,
            }],
            "results": results,
            "properties": { "account": audit.scope.account, "region": audit.scope.region, "populations": counts },
        }],
    });
    let mut out = serde_json::to_string_pretty(&log).expect("internal error: a log has text keys only");
    out.push('\n');
    out
}

fn rule(check: &Check) -> Value {
    let supports: Vec<String> = check.supports.iter().map(|(control, why)| format!("- {control}: {why}")).collect();
    let remedy = match &check.remediation {
        Value::String(text) => text.clone(),
        other => format!("set `{other}`"),
    };
    let help = format!(
        "{}.\n\nRemedy: {remedy}\n\nEvidence for:\n{}\n\nSee: {}",
        check.message,
        supports.join("\n"),
        check.references.join("; ")
    );
    json!({
        "id": check.id,
        "name": pascal(&check.id),
        "shortDescription": { "text": check.message },
        "fullDescription": { "text": format!("{} has to satisfy: {}", check.kind, check.assertion()) },
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": level(check.severity) },
        "properties": {
            "tags": check.supports.keys().collect::<Vec<_>>(),
            "precision": "very-high",
            "security-severity": score(check.severity),
        },
    })
}

fn result(finding: &Finding, rule: Option<usize>, locate: Locate<'_>) -> Value {
    let unknown = finding.verdict == Verdict::Unknown;
    let reason = finding.reason.as_deref().unwrap_or_default();
    let mut location = json!({
        "logicalLocations": [{ "fullyQualifiedName": finding.subject(), "kind": "resource" }],
    });
    if let Some(place) = locate(finding) {
        location["physicalLocation"] = physical(&place);
    }
    let mut out = json!({
        "ruleId": finding.check,
        "kind": if unknown { "open" } else { "fail" },
        "level": if unknown { "none" } else { level(finding.severity) },
        "message": { "text": format!("{}: {reason}", finding.subject()) },
        "locations": [location],
        "partialFingerprints": { "checkAndSubject/v1": format!("{}|{}", finding.check, finding.subject()) },
    });
    if let Some(rule) = rule {
        out["ruleIndex"] = json!(rule);
    }
    if let Some(waiver) = &finding.waiver {
        let text = format!("{} ({}, until {})", waiver.reason, waiver.owner, waiver.expires);
        out["suppressions"] = json!([{ "kind": "external", "status": "accepted", "justification": text }]);
    }
    out
}

fn physical(place: &Place) -> Value {
    json!({
        "artifactLocation": { "uri": uri(&place.file) },
        "region": { "startLine": place.line, "startColumn": place.column,
            "endLine": place.end_line, "endColumn": place.end_column },
    })
}

/// Makes a relative URI of a path.
fn uri(path: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(&path.replace('\\', "/"), KEPT).to_string()
}

fn pascal(id: &str) -> String {
    let capital = |word: &str| {
        word.chars().next().map(|first| first.to_uppercase().collect::<String>() + &word[first.len_utf8()..])
    };
    id.split('_').filter_map(capital).collect()
}

/// The number by which code hosts sort; the middle of each band of CVSS.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.5",
    }
}
