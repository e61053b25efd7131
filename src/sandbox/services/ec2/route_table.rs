//! Route tables and the subnets that use them.
//!
//! Local routes follow the VPC's blocks, and a route whose target is gone is a black hole; both are worked out
//! when a table is shown. Not simulated: associations of gateways, virtual private gateways.

use serde_json::{Value, json};

use super::{
    check_form, dependency, describe_as, done, invalid, items, needs, new_tags, not_found, push, retain, route, subnet,
    vpc,
};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AssociateRouteTable", associate_route_table),
    ("CreateRouteTable", create_route_table),
    ("DeleteRouteTable", delete_route_table),
    ("DescribeRouteTables", describe_route_tables),
    ("DisassociateRouteTable", disassociate_route_table),
    ("ReplaceRouteTableAssociation", replace_route_table_association),
];

pub(super) const TABLES: &str = "route_tables";

fn missing(id: &str) -> AwsError {
    match check_form("rtb", id, "InvalidRouteTableId.Malformed") {
        Err(error) => error,
        Ok(()) => not_found("InvalidRouteTableID.NotFound", "routeTable", id),
    }
}

/// Returns a table as it is kept.
pub(super) fn table(call: &Call<'_>, id: &str) -> Result<Value, AwsError> {
    call.get(TABLES, id).ok_or_else(|| missing(id))
}

fn create_route_table(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let token = input["ClientToken"].as_str().map(str::to_owned);
    call.once(token.as_deref(), input, |call| {
        let vpc_id = text(input, "VpcId");
        vpc::vpc(call, vpc_id)?;
        let tags = new_tags(input, "route-table")?;
        let beside = call.count_of(TABLES, |row| text(row, "VpcId") == vpc_id);
        if beside >= call.quota("route_tables_per_vpc") {
            let message = "The maximum number of route tables has been reached.";
            return Err(AwsError::new("RouteTableLimitExceeded", message));
        }
        let id = call.id("rtb");
        let kept = json!({
            "RouteTableId": id,
            "VpcId": vpc_id,
            "OwnerId": call.account,
            "Associations": [],
            "PropagatingVgws": [],
            "Routes": [],
            "Tags": tags,
            "_arn": call.arn(&format!("route-table/{id}")),
        });
        call.put(TABLES, &id, kept.clone());
        let mut shown = kept;
        route::show(call, &mut shown);
        Ok(json!({"RouteTable": shown, "ClientToken": input["ClientToken"]}))
    })
}

fn describe_route_tables(call: &mut Call<'_>, input: &Value) -> Answer {
    describe_as(
        call,
        input,
        (TABLES, "RouteTables"),
        ("RouteTableIds", missing),
        &[
            ("association.gateway-id", "Associations.GatewayId"),
            ("association.main", "Associations.Main"),
            ("association.route-table-association-id", "Associations.RouteTableAssociationId"),
            ("association.route-table-id", "Associations.RouteTableId"),
            ("association.subnet-id", "Associations.SubnetId"),
            ("owner-id", "OwnerId"),
            ("route-table-id", "RouteTableId"),
            ("route.destination-cidr-block", "Routes.DestinationCidrBlock"),
            ("route.destination-ipv6-cidr-block", "Routes.DestinationIpv6CidrBlock"),
            ("route.destination-prefix-list-id", "Routes.DestinationPrefixListId"),
            ("route.gateway-id", "Routes.GatewayId"),
            ("route.nat-gateway-id", "Routes.NatGatewayId"),
            ("route.origin", "Routes.Origin"),
            ("route.state", "Routes.State"),
            ("vpc-id", "VpcId"),
        ],
        &["Routes"],
        route::show,
    )
}

fn delete_route_table(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "RouteTableId");
    vpc::ensure_default(call);
    let found = table(call, id)?;
    if items(&found, "Associations").next().is_some() {
        return Err(dependency("routeTable", id));
    }
    for (endpoint, _) in call.select("vpc_endpoints", |_, row| items(row, "RouteTableIds").any(|table| table == id)) {
        call.change("vpc_endpoints", &endpoint, |row| retain(row, "RouteTableIds", |table| table != id));
    }
    call.remove(TABLES, id);
    done()
}

/// Finds the table that holds an association.
fn holder(call: &Call<'_>, association: &str) -> Result<(String, Value), AwsError> {
    let found = call.find_map(TABLES, |id, row| {
        let tie = items(row, "Associations").find(|tie| text(tie, "RouteTableAssociationId") == association).cloned();
        tie.map(|tie| (id.to_owned(), tie))
    });
    found.ok_or_else(|| {
        let message = format!("The association ID '{association}' does not exist");
        AwsError::new("InvalidAssociationID.NotFound", message)
    })
}

fn associate_route_table(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "RouteTableId");
    vpc::ensure_default(call);
    let found = table(call, id)?;
    if input.get("GatewayId").is_some() {
        return Err(AwsError::new("NotImplementedBySandbox", "the sandbox does not associate gateways with tables"));
    }
    let subnet_id = input["SubnetId"].as_str().ok_or_else(|| needs("subnetId"))?;
    let subnet = subnet::subnet(call, subnet_id)?;
    if text(&subnet, "VpcId") != text(&found, "VpcId") {
        return Err(invalid(format!("Route table {id} and subnet {subnet_id} belong to different networks")));
    }
    let taken = call.any(TABLES, |_, row| items(row, "Associations").any(|tie| text(tie, "SubnetId") == subnet_id));
    if taken {
        let message = format!("the specified association for route table {id} conflicts with an existing association");
        return Err(AwsError::new("Resource.AlreadyAssociated", message));
    }
    let association = call.id("rtbassoc");
    let tie = json!({
        "Main": false,
        "RouteTableAssociationId": association,
        "RouteTableId": id,
        "SubnetId": subnet_id,
        "AssociationState": {"State": "associated"},
    });
    call.change(TABLES, id, |row| push(row, "Associations", tie));
    Ok(json!({"AssociationId": association, "AssociationState": {"State": "associated"}}))
}

fn disassociate_route_table(call: &mut Call<'_>, input: &Value) -> Answer {
    let association = text(input, "AssociationId");
    let (id, tie) = holder(call, association)?;
    if tie["Main"] == true {
        return Err(invalid(format!("cannot disassociate the main route table association {association}")));
    }
    call.change(TABLES, &id, |row| {
        retain(row, "Associations", |tie| text(tie, "RouteTableAssociationId") != association);
    });
    done()
}

fn replace_route_table_association(call: &mut Call<'_>, input: &Value) -> Answer {
    let (association, id) = (text(input, "AssociationId"), text(input, "RouteTableId"));
    let (from, mut tie) = holder(call, association)?;
    let (old, new) = (table(call, &from)?, table(call, id)?);
    if text(&old, "VpcId") != text(&new, "VpcId") {
        return Err(invalid(format!("Route tables {from} and {id} belong to different networks")));
    }
    let fresh = call.id("rtbassoc");
    tie["RouteTableAssociationId"] = json!(fresh);
    tie["RouteTableId"] = json!(id);
    call.change(TABLES, &from, |row| {
        retain(row, "Associations", |tie| text(tie, "RouteTableAssociationId") != association);
    });
    call.change(TABLES, id, |row| push(row, "Associations", tie));
    Ok(json!({"NewAssociationId": fresh, "AssociationState": {"State": "associated"}}))
}
