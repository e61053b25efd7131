//! A VPC: the private network that everything else lies in.
//!
//! Calls: CreateVpc; ModifyVpcAttribute, AssociateVpcCidrBlock, DisassociateVpcCidrBlock, CreateTags, DeleteTags,
//! and those of `vpc_default_group.rs`; DeleteVpc. Reads: DescribeVpcs, and in bulk what belongs to each VPC (DescribeSecurityGroups,
//! DescribeRouteTables, DescribeNetworkAcls); DescribeVpcAttribute per VPC and attribute.
//! Waits: until it is `available`; until new address ranges are associated and old ones gone.
//! Traps: CreateVpc takes no client token, so the tags in the create call are its identity. DNS hostnames need
//! DNS support, so the order of the two switches matters. The default security group, the main route table and
//! the default network ACL come and go with their VPC; they are attributes here and never resources of their own.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, ResourceType, SecurityGroup, Tenancy, Vpc as SdkVpc, VpcAttributeName,
    VpcCidrBlockStateCode, VpcState,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use super::vpc_default_group::{self, DefaultGroup};
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update, yes,
};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, together};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// A private network of the account.
///
/// Other resources name it by `$(vpc.NAME.id)`. Whatever names no security group is in its default group; nothing
/// should use that, and `default_group: closed` sees to it that nothing can.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The IPv4 range, `/16` to `/28`.
    #[schemars(extend("x-change" = "replace", "format" = "cidr"))]
    pub cidr: String,
    /// Further IPv4 ranges, `/16` to `/28`.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub secondary_cidrs: Vec<String>,
    /// Whether it also has an IPv6 range of Amazon's (`/56`); `$(vpc.NAME.ipv6_cidr)` is the range.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether AWS's resolver answers inside the VPC.
    #[serde(default = "yes")]
    pub dns_support: bool,
    /// Whether instances with public addresses get public DNS names; interface endpoints with private DNS need it.
    #[serde(default)]
    pub dns_hostnames: bool,
    /// What the default security group lets through: `closed` nothing, `aws` everything among its members and
    /// everything out; left out, it is left alone.
    #[serde(default)]
    #[schemars(extend("x-access" = true))]
    pub default_group: Option<DefaultGroup>,
    /// Whether CloudWatch counts the network addresses in use.
    #[serde(default)]
    pub address_usage_metrics: bool,
    /// Whether instances share hardware with other accounts: `default`, or `dedicated` where they never do.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub tenancy: VpcTenancy,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Whose hardware instances run on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VpcTenancy {
    #[default]
    Default,
    Dedicated,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The VPC's id (`vpc-…`).
    pub id: String,
    /// The VPC's ARN.
    pub arn: String,
    /// The IPv6 range, where it has one.
    #[schemars(extend("x-volatile" = true))]
    pub ipv6_cidr: Option<String>,
    /// The security group of whatever names none.
    pub default_security_group: String,
    /// The route table of subnets that name none.
    pub main_route_table: String,
    /// The network ACL of subnets that name none.
    pub default_network_acl: String,
    /// The DHCP options set.
    pub dhcp_options: String,
}

/// See the module's header.
pub struct Vpc;

