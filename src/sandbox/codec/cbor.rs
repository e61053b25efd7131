//! Smithy RPC v2 CBOR bodies: the subset of RFC 8949 that the protocol uses.
//!
//! Reads definite and indefinite lengths; writes definite ones. Nesting is bounded.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::{from_base64, json, malformed, to_base64};
use crate::sandbox::error::AwsError;
use crate::sandbox::model::{Model, Shape, ShapeType};

/// The deepest nesting of arrays, maps and tags.
const DEPTH_MAX: usize = 64;

/// Decodes a body as a shape; an empty one is an empty structure.
pub(crate) fn decode(model: &Model, shape: &str, body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let mut reader = Reader { bytes: body };
    let value = reader.item(0).ok_or_else(|| malformed("the request body is not valid CBOR"))?;
    json::incoming(model, shape, value, json::Names::Members)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(head)
    }

    /// Reads a head: major type, low bits and argument; none as argument means indefinite.
    fn head(&mut self) -> Option<(u8, u8, Option<u64>)> {
        let first = self.take(1)?[0];
        let low = first & 0x1f;
        let argument = match low {
            0..=23 => Some(u64::from(low)),
            24..=27 => {
                let width = 1 << (low - 24);
                Some(self.take(width)?.iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)))
            }
            31 => None,
            _ => return None,
        };
        Some((first >> 5, low, argument))
    }

    fn is_break(&mut self) -> bool {
        let found = self.bytes.first() == Some(&0xff);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    fn item(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (major, low, argument) = self.head()?;
        match major {
            0 => Some(Value::from(argument?)),
            1 => Some(Value::from(-1 - i64::try_from(argument?).ok()?)),
            2 => Some(Value::String(to_base64(&self.string(major, argument)?))),
            3 => Some(Value::String(String::from_utf8(self.string(major, argument)?).ok()?)),
            4 => self.array(argument, depth),
            5 => self.map(argument, depth),
            6 => self.item(depth + 1),
            _ => self.simple(low, argument),
        }
    }

    fn string(&mut self, major: u8, argument: Option<u64>) -> Option<Vec<u8>> {
        if let Some(length) = argument {
            return Some(self.take(usize::try_from(length).ok()?)?.to_vec());
        }
        let mut out = Vec::new();
        while !self.is_break() {
            let (chunk, _, length) = self.head()?;
            if chunk != major {
                return None;
            }
            out.extend_from_slice(self.take(usize::try_from(length?).ok()?)?);
        }
        Some(out)
    }

    fn array(&mut self, argument: Option<u64>, depth: usize) -> Option<Value> {
        let mut out = Vec::new();
        while argument.is_none_or(|length| (out.len() as u64) < length) {
            if argument.is_none() && self.is_break() {
                break;
            }
            out.push(self.item(depth + 1)?);
        }
        Some(Value::Array(out))
    }

    fn map(&mut self, argument: Option<u64>, depth: usize) -> Option<Value> {
        let mut out = Map::new();
        let mut read = 0;
        while argument.is_none_or(|length| read < length) {
            if argument.is_none() && self.is_break() {
                break;
            }
            let Value::String(key) = self.item(depth + 1)? else { return None };
            out.insert(key, self.item(depth + 1)?);
            read += 1;
        }
        Some(Value::Object(out))
    }

    fn simple(&mut self, low: u8, argument: Option<u64>) -> Option<Value> {
        let bits = argument?;
        let float = match low {
            20 => return Some(Value::Bool(false)),
            21 => return Some(Value::Bool(true)),
            22 | 23 => return Some(Value::Null),
            25 => half(bits as u16),
            26 => f64::from(f32::from_bits(bits as u32)),
            27 => f64::from_bits(bits),
            _ => return None,
        };
        Number::from_f64(float).map(Value::Number)
    }
}

