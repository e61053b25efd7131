//! What the samples of the kinds can't show: arguments that AWS refuses late, and settings that are read where wanted.

use opora::aws::ErrorClass;
use opora::sandbox::{Conditions, FaultKind};
use opora::spec::Environment;
use serde_json::{Value, json};

use crate::support::World;
use crate::weather::first;

fn environment(world: &World, resources: Value) -> Environment {
    let spec = json!({ "opora": 1, "environment": "further", "account": "123456789012", "region": "us-east-1",
        "resources": resources });
    world.load(&spec.to_string())
}

fn count(world: &World, operation: &str) -> usize {
    world.sandbox.calls().iter().filter(|call| call.operation == operation).count()
}

fn secret(world: &World, replicas: Value) -> Environment {
    environment(
        world,
        json!({ "secretsmanager_secret": { "token": { "name": "acme/token", "replicas": replicas,
        "value": { "generate": {} }, "recovery_window_days": 0, "lifecycle": { "allow_data_loss": true } } } }),
    )
}

async fn replicas(world: &World) -> Vec<(String, String)> {
    let shown = world.aws.secretsmanager().describe_secret().secret_id("acme/token").send().await.unwrap();
    let of = |status: &aws_sdk_secretsmanager::types::ReplicationStatusType| {
        (status.region().unwrap().to_owned(), status.status().unwrap().as_str().to_owned())
    };
    shown.replication_status().iter().map(of).collect()
}

#[tokio::test]
async fn a_failed_replica_says_why_and_is_made_anew() {
    let world = World::new(5);
    let broken = json!([{ "region": "eu-west-1" }, { "region": "eu-west-2", "kms_key": "alias/none" }]);
    for replicas in [broken.clone(), broken] {
        let report = world.apply(&secret(&world, replicas), false).await;
        let [failed] = report.failed.as_slice() else { panic!("{report:#?}") };
        assert_eq!(failed.error.code, "ReplicationFailed");
        assert!(failed.error.message.contains("eu-west-2"), "{}", failed.error.message);
        assert!(failed.error.message.contains("alias/none"), "{}", failed.error.message);
    }
    world.apply_all(&secret(&world, json!([{ "region": "eu-west-1" }, { "region": "eu-west-2" }]))).await;
    let in_sync = |region: &str| (region.to_owned(), "InSync".to_owned());
    assert_eq!(replicas(&world).await, [in_sync("eu-west-1"), in_sync("eu-west-2")]);
}

#[tokio::test]
async fn a_secret_goes_with_replicas_that_nobody_recorded() {
    let world = World::new(5);
    let environment = secret(&world, json!([]));
    world.apply_all(&environment).await;
    let region = aws_sdk_secretsmanager::types::ReplicaRegionType::builder().region("eu-west-1").build();
    let call = world.aws.secretsmanager().replicate_secret_to_regions().secret_id("acme/token");
    call.add_replica_regions(region).send().await.unwrap();
    let report = world.apply(&environment, true).await;
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(world.aws.secretsmanager().list_secrets().send().await.unwrap().secret_list(), []);
}

fn network(gateway: Value) -> Value {
    json!({
        "vpc": { "main": { "cidr": "10.0.0.0/16" } },
        "internet_gateway": { "main": { "vpc": "$(vpc.main.id)" } },
        "subnet": { "a": { "vpc": "$(vpc.main.id)", "zone": "us-east-1a", "cidr": "10.0.0.0/24" } },
        "elastic_ip": { "one": {}, "two": {} },
        "nat_gateway": { "main": gateway },
    })
}

