//! Network interfaces: of callers, and those that gateways and endpoints bring along.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{check_form, describe, done, invalid, items, new_tags, not_found, refers, subnet, vpc};
use crate::sandbox::call::{Call, Transition, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateNetworkInterface", create_network_interface),
    ("DeleteNetworkInterface", delete_network_interface),
    ("DescribeNetworkInterfaces", describe_network_interfaces),
];

pub(super) const INTERFACES: &str = "network_interfaces";

fn missing(id: &str) -> AwsError {
    match check_form("eni", id, "InvalidNetworkInterfaceId.Malformed") {
        Err(error) => error,
        Ok(()) => not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface", id),
    }
}

/// What a new interface is for.
pub(super) struct Purpose<'a> {
    pub(super) description: String,
    pub(super) kind: &'a str,
    /// The service that made it, where no caller did.
    pub(super) requester: Option<&'a str>,
    pub(super) groups: Vec<String>,
    pub(super) tags: Value,
}

/// Returns how many private addresses of a subnet are in use.
pub(super) fn count(call: &Call<'_>, subnet: &str) -> u64 {
    taken(call, subnet).len() as u64
}

fn taken(call: &Call<'_>, subnet: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (_, row) in call.rows_at(&call.place(), INTERFACES).filter(|(_, row)| text(row, "SubnetId") == subnet) {
        out.extend(items(&row, "PrivateIpAddresses").map(|one| text(one, "PrivateIpAddress").to_owned()));
    }
    out
}

/// Picks the address of a new interface: the wanted one if it is free, or the first free one.
pub(super) fn pick_address(call: &Call<'_>, subnet: &Value, wanted: Option<&str>) -> Result<String, AwsError> {
    pick(subnet, wanted, &taken(call, text(subnet, "SubnetId")))
}

/// Picks several addresses beside those that are about to be in use.
pub(super) fn pick_addresses(
    call: &Call<'_>,
    subnet: &Value,
    wanted: &[Option<&str>],
    besides: &[String],
) -> Result<Vec<String>, AwsError> {
    let mut used = taken(call, text(subnet, "SubnetId"));
    used.extend_from_slice(besides);
    let mut out = Vec::new();
    for wanted in wanted {
        let picked = pick(subnet, *wanted, &used)?;
        used.push(picked.clone());
        out.push(picked);
    }
    Ok(out)
}

fn pick(subnet: &Value, wanted: Option<&str>, taken: &[String]) -> Result<String, AwsError> {
    let part: Ipv4Net = text(subnet, "CidrBlock").parse().map_err(|_| invalid("the subnet has no IPv4 block"))?;
    let id = text(subnet, "SubnetId");
    // The first four addresses and the last are AWS's own.
    let mut free = part.hosts().skip(3).map(|address| address.to_string());
    match wanted {
        None => free.find(|address| !taken.contains(address)).ok_or_else(|| {
            let message = format!("The subnet '{id}' has insufficient free addresses to satisfy the request.");
            AwsError::new("InsufficientFreeAddressesInSubnet", message)
        }),
        Some(address) if taken.iter().any(|other| other == address) => {
            let message = format!("The address {address} is in use.");
            Err(AwsError::new("InvalidIPAddress.InUse", message))
        }
        Some(address) if free.any(|other| other == address) => Ok(address.to_owned()),
        Some(address) => Err(invalid(format!("Address {address} does not fall within the subnet's address range"))),
    }
}

/// Stores an interface and returns its id.
pub(super) fn make(call: &mut Call<'_>, subnet: &Value, address: &str, purpose: Purpose<'_>) -> String {
    let id = call.id("eni");
    let bytes = call.entropy();
    let mac: Vec<String> = bytes[..5].iter().map(|byte| format!("{byte:02x}")).collect();
    let groups: Vec<Value> = purpose
        .groups
        .iter()
        .filter_map(|group| {
            let found = call.get("security_groups", group)?;
            Some(json!({"GroupId": group, "GroupName": found["GroupName"]}))
        })
        .collect();
    let name = format!("ip-{}.ec2.internal", address.replace('.', "-"));
    let mut interface = json!({
        "NetworkInterfaceId": id,
        "SubnetId": subnet["SubnetId"],
        "VpcId": subnet["VpcId"],
        "AvailabilityZone": subnet["AvailabilityZone"],
        "OwnerId": call.account,
        "Description": purpose.description,
        "InterfaceType": purpose.kind,
        "RequesterManaged": purpose.requester.is_some(),
        "SourceDestCheck": purpose.kind != "nat_gateway",
        "Status": if purpose.requester.is_some() { "in-use" } else { "available" },
        "MacAddress": format!("02:{}", mac.join(":")),
        "PrivateIpAddress": address,
        "PrivateDnsName": name,
        "PrivateIpAddresses": [{"Primary": true, "PrivateIpAddress": address, "PrivateDnsName": name}],
        "Ipv6Addresses": [],
        "Groups": groups,
        "TagSet": purpose.tags,
        "_arn": call.arn(&format!("network-interface/{id}")),
    });
    if let Some(requester) = purpose.requester {
        interface["RequesterId"] = json!(requester);
        interface["Attachment"] = json!({
            "AttachmentId": call.id("ela-attach"),
            "InstanceOwnerId": "amazon-aws",
            "DeviceIndex": 1,
            "Status": "attached",
            "DeleteOnTermination": false,
        });
    }
    call.put(INTERFACES, &id, interface);
    id
}

