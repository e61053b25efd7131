//! What every kind has to do, by iterating the registry: a new kind cannot escape these tests.
//!
//! A kind brings one sample, `samples/<kind>.yaml`: arguments, what they need, and patches that change every
//! argument. Each test makes the sample in a sandbox and looks at what the engine does with it.

use std::collections::BTreeSet;

use opora::aws::ErrorClass;
use opora::aws::kinds;
use opora::aws::resource::{Changes, Deletion, ErasedUpdate, Fields, Kind};
use opora::graph::{Address, PhysicalId};
use opora::kind::{KindSchema, OnChange, Owner, Seen, SeenResource};
use opora::plan::Action;
use opora::sandbox::{Conditions, Fault, FaultKind};
use opora::spec::Environment;
use opora::state::Record;
use serde_json::{Value, json};

use crate::sample::{Sample, merge, sample, spec, spec_of};
use crate::support::{TestSecrets, World};
use crate::weather::first;

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) sample: Sample,
    kind: &'static dyn Kind,
    address: Address,
}

impl Bench {
    fn new(kind: &'static dyn Kind) -> Self {
        let name = kind.schema().name;
        let bench = Self { world: World::new(7), sample: sample(name), kind, address: Address::new(name, "sample") };
        bench.set_faults(Vec::new());
        bench
    }

    fn set_faults(&self, faults: Vec<Fault>) {
        self.world.sandbox.set_conditions(Conditions { faults, ..self.sample.conditions.clone() });
    }

    pub(crate) fn schema(&self) -> &KindSchema {
        self.kind.schema()
    }

    pub(crate) fn environment(&self, arguments: &Value) -> Environment {
        self.world.load(&spec(&self.sample, self.schema().name, arguments))
    }

    pub(crate) async fn action(&self, environment: &Environment) -> (Action, BTreeSet<String>) {
        let plan = self.world.plan(environment, false).await.expect("a plan");
        let change =
            plan.changes.iter().find(|change| change.address == self.address).expect("the sample is in the plan");
        (change.action, change.fields.iter().map(|field| field.path.clone()).collect())
    }

    #[track_caller]
    pub(crate) fn assert_applied(&self, report: &opora::apply::Report, what: &str) {
        assert!(report.is_complete(), "{} {what}: {:#?} {:#?}", self.schema().name, report.failed, report.skipped);
    }

    /// Makes the sample; returns its arguments.
    pub(crate) async fn create(&self) -> Value {
        let arguments = self.sample.arguments.clone();
        self.assert_applied(&self.world.apply(&self.environment(&arguments), false).await, "create");
        arguments
    }

    /// Patches arguments; returns the environment with them, and what a plan for it does to the sample.
    pub(crate) async fn patch(&self, arguments: &mut Value, patch: &Value) -> (Environment, Action, BTreeSet<String>) {
        merge(arguments, patch);
        let environment = self.environment(arguments);
        let (action, fields) = self.action(&environment).await;
        (environment, action, fields)
    }

    async fn record(&self) -> Record {
        self.world.state().await.resources[&self.address].clone()
    }

    async fn attributes(&self) -> Value {
        self.record().await.attributes
    }

    /// Reads what is recorded, whole.
    async fn seen(&self, id: &PhysicalId) -> Seen {
        self.kind.read_many(&self.world.aws, std::slice::from_ref(id), &Fields::All).await.unwrap()[id].clone()
    }

    async fn present(&self, id: &PhysicalId) -> SeenResource {
        let Seen::Present(seen) = self.seen(id).await else { panic!("{} was not read", self.schema().name) };
        seen
    }

    /// What refers to an attribute is planned with its old value unless the attribute is marked `x-volatile`.
    #[track_caller]
    fn assert_stable(&self, before: &Value, after: &Value, what: &str) {
        for (name, value) in before.as_object().unwrap() {
            let stable = after.get(name) == Some(value) || self.schema().attributes.is_volatile(name);
            assert!(stable, "{} {what}: the attribute `{name}` changed and is not x-volatile", self.schema().name);
        }
    }

    async fn assert_empty_plan(&self, environment: &Environment, what: &str) {
        let plan = self.world.plan(environment, false).await.expect("a plan");
        let changes: Vec<_> = plan.changes.iter().filter(|change| change.action != Action::NoOp).collect();
        assert!(changes.is_empty(), "{} {what}: the plan after it is not empty: {changes:#?}", self.schema().name);
    }
}

/// Runs a test with every kind's sample in a world of its own.
pub fn each_sample(test: impl AsyncFn(World, Environment, &'static str)) {
    each(async |bench: Bench| {
        let environment = bench.environment(&bench.sample.arguments);
        let name = bench.schema().name;
        test(bench.world, environment, name).await;
    });
}

/// Runs a test for every kind, and fails with all kinds that failed; `OPORA_KIND=name` picks one.
pub(crate) fn each(test: impl AsyncFn(Bench)) {
    let only = std::env::var("OPORA_KIND").ok();
    let mut failed = Vec::new();
    for kind in kinds::all() {
        let name = kind.schema().name;
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let run = std::panic::AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test(Bench::new(kind)));
        });
        if std::panic::catch_unwind(run).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "these kinds fail: {failed:?}");
}

