//! The functions and filters of expressions beyond minijinja's own. Pure: no environment, no clock.

use ipnet::IpNet;
use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// Names of what can be called, for "did you mean".
pub(super) const FUNCTIONS: [&str; 5] = ["policy", "file", "arn", "range", "dict"];

/// Makes the engine with its filters; `policy` and `file` are added by the evaluator.
pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_recursion_limit(64);
    env.remove_global("debug");
    env.remove_global("namespace");
    env.add_filter("subnet", subnet);
    env.add_filter("cidr_host", cidr_host);
    env.add_filter("keys", keys);
    env.add_filter("values", values);
    env
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

fn network(cidr: &str) -> Result<IpNet, Error> {
    cidr.parse().map_err(|_| invalid(format!("`{cidr}` is not a CIDR such as 10.0.0.0/16")))
}

/// The `index`-th network of the given prefix length inside a network.
fn subnet(cidr: &str, options: Kwargs) -> Result<String, Error> {
    let prefix: u8 = options.get("prefix")?;
    let index: u128 = options.get("index")?;
    options.assert_all_used()?;
    let net = network(cidr)?;
    if prefix < net.prefix_len() || prefix > net.max_prefix_len() {
        let max = net.max_prefix_len();
        return Err(invalid(format!("prefix={prefix} lies outside {}..={max} of {net}", net.prefix_len())));
    }
    let count = 1u128.checked_shl(u32::from(prefix - net.prefix_len())).unwrap_or(u128::MAX);
    if index >= count {
        return Err(invalid(format!("index={index} is past the last of {count} /{prefix} networks in {net}")));
    }
    let offset = index.checked_shl(u32::from(net.max_prefix_len() - prefix)).unwrap_or(0);
    Ok(format!("{}/{prefix}", address_at(&net, offset)?))
}

/// The `number`-th address of a network; a negative one counts from its end.
fn cidr_host(cidr: &str, number: i64) -> Result<String, Error> {
    let net = network(cidr)?;
    let bits = u32::from(net.max_prefix_len() - net.prefix_len());
    let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
    let magnitude = u128::from(number.unsigned_abs());
    if magnitude > size || (number >= 0 && magnitude == size) {
        return Err(invalid(format!("{net} has no address {number}")));
    }
    let offset = if number < 0 { size - magnitude } else { magnitude };
    address_at(&net, offset)
}

fn address_at(net: &IpNet, offset: u128) -> Result<String, Error> {
    let outside = || invalid(format!("the address lies outside {net}"));
    match net {
        IpNet::V4(net) => {
            let offset = u32::try_from(offset).map_err(|_| outside())?;
            let address = u32::from(net.network()).checked_add(offset).ok_or_else(outside)?;
            Ok(std::net::Ipv4Addr::from(address).to_string())
        }
        IpNet::V6(net) => {
            let address = u128::from(net.network()).checked_add(offset).ok_or_else(outside)?;
            Ok(std::net::Ipv6Addr::from(address).to_string())
        }
    }
}

fn keys(map: &Jinja) -> Result<Jinja, Error> {
    entries(map).map(|entries| entries.into_iter().map(|(key, _)| key).collect())
}

fn values(map: &Jinja) -> Result<Jinja, Error> {
    entries(map).map(|entries| entries.into_iter().map(|(_, value)| value).collect())
}

fn entries(map: &Jinja) -> Result<Vec<(Jinja, Jinja)>, Error> {
    if map.kind() != minijinja::value::ValueKind::Map {
        return Err(invalid(format!("a {} has no keys; this filter takes a map", map.kind())));
    }
    map.try_iter()?.map(|key| map.get_item(&key).map(|value| (key, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: &str) {
        let env = environment();
        let shown = match env.compile_expression(expression).unwrap().eval(()) {
            Ok(value) => value.to_string(),
            Err(error) => format!("error: {}", error.detail().unwrap_or_default()),
        };
        assert_eq!(shown, expected, "{expression}");
    }

    #[test]
    fn networks_are_cut_to_the_edges() {
        check("'10.40.0.0/16' | subnet(prefix=20, index=0)", "10.40.0.0/20");
        check("'10.40.0.0/16' | subnet(prefix=20, index=15)", "10.40.240.0/20");
        check(
            "'10.40.0.0/16' | subnet(prefix=20, index=16)",
            "error: index=16 is past the last of 16 /20 networks in 10.40.0.0/16",
        );
        check("'10.40.0.0/16' | subnet(prefix=8, index=0)", "error: prefix=8 lies outside 16..=32 of 10.40.0.0/16");
        check("'2001:db8::/56' | subnet(prefix=64, index=255)", "2001:db8:0:ff::/64");
        check("'0.0.0.0/0' | subnet(prefix=32, index=4294967295)", "255.255.255.255/32");
        check("'::/0' | subnet(prefix=128, index=5)", "::5/128");
        check("'10.0.0.0/33' | subnet(prefix=8, index=0)", "error: `10.0.0.0/33` is not a CIDR such as 10.0.0.0/16");
        check("'10.0.0.0/24' | cidr_host(5)", "10.0.0.5");
        check("'10.0.0.0/24' | cidr_host(-1)", "10.0.0.255");
        check("'10.0.0.0/24' | cidr_host(256)", "error: 10.0.0.0/24 has no address 256");
        check("{'b': 1, 'a': 2} | keys | join(',')", "b,a");
        check("{'b': 1, 'a': 2} | values | join(',')", "1,2");
        check("[1] | keys", "error: a sequence has no keys; this filter takes a map");
    }
}
