//! The catalogue, every check with its own tests, and what an audit makes of them.
//!
//! Conformance iterates all checks, never by opt-in: a new data file can't escape it.

use std::collections::BTreeMap;

use opora::aws::kinds;
use opora::controls::{ACCOUNT, Catalogue, Check, Checks, Evidence, Outcome, Specimen, Specimens, TAGGED, Theme};
use opora::diagnostic::SourceId;
use opora::kind::KindSchemas;
use serde_json::{Value, json};

fn policies() -> String {
    format!("{}/policies", env!("CARGO_MANIFEST_DIR"))
}

fn loaded() -> (KindSchemas, Checks) {
    let (catalogue, problems) = Catalogue::iso27001();
    assert!(problems.is_empty(), "{problems:#?}");
    let schemas = kinds::schemas();
    let (checks, problems) = Checks::embedded(&schemas, &catalogue);
    assert!(problems.is_empty(), "{problems:#?}");
    (schemas, checks)
}

fn specimens(check: &Check) -> Vec<Specimen> {
    let path = format!("{}/{}.test.yaml", policies(), check.id);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Specimens::load(&text, SourceId(0)).unwrap_or_else(|problem| panic!("{path}: {problem:#?}")).0
}

#[test]
fn every_control_of_annex_a_has_a_place() {
    let (catalogue, problems) = Catalogue::iso27001();
    assert!(problems.is_empty(), "{problems:#?}");
    let expected: Vec<String> = [(5, 37), (6, 8), (7, 14), (8, 34)]
        .iter()
        .flat_map(|(theme, count)| (1..=*count).map(move |number| format!("A.{theme}.{number}")))
        .collect();
    let ids: Vec<&str> = catalogue.iter().map(|control| control.id.as_str()).collect();
    assert_eq!(ids, expected);
    for control in catalogue.iter() {
        let theme = match control.id.as_bytes()[2] {
            b'5' => Theme::Organizational,
            b'6' => Theme::People,
            b'7' => Theme::Physical,
            _ => Theme::Technological,
        };
        assert_eq!(control.theme, theme, "{}", control.id);
        assert!(control.intent.split_whitespace().count() >= 8, "{}: say more", control.id);
        if let Some(request) = &control.attestation {
            assert!(request.question.ends_with('?'), "{}: {}", control.id, request.question);
        }
    }
}

#[test]
fn controls_are_described_in_our_own_words() {
    // Phrases by which the standard's own sentences are recognised: every control there says what "shall" be done.
    let (catalogue, _) = Catalogue::iso27001();
    for control in catalogue.iter() {
        let text = format!("{} {:?}", control.intent, control.attestation).to_lowercase();
        for phrase in
            [" shall ", "relevant interested parties", "topic-specific", "in accordance with the organization"]
        {
            assert!(!text.contains(phrase), "{}: {phrase}", control.id);
        }
    }
}

#[test]
fn a_control_that_waits_for_checks_has_some() {
    let (catalogue, _) = Catalogue::iso27001();
    let (_, checks) = loaded();
    for control in catalogue.iter().filter(|control| control.evidence == Evidence::Checks) {
        let supported = checks.iter().any(|check| check.supports.contains_key(&control.key));
        assert!(supported, "{} {} has no check", control.id, control.title);
    }
}

