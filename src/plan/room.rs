//! What only one resource can have is taken after the one that has it has let go.
//!
//! A subnet's range, a name, an alias: where one resource of a plan lets go of it and another comes to have it, the
//! second waits. Where it can't wait, because the first lets go only after it, AWS would refuse it, and the plan is.

use std::collections::{BTreeMap, BTreeSet};

use super::Action;
use super::build::Deposed;
use super::order::{Decision, Node};
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::kind::{KindSchemas, Place};

/// Which step waits for which other one, and for what.
#[derive(Debug, Default)]
pub(super) struct Room(BTreeMap<(Node, Node), Place>);

impl Room {
    /// Has each step that takes something wait for the one that lets go of it.
    ///
    /// # Errors
    /// Returns what can't be taken in this plan, as it stays its holder's after the deletion.
    pub fn make(
        decisions: &BTreeMap<Address, Decision>,
        deposed: &[(&Address, Deposed)],
        kinds: &KindSchemas,
        needs: &mut BTreeMap<Node, BTreeSet<Node>>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut freed: BTreeMap<(&str, String), Vec<(Node, Place)>> = BTreeMap::new();
        let mut free = |kind, node: &Node, places: Vec<Place>| {
            for place in places {
                freed.entry((kind, place.key())).or_default().push((node.clone(), place));
            }
        };
        for (address, decision) in decisions {
            free(&decision.resource, &decision.lets_go(address), decision.frees.clone());
        }
        for (address, old) in deposed {
            let places = kinds.get(&old.kind).map(|schema| schema.places(&old.arguments)).unwrap_or_default();
            free(&old.kind, &Node::Remove((*address).clone(), old.id.clone()), places);
        }
        let (mut out, mut problems) = (Self::default(), Vec::new());
        for (address, decision) in decisions {
            let taking = Node::Make(address.clone());
            for place in &decision.fills {
                let before = freed.get(&(decision.resource.as_str(), place.key())).into_iter().flatten();
                for (freeing, old) in before.filter(|(node, old)| *node != taking && old.meets(place)) {
                    if let (Node::Remove(holder, _), true) = (freeing, old.kept_days > 0) {
                        problems.push(kept(address, holder, old));
                    }
                    if needs.contains_key(freeing) && needs.entry(taking.clone()).or_default().insert(freeing.clone()) {
                        out.0.insert((taking.clone(), freeing.clone()), place.clone());
                    }
                }
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    /// Returns what is made, whose name or attachment it takes, and by which argument.
    pub fn taken(&self) -> Vec<(Address, Address, String)> {
        let named = self.0.iter().filter(|(_, place)| place.is_given() && place.range().is_none());
        let named = named.filter_map(|((taking, freeing), place)| match (taking, freeing) {
            (Node::Make(taker), Node::Remove(holder, _)) => {
                Some((taker.clone(), holder.clone(), place.argument.clone()))
            }
            _ => None,
        });
        named.collect()
    }

    /// Says why the steps of a circle can't be done, where one of them waits for room.
    pub fn circle(&self, path: &[Node], decisions: &BTreeMap<Address, Decision>) -> Option<Diagnostic> {
        let (taking, freeing, place) = path.windows(2).find_map(|pair| {
            let waits = (pair[0].clone(), pair[1].clone());
            let place = self.0.get(&waits)?;
            Some((waits.0, waits.1, place))
        })?;
        let (Node::Make(taker) | Node::Remove(taker, _)) = &taking;
        let (Node::Make(holder) | Node::Remove(holder, _)) = &freeing;
        let argument = place.argument.as_str();
        let two_rounds = match argument {
            "" => format!("apply in two rounds: first without {taker}"),
            argument => format!("apply in two rounds: first with another `{argument}` for {taker}"),
        };
        let help = match decisions.get(holder).map(|decision| decision.action) {
            _ if taker == holder => format!("let `{argument}` be another one, or leave `create_before_destroy` out"),
            Some(Action::Delete) => format!("{}; or {two_rounds}", keeps(holder, taker)),
            _ => two_rounds,
        };
        let label = format!("{place} is that of {holder}, which lets go of it only after {taker} is there");
        Some(refusal(taker, place, label).help(help))
    }
}

fn refusal(taker: &Address, place: &Place, label: String) -> Diagnostic {
    Diagnostic::error("PLAN017", "what is to be made needs what goes only after it").at_argument(
        taker,
        place.argument.as_str(),
        label,
    )
}

fn keeps(holder: &Address, taker: &Address) -> String {
    format!("`opora state mv {holder} {taker}` keeps what is there under its new address")
}

fn kept(taker: &Address, holder: &Address, place: &Place) -> Diagnostic {
    let (keep, first) = match taker == holder {
        true => (format!("give it another `{}`", place.argument), "set its days of waiting to 0".to_owned()),
        false => (keeps(holder, taker), format!("bring {holder} back with 0 days of waiting")),
    };
    refusal(taker, place, format!("{place} stays that of {holder} for {} days after its deletion", place.kept_days))
        .help(format!("{keep}; or {first}, apply, and then make this change"))
}
