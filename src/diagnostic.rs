//! What a user is told is wrong, where, and what to do about it.
//!
//! A [`Diagnostic`] carries symbolic or byte-span locations and no rendering: the CLI draws it, `--json`
//! serialises it. Nothing here reads files or writes to a terminal. The summary is a fixed lower-case
//! fragment; user values stand in labels and in `detail`, in backticks.

use std::ops::Range;

use serde::Serialize;

use crate::graph::Address;

/// Says how much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The command can't go on.
    Error,
    /// The command goes on, and the user should look.
    Warning,
    /// Information only.
    Note,
}

/// Names one source text in a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SourceId(pub u32);

/// A byte range of one source text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Span {
    pub source: SourceId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Makes a span from a byte range.
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        Self { source, start: range.start, end: range.end }
    }
}

/// Where a label points: a place in a file, or a symbolic place that becomes one when it is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// Bytes of a source text.
    Span(Span),
    /// An argument of a resource, by its path in the normal form (`rotation.period_days`, `ingress[0].from`).
    Argument { address: Address, path: String },
}

/// One underlined place with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    pub location: Location,
    pub text: String,
}

/// One thing a user should know, with a stable code that `opora explain` has a page for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub code: &'static str,
    pub severity: Severity,
    pub summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub labels: Vec<Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes an error; the code has to be one that `docs/errors` explains.
    pub fn error(code: &'static str, summary: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, summary)
    }

    /// Makes a warning.
    pub fn warning(code: &'static str, summary: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, summary)
    }

    fn new(code: &'static str, severity: Severity, summary: impl Into<String>) -> Self {
        Self { code, severity, summary: summary.into(), detail: None, labels: Vec::new(), help: None }
    }

    /// Adds the facts of this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Underlines a place in a source text.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { location: Location::Span(span), text: text.into() });
        self
    }

    /// Points at an argument of a resource; the span is looked up when it is drawn.
    #[must_use]
    pub fn at_argument(mut self, address: &Address, path: impl Into<String>, text: impl Into<String>) -> Self {
        let location = Location::Argument { address: address.clone(), path: path.into() };
        self.labels.push(Label { location, text: text.into() });
        self
    }

    /// Says the one next action.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Tells whether it stops the command.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// One named source text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path as the user wrote it, or `templates/…` for an embedded one.
    pub name: String,
    pub text: String,
}

/// All texts that spans point into.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        id
    }

    /// Returns the text of an id this map gave out.
    pub fn get(&self, id: SourceId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// Returns the 1-based line and column (in characters) of a byte offset.
    pub fn line_column(&self, source: SourceId, offset: usize) -> Option<(usize, usize)> {
        let text = &self.get(source)?.text;
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((line, before[start..].chars().count() + 1))
    }

    /// Returns the files in the order they were added.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let mut map = SourceMap::default();
        let id = map.add("a.yaml", "ключ: 1\nb: 2\n");
        assert_eq!(map.line_column(id, 0), Some((1, 1)));
        assert_eq!(map.line_column(id, "ключ".len()), Some((1, 5)));
        assert_eq!(map.line_column(id, "ключ: 1\nb".len()), Some((2, 2)));
        assert_eq!(map.line_column(id, 9_999), Some((3, 1)));
        assert_eq!(map.line_column(SourceId(7), 0), None);
    }
}
