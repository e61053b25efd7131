//! A subnet: one zone's part of a VPC.
//!
//! Calls: CreateSubnet; ModifySubnetAttribute (one attribute a call), AssociateSubnetCidrBlock,
//! DisassociateSubnetCidrBlock, CreateTags, DeleteTags; DeleteSubnet. Reads: DescribeSubnets.
//! Waits: until it is `available`; until an IPv6 range is associated or gone.
//! Traps: CreateSubnet takes no client token, so the tags in the create call are its identity. The count of free
//! addresses changes by itself and is left out, or every plan would look stale.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, HostnameType, ResourceType, Subnet as SdkSubnet, SubnetCidrBlockStateCode,
    SubnetState,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// A part of a VPC in one availability zone.
///
/// Other resources name it by `$(subnet.NAME.id)`. Which way its traffic leaves is set by the route table that
/// names it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The VPC's id.
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: String,
    /// The availability zone's name, such as `us-east-1a`; left out, AWS picks one.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub zone: Option<String>,
    /// The IPv4 range inside the VPC's, `/16` to `/28`; AWS keeps five addresses of it.
    #[schemars(extend("x-change" = "replace", "format" = "cidr", "x-cidr-within" = "vpc", "x-unique" = ["vpc"]))]
    pub cidr: String,
    /// An IPv6 range (`/64`) inside the VPC's.
    #[serde(default)]
    #[schemars(extend("format" = "cidr", "x-unique" = ["vpc"]))]
    pub ipv6_cidr: Option<String>,
    /// Whether new network interfaces get an IPv6 address by themselves.
    #[serde(default)]
    pub assign_ipv6: bool,
    /// Whether the resolver gives IPv4-only names an IPv6 address (DNS64).
    #[serde(default)]
    pub dns64: bool,
    /// Whether instances get a public IPv4 address by themselves.
    #[serde(default)]
    pub map_public_ip: bool,
    /// How instances are named in private DNS.
    #[serde(default)]
    pub private_dns: PrivateDns,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Names of instances in private DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateDns {
    /// What the host name is made of: `ip-name` or `resource-name` (the instance's id).
    #[serde(default)]
    pub hostname: Hostname,
    /// Whether the resource name has an A record.
    #[serde(default)]
    pub a_record: bool,
    /// Whether the resource name has an AAAA record.
    #[serde(default)]
    pub aaaa_record: bool,
}

/// What a host name is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hostname {
    #[default]
    IpName,
    ResourceName,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The subnet's id (`subnet-…`).
    pub id: String,
    /// The subnet's ARN.
    pub arn: String,
    /// The zone's id, the same zone in every account (`use1-az1`).
    pub zone_id: String,
}

/// See the module's header.
pub struct Subnet;

