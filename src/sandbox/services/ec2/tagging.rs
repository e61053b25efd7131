//! Tags of EC2 resources, found by their ids in any collection.

use serde_json::{Value, json};

use super::{done, filter, refused};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations =
    &[("CreateTags", create_tags), ("DeleteTags", delete_tags), ("DescribeTags", describe_tags)];

/// An id's prefix, its resource type and the collection where it is kept.
const TYPES: &[(&str, &str, &str)] = &[
    ("acl", "network-acl", "network_acls"),
    ("dopt", "dhcp-options", "dhcp_options"),
    ("eipalloc", "elastic-ip", "addresses"),
    ("eni", "network-interface", "network_interfaces"),
    ("fl", "vpc-flow-log", "flow_logs"),
    ("i", "instance", "instances"),
    ("igw", "internet-gateway", "internet_gateways"),
    ("lt", "launch-template", "launch_templates"),
    ("nat", "natgateway", "nat_gateways"),
    ("pg", "placement-group", "placement_groups"),
    ("rtb", "route-table", "route_tables"),
    ("sg", "security-group", "security_groups"),
    ("sgr", "security-group-rule", "security_group_rules"),
    ("subnet", "subnet", "subnets"),
    ("vol", "volume", "volumes"),
    ("vpc", "vpc", "vpcs"),
    ("vpce", "vpc-endpoint", "vpc_endpoints"),
];

/// Finds the collection of an id, and the key under which it is kept there.
fn find(call: &Call<'_>, id: &str) -> Result<(&'static str, String, Value), AwsError> {
    let prefix = id.split('-').next().unwrap_or_default();
    let Some((_, _, collection)) = TYPES.iter().find(|(known, ..)| *known == prefix) else {
        let message = format!("The ID '{id}' is not valid");
        return Err(AwsError::new("InvalidID", message));
    };
    if let Some(value) = call.get(collection, id) {
        return Ok((collection, id.to_owned(), value));
    }
    // Kept under a name: placement groups.
    let named = call.find(collection, |_, value| value["GroupId"] == id);
    let (key, value) = named.ok_or_else(|| {
        let code = match prefix {
            "vpc" => "InvalidVpcID.NotFound",
            "subnet" => "InvalidSubnetID.NotFound",
            "sg" => "InvalidGroup.NotFound",
            "i" => "InvalidInstanceID.NotFound",
            "igw" => "InvalidInternetGatewayID.NotFound",
            "rtb" => "InvalidRouteTableID.NotFound",
            "nat" => "NatGatewayNotFound",
            "vpce" => "InvalidVpcEndpointId.NotFound",
            "lt" => "InvalidLaunchTemplateId.NotFound",
            "eni" => "InvalidNetworkInterfaceID.NotFound",
            "eipalloc" => "InvalidAllocationID.NotFound",
            _ => "InvalidID",
        };
        AwsError::new(code, format!("The ID '{id}' does not exist"))
    })?;
    Ok((collection, key, value))
}

fn create_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    super::vpc::ensure_default(call);
    let added = tags::requested(input.get("Tags")).map_err(refused)?;
    let mut changes = Vec::new();
    for id in texts(input, "Resources") {
        let (collection, key, value) = find(call, id)?;
        changes.push((collection, key, tags::merge(tags::of(&value), added.clone()).map_err(refused)?));
    }
    for (collection, key, all) in changes {
        call.change(collection, &key, |value| tags::set(value, &all));
    }
    done()
}

fn delete_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut changes = Vec::new();
    for id in texts(input, "Resources") {
        let (collection, key, value) = find(call, id)?;
        let mut all = tags::of(&value);
        match input["Tags"].as_array() {
            // Without a list, all tags but AWS's own go.
            None => all.retain(|key, _| key.starts_with("aws:")),
            Some(items) => {
                for item in items {
                    let name = item["Key"].as_str().unwrap_or_default();
                    let same = item["Value"].as_str().is_none_or(|value| all.get(name).is_some_and(|v| v == value));
                    if same {
                        all.shift_remove(name);
                    }
                }
            }
        }
        changes.push((collection, key, all));
    }
    for (collection, key, all) in changes {
        call.change(collection, &key, |value| tags::set(value, &all));
    }
    done()
}

fn describe_tags(call: &mut Call<'_>, input: &Value) -> Answer {
    let filters = filter::parse(
        input,
        &[("key", "Key"), ("value", "Value"), ("resource-id", "ResourceId"), ("resource-type", "ResourceType")],
    )?;
    let mut rows = Vec::new();
    for (_, kind, collection) in TYPES {
        for (id, value) in call.list(collection) {
            let id = value["GroupId"].as_str().filter(|_| *kind == "placement-group").unwrap_or(&id);
            for (key, tag) in tags::of(&value) {
                let row = json!({"Key": key, "Value": tag, "ResourceId": id, "ResourceType": kind});
                if filters.iter().all(|filter| filter.fits(&row)) {
                    rows.push((format!("{id}/{key}"), row));
                }
            }
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    call.paged(input, "Tags", rows, usize::MAX)
}
