//! Joins spec, state, AWS, plan and drift into what a command does. Prints nothing and asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::apply::{
    self, OnFailure, Session, Unmanaged, observe_new, observe_recorded, observe_unmanaged, wanted_fields,
};
use crate::aws::bulk::Recorded;
use crate::aws::history::{self, Question, Writers};
use crate::aws::resource::{Changes, Fields, Kind, SecretValues};
use crate::aws::{Aws, AwsError, kinds};
use crate::diagnostic::Diagnostic;
use crate::drift::{Drift, drift};
use crate::graph::{Address, PhysicalId};
use crate::kind::{Holding, KindSchemas, Resource, Scope, Seen};
use crate::plan::{
    self, Bound, Deposed, Holdings, Input, Known, KnownResources, Plan, Prior, Selection, StepKind, Wanted, resolve_all,
};
use crate::spec::{Environment, Lifecycle};
use crate::state::{DeposedRecord, State, StateError};

/// How long after a change AWS may not show it everywhere.
const FRESH: SignedDuration = SignedDuration::from_mins(3);

/// What was read for a plan.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub seen: BTreeMap<Address, Seen>,
    /// What was found in those that a plan would destroy with what they hold; filled by [`Asked::plan`].
    pub holds: Holdings,
}

/// Everything that drift finds.
#[derive(Debug)]
pub struct DriftFound {
    pub drift: Drift,
    pub unmanaged: Vec<Unmanaged>,
    /// Kinds that could not be listed.
    pub unlisted: BTreeMap<String, AwsError>,
}

/// Returns the resources of a spec as the planner wants them.
pub fn wanted(environment: &Environment) -> BTreeMap<Address, Wanted> {
    let one = |(address, desired): (&Address, &crate::spec::Desired)| {
        let wanted = Wanted {
            kind: desired.kind.clone(),
            arguments: desired.arguments.clone(),
            deferred: desired.deferred.clone(),
            references: desired.references.clone(),
            lifecycle: desired.lifecycle.clone(),
        };
        (address.clone(), wanted)
    };
    environment.resources.iter().map(one).collect()
}

/// Returns the recorded resources as the planner wants them.
pub fn prior(state: &State) -> BTreeMap<Address, Prior> {
    let mut out = BTreeMap::new();
    for (address, record) in &state.resources {
        let prior = Prior {
            kind: record.kind.clone(),
            id: record.id.clone(),
            generation: record.generation,
            arguments: record.arguments.clone(),
            attributes: record.attributes.clone(),
            references: record.references.iter().cloned().collect(),
            lifecycle: lifecycle(&record.lifecycle),
            complete: record.complete,
        };
        out.insert(address.clone(), prior);
    }
    out
}

/// Returns what interrupted replacements left, as the planner wants it.
fn deposed(state: &State) -> BTreeMap<Address, Vec<Deposed>> {
    let one = |old: &DeposedRecord| {
        let was = old.was.as_deref();
        Deposed {
            kind: old.kind.clone(),
            id: old.id.clone(),
            generation: old.generation,
            arguments: was.map(|was| was.arguments.clone()).unwrap_or_default(),
            references: was.map(|was| was.references.iter().cloned().collect()).unwrap_or_default(),
            lifecycle: was.map(|was| lifecycle(&was.lifecycle)).unwrap_or_default(),
        }
    };
    state.deposed.iter().map(|(address, all)| (address.clone(), all.iter().map(one).collect())).collect()
}

/// Returns a recorded lifecycle. One that can't be read protects: nothing may be destroyed for a misunderstanding.
fn lifecycle(value: &Value) -> Lifecycle {
    if value.is_null() {
        return Lifecycle::default();
    }
    serde_json::from_value(value.clone()).unwrap_or(Lifecycle { prevent_destroy: true, ..Lifecycle::default() })
}

/// Returns what the records say of the resources that are complete and wholly as opora made them.
fn recorded(environment: &Environment, state: &State) -> BTreeMap<Address, Recorded> {
    let whole = |record: &&crate::state::Record| record.complete && lifecycle(&record.lifecycle).ignore.is_empty();
    let one = |(address, record): (&Address, &crate::state::Record)| {
        let owner = crate::kind::Owner::new(&environment.scope.environment, address, record.generation);
        let (arguments, attributes) = (record.arguments.clone(), record.attributes.clone());
        (address.clone(), Recorded { arguments, attributes, owner })
    };
    state.resources.iter().filter(|(_, record)| whole(record)).map(one).collect()
}

