//! A replacement with `create_before_destroy`: the new one is made, what refers to it moves over, the old one goes.

use serde_json::{Value, json};

use crate::support::{ACCOUNT, REGION, World};

/// Applies `before`, then `after`, and returns the operations of the second apply that changed something.
async fn replaced(before: &Value, after: &Value) -> Vec<String> {
    let world = World::new(3);
    let spec = |resources: &Value| {
        json!({ "opora": 1, "environment": "moves", "account": ACCOUNT, "region": REGION, "resources": resources })
            .to_string()
    };
    world.apply_all(&world.load(&spec(before))).await;
    let from = world.sandbox.calls().len();
    world.apply_all(&world.load(&spec(after))).await;
    let calls = world.sandbox.calls();
    calls[from..].iter().filter(|call| !call.touched.is_empty()).map(|call| call.operation.clone()).collect()
}

/// Checks that operations come in an order, other calls between them.
#[track_caller]
fn assert_order(calls: &[String], wanted: &[&str]) {
    let mut rest = calls.iter();
    let found = wanted.iter().all(|operation| rest.any(|call| call == operation));
    assert!(found, "{wanted:?} are not in this order in {calls:?}");
    for operation in wanted {
        assert_eq!(calls.iter().filter(|call| call == operation).count(), 1, "{operation} in {calls:?}");
    }
}

const FIRST: &str = "create_before_destroy";

#[tokio::test]
async fn an_endpoint_and_a_launch_template_have_the_new_group_before_the_old_one_goes() {
    let resources = |text: &str| {
        json!({
            "vpc": { "main": { "cidr": "10.0.0.0/16", "dns_hostnames": true } },
            "subnet": { "a": { "vpc": "$(vpc.main.id)", "zone": "us-east-1a", "cidr": "10.0.0.0/24" } },
            "security_group": { "one": { "vpc": "$(vpc.main.id)", "description": text, "lifecycle": { FIRST: true } } },
            "vpc_endpoint": { "kms": { "vpc": "$(vpc.main.id)", "service": "kms", "type": "interface",
                "subnets": ["$(subnet.a.id)"], "security_groups": ["$(security_group.one.id)"] } },
            "launch_template": { "node": { "name": "node", "instance_type": "p5.48xlarge", "security_groups": ["$(security_group.one.id)"] } },
        })
    };
    let calls = replaced(&resources("one"), &resources("another")).await;
    assert_order(&calls, &["CreateSecurityGroup", "ModifyVpcEndpoint", "DeleteSecurityGroup"]);
    assert_order(&calls, &["CreateSecurityGroup", "CreateLaunchTemplateVersion", "DeleteSecurityGroup"]);
}

#[tokio::test]
async fn a_log_group_has_the_new_key_before_the_old_one_goes() {
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }, "Action": "kms:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
          "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"], "Resource": "*" },
    ] });
    let resources = |multi_region: bool| {
        json!({
            "kms_key": { "logs": { "multi_region": multi_region, "policy": policy, "lifecycle": { FIRST: true } } },
            "log_group": { "app": { "name": "/moves/app", "kms_key": "$(kms_key.logs.arn)" } },
        })
    };
    let calls = replaced(&resources(false), &resources(true)).await;
    assert_order(&calls, &["CreateKey", "AssociateKmsKey", "ScheduleKeyDeletion"]);
}

#[tokio::test]
async fn a_new_flow_log_runs_by_the_new_role_before_the_old_ones_go() {
    // AWS takes a second flow log of one target only where it writes elsewhere.
    let resources = |path: &str| {
        json!({
            "vpc": { "main": { "cidr": "10.0.0.0/16" } },
            "iam_role": { "flow": { "path": path, "trust": { "service": "vpc-flow-logs.amazonaws.com" } } },
            "flow_log": { "all": { "target": "$(vpc.main.id)", "role": "$(iam_role.flow.arn)", "lifecycle": { FIRST: true },
                "destination": format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/moves{path}flow") } },
        })
    };
    let calls = replaced(&resources("/"), &resources("/other/")).await;
    assert_order(&calls, &["CreateRole", "CreateFlowLogs", "DeleteFlowLogs", "DeleteRole"]);
}

/// A bucket that leaves the spec goes after the trail writes elsewhere.
#[tokio::test]
async fn what_leaves_the_spec_goes_after_what_used_it() {
    let bucket = |name: &str| {
        let to = |action: &str, resource: String| json!({ "Effect": "Allow", "Principal": { "Service": "cloudtrail.amazonaws.com" }, "Action": action, "Resource": resource });
        let arn = format!("arn:aws:s3:::moves-{name}");
        json!({ "name": format!("moves-{name}"), "policy": { "Version": "2012-10-17",
            "Statement": [to("s3:GetBucketAcl", arn.clone()), to("s3:PutObject", format!("{arn}/*"))] } })
    };
    let resources = |name: &str| json!({ "s3_bucket": { name: bucket(name) }, "cloudtrail_trail": { "t": { "name": "moves", "bucket": format!("$(s3_bucket.{name}.name)") } } });
    let calls = replaced(&resources("a"), &resources("b")).await;
    assert_order(&calls, &["CreateBucket", "UpdateTrail", "DeleteBucket"]);
    assert!(!calls.iter().any(|call| call == "StopLogging"), "{calls:?}");
}

/// A subnet goes from one table to another in one call, whichever of them comes first by name.
#[tokio::test]
async fn a_subnet_changes_its_table_in_one_call() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        let resources = |table: &str| {
            let with = |name: &str| {
                let subnets = if name == table { json!(["$(subnet.a.id)"]) } else { json!([]) };
                json!({ "vpc": "$(vpc.main.id)", "subnets": subnets })
            };
            json!({
                "vpc": { "main": { "cidr": "10.0.0.0/16" } },
                "subnet": { "a": { "vpc": "$(vpc.main.id)", "zone": "us-east-1a", "cidr": "10.0.0.0/24" } },
                "route_table": { "a": with("a"), "b": with("b") },
            })
        };
        let calls = replaced(&resources(from), &resources(to)).await;
        assert_eq!(calls, ["ReplaceRouteTableAssociation"], "from {from} to {to}");
        // A table that goes altogether gives its subnet up first, too.
        let mut without = resources(to);
        without["route_table"].as_object_mut().unwrap().shift_remove(from);
        let calls = replaced(&resources(from), &without).await;
        assert_eq!(calls, ["ReplaceRouteTableAssociation", "DeleteRouteTable"], "from {from} to {to}");
    }
}
