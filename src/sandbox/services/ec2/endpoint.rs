//! VPC endpoints: gateways by routes, interfaces by network interfaces in subnets.
//!
//! Not simulated: gateway load balancer endpoints, services of partners, IPv6-only endpoints.

use serde_json::{Value, json};

use super::interface::Purpose;
use super::{
    check_form, describe, endpoint_service as service, interface, items, new_tags, route_table, security_group, vpc,
};
use crate::sandbox::call::{Call, Transition, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateVpcEndpoint", create_vpc_endpoint),
    ("DeleteVpcEndpoints", delete_vpc_endpoints),
    ("DescribeVpcEndpoints", describe_vpc_endpoints),
    ("ModifyVpcEndpoint", modify_vpc_endpoint),
];

pub(super) const ENDPOINTS: &str = "vpc_endpoints";
/// Seconds a new interface endpoint is `pending`.
const PENDING_S: f64 = 60.0;
/// Seconds an interface endpoint is `deleting`.
const DELETING_S: f64 = 60.0;
/// The policy of an endpoint that was given none.
const DEFAULT_POLICY: &str = "{\"Version\":\"2008-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}]}";

fn missing(id: &str) -> AwsError {
    match check_form("vpce", id, "InvalidVpcEndpointId.Malformed") {
        Err(error) => error,
        Ok(()) => AwsError::new("InvalidVpcEndpointId.NotFound", format!("The Vpc Endpoint Id '{id}' does not exist")),
    }
}

fn parameter(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameter", message)
}

/// This API writes some codes otherwise than the rest of EC2.
fn absent(kind: &str, code: &str, id: &str) -> AwsError {
    AwsError::new(code, format!("The {kind} ID '{id}' does not exist"))
}

fn create_vpc_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let token = input["ClientToken"].as_str().map(str::to_owned);
    call.once(token.as_deref(), input, |call| create(call, input))
}

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    let vpc_id = text(input, "VpcId");
    let found = call.get(vpc::VPCS, vpc_id).ok_or_else(|| absent("Vpc", "InvalidVpcId.NotFound", vpc_id))?;
    let kind = input["VpcEndpointType"].as_str().unwrap_or("Gateway");
    if !["Gateway", "Interface"].contains(&kind) {
        return Err(AwsError::new("NotImplementedBySandbox", format!("the sandbox has no endpoints of type {kind}")));
    }
    let name = text(input, "ServiceName");
    let types = service::types(call, name);
    if types.is_empty() {
        return Err(service::missing(name));
    }
    if !types.contains(&kind) {
        let known = types.join(", ");
        return Err(parameter(format!("Endpoint type ({kind}) does not match available service types ([{known}]).")));
    }
    let tags = new_tags(input, "vpc-endpoint")?;
    let policy = policy(input)?.unwrap_or_else(|| DEFAULT_POLICY.to_owned());
    check_limit(call, vpc_id, kind)?;
    let id = call.id("vpce");
    let mut row = json!({
        "VpcEndpointId": id,
        "VpcEndpointType": kind,
        "VpcId": vpc_id,
        "ServiceName": name,
        "ServiceRegion": call.region,
        "State": "available",
        "PolicyDocument": policy,
        "RouteTableIds": [],
        "SubnetIds": [],
        "Groups": [],
        "IpAddressType": "ipv4",
        "PrivateDnsEnabled": false,
        "RequesterManaged": false,
        "NetworkInterfaceIds": [],
        "DnsEntries": [],
        "CreationTimestamp": call.timestamp(),
        "OwnerId": call.account,
        "Tags": tags,
        "_arn": call.arn(&format!("vpc-endpoint/{id}")),
    });
    match kind {
        "Gateway" => {
            refuse(input, &["SubnetIds", "SecurityGroupIds"], kind)?;
            if input["PrivateDnsEnabled"] == true {
                return Err(parameter("Private DNS can't be enabled for gateway endpoints"));
            }
            let tables = texts(input, "RouteTableIds");
            check_tables(call, &row, &tables)?;
            row["RouteTableIds"] = json!(tables);
        }
        _ => {
            refuse(input, &["RouteTableIds"], kind)?;
            address_type(call, &mut row, input["IpAddressType"].as_str(), &texts(input, "SubnetIds"))?;
            let default = service::private_name(&call.region, name).is_some();
            let private = input["PrivateDnsEnabled"].as_bool().unwrap_or(default);
            check_private(call, &row, &found, private)?;
            row["PrivateDnsEnabled"] = json!(private);
            row["State"] = json!("pending");
            join(call, &mut row, input)?;
            Transition::from(call.now()).then(PENDING_S, json!({"State": "available"})).attach(&mut row);
        }
    }
    call.put(ENDPOINTS, &id, row.clone());
    Ok(json!({"VpcEndpoint": row, "ClientToken": input["ClientToken"]}))
}

