//! What a loaded spec is: plain values, no text and no spans.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::deferred::{Deferred, DeferredError, resolve_with};
use crate::graph::Address;
use crate::kind::Scope;

/// A whole environment as the spec wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    pub scope: Scope,
    pub account: String,
    /// Where the state lies: a folder, or `s3://bucket/prefix`.
    pub state: String,
    pub controls: ControlsConfig,
    /// Tags on everything that takes tags.
    pub tags: BTreeMap<String, String>,
    /// The inputs' values, defaults included.
    pub inputs: BTreeMap<String, Value>,
    pub resources: BTreeMap<Address, Desired>,
    /// Outputs by name; markers stand for what is known only after apply.
    pub outputs: IndexMap<String, Value>,
    /// What `#n` markers in the outputs stand for.
    pub output_deferred: Vec<Deferred>,
    /// SHA-256 over all source texts and inputs, in hex.
    pub digest: String,
}

impl Environment {
    /// Returns the outputs with what is known by now.
    pub fn resolve_outputs(
        &self,
        lookup: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<IndexMap<String, Value>, DeferredError> {
        let entry =
            |(name, value): (&String, &Value)| Ok((name.clone(), resolve_with(value, &self.output_deferred, lookup)?));
        self.outputs.iter().map(entry).collect()
    }
}

/// One resource as the spec wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub address: Address,
    pub kind: String,
    /// The normal form, with defaults and the environment's tags under the resource's own.
    pub arguments: Value,
    /// The resources that have to exist first.
    pub references: BTreeSet<Address>,
    /// What the markers `#0`, `#1`, … in the arguments stand for; each needs only earlier ones.
    pub deferred: Vec<Deferred>,
    pub lifecycle: Lifecycle,
}

impl Desired {
    /// Returns the arguments with their markers replaced; `lookup` knows `address.path`. Unknown ones stay.
    ///
    /// # Errors
    /// Fails where a deferred expression does, given values that are known.
    pub fn resolve(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> Result<Value, DeferredError> {
        resolve_with(&self.arguments, &self.deferred, lookup)
    }
}

/// How a resource's changes are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    /// A plan that would delete or replace it is refused.
    pub prevent_destroy: bool,
    /// Paths of arguments whose differences are left alone.
    pub ignore: Vec<String>,
    /// It is replaced when one of these changes.
    pub replace_triggered_by: Vec<Trigger>,
    /// A replacement is made before the old one goes.
    pub create_before_destroy: bool,
    /// Says that data in it may be lost with it.
    pub allow_data_loss: bool,
}

/// Something whose change replaces a resource: another resource, or one argument of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub address: Address,
    /// Empty for any change.
    pub path: String,
}

/// What the checks are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlsConfig {
    pub framework: Option<String>,
    /// What a failed check of a severity does.
    pub gate: BTreeMap<String, Gate>,
    /// The waivers file, relative to the spec.
    pub waivers: Option<String>,
}

/// What a failed check does to a plan or a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    Block,
    Warn,
    Ignore,
}

/// Knows attributes of a resource before AWS made it, such as the ARN of a role whose name is given.
pub trait Predict {
    /// Returns an object of the attributes that follow from the arguments; the others are left out.
    fn predict(&self, address: &Address, arguments: &Value, scope: &Scope) -> Value;
}

/// Predicts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPredict;

impl Predict for NoPredict {
    fn predict(&self, _: &Address, _: &Value, _: &Scope) -> Value {
        Value::Null
    }
}
