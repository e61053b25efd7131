//! The query protocols: form parameters in, XML out (AWS query for IAM and STS, EC2's own dialect).

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::xml::Writer;
use super::{Request, malformed, time, to_base64};
use crate::sandbox::error::AwsError;
use crate::sandbox::model::{Member, Model, Operation, ShapeType};

/// A parameter tree: `Filter.1.Value.2=x` is three levels deep.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: IndexMap<String, Node>,
}

/// The deepest nesting of a parameter's name.
const DEPTH_MAX: usize = 32;

/// Returns the parameters of a query request: the body's, or the URL's for GET.
pub(crate) fn parameters(request: &Request) -> Vec<(String, String)> {
    let pairs = url::form_urlencoded::parse(&request.body);
    let mut found: Vec<(String, String)> = pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    if request.method == http::Method::GET || found.is_empty() {
        found.extend(request.query.iter().cloned());
    }
    found
}

/// Decodes the parameters of a query request.
pub(crate) fn decode(model: &Model, shape: &str, request: &Request, ec2: bool) -> Result<Value, AwsError> {
    let mut root = Node::default();
    for (name, value) in parameters(request) {
        if name == "Action" || name == "Version" || name.starts_with("X-Amz-") {
            continue;
        }
        let mut node = &mut root;
        if name.split('.').count() > DEPTH_MAX {
            return Err(malformed("a parameter's name is nested too deeply"));
        }
        for part in name.split('.') {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(value);
    }
    let value = structure(model, shape, &root, ec2)?;
    if ec2 {
        refuse_unknown(model, shape, &root)?;
    }
    Ok(value)
}

/// EC2 names a top-level parameter it does not know; the AWS query services ignore one.
fn refuse_unknown(model: &Model, shape: &str, root: &Node) -> Result<(), AwsError> {
    let shape = model.shape(shape);
    for name in root.children.keys() {
        let known = shape.members.iter().any(|(key, member)| wire_name(key, member, true) == *name);
        if !known {
            return Err(AwsError::new("UnknownParameter", format!("The parameter {name} is not recognized")));
        }
    }
    Ok(())
}

fn wire_name(key: &str, member: &Member, ec2: bool) -> String {
    if !ec2 {
        return member.location_name.as_deref().unwrap_or(key).to_owned();
    }
    if let Some(name) = &member.query_name {
        return name.clone();
    }
    let name = member.location_name.as_deref().unwrap_or(key);
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn structure(model: &Model, shape: &str, node: &Node, ec2: bool) -> Result<Value, AwsError> {
    let mut out = Map::new();
    for (key, member) in &model.shape(shape).members {
        let mut wire = wire_name(key, member, ec2);
        let inner = model.shape(&member.shape);
        // A flattened list of AWS query is named by its member.
        let flattened = !ec2 && inner.kind == ShapeType::List && (inner.flattened || member.flattened);
        let item = inner.member.as_ref().and_then(|m| m.location_name.clone());
        if let Some(name) = item.filter(|_| flattened) {
            wire = name;
        }
        if let Some(child) = node.children.get(&wire) {
            out.insert(key.clone(), one(model, member, child, ec2)?);
        }
    }
    Ok(Value::Object(out))
}

fn one(model: &Model, member: &Member, node: &Node, ec2: bool) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    match shape.kind {
        ShapeType::Structure => structure(model, &member.shape, node, ec2),
        ShapeType::List => {
            let inner = shape.member.as_ref().expect("internal error: a list names its member");
            let wrapped = if ec2 || shape.flattened || member.flattened {
                Some(node)
            } else {
                node.children.get(inner.location_name.as_deref().unwrap_or("member"))
            };
            let children = wrapped.map(numbered).transpose()?.unwrap_or_default();
            let items = children.into_iter().map(|child| one(model, inner, child, ec2));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        ShapeType::Map => map(model, member, node, ec2),
        _ => scalar(shape.kind, node.value.as_deref().unwrap_or_default()),
    }
}

fn map(model: &Model, member: &Member, node: &Node, ec2: bool) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    let (key, value) = (shape.key.as_ref(), shape.value.as_ref());
    let value = value.expect("internal error: a map names its value");
    let key_name = key.and_then(|k| k.location_name.as_deref()).unwrap_or("key");
    let value_name = value.location_name.as_deref().unwrap_or("value");
    let entries = if shape.flattened || member.flattened { Some(node) } else { node.children.get("entry") };
    let mut out = Map::new();
    for entry in entries.map(numbered).transpose()?.unwrap_or_default() {
        let name = entry.children.get(key_name).and_then(|n| n.value.clone());
        if let (Some(name), Some(node)) = (name, entry.children.get(value_name)) {
            out.insert(name, one(model, value, node, ec2)?);
        }
    }
    Ok(Value::Object(out))
}

fn numbered(node: &Node) -> Result<Vec<&Node>, AwsError> {
    let mut found = Vec::with_capacity(node.children.len());
    for (name, child) in &node.children {
        let index: u32 = name.parse().map_err(|_| malformed(format!("`{name}` is not the index of a list")))?;
        found.push((index, child));
    }
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, child)| child).collect())
}

