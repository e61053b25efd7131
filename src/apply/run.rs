//! Runs all steps of a plan, each as soon as what it needs is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::rollback::{Made, Rollback, Undoing};
use super::step::{Context, Outcome, run_step};
use super::{Event, Session, observe};
use crate::aws::history::{self, Question, Writers};
use crate::aws::resource::Kind;
use crate::aws::{Aws, AwsError, ErrorClass, Residue};
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::kind::Seen;
use crate::plan::{Bound, Known, KnownResources, Plan, Step, StepKind};
use crate::state::{State, StateError};
use crate::value::{self, unreadable_reason};

/// The shortest attribute that is taken for a name: an id or an ARN, no word.
const FRESH_NAME_MIN: usize = 8;

/// What a run does when a step fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nothing more is begun; what is in flight is finished and recorded.
    Stop,
    /// Only what depends on the failed step is not begun.
    #[default]
    Continue,
    /// As `Stop`, and then what the run made is deleted again.
    Rollback,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepFailure {
    pub step: u32,
    pub address: Address,
    pub error: AwsError,
}

impl StepFailure {
    /// Returns what a user is told of the error, with the advice that the plan gives.
    pub fn diagnostic(&self, plan: &Plan) -> Diagnostic {
        let told = self.error.diagnostic();
        if self.error.class != ErrorClass::InUse || !plan.makes_way(self.step) {
            return told;
        }
        told.help(format!(
            "set `lifecycle: {{ create_before_destroy: true }}` on {}: what uses it can turn to its successor only \
             when that is there",
            self.address
        ))
    }
}

/// A step that was not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub step: u32,
    pub address: Address,
    /// The failed step that it needs; `None` where the run was stopped, by the user or by a failure.
    pub because: Option<Address>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    pub done: Vec<(u32, Address, StepKind)>,
    pub failed: Vec<StepFailure>,
    pub skipped: Vec<Skipped>,
    pub interrupted: bool,
    /// Whether a failure ended the run before its end.
    pub stopped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

impl Report {
    /// Tells whether everything was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty()
    }
}

/// Compares the world with what the plan was made from; returns what changed, and who did it since then.
///
/// Every service is asked for its own: pages that are behind would hide a change.
pub async fn changes_since(
    aws: &Aws,
    kinds: &(dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    plan: &Plan,
    since: Timestamp,
) -> Vec<Diagnostic> {
    let ids =
        plan.bound.iter().map(|(address, bound)| (address.clone(), (bound.kind.clone(), bound.id.clone()))).collect();
    let fields = super::wanted_fields(
        plan.bound.values().filter_map(|bound| bound.seen.present().map(|seen| (bound.kind.as_str(), &seen.arguments))),
    );
    let seen = observe(aws, kinds, &ids, &fields).await;
    let changed: Vec<_> =
        plan.bound.iter().filter(|(address, bound)| seen[*address].digest() != bound.digest).collect();
    let question = |(_, bound): &(&Address, &Bound)| {
        let known = bound.seen.present().map(|seen| (&seen.arguments, &seen.attributes));
        Question::about(kinds(&bound.kind).map(Kind::schema), &bound.id, Some(since)).named_in(known)
    };
    let questions: Vec<Question> = changed.iter().map(question).collect();
    let writers = history::writers(aws, &questions).await;
    let one = |((address, bound), writers): (&(&Address, &Bound), Writers)| {
        let detail = differences(&bound.seen, &seen[*address]).join("\n");
        Diagnostic::error("PLAN009", "the world has changed since this plan was made")
            .detail(format!("{address} ({})\n{detail}\n{}", bound.id, writers.text()))
            .at_argument(address, "", "this resource")
            .help("`opora plan` shows what would happen now")
    };
    changed.iter().zip(writers).map(one).collect()
}

/// Compares the state with what the plan was made from; returns what another run has done since.
///
/// Called under the lease: nothing can change the state between this and the first step.
pub fn check_state(plan: &Plan, state: &State) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for step in &plan.steps {
        let record = state.resources.get(&step.address);
        let deposed = state.deposed.get(&step.address).into_iter().flatten().map(|old| &old.id);
        let mut known = record.map(|record| &record.id).into_iter().chain(deposed);
        let highest = state.generations.get(&step.address).copied().unwrap_or_default();
        let planned = plan.bound.get(&step.address).map(|bound| &bound.id);
        let change = if state.intents.contains_key(&step.address) {
            "another run has begun a step and not ended it".to_owned()
        } else {
            match (step.kind, &step.id) {
                (StepKind::Create, _) if step.generation <= highest => "another run has made it since".to_owned(),
                (StepKind::Create, _) if record.map(|record| &record.id) != planned => {
                    "its record is another one".to_owned()
                }
                (StepKind::Create, _) => continue,
                (_, Some(id)) if known.any(|known| known == id) => continue,
                (_, id) => format!("{} is no longer recorded", id.as_ref().map_or("it", |id| id.as_str())),
            }
        };
        out.push(
            Diagnostic::error("PLAN014", "the state has changed since this plan was made")
                .detail(format!("{}: {change}", step.address))
                .at_argument(&step.address, "", "this resource")
                .help("`opora plan` shows what would happen now"),
        );
    }
    out
}

