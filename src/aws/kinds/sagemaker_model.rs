//! A SageMaker model: containers, where their data is, and the role they run as.
//!
//! Calls: CreateModel (tags in it), AddTags, DeleteTags, DeleteModel. Reads: DescribeModel and ListTags each.
//! Waits: while SageMaker can't yet assume a role that is new.
//! Traps: a model can't be changed, and its name is unique, so a replacement has a name of its own: default
//! names carry the generation. DescribeModel fills in a data source for a plain `ModelDataUrl`.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sagemaker::operation::describe_model::DescribeModelOutput;
use aws_sdk_sagemaker::types as sdk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sagemaker::{NAME_PATTERN, Vpc, find_by_name, name_of, predict_name, read_tags, retag, sdk_tags, text};
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, yes,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};

/// A SageMaker model: one container, or a pipeline of several, with the role it runs as.
///
/// Only the tags can be changed in place. With `lifecycle: { create_before_destroy: true }` and no `name`, a new
/// model stands beside the old one until its endpoint has moved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The model's name; left out, it is made of environment, address and generation.
    #[serde(default)]
    #[schemars(regex(pattern = NAME_PATTERN), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// The ARN of the role that SageMaker runs the containers as.
    #[schemars(extend("format" = "arn", "x-change" = "replace"))]
    pub role: String,
    /// The containers, in the order that a request passes them.
    #[schemars(length(min = 1, max = 15), extend("x-change" = "replace"))]
    pub containers: Vec<Container>,
    /// `serial` runs several containers as a pipeline, `direct` calls each by its host name.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub execution: Option<Execution>,
    /// The network that the containers are in; left out, one of SageMaker's own.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: Option<Vpc>,
    /// Whether the containers are cut off from every network.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub network_isolation: bool,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// How several containers work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Execution {
    Serial,
    Direct,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The image's URI in ECR.
    #[serde(default)]
    pub image: Option<String>,
    /// A model package's name or ARN, in place of an image.
    #[serde(default)]
    pub model_package: Option<String>,
    /// Where the model's data is.
    #[serde(default)]
    pub model_data: Option<ModelData>,
    /// Further data beside it, such as the draft model of speculative decoding; five channels at most.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub additional_model_data_sources: Vec<AdditionalSource>,
    /// Environment variables; no secrets, everyone who may describe the model reads them.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The name by which `execution: direct` calls it.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Whether it serves one model or many from one prefix.
    #[serde(default)]
    pub mode: Mode,
    /// Whether a multi-model container keeps models in memory.
    #[serde(default)]
    pub model_cache: Option<bool>,
    /// Where the image is pulled from: `Platform`, or `Vpc` for a registry in the model's own network.
    #[serde(default)]
    pub repository_access: Option<String>,
}

/// Whether a container serves one model or many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Single,
    Multi,
}

/// A model's data in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelData {
    /// An object, or with `compressed: false` a prefix that ends in `/` (`s3://bucket/model.tar.gz`).
    pub uri: String,
    /// Whether it is one `.tar.gz`; large models start sooner without.
    #[serde(default = "yes")]
    pub compressed: bool,
    /// Whether the model's licence is accepted, where it asks for it.
    #[serde(default)]
    pub accept_eula: Option<bool>,
}

/// Further data of a container, which finds it below `/opt/ml/additional-model-data-sources/CHANNEL`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdditionalSource {
    /// The channel's name, once in a container.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub channel: String,
    /// Where its data is.
    pub model_data: ModelData,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The model's ARN.
    pub arn: String,
    /// The model's name, by which endpoint configurations refer to it.
    pub name: String,
}

/// See the module's header.
pub struct SagemakerModel;

