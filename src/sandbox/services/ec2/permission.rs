//! Permissions, EC2's grouping of rules: read as single rules, and grouped again to be shown.

use serde_json::{Map, Value, json};

use super::security_group::{self, GROUPS};
use super::{invalid, items, prefix_list};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;

/// The members that name a rule's peer.
pub(super) const PEERS: [&str; 4] = ["CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupInfo"];

/// Reads the rules a request names, by `IpPermissions` or by its own older members.
pub(super) fn read(call: &Call<'_>, input: &Value, egress: bool) -> Result<Vec<Value>, AwsError> {
    let given = input["IpPermissions"].as_array().cloned().unwrap_or_default();
    let permissions = if given.is_empty() { old_form(input) } else { given };
    if permissions.is_empty() {
        let message = "The request must contain the parameter ipPermissions";
        return Err(AwsError::new("MissingParameter", message));
    }
    let mut rules = Vec::new();
    for permission in &permissions {
        let (protocol, from, to) = ports(permission)?;
        let before = rules.len();
        for (list, member) in [
            ("IpRanges", "CidrIp"),
            ("Ipv6Ranges", "CidrIpv6"),
            ("PrefixListIds", "PrefixListId"),
            ("UserIdGroupPairs", "GroupId"),
        ] {
            for item in items(permission, list) {
                let mut rule = json!({"IsEgress": egress, "IpProtocol": protocol, "FromPort": from, "ToPort": to});
                let (key, peer) = peer(call, list, member, item)?;
                rule[key] = peer;
                if let Some(description) = item["Description"].as_str().filter(|text| !text.is_empty()) {
                    if !security_group::is_plain(description) {
                        return Err(invalid(
                            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
                        ));
                    }
                    rule["Description"] = json!(description);
                }
                rules.push(rule);
            }
        }
        if rules.len() == before {
            return Err(invalid("Each rule must name a source or destination"));
        }
    }
    Ok(rules)
}

fn old_form(input: &Value) -> Vec<Value> {
    let Some(protocol) = input["IpProtocol"].as_str() else { return Vec::new() };
    let mut permission = json!({"IpProtocol": protocol, "FromPort": input["FromPort"], "ToPort": input["ToPort"]});
    if let Some(cidr) = input["CidrIp"].as_str() {
        permission["IpRanges"] = json!([{"CidrIp": cidr}]);
    }
    if let Some(name) = input["SourceSecurityGroupName"].as_str() {
        permission["UserIdGroupPairs"] = json!([{"GroupName": name}]);
    }
    vec![permission]
}

fn peer(call: &Call<'_>, list: &str, member: &str, item: &Value) -> Result<(&'static str, Value), AwsError> {
    let value = text(item, member);
    let malformed = || invalid(format!("CIDR block {value} is malformed"));
    Ok(match list {
        "IpRanges" => {
            let range: ipnet::Ipv4Net = value.parse().map_err(|_| malformed())?;
            ("CidrIpv4", json!(range.trunc().to_string()))
        }
        "Ipv6Ranges" => {
            let range: ipnet::Ipv6Net = value.parse().map_err(|_| malformed())?;
            ("CidrIpv6", json!(range.trunc().to_string()))
        }
        "PrefixListIds" if prefix_list::exists(call, value) => ("PrefixListId", json!(value)),
        "PrefixListIds" => return Err(prefix_list::missing(value)),
        _ => {
            let owner = item["UserId"].as_str().unwrap_or(&call.account);
            let id = match item["GroupId"].as_str() {
                Some(id) => id.to_owned(),
                None => security_group::of_request(call, item)?.0,
            };
            if owner == call.account && call.get(GROUPS, &id).is_none() {
                return Err(security_group::missing(&id));
            }
            ("ReferencedGroupInfo", json!({"GroupId": id, "UserId": owner}))
        }
    })
}

