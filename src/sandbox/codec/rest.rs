//! The REST protocols (REST-JSON, REST-XML): labels, query, headers and payload, by the model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::query::{scalar, text};
use super::xml::{self, Writer};
use super::{Reply, Request, Wire, eventstream, from_base64, json, malformed, plain, put_header, status_code};
use crate::sandbox::error::AwsError;
use crate::sandbox::model::{Member, Model, Operation, ShapeType};

/// The namespace of S3's documents.
const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The root elements of S3's answers without a payload member; botocore's models leave them out.
const S3_ROOTS: &[(&str, &str)] = &[
    ("CompleteMultipartUploadOutput", "CompleteMultipartUploadResult"),
    ("CreateMultipartUploadOutput", "InitiateMultipartUploadResult"),
    ("DeleteObjectsOutput", "DeleteResult"),
    ("GetBucketAccelerateConfigurationOutput", "AccelerateConfiguration"),
    ("GetBucketAclOutput", "AccessControlPolicy"),
    ("GetBucketCorsOutput", "CORSConfiguration"),
    ("GetBucketLifecycleConfigurationOutput", "LifecycleConfiguration"),
    ("GetBucketLoggingOutput", "BucketLoggingStatus"),
    ("GetBucketRequestPaymentOutput", "RequestPaymentConfiguration"),
    ("GetBucketTaggingOutput", "Tagging"),
    ("GetBucketVersioningOutput", "VersioningConfiguration"),
    ("GetBucketWebsiteOutput", "WebsiteConfiguration"),
    ("GetObjectAclOutput", "AccessControlPolicy"),
    ("GetObjectAttributesOutput", "GetObjectAttributesResponse"),
    ("GetObjectTaggingOutput", "Tagging"),
    ("ListBucketIntelligentTieringConfigurationsOutput", "ListIntelligentTieringConfigurationsResult"),
    ("ListBucketsOutput", "ListAllMyBucketsResult"),
    ("ListMultipartUploadsOutput", "ListMultipartUploadsResult"),
    ("ListObjectVersionsOutput", "ListVersionsResult"),
    ("ListObjectsOutput", "ListBucketResult"),
    ("ListObjectsV2Output", "ListBucketResult"),
    ("ListPartsOutput", "ListPartsResult"),
    ("NotificationConfiguration", "NotificationConfiguration"),
];

/// Decodes a REST request; `labels` are the URI template's values, still percent-encoded.
pub(crate) fn decode(
    wire: Wire,
    model: &Model,
    name: &str,
    request: &Request,
    labels: &[(String, String)],
) -> Result<Value, AwsError> {
    let shape = model.shape(name);
    let mut out = Map::new();
    for (key, member) in &shape.members {
        if let Some(value) = located(model, key, member, request, labels)? {
            out.insert(key.clone(), value);
        }
    }
    let body = payload(wire, model, name, request)?;
    out.extend(body);
    Ok(Value::Object(out))
}

