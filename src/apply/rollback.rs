//! Undoes what a failed run made: its creates alone, the last one first.
//!
//! It deletes nothing that was there before, nothing that anything left still uses, nothing with data in it that
//! the run did not put there, and nothing protected. Updates and deletions are not undone. What stays is named with
//! its reason. Each deletion is journalled as any other, so that a rollback that is cut off is taken up by a plain
//! apply.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::recover::recover;
use super::step::{Context, Outcome, run_step};
use super::{Event, Session, StepFailure};
use crate::aws::Residue;
use crate::aws::resource::Kind;
use crate::graph::{Address, PhysicalId};
use crate::kind::{Holding, KindSchema};
use crate::plan::{Action, Known, KnownResources, Plan, Step, StepKind};
use crate::spec::Lifecycle;
use crate::state::StateError;

/// What a rollback did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rollback {
    /// What the run made and is deleted again.
    pub undone: Vec<(Address, PhysicalId)>,
    /// What the run made and stays.
    pub kept: Vec<Kept>,
    /// Updates and deletions that were done and are not undone.
    pub not_undone: Vec<(Address, StepKind)>,
    /// Deletions that failed.
    pub failed: Vec<StepFailure>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// A resource that a rollback leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub address: Address,
    /// `None` where it is not known whether it exists.
    pub id: Option<PhysicalId>,
    pub why: String,
}

/// A resource that the run made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub step: Step,
    pub id: PhysicalId,
    /// What was recorded of it; `None` where it was not finished.
    pub recorded: Option<Known>,
}

/// All that a rollback works with.
pub(super) struct Undoing<'a> {
    pub session: &'a Session<'a>,
    pub plan: &'a Plan,
    /// The steps that were done, in the order in which they ended.
    pub done: &'a [(u32, Address, StepKind)],
    pub failed: &'a [StepFailure],
    /// What the run made, in the order in which it was made.
    pub made: Vec<Made>,
    /// The ids and ARNs of what was changed a moment ago.
    pub fresh: Vec<String>,
}