impl ResourceKind for SagemakerModel {
    const NAME: &'static str = "sagemaker_model";
    const SERVICE: &'static str = "sagemaker";
    const IDENTITY: Identity = Identity::UniqueName;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("sagemaker:model"));
    const ACTIONS: Actions = Actions {
        read: &["sagemaker:DescribeModel", "sagemaker:ListModels", "sagemaker:ListTags", "tag:GetResources"],
        create: &["sagemaker:CreateModel", "sagemaker:AddTags", "iam:PassRole"],
        update: &["sagemaker:AddTags", "sagemaker:DeleteTags"],
        delete: &["sagemaker:DeleteModel"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        let containers = arguments.get("containers").and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let set = |name: &str| container.get(name).is_some_and(|value| !value.is_null());
            if set("image") == set("model_package") {
                let path = format!("containers[{index}]");
                out.push(Problem::new(path, "needs either `image` or `model_package`"));
            }
            if set("model_cache") && container.get("mode").and_then(Value::as_str) != Some("multi") {
                let path = format!("containers[{index}].model_cache");
                out.push(Problem::new(path, "only with `mode: multi`"));
            }
            let sources = container.get("additional_model_data_sources").and_then(Value::as_array);
            let mut channels = BTreeSet::new();
            for (number, source) in sources.into_iter().flatten().enumerate() {
                if !source.get("channel").and_then(Value::as_str).is_none_or(|channel| channels.insert(channel)) {
                    let path = format!("containers[{index}].additional_model_data_sources[{number}].channel");
                    out.push(Problem::new(path, "each channel has a name of its own"));
                }
            }
        }
        let one = containers.is_some_and(|containers| containers.len() == 1);
        if one && arguments.get("execution").is_some_and(|value| !value.is_null()) {
            out.push(Problem::new("execution", "only with several containers"));
        }
        out
    }

    fn predict(arguments: &Value, owner: &Owner, _scope: &Scope) -> Map<String, Value> {
        predict_name(arguments, owner)
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let reads = ids.iter().map(|id| async {
            let read = read_one(aws, id.as_str(), fields).await;
            (id.clone(), Observation::from_read(read))
        });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let mut pages = aws.sagemaker().list_models().into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(model) = pages.next().await {
            let model = model?;
            found.push((model.model_name.unwrap_or_default(), model.model_arn.unwrap_or_default()));
        }
        super::sagemaker::discovered(aws, found).await
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        let found = describe(cx.aws, &name).await.map(|found| found.model_arn);
        find_by_name(cx, name, found).await
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        let containers: Vec<_> = arguments.containers.iter().map(container).collect();
        while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .sagemaker()
                .create_model()
                .model_name(&name)
                .execution_role_arn(&arguments.role)
                .set_inference_execution_config(arguments.execution.map(execution))
                .set_vpc_config(arguments.vpc.as_ref().map(Vpc::to_sdk))
                .enable_network_isolation(arguments.network_isolation)
                .set_tags(Some(sdk_tags(&cx.tags(&arguments.tags))));
            let call = match containers.as_slice() {
                [only] => call.primary_container(only.clone()),
                several => call.set_containers(Some(several.to_vec())),
            };
            call.send().await?;
            Ok(())
        })
        .await?;
        Ok(name.into())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            retag(cx.aws, &cx.before.attributes.arn, &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        cx.aws.sagemaker().delete_model().model_name(cx.id.as_str()).send().await?;
        Ok(())
    }
}

fn execution(execution: Execution) -> sdk::InferenceExecutionConfig {
    let mode = match execution {
        Execution::Serial => sdk::InferenceExecutionMode::Serial,
        Execution::Direct => sdk::InferenceExecutionMode::Direct,
    };
    sdk::InferenceExecutionConfig::builder().mode(mode).build()
}

fn container(container: &Container) -> sdk::ContainerDefinition {
    let mut made = sdk::ContainerDefinition::builder()
        .set_image(container.image.clone())
        .set_model_package_name(container.model_package.clone())
        .set_container_hostname(container.hostname.clone())
        .mode(match container.mode {
            Mode::Single => sdk::ContainerMode::SingleModel,
            Mode::Multi => sdk::ContainerMode::MultiModel,
        })
        .set_multi_model_config(container.model_cache.map(|cache| {
            let setting = if cache { sdk::ModelCacheSetting::Enabled } else { sdk::ModelCacheSetting::Disabled };
            sdk::MultiModelConfig::builder().model_cache_setting(setting).build()
        }))
        .set_image_config(
            container
                .repository_access
                .as_deref()
                .map(|mode| sdk::ImageConfig::builder().repository_access_mode(mode.into()).build()),
        );
    for further in &container.additional_model_data_sources {
        let built = sdk::AdditionalModelDataSource::builder().channel_name(&further.channel);
        made = made.additional_model_data_sources(built.s3_data_source(source(&further.model_data)).build());
    }
    for (name, value) in &container.environment {
        made = made.environment(name, value);
    }
    if let Some(data) = &container.model_data {
        made = if data.compressed && data.accept_eula.is_none() {
            made.model_data_url(&data.uri)
        } else {
            made.model_data_source(sdk::ModelDataSource::builder().s3_data_source(source(data)).build())
        };
    }
    made.build()
}

