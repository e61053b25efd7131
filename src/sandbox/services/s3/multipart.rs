//! Multipart uploads: started, filled, completed, dropped, listed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::object::{CHECKSUMS, bytes_of, check_key, description, verify_whole, written};
use super::{
    Bucket, UPLOADS, access, bucket, conditions, copy, encryption, fault, invalid, lock, malformed_xml, owner, refused,
};
use super::{named, versions};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::chunked;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AbortMultipartUpload", abort_multipart_upload),
    ("CompleteMultipartUpload", complete_multipart_upload),
    ("CreateMultipartUpload", create_multipart_upload),
    ("ListMultipartUploads", list_multipart_uploads),
    ("ListParts", list_parts),
    ("UploadPart", upload_part),
    ("UploadPartCopy", upload_part_copy),
];

const PARTS_MAX: u64 = 10_000;
/// The smallest part besides the last, in bytes.
const PART_BYTES_MIN: usize = 5 << 20;

fn upload(call: &Call<'_>, input: &Value) -> Result<(Bucket, String, Value), AwsError> {
    let found = bucket(call, input)?;
    let id = text(input, "UploadId").to_owned();
    let upload = call.get_at(&found.contents(), UPLOADS, &id).filter(|upload| upload["Key"] == input["Key"]);
    match upload {
        Some(upload) => Ok((found, id, upload)),
        None => {
            let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                           aborted or completed.";
            Err(fault("NoSuchUpload", 404, message).with("UploadId", id))
        }
    }
}

fn create_multipart_upload(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let key = text(input, "Key").to_owned();
    check_key(&key)?;
    access::check_acl(&found, input)?;
    let mut made = description(input)?;
    made.extend(encryption::of_new(call, &found, input)?);
    made.extend(lock::of_new(call, &found, input)?);
    let algorithm = optional(input, "ChecksumAlgorithm");
    let kind = match (algorithm, optional(input, "ChecksumType")) {
        (Some("SHA1" | "SHA256"), Some("FULL_OBJECT")) | (Some("CRC64NVME"), Some("COMPOSITE")) => {
            let message = "The FULL_OBJECT checksum type cannot be used with this checksum algorithm.";
            return Err(refused(message));
        }
        (_, Some(kind)) => kind,
        (None | Some("CRC64NVME"), None) => "FULL_OBJECT",
        (Some(_), None) => "COMPOSITE",
    };
    let id = call.letters(crate::sandbox::ids::BASE36, 64);
    made.insert("Key".to_owned(), json!(key));
    made.insert("UploadId".to_owned(), json!(id));
    made.insert("Initiated".to_owned(), call.timestamp());
    made.insert("_algorithm".to_owned(), json!(algorithm));
    made.insert("_kind".to_owned(), json!(kind));
    made.insert("_uploaded".to_owned(), json!({}));
    let made = Value::Object(made);
    call.put_at(&found.contents(), UPLOADS, &id, made.clone());
    let mut out = written(&found, &made);
    out["Bucket"] = json!(found.name);
    out["Key"] = json!(key);
    out["UploadId"] = json!(id);
    out["ChecksumAlgorithm"] = json!(algorithm);
    out["ChecksumType"] = json!(algorithm.map(|_| kind));
    Ok(out)
}

/// Keeps a part, in place of one of the same number.
fn keep_part(call: &mut Call<'_>, found: &Bucket, input: &Value, mut upload: Value, body: Bytes) -> Answer {
    let number = input["PartNumber"].as_u64().unwrap_or_default();
    if !(1..=PARTS_MAX).contains(&number) {
        return Err(invalid("Part number must be an integer between 1 and 10000, inclusive"));
    }
    if upload["SSECustomerKeyMD5"] != input["SSECustomerKeyMD5"] {
        let message = "The multipart upload initiate requested encryption. Subsequent part requests must include the \
                       appropriate encryption parameters.";
        return Err(refused(message));
    }
    let mut part = Map::from_iter([
        ("PartNumber".to_owned(), json!(number)),
        ("ETag".to_owned(), json!(format!("\"{}\"", hex::encode(Md5::digest(&body))))),
        ("Size".to_owned(), json!(body.len())),
        ("LastModified".to_owned(), call.timestamp()),
    ]);
    let wanted = optional(&upload, "_algorithm").map(str::to_ascii_lowercase);
    for (name, algorithm) in CHECKSUMS {
        let asked = input.get(name).is_some() || wanted.as_deref() == Some(algorithm);
        if let Some(sum) = asked.then(|| chunked::checksum(algorithm, &body)).flatten() {
            part.insert(name.to_owned(), json!(sum));
        }
    }
    let mut out = written(found, &upload);
    let sums = part.iter().filter(|(name, _)| name.starts_with("Checksum") || *name == "ETag");
    for (name, value) in sums {
        out[name] = value.clone();
    }
    out["LastModified"] = part["LastModified"].clone();
    part.insert("_blob".to_owned(), json!(call.put_blob(body)?));
    upload["_uploaded"][format!("{number:05}")] = Value::Object(part);
    let id = text(&upload, "UploadId").to_owned();
    call.put_at(&found.contents(), UPLOADS, &id, upload);
    Ok(out)
}

