//! The IAM kinds and budgets on the sandbox: what the conformance of all kinds does not look at.
//!
//! Bulk reads and their fall-back, attachments from both sides, the room for versions and notifications, and
//! that no moment of an update lets more in than its beginning and its end.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use opora::aws::connect::connect_with;
use opora::aws::resource::{Changes, Creation, Deletion, ErasedUpdate, Fields, SecretValues};
use opora::aws::tags::Owner;
use opora::aws::{Aws, AwsError, ErrorClass, Pacing, Seam, kinds};
use opora::graph::{Address, PhysicalId};
use opora::kind::{Scope, Seen, SeenResource, with_defaults};
use opora::sandbox::{Conditions, Sandbox};
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";

struct NoSecrets;

impl SecretValues for NoSecrets {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
}

struct World {
    sandbox: Sandbox,
    aws: Aws,
    scope: Scope,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::in_memory(11);
        let seam = Seam {
            http: sandbox.http_client(),
            time: SharedTimeSource::new(sandbox.clock()),
            background: sandbox.clock().background(),
            sleep: SharedAsyncSleep::new(sandbox.clock()),
        };
        let credentials = Credentials::new(ACCOUNT, "any", None, None, "test");
        let aws = connect_with(seam, credentials, "us-east-1", Pacing::new(1.0));
        let scope =
            Scope { environment: "research".to_owned(), account: ACCOUNT.to_owned(), region: "us-east-1".to_owned() };
        Self { sandbox, aws, scope }
    }

    fn owner(&self, address: &Address) -> Owner {
        Owner::new("research", address, 1)
    }

    fn wanted(kind: &str, arguments: &Value) -> Value {
        with_defaults(&kinds::get(kind).unwrap().schema().arguments, arguments)
    }

    async fn create(&self, address: &str, arguments: &Value) -> PhysicalId {
        let address: Address = address.parse().unwrap();
        let kind = kinds::get(&address.kind).unwrap();
        let wanted = Self::wanted(&address.kind, arguments);
        assert_eq!(kind.check(&wanted), [], "{wanted}");
        let owner = self.owner(&address);
        let once = self.aws.once();
        let cx = Creation {
            aws: &once,
            scope: &self.scope,
            address: &address,
            owner: &owner,
            token: "t",
            secrets: &NoSecrets,
        };
        let id = kind.create(cx, &wanted).await.unwrap();
        assert_eq!(kind.find(cx, &wanted).await.unwrap(), std::slice::from_ref(&id));
        kind.ready(&self.aws, &id).await.unwrap();
        self.update(&address.to_string(), &id, arguments).await.unwrap();
        id
    }

    async fn update(&self, address: &str, id: &PhysicalId, arguments: &Value) -> Result<(), AwsError> {
        let address: Address = address.parse().unwrap();
        let kind = kinds::get(&address.kind).unwrap();
        let wanted = Self::wanted(&address.kind, arguments);
        let seen = self.read(&address.kind, id).await.unwrap();
        let names = wanted.as_object().unwrap().iter();
        let differ = |(name, value): (&String, &Value)| (seen.arguments.get(name) != Some(value)).then(|| name.clone());
        // What is seen and no longer wanted is reset too.
        let gone = seen.arguments.as_object().unwrap().keys().filter(|name| wanted.get(name.as_str()).is_none());
        let gone = gone.filter(|name| *name != "name").cloned();
        let changes = Changes(names.filter_map(differ).chain(gone).collect());
        let owner = self.owner(&address);
        let update = ErasedUpdate {
            aws: &self.aws,
            scope: &self.scope,
            address: &address,
            id,
            arguments: &wanted,
            changes: &changes,
            owner: &owner,
            token: "u",
            secrets: &NoSecrets,
        };
        kind.update(update).await?;
        let seen = self.read(&address.kind, id).await.unwrap();
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(seen.arguments.get(name), Some(value), "{address} {name}");
        }
        assert_eq!(seen.owner, Some(self.owner(&address)));
        Ok(())
    }

    async fn read(&self, kind: &str, id: &PhysicalId) -> Option<SeenResource> {
        match self.read_many(kind, std::slice::from_ref(id)).await.remove(id).unwrap() {
            Seen::Present(seen) => Some(seen),
            Seen::Absent => None,
            Seen::Unreadable { reason } => panic!("{kind} {id}: {reason}"),
        }
    }

    async fn read_many(&self, kind: &str, ids: &[PhysicalId]) -> BTreeMap<PhysicalId, Seen> {
        kinds::get(kind).unwrap().read_many(&self.aws, ids, &Fields::All).await.unwrap()
    }

    async fn delete(&self, kind: &str, id: &PhysicalId) -> Result<(), AwsError> {
        let recorded = json!({});
        let cx = Deletion { aws: &self.aws, scope: &self.scope, id, recorded: &recorded, allow_data_loss: false };
        kinds::get(kind).unwrap().delete(cx).await
    }

    /// Returns the operations since `from`, with how many there were of each.
    fn calls_since(&self, from: usize) -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        for call in &self.sandbox.calls()[from..] {
            *out.entry(call.operation.clone()).or_default() += 1;
        }
        out
    }
}

