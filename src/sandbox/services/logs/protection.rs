//! Data protection policies of log groups: kept and checked. Events are shown as they were written, not masked.

use serde_json::{Value, json};

use super::{GROUPS, group, invalid, now_ms};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteDataProtectionPolicy", delete_data_protection_policy),
    ("GetDataProtectionPolicy", get_data_protection_policy),
    ("PutDataProtectionPolicy", put_data_protection_policy),
];

const DOCUMENT_CHARS_MAX: usize = 30_720;
const MANAGED: &str = ":dataprotection::aws:data-identifier/";

fn put_data_protection_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = group(call, text(input, "logGroupIdentifier"))?;
    let document = text(input, "policyDocument").to_owned();
    if text(&found, "logGroupClass") != "STANDARD" {
        return Err(invalid("Data protection policies are supported for log groups in the Standard log class only."));
    }
    check(call, &document)?;
    let kept = json!({"policyDocument": document, "lastUpdatedTime": now_ms(call)});
    let shown = kept.clone();
    call.change(GROUPS, &name, |group| {
        group["_data_protection"] = kept;
        group["dataProtectionStatus"] = json!("ACTIVATED");
    });
    Ok(answer(input, &shown))
}

fn get_data_protection_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, found) = group(call, text(input, "logGroupIdentifier"))?;
    Ok(answer(input, &found["_data_protection"]))
}

fn delete_data_protection_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, found) = group(call, text(input, "logGroupIdentifier"))?;
    if found["_data_protection"].is_object() {
        call.change(GROUPS, &name, |group| {
            group["_data_protection"] = Value::Null;
            group["dataProtectionStatus"] = json!("DELETED");
        });
    }
    Ok(json!({}))
}

fn answer(input: &Value, policy: &Value) -> Value {
    json!({
        "logGroupIdentifier": input["logGroupIdentifier"],
        "policyDocument": policy["policyDocument"],
        "lastUpdatedTime": policy["lastUpdatedTime"],
    })
}

/// Checks a document: one statement that audits, one that masks the same identifiers, destinations that exist.
fn check(call: &Call<'_>, document: &str) -> Result<(), AwsError> {
    if document.chars().count() > DOCUMENT_CHARS_MAX {
        return Err(invalid("The data protection policy document is too long."));
    }
    let parsed: Value = serde_json::from_str(document)
        .map_err(|_| invalid("The data protection policy document is not valid JSON."))?;
    let statements = parsed["Statement"].as_array().cloned().unwrap_or_default();
    let having = |operation: &str| statements.iter().find(|statement| statement["Operation"].get(operation).is_some());
    let (Some(audit), Some(mask), 2) = (having("Audit"), having("Deidentify"), statements.len()) else {
        return Err(invalid("The data protection policy needs one Audit and one Deidentify statement."));
    };
    if audit["DataIdentifier"] != mask["DataIdentifier"] {
        return Err(invalid("The DataIdentifier arrays of both statements must match exactly."));
    }
    let custom = parsed["Configuration"]["CustomDataIdentifier"].as_array().cloned().unwrap_or_default();
    let identifiers = texts(audit, "DataIdentifier");
    let known = |one: &str| one.contains(MANAGED) || custom.iter().any(|custom| text(custom, "Name") == one);
    if identifiers.is_empty() || !identifiers.iter().all(|one| known(one)) {
        return Err(invalid("The DataIdentifier array has an identifier that is not known."));
    }
    if mask["Operation"]["Deidentify"]["MaskConfig"] != json!({}) {
        return Err(invalid("The Deidentify operation needs an empty MaskConfig."));
    }
    let Some(destination) = audit["Operation"]["Audit"].get("FindingsDestination") else {
        return Err(invalid("The Audit operation needs a FindingsDestination."));
    };
    let log_group = text(&destination["CloudWatchLogs"], "LogGroup");
    let bucket = text(&destination["S3"], "Bucket");
    let missing = (!log_group.is_empty() && call.get(GROUPS, log_group).is_none())
        || (!bucket.is_empty() && call.anywhere("s3", "buckets", bucket).is_none());
    if missing {
        return Err(invalid("A destination of the findings does not exist."));
    }
    Ok(())
}
