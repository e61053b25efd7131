//! The audit as one HTML file that needs neither network nor script to be read.
//!
//! The template draws; this module only arranges: themes, controls with their evidence, what is not known and
//! why, waivers, populations. Faults and unknown findings come with the values they rest on; passes are shown by
//! count and by example, so that a report on ten thousand resources stays readable.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::{Value, json};

use super::language::{Texts, Words};
use super::{Language, Locate};
use crate::controls::{Audit, ControlResult, Evidence, Finding, Population, State, Theme, Verdict, Waiver};

/// The template; embedded, so that a report needs no folder beside the program.
const TEMPLATE: &str = include_str!("../../templates/report/audit.html");

/// Findings shown for one check under a control.
const FINDINGS_MAX: usize = 12;
/// Passing resources shown for one check, as examples.
const EXAMPLES_MAX: usize = 3;

/// Writes an audit as a page.
pub fn html(audit: &Audit, locate: Locate<'_>, language: Language) -> String {
    let words = language.words();
    let page = Page { audit, locate, words, texts: Texts::new(audit, language) };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("internal error: the delimiters are the usual ones"));
    environment.add_template("audit.html", TEMPLATE).expect("internal error: the report's template is well formed");
    let template = environment.get_template("audit.html").expect("internal error: the template was just added");
    let values = json!({
        "t": words,
        "framework": audit.framework,
        "scope": audit.scope,
        "moment": words.moment(audit.moment),
        "at": audit.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "resources": audit.resources,
        "check_count": audit.populations.len(),
        "totals": page.totals(|_| true),
        "themes": page.themes(),
        "faults": page.faults(),
        "unseen": page.unseen(),
        "unlisted": audit.read_problems.unlisted,
        "people": page.waiting(Evidence::Attestation),
        "records": page.waiting(Evidence::Records),
        "waivers": page.waivers(),
        "idle": audit.idle_waivers,
        "populations": audit.populations.iter().map(|one| page.population(one)).collect::<Vec<_>>(),
    });
    template.render(drawable(&values)).expect("internal error: the template names only what it is given")
}

/// Hands JSON to the template engine.
fn drawable(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(value) => minijinja::Value::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => minijinja::Value::from(int),
            (None, float) => minijinja::Value::from(float.unwrap_or_default()),
        },
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(items) => minijinja::Value::from(items.iter().map(drawable).collect::<Vec<_>>()),
        Value::Object(map) => {
            minijinja::Value::from_pairs(map.iter().map(|(key, item)| (key.as_str(), drawable(item))))
        }
    }
}

struct Page<'a> {
    audit: &'a Audit,
    locate: Locate<'a>,
    words: &'static Words,
    texts: Texts<'a>,
}

#[derive(Serialize)]
struct Total {
    key: &'static str,
    word: &'static str,
    count: usize,
}

#[derive(Serialize)]
struct ThemeRow {
    key: &'static str,
    word: &'static str,
    totals: Vec<Total>,
    count: usize,
    controls: Vec<ControlRow>,
}

#[derive(Serialize)]
struct ControlRow {
    key: &'static str,
    word: &'static str,
    result: Value,
    checks: Vec<CheckRow>,
}

#[derive(Serialize)]
struct CheckRow {
    id: String,
    why: String,
    population: Value,
    findings: Vec<FindingRow>,
    more: usize,
}

#[derive(Serialize)]
struct FindingRow {
    key: &'static str,
    word: &'static str,
    severity: &'static str,
    severity_key: &'static str,
    subject: String,
    place: String,
    check: String,
    reason: String,
    controls: Vec<String>,
    reads: Vec<(String, String)>,
    more_reads: usize,
}

#[derive(Serialize)]
struct WaiverRow {
    waiver: Waiver,
    subjects: Vec<String>,
    controls: Vec<String>,
}

