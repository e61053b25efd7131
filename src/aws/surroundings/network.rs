//! The default VPC, and the network interfaces that instances and services hold in subnets and groups.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, InstanceStateName, InstanceType, NetworkInterfaceType, Placement};

use super::{Ids, of_copy, or_unknown};
use crate::aws::{Aws, AwsError};

/// What is in the network without a kind.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The ids of the default VPC's parts, by what they are (`vpc`, `subnet us-east-1a`, `group`, …); empty without
    /// one, `None` where it could not be read.
    default: Option<BTreeMap<String, String>>,
    interfaces: Vec<Interface>,
    /// Instances in placement groups: type and group.
    placed: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Interface {
    id: String,
    subnet: String,
    groups: Vec<String>,
    /// The Elastic IP that it holds.
    allocation: Option<String>,
}

pub(super) async fn read(aws: &Aws) -> (Network, Vec<String>) {
    let mut unknown = Vec::new();
    let (default, interfaces, placed) = futures::join!(default_parts(aws), interfaces(aws), placed(aws));
    let network = Network {
        default: or_unknown("the default VPC", default.map(Some), &mut unknown),
        interfaces: or_unknown("network interfaces", interfaces, &mut unknown),
        placed: or_unknown("instances", placed, &mut unknown),
    };
    (network, unknown)
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

async fn default_parts(aws: &Aws) -> Result<BTreeMap<String, String>, AwsError> {
    let mut out = BTreeMap::new();
    let found = aws.ec2().describe_vpcs().filters(filter("is-default", "true")).send().await?;
    let Some(vpc) = found.vpcs.unwrap_or_default().into_iter().find_map(|vpc| vpc.vpc_id) else { return Ok(out) };
    let of_vpc = || filter("vpc-id", &vpc);
    let (subnets, groups, tables, acls, gateways) = futures::join!(
        aws.ec2().describe_subnets().filters(of_vpc()).send(),
        aws.ec2().describe_security_groups().filters(of_vpc()).filters(filter("group-name", "default")).send(),
        aws.ec2().describe_route_tables().filters(of_vpc()).filters(filter("association.main", "true")).send(),
        aws.ec2().describe_network_acls().filters(of_vpc()).filters(filter("default", "true")).send(),
        aws.ec2().describe_internet_gateways().filters(filter("attachment.vpc-id", &vpc)).send(),
    );
    for subnet in subnets?.subnets.unwrap_or_default() {
        if subnet.default_for_az == Some(true) {
            let zone = subnet.availability_zone.unwrap_or_default();
            out.extend(subnet.subnet_id.map(|id| (format!("subnet {zone}"), id)));
        }
    }
    let group = groups?.security_groups.unwrap_or_default().into_iter().find_map(|group| group.group_id);
    let table = tables?.route_tables.unwrap_or_default().into_iter().find_map(|table| table.route_table_id);
    let acl = acls?.network_acls.unwrap_or_default().into_iter().find_map(|acl| acl.network_acl_id);
    let gateway = gateways?.internet_gateways.unwrap_or_default().into_iter().find_map(|it| it.internet_gateway_id);
    for (what, id) in [("vpc", Some(vpc)), ("group", group), ("table", table), ("acl", acl), ("gateway", gateway)] {
        out.extend(id.map(|id| (what.to_owned(), id)));
    }
    Ok(out)
}

/// Lists interfaces but for those of NAT gateways and endpoints, which come with their kinds.
async fn interfaces(aws: &Aws) -> Result<Vec<Interface>, AwsError> {
    let mut pages = aws.ec2().describe_network_interfaces().max_results(1000).into_paginator().items().send();
    let mut out = Vec::new();
    while let Some(found) = pages.next().await {
        let found = found?;
        let kind = found.interface_type.as_ref().map(NetworkInterfaceType::as_str);
        // The documentation writes `natGateway`, the API answers `nat_gateway`.
        if matches!(kind, Some("natGateway" | "nat_gateway" | "vpc_endpoint")) {
            continue;
        }
        let groups = found.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id).collect();
        let allocation = found.association.and_then(|association| association.allocation_id);
        let (Some(id), Some(subnet)) = (found.network_interface_id, found.subnet_id) else { continue };
        out.push(Interface { id, subnet, groups, allocation });
    }
    Ok(out)
}

