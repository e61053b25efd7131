//! What an expression yields, and what is remembered of how it came about.
//!
//! Values borrow from the resources; only texts made by a function are owned. A field's read is recorded when its
//! leaf is reached, so that a finding can show the values it rests on. Nothing here evaluates.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use crate::kind::{KindSchema, Resource};
use crate::value::{display_unknown, unknown_references, whole_unknown};

/// One resource as an expression sees it.
#[derive(Debug)]
pub(crate) struct Subject<'v> {
    pub(crate) resource: &'v Resource,
    pub(crate) schema: Option<&'v KindSchema>,
}

impl Subject<'_> {
    /// Names the resource as reports do: its address, else AWS's id.
    pub(crate) fn label(&self) -> String {
        match (&self.resource.address, &self.resource.id) {
            (Some(address), _) => address.to_string(),
            (None, Some(id)) => format!("{} {id}", self.resource.kind),
            (None, None) => self.resource.kind.clone(),
        }
    }
}

/// One field that an expression read, with the value it found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Read {
    /// The resource, where it is not the one that is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The path in the normal form.
    pub path: String,
    /// The value; `null` for an optional field that is not set.
    pub value: Value,
}

/// Says why a value is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A reference to what AWS has yet to make; the text with its markers.
    AfterApply { path: String, text: String },
    /// AWS could not be asked.
    Unreadable { path: String, reason: String },
    /// The read answered, but without this field.
    Missing { path: String },
    /// The resources of a kind could not be listed.
    Unlisted { kind: String, reason: String },
    /// The expression asks what its operands have no answer to.
    Invalid { text: String },
}

impl Unknown {
    pub(crate) fn invalid(text: impl Into<String>) -> Rc<Self> {
        Rc::new(Self::Invalid { text: text.into() })
    }

    /// Tells whether an apply will make the value known.
    pub(crate) fn is_after_apply(&self) -> bool {
        matches!(self, Self::AfterApply { .. })
    }

    /// Returns `address` and attribute, where the value is exactly one reference.
    pub(crate) fn reference(&self) -> Option<(&str, &str)> {
        match self {
            Self::AfterApply { text, .. } => whole_unknown(text)?.rsplit_once('.'),
            _ => None,
        }
    }

    /// Says it as a finding does.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::AfterApply { path, text } => match unknown_references(text).first() {
                Some(reference) if !reference.starts_with('#') => {
                    format!("`{path}` is known after apply (it comes from `{reference}`)")
                }
                _ => format!("`{path}` is known after apply"),
            },
            Self::Unreadable { path, reason } => format!("`{path}` could not be read: {reason}"),
            Self::Missing { path } => format!("`{path}` is not in what was read"),
            Self::Unlisted { kind, reason } => format!("{kind} could not be listed: {reason}"),
            Self::Invalid { text } => format!("the check has no answer: {text}"),
        }
    }
}

/// A list or map inside a resource.
#[derive(Debug, Clone)]
pub(crate) struct Node<'v> {
    pub(crate) value: &'v Value,
    pub(crate) schema: Option<&'v Value>,
    pub(crate) path: Rc<str>,
    pub(crate) subject: &'v Subject<'v>,
}

/// A list; where `open` is set it may have members that nobody could see.
#[derive(Debug, Clone, Default)]
pub(crate) struct List<'v> {
    pub(crate) items: Vec<Val<'v>>,
    pub(crate) open: Option<Rc<Unknown>>,
}

/// The value of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'v, str>),
    Node(Node<'v>),
    List(Rc<List<'v>>),
    Map(Rc<Vec<(String, Val<'v>)>>),
    Subject(&'v Subject<'v>),
    /// The name `resources`, of which only the fields are values.
    Kinds,
    Unknown(Rc<Unknown>),
}

impl<'v> Val<'v> {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Unknown(Unknown::invalid(text))
    }

    pub(crate) fn list(items: Vec<Val<'v>>) -> Self {
        Self::List(Rc::new(List { items, open: None }))
    }

    /// Names the type for a message.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::Node(node) if node.value.is_array() => "a list",
            Self::List(_) => "a list",
            Self::Node(_) | Self::Map(_) | Self::Kinds => "a map",
            Self::Subject(_) => "a resource",
            Self::Unknown(_) => "an unknown value",
        }
    }

    /// Makes a value of a scalar; markers in a text make it unknown.
    pub(crate) fn scalar(value: Cow<'v, str>, path: &str) -> Self {
        if unknown_references(&value).is_empty() {
            return Self::Text(value);
        }
        Self::Unknown(Rc::new(Unknown::AfterApply { path: path.to_owned(), text: value.into_owned() }))
    }

    /// Makes a value that borrows nothing, for what a function has built.
    pub(crate) fn owned(value: Value, path: &str) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::scalar(Cow::Owned(text), path),
            Value::Array(items) => Self::list(items.into_iter().map(|item| Self::owned(item, path)).collect()),
            Value::Object(map) => {
                Self::Map(Rc::new(map.into_iter().map(|(key, item)| (key, Self::owned(item, path))).collect()))
            }
        }
    }
}

/// Shortens a value for a finding: whole up to `VALUE_BYTES_MAX`, else its beginning.
pub(crate) fn recorded(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(clip(&display_unknown(text))),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() <= VALUE_BYTES_MAX && unknown_references(&text).is_empty() {
                value.clone()
            } else {
                Value::from(clip(&display_unknown(&text)))
            }
        }
        other => other.clone(),
    }
}

/// Bytes of one value that a finding keeps.
const VALUE_BYTES_MAX: usize = 2048;

fn clip(text: &str) -> String {
    if text.len() <= VALUE_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = VALUE_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", &text[..end], text.len())
}
