//! Resource policies as all services check them: form, principals, and whether they let everybody in.
//!
//! Each service words its own error from the [`PolicyFault`].

use serde_json::Value;

use crate::sandbox::call::{Call, text};
use crate::sandbox::identity::is_account;

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PolicyFault {
    /// Not a JSON object, or not a policy's; says what is wrong.
    Malformed(&'static str),
    /// It names a principal that does not exist.
    Principal(String),
    /// It names an action of another service.
    Action,
}

/// Reads a policy document and checks what all services check.
pub(super) fn parse(call: &Call<'_>, document: &str, service: &str) -> Result<Vec<Value>, PolicyFault> {
    use PolicyFault::Malformed;
    let policy: Value = serde_json::from_str(document).map_err(|_| Malformed("Policies must be valid JSON"))?;
    if !policy.is_object() {
        return Err(Malformed("Policies must be JSON objects"));
    }
    if !matches!(policy.get("Version").and_then(Value::as_str), None | Some("2012-10-17" | "2008-10-17")) {
        return Err(Malformed("Invalid policy version"));
    }
    let known = |key: &String| ["Version", "Id", "Statement"].contains(&key.as_str());
    if !policy.as_object().is_some_and(|members| members.keys().all(known)) {
        return Err(Malformed("Unknown field in the policy"));
    }
    let statements = match policy.get("Statement") {
        Some(Value::Array(items)) if !items.is_empty() => items.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => return Err(Malformed("Missing required field Statement")),
    };
    for statement in &statements {
        check(call, statement, service)?;
    }
    Ok(statements)
}

fn check(call: &Call<'_>, statement: &Value, service: &str) -> Result<(), PolicyFault> {
    use PolicyFault::{Action, Malformed};
    if !matches!(text(statement, "Effect"), "Allow" | "Deny") {
        return Err(Malformed("Missing required field Effect"));
    }
    for (one, other, message) in [
        ("Principal", "NotPrincipal", "Missing required field Principal"),
        ("Action", "NotAction", "Missing required field Action"),
        ("Resource", "NotResource", "Missing required field Resource"),
    ] {
        if statement.get(one).is_some() == statement.get(other).is_some() {
            return Err(Malformed(message));
        }
    }
    let of_service = |action: &&str| *action == "*" || action.split_once(':').is_some_and(|(own, _)| own == service);
    if !texts(statement.get("Action").or(statement.get("NotAction"))).iter().all(of_service) {
        return Err(Action);
    }
    for principal in principals(statement, "Principal").into_iter().chain(principals(statement, "NotPrincipal")) {
        check_principal(call, principal)?;
    }
    Ok(())
}

/// Returns the texts of a member that is one text or a list.
pub(super) fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn principals<'v>(statement: &'v Value, member: &str) -> Vec<&'v str> {
    match statement.get(member) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Object(kinds)) => texts(kinds.get("AWS")),
        _ => Vec::new(),
    }
}

/// Refuses roles and users of this account that do not exist.
fn check_principal(call: &Call<'_>, principal: &str) -> Result<(), PolicyFault> {
    if principal == "*" || is_account(principal) {
        return Ok(());
    }
    let invalid = || PolicyFault::Principal(principal.to_owned());
    let parts: Vec<&str> = principal.splitn(6, ':').collect();
    let &["arn", _, service, "", account, resource] = parts.as_slice() else { return Err(invalid()) };
    if !is_account(account) && account != "cloudfront" {
        return Err(invalid());
    }
    let role = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    let simulated = super::service("iam").is_some();
    if let (Some(role), true) = (role, simulated && service == "iam" && account == call.account) {
        call.elsewhere("iam", "roles", role).ok_or_else(invalid)?;
    }
    Ok(())
}

/// Condition keys that, bound to fixed values, keep a statement from being public.
const NARROWING: [&str; 16] = [
    "aws:principalarn",
    "aws:principalaccount",
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
    "kms:calleraccount",
];

/// Tells whether a statement lets in everybody.
pub(crate) fn is_public(statement: &Value) -> bool {
    if text(statement, "Effect") != "Allow" {
        return false;
    }
    let everybody = statement.get("NotPrincipal").is_some() || principals(statement, "Principal").contains(&"*");
    everybody && !is_narrowed(statement)
}

