//! A route table: where the traffic of its subnets goes.
//!
//! Calls: CreateRouteTable; CreateRoute, ReplaceRoute, DeleteRoute, AssociateRouteTable,
//! ReplaceRouteTableAssociation, DisassociateRouteTable, CreateTags, DeleteTags; DeleteRouteTable.
//! Reads: DescribeRouteTables.
//! Waits: until a Describe shows it.
//! Traps: the local routes, propagated routes and those of gateway endpoints are not the user's and are left out.
//! A subnet has one explicit table at most; one that moves between tables is moved in one call, so that it never
//! falls back to the main table in between. The VPC's main table belongs to the VPC and is no resource: it keeps
//! its local route only, which is the safe default for a subnet that no table names.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Route as SdkRoute, RouteOrigin, RouteTable as SdkTable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// The routes of a VPC's subnets.
///
/// Traffic inside the VPC needs no route. A gateway endpoint adds its own route and is not listed here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The VPC's id.
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: String,
    /// The routes, one for each destination.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-access" = true))]
    pub routes: Vec<Route>,
    /// The ids of the subnets that use this table.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-access" = true, "x-claims" = true))]
    pub subnets: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The destination: an IPv4 or IPv6 range, or a prefix list's id (`pl-…`).
    pub to: String,
    /// The target's id: an internet gateway (`igw-…`), NAT gateway (`nat-…`), egress-only gateway (`eigw-…`),
    /// virtual private gateway (`vgw-…`), transit gateway (`tgw-…`), peering connection (`pcx-…`), network interface
    /// (`eni-…`), gateway load balancer endpoint (`vpce-…`), local gateway (`lgw-…`), carrier gateway (`cagw-…`), or
    /// a core network's ARN.
    pub via: String,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The route table's id (`rtb-…`).
    pub id: String,
    /// The route table's ARN.
    pub arn: String,
}

/// See the module's header.
pub struct RouteTable;

