//! What policies say of a role or user that was deleted.
//!
//! AWS keeps a principal by its unique id and shows its ARN as long as there is one (IAM User Guide, "AWS JSON policy
//! elements: Principal"). Of a deleted principal the id stays, and one made later under the same name is another one.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::encoded;
use crate::sandbox::call::Call;

/// Where resources keep a policy with principals: service, collection, member.
const POLICIES: [(&str, &str, &str); 4] = [
    ("kms", "keys", "_policy"),
    ("s3", "buckets", "_policy"),
    ("secretsmanager", "secrets", "_policy"),
    ("iam", "roles", "AssumeRolePolicyDocument"),
];

/// Puts a principal's unique id in the place of its ARN, in all policies that name it.
pub(super) fn leave(call: &mut Call<'_>, arn: &str, unique_id: &str) {
    for (service, collection, member) in POLICIES {
        call.amend(service, collection, |resource| {
            let Some(kept) = resource[member].as_str() else { return };
            let text = if service == "iam" { percent_decode_str(kept).decode_utf8_lossy() } else { kept.into() };
            if !text.contains(arn) {
                return;
            }
            let Ok(mut policy) = serde_json::from_str::<Value>(&text) else { return };
            for statement in statements(&mut policy["Statement"]) {
                for side in ["Principal", "NotPrincipal"] {
                    if let Some(names) = statement.get_mut(side).and_then(|principal| principal.get_mut("AWS")) {
                        rename(names, arn, unique_id);
                    }
                }
            }
            let text = policy.to_string();
            resource[member] = Value::from(if service == "iam" { encoded(&text) } else { text });
        });
    }
}

fn statements(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().collect(),
        one => vec![one],
    }
}

fn rename(names: &mut Value, arn: &str, unique_id: &str) {
    match names {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, arn, unique_id)),
        Value::String(text) if text == arn => *text = unique_id.to_owned(),
        _ => {}
    }
}