/// Reads a permission's protocol and ports, and brings the protocol to the name that EC2 shows.
pub(super) fn ports(permission: &Value) -> Result<(String, i64, i64), AwsError> {
    let given = text(permission, "IpProtocol").to_ascii_lowercase();
    let port = |key: &str| permission[key].as_i64();
    let (from, to) = (port("FromPort"), port("ToPort"));
    let protocol = match given.as_str() {
        "" => return Err(super::needs("ipProtocol")),
        "6" => "tcp".to_owned(),
        "17" => "udp".to_owned(),
        "1" => "icmp".to_owned(),
        "58" => "icmpv6".to_owned(),
        "-1" | "tcp" | "udp" | "icmp" | "icmpv6" => given,
        other if other.parse::<u8>().is_ok() => given,
        other => return Err(invalid(format!("Invalid value '{other}' for IP protocol. Unknown protocol."))),
    };
    match protocol.as_str() {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(invalid("TCP/UDP port (-1) out of range"));
            };
            if let Some(port) = [from, to].into_iter().find(|port| !(0..=65_535).contains(port)) {
                return Err(invalid(format!("TCP/UDP port ({port}) out of range")));
            }
            if from > to {
                return Err(invalid(format!("Invalid TCP/UDP port range ({from}:{to})")));
            }
            Ok((protocol, from, to))
        }
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) {
                return Err(invalid(format!("ICMP code ({code}) or type ({kind}) out of range")));
            }
            Ok((protocol, kind, code))
        }
        _ => Ok((protocol, -1, -1)),
    }
}

/// Tells whether two rules let the same connections through; a description makes no difference.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    ["IsEgress", "IpProtocol", "FromPort", "ToPort"].iter().chain(&PEERS).all(|key| {
        let value = |rule: &Value| rule.get(*key).cloned().unwrap_or_default();
        value(one) == value(other)
    })
}

/// Describes a rule in the words of EC2's refusals.
pub(super) fn words(rule: &Value) -> String {
    let peer = PEERS.iter().find_map(|key| match rule.get(*key)? {
        Value::String(text) => Some(text.clone()),
        info => info["GroupId"].as_str().map(str::to_owned),
    });
    let protocol = match text(rule, "IpProtocol") {
        "-1" => "ALL".to_owned(),
        other => other.to_ascii_uppercase(),
    };
    let peer = peer.unwrap_or_default();
    let ports = match protocol.as_str() {
        "TCP" | "UDP" => format!(", from port: {}, to port: {}", rule["FromPort"], rule["ToPort"]),
        _ => String::new(),
    };
    format!("peer: {peer}, {protocol}{ports}, ALLOW")
}

/// Groups the rules of one direction by protocol and ports.
pub(super) fn grouped(rules: &[(String, Value)], egress: bool) -> Value {
    let mut groups: Vec<Value> = Vec::new();
    for (_, rule) in rules.iter().filter(|(_, rule)| rule["IsEgress"] == egress) {
        let head = |group: &Value| {
            let port = |group: &Value, key: &str| group.get(key).and_then(Value::as_i64).unwrap_or(-1);
            let same_ports = ["FromPort", "ToPort"].iter().all(|key| port(group, key) == port(rule, key));
            group["IpProtocol"] == rule["IpProtocol"] && same_ports
        };
        let index = groups.iter().position(head).unwrap_or_else(|| {
            groups.push(empty_group(rule));
            groups.len() - 1
        });
        add(&mut groups[index], rule);
    }
    Value::Array(groups)
}

fn empty_group(rule: &Value) -> Value {
    let mut group = json!({
        "IpProtocol": rule["IpProtocol"],
        "IpRanges": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    });
    if matches!(text(rule, "IpProtocol"), "tcp" | "udp" | "icmp" | "icmpv6") {
        group["FromPort"] = rule["FromPort"].clone();
        group["ToPort"] = rule["ToPort"].clone();
    }
    group
}

fn add(group: &mut Value, rule: &Value) {
    let mut item = Map::new();
    let list = match PEERS.iter().find(|key| rule.get(**key).is_some()) {
        Some(&"CidrIpv4") => {
            item.insert("CidrIp".to_owned(), rule["CidrIpv4"].clone());
            "IpRanges"
        }
        Some(&"CidrIpv6") => {
            item.insert("CidrIpv6".to_owned(), rule["CidrIpv6"].clone());
            "Ipv6Ranges"
        }
        Some(&"PrefixListId") => {
            item.insert("PrefixListId".to_owned(), rule["PrefixListId"].clone());
            "PrefixListIds"
        }
        _ => {
            item.extend(rule["ReferencedGroupInfo"].as_object().cloned().unwrap_or_default());
            "UserIdGroupPairs"
        }
    };
    if let Some(description) = rule.get("Description") {
        item.insert("Description".to_owned(), description.clone());
    }
    super::push(group, list, Value::Object(item));
}
