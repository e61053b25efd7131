//! IAM policy documents, compared by meaning and not by their bytes.
//!
//! AWS gives a document back as text that differs from what was sent: single strings for lists of one,
//! other key order, other white space. The canonical form makes equal documents equal values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An IAM policy document (JSON), as a user writes it: an object, or its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyDocument(pub Value);

impl PolicyDocument {
    /// Reads the text that AWS returns; a text that is no JSON is kept as it is, so that it differs from any document.
    pub fn from_text(text: &str) -> Self {
        Self(serde_json::from_str(text).map_or_else(|_| Value::from(text), |value| canonical_policy(&value)))
    }

    /// Returns the text that AWS is sent.
    pub fn to_text(&self) -> String {
        match &self.0 {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl JsonSchema for PolicyDocument {
    fn schema_name() -> Cow<'static, str> {
        "PolicyDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "object", "additionalProperties": true }, { "type": "string" }], "x-policy": true })
    }
}

/// Returns a document in its canonical form: lists where AWS takes one or many, sorted where order means nothing.
pub fn canonical_policy(document: &Value) -> Value {
    let parsed;
    let document = match document {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                parsed = value;
                &parsed
            }
            Err(_) => return document.clone(),
        },
        other => other,
    };
    let Some(map) = document.as_object() else { return document.clone() };
    let mut out = Map::new();
    for key in ["Version", "Id"] {
        if let Some(value) = map.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    let statements = match map.get("Statement") {
        Some(Value::Array(items)) => items.iter().map(statement).collect(),
        Some(one) => vec![statement(one)],
        None => Vec::new(),
    };
    out.insert("Statement".to_owned(), Value::Array(statements));
    for (key, value) in map {
        if !["Version", "Id", "Statement"].contains(&key.as_str()) {
            out.insert(key.clone(), value.clone());
        }
    }
    Value::Object(out)
}

const STATEMENT_ORDER: [&str; 10] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition", "_"];

fn statement(value: &Value) -> Value {
    let Some(map) = value.as_object() else { return value.clone() };
    let rank = |key: &str| STATEMENT_ORDER.iter().position(|known| *known == key).unwrap_or(STATEMENT_ORDER.len());
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by_key(|key| (rank(key), (*key).clone()));
    let entry = |key: &String| {
        let value = &map[key];
        let value = match key.as_str() {
            "Action" | "NotAction" | "Resource" | "NotResource" => as_sorted_list(value),
            "Principal" | "NotPrincipal" => principal(value),
            "Condition" => condition(value),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(keys.into_iter().map(entry).collect())
}

fn as_sorted_list(value: &Value) -> Value {
    let mut items = match value {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    items.sort_by_key(Value::to_string);
    items.dedup();
    Value::Array(items)
}

fn principal(value: &Value) -> Value {
    match value {
        Value::Object(map) => sorted_map(map.iter().map(|(key, item)| (key.clone(), as_sorted_list(item))).collect()),
        // `"Principal": "*"` and `{"AWS": "*"}` mean the same.
        Value::String(all) if all == "*" => Value::Object(Map::from_iter([("AWS".to_owned(), as_sorted_list(value))])),
        other => other.clone(),
    }
}

fn condition(value: &Value) -> Value {
    let Some(operators) = value.as_object() else { return value.clone() };
    let operator = |(name, keys): (&String, &Value)| {
        let keys = match keys.as_object() {
            Some(keys) => sorted_map(keys.iter().map(|(key, item)| (key.clone(), texts(item))).collect()),
            None => keys.clone(),
        };
        (name.clone(), keys)
    };
    sorted_map(operators.iter().map(operator).collect())
}

/// Condition values are texts to AWS: `true` and `"true"` are the same.
fn texts(value: &Value) -> Value {
    let text = |item: &Value| match item {
        Value::Bool(_) | Value::Number(_) => Value::String(item.to_string()),
        other => other.clone(),
    };
    match value {
        Value::Array(items) => as_sorted_list(&items.iter().map(text).collect()),
        other => as_sorted_list(&text(other)),
    }
}

fn sorted_map(mut entries: Vec<(String, Value)>) -> Value {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_one_meaning_are_one_value() {
        let a = json!({ "Statement": { "Action": "s3:GetObject", "Resource": ["b", "a"], "Effect": "Allow", "Principal": "*",
            "Condition": { "Bool": { "aws:SecureTransport": true } } }, "Version": "2012-10-17" });
        let b = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "AWS": ["*"] },
            "Resource": ["a", "b"], "Action": ["s3:GetObject"], "Condition": { "Bool": { "aws:SecureTransport": ["true"] } } }] });
        assert_eq!(canonical_policy(&a).to_string(), canonical_policy(&b).to_string());
        assert_eq!(PolicyDocument::from_text(&a.to_string()).to_text(), canonical_policy(&b).to_string());
        let other = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny" }] });
        assert_ne!(canonical_policy(&a), canonical_policy(&other));
    }

    #[test]
    fn statements_keep_their_order_and_text_that_is_no_json_stays() {
        let document = json!({ "Statement": [{ "Sid": "b" }, { "Sid": "a" }] });
        assert_eq!(canonical_policy(&document)["Statement"][0]["Sid"], "b");
        assert_eq!(canonical_policy(&json!("{not json")), json!("{not json"));
    }
}
