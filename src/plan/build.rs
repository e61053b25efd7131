//! Decides what happens to each address.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::diff::{Comparison, compare};
use super::guard::{AtRisk, Holdings};
use super::order::{self, Decision};
use super::resolve::{Known, KnownResources, resolve_all};
use super::select::{Selection, select};
use super::{Action, Bound, Change, Plan, Reason, matches_pattern};
use crate::diagnostic::Diagnostic;
use crate::graph::{Address, Cycle, PhysicalId, topological};
use crate::kind::{KindSchema, KindSchemas, Owner, Place, Scope, Seen, SeenResource, normalise};
use crate::spec::{Deferred, Lifecycle, Trigger};

/// What the spec wants of one resource, in the normal form.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub kind: String,
    pub arguments: Value,
    pub deferred: Vec<Deferred>,
    pub references: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
}

/// What the state recorded of one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    pub kind: String,
    pub id: PhysicalId,
    pub generation: u64,
    /// What the spec set when it was last applied.
    pub arguments: Value,
    pub attributes: Value,
    pub references: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
    /// Whether the run that made it finished it.
    pub complete: bool,
}

/// A predecessor that an interrupted replacement left: it waits for its deletion, whatever holds its address now.
#[derive(Debug, Clone, PartialEq)]
pub struct Deposed {
    pub kind: String,
    pub id: PhysicalId,
    pub generation: u64,
    /// What was known of it while it held the address; empty where that is lost.
    pub arguments: Value,
    pub references: BTreeSet<Address>,
    pub lifecycle: Lifecycle,
}

/// Predicts attributes before a create: kind, arguments, owner.
pub type Predict<'a> = dyn Fn(&str, &Value, &Owner) -> Map<String, Value> + 'a;

/// All that a plan is made from.
pub struct Input<'a> {
    pub scope: &'a Scope,
    pub spec_digest: &'a str,
    pub wanted: &'a BTreeMap<Address, Wanted>,
    pub prior: &'a BTreeMap<Address, Prior>,
    pub deposed: &'a BTreeMap<Address, Vec<Deposed>>,
    /// What was read of each recorded resource.
    pub seen: &'a BTreeMap<Address, Seen>,
    /// What was found in those that hold data; see [`Refusal::at_risk`].
    pub holds: &'a Holdings,
    pub kinds: &'a KindSchemas,
    pub predict: &'a Predict<'a>,
    pub selection: &'a Selection,
    /// Whether all is to be destroyed.
    pub destroy: bool,
    pub outputs: &'a Value,
    /// The highest generation that each address ever had.
    pub generations: &'a BTreeMap<Address, u64>,
}

/// Why there is no plan.
#[derive(Debug)]
pub struct Refusal {
    /// Everything that stands in the way.
    pub problems: Vec<Diagnostic>,
    /// What the plan would destroy with what it holds, nobody allowed, and was not looked into: with a look into
    /// these the plan may stand.
    pub at_risk: AtRisk,
}

impl From<Vec<Diagnostic>> for Refusal {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self { problems, at_risk: AtRisk::new() }
    }
}

/// Makes a plan.
///
/// # Errors
/// Returns everything that stands in the way, at once.
pub fn build(input: &Input<'_>) -> Result<Plan, Refusal> {
    let mut planner = Planner::new(input)?;
    for address in planner.wanted_order()? {
        planner.decide_wanted(&address);
    }
    for (address, deposed) in input.deposed {
        planner.decide_deposed(address, deposed);
    }
    for (address, prior) in input.prior {
        if input.destroy || !input.wanted.contains_key(address) {
            planner.decide_unwanted(address, prior);
        }
    }
    planner.finish()
}

pub(super) struct Planner<'a> {
    pub(super) input: &'a Input<'a>,
    selected: Option<BTreeSet<Address>>,
    create_before_destroy: BTreeSet<Address>,
    known: KnownResources,
    changes: Vec<Change>,
    decisions: BTreeMap<Address, Decision>,
    bound: BTreeMap<Address, Bound>,
    pub(super) problems: Vec<Diagnostic>,
    /// What would be destroyed, holds data, and was not looked into.
    pub(super) at_risk: AtRisk,
}

