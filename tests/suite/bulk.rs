//! Reading in bulk: fewer calls, and never another answer than the services' own.

use std::collections::{BTreeMap, BTreeSet};

use opora::aws::bulk::{ACTION, Recorded, TagPages, read_recorded};
use opora::aws::kinds;
use opora::aws::resource::Fields;
use opora::engine;
use opora::graph::{Address, PhysicalId};
use opora::kind::{Owner, Seen};
use opora::plan::Action;
use opora::sandbox::Conditions;
use opora::spec::Environment;
use serde_json::{Value, json};

use crate::conformance::each_sample;
use crate::support::World;

/// How late lists are, in seconds.
const LAG_S: f64 = 120.0;

/// The sample of a kind that is read in bulk, as it was recorded.
struct Bench {
    world: World,
    kind: &'static dyn opora::aws::resource::Kind,
    id: PhysicalId,
    recorded: Recorded,
    fields: Fields,
}

impl Bench {
    async fn new(world: World, environment: Environment, name: &str) -> Option<Self> {
        let kind = kinds::get(name).unwrap();
        kind.in_bulk()?;
        world.apply_all(&environment).await;
        let address = Address::new(name, "sample");
        let record = world.state().await.resources[&address].clone();
        let owner = Owner::new(&environment.scope.environment, &address, record.generation);
        let names = kind.schema().arguments.properties().map(|(name, _)| name.clone()).collect();
        let recorded = Recorded { arguments: record.arguments, attributes: record.attributes, owner };
        Some(Self { world, kind, id: record.id, recorded, fields: Fields::Only(names) })
    }

    fn conditions(&self, change: impl FnOnce(&mut Conditions)) {
        let mut conditions = Conditions::default();
        change(&mut conditions);
        self.world.sandbox.set_conditions(conditions);
    }

    async fn pages(&self) -> TagPages {
        let bulk = self.kind.in_bulk().unwrap();
        TagPages::read(&self.world.aws, &self.recorded.owner.environment, &[bulk]).await.unwrap()
    }

    /// Reads by the pages; also returns the operations that were called.
    async fn bulk(&self, pages: &TagPages) -> (Seen, BTreeSet<String>) {
        let from = self.world.sandbox.calls().len();
        let recorded = BTreeMap::from([(&self.id, &self.recorded)]);
        let ids = std::slice::from_ref(&self.id);
        let read = read_recorded(self.kind, &self.world.aws, ids, &recorded, &self.fields, pages).await.unwrap();
        let calls = self.world.sandbox.calls()[from..].iter().map(|call| call.operation.clone()).collect();
        (read[&self.id].clone(), calls)
    }

    async fn direct(&self) -> Seen {
        let ids = std::slice::from_ref(&self.id);
        self.kind.read_many(&self.world.aws, ids, &self.fields).await.unwrap()[&self.id].clone()
    }

