//! A security group and its rules.
//!
//! Calls: CreateSecurityGroup; AuthorizeSecurityGroupIngress/Egress, RevokeSecurityGroupIngress/Egress,
//! UpdateSecurityGroupRuleDescriptionsIngress/Egress, CreateTags, DeleteTags; DeleteSecurityGroup.
//! Reads: DescribeSecurityGroups, which has the rules in it.
//! Waits: until a Describe shows it; a delete waits while something on its way out still uses the group.
//! Traps: the create takes no client token; its identity is the tags in the call (and the name, unique in the VPC).
//! AWS adds a rule that lets everything out; it goes unless the spec has it. New rules are authorised before old
//! ones are revoked, so that no connection that is allowed before and after is cut in between. The description of
//! a rule is changed in place: a second rule that differs by it alone would be a duplicate.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, PrefixListId, ResourceType, SecurityGroup as SdkGroup, UserIdGroupPair,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::wait::Bound;
use crate::aws::{Aws, AwsError};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity, canonical_rules, port_range};

/// A group of network interfaces, and which connections they take and make.
///
/// Without rules nothing goes in and nothing goes out; answers to an allowed connection always may.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The VPC's id.
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: String,
    /// The name, unique in the VPC; left out, it is made of environment and address.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255), extend("x-change" = "replace", "x-unique" = ["vpc"]))]
    pub name: Option<String>,
    /// What the group is for.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$"), extend("x-change" = "replace"))]
    pub description: String,
    /// Which connections come in.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-rules" = true))]
    pub ingress: Vec<IngressRule>,
    /// Which connections go out; left out, none.
    #[serde(default)]
    #[schemars(extend("x-set" = true, "x-rules" = true))]
    pub egress: Vec<EgressRule>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Connections that come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngressRule {
    /// Where from: `self`, a range, a prefix list (`pl-…`), a security group (`sg-…`, of another account
    /// `123456789012/sg-…`), or a list of them.
    pub from: Peers,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `all`, or an IP protocol's number.
    #[serde(default)]
    pub protocol: Protocol,
    /// The ports of `tcp` and `udp`: `443` or `8000-8010`; left out, all. For ICMP the type as `from` and the code
    /// as `to`, -1 being all.
    #[serde(default)]
    pub ports: Option<Ports>,
    /// Why the rule is there.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$"))]
    pub description: Option<String>,
}

/// Connections that go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Where to: `self`, a range, a prefix list (`pl-…`), a security group (`sg-…`), or a list of them.
    pub to: Peers,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `all`, or an IP protocol's number.
    #[serde(default)]
    pub protocol: Protocol,
    /// The ports of `tcp` and `udp`: `443` or `8000-8010`; left out, all. For ICMP the type as `from` and the code
    /// as `to`, -1 being all.
    #[serde(default)]
    pub ports: Option<Ports>,
    /// Why the rule is there.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$"))]
    pub description: Option<String>,
}

/// The other side of a rule, or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Peers {
    One(String),
    Many(Vec<String>),
}

/// An IP protocol, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Protocol {
    Name(String),
    Number(i64),
}

impl Default for Protocol {
    fn default() -> Self {
        Self::Name("tcp".to_owned())
    }
}

/// A port or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Ports {
    One(i64),
    Text(String),
    Range(PortRange),
}

/// A range of ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// The first port, or ICMP's type.
    pub from: i64,
    /// The last port, or ICMP's code.
    pub to: i64,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The group's id (`sg-…`).
    pub id: String,
    /// The group's ARN.
    pub arn: String,
}

/// See the module's header.
pub struct SecurityGroup;

