//! Policy documents as IAM takes them: every problem of a document, each with its place in it.

use serde_json::{Map, Value};

use super::suggest;
use crate::value::{has_unknown, whole_unknown};

const DOCUMENT_KEYS: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT_KEYS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// A step from a document to a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'v> {
    /// The value of a key.
    In(&'v str),
    /// An item of a list.
    Item(usize),
    /// The key itself; the last step.
    Key(&'v str),
}

/// What is wrong with a part of a document, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault<'v> {
    pub at: Vec<Step<'v>>,
    pub label: String,
    pub help: String,
}

impl<'v> Fault<'v> {
    fn new(at: &[Step<'v>], label: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at: at.to_vec(), label: label.into(), help: help.into() }
    }
}

/// Finds what IAM would not take as a policy document.
///
/// Faults in a document that stands as JSON text are all at the text itself: what is in it has no place of its own.
pub(super) fn faults(value: &Value) -> Vec<Fault<'_>> {
    let whole = |label: String| vec![Fault::new(&[], label, document_help())];
    match value {
        Value::Null => Vec::new(),
        Value::String(text) if whole_unknown(text).is_some() => Vec::new(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(document @ Value::Object(_)) => {
                let inner = document_faults(&document).into_iter();
                inner.map(|fault| Fault { at: Vec::new(), label: fault.label, help: fault.help }).collect()
            }
            Ok(_) => whole("the text is JSON but not an object".to_owned()),
            Err(_) if has_unknown(value) => Vec::new(),
            Err(error) => whole(format!("the text is not JSON: {error}")),
        },
        Value::Object(_) => document_faults(value),
        _ => whole("a policy document is a map, or its JSON text".to_owned()),
    }
}

fn document_help() -> &'static str {
    "a document has `Version: \"2012-10-17\"` and `Statement: […]`"
}

fn document_faults(document: &Value) -> Vec<Fault<'_>> {
    let Some(map) = document.as_object() else { return Vec::new() };
    let mut out = Vec::new();
    for key in map.keys().filter(|key| !DOCUMENT_KEYS.contains(&key.as_str())) {
        let help = suggest::help(key, DOCUMENT_KEYS, "remove it");
        out.push(Fault::new(&[Step::Key(key)], format!("`{key}` is not a part of a policy document"), help));
    }
    match map.get("Version").and_then(Value::as_str) {
        Some("2012-10-17" | "2008-10-17") => {}
        Some(text) if has_unknown(&Value::from(text)) => {}
        Some(other) => {
            let label = format!("`{other}` is not a version of the policy language");
            out.push(Fault::new(&[Step::In("Version")], label, "write \"2012-10-17\""));
        }
        None => {
            let label = "it has no `Version`, so AWS would read it by the rules of 2008";
            out.push(Fault::new(&[], label, "add `Version: \"2012-10-17\"`"));
        }
    }
    let list = Step::In("Statement");
    match map.get("Statement") {
        // A misspelt one is told already.
        None if misspelt(map, &DOCUMENT_KEYS).contains(&"Statement") => {}
        None => out.push(Fault::new(&[], "it has no `Statement`", document_help())),
        Some(Value::Array(items)) if items.is_empty() => {
            out.push(Fault::new(&[list], "its `Statement` is empty", document_help()));
        }
        Some(Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                out.extend(statement_faults(item, &[list, Step::Item(index)], index + 1));
            }
        }
        Some(one) => out.extend(statement_faults(one, &[list], 1)),
    }
    out
}