async fn private_ips(world: &World) -> Vec<String> {
    let found = world.aws.ec2().describe_nat_gateways().send().await.unwrap();
    let addresses = found.nat_gateways()[0].nat_gateway_addresses().iter();
    addresses.filter(|one| one.is_primary() == Some(false)).map(|one| one.private_ip().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn private_gateways_get_and_lose_addresses_in_place() {
    let world = World::new(5);
    let gateway = |more: Value| {
        let mut all = json!({ "subnet": "$(subnet.a.id)", "connectivity": "private" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        environment(&world, network(all))
    };
    for (arguments, number) in [
        (json!({ "secondary_private_ip_count": 2 }), 2),
        (json!({ "secondary_private_ip_count": 4 }), 4),
        (json!({ "secondary_private_ip_count": 1 }), 1),
        (json!({ "secondary_private_ips": ["10.0.0.50", "10.0.0.51"] }), 2),
        (json!({ "secondary_private_ips": ["10.0.0.51", "10.0.0.52", "10.0.0.53"] }), 3),
        (json!({}), 0),
    ] {
        world.apply_all(&gateway(arguments.clone())).await;
        let found = private_ips(&world).await;
        assert_eq!(found.len(), number, "{arguments}");
        for ip in arguments["secondary_private_ips"].as_array().into_iter().flatten() {
            assert!(found.iter().any(|found| ip == found), "{found:?}");
        }
    }
    assert_eq!(count(&world, "CreateNatGateway"), 1);
}

#[tokio::test]
async fn a_lost_reply_adds_no_address_twice() {
    let world = World::new(5);
    let gateway = |count: Option<u8>| {
        let gateway =
            json!({ "subnet": "$(subnet.a.id)", "connectivity": "private", "secondary_private_ip_count": count });
        environment(&world, network(gateway))
    };
    world.apply_all(&gateway(None)).await;
    let lost = first("AssignPrivateNatGatewayAddress", FaultKind::LostReply);
    world.sandbox.set_conditions(Conditions { faults: vec![lost], ..Conditions::default() });
    world.apply_all(&gateway(Some(3))).await;
    assert_eq!(private_ips(&world).await.len(), 3);
    assert_eq!(count(&world, "AssignPrivateNatGatewayAddress"), 1);
}

#[tokio::test]
async fn an_address_that_fails_says_why() {
    let world = World::new(5);
    let gateway = |further: Value| {
        let gateway = json!({ "subnet": "$(subnet.a.id)", "allocation": "$(elastic_ip.one.allocation_id)",
            "secondary_addresses": further });
        environment(&world, network(gateway))
    };
    world.apply_all(&gateway(json!([]))).await;
    let far = world.aws.ec2().allocate_address().network_border_group("us-east-1-bos-1").send().await.unwrap();
    let report = world.apply(&gateway(json!([far.allocation_id().unwrap()])), false).await;
    let [failed] = report.failed.as_slice() else { panic!("{report:#?}") };
    assert_eq!((failed.error.class, failed.error.code.as_str()), (ErrorClass::Other, "AddressFailed"));
    assert!(failed.error.message.contains("network border group"), "{}", failed.error.message);
    world.apply_all(&gateway(json!(["$(elastic_ip.two.allocation_id)"]))).await;
}

#[tokio::test]
async fn a_data_protection_policy_is_read_where_there_is_one_that_is_wanted() {
    let world = World::new(5);
    let groups = |protected: bool| {
        let statement = |operation: Value| {
            json!({ "Operation": operation,
                "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"] })
        };
        let audit = statement(json!({ "Audit": { "FindingsDestination": {} } }));
        let mask = statement(json!({ "Deidentify": { "MaskConfig": {} } }));
        let policy = json!({ "Version": "2021-06-01", "Statement": [audit, mask] });
        let two = if protected { json!({ "data_protection": policy }) } else { json!({}) };
        environment(&world, json!({ "log_group": { "one": {}, "two": two } }))
    };
    world.apply_all(&groups(false)).await;
    world.plan(&groups(false), false).await.unwrap();
    assert_eq!(count(&world, "GetDataProtectionPolicy"), 0);
    world.apply_all(&groups(true)).await;
    let before = count(&world, "GetDataProtectionPolicy");
    world.plan(&groups(true), false).await.unwrap();
    assert_eq!(count(&world, "GetDataProtectionPolicy"), before + 1);
    world.apply_all(&groups(false)).await;
    assert_eq!(count(&world, "DeleteDataProtectionPolicy"), 1);
}
