//! The evaluators find what is cut and what is let through, and nothing else.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::store::Store;

fn place(service: &str, region: &str) -> Place {
    Place { account: "123456789012".to_owned(), region: region.to_owned(), service: service.to_owned() }
}

fn access(rows: &[(&str, &str, &str, Value)]) -> Access {
    let mut store = Store::new(1, 0.0);
    for (service, collection, id, value) in rows {
        let shelf = store.shelf_mut(&place(service, "us-east-1"));
        let entry = crate::sandbox::store::Entry { at: 0.0, value: value.clone() };
        shelf.collections.entry((*collection).to_owned()).or_default().insert((*id).to_owned(), entry);
    }
    Access::of(&store, 0.0)
}

/// Says whether a moment between two others is too wide, and whether it cuts.
fn verdict(before: &Access, here: &Access, after: &Access) -> (bool, bool) {
    let found = here.between(before, after);
    (found.iter().any(|breach| breach.too_wide), found.iter().any(|breach| !breach.too_wide))
}

fn group(rules: &[(&str, i64, i64, &str)]) -> Access {
    let mut rows = vec![("ec2", "security_groups", "sg-1", json!({ "GroupId": "sg-1" }))];
    let names = ["a", "b", "c", "d"];
    for (name, (protocol, from, to, peer)) in names.iter().zip(rules) {
        let mut rule =
            json!({ "GroupId": "sg-1", "IsEgress": false, "IpProtocol": protocol, "FromPort": from, "ToPort": to });
        match peer.starts_with("sg-") {
            true => rule["ReferencedGroupInfo"] = json!({ "GroupId": peer }),
            false => rule["CidrIpv4"] = json!(peer),
        }
        rows.push(("ec2", "security_group_rules", name, rule));
    }
    access(&rows)
}

#[test]
fn connections_are_compared_by_ports_and_peers() {
    let wide = group(&[("tcp", 80, 90, "10.0.0.0/8")]);
    let split = group(&[("tcp", 80, 84, "10.0.0.0/8"), ("tcp", 85, 90, "10.0.0.0/8")]);
    let half = group(&[("tcp", 80, 84, "10.0.0.0/8")]);
    let other = group(&[("tcp", 80, 90, "10.0.0.0/8"), ("udp", 1, 1, "10.0.0.0/8")]);
    assert_eq!(verdict(&wide, &half, &split), (false, true));
    assert_eq!(verdict(&wide, &other, &split), (true, false));
    assert_eq!(verdict(&wide, &split, &wide), (false, false));
    assert_eq!(verdict(&wide, &group(&[]), &half), (false, true));
    assert_eq!(verdict(&wide, &half, &group(&[])), (false, false));
    let halves = group(&[("-1", -1, -1, "10.0.0.0/9"), ("-1", -1, -1, "10.128.0.0/9")]);
    let whole = group(&[("-1", -1, -1, "10.0.0.0/8")]);
    assert_eq!(verdict(&halves, &group(&[("-1", -1, -1, "10.0.0.0/9")]), &whole), (false, true));
    assert_eq!(verdict(&halves, &group(&[("tcp", 0, 65535, "0.0.0.0/0")]), &whole), (true, true));
}

#[test]
fn a_peer_known_by_its_address_and_then_by_its_group_is_not_cut() {
    let by_address = group(&[("tcp", 1, 1, "10.0.0.0/8")]);
    let by_group = group(&[("tcp", 1, 1, "sg-2")]);
    assert_eq!(verdict(&by_address, &group(&[]), &by_group), (false, true));
    let elsewhere = group(&[("tcp", 1, 1, "192.0.2.0/24")]);
    assert_eq!(verdict(&by_address, &group(&[]), &elsewhere), (false, false));
}

fn routed(routes: &[(&str, &str)]) -> Access {
    let routes: Vec<Value> =
        routes.iter().map(|(to, via)| json!({ "DestinationCidrBlock": to, "NatGatewayId": via })).collect();
    let gateway = |id: &'static str| ("ec2", "nat_gateways", id, json!({ "State": "available" }));
    access(&[
        ("ec2", "vpcs", "vpc-1", json!({ "CidrBlock": "10.0.0.0/16" })),
        ("ec2", "subnets", "subnet-1", json!({ "VpcId": "vpc-1" })),
        gateway("nat-1"),
        gateway("nat-2"),
        (
            "ec2",
            "route_tables",
            "rtb-1",
            json!({ "VpcId": "vpc-1", "Routes": routes, "Associations": [{ "Main": true }] }),
        ),
    ])
}

#[test]
fn routes_go_where_one_of_the_ends_sends_them() {
    let before = routed(&[("0.0.0.0/0", "nat-1")]);
    let after = routed(&[("0.0.0.0/0", "nat-2"), ("192.0.2.0/24", "nat-1")]);
    assert_eq!(verdict(&before, &routed(&[("0.0.0.0/0", "nat-2")]), &after), (true, false));
    assert_eq!(verdict(&before, &routed(&[("192.0.2.0/24", "nat-1")]), &after), (false, true));
    assert_eq!(verdict(&before, &routed(&[("0.0.0.0/0", "nat-1"), ("192.0.2.0/24", "nat-1")]), &after), (false, false));
    // A gateway that is not there is as good as none.
    assert_eq!(verdict(&before, &routed(&[("0.0.0.0/0", "nat-3")]), &after), (false, true));
}

