//! The engine on a small environment: calls, drift, and what a lost reply leaves behind.

use opora::engine;
use opora::plan::Action;
use opora::sandbox::{Conditions, Fault, FaultKind};

use crate::support::World;

const KEYS: &str = r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data, alias: alias/data, rotation: { period_days: 365 } }
    logs: { description: "Logs beside $(kms_key.data.arn)" }
"#;

#[tokio::test]
async fn a_plan_without_change_reads_each_key_once() {
    let world = World::new(1);
    let environment = world.load(KEYS);
    world.apply_all(&environment).await;
    let before = world.sandbox.call_count();
    let plan = world.plan(&environment, false).await.unwrap();
    assert!(plan.is_empty());
    // ListAliases once; DescribeKey and ListResourceTags of both, GetKeyRotationStatus of both.
    assert_eq!(world.sandbox.call_count() - before, 7);
}

#[tokio::test]
async fn what_was_changed_outside_is_drift_and_is_repaired() {
    let world = World::new(1);
    let environment = world.load(KEYS);
    world.apply_all(&environment).await;
    let id = world.state().await.resources[&"kms_key.data".parse().unwrap()].id.clone();
    world.aws.kms().disable_key_rotation().key_id(id.as_str()).send().await.unwrap();
    world.aws.kms().create_key().description("not ours").send().await.unwrap();
    let state = world.state().await;
    let found = engine::find_drift(&world.aws, &world.schemas, &state, false).await;
    let paths: Vec<_> =
        found.drift.drifted.iter().flat_map(|one| one.fields.iter().map(|field| field.path.as_str())).collect();
    assert_eq!(paths, ["rotation"]);
    let plan = world.plan(&environment, false).await.unwrap();
    assert_eq!(plan.counts().update, 1);
    world.apply_all(&environment).await;
    assert!(world.plan(&environment, false).await.unwrap().changes.iter().all(|change| change.action == Action::NoOp));
}

#[tokio::test]
async fn a_lost_reply_to_a_create_makes_no_second_key() {
    let world = World::new(1);
    let environment = world.load(KEYS);
    let lost = Fault {
        service: Some("kms".to_owned()),
        operation: Some("CreateKey".to_owned()),
        nth: Some(1),
        every: None,
        probability: None,
        kind: FaultKind::LostReply,
        seen: 0,
    };
    world.sandbox.set_conditions(Conditions { faults: vec![lost], ..Conditions::default() });
    world.apply_all(&environment).await;
    let keys = world.aws.kms().list_keys().send().await.unwrap().keys.unwrap_or_default();
    assert_eq!(keys.len(), 2, "one key for each address");
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
}
