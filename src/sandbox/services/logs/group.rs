//! Log groups.

use serde_json::{Value, json};

use super::{GROUPS, STREAMS, group, invalid, name_of, not_found, now_ms};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::keys;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations = &[
    ("AssociateKmsKey", associate_kms_key),
    ("CreateLogGroup", create_log_group),
    ("DeleteLogGroup", delete_log_group),
    ("DeleteRetentionPolicy", delete_retention_policy),
    ("DescribeLogGroups", describe_log_groups),
    ("DescribeMetricFilters", describe_metric_filters),
    ("DescribeSubscriptionFilters", describe_subscription_filters),
    ("DisassociateKmsKey", disassociate_kms_key),
    ("PutLogGroupDeletionProtection", put_log_group_deletion_protection),
    ("PutRetentionPolicy", put_retention_policy),
];

const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Checks a key: it has to exist, be usable, and its ARN be given.
fn check_key(call: &Call<'_>, key: &str) -> Result<(), AwsError> {
    let refused =
        || invalid(format!("The specified KMS key does not exist or is not allowed to be used with Arn '{key}'"));
    if !key.starts_with("arn:") || key.contains(":alias/") {
        return Err(refused());
    }
    keys::usable(call, key).map_err(|_| refused())?;
    let id = key.rsplit('/').next().unwrap_or_default();
    let found = call.elsewhere("kms", "keys", id);
    // The key's policy has to let the service in; a key of another account is not looked into.
    let policy = found.as_ref().and_then(|key| optional(key, "_policy"));
    let document: Value = policy.and_then(|policy| serde_json::from_str(policy).ok()).unwrap_or_default();
    let statements = match document.get("Statement") {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let region = format!("logs.{}.amazonaws.com", call.region);
    let plain = "logs.amazonaws.com".to_owned();
    let context = call.arn("log-group:*");
    let facts = [("kms:EncryptionContext:aws:logs:arn", context.as_str())];
    let lets = |service: &String| {
        let action = "kms:GenerateDataKey";
        super::super::documents::lets_service(&without_context(&statements), service, action, key, &facts)
    };
    if found.is_some() && ![region, plain].iter().any(lets) {
        return Err(refused());
    }
    Ok(())
}

/// Drops conditions on the encryption context: which group it names is not known at this point.
fn without_context(statements: &[Value]) -> Vec<Value> {
    let mut out = statements.to_vec();
    for statement in &mut out {
        for (_, keys) in statement["Condition"].as_object_mut().into_iter().flatten() {
            if let Some(keys) = keys.as_object_mut() {
                keys.retain(|key, _| !key.to_ascii_lowercase().starts_with("kms:encryptioncontext"));
            }
        }
        if let Some(members) = statement.as_object_mut().filter(|it| it.get("Condition").is_some_and(Value::is_null)) {
            members.shift_remove("Condition");
        }
    }
    out
}

fn create_log_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "logGroupName").to_owned();
    if name.starts_with("aws/") {
        return Err(invalid("Log groups starting with aws/ are reserved for AWS."));
    }
    if call.get(GROUPS, &name).is_some() {
        return Err(AwsError::new("ResourceAlreadyExistsException", "The specified log group already exists"));
    }
    if call.count(GROUPS) >= call.quota("log_groups") {
        return Err(AwsError::new("LimitExceededException", "Resource limit exceeded."));
    }
    let key = optional(input, "kmsKeyId");
    if let Some(key) = key {
        check_key(call, key)?;
    }
    let given = tags::requested(input.get("tags")).map_err(|fault| invalid(fault.message()))?;
    let class = optional(input, "logGroupClass").unwrap_or("STANDARD");
    let arn = call.arn(&format!("log-group:{name}"));
    let mut made = json!({
        "logGroupName": name,
        "creationTime": now_ms(call),
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "storedBytes": 0,
        "logGroupClass": class,
        "deletionProtectionEnabled": input["deletionProtectionEnabled"] == true,
        "tags": given,
        "_arn": arn,
    });
    if let Some(key) = key {
        made["kmsKeyId"] = json!(key);
    }
    if class == "DELIVERY" {
        // AWS sets the retention of this class.
        made["retentionInDays"] = json!(2);
    }
    call.put(GROUPS, &name, made);
    Ok(json!({}))
}

