//! Evaluates inputs, resources and outputs in the order of their references.
//!
//! What was reported while resolving is not evaluated again: a stand-in marker takes its place, so one mistake
//! gives one diagnostic. An environment with a stand-in in it is never returned.

mod expression;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::deferred::{Deferred, renumber};
use super::document::{BlockDeclaration, Unit};
use super::eval::{Block, Evaluator};
use super::files::Files;
use super::locate::Locator;
use super::model::{Desired, Lifecycle, Predict, Trigger};
use super::modules::Units;
use super::resolve::{Item, Resolution, plain_reference};
use super::template::Chain;
use super::{suggest, validate};
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::graph::Address;
use crate::kind::{KindSchema, KindSchemas, Scope, with_defaults};
use crate::value;
use crate::yaml::{Node, NodeValue};

/// How many rounds of reading texts one expression may need.
const TEXT_ROUNDS_MAX: usize = 16;
/// How many resources one `for_each` may make.
pub const FOR_EACH_MAX: usize = 10_000;

/// What was evaluated, by module path and kind, then by name.
type BlocksByKind = BTreeMap<(Vec<String>, String), Arc<BTreeMap<String, Block>>>;

/// An evaluated input or output.
#[derive(Debug, Clone)]
struct Cell {
    value: Arc<Value>,
    references: BTreeSet<Address>,
}

/// What an evaluation stands in, and what it used.
struct Frame<'f> {
    unit: &'f Unit,
    each: Option<Value>,
    references: BTreeSet<Address>,
}

pub(super) struct Expander<'x> {
    pub units: &'x Units,
    pub kinds: &'x KindSchemas,
    pub files: &'x dyn Files,
    pub folder: &'x Path,
    pub predict: &'x dyn Predict,
    pub scope: &'x Scope,
    pub sources: &'x mut SourceMap,
    pub evaluator: &'x Evaluator,
    pub resolution: &'x Resolution,
    pub diagnostics: &'x mut Vec<Diagnostic>,
    pub root_inputs: BTreeMap<String, Value>,
    pub tags_node: Option<Node>,
    pub out: Expanded,
    cells: BTreeMap<Item, Cell>,
    blocks: BlocksByKind,
    deferred: Vec<Deferred>,
    /// Where an equal entry stands already.
    deferred_numbers: BTreeMap<String, usize>,
}

/// What the evaluation yields.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub resources: BTreeMap<Address, Desired>,
    pub outputs: IndexMap<String, Value>,
    pub output_deferred: Vec<Deferred>,
    pub tags: BTreeMap<String, String>,
    pub locator: Locator,
}

/// What everything else is given to be.
pub(super) struct Surroundings<'x> {
    pub units: &'x Units,
    pub kinds: &'x KindSchemas,
    pub files: &'x dyn Files,
    pub folder: &'x Path,
    pub predict: &'x dyn Predict,
    pub scope: &'x Scope,
    pub evaluator: &'x Evaluator,
    pub resolution: &'x Resolution,
}

fn stand_in() -> Value {
    Value::from(value::unknown("?"))
}