#[test]
fn every_check_yields_what_its_tests_say() {
    let (schemas, checks) = loaded();
    let mut wrong = Vec::new();
    for check in checks.iter() {
        for specimen in specimens(check) {
            let (outcome, reason) = specimen.judge(&checks, check, &schemas);
            if outcome != specimen.expect || reason.contains("has no answer") {
                wrong.push(format!("{}: {}: {outcome:?} ({reason})", check.id, specimen.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_check_is_tested_for_each_verdict_that_can_occur() {
    let (_, checks) = loaded();
    for check in checks.iter() {
        let mut seen: BTreeMap<Outcome, usize> = BTreeMap::new();
        for specimen in specimens(check) {
            *seen.entry(specimen.expect).or_default() += 1;
        }
        let mut wanted = vec![Outcome::Pass, Outcome::Fail, Outcome::Unknown];
        if check.condition().is_some() {
            wanted.push(Outcome::NotApplicable);
        }
        for outcome in wanted {
            assert!(seen.contains_key(&outcome), "{} has no test that expects {outcome:?}", check.id);
        }
    }
}

#[test]
fn every_field_that_a_check_reads_matters() {
    let (schemas, checks) = loaded();
    for check in checks.iter() {
        let all = specimens(check);
        assert!(!check.fields.is_empty() || check.kind == ACCOUNT, "{} reads nothing", check.id);
        for (kind, path) in &check.fields {
            let matters = all.iter().any(|specimen| {
                let before = specimen.judge(&checks, check, &schemas).0;
                let changed = mutations(specimen, check, kind, path);
                changed.iter().any(|mutant| mutant.judge(&checks, check, &schemas).0 != before)
            });
            assert!(matters, "{}: no value of {kind}.{path} changes a verdict of its tests", check.id);
        }
    }
}

#[test]
fn what_cannot_be_read_never_passes() {
    let (schemas, checks) = loaded();
    for check in checks.iter() {
        for specimen in specimens(check).into_iter().filter(|specimen| specimen.expect == Outcome::Fail) {
            for (kind, path) in &check.fields {
                for mutant in with_value(&specimen, check, kind, path, &json!("unreadable")) {
                    let (outcome, reason) = mutant.judge(&checks, check, &schemas);
                    let name = format!("{}: {} without {kind}.{path}", check.id, specimen.name);
                    assert!(matches!(outcome, Outcome::Fail | Outcome::Unknown), "{name}: {outcome:?} {reason}");
                }
            }
        }
    }
}

/// Returns worlds in which one field differs: unreadable, not set, or another value of its type.
fn mutations(specimen: &Specimen, check: &Check, kind: &str, path: &str) -> Vec<Specimen> {
    let mut out = Vec::new();
    for value in [json!("unreadable"), Value::Null, json!(true), json!(false), json!(7), json!("other"), json!([])] {
        out.extend(with_value(specimen, check, kind, path, &value));
    }
    out
}

fn with_value(specimen: &Specimen, check: &Check, kind: &str, path: &str, value: &Value) -> Vec<Specimen> {
    let mut out = Vec::new();
    if kind == check.kind || kind == TAGGED {
        let mut mutant = specimen.clone();
        if let Some(fields) = &mut mutant.resource {
            let mut whole = Value::Object(fields.clone());
            put(&mut whole, path, value);
            *fields = whole.as_object().cloned().unwrap_or_default();
            out.push(mutant);
        }
    }
    for at in 0..specimen.others.get(kind).map_or(0, Vec::len) {
        let mut mutant = specimen.clone();
        let fields = &mut mutant.others.get_mut(kind).expect("the kind is there")[at];
        let mut whole = Value::Object(fields.clone());
        put(&mut whole, path, value);
        *fields = whole.as_object().cloned().unwrap_or_default();
        out.push(mutant);
    }
    out
}

/// Puts a value at a path as the lint writes it: `a.b`, or `a[].b` for a field of every member.
fn put(target: &mut Value, path: &str, value: &Value) {
    if let Some((list, rest)) = path.split_once("[]") {
        let rest = rest.trim_start_matches('.');
        let Some(items) = at(target, list).and_then(Value::as_array_mut) else { return };
        for item in items {
            if rest.is_empty() {
                *item = value.clone();
            } else {
                put(item, rest, value);
            }
        }
        return;
    }
    match path.rsplit_once('.') {
        Some((parent, key)) => {
            if let Some(map) = at(target, parent).and_then(Value::as_object_mut) {
                map.insert(key.to_owned(), value.clone());
            }
        }
        None => target[path] = value.clone(),
    }
}

fn at<'v>(target: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(target, |value, key| value.get_mut(key))
}
