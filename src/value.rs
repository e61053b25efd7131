//! The normal form's values: JSON, with two additions that JSON has no word for.
//!
//! - *Unknown*: a string that holds a marker (U+E000 reference U+E001) is known only after apply. Markers sit
//!   inside strings, so a policy document keeps its shape while one ARN in it is still unknown. A string that
//!   is one marker and nothing else may become a value of any type.
//! - *Unreadable*: AWS could not be asked for this field; it is neither absent nor equal to anything.
//!
//! Paths are dotted, with array positions in brackets: `encryption.kms_key`, `ingress[0].from`.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

const UNKNOWN_START: char = '\u{E000}';
const UNKNOWN_END: char = '\u{E001}';
const UNREADABLE_KEY: &str = "$unreadable";

/// Makes the marker of a value that is known only after apply; `reference` is `address.path` or `#n`.
pub fn unknown(reference: &str) -> String {
    format!("{UNKNOWN_START}{reference}{UNKNOWN_END}")
}

/// Returns the references of all markers in a text, in order.
pub fn unknown_references(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(UNKNOWN_START) {
        let inner = &rest[start + UNKNOWN_START.len_utf8()..];
        let Some(end) = inner.find(UNKNOWN_END) else { break };
        out.push(&inner[..end]);
        rest = &inner[end + UNKNOWN_END.len_utf8()..];
    }
    out
}

/// Returns the reference, where the whole text is one marker.
pub fn whole_unknown(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(UNKNOWN_START)?.strip_suffix(UNKNOWN_END)?;
    (!inner.contains(UNKNOWN_END)).then_some(inner)
}

/// Tells whether any part of a value is known only after apply.
pub fn has_unknown(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(UNKNOWN_START),
        Value::Array(items) => items.iter().any(has_unknown),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains(UNKNOWN_START) || has_unknown(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Writes a text with its markers as a reader wants to see them: `(known after apply)`, or `$(reference)` amid other text.
pub fn display_unknown(text: &str) -> String {
    if whole_unknown(text).is_some() {
        return "(known after apply)".to_owned();
    }
    text.replace(UNKNOWN_START, "$(").replace(UNKNOWN_END, ")")
}

/// Replaces markers by what `resolve` knows of them; the others stay.
pub fn resolve(value: &Value, resolve_one: &mut dyn FnMut(&str) -> Option<Value>) -> Value {
    match value {
        Value::String(text) => resolve_text(text, resolve_one),
        Value::Array(items) => items.iter().map(|item| resolve(item, resolve_one)).collect(),
        Value::Object(map) => {
            let entry = |(key, item): (&String, &Value)| {
                let key = match resolve_text(key, resolve_one) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                (key, resolve(item, resolve_one))
            };
            Value::Object(map.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn resolve_text(text: &str, resolve_one: &mut dyn FnMut(&str) -> Option<Value>) -> Value {
    if let Some(reference) = whole_unknown(text) {
        return resolve_one(reference).unwrap_or_else(|| Value::from(text));
    }
    let mut out = text.to_owned();
    for reference in unknown_references(text) {
        let replacement = match resolve_one(reference) {
            Some(Value::String(known)) => known,
            Some(known) => known.to_string(),
            None => continue,
        };
        out = out.replace(&unknown(reference), &replacement);
    }
    Value::String(out)
}

/// Makes the value of a field that AWS could not be asked for.
pub fn unreadable(reason: &str) -> Value {
    Value::Object(Map::from_iter([(UNREADABLE_KEY.to_owned(), Value::from(reason))]))
}

/// Returns the reason, where a value is an unreadable one.
pub fn unreadable_reason(value: &Value) -> Option<&str> {
    let map = value.as_object()?;
    if map.len() == 1 { map.get(UNREADABLE_KEY)?.as_str() } else { None }
}

/// Compiled patterns that are kept; specs and checks have a few dozen.
const PATTERNS_MAX: usize = 1000;

/// Tells whether a text matches a regular expression; `None` where it is none.
///
/// A pattern is compiled once, however many texts it is held against.
pub fn matches(pattern: &str, text: &str) -> Option<bool> {
    static COMPILED: LazyLock<Mutex<BTreeMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = compiled.get(pattern) {
        return known.as_ref().map(|regex| regex.is_match(text));
    }
    if compiled.len() >= PATTERNS_MAX {
        compiled.clear();
    }
    let regex = Regex::new(pattern).ok();
    let answer = regex.as_ref().map(|regex| regex.is_match(text));
    compiled.insert(pattern.to_owned(), regex);
    answer
}

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

/// Splits `ingress[0].from` into its parts; a key with a dot or bracket is written `["a.b"]`.
pub fn segments(path: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let end = inner.find("\"]").unwrap_or(inner.len());
            out.push(Segment::Key(&inner[..end]));
            rest = inner.get(end + 2..).unwrap_or("");
        } else if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').unwrap_or(inner.len());
            out.push(inner[..end].parse().map_or(Segment::Key(&inner[..end]), Segment::Index));
            rest = inner.get(end + 1..).unwrap_or("");
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                out.push(Segment::Key(&rest[..end]));
            }
            rest = &rest[end..];
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
    }
    out
}

/// Joins a path and a key.
pub fn join_key(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.contains(['.', '[', ']', '"']);
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[\"{key}\"]"),
    }
}

/// Joins a path and an array position.
pub fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Returns the value at a path; an unreadable value on the way is returned as it is.
pub fn get<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut at = value;
    for segment in segments(path) {
        if unreadable_reason(at).is_some() {
            return Some(at);
        }
        at = match segment {
            Segment::Key(key) => at.as_object()?.get(key)?,
            Segment::Index(index) => at.as_array()?.get(index)?,
        };
    }
    Some(at)
}

/// Puts a value at a path of keys, making objects on the way; array positions have to exist.
pub fn set(value: &mut Value, path: &str, new: Value) {
    let mut at = value;
    for segment in segments(path) {
        at = match segment {
            Segment::Key(key) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                let map = at.as_object_mut().expect("internal error: just made an object");
                map.entry(key).or_insert(Value::Null)
            }
            Segment::Index(index) => match at.as_array_mut().and_then(|items| items.get_mut(index)) {
                Some(item) => item,
                None => return,
            },
        };
    }
    *at = new;
}

