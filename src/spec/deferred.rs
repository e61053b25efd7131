//! Expressions that wait for values known only after apply.
//!
//! An entry carries all it needs, texts of policy fragments included, so a saved plan evaluates it without the spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::eval::{Binding, Evaluator, Outcome};
use crate::graph::Address;
use crate::value;

/// An expression, and the values it had at hand when the spec was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deferred {
    pub expression: String,
    /// The names it uses, with markers for what was unknown.
    pub variables: Map<String, Value>,
    /// The policy fragments and files it uses.
    pub texts: BTreeMap<String, String>,
    pub references: BTreeSet<Address>,
}

/// Says why a deferred expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeferredError {
    /// Something it needs is still unknown.
    #[error("`$({expression})` needs values that are not known yet")]
    StillUnknown { expression: String },
    /// The expression fails on the values it got.
    #[error("`$({expression})` failed: {reason}")]
    Failed { expression: String, reason: String },
}

/// Evaluates an entry; `lookup` gives the values of markers, those of earlier entries (`#0`) included.
///
/// # Errors
/// Fails where a marker it computes with has no value yet, or where the expression itself fails.
pub fn evaluate_deferred(entry: &Deferred, lookup: &dyn Fn(&str) -> Option<Value>) -> Result<Value, DeferredError> {
    let known = value::resolve(&Value::Object(entry.variables.clone()), &mut |reference| lookup(reference));
    let known = known.as_object().cloned().expect("internal error: resolving an object gives an object");
    let evaluator = Evaluator::new(known.clone());
    for (name, text) in &entry.texts {
        evaluator.provide(name, Ok(Arc::from(text.as_str())));
    }
    let bindings = known.into_iter().map(|(name, value)| (name, Binding::Value(Arc::new(value)))).collect();
    let expression = entry.expression.clone();
    match evaluator.evaluate(&entry.expression, &Arc::new(bindings)).0 {
        Outcome::Known(value) => Ok(value),
        Outcome::Deferred => Err(DeferredError::StillUnknown { expression }),
        Outcome::Failed(reason) => Err(DeferredError::Failed { expression, reason }),
    }
}

/// Replaces the markers of a value, those of deferred expressions too; unknown ones stay.
pub(super) fn resolve_with(
    value: &Value,
    table: &[Deferred],
    lookup: &dyn Fn(&str) -> Option<Value>,
) -> Result<Value, DeferredError> {
    let mut done: Vec<Option<Value>> = Vec::with_capacity(table.len());
    for entry in table {
        let with_earlier = |reference: &str| find(&done, reference, lookup);
        let result = match evaluate_deferred(entry, &with_earlier) {
            Ok(value) => Some(value),
            Err(DeferredError::StillUnknown { .. }) => None,
            Err(error) => return Err(error),
        };
        done.push(result);
    }
    Ok(value::resolve(value, &mut |reference| find(&done, reference, lookup)))
}

fn find(done: &[Option<Value>], reference: &str, lookup: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
    match reference.strip_prefix('#') {
        Some(number) => done.get(number.parse::<usize>().ok()?)?.clone(),
        None => lookup(reference),
    }
}

/// Collects the entries that values use from a table of the whole load, and numbers them anew from 0.
pub(super) fn renumber(values: &mut [&mut Value], all: &[Deferred]) -> Vec<Deferred> {
    let mut order = Vec::new();
    for value in values.iter() {
        visit(value, all, &mut order);
    }
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let rename = |value: &Value| {
        value::resolve(value, &mut |reference| {
            let old = reference.strip_prefix('#')?.parse::<usize>().ok()?;
            Some(Value::from(value::unknown(&format!("#{}", place.get(&old)?))))
        })
    };
    for value in values {
        **value = rename(value);
    }
    let entry = |old: &usize| {
        let mut entry = all[*old].clone();
        if let Value::Object(variables) = rename(&Value::Object(std::mem::take(&mut entry.variables))) {
            entry.variables = variables;
        }
        entry
    };
    order.iter().map(entry).collect()
}

fn visit(value: &Value, all: &[Deferred], order: &mut Vec<usize>) {
    let mut found = Vec::new();
    value::resolve(value, &mut |reference| {
        found.extend(reference.strip_prefix('#').and_then(|number| number.parse::<usize>().ok()));
        None
    });
    for id in found {
        if let Some(entry) = all.get(id)
            && !order.contains(&id)
        {
            visit(&Value::Object(entry.variables.clone()), all, order);
            order.push(id);
        }
    }
}
