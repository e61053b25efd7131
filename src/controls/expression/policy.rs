//! Policy documents as an expression sees them: statements whose every field is a list.
//!
//! A document is public text with many spellings; this is the one place that knows them. A document that is no
//! JSON, or holds what could not be read, makes the statements unknown. Whether a statement *grants* more than
//! it should is for the checks to say.

use std::rc::Rc;

use serde_json::{Value, json};

use super::functions::hidden;
use super::value::{Unknown, Val};
use crate::kind::canonical_policy;
use crate::value::{has_unknown, unreadable_reason};

/// Fields of one statement, for the lint.
pub(crate) const STATEMENT_FIELDS: &[&str] = &[
    "sid",
    "effect",
    "principals",
    "not_principals",
    "actions",
    "not_actions",
    "resources",
    "not_resources",
    "conditions",
];

/// Fields of one condition, for the lint.
pub(crate) const CONDITION_FIELDS: &[&str] = &["operator", "key", "values"];

/// Returns the statements of a document; none for `null`.
pub(crate) fn statements<'v>(document: &Val<'v>) -> Val<'v> {
    let (value, path) = match document {
        Val::Null => return Val::list(Vec::new()),
        Val::Unknown(why) => return Val::Unknown(Rc::clone(why)),
        Val::Text(text) => (Value::from(text.as_ref()), "policy"),
        Val::Node(node) => {
            if let Some(why) = hidden(node).filter(|why| !why.is_after_apply()) {
                return Val::Unknown(why);
            }
            (node.value.clone(), &*node.path)
        }
        other => return Val::invalid(format!("{} is no policy document", other.type_name())),
    };
    let canonical = canonical_policy(&value);
    match canonical.get("Statement").and_then(Value::as_array) {
        Some(list) => Val::list(list.iter().map(|one| Val::owned(statement(one), path)).collect()),
        None => Val::Unknown(Unknown::invalid(format!("`{path}` is no policy document"))),
    }
}

fn statement(one: &Value) -> Value {
    let list = |key: &str| one.get(key).cloned().unwrap_or_else(|| json!([]));
    json!({
        "sid": one.get("Sid"),
        "effect": one.get("Effect"),
        "principals": principals(one.get("Principal")),
        "not_principals": principals(one.get("NotPrincipal")),
        "actions": list("Action"),
        "not_actions": list("NotAction"),
        "resources": list("Resource"),
        "not_resources": list("NotResource"),
        "conditions": conditions(one.get("Condition")),
    })
}

/// One flat list: account principals as they are, others with their type (`Service:sagemaker.amazonaws.com`).
fn principals(value: Option<&Value>) -> Value {
    let Some(map) = value.and_then(Value::as_object) else { return json!([]) };
    let mut out = Vec::new();
    for (kind, names) in map {
        for name in names.as_array().into_iter().flatten() {
            match name.as_str() {
                // A name that is known after apply keeps its marker, whatever stands before it.
                Some(text) if kind == "AWS" || has_unknown(name) => out.push(Value::from(text)),
                Some(text) => out.push(Value::from(format!("{kind}:{text}"))),
                None => out.push(name.clone()),
            }
        }
    }
    Value::Array(out)
}

/// One entry per operator and key; keys in lower case, as AWS compares them.
fn conditions(value: Option<&Value>) -> Value {
    let mut out = Vec::new();
    for (operator, keys) in value.and_then(Value::as_object).into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            if unreadable_reason(keys).is_none() {
                out.push(json!({ "operator": operator, "key": key.to_ascii_lowercase(), "values": values }));
            }
        }
    }
    Value::Array(out)
}

/// Tells whether a pattern of IAM's kind (`*` any run, `?` any one character) fits a text, letters' case aside.
pub(crate) fn covers(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_ascii_lowercase().chars().collect();
    let text: Vec<char> = text.to_ascii_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn patterns_cover_as_iam_reads_them() {
        for (pattern, text, expected) in [
            ("*", "s3:GetObject", true),
            ("s3:*", "S3:getobject", true),
            ("s3:Get*", "s3:PutObject", false),
            ("s3:?etObject", "s3:GetObject", true),
            ("*Object*", "s3:GetObjectAcl", true),
            ("s3:GetObject", "s3:GetObjectAcl", false),
            ("", "", true),
        ] {
            assert_eq!(covers(pattern, text), expected, "{pattern} {text}");
        }
    }
}
