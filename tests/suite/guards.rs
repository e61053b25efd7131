//! What stands in the way of a deletion: protection that outlives its block, and data that nobody gave up.

use aws_sdk_s3::primitives::ByteStream;
use opora::aws::kinds;
use opora::diagnostic::Diagnostic;
use opora::engine::{self, Asked};
use opora::kind::Holding;
use opora::plan::{Plan, Selection};
use opora::sandbox::{Conditions, FaultKind};
use opora::spec::Environment;
use opora::state::Entry;
use serde_json::json;

use crate::conformance::each_sample;
use crate::support::World;
use crate::weather::fault;

/// Plans as the commands do: what holds data is looked into.
async fn guarded(
    world: &World,
    environment: &Environment,
    allow: &[&str],
    destroy: bool,
) -> Result<Plan, Vec<Diagnostic>> {
    let allow_data_loss = allow.iter().map(|address| address.parse().unwrap()).collect();
    let selection = Selection { allow_data_loss, ..Selection::default() };
    let (schemas, state) = (&world.schemas, world.state().await);
    let mut observed = engine::observe_state(&world.aws, Some(environment), &state).await;
    let asked = Asked { environment, schemas, state: &state, selection: &selection, destroy };
    asked.plan(&world.aws, &mut observed).await
}

/// Returns code and detail of what refuses a plan, ids left out, in order.
async fn refusals(world: &World, environment: &Environment, allow: &[&str], destroy: bool) -> Vec<String> {
    let state = world.state().await;
    let ids: Vec<String> = state.resources.values().map(|record| record.id.to_string()).collect();
    let problems = guarded(world, environment, allow, destroy).await.expect_err("the plan is refused");
    let text = |problem: &Diagnostic| {
        let detail = ids.iter().fold(problem.detail.clone().unwrap_or_default(), |text, id| text.replace(id, "ID"));
        format!("{}: {detail}", problem.code)
    };
    let mut texts: Vec<String> = problems.iter().map(text).collect();
    texts.sort();
    texts
}

fn spec(resources: &serde_json::Value) -> String {
    json!({ "opora": 1, "environment": "guarded", "account": "123456789012", "region": "us-east-1",
        "resources": resources })
    .to_string()
}

#[tokio::test]
async fn protection_outlives_its_block_until_it_is_lifted_by_an_apply() {
    let world = World::new(1);
    let with = |prevent: bool, cidr: &str| {
        world.load(&spec(&json!({ "vpc": { "main": { "cidr": cidr, "lifecycle": { "prevent_destroy": prevent } } } })))
    };
    let without = world.load(&spec(&json!({})));
    world.apply_all(&with(true, "10.0.0.0/16")).await;
    let gone = "PLAN005: vpc.main (ID) would be deleted, and has `prevent_destroy` in the state; its block is gone from the spec";
    assert_eq!(refusals(&world, &without, &[], false).await, [gone]);
    // Nothing but an apply lifts it.
    assert_eq!(refusals(&world, &without, &["vpc.main"], false).await, [gone]);
    let protected = "PLAN005: vpc.main (ID) would be deleted, and has `prevent_destroy`";
    assert_eq!(refusals(&world, &with(true, "10.0.0.0/16"), &[], true).await, [protected]);
    let replaced = "PLAN005: vpc.main (ID) would be replaced, and has `prevent_destroy`";
    assert_eq!(refusals(&world, &with(true, "10.1.0.0/16"), &[], false).await, [replaced]);
    let unapplied = "PLAN005: vpc.main (ID) would be replaced, and has `prevent_destroy` in the state: \
                     that the spec lifts it was not applied yet";
    assert_eq!(refusals(&world, &with(false, "10.1.0.0/16"), &[], false).await, [unapplied]);

    world.apply_all(&with(false, "10.0.0.0/16")).await;
    assert_eq!(guarded(&world, &without, &[], false).await.unwrap().counts().delete, 1);
}

#[tokio::test]
async fn a_lifecycle_that_can_not_be_read_protects() {
    let world = World::new(1);
    let environment = world.load(&spec(&json!({ "vpc": { "main": { "cidr": "10.0.0.0/16" } } })));
    world.apply_all(&environment).await;
    let (address, record) = world.state().await.resources.pop_first().unwrap();
    let writer =
        world.log.acquire(opora::state::RunId(uuid::Uuid::new_v4()), "test", jiff::SignedDuration::from_secs(9));
    let writer = writer.await.unwrap();
    let recorded = |lifecycle| Entry::Recorded {
        run: writer.run(),
        step: 0,
        address: address.clone(),
        kind: record.kind.clone(),
        id: record.id.clone(),
        generation: record.generation,
        arguments: record.arguments.clone(),
        attributes: record.attributes.clone(),
        references: record.references.clone(),
        lifecycle,
    };
    // A record of another version may lack fields, and then says what it says.
    for (lifecycle, refused) in [
        (json!({ "prevent_destroy": "yes" }), true),
        (json!({ "prevent_destroy": true }), true),
        (json!({ "prevent_destroy": false }), false),
    ] {
        writer.append(vec![recorded(lifecycle.clone())]).await.unwrap();
        let plan = guarded(&world, &environment, &[], true).await;
        assert_eq!(plan.is_err(), refused, "{lifecycle}: {plan:#?}");
    }
}

