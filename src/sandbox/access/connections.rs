//! Which connections the rules of a security group let through.
//!
//! Each direction is judged by itself. A connection has an address, and may belong to groups and prefix lists:
//! a peer that one end admits by its address and the other by its group must not be cut in between.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::routes::{after, boundaries};
use super::{Found, Reader};

const PORT_MAX: i64 = 65_535;

/// One thing by which a peer is admitted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Range(IpNet),
    /// A group or prefix list, by id.
    Member(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    egress: bool,
    /// `-1` for all.
    protocol: String,
    from: i64,
    to: i64,
    peer: Peer,
}

/// The rules of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Connections(BTreeSet<Rule>);

pub(super) fn read(reader: &Reader<'_>) -> Vec<(String, Connections)> {
    let mut groups: BTreeMap<String, Connections> =
        reader.all("ec2", "security_groups").into_iter().map(|(_, id, _)| (id, Connections::default())).collect();
    for (_, _, row) in reader.all("ec2", "security_group_rules") {
        let group = row["GroupId"].as_str().unwrap_or_default();
        if let (Some(found), Some(rule)) = (groups.get_mut(group), rule(&row)) {
            found.0.insert(rule);
        }
    }
    groups.into_iter().map(|(id, found)| (format!("security_group {id}"), found)).collect()
}

fn rule(row: &Value) -> Option<Rule> {
    let range = row["CidrIpv4"].as_str().or(row["CidrIpv6"].as_str());
    let member = row["PrefixListId"].as_str().or(row["ReferencedGroupInfo"]["GroupId"].as_str());
    let peer = match (range, member) {
        (Some(range), _) => Peer::Range(range.parse().ok()?),
        (None, member) => Peer::Member(member?.to_owned()),
    };
    Some(Rule {
        egress: row["IsEgress"] == true,
        protocol: row["IpProtocol"].as_str()?.to_owned(),
        from: row["FromPort"].as_i64().unwrap_or(-1),
        to: row["ToPort"].as_i64().unwrap_or(-1),
        peer,
    })
}

/// A protocol with its port, or ICMP's type and code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Channel {
    protocol: String,
    first: i64,
    second: i64,
}

impl Rule {
    fn carries(&self, channel: &Channel) -> bool {
        if self.protocol == "-1" {
            return true;
        }
        if self.protocol != channel.protocol {
            return false;
        }
        match channel.protocol.as_str() {
            "tcp" | "udp" => self.from < 0 || (self.from..=self.to).contains(&channel.first),
            "icmp" | "icmpv6" => {
                (self.from < 0 || self.from == channel.first) && (self.to < 0 || self.to == channel.second)
            }
            _ => true,
        }
    }
}

/// Returns one channel of each class that the rules tell apart.
fn channels(rules: &[&Rule]) -> BTreeSet<Channel> {
    // A protocol that no rule names stands for all such.
    let mut out = BTreeSet::from([Channel { protocol: "253".to_owned(), first: 0, second: 0 }]);
    for protocol in rules.iter().map(|rule| &rule.protocol).filter(|protocol| *protocol != "-1") {
        let own = || rules.iter().filter(|rule| rule.protocol == *protocol);
        let mut firsts = BTreeSet::from([0]);
        let mut seconds = BTreeSet::from([0]);
        match protocol.as_str() {
            "tcp" | "udp" => {
                firsts.extend(own().map(|rule| rule.from.max(0)));
                firsts.extend(own().map(|rule| rule.to + 1).filter(|port| (0..=PORT_MAX).contains(port)));
            }
            "icmp" | "icmpv6" => {
                firsts.extend(own().map(|rule| rule.from).filter(|kind| *kind >= 0).chain([251]));
                seconds.extend(own().map(|rule| rule.to).filter(|code| *code >= 0).chain([251]));
            }
            _ => {}
        }
        for first in &firsts {
            let channel = |second: &i64| Channel { protocol: protocol.clone(), first: *first, second: *second };
            out.extend(seconds.iter().map(channel));
        }
    }
    out
}

/// One thing that a connection's peer is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Attribute {
    Address(IpAddr),
    Member(String),
}

fn admits(peer: &Peer, attribute: &Attribute) -> bool {
    match (peer, attribute) {
        (Peer::Range(range), Attribute::Address(address)) => range.contains(address),
        (Peer::Member(one), Attribute::Member(other)) => one == other,
        _ => false,
    }
}

impl Connections {
    pub(super) fn between(&self, before: &Self, after: &Self) -> Found {
        let mut found = Found::new();
        for egress in [false, true] {
            let of =
                |it: &'_ Self| -> Vec<Rule> { it.0.iter().filter(|rule| rule.egress == egress).cloned().collect() };
            let (first, here, last) = (of(before), of(self), of(after));
            let all: Vec<&Rule> = first.iter().chain(&here).chain(&last).collect();
            let attributes = attributes(&all);
            for channel in channels(&all) {
                let admitted = |rules: &[Rule]| -> BTreeSet<&Attribute> {
                    let open: Vec<&Rule> = rules.iter().filter(|rule| rule.carries(&channel)).collect();
                    attributes.iter().filter(|it| open.iter().any(|rule| admits(&rule.peer, it))).collect()
                };
                let (first, here, last) = (admitted(&first), admitted(&here), admitted(&last));
                let name = |what: &str| format!("{} {channel:?} {what}", if egress { "egress" } else { "ingress" });
                if let Some(wide) = here.iter().find(|it| !first.contains(*it) && !last.contains(*it)) {
                    found.push((name(&format!("{wide:?}")), true));
                }
                if let Some((one, other)) = cut(&first, &here, &last) {
                    found.push((name(&format!("{one:?} and {other:?}")), false));
                }
            }
        }
        found
    }
}

/// Finds a peer that both ends admit, each by one of its attributes, and the moment by neither.
///
/// Two attributes are enough: whatever else the peer is can only admit it, too.
fn cut<'a>(
    first: &BTreeSet<&'a Attribute>,
    here: &BTreeSet<&'a Attribute>,
    last: &BTreeSet<&'a Attribute>,
) -> Option<(&'a Attribute, &'a Attribute)> {
    for one in first.iter().filter(|it| !here.contains(*it)) {
        for other in last.iter().filter(|it| !here.contains(*it)) {
            let two_addresses = matches!((one, other), (Attribute::Address(a), Attribute::Address(b)) if a != b);
            if !two_addresses {
                return Some((one, other));
            }
        }
    }
    None
}

fn attributes(rules: &[&Rule]) -> BTreeSet<Attribute> {
    let ranges = rules.iter().filter_map(|rule| match &rule.peer {
        Peer::Range(range) => Some(*range),
        Peer::Member(_) => None,
    });
    let mut out: BTreeSet<Attribute> = boundaries(ranges).into_iter().map(Attribute::Address).collect();
    out.extend(rules.iter().filter_map(|rule| match &rule.peer {
        Peer::Member(id) => Some(Attribute::Member(id.clone())),
        Peer::Range(range) => after(range).map(Attribute::Address),
    }));
    out.insert(Attribute::Member("of no rule".to_owned()));
    out
}
