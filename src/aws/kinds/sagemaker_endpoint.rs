//! A SageMaker endpoint: a configuration, running.
//!
//! Calls: CreateEndpoint (tags in it), UpdateEndpoint, AddTags, DeleteTags, DeleteEndpoint. Reads:
//! DescribeEndpoint and ListTags each.
//! Waits: until `InService` after create and update, until gone after delete; large models take most of an hour.
//! Traps: UpdateEndpoint is refused while another change runs. An update that fails rolls back and ends
//! `InService` with the old configuration, which looks like success to whoever only reads the status. A failed
//! create leaves an endpoint that can only be deleted.

use aws_sdk_sagemaker::operation::describe_endpoint::DescribeEndpointOutput;
use aws_sdk_sagemaker::types as sdk;
use aws_sdk_sagemaker::types::EndpointStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sagemaker::{
    NAME_PATTERN, discovered, find_by_name, int, name_of, predict_name, read_tags, retag, sdk_tags, text,
};
use crate::aws::bulk::InBulk;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::{Owner, Tags};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Holding, Identity, Scope};

/// How long a deployment may take.
const DEPLOYMENT: Bound = Bound::seconds(3 * 60 * 60);
/// How long a deletion may take.
const DELETION: Bound = Bound::seconds(30 * 60);

/// A SageMaker endpoint: instances that answer for the models of an endpoint configuration.
///
/// A new `config` is rolled out in place; when that fails, SageMaker goes back to the old one and the apply says
/// why.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The endpoint's name; left out, it is made of environment and address.
    #[serde(default)]
    #[schemars(regex(pattern = NAME_PATTERN), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// The endpoint configuration, by name.
    pub config: String,
    /// How a new configuration takes over; left out, all at once, with the old fleet kept until the new one is up.
    #[serde(default)]
    #[schemars(extend("x-local" = true))]
    pub deployment: Option<Deployment>,
    /// Whether an update keeps instance counts and weights that autoscaling has set.
    #[serde(default)]
    #[schemars(extend("x-local" = true))]
    pub keep_capacity: bool,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// How a new configuration takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The order in which traffic moves.
    #[serde(default)]
    pub strategy: Strategy,
    /// The size of a canary, or of a step, in percent of the capacity.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    pub step_percent: Option<u32>,
    /// Seconds between steps.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub wait_seconds: u32,
    /// Seconds that the old fleet stays after all traffic has moved.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub termination_wait_seconds: Option<u32>,
    /// Seconds after which the deployment fails.
    #[serde(default)]
    #[schemars(range(min = 600, max = 28800))]
    pub timeout_seconds: Option<u32>,
    /// CloudWatch alarms that roll it back.
    #[serde(default)]
    #[schemars(length(max = 10), extend("x-set" = true))]
    pub rollback_alarms: Vec<String>,
}

/// The order in which traffic moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    #[default]
    AllAtOnce,
    /// A part first, then the rest.
    Canary,
    /// In equal steps.
    Linear,
    /// In batches without a second fleet, for types that are hard to get.
    Rolling,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The endpoint's ARN.
    pub arn: String,
    /// The endpoint's name, by which it is invoked.
    pub name: String,
    /// `Creating`, `InService`, `Updating`, `Failed`, …; one that failed is replaced.
    #[schemars(extend("x-volatile" = true, "x-broken" = ["Failed", "UpdateRollbackFailed"]))]
    pub status: String,
}

/// See the module's header.
pub struct SagemakerEndpoint;

