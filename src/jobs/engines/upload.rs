//! Puts a file on S3 once. Calls: s3:HeadObject, PutObject, ListMultipartUploads, ListParts,
//! CreateMultipartUpload, UploadPart, CompleteMultipartUpload.
//!
//! The key carries the data's digest and the object its own as metadata, so a second upload of the same bytes is
//! seen and left out. A large file goes up in parts; an upload that was cut off is found by its key and goes on
//! with the parts that are missing. S3 checks the SHA-256 of each part. The bucket has to belong to the
//! environment's account.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Part, ServerSideEncryption};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::aws::{Aws, AwsError};
use crate::jobs::error::JobError;
use crate::jobs::record::{DataFile, Uploaded};
use crate::jobs::run::{Event, Listener};

/// The metadata that holds an object's SHA-256, in hex.
const DIGEST: &str = "opora-sha256";

/// Parts of one upload, at most; S3's own limit.
const PARTS_MAX: u64 = 10_000;

/// Pages of uploads or parts that are read, at most.
const PAGES_MAX: usize = 100;

/// How files go up.
pub(crate) struct Place<'a> {
    /// The account that the bucket has to belong to.
    pub owner: &'a str,
    pub part_bytes: u64,
    pub listener: &'a Listener<'a>,
}

/// Uploads a file, or finds that it is there.
pub(crate) async fn file(
    aws: &Aws,
    place: &Place<'_>,
    set: &Uploaded,
    file: &DataFile,
    path: &Path,
) -> Result<(), JobError> {
    let target = Target { aws, place, set, file, key: format!("{}{}", set.prefix, file.path) };
    if target.is_there().await? {
        (place.listener)(Event::Skipped { path: &file.path });
        return Ok(());
    }
    let mut source = Source::open(path).await?;
    if file.bytes <= place.part_bytes { target.whole(&mut source).await } else { target.parts(&mut source).await }
}

/// A local file that is read once, from its start.
struct Source {
    file: File,
    shown: String,
    hash: Sha256,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, JobError> {
        let shown = path.display().to_string();
        match File::open(path).await {
            Ok(file) => Ok(Self { file, shown, hash: Sha256::new() }),
            Err(error) => Err(JobError::Data { path: shown, reason: error.to_string() }),
        }
    }

    async fn read(&mut self, bytes: u64) -> Result<Vec<u8>, JobError> {
        let mut out = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        let read = (&mut self.file).take(bytes).read_to_end(&mut out).await;
        read.map_err(|error| JobError::Data { path: self.shown.clone(), reason: error.to_string() })?;
        self.hash.update(&out);
        Ok(out)
    }

    /// Makes sure that what was read is the whole file, and the one that the job was made of.
    async fn check(&mut self, expected: &str) -> Result<(), JobError> {
        let rest = self.read(1).await?;
        if rest.is_empty() && hex::encode(self.hash.clone().finalize()) == expected {
            return Ok(());
        }
        Err(JobError::DataChanged { path: self.shown.clone() })
    }
}

/// Where one file goes.
struct Target<'a> {
    aws: &'a Aws,
    place: &'a Place<'a>,
    set: &'a Uploaded,
    file: &'a DataFile,
    key: String,
}

