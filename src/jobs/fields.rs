//! Reads the fields of a YAML map with their places, and collects everything that is wrong with them.
//!
//! Each read returns `None` where the field is absent or wrong; wrong ones are reported once. No evaluation:
//! expressions are replaced by their values before (`super::expressions`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::units::{Usd, duration, duration_text};
use crate::diagnostic::{Diagnostic, Span};
use crate::spec::suggest;
use crate::yaml::{Node, NodeValue};

/// Everything that is wrong with a file.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: RefCell<Vec<Diagnostic>>,
    /// Places whose expressions failed: what is missing there was told already.
    failed: RefCell<Vec<Span>>,
}

impl Problems {
    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// Notes that a node has no value because its expression failed.
    pub(crate) fn failed_at(&self, span: &Span) {
        self.failed.borrow_mut().push(span.clone());
    }

    fn has_failed(&self, node: &Node) -> bool {
        self.failed.borrow().contains(&node.span)
    }

    pub(crate) fn extend(&self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.found.borrow_mut().extend(diagnostics);
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

/// A map's fields, known by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'n> {
    node: &'n Node,
    at: &'n Span,
    what: &'n str,
    problems: &'n Problems,
}

impl<'n> Fields<'n> {
    /// Takes a map and reports fields that are not `known`; `what` names the map in messages.
    pub(crate) fn new(
        node: &'n Node,
        at: &'n Span,
        what: &'n str,
        known: &[&str],
        problems: &'n Problems,
    ) -> Option<Self> {
        let out = Self { node, at, what, problems };
        let Some(entries) = node.as_map() else {
            out.wrong_type(node, "a map");
            return None;
        };
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if !known.contains(&name) {
                let label = format!("`{name}` is not a field of {what}");
                let help = suggest::help(name, known.iter().copied(), "remove it");
                problems.push(Diagnostic::error("JOB002", "unknown field").at(key.span.clone(), label).help(help));
            }
        }
        Some(out)
    }

