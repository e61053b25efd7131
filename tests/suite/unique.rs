//! What only one resource can have, a name or a range say, goes from one to another within a plan.

use std::collections::BTreeMap;
use std::path::Path;

use opora::aws::kinds;
use opora::plan::{Reason, StepKind};
use opora::sandbox::{Conditions, FaultKind};
use opora::spec::{self, MemoryFiles, NoPredict};
use serde_json::{Value, json};

use crate::sample::spec_of;
use crate::support::World;
use crate::weather::first;

async fn apply(world: &World, resources: &Value) {
    let environment = world.load(&spec_of(resources));
    world.apply_all(&environment).await;
    assert!(world.plan(&environment, false).await.unwrap().is_empty());
}

/// Brings the account to these resources while the first calls of these operations find nobody in: what does not wait
/// for them is there before them.
async fn apply_though_late(world: &World, operations: &[&str], resources: &Value) {
    let late = operations.iter().map(|operation| first(operation, FaultKind::Unavailable));
    world.sandbox.set_conditions(Conditions { faults: late.collect(), ..Conditions::default() });
    apply(world, resources).await;
}

async fn refused(world: &World, resources: &Value) -> (String, String, String) {
    let problems = world.plan(&world.load(&spec_of(resources)), false).await.unwrap_err();
    let [problem] = problems.as_slice() else { panic!("one problem: {problems:#?}") };
    (problem.code.to_string(), problem.detail.clone().unwrap_or_default(), problem.help.clone().unwrap_or_default())
}

#[test]
fn a_subnet_has_one_route_table_and_an_address_one_gateway() {
    let problems = |resources: Value| {
        let (path, text) = (Path::new("opora.yaml"), spec_of(&resources));
        let files = MemoryFiles::default().with(path, text.as_bytes());
        let loaded = spec::load(path, &files, &kinds::schemas(), &NoPredict, &BTreeMap::new());
        loaded.diagnostics.iter().map(|problem| problem.code.to_string()).collect::<Vec<_>>()
    };
    let mut resources = network(&[WIDE[0], WIDE[1]]);
    let table = |subnet: &str| json!({ "vpc": "$(vpc.main.id)", "subnets": [format!("$(subnet.{subnet}.id)")] });
    resources["route_table"] = json!({ "one": table("a"), "two": table("b") });
    resources["elastic_ip"] = json!({ "out": {} });
    let gateway = |subnet: &str| json!({ "subnet": format!("$(subnet.{subnet}.id)"), "allocation": "$(elastic_ip.out.allocation_id)" });
    resources["nat_gateway"] = json!({ "a": gateway("a") });
    assert_eq!(problems(resources.clone()), Vec::<String>::new());
    resources["route_table"]["two"] = table("a");
    assert_eq!(problems(resources.clone()), ["SPEC046"]);
    resources["nat_gateway"]["b"] = gateway("b");
    assert_eq!(problems(resources), ["SPEC046", "SPEC046"]);
}

fn network(cidrs: &[(&str, &str)]) -> Value {
    let subnet = |(name, cidr): &(&str, &str)| ((*name).to_owned(), json!({ "vpc": "$(vpc.main.id)", "cidr": cidr }));
    let subnets: serde_json::Map<String, Value> = cidrs.iter().map(subnet).collect();
    json!({ "vpc": { "main": { "cidr": "10.0.0.0/16" } }, "subnet": subnets })
}

const WIDE: [(&str, &str); 3] = [("a", "10.0.0.0/20"), ("b", "10.0.16.0/20"), ("c", "10.0.32.0/20")];
const NARROW: [(&str, &str); 3] = [("a", "10.0.0.0/21"), ("b", "10.0.8.0/21"), ("c", "10.0.16.0/21")];

#[tokio::test]
async fn subnets_that_are_cut_anew_wait_for_their_neighbours() {
    let world = World::new(7);
    apply(&world, &network(&WIDE)).await;
    apply_though_late(&world, &["DeleteSubnet"], &network(&NARROW)).await;
}

#[tokio::test]
async fn one_that_is_gone_is_made_where_a_neighbour_still_is() {
    let world = World::new(7);
    apply(&world, &network(&WIDE)).await;
    let gone = world.state().await.resources[&"subnet.b".parse().unwrap()].id.clone();
    world.aws.ec2().delete_subnet().subnet_id(gone.as_str()).send().await.unwrap();
    apply_though_late(&world, &["DeleteSubnet"], &network(&NARROW)).await;
}

