//! Texts with a grammar of their own: CIDRs, ARNs and policy documents. Each check says what is wrong and what to do.

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::suggest;
use crate::value::{has_unknown, whole_unknown};

/// What is wrong, and the help.
pub(super) type Refusal = (String, String);

/// Refuses what is no network, and a network with host bits set.
pub(super) fn refuse_cidr(text: &str) -> Option<Refusal> {
    match text.parse::<IpNet>() {
        Ok(net) if net.addr() == net.network() => None,
        Ok(net) => {
            let (address, prefix) = (net.addr(), net.prefix_len());
            Some((format!("`{address}` has bits set past the first {prefix}"), format!("write `{}`", net.trunc())))
        }
        Err(_) => Some((format!("`{text}` is not a CIDR"), "write a network such as 10.0.0.0/16".to_owned())),
    }
}

/// Refuses what is no ARN.
pub(super) fn refuse_arn(text: &str) -> Option<Refusal> {
    let help = || "an ARN is `arn:partition:service:region:account:resource`".to_owned();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, resource] = parts[..] else {
        return Some((format!("`{text}` is not an ARN"), help()));
    };
    let wrong = if prefix != "arn" {
        format!("`{text}` does not start with `arn:`")
    } else if !["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"]
        .contains(&partition)
    {
        format!("`{partition}` is not a partition")
    } else if service.is_empty()
        || !service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        format!("`{service}` is not a service")
    } else if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        format!("`{region}` is not a region")
    } else if !(account.is_empty()
        || account == "aws"
        || (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())))
    {
        format!("`{account}` is not an account id of 12 digits")
    } else if resource.is_empty() {
        "it names no resource after the last colon".to_owned()
    } else {
        return None;
    };
    Some((wrong, help()))
}

const DOCUMENT_KEYS: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT_KEYS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// Refuses what IAM would not take as a policy document.
pub(super) fn refuse_policy(value: &Value) -> Option<Refusal> {
    match value {
        Value::Null => None,
        Value::String(text) if whole_unknown(text).is_some() => None,
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(document @ Value::Object(_)) => refuse_document(&document),
            Ok(_) => Some(("the text is JSON but not an object".to_owned(), document_help())),
            Err(_) if has_unknown(value) => None,
            Err(error) => Some((format!("the text is not JSON: {error}"), document_help())),
        },
        Value::Object(_) => refuse_document(value),
        _ => Some(("a policy document is a map, or its JSON text".to_owned(), document_help())),
    }
}

fn document_help() -> String {
    "a document has `Version: \"2012-10-17\"` and `Statement: […]`".to_owned()
}

fn refuse_document(document: &Value) -> Option<Refusal> {
    let map = document.as_object()?;
    if let Some(key) = map.keys().find(|key| !DOCUMENT_KEYS.contains(&key.as_str())) {
        let help = suggest::help(key, DOCUMENT_KEYS, "remove it");
        return Some((format!("`{key}` is not a part of a policy document"), help));
    }
    match map.get("Version").and_then(Value::as_str) {
        Some("2012-10-17" | "2008-10-17") => {}
        Some(text) if has_unknown(&Value::from(text)) => {}
        Some(other) => {
            return Some((format!("`{other}` is not a version of the policy language"), "write \"2012-10-17\"".into()));
        }
        None => {
            let label = "it has no `Version`, so AWS would read it by the rules of 2008".to_owned();
            return Some((label, "add `Version: \"2012-10-17\"`".to_owned()));
        }
    }
    match map.get("Statement") {
        None => Some(("it has no `Statement`".to_owned(), document_help())),
        Some(Value::Array(items)) if items.is_empty() => Some(("its `Statement` is empty".to_owned(), document_help())),
        Some(Value::Array(items)) => items.iter().enumerate().find_map(|(index, item)| refuse_statement(item, index)),
        Some(one) => refuse_statement(one, 0),
    }
}

