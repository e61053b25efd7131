//! IPv6 blocks: Amazon's own for VPCs, and their parts for subnets.

use ipnet::Ipv6Net;
use serde_json::{Value, json};

use super::{invalid, items, subnet, vpc};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AssociateSubnetCidrBlock", associate_subnet_cidr_block),
    ("DisassociateSubnetCidrBlock", disassociate_subnet_cidr_block),
];

const SET: &str = "Ipv6CidrBlockAssociationSet";

/// Returns the IPv6 blocks of a VPC or subnet.
pub(super) fn blocks(resource: &Value) -> Vec<String> {
    let held = items(resource, SET).filter(|one| one["Ipv6CidrBlockState"]["State"] == "associated");
    held.map(|one| text(one, "Ipv6CidrBlock").to_owned()).collect()
}

/// Makes an association with a block of Amazon's, a `/56`.
pub(super) fn amazons(call: &mut Call<'_>) -> Value {
    let bytes = call.entropy();
    let block = format!("2600:1f18:{:x}{:02x}:{:x}00::/56", bytes[0] | 0x10, bytes[1], bytes[2] | 0x10);
    let block: Ipv6Net = block.parse().expect("internal error: a block made of hexadecimal parts is valid");
    json!({
        "AssociationId": call.id("vpc-cidr-assoc"),
        "Ipv6CidrBlock": block.trunc().to_string(),
        "Ipv6CidrBlockState": {"State": "associated"},
        "NetworkBorderGroup": call.region,
        "Ipv6Pool": "Amazon",
        "IpSource": "amazon",
        "Ipv6AddressAttribute": "public",
    })
}

/// Makes a subnet's association with a part of its VPC's block.
pub(super) fn part(call: &mut Call<'_>, vpc: &Value, given: &str) -> Result<Value, AwsError> {
    let malformed =
        || invalid(format!("Value ({given}) for parameter ipv6CidrBlock is invalid. This is not a valid CIDR block."));
    let wanted: Ipv6Net = given.parse().map_err(|_| malformed())?;
    let inside = blocks(vpc).iter().any(|block| block.parse::<Ipv6Net>().is_ok_and(|block| block.contains(&wanted)));
    if wanted.prefix_len() != 64 || !inside {
        return Err(AwsError::new("InvalidSubnet.Range", format!("The CIDR '{given}' is invalid.")));
    }
    let wanted = wanted.trunc().to_string();
    let vpc_id = text(vpc, "VpcId");
    let mut others = call.select(subnet::SUBNETS, |_, row| text(row, "VpcId") == vpc_id).into_iter();
    if others.any(|(_, row)| blocks(&row).contains(&wanted)) {
        let message = format!("The CIDR '{given}' conflicts with another subnet");
        return Err(AwsError::new("InvalidSubnet.Conflict", message));
    }
    Ok(json!({
        "AssociationId": call.id("subnet-cidr-assoc"),
        "Ipv6CidrBlock": wanted,
        "Ipv6CidrBlockState": {"State": "associated"},
        "Ipv6AddressAttribute": "public",
        "IpSource": "amazon",
    }))
}

fn shown(association: &Value, state: &str) -> Value {
    let mut shown = association.clone();
    shown["Ipv6CidrBlockState"] = json!({"State": state});
    shown
}

fn associate_subnet_cidr_block(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let id = text(input, "SubnetId");
    let subnet = subnet::subnet(call, id)?;
    if input.get("Ipv6IpamPoolId").is_some() {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox has no IPAM pools"));
    }
    let given = input["Ipv6CidrBlock"].as_str().ok_or_else(|| super::needs("ipv6CidrBlock"))?;
    if !blocks(&subnet).is_empty() {
        let message = format!("This subnet '{id}' has met its maximum number of allowed CIDRs");
        return Err(AwsError::new("SubnetCidrLimitExceeded", message));
    }
    let vpc = vpc::vpc(call, text(&subnet, "VpcId"))?;
    let association = part(call, &vpc, given)?;
    call.change(subnet::SUBNETS, id, |row| super::push(row, SET, association.clone()));
    Ok(json!({"SubnetId": id, "Ipv6CidrBlockAssociation": shown(&association, "associating")}))
}

fn disassociate_subnet_cidr_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = text(input, "AssociationId");
    let found = call.find_map(subnet::SUBNETS, |id, row| {
        let one = items(row, SET).find(|one| text(one, "AssociationId") == wanted).cloned();
        one.map(|one| (id.to_owned(), row.clone(), one))
    });
    let Some((id, row, association)) = found else {
        let message = format!("The subnet CIDR block association ID '{wanted}' does not exist");
        return Err(AwsError::new("InvalidSubnetCidrBlockAssociationID.NotFound", message));
    };
    if row["AssignIpv6AddressOnCreation"] == true {
        let message = format!("The subnet {id} assigns IPv6 addresses on creation");
        return Err(AwsError::new("OperationNotPermitted", message));
    }
    call.change(subnet::SUBNETS, &id, |row| super::retain(row, SET, |one| text(one, "AssociationId") != wanted));
    Ok(json!({"SubnetId": id, "Ipv6CidrBlockAssociation": shown(&association, "disassociating")}))
}