impl ResourceKind for SagemakerEndpoint {
    const NAME: &'static str = "sagemaker_endpoint";
    const SERVICE: &'static str = "sagemaker";
    const IDENTITY: Identity = Identity::UniqueName;
    const HOLDS_DATA: bool = true;
    const IN_BULK: Option<InBulk> = Some(InBulk::tags("sagemaker:endpoint"));
    const ACTIONS: Actions = Actions {
        read: &["sagemaker:DescribeEndpoint", "sagemaker:ListEndpoints", "sagemaker:ListTags", "tag:GetResources"],
        create: &["sagemaker:CreateEndpoint", "sagemaker:AddTags"],
        update: &["sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:UpdateEndpoint"],
        delete: &["sagemaker:DeleteEndpoint"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let Some(deployment) = arguments.get("deployment").filter(|value| !value.is_null()) else { return Vec::new() };
        let strategy = deployment.get("strategy").and_then(Value::as_str).unwrap_or("all_at_once");
        let stepped = strategy != "all_at_once";
        let set = |name: &str| deployment.get(name).is_some_and(|value| !value.is_null());
        let mut out = Vec::new();
        if stepped && !set("step_percent") {
            out.push(Problem::new("deployment.step_percent", format!("`{strategy}` needs the size of a step")));
        }
        if !stepped && set("step_percent") {
            out.push(Problem::new("deployment.step_percent", "`all_at_once` has no steps"));
        }
        if strategy == "rolling" && set("termination_wait_seconds") {
            out.push(Problem::new("deployment.termination_wait_seconds", "`rolling` has no old fleet to keep"));
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
        let reads = ids.iter().map(|id| async { (id.clone(), read_one(aws, id.as_str(), fields).await) });
        Ok(together(reads).await)
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let mut pages = aws.sagemaker().list_endpoints().into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(endpoint) = pages.next().await {
            let endpoint = endpoint?;
            if endpoint.endpoint_status != Some(EndpointStatus::Deleting) {
                found.push((endpoint.endpoint_name.unwrap_or_default(), endpoint.endpoint_arn.unwrap_or_default()));
            }
        }
        discovered(aws, found).await
    }

    async fn find(cx: Creation<'_>, arguments: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        let found = describe(cx.aws, &name).await.map(|found| {
            let leaving = found.endpoint_status == Some(EndpointStatus::Deleting);
            found.endpoint_arn.filter(|_| !leaving)
        });
        find_by_name(cx, name, found).await
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = name_of(cx.owner, arguments.name.as_ref());
        cx.aws
            .sagemaker()
            .create_endpoint()
            .endpoint_name(&name)
            .endpoint_config_name(&arguments.config)
            .set_tags(Some(sdk_tags(&cx.tags(&arguments.tags))))
            .send()
            .await?;
        Ok(name.into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until_settled(aws, id.as_str(), "sagemaker:CreateEndpoint").await.map(|_| ())
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            retag(cx.aws, &cx.before.attributes.arn, &changes).await?;
        }
        if cx.touches("config") {
            deploy(&cx).await?;
        }
        Ok(())
    }

    async fn holds(aws: &Aws, id: &PhysicalId) -> Result<Holding, AwsError> {
        // One that failed answers nobody.
        let failed = describe(aws, id.as_str()).await?.endpoint_status == Some(EndpointStatus::Failed);
        Ok(if failed { Holding::Nothing } else { Holding::Always("the service to whoever calls it".to_owned()) })
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let name = cx.id.as_str();
        let state = describe(cx.aws, name).await?;
        if state.endpoint_status != Some(EndpointStatus::Deleting) {
            if is_changing(&state) {
                // DeleteEndpoint is refused while a change runs; how that ends doesn't matter here.
                until(cx.aws, "a SageMaker deployment", DEPLOYMENT, || poll(cx.aws, name)).await?;
            }
            cx.aws.sagemaker().delete_endpoint().endpoint_name(name).send().await?;
        }
        until(cx.aws, "a SageMaker endpoint's deletion", DELETION, || async {
            match describe(cx.aws, name).await {
                Ok(found) => Ok(Poll::Pending(status(&found))),
                Err(error) => error.absent::<()>().map(|_| Poll::Ready(())),
            }
        })
        .await
    }
}

/// Rolls a configuration out, and tells a rollback from a success.
async fn deploy(cx: &Update<'_, SagemakerEndpoint>) -> Result<(), AwsError> {
    let name = cx.id.as_str();
    let before = until_settled(cx.aws, name, "sagemaker:UpdateEndpoint").await?;
    // An earlier attempt may have got this far.
    if before.endpoint_config_name() != Some(cx.after.config.as_str()) {
        let call = cx
            .aws
            .sagemaker()
            .update_endpoint()
            .endpoint_name(name)
            .endpoint_config_name(&cx.after.config)
            .retain_all_variant_properties(cx.after.keep_capacity)
            .set_deployment_config(cx.after.deployment.as_ref().map(deployment));
        call.send().await?;
    }
    let after = until_settled(cx.aws, name, "sagemaker:UpdateEndpoint").await?;
    if after.endpoint_config_name() == Some(cx.after.config.as_str()) {
        return Ok(());
    }
    let reason = after.failure_reason().unwrap_or("SageMaker gives no reason");
    let message = format!("the update of endpoint `{name}` to `{}` was rolled back: {reason}", cx.after.config);
    Err(AwsError::own("sagemaker:UpdateEndpoint", ErrorClass::Other, "RolledBack", message))
}

