//! The bytes of one log object: entries, their place in the chain, and a checksum over exactly these bytes.
//!
//! An object is one line of JSON whose last member is the checksum of all before it. Whoever changes, cuts or
//! swaps an object breaks its checksum or the `previous` of the one after it. Pure: no I/O.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::entry::{ENTRY_TYPES, Entry, RunId};
use super::error::StateError;
use super::verify::{Damage, Problem};

/// The version of the format that this module writes.
pub const FORMAT_VERSION: u32 = 1;

/// What stands for "the object before the first".
pub(super) const NO_PREVIOUS: &str = "";

const CHECKSUM_START: &str = ",\"checksum\":\"";
const CHECKSUM_END: &str = "\"}\n";
const SHA256_HEX: usize = 64;
const SEAL_LENGTH: usize = CHECKSUM_START.len() + SHA256_HEX + CHECKSUM_END.len();

/// One object of the log: what was committed at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Commit {
    pub version: u32,
    pub number: u64,
    /// The SHA-256 of the bytes of the object before.
    pub previous: String,
    pub time: Timestamp,
    pub writer: RunId,
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommit {
    version: u32,
    number: u64,
    previous: String,
    time: Timestamp,
    writer: RunId,
    entries: Vec<Value>,
    #[serde(rename = "checksum")]
    _checksum: String,
}

/// Returns the SHA-256 of some bytes in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Serialises a value that is a JSON object and adds its checksum as the last member.
pub(super) fn seal<T: Serialize>(value: &T) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("internal error: the state's types always serialise");
    debug_assert_eq!(text.last(), Some(&b'}'));
    text.pop();
    let checksum = sha256(&text);
    text.extend_from_slice(CHECKSUM_START.as_bytes());
    text.extend_from_slice(checksum.as_bytes());
    text.extend_from_slice(CHECKSUM_END.as_bytes());
    Bytes::from(text)
}

/// Tells whether the bytes are whole and unchanged.
pub(super) fn check_seal(bytes: &[u8]) -> Result<(), Damage> {
    let Some(at) = bytes.len().checked_sub(SEAL_LENGTH) else { return Err(Damage::Torn) };
    let (content, seal) = bytes.split_at(at);
    let well_formed = seal.starts_with(CHECKSUM_START.as_bytes()) && seal.ends_with(CHECKSUM_END.as_bytes());
    if !well_formed {
        let ended = bytes.ends_with(CHECKSUM_END.as_bytes()) || bytes.ends_with(b"\n");
        return Err(if ended { Damage::Altered } else { Damage::Torn });
    }
    let said = &seal[CHECKSUM_START.len()..CHECKSUM_START.len() + SHA256_HEX];
    if said == sha256(content).as_bytes() { Ok(()) } else { Err(Damage::Altered) }
}

impl Commit {
    /// Makes the object's bytes.
    pub(super) fn encode(&self) -> Bytes {
        seal(self)
    }

    /// Reads an object that stands at `number` and follows the object with digest `previous`, where that is known.
    pub(super) fn decode(number: u64, bytes: &[u8], previous: Option<&str>) -> Result<Self, StateError> {
        check_seal(bytes).map_err(|damage| Problem::entry(number, damage).held(describe(bytes)).corrupt())?;
        let raw = Self::decode_raw(number, bytes)?;
        if raw.number != number || previous.is_some_and(|previous| previous != raw.previous) {
            return Err(Problem::entry(number, Damage::Misplaced).held(describe(bytes)).corrupt());
        }
        let mut entries = Vec::with_capacity(raw.entries.len());
        for value in raw.entries {
            entries.push(decode_entry(number, value)?);
        }
        let RawCommit { version, number, previous, time, writer, .. } = raw;
        Ok(Self { version, number, previous, time, writer, entries })
    }

    fn decode_raw(number: u64, bytes: &[u8]) -> Result<RawCommit, StateError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed =
            |error: serde_json::Error| Problem::entry(number, Damage::Malformed(error.to_string())).corrupt();
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > FORMAT_VERSION {
            return Err(StateError::Newer { number, what: format!("format version {version}") });
        }
        serde_json::from_slice(bytes).map_err(|error| {
            if error.to_string().starts_with("unknown field") {
                StateError::Newer { number, what: error.to_string() }
            } else {
                malformed(error)
            }
        })
    }
}

fn decode_entry(number: u64, value: Value) -> Result<Entry, StateError> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("(none)").to_owned();
    if !ENTRY_TYPES.contains(&kind.as_str()) {
        return Err(StateError::Newer { number, what: format!("entry type `{kind}`") });
    }
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("unknown field") || text.starts_with("unknown variant") {
            StateError::Newer { number, what: format!("{text} in `{kind}`") }
        } else {
            Problem::entry(number, Damage::Malformed(format!("{text} in `{kind}`"))).corrupt()
        }
    })
}

/// Says what a damaged object seems to hold, as far as its bytes can still be read.
pub(super) fn describe(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.split_once("\"entries\":[")?.1;
    let mut out = Vec::new();
    // Each entry is read by a stream of its own, since commas stand between them.
    loop {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(value)) = stream.next() else { break };
        out.push(match serde_json::from_value::<Entry>(value) {
            Ok(entry) => entry.to_string(),
            Err(_) => "an unreadable entry".to_owned(),
        });
        let Some(more) = rest.get(stream.byte_offset()..).and_then(|rest| rest.strip_prefix(',')) else { break };
        rest = more;
    }
    (!out.is_empty()).then(|| out.join("; "))
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}:", self.number, self.time, self.writer)?;
        for entry in &self.entries {
            write!(f, " {entry};")?;
        }
        Ok(())
    }
}
