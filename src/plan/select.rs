//! Which addresses a plan is about: `--target` with all that these need, `--exclude` with all that needs them.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Input;
use super::matches_pattern;
use crate::diagnostic::Diagnostic;
use crate::graph::Address;

/// Which addresses a plan is about, and which of them may lose what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These and all that they need; empty for all.
    pub target: Vec<Address>,
    /// Not these, and nothing that needs them.
    pub exclude: Vec<Address>,
    /// What these hold may be lost, whatever the spec says.
    pub allow_data_loss: Vec<Address>,
}

/// Returns the selected addresses, or `None` for all.
pub(super) fn select(input: &Input<'_>) -> Result<Option<BTreeSet<Address>>, Vec<Diagnostic>> {
    let selection = input.selection;
    let all: BTreeSet<&Address> = input.wanted.keys().chain(input.prior.keys()).chain(input.deposed.keys()).collect();
    let matching = |pattern: &Address| -> BTreeSet<Address> {
        all.iter().filter(|address| matches_pattern(address, pattern)).map(|address| (*address).clone()).collect()
    };
    let mut problems = Vec::new();
    for pattern in selection.target.iter().chain(&selection.exclude).chain(&selection.allow_data_loss) {
        if matching(pattern).is_empty() {
            problems.push(
                Diagnostic::error("PLAN008", "no resource has this address")
                    .detail(format!("`{pattern}` is neither in the spec nor in the state"))
                    .help("`opora state list` and `opora graph` show the addresses"),
            );
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if selection.target.is_empty() && selection.exclude.is_empty() {
        return Ok(None);
    }
    let references = |address: &Address| -> BTreeSet<Address> {
        let wanted = input.wanted.get(address).map(|wanted| &wanted.references);
        let prior = input.prior.get(address).map(|prior| &prior.references);
        wanted.into_iter().chain(prior).flatten().cloned().collect()
    };
    let mut used_by: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for user in &all {
        for used in references(user) {
            used_by.entry(used).or_default().insert((*user).clone());
        }
    }
    let users = |address: &Address| used_by.get(address).cloned().unwrap_or_default();
    let mut selected: BTreeSet<Address> = if selection.target.is_empty() {
        all.iter().map(|address| (*address).clone()).collect()
    } else {
        let targets = selection.target.iter().flat_map(&matching).collect();
        // A delete needs what refers to it gone; everything else needs what it refers to.
        if input.destroy { closure(targets, users) } else { closure(targets, references) }
    };
    let excluded: BTreeSet<Address> = selection.exclude.iter().flat_map(&matching).collect();
    let excluded = if input.destroy { closure(excluded, references) } else { closure(excluded, users) };
    selected.retain(|address| !excluded.contains(address));
    Ok(Some(selected))
}

fn closure(start: BTreeSet<Address>, next: impl Fn(&Address) -> BTreeSet<Address>) -> BTreeSet<Address> {
    let mut out = BTreeSet::new();
    let mut open: Vec<Address> = start.into_iter().collect();
    while let Some(address) = open.pop() {
        if out.insert(address.clone()) {
            open.extend(next(&address));
        }
    }
    out
}
