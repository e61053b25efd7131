//! A run in which a step fails: what is still begun, what is undone, and what stays with its reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::primitives::ByteStream;
use opora::apply::{OnFailure, Report};
use opora::aws::wait::{Bound, Poll, until};
use opora::sandbox::{Conditions, Fault, FaultKind};
use opora::spec::Environment;
use serde_json::{Value, json};

use crate::support::{World, connect_outsider};
use crate::weather::fault;

fn strike(world: &World, faults: Vec<Fault>) {
    world.sandbox.set_conditions(Conditions { faults, ..Conditions::default() });
}

fn load(world: &World, resources: &Value) -> Environment {
    let head = json!({ "opora": 1, "environment": "failing", "account": "123456789012", "region": "us-east-1",
        "resources": resources });
    world.load(&head.to_string())
}

/// Applies with a VPC that can't be made after all the rest is.
async fn fail(world: &World, resources: &Value, on_failure: OnFailure) -> Report {
    strike(world, vec![fault("CreateVpc", FaultKind::Denied)]);
    let report = world.apply_or(&load(world, resources), false, on_failure).await;
    assert_eq!(report.failed[0].error.code, "UnauthorizedOperation", "{report:#?}");
    strike(world, Vec::new());
    report
}

/// Applies again without trouble, and looks that nothing is left over.
async fn converge(world: &World, resources: &Value) {
    let environment = load(world, resources);
    world.apply_all(&environment).await;
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
    world.assert_no_orphan("failing").await;
    assert_eq!(world.log.verify().await.unwrap(), []);
}

fn undone(report: &Report) -> Vec<String> {
    report.rollback.iter().flat_map(|rollback| &rollback.undone).map(|(address, _)| address.to_string()).collect()
}

fn kept(report: &Report) -> Vec<(String, &str)> {
    let kept = report.rollback.iter().flat_map(|rollback| &rollback.kept);
    kept.map(|kept| (kept.address.to_string(), kept.why.as_str())).collect()
}

