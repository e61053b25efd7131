//! What a guardrail does with a text.
//!
//! Words, managed words, patterns and the commoner kinds of personal data are really found. Topics are found by
//! their names and examples, and harmful content by a few words each: AWS has models for these, the sandbox not.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use crate::sandbox::call::{text, texts};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// What came of an assessment.
pub(super) struct Verdict {
    pub(super) blocked: bool,
    /// Whether data was masked.
    pub(super) changed: bool,
    /// The text with its data masked.
    pub(super) text: String,
    pub(super) assessment: Value,
}

static PII: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    let patterns = [
        ("EMAIL", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"),
        ("URL", r"https?://[^\s]+"),
        ("AWS_ACCESS_KEY", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        ("AWS_SECRET_KEY", r"\b[A-Za-z0-9/+]{40}\b"),
        ("US_SOCIAL_SECURITY_NUMBER", r"\b\d{3}-\d{2}-\d{4}\b"),
        ("CREDIT_DEBIT_CARD_NUMBER", r"\b(?:\d{4}[ -]?){3}\d{4}\b"),
        ("PHONE", r"(?:\+\d{1,3}[ -]?)?\(?\b\d{3}\)?[ -]\d{3}[ -]\d{4}\b"),
        ("IP_ADDRESS", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
        ("MAC_ADDRESS", r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b"),
        ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"),
        ("PASSWORD", r"(?i)\bpassword(?: is|:|=)\s*\S+"),
    ];
    let compile = |(name, pattern)| (name, Regex::new(pattern).expect("internal error: the pattern is valid"));
    patterns.into_iter().map(compile).collect()
});

/// The managed list, as far as a repository should spell it out.
const PROFANITY: &[&str] = &["damn", "crap", "bastard"];

/// A few words by which content of a category is known.
const CONTENT: &[(&str, &[&str])] = &[
    ("HATE", &["subhuman", "inferior race"]),
    ("INSULTS", &["idiot", "moron"]),
    ("MISCONDUCT", &["pick a lock", "launder money"]),
    ("PROMPT_ATTACK", &["ignore all previous instructions", "ignore previous instructions"]),
    ("SEXUAL", &["explicit sexual"]),
    ("VIOLENCE", &["build a bomb", "how to kill"]),
];

/// Finds a phrase as whole words, whatever its case.
fn phrase(haystack: &str, needle: &str) -> Option<String> {
    let pattern = format!(r"(?i)(?:^|\W)({})(?:\W|$)", regex::escape(needle.trim()));
    let found = Regex::new(&pattern).ok()?.captures(haystack)?.get(1)?.as_str().to_owned();
    Some(found)
}

fn items<'v>(guardrail: &'v Value, policy: &str, list: &str) -> impl Iterator<Item = &'v Value> {
    guardrail[policy][list].as_array().into_iter().flatten()
}

/// Returns what an item does on this side, or nothing where it is switched off.
fn action<'v>(item: &'v Value, side: Side, default: &'v str) -> Option<&'v str> {
    let (enabled, own) = match side {
        Side::Input => ("inputEnabled", "inputAction"),
        Side::Output => ("outputEnabled", "outputAction"),
    };
    if item[enabled] == false {
        return None;
    }
    Some(item[own].as_str().or(item["action"].as_str()).unwrap_or(default))
}

/// Assesses one text.
pub(super) fn assess(guardrail: &Value, given: &str, side: Side) -> Verdict {
    let mut verdict = Verdict { blocked: false, changed: false, text: given.to_owned(), assessment: json!({}) };
    words(guardrail, given, side, &mut verdict);
    topics(guardrail, given, side, &mut verdict);
    content(guardrail, given, side, &mut verdict);
    sensitive(guardrail, given, side, &mut verdict);
    verdict
}

fn words(guardrail: &Value, given: &str, side: Side, verdict: &mut Verdict) {
    let (mut custom, mut managed) = (Vec::new(), Vec::new());
    for word in items(guardrail, "wordPolicy", "words") {
        let Some(action) = action(word, side, "BLOCK") else { continue };
        if let Some(found) = phrase(given, text(word, "text")) {
            verdict.blocked |= action == "BLOCK";
            let action = if action == "BLOCK" { "BLOCKED" } else { "NONE" };
            custom.push(json!({"match": found, "action": action, "detected": true}));
        }
    }
    for list in items(guardrail, "wordPolicy", "managedWordLists") {
        let Some(action) = action(list, side, "BLOCK") else { continue };
        for found in PROFANITY.iter().filter_map(|word| phrase(given, word)) {
            verdict.blocked |= action == "BLOCK";
            let action = if action == "BLOCK" { "BLOCKED" } else { "NONE" };
            managed.push(json!({"match": found, "type": "PROFANITY", "action": action, "detected": true}));
        }
    }
    if !custom.is_empty() || !managed.is_empty() {
        verdict.assessment["wordPolicy"] = json!({"customWords": custom, "managedWordLists": managed});
    }
}

