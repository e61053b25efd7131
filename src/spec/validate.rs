//! Checks evaluated arguments against their kind's schema, all at once, with the place of each in the text.
//!
//! A marker fits any type: what it stands for is checked when it is known. Where an expression yielded the
//! value, the label stands on the expression.

use serde_json::Value;

use super::formats;
use super::inputs::shown;
use super::policy::{self, Step};
use super::suggest;
use crate::diagnostic::{Diagnostic, Span};
use crate::kind::{KindSchema, Shape, describe, enum_values, shape, unwrap_nullable};
use crate::value::{has_unknown, join_index, join_key, matches, whole_unknown};
use crate::yaml::{Node, NodeValue};

/// Checks the arguments of one resource; what is known already is not reported twice.
pub(super) fn arguments(schema: &KindSchema, value: &Value, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let mut check = Check { kind: schema.name, found: Vec::new() };
    let here = Place { node: Some(node), span: address_span(node), path: String::new() };
    check.value(schema.arguments.as_value(), value, &here);
    for diagnostic in check.found {
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
    }
}

/// A resource with no entries has an empty span; its label then stands where the map would.
fn address_span(node: &Node) -> Span {
    let first = node.as_map().and_then(|entries| entries.first());
    first.map_or_else(|| node.span.clone(), |(key, _)| key.span.clone())
}

/// Where a value stands; inside an expression's result, the node of the expression.
#[derive(Clone)]
struct Place<'n> {
    node: Option<&'n Node>,
    span: Span,
    path: String,
}