/// Calls `visit` for every scalar, empty container and unreadable value with its path.
pub fn walk_leaves(value: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(map) if !map.is_empty() && unreadable_reason(value).is_none() => {
            for (key, item) in map {
                walk_leaves(item, &join_key(path, key), visit);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                walk_leaves(item, &join_index(path, index), visit);
            }
        }
        leaf => visit(path, leaf),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markers_are_replaced_where_they_are_known() {
        let value =
            json!({ "a": unknown("vpc.main.id"), "b": format!("x-{}-{}", unknown("p.q"), unknown("r.s")), "c": 1 });
        assert!(has_unknown(&value));
        let out = resolve(&value, &mut |reference| match reference {
            "vpc.main.id" => Some(json!(["any", "type"])),
            "p.q" => Some(json!("known")),
            _ => None,
        });
        assert_eq!(out, json!({ "a": ["any", "type"], "b": format!("x-known-{}", unknown("r.s")), "c": 1 }));
        assert_eq!(display_unknown(out["b"].as_str().unwrap()), "x-known-$(r.s)");
        assert_eq!(display_unknown(&unknown("a")), "(known after apply)");
    }

    #[test]
    fn two_markers_side_by_side_are_not_one() {
        let text = format!("{}{}", unknown("a"), unknown("b"));
        assert_eq!(whole_unknown(&text), None);
        assert_eq!(unknown_references(&text), ["a", "b"]);
    }

    #[test]
    fn paths_reach_into_values() {
        let value = json!({ "a": { "b": [{ "c.d": 1 }] }, "u": unreadable("denied") });
        assert_eq!(get(&value, "a.b[0][\"c.d\"]"), Some(&json!(1)));
        assert_eq!(get(&value, "a.x"), None);
        assert_eq!(get(&value, "u.anything").and_then(unreadable_reason), Some("denied"));
        let mut seen = Vec::new();
        walk_leaves(&value, "", &mut |path, _| seen.push(path.to_owned()));
        assert_eq!(seen, ["a.b[0][\"c.d\"]", "u"]);
        let mut made = Value::Null;
        set(&mut made, "x.y", json!(2));
        assert_eq!(made, json!({ "x": { "y": 2 } }));
    }

    #[test]
    fn a_pattern_is_held_against_many_texts() {
        for _ in 0..2 {
            assert_eq!(matches("^[a-z]+$", "abc"), Some(true));
            assert_eq!(matches("^[a-z]+$", "ABC"), Some(false));
            assert_eq!(matches("(", "abc"), None);
        }
    }
}
