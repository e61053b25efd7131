//! Ids as words in texts: which id of the copy stands for which id of the account.
//!
//! A copy gives its own ids. Ids stand alone, in ARNs and in documents, so they are exchanged as whole words: runs of
//! letters, digits, `-`, `_` and `.`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;
use serde_json::Value;

use crate::value;

/// The shortest word that is taken for an id.
const WORD_MIN: usize = 5;

fn of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Returns the words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !of_word(c)).filter(|word| !word.is_empty())
}

/// Exchanges whole words in all texts of a value.
pub(super) fn exchange(value: &Value, map: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(exchange_text(text, map)),
        Value::Array(items) => items.iter().map(|item| exchange(item, map)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, item)| (exchange_text(key, map), exchange(item, map)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Exchanges a whole text, or whole words in it.
pub(super) fn exchange_text(text: &str, map: &BTreeMap<String, String>) -> String {
    if let Some(new) = map.get(text) {
        return new.clone();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(of_word).unwrap_or(rest.len());
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
        out.push_str(map.get(&rest[..end]).map_or(&rest[..end], String::as_str));
        rest = &rest[end..];
    }
    out
}

/// Pairs the ids of two views of one thing: the words in which their ids, ARNs and addresses differ.
pub(super) fn pairs(one: &Value, other: &Value) -> Vec<(String, String)> {
    let mut left = BTreeMap::new();
    value::walk_leaves(one, "", &mut |path, leaf| {
        if let Some(text) = leaf.as_str().filter(|_| identifies(path)) {
            left.insert(path.to_owned(), text.to_owned());
        }
    });
    let mut out = Vec::new();
    value::walk_leaves(other, "", &mut |path, leaf| {
        if let (Some(first), Some(second)) = (left.get(path), leaf.as_str()) {
            out.extend(differing(first, second));
        }
    });
    out
}

/// Tells by its name whether a member holds what a resource is known by.
fn identifies(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let name = name.split('[').next().unwrap_or(name);
    let last = name.rsplit('_').next().unwrap_or(name);
    matches!(
        last,
        "id" | "ids"
            | "arn"
            | "arns"
            | "ip"
            | "ips"
            | "interface"
            | "interfaces"
            | "association"
            | "group"
            | "table"
            | "acl"
            | "options"
            | "name"
            | "names"
            | "dns"
            | "cidr"
    )
}

/// Returns the words in which two texts of the same build differ; none where the build differs.
pub(super) fn differing(one: &str, other: &str) -> Vec<(String, String)> {
    if let (Ok(_), Ok(_)) = (one.parse::<Ipv6Net>(), other.parse::<Ipv6Net>()) {
        return if one == other { Vec::new() } else { vec![(one.to_owned(), other.to_owned())] };
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (words(one).collect(), words(other).collect());
    if left.len() != right.len() {
        return Vec::new();
    }
    let is_id = |word: &str| word.len() >= WORD_MIN && (word.bytes().any(|b| b.is_ascii_digit()) || word.contains('-'));
    left.iter()
        .zip(right)
        .filter(|(a, b)| **a != *b && is_id(a) && is_id(b))
        .map(|(a, b)| ((*a).to_owned(), b.to_owned()))
        .collect()
}

/// Adds the IPv6 ranges of a value that lie in an exchanged one: a VPC's range is Amazon's, its subnets' follow it.
pub(super) fn add_ranges(value: &Value, map: &mut BTreeMap<String, String>) {
    let nets = map.iter().filter_map(|(from, to)| Some((from.parse::<Ipv6Net>().ok()?, to.parse::<Ipv6Net>().ok()?)));
    let nets: Vec<(Ipv6Net, Ipv6Net)> = nets.collect();
    if nets.is_empty() {
        return;
    }
    value::walk_leaves(value, "", &mut |_, leaf| {
        let Some(part) = leaf.as_str().and_then(|text| text.parse::<Ipv6Net>().ok()) else { return };
        let Some((from, to)) = nets.iter().find(|(from, _)| from.contains(&part) && *from != part) else { return };
        let offset = u128::from(part.network()) - u128::from(from.network());
        let moved = Ipv6Net::new((u128::from(to.network()) + offset).into(), part.prefix_len());
        if let Ok(moved) = moved {
            map.entry(part.to_string()).or_insert(moved.to_string());
        }
    });
}

/// Keeps the pairs that say one thing: a word that stands for two others stands for none.
pub(super) fn one_to_one(pairs: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in pairs {
        all.entry(from).or_default().insert(to);
    }
    let single = all.into_iter().filter(|(_, to)| to.len() == 1);
    single.filter_map(|(from, to)| to.into_iter().next().map(|to| (from, to))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_pair_wherever_they_stand() {
        let one = json!({ "id": "vpc-01", "arn": "arn:aws:ec2:r:123456789012:vpc/vpc-01", "state": "pending-1" });
        let other = json!({ "id": "vpc-99", "arn": "arn:aws:ec2:r:123456789012:vpc/vpc-99", "state": "available" });
        let found = one_to_one(pairs(&one, &other));
        assert_eq!(found, BTreeMap::from([("vpc-01".to_owned(), "vpc-99".to_owned())]));
        assert_eq!(exchange(&json!({ "a": ["x/vpc-01", "vpc-012"] }), &found), json!({ "a": ["x/vpc-99", "vpc-012"] }));
    }

    #[test]
    fn a_word_with_two_meanings_has_none() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(one_to_one([pair("a", "b"), pair("a", "c"), pair("d", "e")]).len(), 1);
        assert_eq!(differing("2026-01-01T00:00:00Z x", "x"), Vec::new());
    }
}
