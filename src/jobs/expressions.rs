//! Replaces the `$( … )` of a job file by values of the environment's state.
//!
//! A job sees what was recorded of resources that exist, so nothing in it is "known after apply": what the
//! state does not have is an error here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fields::Problems;
use crate::diagnostic::{Diagnostic, SourceMap, Span};
use crate::kind::Scope;
use crate::spec::template::{Part, chains, has_expression, split};
use crate::spec::{Deferred, evaluate_deferred, suggest};
use crate::state::State;
use crate::yaml::{Node, NodeValue, Style};

/// The values that expressions see: resources by kind and name, and where they are.
#[derive(Debug, Clone)]
pub(crate) struct Values(Map<String, Value>);

impl Values {
    /// Collects what the state knows.
    pub(crate) fn new(scope: &Scope, state: &State) -> Self {
        let mut root = json!({
            "account": scope.account,
            "region": scope.region,
            "environment": scope.environment,
            "partition": scope.partition(),
        });
        for (address, record) in state.resources.iter().filter(|(_, record)| record.complete) {
            let mut path: Vec<&str> = Vec::new();
            for module in &address.module {
                path.extend(["module", module]);
            }
            path.extend([address.kind.as_str(), address.name.as_str()]);
            path.extend(address.key.as_deref());
            let mut known = Map::new();
            for part in [&record.arguments, &record.attributes] {
                known.extend(part.as_object().cloned().unwrap_or_default());
            }
            insert(&mut root, &path, Value::Object(known));
        }
        Self(root.as_object().cloned().unwrap_or_default())
    }

    /// Says which step of a chain of names leads nowhere, and what there is instead.
    fn missing(&self, steps: &[&str]) -> Option<(usize, Vec<&str>)> {
        let mut at = &self.0;
        for (index, step) in steps.iter().enumerate() {
            match at.get(*step) {
                None => return Some((index, at.keys().map(String::as_str).collect())),
                Some(Value::Object(inner)) => at = inner,
                Some(_) => return None,
            }
        }
        None
    }
}

fn insert(root: &mut Value, path: &[&str], value: Value) {
    let mut at = root;
    for step in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry((*step).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    }
    *at = value;
}

/// Returns the tree with every expression replaced; those that fail are reported and become empty.
pub(crate) fn evaluate(node: &Node, values: &Values, sources: &SourceMap, problems: &Problems) -> Node {
    let value = match &node.value {
        NodeValue::Seq(items) => {
            NodeValue::Seq(items.iter().map(|item| evaluate(item, values, sources, problems)).collect())
        }
        NodeValue::Map(entries) => {
            let one = |(key, value): &(Node, Node)| (key.clone(), evaluate(value, values, sources, problems));
            NodeValue::Map(entries.iter().map(one).collect())
        }
        NodeValue::String { text, .. } if has_expression(text) => match scalar(node, text, values, sources, problems) {
            Some(value) => return with_span(&value, &node.span),
            None => {
                problems.failed_at(&node.span);
                NodeValue::Null
            }
        },
        other => other.clone(),
    };
    Node { span: node.span.clone(), value }
}

fn scalar(node: &Node, text: &str, values: &Values, sources: &SourceMap, problems: &Problems) -> Option<Value> {
    let source = sources.get(node.span.source).map_or("", |file| file.text.as_str());
    let refuse = |span: Span, label: String| {
        problems.push(Diagnostic::error("JOB007", "expression without a value").at(span, label));
    };
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(unclosed) => {
            refuse(node.part(unclosed.0, source), "`$(` has no `)`".to_owned());
            return None;
        }
    };
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text(text) => out.push(Value::from(text)),
            Part::Expression { source: expression, range } => {
                let span = node.part(range, source);
                out.push(one(&expression, span, values, problems)?);
            }
        }
    }
    if out.len() == 1 {
        return out.pop();
    }
    let mut joined = String::new();
    for part in out {
        match part {
            Value::String(text) => joined.push_str(&text),
            Value::Bool(_) | Value::Number(_) => joined.push_str(&part.to_string()),
            _ => {
                refuse(node.span.clone(), "only texts and numbers can stand inside a text".to_owned());
                return None;
            }
        }
    }
    Some(Value::from(joined))
}

fn one(expression: &str, span: Span, values: &Values, problems: &Problems) -> Option<Value> {
    for chain in chains(expression) {
        let steps: Vec<&str> = chain.steps.iter().map(|step| step.name.as_str()).collect();
        if let Some((index, there)) = values.missing(&steps) {
            let wanted = steps[..=index].join(".");
            let help = suggest::help(
                steps[index],
                there,
                "`opora state list` shows what there is; `opora apply` makes what the spec has",
            );
            problems.push(
                Diagnostic::error("JOB006", "reference to something that the state does not have")
                    .at(span, format!("`{wanted}` is not in the state"))
                    .help(help),
            );
            return None;
        }
    }
    let entry = Deferred {
        expression: expression.to_owned(),
        variables: values.0.clone(),
        texts: BTreeMap::new(),
        references: BTreeSet::new(),
    };
    match evaluate_deferred(&entry, &|_| None) {
        Ok(value) if !value.is_null() => Some(value),
        Ok(_) => {
            problems.push(
                Diagnostic::error("JOB007", "expression without a value").at(span, "the state has no value for this"),
            );
            None
        }
        Err(error) => {
            problems.push(Diagnostic::error("JOB007", "expression without a value").at(span, error.to_string()));
            None
        }
    }
}

/// Makes nodes of a value; all stand where its expression does.
fn with_span(value: &Value, span: &Span) -> Node {
    let value = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(value) => NodeValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => NodeValue::Int(number),
            None => NodeValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => NodeValue::String { text: text.clone(), style: Style::DoubleQuoted },
        Value::Array(items) => NodeValue::Seq(items.iter().map(|item| with_span(item, span)).collect()),
        Value::Object(map) => {
            let key = |text: &str| Node {
                span: span.clone(),
                value: NodeValue::String { text: text.to_owned(), style: Style::DoubleQuoted },
            };
            NodeValue::Map(map.iter().map(|(name, value)| (key(name), with_span(value, span))).collect())
        }
    };
    Node { span: span.clone(), value }
}
