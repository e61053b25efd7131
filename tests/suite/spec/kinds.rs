//! Small kinds for the spec's tests, so that they depend on no kind of AWS.

use opora::graph::Address;
use opora::kind::{Actions, Identity, KindSchema, KindSchemas, PolicyDocument, SchemaNode, Scope};
use opora::spec::Predict;
use schemars::JsonSchema;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A network.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct Vpc {
    #[schemars(extend("format" = "cidr", "x-change" = "replace"))]
    cidr: String,
    #[serde(default)]
    dns_hostnames: bool,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct VpcAttributes {
    id: String,
    arn: String,
}

/// A part of a network.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct Subnet {
    vpc: String,
    zone: String,
    #[schemars(extend("format" = "cidr", "x-cidr-within" = "vpc", "x-unique" = ["vpc"]))]
    cidr: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct SubnetAttributes {
    id: String,
}

/// A key.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct KmsKey {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    #[schemars(length(min = 1, max = 32), extend("x-unique" = []))]
    alias: Option<String>,
    #[serde(default)]
    rotation: Option<Rotation>,
    #[serde(default)]
    policy: Option<PolicyDocument>,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct Rotation {
    #[serde(default = "year")]
    #[schemars(range(min = 90, max = 2560))]
    period_days: u32,
}

fn year() -> u32 {
    365
}

#[derive(JsonSchema, serde::Serialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the schema is used")]
enum Usage {
    #[default]
    Encrypt,
    Sign,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct KeyAttributes {
    arn: String,
    key_id: String,
}

/// A role.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct IamRole {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    policies: Vec<String>,
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    boundary: Option<String>,
    #[serde(default)]
    max_session: Option<u32>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema is used")]
struct RoleAttributes {
    arn: String,
    unique_id: String,
}

fn kind<A: JsonSchema, B: JsonSchema>(name: &'static str) -> KindSchema {
    KindSchema {
        name,
        service: "test",
        identity: Identity::Tags,
        holds_data: false,
        actions: Actions::default(),
        arguments: SchemaNode::of::<A>(),
        attributes: SchemaNode::of::<B>(),
    }
}

pub fn kinds() -> KindSchemas {
    KindSchemas::from_iter([
        kind::<Vpc, VpcAttributes>("vpc"),
        kind::<Subnet, SubnetAttributes>("subnet"),
        kind::<KmsKey, KeyAttributes>("kms_key"),
        kind::<IamRole, RoleAttributes>("iam_role"),
    ])
}

/// Knows a role's ARN by its name.
pub struct RoleArns;

impl Predict for RoleArns {
    fn predict(&self, address: &Address, arguments: &Value, scope: &Scope) -> Value {
        match (address.kind.as_str(), arguments["name"].as_str()) {
            ("iam_role", Some(name)) => json!({ "arn": scope.arn("-iam", &format!("role/{name}")) }),
            _ => Value::Null,
        }
    }
}