struct Check<'k> {
    kind: &'k str,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    fn name(&self, path: &str) -> String {
        if path.is_empty() { self.kind.to_owned() } else { format!("{}.{path}", self.kind) }
    }

    fn report(&mut self, code: &'static str, summary: &str, place: &Place<'_>, label: String, help: String) {
        let mut diagnostic = Diagnostic::error(code, summary).at(place.span.clone(), label);
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        self.found.push(diagnostic);
    }

    fn value(&mut self, schema: &Value, value: &Value, place: &Place<'_>) {
        if value.as_str().is_some_and(|text| whole_unknown(text).is_some()) {
            return;
        }
        let inner = unwrap_nullable(schema);
        let flag = |name: &str| schema.get(name).or_else(|| inner.get(name));
        if flag("x-policy").and_then(Value::as_bool) == Some(true) {
            for fault in policy::faults(value) {
                let at = fault.at.iter().fold(place.clone(), |place, step| match step {
                    Step::In(key) => at_key(&place, key),
                    Step::Item(index) => at_index(&place, *index),
                    Step::Key(key) => key_place(&place, key),
                });
                self.report("SPEC044", "policy document not valid", &at, fault.label, fault.help);
            }
            return;
        }
        if let Some(values) = numbers_of(inner) {
            return self.one_number(values, value, place);
        }
        if let Some(values) = enum_values(inner) {
            return self.one_of(&values, value, place);
        }
        match (shape(inner), value) {
            (_, Value::Null) | (Shape::Any, _) => {}
            (Shape::Object, Value::Object(_)) => self.object(inner, value, place),
            (Shape::Map(values), Value::Object(map)) => {
                for (key, item) in map {
                    if let Some(keys) = inner.get("propertyNames").and_then(enum_values) {
                        self.one_of(&keys, &Value::from(key.as_str()), &key_place(place, key));
                    }
                    self.value(values, item, &at_key(place, key));
                }
            }
            (Shape::Array(items), Value::Array(list)) => {
                self.size(inner, ("minItems", "maxItems"), list.len() as f64, " items", value, place);
                for (index, item) in list.iter().enumerate() {
                    self.value(items, item, &at_index(place, index));
                }
            }
            (Shape::String, Value::String(text)) => self.text(schema, inner, text, place),
            (Shape::Boolean, Value::Bool(_)) => {}
            (Shape::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.number(inner, value, place)
            }
            (Shape::Number, Value::Number(_)) => self.number(inner, value, place),
            (Shape::OneOf(variants), _) => self.variants(variants, schema, value, place),
            _ => self.wrong_type(inner, value, place),
        }
    }

    fn wrong_type(&mut self, schema: &Value, value: &Value, place: &Place<'_>) {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        let source = place.node.and_then(Node::as_str);
        let from_expression = source.is_some_and(super::template::has_expression);
        let shown = if from_expression {
            format!("this yields {}, which is {found}", shown(value))
        } else {
            format!("this is {found}")
        };
        let label = format!("{shown}; {} is {}", self.name(&place.path), article(&describe(schema)));
        let help = match (shape(schema), value) {
            (Shape::Boolean, Value::String(text)) if matches!(text.to_lowercase().as_str(), "yes" | "on" | "true") => {
                "write `true`, without quotes".to_owned()
            }
            (Shape::Boolean, Value::String(text)) if matches!(text.to_lowercase().as_str(), "no" | "off" | "false") => {
                "write `false`, without quotes".to_owned()
            }
            (Shape::Integer | Shape::Number, Value::String(text)) if text.trim().parse::<f64>().is_ok() => {
                "write the number without quotes".to_owned()
            }
            (Shape::String, Value::Number(_) | Value::Bool(_)) if !from_expression => {
                format!("put it in quotes: \"{value}\"")
            }
            (Shape::String, Value::Number(_) | Value::Bool(_)) => "make it text with `| string`".to_owned(),
            (Shape::Array(_), Value::String(_) | Value::Number(_)) if !from_expression => {
                format!("write a list: [{}]", plain(value))
            }
            (Shape::Object | Shape::Map(_), _) => "write a map of `name: value`".to_owned(),
            (Shape::Boolean, _) => "write `true` or `false`".to_owned(),
            _ => format!("`opora explain {}` shows what it takes", self.kind),
        };
        self.report("SPEC013", "wrong type", place, label, help);
    }

    fn one_of(&mut self, values: &[&str], value: &Value, place: &Place<'_>) {
        match value {
            Value::Null => {}
            Value::String(text) if has_unknown(value) || values.contains(&text.as_str()) => {}
            Value::String(text) => {
                let label = format!("`{text}` is not a value of {}", self.name(&place.path));
                let help = suggest::help(text, values.iter().copied(), "see the kind's page for the values");
                self.report("SPEC015", "value not allowed", place, label, help);
            }
            _ => {
                let label = format!("this is {}; {} is one of a set of texts", plain(value), self.name(&place.path));
                let help = suggest::help("", values.iter().copied(), "see the kind's page for the values");
                self.report("SPEC013", "wrong type", place, label, help);
            }
        }
    }

    fn one_number(&mut self, values: &[Value], value: &Value, place: &Place<'_>) {
        if value.is_null() || values.contains(value) {
            return;
        }
        let names = values.iter().filter(|value| !value.is_null()).map(Value::to_string).collect::<Vec<_>>().join(", ");
        let (code, summary) =
            if value.is_number() { ("SPEC015", "value not allowed") } else { ("SPEC013", "wrong type") };
        let label = format!("{} is not a value of {}", shown(value), self.name(&place.path));
        self.report(code, summary, place, label, format!("one of {names}"));
    }

    fn object(&mut self, schema: &Value, value: &Value, place: &Place<'_>) {
        let (Some(map), Some(properties)) = (value.as_object(), schema.get("properties").and_then(Value::as_object))
        else {
            return;
        };
        for (key, item) in map {
            match properties.get(key) {
                Some(property) => self.value(property, item, &at_key(place, key)),
                None => {
                    let label = format!("`{key}` is not an argument of {}", self.name(&place.path));
                    let known = properties.keys().map(String::as_str);
                    let help = suggest::help(key, known, &format!("`opora explain {}` lists its arguments", self.kind));
                    self.report("SPEC012", "unknown argument", &key_place(place, key), label, help);
                }
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if map.get(name).is_none_or(Value::is_null) {
                let label = format!("{} needs `{name}`", self.name(&place.path));
                let what = properties.get(name).map(describe).unwrap_or_default();
                self.report("SPEC014", "missing argument", place, label, format!("add `{name}:` ({what})"));
            }
        }
    }

    fn variants(&mut self, variants: &[Value], schema: &Value, value: &Value, place: &Place<'_>) {
        let mut attempts: Vec<Vec<Diagnostic>> = Vec::new();
        for variant in variants {
            let mut attempt = Check { kind: self.kind, found: Vec::new() };
            attempt.value(variant, value, place);
            if attempt.found.is_empty() && fits_type(variant, value) {
                return;
            }
            attempts.push(attempt.found);
        }
        // The variant that shares the most keys is the one that was meant.
        let shared = |variant: &Value| {
            let known = unwrap_nullable(variant).get("properties").and_then(Value::as_object);
            let keys = value
                .as_object()
                .map(|map| map.keys().filter(|key| known.is_some_and(|known| known.contains_key(*key))).count());
            keys.unwrap_or(0)
        };
        let best =
            (0..variants.len()).max_by_key(|index| (shared(&variants[*index]), usize::MAX - attempts[*index].len()));
        match best {
            Some(best) if shared(&variants[best]) > 0 => self.found.append(&mut attempts[best]),
            _ => {
                let texts: Vec<&str> = variants.iter().filter_map(enum_values).flatten().collect();
                match value {
                    Value::String(_) if !texts.is_empty() => self.one_of(&texts, value, place),
                    _ => self.wrong_type(schema, value, place),
                }
            }
        }
    }

    fn text(&mut self, schema: &Value, inner: &Value, text: &str, place: &Place<'_>) {
        if has_unknown(&Value::from(text)) {
            return;
        }
        let value = Value::from(text);
        self.size(inner, ("minLength", "maxLength"), text.chars().count() as f64, " characters", &value, place);
        let keyword = |name: &str| inner.get(name).or_else(|| schema.get(name)).and_then(Value::as_str);
        if let Some(pattern) = keyword("pattern")
            && matches(pattern, text) == Some(false)
        {
            let label = format!("`{text}` does not match what {} takes", self.name(&place.path));
            self.report("SPEC015", "value not allowed", place, label, format!("the pattern is `{pattern}`"));
        }
        let refused = match keyword("format") {
            Some("cidr") => formats::refuse_cidr(text).map(|found| ("SPEC040", "CIDR not valid", found)),
            Some("arn") => formats::refuse_arn(text).map(|found| ("SPEC043", "ARN not valid", found)),
            _ => None,
        };
        if let Some((code, summary, (label, help))) = refused {
            self.report(code, summary, place, label, help);
        }
    }

    fn number(&mut self, schema: &Value, value: &Value, place: &Place<'_>) {
        let Some(number) = value.as_f64() else { return };
        self.size(schema, ("minimum", "maximum"), number, "", value, place);
        let exclusive = |name: &str| schema.get(name).and_then(Value::as_f64);
        if exclusive("exclusiveMinimum").is_some_and(|min| number <= min)
            || exclusive("exclusiveMaximum").is_some_and(|max| number >= max)
        {
            let label = format!("{} lies outside what {} takes", shown(value), self.name(&place.path));
            self.report("SPEC015", "value not allowed", place, label, "see the kind's page for its range".to_owned());
        }
    }

    fn size(
        &mut self,
        schema: &Value,
        (min, max): (&str, &str),
        size: f64,
        unit: &str,
        value: &Value,
        place: &Place<'_>,
    ) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (low, high) = (bound(min), bound(max));
        if low.is_none_or(|low| size >= low) && high.is_none_or(|high| size <= high) {
            return;
        }
        let help = match (low, high) {
            (Some(low), Some(high)) => format!("between {low} and {high}{unit}"),
            (Some(low), None) => format!("{low}{unit} at least"),
            (None, Some(high)) => format!("{high}{unit} at most"),
            (None, None) => String::new(),
        };
        let what = if unit.is_empty() { shown(value) } else { format!("this has {size}{unit}, which") };
        let label = format!("{what} lies outside what {} takes", self.name(&place.path));
        self.report("SPEC015", "value not allowed", place, label, help);
    }
}

