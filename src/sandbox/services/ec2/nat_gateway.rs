//! NAT gateways: made in the background, where they may fail, and gone some time after they were deleted.

use serde_json::{Value, json};

use super::interface::Purpose;
use super::nat_address::{self, Members, Secondary};
use super::{address, describe, interface, internet_gateway, needs, new_tags, subnet, vpc};
use crate::sandbox::call::{Call, Transition, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateNatGateway", create_nat_gateway),
    ("DeleteNatGateway", delete_nat_gateway),
    ("DescribeNatGateways", describe_nat_gateways),
];

pub(super) const GATEWAYS: &str = "nat_gateways";
/// Seconds a new gateway is `pending`.
const PENDING_S: f64 = 90.0;
/// Seconds until a gateway that can't work is `failed`.
const FAILING_S: f64 = 5.0;
/// Seconds a gateway is `deleting`.
const DELETING_S: f64 = 60.0;
/// Seconds a deleted or failed gateway is still shown.
const SHOWN_S: f64 = 3600.0;

pub(super) fn missing(id: &str) -> AwsError {
    match super::check_form("nat", id, "NatGatewayMalformed") {
        Err(error) => error,
        Ok(()) => AwsError::new("NatGatewayNotFound", format!("NatGateway {id} was not found")),
    }
}

/// Tells whether a gateway is neither deleted nor failed.
pub(super) fn lives(gateway: &Value) -> bool {
    !matches!(text(gateway, "State"), "deleted" | "failed")
}

fn create_nat_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let token = input["ClientToken"].as_str().map(str::to_owned);
    call.once(token.as_deref(), input, |call| create(call, input))
}

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    if input["AvailabilityMode"].as_str().is_some_and(|mode| mode != "zonal") {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox has no regional NAT gateways"));
    }
    let subnet_id = input["SubnetId"].as_str().ok_or_else(|| needs("subnetId"))?;
    let subnet = subnet::subnet(call, subnet_id)?;
    let public = input["ConnectivityType"].as_str() != Some("private");
    let allocation = input["AllocationId"].as_str();
    let held = match (public, allocation) {
        (true, None) => return Err(needs("allocationId")),
        (false, Some(_)) => {
            let message = "AllocationId cannot be specified for a private NAT gateway";
            return Err(AwsError::new("InvalidParameterCombination", message));
        }
        (false, None) => false,
        (true, Some(id)) => {
            let row = call.get(address::ADDRESSES, id).ok_or_else(|| address::missing(id))?;
            row.get("AssociationId").is_some()
        }
    };
    let tags = new_tags(input, "natgateway")?;
    let zone = text(&subnet, "AvailabilityZone");
    let in_zone = call.count_of(GATEWAYS, |row| lives(row) && text(row, "_zone") == zone);
    if in_zone >= call.quota("nat_gateways_per_zone") {
        let message = "Performing this operation would exceed the limit of 5 NAT gateways";
        return Err(AwsError::new("NatGatewayLimitExceeded", message));
    }
    let private = interface::pick_address(call, &subnet, input["PrivateIpAddress"].as_str())?;
    let names = Members {
        allocations: "SecondaryAllocationIds",
        private: "SecondaryPrivateIpAddresses",
        count: "SecondaryPrivateIpAddressCount",
    };
    let secondary = nat_address::requested(call, input, &names, (&subnet, public, std::slice::from_ref(&private)))?;
    nat_address::check_quotas(call, 1 + secondary.allocations.len(), 1 + secondary.private.len())?;
    let also_held = secondary.allocations.iter().find(|id| {
        allocation == Some(id.as_str())
            || call.get(address::ADDRESSES, id).is_some_and(|row| row.get("AssociationId").is_some())
    });
    let held = if held { allocation } else { also_held.map(String::as_str) };
    let vpc_id = text(&subnet, "VpcId").to_owned();
    let failure = if public && internet_gateway::of_vpc(call, &vpc_id).is_none() {
        Some(("Gateway.NotAttached", format!("Network {vpc_id} has no Internet gateway attached")))
    } else {
        let message = |id: &str| format!("Elastic IP address {id} is already associated");
        held.map(|id| ("Resource.AlreadyAssociated", message(id)))
    };
    let id = call.id("nat");
    let mut gateway = json!({
        "NatGatewayId": id,
        "SubnetId": subnet_id,
        "VpcId": vpc_id,
        "State": "pending",
        "ConnectivityType": if public { "public" } else { "private" },
        "CreateTime": call.timestamp(),
        "NatGatewayAddresses": [],
        "Tags": tags,
        "_zone": zone,
        "_arn": call.arn(&format!("natgateway/{id}")),
    });
    match failure {
        Some((code, message)) => {
            gateway["NatGatewayAddresses"] = json!([{"AllocationId": allocation}]);
            let failed = json!({"State": "failed", "FailureCode": code, "FailureMessage": message});
            Transition::from(call.now()).then(FAILING_S, failed).gone(SHOWN_S).attach(&mut gateway);
        }
        None => {
            let shown = connect(call, &subnet, &id, (&private, allocation), &secondary);
            let over = json!({"State": "available", "NatGatewayAddresses": nat_address::settled(&shown)});
            Transition::from(call.now()).then(PENDING_S, over).attach(&mut gateway);
            gateway["NatGatewayAddresses"] = json!(shown);
        }
    }
    call.put(GATEWAYS, &id, gateway.clone());
    Ok(json!({"NatGateway": gateway, "ClientToken": input["ClientToken"]}))
}