#[tokio::test]
async fn data_is_given_up_by_the_spec_the_record_or_the_command() {
    let world = World::new(1);
    let with = |allow: bool| {
        world.load(&spec(&json!({ "kms_key": { "data": { "lifecycle": { "allow_data_loss": allow } } } })))
    };
    let without = world.load(&spec(&json!({})));
    world.apply_all(&with(false)).await;
    let kept = "PLAN015: kms_key.data (ID) would be deleted; lost with it: whatever it has encrypted";
    assert_eq!(refusals(&world, &with(false), &[], true).await, [kept]);
    assert_eq!(refusals(&world, &without, &[], false).await, [format!("{kept}\nits block is gone from the spec")]);
    // The spec's word counts as it stands there, the command's always.
    assert!(guarded(&world, &with(true), &[], true).await.is_ok());
    assert!(guarded(&world, &with(false), &["kms_key.data"], true).await.is_ok());
    let plan = guarded(&world, &without, &["kms_key.data"], false).await.unwrap();
    assert!(plan.steps[0].lifecycle.allow_data_loss, "the saved plan carries it");
    let unknown = guarded(&world, &with(false), &["kms_key.dta"], true).await.unwrap_err();
    assert_eq!(unknown[0].code, "PLAN008");
    // Applied, it outlives its block; and what the spec takes back is taken back.
    world.apply_all(&with(true)).await;
    assert!(guarded(&world, &without, &[], false).await.is_ok());
    assert_eq!(refusals(&world, &with(false), &[], true).await, [kept]);
}

const STORES: &str = r#"
opora: 1
environment: guarded
account: "123456789012"
region: us-east-1
resources:
  kms_key: { data: {} }
  s3_bucket: { full: { name: acme-full, versioning: true }, empty: { name: acme-empty } }
  log_group: { full: { name: /acme/full }, empty: { name: /acme/empty } }
  secretsmanager_secret: { full: { value: { from_env: OPORA_TEST_TOKEN } }, empty: {} }
  vpc: { main: { cidr: 10.0.0.0/16 } }
"#;

async fn fill(world: &World) {
    let body = ByteStream::from_static(b"data");
    world.aws.s3().put_object().bucket("acme-full").key("a").body(body).send().await.unwrap();
    world.aws.logs().create_log_stream().log_group_name("/acme/full").log_stream_name("one").send().await.unwrap();
}

#[tokio::test]
async fn what_is_empty_is_no_obstacle_and_all_else_is_named_at_once() {
    let world = World::new(1);
    let environment = world.load(STORES);
    world.apply_all(&environment).await;
    fill(&world).await;
    let full = [
        "PLAN015: kms_key.data (ID) would be deleted; lost with it: whatever it has encrypted",
        "PLAN015: log_group.full (ID) would be deleted; lost with it: its log streams, such as `one`",
        "PLAN015: s3_bucket.full (ID) would be deleted; lost with it: its objects, such as `a`",
        "PLAN015: secretsmanager_secret.full (ID) would be deleted; lost with it: its value",
    ];
    assert_eq!(refusals(&world, &environment, &[], true).await, full);
    // A delete marker hides an object, and is none.
    world.aws.s3().delete_object().bucket("acme-full").key("a").send().await.unwrap();
    let texts = refusals(&world, &environment, &[], true).await;
    assert!(texts[2].ends_with("its objects, such as `a`"), "older versions are data: {texts:?}");
    let allowed = ["kms_key.data", "s3_bucket.full", "log_group.full", "secretsmanager_secret.full"];
    let plan = guarded(&world, &environment, &allowed, true).await.unwrap();
    assert_eq!(plan.counts().delete, 8);
}

