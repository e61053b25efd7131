//! What two IAM policy documents both allow, and whether a document lets everybody in. Pure.
//!
//! While a resource goes from one policy to another in several calls, what both allow has to stay allowed. Two
//! wildcard patterns of which neither covers the other, and two different ranges of one condition, have an
//! overlap that no single statement can say; it is left out, and the answer says that it is not exact. What is
//! returned never allows more than both do.

use serde_json::{Map, Value};

use super::policy::canonical_policy;

/// What two lists of statements both allow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overlap {
    pub statements: Vec<Value>,
    /// Whether nothing that both allow is left out.
    pub exact: bool,
}

/// The overlap of two things: none, one thing, or one that can't be said.
enum Meet<T> {
    Empty,
    Same(T),
    Unsayable,
}

/// Returns a document's statements of one effect, in the canonical form and without their labels.
pub(crate) fn statements_of(document: &Value, effect: &str) -> Vec<Value> {
    let canonical = canonical_policy(document);
    let mut out = canonical.get("Statement").and_then(Value::as_array).cloned().unwrap_or_default();
    out.retain(|statement| statement["Effect"] == effect);
    for statement in &mut out {
        if let Some(map) = statement.as_object_mut() {
            map.shift_remove("Sid");
        }
    }
    out
}

/// Returns what two lists of allowing statements both allow.
pub(crate) fn overlap(before: &[Value], after: &[Value]) -> Overlap {
    let mut out = Overlap { statements: Vec::new(), exact: true };
    for one in before {
        for other in after {
            let (met, exact) = statement(one, other);
            out.exact &= exact;
            out.statements.extend(met.filter(|met| !out.statements.contains(met)));
        }
    }
    out
}