impl<'x> Expander<'x> {
    pub(super) fn new(
        around: Surroundings<'x>,
        sources: &'x mut SourceMap,
        diagnostics: &'x mut Vec<Diagnostic>,
        root_inputs: BTreeMap<String, Value>,
        tags_node: Option<Node>,
    ) -> Self {
        let Surroundings { units, kinds, files, folder, predict, scope, evaluator, resolution } = around;
        Self {
            units,
            kinds,
            files,
            folder,
            predict,
            scope,
            sources,
            evaluator,
            resolution,
            diagnostics,
            root_inputs,
            tags_node,
            out: Expanded::default(),
            cells: BTreeMap::new(),
            blocks: BTreeMap::new(),
            deferred: Vec::new(),
            deferred_numbers: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Expanded {
        let root_inputs = std::mem::take(&mut self.root_inputs);
        for (name, value) in root_inputs {
            let cell = Cell { value: Arc::new(value), references: BTreeSet::new() };
            self.cells.insert(Item::Input(Vec::new(), name), cell);
        }
        self.default_tags();
        let order = self.resolution.order.clone();
        for item in &order {
            match item {
                Item::Input(path, name) => self.input(item, path, name),
                Item::Block(path, kind, name) => self.block(path, kind, name),
                Item::Output(path, name) => self.output(item, path, name),
            }
        }
        self.root_outputs();
        self.out
    }

    fn default_tags(&mut self) {
        let Some(node) = self.tags_node.take() else { return };
        let Some(entries) = node.as_map() else {
            let label = format!("this is {}; a map of tags is expected", node.describe());
            self.diagnostics.push(Diagnostic::error("SPEC013", "wrong type").at(node.span.clone(), label));
            return;
        };
        let units = self.units;
        let mut frame = Frame { unit: &units[&Vec::new()], each: None, references: BTreeSet::new() };
        for (key, node) in entries {
            let name = key.as_str().unwrap_or_default();
            validate::tag_key(name, &key.span, self.diagnostics);
            match self.evaluate(node, &mut frame) {
                Value::String(text) => {
                    self.out.tags.insert(name.to_owned(), text);
                }
                other => {
                    let label = format!("the tag is `{other}`; text is expected");
                    let diagnostic = Diagnostic::error("SPEC013", "wrong type").at(node.span.clone(), label);
                    self.diagnostics.push(diagnostic.help("put it in quotes"));
                }
            }
        }
    }

    fn input(&mut self, item: &Item, path: &[String], name: &str) {
        let Some((module, above)) = path.split_last() else { return };
        let units = self.units;
        let parent = &units[above];
        let declared = &units[path].inputs[name];
        let given =
            parent.modules[module].with.iter().find(|(key, value)| key.as_str() == Some(name) && !value.is_null());
        let mut frame = Frame { unit: parent, each: None, references: BTreeSet::new() };
        let value = match (given, &declared.default) {
            (Some((_, node)), _) => {
                let value = self.evaluate(node, &mut frame);
                if let Some(why) = declared.refuse(&value) {
                    let diagnostic = Diagnostic::error("SPEC020", "input value not allowed").at(node.span.clone(), why);
                    self.diagnostics.push(diagnostic.at(declared.key.clone(), "declared here"));
                }
                value
            }
            (None, Some(default)) => default.to_json(),
            (None, None) => stand_in(),
        };
        self.cells.insert(item.clone(), Cell { value: Arc::new(value), references: frame.references });
    }

    fn output(&mut self, item: &Item, path: &[String], name: &str) {
        let units = self.units;
        let unit = &units[path];
        let Some((_, node)) = unit.outputs.iter().find(|(known, _)| known == name) else { return };
        let mut frame = Frame { unit, each: None, references: BTreeSet::new() };
        let value = self.evaluate(node, &mut frame);
        self.cells.insert(item.clone(), Cell { value: Arc::new(value), references: frame.references });
    }

    fn root_outputs(&mut self) {
        let root = &self.units[&Vec::new()];
        for (name, _) in &root.outputs {
            if let Some(cell) = self.cells.get(&Item::Output(Vec::new(), name.clone())) {
                self.out.outputs.insert(name.clone(), (*cell.value).clone());
            }
        }
        let mut values: Vec<&mut Value> = self.out.outputs.values_mut().collect();
        self.out.output_deferred = renumber(&mut values, &self.deferred);
    }

    fn block(&mut self, path: &[String], kind: &str, name: &str) {
        let units = self.units;
        let unit = &units[path];
        let declaration = &unit.blocks[&(kind.to_owned(), name.to_owned())];
        let Some(schema) = self.kinds.get(kind) else {
            let help = suggest::help(kind, self.kinds.iter().map(|kind| kind.name), "`opora schema` has all kinds");
            let diagnostic = Diagnostic::error("SPEC011", "unknown kind")
                .at(declaration.kind_key.clone(), format!("there is no kind `{kind}`"))
                .help(help);
            if !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
            return;
        };
        let base = Address::new(kind, name).inside(path);
        let lifecycle = self.lifecycle(unit, declaration, schema);
        let block = match &declaration.for_each {
            None => {
                let view = self.instance(unit, declaration, schema, &base, None, &lifecycle);
                Block::One(base, Arc::new(view))
            }
            Some(node) => {
                let mut frame = Frame { unit, each: None, references: BTreeSet::new() };
                let value = self.evaluate(node, &mut frame);
                let Some(instances) = self.instances(node, &value) else { return };
                let mut made = BTreeMap::new();
                for (index, (key, value)) in instances.into_iter().enumerate() {
                    let address = base.clone().with_key(key.clone());
                    let each = serde_json::json!({ "key": key, "value": value, "index": index });
                    let each = (each, frame.references.clone());
                    let view = self.instance(unit, declaration, schema, &address, Some(each), &lifecycle);
                    made.insert(key, (address, Arc::new(view)));
                }
                Block::Many(Arc::new(made))
            }
        };
        let blocks = self.blocks.entry((path.to_vec(), kind.to_owned())).or_default();
        Arc::make_mut(blocks).insert(name.to_owned(), block);
    }

    /// Returns the keys and values of a `for_each`, or reports why there are none.
    fn instances(&mut self, node: &Node, found: &Value) -> Option<Vec<(String, Value)>> {
        let mut refuse = |label: String, help: &str| {
            self.diagnostics.push(
                Diagnostic::error("SPEC034", "for_each can't be expanded").at(node.span.clone(), label).help(help),
            );
        };
        let by_hand = "take the keys from an input or write them here; what AWS sets is known only after apply";
        let out: Vec<(String, Value)> = match found {
            Value::String(text) if text == stand_in().as_str().unwrap_or_default() => return None,
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            Value::Array(items) => {
                let mut out = Vec::new();
                for item in items {
                    let key = match item {
                        Value::String(text) => text.clone(),
                        Value::Number(_) | Value::Bool(_) => item.to_string(),
                        _ => {
                            refuse(
                                "the list holds more than texts and numbers".to_owned(),
                                "use a map: its keys name the resources",
                            );
                            return None;
                        }
                    };
                    out.push((key, item.clone()));
                }
                out
            }
            other if value::has_unknown(other) => {
                refuse("its value is known only after apply".to_owned(), by_hand);
                return None;
            }
            other => {
                refuse(format!("it is `{other}`; a list or a map is expected"), "give it a list of texts, or a map");
                return None;
            }
        };
        let mut seen = BTreeSet::new();
        for (key, _) in &out {
            if value::has_unknown(&Value::from(key.as_str())) {
                refuse("one of its keys is known only after apply".to_owned(), by_hand);
                return None;
            }
            if key.is_empty() || !seen.insert(key.as_str()) {
                refuse(format!("the key `{key}` is empty or stands twice"), "each resource needs a key of its own");
                return None;
            }
        }
        if out.len() > FOR_EACH_MAX {
            refuse(
                format!("it has {} keys; the limit is {FOR_EACH_MAX}", out.len()),
                "split it into several resources",
            );
            return None;
        }
        Some(out)
    }

    /// Makes one resource and returns what references to it see.
    fn instance(
        &mut self,
        unit: &Unit,
        declaration: &BlockDeclaration,
        schema: &KindSchema,
        address: &Address,
        each: Option<(Value, BTreeSet<Address>)>,
        lifecycle: &Lifecycle,
    ) -> Value {
        let (each, references) = each.map_or((None, BTreeSet::new()), |(each, references)| (Some(each), references));
        let mut frame = Frame { unit, each, references };
        let mut raw = self.evaluate(&declaration.arguments, &mut frame);
        validate::arguments(schema, &raw, &declaration.arguments, self.diagnostics);
        if schema.takes_tags() {
            self.add_tags(&mut raw, declaration);
        }
        let mut arguments = with_defaults(&schema.arguments, &raw);
        let mut references = frame.references;
        references.extend(self.depended_on(unit, declaration));
        references.extend(lifecycle.replace_triggered_by.iter().map(|trigger| trigger.address.clone()));
        references.remove(address);
        let predicted = self.predict.predict(address, &arguments, self.scope);
        let view = view(schema, address, &arguments, &predicted);
        let deferred = renumber(&mut [&mut arguments], &self.deferred);
        self.out.locator.insert(address.clone(), declaration, &raw, schema);
        let desired = Desired {
            address: address.clone(),
            kind: schema.name.to_owned(),
            arguments,
            references,
            deferred,
            lifecycle: lifecycle.clone(),
        };
        self.out.resources.insert(address.clone(), desired);
        view
    }

    fn add_tags(&mut self, raw: &mut Value, declaration: &BlockDeclaration) {
        let Some(map) = raw.as_object_mut() else { return };
        let own = map.get("tags").filter(|tags| !tags.is_null()).cloned();
        let mut tags: BTreeMap<String, Value> =
            self.out.tags.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        match own {
            Some(Value::Object(own)) => {
                for (key, value) in own {
                    let span = declaration.arguments.get("tags").map_or(&declaration.key, |node| &node.span);
                    validate::tag_key(&key, span, self.diagnostics);
                    tags.insert(key, value);
                }
            }
            Some(_) => return,
            None => {}
        }
        map.insert("tags".to_owned(), Value::Object(tags.into_iter().collect()));
    }

    fn lifecycle(&mut self, unit: &Unit, declaration: &BlockDeclaration, schema: &KindSchema) -> Lifecycle {
        let mut out = Lifecycle::default();
        let Some(node) = &declaration.lifecycle else { return out };
        const FIELDS: [&str; 5] =
            ["prevent_destroy", "ignore", "replace_triggered_by", "create_before_destroy", "allow_data_loss"];
        let Some(entries) = node.as_map() else {
            let label = format!("this is {}; a map is expected", node.describe());
            self.diagnostics.push(Diagnostic::error("SPEC013", "wrong type").at(node.span.clone(), label));
            return out;
        };
        for (key, value) in entries {
            let name = key.as_str().unwrap_or_default();
            let wrong = |wanted: &str| {
                let label = format!("this is {}; {wanted} is expected", value.describe());
                Diagnostic::error("SPEC013", "wrong type").at(value.span.clone(), label)
            };
            match (name, &value.value) {
                ("prevent_destroy", NodeValue::Bool(on)) => out.prevent_destroy = *on,
                ("create_before_destroy", NodeValue::Bool(on)) => out.create_before_destroy = *on,
                ("allow_data_loss", NodeValue::Bool(on)) => out.allow_data_loss = *on,
                ("ignore", NodeValue::Seq(items)) => {
                    for item in items {
                        let path = item.as_str().unwrap_or_default();
                        if path.is_empty() || schema.arguments.at(path).is_none() {
                            let known = schema.arguments.properties().map(|(name, _)| name.as_str());
                            self.diagnostics.push(
                                Diagnostic::error("SPEC012", "unknown argument")
                                    .at(item.span.clone(), format!("`{path}` is not an argument of {}", schema.name))
                                    .help(suggest::help(path, known, "name an argument of the resource")),
                            );
                        } else {
                            out.ignore.push(path.to_owned());
                        }
                    }
                }
                ("replace_triggered_by", NodeValue::Seq(items)) => {
                    for chain in items.iter().filter_map(plain_reference) {
                        out.replace_triggered_by.extend(self.triggers(unit, &chain));
                    }
                }
                ("prevent_destroy" | "create_before_destroy" | "allow_data_loss", _) => {
                    self.diagnostics.push(wrong("true or false"));
                }
                ("ignore" | "replace_triggered_by", _) => self.diagnostics.push(wrong("a list")),
                _ => self.diagnostics.push(
                    Diagnostic::error("SPEC016", "unknown field")
                        .at(key.span.clone(), format!("`{name}` is not a field of lifecycle"))
                        .help(suggest::help(name, FIELDS, "remove it")),
                ),
            }
        }
        out
    }

    fn triggers(&self, unit: &Unit, chain: &Chain) -> Vec<Trigger> {
        let Some(block) = self.block_of(unit, chain) else { return Vec::new() };
        let keyed = matches!(block, Block::Many(_)) && chain.steps.get(2).is_some_and(|step| step.bracket);
        let steps = &chain.steps[if keyed { 3 } else { 2 }.min(chain.steps.len())..];
        let path = steps.iter().fold(String::new(), |path, step| value::join_key(&path, &step.name));
        self.addresses(unit, chain).into_iter().map(|address| Trigger { address, path: path.clone() }).collect()
    }

    fn block_of(&self, unit: &Unit, chain: &Chain) -> Option<&Block> {
        let kind = &chain.steps.first()?.name;
        self.blocks.get(&(unit.path.clone(), kind.clone()))?.get(&chain.steps.get(1)?.name)
    }

    /// Returns the resources that a chain names: one, or all of a `for_each`.
    fn addresses(&self, unit: &Unit, chain: &Chain) -> Vec<Address> {
        match self.block_of(unit, chain) {
            Some(Block::One(address, _)) => vec![address.clone()],
            Some(Block::Many(instances)) => match chain.steps.get(2).filter(|step| step.bracket) {
                Some(step) => instances.get(&step.name).map(|(address, _)| address.clone()).into_iter().collect(),
                None => instances.values().map(|(address, _)| address.clone()).collect(),
            },
            None => Vec::new(),
        }
    }

    fn depended_on(&self, unit: &Unit, declaration: &BlockDeclaration) -> BTreeSet<Address> {
        let mut out = BTreeSet::new();
        for chain in declaration.depends_on.iter().filter_map(plain_reference) {
            out.extend(self.addresses(unit, &chain));
            if chain.steps[0].name == "module" {
                out.extend(self.inside(&unit.path, &chain.steps[1].name));
            }
        }
        // What an enclosing module's use depends on.
        for depth in 0..unit.path.len() {
            let parent = &self.units[&unit.path[..depth]];
            for chain in parent.modules[&unit.path[depth]].depends_on.iter().filter_map(plain_reference) {
                out.extend(self.addresses(parent, &chain));
                if chain.steps[0].name == "module" {
                    out.extend(self.inside(&parent.path, &chain.steps[1].name));
                }
            }
        }
        out
    }

    fn inside(&self, path: &[String], module: &str) -> Vec<Address> {
        let prefix: Vec<String> = path.iter().cloned().chain([module.to_owned()]).collect();
        self.out.resources.keys().filter(|address| address.module.starts_with(&prefix)).cloned().collect()
    }
}

/// What references to a resource see: its arguments, and its attributes as far as they are known.
fn view(schema: &KindSchema, address: &Address, arguments: &Value, predicted: &Value) -> Value {
    let mut out = Map::new();
    for (name, _) in schema.arguments.properties() {
        let value = arguments.get(name).cloned().unwrap_or(Value::Null);
        out.insert(name.clone(), own_markers(&value, address, name));
    }
    for (name, _) in schema.attributes.properties() {
        if out.get(name).is_some_and(|value| !value.is_null()) {
            continue;
        }
        let unknown = || Value::from(value::unknown(&value::join_key(&address.to_string(), name)));
        let value = predicted.get(name).filter(|value| !value.is_null()).cloned().unwrap_or_else(unknown);
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

/// A deferred argument is known to others by its address and path.
fn own_markers(value: &Value, address: &Address, path: &str) -> Value {
    match value {
        Value::String(text) if value::unknown_references(text).iter().any(|reference| reference.starts_with('#')) => {
            Value::from(value::unknown(&format!("{address}.{path}")))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| own_markers(item, address, &value::join_index(path, at)))
            .collect(),
        Value::Object(map) => {
            let entry =
                |(key, item): (&String, &Value)| (key.clone(), own_markers(item, address, &value::join_key(path, key)));
            Value::Object(map.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}
