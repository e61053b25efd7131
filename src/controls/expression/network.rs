//! Ranges and ports of security group rules, in every spelling that the kind admits.
//!
//! A spelling that is not understood is unknown, never closed.

use std::rc::Rc;

use ipnet::IpNet;

use super::functions::plain_list;
use super::value::Val;
use crate::value::unreadable_reason;

/// Bits of the widest range that still counts as the whole internet: `0.0.0.0/1` is half of it.
const WORLD_BITS_MAX: u8 = 1;

/// Tells whether a peer, or one of a list of peers, is the whole internet.
pub(crate) fn is_world<'v>(peers: &Val<'v>) -> Val<'v> {
    match peers {
        Val::Unknown(why) => Val::Unknown(Rc::clone(why)),
        // `self`, security groups and prefix lists are no ranges.
        Val::Text(text) => Val::Bool(text.parse::<IpNet>().is_ok_and(|range| range.prefix_len() <= WORLD_BITS_MAX)),
        other => {
            let Some(list) = plain_list(other) else {
                return Val::invalid(format!("{} is no range", other.type_name()));
            };
            let mut undecided = list.open.clone();
            for item in &list.items {
                match is_world(item) {
                    Val::Bool(true) => return Val::Bool(true),
                    Val::Unknown(why) => undecided = undecided.or(Some(why)),
                    _ => {}
                }
            }
            undecided.map_or(Val::Bool(false), Val::Unknown)
        }
    }
}

/// Tells whether TCP to a port gets through; without ports a rule is for all of them.
pub(crate) fn port_open<'v>(protocol: &Val<'v>, ports: &Val<'v>, port: &Val<'v>) -> Val<'v> {
    let tcp = match protocol {
        Val::Text(name) => ["tcp", "all", "6", "-1"].contains(&name.as_ref()),
        Val::Int(number) => [6, -1].contains(number),
        Val::Unknown(why) => return Val::Unknown(Rc::clone(why)),
        other => return Val::invalid(format!("{} is no protocol", other.type_name())),
    };
    let Val::Int(port) = port else { return Val::invalid("the port is no number") };
    if !tcp {
        return Val::Bool(false);
    }
    match range(ports) {
        Ok((from, to)) => Val::Bool(from <= *port && *port <= to),
        Err(why) => why,
    }
}

fn range<'v>(ports: &Val<'v>) -> Result<(i64, i64), Val<'v>> {
    let unclear = || Val::invalid("the ports are not understood");
    match ports {
        Val::Null => Ok((0, 65_535)),
        Val::Int(-1) => Ok((0, 65_535)),
        Val::Int(one) => Ok((*one, *one)),
        Val::Text(text) => {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.trim().parse::<i64>().ok();
            number(from).zip(number(to)).ok_or_else(unclear)
        }
        Val::Node(node) => {
            let number = |key: &str| node.value.get(key).and_then(serde_json::Value::as_i64);
            if unreadable_reason(node.value).is_some() {
                return Err(unclear());
            }
            number("from").zip(number("to")).ok_or_else(unclear)
        }
        Val::Unknown(why) => Err(Val::Unknown(Rc::clone(why))),
        _ => Err(unclear()),
    }
}
