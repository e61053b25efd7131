//! Objects: written, read, and asked about.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::{Bucket, access, bucket, conditions, encryption, fault, invalid, lock, versions};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::chunked;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations =
    &[("GetObject", get_object), ("HeadObject", head_object), ("PutObject", put_object)];

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// The most user-defined metadata, in bytes of keys and values.
const METADATA_BYTES_MAX: usize = 2048;

/// Members that an object has from its request and gives back as they were.
pub(super) const DESCRIBING: [&str; 8] = [
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "WebsiteRedirectLocation",
];

/// Members of a version that every answer about it has.
const ENCRYPTION: [&str; 5] =
    ["ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "SSECustomerAlgorithm", "SSECustomerKeyMD5"];

/// Checksum members with their algorithms.
pub(super) const CHECKSUMS: [(&str, &str); 5] = [
    ("ChecksumCRC32", "crc32"),
    ("ChecksumCRC32C", "crc32c"),
    ("ChecksumCRC64NVME", "crc64nvme"),
    ("ChecksumSHA1", "sha1"),
    ("ChecksumSHA256", "sha256"),
];

/// Refuses keys, metadata and classes that S3 refuses.
pub(super) fn check_key(key: &str) -> Result<(), AwsError> {
    if key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    Err(fault("KeyTooLongError", 400, "Your key is too long")
        .with("Size", key.len().to_string())
        .with("MaxSizeAllowed", KEY_BYTES_MAX.to_string()))
}

/// Reads what describes a new object out of its request.
pub(super) fn description(input: &Value) -> Result<Map<String, Value>, AwsError> {
    let size: usize = input["Metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > METADATA_BYTES_MAX {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(fault("MetadataTooLarge", 400, message));
    }
    let mut out: Map<String, Value> =
        DESCRIBING.iter().filter_map(|name| Some(((*name).to_owned(), input.get(*name)?.clone()))).collect();
    out.entry("ContentType").or_insert_with(|| json!("binary/octet-stream"));
    let class = optional(input, "StorageClass").unwrap_or("STANDARD");
    if class != "STANDARD" {
        out.insert("StorageClass".to_owned(), json!(class));
    }
    if let Some(acl) = optional(input, "ACL") {
        out.insert("_acl".to_owned(), json!(acl));
    }
    out.insert("_tags".to_owned(), header_tags(optional(input, "Tagging"))?);
    Ok(out)
}

/// Reads tags in the form of a query string.
fn header_tags(header: Option<&str>) -> Result<Value, AwsError> {
    let pairs = url::form_urlencoded::parse(header.unwrap_or_default().as_bytes());
    let list: Value = pairs.map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>().into();
    object_tags(&list)
}

/// Checks an object's tags.
pub(super) fn object_tags(list: &Value) -> Result<Value, AwsError> {
    let tags = tags::requested(Some(list)).map_err(|error| fault("InvalidTag", 400, &error.message()))?;
    if tags.len() > 10 {
        return Err(fault("BadRequest", 400, "Object tags cannot be greater than 10"));
    }
    Ok(tags::list(&tags, "Key", "Value"))
}

/// Works out the checksums to keep: what the client sent, already verified, or CRC64NVME as S3 adds by itself.
fn checksums(input: &Value, body: &[u8]) -> Map<String, Value> {
    let given = CHECKSUMS.iter().filter_map(|(name, _)| Some(((*name).to_owned(), input.get(*name)?.clone())));
    let mut out: Map<String, Value> = given.collect();
    if out.is_empty() {
        let algorithm = optional(input, "ChecksumAlgorithm").unwrap_or("CRC64NVME").to_ascii_lowercase();
        let member = CHECKSUMS.iter().find(|(_, name)| *name == algorithm);
        if let Some((member, sum)) = member.and_then(|(name, _)| Some((name, chunked::checksum(&algorithm, body)?))) {
            out.insert((*member).to_owned(), json!(sum));
        }
    }
    out.insert("ChecksumType".to_owned(), json!("FULL_OBJECT"));
    out
}

/// Makes an entity tag: the MD5 of plain bytes; where KMS or the client encrypts, something else of that form.
pub(super) fn entity_tag(call: &mut Call<'_>, body: &[u8], encryption: &Map<String, Value>) -> String {
    let plain = encryption.get("ServerSideEncryption").is_some_and(|algorithm| algorithm == "AES256");
    let digest = if plain { hex::encode(Md5::digest(body)) } else { hex::encode(&call.entropy()[..16]) };
    format!("\"{digest}\"")
}

fn put_object(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let key = text(input, "Key").to_owned();
    check_key(&key)?;
    access::check_acl(&found, input)?;
    if input.get("WriteOffsetBytes").is_some() {
        let message = "A header you provided implies functionality that is not implemented";
        return Err(fault("NotImplemented", 501, message));
    }
    let mut version = description(input)?;
    let encryption = encryption::of_new(call, &found, input)?;
    version.extend(lock::of_new(call, &found, input)?);
    conditions::write(versions::current(call, &found, &key).as_ref(), input, &key)?;
    let body = call.body.clone();
    let tag = entity_tag(call, &body, &encryption);
    version.extend(encryption);
    version.extend(checksums(input, &body));
    version.insert("ETag".to_owned(), json!(tag));
    version.insert("ContentLength".to_owned(), json!(body.len()));
    version.insert("_blob".to_owned(), json!(call.put_blob(body)?));
    let version = versions::put(call, &found, &key, Value::Object(version));
    Ok(written(&found, &version))
}

/// Makes the answer to a write.
pub(super) fn written(bucket: &Bucket, version: &Value) -> Value {
    let mut out = json!({"ETag": version["ETag"], "VersionId": versions::shown(bucket, version)});
    let sums = CHECKSUMS.iter().map(|(name, _)| *name).chain(["ChecksumType"]);
    for name in sums.chain(ENCRYPTION).chain(["SSEKMSEncryptionContext"]) {
        if let Some(value) = version.get(name) {
            out[name] = value.clone();
        }
    }
    out
}

/// What part of an object a read asks for.
struct Slice {
    first: usize,
    length: usize,
    size: usize,
    partial: bool,
    parts: Option<usize>,
}

fn slice(version: &Value, input: &Value) -> Result<Slice, AwsError> {
    let size = usize::try_from(version["ContentLength"].as_u64().unwrap_or_default()).unwrap_or_default();
    let whole = Slice { first: 0, length: size, size, partial: false, parts: None };
    if let Some(number) = input["PartNumber"].as_u64() {
        if input.get("Range").is_some() {
            return Err(fault(
                "InvalidRequest",
                400,
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        let sizes: Vec<usize> = match version["_parts"].as_array() {
            Some(parts) => parts.iter().filter_map(|part| part["Size"].as_u64()?.try_into().ok()).collect(),
            None => vec![size],
        };
        let index = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        let Some(length) = sizes.get(index) else {
            let message = "The requested partnumber is not satisfiable";
            return Err(fault("InvalidPartNumber", 416, message));
        };
        let parts = version.get("_parts").map(|_| sizes.len());
        return Ok(Slice { first: sizes[..index].iter().sum(), length: *length, partial: true, parts, ..whole });
    }
    match conditions::range(optional(input, "Range"), size)? {
        Some((first, length)) => Ok(Slice { first, length, partial: true, ..whole }),
        None => Ok(whole),
    }
}

/// Makes the members of an answer that shows an object.
fn shown(bucket: &Bucket, version: &Value, input: &Value, slice: &Slice) -> Value {
    let mut out = version.clone();
    let whole = !slice.partial || slice.parts == Some(1);
    let asked = optional(input, "ChecksumMode") == Some("ENABLED");
    if let Some(members) = out.as_object_mut().filter(|_| !asked || !whole) {
        members.retain(|name, _| !name.starts_with("Checksum"));
    }
    out["VersionId"] = versions::shown(bucket, version);
    out["ContentLength"] = json!(slice.length);
    out["AcceptRanges"] = json!("bytes");
    let tags = version["_tags"].as_array().map_or(0, Vec::len);
    if tags > 0 {
        out["TagCount"] = json!(tags);
    }
    if slice.partial && slice.length > 0 {
        out["ContentRange"] = conditions::content_range(slice.first, slice.length, slice.size);
    }
    if let Some(parts) = slice.parts {
        out["PartsCount"] = json!(parts);
    }
    for name in DESCRIBING {
        if let Some(value) = input.get(format!("Response{name}")) {
            out[name] = value.clone();
        }
    }
    out
}

fn read(call: &mut Call<'_>, input: &Value) -> Result<(Value, Slice, Value), AwsError> {
    let found = bucket(call, input)?;
    let (_, version) = versions::asked(call, &found, input)?;
    encryption::check_read(call, &version, input)?;
    conditions::read(&version, input, "")?;
    let slice = slice(&version, input)?;
    if slice.partial {
        call.reply_status = Some(206);
    }
    let out = shown(&found, &version, input, &slice);
    Ok((out, slice, version))
}

fn head_object(call: &mut Call<'_>, input: &Value) -> Answer {
    read(call, input).map(|(out, _, _)| out)
}

fn get_object(call: &mut Call<'_>, input: &Value) -> Answer {
    let (out, slice, version) = read(call, input)?;
    call.reply_body = Some(bytes_of(call, &version)?.slice(slice.first..slice.first + slice.length));
    Ok(out)
}

/// Returns the bytes of a version.
pub(super) fn bytes_of(call: &Call<'_>, version: &Value) -> Result<Bytes, AwsError> {
    let missing = || fault("InternalError", 500, "the sandbox lost the bytes of this object");
    call.blob(text(version, "_blob")).ok_or_else(missing)
}

/// Checks the checksum that a client gave for a whole, against its bytes.
pub(super) fn verify_whole(input: &Value, body: &[u8]) -> Result<(), AwsError> {
    for (name, algorithm) in CHECKSUMS {
        let Some(given) = optional(input, name) else { continue };
        if STANDARD.decode(given).is_err() {
            return Err(invalid(&format!("Value for x-amz-checksum-{algorithm} header is invalid.")));
        }
        if chunked::checksum(algorithm, body).as_deref() != Some(given) {
            let name = algorithm.to_ascii_uppercase();
            let message = format!("The {name} you specified did not match the calculated checksum.");
            return Err(fault("BadDigest", 400, &message));
        }
    }
    Ok(())
}