impl ResourceKind for Vpc {
    const NAME: &'static str = "vpc";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::Tags;
    const ACTIONS: Actions = Actions {
        read: &[
            "ec2:DescribeNetworkAcls",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeVpcAttribute",
            "ec2:DescribeVpcs",
        ],
        create: &[
            "ec2:CreateVpc",
            "ec2:CreateTags",
            "ec2:ModifyVpcAttribute",
            "ec2:AssociateVpcCidrBlock",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ],
        update: &[
            "ec2:AssociateVpcCidrBlock",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:DisassociateVpcCidrBlock",
            "ec2:ModifyVpcAttribute",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ],
        delete: &["ec2:DeleteVpc"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        let flag = |name: &str| arguments.get(name).and_then(Value::as_bool);
        if flag("dns_hostnames") == Some(true) && flag("dns_support") == Some(false) {
            out.push(Problem::new("dns_hostnames", "DNS hostnames need `dns_support`"));
        }
        out.extend(arguments.get("cidr").and_then(Value::as_str).and_then(|text| ec2::check_range("cidr", text)));
        let secondary = arguments.get("secondary_cidrs").and_then(Value::as_array);
        for (index, text) in secondary.into_iter().flatten().enumerate() {
            let path = format!("secondary_cidrs[{index}]");
            out.extend(text.as_str().and_then(|text| ec2::check_range(&path, text)));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let vpcs = ec2::list_by_ids("vpc-id", ids, |filters| list(aws, filters)).await?;
        let found: Vec<PhysicalId> = vpcs.iter().filter_map(|vpc| vpc.vpc_id.clone().map(PhysicalId::from)).collect();
        let parts = Parts::read(aws, &found).await?;
        let reads = vpcs.into_iter().map(|vpc| observe(aws, vpc, fields, &parts));
        Ok(ec2::answers(ids, together(reads).await))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let vpcs = list(aws, Vec::new()).await?;
        // AWS made the default VPC.
        let vpcs = vpcs.into_iter().filter(|vpc| vpc.is_default != Some(true));
        Ok(vpcs.map(|vpc| ec2::discovered(vpc.vpc_id, vpc.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let vpcs = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(vpcs.into_iter().filter_map(|vpc| vpc.vpc_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let tenancy = match arguments.tenancy {
            VpcTenancy::Default => Tenancy::Default,
            VpcTenancy::Dedicated => Tenancy::Dedicated,
        };
        let call = cx.aws.ec2().create_vpc().cidr_block(&arguments.cidr).instance_tenancy(tenancy);
        let call = call.amazon_provided_ipv6_cidr_block(arguments.ipv6);
        let call = call.tag_specifications(ec2::tag_specification(ResourceType::Vpc, &cx.tags(&arguments.tags)));
        let vpc = call.send().await?.vpc.and_then(|vpc| vpc.vpc_id);
        Ok(vpc.expect("internal error: CreateVpc answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "the VPC to be available", Bound::seconds(120), || async {
            let found = list(aws, vec![ec2::filter("vpc-id", [id.as_str()])]).await?;
            let state = found.first().and_then(|vpc| vpc.state.clone());
            Ok(match state {
                Some(VpcState::Available) => Poll::Ready(()),
                Some(other) => Poll::Pending(other.as_str().to_owned()),
                None => Poll::Pending("not visible".to_owned()),
            })
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        set_switches(&cx).await?;
        if cx.touches("secondary_cidrs") || cx.touches("ipv6") {
            set_ranges(&cx).await?;
        }
        if cx.touches("default_group") {
            let group = &cx.before.attributes.default_security_group;
            vpc_default_group::set(cx.aws, group, cx.after.default_group, cx.after.ipv6).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        // Network interfaces of deleted endpoints and gateways leave a little after them.
        ec2::while_in_use(cx.aws, Bound::seconds(300), || async {
            cx.aws.ec2().delete_vpc().vpc_id(cx.id.as_str()).send().await?;
            Ok(())
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkVpc>, AwsError> {
    let call = aws.ec2().describe_vpcs().set_filters(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

/// What comes with each VPC, by the VPC's id.
struct Parts {
    groups: BTreeMap<String, SecurityGroup>,
    tables: BTreeMap<String, String>,
    acls: BTreeMap<String, String>,
}

impl Parts {
    async fn read(aws: &Aws, vpcs: &[PhysicalId]) -> Result<Self, AwsError> {
        let with = |mut filters: Vec<Filter>, name: &str, value: &str| {
            filters.push(ec2::filter(name, [value]));
            Some(filters)
        };
        let groups = ec2::list_by_ids("vpc-id", vpcs, |filters| async {
            let call = aws.ec2().describe_security_groups().set_filters(with(filters, "group-name", "default"));
            Ok(call.into_paginator().page_size(1000).items().send().try_collect().await?)
        });
        let tables = ec2::list_by_ids("vpc-id", vpcs, |filters| async {
            let call = aws.ec2().describe_route_tables().set_filters(with(filters, "association.main", "true"));
            Ok(call.into_paginator().page_size(100).items().send().try_collect().await?)
        });
        let acls = ec2::list_by_ids("vpc-id", vpcs, |filters| async {
            let call = aws.ec2().describe_network_acls().set_filters(with(filters, "default", "true"));
            Ok(call.into_paginator().page_size(1000).items().send().try_collect().await?)
        });
        let (groups, tables, acls) = futures::try_join!(groups, tables, acls)?;
        Ok(Self {
            groups: groups.into_iter().filter_map(|group| Some((group.vpc_id.clone()?, group))).collect(),
            tables: tables.into_iter().filter_map(|table| table.vpc_id.zip(table.route_table_id)).collect(),
            acls: acls.into_iter().filter_map(|acl| acl.vpc_id.zip(acl.network_acl_id)).collect(),
        })
    }
}

async fn observe(aws: &Aws, vpc: SdkVpc, fields: &Fields, parts: &Parts) -> (PhysicalId, Observed<Vpc>) {
    let id = vpc.vpc_id.clone().unwrap_or_default();
    let (tags, owner) = ec2::split_tags(vpc.tags.clone());
    let cidr = vpc.cidr_block.clone().unwrap_or_default();
    let part = |parts: &BTreeMap<String, String>| parts.get(&id).cloned().unwrap_or_default();
    let ipv6_cidr = ipv6(&vpc).map(|(_, range)| range);
    let arguments = Arguments {
        secondary_cidrs: secondary(&vpc).into_keys().collect(),
        cidr,
        ipv6: ipv6_cidr.is_some(),
        dns_support: true,
        dns_hostnames: false,
        default_group: parts.groups.get(&id).map(vpc_default_group::state),
        address_usage_metrics: false,
        tenancy: match vpc.instance_tenancy {
            Some(Tenancy::Dedicated) => VpcTenancy::Dedicated,
            _ => VpcTenancy::Default,
        },
        tags,
    };
    let attributes = Attributes {
        arn: ec2::arn(aws, vpc.owner_id.as_deref(), &format!("vpc/{id}")),
        ipv6_cidr,
        default_security_group: parts.groups.get(&id).and_then(|it| it.group_id.clone()).unwrap_or_default(),
        main_route_table: part(&parts.tables),
        default_network_acl: part(&parts.acls),
        dhcp_options: vpc.dhcp_options_id.unwrap_or_default(),
        id: id.clone(),
    };
    let mut observed: Observed<Vpc> = Observed::new(arguments, attributes, owner);
    let (support, hostnames, metrics) = futures::join!(
        switch(aws, &id, VpcAttributeName::EnableDnsSupport, fields.wants("dns_support")),
        switch(aws, &id, VpcAttributeName::EnableDnsHostnames, fields.wants("dns_hostnames")),
        switch(aws, &id, VpcAttributeName::EnableNetworkAddressUsageMetrics, fields.wants("address_usage_metrics")),
    );
    observed.arguments.dns_support = observed.field("dns_support", support);
    observed.arguments.dns_hostnames = observed.field("dns_hostnames", hostnames);
    observed.arguments.address_usage_metrics = observed.field("address_usage_metrics", metrics);
    (id.into(), observed)
}

async fn switch(aws: &Aws, id: &str, attribute: VpcAttributeName, wanted: bool) -> Result<bool, AwsError> {
    if !wanted {
        return Ok(attribute == VpcAttributeName::EnableDnsSupport);
    }
    let output = aws.ec2().describe_vpc_attribute().vpc_id(id).attribute(attribute.clone()).send().await?;
    let value = match attribute {
        VpcAttributeName::EnableDnsSupport => output.enable_dns_support,
        VpcAttributeName::EnableDnsHostnames => output.enable_dns_hostnames,
        _ => output.enable_network_address_usage_metrics,
    };
    Ok(value.and_then(|value| value.value).unwrap_or_default())
}

/// Returns the ranges besides the first, each with its association's id.
fn secondary(vpc: &SdkVpc) -> BTreeMap<String, String> {
    let associations = vpc.cidr_block_association_set().iter();
    let associated = associations.filter(|one| {
        one.cidr_block_state.as_ref().and_then(|state| state.state.as_ref()) == Some(&VpcCidrBlockStateCode::Associated)
    });
    let ranges = associated.filter_map(|one| one.cidr_block.clone().zip(one.association_id.clone()));
    ranges.filter(|(range, _)| Some(range) != vpc.cidr_block.as_ref()).collect()
}

/// Returns the IPv6 range and its association's id.
fn ipv6(vpc: &SdkVpc) -> Option<(String, String)> {
    let associated = vpc.ipv6_cidr_block_association_set().iter().find(|one| {
        one.ipv6_cidr_block_state.as_ref().and_then(|state| state.state.as_ref())
            == Some(&VpcCidrBlockStateCode::Associated)
    })?;
    associated.association_id.clone().zip(associated.ipv6_cidr_block.clone())
}

/// Sets the DNS switches; hostnames are on only while support is.
async fn set_switches(cx: &Update<'_, Vpc>) -> Result<(), AwsError> {
    let modify = || cx.aws.ec2().modify_vpc_attribute().vpc_id(cx.id.as_str());
    let value = |on: bool| AttributeBooleanValue::builder().value(on).build();
    let after = cx.after;
    if cx.touches("dns_hostnames") && !after.dns_hostnames {
        modify().enable_dns_hostnames(value(false)).send().await?;
    }
    if cx.touches("dns_support") {
        modify().enable_dns_support(value(after.dns_support)).send().await?;
    }
    if cx.touches("dns_hostnames") && after.dns_hostnames {
        modify().enable_dns_hostnames(value(true)).send().await?;
    }
    if cx.touches("address_usage_metrics") {
        modify().enable_network_address_usage_metrics(value(after.address_usage_metrics)).send().await?;
    }
    Ok(())
}

/// Associates new ranges before it takes old ones away, and waits until both are done.
async fn set_ranges(cx: &Update<'_, Vpc>) -> Result<(), AwsError> {
    let (ec2, id) = (cx.aws.ec2(), cx.id.as_str());
    let now = list(cx.aws, vec![ec2::filter("vpc-id", [id])]).await?;
    let Some(vpc) = now.first() else { return Ok(()) };
    let have = secondary(vpc);
    for range in cx.after.secondary_cidrs.iter().filter(|range| !have.contains_key(*range)) {
        ec2.associate_vpc_cidr_block().vpc_id(id).cidr_block(range).send().await?;
    }
    if cx.after.ipv6 && ipv6(vpc).is_none() {
        ec2.associate_vpc_cidr_block().vpc_id(id).amazon_provided_ipv6_cidr_block(true).send().await?;
    }
    let unwanted = have.iter().filter(|(range, _)| !cx.after.secondary_cidrs.contains(range));
    let unwanted_ipv6 = ipv6(vpc).filter(|_| !cx.after.ipv6).map(|(association, _)| association);
    for association in unwanted.map(|(_, association)| association.clone()).chain(unwanted_ipv6) {
        ec2.disassociate_vpc_cidr_block().association_id(association).send().await?;
    }
    until(cx.aws, "the VPC's address ranges", Bound::seconds(300), || async {
        let now = list(cx.aws, vec![ec2::filter("vpc-id", [id])]).await?;
        let done = now.first().is_some_and(|vpc| {
            let have = secondary(vpc);
            have.len() == cx.after.secondary_cidrs.len()
                && cx.after.secondary_cidrs.iter().all(|range| have.contains_key(range))
                && ipv6(vpc).is_some() == cx.after.ipv6
        });
        Ok(if done { Poll::Ready(()) } else { Poll::Pending("changing".to_owned()) })
    })
    .await
}
