//! One YAML file of checks, controls, waivers or attestations, decoded with the places of its values.
//!
//! Decoding goes through serde, so that a wrong file is one diagnostic that underlines the value; the paths are
//! those of the normal form. No file is opened here.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, SourceId, Span};
use crate::yaml::{self, Node};

/// The code under which the reader reports a text without a value.
const EMPTY: &str = "SPEC003";

/// The codes whose help speaks of environments and modules.
const OF_SPECS: [&str; 2] = ["SPEC007", "SPEC008"];

/// A parsed file.
pub(super) struct Document {
    pub(super) value: Value,
    source: SourceId,
    text_length: usize,
    root: Option<Node>,
}

impl Document {
    /// Parses one YAML document; the first problem is returned under the code of the file's kind.
    pub(super) fn parse(text: &str, source: SourceId, code: &'static str) -> Result<Self, Diagnostic> {
        let (root, problems) = yaml::parse(text, source);
        // A file of nothing is decoded like any other, which names what it lacks.
        let problem = problems.into_iter().find(|problem| problem.is_error() && problem.code != EMPTY);
        if let Some(problem) = problem {
            // The reader's advice on size and several documents is about specs.
            let help = problem.help.filter(|_| !OF_SPECS.contains(&problem.code));
            return Err(Diagnostic { code, help, ..problem });
        }
        let value = root.as_ref().map_or(Value::Null, Node::to_json);
        Ok(Self { value, source, text_length: text.len(), root })
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
            if let Some(node) = self.root.as_ref().and_then(|root| root.node_at(path)) {
                return node.span.clone();
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
