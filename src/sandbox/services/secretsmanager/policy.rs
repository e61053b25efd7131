//! Resource policies of secrets.

use serde_json::{Value, json};

use super::replica::keep;
use super::{live, primary};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::documents::{self, PolicyFault};

pub(super) const OPERATIONS: Operations = &[
    ("DeleteResourcePolicy", delete_resource_policy),
    ("GetResourcePolicy", get_resource_policy),
    ("PutResourcePolicy", put_resource_policy),
    ("ValidateResourcePolicy", validate_resource_policy),
];

fn checked(call: &Call<'_>, document: &str) -> Result<Vec<Value>, AwsError> {
    let malformed = |message: String| AwsError::new("MalformedPolicyDocumentException", message);
    documents::parse(call, document, "secretsmanager").map_err(|fault| match fault {
        PolicyFault::Malformed(message) => malformed(message.to_owned()),
        PolicyFault::Principal(principal) => {
            malformed(format!("This resource policy contains an invalid principal: {principal}"))
        }
        PolicyFault::Action => malformed("This resource policy contains an action of another service.".to_owned()),
    })
}

fn put_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let document = text(input, "ResourcePolicy").to_owned();
    let statements = checked(call, &document)?;
    if input["BlockPublicPolicy"] == true && statements.iter().any(documents::is_public) {
        let message = "You can't add this resource policy because it grants broad access to the secret.";
        return Err(AwsError::new("PublicPolicyException", message));
    }
    secret["_policy"] = json!(document);
    let answer = json!({"ARN": secret["ARN"], "Name": name});
    keep(call, &name, secret);
    Ok(answer)
}

fn get_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, secret) = live(call, input)?;
    Ok(json!({"ARN": secret["ARN"], "Name": name, "ResourcePolicy": secret["_policy"]}))
}

fn delete_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    secret["_policy"] = Value::Null;
    let answer = json!({"ARN": secret["ARN"], "Name": name});
    keep(call, &name, secret);
    Ok(answer)
}

fn validate_resource_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    if input.get("SecretId").is_some() {
        live(call, input)?;
    }
    let statements = checked(call, text(input, "ResourcePolicy"))?;
    let mut errors = Vec::new();
    if statements.iter().any(documents::is_public) {
        errors.push(
            json!({"CheckName": "PublicPolicyCheck", "ErrorMessage": "The policy grants broad access to the secret."}),
        );
    }
    Ok(json!({"PolicyValidationPassed": errors.is_empty(), "ValidationErrors": errors}))
}