fn role(name: &str) -> Value {
    json!({ "name": name, "trust": { "service": "ec2.amazonaws.com" } })
}

fn allow(action: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": [action], "Resource": ["*"] }] })
}

/// Merges a patch into arguments as the samples mean it: null takes an argument away.
fn merged(base: &Value, patch: &Value) -> Value {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            let mut out = base.clone();
            for (key, value) in patch {
                if value.is_null() {
                    out.shift_remove(key);
                } else {
                    let old = out.get(key).cloned().unwrap_or(Value::Null);
                    out.insert(key.clone(), merged(&old, value));
                }
            }
            Value::Object(out)
        }
        (_, other) => other.clone(),
    }
}

#[tokio::test]
async fn a_role_goes_through_all_its_forms() {
    let world = World::new();
    let mut arguments = json!({
        "name": "trainer", "path": "/ml/", "description": "trains", "max_session_seconds": 7200,
        "trust": { "service": "sagemaker.amazonaws.com", "source_account": ACCOUNT },
        "permissions_boundary": "arn:aws:iam::aws:policy/AdministratorAccess",
        "policies": { "read": allow("s3:GetObject") },
        "attach": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"], "tags": { "team": "ml" },
    });
    let id = world.create("iam_role.trainer", &arguments).await;
    let two = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "Service": ["a.amazonaws.com", "b.amazonaws.com"] }, "Action": ["sts:AssumeRole"] }] });
    for patch in [
        json!({ "description": null, "max_session_seconds": null }),
        json!({ "trust": { "accounts": ["210987654321"], "mfa": true }, "policies": { "read": null, "other": allow("s3:*") } }),
        json!({ "trust": { "service": null, "source_account": null, "accounts": null, "mfa": null, "document": two } }),
        json!({ "trust": { "document": null, "service": "ec2.amazonaws.com" }, "attach": [] }),
        json!({ "permissions_boundary": null }),
        json!({ "permissions_boundary": "arn:aws:iam::aws:policy/PowerUserAccess", "tags": null }),
        json!({ "policies": null, "tags": { "a": "b" } }),
    ] {
        arguments = merged(&arguments, &patch);
        world.update("iam_role.trainer", &id, &arguments).await.unwrap();
    }
    world.delete("iam_role", &id).await.unwrap();
    world.delete("iam_role", &id).await.unwrap();
    assert!(world.read("iam_role", &id).await.is_none());
}

#[tokio::test]
async fn a_role_lets_nobody_new_in_while_its_permissions_change() {
    let world = World::new();
    let before = json!({ "name": "r", "trust": { "accounts": ["210987654321"] }, "policies": { "a": allow("s3:*") } });
    let id = world.create("iam_role.r", &before).await;
    let from = world.sandbox.calls().len();
    let after =
        json!({ "name": "r", "trust": { "service": "ec2.amazonaws.com" }, "policies": { "b": allow("ec2:*") } });
    world.update("iam_role.r", &id, &after).await.unwrap();
    let order: Vec<String> = world.sandbox.calls()[from..]
        .iter()
        .filter(|call| !call.touched.is_empty())
        .map(|call| call.operation.clone())
        .collect();
    // Nobody is let in by both trusts, so nobody is let in while both permissions are there.
    assert_eq!(order, ["UpdateAssumeRolePolicy", "PutRolePolicy", "DeleteRolePolicy", "UpdateAssumeRolePolicy"]);
}

