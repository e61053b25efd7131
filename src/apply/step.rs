//! Runs one step.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::change::{Change, patiently};
use super::recover::{FIND_BOUND_S, creation, find_in_time};
use super::{Event, Session, client_token, lifecycle_value};
use crate::aws::resource::{Deletion, Kind};
use crate::aws::tags::Owner;
use crate::aws::wait::Bound;
use crate::aws::{AwsError, ErrorClass, Residue};
use crate::graph::PhysicalId;
use crate::kind::{Identity, Seen, SeenResource, normalise};
use crate::plan::{Bound as BoundTo, Known, KnownResources, Step, StepKind, resolve_all};
use crate::state::{self, Entry, StateError};
use crate::value::has_unknown;

/// What came of a step.
pub(super) enum Outcome {
    /// The resource as it is now, or `None` where it is gone.
    Done(Option<(PhysicalId, Known)>),
    Failed(AwsError),
}

/// What a step works with.
pub(super) struct Context<'a> {
    pub bound: Option<&'a BoundTo>,
    /// What is known of the resources that it refers to, and of its own.
    pub known: KnownResources,
    /// The ids and ARNs of those that were changed so short a time ago that AWS may not show them everywhere.
    pub fresh: Vec<String>,
    /// The ids and names of what this run has deleted so far.
    pub gone: Arc<BTreeSet<String>>,
}

/// A failure of AWS, or of the log itself: without the log nothing may go on.
pub(super) enum Fault {
    Aws(AwsError),
    Log(StateError),
}

impl From<AwsError> for Fault {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        Self::Log(error)
    }
}

/// Runs a step to its end and journals it.
pub(super) async fn run_step(session: &Session<'_>, step: &Step, context: &Context<'_>) -> Result<Outcome, StateError> {
    let done = match step.kind {
        StepKind::Create => create(session, step, context).await,
        StepKind::Update => update(session, step, context).await,
        StepKind::Delete => delete(session, step, context).await,
        StepKind::Forget => forget(session, step).await,
        StepKind::Record => record_only(session, step, &context.known).await,
    };
    match done {
        Ok(resource) => Ok(Outcome::Done(resource)),
        Err(Fault::Log(error)) => Err(error),
        Err(Fault::Aws(error)) => {
            // A service may repeat what it was sent.
            let error = AwsError { message: session.log.secrets().mask(&error.message), ..error };
            session.log.append(vec![failed_entry(session, step, &error)]).await?;
            Ok(Outcome::Failed(error))
        }
    }
}

fn failed_entry(session: &Session<'_>, step: &Step, error: &AwsError) -> Entry {
    let class = serde_json::to_value(error.class).ok().and_then(|value| value.as_str().map(str::to_owned));
    Entry::Failed {
        run: session.log.run(),
        step: step.number,
        address: step.address.clone(),
        class: class.unwrap_or_default(),
        code: error.code.clone(),
        message: error.message.clone(),
        request_id: error.request_id.clone(),
        residue: match &error.residue {
            Residue::Nothing => state::Residue::Nothing,
            Residue::Resource(id) => state::Residue::Resource(id.as_str().into()),
            Residue::Unknown => state::Residue::Unknown,
        },
    }
}

type Done = Result<Option<(PhysicalId, Known)>, Fault>;

async fn create(session: &Session<'_>, step: &Step, context: &Context<'_>) -> Done {
    let kind = session.kind(&step.resource)?;
    let arguments = resolved(kind, step, &context.known)?;
    let token = client_token(session.scope, &step.address, step.generation);
    let owner = Owner::new(&session.scope.environment, &step.address, step.generation);
    let mut entries = Vec::new();
    if step.deposes
        && let Some(old) = context.bound
    {
        entries.push(Entry::Deposed {
            address: step.address.clone(),
            id: old.id.clone(),
            kind: old.kind.clone(),
            generation: step.generation.saturating_sub(1),
        });
    }
    if !step.deposes
        && let Some(gone) = context.bound.filter(|bound| bound.seen == Seen::Absent)
    {
        let (run, address, id) = (session.log.run(), step.address.clone(), gone.id.clone());
        entries.push(Entry::Deleted { run, step: step.number, address, id });
    }
    entries.push(intent(session, step, state::Action::Create, token.clone(), arguments.clone()));
    session.log.append(entries).await?;
    let (mut fresh, mut stale) = (context.fresh.clone(), vec![ErrorClass::NotFound]);
    if let Some(gone) = context.bound.filter(|_| !step.deposes) {
        // Its predecessor is deleted, and what that held may not be free everywhere.
        fresh.push(gone.id.0.clone());
        stale.extend([ErrorClass::AlreadyExists, ErrorClass::InUse]);
    }
    let made = patiently(session, &fresh, &stale, || make(session, kind, step, &owner, &token, &arguments));
    let id = made.await?;
    session.log.append(vec![created_entry(session, step, &id)]).await?;
    session.emit(Event::Created { step: step.number, address: step.address.clone(), id: id.clone() });
    let change = Change {
        kind,
        step,
        owner: &owner,
        token: &token,
        id: &id,
        arguments: &arguments,
        prior: None,
        fresh: &context.fresh,
    };
    let finished = complete(session, &change).await;
    finished.map_err(|fault| leave_behind(fault, &id))
}