/// Reads every recorded resource, in bulk, with the arguments that the spec or the record sets.
///
/// For a spec, a bulk answer that may be late counts where it says what the record says. Without one, what was
/// changed by others is looked for, and each service is asked itself.
pub async fn observe_state(aws: &Aws, environment: Option<&Environment>, state: &State) -> Observed {
    let ids =
        state.resources.iter().map(|(address, record)| (address.clone(), (record.kind.clone(), record.id.clone())));
    let desired = environment.into_iter().flat_map(|environment| environment.resources.values());
    let set = desired.map(|desired| (desired.kind.as_str(), &desired.arguments));
    let had = state.resources.values().map(|record| (record.kind.as_str(), &record.arguments));
    let fields = wanted_fields(set.chain(had));
    let recorded = environment.map(|environment| recorded(environment, state)).unwrap_or_default();
    let mut ids: BTreeMap<Address, (String, PhysicalId)> = ids.collect();
    let mut seen = observe_recorded(aws, &kinds::get, &ids, &fields, &recorded).await;
    // A run that was killed right after a create call may have made what is not shown yet.
    let is_new = |address: &Address| state.resources.get(address).is_some_and(|record| !record.complete);
    ids.retain(|address, _| seen[address] == Seen::Absent && is_new(address));
    if !ids.is_empty() {
        seen.extend(observe_new(aws, &kinds::get, &ids, &fields).await);
    }
    Observed { seen, holds: Holdings::new() }
}

/// What a plan is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub environment: &'a Environment,
    pub schemas: &'a KindSchemas,
    pub state: &'a State,
    pub selection: &'a Selection,
    /// Whether all is to be destroyed.
    pub destroy: bool,
}

impl Asked<'_> {
    /// Makes the plan from what was read, and looks into what it would destroy with what it holds, where nobody
    /// allowed that; most plans destroy nothing.
    ///
    /// # Errors
    /// Returns everything that stands in the way.
    pub async fn plan(&self, aws: &Aws, observed: &mut Observed) -> Result<Plan, Vec<Diagnostic>> {
        let at_risk = match self.build(observed) {
            Ok(plan) => return Ok(plan),
            Err(refusal) if refusal.at_risk.is_empty() => return Err(refusal.problems),
            Err(refusal) => refusal.at_risk,
        };
        let looks = at_risk.into_iter().map(|(address, kind, id)| async move {
            let found = match kinds::get(&kind) {
                Some(kind) => kind.holds(aws, &id).await,
                None => Holding::Unknown(format!("this opora does not know the kind `{kind}`")),
            };
            ((address, id), found)
        });
        observed.holds.extend(crate::aws::together(looks).await);
        self.plan_as_read(observed)
    }

    /// Makes the plan from what was read; what was not looked into is not destroyed.
    ///
    /// # Errors
    /// Returns everything that stands in the way.
    pub fn plan_as_read(&self, observed: &Observed) -> Result<Plan, Vec<Diagnostic>> {
        self.build(observed).map_err(|refusal| refusal.problems)
    }

    fn build(&self, observed: &Observed) -> Result<Plan, plan::Refusal> {
        let Self { environment, schemas, state, selection, destroy } = *self;
        let scope = &environment.scope;
        let outputs = serde_json::to_value(&environment.outputs).unwrap_or_default();
        plan::build(&Input {
            scope,
            spec_digest: &environment.digest,
            wanted: &wanted(environment),
            prior: &prior(state),
            deposed: &deposed(state),
            seen: &observed.seen,
            holds: &observed.holds,
            kinds: schemas,
            predict: &|kind, arguments, owner| {
                kinds::get(kind).map(|kind| kind.predict(arguments, owner, scope)).unwrap_or_default()
            },
            selection,
            destroy,
            outputs: &outputs,
            generations: &state.generations,
        })
    }
}

/// Refuses a state that was written for another account or region than the spec names.
///
/// Its resources would all be looked for where they are not, and be taken for gone. An ARN tells where a resource is;
/// one of another region among others is let pass, as a trail's home may be elsewhere.
pub fn refuse_other_place(state: &State, scope: &Scope) -> Result<(), Diagnostic> {
    let mut first = None;
    for (address, record) in &state.resources {
        let arn = record.attributes.get("arn").and_then(Value::as_str).unwrap_or_default();
        let mut parts = arn.split(':').skip(3);
        let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let elsewhere = !account.is_empty() && account != scope.account;
        if region == scope.region && !elsewhere {
            return Ok(());
        }
        if elsewhere || !region.is_empty() {
            first.get_or_insert((address, arn));
        }
    }
    let Some((address, arn)) = first else { return Ok(()) };
    Err(Diagnostic::error("CONN005", "the state is of another account or region than the spec's")
        .detail(format!(
            "the spec is for `{}` in `{}`, the state has {address} as `{arn}`",
            scope.account, scope.region
        ))
        .help("correct `account:` and `region:`, or name another `state:` for this environment"))
}