impl<'a> Planner<'a> {
    fn new(input: &'a Input<'a>) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self {
            input,
            selected: select(input)?,
            create_before_destroy: create_before_destroy(input.wanted),
            known: KnownResources::default(),
            changes: Vec::new(),
            decisions: BTreeMap::new(),
            bound: BTreeMap::new(),
            problems: Vec::new(),
            at_risk: AtRisk::new(),
        })
    }

    fn wanted_order(&self) -> Result<Vec<Address>, Vec<Diagnostic>> {
        if self.input.destroy {
            return Ok(Vec::new());
        }
        let needs = |(address, wanted): (&Address, &Wanted)| (address.clone(), wanted.references.clone());
        topological(&self.input.wanted.iter().map(needs).collect()).map_err(|Cycle(path)| {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            vec![Diagnostic::error("PLAN007", "reference cycle").detail(path.join(" → "))]
        })
    }

    fn is_selected(&self, address: &Address) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected.contains(address))
    }

    fn schema(&mut self, address: &Address, kind: &str) -> Option<&'a KindSchema> {
        let schema = self.input.kinds.get(kind);
        if schema.is_none() {
            let detail = format!("{address} has the kind `{kind}`, which this opora does not know");
            self.problems.push(Diagnostic::error("PLAN011", "unknown kind in the state").detail(detail));
        }
        schema
    }

    /// Returns what was seen under an address, and binds the plan to it.
    fn look(&mut self, address: &Address, prior: &Prior) -> Option<&'a Seen> {
        let seen = self.input.seen.get(address);
        match seen {
            Some(Seen::Unreadable { reason }) => {
                let detail = format!("{address} ({}): {reason}", prior.id);
                self.problems.push(
                    Diagnostic::error("PLAN004", "a resource could not be read, so nothing can be planned for it")
                        .detail(detail)
                        .at_argument(address, "", "this one")
                        .help("grant the read, or leave it out with `--exclude`"),
                );
                None
            }
            Some(seen) => {
                self.bound.insert(address.clone(), bound(prior, seen));
                Some(seen)
            }
            None => {
                let detail = format!("{address} ({}) was not read", prior.id);
                self.problems.push(
                    Diagnostic::error("PLAN004", "a resource could not be read, so nothing can be planned for it")
                        .detail(detail),
                );
                None
            }
        }
    }

    fn decide_wanted(&mut self, address: &Address) {
        let wanted = &self.input.wanted[address];
        let prior = self.input.prior.get(address);
        if !self.is_selected(address) {
            if let Some(prior) = prior {
                let attributes =
                    self.input.seen.get(address).and_then(Seen::present).map(|seen| seen.attributes.clone());
                let attributes = attributes.unwrap_or_else(|| prior.attributes.clone());
                self.known.0.insert(address.clone(), Known { arguments: prior.arguments.clone(), attributes });
            }
            return;
        }
        let Some(schema) = self.schema(address, &wanted.kind) else { return };
        // Sets are sorted again: their order was that of the markers.
        let arguments = resolve_all(&wanted.arguments, &wanted.deferred, &self.known);
        let arguments = normalise(&schema.arguments, &arguments);
        let Some(prior) = prior else {
            self.create(address, wanted, arguments, Reason::New, None);
            return;
        };
        let Some(seen) = self.look(address, prior) else { return };
        match seen {
            Seen::Present(resource) => self.decide_present(address, wanted, schema, arguments, prior, resource),
            _ => self.create(address, wanted, arguments, Reason::Gone, Some(prior)),
        }
    }

    fn decide_present(
        &mut self,
        address: &Address,
        wanted: &Wanted,
        schema: &KindSchema,
        arguments: Value,
        prior: &Prior,
        seen: &SeenResource,
    ) {
        let recorded = prior.complete.then_some(&prior.arguments);
        let mut comparison = compare(schema, &arguments, &seen.arguments, recorded, &wanted.lifecycle.ignore);
        self.compare_owner(address, schema, prior, seen, &mut comparison);
        let mut reasons: Vec<Reason> = comparison
            .changes
            .iter()
            .filter(|change| change.replaces)
            .map(|change| Reason::CannotUpdate { path: change.path.clone() })
            .collect();
        reasons.extend(self.triggers(wanted));
        let broken = schema.attributes.broken(&seen.attributes);
        reasons.extend(broken.map(|(path, value)| Reason::Broken { path: path.to_owned(), value: value.to_owned() }));
        let action = if !reasons.is_empty() {
            Action::Replace
        } else if comparison.changes.is_empty() && prior.complete {
            Action::NoOp
        } else {
            reasons.push(if prior.complete { Reason::Differs } else { Reason::Unfinished });
            Action::Update
        };
        if action == Action::Replace {
            self.guard(address, prior, true);
        }
        let generation = if action == Action::Replace { self.next_generation(address) } else { prior.generation };
        let attributes = match action {
            Action::Replace => self.predicted(wanted, &arguments, address, generation),
            Action::Update => stable_attributes(schema, &seen.attributes),
            _ => seen.attributes.clone(),
        };
        self.known.0.insert(address.clone(), Known { arguments: arguments.clone(), attributes });
        let record = action == Action::NoOp && record_differs(wanted, &arguments, prior, seen);
        let paths: BTreeSet<String> = comparison.changes.iter().map(|change| change.path.clone()).collect();
        let create_before_destroy = self.create_before_destroy.contains(address);
        let (new, old) = (schema.arguments.claimed(&arguments), schema.arguments.claimed(&seen.arguments));
        let claimed = match action {
            Action::Replace => (new, old),
            _ => (new.difference(&old).cloned().collect(), old.difference(&new).cloned().collect()),
        };
        let (fills, frees) = match action {
            Action::Replace => (schema.places(&arguments), had(schema, seen, prior)),
            Action::Update => moved(schema, &seen.arguments, &arguments, &paths),
            _ => (Vec::new(), Vec::new()),
        };
        let decision = Decision {
            action,
            unfinished: action == Action::Update && !prior.complete,
            record,
            resource: wanted.kind.clone(),
            id: Some(prior.id.clone()),
            generation,
            arguments,
            deferred: wanted.deferred.clone(),
            paths,
            references: wanted.references.clone(),
            prior_references: prior.references.clone(),
            lifecycle: wanted.lifecycle.clone(),
            prior_lifecycle: self.removed_lifecycle(address, &prior.lifecycle),
            prior_generation: prior.generation,
            prior_arguments: prior.arguments.clone(),
            create_before_destroy,
            takes: claimed.0,
            releases: claimed.1,
            fills,
            frees,
        };
        self.decisions.insert(address.clone(), decision);
        self.changes.push(Change {
            address: address.clone(),
            kind: wanted.kind.clone(),
            action,
            reasons,
            id: Some(prior.id.clone()),
            fields: comparison.changes,
            unread: comparison.unread,
            create_before_destroy: create_before_destroy && action == Action::Replace,
        });
    }

    /// Sees to it that the resource carries its ownership tags, and that it is nobody else's.
    fn compare_owner(
        &mut self,
        address: &Address,
        schema: &KindSchema,
        prior: &Prior,
        seen: &SeenResource,
        out: &mut Comparison,
    ) {
        let tags_unread = out.unread.iter().any(|unread| unread.path == "tags");
        if !schema.takes_tags() || tags_unread {
            return;
        }
        let expected = Owner::new(&self.input.scope.environment, address, prior.generation);
        match &seen.owner {
            Some(owner) if *owner == expected => {}
            Some(owner) if owner.environment != expected.environment => {
                let detail =
                    format!("{address} ({}) carries the tags of the environment `{}`", prior.id, owner.environment);
                self.problems.push(
                    Diagnostic::error("PLAN006", "the resource belongs to another environment")
                        .detail(detail)
                        .help("release it there first: `opora state rm ADDRESS` in that environment"),
                );
            }
            other => out.changes.push(super::FieldChange {
                path: "tags".to_owned(),
                before: other.as_ref().map(|owner| Value::from(format!("opora:address = {}", owner.address))),
                after: Some(Value::from(format!("opora:address = {}", expected.address))),
                replaces: false,
            }),
        }
    }

    fn next_generation(&self, address: &Address) -> u64 {
        self.input.generations.get(address).map_or(1, |highest| highest + 1)
    }

    fn triggers(&self, wanted: &Wanted) -> Vec<Reason> {
        let below = |changed: &String, path: &str| {
            path.is_empty()
                || changed.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let changes = |trigger: &&Trigger| {
            // An address without a key comes right before those with one.
            let named = self.decisions.range(&trigger.address..);
            named.take_while(|(changed, _)| matches_pattern(changed, &trigger.address)).any(|(_, decision)| {
                match decision.action {
                    Action::Create | Action::Replace => true,
                    Action::Update => decision.paths.iter().any(|path| below(path, &trigger.path)),
                    Action::Delete | Action::Forget | Action::NoOp => false,
                }
            })
        };
        let triggers = wanted.lifecycle.replace_triggered_by.iter().filter(changes);
        triggers.map(|trigger| Reason::Triggered { by: trigger.address.clone() }).collect()
    }

    fn predicted(&self, wanted: &Wanted, arguments: &Value, address: &Address, generation: u64) -> Value {
        let owner = Owner::new(&self.input.scope.environment, address, generation);
        Value::Object((self.input.predict)(&wanted.kind, arguments, &owner))
    }

    fn create(&mut self, address: &Address, wanted: &Wanted, arguments: Value, reason: Reason, prior: Option<&Prior>) {
        let generation = self.next_generation(address);
        let attributes = self.predicted(wanted, &arguments, address, generation);
        self.known.0.insert(address.clone(), Known { arguments: arguments.clone(), attributes });
        let fields = arguments.as_object().into_iter().flatten().map(|(path, value)| super::FieldChange {
            path: path.clone(),
            before: None,
            after: Some(value.clone()),
            replaces: false,
        });
        self.changes.push(Change {
            address: address.clone(),
            kind: wanted.kind.clone(),
            action: Action::Create,
            reasons: vec![reason],
            id: None,
            fields: fields.collect(),
            unread: Vec::new(),
            create_before_destroy: false,
        });
        let schema = self.input.kinds.get(&wanted.kind);
        let takes = schema.map(|schema| schema.arguments.claimed(&arguments)).unwrap_or_default();
        let fills = schema.map(|schema| schema.places(&arguments)).unwrap_or_default();
        let decision = Decision {
            action: Action::Create,
            unfinished: false,
            record: false,
            resource: wanted.kind.clone(),
            id: None,
            generation,
            arguments,
            deferred: wanted.deferred.clone(),
            paths: BTreeSet::new(),
            references: wanted.references.clone(),
            prior_references: prior.map(|prior| prior.references.clone()).unwrap_or_default(),
            lifecycle: wanted.lifecycle.clone(),
            prior_lifecycle: Lifecycle::default(),
            prior_generation: generation.saturating_sub(1),
            prior_arguments: Value::Null,
            create_before_destroy: false,
            takes,
            releases: BTreeSet::new(),
            fills,
            frees: Vec::new(),
        };
        self.decisions.insert(address.clone(), decision);
    }

    fn decide_unwanted(&mut self, address: &Address, prior: &Prior) {
        if !self.is_selected(address) || self.schema(address, &prior.kind).is_none() {
            return;
        }
        let Some(seen) = self.look(address, prior) else { return };
        let action = if seen.present().is_some() { Action::Delete } else { Action::Forget };
        if action == Action::Delete {
            self.guard(address, prior, false);
        }
        let reason = match (action, self.input.destroy) {
            (Action::Forget, _) => Reason::Gone,
            (_, true) => Reason::Destroy,
            (_, false) => Reason::NotInSpec,
        };
        self.changes.push(Change {
            address: address.clone(),
            kind: prior.kind.clone(),
            action,
            reasons: vec![reason],
            id: Some(prior.id.clone()),
            fields: Vec::new(),
            unread: Vec::new(),
            create_before_destroy: false,
        });
        let mut decision = Decision::removal(action, prior);
        decision.prior_lifecycle = self.removed_lifecycle(address, &prior.lifecycle);
        if let (Some(schema), Some(seen)) = (self.input.kinds.get(&prior.kind), seen.present()) {
            decision.releases = schema.arguments.claimed(&seen.arguments);
            decision.frees = had(schema, seen, prior);
        }
        self.decisions.insert(address.clone(), decision);
    }

    fn decide_deposed(&mut self, address: &Address, deposed: &[Deposed]) {
        if !self.is_selected(address) {
            return;
        }
        for old in deposed {
            self.guard_data(address, &old.kind, &old.lifecycle, &old.id, "deleted, having been replaced");
            self.changes.push(Change {
                address: address.clone(),
                kind: old.kind.clone(),
                action: Action::Delete,
                reasons: vec![Reason::Deposed],
                id: Some(old.id.clone()),
                fields: Vec::new(),
                unread: Vec::new(),
                create_before_destroy: false,
            });
        }
    }

    /// The lifecycle by which what an address has is deleted.
    fn removed_lifecycle(&self, address: &Address, recorded: &Lifecycle) -> Lifecycle {
        Lifecycle { allow_data_loss: self.may_lose_data(address, recorded), ..recorded.clone() }
    }

    fn finish(self) -> Result<Plan, Refusal> {
        if !self.problems.is_empty() {
            return Err(Refusal { problems: self.problems, at_risk: self.at_risk });
        }
        let mut deposed = Vec::new();
        for (address, all) in self.input.deposed.iter().filter(|(address, _)| self.is_selected(address)) {
            let one = |old: &Deposed| {
                (address, Deposed { lifecycle: self.removed_lifecycle(address, &old.lifecycle), ..old.clone() })
            };
            deposed.extend(all.iter().map(one));
        }
        let order::Ordered { steps, taken } = order::order(&self.decisions, &deposed, self.input.kinds)?;
        let left_alone = self.input.prior.iter().filter(|(address, _)| !self.is_selected(address));
        let beside = left_alone
            .filter_map(|(address, prior)| Some((address.clone(), bound(prior, self.input.seen.get(address)?))))
            .collect();
        let mut changes = self.changes;
        // What is deleted here and made there is one thing to AWS, and perhaps to the user.
        let goes = |from: &Address| self.decisions.get(from).is_some_and(|decision| decision.action == Action::Delete);
        let mut taken: BTreeMap<_, _> = taken.into_iter().map(|(taker, from, what)| (taker, (from, what))).collect();
        for change in changes.iter_mut().filter(|change| change.action == Action::Create) {
            if let Some((from, argument)) = taken.remove(&change.address).filter(|(from, _)| goes(from)) {
                change.reasons.push(Reason::Takes { argument, from });
            }
        }
        changes.sort_by(|a, b| (&a.address, a.action).cmp(&(&b.address, b.action)));
        Ok(Plan {
            scope: self.input.scope.clone(),
            spec_digest: self.input.spec_digest.to_owned(),
            changes,
            steps,
            bound: self.bound,
            beside,
            destroy: self.input.destroy,
            outputs: self.input.outputs.clone(),
        })
    }
}