/// Sets the addresses of an interface endpoint; IPv6 needs it in every subnet.
fn address_type(call: &Call<'_>, row: &mut Value, kind: Option<&str>, subnets: &[&str]) -> Result<(), AwsError> {
    let kind = kind.unwrap_or("ipv4");
    let both =
        subnets.iter().all(|id| call.get("subnets", id).is_some_and(|row| !super::ipv6::blocks(&row).is_empty()));
    if kind == "ipv6" || (kind == "dualstack" && !both) {
        return Err(parameter(format!("The subnets do not support the IP address type {kind}")));
    }
    row["IpAddressType"] = json!(kind);
    row["DnsOptions"] = json!({"DnsRecordIpType": kind});
    Ok(())
}

/// Puts a new interface endpoint into its subnets and groups.
fn join(call: &mut Call<'_>, row: &mut Value, input: &Value) -> Result<(), AwsError> {
    let mut groups = texts(input, "SecurityGroupIds");
    let default = security_group::default_of(call, text(row, "VpcId")).unwrap_or_default();
    if groups.is_empty() {
        groups.push(&default);
    }
    row["Groups"] = named_groups(call, row, &groups)?;
    let subnets = texts(input, "SubnetIds");
    check_subnets(call, row, &subnets)?;
    add_subnets(call, row, &subnets)?;
    dns(call, row);
    Ok(())
}

fn check_limit(call: &Call<'_>, vpc: &str, kind: &str) -> Result<(), AwsError> {
    let of_kind = call.select(ENDPOINTS, |_, row| text(row, "VpcEndpointType") == kind).into_iter();
    let over = match kind {
        "Gateway" => of_kind.count() >= call.quota("gateway_endpoints"),
        _ => of_kind.filter(|(_, row)| text(row, "VpcId") == vpc).count() >= call.quota("interface_endpoints_per_vpc"),
    };
    if !over {
        return Ok(());
    }
    Err(AwsError::new("VpcEndpointLimitExceeded", "The maximum number of VPC endpoints has been reached."))
}

fn refuse(input: &Value, members: &[&str], kind: &str) -> Result<(), AwsError> {
    match members.iter().find(|key| input[**key].as_array().is_some_and(|list| !list.is_empty())) {
        Some(key) => Err(parameter(format!("{key} is not supported for endpoints of type {kind}"))),
        None => Ok(()),
    }
}

fn policy(input: &Value) -> Result<Option<String>, AwsError> {
    let Some(given) = input["PolicyDocument"].as_str() else { return Ok(None) };
    let fine = serde_json::from_str::<Value>(given)
        .is_ok_and(|document| document["Statement"].is_array() || document["Statement"].is_object());
    if fine {
        Ok(Some(given.to_owned()))
    } else {
        Err(AwsError::new("InvalidPolicyDocument", "Invalid Policy Document"))
    }
}

fn check_tables(call: &Call<'_>, row: &Value, tables: &[&str]) -> Result<(), AwsError> {
    for id in tables {
        let table = call
            .get(route_table::TABLES, id)
            .ok_or_else(|| absent("routeTable", "InvalidRouteTableId.NotFound", id))?;
        if text(&table, "VpcId") != text(row, "VpcId") {
            return Err(parameter(format!("Route table {id} and the endpoint belong to different networks")));
        }
        let own = text(row, "VpcEndpointId");
        let taken = call.any(ENDPOINTS, |other, endpoint| {
            other != own
                && endpoint["ServiceName"] == row["ServiceName"]
                && items(endpoint, "RouteTableIds").any(|table| table == id)
        });
        if taken {
            let message =
                format!("route table {id} already has a route with destination-prefix-list-id of the service");
            return Err(AwsError::new("RouteAlreadyExists", message));
        }
    }
    Ok(())
}

fn check_private(call: &Call<'_>, row: &Value, vpc: &Value, private: bool) -> Result<(), AwsError> {
    if !private {
        return Ok(());
    }
    let (name, vpc_id) = (text(row, "ServiceName"), text(row, "VpcId"));
    let Some(private) = service::private_name(&call.region, name) else {
        return Err(parameter(format!(
            "Private DNS can't be enabled because the service {name} does not provide a private DNS name."
        )));
    };
    if ["EnableDnsSupport", "EnableDnsHostnames"].iter().any(|key| vpc["_attributes"][*key] != true) {
        return Err(parameter(format!(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for {vpc_id}"
        )));
    }
    let taken = call.any(ENDPOINTS, |other, endpoint| {
        other != text(row, "VpcEndpointId")
            && text(endpoint, "VpcId") == vpc_id
            && text(endpoint, "ServiceName") == name
            && endpoint["PrivateDnsEnabled"] == true
    });
    if taken {
        return Err(parameter(format!(
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain for {private} in the VPC {vpc_id}"
        )));
    }
    Ok(())
}

