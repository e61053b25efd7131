//! The data protection policy of a log group: what is found in its logs, and masked.

use aws_sdk_cloudwatchlogs::types::{DataProtectionStatus, LogGroup as Group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::aws::resource::Problem;
use crate::aws::{Aws, AwsError};

/// The longest document that CloudWatch Logs takes, in characters.
const DOCUMENT_CHARS_MAX: usize = 30_720;

/// A data protection policy: `Version` and two statements, one that audits and one that masks the same identifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DataProtection(Map<String, Value>);

impl DataProtection {
    fn from_text(text: &str) -> Result<Self, AwsError> {
        serde_json::from_str(text).map_err(|error| {
            let (action, class) = ("logs:GetDataProtectionPolicy", crate::aws::ErrorClass::Other);
            AwsError::own(action, class, "NoJson", format!("the data protection policy is no JSON object: {error}"))
        })
    }
}

/// Reads the policy of a group that has one.
pub(super) async fn read(
    aws: &Aws,
    group: &Group,
    arn: &str,
    wanted: bool,
) -> Result<Option<DataProtection>, AwsError> {
    if !wanted || group.data_protection_status != Some(DataProtectionStatus::Activated) {
        return Ok(None);
    }
    let output = aws.logs().get_data_protection_policy().log_group_identifier(arn).send().await?;
    output.policy_document.as_deref().map(DataProtection::from_text).transpose()
}

/// Puts the policy, or takes it away.
pub(super) async fn update(aws: &Aws, name: &str, policy: Option<&DataProtection>) -> Result<(), AwsError> {
    let Some(DataProtection(document)) = policy else {
        aws.logs().delete_data_protection_policy().log_group_identifier(name).send().await?;
        return Ok(());
    };
    let text = Value::Object(document.clone()).to_string();
    aws.logs().put_data_protection_policy().log_group_identifier(name).policy_document(text).send().await?;
    Ok(())
}

/// Checks that a document has the two statements that CloudWatch Logs asks for.
pub(super) fn check(arguments: &Value, out: &mut Vec<Problem>) {
    let Some(document) = arguments.get("data_protection").filter(|document| document.is_object()) else { return };
    let mut problem = |path: &str, message: String| out.push(Problem::new(path, message));
    if arguments.get("class").and_then(Value::as_str).is_some_and(|class| class != "STANDARD") {
        problem("data_protection", "only with `class: STANDARD`".to_owned());
    }
    if document.to_string().chars().count() > DOCUMENT_CHARS_MAX {
        problem("data_protection", format!("the document has more than {DOCUMENT_CHARS_MAX} characters"));
    }
    let statements: Vec<&Value> = document.get("Statement").and_then(Value::as_array).into_iter().flatten().collect();
    let having = |operation: &str| {
        let has = |statement: &&&Value| statement.get("Operation").is_some_and(|it| it.get(operation).is_some());
        statements.iter().find(has).map(|statement| &statement["DataIdentifier"])
    };
    match (having("Audit"), having("Deidentify")) {
        (Some(audited), Some(masked)) if audited != masked => {
            problem("data_protection.Statement", "both statements need the same `DataIdentifier` list".to_owned());
        }
        (Some(_), Some(_)) if statements.len() == 2 => {}
        _ => {
            let message = "it has two statements, one with the operation `Audit` and one with `Deidentify`";
            problem("data_protection.Statement", message.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_audits_and_masks_the_same() {
        let audit = json!({ "DataIdentifier": ["a"], "Operation": { "Audit": { "FindingsDestination": {} } } });
        let mask = json!({ "DataIdentifier": ["a"], "Operation": { "Deidentify": { "MaskConfig": {} } } });
        let other = json!({ "DataIdentifier": ["b"], "Operation": { "Deidentify": { "MaskConfig": {} } } });
        for (statements, class, problems) in [
            (vec![&audit, &mask], "STANDARD", 0),
            (vec![&audit, &mask], "INFREQUENT_ACCESS", 1),
            (vec![&audit, &other], "STANDARD", 1),
            (vec![&audit], "STANDARD", 1),
            (vec![&audit, &mask, &mask], "STANDARD", 1),
            (vec![], "STANDARD", 1),
        ] {
            let mut out = Vec::new();
            check(&json!({ "class": class, "data_protection": { "Statement": statements } }), &mut out);
            assert_eq!(out.len(), problems, "{statements:?} {out:?}");
        }
        let mut out = Vec::new();
        check(&json!({ "class": "DELIVERY" }), &mut out);
        assert_eq!(out, vec![]);
    }
}
