//! Who changed what differs: CloudTrail's history is asked, told apart from opora's own calls, and never says "nobody".

use std::collections::BTreeMap;

use opora::aws::history::{RESOURCES_MAX, Writers};
use opora::engine::{self, DriftFound, DriftWriters};
use opora::sandbox::{Conditions, FaultKind};

use crate::support::{World, connect_outsider};
use crate::weather::fault;

/// The user that all calls here are made by.
const SANDBOX: &str = "arn:aws:iam::123456789012:user/sandbox";

const SPEC: &str = r#"
opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data, alias: alias/data, rotation: { period_days: 365 } }
  iam_role:
    reader: { name: reader, description: Reads, trust: { service: ec2.amazonaws.com } }
  security_group:
    web: { vpc: $(vpc.main.id), description: Web }
  vpc:
    main: { cidr: 10.40.0.0/16 }
"#;

async fn applied() -> World {
    let world = World::new(1);
    let environment = world.load(SPEC);
    world.apply_all(&environment).await;
    world
}

async fn id(world: &World, address: &str) -> String {
    world.state().await.resources[&address.parse().unwrap()].id.0.clone()
}

async fn look(world: &World) -> (DriftFound, DriftWriters) {
    let state = world.state().await;
    let found = engine::find_drift(&world.aws, &world.schemas, &state, true).await;
    let writers = engine::drift_writers(&world.aws, &state, &found).await;
    (found, writers)
}

fn lookups(world: &World) -> usize {
    world.sandbox.calls().iter().filter(|call| call.operation == "LookupEvents").count()
}

/// Says of each drifted resource which call is named as the last write.
fn last(found: &DriftFound, writers: &DriftWriters) -> BTreeMap<String, String> {
    let one = |(drifted, writers): (&opora::drift::Drifted, &Writers)| {
        let text = match writers {
            Writers::Known { writes } => {
                let other = writes.iter().find(|write| !write.by_opora).expect("somebody else wrote");
                format!("{} by {}", other.operation, other.who)
            }
            other => other.text(),
        };
        (drifted.address.to_string(), text)
    };
    found.drift.drifted.iter().zip(&writers.drifted).map(one).collect()
}

fn by_the_sandbox<const N: usize>(calls: [(&str, &str); N]) -> BTreeMap<String, String> {
    calls.map(|(address, call)| (address.to_owned(), format!("{call} by {SANDBOX}"))).into()
}

#[tokio::test]
async fn each_change_has_its_author() {
    let world = applied().await;
    let (key, group) = (id(&world, "kms_key.data").await, id(&world, "security_group.web").await);
    let outsider = connect_outsider(&world.sandbox);
    outsider.kms().disable_key_rotation().key_id(key).send().await.unwrap();
    outsider.iam().update_role().role_name("reader").description("Writes").send().await.unwrap();
    let call = outsider.ec2().authorize_security_group_ingress().group_id(&group).cidr_ip("0.0.0.0/0");
    call.ip_protocol("tcp").from_port(22).to_port(22).send().await.unwrap();
    outsider.s3().create_bucket().bucket("scratch-of-somebody").send().await.unwrap();
    let (found, writers) = look(&world).await;
    let expected = [
        ("iam_role.reader", "iam:UpdateRole"),
        ("kms_key.data", "kms:DisableKeyRotation"),
        ("security_group.web", "ec2:AuthorizeSecurityGroupIngress"),
    ];
    assert_eq!(last(&found, &writers), by_the_sandbox(expected));
    let bucket = found.unmanaged.iter().position(|one| one.found.id.0 == "scratch-of-somebody").unwrap();
    assert!(writers.unmanaged[bucket].text().starts_with(&format!("last written by {SANDBOX} at ")));
}

