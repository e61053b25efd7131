//! Secondary addresses of NAT gateways: given and taken in the background, one change at a time while some drain.

use serde_json::{Value, json};

use super::nat_gateway::{GATEWAYS, missing};
use super::{address, interface, invalid, items, needs, subnet};
use crate::sandbox::call::{Call, Transition, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AssignPrivateNatGatewayAddress", assign),
    ("AssociateNatGatewayAddress", associate),
    ("DisassociateNatGatewayAddress", disassociate),
    ("UnassignPrivateNatGatewayAddress", unassign),
];

/// Seconds until a new address is in use.
const JOINING_S: f64 = 15.0;
/// Seconds that an address without connections takes to drain.
const DRAINING_S: f64 = 30.0;

const ADDRESSES: &str = "NatGatewayAddresses";

/// The secondary addresses of one request: private ones, each with its public one on a public gateway.
pub(super) struct Secondary {
    pub(super) private: Vec<String>,
    pub(super) allocations: Vec<String>,
}

/// The members of a request that name secondary addresses.
pub(super) struct Members {
    pub(super) allocations: &'static str,
    pub(super) private: &'static str,
    pub(super) count: &'static str,
}

/// Checks the secondary addresses of a request and picks their private ones; `taken` is about to be in use.
pub(super) fn requested(
    call: &Call<'_>,
    input: &Value,
    names: &Members,
    (subnet, public, taken): (&Value, bool, &[String]),
) -> Result<Secondary, AwsError> {
    let combination = |message: &str| AwsError::new("InvalidParameterCombination", message);
    let allocations: Vec<String> = texts(input, names.allocations).into_iter().map(str::to_owned).collect();
    let wanted = texts(input, names.private);
    let count = input[names.count].as_u64();
    if !public && !allocations.is_empty() {
        return Err(combination("Allocation IDs cannot be specified for a private NAT gateway"));
    }
    if count.is_some() && (public || !wanted.is_empty()) {
        return Err(combination("A count of private addresses is for private NAT gateways, without the addresses"));
    }
    if public && !wanted.is_empty() && wanted.len() != allocations.len() {
        return Err(combination("Each private address of a public NAT gateway needs an allocation ID"));
    }
    for id in &allocations {
        call.get(address::ADDRESSES, id).ok_or_else(|| address::missing(id))?;
    }
    let free = match (count, public) {
        (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
        (None, true) => allocations.len(),
        (None, false) => 0,
    };
    let wanted: Vec<Option<&str>> =
        if wanted.is_empty() { vec![None; free] } else { wanted.into_iter().map(Some).collect() };
    Ok(Secondary { private: interface::pick_addresses(call, subnet, &wanted, taken)?, allocations })
}

/// Checks how many addresses a gateway would have.
pub(super) fn check_quotas(call: &Call<'_>, allocations: usize, private: usize) -> Result<(), AwsError> {
    if allocations > call.quota("addresses_per_nat_gateway") {
        let message = "The maximum number of Elastic IP addresses of the NAT gateway has been reached.";
        return Err(AwsError::new("AddressLimitExceeded", message));
    }
    if private > call.quota("private_addresses_per_nat_gateway") {
        let message = "The maximum number of private IP addresses of the NAT gateway has been reached.";
        return Err(AwsError::new("PrivateIpAddressLimitExceeded", message));
    }
    Ok(())
}

/// Ties addresses to a gateway's interface and returns what the gateway shows of them, not in use yet.
pub(super) fn join(call: &mut Call<'_>, eni: &str, secondary: &Secondary) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, private) in secondary.private.iter().enumerate() {
        let mut shown = json!({"NetworkInterfaceId": eni, "PrivateIp": private, "IsPrimary": false});
        let Some(allocation) = secondary.allocations.get(index) else {
            interface::add_address(call, eni, private);
            shown["Status"] = json!("assigning");
            out.push(shown);
            continue;
        };
        shown["Status"] = json!("associating");
        shown["AllocationId"] = json!(allocation);
        let row = call.get(address::ADDRESSES, allocation).unwrap_or_default();
        shown["PublicIp"] = row["PublicIp"].clone();
        let (group, region) = (text(&row, "NetworkBorderGroup"), &call.region);
        if group == region {
            interface::add_address(call, eni, private);
            shown["AssociationId"] = json!(address::tie(call, allocation, eni, private));
        } else {
            shown["_fault"] = json!(format!(
                "The network border group {group} of the address is not that of the Availability Zone, {region}"
            ));
        }
        out.push(shown);
    }
    out
}

/// Returns what a gateway's addresses are when all that is under way is over.
pub(super) fn settled(shown: &[Value]) -> Vec<Value> {
    let mut out: Vec<Value> = shown.to_vec();
    out.retain(|one| !is_draining(one));
    for one in &mut out {
        if matches!(text(one, "Status"), "assigning" | "associating") {
            let fault = one["_fault"].take();
            one["Status"] = json!(if fault.is_null() { "succeeded" } else { "failed" });
            if !fault.is_null() {
                one["FailureMessage"] = fault;
            }
        }
    }
    out
}

fn is_draining(shown: &Value) -> bool {
    matches!(text(shown, "Status"), "disassociating" | "unassigning")
}

