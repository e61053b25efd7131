//! Brings one existing resource to what is wanted of it, and waits until AWS shows it.
//!
//! AWS may show for a while what was, after it has done what it was told. What is read here is therefore never
//! taken for the last word when something was changed a moment ago: the change is made again from a new reading.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Session;
use super::recover::FIND_BOUND_S;
use crate::aws::resource::{Changes, ErasedUpdate, Kind};
use crate::aws::tags::Owner;
use crate::aws::wait::{self, Bound, Poll};
use crate::aws::{AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::SeenResource;
use crate::plan::{Step, compare};

/// How often a change is made again where AWS goes on to show another value.
const ROUNDS_MAX: u32 = 2;

/// What an existing resource is brought to.
pub(super) struct Change<'a> {
    pub kind: &'static dyn Kind,
    pub step: &'a Step,
    pub owner: &'a Owner,
    pub token: &'a str,
    pub id: &'a PhysicalId,
    pub arguments: &'a Value,
    /// What was set before: what is set no more is reset.
    pub prior: Option<&'a Value>,
    /// The ids and ARNs of what was changed a moment ago.
    pub fresh: &'a [String],
}

impl Change<'_> {
    /// Makes the changes at these paths, and returns what AWS shows of the resource then.
    pub(super) async fn bring_about(
        &self,
        session: &Session<'_>,
        mut paths: BTreeSet<String>,
    ) -> Result<SeenResource, AwsError> {
        let mut round = 1;
        loop {
            self.make(session, &paths).await?;
            match self.settled(session).await {
                // Made from a reading that was out of date, the change was none, or half of one.
                Err(error) if error.class == ErrorClass::WaitedTooLong && round < ROUNDS_MAX => {
                    paths = self.differing(&self.shown(session).await?);
                    round += 1;
                }
                other => return other,
            }
        }
    }

    /// Makes the changes, a second attempt from what is read anew.
    async fn make(&self, session: &Session<'_>, paths: &BTreeSet<String>) -> Result<(), AwsError> {
        let mut stale = vec![ErrorClass::NotFound, ErrorClass::AlreadyExists, ErrorClass::InUse];
        if self.step.id.as_ref().is_some_and(|id| self.fresh.contains(&id.0)) {
            // Changed a moment ago, perhaps by a run that was killed: what was read of it may be what it was before.
            stale.extend([ErrorClass::Invalid, ErrorClass::Quota]);
        }
        let mut first = Some(Changes(paths.clone()));
        patiently(session, self.fresh, &stale, || {
            let planned = first.take();
            async move {
                let changes = match planned {
                    Some(changes) => changes,
                    None => match self.read(session).await? {
                        Some(seen) => Changes(self.differing(&seen).into_iter().chain(self.local(paths)).collect()),
                        None => Changes(paths.clone()),
                    },
                };
                if changes.0.is_empty() { Ok(()) } else { self.update(session, &changes).await }
            }
        })
        .await
    }

    async fn update(&self, session: &Session<'_>, changes: &Changes) -> Result<(), AwsError> {
        self.kind
            .update(ErasedUpdate {
                aws: session.aws,
                scope: session.scope,
                address: &self.step.address,
                id: self.id,
                arguments: self.arguments,
                changes,
                owner: self.owner,
                token: self.token,
                secrets: session.secrets,
            })
            .await
    }

    /// Reads until AWS shows what was written.
    async fn settled(&self, session: &Session<'_>) -> Result<SeenResource, AwsError> {
        let bound = Bound::seconds(FIND_BOUND_S);
        let what = format!("{} to show what was set", self.step.address);
        let settled = wait::until(session.aws, &what, bound, || async {
            let Some(seen) = self.read(session).await? else { return Ok(Poll::Pending("not there".to_owned())) };
            let differs = self.differing(&seen);
            let paths: Vec<&str> = differs.iter().map(String::as_str).chain(self.unreset(&seen)).collect();
            Ok(if paths.is_empty() {
                Poll::Ready(seen)
            } else {
                Poll::Pending(format!("different in {}", paths.join(", ")))
            })
        });
        match settled.await {
            Err(error) if error.class == ErrorClass::WaitedTooLong => {
                // What AWS has by default may be just what was set before.
                let seen = self.read(session).await?.filter(|seen| self.differing(seen).is_empty());
                seen.ok_or(error)
            }
            other => other,
        }
    }

    /// Reads until AWS shows the resource at all.
    pub(super) async fn shown(&self, session: &Session<'_>) -> Result<SeenResource, AwsError> {
        wait::until(session.aws, "the new resource to show", Bound::seconds(FIND_BOUND_S), || async {
            Ok(match self.read(session).await? {
                Some(seen) => Poll::Ready(seen),
                None => Poll::Pending("not there".to_owned()),
            })
        })
        .await
    }

    /// Reads the resource; `None` where AWS shows none.
    pub(super) async fn read(&self, session: &Session<'_>) -> Result<Option<SeenResource>, AwsError> {
        self.kind.read(session.aws, self.id).await
    }

    /// Of some paths, returns those that no reading can show: only the plan knows that they change.
    fn local(&self, paths: &BTreeSet<String>) -> impl Iterator<Item = String> {
        let schema = &self.kind.schema().arguments;
        paths.iter().filter(|path| schema.is_local(path)).cloned()
    }

    /// Returns the paths at which the resource is not as it is wanted.
    pub(super) fn differing(&self, seen: &SeenResource) -> BTreeSet<String> {
        let schema = self.kind.schema();
        let ignore = &self.step.lifecycle.ignore;
        // What AWS does not give back is as it was given to it.
        let comparison = compare(schema, self.arguments, &seen.arguments, Some(self.arguments), ignore);
        let mut paths: BTreeSet<String> = comparison.changes.into_iter().map(|change| change.path).collect();
        let readable = comparison.unread.iter().all(|unread| unread.path != "tags");
        if schema.takes_tags() && readable && seen.owner.as_ref() != Some(self.owner) {
            paths.insert("tags".to_owned());
        }
        paths
    }
}

