//! Encryption, logging, retention, CORS and acceleration of a bucket, to and from S3's form.
//!
//! Pure; makes no call.

use aws_sdk_s3::types as s3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How new objects are encrypted where their writer does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The algorithm; left out, `aws:kms` with a `kms_key` and `AES256` without.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// The ARN of the KMS key; left out with `aws:kms`, the account's `aws/s3` key.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub kms_key: Option<String>,
    /// Whether one data key serves many objects, which makes far fewer calls to KMS.
    #[serde(default)]
    pub bucket_key: bool,
    /// Whether objects that are encrypted by a key that their writer sends along (SSE-C) are refused; left out, AWS decides.
    #[serde(default)]
    pub block_sse_c: Option<bool>,
}

/// An encryption of objects at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Keys of S3's own.
    #[serde(rename = "AES256")]
    Aes256,
    /// A key of KMS.
    #[serde(rename = "aws:kms")]
    Kms,
    /// A key of KMS, in two layers.
    #[serde(rename = "aws:kms:dsse")]
    KmsDsse,
}

/// Where records of the requests to the bucket are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// The name of the bucket that the records go to.
    pub bucket: String,
    /// The beginning of the records' keys.
    #[serde(default)]
    pub prefix: String,
    /// Makes keys with account, region, bucket and day in them; by the time of the event or of its delivery.
    #[serde(default)]
    pub partition_by: Option<PartitionBy>,
}

/// The time that a record's key has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    EventTime,
    DeliveryTime,
}

/// How long a new object can't be deleted or overwritten, where its writer does not say. It has `days` or `years`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Who can lift it: with `GOVERNANCE` whom IAM allows to, with `COMPLIANCE` nobody.
    pub mode: RetentionMode,
    /// The time in days.
    #[serde(default)]
    #[schemars(range(min = 1, max = 36500))]
    pub days: Option<u32>,
    /// The time in years.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub years: Option<u32>,
}

/// Who can lift a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetentionMode {
    Governance,
    Compliance,
}

/// Which web pages of other origins browsers let use the bucket. The first rule that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsRule {
    /// A name of the rule.
    #[serde(default)]
    #[schemars(length(max = 255))]
    pub id: Option<String>,
    /// Origins, such as `https://notebook.example.com`; each may have one `*`.
    #[schemars(extend("x-set" = true), length(min = 1))]
    pub origins: Vec<String>,
    /// Methods: `GET`, `PUT`, `POST`, `DELETE`, `HEAD`.
    #[schemars(extend("x-set" = true), length(min = 1))]
    pub methods: Vec<String>,
    /// Headers that a request may have; each may have one `*`.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub headers: Vec<String>,
    /// Headers of the answer that the page may see.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub expose: Vec<String>,
    /// Seconds for which a browser keeps the answer to its question.
    #[serde(default)]
    pub max_age_seconds: Option<u32>,
}

/// Whether transfer acceleration is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acceleration {
    Enabled,
    Suspended,
}

impl Acceleration {
    pub(super) fn to_aws(self) -> s3::BucketAccelerateStatus {
        match self {
            Self::Enabled => s3::BucketAccelerateStatus::Enabled,
            Self::Suspended => s3::BucketAccelerateStatus::Suspended,
        }
    }

    pub(super) fn of_aws(status: &s3::BucketAccelerateStatus) -> Option<Self> {
        match status {
            s3::BucketAccelerateStatus::Enabled => Some(Self::Enabled),
            s3::BucketAccelerateStatus::Suspended => Some(Self::Suspended),
            _ => None,
        }
    }
}

impl Encryption {
    fn effective(&self) -> s3::ServerSideEncryption {
        match (self.algorithm, &self.kms_key) {
            (Some(Algorithm::Aes256), _) | (None, None) => s3::ServerSideEncryption::Aes256,
            (Some(Algorithm::KmsDsse), _) => s3::ServerSideEncryption::AwsKmsDsse,
            (Some(Algorithm::Kms), _) | (None, Some(_)) => s3::ServerSideEncryption::AwsKms,
        }
    }

    /// Writes the encryption in S3's form; what the spec leaves to AWS stays as it was.
    pub(super) fn to_aws(&self, before: &Self) -> s3::ServerSideEncryptionConfiguration {
        let default = s3::ServerSideEncryptionByDefault::builder()
            .sse_algorithm(self.effective())
            .set_kms_master_key_id(self.kms_key.clone())
            .build()
            .expect("internal error: the algorithm is set");
        let blocked = self.block_sse_c.or(before.block_sse_c).map(|blocked| {
            let kind = if blocked { s3::EncryptionType::SseC } else { s3::EncryptionType::None };
            s3::BlockedEncryptionTypes::builder().encryption_type(kind).build()
        });
        let rule = s3::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(self.bucket_key)
            .set_blocked_encryption_types(blocked)
            .build();
        let configuration = s3::ServerSideEncryptionConfiguration::builder().rules(rule).build();
        configuration.expect("internal error: there is a rule")
    }