/// What protects one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarded {
    pub address: Address,
    pub kind: String,
    /// AWS's id, where the state has it.
    pub id: Option<PhysicalId>,
    pub in_spec: bool,
    /// Whether `prevent_destroy` stands in the spec, and whether it is recorded. Either protects.
    pub prevent_destroy: Protection,
    pub holds_data: bool,
    /// Whether its data may be lost: what the spec says, or what is recorded where its block is gone.
    pub allow_data_loss: bool,
    /// Days from its deletion until it is gone for good.
    pub waiting_days: Option<u64>,
}

/// Where `prevent_destroy` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Protection {
    pub spec: bool,
    pub state: bool,
}

/// Lists what is protected and why, of the spec and of the state.
pub fn guards(environment: &Environment, schemas: &KindSchemas, state: &State) -> Vec<Guarded> {
    let (wanted, prior) = (wanted(environment), prior(state));
    let addresses: BTreeSet<&Address> = wanted.keys().chain(prior.keys()).collect();
    let one = |address: &Address| {
        let (wanted, prior) = (wanted.get(address), prior.get(address));
        let kind = wanted.map(|wanted| &wanted.kind).or(prior.map(|prior| &prior.kind))?;
        let schema = schemas.get(kind);
        let lifecycle = |lifecycle: Option<&Lifecycle>| lifecycle.cloned().unwrap_or_default();
        let (spec, recorded) =
            (lifecycle(wanted.map(|wanted| &wanted.lifecycle)), lifecycle(prior.map(|prior| &prior.lifecycle)));
        // A deletion goes by what was last applied.
        let arguments = prior.map(|prior| &prior.arguments).or(wanted.map(|wanted| &wanted.arguments));
        let guarded = Guarded {
            address: address.clone(),
            kind: kind.clone(),
            id: prior.map(|prior| prior.id.clone()),
            in_spec: wanted.is_some(),
            prevent_destroy: Protection { spec: spec.prevent_destroy, state: recorded.prevent_destroy },
            holds_data: schema.is_some_and(|schema| schema.holds_data),
            allow_data_loss: wanted.map_or(recorded.allow_data_loss, |_| spec.allow_data_loss),
            waiting_days: schema.zip(arguments).and_then(|(schema, set)| schema.arguments.waiting_days(set)),
        };
        let Protection { spec, state } = guarded.prevent_destroy;
        (spec || state || guarded.holds_data || guarded.waiting_days.is_some()).then_some(guarded)
    };
    addresses.into_iter().filter_map(one).collect()
}

/// Returns what the state knows of all resources, for the steps that refer to them.
pub fn known(state: &State) -> KnownResources {
    let one = |(address, record): (&Address, &crate::state::Record)| {
        (address.clone(), Known { arguments: record.arguments.clone(), attributes: record.attributes.clone() })
    };
    KnownResources(state.resources.iter().map(one).collect())
}

/// Returns what secret values a plan's steps send that are not where the spec says.
pub fn missing_secrets(plan: &Plan, secrets: &dyn SecretValues) -> Vec<Diagnostic> {
    let one = |step: &plan::Step| {
        let (argument, error) = kinds::get(&step.resource)?.check_secrets(&step.arguments, secrets)?;
        let sends = match step.kind {
            StepKind::Create => true,
            StepKind::Update => Changes(step.paths.clone()).touches(argument),
            StepKind::Delete | StepKind::Forget | StepKind::Record => false,
        };
        sends.then(|| error.diagnostic().at_argument(&step.address, argument, "this value"))
    };
    plan.steps.iter().filter_map(one).collect()
}

/// Applies a plan, and returns what was done; `on_failure` says what a failed step stops.
///
/// # Errors
/// Returns the log's error.
pub async fn apply_plan(
    session: &Session<'_>,
    plan: &Plan,
    state: &State,
    on_failure: OnFailure,
) -> Result<apply::Report, StateError> {
    let fresh = unsettled(state, session.aws.now());
    apply::run(session, plan, known(state), fresh, on_failure).await
}