fn statement_faults<'v>(statement: &'v Value, at: &[Step<'v>], number: usize) -> Vec<Fault<'v>> {
    if statement.as_str().is_some_and(|text| whole_unknown(text).is_some()) {
        return Vec::new();
    }
    let Some(map) = statement.as_object() else {
        let help = "a statement has `Effect`, `Action` and `Resource`";
        return vec![Fault::new(at, format!("statement {number} is not a map"), help)];
    };
    let to = |step: Step<'v>| [at, &[step]].concat();
    let mut out = Vec::new();
    for key in map.keys().filter(|key| !STATEMENT_KEYS.contains(&key.as_str())) {
        let label = format!("`{key}` is not a part of a statement (statement {number})");
        out.push(Fault::new(&to(Step::Key(key)), label, suggest::help(key, STATEMENT_KEYS, "")));
    }
    // What a misspelt key was meant to be is not missing.
    let misspelt = misspelt(map, &STATEMENT_KEYS);
    match map.get("Effect").map(|effect| effect.as_str().unwrap_or_default()) {
        Some("Allow" | "Deny") => {}
        Some(text) if has_unknown(&Value::from(text)) => {}
        Some(other) => {
            let label = format!("`{other}` is not an effect (statement {number})");
            let help = suggest::help(other, ["Allow", "Deny"], "");
            out.push(Fault::new(&to(Step::In("Effect")), label, help));
        }
        None if misspelt.contains(&"Effect") => {}
        None => {
            let help = "add `Effect: Allow` or `Effect: Deny`";
            out.push(Fault::new(at, format!("statement {number} has no `Effect`"), help));
        }
    }
    out.extend(missing_parts(map, &misspelt, at, number));
    out
}

/// Returns the keys that unknown ones are near to.
fn misspelt(map: &Map<String, Value>, known: &[&'static str]) -> Vec<&'static str> {
    let unknown = map.keys().filter(|key| !known.contains(&key.as_str()));
    unknown.filter_map(|key| suggest::nearest(key, known.iter().copied())).collect()
}

fn missing_parts<'v>(map: &'v Map<String, Value>, misspelt: &[&str], at: &[Step<'v>], number: usize) -> Vec<Fault<'v>> {
    let has = |key: &str| map.contains_key(key) || misspelt.contains(&key);
    let mut out = Vec::new();
    if !has("Action") && !has("NotAction") {
        let label = format!("statement {number} has no `Action`");
        out.push(Fault::new(at, label, "add the actions it is about"));
    }
    for (one, other) in [("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")] {
        if map.contains_key(one) && map.contains_key(other) {
            let label = format!("statement {number} has both `{one}` and `{other}`");
            out.push(Fault::new(&[at, &[Step::Key(other)]].concat(), label, "keep one of the two"));
        }
    }
    if !["Resource", "NotResource", "Principal", "NotPrincipal"].iter().any(|key| has(key)) {
        let label = format!("statement {number} has no `Resource`");
        out.push(Fault::new(at, label, "add the ARNs it is about, or `Principal` in a trust policy"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_what_iam_takes() {
        let good =
            json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
        assert_eq!(faults(&good), []);
        let text = Value::from(good.to_string());
        assert_eq!(faults(&text), []);
        let mutations: [(&str, Value, usize); 7] = [
            ("/Version", json!("2012-10-18"), 1),
            ("/Statement", json!([]), 1),
            ("/Statement/0/Effect", json!("allow"), 1),
            ("/Statement/0", json!({ "Effect": "Allow", "Resource": "*" }), 1),
            ("/Statement/0", json!({ "Effect": "Allow", "Action": "*" }), 1),
            ("/Statement/0", json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Resorce": 1 }), 1),
            ("/Statement/0", json!({ "Efect": "Allow", "Action": "*", "NotAction": "*" }), 3),
        ];
        for (pointer, new, count) in mutations {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = new;
            assert_eq!(faults(&bad).len(), count, "{bad}");
        }
        for bad in [json!([]), json!("{"), json!("[]"), json!({ "Statement": good["Statement"] })] {
            assert_eq!(faults(&bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let bad = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": "*", "Resource": "*" },
            { "Effect": "Permit", "Acton": "*", "Resource": "*" },
        ] });
        let found = faults(&bad);
        let at: Vec<_> = found.iter().map(|fault| fault.at.clone()).collect();
        let statement = [Step::In("Statement"), Step::Item(1)];
        let to = |step| [&statement[..], &[step]].concat();
        assert_eq!(at, [to(Step::Key("Acton")), to(Step::In("Effect"))]);
    }
}
