//! Verifies requests that are signed by Signature Version 4, in a header or in a link.
//!
//! Only keys that the sandbox gave out have a secret to verify with. The older version 2 is refused, as S3
//! refuses it for every bucket made since 2020. The signatures of the chunks of a body are not verified.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::sandbox::codec::{Request, time};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// How far a client's clock may be off, in seconds; S3 allows more.
const SKEW_MAX_S: f64 = 300.0;
const SKEW_MAX_S3_S: f64 = 900.0;

/// Why credentials are not accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// No such key.
    UnknownKey,
    /// The session has ended.
    Expired,
    /// The session token is missing or another one.
    Token,
    /// The signature is not that of this request and secret.
    Mismatch,
    /// The body is not the one that was signed.
    Body,
    /// The client's clock is too far off; seconds of both, client's first, and the limit.
    Skewed { signed: f64, now: f64, limit: f64 },
    /// A link is used after its end.
    LinkExpired,
    /// The signature is of version 2.
    Version,
}

impl Fault {
    /// Describes the fault in words.
    pub(super) fn message(&self) -> String {
        let stamp = |seconds: f64| time::iso(seconds);
        match self {
            Fault::UnknownKey | Fault::Token => "The security token included in the request is invalid.".to_owned(),
            Fault::Expired => "The security token included in the request is expired".to_owned(),
            Fault::Mismatch => "The request signature we calculated does not match the signature you provided. \
                Check your AWS Secret Access Key and signing method."
                .to_owned(),
            Fault::Body => "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned(),
            Fault::Skewed { signed, now, limit } if signed < now => {
                let earliest = now - limit;
                format!("Signature expired: {} is now earlier than {}", stamp(*signed), stamp(earliest))
            }
            Fault::Skewed { signed, now, limit } => {
                let latest = now + limit;
                format!("Signature not yet current: {} is still later than {}", stamp(*signed), stamp(latest))
            }
            Fault::LinkExpired => "Request has expired".to_owned(),
            Fault::Version => "The authorization mechanism you have provided is not supported. \
                Please use AWS4-HMAC-SHA256."
                .to_owned(),
        }
    }
}

/// The parts of a signature.
struct Signed<'r> {
    date: &'r str,
    /// `20260105/us-east-1/ec2/aws4_request`.
    scope: &'r str,
    headers: &'r str,
    signature: &'r str,
    token: Option<&'r str>,
    in_link: bool,
}

/// Verifies a request with the entry of its key; `now` is the time that the client's clock should show.
pub(crate) fn verify(request: &Request, entry: &Value, now: f64) -> Result<(), Fault> {
    let secret = entry["secret"].as_str().ok_or(Fault::UnknownKey)?;
    let signed = parts(request)?;
    if entry["token"].as_str() != signed.token {
        return Err(Fault::Token);
    }
    let s3 = signed.scope.split('/').nth(2) == Some("s3");
    let at = time::parse(&extended(signed.date)).ok_or(Fault::Mismatch)?;
    let limit = if s3 { SKEW_MAX_S3_S } else { SKEW_MAX_S };
    let life: f64 = request.parameter("X-Amz-Expires").and_then(|it| it.parse().ok()).unwrap_or(0.0);
    if signed.in_link && now > at + life {
        return Err(Fault::LinkExpired);
    }
    if at > now + limit || (!signed.in_link && at < now - limit) {
        return Err(Fault::Skewed { signed: at, now, limit });
    }
    if !signed.scope.starts_with(signed.date.get(..8).unwrap_or("-")) {
        return Err(Fault::Mismatch);
    }
    let payload = payload(request, &signed, s3)?;
    let canonical = canonical(request, &signed, s3, &payload);
    let digest = hex::encode(Sha256::digest(canonical));
    let text = format!("{ALGORITHM}\n{}\n{}\n{digest}", signed.date, signed.scope);
    let key = signed.scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    if hex::encode(mac(&key, &text)) == signed.signature { Ok(()) } else { Err(Fault::Mismatch) }
}

fn parts(request: &Request) -> Result<Signed<'_>, Fault> {
    fn scope(credential: &str) -> Option<&str> {
        credential.split_once('/').map(|(_, scope)| scope)
    }
    if let Some(credential) = request.parameter("X-Amz-Credential") {
        let get = |name: &str| request.parameter(name).ok_or(Fault::Mismatch);
        return Ok(Signed {
            date: get("X-Amz-Date")?,
            scope: scope(credential).ok_or(Fault::Mismatch)?,
            headers: get("X-Amz-SignedHeaders")?,
            signature: get("X-Amz-Signature")?,
            token: request.parameter("X-Amz-Security-Token"),
            in_link: true,
        });
    }
    let header = request.header("authorization").ok_or(Fault::Version)?;
    let rest = header.strip_prefix(ALGORITHM).ok_or(Fault::Version)?;
    let get = |name: &str| {
        let mut parts = rest.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or(Fault::Mismatch)
    };
    Ok(Signed {
        date: request.header("x-amz-date").ok_or(Fault::Mismatch)?,
        scope: scope(get("Credential")?).ok_or(Fault::Mismatch)?,
        headers: get("SignedHeaders")?,
        signature: get("Signature")?,
        token: request.header("x-amz-security-token"),
        in_link: false,
    })
}

/// Turns `20260105T090000Z` into `2026-01-05T09:00:00Z`.
fn extended(date: &str) -> String {
    let get = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
    format!("{}-{}-{}T{}:{}:{}Z", get(0..4), get(4..6), get(6..8), get(9..11), get(11..13), get(13..15))
}

/// Returns the payload's part of what is signed, and checks the body against it.
fn payload(request: &Request, signed: &Signed<'_>, s3: bool) -> Result<String, Fault> {
    let body = || hex::encode(Sha256::digest(&request.body));
    let Some(given) = request.header("x-amz-content-sha256") else {
        return Ok(if s3 && signed.in_link { UNSIGNED.to_owned() } else { body() });
    };
    let is_hash = given.len() == 64 && given.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash && given != body() {
        return Err(Fault::Body);
    }
    Ok(given.to_owned())
}

fn canonical(request: &Request, signed: &Signed<'_>, s3: bool, payload: &str) -> String {
    // S3 signs a path as it is sent, the others encode what is encoded already once more.
    let path = if s3 { request.path.clone() } else { encode(&request.path, true) };
    let pairs = request.query.iter().filter(|(name, _)| name != "X-Amz-Signature");
    let mut query: Vec<(String, String)> =
        pairs.map(|(name, value)| (encode(name, false), encode(value, false))).collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed.headers.split(';') {
        let values = request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let values: Vec<String> = values.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let (method, query) = (&request.method, query.join("&"));
    format!("{method}\n{path}\n{query}\n{headers}\n{}\n{payload}", signed.headers)
}

fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("internal error: HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