impl ResourceKind for Subnet {
    const NAME: &'static str = "subnet";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::Tags;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeSubnets"],
        create: &["ec2:CreateSubnet", "ec2:CreateTags", "ec2:ModifySubnetAttribute"],
        update: &[
            "ec2:AssociateSubnetCidrBlock",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:DisassociateSubnetCidrBlock",
            "ec2:ModifySubnetAttribute",
        ],
        delete: &["ec2:DeleteSubnet"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let mut out: Vec<Problem> = text("cidr").and_then(|text| ec2::check_range("cidr", text)).into_iter().collect();
        let assign = arguments.get("assign_ipv6").and_then(Value::as_bool) == Some(true);
        if assign && arguments.get("ipv6_cidr").is_none_or(Value::is_null) {
            out.push(Problem::new("assign_ipv6", "without `ipv6_cidr` there are no IPv6 addresses to assign"));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("subnet-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().map(observe)))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?;
        // AWS made the subnets of the default VPC.
        let found = found.into_iter().filter(|subnet| subnet.default_for_az != Some(true));
        Ok(found.map(|subnet| ec2::discovered(subnet.subnet_id, subnet.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|subnet| subnet.subnet_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let call = cx.aws.ec2().create_subnet().vpc_id(&arguments.vpc).cidr_block(&arguments.cidr);
        let call = call.set_availability_zone(arguments.zone.clone());
        let call = call.set_ipv6_cidr_block(arguments.ipv6_cidr.clone());
        let call = call.tag_specifications(ec2::tag_specification(ResourceType::Subnet, &cx.tags(&arguments.tags)));
        let id = call.send().await?.subnet.and_then(|subnet| subnet.subnet_id);
        Ok(id.expect("internal error: CreateSubnet answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "the subnet to be available", Bound::seconds(120), || async {
            let found = list(aws, vec![ec2::filter("subnet-id", [id.as_str()])]).await?;
            Ok(match found.first().and_then(|subnet| subnet.state.clone()) {
                Some(SubnetState::Available) => Poll::Ready(()),
                Some(other) => Poll::Pending(other.as_str().to_owned()),
                None => Poll::Pending("not visible".to_owned()),
            })
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        // A range that addresses are assigned from can't go, and without a range none can be assigned.
        let before = cx.before.arguments.assign_ipv6;
        let moves = cx.touches("ipv6_cidr") && cx.before.arguments.ipv6_cidr != cx.after.ipv6_cidr;
        if before && (moves || !cx.after.assign_ipv6) {
            assign_ipv6(&cx, false).await?;
        }
        if moves {
            set_ipv6(&cx).await?;
        }
        if cx.after.assign_ipv6 && (moves || !before) {
            assign_ipv6(&cx, true).await?;
        }
        set_switches(&cx).await?;
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        // Network interfaces of deleted endpoints and gateways leave a little after them.
        ec2::while_in_use(cx.aws, Bound::seconds(600), || async {
            cx.aws.ec2().delete_subnet().subnet_id(cx.id.as_str()).send().await?;
            Ok(())
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkSubnet>, AwsError> {
    let call = aws.ec2().describe_subnets().set_filters(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

fn observe(subnet: SdkSubnet) -> (PhysicalId, Observed<Subnet>) {
    let ipv6 = ipv6(&subnet).map(|(_, range)| range);
    let (tags, owner) = ec2::split_tags(subnet.tags);
    let id = subnet.subnet_id.unwrap_or_default();
    let dns = subnet.private_dns_name_options_on_launch;
    let arguments = Arguments {
        vpc: subnet.vpc_id.unwrap_or_default(),
        zone: subnet.availability_zone,
        cidr: subnet.cidr_block.unwrap_or_default(),
        ipv6_cidr: ipv6,
        assign_ipv6: subnet.assign_ipv6_address_on_creation.unwrap_or_default(),
        dns64: subnet.enable_dns64.unwrap_or_default(),
        map_public_ip: subnet.map_public_ip_on_launch.unwrap_or_default(),
        private_dns: dns.map_or_else(PrivateDns::default, |dns| PrivateDns {
            hostname: match dns.hostname_type {
                Some(HostnameType::ResourceName) => Hostname::ResourceName,
                _ => Hostname::IpName,
            },
            a_record: dns.enable_resource_name_dns_a_record.unwrap_or_default(),
            aaaa_record: dns.enable_resource_name_dns_aaaa_record.unwrap_or_default(),
        }),
        tags,
    };
    let attributes = Attributes {
        id: id.clone(),
        arn: subnet.subnet_arn.unwrap_or_default(),
        zone_id: subnet.availability_zone_id.unwrap_or_default(),
    };
    (id.into(), Observed::new(arguments, attributes, owner))
}

/// Returns the IPv6 association's id and range.
fn ipv6(subnet: &SdkSubnet) -> Option<(String, String)> {
    let associated = subnet.ipv6_cidr_block_association_set().iter().find(|one| {
        one.ipv6_cidr_block_state.as_ref().and_then(|state| state.state.as_ref())
            == Some(&SubnetCidrBlockStateCode::Associated)
    })?;
    associated.association_id.clone().zip(associated.ipv6_cidr_block.clone())
}

async fn assign_ipv6(cx: &Update<'_, Subnet>, on: bool) -> Result<(), AwsError> {
    let call = cx.aws.ec2().modify_subnet_attribute().subnet_id(cx.id.as_str());
    call.assign_ipv6_address_on_creation(AttributeBooleanValue::builder().value(on).build()).send().await?;
    Ok(())
}

async fn set_switches(cx: &Update<'_, Subnet>) -> Result<(), AwsError> {
    let modify = || cx.aws.ec2().modify_subnet_attribute().subnet_id(cx.id.as_str());
    let value = |on: bool| AttributeBooleanValue::builder().value(on).build();
    let after = cx.after;
    if cx.touches("dns64") {
        modify().enable_dns64(value(after.dns64)).send().await?;
    }
    if cx.touches("map_public_ip") {
        modify().map_public_ip_on_launch(value(after.map_public_ip)).send().await?;
    }
    if cx.touches("private_dns.hostname") {
        let hostname = match after.private_dns.hostname {
            Hostname::IpName => HostnameType::IpName,
            Hostname::ResourceName => HostnameType::ResourceName,
        };
        modify().private_dns_hostname_type_on_launch(hostname).send().await?;
    }
    if cx.touches("private_dns.a_record") {
        modify().enable_resource_name_dns_a_record_on_launch(value(after.private_dns.a_record)).send().await?;
    }
    if cx.touches("private_dns.aaaa_record") {
        modify().enable_resource_name_dns_aaaa_record_on_launch(value(after.private_dns.aaaa_record)).send().await?;
    }
    Ok(())
}

/// Sets the IPv6 range; a subnet has one at most, so a new one waits until the old one is gone.
async fn set_ipv6(cx: &Update<'_, Subnet>) -> Result<(), AwsError> {
    let (ec2, id) = (cx.aws.ec2(), cx.id.as_str());
    let now = || list(cx.aws, vec![ec2::filter("subnet-id", [id])]);
    let until_is = |wanted: Option<String>| {
        until(cx.aws, "the subnet's IPv6 range", Bound::seconds(300), move || {
            let wanted = wanted.clone();
            async move {
                let is = now().await?.first().and_then(ipv6).map(|(_, range)| range);
                Ok(if is == wanted { Poll::Ready(()) } else { Poll::Pending("changing".to_owned()) })
            }
        })
    };
    if let Some((association, range)) = now().await?.first().and_then(ipv6) {
        if Some(&range) == cx.after.ipv6_cidr.as_ref() {
            return Ok(());
        }
        ec2.disassociate_subnet_cidr_block().association_id(association).send().await?;
        until_is(None).await?;
    }
    if let Some(range) = &cx.after.ipv6_cidr {
        ec2.associate_subnet_cidr_block().subnet_id(id).ipv6_cidr_block(range).send().await?;
        until_is(Some(range.clone())).await?;
    }
    Ok(())
}
