//! The edits of networks: rules of security groups, routes and subnets of route tables.

use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::Rng;
use super::edits::{list, toggle};
use super::stage::Stage;

const RANGES: [(i64, i64); 8] =
    [(80, 80), (443, 443), (80, 90), (80, 84), (85, 90), (88, 95), (0, 65_535), (8000, 8010)];
const PEERS: [&str; 10] = [
    "self",
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.128.0.0/9",
    "10.1.0.0/16",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "pl-63a5400a",
    "peer",
];

fn rule(rng: &mut Rng, stage: &Stage, side: &str) -> Value {
    let peer = match *rng.pick(&PEERS) {
        "peer" => stage.get("security_group.peer.id"),
        other => other,
    };
    let mut out = json!({ side: peer });
    match rng.below(8) {
        0 => out["protocol"] = json!("all"),
        1 => out["protocol"] = json!("icmp"),
        2 => {
            out["protocol"] = json!("icmp");
            out["ports"] = json!({ "from": rng.pick(&[0, 8]), "to": -1 });
        }
        3 => out["protocol"] = json!(47),
        protocol => {
            out["protocol"] = json!(if protocol == 4 { "udp" } else { "tcp" });
            let (from, to) = rng.pick(&RANGES);
            out["ports"] = json!({ "from": from, "to": to });
        }
    }
    if rng.chance(30) {
        out["description"] = json!(rng.pick(&["one", "two"]));
    }
    out
}

fn rules(rng: &mut Rng, stage: &Stage, side: &str, old: &[Value]) -> Vec<Value> {
    let mut out = old.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(out.len().max(1));
        match rng.below(7) {
            0 | 1 => out.push(rule(rng, stage, side)),
            2 if !out.is_empty() => {
                out.remove(at);
            }
            // Another peer, another range of ports, or another description of the same rule.
            3 if !out.is_empty() => out[at][side] = rule(rng, stage, side)[side].clone(),
            4 if !out.is_empty() && ["tcp", "udp"].iter().any(|name| out[at]["protocol"] == *name) => {
                let (from, to) = rng.pick(&RANGES);
                out[at]["ports"] = json!({ "from": from, "to": to });
            }
            5 if !out.is_empty() => out[at]["description"] = json!(rng.pick(&["one", "two", "three"])),
            // One rule in two halves.
            6 if !out.is_empty() && out[at]["ports"] == json!({ "from": 80, "to": 90 }) => {
                let mut upper = out[at].clone();
                upper["ports"] = json!({ "from": 85, "to": 90 });
                out[at]["ports"] = json!({ "from": 80, "to": 84 });
                out.push(upper);
            }
            _ => out = (0..rng.below(5)).map(|_| rule(rng, stage, side)).collect(),
        }
    }
    out
}

pub(super) fn security_group(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let mut out = last.clone();
    if rng.chance(70) {
        out["ingress"] = json!(rules(rng, stage, "from", &list(&last["ingress"])));
    }
    if rng.chance(50) {
        out["egress"] = json!(rules(rng, stage, "to", &list(&last["egress"])));
    }
    out
}

pub(super) fn security_group_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    use aws_sdk_ec2::types::{IpPermission, IpRange};
    let range = IpRange::builder().cidr_ip(*rng.pick(&["10.0.0.0/8", "0.0.0.0/0", "198.51.100.0/24"])).build();
    let (from, to) = *rng.pick(&[(80, 90), (22, 22), (1000, 2000)]);
    let permission = IpPermission::builder().ip_protocol("tcp").from_port(from).to_port(to).ip_ranges(range).build();
    let call = stage.world.aws.ec2().authorize_security_group_ingress().group_id(stage.id.as_str());
    Box::pin(async move {
        // A rule that is there already is refused, which is as good.
        let _ = call.ip_permissions(permission).send().await;
    })
}

pub(super) fn vpc(rng: &mut Rng, _: &Stage, last: &Value) -> Value {
    let mut out = last.clone();
    out["default_group"] = rng.pick(&[json!("closed"), json!("aws"), Value::Null]).clone();
    if rng.chance(30) {
        out["ipv6"] = json!(rng.chance(50));
    }
    out
}

/// Somebody adds a rule to the VPC's default group.
pub(super) fn vpc_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    use aws_sdk_ec2::types::{Filter, IpPermission, IpRange};
    let range = IpRange::builder().cidr_ip(*rng.pick(&["10.0.0.0/8", "0.0.0.0/0"])).build();
    let permission = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(range).build();
    let ec2 = stage.world.aws.ec2();
    let of_vpc = Filter::builder().name("vpc-id").values(stage.id.as_str()).build();
    Box::pin(async move {
        let found = ec2.describe_security_groups().filters(of_vpc).send().await.unwrap();
        let group = found.security_groups()[0].group_id().unwrap().to_owned();
        let _ = ec2.authorize_security_group_ingress().group_id(group).ip_permissions(permission).send().await;
    })
}

const DESTINATIONS: [&str; 9] = [
    "0.0.0.0/0",
    "192.0.2.0/24",
    "192.0.2.0/25",
    "192.0.2.128/26",
    "198.51.0.0/16",
    "198.51.100.0/24",
    "::/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
];

pub(super) fn route_table(rng: &mut Rng, stage: &Stage, last: &Value) -> Value {
    let targets = ["internet_gateway.main.id", "nat_gateway.one.id", "nat_gateway.two.id"];
    let mut out = last.clone();
    let mut routes = list(&last["routes"]);
    for _ in 0..=rng.below(4) {
        let to = *rng.pick(&DESTINATIONS);
        let at = routes.iter().position(|route| route["to"] == to);
        match at {
            Some(at) if rng.chance(50) => {
                routes.remove(at);
            }
            Some(at) => routes[at]["via"] = json!(stage.get(rng.pick::<&str>(&targets))),
            None => routes.push(json!({ "to": to, "via": stage.get(rng.pick::<&str>(&targets)) })),
        }
    }
    if rng.chance(10) {
        routes.clear();
    }
    out["routes"] = json!(routes);
    if rng.chance(40) {
        let pool = ["subnet.a.id", "subnet.b.id", "subnet.c.id"].map(|path| json!(stage.get(path)));
        let mut subnets = list(&last["subnets"]);
        toggle(rng, &mut subnets, &pool);
        if rng.chance(40) {
            toggle(rng, &mut subnets, &pool);
        }
        out["subnets"] = json!(subnets);
    }
    out
}

pub(super) fn route_table_drift<'a>(rng: &'a mut Rng, stage: &'a Stage) -> LocalBoxFuture<'a, ()> {
    let ec2 = stage.world.aws.ec2();
    let to = *rng.pick(&["203.0.113.0/24", "192.0.2.0/24", "0.0.0.0/0"]);
    let via = stage.get("nat_gateway.two.id");
    let make = ec2.create_route().route_table_id(stage.id.as_str()).destination_cidr_block(to).nat_gateway_id(via);
    let take = ec2.delete_route().route_table_id(stage.id.as_str()).destination_cidr_block(to);
    let add = rng.chance(60);
    Box::pin(async move {
        let _ = if add { make.send().await.map(|_| ()).ok() } else { take.send().await.map(|_| ()).ok() };
    })
}
