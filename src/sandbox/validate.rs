//! Input validation from the model: required members, bounds, patterns, enumerations.
//!
//! Codes and wording follow the service's family. EC2's model has almost no constraints; its handlers check.

use serde_json::Value;

use super::error::AwsError;
use super::model::{Model, Operation, Shape, ShapeType};
use super::services::Service;

/// The most violations that one answer lists.
const VIOLATIONS_MAX: usize = 10;

#[derive(Debug, PartialEq)]
enum Fault {
    Missing,
    Enum(Vec<String>),
    Constraint(String),
}

/// Checks an input against its shape.
pub(crate) fn validate(service: &Service, model: &Model, operation: &Operation, input: &Value) -> Result<(), AwsError> {
    let Some(side) = &operation.input else { return Ok(()) };
    let mut found = Vec::new();
    structure(model, model.shape(&side.shape), input, "", &mut found);
    if found.is_empty() {
        return Ok(());
    }
    Err(match service.name {
        "ec2" => ec2(&found[0]),
        "s3" => s3(&found[0]),
        _ => general(service, &found),
    })
}

type Found = (String, Value, Fault);

fn structure(model: &Model, shape: &Shape, value: &Value, path: &str, found: &mut Vec<Found>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for key in &shape.required {
        if value.get(key).is_none_or(Value::is_null) && !is_streaming(model, shape, key) {
            found.push((join(key), Value::Null, Fault::Missing));
        }
    }
    for (key, member) in &shape.members {
        if let Some(inner) = value.get(key).filter(|_| !is_open(model, &member.shape)) {
            check(model, model.shape(&member.shape), inner, &join(key), found);
        }
    }
}

/// Tells of enumerations that EC2 checks against what there is, with answers of their own.
fn is_open(model: &Model, shape: &str) -> bool {
    model.name == "ec2" && shape == "InstanceType"
}

fn is_streaming(model: &Model, shape: &Shape, key: &str) -> bool {
    let member = &shape.members[key];
    member.streaming || model.shape(&member.shape).streaming
}

fn check(model: &Model, shape: &Shape, value: &Value, path: &str, found: &mut Vec<Found>) {
    if found.len() >= VIOLATIONS_MAX || shape.document {
        return;
    }
    let mut constraint = |text: String| found.push((path.to_owned(), value.clone(), Fault::Constraint(text)));
    match (shape.kind, value) {
        (ShapeType::Structure, value) => {
            let given = shape.members.keys().filter(|key| value.get(*key).is_some()).count();
            if shape.union && given != 1 {
                constraint("Member must have exactly one of its alternatives set".to_owned());
            }
            structure(model, shape, value, path, found);
        }
        (ShapeType::List, Value::Array(items)) => {
            size(shape, items.len(), &mut constraint);
            let inner = shape.member.as_ref().expect("internal error: a list names its member");
            if is_open(model, &inner.shape) {
                return;
            }
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}.{}.member", index + 1);
                check(model, model.shape(&inner.shape), item, &path, found);
            }
        }
        (ShapeType::Map, Value::Object(entries)) => {
            size(shape, entries.len(), &mut constraint);
            let inner = shape.value.as_ref().expect("internal error: a map names its value");
            for (key, item) in entries {
                check(model, model.shape(&inner.shape), item, &format!("{path}.{key}.member"), found);
            }
        }
        (ShapeType::String, Value::String(text)) => string(shape, text, path, found),
        (ShapeType::Blob, Value::String(text)) => {
            let length = super::codec::from_base64(text).map_or(0, |bytes| bytes.len());
            size(shape, length, &mut constraint);
        }
        (_, Value::Number(number)) if shape.kind != ShapeType::Timestamp => {
            let number = number.as_f64().unwrap_or_default();
            if shape.min.is_some_and(|min| number < min) {
                let min = shape.min.unwrap_or_default();
                constraint(format!("Member must have value greater than or equal to {min}"));
            } else if shape.max.is_some_and(|max| number > max) {
                let max = shape.max.unwrap_or_default();
                constraint(format!("Member must have value less than or equal to {max}"));
            }
        }
        _ => {}
    }
}

fn size(shape: &Shape, length: usize, constraint: &mut dyn FnMut(String)) {
    let length = length as f64;
    if let Some(min) = shape.min.filter(|min| length < *min) {
        constraint(format!("Member must have length greater than or equal to {min}"));
    } else if let Some(max) = shape.max.filter(|max| length > *max) {
        constraint(format!("Member must have length less than or equal to {max}"));
    }
}

