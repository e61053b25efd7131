//! Copies of objects.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::object::{CHECKSUMS, DESCRIBING};
use super::{Bucket, access, bucket, conditions, encryption, invalid, lock, named, object, refused, versions};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::chunked;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("CopyObject", copy_object)];

/// What a copy is made from.
pub(super) struct Source {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    pub(super) version: Value,
}

/// Finds the source of a copy and checks that it may be read under the request's conditions.
pub(super) fn source(call: &Call<'_>, input: &Value) -> Result<Source, AwsError> {
    let given = text(input, "CopySource");
    let (path, id) = match given.split_once("?versionId=") {
        Some((path, id)) => (path, Some(id)),
        None => (given, None),
    };
    let wrong = || invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
    let (name, key) = decoded.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
    if key.is_empty() {
        return Err(wrong());
    }
    let bucket = named(call, name, optional(input, "ExpectedSourceBucketOwner"))?;
    let version = versions::find(call, &bucket, key, id)?;
    let keys = json!({
        "SSECustomerAlgorithm": input.get("CopySourceSSECustomerAlgorithm"),
        "SSECustomerKey": input.get("CopySourceSSECustomerKey"),
        "SSECustomerKeyMD5": input.get("CopySourceSSECustomerKeyMD5"),
    });
    encryption::check_read(call, &version, &keys)?;
    conditions::read(&version, input, "CopySource")?;
    let key = key.to_owned();
    Ok(Source { bucket, key, version })
}

fn copy_object(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let key = text(input, "Key").to_owned();
    object::check_key(&key)?;
    access::check_acl(&found, input)?;
    let source = source(call, input)?;
    let replace = optional(input, "MetadataDirective") == Some("REPLACE");
    let changes = ["StorageClass", "ServerSideEncryption", "SSECustomerAlgorithm", "WebsiteRedirectLocation"];
    let same = source.bucket.name == found.name && source.key == key && !text(input, "CopySource").contains('?');
    if same && !replace && !changes.iter().any(|name| input.get(*name).is_some()) {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing \
                       the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(refused(message));
    }
    let mut version = describe(&source, input, replace)?;
    let encryption = encryption::of_new(call, &found, input)?;
    version.extend(lock::of_new(call, &found, input)?);
    conditions::write(versions::current(call, &found, &key).as_ref(), input, &key)?;
    let body = object::bytes_of(call, &source.version)?;
    let tag = object::entity_tag(call, &body, &encryption);
    version.extend(encryption);
    version.extend(checksums(&source.version, input, &body));
    version.insert("ETag".to_owned(), json!(tag));
    version.insert("ContentLength".to_owned(), json!(body.len()));
    version.insert("_blob".to_owned(), source.version["_blob"].clone());
    let version = versions::put(call, &found, &key, Value::Object(version));
    let mut out = object::written(&found, &version);
    let mut result = json!({"ETag": version["ETag"], "LastModified": version["LastModified"]});
    for name in CHECKSUMS.iter().map(|(name, _)| *name).chain(["ChecksumType"]) {
        if let Some(value) = version.get(name) {
            result[name] = value.clone();
        }
    }
    out["CopyObjectResult"] = result;
    out["CopySourceVersionId"] = versions::shown(&source.bucket, &source.version);
    Ok(out)
}

fn describe(source: &Source, input: &Value, replace: bool) -> Result<Map<String, Value>, AwsError> {
    let given = object::description(input)?;
    let mut out = if replace {
        given.clone()
    } else {
        let kept = DESCRIBING.iter().filter(|name| **name != "WebsiteRedirectLocation");
        let kept = kept.filter_map(|name| Some(((*name).to_owned(), source.version.get(*name)?.clone())));
        let own = given
            .iter()
            .filter(|(name, _)| ["StorageClass", "_acl", "WebsiteRedirectLocation"].contains(&name.as_str()));
        kept.chain(own.map(|(name, value)| (name.clone(), value.clone()))).collect()
    };
    let tags =
        if optional(input, "TaggingDirective") == Some("REPLACE") { &given["_tags"] } else { &source.version["_tags"] };
    out.insert("_tags".to_owned(), tags.clone());
    Ok(out)
}

/// A copy keeps the source's algorithm unless another is asked for; it is of the whole object even where the source had parts.
fn checksums(source: &Value, input: &Value, body: &[u8]) -> Map<String, Value> {
    let asked = optional(input, "ChecksumAlgorithm").map(str::to_ascii_lowercase);
    let of_source =
        CHECKSUMS.iter().find(|(name, _)| source.get(*name).is_some()).map(|(_, algorithm)| (*algorithm).to_owned());
    let algorithm = asked.or(of_source).unwrap_or_else(|| "crc64nvme".to_owned());
    let member = CHECKSUMS.iter().find(|(_, name)| *name == algorithm);
    let mut out = Map::new();
    if let Some((name, sum)) = member.and_then(|(name, _)| Some((name, chunked::checksum(&algorithm, body)?))) {
        out.insert((*name).to_owned(), json!(sum));
        out.insert("ChecksumType".to_owned(), json!("FULL_OBJECT"));
    }
    out
}
