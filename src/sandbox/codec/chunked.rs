//! `aws-chunked` request bodies and the checksums of bodies.
//!
//! Chunk signatures are read past, not verified; lengths and trailing checksums are verified.

use std::str::FromStr;

use aws_smithy_checksums::ChecksumAlgorithm;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};

use super::Request;
use crate::sandbox::error::AwsError;

/// The checksum algorithms of S3's headers.
const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

fn incomplete() -> AwsError {
    AwsError::new("IncompleteBody", "The request body terminated unexpectedly").status(400)
}

/// Replaces an `aws-chunked` body by its content, moves its trailers to the headers, verifies checksums.
pub(crate) fn unwrap(request: &mut Request) -> Result<(), AwsError> {
    let sha = request.header("x-amz-content-sha256").unwrap_or_default();
    let encoding = request.header("content-encoding").unwrap_or_default();
    let coded = encoding.split(',').any(|part| part.trim() == "aws-chunked");
    if coded || sha.starts_with("STREAMING-") {
        let (body, trailers) = decode(&request.body).ok_or_else(incomplete)?;
        let expected = request.header("x-amz-decoded-content-length").and_then(|n| n.parse().ok());
        if expected.is_some_and(|n: usize| n != body.len()) {
            return Err(incomplete());
        }
        let rest: Vec<&str> =
            encoding.split(',').map(str::trim).filter(|p| *p != "aws-chunked" && !p.is_empty()).collect();
        let rest = rest.join(",");
        request.headers.remove("content-encoding");
        if !rest.is_empty() {
            super::put_header(&mut request.headers, "content-encoding", &rest);
        }
        for (name, value) in trailers {
            super::put_header(&mut request.headers, &name, &value);
        }
        request.body = body;
    }
    verify(request)
}

fn decode(bytes: &Bytes) -> Option<(Bytes, Vec<(String, String)>)> {
    let mut rest = &bytes[..];
    let mut body = Vec::with_capacity(bytes.len());
    loop {
        let (line, after) = line(rest)?;
        let size = line.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = after;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
    let mut trailers = Vec::new();
    while let Some((line, after)) = line(rest) {
        rest = after;
        if let Some((name, value)) = line.split_once(':') {
            trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Some((Bytes::from(body), trailers))
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

/// Computes one of S3's checksums as base64.
pub(crate) fn checksum(algorithm: &str, body: &[u8]) -> Option<String> {
    let mut state = ChecksumAlgorithm::from_str(algorithm).ok()?.into_impl();
    state.update(body);
    Some(STANDARD.encode(state.finalize()))
}

fn verify(request: &Request) -> Result<(), AwsError> {
    if let Some(given) = request.header("content-md5") {
        let decoded = STANDARD.decode(given).ok().filter(|bytes| bytes.len() == 16);
        let Some(decoded) = decoded else {
            return Err(AwsError::new("InvalidDigest", "The Content-MD5 you specified was invalid.").status(400));
        };
        if decoded != Md5::digest(&request.body)[..] {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(AwsError::new("BadDigest", message).status(400));
        }
    }
    for algorithm in ALGORITHMS {
        let Some(given) = request.header(&format!("x-amz-checksum-{algorithm}")) else { continue };
        // On a completion the header is about the parts together, which only the handler knows.
        if request.method == http::Method::POST && request.parameter("uploadId").is_some() {
            continue;
        }
        if checksum(algorithm, &request.body).as_deref() != Some(given) {
            let name = algorithm.to_ascii_uppercase();
            let message = format!("The {name} you specified did not match the calculated checksum.");
            return Err(AwsError::new("BadDigest", message).status(400));
        }
    }
    let sha = request.header("x-amz-content-sha256").unwrap_or_default();
    if sha.len() == 64 {
        use sha2::Digest as _;
        if hex::encode(sha2::Sha256::digest(&request.body)) != sha.to_ascii_lowercase() {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return Err(AwsError::new("XAmzContentSHA256Mismatch", message).status(400));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            super::super::put_header(&mut map, name, value);
        }
        Request {
            method: http::Method::PUT,
            path: "/b/k".into(),
            query: vec![],
            headers: map,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    const CHUNKED: [(&str, &str); 3] = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "11"),
    ];

    #[test]
    fn chunks_are_joined_and_the_trailing_checksum_verified() {
        let crc = checksum("crc32", b"hello world").unwrap();
        assert_eq!(crc, "DUoRhQ==");
        let body = format!("5\r\nhello\r\n6;chunk-signature=ab\r\n world\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
        let mut good = request(&CHUNKED, &body);
        unwrap(&mut good).unwrap();
        assert_eq!(&good.body[..], b"hello world");
        assert!(good.header("content-encoding").is_none());
        assert_eq!(good.header("x-amz-checksum-crc32"), Some("DUoRhQ=="));

        let mut wrong = request(&CHUNKED, &body.replace("world", "w0rld"));
        assert_eq!(unwrap(&mut wrong).unwrap_err().code, "BadDigest");
        let mut short = request(&CHUNKED, "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(unwrap(&mut short).unwrap_err().code, "IncompleteBody");
    }

    #[test]
    fn content_md5_is_verified() {
        let mut good = request(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")], "hello world");
        unwrap(&mut good).unwrap();
        let mut wrong = request(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")], "other");
        assert_eq!(unwrap(&mut wrong).unwrap_err().code, "BadDigest");
        let mut invalid = request(&[("content-md5", "zz")], "other");
        assert_eq!(unwrap(&mut invalid).unwrap_err().code, "InvalidDigest");
    }
}
