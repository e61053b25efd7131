//! The versions of an object: put, found, deleted, by the bucket's versioning.
//!
//! An object is one entry per key with its versions, the newest first. A version holds the members of its
//! answers; `_version` is its id (`null` without versioning), `_marker` makes it a delete marker, `_blob` names
//! its bytes.

use serde_json::{Value, json};

use super::{Bucket, OBJECTS, fault};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::ids;

/// The id of a version made without versioning.
const NULL: &str = "null";

/// Returns all versions of a key, the newest first.
pub(super) fn all(call: &Call<'_>, bucket: &Bucket, key: &str) -> Vec<Value> {
    let found = call.get_at(&bucket.contents(), OBJECTS, key);
    found.and_then(|object| object["Versions"].as_array().cloned()).unwrap_or_default()
}

/// Returns the current version of a key, unless there is none or it is deleted.
pub(super) fn current(call: &Call<'_>, bucket: &Bucket, key: &str) -> Option<Value> {
    all(call, bucket, key).into_iter().next().filter(|version| version["_marker"] != true)
}

pub(super) fn no_such_key(key: &str) -> AwsError {
    fault("NoSuchKey", 404, "The specified key does not exist.").with("Key", key)
}

/// Finds the version that a request names, or the current one; delete markers are refused.
pub(super) fn asked(call: &Call<'_>, bucket: &Bucket, input: &Value) -> Result<(String, Value), AwsError> {
    let key = text(input, "Key");
    find(call, bucket, key, optional(input, "VersionId")).map(|version| (key.to_owned(), version))
}

/// Finds a version by its id, or the current one.
pub(super) fn find(call: &Call<'_>, bucket: &Bucket, key: &str, id: Option<&str>) -> Result<Value, AwsError> {
    let Some(id) = id else { return current(call, bucket, key).ok_or_else(|| no_such_key(key)) };
    let found = all(call, bucket, key).into_iter().find(|version| version["_version"] == id);
    match found {
        Some(version) if version["_marker"] == true => {
            let message = "The specified method is not allowed against this resource.";
            Err(fault("MethodNotAllowed", 405, message).with("Method", "GET").with("ResourceType", "DeleteMarker"))
        }
        Some(version) => Ok(version),
        None => {
            let message = "The specified version does not exist.";
            Err(fault("NoSuchVersion", 404, message).with("Key", key).with("VersionId", id))
        }
    }
}

/// Returns the version id as answers show it: none in a bucket that never had versioning.
pub(super) fn shown(bucket: &Bucket, version: &Value) -> Value {
    if bucket.versioning().is_empty() { Value::Null } else { version["_version"].clone() }
}

/// Adds a version on top, in place of the one that versioning would not keep; returns it.
pub(super) fn put(call: &mut Call<'_>, bucket: &Bucket, key: &str, mut version: Value) -> Value {
    let mut kept = all(call, bucket, key);
    let id = if bucket.versioning() == "Enabled" {
        let bytes = call.entropy();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
        ids::letters(&bytes, alphabet, 32)
    } else {
        kept.retain(|old| old["_version"] != NULL);
        NULL.to_owned()
    };
    version["_version"] = json!(id);
    version["LastModified"] = call.timestamp();
    kept.insert(0, version.clone());
    store(call, bucket, key, kept);
    version
}

/// Writes a key's versions; without any, the key is gone.
pub(super) fn store(call: &mut Call<'_>, bucket: &Bucket, key: &str, versions: Vec<Value>) {
    let contents = bucket.contents();
    if versions.is_empty() {
        call.remove_at(&contents, OBJECTS, key);
    } else {
        call.put_at(&contents, OBJECTS, key, json!({"Versions": versions}));
    }
}

/// Changes one version in place.
pub(super) fn change(call: &mut Call<'_>, bucket: &Bucket, key: &str, id: &Value, change: impl FnOnce(&mut Value)) {
    let mut versions = all(call, bucket, key);
    if let Some(version) = versions.iter_mut().find(|version| version["_version"] == *id) {
        change(version);
    }
    store(call, bucket, key, versions);
}
