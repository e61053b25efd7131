//! The schema of a kind's arguments or attributes, walked by spec, plan, checks and docs.
//!
//! Made from the kind's Rust types by schemars. Extension keys carry what JSON Schema has no word for:
//! `x-change` (`update`, the default, or `replace`), `x-set` (an array whose order means nothing) and
//! `x-policy` (an IAM policy document, compared by meaning); `x-access` marks arguments that decide who reaches
//! what or what is logged, as policies and `x-rules` do by themselves; `x-claims` a list of what belongs to one
//! resource of the kind at a time and is handed over in one call, `x-unique` what another one can have only when the
//! first has let go, `x-kept` what a deleted one keeps as long as it waits (see `kind::place`); `x-local` marks
//! arguments that AWS does not give back, `x-volatile` attributes that an update in place may change, `x-broken` the
//! values of an attribute that tell of a state which the resource does not leave; `x-waits` marks the days between a
//! deletion and the end; `x-rest` is the value that a reset leaves where AWS can't go back to none. Extensions stand on
//! the property itself.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::value::{Segment, join_key, segments};

/// Stands in a schema for a text that is an ARN: `#[schemars(with = "Vec<Arn>")]`.
///
/// A field that is one ARN says `extend("format" = "arn")` instead.
pub struct Arn;

impl JsonSchema for Arn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Arn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "arn" })
    }
}

/// What happens when the value of an argument changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// Changed in place.
    Update,
    /// A new resource takes the old one's place.
    Replace,
}