impl ResourceKind for SecurityGroup {
    const NAME: &'static str = "security_group";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::Tags;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeSecurityGroups"],
        create: &[
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateSecurityGroup",
            "ec2:CreateTags",
            "ec2:RevokeSecurityGroupEgress",
        ],
        update: &[
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
            "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
        ],
        delete: &["ec2:DeleteSecurityGroup"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let mut out = Vec::new();
        for side in ["ingress", "egress"] {
            let rules = arguments.get(side).and_then(Value::as_array);
            let mut seen = BTreeSet::new();
            for (index, rule) in rules.into_iter().flatten().enumerate() {
                let path = format!("{side}[{index}]");
                out.extend(check_rule(&path, rule));
                for flat in flat_rules(&Value::Array(vec![rule.clone()])) {
                    if !crate::value::has_unknown(rule) && !seen.insert(flat.key()) {
                        out.push(Problem::new(&path, format!("the rule for `{}` is there twice", flat.peer)));
                    }
                }
            }
        }
        let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.starts_with("sg-") || name == "default" {
            out.push(Problem::new("name", "`default` and names that start with `sg-` are AWS's own"));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("group-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().map(|group| observe(aws, group))))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?;
        // The default group comes and goes with its VPC.
        let found = found.into_iter().filter(|group| group.group_name.as_deref() != Some("default"));
        Ok(found
            .map(|group| {
                let name = group.group_name;
                Discovered { name, ..ec2::discovered(group.group_id, group.tags) }
            })
            .collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?;
        Ok(found.into_iter().filter_map(|group| group.group_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let name = arguments.name.clone().unwrap_or_else(|| cx.default_name(255));
        let call = cx.aws.ec2().create_security_group().vpc_id(&arguments.vpc).group_name(name);
        let tags = ec2::tag_specification(ResourceType::SecurityGroup, &cx.tags(&arguments.tags));
        let output = call.description(&arguments.description).tag_specifications(tags).send().await?;
        Ok(output.group_id.expect("internal error: CreateSecurityGroup answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        let list = || list(aws, vec![ec2::filter("group-id", [id.as_str()])]);
        ec2::until_seen(aws, "the security group", list).await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        if cx.touches("ingress") || cx.touches("egress") {
            let rules = |arguments: &Arguments| {
                let to_value = |rules: serde_json::Result<Value>| flat_rules(&rules.unwrap_or_default());
                (to_value(serde_json::to_value(&arguments.ingress)), to_value(serde_json::to_value(&arguments.egress)))
            };
            let (before, after) = (rules(&cx.before.arguments), rules(cx.after));
            let ingress = RuleChanges::between(&before.0, &after.0);
            let egress = RuleChanges::between(&before.1, &after.1);
            set_rules(cx.aws, cx.id.as_str(), &ingress, &egress).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        ec2::while_in_use(cx.aws, Bound::seconds(600), || async {
            cx.aws.ec2().delete_security_group().group_id(cx.id.as_str()).send().await?;
            Ok(())
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkGroup>, AwsError> {
    let call = aws.ec2().describe_security_groups().set_filters(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

/// One rule with one peer, in the normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flat {
    peer: String,
    protocol: String,
    ports: Option<(i64, i64)>,
    description: Option<String>,
}

type Key = (String, String, Option<(i64, i64)>);

impl Flat {
    /// Returns what AWS tells rules apart by; the description is no part of it.
    fn key(&self) -> Key {
        (self.peer.clone(), self.protocol.clone(), self.ports)
    }

    fn permission(&self, own: &str) -> IpPermission {
        let protocol = if self.protocol == "all" { "-1" } else { &self.protocol };
        let ports = match (self.ports, self.protocol.as_str()) {
            (None, "icmp" | "icmpv6") => Some((-1, -1)),
            (ports, _) => ports,
        };
        let port = |port: i64| i32::try_from(port).unwrap_or(-1);
        let call = IpPermission::builder().ip_protocol(protocol);
        let call = call.set_from_port(ports.map(|ports| port(ports.0))).set_to_port(ports.map(|ports| port(ports.1)));
        let (peer, text) = (self.peer.as_str(), self.description.clone());
        match peer {
            _ if peer.starts_with("pl-") => {
                let list = PrefixListId::builder().prefix_list_id(peer).set_description(text).build();
                call.prefix_list_ids(list).build()
            }
            _ if peer.contains(':') => {
                call.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(peer).set_description(text).build()).build()
            }
            _ if peer == "self" || peer.contains("sg-") => {
                let (account, group) = match peer.split_once('/') {
                    Some((account, group)) => (Some(account.to_owned()), group),
                    None => (None, if peer == "self" { own } else { peer }),
                };
                let pair = UserIdGroupPair::builder().group_id(group).set_user_id(account).set_description(text);
                call.user_id_group_pairs(pair.build()).build()
            }
            _ => call.ip_ranges(IpRange::builder().cidr_ip(peer).set_description(text).build()).build(),
        }
    }
}

/// Reads rules in any form as single rules.
fn flat_rules(rules: &Value) -> Vec<Flat> {
    let canonical = canonical_rules(rules);
    let flat = |rule: &Value| {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).map(str::to_owned);
        let port = |name: &str| rule.get("ports").and_then(|ports| ports.get(name)).and_then(Value::as_i64);
        let peer = text("from").or_else(|| text("to"))?;
        let ports = port("from").zip(port("to"));
        Some(Flat { peer, protocol: text("protocol")?, ports, description: text("description") })
    };
    canonical.as_array().into_iter().flatten().filter_map(flat).collect()
}

fn check_rule(path: &str, rule: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let side = if path.starts_with("egress") { "to" } else { "from" };
    let peers = match rule.get(side) {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    for peer in peers.iter().filter(|peer| !crate::value::has_unknown(peer)).filter_map(Value::as_str) {
        let known = peer == "self"
            || peer.starts_with("pl-")
            || peer.starts_with("sg-")
            || peer.split_once('/').is_some_and(|(_, group)| group.starts_with("sg-"));
        if !known && peer.parse::<ipnet::IpNet>().is_err() {
            let message = format!("`{peer}` is not `self`, a range, a prefix list or a security group");
            out.push(Problem::new(format!("{path}.{side}"), message));
        }
    }
    let protocol = match rule.get("protocol") {
        Some(Value::String(text)) if !crate::value::has_unknown(&Value::from(text.as_str())) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let known = |text: &String| {
        let named = ["tcp", "udp", "icmp", "icmpv6", "all", "-1"].contains(&text.to_ascii_lowercase().as_str());
        named || text.parse::<u8>().is_ok()
    };
    if let Some(text) = protocol.filter(|text| !known(text)) {
        let message = format!("`{text}` is not `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number from 0 to 255");
        out.push(Problem::new(format!("{path}.protocol"), message));
    }
    out.extend(check_ports(path, rule));
    out
}

fn check_ports(path: &str, rule: &Value) -> Option<Problem> {
    let given = rule.get("ports").filter(|ports| !ports.is_null() && !crate::value::has_unknown(ports))?;
    let problem = |message: String| Some(Problem::new(format!("{path}.ports"), message));
    if given.as_str().is_some_and(|text| port_range(text).is_none()) {
        return problem(format!("{given} is neither a port nor a range such as `8000-8010`"));
    }
    let flat = flat_rules(&Value::Array(vec![rule.clone()])).into_iter().next()?;
    let icmp = flat.protocol.starts_with("icmp");
    if !icmp && !["tcp", "udp"].contains(&flat.protocol.as_str()) {
        return problem(format!("protocol `{}` has no ports", flat.protocol));
    }
    match flat.ports {
        None => None,
        Some((from, to)) if icmp && (-1..=255).contains(&from) && (-1..=255).contains(&to) => None,
        Some((from, to)) if !icmp && 0 <= from && from <= to && to <= 65_535 => None,
        Some((from, to)) if icmp => problem(format!("{from} and {to} are no ICMP type and code")),
        Some((from, to)) => problem(format!("{from} to {to} is no range of ports from 0 to 65535")),
    }
}

/// What has to be done to one side of a group.
#[derive(Debug, Default, PartialEq, Eq)]
struct RuleChanges {
    authorise: Vec<Flat>,
    describe: Vec<Flat>,
    revoke: Vec<Flat>,
}

impl RuleChanges {
    fn between(before: &[Flat], after: &[Flat]) -> Self {
        let have: BTreeMap<Key, &Flat> = before.iter().map(|rule| (rule.key(), rule)).collect();
        let want: BTreeSet<Key> = after.iter().map(Flat::key).collect();
        let mut out = Self::default();
        for rule in after {
            match have.get(&rule.key()) {
                None => out.authorise.push(rule.clone()),
                Some(old) if old.description != rule.description => out.describe.push(rule.clone()),
                Some(_) => {}
            }
        }
        out.revoke = before.iter().filter(|rule| !want.contains(&rule.key())).cloned().collect();
        out
    }
}

/// Authorises all that is new on both sides before anything is revoked.
async fn set_rules(aws: &Aws, id: &str, ingress: &RuleChanges, egress: &RuleChanges) -> Result<(), AwsError> {
    let ec2 = aws.ec2();
    let permissions = |rules: &[Flat]| {
        let permissions: Vec<IpPermission> = rules.iter().map(|rule| rule.permission(id)).collect();
        (!permissions.is_empty()).then_some(permissions)
    };
    if let some @ Some(_) = permissions(&egress.authorise) {
        ec2.authorize_security_group_egress().group_id(id).set_ip_permissions(some).send().await?;
    }
    if let some @ Some(_) = permissions(&ingress.authorise) {
        ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(some).send().await?;
    }
    if let some @ Some(_) = permissions(&egress.describe) {
        ec2.update_security_group_rule_descriptions_egress().group_id(id).set_ip_permissions(some).send().await?;
    }
    if let some @ Some(_) = permissions(&ingress.describe) {
        ec2.update_security_group_rule_descriptions_ingress().group_id(id).set_ip_permissions(some).send().await?;
    }
    if let some @ Some(_) = permissions(&ingress.revoke) {
        ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(some).send().await?;
    }
    if let some @ Some(_) = permissions(&egress.revoke) {
        ec2.revoke_security_group_egress().group_id(id).set_ip_permissions(some).send().await?;
    }
    Ok(())
}

fn observe(aws: &Aws, group: SdkGroup) -> (PhysicalId, Observed<SecurityGroup>) {
    let id = group.group_id.clone().unwrap_or_default();
    let account = group.owner_id.clone().unwrap_or_default();
    let flat = |permissions: Option<&[IpPermission]>| -> Vec<Flat> {
        permissions.unwrap_or_default().iter().flat_map(|permission| flatten(permission, &id, &account)).collect()
    };
    let ports = |rule: &Flat| rule.ports.map(|(from, to)| Ports::Range(PortRange { from, to }));
    let ingress = flat(group.ip_permissions.as_deref()).into_iter().map(|rule| IngressRule {
        ports: ports(&rule),
        from: Peers::One(rule.peer),
        protocol: Protocol::Name(rule.protocol),
        description: rule.description,
    });
    let egress = flat(group.ip_permissions_egress.as_deref()).into_iter().map(|rule| EgressRule {
        ports: ports(&rule),
        to: Peers::One(rule.peer),
        protocol: Protocol::Name(rule.protocol),
        description: rule.description,
    });
    let (ingress, egress) = (ingress.collect(), egress.collect());
    let (tags, owner) = ec2::split_tags(group.tags);
    let arn = group.security_group_arn;
    let attributes = Attributes {
        arn: arn.unwrap_or_else(|| ec2::arn(aws, Some(&account), &format!("security-group/{id}"))),
        id: id.clone(),
    };
    let arguments = Arguments {
        vpc: group.vpc_id.unwrap_or_default(),
        name: group.group_name,
        description: group.description.unwrap_or_default(),
        ingress,
        egress,
        tags,
    };
    (id.into(), Observed::new(arguments, attributes, owner))
}

/// Reads AWS's grouping of peers under one protocol and port range as single rules.
fn flatten(permission: &IpPermission, own: &str, account: &str) -> Vec<Flat> {
    let protocol = match permission.ip_protocol() {
        Some("-1") | None => "all".to_owned(),
        Some(other) => other.to_owned(),
    };
    let ports = permission.from_port.zip(permission.to_port).filter(|ports| match protocol.as_str() {
        "tcp" | "udp" => true,
        "icmp" | "icmpv6" => *ports != (-1, -1),
        _ => false,
    });
    let ports = ports.map(|(from, to)| (i64::from(from), i64::from(to)));
    let rule = |peer: String, description: &Option<String>| Flat {
        peer,
        protocol: protocol.clone(),
        ports,
        description: description.clone().filter(|text| !text.is_empty()),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let group = |pair: &UserIdGroupPair| {
        let peer = text(&pair.group_id);
        match &pair.user_id {
            _ if peer == own => "self".to_owned(),
            Some(other) if other != account => format!("{other}/{peer}"),
            _ => peer,
        }
    };
    let ranges = permission.ip_ranges().iter().map(|range| rule(text(&range.cidr_ip), &range.description));
    let wide = permission.ipv6_ranges().iter().map(|range| rule(text(&range.cidr_ipv6), &range.description));
    let lists = permission.prefix_list_ids().iter().map(|list| rule(text(&list.prefix_list_id), &list.description));
    let groups = permission.user_id_group_pairs().iter().map(|pair| rule(group(pair), &pair.description));
    ranges.chain(wide).chain(lists).chain(groups).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sent_reads_back_equal() {
        let rules = json!([
            { "from": ["10.0.0.0/8", "2001:db8::/32", "pl-1", "sg-2", "210987654321/sg-3", "self"], "ports": 443 },
            { "from": "self", "protocol": "all", "description": "own nodes" },
            { "from": "10.0.0.0/8", "protocol": "icmp" },
            { "from": "10.0.0.0/8", "protocol": "icmp", "ports": { "from": 8, "to": 0 } },
            { "from": "10.0.0.0/8", "protocol": 47 },
        ]);
        let flat = flat_rules(&rules);
        assert_eq!(flat.len(), 10);
        for rule in flat {
            assert_eq!(flatten(&rule.permission("sg-1"), "sg-1", "123456789012"), [rule]);
        }
    }

    #[test]
    fn only_a_description_is_changed_in_place() {
        let rules =
            |text: &str, port: i64| flat_rules(&json!([{ "from": "self", "ports": port, "description": text }]));
        let described = RuleChanges::between(&rules("a", 1), &rules("b", 1));
        assert_eq!((described.authorise.len(), described.describe.len(), described.revoke.len()), (0, 1, 0));
        let moved = RuleChanges::between(&rules("a", 1), &rules("a", 2));
        assert_eq!((moved.authorise.len(), moved.describe.len(), moved.revoke.len()), (1, 0, 1));
    }

    #[test]
    fn faulty_rules_are_found() {
        let problems = SecurityGroup::check(&json!({
            "name": "sg-x",
            "ingress": [
                { "from": "everywhere", "ports": 22 },
                { "from": "self", "ports": "22-21" },
                { "from": "self", "protocol": "all", "ports": 22 },
                { "from": "self", "protocol": "sctp2" },
                { "from": "10.0.0.0/8", "ports": 80 },
                { "from": ["10.0.0.0/8"], "ports": "80", "description": "again" },
                { "from": crate::value::unknown("x.y.id"), "ports": 1 },
                { "from": crate::value::unknown("x.z.id"), "ports": "x" },
            ],
        }));
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        let expected = [
            "ingress[0].from",
            "ingress[1].ports",
            "ingress[2].ports",
            "ingress[3].protocol",
            "ingress[5]",
            "ingress[7].ports",
            "name",
        ];
        assert_eq!(paths, expected);
    }
}