#[tokio::test]
async fn what_an_update_lets_go_is_taken_after_it() {
    let world = World::new(7);
    let keys = |one: Option<&str>, two: Option<&str>| {
        let key = |alias: Option<&str>| alias.map_or_else(|| json!({}), |alias| json!({ "alias": alias }));
        json!({ "kms_key": { "a": key(one), "z": key(two) } })
    };
    apply(&world, &keys(None, Some("alias/data"))).await;
    // Before that of the key that has it, by order of names.
    apply_though_late(&world, &["DeleteAlias"], &keys(Some("alias/data"), None)).await;
    apply_though_late(&world, &["DeleteAlias"], &keys(Some("alias/more"), Some("alias/data"))).await;
    let (code, _, help) = refused(&world, &keys(Some("alias/data"), Some("alias/more"))).await;
    assert_eq!(
        (code.as_str(), help.as_str()),
        ("PLAN017", "apply in two rounds: first with another `alias` for kms_key.a")
    );
}

#[tokio::test]
async fn what_is_made_first_can_not_have_the_name_of_what_goes_last() {
    let world = World::new(7);
    let role = |path: &str, lifecycle: Value| {
        let trust = json!({ "service": "sagemaker.amazonaws.com" });
        json!({ "iam_role": { "jobs": { "name": "jobs", "path": path, "trust": trust, "lifecycle": lifecycle } } })
    };
    apply(&world, &role("/", json!({}))).await;
    let (code, detail, help) = refused(&world, &role("/ml/", json!({ "create_before_destroy": true }))).await;
    assert_eq!(
        (code.as_str(), detail.as_str(), help.as_str()),
        (
            "PLAN017",
            "make iam_role.jobs → delete iam_role.jobs (jobs) → make iam_role.jobs",
            "let `name` be another one, or leave `create_before_destroy` out"
        )
    );
    apply(&world, &role("/ml/", json!({}))).await;
}

#[tokio::test]
async fn what_is_used_under_its_new_address_is_kept_by_a_move() {
    let world = World::new(7);
    let endpoint = |subnet: &str| {
        let mut resources = network(&[(subnet, "10.0.0.0/20")]);
        resources["vpc_endpoint"] = json!({ "kms": { "vpc": "$(vpc.main.id)", "service": "kms", "type": "interface",
            "subnets": [format!("$(subnet.{subnet}.id)")], "private_dns": false } });
        resources
    };
    apply(&world, &endpoint("a")).await;
    let (code, detail, help) = refused(&world, &endpoint("b")).await;
    let keeps = "`opora state mv subnet.a subnet.b` keeps what is there under its new address; or apply in two rounds";
    assert!(code == "PLAN017" && help.starts_with(keeps), "{code} {help}");
    assert!(detail.contains("make vpc_endpoint.kms → make subnet.b"), "{detail}");
}

#[tokio::test]
async fn what_a_deletion_keeps_is_not_given_to_another() {
    let world = World::new(7);
    let secret = |name: &str, days: u64| {
        let secret = json!({ "name": "token", "recovery_window_days": days,
            "value": { "generate": { "length": 20 } } });
        json!({ "secretsmanager_secret": { name: secret } })
    };
    apply(&world, &secret("a", 7)).await;
    let (code, _, help) = refused(&world, &secret("b", 7)).await;
    let keeps = "`opora state mv secretsmanager_secret.a secretsmanager_secret.b` keeps what is there";
    assert!(code == "PLAN017" && help.starts_with(keeps), "{code} {help}");
    apply(&world, &secret("a", 0)).await;
    apply_though_late(&world, &["DeleteSecret"], &secret("b", 7)).await;
}

/// Of a range it is said only by the order: it is cut anew more often than it moves.
#[tokio::test]
async fn a_plan_says_from_whom_a_name_is_taken() {
    let world = World::new(7);
    let group = |address: &str, cidr: &str| {
        let mut resources = network(&[(address, cidr)]);
        resources["log_group"] = json!({ address: { "name": "/jobs" } });
        resources
    };
    apply(&world, &group("a", "10.0.0.0/20")).await;
    let plan = world.plan(&world.load(&spec_of(&group("b", "10.0.0.0/20"))), false).await.unwrap();
    let reasons = plan.changes.iter().filter(|change| change.address.name == "b");
    let reasons: Vec<_> = reasons.map(|change| change.reasons.clone()).collect();
    let takes = Reason::Takes { argument: "name".to_owned(), from: "log_group.a".parse().unwrap() };
    assert_eq!(reasons, [vec![Reason::New, takes], vec![Reason::New]]);
}

#[tokio::test]
async fn what_others_have_keeps_nobody_waiting() {
    let world = World::new(7);
    apply(&world, &network(&WIDE)).await;
    let environment = world.load(&spec_of(&network(&[WIDE[0], ("d", "10.0.48.0/20")])));
    let plan = world.plan(&environment, false).await.unwrap();
    let made = plan.steps.iter().find(|step| step.kind == StepKind::Create).unwrap();
    assert_eq!((made.address.to_string().as_str(), made.after.len()), ("subnet.d", 0));
}
