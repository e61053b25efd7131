//! The registry of kinds: one line each, in the order of their names. Nothing else is edited to add one.

mod bedrock_guardrail;
mod bedrock_guardrail_arguments;
mod bedrock_guardrail_policies;
mod bedrock_guardrail_versions;
mod bedrock_invocation_logging;
mod budget;
mod cloudtrail_trail;
mod ec2;
mod efa;
mod elastic_ip;
mod flow_log;
mod iam_account;
mod iam_instance_profile;
mod iam_policy;
mod iam_role;
mod internet_gateway;
mod kms_key;
mod launch_template;
mod launch_template_arguments;
mod launch_template_data;
mod log_group;
mod nat_gateway;
mod placement_group;
mod route_table;
mod s3_bucket;
mod sagemaker;
mod sagemaker_endpoint;
mod sagemaker_endpoint_config;
mod sagemaker_endpoint_config_arguments;
mod sagemaker_model;
mod secretsmanager_secret;
mod security_group;
mod subnet;
mod vpc;
mod vpc_default_group;
mod vpc_endpoint;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::resource::{Kind, erase};
use crate::kind::KindSchemas;

static REGISTRY: LazyLock<BTreeMap<&'static str, Box<dyn Kind>>> = LazyLock::new(|| {
    let kinds = [
        erase::<bedrock_guardrail::BedrockGuardrail>(),
        erase::<bedrock_invocation_logging::BedrockInvocationLogging>(),
        erase::<budget::Budget>(),
        erase::<cloudtrail_trail::CloudtrailTrail>(),
        erase::<elastic_ip::ElasticIp>(),
        erase::<flow_log::FlowLog>(),
        erase::<iam_instance_profile::IamInstanceProfile>(),
        erase::<iam_policy::IamPolicy>(),
        erase::<iam_role::IamRole>(),
        erase::<internet_gateway::InternetGateway>(),
        erase::<kms_key::KmsKey>(),
        erase::<launch_template::LaunchTemplate>(),
        erase::<log_group::LogGroup>(),
        erase::<nat_gateway::NatGateway>(),
        erase::<placement_group::PlacementGroup>(),
        erase::<route_table::RouteTable>(),
        erase::<s3_bucket::S3Bucket>(),
        erase::<sagemaker_endpoint::SagemakerEndpoint>(),
        erase::<sagemaker_endpoint_config::SagemakerEndpointConfig>(),
        erase::<sagemaker_model::SagemakerModel>(),
        erase::<secretsmanager_secret::SecretsmanagerSecret>(),
        erase::<security_group::SecurityGroup>(),
        erase::<subnet::Subnet>(),
        erase::<vpc::Vpc>(),
        erase::<vpc_endpoint::VpcEndpoint>(),
    ];
    kinds.into_iter().map(|kind| (kind.schema().name, kind)).collect()
});

/// Returns a kind by its name.
pub fn get(name: &str) -> Option<&'static dyn Kind> {
    REGISTRY.get(name).map(AsRef::as_ref)
}

/// Returns all kinds in the order of their names.
pub fn all() -> impl Iterator<Item = &'static dyn Kind> {
    REGISTRY.values().map(AsRef::as_ref)
}

/// Returns the schemas of all kinds.
pub fn schemas() -> KindSchemas {
    all().map(|kind| kind.schema().clone()).collect()
}
