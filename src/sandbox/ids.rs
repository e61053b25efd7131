//! Identifiers that look like AWS's and depend only on the seed and a shelf's history.
//!
//! The same seed and the same calls give the same ids, in process and over the socket alike.

use sha2::{Digest, Sha256};

/// A source of bytes for one identifier.
pub(crate) fn entropy(seed: u64, scope: &str, serial: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(scope.as_bytes());
    hash.update(serial.to_be_bytes());
    hash.finalize().into()
}

/// Writes bytes as a version 4 UUID.
pub(crate) fn uuid(bytes: &[u8; 32]) -> String {
    let mut head = [0; 16];
    head.copy_from_slice(&bytes[..16]);
    uuid::Builder::from_random_bytes(head).into_uuid().to_string()
}

/// Writes an EC2-style id: prefix, dash, `0`, sixteen hex digits.
pub(crate) fn ec2(prefix: &str, bytes: &[u8; 32]) -> String {
    format!("{prefix}-0{}", hex::encode(&bytes[..8]))
}

/// Writes `length` characters out of `alphabet`.
pub(crate) fn letters(bytes: &[u8; 32], alphabet: &[u8], length: usize) -> String {
    let pick = |i: usize| alphabet[usize::from(bytes[i % 32] ^ (i / 32) as u8) % alphabet.len()];
    (0..length).map(|i| char::from(pick(i))).collect()
}

/// The characters of IAM's unique ids and access key ids.
pub(crate) const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Lower-case letters and digits, as in Bedrock's ids.
pub(crate) const BASE36: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
