//! The edits: for each kind that governs access or logging, what it needs, what it starts from, and what it becomes.
//!
//! Values come from small pools, so that old and new rules overlap, contain each other and change places.

use futures::future::LocalBoxFuture;
use opora::aws::Aws;
use serde_json::{Value, json};

use super::Rng;
use super::network::{route_table, route_table_drift, security_group, security_group_drift, vpc, vpc_drift};
use super::policies::{Words, document, edited, statements_of};
use super::stage::Stage;
use crate::support::ACCOUNT;

/// How the edits of one kind are made.
pub struct Generator {
    pub kind: &'static str,
    /// What the kind needs, as the resources of a spec.
    pub needs: &'static str,
    /// Makes what opora does not.
    pub before: for<'a> fn(&'a Aws) -> LocalBoxFuture<'a, ()>,
    pub first: fn() -> Value,
    /// Makes other arguments of the last ones.
    pub edit: fn(&mut Rng, &Stage, &Value) -> Value,
    /// Whether AWS takes the arguments at all.
    pub fits: fn(&Value) -> bool,
    /// Changes the resource as somebody else would.
    pub drift: for<'a> fn(&'a mut Rng, &'a Stage) -> LocalBoxFuture<'a, ()>,
}

pub const GENERATORS: [Generator; 11] = [
    Generator {
        kind: "security_group",
        needs: "
            vpc: { main: { cidr: 10.0.0.0/16 } }
            security_group: { peer: { vpc: $(vpc.main.id), description: The other side } }",
        before: nothing,
        first: || json!({ "vpc": "$(vpc.main.id)", "description": "edited" }),
        edit: security_group,
        fits: |_| true,
        drift: security_group_drift,
    },
    Generator {
        kind: "route_table",
        needs: "
            vpc: { main: { cidr: 10.0.0.0/16 } }
            internet_gateway: { main: { vpc: $(vpc.main.id) } }
            subnet:
              a: { vpc: $(vpc.main.id), zone: us-east-1a, cidr: 10.0.0.0/24 }
              b: { vpc: $(vpc.main.id), zone: us-east-1b, cidr: 10.0.1.0/24 }
              c: { vpc: $(vpc.main.id), zone: us-east-1b, cidr: 10.0.2.0/24 }
            elastic_ip: { one: {}, two: {} }
            nat_gateway:
              one: { subnet: $(subnet.a.id), allocation: $(elastic_ip.one.allocation_id) }
              two: { subnet: $(subnet.a.id), allocation: $(elastic_ip.two.allocation_id) }
            route_table:
              other:
                vpc: $(vpc.main.id)
                routes: [{ to: 0.0.0.0/0, via: $(internet_gateway.main.id) }]
                subnets: [$(subnet.b.id)]",
        before: nothing,
        first: || json!({ "vpc": "$(vpc.main.id)", "subnets": ["$(subnet.a.id)"] }),
        edit: route_table,
        fits: |_| true,
        drift: route_table_drift,
    },
    Generator {
        kind: "vpc",
        needs: "{}",
        before: nothing,
        first: || json!({ "cidr": "10.0.0.0/16" }),
        edit: vpc,
        fits: |_| true,
        drift: vpc_drift,
    },
    Generator {
        kind: "iam_role",
        needs: "{}",
        before: policies_by_hand,
        first: || json!({ "name": "edited", "trust": { "service": "ec2.amazonaws.com" } }),
        edit: iam_role,
        fits: |_| true,
        drift: iam_role_drift,
    },
    Generator {
        kind: "iam_policy",
        needs: "
            iam_role:
              a: { name: a, trust: { service: ec2.amazonaws.com } }
              b: { name: b, trust: { service: ec2.amazonaws.com } }
              c: { name: c, trust: { service: ec2.amazonaws.com } }",
        before: nothing,
        first: || {
            let first = json!({ "Effect": "Allow", "Action": ["s3:Get*"], "Resource": ["*"] });
            json!({ "name": "edited", "document": document(vec![first]) })
        },
        edit: iam_policy,
        fits: |_| true,
        drift: no_drift,
    },
    Generator {
        kind: "kms_key",
        needs: "iam_role: { a: { name: a, trust: { service: ec2.amazonaws.com } } }",
        before: nothing,
        first: || json!({ "description": "edited" }),
        edit: kms_key,
        // A disabled key's rotation can't be set.
        fits: |it| it["enabled"] != false || it.get("rotation").is_none_or(Value::is_null),
        drift: kms_key_drift,
    },
    Generator {
        kind: "s3_bucket",
        needs: "iam_role: { a: { name: a, trust: { service: ec2.amazonaws.com } } }",
        before: nothing,
        first: || json!({ "name": "moments-edited" }),
        edit: s3_bucket,
        fits: s3_bucket_fits,
        drift: s3_bucket_drift,
    },
    Generator {
        kind: "secretsmanager_secret",
        needs: "iam_role: { a: { name: a, trust: { service: ec2.amazonaws.com } } }",
        before: nothing,
        first: || json!({ "name": "edited", "value": { "from_env": "OPORA_TEST_TOKEN" } }),
        edit: |rng, stage, last| policy_only(rng, stage, last, "secretsmanager", &[]),
        fits: |_| true,
        drift: no_drift,
    },
    Generator {
        kind: "vpc_endpoint",
        needs: "
            vpc: { main: { cidr: 10.0.0.0/16, dns_hostnames: true } }
            subnet: { a: { vpc: $(vpc.main.id), zone: us-east-1a, cidr: 10.0.0.0/24 } }
            iam_role: { a: { name: a, trust: { service: ec2.amazonaws.com } } }",
        before: nothing,
        first: || json!({ "vpc": "$(vpc.main.id)", "service": "kms", "type": "interface", "subnets": ["$(subnet.a.id)"] }),
        edit: |rng, stage, last| policy_only(rng, stage, last, "kms", &[]),
        fits: |_| true,
        drift: no_drift,
    },
    Generator {
        kind: "bedrock_invocation_logging",
        needs: INVOCATIONS_NEEDS,
        before: nothing,
        first: || json!({ "s3": { "bucket": "$(s3_bucket.a.name)" } }),
        edit: invocations,
        fits: |it| it["s3"].is_object() || it["cloudwatch"].is_object(),
        drift: no_drift,
    },
    Generator {
        kind: "cloudtrail_trail",
        needs: TRAIL_NEEDS,
        before: nothing,
        first: || json!({ "name": "edited", "bucket": "$(s3_bucket.a.name)" }),
        edit: trail,
        fits: |it| it["multi_region"] != true || it["include_global"] != false,
        drift: trail_drift,
    },
];

