//! Looks whether a bucket is empty, and empties it: unfinished uploads, then all versions and delete markers in pages.
//!
//! Emptied only where the loss of data is allowed. Stops at the first object that S3 won't delete.

use aws_sdk_s3::types as s3;

use crate::aws::{Aws, AwsError, ErrorClass};
use crate::kind::Holding;

/// Emptying gives up after this many pages of a thousand objects, so that it ends where others keep writing.
const PAGES_MAX: usize = 100_000;

/// Tells whether a bucket has anything that S3 would not delete it with: an object, an older version, a delete marker.
pub(super) async fn holds(aws: &Aws, bucket: &str) -> Result<Holding, AwsError> {
    let page = aws.s3().list_object_versions().bucket(bucket).max_keys(100).send().await?;
    Ok(match (page.versions().first(), page.delete_markers().first()) {
        (Some(version), _) => Holding::Data(format!("its objects, such as `{}`", version.key().unwrap_or_default())),
        (None, Some(_)) => Holding::Data("its delete markers".to_owned()),
        (None, None) => Holding::Nothing,
    })
}

/// Deletes everything in a bucket.
pub(super) async fn empty(aws: &Aws, bucket: &str) -> Result<(), AwsError> {
    abort_uploads(aws, bucket).await?;
    for _ in 0..PAGES_MAX {
        // Always the first page: what it showed is gone when it is asked for again.
        let page = aws.s3().list_object_versions().bucket(bucket).max_keys(1000).send().await?;
        let versions = page.versions().iter().map(|version| (version.key.clone(), version.version_id.clone()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key.clone(), marker.version_id.clone()));
        let objects: Vec<_> = versions.chain(markers).filter_map(|(key, version)| object(key?, version)).collect();
        if objects.is_empty() {
            return Ok(());
        }
        delete_page(aws, bucket, objects).await?;
    }
    let message = format!("bucket `{bucket}` still has objects after {PAGES_MAX} pages; something keeps writing to it");
    Err(AwsError::own("s3:DeleteObjects", ErrorClass::InUse, "BucketNotEmpty", message))
}

async fn abort_uploads(aws: &Aws, bucket: &str) -> Result<(), AwsError> {
    for _ in 0..PAGES_MAX {
        let page = aws.s3().list_multipart_uploads().bucket(bucket).send().await?;
        if page.uploads().is_empty() {
            return Ok(());
        }
        for upload in page.uploads() {
            let call = aws.s3().abort_multipart_upload().bucket(bucket).set_key(upload.key.clone());
            match call.set_upload_id(upload.upload_id.clone()).send().await.map_err(AwsError::from) {
                Err(error) if error.code == "NoSuchUpload" => {}
                other => {
                    other?;
                }
            }
        }
    }
    Ok(())
}

fn object(key: String, version: Option<String>) -> Option<s3::ObjectIdentifier> {
    s3::ObjectIdentifier::builder().key(key).set_version_id(version).build().ok()
}

async fn delete_page(aws: &Aws, bucket: &str, objects: Vec<s3::ObjectIdentifier>) -> Result<(), AwsError> {
    let delete = s3::Delete::builder().set_objects(Some(objects)).quiet(true).build();
    let delete = delete.expect("internal error: the objects are set");
    let output = aws.s3().delete_objects().bucket(bucket).delete(delete).send().await?;
    let Some(failed) = output.errors().first() else { return Ok(()) };
    let code = failed.code.as_deref().unwrap_or("Unknown");
    let class = if code == "AccessDenied" { ErrorClass::Denied } else { ErrorClass::Other };
    let count = output.errors().len();
    let key = failed.key.as_deref().unwrap_or_default();
    let message =
        format!("{count} objects could not be deleted, such as `{key}`: {}", failed.message().unwrap_or(code));
    Err(AwsError::own("s3:DeleteObjects", class, code, message))
}
