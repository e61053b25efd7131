//! Routes: one per destination, each with one target that has to be there when the route is made.

use serde_json::{Value, json};

use super::route_table::{TABLES, table};
use super::{
    done, interface, internet_gateway, invalid, items, nat_gateway, needs, not_found, prefix_list, push, retain, vpc,
};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("CreateRoute", create_route), ("DeleteRoute", delete_route), ("ReplaceRoute", replace_route)];

/// The members that may name a route's target.
const TARGETS: [&str; 12] = [
    "GatewayId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "VpcEndpointId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
];
const DESTINATIONS: [&str; 3] = ["DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"];

/// Gives a table the local routes of its VPC, the routes of its gateway endpoints, and each route its state.
pub(super) fn show(call: &Call<'_>, table: &mut Value) {
    let Some(found) = call.get(vpc::VPCS, text(table, "VpcId")) else { return };
    let local = |member: &str, block: String| {
        let mut route = json!({"GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"});
        route[member] = json!(block);
        route
    };
    let mut routes: Vec<Value> =
        vpc::blocks(&found).into_iter().map(|block| local(DESTINATIONS[0], block.to_string())).collect();
    routes.extend(super::ipv6::blocks(&found).into_iter().map(|block| local(DESTINATIONS[1], block)));
    for route in items(table, "Routes").filter(|route| route["GatewayId"] != "local") {
        let mut route = route.clone();
        let state = if reachable(call, table, &route) { "active" } else { "blackhole" };
        route["State"] = json!(state);
        routes.push(route);
    }
    let id = text(table, "RouteTableId").to_owned();
    let mine = |_: &str, row: &Value| items(row, "RouteTableIds").any(|table| *table == id);
    for (endpoint, row) in call.select("vpc_endpoints", mine) {
        let list = prefix_list::lists(call).into_iter().find(|list| list.name == text(&row, "ServiceName"));
        if let Some(list) = list {
            routes.push(json!({
                "DestinationPrefixListId": list.id,
                "GatewayId": endpoint,
                "Origin": "CreateRoute",
                "State": "active",
            }));
        }
    }
    table["Routes"] = json!(routes);
}

fn reachable(call: &Call<'_>, table: &Value, route: &Value) -> bool {
    leads(&|collection, id| call.get(collection, id), table, route)
}

/// Tells whether a route's target is there, by a look at EC2's other resources.
pub(crate) fn leads(get: &dyn Fn(&str, &str) -> Option<Value>, table: &Value, route: &Value) -> bool {
    let vpc_id = text(table, "VpcId");
    if let Some(id) = route["GatewayId"].as_str().filter(|id| id.starts_with("igw-")) {
        let gateway = get(internet_gateway::GATEWAYS, id);
        return gateway.and_then(|gateway| internet_gateway::attached(&gateway)).as_deref() == Some(vpc_id);
    }
    if let Some(id) = route["NatGatewayId"].as_str() {
        let gateway = get(nat_gateway::GATEWAYS, id);
        return gateway.is_some_and(|gateway| matches!(text(&gateway, "State"), "available" | "pending"));
    }
    if let Some(id) = route["NetworkInterfaceId"].as_str() {
        // An interface that nothing is attached to leads nowhere.
        let interface = get(interface::INTERFACES, id);
        return interface.is_some_and(|interface| text(&interface, "Status") == "in-use");
    }
    if let Some(id) = route["GatewayId"].as_str().filter(|id| id.starts_with("vpce-")) {
        return get("vpc_endpoints", id).is_some();
    }
    false
}

/// Reads a request's destination: the member that names it, and its canonical form.
fn destination(call: &Call<'_>, input: &Value) -> Result<(&'static str, String), AwsError> {
    let given: Vec<&'static str> = DESTINATIONS.into_iter().filter(|key| input.get(*key).is_some()).collect();
    let [member] = given.as_slice() else {
        return Err(match given.len() {
            0 => needs("destinationCidrBlock"),
            _ => AwsError::new("InvalidParameterCombination", "More than one destination was given"),
        });
    };
    let value = text(input, member);
    let malformed = || {
        invalid(format!(
            "Value ({value}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
        ))
    };
    let canonical = match *member {
        "DestinationCidrBlock" => value.parse::<ipnet::Ipv4Net>().map_err(|_| malformed())?.trunc().to_string(),
        "DestinationIpv6CidrBlock" => value.parse::<ipnet::Ipv6Net>().map_err(|_| malformed())?.trunc().to_string(),
        _ if prefix_list::exists(call, value) => value.to_owned(),
        _ => return Err(prefix_list::missing(value)),
    };
    Ok((member, canonical))
}