fn owned<const N: usize>(pairs: [(&str, &'static str); N]) -> Vec<(String, &'static str)> {
    pairs.map(|(address, why)| (address.to_owned(), why)).into()
}

/// A key and a bucket under it; beside them a VPC that comes last if `last`.
fn resources(last: bool) -> Value {
    let after = if last { vec!["s3_bucket.new"] } else { Vec::new() };
    json!({
        "kms_key": { "data": { "alias": "alias/data" } },
        "s3_bucket": { "new": { "name": "acme-new", "encryption": { "kms_key": "$(kms_key.data.arn)" } } },
        "vpc": { "main": { "cidr": "10.0.0.0/16", "depends_on": after } },
        "subnet": { "a": { "vpc": "$(vpc.main.id)", "zone": "us-east-1a", "cidr": "10.0.0.0/24" } },
    })
}

#[tokio::test]
async fn what_a_failure_stops_is_up_to_the_user() {
    for (on_failure, done, skipped) in [
        (OnFailure::Continue, vec!["kms_key.data", "s3_bucket.new"], vec![("subnet.a", Some("vpc.main"))]),
        // The key was in flight when the VPC failed: it is finished and recorded.
        (OnFailure::Stop, vec!["kms_key.data"], vec![("subnet.a", Some("vpc.main")), ("s3_bucket.new", None)]),
    ] {
        let world = World::new(1);
        let report = fail(&world, &resources(false), on_failure).await;
        let addresses: Vec<String> = report.done.iter().map(|(_, address, _)| address.to_string()).collect();
        assert_eq!(addresses, done, "{on_failure:?}");
        let found: BTreeMap<String, Option<String>> = report
            .skipped
            .iter()
            .map(|one| (one.address.to_string(), one.because.as_ref().map(ToString::to_string)))
            .collect();
        let wanted = skipped.iter().map(|(address, why)| ((*address).to_owned(), why.map(str::to_owned))).collect();
        assert_eq!(found, wanted, "{on_failure:?}");
        assert_eq!((report.stopped, report.rollback.is_none()), (on_failure == OnFailure::Stop, true));
        assert!(world.state().await.resources.values().all(|record| record.complete));
        converge(&world, &resources(false)).await;
    }
}

#[tokio::test]
async fn a_rollback_deletes_what_the_run_made_the_last_first() {
    let world = World::new(1);
    world.apply_all(&load(&world, &json!({ "vpc": { "old": { "cidr": "10.9.0.0/16" } } }))).await;
    let mut all = resources(true);
    all["vpc"]["old"] = json!({ "cidr": "10.9.0.0/16" });
    let report = fail(&world, &all, OnFailure::Rollback).await;
    assert_eq!(undone(&report), ["s3_bucket.new", "kms_key.data"]);
    assert_eq!(kept(&report), []);
    let left: Vec<String> = world.state().await.resources.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["vpc.old"], "what was there before stays");
    world.assert_no_orphan("failing").await;
    converge(&world, &all).await;
}

#[tokio::test]
async fn what_an_update_uses_stays_with_the_update() {
    let world = World::new(1);
    world.apply_all(&load(&world, &json!({ "s3_bucket": { "new": { "name": "acme-new" } } }))).await;
    let report = fail(&world, &resources(true), OnFailure::Rollback).await;
    assert_eq!(undone(&report), [""; 0]);
    assert_eq!(kept(&report), owned([("kms_key.data", "s3_bucket.new uses it")]));
    let stays: Vec<String> =
        report.rollback.unwrap().not_undone.iter().map(|(address, kind)| format!("{address} {kind:?}")).collect();
    assert_eq!(stays, ["s3_bucket.new Update"]);
    converge(&world, &resources(true)).await;
}

#[tokio::test]
async fn data_of_others_stays_with_all_that_it_needs() {
    let world = World::under(1, |sandbox, operation| {
        let outsider = connect_outsider(sandbox);
        let now = operation == "CreateVpc";
        Box::pin(async move {
            if now {
                let body = ByteStream::from_static(b"data");
                outsider.s3().put_object().bucket("acme-new").key("a").body(body).send().await.unwrap();
            }
            None
        })
    });
    let report = fail(&world, &resources(true), OnFailure::Rollback).await;
    assert_eq!(undone(&report), [""; 0]);
    let bucket = "it holds data: its objects, such as `a`";
    assert_eq!(kept(&report), owned([("s3_bucket.new", bucket), ("kms_key.data", "s3_bucket.new uses it")]));
    converge(&world, &resources(true)).await;
}

#[tokio::test]
async fn what_is_protected_or_took_a_place_stays() {
    let world = World::new(1);
    let group = |strategy: &str, cidr: &str| {
        json!({
            "placement_group": { "nodes": { "name": "nodes", "strategy": strategy } },
            "elastic_ip": { "nat": { "lifecycle": { "prevent_destroy": true } }, "other": {} },
            "vpc": { "main": { "cidr": cidr, "depends_on": ["placement_group.nodes", "elastic_ip.nat", "elastic_ip.other"] } },
        })
    };
    let before = json!({ "placement_group": { "nodes": { "name": "nodes", "strategy": "spread" } } });
    world.apply_all(&load(&world, &before)).await;
    let after = group("cluster", "10.0.0.0/16");
    let report = fail(&world, &after, OnFailure::Rollback).await;
    assert_eq!(undone(&report), ["elastic_ip.other"]);
    let mut found = kept(&report);
    found.sort();
    let wanted = [
        ("elastic_ip.nat", "it has `prevent_destroy`"),
        ("placement_group.nodes", "it took the place of an earlier one"),
    ];
    assert_eq!(found, owned(wanted));
    converge(&world, &after).await;
}

#[tokio::test]
async fn what_was_made_and_not_finished_is_undone() {
    let world = World::new(1);
    strike(&world, vec![fault("CreateAlias", FaultKind::Denied)]);
    let all = json!({ "kms_key": { "data": { "alias": "alias/data" } } });
    let report = world.apply_or(&load(&world, &all), false, OnFailure::Rollback).await;
    assert_eq!(undone(&report), ["kms_key.data"], "{report:#?}");
    assert!(world.state().await.resources.is_empty());
    strike(&world, Vec::new());
    converge(&world, &all).await;
}

#[tokio::test]
async fn a_deletion_that_fails_is_named_and_what_it_needs_stays() {
    let world = World::new(1);
    let faults = [("CreateVpc", FaultKind::Denied), ("DeleteBucket", FaultKind::Denied)];
    strike(&world, faults.map(|(operation, kind)| fault(operation, kind)).into());
    let report = world.apply_or(&load(&world, &resources(true)), false, OnFailure::Rollback).await;
    let wanted = [("s3_bucket.new", "its deletion failed: AccessDenied"), ("kms_key.data", "s3_bucket.new uses it")];
    assert_eq!(kept(&report), owned(wanted));
    assert_eq!(report.rollback.unwrap().failed.len(), 1);
    strike(&world, Vec::new());
    converge(&world, &resources(true)).await;
}

/// The reply to a create is lost, and then it can't be looked for: it is never taken for "made nothing".
#[tokio::test]
async fn a_lost_create_that_can_not_be_looked_for_stays_an_open_question() {
    for on_failure in [OnFailure::Continue, OnFailure::Rollback] {
        let world = World::new(1);
        let all = json!({ "vpc": { "main": { "cidr": "10.0.0.0/16" } } });
        strike(&world, vec![fault("CreateVpc", FaultKind::LostReply), fault("DescribeVpcs", FaultKind::Denied)]);
        let report = world.apply_or(&load(&world, &all), false, on_failure).await;
        assert_eq!(report.failed[0].error.residue, opora::aws::Residue::Unknown, "{report:#?}");
        let state = world.state().await;
        assert!(state.resources.is_empty() && state.intents.len() == 1, "{state:#?}");
        if on_failure == OnFailure::Rollback {
            assert_eq!(kept(&report), owned([("vpc.main", "it may exist, and could not be looked for")]));
        }
        strike(&world, Vec::new());
        converge(&world, &all).await;
        let vpcs = world.aws.ec2().describe_vpcs().send().await.unwrap().vpcs.unwrap_or_default();
        let own = vpcs.iter().filter(|vpc| vpc.is_default != Some(true)).count();
        assert_eq!(own, 1, "one VPC, the one whose reply was lost");
    }
}

#[tokio::test]
async fn a_secret_goes_at_once_unless_its_value_is_another_by_now() {
    let all = json!({
        "secretsmanager_secret": { "token": { "name": "acme/token", "value": { "from_env": "OPORA_TEST_TOKEN" } } },
        "vpc": { "main": { "cidr": "10.0.0.0/16", "depends_on": ["secretsmanager_secret.token"] } },
    });
    for changed in [false, true] {
        static CHANGE: AtomicBool = AtomicBool::new(false);
        CHANGE.store(changed, Ordering::SeqCst);
        let world = World::under(1, |sandbox, operation| {
            let outsider = connect_outsider(sandbox);
            let now = operation == "CreateVpc" && CHANGE.load(Ordering::SeqCst);
            Box::pin(async move {
                if now {
                    let call = outsider.secretsmanager().put_secret_value().secret_id("acme/token");
                    call.secret_string("another").send().await.unwrap();
                }
                None
            })
        });
        let report = fail(&world, &all, OnFailure::Rollback).await;
        if changed {
            let wanted = [("secretsmanager_secret.token", "it was changed since this run made it")];
            assert_eq!(kept(&report), owned(wanted));
        } else {
            assert_eq!(undone(&report), ["secretsmanager_secret.token"]);
        }
        // Its name is free again, without a recovery window.
        CHANGE.store(false, Ordering::SeqCst);
        converge(&world, &all).await;
    }
}

#[tokio::test]
async fn what_can_not_make_way_says_how_it_can() {
    let world = World::new(7);
    let network = |cidr: &str, before: bool| {
        json!({
            "vpc": { "main": { "cidr": cidr, "lifecycle": { "create_before_destroy": before } } },
            "internet_gateway": { "main": { "vpc": "$(vpc.main.id)" } },
        })
    };
    converge(&world, &network("10.0.0.0/16", false)).await;
    let environment = load(&world, &network("10.1.0.0/16", false));
    let plan = world.plan(&environment, false).await.unwrap();
    let report = world.apply_or(&environment, false, OnFailure::Continue).await;
    let [failure] = report.failed.as_slice() else { panic!("the gateway holds the VPC: {report:#?}") };
    assert_eq!(
        (failure.error.code.as_str(), failure.address.to_string()),
        ("DependencyViolation", "vpc.main".to_owned())
    );
    let help = failure.diagnostic(&plan).help.unwrap();
    assert!(help.contains("`lifecycle: { create_before_destroy: true }` on vpc.main"), "{help}");
    converge(&world, &network("10.1.0.0/16", true)).await;
}

#[tokio::test]
async fn a_wait_is_over_only_by_an_answer_asked_for_at_its_end() {
    let world = World::new(3);
    let clock = world.sandbox.clock();
    let mut answers = [Poll::Pending("not there".to_owned()), Poll::Ready(7)].into_iter();
    let found = until(&world.aws, "a late answer", Bound::seconds(10), || {
        // Longer on its way than the whole wait.
        clock.advance(60.0);
        let answer = answers.next().expect("it is asked twice");
        async move { Ok(answer) }
    });
    assert_eq!(found.await.unwrap(), 7);
}