const TRAIL_NEEDS: &str = r#"
    kms_key:
      k: &key
        policy:
          Version: "2012-10-17"
          Statement:
            - { Effect: Allow, Principal: { AWS: "arn:aws:iam::123456789012:root" }, Action: "kms:*", Resource: "*" }
            - { Effect: Allow, Principal: { Service: cloudtrail.amazonaws.com }, Action: ["kms:GenerateDataKey*", "kms:DescribeKey"], Resource: "*" }
    s3_bucket:
      a:
        name: moments-a
        policy:
          Version: "2012-10-17"
          Statement:
            - { Effect: Allow, Principal: { Service: cloudtrail.amazonaws.com }, Action: "s3:GetBucketAcl", Resource: "arn:aws:s3:::moments-a" }
            - { Effect: Allow, Principal: { Service: cloudtrail.amazonaws.com }, Action: "s3:PutObject", Resource: "arn:aws:s3:::moments-a/*" }
      b:
        name: moments-b
        policy:
          Version: "2012-10-17"
          Statement:
            - { Effect: Allow, Principal: { Service: cloudtrail.amazonaws.com }, Action: "s3:GetBucketAcl", Resource: "arn:aws:s3:::moments-b" }
            - { Effect: Allow, Principal: { Service: cloudtrail.amazonaws.com }, Action: "s3:PutObject", Resource: "arn:aws:s3:::moments-b/*" }
    log_group: { l: { name: /moments/trail } }
    iam_role: { t: { name: trail, trust: { service: cloudtrail.amazonaws.com } } }"#;

const INVOCATIONS_NEEDS: &str = r#"
    s3_bucket:
      a:
        name: moments-a
        policy:
          Version: "2012-10-17"
          Statement:
            - { Effect: Allow, Principal: { Service: bedrock.amazonaws.com }, Action: "s3:PutObject", Resource: "arn:aws:s3:::moments-a/*" }
    log_group: { l: { name: /moments/bedrock } }
    iam_role:
      t:
        name: bedrock
        trust: { service: bedrock.amazonaws.com }
        policies:
          write:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Action: "logs:*", Resource: "*" }]"#;

