//! An Elastic IP address: a public IPv4 address that stays the same.
//!
//! Calls: AllocateAddress; CreateTags, DeleteTags; ReleaseAddress. Reads: DescribeAddresses (it has no pages).
//! Waits: until a Describe shows it; a release waits while a gateway on its way out still holds the address.
//! Traps: AllocateAddress takes no client token, so the tags in the call are its identity. Which interface holds
//! the address is that interface's matter and is left out here.

use aws_sdk_ec2::types::{Address as SdkAddress, DomainType, Filter, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ec2;
use crate::aws::resource::{Creation, Deletion, Discovered, Fields, Observation, Observed, ResourceKind, Update};
use crate::aws::tags::Tags;
use crate::aws::wait::Bound;
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// A public IPv4 address that stays the same, as a NAT gateway needs one.
///
/// A NAT gateway names it by `$(elastic_ip.NAME.allocation_id)`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The group of local zones that announces the address, such as `us-west-2-lax-1`; left out, the region.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub network_border_group: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The allocation's id (`eipalloc-…`).
    pub allocation_id: String,
    /// The address.
    pub public_ip: String,
}

/// See the module's header.
pub struct ElasticIp;

impl ResourceKind for ElasticIp {
    const NAME: &'static str = "elastic_ip";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::Tags;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeAddresses"],
        create: &["ec2:AllocateAddress", "ec2:CreateTags"],
        update: &["ec2:CreateTags", "ec2:DeleteTags"],
        delete: &["ec2:ReleaseAddress"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("allocation-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().map(observe)))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?;
        Ok(found.into_iter().map(|address| ec2::discovered(address.allocation_id, address.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|address| address.allocation_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let tags = ec2::tag_specification(ResourceType::ElasticIp, &cx.tags(&arguments.tags));
        let call = cx.aws.ec2().allocate_address().domain(DomainType::Vpc).tag_specifications(tags);
        let output = call.set_network_border_group(arguments.network_border_group.clone()).send().await?;
        Ok(output.allocation_id.expect("internal error: AllocateAddress answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        let list = || list(aws, vec![ec2::filter("allocation-id", [id.as_str()])]);
        ec2::until_seen(aws, "the address", list).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        ec2::while_in_use(cx.aws, Bound::seconds(300), || async {
            cx.aws.ec2().release_address().allocation_id(cx.id.as_str()).send().await?;
            Ok(())
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkAddress>, AwsError> {
    let output = aws.ec2().describe_addresses().set_filters(Some(filters)).send().await?;
    Ok(output.addresses.unwrap_or_default())
}

fn observe(address: SdkAddress) -> (PhysicalId, Observed<ElasticIp>) {
    let (tags, owner) = ec2::split_tags(address.tags);
    let id = address.allocation_id.unwrap_or_default();
    let arguments = Arguments { network_border_group: address.network_border_group, tags };
    let attributes = Attributes { allocation_id: id.clone(), public_ip: address.public_ip.unwrap_or_default() };
    (id.into(), Observed::new(arguments, attributes, owner))
}
