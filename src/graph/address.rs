//! The name of a resource in the spec, and the name AWS gave to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// A resource's place in the spec: `kms_key.data`, `subnet.private["us-east-1a"]`, `module.cluster.placement_group.nodes`.
///
/// The order is by module path, kind, name and key, so listings are stable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Module instances from the outermost to the innermost; empty for the spec's own resources.
    pub module: Vec<String>,
    pub kind: SmolStr,
    pub name: SmolStr,
    /// The `for_each` key, where the resource has one.
    pub key: Option<SmolStr>,
}

/// Says why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address such as `kms_key.data` or `subnet.private[\"a\"]`")]
pub struct AddressError {
    text: String,
}

impl Address {
    /// Makes the address of a resource at the top of a spec.
    pub fn new(kind: impl Into<SmolStr>, name: impl Into<SmolStr>) -> Self {
        Self { module: Vec::new(), kind: kind.into(), name: name.into(), key: None }
    }

    /// Adds a `for_each` key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<SmolStr>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Puts the address inside a module instance.
    #[must_use]
    pub fn inside(mut self, module: &[String]) -> Self {
        self.module = module.iter().cloned().chain(self.module).collect();
        self
    }

    /// Returns the address without its `for_each` key.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// Splits a reference such as `subnet.private["a"].id` into the address and the path below it.
    pub fn parse_reference(text: &str) -> Option<(Self, &str)> {
        let mut at = 0;
        let mut parts = 2;
        let mut rest = text;
        while let Some(inner) = rest.strip_prefix("module.") {
            rest = inner.split_once('.')?.1;
            parts += 2;
        }
        for part in 0..parts {
            at += usize::from(part > 0);
            at += text.get(at..)?.find(['.', '[']).unwrap_or(text.len() - at);
        }
        if text[at..].starts_with("[\"") {
            let mut escaped = false;
            let end = text[at + 2..].bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })?;
            at += end + 4;
        }
        let address = text.get(..at)?.parse().ok()?;
        let path = text[at..].strip_prefix('.').unwrap_or(&text[at..]);
        Some((address, path))
    }

    /// Returns a form that every AWS tag value may hold: `/` before the key, and `=XX` for other bytes.
    ///
    /// IAM's pattern for tag values (`[\p{L}\p{Z}\p{N}_.:/=+\-@]*`) is the narrowest of the services here.
    pub fn tag_value(&self) -> String {
        let mut out = self.without_key().to_string();
        if let Some(key) = &self.key {
            out.push('/');
            for byte in key.bytes() {
                if byte.is_ascii_alphanumeric() || b" _.:/+-@".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("={byte:02X}"));
                }
            }
        }
        out
    }

    /// Reads an address back from the tag; `None` where it is none.
    pub fn from_tag_value(tag: &str) -> Option<Self> {
        let (address, key) = match tag.split_once('/') {
            Some((address, key)) => (address, Some(key)),
            None => (tag, None),
        };
        let address: Self = address.parse().ok()?;
        let Some(key) = key else { return Some(address) };
        let mut bytes = Vec::new();
        let mut rest = key.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *first == b'=' {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            } else {
                bytes.push(*first);
            }
        }
        let key = String::from_utf8(bytes).ok()?;
        address.key.is_none().then(|| address.with_key(key))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for module in &self.module {
            write!(f, "module.{module}.")?;
        }
        write!(f, "{}.{}", self.kind, self.name)?;
        if let Some(key) = &self.key {
            write!(f, "[{}]", serde_json::Value::from(key.as_str()))?;
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.to_owned() };
        let (path, key) = match text.find('[') {
            Some(at) => {
                let inner = text[at + 1..].strip_suffix(']').ok_or_else(error)?;
                let key = if inner.starts_with('"') {
                    serde_json::from_str::<String>(inner).map_err(|_| error())?.into()
                } else if !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit()) {
                    inner.into()
                } else {
                    return Err(error());
                };
                (&text[..at], Some(key))
            }
            None => (text, None),
        };
        let mut parts: Vec<&str> = path.split('.').collect();
        if !parts.iter().all(|part| is_identifier(part)) {
            return Err(error());
        }
        let mut module = Vec::new();
        while parts.len() > 2 && parts[0] == "module" {
            module.push(parts[1].to_owned());
            parts.drain(..2);
        }
        match parts[..] {
            [kind, name] if kind != "module" => Ok(Self { module, kind: kind.into(), name: name.into(), key }),
            _ => Err(error()),
        }
    }
}

/// Tells whether a text can name a kind, a resource, an input or a module instance: `[a-z][a-z0-9_]*`, 64 bytes at most.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The id by which AWS's own API names a resource, unique within its kind, account and region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhysicalId(pub String);

impl PhysicalId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PhysicalId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for PhysicalId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PhysicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tag: &str) {
        let address: Address = text.parse().expect(text);
        assert_eq!(address.to_string(), text);
        assert_eq!(address.tag_value(), tag);
        assert_eq!(Address::from_tag_value(tag), Some(address));
    }

    #[test]
    fn addresses_read_back_as_written() {
        check("kms_key.data", "kms_key.data");
        check("subnet.private[\"us-east-1a\"]", "subnet.private/us-east-1a");
        check("module.cluster.placement_group.nodes", "module.cluster.placement_group.nodes");
        check("module.a.module.b.vpc.main[\"x \\\"y]\"]", "module.a.module.b.vpc.main/x =22y=5D");
    }

    #[test]
    fn references_are_an_address_and_a_path() {
        for (text, address, path) in [
            ("vpc.main.id", "vpc.main", "id"),
            ("vpc.main", "vpc.main", ""),
            ("subnet.private[\"a.b]\"].arn", "subnet.private[\"a.b]\"]", "arn"),
            ("s3_bucket.x.lifecycle_rules[0].prefix", "s3_bucket.x", "lifecycle_rules[0].prefix"),
            ("module.m.vpc.main.tags[\"k\"]", "module.m.vpc.main", "tags[\"k\"]"),
        ] {
            let (parsed, rest) = Address::parse_reference(text).expect(text);
            assert_eq!((parsed.to_string().as_str(), rest), (address, path));
        }
        assert_eq!(Address::parse_reference("vpc"), None);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "vpc", "vpc.", "vpc.main[", "vpc.main[a]", "vpc.main[\"a]", "module.a", "Vpc.main", "a.b.c", "vpc.m[]"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
