//! YAML as a tree of nodes that know where they stand in the text.
//!
//! Built on granit-parser's events, which carry byte ranges. YAML 1.2's core schema, with what older readers
//! would read otherwise reported instead of guessed. Size, depth and the growth by aliases are bounded.
//! Deliberately absent: several documents, tags of one's own, merge keys, keys that are not text.

mod build;
mod scalar;

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, SourceId, SourceMap, Span};
use crate::value::{Segment, segments};

/// The longest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The deepest nesting of maps and lists.
pub const DEPTH_MAX: usize = 64;
/// The most nodes that all aliases together may add.
pub const ALIAS_NODES_MAX: usize = 100_000;

/// One node of a YAML text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub span: Span,
    pub value: NodeValue,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String {
        text: String,
        style: Style,
    },
    Seq(Vec<Node>),
    /// Entries in the order of the text; keys are strings and differ.
    Map(Vec<(Node, Node)>),
}

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|` or `>`.
    Block,
}

impl Node {
    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the entries of a map.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.value {
            NodeValue::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items of a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            NodeValue::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// Tells whether the node is empty or `null`.
    pub fn is_null(&self) -> bool {
        self.value == NodeValue::Null
    }

    /// Returns the key and value nodes of an entry.
    pub fn entry(&self, name: &str) -> Option<(&Node, &Node)> {
        let entries = self.as_map()?;
        entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(key, value)| (key, value))
    }

    /// Returns the value of an entry.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// Returns the node at a path such as `rotation.period_days` or `ingress[0].from`.
    pub fn node_at(&self, path: &str) -> Option<&Node> {
        segments(path).into_iter().try_fold(self, |node, segment| match segment {
            Segment::Key(key) => node.get(key),
            Segment::Index(index) => node.as_seq()?.get(index),
        })
    }

    /// Returns the node as JSON; numbers that JSON has no word for were reported when the text was read.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Int(value) => Value::from(*value),
            NodeValue::Float(value) => Value::from(*value),
            NodeValue::String { text, .. } => Value::from(text.as_str()),
            NodeValue::Seq(items) => items.iter().map(Self::to_json).collect(),
            NodeValue::Map(entries) => {
                let entry = |(key, value): &(Self, Self)| Some((key.as_str()?.to_owned(), value.to_json()));
                Value::Object(entries.iter().filter_map(entry).collect::<Map<_, _>>())
            }
        }
    }

    /// Names what the node holds, for messages.
    pub fn describe(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "empty",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Int(_) | NodeValue::Float(_) => "a number",
            NodeValue::String { .. } => "text",
            NodeValue::Seq(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    /// Returns the span of a part of a string's text, where the text stands in the source as it is; else the node's.
    pub fn part(&self, range: std::ops::Range<usize>, source: &str) -> Span {
        let NodeValue::String { text, style } = &self.value else { return self.span.clone() };
        let lead = match style {
            Style::Plain | Style::Block => 0,
            Style::SingleQuoted | Style::DoubleQuoted => 1,
        };
        let start = self.span.start + lead;
        if source.get(start..start + text.len()) == Some(text.as_str()) {
            return Span::new(self.span.source, start + range.start..start + range.end);
        }
        // A folded or escaped text: the part may still stand there word for word, once.
        let slice = source.get(self.span.start..self.span.end).unwrap_or_default();
        let part = text.get(range).unwrap_or_default();
        match slice.find(part) {
            Some(at) if !part.is_empty() && slice.matches(part).count() == 1 => {
                Span::new(self.span.source, self.span.start + at..self.span.start + at + part.len())
            }
            _ => self.span.clone(),
        }
    }
}

/// Reads a text; all problems are returned, and the tree where there is a whole one.
pub fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    build::parse(text, source)
}

/// Adds bytes to the map as a text and reads it; bytes that are not UTF-8 are a diagnostic.
pub fn parse_bytes(name: &str, bytes: &[u8], sources: &mut SourceMap) -> (SourceId, Option<Node>, Vec<Diagnostic>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let id = sources.add(name, text);
            let (node, diagnostics) = parse(text, id);
            (id, node, diagnostics)
        }
        Err(error) => {
            let id = sources.add(name, String::from_utf8_lossy(bytes));
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let help = if utf16 { "it looks like UTF-16; save it as UTF-8" } else { "save the file as UTF-8" };
            let diagnostic = Diagnostic::error("SPEC002", "file is not UTF-8")
                .at(Span::new(id, at..at + '\u{FFFD}'.len_utf8()), format!("byte 0x{byte:02x} starts no character"))
                .help(help);
            (id, None, vec![diagnostic])
        }
    }
}

#[cfg(test)]
mod tests;
