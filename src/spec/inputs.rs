//! Inputs: their declarations, and the values that come from defaults, `--input` and `with:`.

use regex::Regex;
use serde_json::Value;

use crate::diagnostic::{SourceId, Span};
use crate::value::has_unknown;
use crate::yaml::{self, Node};

/// What an input admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputType {
    String,
    Integer,
    Number,
    Boolean,
    List,
    Map,
}

pub(super) const TYPES: [(&str, InputType); 6] = [
    ("string", InputType::String),
    ("integer", InputType::Integer),
    ("number", InputType::Number),
    ("boolean", InputType::Boolean),
    ("list", InputType::List),
    ("map", InputType::Map),
];

/// A declared input.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub key: Span,
    pub kind: InputType,
    pub default: Option<Node>,
    /// The smallest number, or length of a text, list or map.
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub one_of: Vec<Value>,
    pub pattern: Option<Regex>,
}

impl Input {
    /// Says why a value does not fit; unknown values fit any input.
    pub(super) fn refuse(&self, value: &Value) -> Option<String> {
        if value.is_string() && has_unknown(value) {
            return None;
        }
        let (size, unit) = match (self.kind, value) {
            (InputType::String, Value::String(text)) => (Some(text.chars().count() as f64), " characters"),
            (InputType::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => (number.as_f64(), ""),
            (InputType::Number, Value::Number(number)) => (number.as_f64(), ""),
            (InputType::Boolean, Value::Bool(_)) => (None, ""),
            (InputType::List, Value::Array(items)) => (Some(items.len() as f64), " items"),
            (InputType::Map, Value::Object(map)) => (Some(map.len() as f64), " entries"),
            _ => return Some(format!("{} is not of type {}", shown(value), self.type_name())),
        };
        if let (Some(size), Some(min)) = (size, self.min)
            && size < min
        {
            return Some(format!("{} is below the least, {min}{unit}", shown(value)));
        }
        if let (Some(size), Some(max)) = (size, self.max)
            && size > max
        {
            return Some(format!("{} is above the most, {max}{unit}", shown(value)));
        }
        if !self.one_of.is_empty() && !self.one_of.contains(value) {
            let names = self.one_of.iter().map(shown).collect::<Vec<_>>().join(", ");
            return Some(format!("{} is none of {names}", shown(value)));
        }
        match (&self.pattern, value) {
            (Some(pattern), Value::String(text)) if !pattern.is_match(text) => {
                Some(format!("{} does not match `{pattern}`", shown(value)))
            }
            _ => None,
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self.kind).map_or("string", |(name, _)| name)
    }

    /// Reads a value from the command line.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let wrong = || format!("`{text}` is not of type {}", self.type_name());
        match self.kind {
            InputType::String => Ok(Value::from(text)),
            InputType::Integer => text.trim().parse::<i64>().map(Value::from).map_err(|_| wrong()),
            InputType::Number => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::from(number)),
                _ => Err(wrong()),
            },
            InputType::Boolean => text.trim().parse::<bool>().map(Value::from).map_err(|_| wrong()),
            InputType::List if !text.trim_start().starts_with('[') => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
            }
            InputType::List | InputType::Map => {
                let (node, _) = yaml::parse(text, SourceId(u32::MAX));
                let value = node.ok_or_else(wrong)?.to_json();
                if value.is_array() == (self.kind == InputType::List) && !value.is_string() {
                    Ok(value)
                } else {
                    Err(wrong())
                }
            }
        }
    }
}

/// Writes a value for a message, shortened.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => crate::value::display_unknown(text),
        other => other.to_string(),
    };
    if text.chars().count() > 60 {
        return format!("`{}…`", text.chars().take(57).collect::<String>());
    }
    format!("`{text}`")
}