fn located(
    model: &Model,
    key: &str,
    member: &Member,
    request: &Request,
    labels: &[(String, String)],
) -> Result<Option<Value>, AwsError> {
    let name = member.location_name.as_deref().unwrap_or(key);
    let shape = model.shape(&member.shape);
    let invalid = |error: AwsError| AwsError::new("InvalidArgument", error.message);
    match member.location.as_deref() {
        Some("uri") => {
            let Some((_, raw)) = labels.iter().find(|(label, _)| label == name) else { return Ok(None) };
            let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| malformed("the URI is not UTF-8"))?;
            scalar(shape.kind, &decoded).map(Some).map_err(invalid)
        }
        Some("querystring") if shape.kind == ShapeType::List => {
            let found: Vec<Value> =
                request.query.iter().filter(|(k, _)| k == name).map(|(_, v)| Value::String(v.clone())).collect();
            Ok((!found.is_empty()).then_some(Value::Array(found)))
        }
        Some("querystring") => match request.parameter(name) {
            Some(text) => scalar(shape.kind, text).map(Some).map_err(invalid),
            None => Ok(None),
        },
        Some("header") => match request.header(name) {
            Some(raw) if member.jsonvalue => {
                let bytes = from_base64(raw).ok_or_else(|| malformed("a JSON header is not base64"))?;
                json::parse(&bytes).map(Some)
            }
            Some(raw) if shape.kind == ShapeType::List => {
                Ok(Some(Value::Array(raw.split(',').map(|part| Value::from(part.trim())).collect())))
            }
            Some(raw) => scalar(shape.kind, raw).map(Some).map_err(invalid),
            None => Ok(None),
        },
        Some("headers") => {
            let prefix = name.to_ascii_lowercase();
            let mut out = Map::new();
            for (header, value) in &request.headers {
                if let (Some(rest), Ok(value)) = (header.as_str().strip_prefix(&prefix), value.to_str()) {
                    out.insert(rest.to_owned(), Value::from(value));
                }
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
        _ => Ok(None),
    }
}

fn payload(wire: Wire, model: &Model, name: &str, request: &Request) -> Result<Map<String, Value>, AwsError> {
    let shape = model.shape(name);
    let mut out = Map::new();
    let Some(key) = &shape.payload else {
        if shape.members.values().all(|member| member.location.is_some()) || request.body.is_empty() {
            return Ok(out);
        }
        let body = match wire {
            Wire::RestXml => xml::structure(model, shape, &xml::parse(&request.body)?)?,
            _ => json::incoming(model, name, json::parse(&request.body)?, json::Names::Wire)?,
        };
        if let Value::Object(members) = body {
            let kept = members.into_iter().filter(|(key, _)| shape.members[key].location.is_none());
            out.extend(kept);
        }
        return Ok(out);
    };
    let member = &shape.members[key];
    let inner = model.shape(&member.shape);
    match inner.kind {
        ShapeType::Blob if member.streaming || inner.streaming => {}
        ShapeType::Blob => {
            out.insert(key.clone(), Value::String(STANDARD.encode(&request.body)));
        }
        ShapeType::String => {
            let text = std::str::from_utf8(&request.body).map_err(|_| malformed("the body is not UTF-8"))?;
            if !text.is_empty() {
                out.insert(key.clone(), Value::from(text));
            }
        }
        _ if request.body.is_empty() => {}
        _ => {
            let value = match wire {
                Wire::RestXml => xml::structure(model, inner, &xml::parse(&request.body)?)?,
                _ => json::incoming(model, &member.shape, json::parse(&request.body)?, json::Names::Wire)?,
            };
            out.insert(key.clone(), value);
        }
    }
    Ok(out)
}

/// Encodes a success: headers from their members, then the payload or the remaining members.
pub(crate) fn encode(wire: Wire, model: &Model, operation: &Operation, name: &str, reply: &Reply) -> Response<Bytes> {
    let shape = model.shape(name);
    let mut response = body(wire, model, operation, name, reply);
    *response.status_mut() = status_code(operation.http.response_code.unwrap_or(200));
    for (key, member) in &shape.members {
        let Some(value) = reply.output.get(key).filter(|v| !v.is_null()) else { continue };
        let header = member.location_name.as_deref().unwrap_or(key);
        match member.location.as_deref() {
            Some("header") => {
                let inner = model.shape(&member.shape);
                let format = member.timestamp_format.as_deref().or(inner.timestamp_format.as_deref());
                let text = match value {
                    value if member.jsonvalue => STANDARD.encode(value.to_string()),
                    Value::Array(items) => {
                        let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                        items.join(",")
                    }
                    value => text(value, inner.kind, format.or(Some("rfc822"))),
                };
                put_header(response.headers_mut(), header, &text);
            }
            Some("headers") => {
                for (suffix, value) in value.as_object().into_iter().flatten() {
                    let text = value.as_str().unwrap_or_default();
                    put_header(response.headers_mut(), &format!("{header}{suffix}"), text);
                }
            }
            Some("statusCode") => {
                let status = value.as_u64().and_then(|code| u16::try_from(code).ok());
                *response.status_mut() = status_code(status.unwrap_or(200));
            }
            _ => {}
        }
    }
    response
}

fn body(wire: Wire, model: &Model, operation: &Operation, name: &str, reply: &Reply) -> Response<Bytes> {
    let shape = model.shape(name);
    if let Some(key) = &shape.payload {
        return payload_body(wire, model, key, &shape.members[key], reply);
    }
    if let Some(bytes) = &reply.body {
        return plain(200, "application/octet-stream", bytes.clone());
    }
    if shape.members.values().all(|member| member.location.is_some()) {
        return match wire {
            Wire::RestJson => plain(200, "application/json", "{}"),
            _ => Response::new(Bytes::new()),
        };
    }
    if wire == Wire::RestJson {
        let value = json::outgoing(model, name, &reply.output, json::Names::Wire);
        return plain(200, "application/json", value.to_string());
    }
    let side = operation.output.as_ref().map_or(name, |side| side.shape.as_str());
    let mut writer = Writer::new();
    if side == "GetBucketLocationOutput" {
        // This one answer is a bare text, not a structure.
        writer.open_with("LocationConstraint", &[("xmlns", S3_NAMESPACE)]);
        let text = reply.output["LocationConstraint"].as_str().unwrap_or_default().to_owned();
        let document = writer.finish() + &text + "</LocationConstraint>";
        return plain(200, "application/xml", document);
    }
    let root = S3_ROOTS.iter().find(|(shape, _)| *shape == side).map_or(side, |(_, root)| root);
    writer.open_with(root, &[("xmlns", S3_NAMESPACE)]);
    writer.members(model, shape, &reply.output);
    writer.close(root);
    plain(200, "application/xml", writer.finish())
}

fn payload_body(wire: Wire, model: &Model, key: &str, member: &Member, reply: &Reply) -> Response<Bytes> {
    let shape = model.shape(&member.shape);
    let value = reply.output.get(key).filter(|v| !v.is_null());
    if shape.eventstream {
        let events = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let bytes = eventstream::encode(model, shape, events);
        return plain(200, eventstream::CONTENT_TYPE, bytes);
    }
    match shape.kind {
        ShapeType::Blob => {
            let given = value.and_then(Value::as_str).and_then(from_base64).map(Bytes::from);
            let bytes = reply.body.clone().or(given).unwrap_or_default();
            plain(200, "application/octet-stream", bytes)
        }
        ShapeType::String => {
            let text = value.and_then(Value::as_str).unwrap_or_default().to_owned();
            plain(200, "application/json", text)
        }
        _ => {
            let Some(value) = value else { return Response::new(Bytes::new()) };
            if wire == Wire::RestJson {
                let value = json::outgoing(model, &member.shape, value, json::Names::Wire);
                return plain(200, "application/json", value.to_string());
            }
            let root = member.location_name.as_deref().unwrap_or(key);
            let mut writer = Writer::new();
            writer.open_with(root, &[("xmlns", S3_NAMESPACE)]);
            writer.members(model, shape, value);
            writer.close(root);
            plain(200, "application/xml", writer.finish())
        }
    }
}

/// Encodes an error as S3 does.
pub(crate) fn xml_error(error: &AwsError, request_id: &str, resource: &str) -> String {
    let mut writer = Writer::new();
    writer.open("Error");
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    for (name, value) in &error.fields {
        writer.leaf(name, &text(value, ShapeType::String, None));
    }
    writer.leaf("Resource", resource);
    writer.leaf("RequestId", request_id);
    writer.leaf("HostId", &STANDARD.encode(request_id));
    writer.close("Error");
    writer.finish()
}