fn source(data: &ModelData) -> sdk::S3ModelDataSource {
    let (compression, kind) = if data.compressed {
        (sdk::ModelCompressionType::Gzip, sdk::S3ModelDataType::S3Object)
    } else {
        (sdk::ModelCompressionType::None, sdk::S3ModelDataType::S3Prefix)
    };
    sdk::S3ModelDataSource::builder()
        .s3_uri(&data.uri)
        .compression_type(compression)
        .s3_data_type(kind)
        .set_model_access_config(
            data.accept_eula.map(|accept| sdk::ModelAccessConfig::builder().accept_eula(accept).build()),
        )
        .build()
}

async fn describe(aws: &Aws, name: &str) -> Result<DescribeModelOutput, AwsError> {
    Ok(aws.sagemaker().describe_model().model_name(name).send().await?)
}

async fn read_one(aws: &Aws, name: &str, fields: &Fields) -> Result<Observed<SagemakerModel>, AwsError> {
    let found = describe(aws, name).await?;
    let arn = found.model_arn().unwrap_or_default().to_owned();
    let containers = match found.primary_container() {
        Some(primary) => vec![read_container(primary)],
        None => found.containers().iter().map(read_container).collect(),
    };
    let execution = found.inference_execution_config().and_then(|config| match config.mode()? {
        sdk::InferenceExecutionMode::Direct => Some(Execution::Direct),
        _ => Some(Execution::Serial),
    });
    let arguments = Arguments {
        name: text(found.model_name()),
        role: found.execution_role_arn().unwrap_or_default().to_owned(),
        containers,
        execution,
        vpc: found.vpc_config().map(Vpc::of_sdk),
        network_isolation: found.enable_network_isolation().unwrap_or_default(),
        tags: Tags::new(),
    };
    let attributes = Attributes { arn: arn.clone(), name: found.model_name().unwrap_or_default().to_owned() };
    let mut observed = Observed::<SagemakerModel>::new(arguments, attributes, None);
    let (user, owner) = observed.field("tags", read_tags(aws, &arn, fields).await);
    observed.arguments.tags = user;
    observed.owner = owner;
    Ok(observed)
}

fn read_source(source: &sdk::S3ModelDataSource) -> ModelData {
    ModelData {
        uri: source.s3_uri().unwrap_or_default().to_owned(),
        compressed: source.compression_type() != Some(&sdk::ModelCompressionType::None),
        accept_eula: source.model_access_config().and_then(|config| config.accept_eula()),
    }
}

fn read_container(found: &sdk::ContainerDefinition) -> Container {
    let source = found.model_data_source().and_then(|source| source.s3_data_source());
    let model_data = match (text(found.model_data_url()), source) {
        (Some(uri), _) => Some(ModelData { uri, compressed: true, accept_eula: None }),
        (None, source) => source.map(read_source),
    };
    let further = found.additional_model_data_sources().iter().filter_map(|further| {
        let channel = further.channel_name().unwrap_or_default().to_owned();
        Some(AdditionalSource { channel, model_data: read_source(further.s3_data_source()?) })
    });
    let cache = found.multi_model_config().and_then(|config| config.model_cache_setting());
    Container {
        image: text(found.image()),
        model_package: text(found.model_package_name()),
        model_data,
        additional_model_data_sources: further.collect(),
        environment: found
            .environment()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        hostname: text(found.container_hostname()),
        mode: match found.mode() {
            Some(sdk::ContainerMode::MultiModel) => Mode::Multi,
            _ => Mode::Single,
        },
        model_cache: cache.map(|setting| *setting == sdk::ModelCacheSetting::Enabled),
        repository_access: found
            .image_config()
            .and_then(|config| config.repository_access_mode())
            .map(|mode| mode.as_str().to_owned()),
    }
}