fn refuse_statement(statement: &Value, index: usize) -> Option<Refusal> {
    if statement.as_str().is_some_and(|text| whole_unknown(text).is_some()) {
        return None;
    }
    let number = index + 1;
    let Some(map) = statement.as_object() else {
        return Some((
            format!("statement {number} is not a map"),
            "a statement has `Effect`, `Action` and `Resource`".to_owned(),
        ));
    };
    if let Some(key) = map.keys().find(|key| !STATEMENT_KEYS.contains(&key.as_str())) {
        return Some((
            format!("`{key}` is not a part of a statement (statement {number})"),
            suggest::help(key, STATEMENT_KEYS, ""),
        ));
    }
    match map.get("Effect").and_then(Value::as_str) {
        Some("Allow" | "Deny") => {}
        Some(text) if has_unknown(&Value::from(text)) => {}
        Some(other) => {
            return Some((
                format!("`{other}` is not an effect (statement {number})"),
                suggest::help(other, ["Allow", "Deny"], ""),
            ));
        }
        None => {
            return Some((
                format!("statement {number} has no `Effect`"),
                "add `Effect: Allow` or `Effect: Deny`".to_owned(),
            ));
        }
    }
    both_or_none(map, number)
}

fn both_or_none(map: &Map<String, Value>, number: usize) -> Option<Refusal> {
    if !map.contains_key("Action") && !map.contains_key("NotAction") {
        return Some((format!("statement {number} has no `Action`"), "add the actions it is about".to_owned()));
    }
    for (one, other) in [("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")] {
        if map.contains_key(one) && map.contains_key(other) {
            return Some((
                format!("statement {number} has both `{one}` and `{other}`"),
                "keep one of the two".to_owned(),
            ));
        }
    }
    let has = |key: &str| map.contains_key(key);
    if !["Resource", "NotResource", "Principal", "NotPrincipal"].iter().any(|key| has(key)) {
        return Some((
            format!("statement {number} has no `Resource`"),
            "add the ARNs it is about, or `Principal` in a trust policy".into(),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cidrs_have_no_host_bits() {
        assert_eq!(refuse_cidr("10.0.0.0/8"), None);
        assert_eq!(refuse_cidr("2001:db8::/32"), None);
        assert_eq!(refuse_cidr("10.0.0.1/8").unwrap().1, "write `10.0.0.0/8`");
        assert!(refuse_cidr("10.0.0.0/33").is_some());
        assert!(refuse_cidr("10.0.0.0").is_some());
    }

    #[test]
    fn arns_have_six_parts() {
        for good in
            ["arn:aws:s3:::b", "arn:aws-cn:iam::123456789012:role/x:y", "arn:aws:iam::aws:policy/ReadOnlyAccess"]
        {
            assert_eq!(refuse_arn(good), None, "{good}");
        }
        for bad in ["", "b", "arn:aws:s3:::", "arn:azure:s3:::b", "arn:aws:S3:::b", "arn:aws:kms:us-east-1:123:key/1"] {
            assert!(refuse_arn(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn documents_are_what_iam_takes() {
        let good =
            json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }] });
        assert_eq!(refuse_policy(&good), None);
        assert_eq!(refuse_policy(&Value::from(good.to_string())), None);
        let mutations: [(&str, Value); 6] = [
            ("/Version", json!("2012-10-18")),
            ("/Statement", json!([])),
            ("/Statement/0/Effect", json!("allow")),
            ("/Statement/0", json!({ "Effect": "Allow", "Resource": "*" })),
            ("/Statement/0", json!({ "Effect": "Allow", "Action": "*" })),
            ("/Statement/0", json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Resorce": 1 })),
        ];
        for (pointer, new) in mutations {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = new;
            assert!(refuse_policy(&bad).is_some(), "{bad}");
        }
        for bad in [json!([]), json!("{"), json!("[]"), json!({ "Statement": good["Statement"] })] {
            assert!(refuse_policy(&bad).is_some(), "{bad}");
        }
    }
}
