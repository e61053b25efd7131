//! The sandbox under the official SDK, in process: the answers parse, the errors are typed, faults strike.

use aws_credential_types::Credentials;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use opora::sandbox::{Conditions, Sandbox};

async fn config(sandbox: &Sandbox, attempts: u32) -> aws_config::SdkConfig {
    let credentials = Credentials::new("111122223333", "any", None, None, "test");
    aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
        .http_client(sandbox.http_client())
        .time_source(sandbox.clock())
        .sleep_impl(SharedAsyncSleep::new(sandbox.clock()))
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .build()
}

#[tokio::test]
async fn kms_answers_and_errors_are_typed() {
    let sandbox = Sandbox::in_memory(7);
    let kms = aws_sdk_kms::Client::new(&config(&sandbox, 1).await);
    let key = kms.create_key().description("d").send().await.unwrap().key_metadata.unwrap();
    assert!(key.arn().unwrap().starts_with("arn:aws:kms:us-east-1:111122223333:key/"));
    kms.disable_key().key_id(key.key_id()).send().await.unwrap();
    let refused = kms.encrypt().key_id(key.key_id()).plaintext("x".as_bytes().into()).send().await.unwrap_err();
    assert!(refused.into_service_error().is_disabled_exception());
}

#[tokio::test]
async fn ec2_states_follow_the_virtual_clock() {
    let sandbox = Sandbox::in_memory(7);
    let ec2 = aws_sdk_ec2::Client::new(&config(&sandbox, 1).await);
    let vpc = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap().vpc.unwrap();
    assert_eq!(vpc.state().unwrap().as_str(), "pending");
    sandbox.clock().advance(60.0);
    let seen = ec2.describe_vpcs().vpc_ids(vpc.vpc_id().unwrap()).send().await.unwrap();
    assert_eq!(seen.vpcs()[0].state().unwrap().as_str(), "available");
    let refused = ec2.delete_vpc().vpc_id("vpc-0").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidVpcID.NotFound"));
}

#[tokio::test]
async fn a_lost_reply_leaves_its_effect_and_retries_take_no_wall_time() {
    let sandbox = Sandbox::in_memory(7);
    let plan = r#"{"faults": [{"operation": "CreateKey", "nth": 1, "kind": "lost_reply"},
                              {"operation": "ListKeys", "nth": 1, "kind": "throttle"}]}"#;
    let conditions: Conditions = serde_json::from_str(plan).unwrap();
    sandbox.set_conditions(conditions);
    let kms = aws_sdk_kms::Client::new(&config(&sandbox, 1).await);
    kms.create_key().send().await.unwrap_err();
    let retrying = aws_sdk_kms::Client::new(&config(&sandbox, 3).await);
    assert_eq!(retrying.list_keys().send().await.unwrap().keys().len(), 1);
    assert_eq!(sandbox.calls().iter().filter(|call| call.operation == "ListKeys").count(), 2);
}

#[tokio::test]
async fn a_world_is_kept_in_its_folder_and_ids_depend_on_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let make = async |sandbox: &Sandbox| {
        let kms = aws_sdk_kms::Client::new(&config(sandbox, 1).await);
        kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id
    };
    let kept = make(&Sandbox::open(dir.path()).unwrap()).await;
    assert_eq!(kept, make(&Sandbox::in_memory(0)).await);
    assert_ne!(kept, make(&Sandbox::in_memory(1)).await);
    let again = Sandbox::open(dir.path()).unwrap();
    let kms = aws_sdk_kms::Client::new(&config(&again, 1).await);
    assert_eq!(kms.list_keys().send().await.unwrap().keys()[0].key_id(), Some(kept.as_str()));
    let copy = tempfile::tempdir().unwrap();
    again.save(copy.path()).unwrap();
    again.reset().unwrap();
    assert!(kms.list_keys().send().await.unwrap().keys().is_empty());
    again.load(copy.path()).unwrap();
    assert_eq!(kms.list_keys().send().await.unwrap().keys().len(), 1);
    assert!(again.calls().iter().any(|call| call.operation == "CreateKey" && !call.touched.is_empty()));
}
