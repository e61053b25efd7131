//! A SageMaker endpoint configuration.
//!
//! Calls: CreateEndpointConfig (tags in it), AddTags, DeleteTags, DeleteEndpointConfig. Reads:
//! DescribeEndpointConfig and ListTags each.
//! Waits: none.
//! Traps: a configuration can't be changed, and its name is unique, so a replacement has a name of its own. AWS
//! lets a configuration that an endpoint runs on be deleted, which spoils the endpoint; the graph's order and
//! create-before-destroy keep that from happening here.

use aws_sdk_sagemaker::operation::describe_endpoint_config::DescribeEndpointConfigOutput;
use aws_sdk_sagemaker::types as sdk;
use serde_json::{Map, Value};

use super::sagemaker::{
    Vpc, discovered, find_by_name, int, name_of, natural, predict_name, read_tags, retag, sdk_tags, text,
};
pub use super::sagemaker_endpoint_config_arguments::{Arguments, Attributes};
use super::sagemaker_endpoint_config_arguments::{
    Asynchronous, CoreDumps, DataCapture, Scaling, Serverless, Variant, check,
};
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, while_not_yet};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, Scope};

/// See the module's header.
pub struct SagemakerEndpointConfig;

impl ResourceKind for SagemakerEndpointConfig {
    const NAME: &'static str = "sagemaker_endpoint_config";
    const SERVICE: &'static str = "sagemaker";
    const IDENTITY: Identity = Identity::UniqueName;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("sagemaker:endpoint-config"));
    const ACTIONS: Actions = Actions {
        read: &[
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:ListEndpointConfigs",
            "sagemaker:ListTags",
            "tag:GetResources",
        ],
        create: &["sagemaker:CreateEndpointConfig", "sagemaker:AddTags", "iam:PassRole"],
        update: &["sagemaker:AddTags", "sagemaker:DeleteTags"],
        delete: &["sagemaker:DeleteEndpointConfig"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        check(arguments)
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
        let mut pages = aws.sagemaker().list_endpoint_configs().into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(config) = pages.next().await {
            let config = config?;
            let name = config.endpoint_config_name.unwrap_or_default();
            found.push((name, config.endpoint_config_arn.unwrap_or_default()));
        }
        discovered(aws, found).await
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        let found = describe(cx.aws, &name).await.map(|found| found.endpoint_config_arn);
        find_by_name(cx, name, found).await
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        let shadows: Vec<_> = arguments.shadow_variants.iter().map(variant).collect();
        while_not_yet(cx.aws, Bound::propagation(), || async {
            let call = cx
                .aws
                .sagemaker()
                .create_endpoint_config()
                .endpoint_config_name(&name)
                .set_production_variants(Some(arguments.variants.iter().map(variant).collect()))
                .set_shadow_production_variants((!shadows.is_empty()).then(|| shadows.clone()))
                .set_kms_key_id(arguments.kms_key.clone())
                .set_data_capture_config(arguments.data_capture.as_ref().map(capture))
                .set_async_inference_config(arguments.asynchronous.as_ref().map(asynchronous))
                .set_execution_role_arn(arguments.role.clone())
                .set_vpc_config(arguments.vpc.as_ref().map(Vpc::to_sdk))
                .set_enable_network_isolation(arguments.network_isolation)
                .set_tags(Some(sdk_tags(&cx.tags(&arguments.tags))));
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
        cx.aws.sagemaker().delete_endpoint_config().endpoint_config_name(cx.id.as_str()).send().await?;
        Ok(())
    }
}

fn variant(wanted: &Variant) -> sdk::ProductionVariant {
    #[expect(clippy::cast_possible_truncation, reason = "the API's weights are single precision")]
    let weight = wanted.weight as f32;
    let instances = wanted.serverless.is_none().then(|| int(wanted.instances));
    sdk::ProductionVariant::builder()
        .variant_name(&wanted.name)
        .set_model_name(wanted.model.clone())
        .set_instance_type(wanted.instance_type.as_deref().map(Into::into))
        .set_initial_instance_count(instances)
        .initial_variant_weight(weight)
        .set_serverless_config(wanted.serverless.as_ref().map(|serverless| {
            sdk::ProductionVariantServerlessConfig::builder()
                .memory_size_in_mb(int(serverless.memory_mb))
                .max_concurrency(int(serverless.max_concurrency))
                .set_provisioned_concurrency(serverless.provisioned_concurrency.map(int))
                .build()
        }))
        .set_managed_instance_scaling(wanted.scaling.as_ref().map(|scaling| {
            sdk::ProductionVariantManagedInstanceScaling::builder()
                .status(sdk::ManagedInstanceScalingStatus::Enabled)
                .min_instance_count(int(scaling.min))
                .max_instance_count(int(scaling.max))
                .build()
        }))
        .set_routing_config(
            wanted.routing.as_deref().map(|strategy| {
                sdk::ProductionVariantRoutingConfig::builder().routing_strategy(strategy.into()).build()
            }),
        )
        .set_volume_size_in_gb(wanted.volume_gb.map(int))
        .set_model_data_download_timeout_in_seconds(wanted.download_timeout_seconds.map(int))
        .set_container_startup_health_check_timeout_in_seconds(wanted.startup_timeout_seconds.map(int))
        .set_enable_ssm_access(wanted.ssm_access)
        .set_inference_ami_version(wanted.host_image.as_deref().map(Into::into))
        .set_core_dump_config(wanted.core_dumps.as_ref().map(|dumps| {
            sdk::ProductionVariantCoreDumpConfig::builder()
                .destination_s3_uri(&dumps.uri)
                .set_kms_key_id(dumps.kms_key.clone())
                .build()
        }))
        .build()
}

fn capture(wanted: &DataCapture) -> sdk::DataCaptureConfig {
    let list = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    let header = (!wanted.csv_types.is_empty() || !wanted.json_types.is_empty()).then(|| {
        sdk::CaptureContentTypeHeader::builder()
            .set_csv_content_types(list(&wanted.csv_types))
            .set_json_content_types(list(&wanted.json_types))
            .build()
    });
    let option = |mode: &String| sdk::CaptureOption::builder().capture_mode(mode.as_str().into()).build();
    sdk::DataCaptureConfig::builder()
        .enable_capture(wanted.enabled)
        .initial_sampling_percentage(int(wanted.sampling_percent))
        .destination_s3_uri(&wanted.uri)
        .set_kms_key_id(wanted.kms_key.clone())
        .set_capture_options(Some(wanted.capture.iter().map(option).collect()))
        .set_capture_content_type_header(header)
        .build()
}

fn asynchronous(wanted: &Asynchronous) -> sdk::AsyncInferenceConfig {
    let topics = (wanted.success_topic.is_some() || wanted.error_topic.is_some()).then(|| {
        sdk::AsyncInferenceNotificationConfig::builder()
            .set_success_topic(wanted.success_topic.clone())
            .set_error_topic(wanted.error_topic.clone())
            .build()
    });
    let output = sdk::AsyncInferenceOutputConfig::builder()
        .s3_output_path(&wanted.output_uri)
        .set_s3_failure_path(wanted.failure_uri.clone())
        .set_kms_key_id(wanted.kms_key.clone())
        .set_notification_config(topics);
    let client = wanted.max_concurrency.map(|count| {
        sdk::AsyncInferenceClientConfig::builder().max_concurrent_invocations_per_instance(int(count)).build()
    });
    sdk::AsyncInferenceConfig::builder().output_config(output.build()).set_client_config(client).build()
}

async fn describe(aws: &Aws, name: &str) -> Result<DescribeEndpointConfigOutput, AwsError> {
    Ok(aws.sagemaker().describe_endpoint_config().endpoint_config_name(name).send().await?)
}

async fn read_one(aws: &Aws, name: &str, fields: &Fields) -> Result<Observed<SagemakerEndpointConfig>, AwsError> {
    let found = describe(aws, name).await?;
    let arn = found.endpoint_config_arn().unwrap_or_default().to_owned();
    let arguments = Arguments {
        name: text(found.endpoint_config_name()),
        variants: found.production_variants().iter().map(read_variant).collect(),
        shadow_variants: found.shadow_production_variants().iter().map(read_variant).collect(),
        kms_key: text(found.kms_key_id()),
        data_capture: found.data_capture_config().map(read_capture),
        asynchronous: found.async_inference_config().map(read_asynchronous),
        role: text(found.execution_role_arn()),
        vpc: found.vpc_config().map(Vpc::of_sdk),
        network_isolation: found.enable_network_isolation(),
        tags: Tags::new(),
    };
    let attributes = Attributes { arn: arn.clone(), name: found.endpoint_config_name().unwrap_or_default().to_owned() };
    let mut observed = Observed::<SagemakerEndpointConfig>::new(arguments, attributes, None);
    let (user, owner) = observed.field("tags", read_tags(aws, &arn, fields).await);
    observed.arguments.tags = user;
    observed.owner = owner;
    Ok(observed)
}

fn read_variant(found: &sdk::ProductionVariant) -> Variant {
    Variant {
        name: found.variant_name().unwrap_or_default().to_owned(),
        model: text(found.model_name()),
        instance_type: found.instance_type().map(|kind| kind.as_str().to_owned()),
        instances: found.initial_instance_count().map_or(1, natural),
        weight: rounded(found.initial_variant_weight().unwrap_or(1.0)),
        serverless: found.serverless_config().map(|serverless| Serverless {
            memory_mb: serverless.memory_size_in_mb().map(natural).unwrap_or_default(),
            max_concurrency: serverless.max_concurrency().map(natural).unwrap_or_default(),
            provisioned_concurrency: serverless.provisioned_concurrency().map(natural),
        }),
        scaling: found
            .managed_instance_scaling()
            .filter(|scaling| scaling.status() != Some(&sdk::ManagedInstanceScalingStatus::Disabled))
            .map(|scaling| Scaling {
                min: scaling.min_instance_count().map(natural).unwrap_or_default(),
                max: scaling.max_instance_count().map(natural).unwrap_or_default(),
            }),
        routing: found
            .routing_config()
            .and_then(|routing| routing.routing_strategy())
            .map(|strategy| strategy.as_str().to_owned()),
        volume_gb: found.volume_size_in_gb().map(natural),
        download_timeout_seconds: found.model_data_download_timeout_in_seconds().map(natural),
        startup_timeout_seconds: found.container_startup_health_check_timeout_in_seconds().map(natural),
        ssm_access: found.enable_ssm_access(),
        host_image: found.inference_ami_version().map(|version| version.as_str().to_owned()),
        core_dumps: found.core_dump_config().map(|dumps| CoreDumps {
            uri: dumps.destination_s3_uri().unwrap_or_default().to_owned(),
            kms_key: text(dumps.kms_key_id()),
        }),
    }
}

/// Takes a single-precision weight back to the decimal number that was written (0.1, not 0.10000000149).
fn rounded(weight: f32) -> f64 {
    weight.to_string().parse().unwrap_or_else(|_| f64::from(weight))
}

fn read_capture(found: &sdk::DataCaptureConfig) -> DataCapture {
    let header = found.capture_content_type_header();
    let mode = |option: &sdk::CaptureOption| option.capture_mode().map(|mode| mode.as_str().to_owned());
    DataCapture {
        uri: found.destination_s3_uri().unwrap_or_default().to_owned(),
        enabled: found.enable_capture().unwrap_or_default(),
        sampling_percent: found.initial_sampling_percentage().map(natural).unwrap_or_default(),
        capture: found.capture_options().iter().filter_map(mode).collect(),
        kms_key: text(found.kms_key_id()),
        csv_types: header.map(|header| header.csv_content_types().to_vec()).unwrap_or_default(),
        json_types: header.map(|header| header.json_content_types().to_vec()).unwrap_or_default(),
    }
}

fn read_asynchronous(found: &sdk::AsyncInferenceConfig) -> Asynchronous {
    let output = found.output_config();
    let topics = output.and_then(|output| output.notification_config());
    Asynchronous {
        output_uri: output.and_then(|output| output.s3_output_path()).unwrap_or_default().to_owned(),
        failure_uri: output.and_then(|output| text(output.s3_failure_path())),
        kms_key: output.and_then(|output| text(output.kms_key_id())),
        max_concurrency: found
            .client_config()
            .and_then(|client| client.max_concurrent_invocations_per_instance())
            .map(natural),
        success_topic: topics.and_then(|topics| text(topics.success_topic())),
        error_topic: topics.and_then(|topics| text(topics.error_topic())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_as_written() {
        for weight in [0.1_f64, 1.0, 0.35, 12.5] {
            #[expect(clippy::cast_possible_truncation, reason = "as the API does")]
            let sent = weight as f32;
            assert!((rounded(sent) - weight).abs() < f64::EPSILON);
        }
    }
}
