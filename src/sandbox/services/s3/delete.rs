//! Deletes of objects, one and many, by the rules of versioning.

use serde_json::{Value, json};

use super::{Bucket, bucket, conditions, lock, malformed_xml, refused, versions};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::enforce;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("DeleteObject", delete_object), ("DeleteObjects", delete_objects)];

/// Objects that one request may delete.
const OBJECTS_MAX: usize = 1000;

/// What a delete did.
struct Deleted {
    /// The version that is gone, or the delete marker that was made.
    version: Value,
    /// Whether it is about a delete marker.
    marker: bool,
}

fn delete(
    call: &mut Call<'_>,
    bucket: &Bucket,
    key: &str,
    id: Option<&str>,
    bypass: bool,
) -> Result<Deleted, AwsError> {
    let mut all = versions::all(call, bucket, key);
    if let Some(id) = id {
        let Some(at) = all.iter().position(|version| version["_version"] == id) else {
            return Ok(Deleted { version: json!(id), marker: false });
        };
        lock::check_delete(call, &all[at], bypass)?;
        let gone = all.remove(at);
        versions::store(call, bucket, key, all);
        return Ok(Deleted { version: json!(id), marker: gone["_marker"] == true });
    }
    if bucket.versioning().is_empty() {
        if let Some(version) = all.first() {
            lock::check_delete(call, version, bypass)?;
        }
        versions::store(call, bucket, key, Vec::new());
        return Ok(Deleted { version: Value::Null, marker: false });
    }
    let marker = versions::put(call, bucket, key, json!({"_marker": true}));
    Ok(Deleted { version: marker["_version"].clone(), marker: true })
}

/// Checks the condition of a delete; one on an object that is not there fails too.
fn check_condition(call: &Call<'_>, bucket: &Bucket, key: &str, wanted: Option<&str>) -> Result<(), AwsError> {
    let condition = json!({"IfMatch": wanted});
    conditions::write(versions::current(call, bucket, key).as_ref(), &condition, key)
}

fn delete_object(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let key = text(input, "Key").to_owned();
    check_condition(call, &found, &key, optional(input, "IfMatch"))?;
    let bypass = input["BypassGovernanceRetention"] == true;
    let deleted = delete(call, &found, &key, optional(input, "VersionId"), bypass)?;
    Ok(json!({"VersionId": deleted.version, "DeleteMarker": deleted.marker.then_some(true)}))
}

fn delete_objects(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let checked = call.headers.keys().any(|name| {
        name == "content-md5" || (name.as_str().starts_with("x-amz-checksum-") && name != "x-amz-checksum-algorithm")
    });
    if !checked {
        let message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        return Err(refused(message));
    }
    let objects = input["Delete"]["Objects"].as_array().cloned().unwrap_or_default();
    if objects.is_empty() || objects.len() > OBJECTS_MAX {
        return Err(malformed_xml());
    }
    let quiet = input["Delete"]["Quiet"] == true;
    let bypass = input["BypassGovernanceRetention"] == true;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for object in &objects {
        let (key, id) = (text(object, "Key"), optional(object, "VersionId"));
        let action = if id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        let arn = format!("{}/{key}", text(&found.value, "BucketArn"));
        let result = enforce::check_one(call, input, action, &arn)
            .and_then(|()| check_condition(call, &found, key, optional(object, "ETag")))
            .and_then(|()| delete(call, &found, key, id, bypass));
        match result {
            Ok(deleted) => {
                let mut one = json!({"Key": key});
                if let Some(id) = id {
                    one["VersionId"] = json!(id);
                }
                if deleted.marker {
                    one["DeleteMarker"] = json!(true);
                    one["DeleteMarkerVersionId"] = deleted.version;
                }
                done.push(one);
            }
            Err(error) => failed.push(json!({
                "Key": key, "VersionId": id, "Code": error.code, "Message": error.message,
            })),
        }
    }
    Ok(json!({
        "Deleted": (!quiet && !done.is_empty()).then_some(done),
        "Errors": (!failed.is_empty()).then_some(failed),
    }))
}