fn differences(before: &Seen, now: &Seen) -> Vec<String> {
    let (before, now) = match (before, now) {
        (Seen::Present(before), Seen::Present(now)) => (before, now),
        (_, Seen::Absent) => return vec!["it is gone".to_owned()],
        (Seen::Absent, _) => return vec!["it was gone and is there again".to_owned()],
        (_, Seen::Unreadable { reason }) | (Seen::Unreadable { reason }, _) => {
            return vec![format!("it could not be read: {reason}")];
        }
    };
    let mut paths: BTreeMap<String, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for (first, resource) in [(true, before), (false, now)] {
        for part in [&resource.arguments, &resource.attributes] {
            value::walk_leaves(part, "", &mut |path, leaf| {
                let entry = paths.entry(path.to_owned()).or_default();
                *(if first { &mut entry.0 } else { &mut entry.1 }) = Some(leaf.clone());
            });
        }
    }
    let text = |value: &Option<Value>| match value {
        Some(value) => {
            unreadable_reason(value).map_or_else(|| value.to_string(), |reason| format!("unreadable ({reason})"))
        }
        None => "nothing".to_owned(),
    };
    let changed = paths.iter().filter(|(_, (before, now))| before != now);
    changed.map(|(path, (before, now))| format!("{path}  {} → {}", text(before), text(now))).collect()
}

/// Runs the plan; `on_failure` says what a failed step stops.
///
/// `known` holds the arguments and attributes of everything in the state, `fresh` names what AWS may not show
/// everywhere yet.
///
/// # Errors
/// Returns the log's error: without the log nothing is begun, and what is in flight is not waited for.
pub async fn run(
    session: &Session<'_>,
    plan: &Plan,
    known: KnownResources,
    fresh: BTreeSet<Address>,
    on_failure: OnFailure,
) -> Result<Report, StateError> {
    let mut run = Run::new(session, plan, known, fresh, on_failure);
    session.leased(run.all()).await?;
    if on_failure == OnFailure::Rollback && !run.report.failed.is_empty() && !session.stop.requested() {
        run.report.rollback = Some(session.leased(run.roll_back()).await?);
    }
    Ok(run.report)
}

/// Returns the names, ids and ARNs among a resource's attributes.
fn names(attributes: &Value) -> impl Iterator<Item = String> {
    let texts = attributes.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    // A short text may stand in a message by chance.
    texts.filter(|text| text.len() >= FRESH_NAME_MIN).map(str::to_owned)
}

