//! The JSON Schema of the whole language, made from the kinds, so that editors complete and check specs.
//!
//! Every typed scalar also admits a text with `$(`. Extension keys of the kinds stay: validators ignore them.

use serde_json::{Map, Value, json};

use super::document::LANGUAGE;
use crate::kind::{KindSchema, KindSchemas};

const NAME: &str = "^[a-z][a-z0-9_]{0,63}$";

/// Returns the schema of a spec (draft 2020-12).
pub fn json_schema(kinds: &KindSchemas) -> Value {
    let mut properties = json!({
        "opora": { "const": LANGUAGE, "description": "The version of the spec language." },
        "environment": {
            "type": "string", "pattern": "^[a-z][a-z0-9-]{0,31}$",
            "description": "The environment's name: in tags, names and the state.",
        },
        "account": {
            "type": "string", "pattern": "^[0-9]{12}$",
            "description": "The account it belongs to, in quotes; any other is refused before the first call.",
        },
        "region": {
            "type": "string", "pattern": "^[a-z]+(-[a-z]+)+-[0-9]+$",
            "description": "The region it lies in.",
        },
        "state": { "type": "string", "description": "Where the state is kept: a folder, or s3://bucket/prefix." },
        "controls": controls(),
        "tags": {
            "type": "object", "additionalProperties": { "type": "string" },
            "description": "Tags on everything that takes tags; a resource's own come on top.",
        },
    });
    merge(&mut properties, unit(kinds));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "opora environment",
        "type": "object",
        "properties": properties,
        "required": ["opora", "environment", "account", "region"],
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

/// Returns the schema of a module's file.
pub fn module_json_schema(kinds: &KindSchemas) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "opora module",
        "type": "object",
        "properties": unit(kinds),
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn definitions() -> Value {
    json!({
        "expression": { "type": "string", "pattern": "\\$\\(", "description": "An expression: $( … )." },
        "reference": { "type": "string", "description": "A resource, such as kms_key.data, or module.name." },
        "lifecycle": {
            "type": "object",
            "description": "How changes are made.",
            "properties": {
                "prevent_destroy": { "type": "boolean", "description": "Refuses plans that would delete or replace it." },
                "ignore": {
                    "type": "array", "items": { "type": "string" },
                    "description": "Paths of arguments whose differences are left alone.",
                },
                "replace_triggered_by": {
                    "type": "array", "items": { "$ref": "#/$defs/reference" },
                    "description": "Replaces it when one of these changes.",
                },
                "create_before_destroy": { "type": "boolean", "description": "Makes a replacement before the old one goes." },
                "allow_data_loss": { "type": "boolean", "description": "Says that data in it may be lost with it." },
            },
            "additionalProperties": false,
        },
    })
}

fn controls() -> Value {
    let decision = json!({ "enum": ["block", "warn", "ignore"] });
    json!({
        "type": "object",
        "description": "What the environment is held against.",
        "properties": {
            "framework": { "type": "string", "examples": ["iso27001-2022"] },
            "gate": {
                "type": "object",
                "description": "What a failed check of each severity does.",
                "properties": { "critical": decision, "high": decision, "medium": decision, "low": decision },
                "additionalProperties": false,
            },
            "waivers": { "type": "string", "description": "The waivers file, beside the spec." },
        },
        "additionalProperties": false,
    })
}

fn unit(kinds: &KindSchemas) -> Value {
    let resources: Map<String, Value> = kinds.iter().map(|kind| (kind.name.to_owned(), block(kind))).collect();
    let list_of_references = json!({ "type": "array", "items": { "$ref": "#/$defs/reference" } });
    json!({
        "describe": { "type": "string", "description": "What it is for." },
        "inputs": {
            "type": "object",
            "description": "Values that differ from use to use.",
            "patternProperties": { NAME: input() },
            "additionalProperties": false,
        },
        "resources": {
            "type": "object",
            "description": "Resources by kind and name.",
            "properties": resources,
            "additionalProperties": false,
        },
        "modules": {
            "type": "object",
            "description": "Templates that are used, by the name of the use.",
            "patternProperties": { NAME: {
                "type": "object",
                "properties": {
                    "use": { "type": "string", "description": "A template below templates/, or one that comes with opora." },
                    "with": { "type": "object", "description": "The template's inputs." },
                    "depends_on": list_of_references,
                },
                "required": ["use"],
                "additionalProperties": false,
            } },
            "additionalProperties": false,
        },
        "outputs": {
            "type": "object",
            "description": "Values to show after apply.",
            "patternProperties": { NAME: {} },
            "additionalProperties": false,
        },
    })
}

fn input() -> Value {
    json!({
        "type": ["object", "null"],
        "properties": {
            "type": { "enum": ["string", "integer", "number", "boolean", "list", "map"], "default": "string" },
            "default": { "description": "Its value where none is given." },
            "min": { "type": "number", "description": "The least number, or length." },
            "max": { "type": "number", "description": "The greatest number, or length." },
            "one_of": { "type": "array", "description": "The values it may have." },
            "pattern": { "type": "string", "description": "A regular expression that the whole text matches." },
            "describe": { "type": "string" },
        },
        "additionalProperties": false,
    })
}

fn block(kind: &KindSchema) -> Value {
    let mut arguments = with_expressions(kind.arguments.as_value(), true);
    if let Some(map) = arguments.as_object_mut() {
        map.remove("title");
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
        let required = map.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
        map.insert("type".to_owned(), if required { json!("object") } else { json!(["object", "null"]) });
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        merge(
            properties,
            json!({
                "for_each": {
                    "description": "Makes one for each item of a list or entry of a map.",
                    "anyOf": [{ "type": "array" }, { "type": "object" }, { "$ref": "#/$defs/expression" }],
                },
                "depends_on": { "type": "array", "items": { "$ref": "#/$defs/reference" } },
                "lifecycle": { "$ref": "#/$defs/lifecycle" },
            }),
        );
    }
    let description = kind.arguments.description();
    json!({ "type": "object", "description": description, "patternProperties": { NAME: arguments }, "additionalProperties": false })
}

/// Lets every value that is not free text be an expression too.
fn with_expressions(schema: &Value, top: bool) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => Value::Object(
                properties.iter().map(|(name, node)| (name.clone(), with_expressions(node, false))).collect(),
            ),
            ("items" | "additionalProperties", node @ Value::Object(_)) => with_expressions(node, false),
            ("anyOf" | "oneOf", Value::Array(variants)) => {
                variants.iter().map(|node| with_expressions(node, true)).collect()
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    // Formats of numbers (`uint32`) and of texts with expressions in them mean nothing to editors.
    out.remove("format");
    if map.get("type").and_then(Value::as_str) == Some("object") && map.contains_key("properties") {
        out.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    let alternatives = out.contains_key("anyOf") || out.contains_key("oneOf");
    if top && !alternatives {
        return Value::Object(out);
    }
    let plain_text = map.get("type").and_then(Value::as_str) == Some("string")
        && !["enum", "const", "pattern", "minLength", "maxLength"].iter().any(|key| map.contains_key(*key));
    if plain_text || map.get("x-policy").is_some() {
        return Value::Object(out);
    }
    let description = out.shift_remove("description");
    let default = out.shift_remove("default");
    let mut wrapped = Map::new();
    wrapped.extend(description.map(|text| ("description".to_owned(), text)));
    wrapped.extend(default.map(|value| ("default".to_owned(), value)));
    wrapped.insert("anyOf".to_owned(), json!([Value::Object(out), { "$ref": "#/$defs/expression" }]));
    Value::Object(wrapped)
}
