//! The wire protocols: requests to values in the model's member names, and values back to responses.
//!
//! Driven by the API models alone; no service has code here. In values, blobs are base64 strings and
//! timestamps are seconds since the epoch. Members that the model lacks are dropped in both directions, so
//! private keys of stored resources never leave the sandbox.

pub(crate) mod cbor;
pub(crate) mod chunked;
pub(crate) mod eventstream;
pub(crate) mod json;
pub(crate) mod query;
pub(crate) mod rest;
pub(crate) mod time;
pub(crate) mod xml;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use serde_json::Value;

use super::error::AwsError;
use super::model::{Model, Operation};

/// A request as the codecs see it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, still percent-encoded.
    pub(crate) path: String,
    /// The query string's pairs, decoded, in order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Which protocol a client chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Query,
    Ec2,
    Json10,
    Json11,
    Cbor,
    RestJson,
    RestXml,
}

/// A handler's answer on its way to the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) output: Value,
    /// The bytes of a payload that the handler gives as bytes.
    pub(crate) body: Option<Bytes>,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Decodes a request's input.
pub(crate) fn decode(
    wire: Wire,
    model: &Model,
    operation: &Operation,
    request: &Request,
    labels: &[(String, String)],
) -> Result<Value, AwsError> {
    let Some(side) = &operation.input else {
        return Ok(Value::Object(serde_json::Map::new()));
    };
    match wire {
        Wire::Query | Wire::Ec2 => query::decode(model, &side.shape, request, wire == Wire::Ec2),
        Wire::Json10 | Wire::Json11 => json::decode(model, &side.shape, &request.body),
        Wire::Cbor => cbor::decode(model, &side.shape, &request.body),
        Wire::RestJson | Wire::RestXml => rest::decode(wire, model, &side.shape, request, labels),
    }
}

/// Encodes a success.
pub(crate) fn encode(
    wire: Wire,
    model: &Model,
    operation: &Operation,
    reply: Reply,
    request_id: &str,
) -> Response<Bytes> {
    let mut response = match wire {
        Wire::Query | Wire::Ec2 => {
            let text = query::encode(model, operation, &reply.output, request_id, wire == Wire::Ec2);
            plain(200, "text/xml;charset=UTF-8", text)
        }
        Wire::Json10 | Wire::Json11 | Wire::RestJson | Wire::RestXml | Wire::Cbor => {
            encode_other(wire, model, operation, &reply)
        }
    };
    if let Some(status) = reply.status {
        *response.status_mut() = status_code(status);
    }
    for (name, value) in &reply.headers {
        put_header(response.headers_mut(), name, value);
    }
    identify(wire, &mut response, request_id);
    response
}

fn encode_other(wire: Wire, model: &Model, operation: &Operation, reply: &Reply) -> Response<Bytes> {
    let Some(side) = &operation.output else {
        return match wire {
            Wire::RestJson | Wire::RestXml => {
                let status = operation.http.response_code.unwrap_or(200);
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = status_code(status);
                response
            }
            Wire::Cbor => plain(200, "application/cbor", cbor::to_bytes_empty()),
            _ => plain(200, json_type(wire), Bytes::new()),
        };
    };
    match wire {
        Wire::Cbor => plain(200, "application/cbor", cbor::encode(model, &side.shape, &reply.output)),
        Wire::RestJson | Wire::RestXml => rest::encode(wire, model, operation, &side.shape, reply),
        _ => match eventstream::member(model, &side.shape) {
            Some(stream) => {
                let bytes = eventstream::encode_whole(model, &side.shape, stream, &reply.output, json_type(wire));
                plain(200, eventstream::CONTENT_TYPE, bytes)
            }
            None => {
                let value = json::outgoing(model, &side.shape, &reply.output, json::Names::Members);
                plain(200, json_type(wire), value.to_string())
            }
        },
    }
}

