//! Internet gateways: at most one per VPC, and one VPC per gateway.

use serde_json::{Value, json};

use super::{dependency, describe, done, invalid, items, new_tags, not_found, vpc};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AttachInternetGateway", attach_internet_gateway),
    ("CreateInternetGateway", create_internet_gateway),
    ("DeleteInternetGateway", delete_internet_gateway),
    ("DescribeInternetGateways", describe_internet_gateways),
    ("DetachInternetGateway", detach_internet_gateway),
];

pub(super) const GATEWAYS: &str = "internet_gateways";

fn missing(id: &str) -> AwsError {
    not_found("InvalidInternetGatewayID.NotFound", "internetGateway", id)
}

/// Returns the VPC a gateway is attached to.
pub(super) fn attached(gateway: &Value) -> Option<String> {
    items(gateway, "Attachments").next().map(|attachment| text(attachment, "VpcId").to_owned())
}

/// Returns the gateway that is attached to a VPC.
pub(super) fn of_vpc(call: &Call<'_>, vpc: &str) -> Option<String> {
    call.find(GATEWAYS, |_, gateway| attached(gateway).as_deref() == Some(vpc)).map(|(id, _)| id)
}

fn create_internet_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    let tags = new_tags(input, "internet-gateway")?;
    if call.count(GATEWAYS) >= call.quota("internet_gateways") {
        let message = "The maximum number of internet gateways has been reached.";
        return Err(AwsError::new("InternetGatewayLimitExceeded", message));
    }
    let id = call.id("igw");
    let gateway = json!({
        "InternetGatewayId": id,
        "OwnerId": call.account,
        "Attachments": [],
        "Tags": tags,
        "_arn": call.arn(&format!("internet-gateway/{id}")),
    });
    call.put(GATEWAYS, &id, gateway.clone());
    Ok(json!({"InternetGateway": gateway}))
}

fn describe_internet_gateways(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (GATEWAYS, "InternetGateways"),
        ("InternetGatewayIds", missing),
        &[
            ("attachment.state", "Attachments.State"),
            ("attachment.vpc-id", "Attachments.VpcId"),
            ("internet-gateway-id", "InternetGatewayId"),
            ("owner-id", "OwnerId"),
        ],
    )
}

fn attach_internet_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, vpc_id) = (text(input, "InternetGatewayId"), text(input, "VpcId"));
    vpc::ensure_default(call);
    let gateway = call.get(GATEWAYS, id).ok_or_else(|| missing(id))?;
    vpc::vpc(call, vpc_id)?;
    if let Some(other) = attached(&gateway) {
        let message = format!("resource {id} is already attached to network {other}");
        return Err(AwsError::new("Resource.AlreadyAssociated", message));
    }
    if of_vpc(call, vpc_id).is_some() {
        return Err(invalid(format!("Network {vpc_id} already has an internet gateway attached")));
    }
    call.change(GATEWAYS, id, |gateway| gateway["Attachments"] = json!([{"State": "available", "VpcId": vpc_id}]));
    done()
}

fn detach_internet_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, vpc_id) = (text(input, "InternetGatewayId"), text(input, "VpcId"));
    vpc::ensure_default(call);
    let gateway = call.get(GATEWAYS, id).ok_or_else(|| missing(id))?;
    vpc::vpc(call, vpc_id)?;
    if attached(&gateway).as_deref() != Some(vpc_id) {
        let message = format!("resource {id} is not attached to network {vpc_id}");
        return Err(AwsError::new("Gateway.NotAttached", message));
    }
    let public = |_: &str, interface: &Value| {
        text(interface, "VpcId") == vpc_id && interface["Association"]["PublicIp"].is_string()
    };
    let instance = |_: &str, instance: &Value| {
        let over = matches!(instance["State"]["Name"].as_str(), Some("terminated"));
        text(instance, "VpcId") == vpc_id && !text(instance, "PublicIpAddress").is_empty() && !over
    };
    if call.any("network_interfaces", public) || call.any("instances", instance) {
        let message = format!(
            "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        );
        return Err(AwsError::new("DependencyViolation", message));
    }
    call.change(GATEWAYS, id, |gateway| gateway["Attachments"] = json!([]));
    done()
}

fn delete_internet_gateway(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "InternetGatewayId");
    vpc::ensure_default(call);
    let gateway = call.get(GATEWAYS, id).ok_or_else(|| missing(id))?;
    if attached(&gateway).is_some() {
        return Err(dependency("internetGateway", id));
    }
    call.remove(GATEWAYS, id);
    done()
}

/// Makes the gateway of the default VPC.
pub(super) fn make_default(call: &mut Call<'_>, vpc: &str) -> String {
    let id = call.id("igw");
    let gateway = json!({
        "InternetGatewayId": id,
        "OwnerId": call.account,
        "Attachments": [{"State": "available", "VpcId": vpc}],
        "Tags": [],
        "_arn": call.arn(&format!("internet-gateway/{id}")),
    });
    call.put(GATEWAYS, &id, gateway);
    id
}