fn bound(prior: &Prior, seen: &Seen) -> Bound {
    Bound { kind: prior.kind.clone(), id: prior.id.clone(), digest: seen.digest(), seen: seen.clone() }
}

/// Attributes that an update in place leaves as they are.
fn stable_attributes(schema: &KindSchema, attributes: &Value) -> Value {
    let stable = attributes.as_object().into_iter().flatten().filter(|(name, _)| !schema.attributes.is_volatile(name));
    Value::Object(stable.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Returns what a resource has for itself alone; AWS does not give back all that decides how long it keeps it.
fn had(schema: &KindSchema, seen: &SeenResource, prior: &Prior) -> Vec<Place> {
    let mut arguments = seen.arguments.clone();
    for (name, _) in schema.arguments.properties().filter(|(name, _)| schema.arguments.is_local(name)) {
        arguments[name] = prior.arguments.get(name).cloned().unwrap_or_default();
    }
    schema.places(&arguments)
}

/// Returns what an update of these paths comes to have for itself alone, and what it lets go of.
fn moved(schema: &KindSchema, seen: &Value, wanted: &Value, paths: &BTreeSet<String>) -> (Vec<Place>, Vec<Place>) {
    let mut after = seen.clone();
    for top in paths.iter().filter_map(|path| path.split(['.', '[']).next()) {
        after[top] = wanted.get(top).cloned().unwrap_or_default();
    }
    let (old, new) = (schema.places(seen), schema.places(&after));
    let beyond = |some: &[Place], others: &[Place]| -> Vec<Place> {
        some.iter().filter(|place| !others.iter().any(|other| other.meets(place))).cloned().collect()
    };
    (beyond(&new, &old), beyond(&old, &new))
}

fn record_differs(wanted: &Wanted, arguments: &Value, prior: &Prior, seen: &SeenResource) -> bool {
    prior.arguments != *arguments
        || prior.attributes != seen.attributes
        || prior.references != wanted.references
        || prior.lifecycle != wanted.lifecycle
}

/// What must be made before it is destroyed pulls all that it refers to along: they are replaced in its order.
fn create_before_destroy(wanted: &BTreeMap<Address, Wanted>) -> BTreeSet<Address> {
    let mut out = BTreeSet::new();
    let marked = wanted.iter().filter(|(_, wanted)| wanted.lifecycle.create_before_destroy);
    let mut open: Vec<Address> = marked.map(|(address, _)| address.clone()).collect();
    while let Some(address) = open.pop() {
        if let Some(resource) = wanted.get(&address)
            && out.insert(address)
        {
            open.extend(resource.references.iter().cloned());
        }
    }
    out
}
