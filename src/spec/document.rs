//! Reads the document's fields: header, inputs, resources, modules and outputs, without evaluating anything.
//!
//! A module's file has the same `inputs`, `resources`, `modules` and `outputs` and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use super::inputs::{Input, InputType, TYPES};
use super::model::{ControlsConfig, Gate};
use super::suggest;
use super::template::has_expression;
use crate::diagnostic::{Diagnostic, Span};
use crate::graph::is_identifier;
use crate::yaml::{Node, NodeValue};

/// The language's version; the `opora` field of a spec.
pub const LANGUAGE: i64 = 1;

/// Fields of a resource that are not its kind's arguments.
pub(super) const META_FIELDS: [&str; 3] = ["for_each", "depends_on", "lifecycle"];

/// Names that every expression sees.
pub(super) const ROOT_NAMES: [&str; 7] = ["account", "region", "environment", "partition", "inputs", "each", "module"];

/// The part of a spec that modules have too.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub path: Vec<String>,
    pub inputs: BTreeMap<String, Input>,
    pub blocks: BTreeMap<(String, String), BlockDeclaration>,
    pub modules: BTreeMap<String, ModuleUse>,
    pub outputs: Vec<(String, Node)>,
}

/// A resource as written.
#[derive(Debug, Clone)]
pub(super) struct BlockDeclaration {
    /// The resource's name in the text.
    pub key: Span,
    /// The kind's name in the text.
    pub kind_key: Span,
    /// A map of arguments only.
    pub arguments: Arc<Node>,
    pub for_each: Option<Node>,
    pub depends_on: Vec<Node>,
    pub lifecycle: Option<Node>,
}

/// A module's use as written.
#[derive(Debug, Clone)]
pub(super) struct ModuleUse {
    pub key: Span,
    pub template: Option<Node>,
    pub with: Vec<(Node, Node)>,
    pub depends_on: Vec<Node>,
}

/// The fields that only the document has.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub environment: String,
    pub account: String,
    pub region: String,
    pub state: String,
    pub controls: ControlsConfig,
    pub tags: Option<Node>,
}

const HEADER_FIELDS: [&str; 7] = ["opora", "environment", "account", "region", "state", "controls", "tags"];
const UNIT_FIELDS: [&str; 5] = ["describe", "inputs", "resources", "modules", "outputs"];

/// Collects what is wrong while reading.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub diagnostics: Vec<Diagnostic>,
}

