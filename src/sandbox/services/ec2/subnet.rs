//! Subnets: inside their VPC's blocks, never overlapping, in one zone.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::vpc::{self, block, blocks, overlap};
use super::{dependency, describe_as, done, interface, invalid, ipv6, new_tags, not_found, refers, zone_id, zones};
use crate::sandbox::call::{Call, Transition, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateSubnet", create_subnet),
    ("DeleteSubnet", delete_subnet),
    ("DescribeSubnets", describe_subnets),
    ("ModifySubnetAttribute", modify_subnet_attribute),
];

pub(super) const SUBNETS: &str = "subnets";
/// Seconds a new subnet is `pending`.
const PENDING_S: f64 = 1.0;
/// The addresses of each subnet that AWS keeps for itself.
const RESERVED: u64 = 5;

/// Returns a subnet by id.
pub(super) fn subnet(call: &Call<'_>, id: &str) -> Result<Value, AwsError> {
    call.get(SUBNETS, id).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> AwsError {
    not_found("InvalidSubnetID.NotFound", "subnet", id)
}

/// Stores a subnet and ties it to its VPC's network ACL.
pub(super) fn make(
    call: &mut Call<'_>,
    vpc: &str,
    part: Ipv4Net,
    zone: &str,
    zone_id: &str,
    is_default: bool,
    tags: Value,
) -> String {
    let id = call.id("subnet");
    let addresses = (1_u64 << (32 - part.prefix_len())).saturating_sub(RESERVED);
    let mut subnet = json!({
        "SubnetId": id,
        "SubnetArn": call.arn(&format!("subnet/{id}")),
        "VpcId": vpc,
        "OwnerId": call.account,
        "State": "available",
        "CidrBlock": part.to_string(),
        "AvailabilityZone": zone,
        "AvailabilityZoneId": zone_id,
        "AvailableIpAddressCount": addresses,
        "DefaultForAz": is_default,
        "MapPublicIpOnLaunch": is_default,
        "MapCustomerOwnedIpOnLaunch": false,
        "AssignIpv6AddressOnCreation": false,
        "Ipv6CidrBlockAssociationSet": [],
        "EnableDns64": false,
        "Ipv6Native": false,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": false,
            "EnableResourceNameDnsAAAARecord": false,
        },
        "Tags": tags,
        "_arn": call.arn(&format!("subnet/{id}")),
    });
    if !is_default {
        subnet["State"] = json!("pending");
        Transition::from(call.now()).then(PENDING_S, json!({"State": "available"})).attach(&mut subnet);
    }
    call.put(SUBNETS, &id, subnet);
    let acl = call.find("network_acls", |_, acl| text(acl, "VpcId") == vpc && acl["IsDefault"] == true);
    if let Some((acl, _)) = acl {
        let tie = json!({"NetworkAclAssociationId": call.id("aclassoc"), "NetworkAclId": acl, "SubnetId": id});
        call.change("network_acls", &acl, |acl| {
            if let Some(ties) = acl["Associations"].as_array_mut() {
                ties.push(tie);
            }
        });
    }
    id
}

fn create_subnet(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let vpc_id = text(input, "VpcId");
    let found = vpc::vpc(call, vpc_id)?;
    if ["Ipv4IpamPoolId", "Ipv6IpamPoolId", "OutpostArn"].iter().any(|key| input.get(*key).is_some())
        || input["Ipv6Native"] == true
    {
        let message = "the sandbox has no IPAM pools, no IPv6-only subnets and no Outposts";
        return Err(AwsError::new("NotImplementedBySandbox", message));
    }
    let Some(given) = input["CidrBlock"].as_str() else {
        return Err(AwsError::new("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' must be provided."));
    };
    let part = block(given, "Subnet")?;
    if !blocks(&found).iter().any(|block| block.contains(&part)) {
        return Err(AwsError::new("InvalidSubnet.Range", format!("The CIDR '{given}' is invalid.")));
    }
    let conflict = call.any(SUBNETS, |_, other| {
        let other_part: Option<Ipv4Net> = text(other, "CidrBlock").parse().ok();
        text(other, "VpcId") == vpc_id && other_part.is_some_and(|other| overlap(&other, &part))
    });
    if conflict {
        let message = format!("The CIDR '{given}' conflicts with another subnet");
        return Err(AwsError::new("InvalidSubnet.Conflict", message));
    }
    let all = zones(call);
    let zone = match (input["AvailabilityZone"].as_str(), input["AvailabilityZoneId"].as_str()) {
        (Some(_), Some(_)) => {
            let message = "AvailabilityZone and AvailabilityZoneId cannot be used together";
            return Err(AwsError::new("InvalidParameterCombination", message));
        }
        (Some(name), None) => all.iter().find(|zone| *zone == name),
        (None, Some(id)) => all.iter().find(|zone| zone_id(zone) == id),
        (None, None) => all.first(),
    };
    let zone = zone.ok_or_else(|| {
        let names = all.join(", ");
        invalid(format!("Value for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {names}."))
    })?;
    let tags = new_tags(input, "subnet")?;
    let beside = call.count_of(SUBNETS, |other| text(other, "VpcId") == vpc_id);
    if beside >= call.quota("subnets_per_vpc") {
        let message = "The maximum number of subnets has been reached.";
        return Err(AwsError::new("SubnetLimitExceeded", message));
    }
    let ipv6 = input["Ipv6CidrBlock"].as_str().map(|given| ipv6::part(call, &found, given)).transpose()?;
    let id = make(call, vpc_id, part, zone, &zone_id(zone), false, tags);
    if let Some(association) = ipv6 {
        call.change(SUBNETS, &id, |subnet| subnet["Ipv6CidrBlockAssociationSet"] = json!([association]));
    }
    Ok(json!({"Subnet": call.get(SUBNETS, &id)}))
}