impl ResourceKind for RouteTable {
    const NAME: &'static str = "route_table";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::ClientToken;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeRouteTables"],
        create: &[
            "ec2:AssociateRouteTable",
            "ec2:CreateRoute",
            "ec2:CreateRouteTable",
            "ec2:CreateTags",
            "ec2:ReplaceRouteTableAssociation",
        ],
        update: &[
            "ec2:AssociateRouteTable",
            "ec2:CreateRoute",
            "ec2:CreateTags",
            "ec2:DeleteRoute",
            "ec2:DeleteTags",
            "ec2:DisassociateRouteTable",
            "ec2:ReplaceRoute",
            "ec2:ReplaceRouteTableAssociation",
        ],
        delete: &["ec2:DeleteRouteTable", "ec2:DisassociateRouteTable"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let routes = arguments.get("routes").and_then(Value::as_array);
        for (index, route) in routes.into_iter().flatten().enumerate() {
            let text = |name: &str| route.get(name).and_then(Value::as_str).unwrap_or_default();
            let to = text("to");
            out.extend(check_destination(&format!("routes[{index}].to"), to));
            if !to.is_empty() && seen.insert(to, index).is_some() {
                let message = format!("`{to}` has two routes");
                out.push(Problem::new(format!("routes[{index}].to"), message));
            }
            let via = text("via");
            if !via.is_empty() && !crate::value::has_unknown(&route["via"]) && target(via).is_none() {
                out.push(Problem::new(format!("routes[{index}].via"), format!("`{via}` is no target of a route")));
            }
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("route-table-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().map(|table| observe(aws, table))))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?.into_iter().filter(|table| !is_main(table));
        Ok(found.map(|table| ec2::discovered(table.route_table_id, table.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|table| table.route_table_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let tags = ec2::tag_specification(ResourceType::RouteTable, &cx.tags(&arguments.tags));
        let call = cx.aws.ec2().create_route_table().vpc_id(&arguments.vpc).client_token(cx.token);
        let id = call.tag_specifications(tags).send().await?.route_table.and_then(|table| table.route_table_id);
        Ok(id.expect("internal error: CreateRouteTable answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        let list = || list(aws, vec![ec2::filter("route-table-id", [id.as_str()])]);
        ec2::until_seen(aws, "the route table", list).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        // Subnets that leave never see the new routes, and subnets that come find them there.
        if cx.touches("subnets") {
            release_subnets(&cx).await?;
        }
        if cx.touches("routes") {
            set_routes(&cx).await?;
        }
        if cx.touches("subnets") {
            take_subnets(&cx).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        let id = cx.id.as_str();
        for table in list(cx.aws, vec![ec2::filter("route-table-id", [id])]).await? {
            for association in associations(&table).into_values() {
                disassociate(cx.aws, association).await?;
            }
        }
        cx.aws.ec2().delete_route_table().route_table_id(id).send().await?;
        Ok(())
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkTable>, AwsError> {
    let call = aws.ec2().describe_route_tables().set_filters(Some(filters)).into_paginator().page_size(100);
    Ok(call.items().send().try_collect().await?)
}

fn is_main(table: &SdkTable) -> bool {
    table.associations().iter().any(|association| association.main == Some(true))
}

/// Returns the subnets that name a table, each with its association's id.
fn associations(table: &SdkTable) -> BTreeMap<String, String> {
    let explicit = table.associations().iter().filter(|association| association.main != Some(true));
    explicit.filter_map(|one| one.subnet_id.clone().zip(one.route_table_association_id.clone())).collect()
}

async fn disassociate(aws: &Aws, association: String) -> Result<(), AwsError> {
    let call = aws.ec2().disassociate_route_table().association_id(association);
    // A subnet that moved to another table took its association along.
    call.send().await.map_err(AwsError::from).map(|_| ()).or_else(|error| error.absent::<()>().map(|_| ()))
}

fn observe(aws: &Aws, table: SdkTable) -> (PhysicalId, Observed<RouteTable>) {
    let (tags, owner) = ec2::split_tags(table.tags.clone());
    let id = table.route_table_id.clone().unwrap_or_default();
    let arguments = Arguments {
        vpc: table.vpc_id.clone().unwrap_or_default(),
        routes: table.routes().iter().filter_map(users_route).collect(),
        subnets: associations(&table).into_keys().collect(),
        tags,
    };
    let arn = ec2::arn(aws, table.owner_id.as_deref(), &format!("route-table/{id}"));
    (id.clone().into(), Observed::new(arguments, Attributes { id, arn }, owner))
}

/// Returns a route as the user writes it, unless it is AWS's own.
fn users_route(route: &SdkRoute) -> Option<Route> {
    if route.origin != Some(RouteOrigin::CreateRoute) {
        return None;
    }
    let prefix_list = route.destination_prefix_list_id.as_ref();
    let to = route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref()).or(prefix_list)?;
    let targets = [
        &route.nat_gateway_id,
        &route.transit_gateway_id,
        &route.vpc_peering_connection_id,
        &route.egress_only_internet_gateway_id,
        &route.local_gateway_id,
        &route.carrier_gateway_id,
        &route.core_network_arn,
        // A route to an instance names its interface too, and that is how it is written here.
        &route.network_interface_id,
        &route.gateway_id,
    ];
    let via = targets.into_iter().flatten().next()?;
    let of_gateway_endpoint = prefix_list.is_some() && via.starts_with("vpce-");
    (via != "local" && !of_gateway_endpoint).then(|| Route { to: to.clone(), via: via.clone() })
}

fn check_destination(path: &str, to: &str) -> Option<Problem> {
    let range: ipnet::IpNet = to.parse().ok()?;
    let whole = range.trunc();
    (whole.to_string() != to).then(|| Problem {
        help: Some(format!("write `{whole}`")),
        ..Problem::new(path, format!("`{to}` is not how AWS writes this range"))
    })
}

/// What a route's `via` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Gateway,
    Nat,
    EgressOnly,
    Transit,
    Peering,
    Interface,
    Endpoint,
    Local,
    Carrier,
    CoreNetwork,
}

fn target(via: &str) -> Option<Target> {
    if via.starts_with("arn:") {
        return via.contains(":core-network/").then_some(Target::CoreNetwork);
    }
    Some(match via.split_once('-')?.0 {
        "igw" | "vgw" => Target::Gateway,
        "nat" => Target::Nat,
        "eigw" => Target::EgressOnly,
        "tgw" => Target::Transit,
        "pcx" => Target::Peering,
        "eni" => Target::Interface,
        "vpce" => Target::Endpoint,
        "lgw" => Target::Local,
        "cagw" => Target::Carrier,
        _ => return None,
    })
}

/// Fills a CreateRoute or ReplaceRoute call, which take the same parameters.
macro_rules! with_route {
    ($call:expr, $route:expr) => {{
        let (call, to, via) = ($call, $route.to.as_str(), $route.via.as_str());
        let call = match to {
            _ if to.starts_with("pl-") => call.destination_prefix_list_id(to),
            _ if to.contains(':') => call.destination_ipv6_cidr_block(to),
            _ => call.destination_cidr_block(to),
        };
        match target(via) {
            Some(Target::Nat) => call.nat_gateway_id(via),
            Some(Target::EgressOnly) => call.egress_only_internet_gateway_id(via),
            Some(Target::Transit) => call.transit_gateway_id(via),
            Some(Target::Peering) => call.vpc_peering_connection_id(via),
            Some(Target::Interface) => call.network_interface_id(via),
            Some(Target::Endpoint) => call.vpc_endpoint_id(via),
            Some(Target::Local) => call.local_gateway_id(via),
            Some(Target::Carrier) => call.carrier_gateway_id(via),
            Some(Target::CoreNetwork) => call.core_network_arn(via),
            Some(Target::Gateway) | None => call.gateway_id(via),
        }
    }};
}

/// Returns how narrow a destination is. What a prefix list holds is not known, and goes before all ranges.
fn narrowness(to: &str) -> u8 {
    to.parse::<ipnet::IpNet>().map_or(u8::MAX, |range| range.prefix_len())
}

/// Adds and turns routes before any goes.
///
/// Added from the narrowest on and taken away from the widest on: an address that has a new narrow route never
/// goes by a new wide one, and one that loses a narrow route never by an old wide one.
async fn set_routes(cx: &Update<'_, RouteTable>) -> Result<(), AwsError> {
    let (ec2, id) = (cx.aws.ec2(), cx.id.as_str());
    let before: BTreeMap<&str, &Route> =
        cx.before.arguments.routes.iter().map(|route| (route.to.as_str(), route)).collect();
    let mut after: Vec<&Route> = cx.after.routes.iter().collect();
    after.sort_by_key(|route| Reverse(narrowness(&route.to)));
    for route in after {
        match before.get(route.to.as_str()) {
            Some(same) if **same == *route => continue,
            Some(_) => {
                with_route!(ec2.replace_route().route_table_id(id), route).send().await?;
            }
            None => {
                with_route!(ec2.create_route().route_table_id(id), route).send().await?;
            }
        }
    }
    let kept = |to: &str| cx.after.routes.iter().any(|route| route.to == to);
    let mut gone: Vec<&str> = before.into_keys().filter(|to| !kept(to)).collect();
    gone.sort_by_key(|to| narrowness(to));
    for to in gone {
        let call = ec2.delete_route().route_table_id(id);
        let call = match to {
            _ if to.starts_with("pl-") => call.destination_prefix_list_id(to),
            _ if to.contains(':') => call.destination_ipv6_cidr_block(to),
            _ => call.destination_cidr_block(to),
        };
        call.send().await?;
    }
    Ok(())
}

/// Lets go of subnets; they fall to the VPC's main table.
async fn release_subnets(cx: &Update<'_, RouteTable>) -> Result<(), AwsError> {
    for table in list(cx.aws, vec![ec2::filter("route-table-id", [cx.id.as_str()])]).await? {
        for (subnet, association) in associations(&table) {
            if !cx.after.subnets.contains(&subnet) {
                disassociate(cx.aws, association).await?;
            }
        }
    }
    Ok(())
}

/// Brings subnets to this table, from another one in one step.
async fn take_subnets(cx: &Update<'_, RouteTable>) -> Result<(), AwsError> {
    let (ec2, id) = (cx.aws.ec2(), cx.id.as_str());
    let mut named = BTreeMap::new();
    if !cx.after.subnets.is_empty() {
        let filters = vec![ec2::filter("association.subnet-id", &cx.after.subnets)];
        for table in list(cx.aws, filters).await? {
            let of = table.route_table_id.clone().unwrap_or_default();
            named.extend(associations(&table).into_iter().map(|(subnet, one)| (subnet, (of.clone(), one))));
        }
    }
    for subnet in &cx.after.subnets {
        match named.get(subnet) {
            Some((table, _)) if table == id => {}
            Some((_, association)) => {
                let call = ec2.replace_route_table_association().association_id(association);
                call.route_table_id(id).send().await?;
            }
            None => {
                ec2.associate_route_table().route_table_id(id).subnet_id(subnet).send().await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn aws_own_routes_are_left_out() {
        let route = |origin: RouteOrigin| SdkRoute::builder().origin(origin);
        let local = route(RouteOrigin::CreateRouteTable).destination_cidr_block("10.0.0.0/16").gateway_id("local");
        let endpoint = route(RouteOrigin::CreateRoute).destination_prefix_list_id("pl-1").gateway_id("vpce-1");
        let inspected = route(RouteOrigin::CreateRoute).destination_cidr_block("0.0.0.0/0").gateway_id("vpce-1");
        assert_eq!(users_route(&local.build()), None);
        assert_eq!(users_route(&endpoint.build()), None);
        let expected = Route { to: "0.0.0.0/0".to_owned(), via: "vpce-1".to_owned() };
        assert_eq!(users_route(&inspected.build()), Some(expected));
    }

    #[test]
    fn faulty_routes_are_found() {
        let problems = RouteTable::check(&json!({ "routes": [
            { "to": "10.1.2.3/8", "via": "igw-1" }, { "to": "0.0.0.0/0", "via": "i-1" },
            { "to": "0.0.0.0/0", "via": "nat-1" }, { "to": "::/0", "via": crate::value::unknown("x.y.id") },
        ] }));
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["routes[0].to", "routes[1].via", "routes[2].to"]);
    }
}