/// Reads a request's target and checks that it can be routed to from a VPC.
fn target(call: &Call<'_>, input: &Value, table: &Value) -> Result<(&'static str, String), AwsError> {
    let given: Vec<&'static str> = TARGETS.into_iter().filter(|key| input.get(*key).is_some()).collect();
    let [member] = given.as_slice() else {
        return Err(match given.len() {
            0 => AwsError::new("MissingParameter", "The request must contain exactly one target of the route"),
            _ => {
                AwsError::new("InvalidParameterCombination", "The request must contain exactly one target of the route")
            }
        });
    };
    let id = text(input, member);
    let (vpc_id, table_id) = (text(table, "VpcId"), text(table, "RouteTableId"));
    let elsewhere =
        |kind: &str| invalid(format!("route table {table_id} and {kind} {id} belong to different networks"));
    match *member {
        "GatewayId" if id.starts_with("igw-") => {
            let gateway = call.get(internet_gateway::GATEWAYS, id);
            let gateway =
                gateway.ok_or_else(|| not_found("InvalidInternetGatewayID.NotFound", "internetGateway", id))?;
            if internet_gateway::attached(&gateway).as_deref() != Some(vpc_id) {
                return Err(elsewhere("network gateway"));
            }
        }
        "NatGatewayId" => {
            let gateway = call.get(nat_gateway::GATEWAYS, id).filter(nat_gateway::lives);
            let gateway = gateway.ok_or_else(|| not_found("InvalidNatGatewayID.NotFound", "natGateway", id))?;
            if text(&gateway, "VpcId") != vpc_id {
                return Err(elsewhere("NAT gateway"));
            }
        }
        "NetworkInterfaceId" => {
            let row = call.get(interface::INTERFACES, id);
            let row = row.ok_or_else(|| not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface", id))?;
            if text(&row, "VpcId") != vpc_id {
                return Err(elsewhere("interface"));
            }
        }
        "InstanceId" => {
            let row = call.find(interface::INTERFACES, |_, row| row["Attachment"]["InstanceId"] == id);
            let (row, _) = row.ok_or_else(|| not_found("InvalidInstanceID.NotFound", "instance", id))?;
            return Ok(("NetworkInterfaceId", row));
        }
        "VpcEndpointId" => {
            let row = call.get("vpc_endpoints", id);
            let row = row.ok_or_else(|| not_found("InvalidVpcEndpointId.NotFound", "vpcEndpoint", id))?;
            if text(&row, "VpcEndpointType") != "GatewayLoadBalancer" {
                return Err(invalid(format!("Endpoint {id} can not be the target of a route")));
            }
            return Ok(("GatewayId", id.to_owned()));
        }
        "TransitGatewayId" => return Err(not_found("InvalidTransitGatewayID.NotFound", "transitGateway", id)),
        "VpcPeeringConnectionId" => {
            return Err(not_found("InvalidVpcPeeringConnectionID.NotFound", "vpcPeeringConnection", id));
        }
        _ => return Err(not_found("InvalidGatewayID.NotFound", "gateway", id)),
    }
    Ok((member, id.to_owned()))
}

/// Finds the route to a destination, as it is shown.
fn existing(call: &Call<'_>, table: &Value, member: &str, destination: &str) -> Option<Value> {
    let mut shown = table.clone();
    show(call, &mut shown);
    items(&shown, "Routes").find(|route| text(route, member) == destination).cloned()
}

fn create_route(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let id = text(input, "RouteTableId");
    let found = table(call, id)?;
    let (member, to) = destination(call, input)?;
    let (kind, via) = target(call, input, &found)?;
    if existing(call, &found, member, &to).is_some() {
        return Err(AwsError::new("RouteAlreadyExists", format!("The route identified by {to} already exists.")));
    }
    if items(&found, "Routes").count() >= call.quota("routes_per_route_table") {
        let message = "The maximum number of routes has been reached.";
        return Err(AwsError::new("RouteLimitExceeded", message));
    }
    let mut route = json!({"Origin": "CreateRoute", "State": "active"});
    route[member] = json!(to);
    route[kind] = json!(via);
    call.change(TABLES, id, |row| push(row, "Routes", route));
    done()
}

fn replace_route(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let id = text(input, "RouteTableId");
    let found = table(call, id)?;
    let (member, to) = destination(call, input)?;
    if input.get("LocalTarget").is_some() {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox keeps local routes local"));
    }
    let (kind, via) = target(call, input, &found)?;
    match existing(call, &found, member, &to) {
        Some(route) if route["GatewayId"] == "local" => {
            return Err(AwsError::new("NotImplementedBySandbox", "the sandbox keeps local routes local"));
        }
        Some(_) => {}
        None => {
            return Err(invalid(format!(
                "There is no route defined for '{to}' in the route table. Use CreateRoute instead."
            )));
        }
    }
    let mut route = json!({"Origin": "CreateRoute", "State": "active"});
    route[member] = json!(to);
    route[kind] = json!(via);
    call.change(TABLES, id, |row| {
        retain(row, "Routes", |route| text(route, member) != to);
        push(row, "Routes", route);
    });
    Ok(json!({}))
}

fn delete_route(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let id = text(input, "RouteTableId");
    let found = table(call, id)?;
    let (member, to) = destination(call, input)?;
    match existing(call, &found, member, &to) {
        None => {
            let message = format!("no route with destination-cidr-block {to} in route table {id}");
            return Err(AwsError::new("InvalidRoute.NotFound", message));
        }
        Some(route) if route["GatewayId"] == "local" => {
            return Err(invalid(format!("cannot remove local route {to} in route table {id}")));
        }
        Some(route) if text(&route, "GatewayId").starts_with("vpce-") && member == DESTINATIONS[2] => {
            return Err(invalid(format!("cannot remove VPC endpoint route {to} in route table {id}")));
        }
        Some(_) => {}
    }
    call.change(TABLES, id, |row| retain(row, "Routes", |route| text(route, member) != to));
    done()
}
