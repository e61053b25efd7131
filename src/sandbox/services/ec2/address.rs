//! Elastic IP addresses, and what holds them. Not simulated: pools of a customer's own.

use serde_json::{Value, json};

use super::{describe, done, interface, invalid, needs, new_tags, not_found, vpc};
use crate::sandbox::call::{Call, Transition, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AllocateAddress", allocate_address),
    ("AssociateAddress", associate_address),
    ("DescribeAddresses", describe_addresses),
    ("DescribeAddressesAttribute", describe_addresses_attribute),
    ("DisassociateAddress", disassociate_address),
    ("ReleaseAddress", release_address),
];

pub(super) const ADDRESSES: &str = "addresses";
/// The groups of local zones that every account has opted in to.
const LOCAL_GROUPS: &[(&str, &str)] = &[("us-east-1", "us-east-1-bos-1"), ("us-west-2", "us-west-2-lax-1")];

pub(super) fn missing(id: &str) -> AwsError {
    AwsError::new("InvalidAllocationID.NotFound", format!("The allocation ID '{id}' does not exist"))
}

fn allocate_address(call: &mut Call<'_>, input: &Value) -> Answer {
    let own = ["Address", "CustomerOwnedIpv4Pool", "IpamPoolId"].iter().any(|key| input.get(*key).is_some());
    if own || input["PublicIpv4Pool"].as_str().is_some_and(|pool| pool != "amazon") {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox has no address pools but Amazon's"));
    }
    let border = input["NetworkBorderGroup"].as_str().unwrap_or(&call.region).to_owned();
    if border != call.region && !LOCAL_GROUPS.iter().any(|(region, group)| *region == call.region && *group == border) {
        return Err(invalid("The specified network border group is not valid for this region."));
    }
    let tags = new_tags(input, "elastic-ip")?;
    if call.count(ADDRESSES) >= call.quota("elastic_ips") {
        let message = "The maximum number of addresses has been reached.";
        return Err(AwsError::new("AddressLimitExceeded", message));
    }
    let id = call.id("eipalloc");
    let bytes = call.entropy();
    let address = json!({
        "AllocationId": id,
        // A block of Amazon's; the last part is never a network's own or broadcast address.
        "PublicIp": format!("52.{}.{}.{}", bytes[0] % 64, bytes[1], bytes[2].clamp(1, 254)),
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": border,
        "Tags": tags,
        "_arn": call.arn(&format!("elastic-ip/{id}")),
    });
    call.put(ADDRESSES, &id, address.clone());
    Ok(address)
}

fn describe_addresses(call: &mut Call<'_>, input: &Value) -> Answer {
    let public = texts(input, "PublicIps");
    if let Some(unknown) = public.iter().find(|ip| !call.any(ADDRESSES, |_, row| text(row, "PublicIp") == **ip)) {
        return Err(AwsError::new("InvalidAddress.NotFound", format!("Address '{unknown}' not found.")));
    }
    let mut answer = describe(
        call,
        input,
        (ADDRESSES, "Addresses"),
        ("AllocationIds", missing),
        &[
            ("allocation-id", "AllocationId"),
            ("association-id", "AssociationId"),
            ("domain", "Domain"),
            ("instance-id", "InstanceId"),
            ("network-border-group", "NetworkBorderGroup"),
            ("network-interface-id", "NetworkInterfaceId"),
            ("network-interface-owner-id", "NetworkInterfaceOwnerId"),
            ("private-ip-address", "PrivateIpAddress"),
            ("public-ip", "PublicIp"),
        ],
    )?;
    super::retain(&mut answer, "Addresses", |row| public.is_empty() || public.contains(&text(row, "PublicIp")));
    Ok(answer)
}

/// Reverse DNS names: nobody has set one.
fn describe_addresses_attribute(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = texts(input, "AllocationIds");
    for id in &wanted {
        call.get(ADDRESSES, id).ok_or_else(|| missing(id))?;
    }
    let rows = call.select(ADDRESSES, |id, _| wanted.is_empty() || wanted.contains(&id));
    let rows = rows.into_iter().map(|(id, row)| {
        let shown = json!({"PublicIp": row["PublicIp"], "AllocationId": id});
        (id, shown)
    });
    call.paged(input, "Addresses", rows.collect(), usize::MAX)
}

