//! What no order of the plain calls can do: one boundary for another together with one policy for another.
//!
//! Every order is tried on the sandbox and found unsafe; the way that opora goes is not.

use opora::sandbox::Moment;
use serde_json::{Value, json};

use super::edits::GENERATORS;
use super::judged;
use super::policies::document;
use super::stage::Stage;
use crate::support::ACCOUNT;

fn allow(actions: &[&str]) -> Value {
    document(vec![json!({ "Effect": "Allow", "Action": actions, "Resource": "*" })])
}

/// Calls that bring a role from one policy and boundary to others.
#[derive(Clone, Copy, Debug)]
enum Call {
    PutNew,
    DeleteOld,
    SwapBoundary,
}

fn boundary(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/{name}")
}

/// A role that may read by both its old and its new policy, and has a boundary that a new one is to replace.
async fn stage() -> Stage {
    let generator = GENERATORS.iter().find(|generator| generator.kind == "iam_role").unwrap();
    let mut stage = Stage::new(generator, 1).await;
    for (name, actions) in
        [("narrow-old", ["s3:PutObject", "s3:GetObject"]), ("narrow-new", ["ec2:RunInstances", "s3:GetObject"])]
    {
        let call = stage.world.aws.iam().create_policy().policy_name(name);
        call.policy_document(allow(&actions).to_string()).send().await.unwrap();
    }
    let mut first = stage.last.clone();
    first["policies"] = json!({ "old": allow(&["ec2:RunInstances", "s3:GetObject"]) });
    first["permissions_boundary"] = json!(boundary("narrow-old"));
    stage.edit(&first, true).await.unwrap();
    stage.last = first;
    stage
}

async fn in_order(stage: &Stage, order: [Call; 3]) -> Vec<Moment> {
    let (iam, role) = (stage.world.aws.iam(), stage.id.as_str());
    stage.world.sandbox.watch_access();
    for call in order {
        match call {
            Call::PutNew => {
                let text = allow(&["s3:PutObject", "s3:GetObject"]).to_string();
                iam.put_role_policy().role_name(role).policy_name("new").policy_document(text).send().await.unwrap();
            }
            Call::DeleteOld => {
                iam.delete_role_policy().role_name(role).policy_name("old").send().await.unwrap();
            }
            Call::SwapBoundary => {
                let call = iam.put_role_permissions_boundary().role_name(role);
                call.permissions_boundary(boundary("narrow-new")).send().await.unwrap();
            }
        }
    }
    stage.world.sandbox.watched()
}

#[tokio::test]
async fn no_order_of_the_plain_calls_is_safe_and_the_way_by_what_both_allow_is() {
    use Call::{DeleteOld, PutNew, SwapBoundary};
    for order in [
        [PutNew, DeleteOld, SwapBoundary],
        [PutNew, SwapBoundary, DeleteOld],
        [DeleteOld, PutNew, SwapBoundary],
        [DeleteOld, SwapBoundary, PutNew],
        [SwapBoundary, PutNew, DeleteOld],
        [SwapBoundary, DeleteOld, PutNew],
    ] {
        let moments = in_order(&stage().await, order).await;
        assert!(judged(&moments).is_err(), "{order:?} is safe after all");
    }
    let stage = stage().await;
    let mut wanted = stage.last.clone();
    wanted["policies"] = json!({ "new": allow(&["s3:PutObject", "s3:GetObject"]) });
    wanted["permissions_boundary"] = json!(boundary("narrow-new"));
    let moments = stage.edit(&wanted, true).await.unwrap();
    assert_eq!(judged(&moments), Ok(()));
    assert!(moments.len() > 3, "{moments:?}");
}

/// Two policies change in place and the boundary goes: what kept the old ones alive meanwhile goes before it.
#[tokio::test]
async fn a_boundary_goes_after_all_that_it_limited() {
    let mut stage = stage().await;
    let mut first = stage.last.clone();
    first["policies"] = json!({ "a": allow(&["kms:Decrypt"]), "b": allow(&["s3:GetObject"]) });
    stage.edit(&first, true).await.unwrap();
    stage.last = first.clone();
    first["policies"] = json!({ "a": allow(&["s3:GetObject"]), "b": allow(&["s3:ListBucket"]) });
    first["permissions_boundary"] = Value::Null;
    let moments = stage.edit(&first, true).await.unwrap();
    assert_eq!(judged(&moments), Ok(()));
    assert_eq!(moments.last().unwrap().operation, "DeleteRolePermissionsBoundary");
}