/// Returns what AWS may not show everywhere yet: what was written about a moment ago, and what was made and never
/// completed, for nobody knows when its last call was.
fn unsettled(state: &State, now: Timestamp) -> BTreeSet<Address> {
    let mut out = state.written_after(now - FRESH);
    out.extend(state.resources.iter().filter(|(_, record)| !record.complete).map(|(address, _)| address.clone()));
    out
}

/// Compares the recorded resources with AWS; with `unmanaged`, lists what else there is of all kinds.
pub async fn find_drift(aws: &Aws, schemas: &KindSchemas, state: &State, unmanaged: bool) -> DriftFound {
    let observed = observe_state(aws, None, state).await;
    let found = drift(schemas, &prior(state), &observed.seen);
    let managed: BTreeSet<(String, PhysicalId)> = state
        .resources
        .values()
        .map(|record| (record.kind.clone(), record.id.clone()))
        .chain(state.deposed.values().flatten().map(|old| (old.kind.clone(), old.id.clone())))
        .collect();
    let (unmanaged, unlisted) =
        if unmanaged { observe_unmanaged(aws, kinds::all(), &managed).await } else { (Vec::new(), BTreeMap::new()) };
    DriftFound { drift: found, unmanaged, unlisted }
}

/// Who wrote to what a drift found, in the order of its lists.
#[derive(Debug, Default)]
pub struct DriftWriters {
    pub drifted: Vec<Writers>,
    pub unmanaged: Vec<Writers>,
}

/// Asks CloudTrail's history who wrote to what drifted, and to what nothing manages; no drift costs no call.
///
/// A managed resource is asked about from its last recorded step on, an unmanaged one as far back as the history
/// goes.
pub async fn drift_writers(aws: &Aws, state: &State, found: &DriftFound) -> DriftWriters {
    let schema = |kind: &str| kinds::get(kind).map(Kind::schema);
    let drifted = found.drift.drifted.iter().map(|drifted| {
        let record = state.resources.get(&drifted.address);
        let since = record.and_then(|record| record.recorded);
        let known = record.map(|record| (&record.arguments, &record.attributes));
        Question::about(schema(&drifted.kind), &drifted.id, since).named_in(known)
    });
    let unmanaged = found.unmanaged.iter().map(|unmanaged| {
        let asked = Question::about(schema(&unmanaged.kind), &unmanaged.found.id, None);
        asked.named(unmanaged.found.name.as_deref())
    });
    let questions: Vec<Question> = drifted.chain(unmanaged).collect();
    let mut answers = history::writers(aws, &questions).await;
    let unmanaged = answers.split_off(found.drift.drifted.len());
    DriftWriters { drifted: answers, unmanaged }
}

/// Returns the outputs as far as their values are known.
pub fn outputs(environment: &Environment, state: &State) -> Value {
    let outputs = serde_json::to_value(&environment.outputs).unwrap_or_default();
    resolve_all(&outputs, &[], &known(state))
}

/// Returns the desired resources in the normal form, with what can be predicted of each: what a check on the spec sees.
pub fn desired_resources(environment: &Environment, scope: &Scope) -> Vec<Resource> {
    let mut known = KnownResources::default();
    for (address, desired) in &environment.resources {
        let owner = crate::kind::Owner::new(&scope.environment, address, 1);
        let attributes = kinds::get(&desired.kind).map(|kind| kind.predict(&desired.arguments, &owner, scope));
        let attributes = Value::Object(attributes.unwrap_or_default());
        known.0.insert(address.clone(), Known { arguments: desired.arguments.clone(), attributes });
    }
    let resource = |(address, desired): (&Address, &crate::spec::Desired)| Resource {
        kind: desired.kind.clone(),
        address: Some(address.clone()),
        id: None,
        arguments: resolve_all(&desired.arguments, &desired.deferred, &known),
        attributes: known.0[address].attributes.clone(),
    };
    environment.resources.iter().map(resource).collect()
}

/// Returns the managed resources as a plan saw them, also what it leaves alone.
pub fn seen_resources(plan: &Plan) -> BTreeMap<Address, Resource> {
    let one = |(address, bound): (&Address, &Bound)| {
        let seen = bound.seen.present()?;
        let resource = Resource {
            kind: bound.kind.clone(),
            address: Some(address.clone()),
            id: Some(bound.id.clone()),
            arguments: seen.arguments.clone(),
            attributes: seen.attributes.clone(),
        };
        Some((address.clone(), resource))
    };
    plan.bound.iter().chain(&plan.beside).filter_map(one).collect()
}

