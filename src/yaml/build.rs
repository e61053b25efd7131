//! Builds the tree from the parser's events, with a stack of its own, so that no text exhausts the call stack.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};

use super::scalar::{Trap, plain};
use super::{ALIAS_NODES_MAX, DEPTH_MAX, Node, NodeValue, Style, TEXT_BYTES_MAX};
use crate::diagnostic::{Diagnostic, SourceId, Span};

enum Frame {
    Seq { start: usize, anchor: usize, items: Vec<Node> },
    Map { start: usize, anchor: usize, entries: Vec<(Node, Node)>, key: Option<Node> },
}

struct Builder<'t> {
    text: &'t str,
    source: SourceId,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: BTreeMap<usize, (Node, usize)>,
    alias_nodes: usize,
    overflowed: bool,
    diagnostics: Vec<Diagnostic>,
}

pub(super) fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder = Builder {
        text,
        source,
        stack: Vec::new(),
        root: None,
        anchors: BTreeMap::new(),
        alias_nodes: 0,
        overflowed: false,
        diagnostics: Vec::new(),
    };
    if text.len() > TEXT_BYTES_MAX {
        let limit = TEXT_BYTES_MAX / 1024 / 1024;
        let detail = format!("the file has {} bytes; opora reads up to {limit} MiB", text.len());
        builder.diagnostics.push(Diagnostic::error("SPEC007", "file is too large").detail(detail));
        return (None, builder.diagnostics);
    }
    let whole = builder.run();
    let Builder { root, diagnostics, .. } = builder;
    (root.filter(|_| whole), diagnostics)
}

