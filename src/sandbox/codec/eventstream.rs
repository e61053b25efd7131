//! Event streams in responses: one binary frame per event, framed by the SDK's own crate.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::Value;

use super::{from_base64, json};
use crate::sandbox::model::{Model, Shape, ShapeType};

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Returns the member of an output that is a stream of events.
pub(super) fn member<'m>(model: &'m Model, output: &str) -> Option<&'m str> {
    let members = &model.shape(output).members;
    members.iter().find(|(_, member)| model.shape(&member.shape).eventstream).map(|(name, _)| name.as_str())
}

/// Encodes an answer as the JSON protocols do: the first frame holds the members besides the stream.
pub(super) fn encode_whole(
    model: &Model,
    output: &str,
    stream: &str,
    value: &Value,
    content_type: &'static str,
) -> Bytes {
    let mut rest = value.clone();
    if let Some(members) = rest.as_object_mut() {
        members.shift_remove(stream);
    }
    let body = json::outgoing(model, output, &rest, json::Names::Members);
    let first = Message::new(body.to_string().into_bytes())
        .add_header(text(":event-type", "initial-response"))
        .add_header(text(":content-type", content_type))
        .add_header(text(":message-type", "event"));
    let mut out = Vec::new();
    write_message_to(&first, &mut out)
        .expect("internal error: a frame of a simulated answer is within the format's bounds");
    let shape = model.shape(&model.shape(output).members[stream].shape);
    let events = value[stream].as_array().map_or(&[][..], Vec::as_slice);
    out.extend(encode(model, shape, events));
    Bytes::from(out)
}

/// Encodes events, each an object with one key: the event's name.
///
/// An event whose shape is an exception becomes an exception frame.
pub(crate) fn encode(model: &Model, stream: &Shape, events: &[Value]) -> Bytes {
    let mut out = Vec::new();
    for event in events {
        for (name, value) in event.as_object().into_iter().flatten() {
            let Some(member) = stream.members.get(name) else { continue };
            let message = frame(model, name, &member.shape, value);
            write_message_to(&message, &mut out)
                .expect("internal error: a frame of a simulated answer is within the format's bounds");
        }
    }
    Bytes::from(out)
}

fn text(name: &'static str, value: impl Into<String>) -> Header {
    Header::new(name, HeaderValue::String(value.into().into()))
}

fn frame(model: &Model, name: &str, shape_name: &str, value: &Value) -> Message {
    let shape = model.shape(shape_name);
    let payload_member = shape.members.iter().find(|(_, member)| member.eventpayload);
    let (content_type, payload) = match payload_member {
        Some((key, member)) => match model.shape(&member.shape).kind {
            ShapeType::Blob => {
                let text = value[key].as_str().unwrap_or_default();
                ("application/octet-stream", from_base64(text).unwrap_or_default())
            }
            ShapeType::String => ("text/plain", value[key].as_str().unwrap_or_default().as_bytes().to_vec()),
            _ => {
                let body = json::outgoing(model, &member.shape, &value[key], json::Names::Wire);
                ("application/json", body.to_string().into_bytes())
            }
        },
        None => {
            let body = json::outgoing(model, shape_name, value, json::Names::Wire);
            ("application/json", body.to_string().into_bytes())
        }
    };
    let mut message = Message::new(payload);
    let (kind, kind_header) = if shape.exception { ("exception", ":exception-type") } else { ("event", ":event-type") };
    message = message.add_header(text(kind_header, name)).add_header(text(":content-type", content_type));
    for (key, _) in shape.members.iter().filter(|(_, member)| member.eventheader) {
        if let Some(value) = value[key].as_str() {
            message = message.add_header(Header::new(key.clone(), HeaderValue::String(value.to_owned().into())));
        }
    }
    message.add_header(text(":message-type", kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use aws_smithy_eventstream::frame::read_message_from;
    use serde_json::json;

    #[test]
    fn events_and_exceptions_are_framed() {
        let runtime = model("bedrock-runtime").unwrap();
        let stream = runtime.shape("ConverseStreamOutput");
        let events =
            [json!({"messageStart": {"role": "assistant"}}), json!({"throttlingException": {"message": "slow down"}})];
        let mut bytes = encode(runtime, stream, &events);
        let first = read_message_from(&mut bytes).unwrap();
        assert_eq!(first.payload().as_ref(), br#"{"role":"assistant"}"#);
        let header = |message: &Message, name: &str| {
            let found = message.headers().iter().find(|h| h.name().as_str() == name);
            found.map(|h| h.value().as_string().unwrap().as_str().to_owned())
        };
        assert_eq!(header(&first, ":event-type").as_deref(), Some("messageStart"));
        let second = read_message_from(&mut bytes).unwrap();
        assert_eq!(header(&second, ":message-type").as_deref(), Some("exception"));
        assert!(bytes.is_empty());
    }
}
