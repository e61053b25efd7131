//! Finds the place in the text that an argument comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::document::BlockDeclaration;
use crate::diagnostic::{Location, Span};
use crate::graph::Address;
use crate::kind::{KindSchema, SchemaNode, normalise};
use crate::value::{Segment, join_index, segments};
use crate::yaml::{Node, NodeValue};

/// Maps addresses and paths to places in the source texts.
#[derive(Debug, Clone, Default)]
pub struct Locator {
    entries: BTreeMap<Address, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: Span,
    arguments: Arc<Node>,
    /// For sets, which the normal form sorts: where each item stood in the text.
    order: BTreeMap<String, Vec<usize>>,
}

impl Locator {
    pub(super) fn insert(
        &mut self,
        address: Address,
        declaration: &BlockDeclaration,
        raw: &Value,
        schema: &KindSchema,
    ) {
        let mut order = BTreeMap::new();
        for (name, value) in raw.as_object().into_iter().flatten() {
            set_order(&schema.arguments, name, value, &mut order);
        }
        let entry = Entry { key: declaration.key.clone(), arguments: Arc::clone(&declaration.arguments), order };
        self.entries.insert(address, entry);
    }

    /// Returns the place of an argument, of its nearest ancestor in the text, or of the resource's name.
    pub fn locate(&self, address: &Address, path: &str) -> Option<Span> {
        let entry = self.entries.get(address)?;
        let mut node: &Node = &entry.arguments;
        let mut span = &entry.key;
        let mut at = String::new();
        for segment in segments(path) {
            let found = match &segment {
                Segment::Key(key) => node.entry(key),
                Segment::Index(index) => {
                    let index = entry.order.get(&at).and_then(|order| order.get(*index)).unwrap_or(index);
                    node.as_seq().and_then(|items| items.get(*index)).map(|item| (item, item))
                }
            };
            let Some((key, value)) = found else { break };
            at = match segment {
                Segment::Key(key) => crate::value::join_key(&at, key),
                Segment::Index(index) => join_index(&at, index),
            };
            let wide = matches!(value.value, NodeValue::Map(_) | NodeValue::Seq(_));
            let first = value.as_map().and_then(|entries| entries.first()).map(|(key, _)| &key.span);
            span = match (wide || value.is_null(), std::ptr::eq(key, value)) {
                (true, true) => first.unwrap_or(&value.span),
                (true, false) => &key.span,
                (false, _) => &value.span,
            };
            node = value;
        }
        Some(span.clone())
    }

    /// Returns the bytes that a location points at.
    pub fn resolve(&self, location: &Location) -> Option<Span> {
        match location {
            Location::Span(span) => Some(span.clone()),
            Location::Argument { address, path } => self.locate(address, path),
        }
    }
}

/// Records how sorting a set moves its items.
fn set_order(schema: &SchemaNode, path: &str, value: &Value, out: &mut BTreeMap<String, Vec<usize>>) {
    let is_set = schema.at(path).and_then(|node| node.get("x-set")).and_then(Value::as_bool) == Some(true);
    let Value::Array(items) = value else { return };
    if !is_set {
        return;
    }
    let wrap = |item: &Value| {
        let mut root = Value::Null;
        crate::value::set(&mut root, path, Value::Array(vec![item.clone()]));
        let normal = normalise(schema, &root);
        crate::value::get(&normal, path).map(|list| list[0].to_string()).unwrap_or_default()
    };
    let mut keys: Vec<(String, usize)> = items.iter().enumerate().map(|(index, item)| (wrap(item), index)).collect();
    keys.sort();
    keys.dedup_by(|a, b| a.0 == b.0);
    out.insert(path.to_owned(), keys.into_iter().map(|(_, index)| index).collect());
}
