//! Finds again what an environment has in AWS, for a state that was lost.
//!
//! Resources are taken by their ownership tags alone; kinds that take no tags by what their own `find` recognises
//! from the spec. Nothing of another environment and nothing untagged is ever taken, and what could not be looked
//! at is told and never left out silently. Writes nothing: it returns what a record of each would say.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::{client_token, lifecycle_value, observe};
use crate::aws::resource::{Creation, Fields, Kind, SecretValues};
use crate::aws::tags::Owner;
use crate::aws::{Aws, AwsError};
use crate::graph::{Address, PhysicalId, topological};
use crate::kind::{KindSchema, Scope, Seen, SeenResource, normalise};
use crate::plan::{Known, KnownResources, Wanted, compare, resolve_all};
use crate::state::{Entry, RunId, State};
use crate::value::has_unknown;

/// What the search works with.
pub struct Search<'a> {
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub kinds: Vec<&'static dyn Kind>,
    pub wanted: &'a BTreeMap<Address, Wanted>,
    /// What is recorded already; it is left as it is.
    pub state: &'a State,
    pub secrets: &'a dyn SecretValues,
}

/// How a resource was known to be the environment's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Tags,
    /// By its name or its contents, for kinds that take no tags.
    Spec,
}

/// A resource that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    pub kind: String,
    pub id: PhysicalId,
    pub generation: u64,
    pub by: By,
    pub in_spec: bool,
    /// Arguments that AWS does not give back: they are recorded as the spec has them.
    pub unproven: BTreeSet<String>,
    #[serde(skip)]
    arguments: Value,
    #[serde(skip)]
    attributes: Value,
    #[serde(skip)]
    references: BTreeSet<Address>,
    #[serde(skip)]
    lifecycle: Value,
}

/// An earlier resource of an address, which a replacement left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    pub address: Address,
    pub kind: String,
    pub id: PhysicalId,
    pub generation: u64,
}

/// What a search found.
#[derive(Debug, Default, Serialize)]
pub struct Rebuilt {
    pub found: BTreeMap<Address, Found>,
    pub leftovers: Vec<Leftover>,
    /// Addresses of the spec of which nothing was found: an apply creates them.
    pub missing: BTreeSet<Address>,
    /// What could not be looked at or not be decided; each stands in the way of trusting the rest.
    pub problems: Vec<String>,
}

impl Rebuilt {
    /// Returns the entries that record what was found, for a run.
    pub fn entries(&self, run: RunId) -> Vec<Entry> {
        let deposed = self.leftovers.iter().map(|old| Entry::Deposed {
            address: old.address.clone(),
            id: old.id.clone(),
            kind: old.kind.clone(),
            generation: old.generation,
        });
        let found = self.found.iter().map(|(address, found)| Entry::Recorded {
            run,
            step: 0,
            address: address.clone(),
            kind: found.kind.clone(),
            id: found.id.clone(),
            generation: found.generation,
            arguments: found.arguments.clone(),
            attributes: found.attributes.clone(),
            references: found.references.iter().cloned().collect(),
            lifecycle: found.lifecycle.clone(),
        });
        found.chain(deposed).collect()
    }
}

/// One tagged resource, before it is known which of its address's is the present one.
struct Candidate {
    kind: &'static dyn Kind,
    id: PhysicalId,
    generation: u64,
    seen: SeenResource,
}