fn named_groups(call: &Call<'_>, row: &Value, ids: &[&str]) -> Result<Value, AwsError> {
    let mut groups = Vec::new();
    for id in ids {
        let group = call.get(security_group::GROUPS, id).filter(|group| group["VpcId"] == row["VpcId"]);
        let group = group.ok_or_else(|| absent("securityGroup", "InvalidSecurityGroupId.NotFound", id))?;
        groups.push(json!({"GroupId": id, "GroupName": group["GroupName"]}));
    }
    Ok(json!(groups))
}

/// Checks that subnets are the VPC's, have room, and lie in different zones.
fn check_subnets(call: &Call<'_>, row: &Value, added: &[&str]) -> Result<(), AwsError> {
    let mut zones: Vec<String> = Vec::new();
    for id in texts(row, "SubnetIds").iter().chain(added) {
        let subnet = call.get("subnets", id).filter(|subnet| subnet["VpcId"] == row["VpcId"]);
        let subnet = subnet.ok_or_else(|| absent("subnet", "InvalidSubnetId.NotFound", id))?;
        let zone = text(&subnet, "AvailabilityZone").to_owned();
        if zones.contains(&zone) {
            let message = format!("Found another VPC endpoint subnet in the availability zone of {id}");
            return Err(AwsError::new("DuplicateSubnetsInSameZone", message));
        }
        zones.push(zone);
        interface::pick_address(call, &subnet, None)?;
    }
    Ok(())
}

fn add_subnets(call: &mut Call<'_>, row: &mut Value, subnets: &[&str]) -> Result<(), AwsError> {
    let groups: Vec<String> = items(row, "Groups").map(|group| text(group, "GroupId").to_owned()).collect();
    for id in subnets {
        let subnet = super::subnet::subnet(call, id)?;
        let address = interface::pick_address(call, &subnet, None)?;
        let purpose = Purpose {
            description: format!("VPC Endpoint Interface {}", text(row, "VpcEndpointId")),
            kind: "vpc_endpoint",
            requester: Some("amazon-vpce"),
            groups: groups.clone(),
            tags: json!([]),
        };
        let eni = interface::make(call, &subnet, &address, purpose);
        super::push(row, "SubnetIds", json!(id));
        super::push(row, "NetworkInterfaceIds", json!(eni));
    }
    Ok(())
}

/// Gives an interface endpoint the names that lead to it.
fn dns(call: &Call<'_>, row: &mut Value) {
    let (id, name) = (text(row, "VpcEndpointId").to_owned(), text(row, "ServiceName").to_owned());
    let short = name.strip_prefix(&format!("com.amazonaws.{}.", call.region)).unwrap_or(&name).to_owned();
    let mark = hex::encode(&call.derived(&id)[..4]);
    let host = |label: &str| format!("{label}.{short}.{}.vpce.amazonaws.com", call.region);
    let zone = "Z7HUB22UULQXV";
    let mut entries = vec![json!({"DnsName": host(&format!("{id}-{mark}")), "HostedZoneId": zone})];
    for subnet in texts(row, "SubnetIds") {
        if let Some(subnet) = call.get("subnets", subnet) {
            let label = format!("{id}-{mark}-{}", text(&subnet, "AvailabilityZone"));
            entries.push(json!({"DnsName": host(&label), "HostedZoneId": zone}));
        }
    }
    if row["PrivateDnsEnabled"] == true
        && let Some(private) = service::private_name(&call.region, &name)
    {
        entries.push(json!({"DnsName": private, "HostedZoneId": format!("Z{}", mark.to_ascii_uppercase())}));
    }
    row["DnsEntries"] = json!(entries);
}

fn describe_vpc_endpoints(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (ENDPOINTS, "VpcEndpoints"),
        ("VpcEndpointIds", missing),
        &[
            ("ip-address-type", "IpAddressType"),
            ("service-name", "ServiceName"),
            ("service-region", "ServiceRegion"),
            ("vpc-endpoint-id", "VpcEndpointId"),
            ("vpc-endpoint-state", "State"),
            ("vpc-endpoint-type", "VpcEndpointType"),
            ("vpc-id", "VpcId"),
        ],
    )
}