fn is_narrowed(statement: &Value) -> bool {
    let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
    let fixed = |value: &&str| {
        !value.contains('*')
            && !value.contains('?')
            && !value.contains("${")
            && *value != "0.0.0.0/0"
            && *value != "::/0"
    };
    operators
        // Only a condition that the request must meet narrows; a negated or optional one does not.
        .filter(|(operator, _)| !operator.contains("Not") && !operator.ends_with("IfExists") && *operator != "Null")
        .flat_map(|(_, keys)| keys.as_object().into_iter().flatten())
        .filter(|(key, _)| NARROWING.contains(&key.to_ascii_lowercase().as_str()))
        .any(|(key, value)| {
            let values = texts(Some(value));
            let arn = key.to_ascii_lowercase().ends_with("arn");
            // An ARN may have wildcards after its account.
            let named = |value: &&str| value.split(':').nth(4).is_some_and(is_account);
            !values.is_empty() && values.iter().all(|value| fixed(value) || (arn && named(value)))
        })
}

/// Tells whether a statement's text pattern covers a text; `*` and `?` are wildcards.
pub(super) fn covers(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<char>, Vec<char>) = (pattern.chars().collect(), subject.chars().collect());
    let (mut at, mut on) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while on < subject.len() {
        if at < pattern.len() && pattern[at] == '*' {
            retry = Some((at + 1, on));
            at += 1;
        } else if at < pattern.len() && (pattern[at] == '?' || pattern[at] == subject[on]) {
            at += 1;
            on += 1;
        } else if let Some((after, from)) = retry {
            retry = Some((after, from + 1));
            at = after;
            on = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Tells whether a service may do something by these statements; conditions on fixed texts are looked at.
pub(super) fn lets_service(
    statements: &[Value],
    service: &str,
    action: &str,
    resource: &str,
    facts: &[(&str, &str)],
) -> bool {
    let applies = |statement: &Value| {
        let named = match statement.get("Principal") {
            Some(Value::String(all)) => all == "*",
            Some(Value::Object(kinds)) => {
                texts(kinds.get("Service")).contains(&service) || texts(kinds.get("AWS")).contains(&"*")
            }
            _ => false,
        };
        let lower = action.to_ascii_lowercase();
        let acts = texts(statement.get("Action")).iter().any(|pattern| covers(&pattern.to_ascii_lowercase(), &lower));
        named && acts && texts(statement.get("Resource")).iter().any(|pattern| covers(pattern, resource))
    };
    let met = |statement: &Value| conditions_met(statement, facts);
    let allowed = statements.iter().any(|it| text(it, "Effect") == "Allow" && applies(it) && met(it));
    let denied = statements.iter().any(|it| text(it, "Effect") == "Deny" && applies(it) && met(it));
    allowed && !denied
}

fn conditions_met(statement: &Value, facts: &[(&str, &str)]) -> bool {
    let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
    for (operator, keys) in operators {
        for (key, wanted) in keys.as_object().into_iter().flatten() {
            let fact = facts.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value);
            let wanted = texts(Some(wanted));
            let base = operator.trim_end_matches("IfExists");
            let negated = base.contains("Not");
            let like = base.contains("Like") || base.starts_with("Arn");
            let any = fact
                .is_some_and(|fact| wanted.iter().any(|value| if like { covers(value, fact) } else { *value == fact }));
            let met = match fact {
                None => negated || operator.ends_with("IfExists"),
                Some(_) => any != negated,
            };
            if !met {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_is_public_unless_a_fixed_condition_narrows_it() {
        let allow = |principal: Value, condition: Value| {
            is_public(&json!({"Effect": "Allow", "Principal": principal, "Condition": condition}))
        };
        assert!(allow(json!("*"), json!({})));
        assert!(allow(json!({"AWS": ["*"]}), json!({"Bool": {"aws:SecureTransport": "true"}})));
        assert!(allow(json!("*"), json!({"StringLike": {"aws:PrincipalOrgID": "o-*"}})));
        assert!(allow(json!("*"), json!({"StringNotEquals": {"aws:SourceVpc": "vpc-1"}})));
        assert!(!allow(json!("*"), json!({"StringEquals": {"aws:SourceVpc": "vpc-1"}})));
        assert!(!allow(json!("*"), json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:*"}})));
        assert!(!allow(json!({"AWS": "123456789012"}), json!({})));
        assert!(!is_public(&json!({"Effect": "Deny", "Principal": "*"})));
    }

    #[test]
    fn wildcards_cover() {
        for (pattern, subject, expected) in [
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/c", true),
            ("arn:aws:s3:::b", "arn:aws:s3:::b/a", false),
            ("*", "", true),
            ("a?c*e", "abcdde", true),
            ("a*b", "acbd", false),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_service_is_let_in_under_its_conditions() {
        let statements = [json!({"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/AWSLogs/1/*",
            "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}})];
        let lets = |facts: &[(&str, &str)]| {
            lets_service(&statements, "cloudtrail.amazonaws.com", "s3:PutObject", "arn:aws:s3:::b/AWSLogs/1/x", facts)
        };
        assert!(lets(&[("s3:x-amz-acl", "bucket-owner-full-control")]));
        assert!(!lets(&[]));
    }
}
