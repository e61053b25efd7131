//! Changes behind the back of a plan: each is found before the first write, with who made it, and nothing is written.

use std::collections::BTreeMap;

use opora::apply::{changes_since, wanted_fields};
use opora::aws::Aws;
use opora::aws::bulk::BULK_MIN;
use opora::aws::kinds;
use opora::aws::resource::{Changes, Deletion, ErasedUpdate, Kind};
use opora::engine;
use opora::graph::Address;
use opora::kind::{Owner, Seen, normalise};
use opora::plan::{compare, resolve_all};
use opora::sandbox::Conditions;
use opora::spec::Environment;
use opora::state::Record;
use serde_json::{Map, Value, json};

use super::mortal::Fate;
use super::{Draw, Life, block_on, number, on_all_cores};
use crate::sample::{Sample, merge, sample, spec, spec_of};
use crate::support::{TestSecrets, connect_outsider, connect_to};

/// Changes that a plain `cargo test` makes.
const CHANGES: u64 = 52;

/// Draws without a visible change before a kind is given up.
const DRAWS_MAX: u64 = 200;

/// Draws on one environment: what keeps versions allows only so many.
const LIFE_MAX: u64 = 12;

/// An environment whose sample somebody else changes.
struct Victim {
    life: Life,
    kind: &'static dyn Kind,
    sample: Sample,
    address: Address,
    outsider: Aws,
    aws: Aws,
}

impl Victim {
    fn new(kind: &'static dyn Kind) -> Self {
        let (life, name) = (Life::new(3), kind.schema().name);
        let sample = sample(name);
        life.sandbox.set_conditions(sample.conditions.clone());
        let (outsider, aws) = (connect_outsider(&life.sandbox), connect_to(&life.sandbox));
        Self { kind, sample, address: Address::new(name, "sample"), outsider, aws, life }
    }

    fn environment(&self) -> Environment {
        self.life.load(&spec(&self.sample, self.kind.schema().name, &self.sample.arguments))
    }

    /// Reads of the sample what a plan reads: what is set of it.
    async fn seen(&self, record: &Record) -> Seen {
        let fields = wanted_fields([(self.kind.schema().name, &record.arguments)]);
        let read =
            self.kind.read_many(&self.aws, std::slice::from_ref(&record.id), &fields[self.kind.schema().name]).await;
        read.expect("the sandbox answers").remove(&record.id).expect("every id is answered")
    }

    /// Changes the sample as somebody does who knows nothing of opora; false where the draw changes nothing.
    async fn change(&self, draw: &mut Draw, environment: &Environment, record: &Record) -> bool {
        let before = self.seen(record).await;
        let scope = &environment.scope;
        if draw.chance(15) {
            // Nothing that would hold its name for days.
            let recorded = json!({ "recovery_window_days": 0 });
            let deletion =
                Deletion { aws: &self.outsider, scope, id: &record.id, recorded: &recorded, allow_data_loss: true };
            // What is in use can't be deleted, and that is no change.
            return self.kind.delete(deletion).await.is_ok() && self.seen(record).await.digest() != before.digest();
        }
        // Patches build on each other.
        let patches = draw.below(self.sample.updates.len() as u64 + 1) as usize;
        let mut arguments = self.sample.arguments.clone();
        for patch in &self.sample.updates[..patches] {
            merge(&mut arguments, patch);
        }
        let other = self.life.load(&spec(&self.sample, self.kind.schema().name, &arguments));
        let desired = &other.resources[&self.address];
        let state = self.life.log(&Fate::long_life()).load().await.expect("the state loads");
        let arguments = resolve_all(&desired.arguments, &desired.deferred, &engine::known(&state));
        let arguments = normalise(&self.kind.schema().arguments, &arguments);
        let Seen::Present(seen) = &before else { return false };
        let found = compare(self.kind.schema(), &arguments, &seen.arguments, Some(&record.arguments), &[]);
        if found.changes.is_empty() || found.changes.iter().any(|change| change.replaces) {
            return false;
        }
        let paths = Changes(found.changes.into_iter().map(|change| change.path).collect());
        let owner = Owner::new(&scope.environment, &self.address, record.generation);
        let update = ErasedUpdate {
            aws: &self.outsider,
            scope,
            address: &self.address,
            id: &record.id,
            arguments: &arguments,
            changes: &paths,
            owner: &owner,
            token: "outside",
            secrets: &TestSecrets,
        };
        // A patch that builds on an earlier one may be refused by itself.
        let _ = self.kind.update(update).await;
        self.seen(record).await.digest() != before.digest()
    }
}