fn modify_vpc_endpoint(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let id = text(input, "VpcEndpointId");
    let mut row = call.get(ENDPOINTS, id).ok_or_else(|| missing(id))?;
    if text(&row, "State") == "deleting" {
        return Err(AwsError::new("InvalidState", format!("The endpoint {id} is being deleted")));
    }
    if input["ResetPolicy"] == true {
        row["PolicyDocument"] = json!(DEFAULT_POLICY);
    }
    if let Some(policy) = policy(input)? {
        row["PolicyDocument"] = json!(policy);
    }
    if text(&row, "VpcEndpointType") == "Gateway" {
        refuse(
            input,
            &["AddSubnetIds", "RemoveSubnetIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds"],
            "Gateway",
        )?;
        modify_gateway(call, &mut row, input)?;
    } else {
        refuse(input, &["AddRouteTableIds", "RemoveRouteTableIds"], "Interface")?;
        modify_interface(call, &mut row, input)?;
    }
    call.put(ENDPOINTS, id, row);
    super::done()
}

fn modify_gateway(call: &Call<'_>, row: &mut Value, input: &Value) -> Result<(), AwsError> {
    let (add, remove) = (texts(input, "AddRouteTableIds"), texts(input, "RemoveRouteTableIds"));
    check_tables(call, row, &add)?;
    super::retain(row, "RouteTableIds", |table| !remove.iter().any(|gone| table == gone));
    for id in add {
        if !items(row, "RouteTableIds").any(|table| table == id) {
            super::push(row, "RouteTableIds", json!(id));
        }
    }
    Ok(())
}

fn modify_interface(call: &mut Call<'_>, row: &mut Value, input: &Value) -> Result<(), AwsError> {
    let private = input["PrivateDnsEnabled"].as_bool();
    if let Some(private) = private {
        let vpc = vpc::vpc(call, text(row, "VpcId"))?;
        check_private(call, row, &vpc, private)?;
    }
    let gone = texts(input, "RemoveSecurityGroupIds");
    let mut groups: Vec<String> = items(row, "Groups").map(|group| text(group, "GroupId").to_owned()).collect();
    groups.retain(|group| !gone.contains(&group.as_str()));
    for added in texts(input, "AddSecurityGroupIds") {
        if !groups.iter().any(|group| group == added) {
            groups.push(added.to_owned());
        }
    }
    if groups.is_empty() {
        return Err(parameter("An interface endpoint needs at least one security group"));
    }
    let named = named_groups(call, row, &groups.iter().map(String::as_str).collect::<Vec<_>>())?;
    let leaving = texts(input, "RemoveSubnetIds");
    let added: Vec<&str> =
        texts(input, "AddSubnetIds").into_iter().filter(|id| !texts(row, "SubnetIds").contains(id)).collect();
    let mut after = row.clone();
    super::retain(&mut after, "SubnetIds", |subnet| !leaving.iter().any(|gone| subnet == gone));
    check_subnets(call, &after, &added)?;
    let mut subnets: Vec<String> = texts(&after, "SubnetIds").into_iter().map(str::to_owned).collect();
    subnets.extend(added.iter().map(|id| (*id).to_owned()));
    let kind = input["IpAddressType"].as_str().or(row["IpAddressType"].as_str());
    address_type(call, &mut after, kind, &subnets.iter().map(String::as_str).collect::<Vec<_>>())?;
    // Everything is checked; from here on things change.
    if let Some(private) = private {
        after["PrivateDnsEnabled"] = json!(private);
    }
    after["Groups"] = named.clone();
    for eni in texts(row, "NetworkInterfaceIds") {
        let Some(found) = call.get(interface::INTERFACES, eni) else { continue };
        if leaving.contains(&text(&found, "SubnetId")) {
            call.remove(interface::INTERFACES, eni);
            super::retain(&mut after, "NetworkInterfaceIds", |other| other != eni);
        } else {
            call.change(interface::INTERFACES, eni, |eni| eni["Groups"] = named.clone());
        }
    }
    add_subnets(call, &mut after, &added)?;
    if !added.is_empty() {
        after["State"] = json!("pending");
        Transition::from(call.now()).then(PENDING_S, json!({"State": "available"})).attach(&mut after);
    }
    dns(call, &mut after);
    *row = after;
    Ok(())
}

fn delete_vpc_endpoints(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let mut unsuccessful = Vec::new();
    let now = call.now();
    for id in texts(input, "VpcEndpointIds") {
        let Some(row) = call.get(ENDPOINTS, id) else {
            let error = missing(id);
            unsuccessful.push(json!({"ResourceId": id, "Error": {"Code": error.code, "Message": error.message}}));
            continue;
        };
        if text(&row, "VpcEndpointType") == "Gateway" {
            call.remove(ENDPOINTS, id);
            continue;
        }
        for eni in texts(&row, "NetworkInterfaceIds") {
            interface::leave(call, eni, DELETING_S);
        }
        if text(&row, "State") != "deleting" {
            call.change(ENDPOINTS, id, |row| {
                row["State"] = json!("deleting");
                Transition::from(now).gone(DELETING_S).attach(row);
            });
        }
    }
    Ok(json!({"Unsuccessful": unsuccessful}))
}