fn topics(guardrail: &Value, given: &str, side: Side, verdict: &mut Verdict) {
    let mut found = Vec::new();
    for topic in items(guardrail, "topicPolicy", "topics") {
        let Some(action) = action(topic, side, "BLOCK") else { continue };
        let named = std::iter::once(text(topic, "name")).chain(texts(topic, "examples"));
        if named.into_iter().any(|about| phrase(given, about).is_some()) {
            verdict.blocked |= action == "BLOCK";
            let action = if action == "BLOCK" { "BLOCKED" } else { "NONE" };
            found.push(json!({"name": topic["name"], "type": "DENY", "action": action, "detected": true}));
        }
    }
    if !found.is_empty() {
        verdict.assessment["topicPolicy"] = json!({"topics": found});
    }
}

fn content(guardrail: &Value, given: &str, side: Side, verdict: &mut Verdict) {
    let mut found = Vec::new();
    for filter in items(guardrail, "contentPolicy", "filters") {
        let strength = if side == Side::Input { &filter["inputStrength"] } else { &filter["outputStrength"] };
        let Some(action) = action(filter, side, "BLOCK").filter(|_| *strength != "NONE") else { continue };
        let category = CONTENT.iter().find(|(name, _)| filter["type"] == *name);
        let words = category.map(|(_, words)| *words).unwrap_or_default();
        if words.iter().any(|word| phrase(given, word).is_some()) {
            verdict.blocked |= action == "BLOCK";
            let action = if action == "BLOCK" { "BLOCKED" } else { "NONE" };
            found.push(json!({
                "type": filter["type"], "confidence": "HIGH", "filterStrength": strength, "action": action,
                "detected": true,
            }));
        }
    }
    if !found.is_empty() {
        verdict.assessment["contentPolicy"] = json!({"filters": found});
    }
}

fn sensitive(guardrail: &Value, given: &str, side: Side, verdict: &mut Verdict) {
    let (mut entities, mut regexes) = (Vec::new(), Vec::new());
    let word = |action: &str| match action {
        "BLOCK" => "BLOCKED",
        "ANONYMIZE" => "ANONYMIZED",
        _ => "NONE",
    };
    for entity in items(guardrail, "sensitiveInformationPolicy", "piiEntities") {
        let Some(action) = action(entity, side, "BLOCK") else { continue };
        let kind = text(entity, "type");
        let Some((_, pattern)) = PII.iter().find(|(name, _)| *name == kind) else { continue };
        for found in pattern.find_iter(given) {
            entities.push(json!({
                "match": found.as_str(), "type": kind, "action": word(action), "detected": true,
            }));
            mask(verdict, action, found.as_str(), kind);
        }
    }
    for own in items(guardrail, "sensitiveInformationPolicy", "regexes") {
        let Some(action) = action(own, side, "BLOCK") else { continue };
        let Ok(pattern) = Regex::new(text(own, "pattern")) else { continue };
        for found in pattern.find_iter(given) {
            regexes.push(json!({
                "name": own["name"], "match": found.as_str(), "regex": own["pattern"], "action": word(action),
                "detected": true,
            }));
            mask(verdict, action, found.as_str(), text(own, "name"));
        }
    }
    if !entities.is_empty() || !regexes.is_empty() {
        verdict.assessment["sensitiveInformationPolicy"] = json!({"piiEntities": entities, "regexes": regexes});
    }
}

fn mask(verdict: &mut Verdict, action: &str, found: &str, name: &str) {
    match action {
        "BLOCK" => verdict.blocked = true,
        "ANONYMIZE" => {
            verdict.changed = true;
            verdict.text = verdict.text.replace(found, &format!("{{{name}}}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_block_and_data_is_masked() {
        let guardrail = json!({
            "wordPolicy": {"words": [{"text": "project falcon"}]},
            "sensitiveInformationPolicy": {
                "piiEntities": [{"type": "EMAIL", "action": "ANONYMIZE"}, {"type": "AWS_ACCESS_KEY", "action": "BLOCK"}],
                "regexes": [{"name": "ticket", "pattern": "T-\\d+", "action": "ANONYMIZE"}],
            },
        });
        let masked = assess(&guardrail, "mail a.b@example.com about T-17", Side::Input);
        assert!(!masked.blocked && masked.changed);
        assert_eq!(masked.text, "mail {EMAIL} about {ticket}");
        assert!(assess(&guardrail, "tell me of Project Falcon.", Side::Input).blocked);
        assert!(!assess(&guardrail, "tell me of project falconry", Side::Input).blocked);
        assert!(assess(&guardrail, "AKIAIOSFODNN7EXAMPLE", Side::Output).blocked);
        let clean = assess(&guardrail, "hello", Side::Input);
        assert!(!clean.blocked && !clean.changed);
        assert_eq!(clean.assessment, json!({}));
    }
}