/// Searches the account and region.
///
/// # Errors
/// Returns the text of a reference cycle in the spec.
pub async fn rebuild(search: &Search<'_>) -> Result<Rebuilt, String> {
    let mut out = Rebuilt::default();
    let mut candidates = tagged(search, &mut out).await;
    let mut known = KnownResources::default();
    for (address, candidates) in &candidates {
        if let Some(newest) = candidates.first() {
            let attributes = newest.seen.attributes.clone();
            known.0.insert(address.clone(), Known { arguments: newest.seen.arguments.clone(), attributes });
        }
    }
    let needs = |(address, wanted): (&Address, &Wanted)| (address.clone(), wanted.references.clone());
    let order = topological(&search.wanted.iter().map(needs).collect())
        .map_err(|cycle| cycle.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → "))?;
    for address in order {
        let wanted = &search.wanted[&address];
        if let Some(record) = search.state.resources.get(&address) {
            let (arguments, attributes) = (record.arguments.clone(), record.attributes.clone());
            known.0.insert(address, Known { arguments, attributes });
            continue;
        }
        let Some(kind) = search.kinds.iter().find(|kind| kind.schema().name == wanted.kind) else { continue };
        let arguments = resolve_all(&wanted.arguments, &wanted.deferred, &known);
        let arguments = normalise(&kind.schema().arguments, &arguments);
        let found = match candidates.remove(&address) {
            Some(all) => choose(&address, all, &mut out).map(|one| (one, By::Tags)),
            None if kind.schema().takes_tags() => None,
            None => untagged(search, *kind, &address, &arguments, &mut out).await.map(|one| (one, By::Spec)),
        };
        let Some((candidate, by)) = found else {
            out.missing.insert(address);
            continue;
        };
        let found = record(&candidate, by, wanted, &arguments);
        known.0.insert(address.clone(), Known { arguments, attributes: found.attributes.clone() });
        out.found.insert(address, found);
    }
    for (address, all) in candidates {
        if let Some(candidate) = choose(&address, all, &mut out) {
            out.found.insert(address, unwanted(&candidate));
        }
    }
    refer(&mut out.found);
    // What could not be looked at or not be decided is not missing.
    let about = |address: &Address| [format!("{address}: "), format!("{}: ", address.kind)];
    let undecided = |address: &Address| {
        let about = about(address);
        out.problems.iter().any(|problem| about.iter().any(|start| problem.starts_with(start)))
    };
    out.missing = std::mem::take(&mut out.missing).into_iter().filter(|address| !undecided(address)).collect();
    Ok(out)
}

/// Finds everything that carries the environment's tags, by address, the newest generation first.
async fn tagged(search: &Search<'_>, out: &mut Rebuilt) -> BTreeMap<Address, Vec<Candidate>> {
    let discoveries = search.kinds.iter().filter(|kind| kind.schema().takes_tags());
    let discoveries = discoveries.map(|kind| async move { (*kind, kind.discover(search.aws).await) });
    let mut by_address: BTreeMap<Address, Vec<Candidate>> = BTreeMap::new();
    for (kind, discovered) in join_all(discoveries).await {
        let name = kind.schema().name;
        let discovered = match discovered {
            Ok(discovered) => discovered,
            Err(error) => {
                out.problems.push(format!("{name}: they could not be listed: {}", error.reason()));
                continue;
            }
        };
        let mut owners = BTreeMap::new();
        for found in discovered {
            let owner = found.owner.filter(|owner| owner.environment == search.scope.environment);
            if let Some(owner) = owner.filter(|_| !is_known(search.state, name, &found.id)) {
                owners.insert(found.id, owner);
            }
        }
        let ids: Vec<PhysicalId> = owners.keys().cloned().collect();
        let seen = kind.read_many(search.aws, &ids, &Fields::All).await;
        place(kind, owners, seen, search, out, &mut by_address);
    }
    for candidates in by_address.values_mut() {
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.generation));
    }
    by_address
}

/// Puts what was read of one kind under the addresses that its tags say.
fn place(
    kind: &'static dyn Kind,
    owners: BTreeMap<PhysicalId, Owner>,
    seen: Result<BTreeMap<PhysicalId, Seen>, AwsError>,
    search: &Search<'_>,
    out: &mut Rebuilt,
    by_address: &mut BTreeMap<Address, Vec<Candidate>>,
) {
    let name = kind.schema().name;
    let mut seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            out.problems.push(format!("{name}: they could not be read: {}", error.reason()));
            return;
        }
    };
    for (id, owner) in owners {
        let address = match Address::from_tag_value(&owner.address) {
            Some(address) if address.kind == name => address,
            _ => {
                out.problems.push(format!("{name} {id}: its tag `opora:address` is `{}`", owner.address));
                continue;
            }
        };
        match seen.remove(&id) {
            Some(Seen::Present(seen)) => {
                if let Some(record) = search.state.resources.get(&address)
                    && owner.generation >= record.generation
                {
                    out.problems.push(format!("{address}: the state has {}, and {id} carries its tags too", record.id));
                    continue;
                }
                let candidate = Candidate { kind, id, generation: owner.generation, seen };
                by_address.entry(address).or_default().push(candidate);
            }
            // On its way out, as a key that waits for its deletion.
            Some(Seen::Absent) => {}
            Some(Seen::Unreadable { reason }) => {
                out.problems.push(format!("{address}: {id} could not be read: {reason}"));
            }
            None => out.problems.push(format!("{address}: {id} was not answered")),
        }
    }
}

fn is_known(state: &State, kind: &str, id: &PhysicalId) -> bool {
    let deposed = state.deposed.values().flatten();
    state.resources.values().any(|record| record.kind == kind && record.id == *id)
        || deposed.into_iter().any(|old| old.kind == kind && old.id == *id)
}

/// Takes the newest of an address's resources; the older ones are left over from replacements.
fn choose(address: &Address, mut all: Vec<Candidate>, out: &mut Rebuilt) -> Option<Candidate> {
    let newest = all.first()?.generation;
    if all.iter().filter(|candidate| candidate.generation == newest).count() > 1 {
        let ids: Vec<&str> = all.iter().map(|candidate| candidate.id.as_str()).collect();
        out.problems.push(format!("{address}: several resources carry its tags: {}", ids.join(", ")));
        return None;
    }
    for old in all.drain(1..) {
        let (kind, id) = (old.kind.schema().name.to_owned(), old.id);
        out.leftovers.push(Leftover { address: address.clone(), kind, id, generation: old.generation });
    }
    all.pop()
}