/// Makes so many changes to the sample of a kind, each after a plan.
async fn play(kind: &'static dyn Kind, count: u64) {
    let mut victim = Victim::new(kind);
    let name = kind.schema().name;
    let mut draw = Draw(name.bytes().map(u64::from).sum());
    let environment = victim.environment();
    let (mut made, mut draws) = (0, 0);
    while made < count && draws < DRAWS_MAX {
        draws += 1;
        if draws % LIFE_MAX == 0 {
            victim = Victim::new(kind);
        }
        victim.life.converge(&environment, false).await;
        let state = victim.life.log(&Fate::long_life()).load().await.expect("the state loads");
        let plan = victim.life.plan(&victim.aws, &environment, &state, draw.chance(50)).await.expect("a plan");
        let since = victim.aws.now();
        victim.life.sandbox.clock().advance(1.0);
        if !victim.change(&mut draw, &environment, &state.resources[&victim.address]).await {
            continue;
        }
        made += 1;
        // Long enough for CloudTrail to tell of it.
        victim.life.sandbox.clock().advance(1_000.0);
        let calls = victim.life.sandbox.call_count();
        let refusals = changes_since(&victim.aws, &kinds::get, &plan, since).await;
        let what = format!("{name}, draw {draws}");
        let own = victim.address.to_string();
        let refusal = refusals.iter().find(|found| found.detail.as_deref().is_some_and(|text| text.starts_with(&own)));
        let refusal = refusal.unwrap_or_else(|| panic!("{what}: the change is not found: {refusals:#?}"));
        assert_eq!(refusal.code, "PLAN009", "{what}");
        let reads = ["Describe", "Get", "Head", "List", "Lookup"];
        let all = victim.life.sandbox.calls();
        let written: Vec<_> = all
            .iter()
            .filter(|call| call.n > calls && !reads.iter().any(|read| call.operation.starts_with(read)))
            .map(|call| &call.operation)
            .collect();
        assert!(written.is_empty(), "{what}: the refusal wrote {written:?}");
        let detail = refusal.detail.as_deref().unwrap_or_default();
        assert!(detail.contains("last written by arn:aws:iam::"), "{what}: nobody is named: {detail}");
    }
    assert!(made == count, "{name}: only {made} of {count} changes could be made");
}

#[test]
fn every_change_behind_a_plan_is_refused() {
    let all: BTreeMap<&str, &'static dyn Kind> = kinds::all().map(|kind| (kind.schema().name, kind)).collect();
    let each = number("OPORA_CHANGES").unwrap_or(CHANGES).div_ceil(all.len() as u64);
    let only = std::env::var("OPORA_KIND").ok();
    let names = all.keys().filter(|name| only.as_ref().is_none_or(|only| only == *name));
    let names = names.map(|name| (*name).to_owned()).collect();
    let failed = on_all_cores(names, |name| block_on(play(all[name], each)));
    println!("{} changes", each * all.len() as u64);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_tag_that_pages_do_not_show_yet_is_refused() {
    block_on(async {
        let victim = Victim::new(kinds::get("log_group").unwrap());
        // So many that their tags are read in pages.
        let group = |n| (format!("n{n}"), json!({ "name": format!("/lagging/{n}"), "retention_days": 30 }));
        let groups: Map<String, Value> = (0..2 * BULK_MIN).map(group).collect();
        let environment = victim.life.load(&spec_of(&json!({ "log_group": groups })));
        victim.life.converge(&environment, false).await;
        let lag = Conditions { list_lag_s: 300.0, ..Conditions::default() };
        victim.life.sandbox.set_conditions(lag);
        victim.life.sandbox.clock().advance(1_000.0);
        let state = victim.life.log(&Fate::long_life()).load().await.expect("the state loads");
        let plan = victim.life.plan(&victim.aws, &environment, &state, false).await.expect("a plan");
        let since = victim.aws.now();
        let changed = Address::new("log_group", "n3");
        let arn = state.resources[&changed].attributes["arn"].as_str().unwrap();
        let tag = victim.outsider.logs().tag_resource().resource_arn(arn).tags("owner", "somebody");
        tag.send().await.expect("the group is tagged");
        let refusals = changes_since(&victim.aws, &kinds::get, &plan, since).await;
        let [refusal] = refusals.as_slice() else { panic!("one resource was changed: {refusals:#?}") };
        let detail = refusal.detail.as_deref().unwrap_or_default();
        assert!(detail.starts_with(&changed.to_string()) && detail.contains("somebody"), "{detail}");
    });
}