/// Reads a text as a scalar of the given type.
pub(crate) fn scalar(kind: ShapeType, text: &str) -> Result<Value, AwsError> {
    let wrong = || AwsError::new("MalformedInput", format!("`{text}` is not a valid {kind:?}"));
    match kind {
        ShapeType::Boolean => match text {
            "true" | "True" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        ShapeType::Integer | ShapeType::Long => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        ShapeType::Float | ShapeType::Double => text.parse::<f64>().map(Value::from).map_err(|_| wrong()),
        ShapeType::Timestamp => time::parse(text).map(time::value).ok_or_else(wrong),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// Encodes a success of either query protocol.
pub(crate) fn encode(model: &Model, operation: &Operation, output: &Value, request_id: &str, ec2: bool) -> String {
    let name = &operation.name;
    let namespace = model.metadata.xml_namespace.as_deref().unwrap_or_default();
    let mut writer = Writer::new();
    writer.open_with(&format!("{name}Response"), &[("xmlns", namespace)]);
    if ec2 {
        writer.leaf("requestId", request_id);
    }
    if let Some(side) = &operation.output {
        if let Some(wrapper) = &side.result_wrapper {
            writer.open(wrapper);
        }
        writer.members(model, model.shape(&side.shape), output);
        if let Some(wrapper) = &side.result_wrapper {
            writer.close(wrapper);
        }
    } else if ec2 {
        writer.leaf("return", "true");
    }
    if !ec2 {
        writer.open("ResponseMetadata");
        writer.leaf("RequestId", request_id);
        writer.close("ResponseMetadata");
    }
    writer.close(&format!("{name}Response"));
    writer.finish()
}

/// Encodes an error of the AWS query protocol.
pub(crate) fn error(model: Option<&Model>, error: &AwsError, request_id: &str, status: u16) -> String {
    let namespace = model.and_then(|m| m.metadata.xml_namespace.as_deref()).unwrap_or_default();
    let mut writer = Writer::new();
    writer.open_with("ErrorResponse", &[("xmlns", namespace)]);
    writer.open("Error");
    writer.leaf("Type", if status < 500 { "Sender" } else { "Receiver" });
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    writer.close("Error");
    writer.leaf("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish()
}

/// Encodes an error of EC2's protocol.
pub(crate) fn ec2_error(error: &AwsError, request_id: &str) -> String {
    let mut writer = Writer::new();
    writer.open("Response");
    writer.open("Errors");
    writer.open("Error");
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    writer.close("Error");
    writer.close("Errors");
    writer.leaf("RequestID", request_id);
    writer.close("Response");
    writer.finish()
}

/// Writes a scalar as text.
pub(crate) fn text(value: &Value, kind: ShapeType, format: Option<&str>) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if kind == ShapeType::Timestamp => {
            time::format(number.as_f64().unwrap_or_default(), format.unwrap_or("iso8601"))
        }
        Value::Array(_) | Value::Object(_) => to_base64(value.to_string().as_bytes()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use serde_json::json;

    fn request(body: &str) -> Request {
        Request {
            method: http::Method::POST,
            path: "/".into(),
            query: vec![],
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn iam_lists_have_members_and_ec2_lists_do_not() {
        let iam = model("iam").unwrap();
        let body = "Action=TagRole&Version=x&RoleName=r&Tags.member.2.Key=b&Tags.member.2.Value=2&Tags.member.1.Key=a&Tags.member.1.Value=";
        let value = decode(iam, "TagRoleRequest", &request(body), false).unwrap();
        assert_eq!(value, json!({"RoleName": "r", "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}]}));

        let ec2 = model("ec2").unwrap();
        let body = "Action=DescribeVpcs&Filter.1.Name=cidr&Filter.1.Value.1=10.0.0.0%2F16&VpcId.1=vpc-1&MaxResults=5";
        let value = decode(ec2, "DescribeVpcsRequest", &request(body), true).unwrap();
        assert_eq!(
            value,
            json!({"Filters": [{"Name": "cidr", "Values": ["10.0.0.0/16"]}], "VpcIds": ["vpc-1"], "MaxResults": 5})
        );
    }

    #[test]
    fn ec2_names_an_unknown_parameter() {
        let ec2 = model("ec2").unwrap();
        let error = decode(ec2, "DescribeVpcsRequest", &request("Action=DescribeVpcs&Foo.1=x"), true).unwrap_err();
        assert_eq!(error.code, "UnknownParameter");
        assert!(error.message.contains("Foo"));
    }

    #[test]
    fn ec2_answers_have_item_lists() {
        let ec2 = model("ec2").unwrap();
        let operation = &ec2.operations["DescribeVpcs"];
        let output = json!({"Vpcs": [{"VpcId": "vpc-1", "IsDefault": true, "_x": 1}]});
        let text = encode(ec2, operation, &output, "r-1", true);
        assert!(text.contains("<requestId>r-1</requestId><vpcSet><item>"), "{text}");
        assert!(text.contains("<isDefault>true</isDefault>"));
        assert!(!text.contains("_x"));
    }
}