impl Undoing<'_> {
    /// Undoes, and tells what was not undone.
    ///
    /// # Errors
    /// Returns the log's error.
    pub(super) async fn all(mut self) -> Result<Rollback, StateError> {
        let mut out = Rollback::default();
        let mut users = self.users_that_stay();
        self.look_for_lost(&mut out, &mut users).await?;
        let undone = |kind: StepKind| matches!(kind, StepKind::Update | StepKind::Delete);
        let left = self.done.iter().filter(|(_, _, kind)| undone(*kind));
        out.not_undone = left.map(|(_, address, kind)| (address.clone(), *kind)).collect();
        let last = self.plan.steps.iter().map(|step| step.number).max().unwrap_or_default();
        let made = std::mem::take(&mut self.made);
        for (made, number) in made.iter().rev().zip(last + 1..) {
            if self.session.stop.requested() {
                out.interrupted = true;
                return Ok(out);
            }
            let address = made.step.address.clone();
            let kept = match self.reason_to_keep(made, &users).await {
                Some(why) => Some(why),
                None => self.undo(made, number, &mut out).await?,
            };
            if let Some(why) = kept {
                users.extend(made.step.references.iter().map(|used| (used.clone(), address.clone())));
                out.kept.push(Kept { address, id: Some(made.id.clone()), why });
            }
        }
        Ok(out)
    }

    /// Returns what each resource is used by that this run changed and does not change back.
    fn users_that_stay(&self) -> BTreeMap<Address, Address> {
        let begun = self.done.iter().map(|(number, _, _)| *number).chain(self.failed.iter().map(|one| one.step));
        let steps = begun.filter_map(|number| self.step(number)).filter(|step| step.kind == StepKind::Update);
        steps.flat_map(|step| step.references.iter().map(|used| (used.clone(), step.address.clone()))).collect()
    }

    fn step(&self, number: u32) -> Option<&Step> {
        self.plan.steps.iter().find(|step| step.number == number)
    }

    /// Looks for what creates made of which no answer came.
    async fn look_for_lost(
        &mut self,
        out: &mut Rollback,
        users: &mut BTreeMap<Address, Address>,
    ) -> Result<(), StateError> {
        let lost = |failure: &&StepFailure| failure.error.residue == Residue::Unknown;
        let lost: Vec<&Step> = self.failed.iter().filter(lost).filter_map(|one| self.step(one.step)).collect();
        let lost: Vec<Step> = lost.into_iter().filter(|step| step.kind == StepKind::Create).cloned().collect();
        if lost.is_empty() {
            return Ok(());
        }
        // What can't be looked up stays an open intent, which the next run takes up.
        Box::pin(recover(self.session, &self.session.log.state().await?)).await?;
        let state = self.session.log.state().await?;
        for step in lost {
            let record = state.resources.get(&step.address).filter(|record| record.generation == step.generation);
            if let Some(record) = record {
                self.made.push(Made { id: record.id.clone(), step, recorded: None });
            } else if state.intents.contains_key(&step.address) {
                users.extend(step.references.iter().map(|used| (used.clone(), step.address.clone())));
                let why = "it may exist, and could not be looked for".to_owned();
                out.kept.push(Kept { address: step.address, id: None, why });
            }
        }
        Ok(())
    }

    async fn reason_to_keep(&self, made: &Made, users: &BTreeMap<Address, Address>) -> Option<String> {
        let address = &made.step.address;
        let replaced = |change: &&crate::plan::Change| change.address == *address && change.action == Action::Replace;
        if self.plan.changes.iter().any(|change| replaced(&change)) {
            return Some("it took the place of an earlier one".to_owned());
        }
        if made.step.lifecycle.prevent_destroy {
            return Some("it has `prevent_destroy`".to_owned());
        }
        if let Some(user) = users.get(address) {
            return Some(format!("{user} uses it"));
        }
        let kind = self.session.kind(&made.step.resource).ok()?;
        if !kind.schema().holds_data {
            return None;
        }
        match kind.holds(self.session.aws, &made.id).await {
            Holding::Nothing => None,
            Holding::Data(what) => Some(format!("it holds data: {what}")),
            Holding::Unknown(reason) => Some(format!("it could not be looked into: {reason}")),
            Holding::Always(_) => self.reason_of_change(kind, made).await,
        }
    }

    /// Keeps what can't be found empty and is not as this run left it.
    async fn reason_of_change(&self, kind: &'static dyn Kind, made: &Made) -> Option<String> {
        let recorded = made.recorded.as_ref()?;
        match kind.read(self.session.aws, &made.id).await {
            Ok(Some(seen)) if seen.attributes != recorded.attributes => {
                Some("it was changed since this run made it".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(format!("it could not be looked into: {}", error.reason())),
        }
    }

    /// Deletes one; returns why it stays, where it does.
    async fn undo(&self, made: &Made, number: u32, out: &mut Rollback) -> Result<Option<String>, StateError> {
        let kind = self.session.kind(&made.step.resource).ok();
        let step = deletion(made, number, kind.map(Kind::schema));
        let address = &step.address;
        self.session.emit(Event::Started { step: number, kind: step.kind, address: address.clone() });
        let context = Context {
            bound: None,
            known: KnownResources::default(),
            fresh: self.fresh.clone(),
            gone: std::sync::Arc::default(),
        };
        match run_step(self.session, &step, &context).await? {
            Outcome::Done(_) => {
                let (kind, id) = (step.kind, None);
                self.session.emit(Event::Done { step: number, kind, address: address.clone(), id });
                out.undone.push((address.clone(), made.id.clone()));
                Ok(None)
            }
            Outcome::Failed(error) => {
                let message = error.to_string();
                self.session.emit(Event::Failed { step: number, address: address.clone(), message });
                let why = format!("its deletion failed: {}", error.code);
                out.failed.push(StepFailure { step: number, address: address.clone(), error });
                Ok(Some(why))
            }
        }
    }
}

fn deletion(made: &Made, number: u32, schema: Option<&KindSchema>) -> Step {
    let mut arguments = made.recorded.as_ref().map_or(&made.step.arguments, |known| &known.arguments).clone();
    // Nothing but this run's own is in it: where it can go at once, its name is free for the next run.
    let at_once = schema.and_then(|schema| schema.arguments.waits()).filter(|(_, least)| *least == 0);
    if let (Some((name, _)), Some(map)) = (at_once, arguments.as_object_mut()) {
        map.insert(name.to_owned(), json!(0));
    }
    Step {
        number,
        kind: StepKind::Delete,
        id: Some(made.id.clone()),
        arguments: if arguments.is_object() { arguments } else { Value::Null },
        deferred: Vec::new(),
        after: Default::default(),
        deposes: false,
        lifecycle: Lifecycle { allow_data_loss: false, ..made.step.lifecycle.clone() },
        ..made.step.clone()
    }
}