impl<'a> Change<'a> {
    /// Returns the arguments that are set no more and still show what they were set to.
    fn unreset(&self, seen: &SeenResource) -> impl Iterator<Item = &'a str> {
        let schema = &self.kind.schema().arguments;
        let prior = self.prior.and_then(Value::as_object).into_iter().flatten();
        let reset = prior
            .filter(|(name, value)| !value.is_null() && self.arguments.get(name).is_none() && !schema.is_local(name));
        let default = |name: &str| schema.property(name).and_then(|node| node.get("default")).cloned();
        reset
            .filter(move |(name, value)| default(name).as_ref() != Some(value) && !schema.rests(name, value))
            .filter(move |(name, value)| seen.arguments.get(*name) == Some(value))
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// Repeats what AWS refuses only because it does not show everywhere yet what was changed a moment ago.
///
/// Where something was changed a moment ago (`fresh`: ids and ARNs), an answer of the classes `stale` may mean
/// this, and so may any refusal that names one of these.
pub(super) async fn patiently<T, F, Fut>(
    session: &Session<'_>,
    fresh: &[String],
    stale: &[ErrorClass],
    mut act: F,
) -> Result<T, AwsError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, AwsError>>,
{
    let names_fresh = |error: &AwsError| fresh.iter().any(|name| error.message.contains(name.as_str()));
    let may_pass = |error: &AwsError| match error.class {
        ErrorClass::NotYet => true,
        // What opora itself finds wrong with an argument no reading sets right.
        ErrorClass::Invalid if error.is_own() => false,
        class if stale.contains(&class) => !fresh.is_empty(),
        ErrorClass::NotFound | ErrorClass::Invalid | ErrorClass::Denied => names_fresh(error),
        _ => false,
    };
    wait::while_failing(session.aws, Bound::propagation(), may_pass, &mut act).await
}