fn string(shape: &Shape, text: &str, path: &str, found: &mut Vec<Found>) {
    let value = || Value::from(text);
    if !shape.values.is_empty() {
        if !shape.values.iter().any(|allowed| allowed == text) {
            found.push((path.to_owned(), value(), Fault::Enum(shape.values.clone())));
        }
        return;
    }
    size(shape, text.chars().count(), &mut |problem| {
        found.push((path.to_owned(), Value::from(text), Fault::Constraint(problem)));
    });
    if shape.regex().is_some_and(|regex| !regex.is_match(text)) {
        let pattern = shape.pattern.as_deref().unwrap_or_default();
        let problem = format!("Member must satisfy regular expression pattern: {pattern}");
        found.push((path.to_owned(), value(), Fault::Constraint(problem)));
    }
}

fn general(service: &Service, found: &[Found]) -> AwsError {
    let list: Vec<String> = found
        .iter()
        .map(|(path, value, fault)| {
            let shown = match value {
                Value::Null => "null".to_owned(),
                Value::String(text) => format!("'{text}'"),
                other => format!("'{other}'"),
            };
            let path = camel(path);
            let text = match fault {
                Fault::Missing => "Member must not be null".to_owned(),
                Fault::Enum(values) => format!("Member must satisfy enum value set: [{}]", values.join(", ")),
                Fault::Constraint(text) => text.clone(),
            };
            format!("Value {shown} at '{path}' failed to satisfy constraint: {text}")
        })
        .collect();
    let noun = if list.len() == 1 { "error" } else { "errors" };
    let message = format!("{} validation {noun} detected: {}", list.len(), list.join("; "));
    AwsError::new(service.manners.validation, message).status(400)
}

fn camel(path: &str) -> String {
    let lower = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
    };
    path.split('.').map(lower).collect::<Vec<_>>().join(".")
}

fn ec2((path, value, fault): &Found) -> AwsError {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let leaf = path.rsplit('.').find(|part| *part != "member").unwrap_or(path);
    match fault {
        Fault::Missing => AwsError::new("MissingParameter", format!("The request must contain the parameter {leaf}")),
        _ => {
            AwsError::new("InvalidParameterValue", format!("Value ({shown}) for parameter {} is invalid.", camel(leaf)))
        }
    }
}

fn s3((path, value, fault): &Found) -> AwsError {
    let in_body = path.contains('.');
    match fault {
        _ if in_body => AwsError::new(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        ),
        Fault::Missing => AwsError::new("MissingRequestBodyError", "Request Body is empty"),
        _ => AwsError::new("InvalidArgument", "Invalid Argument")
            .with("ArgumentName", path.as_str())
            .with("ArgumentValue", value.clone()),
    }
    .status(400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use crate::sandbox::services::service;
    use serde_json::json;

    fn check(name: &str, operation: &str, input: Value) -> Option<(String, String)> {
        let model = model(name).unwrap();
        let result = validate(service(name).unwrap(), model, &model.operations[operation], &input);
        result.err().map(|error| (error.code, error.message))
    }

    #[test]
    fn violations_name_the_member_and_the_constraint() {
        let (code, message) = check("kms", "ScheduleKeyDeletion", json!({"PendingWindowInDays": 0})).unwrap();
        assert_eq!(code, "ValidationException");
        assert!(message.starts_with("2 validation errors detected"), "{message}");
        assert!(message.contains("Value null at 'keyId'") && message.contains("greater than or equal to 1"));
        assert_eq!(check("kms", "ScheduleKeyDeletion", json!({"KeyId": "k"})), None);
        let (code, message) = check("kms", "CreateKey", json!({"KeySpec": "ROT13"})).unwrap();
        assert_eq!(code, "ValidationException");
        assert!(message.contains("enum value set"), "{message}");
    }

    #[test]
    fn ec2_has_its_own_codes() {
        assert_eq!(check("ec2", "CreateSubnet", json!({})).unwrap().0, "MissingParameter");
        let input = json!({"InstanceTenancy": "shared", "CidrBlock": "10.0.0.0/16"});
        assert_eq!(check("ec2", "CreateVpc", input).unwrap().0, "InvalidParameterValue");
    }
}
