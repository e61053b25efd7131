//! Key policies: one per key, named `default`, with the lockout check.

use serde_json::{Value, json};

use super::{KEYS, customer_managed, in_state, key};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("GetKeyPolicy", get_key_policy), ("ListKeyPolicies", list_key_policies), ("PutKeyPolicy", put_key_policy)];

fn malformed(message: &str) -> AwsError {
    AwsError::new("MalformedPolicyDocumentException", message)
}

/// Returns the policy of a key made without one.
pub(super) fn default(call: &Call<'_>) -> String {
    let root = format!("arn:{}:iam::{}:root", call.partition(), call.account);
    let policy = json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": root},
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    serde_json::to_string_pretty(&policy).expect("internal error: a JSON value can be written")
}

/// Refuses what is no policy document, and one that would lock the caller out.
pub(super) fn check(call: &Call<'_>, document: &str, bypass: bool) -> Result<(), AwsError> {
    let policy: Value =
        serde_json::from_str(document).map_err(|_| malformed("The new key policy is not a valid JSON document."))?;
    let statements = match &policy["Statement"] {
        Value::Array(items) if !items.is_empty() => items.clone(),
        single @ Value::Object(_) => vec![single.clone()],
        _ => return Err(malformed("The new key policy has no statement.")),
    };
    for statement in &statements {
        let effect = text(statement, "Effect");
        let action = statement.get("Action").or(statement.get("NotAction"));
        let principal = statement.get("Principal").or(statement.get("NotPrincipal"));
        if !matches!(effect, "Allow" | "Deny") || action.is_none() || principal.is_none() {
            return Err(malformed("A statement of the new key policy lacks effect, action or principal."));
        }
        if statement.get("Resource").or(statement.get("NotResource")).is_none() {
            return Err(malformed("A statement of the new key policy lacks a resource."));
        }
        check_principals(call, statement)?;
    }
    let able = |effect: &str| statements.iter().any(|s| text(s, "Effect") == effect && manages(s) && covers(call, s));
    if !bypass && (!able("Allow") || able("Deny")) {
        return Err(malformed("The new key policy will not allow you to update the key policy in the future."));
    }
    Ok(())
}

/// Returns the texts of a member that is one text or a list.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn principals(statement: &Value) -> Vec<&str> {
    match statement.get("Principal") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Object(kinds)) => texts(kinds.get("AWS")),
        _ => Vec::new(),
    }
}

/// Refuses principals of this account that do not exist.
fn check_principals(call: &Call<'_>, statement: &Value) -> Result<(), AwsError> {
    let invalid = || malformed("Policy contains a statement with one or more invalid principals.");
    for principal in principals(statement) {
        if principal == "*" || crate::sandbox::identity::is_account(principal) {
            continue;
        }
        let parts: Vec<&str> = principal.splitn(6, ':').collect();
        let &["arn", _, service, "", account, resource] = parts.as_slice() else { return Err(invalid()) };
        let role = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
        let simulated = crate::sandbox::services::service("iam").is_some();
        if let (Some(role), true) = (role, simulated && service == "iam" && account == call.account) {
            call.elsewhere("iam", "roles", role).ok_or_else(invalid)?;
        }
    }
    Ok(())
}

/// Tells whether a statement is about PutKeyPolicy and not bound by a condition.
fn manages(statement: &Value) -> bool {
    let matches = |pattern: &&str| {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.split_once('*') {
            Some((head, "")) => "kms:putkeypolicy".starts_with(head),
            Some((head, tail)) => "kms:putkeypolicy".starts_with(head) && "kms:putkeypolicy".ends_with(tail),
            None => pattern == "kms:putkeypolicy",
        }
    };
    statement.get("Condition").is_none() && texts(statement.get("Action")).iter().any(matches)
}

/// Tells whether a statement is about the caller.
fn covers(call: &Call<'_>, statement: &Value) -> bool {
    let root = format!(":iam::{}:root", call.account);
    // A session's ARN names its role; a policy names the role's own ARN.
    let session = call.principal.split(":assumed-role/").nth(1).and_then(|rest| rest.split('/').next());
    principals(statement).iter().any(|principal| {
        *principal == "*"
            || *principal == call.account
            || *principal == call.principal
            || (principal.ends_with(&root) && text(statement, "Effect") == "Allow")
            || session.is_some_and(|role| principal.contains(":role/") && principal.rsplit('/').next() == Some(role))
    })
}

fn check_name(input: &Value) -> Result<(), AwsError> {
    match optional(input, "PolicyName") {
        None | Some("default") => Ok(()),
        Some(name) => Err(super::not_found(format!("No such policy exists: {name}"))),
    }
}

fn get_key_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = key(call, input)?;
    check_name(input)?;
    Ok(json!({"Policy": found["_policy"], "PolicyName": "default"}))
}

fn list_key_policies(call: &mut Call<'_>, input: &Value) -> Answer {
    key(call, input)?;
    call.paged(input, "PolicyNames", vec![("default".to_owned(), json!("default"))], 100)
}

fn put_key_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    check_name(input)?;
    customer_managed(call, &id, &found)?;
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingImport"])?;
    let document = text(input, "Policy").to_owned();
    check(call, &document, input["BypassPolicyLockoutSafetyCheck"] == true)?;
    call.change(KEYS, &id, |key| key["_policy"] = json!(document));
    Ok(json!({}))
}