fn half(bits: u16) -> f64 {
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// Encodes a value as a shape.
pub(crate) fn encode(model: &Model, shape: &str, value: &Value) -> Bytes {
    let mut out = Vec::new();
    write(model, model.shape(shape), value, &mut out);
    Bytes::from(out)
}

/// Encodes an empty structure.
pub(crate) fn to_bytes_empty() -> Bytes {
    Bytes::from_static(&[0xa0])
}

/// Encodes a value without a shape.
pub(crate) fn encode_open(value: &Value) -> Bytes {
    let mut out = Vec::new();
    write_open(value, &mut out);
    Bytes::from(out)
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

fn string(major: u8, bytes: &[u8], out: &mut Vec<u8>) {
    head(major, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn float(value: f64, out: &mut Vec<u8>) {
    out.push(0xfb);
    out.extend_from_slice(&value.to_be_bytes());
}

fn write(model: &Model, shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    match (shape.kind, value) {
        (ShapeType::Structure, Value::Object(members)) if !shape.document => {
            let present = shape.members.iter().filter_map(|(key, member)| {
                members.get(key).filter(|v| !v.is_null()).map(|value| (key, member, value))
            });
            let present: Vec<_> = present.collect();
            head(5, present.len() as u64, out);
            for (key, member, value) in present {
                string(3, key.as_bytes(), out);
                write(model, model.shape(&member.shape), value, out);
            }
        }
        (ShapeType::List, Value::Array(items)) => {
            let inner = shape.member.as_ref().expect("internal error: a list names its member");
            head(4, items.len() as u64, out);
            for item in items {
                write(model, model.shape(&inner.shape), item, out);
            }
        }
        (ShapeType::Map, Value::Object(entries)) => {
            let inner = shape.value.as_ref().expect("internal error: a map names its value");
            head(5, entries.len() as u64, out);
            for (key, value) in entries {
                string(3, key.as_bytes(), out);
                write(model, model.shape(&inner.shape), value, out);
            }
        }
        (ShapeType::Blob, Value::String(text)) => string(2, &from_base64(text).unwrap_or_default(), out),
        (ShapeType::Timestamp, Value::Number(number)) => {
            head(6, 1, out);
            float(number.as_f64().unwrap_or_default(), out);
        }
        (ShapeType::Float | ShapeType::Double, Value::Number(number)) => {
            float(number.as_f64().unwrap_or_default(), out);
        }
        (_, value) => write_open(value, out),
    }
}

fn write_open(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => head(0, whole, out),
            (None, Some(whole)) => head(1, (-1 - whole).unsigned_abs(), out),
            (None, None) => float(number.as_f64().unwrap_or_default(), out),
        },
        Value::String(text) => string(3, text.as_bytes(), out),
        Value::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write_open(item, out));
        }
        Value::Object(entries) => {
            head(5, entries.len() as u64, out);
            for (key, value) in entries {
                string(3, key.as_bytes(), out);
                write_open(value, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_go_there_and_back() {
        let value =
            json!({"a": [1, -2, 300, 70_000, 5_000_000_000_u64, -1_000_000], "b": true, "c": null, "d": "é", "e": 1.5});
        let bytes = encode_open(&value);
        assert_eq!(Reader { bytes: &bytes }.item(0), Some(value));
    }

    #[test]
    fn indefinite_lengths_are_read_and_broken_bytes_refused() {
        let bytes = [0xbf, 0x61, b'a', 0x9f, 0x01, 0xf9, 0x3e, 0x00, 0xff, 0xff];
        assert_eq!(Reader { bytes: &bytes }.item(0), Some(json!({"a": [1, 1.5]})));
        for bytes in [
            &[0x5f][..],
            &[0x9f],
            &[0xa1, 0x01, 0x01],
            &[0x1c],
            &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(Reader { bytes }.item(0), None);
        }
        assert_eq!(Reader { bytes: &[0x81; 1000] }.item(0), None);
    }
}