fn delete_log_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = group(call, text(input, "logGroupName"))?;
    if found["deletionProtectionEnabled"] == true {
        let message = "The log group can't be deleted because its deletion protection is on.";
        return Err(AwsError::new("ValidationException", message));
    }
    let prefix = super::stream_id(&name, "");
    for (id, _) in call.list(STREAMS) {
        if id.starts_with(&prefix) {
            call.remove(STREAMS, &id);
        }
    }
    call.remove(GROUPS, &name);
    Ok(json!({}))
}

fn describe_log_groups(call: &mut Call<'_>, input: &Value) -> Answer {
    let (prefix, pattern) = (optional(input, "logGroupNamePrefix"), optional(input, "logGroupNamePattern"));
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
    }
    let named = texts(input, "logGroupIdentifiers");
    let mut wanted = Vec::new();
    for given in &named {
        wanted.push(group(call, given)?.0);
    }
    let class = optional(input, "logGroupClass");
    let pattern = pattern.map(str::to_ascii_lowercase);
    let found = call.select(GROUPS, |name, group| {
        prefix.is_none_or(|prefix| name.starts_with(prefix))
            && pattern.as_ref().is_none_or(|pattern| name.to_ascii_lowercase().contains(pattern))
            && class.is_none_or(|class| text(group, "logGroupClass") == class)
            && (named.is_empty() || wanted.iter().any(|wanted| wanted == name))
    });
    call.paged(input, "logGroups", found, 50)
}

fn change(call: &mut Call<'_>, input: &Value, change: impl FnOnce(&mut Value)) -> Answer {
    let given = [text(input, "logGroupName"), text(input, "logGroupIdentifier"), text(input, "resourceIdentifier")];
    let given = given.into_iter().find(|text| !text.is_empty());
    let given = given.ok_or_else(|| invalid("A log group has to be named."))?;
    let (name, _) = group(call, given)?;
    call.change(GROUPS, &name, change);
    Ok(json!({}))
}

fn put_retention_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let days = input["retentionInDays"].as_i64().unwrap_or_default();
    if !RETENTIONS.contains(&days) {
        let list: Vec<String> = RETENTIONS.iter().map(ToString::to_string).collect();
        let message = format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must \
             satisfy enum value set: [{}]",
            list.join(", ")
        );
        return Err(invalid(message));
    }
    let (_, found) = group(call, text(input, "logGroupName"))?;
    if text(&found, "logGroupClass") == "DELIVERY" {
        return Err(invalid("The retention of a log group of class DELIVERY can't be changed."));
    }
    change(call, input, |group| group["retentionInDays"] = json!(days))
}

fn delete_retention_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    change(call, input, |group| group["retentionInDays"] = Value::Null)
}

fn associate_kms_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let key = text(input, "kmsKeyId").to_owned();
    name_of(call, text(input, "logGroupName"))?;
    check_key(call, &key)?;
    change(call, input, |group| group["kmsKeyId"] = json!(key))
}

fn disassociate_kms_key(call: &mut Call<'_>, input: &Value) -> Answer {
    change(call, input, |group| group["kmsKeyId"] = Value::Null)
}

fn put_log_group_deletion_protection(call: &mut Call<'_>, input: &Value) -> Answer {
    let on = input["deletionProtectionEnabled"] == true;
    change(call, input, |group| group["deletionProtectionEnabled"] = json!(on))
}

fn describe_metric_filters(call: &mut Call<'_>, input: &Value) -> Answer {
    if let Some(name) = optional(input, "logGroupName") {
        call.get(GROUPS, name).ok_or_else(|| not_found("log group"))?;
    }
    call.paged(input, "metricFilters", Vec::new(), 50)
}

fn describe_subscription_filters(call: &mut Call<'_>, input: &Value) -> Answer {
    call.get(GROUPS, text(input, "logGroupName")).ok_or_else(|| not_found("log group"))?;
    call.paged(input, "subscriptionFilters", Vec::new(), 50)
}
