//! A guardrail's numbered versions: how many are kept, and which are never deleted.

use std::collections::BTreeSet;

use opora::aws::ErrorClass;
use opora::spec::Environment;
use serde_json::{Value, json};

use crate::support::World;

/// The versions that AWS keeps of a guardrail.
const LIMIT: u64 = 20;

fn environment(world: &World, word: u64, more: &Value) -> Environment {
    let mut arguments = json!({ "words": [format!("word{word}")], "version": "publish" });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let spec = json!({ "opora": 1, "environment": "versions", "account": "123456789012", "region": "us-east-1",
        "resources": { "bedrock_guardrail": { "main": arguments } } });
    world.load(&spec.to_string())
}

async fn id(world: &World) -> String {
    world.state().await.resources[&"bedrock_guardrail.main".parse().unwrap()].id.0.clone()
}

async fn versions(world: &World) -> BTreeSet<u64> {
    let found = world.aws.bedrock().list_guardrails().guardrail_identifier(id(world).await).send().await.unwrap();
    found.guardrails.iter().filter_map(|found| found.version.parse().ok()).collect()
}

#[tokio::test]
async fn as_many_versions_are_kept_as_the_spec_says() {
    let world = World::new(5);
    for word in 1..=LIMIT + 4 {
        world.apply_all(&environment(&world, word, &json!({ "versions_kept": 3 }))).await;
    }
    assert_eq!(versions(&world).await, BTreeSet::from([LIMIT + 2, LIMIT + 3, LIMIT + 4]));
    world.apply_all(&environment(&world, LIMIT + 4, &json!({ "versions_kept": 2 }))).await;
    assert_eq!(versions(&world).await, BTreeSet::from([LIMIT + 3, LIMIT + 4]), "at once, where it is lowered");
}

#[tokio::test]
async fn without_a_number_none_is_deleted_and_the_refusal_says_what_to_do() {
    let world = World::new(5);
    for word in 1..=LIMIT {
        world.apply_all(&environment(&world, word, &json!({}))).await;
    }
    let report = world.apply(&environment(&world, LIMIT + 1, &json!({})), false).await;
    let [failed] = report.failed.as_slice() else { panic!("{report:#?}") };
    assert_eq!(failed.error.class, ErrorClass::Quota);
    assert!(failed.error.message.contains("`versions_kept`"), "{}", failed.error.message);
    assert_eq!(versions(&world).await, (1..=LIMIT).collect());
    // The spec that says it repairs it.
    world.apply_all(&environment(&world, LIMIT + 1, &json!({ "versions_kept": 20 }))).await;
    assert_eq!(versions(&world).await, (2..=LIMIT + 1).collect(), "no more than needed");
}

#[tokio::test]
async fn versions_of_others_are_never_deleted() {
    let world = World::new(5);
    world.apply_all(&environment(&world, 0, &json!({ "versions_kept": 2 }))).await;
    let id = id(&world).await;
    for _ in 0..2 {
        let call = world.aws.bedrock().create_guardrail_version().guardrail_identifier(&id);
        let made = call.description("by hand").send().await.unwrap();
        let ready = opora::aws::kinds::get("bedrock_guardrail").unwrap();
        ready.ready(&world.aws, &id.as_str().into()).await.unwrap();
        assert!(["2", "3"].contains(&made.version.as_str()));
    }
    for word in 1..=4 {
        world.apply_all(&environment(&world, word, &json!({ "versions_kept": 2 }))).await;
    }
    assert_eq!(versions(&world).await, BTreeSet::from([2, 3, 6, 7]));
}
