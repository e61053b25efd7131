//! Where the traffic of each subnet goes: the most specific route of its table.
//!
//! An address may lie in a prefix list; what the list holds is not looked at, its route goes before all others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{Found, Reader};
use crate::sandbox::services::ec2_route_leads;

/// Where a subnet's traffic goes, by destination; none for a target that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    ranges: Vec<(IpNet, Option<String>)>,
    lists: BTreeMap<String, Option<String>>,
}

/// Returns an address of each class that ranges tell apart: the first of each, and the first behind it.
pub(super) fn boundaries(ranges: impl Iterator<Item = IpNet>) -> BTreeSet<IpAddr> {
    let mut out = BTreeSet::new();
    for range in ranges {
        out.insert(range.network());
        out.extend(after(&range));
    }
    let zero = |text: &str| text.parse::<IpAddr>().ok();
    out.extend(zero("0.0.0.0"));
    out.extend(zero("::"));
    out
}

/// Returns the first address behind a range.
pub(super) fn after(range: &IpNet) -> Option<IpAddr> {
    match range {
        IpNet::V4(range) => u32::from(range.broadcast()).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpNet::V6(range) => u128::from(range.broadcast()).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

pub(super) fn read(reader: &Reader<'_>) -> Vec<(String, Routes)> {
    let tables = reader.all("ec2", "route_tables");
    let ties = |table: &Value| table["Associations"].as_array().cloned().unwrap_or_default();
    let vpcs = reader.all("ec2", "vpcs");
    let mut out = Vec::new();
    for (place, subnet, row) in reader.all("ec2", "subnets") {
        let here = || tables.iter().filter(|(other, _, table)| *other == place && table["VpcId"] == row["VpcId"]);
        let named = here().find(|(_, _, table)| ties(table).iter().any(|tie| tie["SubnetId"] == subnet.as_str()));
        let found = named.or_else(|| here().find(|(_, _, table)| ties(table).iter().any(|tie| tie["Main"] == true)));
        let Some((_, _, table)) = found else { continue };
        let get = |collection: &str, id: &str| reader.get(&place.account, "ec2", collection, id);
        let mut routes = routes(table, &get);
        for (_, _, vpc) in vpcs.iter().filter(|(_, id, _)| row["VpcId"] == id.as_str()) {
            let block = vpc["CidrBlock"].as_str().and_then(|block| block.parse().ok());
            routes.ranges.extend(block.map(|block| (block, Some("local".to_owned()))));
        }
        out.push((format!("subnet {subnet}"), routes));
    }
    out
}

fn routes(table: &Value, get: &dyn Fn(&str, &str) -> Option<Value>) -> Routes {
    let mut out = Routes::default();
    for route in table["Routes"].as_array().into_iter().flatten().filter(|route| route["GatewayId"] != "local") {
        let ends =
            |(key, _): &(&String, &Value)| !key.starts_with("Destination") && *key != "Origin" && *key != "State";
        let target = route.as_object().into_iter().flatten().find(ends).and_then(|(_, id)| id.as_str());
        let target = target.map(str::to_owned).filter(|_| ec2_route_leads(get, table, route));
        let range = route["DestinationCidrBlock"].as_str().or(route["DestinationIpv6CidrBlock"].as_str());
        if let Some(range) = range.and_then(|range| range.parse().ok()) {
            out.ranges.push((range, target));
        } else if let Some(list) = route["DestinationPrefixListId"].as_str() {
            out.lists.insert(list.to_owned(), target);
        }
    }
    out
}

impl Routes {
    fn target(&self, address: IpAddr, list: Option<&str>) -> Option<&String> {
        if let Some(found) = list.and_then(|list| self.lists.get(list)) {
            return found.as_ref();
        }
        let fitting = self.ranges.iter().filter(|(range, _)| range.contains(&address));
        fitting.max_by_key(|(range, _)| range.prefix_len()).and_then(|(_, target)| target.as_ref())
    }

    pub(super) fn between(&self, before: &Self, after: &Self) -> Found {
        let all = [before, self, after];
        let ranges = all.iter().flat_map(|routes| routes.ranges.iter().map(|(range, _)| *range));
        let lists: BTreeSet<&str> = all.iter().flat_map(|routes| routes.lists.keys().map(String::as_str)).collect();
        let mut found = Found::new();
        for address in boundaries(ranges) {
            for list in lists.iter().map(|list| Some(*list)).chain([None]) {
                let [first, here, last] = all.map(|routes| routes.target(address, list));
                if here != first && here != last {
                    let probe = format!("{address} in {list:?} by {here:?}, before by {first:?} and after by {last:?}");
                    found.push((probe, here.is_some()));
                }
            }
        }
        found
    }
}
