//! What the log adds up to: the state of an environment after any number of entries.
//!
//! Pure: entries in, state out, the same for every reader. The fold never loses an id: where a new resource
//! takes an address, the old one is kept as deposed until an entry says that it is gone or forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{Action, Entry, Outcome, Residue, RunId};
use super::object::Commit;
use crate::graph::{Address, PhysicalId};

/// Runs that the state itself remembers; older ones are in the log.
const RUNS_REMEMBERED: usize = 100;

/// How long it is known when an address was last written about; far longer than AWS takes to show a change.
const TOUCHES_REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// A managed resource as the last step or refresh left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub kind: String,
    pub id: PhysicalId,
    pub generation: u64,
    pub arguments: Value,
    pub attributes: Value,
    pub references: Vec<Address>,
    pub lifecycle: Value,
    /// False after `created` and before `recorded`: some calls of the create step may be missing.
    pub complete: bool,
    /// When the last step on it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Timestamp>,
}

/// A replaced resource that still exists and has to be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeposedRecord {
    pub id: PhysicalId,
    pub kind: String,
    pub generation: u64,
    /// What was known of it while it held the address.
    pub was: Option<Box<Record>>,
}

/// A step that began and of which no end is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIntent {
    pub run: RunId,
    pub step: u32,
    pub kind: String,
    pub action: Action,
    pub generation: u64,
    pub token: String,
    /// What a create asked for; null for other actions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
    /// The lifecycle of what a create makes; null for other actions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub lifecycle: Value,
    /// The id of what is updated or deleted, or of what a failed create is known to have left.
    pub id: Option<PhysicalId>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Who may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    pub run: RunId,
    pub holder: String,
    pub since: Timestamp,
    pub until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// A plan that was applied, which it can be only once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedPlan {
    pub run: RunId,
    pub time: Timestamp,
}

/// One run, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub run: RunId,
    pub command: String,
    pub who: String,
    pub host: String,
    pub spec_digest: Option<String>,
    pub plan_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_commit: Option<String>,
    pub opora: String,
    pub started: Timestamp,
    /// `None` for a run that goes on, or was killed.
    pub finished: Option<(Timestamp, Outcome)>,
}

/// The state of an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The number of the last log object that is folded in; 0 for an empty log.
    pub number: u64,
    pub resources: BTreeMap<Address, Record>,
    pub deposed: BTreeMap<Address, Vec<DeposedRecord>>,
    pub intents: BTreeMap<Address, Vec<OpenIntent>>,
    /// The highest generation each address ever had, so that no idempotency token is used twice.
    pub generations: BTreeMap<Address, u64>,
    /// When each address was last written about, for an hour, where no record and no open intent says it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub touched: BTreeMap<Address, Timestamp>,
    pub applied: BTreeMap<String, AppliedPlan>,
    pub lease: Option<Lease>,
    /// The latest record by stream and key.
    pub ledger: BTreeMap<String, BTreeMap<String, Value>>,
    /// The latest runs, oldest first.
    pub runs: VecDeque<Run>,
}

impl State {
    /// Folds one object of the log in.
    pub fn fold(&mut self, commit: &Commit) {
        for entry in &commit.entries {
            self.fold_entry(entry, commit.time);
        }
        self.number = commit.number;
    }

    /// Returns the generation of the next resource at an address.
    pub fn next_generation(&self, address: &Address) -> u64 {
        self.generations.get(address).map_or(1, |generation| generation + 1)
    }

    /// Returns the latest record of a ledger stream under a key.
    pub fn ledger_record(&self, stream: &str, key: &str) -> Option<&Value> {
        self.ledger.get(stream)?.get(key)
    }