    /// Returns where everything wrong is collected.
    pub(crate) fn problems(&self) -> &'n Problems {
        self.problems
    }

    /// Returns a field that is there and not empty.
    pub(crate) fn node(&self, name: &str) -> Option<&'n Node> {
        self.node.get(name).filter(|node| !node.is_null())
    }

    /// Returns a field, and reports that it is missing.
    pub(crate) fn required(&self, name: &str, example: &str) -> Option<&'n Node> {
        let found = self.node(name);
        let told = self.node.get(name).is_some_and(|node| self.problems.has_failed(node));
        if found.is_none() && !told {
            // A whole document is not underlined.
            let whole = Span::new(self.at.source, self.at.start..self.at.start);
            let outer = if *self.at == self.node.span { whole } else { self.at.clone() };
            let at = self.node.entry(name).map_or(outer, |(key, _)| key.span.clone());
            let label = format!("{} has no `{name}`", self.what);
            let diagnostic = Diagnostic::error("JOB003", "missing field").at(at, label);
            self.problems.push(diagnostic.help(format!("add `{example}`")));
        }
        found
    }

    pub(crate) fn wrong_type(&self, node: &Node, wanted: &str) {
        if self.problems.has_failed(node) {
            return;
        }
        let label = format!("this is {}; {wanted} is expected", node.describe());
        self.problems.push(Diagnostic::error("JOB004", "wrong type").at(node.span.clone(), label));
    }

    /// Reports a value that can't stand there.
    pub(crate) fn refuse(&self, node: &Node, label: impl Into<String>, help: &str) {
        let diagnostic = Diagnostic::error("JOB005", "value not allowed here").at(node.span.clone(), label);
        self.problems.push(diagnostic.help(help));
    }

    pub(crate) fn text_of(&self, node: &'n Node) -> Option<&'n str> {
        let text = node.as_str();
        if text.is_none() {
            self.wrong_type(node, "text");
        }
        text.filter(|text| {
            let empty = text.trim().is_empty();
            if empty {
                self.refuse(node, "this text is empty", "write a value, or remove the field");
            }
            !empty
        })
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.node(name).and_then(|node| self.text_of(node)).map(str::to_owned)
    }

    pub(crate) fn required_text(&self, name: &str, example: &str) -> Option<String> {
        self.required(name, example).and_then(|node| self.text_of(node)).map(str::to_owned)
    }

    /// Returns a whole number within bounds.
    pub(crate) fn integer(&self, name: &str, min: i64, max: i64) -> Option<i64> {
        let node = self.node(name)?;
        let NodeValue::Int(value) = node.value else {
            self.wrong_type(node, "a whole number");
            return None;
        };
        if !(min..=max).contains(&value) {
            self.refuse(node, format!("`{value}` lies outside {min} to {max}"), "choose a number between the bounds");
            return None;
        }
        Some(value)
    }

    /// Returns a number within bounds.
    pub(crate) fn number(&self, name: &str, min: f64, max: f64) -> Option<f64> {
        let node = self.node(name)?;
        let value = match node.value {
            NodeValue::Int(value) => value as f64,
            NodeValue::Float(value) => value,
            _ => {
                self.wrong_type(node, "a number");
                return None;
            }
        };
        if !(min..=max).contains(&value) {
            self.refuse(node, format!("`{value}` lies outside {min} to {max}"), "choose a number between the bounds");
            return None;
        }
        Some(value)
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        let node = self.node(name)?;
        if let NodeValue::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_type(node, "true or false");
        None
    }

    /// Returns a length of time within bounds.
    pub(crate) fn duration(&self, name: &str, min: Duration, max: Duration) -> Option<Duration> {
        let node = self.node(name)?;
        match duration(self.text_of(node)?) {
            Ok(time) if (min..=max).contains(&time) => Some(time),
            Ok(_) => {
                let bounds = format!("it lies outside {} to {}", duration_text(min), duration_text(max));
                self.refuse(node, bounds, "choose a time between the bounds");
                None
            }
            Err(label) => {
                self.refuse(node, label, "write numbers with d, h, m or s");
                None
            }
        }
    }

    pub(crate) fn money(&self, name: &str) -> Option<Usd> {
        let node = self.node(name)?;
        match self.text_of(node)?.parse() {
            Ok(amount) => Some(amount),
            Err(label) => {
                self.refuse(node, label, "write an amount such as `400 USD`");
                None
            }
        }
    }

    /// Returns one of a few words.
    pub(crate) fn one_of(&self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let node = self.node(name)?;
        let text = self.text_of(node)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let help = suggest::help(text, words.iter().copied(), "see the reference");
            self.refuse(node, format!("`{text}` is not known here"), &help);
        }
        found
    }

    /// Returns the items of a list.
    pub(crate) fn items(&self, name: &str) -> &'n [Node] {
        let Some(node) = self.node(name) else { return &[] };
        node.as_seq().unwrap_or_else(|| {
            self.wrong_type(node, "a list");
            &[]
        })
    }

    /// Returns a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.items(name).iter().filter_map(|node| self.text_of(node)).map(str::to_owned).collect()
    }

    /// Returns a map whose values are texts, numbers or truth values, all as texts.
    pub(crate) fn scalars(&self, name: &str) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let Some(node) = self.node(name) else { return out };
        let Some(entries) = node.as_map() else {
            self.wrong_type(node, "a map");
            return out;
        };
        for (key, value) in entries {
            let text = match &value.value {
                NodeValue::String { text, .. } => text.clone(),
                NodeValue::Int(number) => number.to_string(),
                NodeValue::Float(number) => number.to_string(),
                NodeValue::Bool(truth) => truth.to_string(),
                _ => {
                    self.wrong_type(value, "text, a number, or true or false");
                    continue;
                }
            };
            out.insert(key.as_str().unwrap_or_default().to_owned(), text);
        }
        out
    }

    /// Returns the fields of a map inside this one.
    pub(crate) fn map(&self, name: &str, what: &'n str, known: &[&str]) -> Option<Fields<'n>> {
        self.node
            .entry(name)
            .filter(|(_, node)| !node.is_null())
            .and_then(|(key, node)| Fields::new(node, &key.span, what, known, self.problems))
    }
}
