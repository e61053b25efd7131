//! Rehearsals: what an apply would meet is found before its first write, and nothing else is.
//!
//! Each file in `rehearsal/` is a situation in which a plan passes and the apply fails, with AWS's own page about it:
//! the account before, the spec, and what AWS answers. The rehearsal has to say the same as the apply then does, at
//! the same address, and only by reading.

mod case;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::{CreateBucketConfiguration, VersioningConfiguration};
use opora::apply::{observe, wanted_fields};
use opora::aws::connect::caller;
use opora::aws::kinds;
use opora::plan::Plan;
use opora::rehearse::{Input, Rehearsal, rehearse};
use opora::spec::Environment;

use crate::support::{ACCOUNT, REGION, TestSecrets, World, connect_as};
use stage::TestStage;

async fn rehearsed(world: &World, environment: &Environment, plan: &Plan, stage: &TestStage) -> Rehearsal {
    let caller = caller(&world.aws).await.unwrap();
    let state = world.state().await;
    let input = Input {
        account: &world.aws,
        caller: &caller,
        stage,
        scope: &environment.scope,
        state: &state,
        plan,
        quotas: &BTreeMap::new(),
        secrets: &TestSecrets,
    };
    rehearse(&input).await.expect("the rehearsal's log works")
}

/// Fails where a call since then changed anything.
#[track_caller]
fn assert_only_reads(world: &World, since: u64) {
    let verbs = ["Describe", "Get", "Head", "List", "Lookup", "Simulate"];
    let calls = world.sandbox.calls();
    for call in calls.iter().filter(|call| call.n > since) {
        assert!(verbs.iter().any(|verb| call.operation.starts_with(verb)), "{}:{}", call.service, call.operation);
        assert!(call.touched.is_empty(), "{}:{} changed {:?}", call.service, call.operation, call.touched);
    }
}

/// Applies a spec, rehearses it again, and compares the copy with the account.
async fn assert_faithful(world: &World, environment: &Environment, what: &str) {
    let report = world.apply(environment, false).await;
    assert!(report.is_complete(), "{what}: {:#?}", report.failed);
    let plan = world.plan(environment, false).await.expect("a plan");
    let before = world.sandbox.call_count();
    let stage = TestStage::new(&environment.scope);
    let done = rehearsed(world, environment, &plan, &stage).await;
    assert_only_reads(world, before);
    assert_eq!(done.findings, Vec::new(), "{what}");
    assert_eq!(done.unknown, Vec::<String>::new(), "{what}");
    let state = world.state().await;
    let ids =
        state.resources.iter().map(|(at, record)| (at.clone(), (record.kind.clone(), record.id.clone()))).collect();
    let fields = wanted_fields(state.resources.values().map(|record| (record.kind.as_str(), &record.arguments)));
    let own = observe(&world.aws, &kinds::get, &ids, &fields).await;
    let copy = observe(&stage.aws, &kinds::get, &ids, &fields).await;
    for (address, seen) in &own {
        let (seen, copied) = (seen.present(), copy[address].present());
        let arguments = |seen: Option<&opora::kind::SeenResource>| seen.map(|seen| seen.arguments.clone());
        assert_eq!(arguments(copied), arguments(seen), "{what}: {address}");
        let arn = |seen: Option<&opora::kind::SeenResource>| seen.map(|seen| seen.attributes["arn"].clone());
        assert_eq!(arn(copied), arn(seen), "{what}: {address}");
    }
}

#[test]
fn every_kind_can_be_copied() {
    crate::conformance::each_sample(async |world, environment, kind| {
        assert_faithful(&world, &environment, kind).await;
    });
}

#[tokio::test]
async fn examples_raise_no_alarm() {
    for (name, yaml) in case::examples() {
        let world = World::new(11);
        let environment = case::load(&world, &yaml).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        let plan = world.plan(&environment, false).await.expect("a plan");
        let stage = TestStage::new(&environment.scope);
        let before = world.sandbox.call_count();
        let done = rehearsed(&world, &environment, &plan, &stage).await;
        assert_only_reads(&world, before);
        assert_eq!(done.findings, Vec::new(), "{name}: a false alarm");
        assert_eq!(done.unknown, Vec::<String>::new(), "{name}");
        assert!(done.skipped.is_empty(), "{name}: {:?}", done.skipped);
        // Once it is there, the same holds of the second apply and of the end.
        assert_faithful(&world, &environment, &name).await;
        // Some of it is protected, and then there is no plan for its end.
        let Ok(plan) = world.plan(&environment, true).await else { continue };
        let done = rehearsed(&world, &environment, &plan, &TestStage::new(&environment.scope)).await;
        let report = world.apply(&environment, true).await;
        let real: BTreeSet<_> = report.failed.iter().map(|failed| failed.address.to_string()).collect();
        let told: BTreeSet<_> = done.findings.iter().map(|finding| finding.address.to_string()).collect();
        assert_eq!(told, real, "{name}: the end");
    }
}

