//! Turns decisions into numbered steps, each after all that it needs.
//!
//! A create or update comes after those of what it refers to. A delete comes after everything that referred
//! to it has let go: was deleted, or was updated. A replacement deletes first, unless it has to create first. What
//! only one can have, a name say, is taken after the one that has it has let go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::build::{Deposed, Prior};
use super::room::Room;
use super::{Action, Step, StepKind};
use crate::diagnostic::Diagnostic;
use crate::graph::{Address, Cycle, PhysicalId, topological};
use crate::kind::{KindSchemas, Place};
use crate::spec::{Deferred, Lifecycle};

/// What was decided for one address.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub action: Action,
    /// Whether it is an update of what an earlier run made and did not finish.
    pub unfinished: bool,
    /// Whether only the record has to be renewed.
    pub record: bool,
    pub resource: String,
    pub id: Option<PhysicalId>,
    pub generation: u64,
    pub arguments: Value,
    pub deferred: Vec<Deferred>,
    pub paths: BTreeSet<String>,
    pub references: BTreeSet<Address>,
    pub prior_references: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
    pub prior_lifecycle: Lifecycle,
    pub prior_generation: u64,
    pub prior_arguments: Value,
    pub create_before_destroy: bool,
    /// What it takes, and what it lets go, of what belongs to one resource of the kind at a time.
    pub takes: BTreeSet<String>,
    pub releases: BTreeSet<String>,
    /// What only one of the kind can have at a time: what it comes to have, and what it has no more.
    pub fills: Vec<Place>,
    pub frees: Vec<Place>,
}

impl Decision {
    /// Makes the decision to delete or forget.
    pub(super) fn removal(action: Action, prior: &Prior) -> Self {
        Self {
            action,
            unfinished: false,
            record: false,
            resource: prior.kind.clone(),
            id: Some(prior.id.clone()),
            generation: prior.generation,
            arguments: Value::Null,
            deferred: Vec::new(),
            paths: BTreeSet::new(),
            references: BTreeSet::new(),
            prior_references: prior.references.clone(),
            lifecycle: prior.lifecycle.clone(),
            prior_lifecycle: prior.lifecycle.clone(),
            prior_generation: prior.generation,
            prior_arguments: prior.arguments.clone(),
            create_before_destroy: false,
            takes: BTreeSet::new(),
            releases: BTreeSet::new(),
            fills: Vec::new(),
            frees: Vec::new(),
        }
    }

    /// The node by which it lets go of what it has.
    pub(super) fn lets_go(&self, address: &Address) -> Node {
        match (self.removes(), &self.id) {
            (Some(_), Some(id)) => Node::Remove(address.clone(), id.clone()),
            _ => Node::Make(address.clone()),
        }
    }

    fn makes(&self) -> Option<StepKind> {
        match self.action {
            Action::Create | Action::Replace => Some(StepKind::Create),
            Action::Update => Some(StepKind::Update),
            Action::NoOp if self.record => Some(StepKind::Record),
            Action::NoOp | Action::Delete | Action::Forget => None,
        }
    }

    fn removes(&self) -> Option<StepKind> {
        match self.action {
            Action::Replace | Action::Delete => Some(StepKind::Delete),
            Action::Forget => Some(StepKind::Forget),
            _ => None,
        }
    }
}

/// A node of the step graph; `Remove` carries the id, as an address can have several to delete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Make(Address),
    Remove(Address, PhysicalId),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(address) => write!(f, "make {address}"),
            Self::Remove(address, id) => write!(f, "delete {address} ({id})"),
        }
    }
}

/// The steps, and which of them take what others have today.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ordered {
    pub steps: Vec<Step>,
    /// What is made, with whose argument it takes, all of it.
    pub taken: Vec<(Address, Address, String)>,
}

