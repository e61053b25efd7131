//! The engine on a small environment: calls, drift, and what a lost reply leaves behind.

use opora::engine;
use opora::plan::{Action, Reason};
use opora::sandbox::{Conditions, FaultKind};
use opora::state::{Entry, RunId};

use crate::support::World;
use crate::weather::first;

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
    let lost = first("CreateKey", FaultKind::LostReply);
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
async fn creates_that_were_cut_off_together_are_looked_for_together() {
    async fn lists(open: u32) -> usize {
        let world = World::new(1);
        let environment = world.load(KEYS);
        world.apply_all(&environment).await;
        let run = RunId(uuid::Uuid::from_u128(7));
        let writer = world.log.acquire(run, "killed", jiff::SignedDuration::from_secs(60)).await.unwrap();
        let intent = |step: u32| Entry::Intent {
            run,
            step,
            address: format!("kms_key.n{step}").parse().unwrap(),
            kind: "kms_key".to_owned(),
            action: opora::state::Action::Create,
            generation: 1,
            token: format!("token-{step}"),
            id: None,
            arguments: serde_json::json!({}),
            lifecycle: serde_json::Value::Null,
        };
        writer.append((1..=open).map(intent).collect()).await.unwrap();
        writer.release().await.unwrap();
        let before = world.sandbox.calls().len();
        world.apply_all(&environment).await;
        assert!(world.state().await.intents.is_empty());
        world.sandbox.calls()[before..].iter().filter(|call| call.operation == "ListKeys").count()
    }
    let (one, many) = (lists(1).await, lists(30).await);
    // Here a list takes no time, so that searches meet less often than they do where each takes seconds.
    assert!(one > 3 && many <= 6 * one, "{one} lists for one, {many} for thirty");
}

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

#[tokio::test]
async fn what_an_interrupted_replacement_left_goes_though_nothing_holds_its_address() {
    let world = World::new(1);
    let groups = r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  vpc:
    main: { cidr: 10.40.0.0/16 }
  security_group:
    nodes: { vpc: $(vpc.main.id), description: Nodes }
"#;
    let environment = world.load(groups);
    world.apply_all(&environment).await;
    let state = world.state().await;
    let address = "security_group.nodes".parse().unwrap();
    let old = &state.resources[&address];
    // The run was killed before the call that makes the successor.
    let (id, kind, generation) = (old.id.clone(), old.kind.clone(), old.generation);
    let ttl = jiff::SignedDuration::from_secs(60);
    let writer = world.log.acquire(RunId(uuid::Uuid::new_v4()), "test", ttl).await.unwrap();
    let deposed = Entry::Deposed { address: "security_group.nodes".parse().unwrap(), id, kind, generation };
    writer.append(vec![deposed]).await.unwrap();
    writer.release().await.unwrap();

    let steps = |plan: &opora::plan::Plan| -> Vec<String> {
        plan.steps.iter().map(|step| format!("{:?} {}", step.kind, step.address)).collect()
    };
    let plan = world.plan(&environment, false).await.unwrap();
    assert_eq!(steps(&plan), ["Create security_group.nodes", "Delete security_group.nodes"]);
    // Also where all goes, and before what it lies in.
    let plan = world.plan(&environment, true).await.unwrap();
    assert_eq!(steps(&plan), ["Delete security_group.nodes", "Delete vpc.main"]);
    let report = world.apply(&environment, true).await;
    assert!(report.is_complete(), "{:#?}", report.failed);
    let state = world.state().await;
    assert!(state.resources.is_empty() && state.deposed.is_empty());
}

/// The subnet takes its association with it, which the plan has seen.
#[tokio::test]
async fn what_a_deletion_of_the_same_run_takes_along_is_no_change_behind_the_plan() {
    let world = World::new(1);
    let spec = |cidr: &str| {
        format!(
            r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  vpc:
    main: {{ cidr: 10.40.0.0/16 }}
  subnet:
    a: {{ vpc: $(vpc.main.id), zone: us-east-1a, cidr: {cidr} }}
  route_table:
    main: {{ vpc: $(vpc.main.id), subnets: [$(subnet.a.id)] }}
"#
        )
    };
    world.apply_all(&world.load(&spec("10.40.0.0/24"))).await;
    let environment = world.load(&spec("10.40.1.0/24"));
    world.apply_all(&environment).await;
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_policy_names_a_role_again_that_was_deleted_and_made_anew() {
    let world = World::new(1);
    let environment = world.load(
        r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  iam_role:
    reader: { name: reader, trust: { service: ec2.amazonaws.com } }
  kms_key:
    data:
      description: Data
      policy: $(policy("kms/data-key", users=[iam_role.reader.arn]))
"#,
    );
    world.apply_all(&environment).await;
    world.aws.iam().delete_role().role_name("reader").send().await.unwrap();
    let key = world.state().await.resources[&"kms_key.data".parse().unwrap()].id.clone();
    let policy = || async {
        let read = world.aws.kms().get_key_policy().key_id(key.as_str()).send().await.unwrap();
        read.policy.unwrap_or_default()
    };
    assert!(policy().await.contains("AROA"), "AWS shows the id of what is gone");
    world.apply_all(&environment).await;
    assert!(policy().await.contains(":role/reader") && !policy().await.contains("AROA"));
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
}