#[test]
fn created_and_read_back_there_is_nothing_to_change() {
    each(async |bench| {
        let environment = bench.environment(&bench.sample.arguments);
        let report = bench.world.apply(&environment, false).await;
        bench.assert_applied(&report, "create");
        bench.assert_empty_plan(&environment, "create").await;
        let record = bench.record().await;
        let seen = bench.present(&record.id).await;
        if bench.schema().takes_tags() {
            let owner = Owner::new("conformance", &bench.address, record.generation);
            assert_eq!(seen.owner.as_ref(), Some(&owner), "{} has its ownership tags", bench.schema().name);
        }
        let found = bench.kind.discover(&bench.world.aws).await.unwrap();
        assert!(found.iter().any(|found| found.id == record.id), "{} is discovered", bench.schema().name);
    });
}

#[test]
fn every_argument_is_updated_in_place_or_replaces() {
    each(async |bench| {
        let mut touched = BTreeSet::new();
        let mut arguments = bench.create().await;
        for patch in &bench.sample.updates {
            let (environment, action, fields) = bench.patch(&mut arguments, patch).await;
            assert_eq!(action, Action::Update, "{} {patch}: {fields:?}", bench.schema().name);
            touched.extend(fields);
            let before = bench.attributes().await;
            bench.assert_applied(&bench.world.apply(&environment, false).await, &format!("update {patch}"));
            bench.assert_stable(&before, &bench.attributes().await, &format!("update {patch}"));
            bench.assert_empty_plan(&environment, &format!("update {patch}")).await;
        }
        for patch in &bench.sample.replaces {
            let (environment, action, fields) = bench.patch(&mut arguments, patch).await;
            assert_eq!(action, Action::Replace, "{} {patch}: {fields:?}", bench.schema().name);
            touched.extend(fields);
            bench.assert_applied(&bench.world.apply(&environment, false).await, &format!("replace {patch}"));
            bench.assert_empty_plan(&environment, &format!("replace {patch}")).await;
        }
        let tops: BTreeSet<&str> = touched.iter().map(|path| path.split(['.', '[']).next().unwrap()).collect();
        let missing: Vec<_> = bench
            .schema()
            .arguments
            .properties()
            .map(|(name, _)| name.as_str())
            .filter(|name| !tops.contains(name))
            .collect();
        assert!(missing.is_empty(), "{}: no patch of its sample changes {missing:?}", bench.schema().name);
        for path in &touched {
            let replaces = bench.schema().on_change(path) == OnChange::Replace;
            let of_patches = |patches: &[Value]| {
                patches.iter().any(|patch| patch.get(path.split(['.', '[']).next().unwrap()).is_some())
            };
            let listed = if replaces { of_patches(&bench.sample.replaces) } else { true };
            assert!(listed, "{}: {path} replaces, and is not among the sample's `replaces`", bench.schema().name);
        }
    });
}

/// What a plan read may be older than what the update finds: what is already as it should be stays so.
#[test]
fn an_update_of_what_is_already_so_leaves_it_so() {
    each(async |bench| {
        let mut arguments = bench.create().await;
        for patch in &bench.sample.updates {
            let (environment, _, fields) = bench.patch(&mut arguments, patch).await;
            bench.assert_applied(&bench.world.apply(&environment, false).await, &format!("update {patch}"));
            let record = bench.record().await;
            let update = ErasedUpdate {
                aws: &bench.world.aws,
                scope: &environment.scope,
                address: &bench.address,
                id: &record.id,
                arguments: &record.arguments,
                changes: &Changes(fields),
                owner: &Owner::new("conformance", &bench.address, record.generation),
                token: "again",
                secrets: &TestSecrets,
            };
            let calls = bench.world.sandbox.calls().len();
            let again = bench.kind.update(update).await;
            let harmless = again.as_ref().err().is_none_or(|error| error.class == ErrorClass::AlreadyExists);
            assert!(harmless, "{} {patch}, once more: {again:?}", bench.schema().name);
            // Nor is it without what it has for a moment.
            let calls = bench.world.sandbox.calls().split_off(calls);
            let takes = |name: &str| ["Detach", "Remove"].iter().any(|start| name.starts_with(start));
            let taken = calls.iter().find(|call| !call.touched.is_empty() && takes(&call.operation));
            assert!(taken.is_none(), "{} {patch}, once more: {taken:?}", bench.schema().name);
            bench.assert_empty_plan(&environment, &format!("update {patch}, once more")).await;
        }
    });
}