#[tokio::test]
async fn many_roles_are_read_at_once() {
    let world = World::new();
    let mut ids = Vec::new();
    for index in 0..20 {
        let arguments = json!({ "name": format!("r{index}"), "description": "d", "max_session_seconds": 7200,
            "trust": { "service": "ec2.amazonaws.com" }, "policies": { "p": allow("s3:*") },
            "attach": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"] });
        ids.push(world.create(&format!("iam_role.r{index}"), &arguments).await);
    }
    ids.push("absent".into());
    let from = world.sandbox.calls().len();
    let bulk = world.read_many("iam_role", &ids).await;
    let calls = world.calls_since(from);
    assert_eq!(calls, BTreeMap::from([("GetAccountAuthorizationDetails".to_owned(), 1), ("ListRoles".to_owned(), 1)]));
    assert_eq!(bulk[&PhysicalId::from("absent")], Seen::Absent);
    for id in &ids[..20] {
        let Seen::Present(one) = &bulk[id] else { panic!("{id}") };
        assert_eq!(Some(one), world.read("iam_role", id).await.as_ref());
    }
    // Not allowed to read everything, it reads what it was asked for.
    let denied = r#"{"faults": [{"operation": "GetAccountAuthorizationDetails", "every": 1, "kind": "denied"}]}"#;
    world.sandbox.set_conditions(serde_json::from_str::<Conditions>(denied).unwrap());
    assert_eq!(world.read_many("iam_role", &ids).await, bulk);
}

#[tokio::test]
async fn what_could_not_be_read_is_not_absent() {
    let world = World::new();
    let id = world.create("iam_role.r", &role("r")).await;
    let denied = r#"{"faults": [{"operation": "ListAttachedRolePolicies", "every": 1, "kind": "denied"}]}"#;
    world.sandbox.set_conditions(serde_json::from_str::<Conditions>(denied).unwrap());
    let seen = world.read("iam_role", &id).await.unwrap();
    assert!(opora::value::unreadable_reason(&seen.arguments["attach"]).is_some());
    let denied = r#"{"faults": [{"operation": "GetRole", "every": 1, "kind": "denied"}]}"#;
    world.sandbox.set_conditions(serde_json::from_str::<Conditions>(denied).unwrap());
    let seen = world.read_many("iam_role", std::slice::from_ref(&id)).await;
    assert!(matches!(seen[&id], Seen::Unreadable { .. }));
}

#[tokio::test]
async fn a_policy_is_attached_from_its_own_side() {
    let world = World::new();
    let one = world.create("iam_role.one", &role("one")).await;
    world.create("iam_role.two", &role("two")).await;
    let mut arguments = json!({ "name": "p", "document": allow("s3:GetObject"), "attach_to": ["one"] });
    let id = world.create("iam_policy.p", &arguments).await;
    // The role's own arguments do not show it, so the role has no drift.
    assert_eq!(world.read("iam_role", &one).await.unwrap().arguments["attach"], json!([]));
    let mut both = role("one");
    both["attach"] = json!([id.as_str()]);
    let refused = world.update("iam_role.one", &one, &both).await.unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (ErrorClass::Invalid, "OwnedPolicy"));
    for round in 0..7 {
        arguments["document"] = allow(&format!("s3:Get{round}"));
        arguments["attach_to"] = if round % 2 == 0 { json!(["one", "two"]) } else { json!(["two"]) };
        world.update("iam_policy.p", &id, &arguments).await.unwrap();
    }
    assert_eq!(world.read("iam_policy", &id).await.unwrap().attributes["version"], "v8");
    world.delete("iam_policy", &id).await.unwrap();
    world.delete("iam_policy", &id).await.unwrap();
    assert!(world.read("iam_policy", &id).await.is_none());
}

#[tokio::test]
async fn many_policies_are_read_with_one_walk() {
    let world = World::new();
    world.create("iam_role.one", &role("one")).await;
    let mut ids = Vec::new();
    for index in 0..6 {
        let arguments = json!({ "name": format!("p{index}"), "description": "d", "document": allow("s3:Get"),
            "attach_to": ["one"], "tags": { "n": "1" } });
        ids.push(world.create(&format!("iam_policy.p{index}"), &arguments).await);
    }
    let from = world.sandbox.calls().len();
    let bulk = world.read_many("iam_policy", &ids).await;
    let calls = world.calls_since(from);
    assert_eq!(calls, BTreeMap::from([("GetAccountAuthorizationDetails".to_owned(), 1), ("GetPolicy".to_owned(), 6)]));
    for id in &ids {
        let Seen::Present(one) = &bulk[id] else { panic!("{id}") };
        assert_eq!(Some(one), world.read("iam_policy", id).await.as_ref());
    }
    assert_eq!(kinds::get("iam_policy").unwrap().discover(&world.aws).await.unwrap().len(), 6);
}

#[tokio::test]
async fn an_instance_profile_changes_its_role() {
    let world = World::new();
    world.create("iam_role.one", &role("one")).await;
    let two = world.create("iam_role.two", &role("two")).await;
    let mut arguments = json!({ "name": "node", "path": "/ml/", "role": "one", "tags": { "a": "b" } });
    let id = world.create("iam_instance_profile.node", &arguments).await;
    arguments["role"] = json!("two");
    arguments["tags"] = json!({ "c": "d" });
    world.update("iam_instance_profile.node", &id, &arguments).await.unwrap();
    let refused = world.delete("iam_role", &two).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::InUse);
    world.delete("iam_instance_profile", &id).await.unwrap();
    world.delete("iam_instance_profile", &id).await.unwrap();
    world.delete("iam_role", &two).await.unwrap();
}

