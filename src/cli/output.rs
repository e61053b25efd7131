//! What a command prints: facts to standard output, progress and complaints to standard error.
//!
//! The only place of the crate that writes to a terminal. Colour carries nothing that the text does not.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Label, Location, SourceMap};
use crate::render::{RenderOptions, render};
use crate::spec::Locator;

use super::timings::Timings;

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// A style of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Good,
    Bad,
    Warn,
    Strong,
    Dim,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Strong => "1",
            Self::Dim => "2",
        }
    }
}

/// Where output goes and in which form.
pub(crate) struct Output {
    pub json: bool,
    pub quiet: bool,
    /// Whether long lists are cut to what matters.
    pub brief: bool,
    color_out: bool,
    color_err: bool,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    bar: ProgressBar,
    /// Whether the bar is on the terminal now.
    drawn: AtomicBool,
    /// Columns of the terminal that errors are drawn for.
    width: usize,
    /// What `--timings` measures.
    pub timings: Timings,
}

impl Output {
    /// Makes the output of a command on this process's own streams.
    pub(crate) fn new(global: &super::Global, no_color: bool) -> Self {
        let (json, quiet, color) = (global.json, global.quiet, global.color);
        let colored = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        } else {
            ProgressBar::no_length()
        };
        Self {
            json,
            quiet,
            brief: global.brief,
            color_out: colored(std::io::stdout().is_terminal()) && !json,
            color_err: colored(std::io::stderr().is_terminal()),
            out: Mutex::new(Box::new(std::io::stdout())),
            err: Mutex::new(Box::new(std::io::stderr())),
            bar,
            drawn: AtomicBool::new(false),
            width: width(),
            timings: Timings::new(global.timings),
        }
    }

    /// Prints what `--timings` measured.
    pub(crate) fn print_timings(&self) {
        self.timings.end();
        for line in self.timings.lines() {
            self.complain(line);
        }
    }

    /// Makes the output of a command that another one runs: the same streams and colours.
    pub(crate) fn like(other: &Self, global: &super::Global) -> Self {
        let made = Self::new(global, false);
        Self { color_out: other.color_out, color_err: other.color_err, ..made }
    }

    /// Styles a text for standard output.
    pub(crate) fn style(&self, style: Style, text: &str) -> String {
        if self.color_out { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_owned() }
    }

    /// Prints with the bar out of the way; one that is not drawn must not come back by it.
    fn beside_bar(&self, print: impl FnOnce()) {
        if self.drawn.load(Ordering::Relaxed) { self.bar.suspend(print) } else { print() }
    }

    /// Begins to draw the bar, whose style is set: it is drawn at once.
    fn draw(&self) {
        if !self.drawn.swap(true, Ordering::Relaxed) {
            self.bar.reset();
        }
    }

    /// Prints a line of facts; a reader that went away is no error.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        self.beside_bar(|| write_line(&self.out, text.as_ref()));
    }

    /// Prints bytes of facts as they are.
    pub(crate) fn raw(&self, text: &str) {
        self.beside_bar(|| {
            if let Ok(mut out) = self.out.lock() {
                let _ = out.write_all(text.as_bytes());
                let _ = out.flush();
            }
        });
    }

    /// Prints a document of `--json`.
    pub(crate) fn document(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
        self.line(text);
    }

    /// Prints a remark to standard error, unless quiet.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.beside_bar(|| write_line(&self.err, text.as_ref()));
        }
    }

    /// Prints a complaint to standard error.
    pub(crate) fn complain(&self, text: impl AsRef<str>) {
        self.beside_bar(|| write_line(&self.err, text.as_ref()));
    }

    /// Prints diagnostics: as a JSON document, or drawn to standard error.
    pub(crate) fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &SourceMap, locator: &Locator) {
        if diagnostics.is_empty() {
            return;
        }
        if self.json {
            self.document(&serde_json::json!({ "diagnostics": diagnostics_json(diagnostics, sources, locator) }));
        } else {
            let options = RenderOptions { color: self.color_err, width: self.width, ..RenderOptions::default() };
            self.complain(render(diagnostics, sources, &|place| locator.resolve(place), options).trim_end());
        }
    }

    /// Shows what is going on, where a person watches.
    pub(crate) fn busy(&self, text: &str) {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        self.bar.set_message(text.to_owned());
        self.draw();
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// Shows how far it is.
    pub(crate) fn progress(&self, done: u64, all: u64, text: &str) {
        // The style comes last: a tick may draw in between, and shows no bar without its numbers.
        self.bar.set_length(all);
        self.bar.set_position(done);
        self.bar.set_message(text.to_owned());
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.draw();
    }

    /// Takes the progress away.
    pub(crate) fn idle(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        self.drawn.store(false, Ordering::Relaxed);
    }
}

/// Returns the columns of the terminal that standard error is, within what a frame can be drawn in.
fn width() -> usize {
    let usual = RenderOptions::default().width;
    let terminal = terminal_size::terminal_size_of(std::io::stderr());
    terminal.map_or(usual, |(columns, _)| usize::from(columns.0).clamp(60, 160))
}

fn write_line(stream: &Mutex<Box<dyn Write + Send>>, text: &str) {
    if let Ok(mut stream) = stream.lock() {
        let _ = writeln!(stream, "{text}");
    }
}

/// Writes diagnostics with file, line and column in place of byte spans.
pub(crate) fn diagnostics_json(
    diagnostics: &[Diagnostic],
    sources: &SourceMap,
    locator: &Locator,
) -> serde_json::Value {
    let label = |label: &Label| {
        let span = locator.resolve(&label.location);
        let place = span.as_ref().and_then(|span| {
            let (line, column) = sources.line_column(span.source, span.start)?;
            Some((sources.get(span.source)?.name.clone(), line, column))
        });
        let (address, path) = match &label.location {
            Location::Argument { address, path } => (Some(address), Some(path)),
            Location::Span(_) => (None, None),
        };
        serde_json::json!({
            "text": label.text,
            "file": place.as_ref().map(|(file, _, _)| file),
            "line": place.as_ref().map(|(_, line, _)| line),
            "column": place.as_ref().map(|(_, _, column)| column),
            "address": address,
            "path": path,
        })
    };
    let one = |diagnostic: &Diagnostic| {
        serde_json::json!({
            "code": diagnostic.code,
            "severity": diagnostic.severity,
            "summary": diagnostic.summary,
            "detail": diagnostic.detail,
            "labels": diagnostic.labels.iter().map(label).collect::<Vec<_>>(),
            "help": diagnostic.help,
        })
    };
    diagnostics.iter().map(one).collect()
}