/// Finds one of a kind that takes no tags, as a create whose answer was lost is found.
async fn untagged(
    search: &Search<'_>,
    kind: &'static dyn Kind,
    address: &Address,
    arguments: &Value,
    out: &mut Rebuilt,
) -> Option<Candidate> {
    if has_unknown(arguments) {
        out.problems.push(format!("{address}: it needs a value of something that was not found"));
        return None;
    }
    let generation = search.state.next_generation(address);
    let owner = Owner::new(&search.scope.environment, address, generation);
    let token = client_token(search.scope, address, generation);
    let (aws, scope, secrets) = (search.aws, search.scope, search.secrets);
    let cx = Creation { aws, scope, address, owner: &owner, token: &token, secrets };
    let id = match kind.find(cx, arguments).await {
        Ok(found) if found.len() == 1 => found.into_iter().next()?,
        Ok(found) if found.is_empty() => return None,
        Ok(_) => {
            out.problems.push(format!("{address}: several fit the spec; `opora import` takes one"));
            return None;
        }
        Err(error) => {
            out.problems.push(format!("{address}: it could not be looked for: {}", error.reason()));
            return None;
        }
    };
    let wanted = BTreeMap::from([(address.clone(), (kind.schema().name.to_owned(), id.clone()))]);
    let get = |_: &str| Some(kind);
    match observe(search.aws, &get, &wanted, &BTreeMap::new()).await.remove(address) {
        Some(Seen::Present(seen)) => Some(Candidate { kind, id, generation, seen }),
        Some(Seen::Unreadable { reason }) => {
            out.problems.push(format!("{address}: {id} could not be read: {reason}"));
            None
        }
        Some(Seen::Absent) | None => None,
    }
}

/// Makes the record of what the spec has: its arguments, but what AWS shows where that differs.
fn record(candidate: &Candidate, by: By, wanted: &Wanted, arguments: &Value) -> Found {
    let schema = candidate.kind.schema();
    let (arguments, unproven) = recorded_arguments(schema, wanted, arguments, &candidate.seen.arguments);
    Found {
        kind: schema.name.to_owned(),
        id: candidate.id.clone(),
        generation: candidate.generation,
        by,
        in_spec: true,
        unproven,
        arguments,
        attributes: candidate.seen.attributes.clone(),
        references: wanted.references.clone(),
        lifecycle: lifecycle_value(&wanted.lifecycle),
    }
}

fn recorded_arguments(
    schema: &KindSchema,
    wanted: &Wanted,
    arguments: &Value,
    seen: &Value,
) -> (Value, BTreeSet<String>) {
    let comparison = compare(schema, arguments, seen, Some(arguments), &wanted.lifecycle.ignore);
    let mut recorded = arguments.as_object().cloned().unwrap_or_default();
    let top = |path: &str| path.split(['.', '[']).next().unwrap_or(path).to_owned();
    for name in comparison.changes.iter().map(|change| top(&change.path)) {
        match seen.get(&name) {
            Some(value) if !value.is_null() => recorded.insert(name, value.clone()),
            _ => recorded.remove(&name),
        };
    }
    let local = recorded.keys().filter(|name| schema.arguments.is_local(name)).cloned();
    let unproven = comparison.unread.iter().map(|unread| top(&unread.path)).chain(local).collect();
    (Value::Object(recorded), unproven)
}

/// Makes the record of what carries the tags of an address that the spec does not have.
fn unwanted(candidate: &Candidate) -> Found {
    Found {
        kind: candidate.kind.schema().name.to_owned(),
        id: candidate.id.clone(),
        generation: candidate.generation,
        by: By::Tags,
        in_spec: false,
        unproven: BTreeSet::new(),
        arguments: candidate.seen.arguments.clone(),
        attributes: candidate.seen.attributes.clone(),
        references: BTreeSet::new(),
        lifecycle: Value::Null,
    }
}

/// Gives those that the spec does not have their references, by the ids and ARNs in their arguments, so that they
/// are deleted in an order that AWS allows.
fn refer(found: &mut BTreeMap<Address, Found>) {
    let mut names: BTreeMap<String, Address> = BTreeMap::new();
    for (address, found) in found.iter() {
        names.insert(found.id.0.clone(), address.clone());
        let arn = found.attributes.get("arn").and_then(Value::as_str);
        names.extend(arn.map(|arn| (arn.to_owned(), address.clone())));
    }
    for (address, found) in found.iter_mut().filter(|(_, found)| !found.in_spec) {
        let mut references = BTreeSet::new();
        crate::value::walk_leaves(&found.arguments, "", &mut |_, leaf| {
            references
                .extend(leaf.as_str().and_then(|text| names.get(text)).filter(|other| *other != address).cloned());
        });
        found.references = references;
    }
}