#[tokio::test]
async fn a_budget_goes_through_all_its_forms() {
    let world = World::new();
    let mut arguments = json!({
        "name": "ml spend", "amount": 400, "metric": "amortized", "starts": "2026-01-01",
        "filters": { "only": { "SERVICE": ["b", "a"] }, "except": { "RECORD_TYPE": ["Credit"] }, "tags": { "user:team": ["ml"] } },
        "notifications": [
            { "threshold": 80, "emails": ["b@example.com", "a@example.com"] },
            { "spend": "forecasted", "threshold": 100, "sns_topic": "arn:aws:sns:us-east-1:123456789012:costs" },
        ],
        "tags": { "team": "ml" },
    });
    let id = world.create("budget.ml", &arguments).await;
    assert_eq!(id.as_str(), "123456789012:ml spend");
    let ten = |from: u32| (from..from + 10).map(|at| json!({ "threshold": at, "emails": ["a@example.com"] }));
    for patch in [
        json!({ "amount": 12.5, "period": "annually" }),
        json!({ "filters": null, "metric": null, "ends": "2030-01-01" }),
        json!({ "notifications": [{ "threshold": 80, "emails": ["c@example.com"],
            "sns_topic": "arn:aws:sns:us-east-1:123456789012:costs" }] }),
        json!({ "notifications": ten(1).collect::<Vec<_>>(), "tags": null }),
        json!({ "notifications": ten(5).collect::<Vec<_>>(), "ends": null }),
        json!({ "notifications": null, "tags": { "a": "b" } }),
    ] {
        arguments = merged(&arguments, &patch);
        world.update("budget.ml", &id, &arguments).await.unwrap();
    }
    world.delete("budget", &id).await.unwrap();
    world.delete("budget", &id).await.unwrap();
    assert!(world.read("budget", &id).await.is_none());
}

#[tokio::test]
async fn many_budgets_are_read_at_once() {
    let world = World::new();
    let mut ids = Vec::new();
    for index in 0..5 {
        let arguments = json!({ "name": format!("b{index}"), "amount": 10,
            "notifications": [{ "threshold": 80, "emails": ["a@example.com"] }] });
        ids.push(world.create(&format!("budget.b{index}"), &arguments).await);
    }
    let from = world.sandbox.calls().len();
    let bulk = world.read_many("budget", &ids).await;
    let calls = world.calls_since(from);
    assert_eq!((calls["DescribeBudgets"], calls["DescribeBudgetNotificationsForAccount"]), (1, 1));
    assert_eq!(calls.get("DescribeBudget"), None);
    for id in &ids {
        let Seen::Present(one) = &bulk[id] else { panic!("{id}") };
        assert_eq!(Some(one), world.read("budget", id).await.as_ref());
    }
    assert_eq!(kinds::get("budget").unwrap().discover(&world.aws).await.unwrap().len(), 5);
}