pub(super) fn order(
    decisions: &BTreeMap<Address, Decision>,
    deposed: &[(&Address, Deposed)],
    kinds: &KindSchemas,
) -> Result<Ordered, Vec<Diagnostic>> {
    let mut needs: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for (address, decision) in decisions {
        if decision.makes().is_some() {
            let needed =
                decision.references.iter().filter(|needed| decisions.get(*needed).is_some_and(|d| d.makes().is_some()));
            needs.insert(Node::Make(address.clone()), needed.map(|needed| Node::Make(needed.clone())).collect());
        }
    }
    let held_by = users(decisions, |decision| &decision.prior_references);
    let users_of = |address: &Address| held_by.get(address).into_iter().flatten().copied();
    for (address, decision) in decisions {
        if decision.removes().is_none() {
            continue;
        }
        let Some(id) = &decision.id else { continue };
        let node = Node::Remove(address.clone(), id.clone());
        let mut before = letting_go(decision, users_of(address), decisions);
        if decision.action == Action::Replace {
            if decision.create_before_destroy {
                before.insert(Node::Make(address.clone()));
            } else {
                needs.entry(Node::Make(address.clone())).or_default().insert(node.clone());
            }
        }
        needs.insert(node, before);
    }
    remove_deposed(decisions, deposed, &held_by, &mut needs);
    let room = Room::make(decisions, deposed, kinds, &mut needs)?;
    // From here on, only what fits into the order so far.
    remove_deposed_in_order(deposed, &mut needs);
    hand_over(decisions, &mut needs);
    let order = topological(&needs).map_err(|cycle| refusal(cycle, &room, decisions))?;
    let numbers: BTreeMap<&Node, u32> = order.iter().zip(1..).collect();
    let step = |node: &Node| {
        let after = needs[node].iter().filter_map(|needed| numbers.get(needed).copied()).collect();
        make_step(node, numbers[node], after, decisions, deposed)
    };
    Ok(Ordered { steps: order.iter().map(step).collect(), taken: room.taken() })
}

/// What was replaced goes when its successor is there and all that used the address have turned to that, or are gone;
/// what it refers to goes after it.
fn remove_deposed(
    decisions: &BTreeMap<Address, Decision>,
    deposed: &[(&Address, Deposed)],
    held_by: &BTreeMap<&Address, Vec<&Address>>,
    needs: &mut BTreeMap<Node, BTreeSet<Node>>,
) {
    let removal = |address: &Address| {
        let decision = decisions.get(address).filter(|decision| decision.removes().is_some())?;
        Some(Node::Remove(address.clone(), decision.id.clone()?))
    };
    let wanted_by = users(decisions, |decision| &decision.references);
    for (address, old) in deposed {
        let node = Node::Remove((*address).clone(), old.id.clone());
        let users = [wanted_by.get(address), held_by.get(address)].into_iter().flatten().flatten();
        let made = users.clone().chain([address]).map(|user| Node::Make((*user).clone()));
        let gone = users.filter_map(|user| removal(user));
        let before = made.filter(|node| needs.contains_key(node)).chain(gone).collect();
        needs.insert(node.clone(), before);
        for used in old.references.iter().filter_map(removal) {
            needs.entry(used).or_default().insert(node.clone());
        }
    }
}

/// Of what was replaced, what refers to another goes before it.
fn remove_deposed_in_order(deposed: &[(&Address, Deposed)], needs: &mut BTreeMap<Node, BTreeSet<Node>>) {
    let node = |(address, old): &(&Address, Deposed)| Node::Remove((*address).clone(), old.id.clone());
    for used in deposed {
        for user in deposed.iter().filter(|(_, user)| user.references.contains(used.0)) {
            let (used, user) = (node(used), node(user));
            if used != user && !comes_after(&user, &used, needs) {
                needs.entry(used).or_default().insert(user);
            }
        }
    }
}

/// What goes from one resource to another goes in one call: who takes it comes before who lets go of it.
///
/// Where several pass things around in a ring, one of them has to let go first.
fn hand_over(decisions: &BTreeMap<Address, Decision>, needs: &mut BTreeMap<Node, BTreeSet<Node>>) {
    let mut takers: BTreeMap<(&str, &str), &Address> = BTreeMap::new();
    for (address, decision) in decisions {
        takers.extend(decision.takes.iter().map(|item| ((decision.resource.as_str(), item.as_str()), address)));
    }
    for (loser, decision) in decisions {
        let losing = decision.lets_go(loser);
        for item in &decision.releases {
            let taker = takers.get(&(decision.resource.as_str(), item.as_str())).filter(|taker| **taker != loser);
            let Some(taking) = taker.map(|taker| Node::Make((*taker).clone())) else { continue };
            let both = needs.contains_key(&taking) && needs.contains_key(&losing);
            if both && !comes_after(&taking, &losing, needs) {
                needs.entry(losing.clone()).or_default().insert(taking);
            }
        }
    }
}