/// Ties an address to an interface and returns the association's id.
pub(super) fn tie(call: &mut Call<'_>, id: &str, interface: &str, private: &str) -> String {
    let association = call.id("eipassoc");
    let owner = call.account.clone();
    let public = call.get(ADDRESSES, id).map(|row| text(&row, "PublicIp").to_owned()).unwrap_or_default();
    call.change(ADDRESSES, id, |address| {
        address["AssociationId"] = json!(association);
        address["NetworkInterfaceId"] = json!(interface);
        address["NetworkInterfaceOwnerId"] = json!(owner);
        address["PrivateIpAddress"] = json!(private);
    });
    let shown = json!({"AllocationId": id, "AssociationId": association, "IpOwnerId": owner, "PublicIp": public});
    call.change(interface::INTERFACES, interface, |row| {
        if text(row, "PrivateIpAddress") == private {
            row["Association"] = shown;
            return;
        }
        for one in row["PrivateIpAddresses"].as_array_mut().into_iter().flatten() {
            if text(one, "PrivateIpAddress") == private {
                one["Association"] = shown.clone();
            }
        }
    });
    association
}

/// The members that say what holds an address.
const HOLDING: [&str; 5] =
    ["AssociationId", "NetworkInterfaceId", "NetworkInterfaceOwnerId", "PrivateIpAddress", "InstanceId"];

/// Frees an address some seconds from now.
pub(super) fn free(call: &mut Call<'_>, id: &str, seconds: f64) {
    let now = call.now();
    let nothing: Value =
        HOLDING.iter().map(|key| ((*key).to_owned(), Value::Null)).collect::<serde_json::Map<_, _>>().into();
    call.change(ADDRESSES, id, |address| Transition::from(now).then(seconds, nothing).attach(address));
}

fn associate_address(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "AllocationId");
    vpc::ensure_default(call);
    let address = call.get(ADDRESSES, id).ok_or_else(|| missing(id))?;
    let wanted = match (input["NetworkInterfaceId"].as_str(), input["InstanceId"].as_str()) {
        (Some(interface), _) => interface.to_owned(),
        (None, Some(instance)) => {
            let primary = call.find(interface::INTERFACES, |_, row| row["Attachment"]["InstanceId"] == instance);
            primary.map(|(id, _)| id).ok_or_else(|| {
                let message = format!("The instance ID '{instance}' does not exist");
                AwsError::new("InvalidInstanceID.NotFound", message)
            })?
        }
        (None, None) => return Err(needs("networkInterfaceId")),
    };
    let row = call.get(interface::INTERFACES, &wanted);
    let row = row.ok_or_else(|| not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface", &wanted))?;
    let held = optional_text(&address, "AssociationId").is_some() || row["Association"].is_object();
    if held && input["AllowReassociation"] != true {
        let message =
            format!("resource {id} is already associated with associate-id {}", text(&address, "AssociationId"));
        return Err(AwsError::new("Resource.AlreadyAssociated", message));
    }
    let vpc_id = text(&row, "VpcId");
    if super::internet_gateway::of_vpc(call, vpc_id).is_none() {
        let message = format!("Network {vpc_id} is not attached to any internet gateway");
        return Err(AwsError::new("Gateway.NotAttached", message));
    }
    if let Some(other) = optional_text(&address, "NetworkInterfaceId") {
        call.change(interface::INTERFACES, &other, |row| row["Association"] = Value::Null);
    }
    let private = text(&row, "PrivateIpAddress").to_owned();
    let association = tie(call, id, &wanted, &private);
    if let Some(instance) = row["Attachment"]["InstanceId"].as_str() {
        call.change(ADDRESSES, id, |address| address["InstanceId"] = json!(instance));
    }
    Ok(json!({"AssociationId": association}))
}

fn optional_text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn disassociate_address(call: &mut Call<'_>, input: &Value) -> Answer {
    let association = text(input, "AssociationId");
    let found = call.find(ADDRESSES, |_, row| text(row, "AssociationId") == association);
    let Some((id, row)) = found.filter(|_| !association.is_empty()) else {
        let message = format!("The association ID '{association}' does not exist");
        return Err(AwsError::new("InvalidAssociationID.NotFound", message));
    };
    let holder = text(&row, "NetworkInterfaceId").to_owned();
    if call.get(interface::INTERFACES, &holder).is_some_and(|row| row["RequesterManaged"] == true) {
        let message = "You do not have permission to access the specified resource.";
        return Err(AwsError::new("AuthFailure", message));
    }
    call.change(interface::INTERFACES, &holder, |row| row["Association"] = Value::Null);
    call.change(ADDRESSES, &id, |address| {
        if let Some(members) = address.as_object_mut() {
            members.retain(|key, _| !HOLDING.contains(&key.as_str()));
        }
    });
    done()
}

fn release_address(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = match input["AllocationId"].as_str() {
        Some(id) => id,
        None => return Err(needs("allocationId")),
    };
    let address = call.get(ADDRESSES, id).ok_or_else(|| missing(id))?;
    if optional_text(&address, "AssociationId").is_some() {
        let message = format!("Address {} is in use.", text(&address, "PublicIp"));
        return Err(AwsError::new("InvalidIPAddress.InUse", message));
    }
    call.remove(ADDRESSES, id);
    done()
}
