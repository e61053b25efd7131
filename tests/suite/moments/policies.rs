//! Made-up policy documents, from few words, so that they overlap.

use serde_json::{Value, json};

use super::Rng;

/// What statements of one kind of policy are made of.
pub struct Words<'w> {
    pub actions: &'w [&'w str],
    pub resources: &'w [&'w str],
    /// Principals as they stand in a statement; none for a policy of an identity.
    pub principals: &'w [Value],
    pub deny_percent: usize,
}

fn some(rng: &mut Rng, from: &[&str]) -> Value {
    let first = *rng.pick(from);
    let second = *rng.pick(from);
    if rng.chance(30) && first != second { json!([first, second]) } else { json!([first]) }
}

pub fn statement(rng: &mut Rng, words: &Words<'_>) -> Value {
    let effect = if rng.chance(words.deny_percent) { "Deny" } else { "Allow" };
    let mut out = json!({ "Effect": effect });
    if !words.principals.is_empty() {
        out["Principal"] = rng.pick(words.principals).clone();
    }
    out["Action"] = some(rng, words.actions);
    if !words.resources.is_empty() {
        out["Resource"] = some(rng, words.resources);
    }
    if rng.chance(15) {
        out["Condition"] = match rng.below(3) {
            0 => json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } }),
            1 => json!({ "StringEquals": { "aws:PrincipalOrgID": rng.pick(&["o-1", "o-2"]) } }),
            _ => json!({ "IpAddress": { "aws:SourceIp": rng.pick(&["10.0.0.0/8", "10.0.0.0/16", "192.0.2.0/24"]) } }),
        };
    }
    out
}

pub fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Changes a list of statements: one added, taken, changed, moved or copied, or all anew.
pub fn edited(rng: &mut Rng, words: &Words<'_>, old: &[Value]) -> Vec<Value> {
    let mut out = old.to_vec();
    match rng.below(6) {
        0 | 1 => out.insert(rng.below(out.len() + 1), statement(rng, words)),
        2 if out.len() > 1 => {
            out.remove(rng.below(out.len()));
        }
        3 if out.len() > 1 => out.rotate_left(1),
        4 => out = (0..=rng.below(3)).map(|_| statement(rng, words)).collect(),
        _ => {
            let at = rng.below(out.len().max(1));
            if out.is_empty() {
                out.push(statement(rng, words));
            } else {
                out[at] = statement(rng, words);
            }
        }
    }
    out.truncate(4);
    out
}

/// Returns the statements of a document in an argument.
pub fn statements_of(document: &Value) -> Vec<Value> {
    document["Statement"].as_array().cloned().unwrap_or_default()
}
