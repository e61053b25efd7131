//! One YAML file of checks, controls, waivers or attestations, decoded with the places of its values.
//!
//! Decoding goes through serde, so that a wrong file is one diagnostic that underlines the value; the paths are
//! those of the normal form. No file is opened here.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, SourceId, Span};
use crate::value::{join_index, join_key};

/// Nesting a file may have.
const DEPTH_MAX: usize = 64;

/// A parsed file.
pub(super) struct Document {
    pub(super) value: Value,
    source: SourceId,
    text_length: usize,
    places: BTreeMap<String, Range<usize>>,
}

impl Document {
    /// Parses one YAML document; anchors and several documents are refused.
    pub(super) fn parse(text: &str, source: SourceId, code: &'static str) -> Result<Self, Diagnostic> {
        let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut reader = Reader { events: Vec::new(), at: 0, places: BTreeMap::new() };
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let at = offsets.get(error.marker().index()).copied().unwrap_or(text.len());
                let span = Span::new(source, at..(at + 1).min(text.len()).max(at));
                Diagnostic::error(code, "this is not YAML").at(span, error.info().to_owned())
            })?;
            let byte = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
            reader.events.push((event, byte(span.start.index())..byte(span.end.index())));
        }
        let value = reader.document().map_err(|(range, why)| {
            Diagnostic::error(code, "this is not YAML that is understood here").at(Span::new(source, range), why)
        })?;
        Ok(Self { value, source, text_length: text.len(), places: reader.places })
    }

    /// Decodes the document, or underlines what does not fit.
    pub(super) fn decode<T: DeserializeOwned>(&self, code: &'static str) -> Result<T, Diagnostic> {
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            Diagnostic::error(code, "a field does not fit").at(self.span(&path), error.into_inner().to_string())
        })
    }

    /// Returns the place of the value at a path, or of the nearest value around it.
    pub(super) fn span(&self, path: &str) -> Span {
        let mut path = path;
        loop {
            if let Some(range) = self.places.get(path) {
                return Span::new(self.source, range.clone());
            }
            match path.rfind(['.', '[']) {
                Some(at) => path = &path[..at],
                None => return Span::new(self.source, 0..self.text_length.min(1)),
            }
        }
    }

    /// Returns the place of a part of the text at a path; the whole of it where the file breaks the text over lines.
    pub(super) fn span_within(&self, path: &str, source: &str, part: Range<usize>, text: &str) -> Span {
        let whole = self.span(path);
        let written = source.get(whole.start..whole.end).unwrap_or_default();
        match written.find(text.trim_end()) {
            Some(at) => Span::new(self.source, whole.start + at + part.start..whole.start + at + part.end),
            None => whole,
        }
    }
}

type Wrong = (Range<usize>, &'static str);

struct Reader<'t> {
    events: Vec<(Event<'t>, Range<usize>)>,
    at: usize,
    places: BTreeMap<String, Range<usize>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Range<usize>)> {
        let event = self.events.get(self.at).cloned();
        self.at += 1;
        event
    }

    fn document(&mut self) -> Result<Value, Wrong> {
        let mut value = Value::Null;
        let mut documents = 0;
        while let Some((event, range)) = self.next() {
            match event {
                Event::DocumentStart(_) if documents > 0 => return Err((range, "a second document")),
                Event::DocumentStart(_) => {
                    documents += 1;
                    value = self.node("", 0)?;
                }
                _ => {}
            }
        }
        Ok(value)
    }

    fn node(&mut self, path: &str, depth: usize) -> Result<Value, Wrong> {
        let Some((event, range)) = self.next() else { return Ok(Value::Null) };
        self.places.insert(path.to_owned(), range.clone());
        if depth > DEPTH_MAX {
            return Err((range, "the nesting is too deep"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => Ok(plain(&text)),
            Event::Scalar(text, _, 0, None) => Ok(Value::from(text.into_owned())),
            Event::SequenceStart(0, None) => {
                let mut items = Vec::new();
                while !matches!(self.events.get(self.at), Some((Event::SequenceEnd, _)) | None) {
                    items.push(self.node(&join_index(path, items.len()), depth + 1)?);
                }
                self.at += 1;
                Ok(Value::Array(items))
            }
            Event::MappingStart(0, None) => self.mapping(path, depth),
            _ => Err((range, "anchors, aliases and tags are not used here")),
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, Wrong> {
        let mut map = Map::new();
        while let Some((event, range)) = self.next() {
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err((range, "a key is a text")),
            };
            if map.contains_key(&key) {
                return Err((range, "this key is already here"));
            }
            let value = self.node(&join_key(path, &key), depth + 1)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Reads a plain scalar by YAML's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| decimal(text).ok_or(()))
            .unwrap_or_else(|()| Value::from(text)),
    }
}

fn decimal(text: &str) -> Option<Value> {
    let plausible = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
    plausible.then(|| text.parse::<f64>().ok()).flatten().map(Value::from)
}