impl Reader {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str) {
        self.push(
            Diagnostic::error("SPEC013", "wrong type")
                .at(node.span.clone(), format!("this is {}; {wanted} is expected", node.describe())),
        );
    }

    /// Returns the entries of a map, or of nothing.
    fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Node, Node)] {
        match &node.value {
            NodeValue::Map(entries) => entries,
            NodeValue::Null => &[],
            _ => {
                self.wrong_type(node, &format!("a map of {what}"));
                &[]
            }
        }
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        match node.as_str() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.push(
                    Diagnostic::error("SPEC013", "wrong type")
                        .at(node.span.clone(), format!("this is {}; text is expected", node.describe()))
                        .help("put the text in quotes"),
                );
                None
            }
        }
    }

    fn list(&mut self, node: &Node) -> Vec<Node> {
        match &node.value {
            NodeValue::Seq(items) => items.clone(),
            NodeValue::Null => Vec::new(),
            _ => {
                self.wrong_type(node, "a list");
                Vec::new()
            }
        }
    }

    fn unknown_fields(&mut self, entries: &[(Node, Node)], known: &[&str], of: &str) {
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if !known.contains(&name) {
                self.push(
                    Diagnostic::error("SPEC016", "unknown field")
                        .at(key.span.clone(), format!("`{name}` is not a field of {of}"))
                        .help(suggest::help(name, known.iter().copied(), "remove it")),
                );
            }
        }
    }

    fn identifier(&mut self, key: &Node, what: &str) -> Option<String> {
        let name = key.as_str()?;
        if is_identifier(name) && !(what == "an input" && name == "each") {
            return Some(name.to_owned());
        }
        self.push(
            Diagnostic::error("SPEC017", "name not allowed")
                .at(key.span.clone(), format!("`{name}` can't name {what}"))
                .help(
                    "names are lower-case letters, digits and `_`, start with a letter, and have up to 64 characters",
                ),
        );
        None
    }

    /// Reads the document.
    pub(super) fn document(&mut self, root: &Node) -> (Header, Unit) {
        let fields: Vec<&str> = HEADER_FIELDS.into_iter().chain(UNIT_FIELDS).collect();
        let entries = self.entries(root, "the spec's fields");
        self.unknown_fields(entries, &fields, "a spec");
        let mut header = Header { state: ".opora/state".to_owned(), ..Header::default() };
        self.version(root);
        header.environment = self.environment_name(root);
        header.account = self.account(root);
        header.region = self.region(root);
        if let Some(node) = root.get("state")
            && let Some(text) = self.literal(node)
        {
            header.state = text;
        }
        if let Some(node) = root.get("controls") {
            header.controls = self.controls(node);
        }
        header.tags = root.get("tags").filter(|node| !node.is_null()).cloned();
        (header, self.unit(root, Vec::new()))
    }

    /// Reads a module's file.
    pub(super) fn module(&mut self, root: &Node, path: Vec<String>) -> Unit {
        let entries = self.entries(root, "the module's fields");
        self.unknown_fields(entries, &UNIT_FIELDS, "a module");
        self.unit(root, path)
    }

    fn required<'n>(&mut self, root: &'n Node, name: &str, example: &str) -> Option<&'n Node> {
        let found = root.get(name).filter(|node| !node.is_null());
        if found.is_none() {
            let at = root.entry(name).map_or_else(
                || Span::new(root.span.source, root.span.start..root.span.start),
                |(key, _)| key.span.clone(),
            );
            self.push(
                Diagnostic::error("SPEC018", "missing field")
                    .at(at, format!("the spec has no `{name}`"))
                    .help(format!("add `{example}`")),
            );
        }
        found
    }

    /// A text without expressions.
    fn literal(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if has_expression(&text) {
            self.bad_value(node, "an expression can't stand here", "write the value itself");
            return None;
        }
        Some(text)
    }

    fn bad_value(&mut self, node: &Node, label: impl Into<String>, help: &str) {
        self.push(Diagnostic::error("SPEC019", "value not allowed here").at(node.span.clone(), label).help(help));
    }

    fn version(&mut self, root: &Node) {
        if let Some(node) = self.required(root, "opora", "opora: 1")
            && node.value != NodeValue::Int(LANGUAGE)
        {
            self.bad_value(node, "this opora reads version 1 of the language", "write `opora: 1`");
        }
    }

    fn environment_name(&mut self, root: &Node) -> String {
        let Some(node) = self.required(root, "environment", "environment: research") else { return String::new() };
        let Some(text) = self.literal(node) else { return String::new() };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.len() > 32 || !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(fits) {
            let help = "lower-case letters, digits and `-`, a letter first, 32 characters at most";
            self.bad_value(node, format!("`{text}` can't name an environment"), help);
        }
        text
    }

    fn account(&mut self, root: &Node) -> String {
        let Some(node) = self.required(root, "account", "account: \"123456789012\"") else { return String::new() };
        if let NodeValue::Int(number) = node.value {
            let label = "an account id is text: as a number it would lose leading zeros";
            self.bad_value(node, label, &format!("put it in quotes: \"{number:012}\""));
            return String::new();
        }
        let Some(text) = self.literal(node) else { return String::new() };
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A leading zero was reported already where the text was read.
            let label = format!("`{text}` is not an account id");
            self.bad_value(node, label, "an account id has 12 digits; `aws sts get-caller-identity` prints yours");
        }
        text
    }

    fn region(&mut self, root: &Node) -> String {
        let Some(node) = self.required(root, "region", "region: us-east-1") else { return String::new() };
        let Some(text) = self.literal(node) else { return String::new() };
        let parts: Vec<&str> = text.split('-').collect();
        let last_is_number =
            parts.last().is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let words =
            parts.iter().rev().skip(1).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()));
        if parts.len() < 3 || !last_is_number || !words {
            self.bad_value(node, format!("`{text}` is not a region"), "write a region such as us-east-1");
        }
        text
    }

    fn controls(&mut self, node: &Node) -> ControlsConfig {
        let entries = self.entries(node, "controls");
        self.unknown_fields(entries, &["framework", "gate", "waivers"], "controls");
        let framework = node.get("framework").and_then(|node| self.literal(node));
        let waivers = node.get("waivers").and_then(|node| self.literal(node));
        let mut gate = BTreeMap::new();
        if let Some(node) = node.get("gate") {
            let entries = self.entries(node, "severities");
            self.unknown_fields(entries, &["critical", "high", "medium", "low"], "controls.gate");
            for (key, value) in entries {
                let decided = match value.as_str() {
                    Some("block") => Gate::Block,
                    Some("warn") => Gate::Warn,
                    Some("ignore") => Gate::Ignore,
                    _ => {
                        self.bad_value(value, "this is no decision of a gate", "one of `block`, `warn`, `ignore`");
                        continue;
                    }
                };
                gate.insert(key.as_str().unwrap_or_default().to_owned(), decided);
            }
        }
        ControlsConfig { framework, gate, waivers }
    }

    fn unit(&mut self, root: &Node, path: Vec<String>) -> Unit {
        let mut unit = Unit {
            path,
            inputs: BTreeMap::new(),
            blocks: BTreeMap::new(),
            modules: BTreeMap::new(),
            outputs: Vec::new(),
        };
        for (key, value) in root.get("inputs").map_or(&[][..], |node| self.entries(node, "inputs")) {
            if let Some(name) = self.identifier(key, "an input")
                && let Some(input) = self.input(key, value)
            {
                unit.inputs.insert(name, input);
            }
        }
        for (kind_key, names) in root.get("resources").map_or(&[][..], |node| self.entries(node, "kinds")) {
            let kind = kind_key.as_str().unwrap_or_default().to_owned();
            for (key, value) in self.entries(names, "resources by name") {
                if let Some(name) = self.identifier(key, "a resource") {
                    let block = self.block(kind_key, key, value);
                    unit.blocks.insert((kind.clone(), name), block);
                }
            }
        }
        for (key, value) in root.get("modules").map_or(&[][..], |node| self.entries(node, "modules")) {
            if let Some(name) = self.identifier(key, "a module") {
                let module = self.module_use(key, value);
                unit.modules.insert(name, module);
            }
        }
        for (key, value) in root.get("outputs").map_or(&[][..], |node| self.entries(node, "outputs")) {
            if let Some(name) = self.identifier(key, "an output") {
                unit.outputs.push((name, value.clone()));
            }
        }
        unit
    }

    fn block(&mut self, kind_key: &Node, key: &Node, value: &Node) -> BlockDeclaration {
        let entries = self.entries(value, "arguments");
        let (meta, arguments): (Vec<_>, Vec<_>) =
            entries.iter().cloned().partition(|(key, _)| key.as_str().is_some_and(|name| META_FIELDS.contains(&name)));
        let take = |name: &str| meta.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone());
        BlockDeclaration {
            key: key.span.clone(),
            kind_key: kind_key.span.clone(),
            arguments: Arc::new(Node { span: value.span.clone(), value: NodeValue::Map(arguments) }),
            for_each: take("for_each"),
            depends_on: take("depends_on").map(|node| self.list(&node)).unwrap_or_default(),
            lifecycle: take("lifecycle"),
        }
    }

    fn module_use(&mut self, key: &Node, value: &Node) -> ModuleUse {
        let entries = self.entries(value, "`use` and `with`");
        self.unknown_fields(entries, &["use", "with", "depends_on"], "a module's use");
        let template = value.get("use").cloned();
        if template.is_none() {
            self.push(
                Diagnostic::error("SPEC018", "missing field")
                    .at(key.span.clone(), "the module has no `use`")
                    .help("name its template: `use: landing-zone`"),
            );
        }
        let with = value.get("with").map_or(&[][..], |node| self.entries(node, "inputs")).to_vec();
        let depends_on = value.get("depends_on").map(|node| self.list(node)).unwrap_or_default();
        ModuleUse { key: key.span.clone(), template, with, depends_on }
    }

    fn input(&mut self, key: &Node, node: &Node) -> Option<Input> {
        let entries = self.entries(node, "the input's type and bounds");
        self.unknown_fields(entries, &["type", "default", "min", "max", "one_of", "pattern", "describe"], "an input");
        let kind = match node.get("type") {
            None => InputType::String,
            Some(kind) => {
                let name = kind.as_str().unwrap_or_default();
                let found = TYPES.iter().find(|(known, _)| *known == name);
                if found.is_none() {
                    let help = suggest::help(name, TYPES.iter().map(|(name, _)| *name), "");
                    self.bad_value(kind, "this is not a type of inputs", &help);
                }
                found?.1
            }
        };
        let bound = |reader: &mut Self, name: &str| match node.get(name).map(|node| (&node.value, node)) {
            Some((NodeValue::Int(number), _)) => Some(*number as f64),
            Some((NodeValue::Float(number), _)) => Some(*number),
            Some((_, node)) => {
                reader.wrong_type(node, "a number");
                None
            }
            None => None,
        };
        let (min, max) = (bound(self, "min"), bound(self, "max"));
        let one_of = node.get("one_of").map(|node| self.list(node)).unwrap_or_default();
        let pattern = node.get("pattern").and_then(|node| self.pattern(node));
        let default = node.get("default").filter(|node| !node.is_null()).cloned();
        let one_of = one_of.iter().map(Node::to_json).collect();
        let input = Input { key: key.span.clone(), kind, default, min, max, one_of, pattern };
        if let Some(default) = &input.default
            && let Some(why) = input.refuse(&default.to_json())
        {
            self.push(Diagnostic::error("SPEC020", "input value not allowed").at(default.span.clone(), why));
        }
        Some(input)
    }

    fn pattern(&mut self, node: &Node) -> Option<Regex> {
        let text = self.text(node)?;
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let why = error.to_string();
                let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.bad_value(
                    node,
                    format!("this is not a regular expression: {last}"),
                    "the syntax is that of Rust's regex crate",
                );
                None
            }
        }
    }
}