/// What a schema node admits, seen through `null` and single-variant wrappers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'s> {
    Object,
    /// A map with free keys; the node of its values.
    Map(&'s Value),
    Array(&'s Value),
    String,
    Integer,
    Number,
    Boolean,
    /// One of several shapes.
    OneOf(&'s [Value]),
    /// Anything.
    Any,
}

/// One JSON Schema node, with all definitions inlined.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SchemaNode(Value);

/// One line of the reference page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArgumentDoc {
    pub path: String,
    pub shape: String,
    pub required: bool,
    pub default: Option<String>,
    pub on_change: OnChange,
    pub description: String,
}

impl SchemaNode {
    /// Makes the schema of a type.
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        Self(settings.into_generator().into_root_schema_for::<T>().to_value())
    }

    /// Returns the JSON Schema itself.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Returns the schema of a direct property.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.0.get("properties")?.get(name)
    }

    /// Returns the direct properties in the order of the type's fields.
    pub fn properties(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.get("properties").and_then(Value::as_object).into_iter().flatten()
    }

    /// Returns the schema at a path, array positions and map keys included.
    pub fn at(&self, path: &str) -> Option<&Value> {
        segments(path).into_iter().try_fold(&self.0, |node, segment| step(node, &segment))
    }

    /// Tells what a change of the argument at `path` means; the outermost `replace` on the way decides.
    pub fn on_change(&self, path: &str) -> OnChange {
        let mut node = &self.0;
        for segment in segments(path) {
            let Some(next) = step(node, &segment) else { break };
            if next.get("x-change").and_then(Value::as_str) == Some("replace") {
                return OnChange::Replace;
            }
            node = next;
        }
        OnChange::Update
    }

    /// Tells whether AWS does not give the top-level argument of `path` back.
    pub fn is_local(&self, path: &str) -> bool {
        self.top_flag(path, "x-local")
    }

    /// Tells whether an update in place may change the top-level attribute of `path`.
    pub fn is_volatile(&self, path: &str) -> bool {
        self.top_flag(path, "x-volatile")
    }

    /// Tells whether the top-level argument `name` has the value that a reset leaves.
    pub fn rests(&self, name: &str, value: &Value) -> bool {
        self.property(name).and_then(|node| node.get("x-rest")) == Some(value)
    }

    /// Returns the first attribute whose value tells that the resource is beyond repair: its name and value.
    pub fn broken<'a>(&'a self, attributes: &'a Value) -> Option<(&'a str, &'a str)> {
        self.properties().find_map(|(name, node)| {
            let values = node.get("x-broken")?.as_array()?;
            let value = attributes.get(name).filter(|value| values.contains(value))?;
            Some((name.as_str(), value.as_str()?))
        })
    }

    /// Returns for how many days a deleted resource with these arguments can be brought back; `None` where it can't.
    pub fn waiting_days(&self, arguments: &Value) -> Option<u64> {
        let (name, _) = self.waits()?;
        let set = arguments.get(name).and_then(Value::as_u64);
        set.or_else(|| self.property(name)?.get("default")?.as_u64()).filter(|days| *days > 0)
    }

    /// Returns the argument that says how long a deletion waits, and the fewest days that it takes.
    pub(crate) fn waits(&self) -> Option<(&str, u64)> {
        let (name, node) = self.properties().find(|(name, _)| self.top_flag(name, "x-waits"))?;
        Some((name, node.get("minimum").and_then(Value::as_u64).unwrap_or_default()))
    }

    /// Lists the top-level arguments that decide who reaches what, or what is logged, and can be changed in place.
    pub fn governing(&self) -> Vec<&str> {
        let governs = |(name, node): &(&String, &Value)| marked(node) && self.on_change(name) == OnChange::Update;
        self.properties().filter(governs).map(|(name, _)| name.as_str()).collect()
    }

    /// Returns what a resource with these arguments claims for itself alone among those of its kind.
    pub(crate) fn claimed(&self, arguments: &Value) -> BTreeSet<String> {
        let claims = self.properties().filter(|(name, _)| self.top_flag(name, "x-claims"));
        let items = claims.filter_map(|(name, _)| arguments.get(name)?.as_array()).flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn top_flag(&self, path: &str, flag: &str) -> bool {
        let Some(Segment::Key(top)) = segments(path).into_iter().next() else { return false };
        self.property(top).and_then(|node| node.get(flag)).and_then(Value::as_bool) == Some(true)
    }

    /// Lists all arguments with their nested ones, for the reference page.
    pub fn documentation(&self) -> Vec<ArgumentDoc> {
        let mut out = Vec::new();
        document(&self.0, "", OnChange::Update, &mut out);
        out
    }

    /// Returns the doc comment of the type.
    pub fn description(&self) -> &str {
        self.0.get("description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Tells whether a node or anything below it is a policy, a rule set, or marked as governing access.
fn marked(node: &Value) -> bool {
    match node {
        Value::Object(map) => {
            let flag = |name: &&str| map.get(*name) == Some(&Value::Bool(true));
            ["x-access", "x-policy", "x-rules"].iter().any(flag) || map.values().any(marked)
        }
        Value::Array(items) => items.iter().any(marked),
        _ => false,
    }
}

/// Sees a node's shape through `null` alternatives.
pub(crate) fn shape(node: &Value) -> Shape<'_> {
    if node.get("const").is_some() || node.get("enum").is_some() {
        return Shape::String;
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(variants) = node.get(key).and_then(Value::as_array) {
            let mut real = variants.iter().filter(|variant| !is_null(variant));
            return match (real.next(), real.next()) {
                (Some(only), None) => shape(only),
                _ if variants.iter().all(|variant| variant.get("const").is_some()) => Shape::String,
                _ => Shape::OneOf(variants),
            };
        }
    }
    match type_name(node) {
        Some("object") if node.get("properties").is_some() => Shape::Object,
        Some("object") => match node.get("additionalProperties") {
            Some(values) if values.is_object() => Shape::Map(values),
            _ => Shape::Any,
        },
        Some("array") => node.get("items").map_or(Shape::Any, Shape::Array),
        Some("string") => Shape::String,
        Some("integer") => Shape::Integer,
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        _ => Shape::Any,
    }
}

/// Returns the node itself, or the only variant that is not `null`.
pub(crate) fn unwrap_nullable(node: &Value) -> &Value {
    for key in ["anyOf", "oneOf"] {
        if let Some(variants) = node.get(key).and_then(Value::as_array) {
            let mut real = variants.iter().filter(|variant| !is_null(variant));
            if let (Some(only), None) = (real.next(), real.next()) {
                return unwrap_nullable(only);
            }
        }
    }
    node
}

/// Tells whether a node is an IAM policy document.
pub(crate) fn is_policy(node: &Value) -> bool {
    [node, unwrap_nullable(node)].iter().any(|node| node.get("x-policy").and_then(Value::as_bool) == Some(true))
}

fn is_null(node: &Value) -> bool {
    node.get("type").and_then(Value::as_str) == Some("null")
}

fn type_name(node: &Value) -> Option<&str> {
    match node.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

pub(crate) fn step<'s>(node: &'s Value, segment: &Segment<'_>) -> Option<&'s Value> {
    let inner = unwrap_nullable(node);
    match (shape(inner), segment) {
        (Shape::Object, Segment::Key(key)) => inner.get("properties")?.get(*key),
        (Shape::Map(values), Segment::Key(_)) => Some(values),
        (Shape::Array(items), Segment::Index(_)) => Some(items),
        (Shape::OneOf(variants), segment) => variants.iter().find_map(|variant| step(variant, segment)),
        _ => None,
    }
}

fn document(node: &Value, path: &str, inherited: OnChange, out: &mut Vec<ArgumentDoc>) {
    let inner = unwrap_nullable(node);
    let empty = Map::new();
    let properties = inner.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = inner.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let path = join_key(path, name);
        let replaces = property.get("x-change").and_then(Value::as_str) == Some("replace");
        let on_change = if replaces { OnChange::Replace } else { inherited };
        out.push(ArgumentDoc {
            path: path.clone(),
            shape: describe(property),
            required: required.is_some_and(|names| names.iter().any(|item| item == name)),
            default: property.get("default").filter(|value| !value.is_null()).map(Value::to_string),
            on_change,
            description: property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        });
        match shape(property) {
            Shape::Object => document(property, &path, on_change, out),
            Shape::Array(items) => document(items, &format!("{path}[]"), on_change, out),
            Shape::Map(values) => document(values, &format!("{path}.*"), on_change, out),
            Shape::OneOf(variants) => {
                for variant in variants {
                    document(variant, &path, on_change, out);
                }
            }
            _ => {}
        }
    }
}

/// Names a node's shape as the reference page and error messages do.
pub(crate) fn describe(node: &Value) -> String {
    let inner = unwrap_nullable(node);
    if let Some(values) = enum_values(inner) {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    match shape(inner) {
        Shape::Object => "object".to_owned(),
        Shape::Map(values) => format!("map of {}", describe(values)),
        Shape::Array(items) => format!("list of {}", describe(items)),
        Shape::String => "text".to_owned(),
        Shape::Integer => "whole number".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Boolean => "true or false".to_owned(),
        Shape::OneOf(variants) => {
            let names: Vec<_> = variants.iter().filter(|variant| !is_null(variant)).map(describe).collect();
            names.join(", or ")
        }
        Shape::Any => "any value".to_owned(),
    }
}

/// Returns the texts an enumeration admits.
pub(crate) fn enum_values(node: &Value) -> Option<Vec<&str>> {
    let node = unwrap_nullable(node);
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        return Some(values.iter().filter_map(Value::as_str).collect());
    }
    let variants = node.get("oneOf").or_else(|| node.get("anyOf"))?.as_array()?;
    let mut out = Vec::new();
    for variant in variants.iter().filter(|variant| !is_null(variant)) {
        match (variant.get("const"), variant.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => out.push(value.as_str()?),
            (None, Some(values)) => out.extend(values.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    Some(out)
}
