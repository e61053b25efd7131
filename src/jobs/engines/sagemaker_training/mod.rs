//! `sagemaker.training`: a SageMaker training job. Calls: sagemaker:CreateTrainingJob, DescribeTrainingJob,
//! StopTrainingJob, AddTags, ListTags, iam:PassRole; logs:DescribeLogStreams, GetLogEvents.
//!
//! The name is made of the job's digest and attempt, and is unique in account and region for ever: creating
//! it again answers that it is in use, and the tags say whether it is this job. The deadline is SageMaker's own
//! stopping condition, so nothing runs past it whatever becomes of this client. Traps: the volume's key is
//! forbidden on instances with local disks; a new role is refused until SageMaker may assume it.

mod logs;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;
use aws_sdk_sagemaker::types::{
    AlgorithmSpecification, Channel, DataSource, OutputDataConfig, ResourceConfig, S3DataDistribution, S3DataSource,
    S3DataType, StoppingCondition, Tag, TrainingInputMode, TrainingInstanceType, TrainingJobStatus, VpcConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::jobs::engine::{DataSet, Engine, LogCursor, LogPage, Order, Reading, Seen};
use crate::jobs::error::JobError;
use crate::jobs::fields::Fields;
use crate::jobs::price::{self, Fleet, Stated, WorstCase};
use crate::jobs::record::{Record, Remote, Stage, Usage};
use crate::jobs::run::Sending;

const ENVIRONMENT_TAG: &str = "opora:environment";
const JOB_TAG: &str = "opora:job";
const DIGEST_TAG: &str = "opora:job-digest";

pub(crate) struct SagemakerTraining;

/// The engine's fields, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    role: String,
    data: Vec<Input>,
    instance: Instance,
    hyperparameters: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    output: Output,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc: Option<Vpc>,
    isolated: bool,
    encrypt_traffic: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Input {
    channel: String,
    /// A local path, or what lies on S3 already.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<LocalData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    mode: String,
}

/// A local path and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LocalData {
    path: String,
    bucket: String,
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Instance {
    #[serde(rename = "type")]
    name: String,
    count: u32,
    volume_gb: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_kms_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Output {
    bucket: String,
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Vpc {
    subnets: Vec<String>,
    security_groups: Vec<String>,
}

#[async_trait]
impl Engine for SagemakerTraining {
    const NAME: &'static str = "sagemaker.training";
    const DETACHED: bool = true;
    const FIELDS: &'static [&'static str] = &[
        "model",
        "image",
        "algorithm",
        "role",
        "data",
        "instance",
        "hyperparameters",
        "env",
        "output",
        "vpc",
        "isolated",
        "encrypt_traffic",
    ];
    type Spec = Spec;

    fn read(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Spec> {
        let program = read::read_program(fields);
        let role = fields.required("role", "role: $(iam_role.trainer.arn)").and_then(|node| {
            let text = fields.text_of(node)?;
            let is_role = text.starts_with("arn:") && text.contains(":iam::") && text.contains(":role/");
            if !is_role {
                fields.refuse(node, format!("`{text}` is not the ARN of a role"), "write `$(iam_role.trainer.arn)`");
            }
            is_role.then(|| text.to_owned())
        });
        let data = read::read_data(fields, reading);
        let output = read::read_output(fields, reading);
        let instance = read::read_instance(fields, output.as_ref());
        let vpc = fields.node("vpc").map(|_| read::read_vpc(fields));
        let (image, algorithm) = program?;
        Some(Spec {
            image,
            algorithm,
            role: role?,
            data: data?,
            instance: instance?,
            hyperparameters: fields.scalars("hyperparameters"),
            env: fields.scalars("env"),
            output: output?,
            vpc: vpc.map_or(Some(None), |vpc| vpc.map(Some))?,
            isolated: fields.boolean("isolated").unwrap_or(false),
            encrypt_traffic: fields.boolean("encrypt_traffic").unwrap_or(true),
        })
    }

    fn summary(spec: &Spec) -> Value {
        // Values of `env` and of hyper-parameters can be anything; their names say enough.
        json!({
            "image": spec.image,
            "algorithm": spec.algorithm,
            "role": spec.role,
            "instance": spec.instance,
            "hyperparameters": spec.hyperparameters.keys().collect::<Vec<_>>(),
            "env": spec.env.keys().collect::<Vec<_>>(),
            "output": spec.output,
            "vpc": spec.vpc,
        })
    }

    fn worst_case(spec: &Spec, deadline: Duration, region: &str, stated: &Stated) -> WorstCase {
        price::training(fleet(&spec.instance), deadline, region, stated)
    }

    fn cost(spec: &Value, usage: Usage, region: &str, stated: &Stated) -> WorstCase {
        let instance = Instance::deserialize(&spec["instance"]);
        match (instance, usage.billable_seconds) {
            (Ok(instance), Some(seconds)) => {
                // The seconds are those of all instances together.
                let fleet = Fleet { count: 1, ..fleet(&instance) };
                price::training(fleet, Duration::from_secs(seconds), region, stated)
            }
            _ => WorstCase::Unknown("time that SageMaker did not tell".to_owned()),
        }
    }

    fn data(spec: &Spec) -> Vec<DataSet> {
        let one = |input: &Input| {
            let upload = input.upload.as_ref()?;
            Some(DataSet {
                channel: input.channel.clone(),
                path: upload.path.clone(),
                bucket: upload.bucket.clone(),
                prefix: upload.prefix.clone(),
                kms_key: upload.kms_key.clone(),
            })
        };
        spec.data.iter().filter_map(one).collect()
    }

    fn name(_: &str, job: &str, digest: &str, attempt: u32) -> String {
        format!("opora-{job}-{}-{attempt}", &digest[..12])
    }

    async fn submit(sending: &Sending<'_>, order: Order<'_, Spec>) -> Result<Seen, JobError> {
        let aws = sending.aws;
        let created = while_not_yet(aws, Bound::propagation(), || create(aws, &order)).await;
        match created {
            Ok(remote) => Ok(Seen { stage: Stage::Submitted, remote }),
            Err(error) if is_taken(&error) => {
                let found = Self::find(sending, order.record).await?;
                found.ok_or_else(|| JobError::Aws(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn find(sending: &Sending<'_>, record: &Record) -> Result<Option<Seen>, JobError> {
        let found = describe(sending.aws, &record.name).await;
        let Some(job) = found.map_or_else(AwsError::absent, |job| Ok(Some(job)))? else {
            return Ok(None);
        };
        let arn = job.training_job_arn().unwrap_or_default();
        let tags = sending.aws.sagemaker().list_tags().resource_arn(arn).send().await.map_err(AwsError::from)?;
        let has =
            |key: &str, value: &str| tags.tags().iter().any(|tag| tag.key() == Some(key) && tag.value() == Some(value));
        if !has(JOB_TAG, &record.id) || !has(DIGEST_TAG, &record.digest) {
            return Err(JobError::NameTaken { name: record.name.clone() });
        }
        Ok(Some(seen(&job, record)))
    }

    async fn poll(aws: &Aws, record: &Record) -> Result<Seen, AwsError> {
        let job = describe(aws, &record.name).await?;
        Ok(seen(&job, record))
    }

    async fn cancel(aws: &Aws, record: &Record) -> Result<(), JobError> {
        let stop = aws.sagemaker().stop_training_job().training_job_name(&record.name).send().await;
        match stop.map_err(AwsError::from) {
            Ok(_) => Ok(()),
            // It ended by itself just now; the next look says how.
            Err(error) if error.class == ErrorClass::Invalid && error.message.contains("status") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn logs(aws: &Aws, record: &Record, cursor: &LogCursor) -> Result<LogPage, AwsError> {
        logs::page(aws, &record.name, cursor).await
    }
}

fn fleet(instance: &Instance) -> Fleet<'_> {
    Fleet { instance_type: &instance.name, count: u64::from(instance.count), volume_gb: u64::from(instance.volume_gb) }
}

/// Tells whether the name is in use.
fn is_taken(error: &AwsError) -> bool {
    matches!(error.class, ErrorClass::InUse | ErrorClass::AlreadyExists)
}

async fn create(aws: &Aws, order: &Order<'_, Spec>) -> Result<Remote, AwsError> {
    let (spec, record) = (order.spec, order.record);
    let seconds = i32::try_from(order.deadline.as_secs()).unwrap_or(i32::MAX);
    let mut call = aws
        .sagemaker()
        .create_training_job()
        .training_job_name(&record.name)
        .role_arn(&spec.role)
        .algorithm_specification(
            AlgorithmSpecification::builder()
                .set_training_image(spec.image.clone())
                .set_algorithm_name(spec.algorithm.clone())
                .training_input_mode(TrainingInputMode::File)
                .build(),
        )
        .output_data_config(
            OutputDataConfig::builder()
                .s3_output_path(format!("s3://{}/{}/", spec.output.bucket, spec.output.prefix))
                .set_kms_key_id(spec.output.kms_key.clone())
                .build(),
        )
        .resource_config(
            ResourceConfig::builder()
                .instance_type(TrainingInstanceType::from(spec.instance.name.as_str()))
                .instance_count(i32::try_from(spec.instance.count).unwrap_or(i32::MAX))
                .volume_size_in_gb(i32::try_from(spec.instance.volume_gb).unwrap_or(i32::MAX))
                .set_volume_kms_key_id(spec.instance.volume_kms_key.clone())
                .build(),
        )
        .stopping_condition(StoppingCondition::builder().max_runtime_in_seconds(seconds).build())
        .enable_network_isolation(spec.isolated)
        .enable_inter_container_traffic_encryption(spec.encrypt_traffic && spec.instance.count > 1);
    for input in &spec.data {
        call = call.input_data_config(channel(input, order)?);
    }
    for (name, value) in &spec.hyperparameters {
        call = call.hyper_parameters(name, value);
    }
    for (name, value) in &spec.env {
        call = call.environment(name, value);
    }
    if let Some(vpc) = &spec.vpc {
        let config = VpcConfig::builder()
            .set_subnets(Some(vpc.subnets.clone()))
            .set_security_group_ids(Some(vpc.security_groups.clone()));
        call = call.vpc_config(config.build());
    }
    let own = [
        (ENVIRONMENT_TAG, record.environment.as_str()),
        (JOB_TAG, record.id.as_str()),
        (DIGEST_TAG, record.digest.as_str()),
    ];
    let user = order.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in user.filter(|(key, _)| !own.iter().any(|(own, _)| own == key)).chain(own) {
        call = call.tags(Tag::builder().key(key).value(value).build());
    }
    let answer = call.send().await?;
    Ok(Remote {
        id: answer.training_job_arn().map(str::to_owned),
        request_id: aws_types::request_id::RequestId::request_id(&answer).map(str::to_owned),
        status: Some("Starting".to_owned()),
        ..Remote::default()
    })
}

fn channel(input: &Input, order: &Order<'_, Spec>) -> Result<Channel, AwsError> {
    let uploaded = order.data.iter().find(|set| set.channel == input.channel);
    let uri = match (&input.from, uploaded) {
        (Some(from), _) => from.clone(),
        (None, Some(set)) => format!("s3://{}/{}", set.bucket, set.prefix),
        (None, None) => {
            let message = format!("channel `{}` has no data", input.channel);
            return Err(AwsError::own("sagemaker:CreateTrainingJob", ErrorClass::Invalid, "NoData", message));
        }
    };
    let source = S3DataSource::builder()
        .s3_data_type(S3DataType::S3Prefix)
        .s3_uri(uri)
        .s3_data_distribution_type(S3DataDistribution::FullyReplicated);
    Ok(Channel::builder()
        .channel_name(&input.channel)
        .data_source(DataSource::builder().s3_data_source(source.build()).build())
        .set_content_type(input.content_type.clone())
        .input_mode(TrainingInputMode::from(input.mode.as_str()))
        .build())
}

async fn describe(aws: &Aws, name: &str) -> Result<DescribeTrainingJobOutput, AwsError> {
    Ok(aws.sagemaker().describe_training_job().training_job_name(name).send().await?)
}

fn seen(job: &DescribeTrainingJobOutput, record: &Record) -> Seen {
    let secondary = job.secondary_status().map_or("", |status| status.as_str());
    let too_long = secondary == "MaxRuntimeExceeded";
    let stage = match job.training_job_status() {
        Some(TrainingJobStatus::Completed) => Stage::Succeeded,
        Some(TrainingJobStatus::Failed) => Stage::Failed,
        Some(TrainingJobStatus::Stopped) if too_long => Stage::Failed,
        Some(TrainingJobStatus::Stopped) => Stage::Cancelled,
        Some(TrainingJobStatus::Stopping) => Stage::Stopping,
        _ if job.training_start_time().is_some() => Stage::Running,
        _ => Stage::Submitted,
    };
    let message = job.secondary_status_transitions().last().and_then(|last| last.status_message());
    let count = job.resource_config().and_then(|config| config.instance_count()).unwrap_or(1);
    let seconds = job.billable_time_in_seconds().or(job.training_time_in_seconds());
    let seconds = seconds.and_then(|seconds| u64::try_from(i64::from(seconds) * i64::from(count)).ok());
    let mut outputs = BTreeMap::new();
    if let Some(model) = job.model_artifacts().and_then(|model| model.s3_model_artifacts())
        && stage == Stage::Succeeded
    {
        outputs.insert("model".to_owned(), model.to_owned());
    }
    let reason = job.failure_reason().map(str::to_owned);
    let reason = reason.or_else(|| too_long.then(|| "it reached its deadline and was stopped".to_owned()));
    let status = match message {
        Some(message) if !message.is_empty() && message != secondary => format!("{secondary}: {message}"),
        _ => secondary.to_owned(),
    };
    Seen {
        stage,
        remote: Remote {
            id: job.training_job_arn().map(str::to_owned),
            request_id: record.remote.request_id.clone(),
            status: Some(status).filter(|status| !status.is_empty()),
            reason,
            usage: Usage { billable_seconds: seconds.filter(|_| stage.is_ended()), ..Usage::default() },
            outputs,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_fits() {
        let digest = "0123456789abcdef".repeat(4);
        assert!(SagemakerTraining::name("research", &"j".repeat(24), &digest, 999_999).len() <= 63);
    }
}