/// Makes a gateway's interface, ties its addresses to it, and returns what the gateway shows of them.
fn connect(
    call: &mut Call<'_>,
    subnet: &Value,
    id: &str,
    (private, allocation): (&str, Option<&str>),
    secondary: &Secondary,
) -> Vec<Value> {
    let purpose = Purpose {
        description: format!("Interface for NAT Gateway {id}"),
        kind: "nat_gateway",
        requester: Some("amazon-vpc"),
        groups: Vec::new(),
        tags: json!([]),
    };
    let eni = interface::make(call, subnet, private, purpose);
    let mut shown = json!({
        "NetworkInterfaceId": eni,
        "PrivateIp": private,
        "IsPrimary": true,
        "Status": "succeeded",
    });
    if let Some(allocation) = allocation {
        shown["AssociationId"] = json!(address::tie(call, allocation, &eni, private));
        shown["AllocationId"] = json!(allocation);
        shown["PublicIp"] =
            call.get(address::ADDRESSES, allocation).map(|row| row["PublicIp"].clone()).unwrap_or_default();
    }
    let mut out = vec![shown];
    out.extend(nat_address::join(call, &eni, secondary));
    out
}

fn describe_nat_gateways(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (GATEWAYS, "NatGateways"),
        ("NatGatewayIds", missing),
        &[
            ("connectivity-type", "ConnectivityType"),
            ("nat-gateway-id", "NatGatewayId"),
            ("state", "State"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
    )
}

fn delete_nat_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "NatGatewayId");
    let gateway = call.get(GATEWAYS, id).ok_or_else(|| missing(id))?;
    let answer = json!({"NatGatewayId": id});
    if matches!(text(&gateway, "State"), "deleting" | "deleted") {
        return Ok(answer);
    }
    let (now, deleted) = (call.now(), call.now() + DELETING_S);
    for shown in super::items(&gateway, "NatGatewayAddresses") {
        if let Some(eni) = shown["NetworkInterfaceId"].as_str() {
            interface::leave(call, eni, DELETING_S);
            if let Some(allocation) = shown["AllocationId"].as_str().filter(|_| shown["AssociationId"].is_string()) {
                address::free(call, allocation, DELETING_S);
            }
        }
    }
    call.change(GATEWAYS, id, |gateway| {
        gateway["State"] = json!("deleting");
        let over = json!({"State": "deleted", "DeleteTime": crate::sandbox::codec::time::value(deleted)});
        Transition::from(now).then(DELETING_S, over).gone(SHOWN_S).attach(gateway);
    });
    Ok(answer)
}
