//! The log of handled calls: what tests count, and what CloudTrail's LookupEvents reads.
//!
//! Holds no request or answer bodies, so no secret: only the names of the resources in them. Bounded; the counter goes on when old records fall out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most records kept.
const RECORDS_MAX: usize = 100_000;

/// One handled call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The call's number, from 1, in the order of handling.
    pub n: u64,
    /// Seconds since the epoch.
    pub time: f64,
    /// The service's name.
    pub service: String,
    /// The operation's name, or what was asked for instead.
    pub operation: String,
    /// The caller's account.
    pub account: String,
    /// The region of the credential scope.
    pub region: String,
    /// The caller's ARN.
    pub principal: String,
    /// The caller's unique id, as STS shows it.
    #[serde(default)]
    pub user_id: String,
    /// What the client called itself.
    #[serde(default)]
    pub user_agent: String,
    /// The caller's access key id.
    pub access_key: String,
    /// The error's code if the call failed.
    pub error: Option<String>,
    /// The request id of the answer.
    pub request_id: String,
    /// The resources that the call changed, as collection and id.
    pub touched: Vec<(String, String)>,
    /// The resources that the request names.
    #[serde(default)]
    pub named: Vec<String>,
}

/// Returns the resources that a request names, as CloudTrail takes them from the parameters.
pub(crate) fn named(service: &str, input: &Value) -> Vec<String> {
    let mut out = Vec::new();
    match service {
        "ec2" => ec2_ids(input, &mut out),
        _ => {
            let members: &[&str] = match service {
                "s3" => &["Bucket"],
                "iam" => &["RoleName", "UserName", "InstanceProfileName", "PolicyArn"],
                "kms" => &["KeyId", "TargetKeyId"],
                "logs" => &["logGroupName"],
                "secretsmanager" => &["SecretId"],
                "bedrock" => &["guardrailIdentifier"],
                _ => &[],
            };
            out.extend(members.iter().filter_map(|member| Some(input.get(member)?.as_str()?.to_owned())));
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Finds EC2's ids, such as `sg-` with its hexadecimal digits, anywhere in a request.
fn ec2_ids(input: &Value, out: &mut Vec<String>) {
    match input {
        Value::Object(members) => members.values().for_each(|value| ec2_ids(value, out)),
        Value::Array(items) => items.iter().for_each(|value| ec2_ids(value, out)),
        Value::String(text) => {
            let digits = text.rsplit_once('-').map(|(_, digits)| digits).unwrap_or_default();
            if digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() < 40 {
                out.push(text.clone());
            }
        }
        _ => {}
    }
}

/// The records in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog {
    records: Vec<Record>,
}

impl CallLog {
    /// Adds a record, dropping the older half at the bound.
    pub(crate) fn push(&mut self, record: Record) {
        if self.records.len() >= RECORDS_MAX {
            self.records.drain(..RECORDS_MAX / 2);
        }
        self.records.push(record);
    }

    /// Returns the kept records, oldest first.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}
