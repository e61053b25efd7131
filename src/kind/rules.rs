//! Security group rules in the normal form: one source or destination each, in AWS's own units.
//!
//! A user groups sources as is convenient (`from: [10.0.0.0/8, 10.1.0.0/16]`, `ports: 443`), AWS gives rules back
//! grouped by its own lights. Both become the same list here: `{ from, protocol, ports: { from, to }, description }`
//! with a single source, the protocol's name, and ports for the protocols that have them.

use serde_json::{Map, Value, json};

use crate::value::{has_unknown, unreadable_reason};

/// The ports of a rule that names none, for the protocols that have ports.
const ALL_PORTS: (i64, i64) = (0, 65_535);

/// Returns rules in the normal form; what is no rule is left as it is.
pub(crate) fn canonical_rules(rules: &Value) -> Value {
    match rules {
        Value::Array(items) => {
            let mut out: Vec<Value> = items.iter().flat_map(canonical_rule).collect();
            out.sort_by_key(Value::to_string);
            out.dedup();
            Value::Array(out)
        }
        other => other.clone(),
    }
}

fn canonical_rule(rule: &Value) -> Vec<Value> {
    let Some(map) = rule.as_object() else { return vec![rule.clone()] };
    let side = if map.contains_key("to") { "to" } else { "from" };
    let peers: Vec<Value> = match map.get(side) {
        Some(Value::Array(items)) => items.iter().map(canonical_peer).collect(),
        Some(one) => vec![canonical_peer(one)],
        None => return vec![rule.clone()],
    };
    let protocol = canonical_protocol(map.get("protocol"));
    let ports = canonical_ports(&protocol, map.get("ports").filter(|ports| !ports.is_null()));
    let one = |peer: Value| {
        let mut out = Map::new();
        out.insert(side.to_owned(), peer);
        out.insert("protocol".to_owned(), protocol.clone());
        if let Some(ports) = &ports {
            out.insert("ports".to_owned(), ports.clone());
        }
        for (key, value) in map {
            if ![side, "protocol", "ports"].contains(&key.as_str()) && !value.is_null() {
                out.insert(key.clone(), value.clone());
            }
        }
        Value::Object(out)
    };
    peers.into_iter().map(one).collect()
}

fn canonical_peer(peer: &Value) -> Value {
    match peer.as_str().and_then(|text| text.parse::<ipnet::IpNet>().ok()) {
        Some(range) => Value::from(range.trunc().to_string()),
        None => peer.clone(),
    }
}

fn canonical_protocol(protocol: Option<&Value>) -> Value {
    let text = match protocol {
        None | Some(Value::Null) => return Value::from("tcp"),
        // What could not be read stays so, and is no protocol's name.
        Some(hidden) if unreadable_reason(hidden).is_some() => return hidden.clone(),
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(other) => other.to_string(),
    };
    let name = match text.as_str() {
        "-1" => "all",
        "1" => "icmp",
        "6" => "tcp",
        "17" => "udp",
        "58" => "icmpv6",
        // A marker of a value that is known later keeps its letters.
        _ if protocol.is_some_and(has_unknown) => return protocol.cloned().unwrap_or_default(),
        other => other,
    };
    Value::from(name)
}

fn canonical_ports(protocol: &Value, ports: Option<&Value>) -> Option<Value> {
    let range = |(from, to): (i64, i64)| Some(json!({ "from": from, "to": to }));
    let (has_ports, is_icmp) = match protocol.as_str() {
        Some("tcp" | "udp") => (true, false),
        Some("icmp" | "icmpv6") => (false, true),
        Some(_) => (false, false),
        None => return ports.cloned(),
    };
    match ports {
        None if has_ports => range(ALL_PORTS),
        None => None,
        Some(Value::Number(number)) => match number.as_i64() {
            Some(port) => range((port, if is_icmp { -1 } else { port })),
            None => ports.cloned(),
        },
        Some(Value::String(text)) => match port_range(text) {
            Some(both) => range(both),
            None => ports.cloned(),
        },
        // Every type and code of ICMP is what AWS means by -1 in both places.
        Some(other) if is_icmp && *other == json!({ "from": -1, "to": -1 }) => None,
        Some(Value::Object(map)) => match (map.get("from"), map.get("to")) {
            (Some(from), to) => {
                let default = if is_icmp { &Value::from(-1) } else { from };
                let to = to.filter(|to| !to.is_null()).unwrap_or(default);
                Some(json!({ "from": from, "to": to }))
            }
            (None, _) => ports.cloned(),
        },
        Some(other) => Some(other.clone()),
    }
}

/// Reads `443` and `8000-8010`.
pub(crate) fn port_range(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().map(i64::from);
    port(from).zip(port(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: Value, expected: Value) {
        let once = canonical_rules(&given);
        assert_eq!(once, canonical_rules(&expected), "{given}");
        assert_eq!(canonical_rules(&once), once, "{given} is not stable");
    }

    #[test]
    fn equal_rules_are_equal_values() {
        check(
            json!([{ "from": ["10.1.2.3/8", "sg-1"], "ports": 443 }]),
            json!([
                { "from": "10.0.0.0/8", "protocol": "tcp", "ports": { "from": 443, "to": 443 } },
                { "from": "sg-1", "protocol": "6", "ports": "443" },
            ]),
        );
        check(json!([{ "to": "self", "protocol": -1 }]), json!([{ "to": "self", "protocol": "all" }]));
        check(
            json!([{ "to": "::/0", "protocol": "UDP" }]),
            json!([{ "to": "::/0", "protocol": 17, "ports": "0-65535" }]),
        );
        check(
            json!([{ "from": "self", "protocol": "icmp", "ports": { "from": -1, "to": -1 } }]),
            json!([{ "from": "self", "protocol": 1 }]),
        );
        check(
            json!([{ "from": "self", "protocol": "icmp", "ports": 8 }]),
            json!([{ "from": "self", "protocol": "icmp", "ports": { "from": 8, "to": -1 } }]),
        );
    }

    #[test]
    fn the_normal_form_is_plain() {
        assert_eq!(
            canonical_rules(&json!([{ "from": ["10.0.0.0/8"], "ports": "8000-8010", "description": "web" }])),
            json!([{ "from": "10.0.0.0/8", "protocol": "tcp", "ports": { "from": 8000, "to": 8010 },
                "description": "web" }])
        );
    }

    #[test]
    fn unknown_values_and_what_is_no_rule_stay() {
        let marker = crate::value::unknown("Vpc.Main.id");
        let given = json!([{ "from": marker, "protocol": crate::value::unknown("A.b.c"), "ports": 22 }, 7]);
        let out = canonical_rules(&given);
        assert!(out.as_array().unwrap().contains(&json!(7)));
        assert!(out.to_string().contains("A.b.c") && out.to_string().contains("Vpc.Main.id"));
        assert_eq!(canonical_rules(&Value::from("x")), Value::from("x"));
    }
}
