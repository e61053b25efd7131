//! A bucket's replication, acceleration and tiering on the sandbox: what the conformance of all kinds does not look at.
//!
//! The order in which S3 takes versioning and replication, also where it shows a change late; how few calls there are;
//! and that a reset ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use opora::plan::Action;
use opora::spec::Environment;
use serde_json::{Value, json};

use crate::sample::spec_of;
use crate::support::World;
use crate::weather::s3_error;

/// The reads that only a bucket with such a setting costs.
const READS: [&str; 3] =
    ["GetBucketReplication", "GetBucketAccelerateConfiguration", "ListBucketIntelligentTieringConfigurations"];

fn load(world: &World, bucket: &Value) -> Environment {
    world.load(&spec_of(&json!({
        "iam_role": { "copier": { "trust": { "service": "s3.amazonaws.com" } } },
        "s3_bucket": { "data": bucket, "copies": { "name": "acme-copies", "versioning": true } },
    })))
}

fn replicated() -> Value {
    json!({ "name": "acme-data", "versioning": true, "replication": { "role": "$(iam_role.copier.arn)",
        "rules": [{ "destination": { "bucket": "$(s3_bucket.copies.arn)" } }] } })
}

/// Returns the operations since a call that are among these.
fn since(world: &World, call: u64, wanted: &[&str]) -> Vec<String> {
    let calls = world.sandbox.calls().into_iter().filter(|record| record.n > call).map(|record| record.operation);
    calls.filter(|operation| wanted.contains(&operation.as_str())).collect()
}

async fn assert_nothing_to_do(world: &World, environment: &Environment) {
    let plan = world.plan(environment, false).await.unwrap();
    let changes: Vec<_> = plan.changes.iter().filter(|change| change.action != Action::NoOp).collect();
    assert!(changes.is_empty(), "{changes:#?}");
}

#[tokio::test]
async fn versions_are_kept_from_before_a_replication_until_after_it() {
    let world = World::new(1);
    let writes = ["PutBucketVersioning", "PutBucketReplication", "DeleteBucketReplication"];
    for (bucket, order) in [
        (json!({ "name": "acme-data" }), [writes[0]].as_slice()),
        (replicated(), &[writes[0], writes[1]]),
        (json!({ "name": "acme-data" }), &[writes[2], writes[0]]),
    ] {
        let before = world.sandbox.call_count();
        let environment = load(&world, &bucket);
        world.apply_all(&environment).await;
        assert_eq!(since(&world, before, &writes), order);
        assert_nothing_to_do(&world, &environment).await;
    }
}

#[tokio::test]
async fn what_s3_shows_late_is_waited_for() {
    // The first two answers are of a moment at which the other change is not known everywhere.
    static LATE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let world = World::under(2, |_, operation| {
        let late = |number: usize| LATE[number].fetch_add(1, Ordering::Relaxed) < 2;
        let fate = match operation {
            put if put.starts_with("PUT ") && put.contains("?replication") && late(0) => {
                s3_error(400, "InvalidRequest", "Destination bucket must have versioning enabled.")
            }
            put if put.starts_with("PUT ")
                && put.contains("acme-data")
                && put.contains("?versioning")
                && LATE[0].load(Ordering::Relaxed) > 0
                && late(1) =>
            {
                let message = "A replication configuration is present on this bucket, so you cannot change the \
                               versioning state. To change the versioning state, first delete the replication \
                               configuration.";
                s3_error(409, "InvalidBucketState", message)
            }
            _ => None,
        };
        Box::pin(std::future::ready(fate))
    });
    for bucket in [json!({ "name": "acme-data", "versioning": true }), replicated(), json!({ "name": "acme-data" })] {
        let environment = load(&world, &bucket);
        world.apply_all(&environment).await;
        assert_nothing_to_do(&world, &environment).await;
    }
    assert_eq!(LATE.each_ref().map(|count| count.load(Ordering::Relaxed)), [3, 3]);
}

#[tokio::test]
async fn a_plan_asks_for_a_setting_only_where_a_bucket_has_it() {
    let world = World::new(3);
    let plain = load(&world, &json!({ "name": "acme-data", "versioning": true }));
    world.apply_all(&plain).await;
    let before = world.sandbox.call_count();
    assert_nothing_to_do(&world, &plain).await;
    assert_eq!(since(&world, before, &READS), Vec::<String>::new());
    let mut bucket = replicated();
    bucket["acceleration"] = json!("enabled");
    bucket["intelligent_tiering"] = json!([{ "name": "cold", "archive_days": 90 }]);
    world.apply_all(&load(&world, &bucket)).await;
    let before = world.sandbox.call_count();
    // What the spec set before is looked at once more.
    assert!(!world.plan(&plain, false).await.unwrap().is_empty());
    let mut asked = since(&world, before, &READS);
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), READS.len(), "{asked:?}");
}

#[tokio::test]
async fn an_acceleration_that_was_reset_is_suspended_for_good() {
    let world = World::new(4);
    for (acceleration, calls) in [("enabled", 1), ("", 1), ("suspended", 0), ("", 0)] {
        let before = world.sandbox.call_count();
        let bucket = match acceleration {
            "" => json!({ "name": "acme-data" }),
            wanted => json!({ "name": "acme-data", "acceleration": wanted }),
        };
        let environment = load(&world, &bucket);
        world.apply_all(&environment).await;
        assert_eq!(since(&world, before, &["PutBucketAccelerateConfiguration"]).len(), calls, "`{acceleration}`");
        assert_nothing_to_do(&world, &environment).await;
    }
    let status = world.aws.s3().get_bucket_accelerate_configuration().bucket("acme-data").send().await.unwrap().status;
    assert_eq!(status.map(|status| status.as_str().to_owned()).as_deref(), Some("Suspended"));
}

#[tokio::test]
async fn only_the_configurations_that_change_are_written() {
    let world = World::new(5);
    let one = |name: &str, days: u32| json!({ "name": name, "archive_days": days });
    let writes = ["PutBucketIntelligentTieringConfiguration", "DeleteBucketIntelligentTieringConfiguration"];
    for (configurations, expected) in [
        (json!([one("a", 90), one("b", 90)]), [writes[0], writes[0]].as_slice()),
        (json!([one("b", 90), one("c", 90)]), &[writes[1], writes[0]]),
        (json!([one("b", 91), one("c", 90)]), &[writes[0]]),
        (json!([]), &[writes[1], writes[1]]),
    ] {
        let before = world.sandbox.call_count();
        let environment = load(&world, &json!({ "name": "acme-data", "intelligent_tiering": configurations }));
        world.apply_all(&environment).await;
        assert_eq!(since(&world, before, &writes), expected, "{configurations}");
        assert_nothing_to_do(&world, &environment).await;
    }
}

#[tokio::test]
async fn all_pages_of_the_configurations_are_read() {
    let world = World::new(6);
    let all: Vec<Value> =
        (0..250).map(|number| json!({ "name": format!("n{number:03}"), "archive_days": 90 })).collect();
    let environment = load(&world, &json!({ "name": "acme-data", "intelligent_tiering": all }));
    world.apply_all(&environment).await;
    assert_nothing_to_do(&world, &environment).await;
}