fn describe_subnets(call: &mut Call<'_>, input: &Value) -> Answer {
    describe_as(
        call,
        input,
        (SUBNETS, "Subnets"),
        ("SubnetIds", missing),
        &[
            ("availability-zone", "AvailabilityZone"),
            ("availabilityZone", "AvailabilityZone"),
            ("availability-zone-id", "AvailabilityZoneId"),
            ("available-ip-address-count", "AvailableIpAddressCount"),
            ("cidr-block", "CidrBlock"),
            ("cidr", "CidrBlock"),
            ("cidrBlock", "CidrBlock"),
            ("default-for-az", "DefaultForAz"),
            ("defaultForAz", "DefaultForAz"),
            ("map-public-ip-on-launch", "MapPublicIpOnLaunch"),
            ("owner-id", "OwnerId"),
            ("state", "State"),
            ("subnet-arn", "SubnetArn"),
            ("subnet-id", "SubnetId"),
            ("ipv6-cidr-block-association.association-id", "Ipv6CidrBlockAssociationSet.AssociationId"),
            ("ipv6-cidr-block-association.ipv6-cidr-block", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock"),
            ("vpc-id", "VpcId"),
        ],
        &["AvailableIpAddressCount"],
        |call, subnet| {
            let used = interface::count(call, text(subnet, "SubnetId"));
            let free = subnet["AvailableIpAddressCount"].as_u64().unwrap_or_default();
            subnet["AvailableIpAddressCount"] = json!(free.saturating_sub(used));
        },
    )
}

fn delete_subnet(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "SubnetId");
    vpc::ensure_default(call);
    call.get(SUBNETS, id).ok_or_else(|| missing(id))?;
    let live = |kind: &str| {
        call.any(kind, |_, row| {
            let within = text(row, "SubnetId") == id
                || row["SubnetIds"].as_array().into_iter().flatten().any(|subnet| subnet == id);
            within && !matches!(text(row, "State"), "deleted" | "failed") && row["State"]["Name"] != "terminated"
        })
    };
    if refers(call, "network_interfaces", "SubnetId", id)
        || live("nat_gateways")
        || live("instances")
        || live("vpc_endpoints")
    {
        return Err(dependency("subnet", id));
    }
    let mentions = |tie: &Value| text(tie, "SubnetId") == id;
    for kind in ["network_acls", "route_tables"] {
        for (row_id, _) in call.select(kind, |_, row| super::items(row, "Associations").any(mentions)) {
            call.change(kind, &row_id, |row| super::retain(row, "Associations", |tie| !mentions(tie)));
        }
    }
    call.remove(SUBNETS, id);
    done()
}

fn modify_subnet_attribute(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "SubnetId");
    vpc::ensure_default(call);
    call.get(SUBNETS, id).ok_or_else(|| missing(id))?;
    let given: Vec<&String> =
        input.as_object().into_iter().flat_map(|m| m.keys()).filter(|key| *key != "SubnetId").collect();
    let [name] = given.as_slice() else {
        let message = "Exactly one attribute can be modified at a time";
        return Err(AwsError::new("InvalidParameterCombination", message));
    };
    let value = match &input[name.as_str()] {
        Value::Object(wrapped) => wrapped.get("Value").cloned().unwrap_or_default(),
        plain => plain.clone(),
    };
    let options = "PrivateDnsNameOptionsOnLaunch";
    let path: &[&str] = match name.as_str() {
        "MapPublicIpOnLaunch" => &["MapPublicIpOnLaunch"],
        "AssignIpv6AddressOnCreation" => {
            let subnet = subnet(call, id)?;
            if value == true && ipv6::blocks(&subnet).is_empty() {
                return Err(invalid(format!(
                    "Invalid value 'true' for assignIpv6AddressOnCreation. The subnet {id} has no IPv6 CIDR block."
                )));
            }
            &["AssignIpv6AddressOnCreation"]
        }
        "EnableResourceNameDnsAAAARecordOnLaunch" => &[options, "EnableResourceNameDnsAAAARecord"],
        "EnableDns64" => &["EnableDns64"],
        "PrivateDnsHostnameTypeOnLaunch" => &[options, "HostnameType"],
        "EnableResourceNameDnsARecordOnLaunch" => &[options, "EnableResourceNameDnsARecord"],
        other => {
            let message = format!("the sandbox can not change {other} of a subnet");
            return Err(AwsError::new("NotImplementedBySandbox", message));
        }
    };
    call.change(SUBNETS, id, |subnet| match path {
        [outer, inner] => subnet[*outer][*inner] = value,
        _ => subnet[path[0]] = value,
    });
    done()
}