    /// Returns the lease that is in force at a time.
    pub fn lease_at(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > now)
    }

    /// Returns the addresses that were written about after a time, which is at most an hour ago: what was changed a
    /// moment ago may not show yet.
    pub fn written_after(&self, time: Timestamp) -> BTreeSet<Address> {
        let touched = self.touched.iter().map(|(address, at)| (address, Some(*at)));
        let recorded = self.resources.iter().map(|(address, record)| (address, record.recorded));
        let open = self.intents.iter().flat_map(|(address, open)| open.iter().map(move |intent| (address, intent.at)));
        let all = touched.chain(recorded).chain(open);
        all.filter(|(_, at)| at.is_some_and(|at| at > time)).map(|(address, _)| address.clone()).collect()
    }

    fn fold_entry(&mut self, entry: &Entry, time: Timestamp) {
        match entry {
            Entry::RunStarted { .. } | Entry::RunFinished { .. } => {
                self.touched.retain(|_, at| time.duration_since(*at) < TOUCHES_REMEMBERED);
                fold_run(&mut self.runs, entry, time);
                if self.runs.len() > RUNS_REMEMBERED {
                    self.runs.pop_front();
                }
            }
            Entry::LeaseTaken { run, holder, until, process } => {
                let (holder, process) = (holder.clone(), process.clone());
                self.lease = Some(Lease { run: *run, holder, since: time, until: *until, process });
            }
            Entry::LeaseRenewed { run, until } => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.run == *run) {
                    lease.until = *until;
                }
            }
            Entry::LeaseReleased { run } => {
                if self.lease.as_ref().is_some_and(|lease| lease.run == *run) {
                    self.lease = None;
                }
            }
            Entry::PlanApplied { digest, run } => {
                self.applied.insert(digest.clone(), AppliedPlan { run: *run, time });
            }
            Entry::Ledger { stream, key, record } => self.fold_ledger(stream, key, record),
            Entry::Note { .. } => {}
            _ => self.fold_resource(entry, time),
        }
    }

    fn fold_ledger(&mut self, stream: &str, key: &str, record: &Value) {
        let records = self.ledger.entry(stream.to_owned()).or_default();
        if record.is_null() {
            records.remove(key);
        } else {
            records.insert(key.to_owned(), record.clone());
        }
        if records.is_empty() {
            self.ledger.remove(stream);
        }
    }

    fn fold_resource(&mut self, entry: &Entry, time: Timestamp) {
        // The others leave a record or an open intent with their time: one map less to change for each.
        let leaves_time = matches!(entry, Entry::Intent { .. } | Entry::Created { .. } | Entry::Recorded { .. });
        if let Some(address) = entry.address().filter(|_| !leaves_time) {
            self.touched.insert(address.clone(), time);
        }
        match entry {
            Entry::Intent { .. } => self.fold_intent(entry, time),
            Entry::Created { address, kind, id, generation, .. } => {
                let made_it = |intent: &OpenIntent| {
                    matches!(intent.action, Action::Create | Action::Replace) && intent.generation == *generation
                };
                let intent = self.intents.get(address).and_then(|open| open.iter().find(|intent| made_it(intent)));
                let lifecycle = intent.map(|intent| intent.lifecycle.clone()).unwrap_or_default();
                self.close_intents(address, made_it);
                let (kind, id) = (kind.clone(), id.clone());
                self.put_record(
                    address,
                    Record {
                        kind,
                        id,
                        generation: *generation,
                        arguments: Value::Null,
                        attributes: Value::Null,
                        references: Vec::new(),
                        lifecycle,
                        complete: false,
                        recorded: Some(time),
                    },
                );
            }
            Entry::Recorded { address, kind, id, generation, arguments, attributes, references, lifecycle, .. } => {
                self.close_intents(address, |intent| {
                    intent.action != Action::Delete && intent.generation == *generation
                });
                self.put_record(
                    address,
                    Record {
                        kind: kind.clone(),
                        id: id.clone(),
                        generation: *generation,
                        arguments: arguments.clone(),
                        attributes: attributes.clone(),
                        references: references.clone(),
                        lifecycle: lifecycle.clone(),
                        complete: true,
                        recorded: Some(time),
                    },
                );
            }
            Entry::Deleted { address, id, .. } => self.fold_deleted(address, id),
            Entry::Deposed { address, id, kind, generation } => self.fold_deposed(address, id, kind, *generation),
            Entry::Failed { run, step, address, residue, .. } => self.fold_failed(*run, *step, address, residue),
            Entry::Moved { from, to } => {
                self.touched.insert(from.clone(), time);
                self.fold_moved(from, to);
            }
            Entry::Forgotten { address, .. } => {
                self.resources.remove(address);
                self.deposed.remove(address);
                self.intents.remove(address);
            }
            Entry::Refreshed { address, arguments, attributes } => {
                if let Some(record) = self.resources.get_mut(address) {
                    record.arguments = arguments.clone();
                    record.attributes = attributes.clone();
                }
            }
            _ => {}
        }
    }

    fn fold_intent(&mut self, entry: &Entry, time: Timestamp) {
        let Entry::Intent { run, step, address, kind, action, generation, token, id, arguments, lifecycle } = entry
        else {
            return;
        };
        if self.resources.get(address).is_none_or(|record| record.generation < *generation) {
            self.saw_generation(address, *generation);
        }
        let open = self.intents.entry(address.clone()).or_default();
        // The same step tried again, by this run or by the one that recovers.
        open.retain(|old| (old.action, old.generation, &old.token) != (*action, *generation, token));
        open.push(OpenIntent {
            run: *run,
            step: *step,
            kind: kind.clone(),
            action: *action,
            generation: *generation,
            token: token.clone(),
            id: id.clone(),
            arguments: arguments.clone(),
            lifecycle: lifecycle.clone(),
            at: Some(time),
        });
    }

    fn saw_generation(&mut self, address: &Address, generation: u64) {
        let highest = self.generations.entry(address.clone()).or_default();
        *highest = generation.max(*highest);
    }

    fn close_intents(&mut self, address: &Address, closes: impl Fn(&OpenIntent) -> bool) {
        if let Some(open) = self.intents.get_mut(address) {
            open.retain(|intent| !closes(intent));
            if open.is_empty() {
                self.intents.remove(address);
            }
        }
    }

    fn put_record(&mut self, address: &Address, record: Record) {
        let (id, generation) = (record.id.clone(), record.generation);
        let old = self.resources.insert(address.clone(), record);
        // The highest generation of an address is at least that of what is there.
        if old.as_ref().is_none_or(|old| old.generation < generation) {
            self.saw_generation(address, generation);
        }
        if let Some(old) = old.filter(|old| old.id != id) {
            self.depose(address, old);
        }
        self.remove_deposed(address, &id);
    }

    fn depose(&mut self, address: &Address, old: Record) {
        let (id, kind, generation) = (old.id.clone(), old.kind.clone(), old.generation);
        let deposed = self.deposed.entry(address.clone()).or_default();
        if !deposed.iter().any(|known| known.id == id) {
            deposed.push(DeposedRecord { id, kind, generation, was: Some(Box::new(old)) });
        }
    }

    fn remove_deposed(&mut self, address: &Address, id: &PhysicalId) {
        if let Some(deposed) = self.deposed.get_mut(address) {
            deposed.retain(|old| old.id != *id);
            if deposed.is_empty() {
                self.deposed.remove(address);
            }
        }
    }

    fn fold_deposed(&mut self, address: &Address, id: &PhysicalId, kind: &str, generation: u64) {
        if self.resources.get(address).is_some_and(|record| record.id == *id)
            && let Some(old) = self.resources.remove(address)
        {
            self.depose(address, old);
            return;
        }
        let deposed = self.deposed.entry(address.clone()).or_default();
        if !deposed.iter().any(|known| known.id == *id) {
            deposed.push(DeposedRecord { id: id.clone(), kind: kind.to_owned(), generation, was: None });
        }
    }

    fn fold_deleted(&mut self, address: &Address, id: &PhysicalId) {
        if self.resources.get(address).is_some_and(|record| record.id == *id) {
            self.resources.remove(address);
        }
        self.remove_deposed(address, id);
        self.close_intents(address, |intent| match intent.action {
            Action::Delete => intent.id.as_ref().is_none_or(|intended| intended == id),
            // A failed create that was known to have left this id behind, and an update of what is gone.
            Action::Create | Action::Update => intent.id.as_ref() == Some(id),
            Action::Replace | Action::Read | Action::Forget => false,
        });
    }

    fn fold_failed(&mut self, run: RunId, step: u32, address: &Address, residue: &Residue) {
        match residue {
            Residue::Nothing => self.close_intents(address, |intent| intent.run == run && intent.step == step),
            Residue::Resource(id) => {
                let open = self.intents.get_mut(address).into_iter().flatten();
                for intent in open.filter(|intent| intent.run == run && intent.step == step) {
                    intent.id = Some(id.clone());
                }
            }
            Residue::Unknown => {}
        }
    }

    /// Gives everything at `from` the address `to`; where `to` is taken, nothing moves, so that nothing is lost.
    fn fold_moved(&mut self, from: &Address, to: &Address) {
        if self.resources.contains_key(to) {
            return;
        }
        if let Some(record) = self.resources.remove(from) {
            self.resources.insert(to.clone(), record);
        }
        for deposed in self.deposed.remove(from).into_iter().flatten() {
            self.deposed.entry(to.clone()).or_default().push(deposed);
        }
        for intent in self.intents.remove(from).into_iter().flatten() {
            self.intents.entry(to.clone()).or_default().push(intent);
        }
        if let Some(generation) = self.generations.get(from).copied() {
            self.saw_generation(to, generation);
        }
        for record in self.resources.values_mut() {
            for reference in record.references.iter_mut().filter(|reference| *reference == from) {
                *reference = to.clone();
            }
        }
    }
}

/// Adds a run that starts, or notes how one ended.
pub(super) fn fold_run(runs: &mut VecDeque<Run>, entry: &Entry, time: Timestamp) {
    match entry {
        Entry::RunStarted { run, command, who, host, spec_digest, plan_digest, spec_commit, opora } => {
            runs.push_back(Run {
                run: *run,
                command: command.clone(),
                who: who.clone(),
                host: host.clone(),
                spec_digest: spec_digest.clone(),
                plan_digest: plan_digest.clone(),
                spec_commit: spec_commit.clone(),
                opora: opora.clone(),
                started: time,
                finished: None,
            })
        }
        Entry::RunFinished { run, outcome } => {
            if let Some(known) = runs.iter_mut().rev().find(|known| known.run == *run) {
                known.finished = Some((time, *outcome));
            }
        }
        _ => {}
    }
}
