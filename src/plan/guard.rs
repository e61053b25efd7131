//! Guards: what stands in the way of a deletion or a replacement.
//!
//! Two of them. `prevent_destroy` protects whatever it stands on, also when only the record still has it. What
//! holds data goes only where its loss is allowed at its address, or where a look into it found it empty. A guard
//! that is not certain refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Planner, Prior};
use super::matches_pattern;
use crate::diagnostic::Diagnostic;
use crate::graph::{Address, PhysicalId};
use crate::kind::Holding;
use crate::spec::Lifecycle;

/// What was found in resources that hold data, by address and id.
pub type Holdings = BTreeMap<(Address, PhysicalId), Holding>;

/// A resource that a plan would destroy with what it holds: address, kind and id.
pub type AtRisk = BTreeSet<(Address, String, PhysicalId)>;

impl Planner<'_> {
    /// Notes what stands in the way of deleting what an address has.
    pub(super) fn guard(&mut self, address: &Address, prior: &Prior, replaces: bool) {
        let how = if replaces { "replaced" } else { "deleted" };
        if let Some(problem) = self.protection(address, prior, how) {
            self.problems.push(problem);
        }
        self.guard_data(address, &prior.kind, &prior.lifecycle, &prior.id, how);
    }

    /// Notes that data would be lost with one of an address's resources, unless that is allowed.
    pub(super) fn guard_data(
        &mut self,
        address: &Address,
        kind: &str,
        recorded: &Lifecycle,
        id: &PhysicalId,
        how: &str,
    ) {
        let holds_data = self.input.kinds.get(kind).is_some_and(|schema| schema.holds_data);
        if !holds_data || self.may_lose_data(address, recorded) {
            return;
        }
        let what = match self.input.holds.get(&(address.clone(), id.clone())) {
            Some(Holding::Nothing) => return,
            Some(Holding::Data(what) | Holding::Always(what)) => format!("lost with it: {what}"),
            Some(Holding::Unknown(reason)) => format!("whether it is empty could not be looked at: {reason}"),
            None => {
                self.at_risk.insert((address.clone(), kind.to_owned(), id.clone()));
                "whether it is empty was not looked at".to_owned()
            }
        };
        let problem = Diagnostic::error("PLAN015", "a resource that holds data would be destroyed");
        let detail = format!("{address} ({id}) would be {how}; {what}");
        self.problems.push(match self.in_spec(address) {
            true => {
                problem.detail(detail).at_argument(address, "lifecycle", "the loss is not allowed here").help(format!(
                    "set `lifecycle: {{ allow_data_loss: true }}`, or pass `--allow-data-loss {}`",
                    quoted(address)
                ))
            }
            false => problem
                .detail(format!("{detail}\nits block is gone from the spec"))
                .help(format!("pass `--allow-data-loss {}`, or put the block back", quoted(address))),
        });
    }

    /// Tells whether the user allowed that what an address holds is lost.
    ///
    /// The spec's word counts where it has the address, the recorded one where it has it no more; the command's
    /// counts always.
    pub(super) fn may_lose_data(&self, address: &Address, recorded: &Lifecycle) -> bool {
        let named = self.input.selection.allow_data_loss.iter().any(|pattern| matches_pattern(address, pattern));
        let lifecycle = self.input.wanted.get(address).map_or(recorded, |wanted| &wanted.lifecycle);
        named || lifecycle.allow_data_loss
    }

    fn in_spec(&self, address: &Address) -> bool {
        self.input.wanted.contains_key(address)
    }

    fn protection(&self, address: &Address, prior: &Prior, how: &str) -> Option<Diagnostic> {
        let in_spec = self.input.wanted.get(address).map(|wanted| wanted.lifecycle.prevent_destroy);
        let problem = Diagnostic::error("PLAN005", "a protected resource would be destroyed");
        let would = format!("{address} ({}) would be {how}, and has `prevent_destroy`", prior.id);
        match in_spec {
            Some(true) => Some(
                problem
                    .detail(would)
                    .at_argument(address, "lifecycle", "protected here")
                    .help("set `lifecycle: { prevent_destroy: false }`, and apply that first"),
            ),
            _ if !prior.lifecycle.prevent_destroy => None,
            Some(false) => Some(
                problem
                    .detail(format!("{would} in the state: that the spec lifts it was not applied yet"))
                    .at_argument(address, "lifecycle", "not protected here any more")
                    .help("apply that first, without anything that deletes or replaces it"),
            ),
            None => {
                Some(problem.detail(format!("{would} in the state; its block is gone from the spec")).help(
                    "put the block back with `lifecycle: { prevent_destroy: false }`, apply that, then remove it",
                ))
            }
        }
    }
}

/// Writes an address so that a shell leaves it as it is.
fn quoted(address: &Address) -> String {
    let text = address.to_string();
    if text.contains(['[', '"']) { format!("'{text}'") } else { text }
}