#[tokio::test]
async fn a_quota_that_the_account_has_passed_is_not_assumed() {
    let world = World::new(3);
    let raised = BTreeMap::from([("vpcs".to_owned(), 20)]);
    world.sandbox.set_conditions(opora::sandbox::Conditions { quotas: raised, ..Default::default() });
    for number in 0..7 {
        world.aws.ec2().create_vpc().cidr_block(format!("10.{number}.0.0/16")).send().await.unwrap();
    }
    let spec = "{ opora: 1, environment: more, account: \"123456789012\", region: us-east-1, \
                resources: { vpc: { main: { cidr: 10.200.0.0/16 } } } }";
    let environment = case::load(&world, spec).unwrap();
    let plan = world.plan(&environment, false).await.unwrap();
    let done = rehearsed(&world, &environment, &plan, &TestStage::new(&environment.scope)).await;
    assert_eq!(done.findings, Vec::new());
    assert!(done.unknown.iter().any(|what| what.contains("`vpcs`: the account has 8")), "{:?}", done.unknown);
    assert_eq!(done.copied, 7);
}

#[tokio::test]
async fn a_destination_that_the_copy_can_not_know_raises_no_alarm() {
    let world = World::new(4);
    let foreign = connect_as(&world.sandbox, "999988887777", REGION);
    let far = connect_as(&world.sandbox, ACCOUNT, "eu-west-1");
    let there = CreateBucketConfiguration::builder().location_constraint("eu-west-1".into()).build();
    foreign.s3().create_bucket().bucket("foreign-copies").send().await.unwrap();
    far.s3().create_bucket().bucket("far-copies").create_bucket_configuration(there).send().await.unwrap();
    for (aws, bucket) in [(&foreign, "foreign-copies"), (&far, "far-copies")] {
        let enabled = VersioningConfiguration::builder().status("Enabled".into()).build();
        aws.s3().put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await.unwrap();
    }
    let environment = world.load(&crate::sample::spec_of(&serde_json::json!({
        "iam_role": { "copier": { "trust": { "service": "s3.amazonaws.com" } } },
        "s3_bucket": { "data": { "name": "acme-data", "versioning": true,
            "policy": { "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": "s3:DeleteBucket",
                "Principal": { "AWS": "$(iam_role.copier.arn)" }, "Resource": "arn:aws:s3:::acme-data" }] },
            "replication": { "role": "$(iam_role.copier.arn)", "rules": [
                { "destination": { "bucket": "arn:aws:s3:::foreign-copies", "account": "999988887777",
                    "owner_override": true } },
                { "priority": 1, "destination": { "bucket": "arn:aws:s3:::far-copies" } }] } } },
    })));
    let plan = world.plan(&environment, false).await.unwrap();
    let before = world.sandbox.call_count();
    let done = rehearsed(&world, &environment, &plan, &TestStage::new(&environment.scope)).await;
    assert_only_reads(&world, before);
    assert_eq!(done.findings, Vec::new());
    let unseen = |name: &str| format!("whether bucket {name} keeps versions, as replication to it needs");
    assert_eq!(done.unknown, [unseen("far-copies"), unseen("foreign-copies")]);
    world.apply_all(&environment).await;
}

#[test]
fn situations_are_found_before_the_first_write() {
    let only = std::env::var("OPORA_CASE").ok();
    let cases: Vec<case::Case> = case::all()
        .into_iter()
        .filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str())))
        .collect();
    let run = |case: &case::Case| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(case.run())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Vec<_>> = std::thread::scope(|scope| {
        let part = |chunk: &'_ [case::Case]| chunk.iter().map(run).collect::<Vec<_>>();
        let chunks = cases.chunks(cases.len().div_ceil(threads).max(1));
        let running: Vec<_> = chunks.map(|chunk| scope.spawn(move || part(chunk))).collect();
        running.into_iter().map(|one| one.join().expect("no situation panics")).collect()
    });
    let outcomes: Vec<_> = cases.iter().zip(parts.into_iter().flatten()).collect();
    let mut wrong = Vec::new();
    let mut caught = 0;
    for (case, result) in &outcomes {
        match (result, &case.missed) {
            (Ok(()), None) => caught += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{} is found; take its `missed` away", case.name)),
            (Err(_), Some(_)) => {}
            (Err(reason), None) => wrong.push(format!("{}: {reason}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    if only.is_none() {
        assert!(outcomes.len() >= 60, "{} situations", outcomes.len());
        assert!(caught * 10 >= outcomes.len() * 9, "{caught} of {} are found", outcomes.len());
    }
}

#[test]
fn situations_cover_all_kinds_and_areas() {
    let cases = case::all();
    let covered: BTreeSet<&str> = cases.iter().map(|case| case.kind.as_str()).collect();
    let kinds: BTreeSet<&str> = kinds::all().map(|kind| kind.schema().name).collect();
    assert_eq!(kinds.difference(&covered).collect::<Vec<_>>(), Vec::<&&str>::new(), "kinds without a situation");
    let areas: BTreeSet<&str> = cases.iter().map(|case| case.area.as_str()).collect();
    let wanted = ["dependency", "name", "overlap", "permission", "quota", "region", "size"];
    assert!(wanted.iter().all(|area| areas.contains(area)), "{areas:?}");
    for case in &cases {
        assert!(case.source.starts_with("https://"), "{} has no source", case.name);
    }
}
