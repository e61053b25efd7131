//! Finds the templates that `use:` names and lays the module tree out flat.
//!
//! A template is `templates/NAME/module.yaml` or `templates/NAME.yaml` beside the spec, else an embedded one.
//! Nesting and number are bounded, and a template that uses itself is an error with the whole chain.

use std::collections::BTreeMap;
use std::path::Path;

use super::document::{Reader, Unit};
use super::files::{Files, embedded_paths, find, is_inside};
use super::suggest;
use super::template::has_expression;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::yaml::{self, Node};

/// How deep modules may use modules.
pub const MODULE_DEPTH_MAX: usize = 8;
/// How many module instances a spec may have.
pub const MODULES_MAX: usize = 1_000;

pub(super) type Units = BTreeMap<Vec<String>, Unit>;

pub(super) struct Expansion<'e> {
    pub files: &'e dyn Files,
    pub folder: &'e Path,
    pub sources: &'e mut SourceMap,
    pub diagnostics: &'e mut Vec<Diagnostic>,
    templates: BTreeMap<String, Option<Node>>,
    /// What was said of each template's file is said once.
    reported: std::collections::BTreeSet<String>,
}

impl<'e> Expansion<'e> {
    pub(super) fn new(
        files: &'e dyn Files,
        folder: &'e Path,
        sources: &'e mut SourceMap,
        diagnostics: &'e mut Vec<Diagnostic>,
    ) -> Self {
        Self { files, folder, sources, diagnostics, templates: BTreeMap::new(), reported: Default::default() }
    }

    /// Returns all units by module path; the root's path is empty.
    pub(super) fn expand(&mut self, root: Unit) -> Units {
        let mut units = Units::new();
        let mut open = vec![(root, Vec::<String>::new())];
        while let Some((unit, used)) = open.pop() {
            for (name, module) in &unit.modules {
                let Some(template) = &module.template else { continue };
                let Some(template_name) = self.template_name(template) else { continue };
                let mut chain = used.clone();
                chain.push(template_name.clone());
                if used.contains(&template_name) {
                    self.diagnostics.push(
                        Diagnostic::error("SPEC024", "module uses itself")
                            .detail(chain.join(" → "))
                            .at(template.span.clone(), format!("`{template_name}` is being expanded already"))
                            .help("take the resources that both need into a module of their own"),
                    );
                    continue;
                }
                if chain.len() > MODULE_DEPTH_MAX || units.len() + open.len() >= MODULES_MAX {
                    self.diagnostics.push(Diagnostic::error("SPEC024", "modules nest too deep").at(
                        template.span.clone(),
                        format!("the limit is {MODULE_DEPTH_MAX} levels, {MODULES_MAX} modules"),
                    ));
                    continue;
                }
                let Some(node) = self.template(&template_name, template) else { continue };
                let path: Vec<String> = unit.path.iter().cloned().chain([name.clone()]).collect();
                let mut reader = Reader::default();
                let inner = reader.module(&node, path);
                if self.reported.insert(template_name.clone()) {
                    self.diagnostics.append(&mut reader.diagnostics);
                }
                self.check_with(&unit, name, &template_name, &inner);
                open.push((inner, chain));
            }
            units.insert(unit.path.clone(), unit);
        }
        units
    }

    fn template_name(&mut self, node: &Node) -> Option<String> {
        let refuse = |label: String| {
            Diagnostic::error("SPEC023", "module not found")
                .at(node.span.clone(), label)
                .help("name a folder or file below `templates/` beside the spec, or a module that comes with opora")
        };
        let diagnostic = match node.as_str() {
            Some(name) if has_expression(name) => refuse("a template's name can't be an expression".to_owned()),
            Some(name) if is_inside(name) => return Some(name.trim_end_matches('/').to_owned()),
            Some(name) => refuse(format!("`{name}` leaves the spec's folder")),
            None => refuse(format!("this is {}; a template's name is expected", node.describe())),
        };
        self.diagnostics.push(diagnostic);
        None
    }

    fn template(&mut self, name: &str, at: &Node) -> Option<Node> {
        if let Some(known) = self.templates.get(name) {
            return known.clone();
        }
        let found = self.read(name, at);
        self.templates.insert(name.to_owned(), found.clone());
        found
    }

    fn read(&mut self, name: &str, at: &Node) -> Option<Node> {
        let mut places = vec![format!("templates/{name}/module.yaml"), format!("templates/{name}.yaml")];
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            places = vec![name.to_owned(), format!("templates/{name}")];
        }
        for place in &places {
            match find(self.files, self.folder, place) {
                Ok((shown, bytes)) => {
                    let (_, node, mut diagnostics) = yaml::parse_bytes(&shown, &bytes, self.sources);
                    self.diagnostics.append(&mut diagnostics);
                    return node;
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    let detail = format!("{place}: {error}");
                    self.diagnostics.push(
                        Diagnostic::error("SPEC001", "file can't be read")
                            .detail(detail)
                            .at(at.span.clone(), "used here"),
                    );
                    return None;
                }
            }
        }
        let known: Vec<&str> =
            embedded_paths().filter_map(|path| path.strip_prefix("templates/")?.strip_suffix("/module.yaml")).collect();
        self.diagnostics.push(
            Diagnostic::error("SPEC023", "module not found")
                .at(at.span.clone(), format!("there is no {}", places.join(" or ")))
                .help(suggest::help(name, known, "write the template, or use one that comes with opora")),
        );
        None
    }

    fn check_with(&mut self, unit: &Unit, name: &str, template: &str, inner: &Unit) {
        let module = &unit.modules[name];
        for (key, _) in &module.with {
            let given = key.as_str().unwrap_or_default();
            if !inner.inputs.contains_key(given) {
                let help = suggest::help(given, inner.inputs.keys().map(String::as_str), "remove it");
                self.diagnostics.push(
                    Diagnostic::error("SPEC022", "unknown input")
                        .at(key.span.clone(), format!("`{given}` is not an input of `{template}`"))
                        .help(help),
                );
            }
        }
        for (input_name, input) in &inner.inputs {
            let given = module.with.iter().any(|(key, value)| key.as_str() == Some(input_name) && !value.is_null());
            if !given && input.default.is_none() {
                self.diagnostics.push(
                    Diagnostic::error("SPEC021", "input without a value")
                        .at(module.key.clone(), format!("`{input_name}` of `{template}` has no value"))
                        .at(input.key.clone(), "declared here without a default")
                        .help(format!("add `{input_name}` under `with:`")),
                );
            }
        }
    }
}

pub(super) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