impl Page<'_> {
    fn totals(&self, keep: impl Fn(&ControlResult) -> bool) -> Vec<Total> {
        let count = |state| self.audit.controls.iter().filter(|one| one.state == state && keep(one)).count();
        let total = |state: State| Total { key: state.as_str(), word: self.words.state(state), count: count(state) };
        State::ALL.into_iter().map(total).collect()
    }

    fn themes(&self) -> Vec<ThemeRow> {
        let row = |theme: Theme| {
            let controls = self.audit.controls.iter().filter(|one| one.theme == theme);
            let controls: Vec<ControlRow> = controls.map(|one| self.control(one)).collect();
            ThemeRow {
                key: theme.as_str(),
                word: self.words.theme(theme),
                totals: self.totals(|one| one.theme == theme),
                count: controls.len(),
                controls,
            }
        };
        Theme::ALL.into_iter().map(row).filter(|row| row.count > 0).collect()
    }

    fn control(&self, control: &ControlResult) -> ControlRow {
        let check = |support: &crate::controls::Support| {
            let population = self.audit.populations.iter().find(|one| one.check == support.check);
            let (findings, more) = self.shown(&support.check);
            CheckRow {
                id: support.check.clone(),
                why: self.texts.of(&support.why),
                population: population.map_or(Value::Null, |one| self.population(one)),
                findings,
                more,
            }
        };
        let mut result = serde_json::to_value(control).expect("internal error: a control has text keys only");
        result["reason"] = Value::from(self.texts.of(&control.reason));
        ControlRow {
            key: control.state.as_str(),
            word: self.words.state(control.state),
            result,
            checks: control.checks.iter().map(check).collect(),
        }
    }

    /// Returns what is shown of a check: all that does not pass, up to a bound, and a few that do.
    fn shown(&self, check: &str) -> (Vec<FindingRow>, usize) {
        let weight = |finding: &&Finding| match finding.verdict {
            Verdict::Fail => 0,
            Verdict::Unknown => 1,
            Verdict::Pass => 2,
            Verdict::NotApplicable => 3,
        };
        let mut all: Vec<&Finding> = self.audit.findings_of(check).collect();
        all.sort_by_key(weight);
        let open = all.iter().filter(|one| matches!(one.verdict, Verdict::Fail | Verdict::Unknown)).count();
        let kept = open.min(FINDINGS_MAX) + (all.len() - open).min(EXAMPLES_MAX);
        let (fails, others) = all.split_at(open);
        let shown = fails.iter().take(FINDINGS_MAX).chain(others.iter().take(EXAMPLES_MAX));
        (shown.map(|finding| self.finding(finding)).collect(), all.len() - kept)
    }

    fn faults(&self) -> Vec<FindingRow> {
        let mut faults: Vec<&Finding> = self.audit.findings.iter().filter(|one| one.is_open_fault()).collect();
        faults.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.check.cmp(&b.check)));
        faults.into_iter().map(|finding| self.finding(finding)).collect()
    }

    fn unseen(&self) -> Vec<FindingRow> {
        let unknown = self.audit.findings.iter().filter(|one| one.verdict == Verdict::Unknown);
        unknown.map(|finding| self.finding(finding)).collect()
    }

    fn waiting(&self, evidence: Evidence) -> Vec<&ControlResult> {
        let waits = |one: &&ControlResult| one.state == State::Unknown && one.evidence == evidence;
        self.audit.controls.iter().filter(waits).collect()
    }

    fn waivers(&self) -> Vec<WaiverRow> {
        let mut rows: Vec<WaiverRow> = Vec::new();
        for finding in &self.audit.findings {
            let Some(waiver) = &finding.waiver else { continue };
            match rows.iter_mut().find(|row| row.waiver == *waiver) {
                Some(row) => row.subjects.push(finding.subject()),
                None => rows.push(WaiverRow {
                    waiver: waiver.clone(),
                    subjects: vec![finding.subject()],
                    controls: self.controls(&finding.check),
                }),
            }
        }
        rows
    }

    fn controls(&self, check: &str) -> Vec<String> {
        let supported =
            self.audit.controls.iter().filter(|control| control.checks.iter().any(|one| one.check == check));
        supported.map(|control| control.id.clone()).collect()
    }

    fn population(&self, population: &Population) -> Value {
        let mut row = serde_json::to_value(population).expect("internal error: a population has text keys only");
        row["word"] = Value::from(self.words.state(population.state));
        row["severity_word"] = Value::from(self.words.severity(population.severity));
        row["controls"] = Value::from(self.controls(&population.check));
        row
    }

    fn finding(&self, finding: &Finding) -> FindingRow {
        let state = match (finding.verdict, &finding.waiver) {
            (Verdict::Fail, Some(_)) => State::Waived,
            (Verdict::Fail, None) => State::Fail,
            (Verdict::Unknown, _) => State::Unknown,
            (Verdict::Pass, _) => State::Pass,
            (Verdict::NotApplicable, _) => State::NotApplicable,
        };
        let place = match (self.locate)(finding) {
            Some(place) => format!("{}:{}", place.file, place.line),
            None if finding.address.is_none() && finding.id.is_some() => self.words.not_in_spec.to_owned(),
            None => String::new(),
        };
        let read = |read: &crate::controls::Read| {
            let path = match &read.of {
                Some(of) => format!("{of}  {}", read.path),
                None => read.path.clone(),
            };
            (path, self.value(&read.value))
        };
        FindingRow {
            key: state.as_str(),
            word: self.words.state(state),
            severity: self.words.severity(finding.severity),
            severity_key: finding.severity.as_str(),
            subject: finding.subject(),
            place,
            check: finding.check.clone(),
            reason: finding.reason.as_deref().map(|reason| self.texts.of(reason)).unwrap_or_default(),
            controls: self.controls(&finding.check),
            reads: finding.reads.iter().map(read).collect(),
            more_reads: finding.reads_omitted,
        }
    }

    fn value(&self, value: &Value) -> String {
        match (value, crate::value::unreadable_reason(value)) {
            (_, Some(reason)) => format!("? {reason}"),
            (Value::Null, _) => self.words.not_set.to_owned(),
            (Value::String(text), _) => text.clone(),
            (other, _) => other.to_string(),
        }
    }
}