/// Encodes an error in the form its protocol has.
pub(crate) fn encode_error(
    wire: Wire,
    model: Option<&Model>,
    error: &AwsError,
    request_id: &str,
    resource: &str,
) -> Response<Bytes> {
    let known = model.and_then(|model| model.exception(&error.code).map(|(n, s)| (model, n, s)));
    let status = error.status.unwrap_or_else(|| {
        let listed = known.and_then(|(_, _, s)| s.error.as_ref()?.http_status_code);
        listed.unwrap_or(400)
    });
    let mut response = match wire {
        Wire::Query => plain(status, "text/xml", query::error(model, error, request_id, status)),
        Wire::Ec2 => plain(status, "text/xml;charset=UTF-8", query::ec2_error(error, request_id)),
        Wire::RestXml => plain(status, "application/xml", rest::xml_error(error, request_id, resource)),
        Wire::Json10 | Wire::Json11 | Wire::RestJson | Wire::Cbor => json_error(wire, model, known, error, status),
    };
    identify(wire, &mut response, request_id);
    response
}

fn json_error(
    wire: Wire,
    model: Option<&Model>,
    known: Option<(&Model, &str, &super::model::Shape)>,
    error: &AwsError,
    status: u16,
) -> Response<Bytes> {
    let name = known.map_or(error.code.as_str(), |(_, name, _)| name);
    let mut members = error.fields.clone();
    let lower = known.is_none_or(|(_, _, shape)| !shape.members.contains_key("Message"));
    let key = if lower { "message" } else { "Message" };
    members.insert(key.to_owned(), Value::String(error.message.clone()));
    let mut body = match known {
        Some((model, name, _)) => {
            let whole = Value::Object(members.clone());
            let names = if wire == Wire::RestJson { json::Names::Wire } else { json::Names::Members };
            json::outgoing(model, name, &whole, names)
        }
        None => Value::Object(members),
    };
    // A shape without a message member still carries one: SDKs show it.
    body[key] = Value::String(error.message.clone());
    let mut response = if wire == Wire::Cbor {
        body["__type"] = Value::String(name.to_owned());
        plain(status, "application/cbor", cbor::encode_open(&body))
    } else {
        if wire != Wire::RestJson {
            body["__type"] = Value::String(name.to_owned());
        }
        plain(status, json_type(wire), body.to_string())
    };
    put_header(response.headers_mut(), "x-amzn-errortype", name);
    if model.is_some_and(|m| m.metadata.aws_query_compatible.is_some()) {
        let fault = if status < 500 { "Sender" } else { "Receiver" };
        put_header(response.headers_mut(), "x-amzn-query-error", &format!("{};{fault}", error.code));
    }
    response
}

fn json_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Json10 => "application/x-amz-json-1.0",
        Wire::Json11 => "application/x-amz-json-1.1",
        _ => "application/json",
    }
}

/// Makes a response with a content type.
pub(crate) fn plain(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status_code(status);
    put_header(response.headers_mut(), "content-type", content_type);
    response
}

fn identify(wire: Wire, response: &mut Response<Bytes>, request_id: &str) {
    let headers = response.headers_mut();
    if wire == Wire::RestXml {
        put_header(headers, "x-amz-request-id", request_id);
        put_header(headers, "x-amz-id-2", &STANDARD.encode(request_id));
    } else {
        put_header(headers, "x-amzn-requestid", request_id);
    }
    if wire == Wire::Cbor {
        put_header(headers, "smithy-protocol", "rpc-v2-cbor");
    }
}

pub(crate) fn status_code(status: u16) -> http::StatusCode {
    http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// Sets a header; a value that no header can carry is left out.
pub(crate) fn put_header(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = http::HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// The error for a request whose body does not fit its protocol.
pub(crate) fn malformed(message: impl Into<String>) -> AwsError {
    AwsError::new("SerializationException", message).status(400)
}

/// Returns bytes as the base64 that values hold.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns the bytes of a value's base64 text.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
