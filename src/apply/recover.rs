//! Takes up what an earlier run left open: finds again what a create made whose answer was never recorded.

use futures::future::try_join_all;
use serde_json::Value;

use super::{Event, Session};
use crate::aws::resource::{Creation, Kind};
use crate::aws::tags::Owner;
use crate::aws::wait::{self, Bound, Poll};
use crate::aws::{AwsError, ErrorClass};
use crate::diagnostic::Diagnostic;
use crate::graph::{Address, PhysicalId};
use crate::kind::Identity;
use crate::state::{Action, Entry, OpenIntent, Residue, State, StateError};

/// How long a new resource and its tags may take to be seen by calls that list, in seconds.
pub(super) const FIND_BOUND_S: u64 = 120;

/// How long after its intent a create call may still have been made a moment ago, in seconds.
///
/// As long its client token is relied on; services remember one for hours to a day.
const RECENT_S: u64 = 3_600;

/// Closes every open intent of the state, and returns what stands in the way.
///
/// After it each create is either adopted (its id is in the log, and the next plan completes it) or known to
/// have made nothing.
///
/// # Errors
/// Returns the log's own error; what AWS answered wrong is among the diagnostics.
pub async fn recover(session: &Session<'_>, state: &State) -> Result<Vec<Diagnostic>, StateError> {
    let open = state.intents.iter().flat_map(|(address, intents)| intents.iter().map(move |intent| (address, intent)));
    let all = open.map(|(address, intent)| async move {
        match intent.action {
            Action::Create | Action::Replace => Ok(recover_create(session, address, intent).await?.err()),
            // The next read shows how far an update or a delete got.
            _ => close(session, address, intent).await.map(|()| None),
        }
    });
    let closed = session.leased(try_join_all(all)).await?;
    Ok(closed.into_iter().flatten().collect())
}

async fn recover_create(
    session: &Session<'_>,
    address: &Address,
    intent: &OpenIntent,
) -> Result<Result<(), Diagnostic>, StateError> {
    match find_again(session, address, intent).await {
        Ok(found) => match found.as_slice() {
            [] => {
                close(session, address, intent).await?;
                session.emit(Event::Recovered { address: address.clone(), id: None });
                Ok(Ok(()))
            }
            [id] => {
                adopt(session, address, intent, id).await?;
                session.emit(Event::Recovered { address: address.clone(), id: Some(id.clone()) });
                Ok(Ok(()))
            }
            several => Ok(Err(duplicates(address, several))),
        },
        Err(error) => {
            let problem = error.diagnostic();
            let detail = format!(
                "{address}: an interrupted create could not be looked up\n{}",
                problem.detail.as_deref().unwrap_or_default()
            );
            Ok(Err(Diagnostic { detail: Some(detail), ..problem }))
        }
    }
}

async fn find_again(
    session: &Session<'_>,
    address: &Address,
    intent: &OpenIntent,
) -> Result<Vec<PhysicalId>, AwsError> {
    let kind = session.kind(&intent.kind)?;
    let owner = Owner::new(&session.scope.environment, address, intent.generation);
    let cx = creation(session, address, &owner, &intent.token);
    let elapsed = intent.at.map_or(0, |at| session.aws.now().duration_since(at).as_secs()).max(0).unsigned_abs();
    let recent = elapsed <= RECENT_S;
    // What was made long ago is seen at the first look.
    let bound = Bound::seconds(if recent { FIND_BOUND_S } else { 0 });
    if kind.schema().identity != Identity::ClientToken || intent.arguments.is_null() || !recent {
        return find_in_time(kind, cx, &intent.arguments, bound).await;
    }
    // What is there is there whatever became of the token. The same token then gives the same resource, made or
    // not: no search can be surer while AWS remembers it.
    let found = kind.find(cx, &intent.arguments).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    match kind.create(cx, &intent.arguments).await {
        Ok(id) => Ok(vec![id]),
        Err(error) if error.is_ambiguous() || error.class == ErrorClass::Denied => Err(error),
        Err(_) => find_in_time(kind, cx, &intent.arguments, bound).await,
    }
}

/// Looks for what a create made, for as long as its tags may take to be seen.
pub(super) async fn find_in_time(
    kind: &'static dyn Kind,
    cx: Creation<'_>,
    arguments: &Value,
    bound: Bound,
) -> Result<Vec<PhysicalId>, AwsError> {
    let found = wait::until(cx.aws, "an interrupted create to show", bound, || async {
        let found = kind.find(cx, arguments).await?;
        Ok(if found.is_empty() { Poll::Pending("not there".to_owned()) } else { Poll::Ready(found) })
    })
    .await;
    match found {
        Err(error) if error.class == ErrorClass::WaitedTooLong => Ok(Vec::new()),
        other => other,
    }
}

pub(super) fn creation<'a>(
    session: &'a Session<'_>,
    address: &'a Address,
    owner: &'a Owner,
    token: &'a str,
) -> Creation<'a> {
    Creation { aws: session.aws, scope: session.scope, address, owner, token, secrets: session.secrets }
}

async fn adopt(
    session: &Session<'_>,
    address: &Address,
    intent: &OpenIntent,
    id: &PhysicalId,
) -> Result<(), StateError> {
    let created = Entry::Created {
        run: session.log.run(),
        step: intent.step,
        address: address.clone(),
        kind: intent.kind.clone(),
        id: id.clone(),
        generation: intent.generation,
    };
    session.log.append(vec![created]).await
}

async fn close(session: &Session<'_>, address: &Address, intent: &OpenIntent) -> Result<(), StateError> {
    let failed = Entry::Failed {
        run: intent.run,
        step: intent.step,
        address: address.clone(),
        class: "interrupted".to_owned(),
        code: "Interrupted".to_owned(),
        message: "the run ended before the step did".to_owned(),
        request_id: None,
        residue: Residue::Nothing,
    };
    session.log.append(vec![failed]).await
}

fn duplicates(address: &Address, found: &[PhysicalId]) -> Diagnostic {
    let ids: Vec<&str> = found.iter().map(PhysicalId::as_str).collect();
    Diagnostic::error("APPLY003", "several resources carry the tags of one address")
        .detail(format!("{address}: {}", ids.join(", ")))
        .help("delete all but one of them, then run it again")
}