fn statement(one: &Value, other: &Value) -> (Option<Value>, bool) {
    if one == other {
        return (Some(one.clone()), true);
    }
    let mut out = Map::from_iter([("Effect".to_owned(), Value::from("Allow"))]);
    let mut exact = true;
    let plain: &dyn Fn(&str, &str) -> Meet<String> = &pattern;
    let action: &dyn Fn(&str, &str) -> Meet<String> = &|a, b| pattern(&a.to_lowercase(), &b.to_lowercase());
    for (positive, negative, meet) in [("Action", "NotAction", action), ("Resource", "NotResource", plain)] {
        match listed(one, other, (positive, negative), meet, &mut exact) {
            Meet::Empty => return (None, exact),
            Meet::Same(Some((name, values))) => {
                out.insert(name, Value::from(values));
            }
            Meet::Same(None) => {}
            Meet::Unsayable => return (None, false),
        }
    }
    match principals(one, other, &mut exact) {
        Meet::Empty => return (None, exact),
        Meet::Same(Some(named)) => {
            out.insert("Principal".to_owned(), named);
        }
        Meet::Same(None) => {}
        Meet::Unsayable => return (None, false),
    }
    match conditions(one.get("Condition"), other.get("Condition")) {
        Meet::Empty => return (None, exact),
        Meet::Same(map) if map.is_empty() => {}
        Meet::Same(map) => {
            out.insert("Condition".to_owned(), Value::Object(map));
        }
        Meet::Unsayable => return (None, false),
    }
    let met = canonical_policy(&Value::from_iter([("Statement", Value::Array(vec![Value::Object(out)]))]));
    (met["Statement"][0].is_object().then(|| met["Statement"][0].clone()), exact)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Overlaps what two statements say by a list, or by the list of what is left out.
fn listed(
    one: &Value,
    other: &Value,
    (positive, negative): (&str, &str),
    meet: &dyn Fn(&str, &str) -> Meet<String>,
    exact: &mut bool,
) -> Meet<Option<(String, Vec<String>)>> {
    let (first, second) = (texts(one.get(positive)), texts(other.get(positive)));
    let (no_first, no_second) = (texts(one.get(negative)), texts(other.get(negative)));
    let named = |values: Vec<String>| match values.is_empty() {
        true => Meet::Empty,
        false => Meet::Same(Some((positive.to_owned(), values))),
    };
    match (one.get(positive).is_some(), other.get(positive).is_some()) {
        (true, true) => {
            let mut values = Vec::new();
            for first in &first {
                for second in &second {
                    match meet(first, second) {
                        Meet::Empty => {}
                        Meet::Same(met) => values.push(met),
                        Meet::Unsayable => *exact = false,
                    }
                }
            }
            named(values)
        }
        (true, false) if other.get(negative).is_some() => named(without(first, &no_second, meet, exact)),
        (false, true) if one.get(negative).is_some() => named(without(second, &no_first, meet, exact)),
        (false, false) if one.get(negative).is_some() && other.get(negative).is_some() => {
            Meet::Same(Some((negative.to_owned(), [no_first, no_second].concat())))
        }
        // A trust policy names no resource.
        (false, false) if one.get(negative).is_none() && other.get(negative).is_none() => Meet::Same(None),
        _ => Meet::Unsayable,
    }
}

/// Keeps of a list what lies outside of all that is left out.
fn without(
    mut values: Vec<String>,
    left_out: &[String],
    meet: &dyn Fn(&str, &str) -> Meet<String>,
    exact: &mut bool,
) -> Vec<String> {
    values.retain(|value| {
        left_out.iter().all(|out| match meet(value, out) {
            Meet::Empty => true,
            // Wholly left out; a part of it that is not can't be said.
            Meet::Same(met) => {
                *exact &= met.eq_ignore_ascii_case(value);
                false
            }
            Meet::Unsayable => {
                *exact = false;
                false
            }
        })
    });
    values
}

/// Overlaps two patterns in which `*` and `?` are wildcards.
fn pattern(one: &str, other: &str) -> Meet<String> {
    if covers(one, other) {
        return Meet::Same(other.to_owned());
    }
    if covers(other, one) {
        return Meet::Same(one.to_owned());
    }
    let is_wild = |c: char| c == '*' || c == '?';
    let head = |text: &str| text.split(is_wild).next().unwrap_or_default().to_owned();
    let tail = |text: &str| text.rsplit(is_wild).next().unwrap_or_default().to_owned();
    let (a, b, y, z) = (head(one), head(other), tail(one), tail(other));
    let apart = !(a.starts_with(&b) || b.starts_with(&a)) || !(y.ends_with(&z) || z.ends_with(&y));
    if apart || !(one.contains(is_wild) && other.contains(is_wild)) { Meet::Empty } else { Meet::Unsayable }
}

/// Tells whether a pattern covers all that another one does; a policy variable covers itself alone.
fn covers(wide: &str, narrow: &str) -> bool {
    let (wide, narrow): (Vec<char>, Vec<char>) = (wide.chars().collect(), narrow.chars().collect());
    let (mut w, mut n, mut retry) = (0, 0, None);
    while n < narrow.len() {
        match wide.get(w) {
            Some('*') => {
                retry = Some((w + 1, n));
                w += 1;
            }
            Some(c) if *c == narrow[n] || (*c == '?' && narrow[n] != '*') => {
                w += 1;
                n += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (w, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    wide[w..].iter().all(|c| *c == '*')
}

fn principals(one: &Value, other: &Value, exact: &mut bool) -> Meet<Option<Value>> {
    let (first, second) = (one.get("Principal"), other.get("Principal"));
    let (Some(first), Some(second)) = (first, second) else {
        let same = first == second && one.get("NotPrincipal") == other.get("NotPrincipal");
        return if same && one.get("NotPrincipal").is_none() { Meet::Same(None) } else { Meet::Unsayable };
    };
    let mut out = Map::new();
    for kind in ["AWS", "Service", "Federated", "CanonicalUser"] {
        let mut names = Vec::new();
        for one in texts(first.get(kind)) {
            for other in texts(second.get(kind)) {
                match principal(&one, &other) {
                    Meet::Empty => {}
                    Meet::Same(name) => names.push(Value::from(name)),
                    Meet::Unsayable => *exact = false,
                }
            }
        }
        // Everybody is every service and every federated identity, too.
        for (all, named) in [(first, second), (second, first)] {
            if kind != "AWS" && texts(all.get("AWS")).iter().any(|name| name == "*") {
                names.extend(texts(named.get(kind)).into_iter().map(Value::from));
            }
        }
        if !names.is_empty() {
            out.insert(kind.to_owned(), Value::Array(names));
        }
    }
    if out.is_empty() { Meet::Empty } else { Meet::Same(Some(Value::Object(out))) }
}

fn principal(one: &str, other: &str) -> Meet<String> {
    // An account is named by its number or by its root.
    let account = |name: &str| match name.split(':').collect::<Vec<_>>().as_slice() {
        [number] if number.len() == 12 => Some((*number).to_owned()),
        ["arn", _, "iam", "", number, "root"] => Some((*number).to_owned()),
        _ => None,
    };
    let of = |name: &str| name.split(':').nth(4).map(str::to_owned);
    let session = |name: &str| name.contains(":assumed-role/") || name.contains(":federated-user/");
    match (account(one), account(other)) {
        _ if one == other || one == "*" => Meet::Same(other.to_owned()),
        _ if other == "*" => Meet::Same(one.to_owned()),
        (Some(a), Some(b)) if a == b => Meet::Same(one.to_owned()),
        (Some(a), None) if of(other) == Some(a.clone()) => Meet::Same(other.to_owned()),
        (None, Some(b)) if of(one) == Some(b.clone()) => Meet::Same(one.to_owned()),
        _ if of(one) == of(other) && (session(one) || session(other)) => Meet::Unsayable,
        _ => Meet::Empty,
    }
}

/// Joins conditions: all of both have to hold.
fn conditions(one: Option<&Value>, other: Option<&Value>) -> Meet<Map<String, Value>> {
    let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let mut out = map(one);
    for (operator, keys) in map(other) {
        for (key, values) in keys.as_object().cloned().unwrap_or_default() {
            let known = out.entry(operator.clone()).or_insert_with(|| Value::Object(Map::new()));
            let Some(known) = known.as_object_mut() else { return Meet::Unsayable };
            let same = known.keys().find(|known| known.eq_ignore_ascii_case(&key)).cloned();
            let Some(same) = same else {
                known.insert(key, values);
                continue;
            };
            match condition(&operator, &texts(known.get(&same)), &texts(Some(&values))) {
                Meet::Same(met) => {
                    known.insert(same, Value::from(met));
                }
                Meet::Empty => return Meet::Empty,
                Meet::Unsayable => return Meet::Unsayable,
            }
        }
    }
    Meet::Same(out)
}

fn condition(operator: &str, one: &[String], other: &[String]) -> Meet<Vec<String>> {
    if one == other {
        return Meet::Same(one.to_vec());
    }
    let range = |text: &String| text.parse::<ipnet::IpNet>().ok();
    let meet = |one: &String, other: &String| match operator {
        "StringEquals" | "Bool" if one == other => Meet::Same(one.clone()),
        "StringEquals" | "Bool" => Meet::Empty,
        "StringLike" => pattern(one, other),
        "ArnLike" | "ArnEquals" if one == other => Meet::Same(one.clone()),
        "IpAddress" => match (range(one), range(other)) {
            (Some(a), Some(b)) if a.contains(&b) => Meet::Same(other.clone()),
            (Some(a), Some(b)) if b.contains(&a) => Meet::Same(one.clone()),
            (Some(_), Some(_)) => Meet::Empty,
            _ => Meet::Unsayable,
        },
        _ => Meet::Unsayable,
    };
    match operator {
        "StringNotEquals" | "StringNotLike" | "NotIpAddress" | "ArnNotLike" | "ArnNotEquals" => {
            let mut all = [one, other].concat();
            all.sort();
            all.dedup();
            return Meet::Same(all);
        }
        "Null" => return Meet::Empty,
        _ => {}
    }
    let mut out = Vec::new();
    for one in one {
        for other in other {
            match meet(one, other) {
                Meet::Same(met) => out.push(met),
                Meet::Empty => {}
                Meet::Unsayable => return Meet::Unsayable,
            }
        }
    }
    if out.is_empty() { Meet::Empty } else { Meet::Same(out) }
}

/// Condition keys that, bound to fixed values, keep a statement from being public to S3.
const NARROWING: [&str; 15] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];

/// Tells whether S3 calls a bucket policy public: a statement lets in everybody, and no fixed value narrows that.
pub(crate) fn is_public(document: &Value) -> bool {
    statements_of(document, "Allow").iter().any(|statement| {
        let named = statement.get("Principal").map(|named| texts(named.get("AWS")));
        let everybody = named.is_none_or(|names| names.iter().any(|name| name == "*"));
        everybody && !is_narrowed(statement)
    })
}

fn is_narrowed(statement: &Value) -> bool {
    let must = |operator: &&String| !operator.contains("Not") && !operator.ends_with("IfExists") && *operator != "Null";
    let fixed = |key: &str, value: &String| {
        let wild = value.contains(['*', '?']) || value.contains("${") || value == "0.0.0.0/0" || value == "::/0";
        // An ARN may have wildcards after its account.
        let account =
            value.split(':').nth(4).is_some_and(|of| of.len() == 12 && of.bytes().all(|b| b.is_ascii_digit()));
        !wild || (key.ends_with("arn") && account)
    };
    let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
    let mut keys = operators.filter(|(operator, _)| must(operator)).filter_map(|(_, keys)| keys.as_object()).flatten();
    keys.any(|(key, values)| {
        let (key, values) = (key.to_lowercase(), texts(Some(values)));
        NARROWING.contains(&key.as_str()) && !values.is_empty() && values.iter().all(|value| fixed(&key, value))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn met(one: Value, other: Value) -> (Vec<Value>, bool) {
        let list = |statement: Value| statements_of(&json!({ "Statement": statement }), "Allow");
        let found = overlap(&list(one), &list(other));
        (found.statements, found.exact)
    }

    fn allow(action: &str, resource: &str) -> Value {
        json!({ "Effect": "Allow", "Action": action, "Resource": resource })
    }

    #[test]
    fn the_narrower_pattern_is_the_overlap() {
        let (statements, exact) = met(allow("s3:*", "arn:aws:s3:::a/*"), allow("S3:Get*", "arn:aws:s3:::a/b/*"));
        assert!(exact);
        assert_eq!(
            statements,
            [json!({ "Effect": "Allow", "Action": ["s3:get*"], "Resource": ["arn:aws:s3:::a/b/*"] })]
        );
        assert_eq!(met(allow("s3:*", "*"), allow("ec2:*", "*")), (vec![], true));
        assert_eq!(met(allow("s3:*Object", "*"), allow("s3:Get*", "*")), (vec![], false));
        assert_eq!(met(allow("s3:GetObject", "*"), allow("s3:Put*", "*")), (vec![], true));
    }

    #[test]
    fn what_is_left_out_is_taken_away() {
        let not = json!({ "Effect": "Allow", "NotAction": "iam:*", "Resource": "*" });
        let (statements, exact) =
            met(not.clone(), json!({ "Effect": "Allow", "Action": ["s3:*", "iam:Get*"], "Resource": "*" }));
        assert_eq!((statements[0]["Action"].clone(), exact), (json!(["s3:*"]), true));
        assert_eq!(met(not.clone(), allow("*", "*")), (vec![], false));
        let both = met(not, json!({ "Effect": "Allow", "NotAction": "ec2:*", "Resource": "*" }));
        assert_eq!((both.0[0]["NotAction"].clone(), both.1), (json!(["ec2:*", "iam:*"]), true));
    }

    #[test]
    fn principals_overlap_by_account_and_name() {
        let to = |principal: Value| json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" });
        let user = "arn:aws:iam::111111111111:user/ana";
        let named = |one: Value, other: Value| met(to(one), to(other)).0.first().map(|it| it["Principal"].clone());
        assert_eq!(named(json!({ "AWS": "111111111111" }), json!({ "AWS": user })), Some(json!({ "AWS": [user] })));
        assert_eq!(named(json!("*"), json!({ "Service": "a" })), Some(json!({ "Service": ["a"] })));
        assert_eq!(named(json!({ "AWS": "222222222222" }), json!({ "AWS": user })), None);
        assert_eq!(named(json!({ "AWS": ["1", "2"] }), json!({ "AWS": ["2", "3"] })), Some(json!({ "AWS": ["2"] })));
    }

    #[test]
    fn conditions_have_to_hold_together() {
        let with =
            |condition: Value| json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition });
        let (mfa, org) =
            (json!({ "Bool": { "aws:mfa": "true" } }), |id: Value| json!({ "StringEquals": { "aws:org": id } }));
        let both = met(with(mfa.clone()), with(org(json!("o-1")))).0;
        assert_eq!(
            both[0]["Condition"],
            json!({ "Bool": { "aws:mfa": ["true"] }, "StringEquals": { "aws:org": ["o-1"] } })
        );
        assert_eq!(met(with(org(json!("o-1"))), with(org(json!("o-2")))), (vec![], true));
        let some = met(with(org(json!(["o-1", "o-2"]))), with(org(json!(["o-2", "o-3"])))).0;
        assert_eq!(some[0]["Condition"]["StringEquals"]["aws:org"], json!(["o-2"]));
        let late = |time: &str| with(json!({ "DateLessThan": { "aws:CurrentTime": time } }));
        assert_eq!(met(late("2026-01-01T00:00:00Z"), late("2027-01-01T00:00:00Z")), (vec![], false));
    }

    #[test]
    fn a_policy_is_public_unless_a_fixed_value_narrows_it() {
        let public = |principal: Value, condition: Value| {
            is_public(&json!({ "Statement": { "Effect": "Allow", "Principal": principal, "Condition": condition } }))
        };
        assert!(public(json!("*"), json!({})));
        assert!(public(json!({ "AWS": ["*"] }), json!({ "StringLike": { "aws:PrincipalOrgID": "o-*" } })));
        assert!(!public(json!("*"), json!({ "StringEquals": { "aws:SourceVpc": "vpc-1" } })));
        assert!(!public(json!({ "AWS": "123456789012" }), json!({})));
        assert!(!is_public(&json!({ "Statement": { "Effect": "Deny", "Principal": "*" } })));
    }
}