#[test]
fn deleted_it_is_absent_and_deleting_it_again_succeeds() {
    each(async |bench| {
        let environment = bench.environment(&bench.sample.arguments);
        bench.assert_applied(&bench.world.apply(&environment, false).await, "create");
        let record = bench.record().await;
        bench.assert_applied(&bench.world.apply(&environment, true).await, "destroy");
        assert!(bench.world.state().await.resources.is_empty(), "{}", bench.schema().name);
        assert_eq!(bench.seen(&record.id).await, Seen::Absent, "{} is absent after its deletion", bench.schema().name);
        let again = Deletion {
            aws: &bench.world.aws,
            scope: &environment.scope,
            id: &record.id,
            recorded: &record.arguments,
            allow_data_loss: true,
        };
        bench.kind.delete(again).await.unwrap_or_else(|error| panic!("{} deleted twice: {error}", bench.schema().name));
    });
}

/// A resource that has another address in the spec and not in the state is deleted and made anew, with all that
/// only one can have: its name, its range, what it is attached to.
#[test]
fn under_another_address_it_is_made_when_the_old_one_is_gone() {
    each(async |bench| {
        let schema = bench.schema().clone();
        let mut arguments = bench.create().await;
        let seen = bench.present(&bench.record().await.id).await;
        // What AWS or opora chose is now asked for by name.
        let unique = |node: &Value| node.get("x-unique").is_some();
        for (name, _) in schema.arguments.properties().filter(|(name, node)| *name == "name" || unique(node)) {
            if arguments.get(name).is_none() && !seen.arguments[name].is_null() {
                arguments[name] = seen.arguments[name].clone();
            }
        }
        // What is kept while a deletion waits is free at once where it does not.
        let properties = || schema.arguments.properties();
        if properties().any(|(_, node)| node.get("x-kept").is_some()) {
            let (waits, _) = properties().find(|(_, node)| node.get("x-waits").is_some()).expect("it waits");
            arguments[waits] = json!(0);
            bench.assert_applied(&bench.world.apply(&bench.environment(&arguments), false).await, "no waiting");
        }
        let mut resources = bench.sample.needs.as_object().cloned().unwrap_or_default();
        resources.entry(schema.name).or_insert_with(|| json!({}))["elsewhere"] = arguments;
        let environment = bench.world.load(&spec_of(&resources.into()));
        // The first call of its deletion is held up: a create that does not wait is there before it.
        let operations = schema.actions.delete.iter().filter_map(|action| action.split_once(':'));
        bench.set_faults(operations.map(|(_, operation)| first(operation, FaultKind::Unavailable)).collect());
        bench.assert_applied(&bench.world.apply(&environment, false).await, "move");
        bench.assert_empty_plan(&environment, "move").await;
    });
}

/// Breaks each call of a create in turn: what a run leaves behind, the next run completes, without a second one.
#[test]
fn a_create_that_is_cut_off_anywhere_converges() {
    each(async |bench| {
        let environment = bench.environment(&bench.sample.arguments);
        bench.assert_applied(&bench.world.apply(&environment, false).await, "create");
        // A lost reply to a read is only repeated; what counts is each call that changes something.
        let calls = bench.world.sandbox.calls();
        let reads = ["Describe", "Get", "List", "Head"];
        let changes =
            calls.iter().zip(1..).filter(|(call, _)| !reads.iter().any(|read| call.operation.starts_with(read)));
        let changes: Vec<u64> = changes.map(|(_, nth)| nth).collect();
        let calls = calls.len();
        for kind in [FaultKind::LostReply, FaultKind::ServerError] {
            for nth in changes.clone() {
                let bench = Bench::new(bench.kind);
                bench.set_faults(vec![fault(kind, nth)]);
                let _ = bench.world.apply(&environment, false).await;
                bench.set_faults(Vec::new());
                let what = format!("after {kind:?} at call {nth} of {calls}");
                bench.assert_applied(&bench.world.apply(&environment, false).await, &what);
                bench.assert_empty_plan(&environment, &what).await;
                let found = bench.kind.discover(&bench.world.aws).await.unwrap();
                let own = bench.address.tag_value();
                let mine = found.iter().filter(|found| found.owner.as_ref().is_some_and(|owner| owner.address == own));
                let tagged = bench.schema().takes_tags();
                assert!(
                    !tagged || mine.clone().count() == 1,
                    "{} {what}: {mine:?}",
                    bench.schema().name,
                    mine = mine.collect::<Vec<_>>()
                );
            }
        }
    });
}

fn fault(kind: FaultKind, nth: u64) -> Fault {
    Fault { service: None, operation: None, nth: Some(nth), every: None, probability: None, kind, seen: 0 }
}

#[test]
fn every_kind_has_a_page_and_every_argument_a_description() {
    for kind in kinds::all() {
        let schema = kind.schema();
        assert!(!schema.arguments.description().is_empty(), "{} has no doc comment", schema.name);
        for line in schema.arguments.documentation().iter().chain(&schema.attributes.documentation()) {
            assert!(!line.description.is_empty(), "{}.{} has no doc comment", schema.name, line.path);
        }
        for actions in [schema.actions.read, schema.actions.create, schema.actions.delete] {
            assert!(!actions.is_empty(), "{} names no IAM actions", schema.name);
        }
    }
}
