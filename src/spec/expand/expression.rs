//! Evaluates the expressions in a node: binds names, reads texts that are asked for, and defers what has to wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::deferred::Deferred;
use super::super::document::Unit;
use super::super::eval::{Binding, Bindings, Block, Outcome, Trace, join};
use super::super::files::{embedded_paths, find, is_inside};
use super::super::modules::is_absent;
use super::super::resolve::Item;
use super::super::suggest;
use super::super::template::{Chain, Part, chains, has_expression, split};
use super::{Cell, Expander, Frame, TEXT_ROUNDS_MAX, stand_in};
use crate::diagnostic::{Diagnostic, Span};
use crate::graph::Address;
use crate::value;
use crate::yaml::{Node, NodeValue};

impl Expander<'_> {
    pub(super) fn evaluate(&mut self, node: &Node, frame: &mut Frame<'_>) -> Value {
        match &node.value {
            NodeValue::String { text, .. } if has_expression(text) => self.text(node, text, frame),
            NodeValue::Seq(items) => items.iter().map(|item| self.evaluate(item, frame)).collect(),
            NodeValue::Map(entries) => {
                let mut out = Map::new();
                for (key, value) in entries {
                    let name = key.as_str().unwrap_or_default();
                    let name = match has_expression(name).then(|| self.text(key, name, frame)) {
                        None => name.to_owned(),
                        Some(Value::String(name)) => name,
                        Some(other) => other.to_string(),
                    };
                    let value = self.evaluate(value, frame);
                    out.insert(name, value);
                }
                Value::Object(out)
            }
            _ => node.to_json(),
        }
    }

    fn text(&mut self, node: &Node, text: &str, frame: &mut Frame<'_>) -> Value {
        let key = (node.span.source.0, node.span.start, node.span.end);
        let parts = match split(text) {
            Ok(parts) => parts,
            Err(unclosed) => {
                // Where references are looked for it is reported already; the environment's own tags have none.
                if !self.resolution.bad.contains(&key) {
                    let at = self.span(node, unclosed.0);
                    self.diagnostics.push(
                        Diagnostic::error("SPEC032", "expression can't be read")
                            .at(at, "this `$(` has no closing `)`")
                            .help("close it, or write `$$(` for the two characters themselves"),
                    );
                }
                return stand_in();
            }
        };
        if self.resolution.bad.contains(&key) {
            return stand_in();
        }
        let mut values = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => values.push((false, Value::String(text))),
                Part::Expression { source, range } => {
                    let at = self.span(node, range);
                    values.push((true, self.expression(&source, &at, frame)));
                }
            }
        }
        match join(values) {
            Ok(value) => value,
            Err(why) => {
                self.diagnostics.push(Diagnostic::error("SPEC033", "expression failed").at(node.span.clone(), why));
                stand_in()
            }
        }
    }

    fn span(&self, node: &Node, range: std::ops::Range<usize>) -> Span {
        node.part(range, self.sources.get(node.span.source).map_or("", |file| file.text.as_str()))
    }

    fn expression(&mut self, source: &str, at: &Span, frame: &mut Frame<'_>) -> Value {
        let chains = chains(source);
        if !self.keys_exist(&chains, at, frame.unit) {
            return stand_in();
        }
        let bindings = Arc::new(self.bindings(&chains, frame));
        let mut result = self.evaluator.evaluate(source, &bindings);
        for _ in 0..TEXT_ROUNDS_MAX {
            if result.1.needed.is_empty() {
                break;
            }
            for name in std::mem::take(&mut result.1.needed) {
                self.provide(&name);
            }
            result = self.evaluator.evaluate(source, &bindings);
        }
        let (outcome, trace) = result;
        for chain in &chains {
            if let Some(cell) = self.cell_of(frame.unit, chain) {
                frame.references.extend(cell.references.iter().cloned());
            }
        }
        frame.references.extend(trace.accessed.iter().cloned());
        match outcome {
            Outcome::Known(value) => value,
            Outcome::Deferred => self.defer(source, &chains, &bindings, &trace, frame),
            Outcome::Failed(why) => {
                let diagnostic = Diagnostic::error("SPEC033", "expression failed").at(at.clone(), why);
                if !self.diagnostics.contains(&diagnostic) {
                    self.diagnostics.push(diagnostic);
                }
                stand_in()
            }
        }
    }

    /// Reports `for_each` keys that are named and don't exist.
    fn keys_exist(&mut self, chains: &[Chain], at: &Span, unit: &Unit) -> bool {
        let mut fine = true;
        for chain in chains {
            let Some(Block::Many(instances)) = self.block_of(unit, chain) else { continue };
            let Some(step) = chain.steps.get(2).filter(|step| step.bracket) else { continue };
            if instances.contains_key(&step.name) {
                continue;
            }
            let help =
                suggest::help(&step.name, instances.keys().map(String::as_str), "look at what its `for_each` yields");
            let name = format!("{}.{}", chain.steps[0].name, chain.steps[1].name);
            let same_text = at.end - at.start >= step.range.end;
            let span = if same_text {
                Span::new(at.source, at.start + step.range.start..at.start + step.range.end)
            } else {
                at.clone()
            };
            let label = format!("`{name}` has no key `{}`", step.name);
            let diagnostic = Diagnostic::error("SPEC035", "no such for_each key").at(span, label).help(help);
            if !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
            fine = false;
        }
        fine
    }

    fn cell_of(&self, unit: &Unit, chain: &Chain) -> Option<&Cell> {
        let name = |index: usize| chain.steps.get(index).map(|step| step.name.clone());
        let item = match chain.steps[0].name.as_str() {
            "inputs" => Item::Input(unit.path.clone(), name(1)?),
            "module" => Item::Output(unit.path.iter().cloned().chain([name(1)?]).collect(), name(2)?),
            _ => return None,
        };
        self.cells.get(&item)
    }

    fn bindings(&self, chains: &[Chain], frame: &Frame<'_>) -> Bindings {
        let mut out = Bindings::new();
        let mut trees: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for chain in chains {
            let root = chain.steps[0].name.as_str();
            let name = |index: usize| chain.steps.get(index).map(|step| step.name.clone()).unwrap_or_default();
            match root {
                "account" => bind(&mut out, root, Value::from(self.scope.account.as_str())),
                "region" => bind(&mut out, root, Value::from(self.scope.region.as_str())),
                "environment" => bind(&mut out, root, Value::from(self.scope.environment.as_str())),
                "partition" => bind(&mut out, root, Value::from(self.scope.partition())),
                "each" => bind(&mut out, root, frame.each.clone().unwrap_or_else(stand_in)),
                "inputs" => {
                    let value = self.cell_of(frame.unit, chain).map_or_else(stand_in, |cell| (*cell.value).clone());
                    trees.entry(root).or_default().insert(name(1), value);
                }
                "module" => {
                    let value = self.cell_of(frame.unit, chain).map_or_else(stand_in, |cell| (*cell.value).clone());
                    let module =
                        trees.entry(root).or_default().entry(name(1)).or_insert_with(|| Value::Object(Map::new()));
                    value::set(module, &value::join_key("", &name(2)), value);
                }
                kind => {
                    let known = self.blocks.get(&(frame.unit.path.clone(), kind.to_owned()));
                    let mut blocks = match out.remove(kind) {
                        Some(Binding::Kind(blocks)) => blocks,
                        _ => known.cloned().unwrap_or_default(),
                    };
                    // What is in a cycle, or of an unknown kind, was reported: it stands for anything.
                    if !blocks.contains_key(&name(1)) {
                        let block =
                            Block::One(Address::new(kind, name(1)).inside(&frame.unit.path), Arc::new(stand_in()));
                        Arc::make_mut(&mut blocks).insert(name(1), block);
                    }
                    out.insert(kind.to_owned(), Binding::Kind(blocks));
                }
            }
        }
        for (root, tree) in trees {
            bind(&mut out, root, Value::Object(tree));
        }
        out
    }

    /// Reads a text that an expression asked for.
    fn provide(&mut self, name: &str) {
        let (path, label) = match name.strip_prefix("file:") {
            Some(path) => (path, "file"),
            None => (name, "policy fragment"),
        };
        let text = if !is_inside(path) {
            Err(format!("`{path}` leaves the spec's folder"))
        } else {
            match find(self.files, self.folder, path) {
                Ok((shown, bytes)) => match String::from_utf8(bytes) {
                    Ok(text) => {
                        self.sources.add(shown, text.clone());
                        Ok(Arc::from(text))
                    }
                    Err(_) => Err(format!("the {label} {path} is not UTF-8")),
                },
                Err(error) if is_absent(&error) => {
                    let near = suggest::nearest(path, embedded_paths());
                    let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                    Err(format!("there is no {label} {path} beside the spec{hint}"))
                }
                Err(error) => Err(format!("{path} can't be read: {error}")),
            }
        };
        self.evaluator.provide(name, text);
    }

    fn defer(
        &mut self,
        source: &str,
        chains: &[Chain],
        bindings: &Bindings,
        trace: &Trace,
        frame: &mut Frame<'_>,
    ) -> Value {
        let mut variables = Map::new();
        for (name, value) in [
            ("account", self.scope.account.as_str()),
            ("region", self.scope.region.as_str()),
            ("environment", self.scope.environment.as_str()),
            ("partition", self.scope.partition()),
        ] {
            variables.insert(name.to_owned(), Value::from(value));
        }
        let mut references = trace.accessed.clone();
        for (name, binding) in bindings {
            if let Binding::Value(value) = binding {
                variables.insert(name.clone(), (**value).clone());
            }
        }
        for chain in chains {
            if let Some(cell) = self.cell_of(frame.unit, chain) {
                references.extend(cell.references.iter().cloned());
            }
            if let Some(Binding::Kind(blocks)) = bindings.get(&chain.steps[0].name)
                && let Some(block) = chain.steps.get(1).and_then(|step| blocks.get(&step.name))
            {
                let block = narrowed(block, source, chain, trace);
                match &block {
                    Block::Many(instances) if chain.dynamic => {
                        references.extend(instances.values().map(|(address, _)| address.clone()));
                    }
                    _ => references.extend(self.addresses(frame.unit, chain)),
                }
                capture(&mut variables, chain, &block);
            }
        }
        frame.references.extend(references.iter().cloned());
        let texts =
            trace.used.iter().filter_map(|name| Some((name.clone(), self.evaluator.text(name)?.to_string()))).collect();
        let entry = Deferred { expression: source.to_owned(), variables, texts, references };
        let key = serde_json::to_string(&entry).expect("internal error: an entry has text keys");
        let number = *self.deferred_numbers.entry(key).or_insert_with(|| {
            self.deferred.push(entry);
            self.deferred.len() - 1
        });
        Value::from(value::unknown(&format!("#{number}")))
    }
}