fn role(trust: &str, inline: &[Value]) -> Access {
    let named: serde_json::Map<String, Value> = ["a", "b", "c"]
        .iter()
        .zip(inline)
        .map(|(name, document)| ((*name).to_owned(), json!(document.to_string())))
        .collect();
    let trust =
        json!({ "Statement": { "Effect": "Allow", "Principal": { "Service": trust }, "Action": "sts:AssumeRole" } });
    access(&[(
        "iam",
        "roles",
        "r",
        json!({ "Arn": "arn:aws:iam::123456789012:role/r", "_trust": trust.to_string(), "_inline": named, "_attached": [] }),
    )])
}

fn says(effect: &str, action: &str) -> Value {
    json!({ "Statement": { "Effect": effect, "Action": action, "Resource": "*" } })
}

#[test]
fn roles_are_judged_by_who_and_what() {
    let (one, two) = (says("Allow", "s3:Get*"), says("Allow", "s3:Put*"));
    let before = role("ec2.amazonaws.com", std::slice::from_ref(&one));
    let after = role("lambda.amazonaws.com", std::slice::from_ref(&two));
    assert_eq!(verdict(&before, &role("ec2.amazonaws.com", &[one.clone(), two.clone()]), &after), (true, false));
    assert_eq!(verdict(&before, &role("ec2.amazonaws.com", &[]), &after), (false, false));
    let denied = role("ec2.amazonaws.com", &[two.clone(), says("Deny", "s3:PutObject")]);
    let start = role("ec2.amazonaws.com", std::slice::from_ref(&one));
    assert_eq!(verdict(&start, &role("ec2.amazonaws.com", &[one, two]), &denied), (true, false));
    let both = role("ec2.amazonaws.com", &[says("Allow", "s3:*")]);
    assert_eq!(verdict(&both, &role("ec2.amazonaws.com", &[]), &start), (false, true));
}

fn bucket(policy: &Value, restricted: bool) -> Access {
    let block = json!({ "RestrictPublicBuckets": restricted });
    access(&[(
        "s3",
        "buckets",
        "b",
        json!({ "_policy": policy.to_string(), "_public_access_block": block, "_ownership": "BucketOwnerEnforced", "_acl": "private" }),
    )])
}

#[test]
fn a_bucket_is_judged_by_its_policy_and_its_block() {
    let to = |principal: Value| json!({ "Statement": { "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*" } });
    let (all, some) = (to(json!("*")), to(json!({ "AWS": "210987654321" })));
    let (before, after) = (bucket(&all, true), bucket(&some, false));
    assert_eq!(verdict(&before, &bucket(&all, false), &after), (true, false));
    assert_eq!(verdict(&before, &bucket(&some, true), &after), (false, false));
    // The other account is let in by both, and shut out where the public policy is restricted.
    assert_eq!(verdict(&bucket(&all, false), &bucket(&all, true), &bucket(&some, true)), (false, true));
}

fn key(state: &str, principal: &str) -> Access {
    let policy = json!({ "Statement": { "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "kms:*", "Resource": "*" } });
    access(&[("kms", "keys", "k", json!({ "KeyState": state, "_policy": policy.to_string() }))])
}

#[test]
fn a_disabled_key_lets_nobody_in() {
    let (before, after) = (key("Enabled", "123456789012"), key("Disabled", "210987654321"));
    assert_eq!(verdict(&before, &key("Enabled", "210987654321"), &after), (true, false));
    assert_eq!(verdict(&before, &key("Disabled", "123456789012"), &after), (false, false));
}

fn trail(on: bool, selector: &Value, prefix: Option<&str>) -> Access {
    let policy = json!({ "Statement": { "Effect": "Allow", "Principal": { "Service": "cloudtrail.amazonaws.com" }, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::b/AWSLogs/*" } });
    access(&[
        ("s3", "buckets", "b", json!({ "_policy": policy.to_string() })),
        (
            "cloudtrail",
            "trails",
            "t",
            json!({ "S3BucketName": "b", "S3KeyPrefix": prefix, "_status": { "IsLogging": on },
            "IncludeGlobalServiceEvents": true, "IsMultiRegionTrail": true, "_selectors": { "EventSelectors": [selector] } }),
        ),
    ])
}

#[test]
fn a_gap_in_what_a_trail_records_is_found() {
    let all = json!({ "ReadWriteType": "All", "IncludeManagementEvents": true });
    let writes = json!({ "ReadWriteType": "WriteOnly", "IncludeManagementEvents": true });
    let reads = json!({ "ReadWriteType": "ReadOnly", "IncludeManagementEvents": true });
    let rooted = |selector: &Value| trail(true, selector, None);
    let (before, after) = (rooted(&all), rooted(&writes));
    assert_eq!(verdict(&before, &trail(false, &all, None), &after), (false, true));
    assert_eq!(verdict(&before, &rooted(&reads), &after), (false, true));
    assert_eq!(verdict(&after, &rooted(&json!({ "IncludeManagementEvents": false })), &rooted(&reads)), (false, false));
    assert_eq!(verdict(&before, &trail(true, &all, Some("elsewhere")), &after), (false, true));
}