fn upload_part(call: &mut Call<'_>, input: &Value) -> Answer {
    let (found, _, upload) = upload(call, input)?;
    let body = call.body.clone();
    keep_part(call, &found, input, upload, body)
}

fn upload_part_copy(call: &mut Call<'_>, input: &Value) -> Answer {
    let (found, _, upload) = upload(call, input)?;
    let source = copy::source(call, input)?;
    let body = bytes_of(call, &source.version)?;
    let body = match conditions::copy_range(optional(input, "CopySourceRange"), body.len())? {
        Some((first, length)) => body.slice(first..first + length),
        None => body,
    };
    let mut out = keep_part(call, &found, input, upload, body)?;
    out["CopyPartResult"] = out.clone();
    out["CopySourceVersionId"] = versions::shown(&source.bucket, &source.version);
    Ok(out)
}

/// Picks the parts that a completion lists, and checks that they are the ones that were uploaded.
fn picked(upload: &Value, input: &Value) -> Result<Vec<Value>, AwsError> {
    let listed = input["MultipartUpload"]["Parts"].as_array().cloned().unwrap_or_default();
    if listed.is_empty() {
        return Err(malformed_xml());
    }
    let mut out: Vec<Value> = Vec::new();
    for wanted in &listed {
        let number = wanted["PartNumber"].as_u64().unwrap_or_default();
        if out.last().and_then(|last| last["PartNumber"].as_u64()).is_some_and(|last| last >= number) {
            let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(fault("InvalidPartOrder", 400, message));
        }
        let wrong = || {
            let message = "One or more of the specified parts could not be found. The part may not have been uploaded, or \
                           the specified entity tag may not match the part's entity tag.";
            fault("InvalidPart", 400, message).with("PartNumber", number.to_string())
        };
        let part = upload["_uploaded"].get(format!("{number:05}")).ok_or_else(wrong)?;
        let same = text(part, "ETag").trim_matches('"') == text(wanted, "ETag").trim_matches('"');
        let sums =
            CHECKSUMS.iter().all(|(name, _)| wanted.get(*name).is_none_or(|given| part.get(*name) == Some(given)));
        if !same || !sums {
            return Err(wrong());
        }
        out.push(part.clone());
    }
    let small = |part: &&Value| part["Size"].as_u64().is_some_and(|size| size < PART_BYTES_MIN as u64);
    if let Some(part) = out[..out.len() - 1].iter().find(small) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(fault("EntityTooSmall", 400, message)
            .with("ProposedSize", part["Size"].to_string())
            .with("MinSizeAllowed", PART_BYTES_MIN.to_string())
            .with("PartNumber", part["PartNumber"].to_string()));
    }
    Ok(out)
}

/// Works out the checksum of the whole, from the bytes or from the parts' checksums.
fn whole_checksum(upload: &Value, input: &Value, parts: &[Value], body: &[u8]) -> Result<Map<String, Value>, AwsError> {
    let algorithm = optional(upload, "_algorithm").unwrap_or("CRC64NVME").to_ascii_lowercase();
    let Some((name, _)) = CHECKSUMS.iter().find(|(_, known)| *known == algorithm) else { return Ok(Map::new()) };
    let composite = text(upload, "_kind") == "COMPOSITE";
    let sum = if composite {
        let joined: Vec<u8> =
            parts.iter().flat_map(|part| STANDARD.decode(text(part, name)).unwrap_or_default()).collect();
        chunked::checksum(&algorithm, &joined).map(|sum| format!("{sum}-{}", parts.len()))
    } else {
        verify_whole(input, body)?;
        chunked::checksum(&algorithm, body)
    };
    if let (true, Some(given)) = (composite, optional(input, name)) {
        let given = if given.contains('-') { given.to_owned() } else { format!("{given}-{}", parts.len()) };
        if Some(&given) != sum.as_ref() {
            let message = "The checksum you specified did not match the calculated checksum.";
            return Err(fault("BadDigest", 400, message));
        }
    }
    let mut out = Map::from_iter([("ChecksumType".to_owned(), upload["_kind"].clone())]);
    out.insert((*name).to_owned(), json!(sum));
    Ok(out)
}