fn bind(out: &mut Bindings, name: &str, value: Value) {
    out.insert(name.to_owned(), Binding::Value(Arc::new(value)));
}

/// Leaves of a `for_each` what a computed key picked; where a branch may pick another one later, all stay.
fn narrowed(block: &Block, source: &str, chain: &Chain, trace: &Trace) -> Block {
    let branches =
        source.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| ["if", "and", "or"].contains(&word));
    match block {
        Block::Many(instances) if chain.dynamic && !branches => {
            let picked = instances.iter().filter(|(_, (address, _))| trace.accessed.contains(address));
            Block::Many(Arc::new(picked.map(|(key, instance)| (key.clone(), instance.clone())).collect()))
        }
        other => other.clone(),
    }
}

/// Keeps of a resource what a chain uses.
fn capture(variables: &mut Map<String, Value>, chain: &Chain, block: &Block) {
    let (kind, name) = (&chain.steps[0].name, &chain.steps[1].name);
    let kinds = variables.entry(kind.clone()).or_insert_with(|| Value::Object(Map::new()));
    let Some(kinds) = kinds.as_object_mut() else { return };
    let whole = |view: &Value, property: Option<&String>| match property {
        Some(property) => {
            let value = view.get(property).cloned().unwrap_or(Value::Null);
            Value::Object(Map::from_iter([(property.clone(), value)]))
        }
        None => view.clone(),
    };
    let property = |index: usize| chain.steps.get(index).map(|step| &step.name);
    let captured = match block {
        Block::One(_, view) => whole(view, property(2)),
        Block::Many(instances) => match chain.steps.get(2).filter(|step| step.bracket) {
            Some(key) => {
                let view = instances.get(&key.name).map(|(_, view)| whole(view, property(3))).unwrap_or(Value::Null);
                Value::Object(Map::from_iter([(key.name.clone(), view)]))
            }
            None => Value::Object(instances.iter().map(|(key, (_, view))| (key.clone(), (**view).clone())).collect()),
        },
    };
    merge(kinds.entry(name.clone()).or_insert(Value::Null), captured);
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