fn nothing(_: &Aws) -> LocalBoxFuture<'_, ()> {
    Box::pin(async {})
}

fn no_drift<'a>(_: &'a mut Rng, _: &'a Stage) -> LocalBoxFuture<'a, ()> {
    Box::pin(async {})
}

pub(super) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Puts a value at a random place of a list, or takes one.
pub(super) fn toggle(rng: &mut Rng, items: &mut Vec<Value>, pool: &[Value]) {
    let one = rng.pick(pool).clone();
    match items.iter().position(|item| *item == one) {
        Some(at) => {
            items.remove(at);
        }
        None => items.push(one),
    }
}

const ACTIONS: [&str; 8] =
    ["*", "s3:*", "s3:Get*", "s3:GetObject", "s3:PutObject", "ec2:*", "ec2:RunInstances", "kms:Decrypt"];
const RESOURCES: [&str; 4] = ["*", "arn:aws:s3:::data/*", "arn:aws:s3:::data/a/*", "arn:aws:s3:::other/*"];

/// What an identity's policy is made of.
const IDENTITY: Words<'static> = Words { actions: &ACTIONS, resources: &RESOURCES, principals: &[], deny_percent: 20 };

/// Policies that no spec made, one of them with a refusal in it.
fn policies_by_hand(aws: &Aws) -> LocalBoxFuture<'_, ()> {
    Box::pin(async move {
        let allow = |action: &str| json!({ "Effect": "Allow", "Action": action, "Resource": "*" });
        let deny = |action: &str| json!({ "Effect": "Deny", "Action": action, "Resource": "*" });
        for (name, statements) in [
            ("compute", vec![allow("ec2:*")]),
            ("guarded", vec![allow("s3:*"), deny("s3:PutObject")]),
            ("barrier", vec![deny("ec2:*")]),
        ] {
            let call = aws.iam().create_policy().policy_name(name);
            call.policy_document(document(statements).to_string()).send().await.unwrap();
        }
    })
}

fn managed() -> Vec<Value> {
    let aws =
        ["AmazonS3FullAccess", "AmazonS3ReadOnlyAccess"].map(|name| json!(format!("arn:aws:iam::aws:policy/{name}")));
    let own = ["compute", "guarded", "barrier"].map(|name| json!(format!("arn:aws:iam::{ACCOUNT}:policy/{name}")));
    aws.into_iter().chain(own).collect()
}

fn trust(rng: &mut Rng) -> Value {
    let accounts = [json!(["210987654321"]), json!(["210987654321", "111111111111"]), json!(["111111111111"])];
    let mut out = match rng.below(5) {
        0 => return json!({ "service": rng.pick(&["ec2.amazonaws.com", "lambda.amazonaws.com"]) }),
        1 => json!({ "service": "ec2.amazonaws.com", "accounts": rng.pick(&accounts) }),
        2 => json!({ "accounts": rng.pick(&accounts) }),
        3 => {
            json!({ "principals": [rng.pick(&["arn:aws:iam::210987654321:role/ci", "arn:aws:iam::210987654321:user/ana"])] })
        }
        _ => {
            let subjects = [json!(["repo:acme/models:*"]), json!(["repo:acme/models:*", "repo:acme/web:*"])];
            let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com");
            return json!({ "oidc": [{ "provider": provider, "subjects": rng.pick(&subjects) }] });
        }
    };
    if rng.chance(30) {
        out["mfa"] = json!(true);
    }
    if rng.chance(20) {
        out["external_id"] = json!(rng.pick(&["one", "two"]));
    }
    out
}

fn iam_role(rng: &mut Rng, _: &Stage, last: &Value) -> Value {
    let mut out = last.clone();
    if rng.chance(30) {
        out["trust"] = trust(rng);
    }
    if rng.chance(70) {
        let mut policies = last["policies"].as_object().cloned().unwrap_or_default();
        for _ in 0..=rng.below(2) {
            let name = *rng.pick(&["a", "b", "c"]);
            let old = policies.get(name).map(statements_of).unwrap_or_default();
            match rng.below(5) {
                0 => {
                    policies.shift_remove(name);
                }
                // A whole document changes its name, or two documents change places.
                1 if policies.contains_key(name) => {
                    let to = *rng.pick(&["a", "b", "c"]);
                    let moved = policies.shift_remove(name).unwrap();
                    if let Some(other) = policies.insert(to.to_owned(), moved) {
                        policies.insert(name.to_owned(), other);
                    }
                }
                _ => {
                    let statements = edited(rng, &IDENTITY, &old);
                    policies.insert(name.to_owned(), document(statements));
                }
            }
        }
        out["policies"] = json!(policies);
    }
    if rng.chance(50) {
        let mut attach = list(&last["attach"]);
        for _ in 0..=rng.below(2) {
            toggle(rng, &mut attach, &managed());
        }
        out["attach"] = json!(attach);
    }
    if rng.chance(25) {
        out["permissions_boundary"] = if rng.chance(35) { Value::Null } else { rng.pick(&managed()).clone() };
    }
    out
}