    /// Sets a tag as somebody does who works without opora.
    async fn tag(&self, key: &str, value: &str) {
        let arn = self.recorded.attributes["arn"].as_str().unwrap();
        let call = self.world.aws.tagging().tag_resources().resource_arn_list(arn).tags(key, value);
        let failed = call.send().await.unwrap().failed_resources_map.unwrap_or_default();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

/// Operations that read one resource's tags.
const TAG_READS: [&str; 6] =
    ["GetBucketTagging", "GetInstanceProfile", "GetPolicy", "ListResourceTags", "ListTags", "ListTagsForResource"];

#[test]
fn what_the_pages_confirm_costs_no_call_for_tags_and_reads_the_same() {
    each_sample(async |world, environment, name| {
        let Some(bench) = Bench::new(world, environment, name).await else { return };
        assert!(bench.kind.schema().actions.read.contains(&ACTION), "{name} needs {ACTION}");
        let (seen, calls) = bench.bulk(&bench.pages().await).await;
        assert_eq!(seen, bench.direct().await, "{name}");
        // One policy alone is not worth a walk through the account.
        if name != "iam_policy" {
            assert!(!TAG_READS.iter().any(|read| calls.contains(*read)), "{name}: {calls:?}");
        }
    });
}

#[test]
fn tags_that_others_changed_are_read_from_the_service() {
    each_sample(async |world, environment, name| {
        let Some(bench) = Bench::new(world, environment, name).await else { return };
        for key in ["added", "opora:address"] {
            bench.tag(key, "elsewhere").await;
            let (seen, _) = bench.bulk(&bench.pages().await).await;
            assert_eq!(seen, bench.direct().await, "{name}: {key}");
            assert_ne!(Some(&bench.recorded.owner), seen.present().unwrap().owner.as_ref().filter(|_| key != "added"));
        }
        assert_eq!(bench.direct().await.present().unwrap().arguments["tags"]["added"], "elsewhere", "{name}");
    });
}

/// What opora itself has just changed is not yet on the pages: they are asked for nothing then.
#[test]
fn a_page_that_is_behind_the_record_makes_no_difference() {
    each_sample(async |world, environment, name| {
        let Some(mut bench) = Bench::new(world, environment, name).await else { return };
        bench.conditions(|conditions| conditions.list_lag_s = LAG_S);
        bench.tag("added", "here").await;
        let mut tags = bench.recorded.arguments.get("tags").cloned().unwrap_or_else(|| json!({}));
        tags["added"] = json!("here");
        bench.recorded.arguments["tags"] = tags;
        let (seen, _) = bench.bulk(&bench.pages().await).await;
        assert_eq!(seen, bench.direct().await, "{name}");
    });
}

#[test]
fn pages_that_lack_a_resource_or_still_have_it_say_nothing_of_its_being_there() {
    each_sample(async |world, environment, name| {
        let Some(bench) = Bench::new(world, environment.clone(), name).await else { return };
        let (seen, _) = bench.bulk(&TagPages::default()).await;
        assert_eq!(seen, bench.direct().await, "{name}: nothing on the pages");
        let before = bench.pages().await;
        let report = bench.world.apply(&environment, true).await;
        assert!(report.is_complete(), "{name}: {:#?}", report.failed);
        assert_eq!(bench.bulk(&before).await.0, Seen::Absent, "{name}: still on the pages");
    });
}

fn groups(count: usize, arguments: &Value) -> String {
    let resources: BTreeMap<String, &Value> = (0..count).map(|n| (format!("n{n}"), arguments)).collect();
    let spec = json!({ "opora": 1, "environment": "bulk", "account": "123456789012", "region": "us-east-1",
        "resources": { "log_group": resources } });
    spec.to_string()
}

const NONE: [(String, Action); 0] = [];

async fn changes(world: &World, environment: &Environment) -> Vec<(String, Action)> {
    let plan = world.plan(environment, false).await.expect("a plan");
    let changed = plan.changes.iter().filter(|change| change.action != Action::NoOp);
    changed.map(|change| (change.address.to_string(), change.action)).collect()
}

fn calls(world: &World, operation: &str) -> usize {
    world.sandbox.calls().iter().filter(|call| call.operation == operation).count()
}

#[tokio::test]
async fn a_plan_reads_the_tags_of_many_in_pages_and_finds_those_that_differ() {
    let world = World::new(3);
    let environment = world.load(&groups(120, &json!({ "tags": { "team": "ml" } })));
    world.apply_all(&environment).await;
    let before = (calls(&world, "ListTagsForResource"), calls(&world, "GetResources"));
    assert_eq!(changes(&world, &environment).await, NONE);
    assert_eq!(calls(&world, "ListTagsForResource"), before.0);
    assert_eq!(calls(&world, "GetResources"), before.1 + 2, "100 on a page");
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:bulk-n7";
    let tag = world.aws.logs().tag_resource().resource_arn(arn).tags("team", "other");
    tag.send().await.unwrap();
    assert_eq!(changes(&world, &environment).await, [("log_group.n7".to_owned(), Action::Update)]);
    assert_eq!(calls(&world, "ListTagsForResource"), before.0 + 1, "only the one that differs is asked for");
}

#[tokio::test]
async fn without_the_permission_or_the_api_every_service_is_asked() {
    let world = World::new(3);
    let environment = world.load(&groups(6, &json!({})));
    world.apply_all(&environment).await;
    for kind in ["denied", "unavailable"] {
        let before = calls(&world, "ListTagsForResource");
        let fault = json!({ "faults": [{ "operation": "GetResources", "every": 1, "kind": kind }] });
        world.sandbox.set_conditions(serde_json::from_value(fault).unwrap());
        assert_eq!(changes(&world, &environment).await, NONE, "{kind}");
        assert_eq!(calls(&world, "ListTagsForResource"), before + 6, "{kind}");
    }
}

/// Whoever looks for drift looks for what others changed, so a page that may be late is not enough.
#[tokio::test]
async fn drift_asks_every_service() {
    let world = World::new(3);
    let environment = world.load(&groups(6, &json!({})));
    world.apply_all(&environment).await;
    let conditions = json!({ "list_lag_s": LAG_S });
    world.sandbox.set_conditions(serde_json::from_value(conditions).unwrap());
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:bulk-n2";
    world.aws.logs().tag_resource().resource_arn(arn).tags("team", "other").send().await.unwrap();
    let before = calls(&world, "GetResources");
    let found = engine::find_drift(&world.aws, &world.schemas, &world.state().await, false).await;
    let drifted: Vec<String> = found.drift.drifted.iter().map(|drifted| drifted.address.to_string()).collect();
    assert_eq!(drifted, ["log_group.n2"]);
    assert_eq!(calls(&world, "GetResources"), before);
}

/// IAM can't change a policy's description, but another policy can come to bear the name.
#[tokio::test]
async fn a_description_is_taken_from_the_record_of_the_very_policy_alone() {
    let world = World::new(3);
    let document = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "*" }] });
    let policy = json!({ "description": "first", "document": document });
    let resources: BTreeMap<String, &Value> = (0..5).map(|n| (format!("n{n}"), &policy)).collect();
    let spec = json!({ "opora": 1, "environment": "bulk", "account": "123456789012", "region": "us-east-1",
        "resources": { "iam_policy": resources } });
    let environment = world.load(&spec.to_string());
    world.apply_all(&environment).await;
    let before = calls(&world, "GetPolicy");
    assert_eq!(changes(&world, &environment).await, NONE);
    assert_eq!(calls(&world, "GetPolicy"), before);
    let (iam, arn) = (world.aws.iam(), "arn:aws:iam::123456789012:policy/bulk-n3");
    let tags = iam.list_policy_tags().policy_arn(arn).send().await.unwrap().tags;
    iam.delete_policy().policy_arn(arn).send().await.unwrap();
    let again = iam.create_policy().policy_name("bulk-n3").description("second").set_tags(Some(tags));
    again.policy_document(document.to_string()).send().await.unwrap();
    assert_eq!(changes(&world, &environment).await, [("iam_policy.n3".to_owned(), Action::Replace)]);
}

/// Who may read its own resources and list none is told the same, by more calls.
#[test]
fn without_a_list_each_is_read_by_itself() {
    each_sample(async |world, environment, name| {
        let Some(bench) = Bench::new(world, environment, name).await else { return };
        let pages = bench.pages().await;
        for list in ["ListBuckets", "ListInstanceProfiles"] {
            let fault = json!({ "faults": [{ "operation": list, "every": 1, "kind": "denied" }] });
            bench.conditions(|conditions| *conditions = serde_json::from_value(fault).unwrap());
            assert_eq!(bench.bulk(&pages).await.0, bench.direct().await, "{name} without {list}");
        }
    });
}
