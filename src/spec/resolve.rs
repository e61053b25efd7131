//! Finds what each expression refers to, before anything is evaluated: dangling names, order and cycles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use super::document::{ROOT_NAMES, Unit};
use super::eval::Evaluator;
use super::functions::FUNCTIONS;
use super::modules::Units;
use super::suggest;
use super::template::{Chain, Part, Step, chains, has_expression, split};
use crate::diagnostic::{Diagnostic, SourceMap, Span};
use crate::graph::{Cycle, topological};
use crate::kind::{KindSchemas, SchemaNode, Shape};
use crate::yaml::{Node, NodeValue, Style};

/// What is evaluated as a whole, in the order of its references.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Input(Vec<String>, String),
    Block(Vec<String>, String, String),
    Output(Vec<String>, String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Input(path, ..) | Self::Block(path, ..) | Self::Output(path, ..)) = self;
        for module in path {
            write!(f, "module.{module}.")?;
        }
        match self {
            Self::Input(_, name) => write!(f, "inputs.{name}"),
            Self::Block(_, kind, name) => write!(f, "{kind}.{name}"),
            Self::Output(_, name) => f.write_str(name),
        }
    }
}

/// Why one item needs another.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub span: Span,
    /// The argument that holds the reference, where there is one.
    pub path: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Resolution {
    /// All items, each after what it needs.
    pub order: Vec<Item>,
    pub needs: BTreeMap<Item, BTreeSet<Item>>,
    /// Spans of expressions that must not be evaluated: what is wrong with them is said already.
    pub bad: BTreeSet<(u32, usize, usize)>,
    /// Items of cycles; references to them are unknown.
    pub cyclic: BTreeSet<Item>,
}

pub(super) struct Resolver<'r> {
    pub units: &'r Units,
    pub kinds: &'r KindSchemas,
    pub sources: &'r SourceMap,
    pub evaluator: &'r Evaluator,
    pub diagnostics: &'r mut Vec<Diagnostic>,
    edges: BTreeMap<(Item, Item), Edge>,
    out: Resolution,
}

/// Where an expression stands.
struct Place<'p> {
    unit: &'p Unit,
    item: Item,
    each: bool,
}

impl<'r> Resolver<'r> {
    pub(super) fn new(
        units: &'r Units,
        kinds: &'r KindSchemas,
        sources: &'r SourceMap,
        evaluator: &'r Evaluator,
        diagnostics: &'r mut Vec<Diagnostic>,
    ) -> Self {
        Self { units, kinds, sources, evaluator, diagnostics, edges: BTreeMap::new(), out: Resolution::default() }
    }

    pub(super) fn run(mut self) -> Resolution {
        for unit in self.units.values() {
            self.unit(unit);
        }
        self.sort();
        self.out
    }

    fn unit(&mut self, unit: &'r Unit) {
        let item = |name: &str| Item::Input(unit.path.clone(), name.to_owned());
        let parent = unit.path.split_last().map(|(name, above)| (&self.units[above], name));
        for name in unit.inputs.keys() {
            self.out.needs.entry(item(name)).or_default();
            if let Some((parent, module)) = parent
                && let Some((_, node)) = parent.modules[module].with.iter().find(|(key, _)| key.as_str() == Some(name))
            {
                self.node(&Place { unit: parent, item: item(name), each: false }, node, "");
            }
        }
        for ((kind, name), block) in &unit.blocks {
            let item = Item::Block(unit.path.clone(), kind.clone(), name.clone());
            self.out.needs.entry(item.clone()).or_default();
            let place = Place { unit, item: item.clone(), each: block.for_each.is_some() };
            self.node(&place, &block.arguments, "");
            if let Some(for_each) = &block.for_each {
                self.node(&Place { unit, item: item.clone(), each: false }, for_each, "for_each");
            }
            for node in &block.depends_on {
                self.dependency(&place, node);
            }
            // All of a module waits for what the module's use depends on.
            if let Some((parent, module)) = parent {
                for node in &parent.modules[module].depends_on {
                    self.dependency(&Place { unit: parent, item: item.clone(), each: false }, node);
                }
            }
            for node in block.lifecycle.iter().filter_map(|node| node.get("replace_triggered_by")?.as_seq()).flatten() {
                self.dependency(&place, node);
            }
        }
        for (name, node) in &unit.outputs {
            let item = Item::Output(unit.path.clone(), name.clone());
            self.out.needs.entry(item.clone()).or_default();
            self.node(&Place { unit, item, each: false }, node, "");
        }
    }