#[tokio::test]
async fn what_could_not_be_looked_into_is_not_empty() {
    let world = World::new(1);
    let environment = world.load(STORES);
    world.apply_all(&environment).await;
    let faults =
        ["ListObjectVersions", "DescribeLogStreams"].map(|operation| fault(operation, FaultKind::Denied)).to_vec();
    world.sandbox.set_conditions(Conditions { faults, ..Conditions::default() });
    let texts = refusals(&world, &environment, &["kms_key.data", "secretsmanager_secret.full"], true).await;
    let why =
        |action: &str| format!("would be deleted; whether it is empty could not be looked at: access denied: {action}");
    assert_eq!(
        texts,
        ["log_group.empty", "log_group.full", "s3_bucket.empty", "s3_bucket.full"].map(|address| {
            let action = if address.starts_with("log") { "logs:DescribeLogStreams" } else { "s3:ListObjectVersions" };
            format!("PLAN015: {address} (ID) {}", why(action))
        })
    );
}

#[tokio::test]
async fn data_that_came_after_the_plan_stays() {
    let world = World::new(1);
    let environment = world.load(&spec(&json!({ "s3_bucket": { "a": { "name": "acme-a" } } })));
    world.apply_all(&environment).await;
    // The harness plans as if everything was empty.
    let body = ByteStream::from_static(b"data");
    world.aws.s3().put_object().bucket("acme-a").key("a").body(body).send().await.unwrap();
    let report = world.apply(&environment, true).await;
    assert_eq!(report.failed[0].error.code, "BucketNotEmpty");
    assert_eq!(world.state().await.resources.len(), 1);
}

/// Every kind that holds data, by the registry: refused without a word of the user, however it is destroyed.
#[test]
fn no_kind_that_holds_data_goes_without_a_word() {
    each_sample(async |world, environment, name| {
        let kind = kinds::get(name).unwrap();
        let report = world.apply(&environment, false).await;
        assert!(report.is_complete(), "{name}: {:#?}", report.failed);
        let address = format!("{name}.sample");
        let id = world.state().await.resources[&address.parse().unwrap()].id.clone();
        let holds = kind.holds(&world.aws, &id).await;
        if !kind.schema().holds_data {
            assert_eq!(holds, Holding::Nothing, "{name}");
            return;
        }
        assert!(!matches!(holds, Holding::Unknown(_)), "{name}: {holds:?}");
        let refused = guarded(&world, &environment, &[], true).await.err().unwrap_or_default();
        let own = refused.iter().filter(|problem| problem.detail.as_deref().unwrap_or_default().starts_with(&address));
        let own: Vec<_> = own.map(|problem| problem.code).collect();
        let expected: &[&str] = if holds == Holding::Nothing { &[] } else { &["PLAN015"] };
        assert_eq!(own, expected, "{name}: {refused:#?}");
        // One that is not there holds nothing, and is not "could not look".
        let gone = opora::graph::PhysicalId::from(match name {
            "kms_key" => "11111111-2222-4333-8444-555555555555",
            _ => "acme-is-not-there",
        });
        let gone = kind.holds(&world.aws, &gone).await;
        assert!(matches!(gone, Holding::Nothing | Holding::Always(_)), "{name}: {gone:?}");
    });
}

#[tokio::test]
async fn a_key_waits_as_long_as_was_applied_before_it_is_gone() {
    for (days, expected) in [(None, 30), (Some(7), 7), (Some(12), 12)] {
        let world = World::new(1);
        let mut key = json!({ "lifecycle": { "allow_data_loss": true } });
        if let Some(days) = days {
            key["deletion_window_days"] = json!(days);
        }
        let environment = world.load(&spec(&json!({ "kms_key": { "data": key } })));
        world.apply_all(&environment).await;
        let guards = engine::guards(&environment, &world.schemas, &world.state().await);
        assert_eq!(guards[0].waiting_days, Some(expected));
        let id = world.state().await.resources.pop_first().unwrap().1.id;
        let now = world.aws.now().as_second();
        assert!(world.apply(&environment, true).await.is_complete());
        let key = world.aws.kms().describe_key().key_id(id.as_str()).send().await.unwrap().key_metadata.unwrap();
        let waits = (key.deletion_date.unwrap().secs() - now) as f64 / 86_400.0;
        assert_eq!(waits.round() as u64, expected, "{waits} days");
    }
    for days in [6, 31] {
        let path = std::path::Path::new("opora.yaml");
        let text = spec(&json!({ "kms_key": { "data": { "deletion_window_days": days } } }));
        let files = opora::spec::MemoryFiles::default().with(path, text.as_bytes());
        let schemas = kinds::schemas();
        let loaded = opora::spec::load(path, &files, &schemas, &opora::spec::NoPredict, &Default::default());
        assert!(loaded.diagnostics.iter().any(Diagnostic::is_error), "{days} days: {:#?}", loaded.diagnostics);
    }
}
