//! JSON bodies (AWS JSON 1.0 and 1.1, REST-JSON): checked against the model in, shaped by it out.

use serde_json::{Map, Value};

use super::{from_base64, malformed, time};
use crate::sandbox::error::AwsError;
use crate::sandbox::model::{Model, Shape, ShapeType};

/// Which member names the wire has: the model's own, or `locationName` as in REST-JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Members,
    Wire,
}

/// Decodes a whole JSON body; an empty one is an empty structure.
pub(crate) fn decode(model: &Model, shape: &str, body: &[u8]) -> Result<Value, AwsError> {
    incoming(model, shape, parse(body)?, Names::Members)
}

/// Parses a body that must be JSON or empty.
pub(crate) fn parse(body: &[u8]) -> Result<Value, AwsError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|_| malformed("the request body is not valid JSON"))
}

/// Checks a value's types and normalises its timestamps; unknown members and nulls are dropped.
pub(crate) fn incoming(model: &Model, name: &str, value: Value, names: Names) -> Result<Value, AwsError> {
    let shape = model.shape(name);
    if shape.document {
        return Ok(value);
    }
    let wrong = |value: &Value| malformed(format!("{} can not be converted to {:?}", kind_of(value), shape.kind));
    match (shape.kind, value) {
        (ShapeType::Structure, Value::Object(mut members)) => {
            let mut out = Map::new();
            for (key, member) in &shape.members {
                let wire = match names {
                    Names::Wire => member.location_name.as_deref().unwrap_or(key),
                    Names::Members => key,
                };
                if let Some(value) = members.remove(wire).filter(|v| !v.is_null()) {
                    out.insert(key.clone(), incoming(model, &member.shape, value, names)?);
                }
            }
            Ok(Value::Object(out))
        }
        (ShapeType::List, Value::Array(items)) => {
            let inner = inner(shape.member.as_ref());
            let items = items.into_iter().map(|item| incoming(model, inner, item, names));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        (ShapeType::Map, Value::Object(entries)) => {
            let inner = inner(shape.value.as_ref());
            let entries = entries.into_iter().filter(|(_, v)| !v.is_null());
            let entries = entries.map(|(k, v)| Ok((k, incoming(model, inner, v, names)?)));
            Ok(Value::Object(entries.collect::<Result<_, AwsError>>()?))
        }
        (ShapeType::String, value @ Value::String(_))
        | (ShapeType::Boolean, value @ Value::Bool(_))
        | (ShapeType::Float | ShapeType::Double, value @ Value::Number(_)) => Ok(value),
        (ShapeType::Integer | ShapeType::Long, Value::Number(number)) => {
            whole(&number).ok_or_else(|| wrong(&Value::Number(number.clone())))
        }
        (ShapeType::Blob, Value::String(text)) => match from_base64(&text) {
            Some(_) => Ok(Value::String(text)),
            None => Err(malformed("a blob is not valid base64")),
        },
        (ShapeType::Timestamp, Value::Number(number)) => Ok(time::value(number.as_f64().unwrap_or_default())),
        (ShapeType::Timestamp, Value::String(text)) => {
            time::parse(&text).map(time::value).ok_or_else(|| malformed("a timestamp is not valid"))
        }
        (_, value) => Err(wrong(&value)),
    }
}

fn whole(number: &serde_json::Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(Value::Number(number.clone()));
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < 9e15).then(|| Value::from(float as i64))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(_) => "BOOLEAN_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

fn inner(member: Option<&crate::sandbox::model::Member>) -> &str {
    let member = member.expect("internal error: a list or map shape names its member");
    &member.shape
}

/// Shapes a value for a JSON body.
pub(crate) fn outgoing(model: &Model, name: &str, value: &Value, names: Names) -> Value {
    shaped(model, model.shape(name), value, names, None)
}

fn shaped(model: &Model, shape: &Shape, value: &Value, names: Names, format: Option<&str>) -> Value {
    if shape.document {
        return value.clone();
    }
    match (shape.kind, value) {
        (ShapeType::Structure, Value::Object(members)) => {
            let mut out = Map::new();
            for (key, member) in &shape.members {
                if member.location.is_some() {
                    continue;
                }
                let Some(value) = members.get(key).filter(|v| !v.is_null()) else { continue };
                let wire = match names {
                    Names::Wire => member.location_name.as_deref().unwrap_or(key),
                    Names::Members => key,
                };
                let format = member.timestamp_format.as_deref();
                let value = shaped(model, model.shape(&member.shape), value, names, format);
                out.insert(wire.to_owned(), value);
            }
            Value::Object(out)
        }
        (ShapeType::List, Value::Array(items)) => {
            let inner = model.shape(inner(shape.member.as_ref()));
            Value::Array(items.iter().map(|item| shaped(model, inner, item, names, None)).collect())
        }
        (ShapeType::Map, Value::Object(entries)) => {
            let inner = model.shape(inner(shape.value.as_ref()));
            let entry = |(k, v): (&String, &Value)| (k.clone(), shaped(model, inner, v, names, None));
            Value::Object(entries.iter().map(entry).collect())
        }
        (ShapeType::Timestamp, Value::Number(number)) => {
            let seconds = number.as_f64().unwrap_or_default();
            match format.or(shape.timestamp_format.as_deref()) {
                None | Some("unixTimestamp") => value.clone(),
                Some(format) => Value::String(time::format(seconds, format)),
            }
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use serde_json::json;

    #[test]
    fn unknown_and_null_members_are_dropped_and_types_are_checked() {
        let kms = model("kms").unwrap();
        let body = br#"{"KeyId":"k","PendingWindowInDays":7.0,"Other":1,"X":null}"#;
        let value = decode(kms, "ScheduleKeyDeletionRequest", body).unwrap();
        assert_eq!(value, json!({"KeyId": "k", "PendingWindowInDays": 7}));
        let wrong = decode(kms, "ScheduleKeyDeletionRequest", br#"{"KeyId":5}"#).unwrap_err();
        assert_eq!(wrong.code, "SerializationException");
        assert!(decode(kms, "ScheduleKeyDeletionRequest", b"[1").is_err());
    }

    #[test]
    fn private_keys_do_not_leave_and_bedrock_times_are_iso() {
        let bedrock = model("bedrock").unwrap();
        let output = json!({"guardrailId": "g", "createdAt": 1_767_603_600, "_timeline": []});
        let wire = outgoing(bedrock, "GetGuardrailResponse", &output, Names::Wire);
        assert_eq!(wire, json!({"guardrailId": "g", "createdAt": "2026-01-05T09:00:00Z"}));
    }
}