fn iam_role_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    let statements = edited(rng, &IDENTITY, &[]);
    let name = *rng.pick(&["a", "by-hand"]);
    let call = stage.world.aws.iam().put_role_policy().role_name(stage.id.as_str()).policy_name(name);
    Box::pin(async move {
        call.policy_document(document(statements).to_string()).send().await.unwrap();
    })
}

fn iam_policy(rng: &mut Rng, _: &Stage, last: &Value) -> Value {
    let mut out = last.clone();
    if rng.chance(70) {
        out["document"] = document(edited(rng, &IDENTITY, &statements_of(&last["document"])));
    }
    if rng.chance(60) {
        let mut roles = list(&last["attach_to"]);
        for _ in 0..=rng.below(2) {
            toggle(rng, &mut roles, &[json!("a"), json!("b"), json!("c")]);
        }
        out["attach_to"] = json!(roles);
    }
    out
}

fn principals(stage: &Stage) -> Vec<Value> {
    vec![
        json!({ "AWS": stage.get("iam_role.a.arn") }),
        json!({ "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }),
        json!({ "AWS": "210987654321" }),
        json!({ "Service": "logs.us-east-1.amazonaws.com" }),
        json!({ "AWS": ["210987654321", "111111111111"] }),
    ]
}

/// Changes the policy of a key, bucket or secret.
fn policy_only(rng: &mut Rng, stage: &Stage, last: &Value, service: &str, resources: &[&str]) -> Value {
    let mut out = last.clone();
    let mut named = principals(stage);
    if service == "s3" {
        named.push(json!("*"));
    }
    let actions: Vec<String> =
        ["Get*", "GetObject", "PutObject", "Encrypt", "Decrypt", "De*"].map(|it| format!("{service}:{it}")).into();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    let resources = if resources.is_empty() { &["*"] } else { resources };
    let words = Words { actions: &actions, resources, principals: &named, deny_percent: 20 };
    let old = last["policy"].as_object().map(|_| statements_of(&last["policy"])).unwrap_or_default();
    let root = json!({ "Sid": "root", "Effect": "Allow", "Principal": { "AWS": [format!("arn:aws:iam::{ACCOUNT}:root")] },
        "Action": [format!("{service}:*")], "Resource": ["*"] });
    if rng.chance(15) {
        out["policy"] = Value::Null;
    } else if rng.chance(80) {
        let own: Vec<Value> = old.iter().filter(|statement| statement["Sid"] != "root").cloned().collect();
        let mut statements = edited(rng, &words, &own);
        if service == "kms" {
            statements.insert(0, root);
        }
        out["policy"] = document(statements);
    }
    out
}

fn kms_key(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let mut out = policy_only(rng, stage, last, "kms", &[]);
    if rng.chance(30) {
        out["enabled"] = json!(rng.chance(50));
    }
    if rng.chance(20) {
        out["rotation"] = if rng.chance(50) { Value::Null } else { json!({ "period_days": 100 + rng.below(50) }) };
    }
    if out["enabled"] == false {
        out["rotation"] = Value::Null;
    }
    out
}

fn kms_key_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    let call = stage.world.aws.kms();
    // A key that is disabled with its rotation on is one whose rotation AWS does not let anybody take away.
    let (on, id) = (rng.chance(50) || !stage.last["rotation"].is_null(), stage.id.as_str());
    Box::pin(async move {
        let _ = match on {
            true => call.enable_key().key_id(id).send().await.map(|_| ()).ok(),
            false => call.disable_key().key_id(id).send().await.map(|_| ()).ok(),
        };
    })
}

fn s3_bucket(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let own = ["arn:aws:s3:::moments-edited", "arn:aws:s3:::moments-edited/*", "arn:aws:s3:::moments-edited/a/*"];
    let mut out = if rng.chance(80) { policy_only(rng, stage, last, "s3", &own) } else { last.clone() };
    if rng.chance(60) {
        out["public_access_block"] = json!({ "block_acls": rng.chance(50), "ignore_acls": rng.chance(50),
            "block_policy": rng.chance(30), "restrict_buckets": rng.chance(50) });
    }
    if rng.chance(20) {
        out["ownership"] = json!(rng.pick(&["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]));
    }
    out
}

/// S3 takes a public policy only where the block does not refuse it.
fn s3_bucket_fits(it: &Value) -> bool {
    let statements = statements_of(&it["policy"]);
    let open = |statement: &Value| statement["Effect"] == "Allow" && statement["Principal"].to_string().contains('*');
    it["public_access_block"]["block_policy"] == false || !statements.iter().any(open)
}

fn s3_bucket_drift<'a>(_: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    let call = stage.world.aws.s3().delete_public_access_block().bucket(stage.id.as_str());
    Box::pin(async move {
        call.send().await.unwrap();
    })
}

fn trail(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let is = |field: &str, values: &[&str]| json!({ "field": field, "equals": values });
    let management = json!({ "fields": [is("eventCategory", &["Management"])] });
    let reads = json!({ "fields": [is("eventCategory", &["Management"]), is("readOnly", &["true"])] });
    let writes = json!({ "fields": [is("eventCategory", &["Management"]), is("readOnly", &["false"])] });
    let objects = json!({ "fields": [is("eventCategory", &["Data"]), is("resources.type", &["AWS::S3::Object"])] });
    let some = json!({ "fields": [is("eventCategory", &["Data"]), is("resources.type", &["AWS::S3::Object"]),
        { "field": "resources.ARN", "starts_with": ["arn:aws:s3:::data/"] }] });
    let pool = [management.clone(), reads, writes.clone(), objects, some];
    let mut out = last.clone();
    for _ in 0..=rng.below(3) {
        match rng.below(10) {
            8 => out["organization"] = json!(rng.chance(50)),
            0 => out["bucket"] = json!(stage.get(rng.pick::<&str>(&["s3_bucket.a.name", "s3_bucket.b.name"]))),
            1 => out["prefix"] = if rng.chance(50) { Value::Null } else { json!(rng.pick(&["p", "q"])) },
            2 => out["kms_key"] = if rng.chance(50) { Value::Null } else { json!(stage.get("kms_key.k.arn")) },
            3 => out["multi_region"] = json!(rng.chance(50)),
            4 => out["include_global"] = json!(rng.chance(50)),
            5 => out["log_file_validation"] = json!(rng.chance(70)),
            6 => out["enabled"] = json!(rng.chance(75)),
            7 => {
                let on = rng.chance(50);
                let of = |path: &str| if on { json!(stage.get(path)) } else { Value::Null };
                (out["log_group"], out["log_role"]) = (of("log_group.l.arn"), of("iam_role.t.arn"));
            }
            _ => {
                let mut selectors = list(&last["event_selectors"]);
                toggle(rng, &mut selectors, &pool);
                toggle(rng, &mut selectors, &pool);
                out["event_selectors"] = json!(selectors);
            }
        }
    }
    out
}

fn invocations(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let mut out = last.clone();
    for name in ["text", "image", "embedding", "video", "audio"] {
        if rng.chance(30) {
            out[name] = json!(rng.chance(60));
        }
    }
    if rng.chance(40) {
        let bucket = json!({ "bucket": stage.get("s3_bucket.a.name"), "prefix": rng.pick(&["p", "q"]) });
        out["s3"] = if rng.chance(70) { bucket } else { Value::Null };
    }
    if rng.chance(40) {
        let group = json!({ "log_group": stage.get("log_group.l.name"), "role": stage.get("iam_role.t.arn") });
        out["cloudwatch"] = if rng.chance(70) { group } else { Value::Null };
    }
    out
}

fn trail_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    use aws_sdk_cloudtrail::types::{EventSelector, ReadWriteType};
    let kind = rng.pick(&[ReadWriteType::All, ReadWriteType::WriteOnly]).clone();
    let selector = EventSelector::builder().read_write_type(kind).include_management_events(true).build();
    let call = stage.world.aws.cloudtrail().put_event_selectors().trail_name(stage.id.as_str());
    Box::pin(async move {
        call.event_selectors(selector).send().await.unwrap();
    })
}
