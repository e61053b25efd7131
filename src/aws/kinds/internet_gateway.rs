//! An internet gateway, and the VPC it is attached to.
//!
//! Calls: CreateInternetGateway; AttachInternetGateway, DetachInternetGateway, CreateTags, DeleteTags;
//! DeleteInternetGateway. Reads: DescribeInternetGateways.
//! Waits: until a Describe shows it; a detach waits while the VPC still has public addresses in use.
//! Traps: the create takes no client token, so the tags in the create call are its identity. A gateway that is
//! attached can't be deleted.

use aws_sdk_ec2::types::{Filter, InternetGateway as SdkGateway, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ec2;
use crate::aws::resource::{Creation, Deletion, Discovered, Fields, Observation, Observed, ResourceKind, Update};
use crate::aws::tags::Tags;
use crate::aws::wait::Bound;
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// The way from a VPC to the internet.
///
/// A subnet is public when its route table sends `0.0.0.0/0` to `$(internet_gateway.NAME.id)`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The VPC's id; left out, the gateway is attached to none.
    #[serde(default)]
    #[schemars(extend("x-unique" = []))]
    pub vpc: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The gateway's id (`igw-…`).
    pub id: String,
    /// The gateway's ARN.
    pub arn: String,
}

/// See the module's header.
pub struct InternetGateway;

impl ResourceKind for InternetGateway {
    const NAME: &'static str = "internet_gateway";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::Tags;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeInternetGateways", "ec2:DescribeVpcs"],
        create: &["ec2:AttachInternetGateway", "ec2:CreateInternetGateway", "ec2:CreateTags"],
        update: &["ec2:AttachInternetGateway", "ec2:CreateTags", "ec2:DeleteTags", "ec2:DetachInternetGateway"],
        delete: &["ec2:DeleteInternetGateway", "ec2:DetachInternetGateway"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("internet-gateway-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().map(|gateway| observe(aws, gateway))))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let call = aws.ec2().describe_vpcs().filters(ec2::filter("is-default", ["true"]));
        let default = call.send().await?.vpcs.unwrap_or_default().into_iter().find_map(|vpc| vpc.vpc_id);
        let found = list(aws, Vec::new()).await?;
        // AWS made the gateway of the default VPC.
        let found = found.into_iter().filter(|gateway| default.is_none() || attached(gateway) != default);
        Ok(found.map(|gateway| ec2::discovered(gateway.internet_gateway_id, gateway.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|gateway| gateway.internet_gateway_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let tags = ec2::tag_specification(ResourceType::InternetGateway, &cx.tags(&arguments.tags));
        let output = cx.aws.ec2().create_internet_gateway().tag_specifications(tags).send().await?;
        let id = output.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
        Ok(id.expect("internal error: CreateInternetGateway answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        let list = || list(aws, vec![ec2::filter("internet-gateway-id", [id.as_str()])]);
        ec2::until_seen(aws, "the internet gateway", list).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("vpc") && cx.before.arguments.vpc != cx.after.vpc {
            // A gateway has one VPC at most, so the old one has to be left first.
            if let Some(vpc) = &cx.before.arguments.vpc {
                detach(cx.aws, cx.id.as_str(), vpc).await?;
            }
            if let Some(vpc) = &cx.after.vpc {
                let call = cx.aws.ec2().attach_internet_gateway().internet_gateway_id(cx.id.as_str());
                call.vpc_id(vpc).send().await?;
            }
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let id = cx.id.as_str();
        for gateway in list(cx.aws, vec![ec2::filter("internet-gateway-id", [id])]).await? {
            if let Some(vpc) = attached(&gateway) {
                detach(cx.aws, id, &vpc).await?;
            }
        }
        cx.aws.ec2().delete_internet_gateway().internet_gateway_id(id).send().await?;
        Ok(())
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkGateway>, AwsError> {
    let call = aws.ec2().describe_internet_gateways().set_filters(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

fn attached(gateway: &SdkGateway) -> Option<String> {
    gateway.attachments().iter().find_map(|attachment| attachment.vpc_id.clone())
}

/// Detaches a gateway; NAT gateways and addresses on their way out hold it for some minutes.
async fn detach(aws: &Aws, id: &str, vpc: &str) -> Result<(), AwsError> {
    ec2::while_in_use(aws, Bound::seconds(900), || async {
        let call = aws.ec2().detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
        match call.send().await.map_err(AwsError::from) {
            Err(error) if error.code == "Gateway.NotAttached" => Ok(()),
            other => other.map(|_| ()),
        }
    })
    .await
}

fn observe(aws: &Aws, gateway: SdkGateway) -> (PhysicalId, Observed<InternetGateway>) {
    let vpc = attached(&gateway);
    let (tags, owner) = ec2::split_tags(gateway.tags);
    let id = gateway.internet_gateway_id.unwrap_or_default();
    let arn = ec2::arn(aws, gateway.owner_id.as_deref(), &format!("internet-gateway/{id}"));
    let attributes = Attributes { id: id.clone(), arn };
    (id.into(), Observed::new(Arguments { vpc, tags }, attributes, owner))
}