/// Makes the resource by one call, and finds it again where the answer to that call was lost.
async fn make(
    session: &Session<'_>,
    kind: &'static dyn Kind,
    step: &Step,
    owner: &Owner,
    token: &str,
    arguments: &Value,
) -> Result<PhysicalId, AwsError> {
    let once = session.aws.once();
    let cx = crate::aws::resource::Creation { aws: &once, ..creation(session, &step.address, owner, token) };
    let error = match kind.create(cx, arguments).await {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    let repeating = creation(session, &step.address, owner, token);
    if error.is_ambiguous() && kind.schema().identity == Identity::ClientToken {
        // The same token gives the same resource, however often it is asked for.
        return kind.create(repeating, arguments).await.map_err(maybe_made);
    }
    let found = match error.class {
        _ if error.is_ambiguous() => find_in_time(kind, repeating, arguments, Bound::seconds(FIND_BOUND_S)).await,
        // An own earlier attempt may have made it; somebody else's is never adopted.
        ErrorClass::AlreadyExists => kind.find(repeating, arguments).await,
        _ => return Err(error),
    };
    let found = found.map_err(maybe_made)?;
    match found.as_slice() {
        [id] => Ok(id.clone()),
        // It is now known that nothing was made.
        [] if error.is_ambiguous() => kind.create(cx, arguments).await,
        _ => Err(error),
    }
}

/// An attempt before this error may have made the resource: its intent has to stay open, whatever was answered last.
fn maybe_made(error: AwsError) -> AwsError {
    AwsError { residue: Residue::Unknown, ..error }
}

/// Brings a new resource to all that is wanted of it, and records it.
async fn complete(session: &Session<'_>, change: &Change<'_>) -> Done {
    change.kind.ready(session.aws, change.id).await?;
    let seen = change.shown(session).await?;
    let differs = change.differing(&seen);
    let seen = if differs.is_empty() { seen } else { change.bring_about(session, differs).await? };
    record(session, change.step, change.id, change.arguments, &seen).await
}

async fn update(session: &Session<'_>, step: &Step, context: &Context<'_>) -> Done {
    let kind = session.kind(&step.resource)?;
    let id = step.id.clone().ok_or_else(|| internal("an update has an id"))?;
    let arguments = resolved(kind, step, &context.known)?;
    let owner = Owner::new(&session.scope.environment, &step.address, step.generation);
    let token = client_token(session.scope, &step.address, step.generation);
    let prior = context.known.0.get(&step.address).map(|known| &known.arguments);
    let (fresh, arguments) = (&context.fresh, &arguments);
    let change = Change { kind, step, owner: &owner, token: &token, id: &id, arguments, prior, fresh };
    let Some(seen) = change.read(session).await? else {
        let message = format!("{} `{id}` is gone since the plan was made", step.resource);
        return Err(AwsError::own("opora:Read", ErrorClass::NotFound, "Gone", message).into());
    };
    check_unchanged(kind, step, context, &seen, arguments)?;
    let paths: BTreeSet<String> = change.differing(&seen).into_iter().chain(step.paths.iter().cloned()).collect();
    let intent = intent(session, step, state::Action::Update, token.clone(), Value::Null);
    session.log.append(vec![intent]).await?;
    if step.unfinished {
        // The run that made it may have ended before it was ready.
        kind.ready(session.aws, &id).await?;
    }
    let seen = change.bring_about(session, paths).await?;
    record(session, step, &id, arguments, &seen).await
}

/// Refuses to write over what somebody changed since the plan was made.
///
/// Only the arguments that the spec sets count: an earlier step of this very run may have changed others. One that
/// is already what is wanted is written over by nobody: an earlier step may have taken what this one lets go. What
/// this run deleted takes its traces with it: a subnet its association, a role its place in a policy.
fn check_unchanged(
    kind: &'static dyn Kind,
    step: &Step,
    context: &Context<'_>,
    seen: &SeenResource,
    arguments: &Value,
) -> Result<(), AwsError> {
    let Some(Seen::Present(planned)) = context.bound.map(|bound| &bound.seen) else { return Ok(()) };
    let left = |value: Option<&Value>| value.map(|value| without(value, &context.gone));
    let names = arguments.as_object().into_iter().flatten().map(|(name, _)| name);
    for name in names.filter(|name| !kind.schema().arguments.is_local(name)) {
        let (before, now) = (planned.arguments.get(name), seen.arguments.get(name));
        if before != now && now != arguments.get(name) && left(before) != left(now) {
            let message = format!("`{name}` of {} was changed after the plan was made", step.address);
            return Err(AwsError::own("opora:Check", ErrorClass::Other, "WorldChanged", message));
        }
    }
    Ok(())
}

/// Returns a value without what names something that is gone.
fn without(value: &Value, gone: &BTreeSet<String>) -> Value {
    let names_gone = |value: &Value| value.as_str().is_some_and(|text| gone.contains(text));
    match value {
        Value::Array(items) => {
            let bare = |item: &Value| item.as_object().is_some_and(|members| members.values().any(names_gone));
            let kept = items.iter().filter(|item| !names_gone(item) && !bare(item));
            kept.map(|item| without(item, gone)).collect()
        }
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, member)| !names_gone(member));
            Value::Object(kept.map(|(name, member)| (name.clone(), without(member, gone))).collect())
        }
        other => other.clone(),
    }
}