/// Tells whether a value is of a variant's type; `Check` lets `null` and unknown shapes pass.
fn fits_type(variant: &Value, value: &Value) -> bool {
    let inner = unwrap_nullable(variant);
    if inner.get("type").and_then(Value::as_str) == Some("null") {
        return value.is_null();
    }
    true
}

/// Returns the values of an enumeration of numbers.
fn numbers_of(schema: &Value) -> Option<&Vec<Value>> {
    let values = schema.get("enum")?.as_array()?;
    values.iter().any(Value::is_number).then_some(values)
}

fn article(description: &str) -> String {
    let starts = |words: &[&str]| words.iter().any(|word| description.starts_with(word));
    if starts(&["text", "true", "any", "`"]) {
        return description.to_owned();
    }
    if starts(&["object"]) { "a map".to_owned() } else { format!("a {description}") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn at_key<'n>(place: &Place<'n>, key: &str) -> Place<'n> {
    let path = join_key(&place.path, key);
    match place.node.and_then(|node| node.entry(key)) {
        Some((key, node)) => {
            let empty = node.is_null() || (node.span.start == node.span.end);
            let wide = matches!(node.value, NodeValue::Map(_) | NodeValue::Seq(_));
            // A whole map would be underlined over many lines: its name is enough.
            let span = if empty || wide { key.span.clone() } else { node.span.clone() };
            Place { node: Some(node), span, path }
        }
        None => Place { node: None, span: place.span.clone(), path },
    }
}

fn key_place<'n>(place: &Place<'n>, key: &str) -> Place<'n> {
    let span =
        place.node.and_then(|node| node.entry(key)).map_or_else(|| place.span.clone(), |(key, _)| key.span.clone());
    Place { node: place.node, span, path: place.path.clone() }
}

fn at_index<'n>(place: &Place<'n>, index: usize) -> Place<'n> {
    let path = join_index(&place.path, index);
    match place.node.and_then(Node::as_seq).and_then(|items| items.get(index)) {
        Some(node) => {
            let first = node.as_map().and_then(|entries| entries.first());
            let span = first.map_or_else(|| node.span.clone(), |(key, _)| key.span.clone());
            Place { node: Some(node), span, path }
        }
        None => Place { node: None, span: place.span.clone(), path },
    }
}

/// Checks a tag's key; the two reserved prefixes are AWS's and opora's own.
pub(super) fn tag_key(key: &str, span: &Span, diagnostics: &mut Vec<Diagnostic>) {
    let label = if key.to_lowercase().starts_with("aws:") {
        format!("`{key}`: the prefix `aws:` is AWS's own")
    } else if key.to_lowercase().starts_with("opora:") {
        format!("`{key}`: opora marks what it owns with `opora:` tags")
    } else if key.is_empty() || key.chars().count() > 128 {
        "a tag's key has 1 to 128 characters".to_owned()
    } else {
        return;
    };
    let diagnostic = Diagnostic::error("SPEC045", "tag not allowed").at(span.clone(), label).help("choose another key");
    if !diagnostics.contains(&diagnostic) {
        diagnostics.push(diagnostic);
    }
}
