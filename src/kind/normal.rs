//! Brings arguments into the normal form, so that equal meaning is equal value.
//!
//! Driven by the schema alone: defaults are filled in, arrays marked `x-set` are sorted and freed of
//! duplicates, documents marked `x-policy` and rules marked `x-rules` become canonical, and explicit nulls
//! are dropped.

use serde_json::{Map, Value};

use super::policy::canonical_policy;
use super::rules::canonical_rules;
use super::schema::{SchemaNode, Shape, shape, unwrap_nullable};
use crate::value::{unreadable_reason, whole_unknown};

/// Returns arguments with the schema's defaults, in the normal form.
pub fn with_defaults(schema: &SchemaNode, arguments: &Value) -> Value {
    walk(schema.as_value(), arguments, true)
}

/// Returns arguments in the normal form, without adding what is not there.
pub fn normalise(schema: &SchemaNode, arguments: &Value) -> Value {
    walk(schema.as_value(), arguments, false)
}

fn walk(node: &Value, value: &Value, fill: bool) -> Value {
    if unreadable_reason(value).is_some() || value.as_str().is_some_and(|text| whole_unknown(text).is_some()) {
        return value.clone();
    }
    let inner = unwrap_nullable(node);
    if has_flag(node, inner, "x-policy") {
        return canonical_policy(value);
    }
    match (shape(inner), value) {
        (Shape::Object, Value::Object(map)) => object(inner, map, fill),
        (Shape::Map(values), Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().map(|(key, item)| (key.clone(), walk(values, item, fill))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        (Shape::Array(items), Value::Array(list)) => {
            let mut list: Vec<Value> = list.iter().map(|item| walk(items, item, fill)).collect();
            if has_flag(node, inner, "x-set") {
                list.sort_by_key(Value::to_string);
                list.dedup();
            }
            if has_flag(node, inner, "x-rules") {
                return canonical_rules(&Value::Array(list));
            }
            Value::Array(list)
        }
        (Shape::OneOf(variants), Value::Object(map)) => {
            let fits = |variant: &&Value| {
                let known = variant.get("properties").and_then(Value::as_object);
                known.is_some_and(|known| map.keys().all(|key| known.contains_key(key)))
            };
            variants.iter().find(fits).map_or_else(|| value.clone(), |variant| walk(variant, value, fill))
        }
        (Shape::Number, Value::Number(number)) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        _ => value.clone(),
    }
}

fn has_flag(node: &Value, inner: &Value, flag: &str) -> bool {
    [node, inner].iter().any(|node| node.get(flag).and_then(Value::as_bool) == Some(true))
}

/// Fields come out in the schema's order, unknown ones after them, nulls not at all.
fn object(node: &Value, map: &Map<String, Value>, fill: bool) -> Value {
    let mut out = Map::new();
    let properties = node.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        match map.get(name).filter(|value| !value.is_null()) {
            Some(value) => {
                out.insert(name.clone(), walk(property, value, fill));
            }
            None if fill => {
                if let Some(default) = property.get("default").filter(|value| !value.is_null()) {
                    out.insert(name.clone(), walk(property, default, fill));
                }
            }
            None => {}
        }
    }
    for (name, value) in map {
        if !value.is_null() && properties.is_none_or(|known| !known.contains_key(name)) {
            out.insert(name.clone(), value.clone());
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::kind::{OnChange, PolicyDocument};

    /// A kind for the tests.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Arguments {
        /// The range.
        #[schemars(extend("x-change" = "replace"))]
        cidr: String,
        #[serde(default)]
        hostnames: bool,
        #[serde(default)]
        rotation: Option<Rotation>,
        #[serde(default)]
        #[schemars(extend("x-set" = true))]
        zones: Vec<String>,
        #[serde(default)]
        policy: Option<PolicyDocument>,
    }

    #[derive(Serialize, Deserialize, JsonSchema, Default)]
    struct Rotation {
        #[serde(default = "year")]
        period_days: u32,
    }

    fn year() -> u32 {
        365
    }

    #[test]
    fn defaults_are_filled_and_sets_sorted() {
        let schema = SchemaNode::of::<Arguments>();
        let given = json!({ "zones": ["b", "a", "b"], "rotation": {}, "cidr": "10.0.0.0/8",
            "policy": "{\"Statement\":[]}" });
        assert_eq!(
            with_defaults(&schema, &given),
            json!({ "cidr": "10.0.0.0/8", "hostnames": false, "rotation": { "period_days": 365 }, "zones": ["a", "b"],
                "policy": { "Statement": [] } })
        );
        assert_eq!(normalise(&schema, &json!({ "rotation": null, "hostnames": true })), json!({ "hostnames": true }));
    }

    #[test]
    fn the_schema_knows_what_a_change_means() {
        let schema = SchemaNode::of::<Arguments>();
        assert_eq!(schema.on_change("cidr"), OnChange::Replace);
        assert_eq!(schema.on_change("rotation.period_days"), OnChange::Update);
        let docs = schema.documentation();
        assert_eq!(docs[0].description, "The range.");
        assert!(docs.iter().any(|doc| doc.path == "rotation.period_days" && doc.default.as_deref() == Some("365")));
        assert!(schema.at("rotation.period_days").is_some());
        assert!(schema.at("rotation.nope").is_none());
    }
}