/// Tells whether a node needs another one, directly or through others.
fn comes_after(node: &Node, other: &Node, needs: &BTreeMap<Node, BTreeSet<Node>>) -> bool {
    let (mut open, mut seen) = (vec![node], BTreeSet::new());
    while let Some(node) = open.pop() {
        if node == other {
            return true;
        }
        if seen.insert(node) {
            open.extend(needs.get(node).into_iter().flatten());
        }
    }
    false
}

/// Turns references around: each address with those that refer to it.
fn users<'a>(
    decisions: &'a BTreeMap<Address, Decision>,
    references: impl Fn(&'a Decision) -> &'a BTreeSet<Address>,
) -> BTreeMap<&'a Address, Vec<&'a Address>> {
    let mut out: BTreeMap<&Address, Vec<&Address>> = BTreeMap::new();
    for (user, decision) in decisions {
        for used in references(decision) {
            out.entry(used).or_default().push(user);
        }
    }
    out
}

/// Of everything that refers to a resource in AWS today, the steps by which it lets go.
fn letting_go<'a>(
    decision: &Decision,
    users: impl Iterator<Item = &'a Address>,
    decisions: &BTreeMap<Address, Decision>,
) -> BTreeSet<Node> {
    let mut out = BTreeSet::new();
    for user in users {
        let other = &decisions[user];
        match (other.removes(), &other.id) {
            (Some(_), Some(id)) => {
                out.insert(Node::Remove(user.clone(), id.clone()));
            }
            // An update can only let go of what is replaced when the new one is there already.
            _ if other.makes().is_some() && (decision.action != Action::Replace || decision.create_before_destroy) => {
                out.insert(Node::Make(user.clone()));
            }
            _ => {}
        }
    }
    out
}

fn make_step(
    node: &Node,
    number: u32,
    after: BTreeSet<u32>,
    decisions: &BTreeMap<Address, Decision>,
    deposed: &[(&Address, Deposed)],
) -> Step {
    match node {
        Node::Make(address) => {
            let decision = &decisions[address];
            let kind = decision.makes().expect("internal error: only makers have a make node");
            Step {
                number,
                kind,
                address: address.clone(),
                resource: decision.resource.clone(),
                id: if kind == StepKind::Create { None } else { decision.id.clone() },
                generation: decision.generation,
                arguments: decision.arguments.clone(),
                deferred: decision.deferred.clone(),
                paths: decision.paths.clone(),
                references: decision.references.clone(),
                lifecycle: decision.lifecycle.clone(),
                after,
                deposes: decision.action == Action::Replace && decision.create_before_destroy,
                unfinished: decision.unfinished,
            }
        }
        Node::Remove(address, id) => {
            let decision = decisions.get(address).filter(|decision| decision.id.as_ref() == Some(id));
            let (kind, resource, generation, arguments, lifecycle) = match decision {
                Some(old) => (
                    old.removes().expect("internal error: only removers have a remove node"),
                    &old.resource,
                    old.prior_generation,
                    &old.prior_arguments,
                    &old.prior_lifecycle,
                ),
                None => {
                    let old = deposed.iter().find(|(place, old)| (*place, &old.id) == (address, id));
                    let (_, old) = old.expect("internal error: what no decision removes is deposed");
                    (StepKind::Delete, &old.kind, old.generation, &old.arguments, &old.lifecycle)
                }
            };
            Step {
                number,
                kind,
                address: address.clone(),
                resource: resource.clone(),
                id: Some(id.clone()),
                generation,
                arguments: arguments.clone(),
                deferred: Vec::new(),
                paths: BTreeSet::new(),
                references: BTreeSet::new(),
                lifecycle: lifecycle.clone(),
                after,
                deposes: false,
                unfinished: false,
            }
        }
    }
}

fn refusal(Cycle(path): Cycle<Node>, room: &Room, decisions: &BTreeMap<Address, Decision>) -> Vec<Diagnostic> {
    let detail = path.iter().map(Node::to_string).collect::<Vec<_>>().join(" → ");
    let circle = room.circle(&path, decisions).unwrap_or_else(|| {
        Diagnostic::error("PLAN007", "the steps of the plan need each other in a circle")
            .help("set `create_before_destroy` on the resource that is replaced, or apply in two rounds")
    });
    vec![circle.detail(detail)]
}