    pub(super) fn of_aws(configuration: &s3::ServerSideEncryptionConfiguration) -> Self {
        let Some(rule) = configuration.rules().first() else { return Self::default() };
        let default = rule.apply_server_side_encryption_by_default.as_ref();
        let algorithm = default.map(|default| match default.sse_algorithm {
            s3::ServerSideEncryption::AwsKms => Algorithm::Kms,
            s3::ServerSideEncryption::AwsKmsDsse => Algorithm::KmsDsse,
            _ => Algorithm::Aes256,
        });
        let blocked = rule.blocked_encryption_types.as_ref();
        Self {
            algorithm,
            kms_key: default.and_then(|default| default.kms_master_key_id.clone()),
            bucket_key: rule.bucket_key_enabled.unwrap_or_default(),
            block_sse_c: blocked.map(|blocked| blocked.encryption_type().contains(&s3::EncryptionType::SseC)),
        }
    }
}

impl Logging {
    pub(super) fn to_aws(&self) -> s3::LoggingEnabled {
        let format = self.partition_by.map(|by| {
            let source = match by {
                PartitionBy::EventTime => s3::PartitionDateSource::EventTime,
                PartitionBy::DeliveryTime => s3::PartitionDateSource::DeliveryTime,
            };
            let prefix = s3::PartitionedPrefix::builder().partition_date_source(source).build();
            s3::TargetObjectKeyFormat::builder().partitioned_prefix(prefix).build()
        });
        s3::LoggingEnabled::builder()
            .target_bucket(&self.bucket)
            .target_prefix(&self.prefix)
            .set_target_object_key_format(format)
            .build()
            .expect("internal error: bucket and prefix are set")
    }

    pub(super) fn of_aws(logging: &s3::LoggingEnabled) -> Self {
        let format = logging.target_object_key_format.as_ref();
        let partition_by = format.and_then(|format| format.partitioned_prefix.as_ref()).map(|prefix| {
            match prefix.partition_date_source {
                Some(s3::PartitionDateSource::EventTime) => PartitionBy::EventTime,
                _ => PartitionBy::DeliveryTime,
            }
        });
        Self { bucket: logging.target_bucket.clone(), prefix: logging.target_prefix.clone(), partition_by }
    }
}

/// Writes an object lock with its default retention in S3's form.
pub(super) fn lock(retention: Option<&Retention>) -> s3::ObjectLockConfiguration {
    let count = |number: Option<u32>| number.map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let rule = retention.map(|retention| {
        let mode = match retention.mode {
            RetentionMode::Governance => s3::ObjectLockRetentionMode::Governance,
            RetentionMode::Compliance => s3::ObjectLockRetentionMode::Compliance,
        };
        let default = s3::DefaultRetention::builder().mode(mode).set_days(count(retention.days));
        s3::ObjectLockRule::builder().default_retention(default.set_years(count(retention.years)).build()).build()
    });
    let lock = s3::ObjectLockConfiguration::builder().object_lock_enabled(s3::ObjectLockEnabled::Enabled);
    lock.set_rule(rule).build()
}

impl Retention {
    pub(super) fn of_aws(lock: &s3::ObjectLockConfiguration) -> Option<Self> {
        let default = lock.rule.as_ref()?.default_retention.as_ref()?;
        let mode = match default.mode.as_ref()? {
            s3::ObjectLockRetentionMode::Compliance => RetentionMode::Compliance,
            _ => RetentionMode::Governance,
        };
        let number = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
        Some(Self { mode, days: number(default.days), years: number(default.years) })
    }
}

impl CorsRule {
    pub(super) fn to_aws(&self) -> s3::CorsRule {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        s3::CorsRule::builder()
            .set_id(self.id.clone())
            .set_allowed_origins(Some(self.origins.clone()))
            .set_allowed_methods(Some(self.methods.clone()))
            .set_allowed_headers(some(&self.headers))
            .set_expose_headers(some(&self.expose))
            .set_max_age_seconds(self.max_age_seconds.map(|age| i32::try_from(age).unwrap_or(i32::MAX)))
            .build()
            .expect("internal error: origins and methods are set")
    }

    pub(super) fn of_aws(rule: &s3::CorsRule) -> Self {
        Self {
            id: rule.id.clone(),
            origins: rule.allowed_origins.clone(),
            methods: rule.allowed_methods.clone(),
            headers: rule.allowed_headers().to_vec(),
            expose: rule.expose_headers().to_vec(),
            max_age_seconds: rule.max_age_seconds.and_then(|age| u32::try_from(age).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_follows_from_the_key_where_it_is_left_out() {
        let encryption = |algorithm, key: Option<&str>| {
            let given = Encryption { algorithm, kms_key: key.map(str::to_owned), ..Encryption::default() };
            Encryption::of_aws(&given.to_aws(&Encryption::default())).algorithm
        };
        assert_eq!(encryption(None, None), Some(Algorithm::Aes256));
        assert_eq!(encryption(None, Some("arn")), Some(Algorithm::Kms));
        assert_eq!(encryption(Some(Algorithm::KmsDsse), Some("arn")), Some(Algorithm::KmsDsse));
    }

    #[test]
    fn a_block_that_the_spec_leaves_out_stays() {
        let before = Encryption { block_sse_c: Some(true), ..Encryption::default() };
        let sent = Encryption::default().to_aws(&before);
        assert_eq!(Encryption::of_aws(&sent).block_sse_c, Some(true));
    }
}
