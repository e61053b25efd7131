//! A resource as AWS has it, in the normal form, and whose it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::graph::Address;

/// A resource's own tags, by key.
pub type Tags = BTreeMap<String, String>;

/// Whose a resource is, as its tags say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub environment: String,
    /// The address in its tag form ([`Address::tag_value`]).
    pub address: String,
    /// Counts the resources that an address had, from 1.
    pub generation: u64,
}

impl Owner {
    /// Makes the owner of an address.
    pub fn new(environment: &str, address: &Address, generation: u64) -> Self {
        Self { environment: environment.to_owned(), address: address.tag_value(), generation }
    }
}

/// What a read found under an id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    Present(SeenResource),
    Absent,
    /// AWS could not be asked; this is never "absent".
    Unreadable {
        reason: String,
    },
}

/// A resource as AWS has it; unreadable fields hold their marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenResource {
    pub arguments: Value,
    pub attributes: Value,
    pub owner: Option<Owner>,
}

/// What would be destroyed with a resource, as a look into it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// It was looked into, and it is empty.
    Nothing,
    /// It was looked into, and has this.
    Data(String),
    /// Something that no look can rule out: what a key encrypted, who calls an endpoint.
    Always(String),
    /// It could not be looked into, for this reason; never taken for nothing.
    Unknown(String),
}

impl Seen {
    /// Returns the resource, where there is one.
    pub fn present(&self) -> Option<&SeenResource> {
        match self {
            Self::Present(resource) => Some(resource),
            Self::Absent | Self::Unreadable { .. } => None,
        }
    }

    /// Returns the SHA-256 of all that was seen, in hex: equal exactly when nothing changed.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        match self {
            // The parts as they are: copies of all resources at once would be most of a plan's memory.
            Self::Present(SeenResource { arguments, attributes, owner }) => {
                text.push_str("{\"present\":{\"arguments\":");
                write_sorted(arguments, &mut text);
                text.push_str(",\"attributes\":");
                write_sorted(attributes, &mut text);
                text.push_str(",\"owner\":");
                write_sorted(&serde_json::to_value(owner).unwrap_or_default(), &mut text);
                text.push_str("}}");
            }
            other => write_sorted(&serde_json::to_value(other).unwrap_or_default(), &mut text),
        }
        hex::encode(Sha256::digest(text))
    }
}

/// Writes JSON with all maps sorted by key, so that equal values have equal bytes.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (index, (key, item)) in entries.into_iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                write_sorted(&Value::from(key.as_str()), out);
                out.push(':');
                write_sorted(item, out);
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write_sorted(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_digest_sees_every_value_and_no_order() {
        let seen =
            |arguments: Value| Seen::Present(SeenResource { arguments, attributes: json!({}), owner: None }).digest();
        assert_eq!(seen(json!({ "a": 1, "b": 2 })), seen(json!({ "b": 2, "a": 1 })));
        assert_ne!(seen(json!({ "a": 1 })), seen(json!({ "a": 2 })));
        assert_ne!(Seen::Absent.digest(), Seen::Unreadable { reason: "denied".to_owned() }.digest());
    }

    #[test]
    fn the_digest_is_of_the_json_of_what_was_seen() {
        let of = |text: String| hex::encode(Sha256::digest(text));
        let owner = Owner { environment: "lab".to_owned(), address: "vpc/main".to_owned(), generation: 2 };
        let arguments = json!({ "a \"b\"": [1, -2.5, true, null, "é\n", [], {}], "c": { "d": 1 } });
        let seen = Seen::Present(SeenResource { arguments, attributes: json!({}), owner: Some(owner) });
        let text = r#"{"present":{"arguments":{"a \"b\"":[1,-2.5,true,null,"é\n",[],{}],"c":{"d":1}},"attributes":{},"#;
        let text = format!(r#"{text}"owner":{{"address":"vpc/main","environment":"lab","generation":2}}}}}}"#);
        assert_eq!(seen.digest(), of(text));
        assert_eq!(Seen::Absent.digest(), of(r#""absent""#.to_owned()));
        let unreadable = Seen::Unreadable { reason: "no".to_owned() };
        assert_eq!(unreadable.digest(), of(r#"{"unreadable":{"reason":"no"}}"#.to_owned()));
    }
}