struct Run<'a> {
    session: &'a Session<'a>,
    plan: &'a Plan,
    known: KnownResources,
    /// What was changed so short a time ago that AWS may not show it everywhere.
    fresh: BTreeSet<Address>,
    /// The ids and names of what was deleted.
    gone: Arc<BTreeSet<String>>,
    /// Steps that were not begun, each with how many of the steps that it needs are still to be done.
    waiting: BTreeMap<u32, (&'a Step, usize)>,
    /// Of those, the ones that need nothing more.
    ready: BTreeSet<u32>,
    /// What waits for each step.
    followers: BTreeMap<u32, Vec<u32>>,
    on_failure: OnFailure,
    /// What was made, in the order in which it was.
    made: Vec<Made>,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(
        session: &'a Session<'a>,
        plan: &'a Plan,
        known: KnownResources,
        fresh: BTreeSet<Address>,
        on_failure: OnFailure,
    ) -> Self {
        let mut followers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for step in &plan.steps {
            for needed in &step.after {
                followers.entry(*needed).or_default().push(step.number);
            }
        }
        Self {
            session,
            plan,
            known,
            fresh,
            gone: Arc::default(),
            waiting: plan.steps.iter().map(|step| (step.number, (step, step.after.len()))).collect(),
            ready: plan.steps.iter().filter(|step| step.after.is_empty()).map(|step| step.number).collect(),
            followers,
            on_failure,
            made: Vec::new(),
            report: Report::default(),
        }
    }

    async fn all(&mut self) -> Result<(), StateError> {
        let mut flying: FuturesUnordered<BoxFuture<'a, (&'a Step, Result<Outcome, StateError>)>> =
            FuturesUnordered::new();
        loop {
            if self.session.stop.requested() {
                self.report.interrupted = !self.waiting.is_empty();
                self.skip_all();
            }
            for step in self.take_ready() {
                self.session.emit(Event::Started { step: step.number, kind: step.kind, address: step.address.clone() });
                let (session, known) = (self.session, self.known_for(step));
                let (bound, fresh) = (self.plan.bound.get(&step.address), self.fresh_names(step));
                let context = Context { bound, known, fresh, gone: Arc::clone(&self.gone) };
                flying.push(Box::pin(async move { (step, run_step(session, step, &context).await) }));
            }
            let Some((step, outcome)) = flying.next().await else { return Ok(()) };
            self.take(step, outcome?);
        }
    }

    /// Takes the steps whose needs are all done.
    fn take_ready(&mut self) -> Vec<&'a Step> {
        let ready = std::mem::take(&mut self.ready);
        ready.iter().filter_map(|number| self.waiting.remove(number)).map(|(step, _)| step).collect()
    }

    /// Lets go on what waited for a step that is done.
    fn release(&mut self, done: u32) {
        for follower in self.followers.get(&done).into_iter().flatten() {
            if let Some((_, needs)) = self.waiting.get_mut(follower) {
                *needs -= 1;
                if *needs == 0 {
                    self.ready.insert(*follower);
                }
            }
        }
    }

    /// Skips everything that needs a failed step, however indirectly.
    fn skip_followers(&mut self, failed: u32, because: &Address) {
        let mut open = vec![failed];
        while let Some(number) = open.pop() {
            for follower in self.followers.get(&number).cloned().unwrap_or_default() {
                if self.skip(follower, Some(because.clone())) {
                    open.push(follower);
                }
            }
        }
    }

    /// Returns what is known of the resources that a step refers to, and of its own.
    fn known_for(&self, step: &Step) -> KnownResources {
        let wanted = step.references.iter().chain([&step.address]);
        let deferred = step.deferred.iter().flat_map(|deferred| &deferred.references);
        let found =
            wanted.chain(deferred).filter_map(|address| Some((address.clone(), self.known.0.get(address)?.clone())));
        KnownResources(found.collect())
    }

    /// Returns by what AWS calls those of a step's own resource and its references that were changed a moment ago.
    fn fresh_names(&self, step: &Step) -> Vec<String> {
        let fresh = step.references.iter().chain([&step.address]).filter(|address| self.fresh.contains(*address));
        let attributes = fresh.filter_map(|address| Some(&self.known.0.get(address)?.attributes));
        let mut out: Vec<String> = attributes.flat_map(names).collect();
        out.extend(step.id.as_ref().filter(|_| self.fresh.contains(&step.address)).map(|id| id.0.clone()));
        out
    }

    fn take(&mut self, step: &'a Step, outcome: Outcome) {
        match outcome {
            Outcome::Done(resource) => {
                let id = resource.as_ref().map(|(id, _)| id.clone());
                if let (StepKind::Create, Some((id, known))) = (step.kind, &resource) {
                    self.made.push(Made { step: step.clone(), id: id.clone(), recorded: Some(known.clone()) });
                }
                if let Some((_, Known { arguments, attributes })) = resource {
                    self.known.0.insert(step.address.clone(), Known { arguments, attributes });
                }
                self.fresh.insert(step.address.clone());
                if step.kind == StepKind::Delete {
                    let seen = self.plan.bound.get(&step.address).and_then(|bound| bound.seen.present());
                    let gone = seen.into_iter().flat_map(|seen| names(&seen.attributes));
                    Arc::make_mut(&mut self.gone).extend(gone.chain(step.id.as_ref().map(|id| id.0.clone())));
                }
                self.release(step.number);
                self.report.done.push((step.number, step.address.clone(), step.kind));
                self.session.emit(Event::Done {
                    step: step.number,
                    kind: step.kind,
                    address: step.address.clone(),
                    id,
                });
            }
            Outcome::Failed(error) => {
                let message = error.to_string();
                self.session.emit(Event::Failed { step: step.number, address: step.address.clone(), message });
                self.skip_followers(step.number, &step.address);
                if self.on_failure != OnFailure::Continue {
                    self.report.stopped = true;
                    self.skip_all();
                }
                if let (StepKind::Create, Residue::Resource(id)) = (step.kind, &error.residue) {
                    self.made.push(Made { step: step.clone(), id: id.as_str().into(), recorded: None });
                }
                self.report.failed.push(StepFailure { step: step.number, address: step.address.clone(), error });
            }
        }
    }

    /// Skips a step that was not begun; tells whether it was one.
    fn skip(&mut self, number: u32, because: Option<Address>) -> bool {
        let Some((step, _)) = self.waiting.remove(&number) else { return false };
        self.ready.remove(&number);
        self.session.emit(Event::Skipped { step: number, address: step.address.clone() });
        self.report.skipped.push(Skipped { step: number, address: step.address.clone(), because });
        true
    }

    /// Deletes what this run made.
    async fn roll_back(&mut self) -> Result<Rollback, StateError> {
        self.session.emit(Event::RollingBack);
        let made = std::mem::take(&mut self.made);
        let fresh = made.iter().flat_map(|made| self.fresh_names(&made.step)).collect();
        let (done, failed) = (&self.report.done, &self.report.failed);
        Undoing { session: self.session, plan: self.plan, done, failed, made, fresh }.all().await
    }

    fn skip_all(&mut self) {
        while let Some((&number, _)) = self.waiting.first_key_value() {
            self.skip(number, None);
        }
    }
}