    fn node(&mut self, place: &Place<'r>, node: &Node, path: &str) {
        match &node.value {
            NodeValue::String { text, .. } => self.text(place, node, text, path),
            NodeValue::Seq(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(place, item, &crate::value::join_index(path, index));
                }
            }
            NodeValue::Map(entries) => {
                for (key, value) in entries {
                    let name = key.as_str().unwrap_or_default();
                    self.text(place, key, name, path);
                    self.node(place, value, &crate::value::join_key(path, name));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, place: &Place<'r>, node: &Node, text: &str, path: &str) {
        if !has_expression(text) {
            return;
        }
        let parts = match split(text) {
            Ok(parts) => parts,
            Err(unclosed) => {
                let help = if self.cut_by_flow(node) {
                    "put it in quotes: in `{ … }` and `[ … ]` a comma or bracket ends an unquoted text"
                } else {
                    "close it, or write `$$(` for the two characters themselves"
                };
                self.report(
                    node,
                    Diagnostic::error("SPEC032", "expression can't be read")
                        .at(self.span(node, unclosed.0), "this `$(` has no closing `)`")
                        .help(help),
                );
                return;
            }
        };
        for part in parts {
            let Part::Expression { source, range } = part else { continue };
            if let Some(why) = self.evaluator.syntax_error(&source) {
                let diagnostic =
                    Diagnostic::error("SPEC032", "expression can't be read").at(self.span(node, range), why);
                self.report(
                    node,
                    diagnostic.help("expressions are written as in Jinja: `inputs.x | upper`, `a ~ b`, `f(x, y=1)`"),
                );
                continue;
            }
            for chain in chains(&source) {
                let span = self.span(node, range.start + chain.range.start..range.start + chain.range.end);
                match self.target(place, &chain) {
                    Ok(targets) => {
                        for target in targets {
                            self.edge(&place.item, target, span.clone(), path);
                        }
                    }
                    Err((summary, code, at, label, help)) => {
                        let span = self.span(node, range.start + at.start..range.start + at.end);
                        self.report(node, Diagnostic::error(code, summary).at(span, label).help(help));
                    }
                }
            }
        }
    }

    /// Tells whether an unquoted text ended at a sign of YAML's flow style.
    fn cut_by_flow(&self, node: &Node) -> bool {
        let rest =
            self.sources.get(node.span.source).and_then(|file| file.text.get(node.span.end..)).unwrap_or_default();
        matches!(node.value, NodeValue::String { style: Style::Plain, .. })
            && rest.trim_start().starts_with([',', ']', '['])
    }

    /// A plain name in `depends_on` or `replace_triggered_by`: `kms_key.data`, `module.trail`.
    fn dependency(&mut self, place: &Place<'r>, node: &Node) {
        let Some(chain) = plain_reference(node) else {
            self.report(
                node,
                Diagnostic::error("SPEC030", "dangling reference")
                    .at(node.span.clone(), "this names no resource")
                    .help("write `kind.name`, such as `kms_key.data`, or `module.name`"),
            );
            return;
        };
        if let [root, name] = &chain.steps[..]
            && root.name == "module"
            && place.unit.modules.contains_key(&name.name)
        {
            let inside: Vec<String> = place.unit.path.iter().cloned().chain([name.name.clone()]).collect();
            let blocks = self.units.iter().filter(|(path, _)| path.starts_with(&inside));
            let items: Vec<Item> = blocks
                .flat_map(|(path, unit)| {
                    unit.blocks.keys().map(|(kind, name)| Item::Block(path.clone(), kind.clone(), name.clone()))
                })
                .collect();
            for item in items {
                self.edge(&place.item, item, node.span.clone(), "depends_on");
            }
            return;
        }
        match self.block_target(place, &chain, true) {
            Ok(target) => self.edge(&place.item, target, node.span.clone(), "depends_on"),
            Err((summary, code, _, label, help)) => {
                self.report(node, Diagnostic::error(code, summary).at(node.span.clone(), label).help(help));
            }
        }
    }

    fn report(&mut self, node: &Node, diagnostic: Diagnostic) {
        self.out.bad.insert((node.span.source.0, node.span.start, node.span.end));
        self.diagnostics.push(diagnostic);
    }

    fn span(&self, node: &Node, range: Range<usize>) -> Span {
        let source = self.sources.get(node.span.source).map_or("", |file| file.text.as_str());
        node.part(range, source)
    }

    fn edge(&mut self, from: &Item, to: Item, span: Span, path: &str) {
        self.out.needs.entry(from.clone()).or_default().insert(to.clone());
        let edge = Edge { span, path: path.to_owned() };
        self.edges.entry((from.clone(), to)).or_insert(edge);
    }

    fn target(&self, place: &Place<'_>, chain: &Chain) -> Result<Vec<Item>, Wrong> {
        let root = &chain.steps[0];
        let second = chain.steps.get(1);
        match (root.name.as_str(), second) {
            ("account" | "region" | "environment" | "partition", _) => Ok(Vec::new()),
            ("inputs", Some(name)) if place.unit.inputs.contains_key(&name.name) => {
                Ok(vec![Item::Input(place.unit.path.clone(), name.name.clone())])
            }
            ("inputs", Some(name)) => {
                let known: Vec<&str> = place.unit.inputs.keys().map(String::as_str).collect();
                let help = suggest::help(&name.name, known, "declare it under `inputs:`");
                Err(dangling(name.range.clone(), format!("there is no input `{}`", name.name), help))
            }
            ("each", Some(name)) if place.each && ["key", "value", "index"].contains(&name.name.as_str()) => {
                Ok(Vec::new())
            }
            ("each", Some(name)) if place.each => {
                let help = suggest::help(&name.name, ["key", "value", "index"], "");
                Err(dangling(name.range.clone(), format!("`each` has no `{}`", name.name), help))
            }
            ("each", _) if !place.each => {
                let help = "give the resource a `for_each`, or name the value itself".to_owned();
                Err(dangling(chain.range.clone(), "`each` stands only in a resource with `for_each`".to_owned(), help))
            }
            ("module", Some(name)) => self.output_target(place, chain, name),
            ("inputs" | "each" | "module", None) => {
                let label = format!("`{}` needs the name after it", root.name);
                Err(dangling(chain.range.clone(), label, format!("write `{}.name`", root.name)))
            }
            _ => self.block_target(place, chain, false).map(|item| vec![item]),
        }
    }

    fn output_target(&self, place: &Place<'_>, chain: &Chain, name: &Step) -> Result<Vec<Item>, Wrong> {
        if !place.unit.modules.contains_key(&name.name) {
            let help =
                suggest::help(&name.name, place.unit.modules.keys().map(String::as_str), "add it under `modules:`");
            return Err(dangling(name.range.clone(), format!("there is no module `{}`", name.name), help));
        }
        let path: Vec<String> = place.unit.path.iter().cloned().chain([name.name.clone()]).collect();
        // A module that was not found is reported where it is used.
        let Some(unit) = self.units.get(&path) else { return Ok(Vec::new()) };
        let Some(output) = chain.steps.get(2) else {
            let help = format!("write `module.{}.output`", name.name);
            return Err(dangling(
                chain.range.clone(),
                "a module is not a value; name one of its outputs".to_owned(),
                help,
            ));
        };
        if unit.outputs.iter().any(|(known, _)| *known == output.name) {
            return Ok(vec![Item::Output(path, output.name.clone())]);
        }
        let known: Vec<&str> = unit.outputs.iter().map(|(name, _)| name.as_str()).collect();
        let help = suggest::help(&output.name, known, "add it under the module's `outputs:`");
        Err(dangling(output.range.clone(), format!("module `{}` has no output `{}`", name.name, output.name), help))
    }

    fn block_target(&self, place: &Place<'_>, chain: &Chain, whole: bool) -> Result<Item, Wrong> {
        let root = &chain.steps[0];
        let blocks = &place.unit.blocks;
        let is_kind = self.kinds.get(&root.name).is_some() || blocks.keys().any(|(kind, _)| *kind == root.name);
        if !is_kind {
            return Err(self.undefined(place, root));
        }
        let Some(name) = chain.steps.get(1) else {
            let (label, help) =
                (format!("`{}` is a kind, not a resource", root.name), format!("write `{}.name`", root.name));
            return Err(dangling(chain.range.clone(), label, help));
        };
        let Some(block) = blocks.get(&(root.name.clone(), name.name.clone())) else {
            let same_kind = blocks.keys().filter(|(kind, _)| *kind == root.name).map(|(_, name)| name.as_str());
            let elsewhere =
                blocks.keys().find(|(_, other)| *other == name.name).map(|(kind, name)| format!("{kind}.{name}"));
            let help = match (suggest::nearest(&name.name, same_kind.clone()), elsewhere) {
                (Some(near), _) => format!("did you mean `{}.{near}`?", root.name),
                (None, Some(other)) => format!("did you mean `{other}`?"),
                (None, None) => suggest::help(&name.name, same_kind, "add it under `resources:`"),
            };
            let label = format!("there is no resource `{}.{}`", root.name, name.name);
            return Err(dangling(root.range.start..name.range.end, label, help));
        };
        let item = Item::Block(place.unit.path.clone(), root.name.clone(), name.name.clone());
        let keyed = chain.steps.get(2).is_some_and(|step| step.bracket);
        let address = format!("{}.{}", root.name, name.name);
        let properties = match (block.for_each.is_some(), keyed) {
            (true, true) => &chain.steps[3..],
            (true, false) => {
                if let Some(step) = chain.steps.get(2) {
                    let label = format!("`{address}` has `for_each`, so it is several resources");
                    let help = format!("name one: `{address}[\"key\"].{}`", step.name);
                    return Err(("for_each key expected", "SPEC035", step.range.clone(), label, help));
                }
                return Ok(item);
            }
            (false, true) => {
                let step = &chain.steps[2];
                let label = format!("`{address}` has no `for_each`");
                return Err((
                    "no for_each key expected",
                    "SPEC035",
                    step.range.clone(),
                    label,
                    format!("write `{address}`"),
                ));
            }
            (false, false) => &chain.steps[2..],
        };
        if properties.is_empty() && !whole && !chain.dynamic && block.for_each.is_none() {
            let help = format!("name what you need of it: `{address}.arn`");
            return Err(dangling(chain.range.clone(), "a resource is not a value".to_owned(), help));
        }
        self.property(&root.name, &address, properties)?;
        Ok(item)
    }

    fn property(&self, kind: &str, address: &str, steps: &[Step]) -> Result<(), Wrong> {
        let (Some(schema), Some(first)) = (self.kinds.get(kind), steps.first()) else { return Ok(()) };
        let path = steps.iter().fold(String::new(), |path, step| match step.name.parse() {
            Ok(index) if step.bracket => crate::value::join_index(&path, index),
            _ => crate::value::join_key(&path, &step.name),
        });
        let known = |node: &SchemaNode| node.at(&path).is_some() || reaches_any(node, steps);
        if known(&schema.arguments) || known(&schema.attributes) {
            return Ok(());
        }
        let properties =
            || schema.arguments.properties().chain(schema.attributes.properties()).map(|(name, _)| name.as_str());
        let wrong = if properties().any(|name| name == first.name) { &steps[steps.len() - 1] } else { first };
        let help = suggest::help(&wrong.name, properties(), &format!("`opora explain {kind}` lists what a {kind} has"));
        Err(dangling(wrong.range.clone(), format!("`{address}` has no `{path}`"), help))
    }

    fn undefined(&self, place: &Place<'_>, root: &Step) -> Wrong {
        let by_name =
            place.unit.blocks.keys().find(|(_, name)| *name == root.name).map(|(kind, name)| format!("{kind}.{name}"));
        let kinds = place.unit.blocks.keys().map(|(kind, _)| kind.as_str());
        let candidates =
            ROOT_NAMES.into_iter().chain(kinds).chain(self.kinds.iter().map(|kind| kind.name)).chain(FUNCTIONS);
        let help = match (by_name, suggest::nearest(&root.name, candidates)) {
            (Some(block), _) => format!("did you mean `{block}`?"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if place.unit.inputs.contains_key(&root.name) => {
                format!("did you mean `inputs.{}`?", root.name)
            }
            (None, None) => {
                "expressions see account, region, environment, partition, inputs, each, module and the kinds".to_owned()
            }
        };
        ("undefined name", "SPEC030", root.range.clone(), format!("`{}` is not defined", root.name), help)
    }

    /// Orders the items; each cycle is reported and cut where it was found.
    fn sort(&mut self) {
        let mut needs = self.out.needs.clone();
        loop {
            match topological(&needs) {
                Ok(order) => {
                    self.out.order = order;
                    self.out.needs = needs;
                    return;
                }
                Err(Cycle(cycle)) => {
                    self.report_cycle(&cycle);
                    self.out.cyclic.extend(cycle.iter().cloned());
                    for pair in cycle.windows(2) {
                        if let Some(edges) = needs.get_mut(&pair[0]) {
                            edges.remove(&pair[1]);
                        }
                    }
                }
            }
        }
    }

    fn report_cycle(&mut self, cycle: &[Item]) {
        let mut shown = Vec::new();
        let mut diagnostic = Diagnostic::error("SPEC031", "reference cycle");
        for pair in cycle.windows(2) {
            let Some(edge) = self.edges.get(&(pair[0].clone(), pair[1].clone())) else { continue };
            let from = if edge.path.is_empty() { pair[0].to_string() } else { format!("{}.{}", pair[0], edge.path) };
            diagnostic = diagnostic.at(edge.span.clone(), format!("{from} needs {}", pair[1]));
            shown.push(from);
        }
        shown.extend(cycle.last().map(ToString::to_string));
        let has = |kind: &str| cycle.iter().any(|item| matches!(item, Item::Block(_, known, _) if known == kind));
        let help = if cycle.len() == 2 {
            "a resource can't refer to itself"
        } else if has("iam_role") || has("iam_policy") {
            "move the statement that closes the cycle into an iam_policy of its own"
        } else {
            "move the argument that closes the cycle into a resource of its own"
        };
        self.diagnostics.push(diagnostic.detail(shown.join(" → ")).help(help));
    }
}

/// Summary, code, place in the expression, label, help.
type Wrong = (&'static str, &'static str, Range<usize>, String, String);

fn dangling(range: Range<usize>, label: String, help: String) -> Wrong {
    ("dangling reference", "SPEC030", range, label, help)
}

/// Tells whether the steps end in a part of the schema that admits anything.
fn reaches_any(node: &SchemaNode, steps: &[Step]) -> bool {
    let mut path = String::new();
    for step in steps {
        path = match step.name.parse() {
            Ok(index) if step.bracket => crate::value::join_index(&path, index),
            _ => crate::value::join_key(&path, &step.name),
        };
        match node.at(&path) {
            Some(found) if matches!(crate::kind::shape(found), Shape::Any | Shape::OneOf(_)) => return true,
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// Reads `kind.name`, `kind.name["key"].path` or `$(…)` around one.
pub(super) fn plain_reference(node: &Node) -> Option<Chain> {
    let text = node.as_str()?.trim();
    let text = text.strip_prefix("$(").and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let mut found = chains(text);
    match found.pop() {
        Some(chain)
            if found.is_empty() && chain.range == (0..text.len()) && chain.steps.len() > 1 && !chain.dynamic =>
        {
            Some(chain)
        }
        _ => None,
    }
}
