//! Bedrock's log of model invocations: one configuration for a whole region.
//!
//! Calls: PutModelInvocationLoggingConfiguration to create and update;
//! DeleteModelInvocationLoggingConfiguration. Read: GetModelInvocationLoggingConfiguration.
//! Waits: while Bedrock can't yet assume a role or write to a bucket that is new.
//! Traps: a put replaces whatever is there, whoever set it, so a create looks first and refuses to take over
//! another configuration: that has to be imported. There are no tags, so nobody's name is on it.

use aws_sdk_bedrock::types::{CloudWatchConfig, LoggingConfig, S3Config};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, yes,
};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// The log of all Bedrock model invocations of a region: who asked what, and what was answered.
///
/// There is one for an account and region. Where one is set already, `opora import` takes it over; it is never
/// replaced silently. Its id is the region's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// Logs to CloudWatch Logs; entries over 100 KB only where `large_data` is set.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub cloudwatch: Option<CloudWatch>,
    /// Logs to a bucket.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub s3: Option<Bucket>,
    /// Whether texts are in the log.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub text: bool,
    /// Whether images are in the log.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub image: bool,
    /// Whether embeddings are in the log.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub embedding: bool,
    /// Whether videos are in the log.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub video: bool,
    /// Whether sound is in the log.
    #[serde(default = "yes")]
    #[schemars(extend("x-access" = true))]
    pub audio: bool,
}

/// Logs to CloudWatch Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudWatch {
    /// The log group's name.
    pub log_group: String,
    /// The ARN of the role by which Bedrock writes to it.
    #[schemars(extend("format" = "arn"))]
    pub role: String,
    /// Where entries over 100 KB and binary data go.
    #[serde(default)]
    pub large_data: Option<Bucket>,
}

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The bucket's name; its policy has to let `bedrock.amazonaws.com` write.
    pub bucket: String,
    /// What the keys begin with.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The region whose invocations are logged.
    pub region: String,
}

/// See the module's header.
pub struct BedrockInvocationLogging;

impl ResourceKind for BedrockInvocationLogging {
    const NAME: &'static str = "bedrock_invocation_logging";
    const SERVICE: &'static str = "bedrock";
    const IDENTITY: Identity = Identity::Singleton;
    const ACTIONS: Actions = Actions {
        read: &["bedrock:GetModelInvocationLoggingConfiguration"],
        create: &[
            "bedrock:GetModelInvocationLoggingConfiguration",
            "bedrock:PutModelInvocationLoggingConfiguration",
            "iam:PassRole",
        ],
        update: &["bedrock:PutModelInvocationLoggingConfiguration", "iam:PassRole"],
        delete: &["bedrock:DeleteModelInvocationLoggingConfiguration"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        if set("cloudwatch") || set("s3") {
            Vec::new()
        } else {
            vec![Problem::new("", "needs `cloudwatch` or `s3`: somewhere to log to")]
        }
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let read = get(aws).await;
        let answer = |id: &PhysicalId| {
            let observation = match &read {
                Ok(Some(arguments)) if id.as_str() == aws.region() => {
                    let attributes = Attributes { region: aws.region().to_owned() };
                    Observation::Present(Box::new(Observed::new(arguments.clone(), attributes, None)))
                }
                Ok(_) => Observation::Absent,
                Err(error) => Observation::Unreadable(error.clone()),
            };
            (id.clone(), observation)
        };
        Ok(ids.iter().map(answer).collect())
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = get(aws).await?;
        Ok(found.map(|_| Discovered { id: aws.region().into(), owner: None, name: None }).into_iter().collect())
    }

    /// A configuration that says exactly what is wanted is what an earlier attempt made.
    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = get(cx.aws).await?;
        Ok(if found.as_ref() == Some(arguments) { vec![cx.aws.region().into()] } else { Vec::new() })
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let id = PhysicalId::from(cx.aws.region());
        match get(cx.aws).await? {
            Some(found) if found == *arguments => Ok(id),
            Some(_) => {
                let message = format!(
                    "invocation logging in {id} is already set, and differently; import it with \
                     `opora import {} {id}` and plan again",
                    cx.address
                );
                let action = "bedrock:PutModelInvocationLoggingConfiguration";
                Err(AwsError::own(action, ErrorClass::AlreadyExists, "AlreadyConfigured", message))
            }
            None => {
                put(cx.aws, arguments).await?;
                Ok(id)
            }
        }
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let before = &cx.before.arguments;
        let mut after = cx.after.clone();
        if !cx.touches("cloudwatch") {
            after.cloudwatch.clone_from(&before.cloudwatch);
        }
        if !cx.touches("s3") {
            after.s3.clone_from(&before.s3);
        }
        if after == *before { Ok(()) } else { put(cx.aws, &after).await }
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        cx.aws.bedrock().delete_model_invocation_logging_configuration().send().await?;
        Ok(())
    }
}

async fn put(aws: &Aws, arguments: &Arguments) -> Result<(), AwsError> {
    let config = LoggingConfig::builder()
        .set_cloud_watch_config(arguments.cloudwatch.as_ref().map(|logs| {
            CloudWatchConfig::builder()
                .log_group_name(&logs.log_group)
                .role_arn(&logs.role)
                .set_large_data_delivery_s3_config(logs.large_data.as_ref().map(bucket))
                .build()
                .expect("internal error: log group and role are set")
        }))
        .set_s3_config(arguments.s3.as_ref().map(bucket))
        .text_data_delivery_enabled(arguments.text)
        .image_data_delivery_enabled(arguments.image)
        .embedding_data_delivery_enabled(arguments.embedding)
        .video_data_delivery_enabled(arguments.video)
        .audio_data_delivery_enabled(arguments.audio)
        .build();
    while_not_yet(aws, Bound::propagation(), || async {
        let call = aws.bedrock().put_model_invocation_logging_configuration().logging_config(config.clone());
        call.send().await?;
        Ok(())
    })
    .await
}

fn bucket(bucket: &Bucket) -> S3Config {
    S3Config::builder()
        .bucket_name(&bucket.bucket)
        .set_key_prefix(bucket.prefix.clone())
        .build()
        .expect("internal error: the bucket is set")
}

async fn get(aws: &Aws) -> Result<Option<Arguments>, AwsError> {
    let output = aws.bedrock().get_model_invocation_logging_configuration().send().await?;
    Ok(output.logging_config.map(|config| Arguments {
        cloudwatch: config.cloud_watch_config.map(|logs| CloudWatch {
            log_group: logs.log_group_name,
            role: logs.role_arn,
            large_data: logs.large_data_delivery_s3_config.map(read_bucket),
        }),
        s3: config.s3_config.map(read_bucket),
        text: config.text_data_delivery_enabled.unwrap_or(true),
        image: config.image_data_delivery_enabled.unwrap_or(true),
        embedding: config.embedding_data_delivery_enabled.unwrap_or(true),
        video: config.video_data_delivery_enabled.unwrap_or(true),
        audio: config.audio_data_delivery_enabled.unwrap_or(true),
    }))
}

fn read_bucket(config: S3Config) -> Bucket {
    Bucket { bucket: config.bucket_name, prefix: config.key_prefix.filter(|prefix| !prefix.is_empty()) }
}