/// Returns what could not be read of what a plan leaves alone: by kind, why.
pub fn unread(plan: &Plan) -> BTreeMap<String, String> {
    let reason = |(address, bound): (&Address, &Bound)| match &bound.seen {
        Seen::Unreadable { reason } => Some((bound.kind.clone(), format!("{address}: {reason}"))),
        Seen::Present(_) | Seen::Absent => None,
    };
    plan.beside.iter().filter_map(reason).collect()
}

/// Returns what the account will have when a plan is applied: what it saw, with its steps done.
pub fn planned_resources(plan: &Plan) -> BTreeMap<Address, Resource> {
    let mut out = seen_resources(plan);
    let gone = plan.steps.iter().filter(|step| matches!(step.kind, StepKind::Delete | StepKind::Forget));
    for step in gone {
        out.remove(&step.address);
    }
    for step in plan.steps.iter().filter(|step| matches!(step.kind, StepKind::Create | StepKind::Update)) {
        let before = out.get(&step.address);
        let mut arguments = before.map_or_else(|| Value::Object(serde_json::Map::new()), |old| old.arguments.clone());
        if let (Some(into), Some(from)) = (arguments.as_object_mut(), step.arguments.as_object()) {
            into.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
            // What the spec sets no more is reset by the update.
            for path in step.paths.iter().filter(|path| !path.contains(['.', '['])) {
                if !from.contains_key(path) {
                    into.remove(path);
                }
            }
        }
        let attributes = before.map(|old| old.attributes.clone()).unwrap_or_default();
        let resource = Resource {
            kind: step.resource.clone(),
            address: Some(step.address.clone()),
            id: step.id.clone(),
            arguments,
            attributes,
        };
        out.insert(step.address.clone(), resource);
    }
    out
}

/// What an audit of the live account saw.
#[derive(Debug, Default)]
pub struct LiveAccount {
    pub resources: Vec<Resource>,
    /// Kinds that could not be listed, and resources that could not be read, with the reason.
    pub unlisted: BTreeMap<String, String>,
    pub unread: Vec<(String, PhysicalId, String)>,
}

/// Lists and reads everything of all kinds in the account, whether it is managed or not.
pub async fn read_account(aws: &Aws, state: &State) -> LiveAccount {
    let addresses: BTreeMap<(String, PhysicalId), Address> = state
        .resources
        .iter()
        .map(|(address, record)| ((record.kind.clone(), record.id.clone()), address.clone()))
        .collect();
    let reads = kinds::all().map(|kind| async move {
        let name = kind.schema().name;
        let ids: Vec<PhysicalId> = match kind.discover(aws).await {
            Ok(found) => found.into_iter().map(|found| found.id).collect(),
            Err(error) => return (name, Err(error.reason())),
        };
        (name, kind.read_many(aws, &ids, &Fields::All).await.map_err(|error| error.reason()))
    });
    let mut out = LiveAccount::default();
    for (kind, answer) in futures::future::join_all(reads).await {
        let found = match answer {
            Ok(found) => found,
            Err(reason) => {
                out.unlisted.insert(kind.to_owned(), reason);
                continue;
            }
        };
        for (id, seen) in found {
            match seen {
                Seen::Present(seen) => out.resources.push(Resource {
                    kind: kind.to_owned(),
                    address: addresses.get(&(kind.to_owned(), id.clone())).cloned(),
                    id: Some(id),
                    arguments: seen.arguments,
                    attributes: seen.attributes,
                }),
                Seen::Absent => {}
                Seen::Unreadable { reason } => out.unread.push((kind.to_owned(), id, reason)),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    #[test]
    fn what_was_never_completed_is_unsettled_however_long_ago_it_was_made() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let ago = |minutes| now - SignedDuration::from_mins(minutes);
        let mut state = State::default();
        for (name, minutes, complete) in [("old", 60, true), ("new", 1, true), ("begun", 60, false)] {
            let address: Address = format!("kms_key.{name}").parse().unwrap();
            let record = Record {
                kind: "kms_key".to_owned(),
                id: PhysicalId(name.to_owned()),
                generation: 1,
                arguments: Value::Null,
                attributes: Value::Null,
                references: Vec::new(),
                lifecycle: Value::Null,
                complete,
                recorded: Some(ago(minutes)),
            };
            state.resources.insert(address, record);
        }
        let found: Vec<String> = unsettled(&state, now).iter().map(Address::to_string).collect();
        assert_eq!(found, ["kms_key.begun", "kms_key.new"]);
    }
}
