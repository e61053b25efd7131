//! Checks policy documents as IAM does before it keeps them.

use serde_json::Value;

use crate::sandbox::call::Call;
use crate::sandbox::error::AwsError;
use crate::sandbox::iam_eval::{statements, texts};
use crate::sandbox::identity::is_account;

fn malformed(message: impl Into<String>) -> AwsError {
    AwsError::new("MalformedPolicyDocument", message)
}

/// Checks the policy of an identity: actions and resources, and nobody named.
pub(super) fn identity(document: &str) -> Result<(), AwsError> {
    let parsed = parse(document)?;
    for statement in statements(&parsed) {
        members(statement, &["Action", "NotAction", "Resource", "NotResource"])?;
        actions(statement)?;
        if statement.get("Resource").is_some() == statement.get("NotResource").is_some() {
            return Err(malformed("Policy statement must contain resources."));
        }
        for resource in texts(statement.get("Resource").or(statement.get("NotResource"))) {
            if resource != "*" && !(resource.starts_with("arn:") && resource.splitn(6, ':').count() == 6) {
                return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
            }
        }
    }
    Ok(())
}

/// Checks a role's trust policy: principals that exist, and no resource.
pub(super) fn trust(call: &Call<'_>, document: &str) -> Result<(), AwsError> {
    let parsed = parse(document)?;
    for statement in statements(&parsed) {
        if statement.get("Resource").is_some() || statement.get("NotResource").is_some() {
            return Err(malformed("Has prohibited field Resource"));
        }
        members(statement, &["Action", "NotAction", "Principal", "NotPrincipal"])?;
        actions(statement)?;
        for action in texts(statement.get("Action")) {
            if action != "*" && !action.to_ascii_lowercase().starts_with("sts:") {
                return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
            }
        }
        let Some(principal) = statement.get("Principal").or(statement.get("NotPrincipal")) else {
            return Err(malformed("Missing required field Principal"));
        };
        principals(call, principal)?;
    }
    Ok(())
}

fn parse(document: &str) -> Result<Value, AwsError> {
    let parsed: Value = serde_json::from_str(document).map_err(|_| malformed("This policy contains invalid Json"))?;
    let Some(map) = parsed.as_object() else { return Err(malformed("Syntax errors in policy.")) };
    if map.keys().any(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
        return Err(malformed("Syntax errors in policy."));
    }
    if map.get("Version").is_some_and(|version| version != "2012-10-17" && version != "2008-10-17") {
        return Err(malformed("Syntax errors in policy."));
    }
    let found = statements(&parsed);
    if found.is_empty() {
        return Err(malformed("Syntax errors in policy."));
    }
    let mut labels: Vec<&str> = found.iter().filter_map(|statement| statement["Sid"].as_str()).collect();
    let count = labels.len();
    labels.sort_unstable();
    labels.dedup();
    if labels.len() < count {
        return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
    }
    Ok(parsed)
}

fn members(statement: &Value, own: &[&str]) -> Result<(), AwsError> {
    let Some(map) = statement.as_object() else { return Err(malformed("Syntax errors in policy.")) };
    if map.contains_key("Principal") && !own.contains(&"Principal") {
        return Err(malformed("Policy document should not specify a principal."));
    }
    let known = |key: &str| ["Sid", "Effect", "Condition"].contains(&key) || own.contains(&key);
    if map.keys().any(|key| !known(key)) || !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
        return Err(malformed("Syntax errors in policy."));
    }
    if map.get("Condition").is_some_and(|condition| !condition.is_object()) {
        return Err(malformed("Syntax errors in policy."));
    }
    Ok(())
}

fn actions(statement: &Value) -> Result<(), AwsError> {
    let list = texts(statement.get("Action").or(statement.get("NotAction")));
    if list.is_empty() {
        return Err(malformed("Policy statement must contain actions."));
    }
    for action in list {
        let vendor = action.split_once(':').map(|(vendor, _)| vendor);
        if action != "*" && vendor.is_none_or(str::is_empty) {
            return Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
        }
    }
    Ok(())
}

/// Refuses principals that do not exist; other accounts' are taken on trust.
fn principals(call: &Call<'_>, principal: &Value) -> Result<(), AwsError> {
    let Some(kinds) = principal.as_object() else {
        return if principal == "*" { Ok(()) } else { Err(malformed("Syntax errors in policy.")) };
    };
    for (kind, names) in kinds {
        let invalid = |name: &str| malformed(format!("Invalid principal in policy: \"{kind}\":\"{name}\""));
        for name in texts(Some(names)) {
            let valid = match kind.as_str() {
                "AWS" => name == "*" || is_account(&name) || is_principal(call, &name),
                "Service" => name.contains('.') && name.contains("amazonaws.com"),
                "Federated" => name.starts_with("arn:") || name.contains('.'),
                "CanonicalUser" => true,
                _ => return Err(malformed("Syntax errors in policy.")),
            };
            if !valid {
                return Err(invalid(&name));
            }
        }
    }
    Ok(())
}

fn is_principal(call: &Call<'_>, arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, "", account, resource] = parts.as_slice() else { return false };
    if partition != call.partition() || !is_account(account) {
        return false;
    }
    let name = resource.rsplit('/').next().unwrap_or_default();
    let own = account == call.account;
    match (service, resource.split('/').next().unwrap_or_default()) {
        ("iam", "root") => resource == "root",
        ("iam", "role") => !own || call.get(super::ROLES, name).is_some_and(|role| role["Arn"] == arn),
        ("iam", "user") => !own || super::user::find(call, name).is_some_and(|user| user["Arn"] == arn),
        ("sts", "assumed-role" | "federated-user") => true,
        _ => false,
    }
}