/// Adds a secondary address to an interface.
pub(super) fn add_address(call: &mut Call<'_>, id: &str, address: &str) {
    let name = format!("ip-{}.ec2.internal", address.replace('.', "-"));
    let added = json!({"Primary": false, "PrivateIpAddress": address, "PrivateDnsName": name});
    call.change(INTERFACES, id, |row| super::push(row, "PrivateIpAddresses", added));
}

/// Takes secondary addresses from an interface some seconds from now.
pub(super) fn drop_addresses(call: &mut Call<'_>, id: &str, gone: &[&str], seconds: f64) {
    let now = call.now();
    call.change(INTERFACES, id, |row| {
        let kept = items(row, "PrivateIpAddresses").filter(|one| !gone.contains(&text(one, "PrivateIpAddress")));
        let kept: Vec<Value> = kept.cloned().collect();
        Transition::from(now).then(seconds, json!({"PrivateIpAddresses": kept})).attach(row);
    });
}

/// Lets an interface go some seconds from now.
pub(super) fn leave(call: &mut Call<'_>, id: &str, seconds: f64) {
    let now = call.now();
    call.change(INTERFACES, id, |interface| Transition::from(now).gone(seconds).attach(interface));
}

fn create_network_interface(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let subnet = subnet::subnet(call, text(input, "SubnetId"))?;
    let vpc_id = text(&subnet, "VpcId").to_owned();
    let mut groups: Vec<String> = texts(input, "Groups").into_iter().map(str::to_owned).collect();
    for group in &groups {
        let found = call.get("security_groups", group);
        if found.is_none_or(|found| text(&found, "VpcId") != vpc_id) {
            return Err(AwsError::new("InvalidGroup.NotFound", format!("The security group '{group}' does not exist")));
        }
    }
    if groups.is_empty() {
        groups.extend(super::security_group::default_of(call, &vpc_id));
    }
    let tags = new_tags(input, "network-interface")?;
    let address = pick_address(call, &subnet, input["PrivateIpAddress"].as_str())?;
    let token = input["ClientToken"].as_str().map(str::to_owned);
    call.once(token.as_deref(), input, |call| {
        let purpose = Purpose {
            description: text(input, "Description").to_owned(),
            kind: input["InterfaceType"].as_str().unwrap_or("interface"),
            requester: None,
            groups,
            tags,
        };
        let id = make(call, &subnet, &address, purpose);
        Ok(json!({"NetworkInterface": call.get(INTERFACES, &id)}))
    })
}

fn describe_network_interfaces(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (INTERFACES, "NetworkInterfaces"),
        ("NetworkInterfaceIds", missing),
        &[
            ("addresses.private-ip-address", "PrivateIpAddresses.PrivateIpAddress"),
            ("association.public-ip", "Association.PublicIp"),
            ("attachment.attachment-id", "Attachment.AttachmentId"),
            ("attachment.instance-id", "Attachment.InstanceId"),
            ("attachment.instance-owner-id", "Attachment.InstanceOwnerId"),
            ("attachment.status", "Attachment.Status"),
            ("availability-zone", "AvailabilityZone"),
            ("description", "Description"),
            ("group-id", "Groups.GroupId"),
            ("group-name", "Groups.GroupName"),
            ("interface-type", "InterfaceType"),
            ("mac-address", "MacAddress"),
            ("network-interface-id", "NetworkInterfaceId"),
            ("owner-id", "OwnerId"),
            ("private-ip-address", "PrivateIpAddress"),
            ("requester-id", "RequesterId"),
            ("requester-managed", "RequesterManaged"),
            ("status", "Status"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
    )
}

fn delete_network_interface(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "NetworkInterfaceId");
    let interface = call.get(INTERFACES, id).ok_or_else(|| missing(id))?;
    if text(&interface, "Status") == "in-use" {
        let message = format!("Network interface '{id}' is currently in use.");
        return Err(AwsError::new("InvalidNetworkInterface.InUse", message));
    }
    if refers(call, "addresses", "NetworkInterfaceId", id) {
        let message = format!("Network interface '{id}' has an address associated with it.");
        return Err(AwsError::new("InvalidParameterValue", message));
    }
    call.remove(INTERFACES, id);
    done()
}

/// Tells whether an interface is in a security group.
pub(super) fn in_group(interface: &Value, group: &str) -> bool {
    items(interface, "Groups").any(|one| text(one, "GroupId") == group)
}