/// Waits until no change runs; a failed endpoint is an error with its reason.
async fn until_settled(aws: &Aws, name: &str, action: &str) -> Result<DescribeEndpointOutput, AwsError> {
    let found = until(aws, "a SageMaker deployment", DEPLOYMENT, || poll(aws, name)).await?;
    match found.endpoint_status() {
        Some(EndpointStatus::InService) => Ok(found),
        state => {
            let state = state.map(EndpointStatus::as_str).unwrap_or_default();
            let reason = found.failure_reason().unwrap_or("SageMaker gives no reason");
            let message = format!("endpoint `{name}` is {state}: {reason}");
            Err(AwsError::own(action, ErrorClass::Other, "EndpointFailed", message))
        }
    }
}

async fn poll(aws: &Aws, name: &str) -> Result<Poll<DescribeEndpointOutput>, AwsError> {
    let found = describe(aws, name).await?;
    Ok(if is_changing(&found) { Poll::Pending(status(&found)) } else { Poll::Ready(found) })
}

fn is_changing(found: &DescribeEndpointOutput) -> bool {
    matches!(
        found.endpoint_status(),
        Some(
            EndpointStatus::Creating
                | EndpointStatus::Updating
                | EndpointStatus::SystemUpdating
                | EndpointStatus::RollingBack
                | EndpointStatus::Deleting
        )
    )
}

fn status(found: &DescribeEndpointOutput) -> String {
    found.endpoint_status().map(|status| status.as_str().to_owned()).unwrap_or_default()
}

fn deployment(wanted: &Deployment) -> sdk::DeploymentConfig {
    let step = wanted.step_percent.map(|percent| {
        sdk::CapacitySize::builder().r#type(sdk::CapacitySizeType::CapacityPercent).value(int(percent)).build()
    });
    let alarms: Vec<_> =
        wanted.rollback_alarms.iter().map(|name| sdk::Alarm::builder().alarm_name(name).build()).collect();
    let made = sdk::DeploymentConfig::builder().set_auto_rollback_configuration(
        (!alarms.is_empty()).then(|| sdk::AutoRollbackConfig::builder().set_alarms(Some(alarms)).build()),
    );
    let routing = sdk::TrafficRoutingConfig::builder().wait_interval_in_seconds(int(wanted.wait_seconds));
    let routing = match wanted.strategy {
        Strategy::Rolling => {
            let policy = sdk::RollingUpdatePolicy::builder()
                .set_maximum_batch_size(step)
                .wait_interval_in_seconds(int(wanted.wait_seconds))
                .set_maximum_execution_timeout_in_seconds(wanted.timeout_seconds.map(int));
            return made.rolling_update_policy(policy.build()).build();
        }
        Strategy::AllAtOnce => routing.r#type(sdk::TrafficRoutingConfigType::AllAtOnce),
        Strategy::Canary => routing.r#type(sdk::TrafficRoutingConfigType::Canary).set_canary_size(step),
        Strategy::Linear => routing.r#type(sdk::TrafficRoutingConfigType::Linear).set_linear_step_size(step),
    };
    let policy = sdk::BlueGreenUpdatePolicy::builder()
        .traffic_routing_configuration(routing.build())
        .set_termination_wait_in_seconds(wanted.termination_wait_seconds.map(int))
        .set_maximum_execution_timeout_in_seconds(wanted.timeout_seconds.map(int));
    made.blue_green_update_policy(policy.build()).build()
}

async fn describe(aws: &Aws, name: &str) -> Result<DescribeEndpointOutput, AwsError> {
    Ok(aws.sagemaker().describe_endpoint().endpoint_name(name).send().await?)
}

async fn read_one(aws: &Aws, name: &str, fields: &Fields) -> Observation<SagemakerEndpoint> {
    let found = match describe(aws, name).await {
        Ok(found) if found.endpoint_status() == Some(&EndpointStatus::Deleting) => return Observation::Absent,
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Observation::Absent,
        Err(error) => return Observation::Unreadable(error),
    };
    let arn = found.endpoint_arn().unwrap_or_default().to_owned();
    let arguments = Arguments {
        name: text(found.endpoint_name()),
        config: found.endpoint_config_name().unwrap_or_default().to_owned(),
        deployment: None,
        keep_capacity: false,
        tags: Tags::new(),
    };
    let attributes = Attributes {
        arn: arn.clone(),
        name: found.endpoint_name().unwrap_or_default().to_owned(),
        status: status(&found),
    };
    let mut observed = Observed::<SagemakerEndpoint>::new(arguments, attributes, None);
    let (user, owner) = observed.field("tags", read_tags(aws, &arn, fields).await);
    observed.arguments.tags = user;
    observed.owner = owner;
    Observation::Present(Box::new(observed))
}