async fn placed(aws: &Aws) -> Result<Vec<(String, String)>, AwsError> {
    let mut pages = aws.ec2().describe_instances().max_results(1000).into_paginator().items().send();
    let mut out = BTreeMap::new();
    while let Some(reservation) = pages.next().await {
        for instance in reservation?.instances.unwrap_or_default() {
            let over = instance.state.and_then(|state| state.name) == Some(InstanceStateName::Terminated);
            let group = instance.placement.and_then(|placement| placement.group_name).filter(|name| !name.is_empty());
            if let (false, Some(group), Some(kind)) = (over, group, instance.instance_type) {
                out.insert(group, kind.as_str().to_owned());
            }
        }
    }
    Ok(out.into_iter().map(|(group, kind)| (kind, group)).collect())
}

impl Network {
    /// Tells whether the account has a default VPC.
    pub fn has_default(&self) -> bool {
        self.default.as_ref().is_some_and(|parts| !parts.is_empty())
    }

    /// Ties the copy's default VPC to the account's, or takes it away where the account has none.
    ///
    /// # Errors
    /// Returns what the copy answered.
    pub async fn write_default(&self, copy: &Aws) -> Result<Ids, AwsError> {
        let Some(own) = &self.default else { return Ok(Ids::new()) };
        let made = default_parts(copy).await?;
        if own.is_empty() {
            remove_default(copy, &made).await?;
            return Ok(Ids::new());
        }
        // A default subnet that somebody deleted is no place for anything.
        for (_, id) in made.iter().filter(|(what, _)| what.starts_with("subnet") && !own.contains_key(*what)) {
            copy.ec2().delete_subnet().subnet_id(id).send().await?;
        }
        Ok(own.iter().filter_map(|(what, id)| Some((id.clone(), made.get(what)?.clone()))).collect())
    }

    /// Puts the interfaces and the placed instances into the copy; returns what it would not take.
    pub async fn write(&self, copy: &Aws, ids: &mut Ids) -> Vec<String> {
        let mut refused = Vec::new();
        for interface in &self.interfaces {
            match write_interface(copy, interface, ids).await {
                Ok(made) => {
                    ids.insert(interface.id.clone(), made);
                }
                Err(error) => refused.push(format!("network interface {}: {}", interface.id, error.reason())),
            }
        }
        for (kind, group) in &self.placed {
            if let Err(error) = write_placed(copy, kind, of_copy(ids, group)).await {
                refused.push(format!("an instance in placement group {group}: {}", error.reason()));
            }
        }
        refused
    }
}

async fn remove_default(copy: &Aws, made: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let Some(vpc) = made.get("vpc") else { return Ok(()) };
    for (_, id) in made.iter().filter(|(what, _)| what.starts_with("subnet")) {
        copy.ec2().delete_subnet().subnet_id(id).send().await?;
    }
    if let Some(gateway) = made.get("gateway") {
        copy.ec2().detach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc).send().await?;
        copy.ec2().delete_internet_gateway().internet_gateway_id(gateway).send().await?;
    }
    copy.ec2().delete_vpc().vpc_id(vpc).send().await?;
    Ok(())
}

async fn write_interface(copy: &Aws, interface: &Interface, ids: &Ids) -> Result<String, AwsError> {
    let groups: Vec<String> = interface.groups.iter().map(|group| of_copy(ids, group).to_owned()).collect();
    let call = copy.ec2().create_network_interface().subnet_id(of_copy(ids, &interface.subnet));
    let made = call.set_groups((!groups.is_empty()).then_some(groups)).send().await?;
    let id = made.network_interface.and_then(|it| it.network_interface_id).unwrap_or_default();
    if let Some(allocation) = &interface.allocation {
        let call = copy.ec2().associate_address().allocation_id(of_copy(ids, allocation)).network_interface_id(&id);
        call.send().await?;
    }
    Ok(id)
}

async fn write_placed(copy: &Aws, kind: &str, group: &str) -> Result<(), AwsError> {
    let images = copy.ec2().describe_images().owners("amazon").send().await?.images.unwrap_or_default();
    let image = images.into_iter().find_map(|image| image.image_id).unwrap_or_default();
    let placement = Placement::builder().group_name(group).build();
    let call = copy.ec2().run_instances().image_id(image).min_count(1).max_count(1).placement(placement);
    call.instance_type(InstanceType::from(kind)).send().await?;
    Ok(())
}
