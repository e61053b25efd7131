//! Account policies that let services write into log groups.

use serde_json::{Value, json};

use super::{POLICIES, invalid, not_found, now_ms};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::documents;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteResourcePolicy", delete_resource_policy),
    ("DescribeResourcePolicies", describe_resource_policies),
    ("PutResourcePolicy", put_resource_policy),
];

/// Account policies that one region may have.
const POLICIES_MAX: usize = 10;

fn put_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, document) = (text(input, "policyName").to_owned(), text(input, "policyDocument").to_owned());
    if input.get("resourceArn").is_some() {
        return Err(crate::sandbox::error::not_implemented("logs", "PutResourcePolicy with resourceArn"));
    }
    if name.is_empty() || document.is_empty() {
        return Err(invalid("policyName and policyDocument are required."));
    }
    documents::parse(call, &document, "logs").map_err(|_| invalid("The policy document is not valid."))?;
    if call.get(POLICIES, &name).is_none() && call.count(POLICIES) >= POLICIES_MAX {
        return Err(AwsError::new("LimitExceededException", "Resource limit exceeded."));
    }
    let made = json!({"policyName": name, "policyDocument": document, "lastUpdatedTime": now_ms(call)});
    call.put(POLICIES, &name, made.clone());
    Ok(json!({"resourcePolicy": made}))
}

fn describe_resource_policies(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = call.list(POLICIES);
    call.paged(input, "resourcePolicies", found, 50)
}

fn delete_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    if !call.remove(POLICIES, text(input, "policyName")) {
        return Err(not_found("resource policy"));
    }
    Ok(json!({}))
}
