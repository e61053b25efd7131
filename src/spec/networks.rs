//! Checks that networks lie inside the network they belong to.
//!
//! Driven by the schema alone. An argument of format `cidr` with `x-cidr-within: "vpc"` lies inside the `cidr`
//! of the resource that the argument `vpc` refers to. That siblings do not overlap is checked with all that is unique.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;

use super::model::Desired;
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::kind::KindSchemas;
use crate::value::whole_unknown;

pub(super) fn check(resources: &BTreeMap<Address, Desired>, kinds: &KindSchemas, diagnostics: &mut Vec<Diagnostic>) {
    for (address, desired) in resources {
        let Some(schema) = kinds.get(&desired.kind) else { continue };
        for (argument, property) in schema.arguments.properties() {
            let Some(parent) = property.get("x-cidr-within").and_then(Value::as_str) else { continue };
            let Some(net) = network(desired, argument) else { continue };
            let Some(parent) = desired.arguments.get(parent).and_then(Value::as_str) else { continue };
            check_inside(resources, kinds, (address, argument, net), parent, diagnostics);
        }
    }
}

fn network(desired: &Desired, argument: &str) -> Option<IpNet> {
    desired.arguments.get(argument)?.as_str()?.parse().ok()
}

fn check_inside(
    resources: &BTreeMap<Address, Desired>,
    kinds: &KindSchemas,
    (address, argument, net): (&Address, &str, IpNet),
    parent: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((parent, _)) = whole_unknown(parent).and_then(Address::parse_reference) else { return };
    let Some(outer) = resources.get(&parent) else { return };
    let Some(schema) = kinds.get(&outer.kind) else { return };
    // Its own family's networks: a VPC may have an IPv6 block that AWS assigns, which is not known here.
    let is_cidr = |property: &Value| property.get("format").and_then(Value::as_str) == Some("cidr");
    let mut outer_nets = Vec::new();
    for (name, property) in schema.arguments.properties() {
        match outer.arguments.get(name) {
            Some(Value::String(text)) if is_cidr(property) => {
                outer_nets.extend(text.parse().ok().map(|net| (name, net)))
            }
            Some(Value::Array(items)) if property.get("items").is_some_and(is_cidr) => {
                outer_nets.extend(items.iter().filter_map(|item| Some((name, item.as_str()?.parse::<IpNet>().ok()?))));
            }
            _ => {}
        }
    }
    outer_nets.retain(|(_, outer)| outer.max_prefix_len() == net.max_prefix_len());
    if let Some((name, first)) = outer_nets.first()
        && !outer_nets.iter().any(|(_, outer)| outer.contains(&net))
    {
        diagnostics.push(
            Diagnostic::error("SPEC042", "network outside its parent")
                .at_argument(address, argument, format!("`{net}` of {address} is not inside {parent}"))
                .at_argument(&parent, name.as_str(), format!("{parent} is `{first}`"))
                .help(format!(
                    "cut it from the parent: `$({}.{name} | subnet(prefix={}, index=0))`",
                    parent,
                    net.prefix_len()
                )),
        );
    }
}