/// Finds a gateway whose addresses can be changed now.
fn changeable(call: &Call<'_>, input: &Value, public: bool) -> Result<(String, Value), AwsError> {
    let id = text(input, "NatGatewayId");
    let gateway = call.get(GATEWAYS, id).ok_or_else(|| missing(id))?;
    let state = text(&gateway, "State");
    if state != "available" {
        return Err(AwsError::new("IncorrectState", format!("NatGateway {id} is {state}")));
    }
    if (text(&gateway, "ConnectivityType") == "public") != public {
        let kind = text(&gateway, "ConnectivityType");
        return Err(invalid(format!("The operation is not supported for NatGateway {id}, which is {kind}")));
    }
    if items(&gateway, ADDRESSES).any(is_draining) {
        return Err(AwsError::new("IncorrectState", format!("NatGateway {id} has addresses that are draining")));
    }
    Ok((id.to_owned(), gateway))
}

fn keep(call: &mut Call<'_>, id: &str, shown: Vec<Value>, seconds: f64) {
    let now = call.now();
    call.change(GATEWAYS, id, |gateway| {
        Transition::from(now).then(seconds, json!({ADDRESSES: settled(&shown)})).attach(gateway);
        gateway[ADDRESSES] = Value::Array(shown);
    });
}

fn add(call: &mut Call<'_>, input: &Value, names: &Members, public: bool) -> Answer {
    let (id, gateway) = changeable(call, input, public)?;
    let place = subnet::subnet(call, text(&gateway, "SubnetId"))?;
    let secondary = requested(call, input, names, (&place, public, &[]))?;
    if secondary.private.is_empty() {
        return Err(needs(if public { "allocationId" } else { "privateIpAddress" }));
    }
    for allocation in &secondary.allocations {
        let row = call.get(address::ADDRESSES, allocation).unwrap_or_default();
        if let Some(association) = optional(&row, "AssociationId") {
            let message = format!("resource {allocation} is already associated with associate-id {association}");
            return Err(AwsError::new("Resource.AlreadyAssociated", message));
        }
    }
    let mut shown: Vec<Value> = items(&gateway, ADDRESSES).cloned().collect();
    // What failed holds nothing.
    let held = shown.iter().filter(|one| one.get("AssociationId").is_some()).count();
    let private = shown.iter().filter(|one| text(one, "Status") != "failed").count();
    check_quotas(call, held + secondary.allocations.len(), private + secondary.private.len())?;
    let eni = shown.first().map(|one| text(one, "NetworkInterfaceId").to_owned()).unwrap_or_default();
    let new = join(call, &eni, &secondary);
    shown.extend(new.iter().cloned());
    keep(call, &id, shown, JOINING_S);
    Ok(json!({"NatGatewayId": id, ADDRESSES: new}))
}

fn remove(call: &mut Call<'_>, input: &Value, (member, key): (&str, &str), public: bool) -> Answer {
    let (id, gateway) = changeable(call, input, public)?;
    let gone = texts(input, member);
    let mut shown: Vec<Value> = items(&gateway, ADDRESSES).cloned().collect();
    for one in &gone {
        let Some(known) = shown.iter().find(|known| text(known, key) == *one) else {
            let message = format!("{one} is not an address of NatGateway {id}");
            let code = if public { "InvalidAssociationID.NotFound" } else { "InvalidParameterValue" };
            return Err(AwsError::new(code, message));
        };
        if known["IsPrimary"] == true {
            return Err(invalid("The primary address of a NAT gateway cannot be removed"));
        }
    }
    let status = if public { "disassociating" } else { "unassigning" };
    let mut answered = Vec::new();
    for one in shown.iter_mut().filter(|known| gone.contains(&text(known, key))) {
        one["Status"] = json!(status);
        answered.push(one.clone());
    }
    let eni = shown.first().map(|one| text(one, "NetworkInterfaceId").to_owned()).unwrap_or_default();
    let leaving: Vec<&str> = answered.iter().map(|one| text(one, "PrivateIp")).collect();
    interface::drop_addresses(call, &eni, &leaving, DRAINING_S);
    for allocation in answered.iter().filter_map(|one| optional(one, "AllocationId")) {
        address::free(call, allocation, DRAINING_S);
    }
    keep(call, &id, shown, DRAINING_S);
    Ok(json!({"NatGatewayId": id, ADDRESSES: answered}))
}

fn associate(call: &mut Call<'_>, input: &Value) -> Answer {
    let names = Members { allocations: "AllocationIds", private: "PrivateIpAddresses", count: "" };
    add(call, input, &names, true)
}

fn disassociate(call: &mut Call<'_>, input: &Value) -> Answer {
    remove(call, input, ("AssociationIds", "AssociationId"), true)
}

fn assign(call: &mut Call<'_>, input: &Value) -> Answer {
    let names = Members { allocations: "", private: "PrivateIpAddresses", count: "PrivateIpAddressCount" };
    add(call, input, &names, false)
}

fn unassign(call: &mut Call<'_>, input: &Value) -> Answer {
    remove(call, input, ("PrivateIpAddresses", "PrivateIp"), false)
}