impl Builder<'_> {
    /// Returns whether the tree is whole.
    fn run(&mut self) -> bool {
        let options = granit_parser::options! { emit_unresolved_aliases: true };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.syntax_error(&error);
                    return false;
                }
            };
            let range = span.byte_range().unwrap_or(0..0);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        self.diagnostics.push(
                            Diagnostic::error("SPEC008", "more than one document")
                                .at(
                                    self.span(range.start..range.end.max(range.start + 3)),
                                    "a second document starts here",
                                )
                                .help("put each environment in a file of its own"),
                        );
                        return true;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), range),
                Event::SequenceStart(_, anchor, tag) => {
                    self.refuse_tag(tag.as_deref(), "seq", &range);
                    self.open(Frame::Seq { start: range.start, anchor, items: Vec::new() });
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.refuse_tag(tag.as_deref(), "map", &range);
                    self.open(Frame::Map { start: range.start, anchor, entries: Vec::new(), key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
                Event::Alias(id) => self.alias(id, range),
                Event::UnresolvedAlias(name) => {
                    let label = format!("no anchor `&{name}` stands before this");
                    self.diagnostics.push(
                        Diagnostic::error("SPEC004", "YAML syntax error")
                            .at(self.span(range.clone()), label)
                            .help("quote it if the text starts with a `*`"),
                    );
                    let null = Node { span: self.span(range), value: NodeValue::Null };
                    self.push(null, 0);
                }
                _ => {}
            }
            if self.overflowed {
                return false;
            }
        }
        if self.root.as_ref().is_none_or(Node::is_null) {
            self.diagnostics.push(
                Diagnostic::error("SPEC003", "file is empty")
                    .at(self.span(0..0), "nothing but white space and comments")
                    .help("`opora init` writes a starter spec"),
            );
            return false;
        }
        true
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        let end = range.end.min(self.text.len());
        Span::new(self.source, range.start.min(end)..end)
    }

    fn open(&mut self, frame: Frame) {
        if self.stack.len() == DEPTH_MAX {
            let (Frame::Seq { start, .. } | Frame::Map { start, .. }) = frame;
            self.too_deep(start);
            self.overflowed = true;
            return;
        }
        self.stack.push(frame);
    }

    fn too_deep(&mut self, at: usize) {
        self.diagnostics.push(
            Diagnostic::error("SPEC007", "nesting is too deep")
                .at(self.span(at..at + 1), format!("past level {DEPTH_MAX}"))
                .help(format!("opora reads up to {DEPTH_MAX} levels")),
        );
    }

    fn close(&mut self, end: usize) {
        let Some(frame) = self.stack.pop() else { return };
        // A block collection ends with its last child, not where the next token made that clear.
        let flow = self.text.get(..end).is_some_and(|before| before.ends_with(['}', ']']));
        let ends = |start: usize, last: Option<&Node>| match last {
            Some(last) if !flow || last.span.end > end => last.span.end.max(start),
            Some(_) => end,
            None => end.max(start),
        };
        let (node, anchor) = match frame {
            Frame::Seq { start, anchor, items } => {
                let end = ends(start, items.last());
                (Node { span: self.span(start..end), value: NodeValue::Seq(items) }, anchor)
            }
            Frame::Map { start, anchor, entries, .. } => {
                let end = ends(start, entries.last().map(|(_, value)| value));
                let entries = self.unique(entries);
                (Node { span: self.span(start..end), value: NodeValue::Map(entries) }, anchor)
            }
        };
        self.push(node, anchor);
    }

    fn unique(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut first: BTreeMap<String, Span> = BTreeMap::new();
        let mut out = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(name) = key.as_str().map(str::to_owned) else {
                self.diagnostics.push(
                    Diagnostic::error("SPEC009", "key is not text")
                        .at(key.span.clone(), format!("this key is {}", key.describe()))
                        .help("put the key in quotes"),
                );
                continue;
            };
            if name == "<<" {
                self.diagnostics.push(
                    Diagnostic::error("SPEC010", "value that YAML readers take differently")
                        .at(key.span.clone(), "`<<` merges maps in YAML 1.1 only")
                        .help("write the entries out, or make a module of what is shared"),
                );
                continue;
            }
            if let Some(before) = first.get(&name) {
                self.diagnostics.push(
                    Diagnostic::error("SPEC006", "duplicate key")
                        .at(before.clone(), format!("`{name}` is first set here"))
                        .at(key.span.clone(), "and again here")
                        .help("remove one of the two"),
                );
                continue;
            }
            first.insert(name, key.span.clone());
            out.push((key, value));
        }
        out
    }

    fn push(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            let count = count(&node);
            self.anchors.insert(anchor, (node.clone(), count));
        }
        match self.stack.last_mut() {
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                Some(name) => entries.push((name, node)),
                None => *key = Some(node),
            },
            None => {
                self.root.get_or_insert(node);
            }
        }
    }

    fn alias(&mut self, id: usize, range: std::ops::Range<usize>) {
        let span = self.span(range);
        let Some((node, count)) = self.anchors.get(&id) else {
            self.diagnostics.push(
                Diagnostic::error("SPEC007", "alias refers to what it stands in").at(span, "this would never end"),
            );
            self.overflowed = true;
            return;
        };
        self.alias_nodes = self.alias_nodes.saturating_add(*count);
        if self.alias_nodes > ALIAS_NODES_MAX || self.stack.len() + depth(node) > DEPTH_MAX {
            self.diagnostics.push(
                Diagnostic::error("SPEC007", "aliases make the file too large")
                    .at(
                        span,
                        format!("by here the aliases stand for more than {ALIAS_NODES_MAX} values, or nest too deep"),
                    )
                    .help("write the values out, or use `for_each` or a module"),
            );
            self.overflowed = true;
            return;
        }
        // The copy keeps the spans of the anchor: what is wrong in it is to be mended there.
        let node = node.clone();
        self.push(node, 0);
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        range: std::ops::Range<usize>,
    ) {
        let quoted = |style| NodeValue::String { text: text.clone().into_owned(), style };
        let slice = self.text.get(range.clone()).unwrap_or_default();
        let span = self.span(range.start..range.start + slice.trim_end().len());
        let core = tag.map(|tag| tag.core_suffix());
        let value = match (style, core) {
            (ScalarStyle::Plain, Some(Some("str"))) => quoted(Style::Plain),
            (ScalarStyle::Plain, _) => {
                let (value, trap) = plain(&text);
                let is_key = matches!(self.stack.last(), Some(Frame::Map { key: None, .. }));
                if let Some(trap) = trap.filter(|trap| !(is_key && *trap == Trap::Boolean)) {
                    self.report_trap(trap, &text, &span);
                }
                value
            }
            (ScalarStyle::SingleQuoted, _) => quoted(Style::SingleQuoted),
            (ScalarStyle::DoubleQuoted, _) => quoted(Style::DoubleQuoted),
            (ScalarStyle::Literal | ScalarStyle::Folded, _) => quoted(Style::Block),
        };
        let admitted = match &value {
            NodeValue::Int(_) => "int",
            NodeValue::Float(_) => "float",
            NodeValue::Bool(_) => "bool",
            NodeValue::Null => "null",
            _ => "str",
        };
        self.refuse_tag(tag, admitted, &range);
        self.push(Node { span, value }, anchor);
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, admitted: &str, range: &std::ops::Range<usize>) {
        let Some(tag) = tag else { return };
        if tag.core_suffix() == Some(admitted) {
            return;
        }
        self.diagnostics.push(
            Diagnostic::error("SPEC004", "YAML syntax error")
                .at(self.span(range.clone()), format!("the tag `{}` is not for this value", tag.original()))
                .help("remove the tag; quote the value to make it text"),
        );
    }

    fn report_trap(&mut self, trap: Trap, text: &str, span: &Span) {
        let summary = "value that YAML readers take differently";
        let (error, label, help) = match trap {
            Trap::Boolean => {
                let truth = text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("on");
                let label = format!("`{text}` is text here, and `{truth}` to YAML 1.1");
                (false, label, format!("write `{truth}`, or \"{text}\" in quotes for the text"))
            }
            Trap::LeadingZero => {
                let label = format!("`{text}` would lose its leading zero, or be read as octal");
                (true, label, format!("put it in quotes: \"{text}\""))
            }
            Trap::TooLong => {
                let label = format!("`{text}` has more digits than a number keeps");
                (true, label, format!("put it in quotes: \"{text}\""))
            }
            Trap::NotFinite => {
                (true, format!("`{text}` is not a finite number"), "write a number, or put the text in quotes".into())
            }
        };
        let make = if error { Diagnostic::error } else { Diagnostic::warning };
        self.diagnostics.push(make("SPEC010", summary.to_owned()).at(span.clone(), label).help(help));
    }

    fn syntax_error(&mut self, error: &granit_parser::ScanError) {
        let marker = error.marker();
        let at = marker.byte_offset().unwrap_or_else(|| byte_of(self.text, marker.index())).min(self.text.len());
        let tabs = self.tab_lines();
        let by_tab = matches!(
            error.kind(),
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation
        );
        // What a tab spoils often shows at its own line or the next; tabs elsewhere may be text.
        let line_of = |offset: usize| self.text[..offset].matches('\n').count();
        let line = line_of(at);
        if by_tab || tabs.iter().any(|tab| line_of(tab.start) <= line && line_of(tab.start) + 1 >= line) {
            let tabs = if tabs.is_empty() { vec![self.span(at..at + 1)] } else { tabs };
            for tab in tabs {
                self.diagnostics.push(
                    Diagnostic::error("SPEC005", "tab in indentation")
                        .at(tab, "YAML indents with spaces only")
                        .help("replace the tab by two spaces"),
                );
            }
            return;
        }
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return self.too_deep(at);
        }
        let end = self.text[at..].chars().next().map_or(at, |c| if c == '\n' { at } else { at + c.len_utf8() });
        self.diagnostics.push(
            Diagnostic::error("SPEC004", "YAML syntax error")
                .at(self.span(at..end), error.info().to_owned())
                .help("look at the line above too: a missing `:`, quote or bracket shows only here"),
        );
    }

    /// Returns the white space with a tab at the start of lines.
    fn tab_lines(&self) -> Vec<Span> {
        let mut out = Vec::new();
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            if let Some(at) = line[..indent].find('\t')
                && !line.trim().is_empty()
            {
                out.push(self.span(start + at..start + indent));
            }
            start += line.len();
        }
        out
    }
}

fn byte_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.value {
        NodeValue::Seq(items) => items.iter().collect(),
        NodeValue::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    }
}

fn count(node: &Node) -> usize {
    1 + children(node).into_iter().map(count).sum::<usize>()
}

fn depth(node: &Node) -> usize {
    children(node).into_iter().map(depth).max().map_or(0, |below| below + 1)
}