async fn delete(session: &Session<'_>, step: &Step, context: &Context<'_>) -> Done {
    let kind = session.kind(&step.resource)?;
    let id = step.id.clone().ok_or_else(|| internal("a delete has an id"))?;
    session.log.append(vec![intent(session, step, state::Action::Delete, String::new(), Value::Null)]).await?;
    let cx = Deletion {
        aws: session.aws,
        scope: session.scope,
        id: &id,
        recorded: &step.arguments,
        allow_data_loss: step.lifecycle.allow_data_loss,
    };
    patiently(session, &context.fresh, &[ErrorClass::InUse], || kind.delete(cx)).await?;
    let entry = Entry::Deleted { run: session.log.run(), step: step.number, address: step.address.clone(), id };
    session.log.append(vec![entry]).await?;
    Ok(None)
}

async fn forget(session: &Session<'_>, step: &Step) -> Done {
    let reason = "it no longer exists in AWS".to_owned();
    session.log.append(vec![Entry::Forgotten { address: step.address.clone(), reason }]).await?;
    Ok(None)
}

async fn record_only(session: &Session<'_>, step: &Step, known: &KnownResources) -> Done {
    let id = step.id.clone().ok_or_else(|| internal("a record has an id"))?;
    let attributes = known.0.get(&step.address).map(|known| known.attributes.clone()).unwrap_or_default();
    let seen = SeenResource { arguments: Value::Null, attributes, owner: None };
    record(session, step, &id, &step.arguments, &seen).await
}

async fn record(session: &Session<'_>, step: &Step, id: &PhysicalId, arguments: &Value, seen: &SeenResource) -> Done {
    let entry = Entry::Recorded {
        run: session.log.run(),
        step: step.number,
        address: step.address.clone(),
        kind: step.resource.clone(),
        id: id.clone(),
        generation: step.generation,
        arguments: arguments.clone(),
        attributes: seen.attributes.clone(),
        references: step.references.iter().cloned().collect(),
        lifecycle: lifecycle_value(&step.lifecycle),
    };
    session.log.append(vec![entry]).await?;
    Ok(Some((id.clone(), Known { arguments: arguments.clone(), attributes: seen.attributes.clone() })))
}

fn resolved(kind: &'static dyn Kind, step: &Step, known: &KnownResources) -> Result<Value, AwsError> {
    let arguments = resolve_all(&step.arguments, &step.deferred, known);
    let arguments = normalise(&kind.schema().arguments, &arguments);
    if has_unknown(&arguments) {
        let message = format!("{} needs a value that no earlier step gave", step.address);
        return Err(AwsError::own("opora:Resolve", ErrorClass::Invalid, "StillUnknown", message));
    }
    Ok(arguments)
}

fn intent(session: &Session<'_>, step: &Step, action: state::Action, token: String, arguments: Value) -> Entry {
    Entry::Intent {
        run: session.log.run(),
        step: step.number,
        address: step.address.clone(),
        kind: step.resource.clone(),
        action,
        generation: step.generation,
        token,
        id: step.id.clone(),
        arguments,
        lifecycle: if step.kind == StepKind::Create { lifecycle_value(&step.lifecycle) } else { Value::Null },
    }
}

fn created_entry(session: &Session<'_>, step: &Step, id: &PhysicalId) -> Entry {
    Entry::Created {
        run: session.log.run(),
        step: step.number,
        address: step.address.clone(),
        kind: step.resource.clone(),
        id: id.clone(),
        generation: step.generation,
    }
}

fn leave_behind(fault: Fault, id: &PhysicalId) -> Fault {
    match fault {
        Fault::Aws(mut error) => {
            error.residue = Residue::Resource(id.0.clone());
            Fault::Aws(error)
        }
        log => log,
    }
}

fn internal(invariant: &str) -> AwsError {
    AwsError::own("opora:Step", ErrorClass::Other, "Internal", format!("internal error: {invariant}"))
}
