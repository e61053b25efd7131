//! Keeps secrets out of the state.
//!
//! Kinds replace a secret argument by [`redacted`]: a keyed digest, enough to see that it changed and useless
//! to whoever reads the state. What a run resolves from a secret store it also tells the writer ([`Secrets`]),
//! which refuses every object that has such a value in it, whatever the reason it got there.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

const SECRET_KEY: &str = "$secret";
const DIGEST_PREFIX: &str = "hmac-sha256:";
const DIGEST_HEX: usize = 64;

/// Stands in the place of a secret value in a text.
const MASK: &str = "(a secret value)";

/// Shorter values would be found by chance in names and ids.
const SHORTEST_SECRET: usize = 8;

/// Makes the stand-in of a secret value; `key` is the environment's own, so that digests can't be looked up.
pub fn redacted(key: &[u8], secret: &[u8]) -> Value {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("internal error: HMAC takes keys of any length");
    mac.update(secret);
    let digest = format!("{DIGEST_PREFIX}{}", hex::encode(mac.finalize().into_bytes()));
    Value::Object(Map::from_iter([(SECRET_KEY.to_owned(), Value::from(digest))]))
}

/// Tells whether a value is the stand-in of a secret.
pub fn is_redacted(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1 && map.get(SECRET_KEY).is_some_and(is_digest))
}

fn is_digest(value: &Value) -> bool {
    value
        .as_str()
        .and_then(|text| text.strip_prefix(DIGEST_PREFIX))
        .is_some_and(|digest| digest.len() == DIGEST_HEX && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Tells whether a text has a private key in it.
pub fn holds_private_key(text: &str) -> bool {
    text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----")
}

/// Finds a value that is marked as a secret and still has its text, or a private key.
pub(super) fn find_exposed(value: &Value) -> bool {
    match value {
        Value::Object(map) => (map.contains_key(SECRET_KEY) && !is_redacted(value)) || map.values().any(find_exposed),
        Value::Array(items) => items.iter().any(find_exposed),
        Value::String(text) => holds_private_key(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The secret values that a run has seen, none of which may ever be written.
#[derive(Clone, Default)]
pub struct Secrets(Arc<RwLock<BTreeSet<String>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Remembers a value; ones shorter than 8 bytes are left out, being likely to occur by chance.
    pub fn forbid(&self, secret: &str) {
        if secret.len() < SHORTEST_SECRET {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(secret.to_owned());
    }

    /// Takes the values out of a text that comes from somewhere else, such as an error's message.
    pub fn mask(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK).replace(&escaped(secret), MASK))
    }

    /// Tells whether some JSON text has one of the values in it.
    pub(super) fn occur_in(&self, json: &str) -> bool {
        let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.iter().any(|secret| json.contains(&escaped(secret)))
    }
}

/// Writes a value as it stands in JSON, without the quotes.
fn escaped(secret: &str) -> String {
    let quoted = Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_digests_pass_as_secrets() {
        let stand_in = redacted(b"key", b"hunter2hunter2");
        assert!(is_redacted(&stand_in));
        assert!(!find_exposed(&json!({ "a": [stand_in] })));
        assert!(find_exposed(&json!({ "a": [{ "$secret": "hunter2hunter2" }] })));
        assert!(find_exposed(&json!({ "a": "-----BEGIN RSA PRIVATE KEY-----\nxx" })));
        assert_ne!(redacted(b"key", b"a"), redacted(b"other", b"a"));
    }

    #[test]
    fn a_forbidden_value_is_found_escaped_or_not() {
        let secrets = Secrets::default();
        secrets.forbid("line\n\"quoted\"");
        secrets.forbid("short");
        assert!(secrets.occur_in(&json!({ "x": "a line\n\"quoted\" b" }).to_string()));
        assert!(!secrets.occur_in("short"));
        assert_eq!(secrets.mask("got line\n\"quoted\" and line\\n\\\"quoted\\\""), format!("got {MASK} and {MASK}"));
        assert!(!format!("{secrets:?}").contains("quoted"));
    }
}