#[tokio::test]
async fn what_shares_a_name_or_has_none_has_its_own_author() {
    let world = World::new(1);
    let shared = r"
  log_group: { one: { name: shared, retention_days: 30 } }
  secretsmanager_secret: { one: { name: shared, value: { generate: { length: 32 } } } }
  bedrock_invocation_logging: { one: { s3: { bucket: $(s3_bucket.logs.name) } } }
  s3_bucket:
    logs:
      name: acme-invocations
      policy:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Principal: { Service: bedrock.amazonaws.com }
            Action: s3:PutObject
            Resource: arn:aws:s3:::acme-invocations/*
";
    let environment = world.load(&SPEC.replace("\nresources:\n", &format!("\nresources:{shared}")));
    world.apply_all(&environment).await;
    let outsider = connect_outsider(&world.sandbox);
    outsider.secretsmanager().update_secret().secret_id("shared").description("More").send().await.unwrap();
    world.sandbox.clock().advance(60.0);
    outsider.logs().put_retention_policy().log_group_name("shared").retention_in_days(7).send().await.unwrap();
    outsider.bedrock().delete_model_invocation_logging_configuration().send().await.unwrap();
    let (found, writers) = look(&world).await;
    let expected = [
        ("bedrock_invocation_logging.one", "bedrock:DeleteModelInvocationLoggingConfiguration"),
        ("log_group.one", "logs:PutRetentionPolicy"),
        ("secretsmanager_secret.one", "secretsmanager:UpdateSecret"),
    ];
    assert_eq!(last(&found, &writers), by_the_sandbox(expected));
}

#[tokio::test]
async fn oporas_own_calls_are_told_apart_and_a_late_history_is_said() {
    let world = applied().await;
    let key = id(&world, "kms_key.data").await;
    let late = BTreeMap::from([("cloudtrail".to_owned(), 900.0)]);
    world.sandbox.set_conditions(Conditions { propagation: late, ..Conditions::default() });
    let outsider = connect_outsider(&world.sandbox);
    outsider.kms().disable_key_rotation().key_id(&key).send().await.unwrap();
    let (_, writers) = look(&world).await;
    assert!(matches!(writers.drifted[0], Writers::NotYet { .. }), "{:?}", writers.drifted);
    assert!(writers.drifted[0].text().contains("not yet in CloudTrail's history"));
    // Another run of opora's changed the key after this state was last written.
    world.sandbox.set_conditions(Conditions::default());
    let state = world.state().await;
    world.sandbox.clock().advance(60.0);
    world.aws.kms().update_key_description().key_id(&key).description("More").send().await.unwrap();
    let found = engine::find_drift(&world.aws, &world.schemas, &state, false).await;
    let writers = engine::drift_writers(&world.aws, &state, &found).await;
    let Writers::Known { writes } = &writers.drifted[0] else { panic!("{writers:?}") };
    let own: Vec<(&str, bool)> = writes.iter().map(|write| (write.operation.as_str(), write.by_opora)).collect();
    assert_eq!(own[..2], [("kms:UpdateKeyDescription", true), ("kms:DisableKeyRotation", false)]);
    assert!(writers.drifted[0].text().contains("kms:DisableKeyRotation"));
}

#[tokio::test]
async fn what_is_refused_is_not_nobody_and_is_asked_once() {
    let world = applied().await;
    let outsider = connect_outsider(&world.sandbox);
    outsider.kms().disable_key_rotation().key_id(id(&world, "kms_key.data").await).send().await.unwrap();
    outsider.iam().update_role().role_name("reader").description("Writes").send().await.unwrap();
    let denied = fault("LookupEvents", FaultKind::Denied);
    world.sandbox.set_conditions(Conditions { faults: vec![denied], ..Conditions::default() });
    let (_, writers) = look(&world).await;
    assert_eq!(writers.drifted.len(), 2);
    for answer in &writers.drifted {
        assert!(answer.text().starts_with("who: could not look: "), "{answer:?}");
    }
    assert_eq!(lookups(&world), 1);
}

#[tokio::test]
async fn the_calls_are_bounded_and_no_drift_costs_none() {
    let world = applied().await;
    let state = world.state().await;
    let found = engine::find_drift(&world.aws, &world.schemas, &state, false).await;
    engine::drift_writers(&world.aws, &state, &found).await;
    assert_eq!(lookups(&world), 0);
    let outsider = connect_outsider(&world.sandbox);
    for number in 0..RESOURCES_MAX + 3 {
        outsider.s3().create_bucket().bucket(format!("scratch-of-somebody-{number}")).send().await.unwrap();
    }
    let (found, writers) = look(&world).await;
    assert!(found.unmanaged.len() >= RESOURCES_MAX + 3);
    assert_eq!(lookups(&world), RESOURCES_MAX);
    let last = writers.unmanaged.last().unwrap();
    assert!(last.text().starts_with("who: could not look: only the first"), "{last:?}");
}