fn complete_multipart_upload(call: &mut Call<'_>, input: &Value) -> Answer {
    let (found, id, upload) = upload(call, input)?;
    let key = text(input, "Key").to_owned();
    let parts = picked(&upload, input)?;
    conditions::write(versions::current(call, &found, &key).as_ref(), input, &key)?;
    let mut body = BytesMut::new();
    let mut digests = Vec::new();
    for part in &parts {
        body.extend_from_slice(&bytes_of(call, part)?);
        digests.extend(hex::decode(text(part, "ETag").trim_matches('"')).unwrap_or_default());
    }
    let body = body.freeze();
    if input["MpuObjectSize"].as_u64().is_some_and(|size| size != body.len() as u64) {
        let message = "The provided 'x-amz-mp-object-size' header does not match what was computed.";
        return Err(refused(message));
    }
    let sums = whole_checksum(&upload, input, &parts, &body)?;
    let tag = format!("\"{}-{}\"", hex::encode(Md5::digest(&digests)), parts.len());
    let mut version: Map<String, Value> = upload.as_object().cloned().unwrap_or_default();
    for gone in ["Key", "UploadId", "Initiated", "_algorithm", "_kind", "_uploaded"] {
        version.shift_remove(gone);
    }
    version.extend(sums);
    version.insert("ETag".to_owned(), json!(tag));
    version.insert("ContentLength".to_owned(), json!(body.len()));
    version.insert("_parts".to_owned(), Value::Array(parts));
    version.insert("_blob".to_owned(), json!(call.put_blob(body)?));
    call.remove_at(&found.contents(), UPLOADS, &id);
    let version = versions::put(call, &found, &key, Value::Object(version));
    let mut out = written(&found, &version);
    out["Bucket"] = json!(found.name);
    out["Key"] = json!(key);
    out["Location"] = json!(format!("https://{}.s3.{}.amazonaws.com/{key}", found.name, found.place.region));
    Ok(out)
}

fn abort_multipart_upload(call: &mut Call<'_>, input: &Value) -> Answer {
    let (found, id, _) = upload(call, input)?;
    call.remove_at(&found.contents(), UPLOADS, &id);
    Ok(json!({}))
}

fn list_parts(call: &mut Call<'_>, input: &Value) -> Answer {
    let (found, id, upload) = upload(call, input)?;
    let after = match input.get("PartNumberMarker") {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    };
    let max = usize::try_from(input["MaxParts"].as_u64().unwrap_or(1000)).unwrap_or(1000).min(1000);
    let parts = upload["_uploaded"].as_object().cloned().unwrap_or_default();
    let mut parts: Vec<Value> = parts.into_iter().map(|(_, part)| part).collect();
    parts.retain(|part| part["PartNumber"].as_u64().is_some_and(|number| number > after));
    parts.sort_by_key(|part| part["PartNumber"].as_u64());
    let more = parts.len() > max;
    parts.truncate(max);
    let last = parts.last().map(|part| part["PartNumber"].to_string());
    Ok(json!({
        "Bucket": found.name,
        "Key": input["Key"],
        "UploadId": id,
        "PartNumberMarker": after.to_string(),
        "NextPartNumberMarker": last,
        "MaxParts": max,
        "IsTruncated": more,
        "Parts": (!parts.is_empty()).then_some(parts),
        "Owner": owner(&call.account),
        "Initiator": {"ID": call.principal},
        "StorageClass": optional(&upload, "StorageClass").unwrap_or("STANDARD"),
        "ChecksumAlgorithm": upload["_algorithm"],
        "ChecksumType": upload["_kind"],
    }))
}

fn list_multipart_uploads(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = named(call, text(input, "Bucket"), optional(input, "ExpectedBucketOwner"))?;
    let prefix = text(input, "Prefix");
    let (key_marker, id_marker) = (text(input, "KeyMarker"), text(input, "UploadIdMarker"));
    let max = usize::try_from(input["MaxUploads"].as_u64().unwrap_or(1000)).unwrap_or(1000).min(1000);
    let mut uploads: Vec<Value> = call.list_at(&found.contents(), UPLOADS).into_iter().map(|(_, it)| it).collect();
    uploads.retain(|upload| text(upload, "Key").starts_with(prefix));
    let place = |upload: &Value| (text(upload, "Key").to_owned(), text(upload, "UploadId").to_owned());
    uploads.sort_by_key(place);
    if !key_marker.is_empty() {
        uploads.retain(|upload| {
            let (key, id) = place(upload);
            key.as_str() > key_marker || (key == key_marker && !id_marker.is_empty() && id.as_str() > id_marker)
        });
    }
    let more = uploads.len() > max;
    uploads.truncate(max);
    let last = uploads.last().map(place).filter(|_| more);
    let uploads: Vec<Value> = uploads
        .iter()
        .map(|upload| {
            json!({
                "Key": upload["Key"],
                "UploadId": upload["UploadId"],
                "Initiated": upload["Initiated"],
                "StorageClass": optional(upload, "StorageClass").unwrap_or("STANDARD"),
                "Owner": owner(&call.account),
                "Initiator": {"ID": call.principal},
                "ChecksumAlgorithm": upload["_algorithm"],
                "ChecksumType": upload["_kind"],
            })
        })
        .collect();
    Ok(json!({
        "Bucket": found.name,
        "Prefix": prefix,
        "KeyMarker": key_marker,
        "UploadIdMarker": id_marker,
        "MaxUploads": max,
        "IsTruncated": more,
        "NextKeyMarker": last.as_ref().map(|(key, _)| key),
        "NextUploadIdMarker": last.as_ref().map(|(_, id)| id),
        "Uploads": (!uploads.is_empty()).then_some(uploads),
    }))
}
