//! Plans: a pure function of what is wanted, what was recorded and what was observed.
//!
//! No I/O, no clock, no environment: the same input gives the same bytes. The plan carries every decision;
//! apply runs its steps in order and decides nothing.

mod build;
mod diff;
mod file;
mod guard;
mod order;
mod resolve;
mod room;
mod select;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use build::{Deposed, Input, Prior, Refusal, Wanted, build};
pub use diff::{FieldChange, Unread, compare};
pub use file::{FORMAT_VERSION, PlanFile, PlanFileError};
pub use guard::{AtRisk, Holdings};
pub use resolve::{Known, KnownResources, resolve_all};
pub use select::Selection;

use crate::graph::{Address, PhysicalId};
use crate::kind::{Scope, Seen};

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Update,
    /// A new one takes the old one's place.
    Replace,
    Delete,
    /// Only the record is dropped; the resource is gone already, or is to be left alone.
    Forget,
    NoOp,
}

/// Why it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Reason {
    /// The spec has it and AWS does not.
    New,
    /// It was there once and was deleted behind opora's back.
    Gone,
    /// Arguments differ from what AWS has.
    Differs,
    /// It takes what only one can have from a resource that is deleted: perhaps it is that one's new address.
    Takes { argument: String, from: Address },
    /// An argument that can't change in place differs.
    CannotUpdate { path: String },
    /// A resource that `replace_triggered_by` names changes.
    Triggered { by: Address },
    /// The spec has it no more.
    NotInSpec,
    /// An earlier run made it and did not finish it.
    Unfinished,
    /// It ended in a state that it does not leave.
    Broken { path: String, value: String },
    /// It waits for its deletion since its replacement was made.
    Deposed,
    /// All is destroyed.
    Destroy,
}

/// What happens to one address: what a reader of the plan looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub address: Address,
    pub kind: String,
    pub action: Action,
    pub reasons: Vec<Reason>,
    pub id: Option<PhysicalId>,
    pub fields: Vec<FieldChange>,
    /// Arguments that could not be read; taken as recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// Whether the new one is made before the old one is deleted.
    #[serde(default)]
    pub create_before_destroy: bool,
}

/// What a step does; a replacement is two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Create,
    Update,
    Delete,
    /// Drops the record, without a call.
    Forget,
    /// Renews the record where only it differs, without a writing call.
    Record,
}

/// One thing apply does, with all it needs for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub number: u32,
    pub kind: StepKind,
    pub address: Address,
    pub resource: String,
    /// The resource that is updated or deleted.
    pub id: Option<PhysicalId>,
    pub generation: u64,
    /// What is wanted, with markers for what is known only after earlier steps.
    pub arguments: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<crate::spec::Deferred>,
    /// Argument paths that change.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    pub references: BTreeSet<Address>,
    pub lifecycle: crate::spec::Lifecycle,
    /// Steps that have to be done before.
    pub after: BTreeSet<u32>,
    /// For a create whose predecessor is deleted later.
    #[serde(default)]
    pub deposes: bool,
    /// For an update of what an earlier run made and perhaps did not wait for.
    #[serde(default)]
    pub unfinished: bool,
}

/// All that is to be done, bound to what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub scope: Scope,
    pub spec_digest: String,
    pub changes: Vec<Change>,
    pub steps: Vec<Step>,
    /// The digest of every resource it was made from, and its id.
    pub bound: BTreeMap<Address, Bound>,
    /// What it leaves alone by `--target` and `--exclude`: it does not rest on that, and the checks look at all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<Address, Bound>,
    /// Whether it takes down what the spec describes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroy: bool,
    pub outputs: Value,
}

/// One observed resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    pub kind: String,
    pub id: PhysicalId,
    pub digest: String,
    /// What was observed, to say what changed since.
    pub seen: Seen,
}

/// How many addresses have each action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub delete: usize,
    pub forget: usize,
    pub unchanged: usize,
}

impl Plan {
    /// Tells whether there is anything to do in AWS or in the state.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.action == Action::NoOp)
    }

    /// Tells whether a step deletes what is replaced, before its successor is there.
    pub fn makes_way(&self, step: u32) -> bool {
        let is_way = |one: &&Step| one.number == step && one.kind == StepKind::Delete;
        let Some(deleted) = self.steps.iter().find(is_way) else { return false };
        let follows = |one: &Step| one.kind == StepKind::Create && one.after.contains(&step);
        self.steps.iter().any(|one| one.address == deleted.address && follows(one))
    }

    /// Counts the changes by action.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for change in &self.changes {
            let counter = match change.action {
                Action::Create => &mut counts.create,
                Action::Update => &mut counts.update,
                Action::Replace => &mut counts.replace,
                Action::Delete => &mut counts.delete,
                Action::Forget => &mut counts.forget,
                Action::NoOp => &mut counts.unchanged,
            };
            *counter += 1;
        }
        counts
    }

    /// Returns the changes as a reader wants them: replacements and deletions first.
    pub fn changes_for_reading(&self) -> Vec<&Change> {
        let rank = |action: Action| match action {
            Action::Replace => 0,
            Action::Delete => 1,
            Action::Forget => 2,
            Action::Update => 3,
            Action::Create => 4,
            Action::NoOp => 5,
        };
        let mut out: Vec<_> = self.changes.iter().filter(|change| change.action != Action::NoOp).collect();
        out.sort_by_key(|change| (rank(change.action), &change.address));
        out
    }
}

/// Tells whether an address is the one that a user named; without a key, all instances are meant.
fn matches_pattern(address: &Address, pattern: &Address) -> bool {
    let same = |a: &Address, b: &Address| a.module == b.module && a.kind == b.kind && a.name == b.name;
    same(address, pattern) && (pattern.key.is_none() || address.key == pattern.key)
}