impl Target<'_> {
    fn progress(&self, done: u64) {
        (self.place.listener)(Event::Uploading { path: &self.file.path, done, all: self.file.bytes });
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.set.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }

    async fn is_there(&self) -> Result<bool, AwsError> {
        let head = self.aws.s3().head_object().bucket(&self.set.bucket).key(&self.key);
        let answer = head.expected_bucket_owner(self.place.owner).send().await;
        let Some(object) = answer.map_or_else(|error| AwsError::from(error).absent(), |object| Ok(Some(object)))?
        else {
            return Ok(false);
        };
        let digest = object.metadata().and_then(|metadata| metadata.get(DIGEST));
        let size = object.content_length().and_then(|bytes| u64::try_from(bytes).ok());
        Ok(digest == Some(&self.file.sha256) && size == Some(self.file.bytes))
    }

    async fn whole(&self, source: &mut Source) -> Result<(), JobError> {
        self.progress(0);
        let bytes = source.read(self.file.bytes).await?;
        // Before it is sent: nobody should find other bytes under this digest.
        source.check(&self.file.sha256).await?;
        let checksum = checksum(&bytes);
        let put = self.aws.s3().put_object().bucket(&self.set.bucket).key(&self.key);
        put.expected_bucket_owner(self.place.owner)
            .metadata(DIGEST, &self.file.sha256)
            .checksum_sha256(checksum)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.set.kms_key.clone())
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(AwsError::from)?;
        self.progress(self.file.bytes);
        Ok(())
    }

    async fn parts(&self, source: &mut Source) -> Result<(), JobError> {
        let size = self.place.part_bytes.max(self.file.bytes.div_ceil(PARTS_MAX));
        let (upload, there) = match self.unfinished().await? {
            Some(upload) => {
                let there = self.parts_of(&upload).await?;
                (upload, there)
            }
            None => (self.begin().await?, BTreeMap::new()),
        };
        let mut completed = CompletedMultipartUpload::builder();
        let mut done = 0;
        for number in 1..=self.file.bytes.div_ceil(size) {
            let bytes = source.read(size).await?;
            let length = bytes.len() as u64;
            let checksum = checksum(&bytes);
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            let known = there.get(&number).filter(|part| part.checksum_sha256() == Some(checksum.as_str()));
            let tag = match known {
                Some(part) => part.e_tag().map(str::to_owned),
                None => self.part(&upload, number, bytes, &checksum).await?,
            };
            let part = CompletedPart::builder().part_number(number).set_e_tag(tag).checksum_sha256(checksum);
            completed = completed.parts(part.build());
            done += length;
            self.progress(done);
        }
        source.check(&self.file.sha256).await?;
        let complete = self.aws.s3().complete_multipart_upload().bucket(&self.set.bucket).key(&self.key);
        complete
            .expected_bucket_owner(self.place.owner)
            .upload_id(upload)
            .multipart_upload(completed.build())
            .send()
            .await
            .map_err(AwsError::from)?;
        Ok(())
    }

    /// Finds an upload of this key that was begun and not completed; its key says that it is of these bytes.
    async fn unfinished(&self) -> Result<Option<String>, AwsError> {
        let list = self.aws.s3().list_multipart_uploads().bucket(&self.set.bucket).prefix(&self.key);
        let answer = list.expected_bucket_owner(self.place.owner).send().await?;
        let ours = answer.uploads().iter().find(|upload| upload.key() == Some(self.key.as_str()));
        Ok(ours.and_then(|upload| upload.upload_id()).map(str::to_owned))
    }

    async fn parts_of(&self, upload: &str) -> Result<BTreeMap<i32, Part>, AwsError> {
        let mut out = BTreeMap::new();
        let mut marker: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let list = self.aws.s3().list_parts().bucket(&self.set.bucket).key(&self.key).upload_id(upload);
            let list = list.expected_bucket_owner(self.place.owner).set_part_number_marker(marker);
            let page = list.send().await?;
            for part in page.parts() {
                out.extend(part.part_number().map(|number| (number, part.clone())));
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) {
                break;
            }
        }
        Ok(out)
    }

    async fn begin(&self) -> Result<String, AwsError> {
        let create = self.aws.s3().create_multipart_upload().bucket(&self.set.bucket).key(&self.key);
        let answer = create
            .expected_bucket_owner(self.place.owner)
            .metadata(DIGEST, &self.file.sha256)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.set.kms_key.clone())
            .send()
            .await?;
        Ok(answer.upload_id().unwrap_or_default().to_owned())
    }

    async fn part(
        &self,
        upload: &str,
        number: i32,
        bytes: Vec<u8>,
        checksum: &str,
    ) -> Result<Option<String>, AwsError> {
        let put = self.aws.s3().upload_part().bucket(&self.set.bucket).key(&self.key).upload_id(upload);
        let answer = put
            .expected_bucket_owner(self.place.owner)
            .part_number(number)
            .checksum_sha256(checksum)
            .body(ByteStream::from(bytes))
            .send()
            .await?;
        Ok(answer.e_tag().map(str::to_owned))
    }
}

fn checksum(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}
