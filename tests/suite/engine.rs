//! The engine on a small environment: calls, drift, and what a lost reply leaves behind.

use opora::engine;
use opora::plan::{Action, Reason};
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

const NETWORK: &str = r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  vpc: { main: { cidr: 10.0.0.0/16 } }
  internet_gateway: { main: { vpc: $(vpc.main.id) } }
  subnet: { public: { vpc: $(vpc.main.id), zone: us-east-1a, cidr: 10.0.0.0/24 } }
  elastic_ip: { nat: {} }
"#;

const GATEWAY: &str = "  nat_gateway:
    main: { subnet: $(subnet.public.id), allocation: $(elastic_ip.nat.allocation_id) }
";

#[tokio::test]
async fn what_ended_in_a_state_that_it_does_not_leave_is_replaced() {
    let world = World::new(1);
    world.apply_all(&world.load(NETWORK)).await;
    let state = world.state().await;
    let id = |address: &str| state.resources[&address.parse().unwrap()].id.to_string();
    let taken = world.aws.ec2().create_nat_gateway().subnet_id(id("subnet.public"));
    let taken = taken.allocation_id(id("elastic_ip.nat")).send().await.unwrap().nat_gateway.unwrap();
    let environment = world.load(&format!("{NETWORK}{GATEWAY}"));
    let report = world.apply(&environment, false).await;
    assert_eq!(report.failed[0].error.code, "Resource.AlreadyAssociated", "{report:#?}");

    let taken = taken.nat_gateway_id.unwrap();
    world.aws.ec2().delete_nat_gateway().nat_gateway_id(taken).send().await.unwrap();
    world.sandbox.clock().advance(300.0);
    let plan = world.plan(&environment, false).await.unwrap();
    let change = plan.changes.iter().find(|change| change.kind == "nat_gateway").unwrap();
    assert_eq!(change.action, Action::Replace);
    assert_eq!(change.reasons, [Reason::Broken { path: "state".to_owned(), value: "failed".to_owned() }]);
    world.apply_all(&environment).await;
    let record = &world.state().await.resources[&"nat_gateway.main".parse().unwrap()];
    assert_eq!((record.generation, &record.attributes["state"]), (2, &serde_json::json!("available")));
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
}
