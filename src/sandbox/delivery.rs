//! What one simulated service does at another: writing objects and log events, reading data.
//!
//! It goes through the other service's own handler, so that what it leaves is what a client's call would have
//! left. It is no client's call: it is not in the call log, and no fault or rate applies to it. Where the other
//! service is not simulated, the answer says so.

use bytes::Bytes;
use serde_json::{Value, json};

use super::call::{Call, text};
use super::error::{AwsError, not_implemented};
use super::{model, services};

impl Call<'_> {
    /// Performs an operation of another service in the caller's account and region.
    pub(crate) fn through(
        &mut self,
        service: &str,
        operation: &str,
        input: &Value,
        body: Bytes,
    ) -> Result<(Value, Bytes), AwsError> {
        let missing = || not_implemented(service, operation);
        let found = services::service(service).ok_or_else(missing)?;
        let handler = services::handler(found, operation).ok_or_else(missing)?;
        let model = model::model(service).ok_or_else(missing)?;
        let operation = model.operations.get(operation).ok_or_else(missing)?;
        let mut inner = Call {
            service: found,
            model,
            operation,
            account: self.account.clone(),
            region: self.region.clone(),
            principal: self.principal.clone(),
            user_id: self.user_id.clone(),
            access_key: self.access_key.clone(),
            request_id: self.request_id.clone(),
            body,
            headers: http::HeaderMap::new(),
            reply_body: None,
            reply_status: None,
            reply_headers: Vec::new(),
            touched: Vec::new(),
            now: self.now,
            world: &mut *self.world,
        };
        let answer = handler(&mut inner, input)?;
        let bytes = inner.reply_body.take().unwrap_or_default();
        let touched = std::mem::take(&mut inner.touched);
        self.touched.extend(touched);
        Ok((answer, bytes))
    }

    /// Writes an object to S3.
    pub(crate) fn put_object(&mut self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), AwsError> {
        let input = json!({"Bucket": bucket, "Key": key, "ContentLength": body.len()});
        self.through("s3", "PutObject", &input, body.into()).map(|_| ())
    }

    /// Reads an object from S3.
    pub(crate) fn get_object(&mut self, bucket: &str, key: &str) -> Result<Bytes, AwsError> {
        let input = json!({"Bucket": bucket, "Key": key});
        self.through("s3", "GetObject", &input, Bytes::new()).map(|(_, body)| body)
    }

    /// Lists the keys of a bucket that begin with a prefix; at most one page of them.
    pub(crate) fn object_keys(&mut self, bucket: &str, prefix: &str) -> Result<Vec<String>, AwsError> {
        let input = json!({"Bucket": bucket, "Prefix": prefix});
        let (answer, _) = self.through("s3", "ListObjectsV2", &input, Bytes::new())?;
        let rows = answer["Contents"].as_array().into_iter().flatten();
        Ok(rows.map(|row| text(row, "Key").to_owned()).collect())
    }

    /// Writes log events (seconds and message), making the stream, and where wanted the group, first.
    pub(crate) fn put_log_events(
        &mut self,
        group: &str,
        stream: &str,
        make_group: bool,
        events: &[(f64, String)],
    ) -> Result<(), AwsError> {
        let already = |result: Result<_, AwsError>| match result {
            Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
            _ => Ok(()),
        };
        if make_group {
            already(self.through("logs", "CreateLogGroup", &json!({"logGroupName": group}), Bytes::new()))?;
        }
        let names = json!({"logGroupName": group, "logStreamName": stream});
        already(self.through("logs", "CreateLogStream", &names, Bytes::new()))?;
        let rows = events.iter().map(|(at, message)| {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch fit")]
            let millis = (at * 1000.0).round() as i64;
            json!({"timestamp": millis, "message": message})
        });
        let mut input = names;
        input["logEvents"] = rows.collect();
        self.through("logs", "PutLogEvents", &input, Bytes::new()).map(|_| ())
    }
}

/// Takes an S3 URI apart into bucket and key or prefix.
pub(crate) fn s3_uri(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// Wraps bytes as gzip, stored without compression.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    const BLOCK_MAX: usize = 0xffff;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = bytes.chunks(BLOCK_MAX).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or_default();
    out.extend(length.to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Makes a tar archive of one file, compressed as gzip is.
pub(crate) fn tar_gz(name: &str, content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.len().min(100)]);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = header.to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    gzip(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_lengths_are_right() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let made = gzip(b"abc");
        assert_eq!(made[10..15], [1, 3, 0, 0xfc, 0xff]);
        assert_eq!(made[made.len() - 4..], [3, 0, 0, 0]);
        assert_eq!(gzip(&vec![7; 70_000]).len(), 10 + 2 * 5 + 70_000 + 8);
    }

    #[test]
    fn uris_come_apart() {
        assert_eq!(s3_uri("s3://b/a/c"), Some(("b", "a/c")));
        assert_eq!(s3_uri("s3://b"), Some(("b", "")));
        assert_eq!(s3_uri("https://b"), None);
    }
}
