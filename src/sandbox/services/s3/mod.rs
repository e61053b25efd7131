//! S3: buckets with their settings, objects with versions, and multipart uploads.
//!
//! Bucket names are shared by all accounts; a bucket lives in one region and is refused in others. Objects of a
//! bucket have a shelf of their own. Other accounts are always refused: bucket policies are checked for form
//! and openness, not evaluated for requests. Lifecycle, replication and tiering rules are kept, and nothing expires,
//! is copied or moves by them.

mod access;
mod attributes;
mod bucket;
mod conditions;
mod copy;
mod delete;
mod encryption;
mod lifecycle;
mod list;
mod lock;
mod multipart;
mod object;
mod replication;
mod settings;
mod tiering;
mod versions;

use serde_json::Value;

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::store::Place;

pub(super) const OPERATIONS: &[Operations] = &[
    access::OPERATIONS,
    attributes::OPERATIONS,
    bucket::OPERATIONS,
    copy::OPERATIONS,
    delete::OPERATIONS,
    encryption::OPERATIONS,
    lifecycle::OPERATIONS,
    list::OPERATIONS,
    lock::OPERATIONS,
    multipart::OPERATIONS,
    object::OPERATIONS,
    replication::OPERATIONS,
    settings::OPERATIONS,
    tiering::OPERATIONS,
];

/// The collection of buckets, by name.
pub(super) const BUCKETS: &str = "buckets";
/// The collection of a bucket's objects, by key.
const OBJECTS: &str = "objects";
/// The collection of a bucket's unfinished uploads, by upload id.
const UPLOADS: &str = "uploads";

/// A bucket of the caller.
struct Bucket {
    name: String,
    place: Place,
    value: Value,
}

impl Bucket {
    /// Returns the shelf of its objects.
    fn contents(&self) -> Place {
        Place { service: format!("s3.{}", self.name), ..self.place.clone() }
    }

    /// Tells its versioning: `Enabled`, `Suspended`, or nothing.
    fn versioning(&self) -> &str {
        text(&self.value, "_versioning")
    }
}

/// Makes an error with S3's status.
fn fault(code: &str, status: u16, message: &str) -> AwsError {
    AwsError::new(code, message).status(status)
}

fn denied() -> AwsError {
    fault("AccessDenied", 403, "Access Denied")
}

fn malformed_xml() -> AwsError {
    let message = "The XML you provided was not well-formed or did not validate against our published schema";
    fault("MalformedXML", 400, message)
}

fn invalid(message: &str) -> AwsError {
    fault("InvalidArgument", 400, message)
}

fn refused(message: &str) -> AwsError {
    fault("InvalidRequest", 400, message)
}

/// Says that a bucket has no such setting.
fn missing(found: &Bucket, code: &str, message: &str) -> AwsError {
    fault(code, 404, message).with("BucketName", found.name.as_str())
}

/// Finds the bucket that a request names; refuses other accounts' and other regions'.
fn bucket(call: &Call<'_>, input: &Value) -> Result<Bucket, AwsError> {
    named(call, text(input, "Bucket"), input.get("ExpectedBucketOwner").and_then(Value::as_str))
}

fn named(call: &Call<'_>, name: &str, owner: Option<&str>) -> Result<Bucket, AwsError> {
    let Some((place, value)) = call.anywhere("s3", BUCKETS, name) else {
        let message = "The specified bucket does not exist";
        return Err(fault("NoSuchBucket", 404, message).with("BucketName", name));
    };
    if place.account != call.account || owner.is_some_and(|owner| owner != place.account) {
        return Err(denied());
    }
    if place.region != call.region {
        let message = format!(
            "The authorization header is malformed; the region '{}' is wrong; expecting '{}'",
            call.region, place.region
        );
        return Err(fault("AuthorizationHeaderMalformed", 400, &message).with("Region", place.region.as_str()));
    }
    Ok(Bucket { name: name.to_owned(), place, value })
}

/// Changes a bucket's settings.
fn change(call: &mut Call<'_>, bucket: &Bucket, change: impl FnOnce(&mut Value)) {
    call.change(BUCKETS, &bucket.name, change);
}

/// Returns the owner as S3 shows it: an id made of the account.
fn owner(account: &str) -> Value {
    use sha2::{Digest, Sha256};
    serde_json::json!({"ID": hex::encode(Sha256::digest(format!("canonical user of {account}")))})
}
