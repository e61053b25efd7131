//! Draws diagnostics for a terminal: header, source lines with what is underlined, help.
//!
//! Returns text and prints nothing. The frames are miette's; lines longer than the terminal are cropped around
//! what they show, and every column counts characters. Colour carries nothing that the text does not.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents, ThemeCharacters, ThemeStyles,
};

use crate::diagnostic::{Diagnostic, Location, Severity, SourceId, SourceMap, Span};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether frames are drawn with more than ASCII.
    pub unicode: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { color: false, width: 100, unicode: true }
    }
}

/// Draws all diagnostics, a blank line between each; `locate` turns symbolic places into bytes.
pub fn render(
    diagnostics: &[Diagnostic],
    sources: &SourceMap,
    locate: &dyn Fn(&Location) -> Option<Span>,
    options: RenderOptions,
) -> String {
    let draw = |diagnostic| render_one(diagnostic, sources, locate, options);
    diagnostics.iter().map(draw).collect::<Vec<_>>().join("\n")
}

/// Counts errors and warnings for a last line: `2 errors, 1 warning`; empty where there is nothing.
pub fn count_line(diagnostics: &[Diagnostic]) -> String {
    let count = |severity, name: &str| {
        let count = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        (count > 0).then(|| counted(count, name))
    };
    [count(Severity::Error, "error"), count(Severity::Warning, "warning"), count(Severity::Note, "note")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Counts things: `1 resource`, `2 resources`.
pub fn counted(count: impl fmt::Display, name: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {name}{plural}")
}

fn render_one(
    diagnostic: &Diagnostic,
    sources: &SourceMap,
    locate: &dyn Fn(&Location) -> Option<Span>,
    options: RenderOptions,
) -> String {
    let (word, style) = match diagnostic.severity {
        Severity::Error => ("error", "31;1"),
        Severity::Warning => ("warning", "33;1"),
        Severity::Note => ("note", "36;1"),
    };
    let head = paint(&format!("{word}[{}]", diagnostic.code), style, options.color);
    let mut out = format!("{head}: {}\n", diagnostic.summary);
    if let Some(detail) = &diagnostic.detail {
        out.push_str(&wrapped(detail, "  ", options));
    }
    let mut groups: Vec<(SourceId, Vec<(Span, String)>)> = Vec::new();
    for label in &diagnostic.labels {
        match locate(&label.location).filter(|span| sources.get(span.source).is_some()) {
            Some(span) => {
                let labels = match groups.iter_mut().find(|(source, _)| *source == span.source) {
                    Some((_, labels)) => labels,
                    None => {
                        groups.push((span.source, Vec::new()));
                        &mut groups.last_mut().expect("internal error: just pushed").1
                    }
                };
                labels.push((span, label.text.clone()));
            }
            None => out.push_str(&wrapped(&unplaced(&label.location, &label.text), "  ", options)),
        }
    }
    for (source, labels) in groups {
        out.push_str(&frame(source, &labels, sources, options));
    }
    if let Some(help) = &diagnostic.help {
        let word = paint("help", "36", options.color);
        out.push_str(&wrapped(&format!("{word}: {help}"), "  ", options));
    }
    out
}

fn unplaced(location: &Location, text: &str) -> String {
    match location {
        Location::Argument { address, path } if path.is_empty() => format!("{address}: {text}"),
        Location::Argument { address, path } => format!("{address} {path}: {text}"),
        Location::Span(_) => text.to_owned(),
    }
}

fn paint(text: &str, style: &str, color: bool) -> String {
    if color { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn wrapped(text: &str, indent: &str, options: RenderOptions) -> String {
    let width = options.width.saturating_sub(indent.len()).max(20);
    let mut out = String::new();
    for line in text.lines() {
        let mut length = 0;
        out.push_str(indent);
        for word in line.split(' ') {
            let columns = word.chars().count();
            if length > 0 && length + 1 + columns > width {
                out.push('\n');
                out.push_str(indent);
                length = 0;
            } else if length > 0 {
                out.push(' ');
                length += 1;
            }
            out.push_str(word);
            length += columns;
        }
        out.push('\n');
    }
    out
}

/// Draws the lines of one source.
fn frame(source: SourceId, labels: &[(Span, String)], sources: &SourceMap, options: RenderOptions) -> String {
    let Some(file) = sources.get(source) else { return String::new() };
    let room = options.width.saturating_sub(12).max(40);
    let (text, spans) = crop(&file.text, labels, room);
    let place = sources.line_column(source, labels[0].0.start);
    let name = match place {
        Some((line, column)) => format!("{}:{line}:{column}", file.name),
        None => file.name.clone(),
    };
    let spans = spans
        .iter()
        .zip(labels)
        .enumerate()
        .map(|(index, ((start, length), (_, text)))| {
            let text = Some(text.clone()).filter(|text| !text.is_empty());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, (*start, *length))
            } else {
                LabeledSpan::new(text, *start, *length)
            }
        })
        .collect();
    let characters = if options.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let styles = if options.color { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_width(options.width)
        .with_context_lines(0)
        .with_links(false)
        .tab_width(4);
    let mut out = String::new();
    let report = Report { labels: spans, source: Named { text } };
    if handler.render_report(&mut out, &report).is_err() {
        return String::new();
    }
    // The first lines are miette's own header; the place is that of the text before it was cropped.
    let corner = if options.unicode { '╭' } else { ',' };
    let body: Vec<&str> = out.lines().skip_while(|line| !line.trim_start().starts_with(corner)).collect();
    let is_head = |line: &str| line.trim_start().starts_with(corner);
    let indent_of = |line: &str| line.len() - line.trim_start().len();
    // Lines far apart come as frames of their own, each as wide as its own numbers; one frame with a gap reads better.
    let indent = body.iter().filter(|line| is_head(line)).map(|line| indent_of(line)).max().unwrap_or(3);
    let (bar, gap) = if options.unicode { ("╭─", '⋮') } else { (",-", ':') };
    let mut drawn = format!("{:indent$}{bar}[{name}]\n", "");
    let mut shift = 0;
    for (at, line) in body.iter().enumerate() {
        if is_head(line) {
            shift = indent - indent_of(line);
        } else if body.get(at + 1).is_some_and(|next| is_head(next)) {
            drawn.push_str(&format!("{:indent$}{gap}\n", ""));
        } else {
            drawn.push_str(format!("{:shift$}{line}", "").trim_end());
            drawn.push('\n');
        }
    }
    drawn
}

/// Shortens the labelled lines that are wider than `room` characters, and moves the spans with them.
fn crop(text: &str, labels: &[(Span, String)], room: usize) -> (String, Vec<(usize, usize)>) {
    let mut out = String::with_capacity(text.len());
    let clamp = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    // Multi-line spans are drawn on their first line only.
    let mut ranges: Vec<(usize, usize)> = labels
        .iter()
        .map(|(span, _)| {
            let start = clamp(span.start);
            let line_end = text[start..].find('\n').map_or(text.len(), |end| start + end);
            (start, clamp(span.end).clamp(start, line_end))
        })
        .collect();
    let original = ranges.clone();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let line_end = line_start + line.trim_end_matches(['\n', '\r']).len();
        let here: Vec<usize> =
            (0..original.len()).filter(|at| original[*at].0 >= line_start && original[*at].0 <= line_end).collect();
        let shift = out.len();
        let long = line.chars().count() > room && !here.is_empty();
        if long {
            let first = here.iter().map(|at| original[*at].0).min().unwrap_or(line_start);
            let last = here.iter().map(|at| original[*at].1).max().unwrap_or(first);
            let from = back(text, line_start, first, room / 3);
            let wanted = text[from..last].chars().count().max(room);
            let to =
                text[from..line_end].char_indices().nth(wanted.min(room * 2)).map_or(line_end, |(at, _)| from + at);
            let lead = if from > line_start { "…" } else { "" };
            out.push_str(lead);
            out.push_str(&text[from..to]);
            if to < line_end {
                out.push('…');
            }
            out.push_str(&line[line_end - line_start..]);
            for at in here {
                let place = |offset: usize| shift + lead.len() + offset.clamp(from, to) - from;
                ranges[at] = (place(original[at].0), place(original[at].1));
            }
        } else {
            out.push_str(line);
            for at in here {
                ranges[at] = (shift + original[at].0 - line_start, shift + original[at].1 - line_start);
            }
        }
        line_start += line.len();
    }
    let spans = ranges.into_iter().map(|(start, end)| (start.min(out.len()), end.saturating_sub(start))).collect();
    (out, spans)
}

/// Returns the place some characters before another, on the same line.
fn back(text: &str, line_start: usize, at: usize, characters: usize) -> usize {
    text[line_start..at].char_indices().rev().nth(characters).map_or(line_start, |(offset, _)| line_start + offset)
}

#[derive(Debug)]
struct Named {
    text: String,
}

impl SourceCode for Named {
    /// Returns whole lines and nothing around them.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let start = span.offset();
        let end = start + span.len();
        if end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let from = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at);
        let line = self.text[..from].matches('\n').count();
        let lines = self.text[from..to].matches('\n').count() + 1;
        let span = SourceSpan::from((from, to - from));
        Ok(Box::new(MietteSpanContents::new(&self.text.as_bytes()[from..to], span, line, 0, lines)))
    }
}

#[derive(Debug)]
struct Report {
    labels: Vec<LabeledSpan>,
    source: Named,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }
}
