//! The samples of the kinds, `samples/<kind>.yaml`: arguments, what they need, and patches that change every argument.

use opora::sandbox::Conditions;
use opora::yaml;
use serde_json::{Map, Value, json};

use crate::support::{ACCOUNT, REGION};

/// One sample file.
pub(crate) struct Sample {
    /// The conditions of the simulated account.
    pub conditions: Conditions,
    pub arguments: Value,
    pub needs: Value,
    pub updates: Vec<Value>,
    pub replaces: Vec<Value>,
}

fn sample_path(kind: &str) -> String {
    format!("{}/tests/suite/samples/{kind}.yaml", env!("CARGO_MANIFEST_DIR"))
}

/// Reads the sample of a kind.
pub(crate) fn sample(kind: &str) -> Sample {
    let path = sample_path(kind);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{kind} needs a sample, {path}: {error}"));
    let mut sources = opora::diagnostic::SourceMap::default();
    let (node, problems) = yaml::parse(&text, sources.add(path, text.as_str()));
    assert_eq!(problems, Vec::new(), "{kind}");
    let value = node.expect("a sample is not empty").to_json();
    let list = |name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let conditions = value.get("conditions").cloned().unwrap_or_else(|| json!({}));
    Sample {
        conditions: serde_json::from_value(conditions).expect("the sandbox's own conditions"),
        arguments: value.get("arguments").cloned().unwrap_or_else(|| json!({})),
        needs: value.get("needs").cloned().unwrap_or_else(|| json!({})),
        updates: list("updates"),
        replaces: list("replaces"),
    }
}

/// Writes the spec of a sample with these arguments, under the name `sample`.
pub(crate) fn spec(sample: &Sample, kind: &str, arguments: &Value) -> String {
    let mut resources = sample.needs.as_object().cloned().unwrap_or_default();
    let of_kind = resources.entry(kind.to_owned()).or_insert_with(|| json!({}));
    of_kind["sample"] = arguments.clone();
    spec_of(&resources.into())
}

/// Writes a spec of resources.
pub(crate) fn spec_of(resources: &Value) -> String {
    json!({ "opora": 1, "environment": "conformance", "account": ACCOUNT, "region": REGION, "resources": resources })
        .to_string()
}

/// Merges a patch as RFC 7386 does: null takes a key away.
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let map = into.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else if value.is_object() {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        } else {
            map.insert(key.clone(), value.clone());
        }
    }
}
