//! Evaluates IAM policies: identity, boundary and resource policies, conditions, wildcards, explicit denies.
//!
//! Pure: documents and a request in, a decision out. It follows the evaluation logic that IAM's user guide
//! describes; organisation policies and `NotPrincipal` are deliberately absent, and a condition operator that
//! it does not know never matches an allow and always matches a deny.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// The request's context keys, in lower case, with their values.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) account: String,
    /// The ARN of a user or a session; empty for a service.
    pub(crate) arn: String,
    /// The role of a session.
    pub(crate) role: Option<String>,
    /// The name of an AWS service, where one asks.
    pub(crate) service: Option<String>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    pub(crate) caller: &'r Caller,
    pub(crate) action: &'r str,
    pub(crate) resource: &'r str,
    pub(crate) context: &'r Context,
}

/// The policies that bear on a request.
#[derive(Debug, Default)]
pub(crate) struct Policies<'p> {
    pub(crate) identity: &'p [Value],
    pub(crate) boundary: Option<&'p Value>,
    /// What a session was narrowed to when it was made.
    pub(crate) session: Option<&'p [Value]>,
    pub(crate) resource: Option<&'p Value>,
    /// The account of the resource, where it is another than the caller's.
    pub(crate) foreign: bool,
    /// Whether the resource's policy has to allow even within one account, as for keys and role trust.
    pub(crate) resource_decides: bool,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
}

/// Which policies a decision comes from; for an implicit deny, which did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Identity,
    Boundary,
    Session,
    Resource,
}

/// How a document bears on a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Verdict {
    /// Allows, naming the caller itself or everybody.
    direct: bool,
    /// Allows, naming the role of the caller's session.
    role: bool,
    /// Allows, naming the caller's account.
    account: bool,
    deny: bool,
}

/// Decides a request.
pub(crate) fn decide(policies: &Policies<'_>, request: &Request<'_>) -> Decision {
    explain(policies, request).0
}

/// Decides a request and says which policies that comes from.
pub(crate) fn explain(policies: &Policies<'_>, request: &Request<'_>) -> (Decision, Reason) {
    let identity = judge_all(policies.identity, request);
    let boundary = policies.boundary.map(|document| judge(document, request, false));
    let session = policies.session.map(|documents| judge_all(documents, request));
    let resource = policies.resource.map(|document| judge(document, request, true)).unwrap_or_default();
    let denies = |verdict: &Option<Verdict>| verdict.is_some_and(|verdict| verdict.deny);
    for (denied, reason) in [
        (identity.deny, Reason::Identity),
        (resource.deny, Reason::Resource),
        (denies(&boundary), Reason::Boundary),
        (denies(&session), Reason::Session),
    ] {
        if denied {
            return (Decision::ExplicitDeny, reason);
        }
    }
    let within_boundary = boundary.is_none_or(|verdict| verdict.direct);
    let within_session = session.is_none_or(|verdict| verdict.direct);
    let own = identity.direct && within_boundary && within_session;
    // What names the session itself is not narrowed by boundary and session policies; what names its role is.
    let direct = resource.direct || (resource.role && within_boundary && within_session);
    let (allowed, theirs) = if request.caller.service.is_some() {
        (resource.direct, true)
    } else if policies.foreign {
        (own && (resource.direct || resource.role || resource.account), own)
    } else if policies.resource_decides {
        (direct || (resource.account && own), own || !resource.account)
    } else {
        (own || direct, false)
    };
    if allowed {
        return (Decision::Allowed, Reason::Identity);
    }
    let reason = match (theirs, identity.direct || resource.role, within_boundary) {
        (true, ..) => Reason::Resource,
        (false, false, _) => Reason::Identity,
        (false, true, false) => Reason::Boundary,
        (false, true, true) => Reason::Session,
    };
    (Decision::ImplicitDeny, reason)
}

fn judge_all(documents: &[Value], request: &Request<'_>) -> Verdict {
    let mut all = Verdict::default();
    for document in documents {
        let one = judge(document, request, false);
        all.direct |= one.direct;
        all.deny |= one.deny;
    }
    all
}

fn judge(document: &Value, request: &Request<'_>, with_principal: bool) -> Verdict {
    let mut out = Verdict::default();
    for statement in statements(document) {
        let deny = statement["Effect"] == "Deny";
        let named = if with_principal { principal(statement, request.caller) } else { Some(Named::Itself) };
        let Some(named) = named else { continue };
        if !action(statement, request.action) || !resource(statement, request, with_principal) {
            continue;
        }
        if !conditions(statement.get("Condition"), request, deny) {
            continue;
        }
        match named {
            _ if deny => out.deny = true,
            Named::Itself => out.direct = true,
            Named::Role => out.role = true,
            Named::Account => out.account = true,
        }
    }
    out
}

/// Returns a document's statements, be they one or a list.
pub(crate) fn statements(document: &Value) -> Vec<&Value> {
    match document.get("Statement") {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

/// Returns the texts of a member that is one text or a list.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    let text = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(item.to_string()),
        _ => None,
    };
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

fn action(statement: &Value, wanted: &str) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    let any = |list: Vec<String>| list.iter().any(|pattern| wildcard(&pattern.to_ascii_lowercase(), &wanted));
    match statement.get("NotAction") {
        Some(not) => !any(texts(Some(not))),
        None => any(texts(statement.get("Action"))),
    }
}

fn resource(statement: &Value, request: &Request<'_>, of_resource: bool) -> bool {
    let any = |list: Vec<String>| {
        list.iter().any(|pattern| variables(pattern, request.context).is_some_and(|it| wildcard(&it, request.resource)))
    };
    match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(list), _) => any(texts(Some(list))),
        (None, Some(not)) => !any(texts(Some(not))),
        // A trust policy has no resource: it is the role's own.
        (None, None) => of_resource,
    }
}

/// As what a statement names the caller.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// By its own ARN, or as everybody.
    Itself,
    /// By the role of its session.
    Role,
    /// By its account.
    Account,
}

/// Tells whether and as what a statement names the caller.
fn principal(statement: &Value, caller: &Caller) -> Option<Named> {
    let named = statement.get("Principal")?;
    let of = |kind: &str| texts(named.get(kind));
    // Everybody is everybody in either form, AWS's services among them.
    if named == "*" || of("AWS").iter().any(|name| name == "*") {
        return Some(Named::Itself);
    }
    if let Some(service) = &caller.service {
        return of("Service").iter().any(|name| name == service).then_some(Named::Itself);
    }
    let mut found = None;
    for name in of("AWS") {
        if name == caller.arn {
            return Some(Named::Itself);
        }
        let root = name.split_once(":iam::").and_then(|(_, rest)| rest.strip_suffix(":root"));
        if caller.role.as_deref() == Some(name.as_str()) {
            found = Some(Named::Role);
        } else if found.is_none() && (name == caller.account || root == Some(caller.account.as_str())) {
            found = Some(Named::Account);
        }
    }
    found
}

/// Matches `*` for any text and `?` for any one character.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Puts policy variables in; none if the context lacks one, so that nothing matches.
fn variables(text: &str, context: &Context) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let end = start + rest[start..].find('}')?;
        out.push_str(&rest[..start]);
        match &rest[start + 2..end] {
            literal @ ("*" | "?" | "$") => out.push_str(literal),
            key => out.push_str(context.get(&key.to_ascii_lowercase())?.first()?),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// Tells whether all conditions hold; one that can't be judged holds for a deny only.
fn conditions(all: Option<&Value>, request: &Request<'_>, deny: bool) -> bool {
    let Some(operators) = all.and_then(Value::as_object) else { return true };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.into_iter().all(|(key, wanted)| {
            let values = request.context.get(&key.to_ascii_lowercase()).map(Vec::as_slice);
            let wanted: Vec<String> =
                texts(Some(wanted)).iter().filter_map(|text| variables(text, request.context)).collect();
            condition(operator, values, &wanted).unwrap_or(deny)
        })
    })
}

/// Judges one condition key; none where the operator is not known.
fn condition(operator: &str, values: Option<&[String]>, wanted: &[String]) -> Option<bool> {
    let (set, operator) = match operator.split_once(':') {
        Some((set @ ("ForAllValues" | "ForAnyValue"), rest)) => (Some(set), rest),
        Some(_) => return None,
        None => (None, operator),
    };
    if operator == "Null" {
        let absent = wanted.first().is_some_and(|text| text == "true");
        return Some(values.is_none_or(<[String]>::is_empty) == absent);
    }
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(rest) => (rest, true),
        None => (operator, false),
    };
    let (test, negated) = comparison(operator)?;
    let Some(values) = values.filter(|values| !values.is_empty()) else {
        // Nothing to compare: a negated operator holds, and so does the quantifier over all of nothing.
        return Some(if_exists || set == Some("ForAllValues") || (negated && set.is_none()));
    };
    let one = |value: &String| wanted.iter().any(|wanted| test(value, wanted)) != negated;
    Some(match set {
        Some("ForAllValues") => values.iter().all(one),
        Some(_) => values.iter().any(one),
        None if negated => values.iter().all(one),
        None => values.iter().any(one),
    })
}

type Test = fn(&str, &str) -> bool;

/// Returns how an operator compares a value of the request with one of the policy, and whether it is negated.
fn comparison(operator: &str) -> Option<(Test, bool)> {
    let found: (Test, bool) = match operator {
        "StringEquals" | "BinaryEquals" => (|value, wanted| value == wanted, false),
        "StringNotEquals" => (|value, wanted| value == wanted, true),
        "StringEqualsIgnoreCase" | "Bool" => (|value, wanted| value.eq_ignore_ascii_case(wanted), false),
        "StringNotEqualsIgnoreCase" => (|value, wanted| value.eq_ignore_ascii_case(wanted), true),
        "StringLike" => (|value, wanted| wildcard(wanted, value), false),
        "StringNotLike" => (|value, wanted| wildcard(wanted, value), true),
        "ArnEquals" | "ArnLike" => (arn_like, false),
        "ArnNotEquals" | "ArnNotLike" => (arn_like, true),
        "IpAddress" => (in_range, false),
        "NotIpAddress" => (in_range, true),
        "NumericEquals" => (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v == w), false),
        "NumericNotEquals" => (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v == w), true),
        "NumericLessThan" => (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v < w), false),
        "NumericLessThanEquals" => {
            (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v <= w), false)
        }
        "NumericGreaterThan" => (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v > w), false),
        "NumericGreaterThanEquals" => {
            (|value, wanted| number(value).zip(number(wanted)).is_some_and(|(v, w)| v >= w), false)
        }
        "DateEquals" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v == w), false),
        "DateNotEquals" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v == w), true),
        "DateLessThan" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v < w), false),
        "DateLessThanEquals" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v <= w), false),
        "DateGreaterThan" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v > w), false),
        "DateGreaterThanEquals" => (|value, wanted| time(value).zip(time(wanted)).is_some_and(|(v, w)| v >= w), false),
        _ => return None,
    };
    Some(found)
}

/// Compares ARNs part by part: a wildcard does not reach over a colon, but in the last part.
fn arn_like(value: &str, pattern: &str) -> bool {
    let parts = |text: &str| text.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (value, pattern) = (parts(value), parts(pattern));
    value.len() == pattern.len() && value.iter().zip(&pattern).all(|(value, pattern)| wildcard(pattern, value))
}

fn in_range(value: &str, range: &str) -> bool {
    let range = range.parse::<IpNet>().or_else(|_| range.parse::<IpAddr>().map(IpNet::from));
    value.parse::<IpAddr>().ok().zip(range.ok()).is_some_and(|(address, range)| range.contains(&address))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Reads an ISO 8601 time or seconds since 1970.
fn time(text: &str) -> Option<f64> {
    let seconds = |time: jiff::Timestamp| time.as_millisecond() as f64 / 1000.0;
    number(text).or_else(|| text.parse().ok().map(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "arn:aws:s3:::data/a/b";

    fn user() -> Caller {
        Caller {
            account: "111111111111".to_owned(),
            arn: "arn:aws:iam::111111111111:user/ana".to_owned(),
            ..Caller::default()
        }
    }

    fn context(entries: &[(&str, &str)]) -> Context {
        entries.iter().map(|(key, value)| (key.to_ascii_lowercase(), vec![(*value).to_owned()])).collect()
    }

    fn asked(policies: &Policies<'_>, context: &Context) -> Decision {
        let caller = user();
        decide(policies, &Request { caller: &caller, action: "s3:GetObject", resource: KEY, context })
    }

    fn allow(extra: Value) -> Value {
        let mut statement = json!({ "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::data/*" });
        for (key, value) in extra.as_object().unwrap() {
            statement[key] = value.clone();
        }
        json!({ "Version": "2012-10-17", "Statement": statement })
    }

    #[test]
    fn a_deny_beats_every_allow() {
        let none = Context::new();
        let identity = [allow(json!({}))];
        assert_eq!(asked(&Policies { identity: &identity, ..Policies::default() }, &none), Decision::Allowed);
        assert_eq!(asked(&Policies::default(), &none), Decision::ImplicitDeny);
        let denied = [allow(json!({})), allow(json!({ "Effect": "Deny" }))];
        assert_eq!(asked(&Policies { identity: &denied, ..Policies::default() }, &none), Decision::ExplicitDeny);
        let other = [allow(json!({ "Action": "s3:PutObject" })), allow(json!({ "Resource": "arn:aws:s3:::other/*" }))];
        assert_eq!(asked(&Policies { identity: &other, ..Policies::default() }, &none), Decision::ImplicitDeny);
        let not =
            [json!({ "Statement": [{ "Effect": "Allow", "NotAction": "s3:Put*", "NotResource": "arn:aws:s3:::x" }] })];
        assert_eq!(asked(&Policies { identity: &not, ..Policies::default() }, &none), Decision::Allowed);
    }

    #[test]
    fn a_boundary_limits_and_gives_nothing() {
        let none = Context::new();
        let (identity, boundary) = ([allow(json!({}))], allow(json!({ "Action": "s3:PutObject" })));
        let policies = Policies { identity: &identity, boundary: Some(&boundary), ..Policies::default() };
        assert_eq!(asked(&policies, &none), Decision::ImplicitDeny);
        let boundary = allow(json!({ "Action": "*", "Resource": "*" }));
        let policies = Policies { identity: &[], boundary: Some(&boundary), ..Policies::default() };
        assert_eq!(asked(&policies, &none), Decision::ImplicitDeny);
        let policies = Policies { identity: &identity, boundary: Some(&boundary), ..Policies::default() };
        assert_eq!(asked(&policies, &none), Decision::Allowed);
    }

    #[test]
    fn resource_policies_decide_by_whom_they_name() {
        let none = Context::new();
        let identity = [allow(json!({}))];
        let named = allow(json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:user/ana" } }));
        let root = allow(json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:root" } }));
        let other = allow(json!({ "Principal": { "AWS": "arn:aws:iam::222222222222:root" } }));
        for (resource, identity, foreign, decides, decision) in [
            (&named, &[][..], false, false, Decision::Allowed),
            (&root, &[], false, false, Decision::ImplicitDeny),
            (&root, &identity, false, true, Decision::Allowed),
            (&root, &[], false, true, Decision::ImplicitDeny),
            (&other, &identity, false, true, Decision::ImplicitDeny),
            (&other, &identity, false, false, Decision::Allowed),
            (&named, &[], true, false, Decision::ImplicitDeny),
            (&named, &identity, true, false, Decision::Allowed),
            (&root, &identity, true, false, Decision::Allowed),
            (&other, &identity, true, false, Decision::ImplicitDeny),
        ] {
            let policies = Policies {
                identity,
                resource: Some(resource),
                foreign,
                resource_decides: decides,
                ..Policies::default()
            };
            assert_eq!(asked(&policies, &none), decision, "{resource} {foreign} {decides}");
        }
    }

    #[test]
    fn services_and_sessions_are_principals() {
        let none = Context::new();
        let trust = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "Service": "ec2.amazonaws.com", "AWS": "arn:aws:iam::111111111111:role/ci" } }] });
        let decision = |caller: &Caller| {
            let request = Request { caller, action: "sts:AssumeRole", resource: "arn:role", context: &none };
            let policies = Policies { resource: Some(&trust), resource_decides: true, ..Policies::default() };
            decide(&policies, &request)
        };
        let service = |name: &str| Caller { service: Some(name.to_owned()), ..Caller::default() };
        assert_eq!(decision(&service("ec2.amazonaws.com")), Decision::Allowed);
        assert_eq!(decision(&service("lambda.amazonaws.com")), Decision::ImplicitDeny);
        let session = Caller { role: Some("arn:aws:iam::111111111111:role/ci".to_owned()), ..user() };
        assert_eq!(decision(&session), Decision::Allowed);
        assert_eq!(decision(&user()), Decision::ImplicitDeny);
    }

    #[test]
    fn everybody_is_everybody_in_either_form() {
        let none = Context::new();
        let service = Caller { service: Some("cloudtrail.amazonaws.com".to_owned()), ..Caller::default() };
        for everybody in [json!("*"), json!({ "AWS": "*" }), json!({ "AWS": ["*"] })] {
            let policy = allow(json!({ "Principal": everybody, "Action": "sts:AssumeRole", "Resource": "*" }));
            for caller in [&service, &user()] {
                let request = Request { caller, action: "sts:AssumeRole", resource: "arn:role", context: &none };
                let policies = Policies { resource: Some(&policy), resource_decides: true, ..Policies::default() };
                assert_eq!(decide(&policies, &request), Decision::Allowed, "{policy} {caller:?}");
            }
        }
    }

    #[test]
    fn conditions_compare_as_documented() {
        let request = context(&[
            ("aws:SourceIp", "10.1.2.3"),
            ("aws:username", "ana"),
            ("s3:max-keys", "10"),
            ("aws:CurrentTime", "2026-03-01T00:00:00Z"),
            ("aws:SecureTransport", "true"),
            ("aws:PrincipalArn", "arn:aws:iam::111111111111:user/team/ana"),
        ]);
        for (condition, holds) in [
            (json!({ "IpAddress": { "aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"] } }), true),
            (json!({ "NotIpAddress": { "aws:SourceIp": "10.0.0.0/8" } }), false),
            (json!({ "StringEquals": { "AWS:UserName": "ana" } }), true),
            (json!({ "StringEquals": { "aws:username": "Ana" } }), false),
            (json!({ "StringEqualsIgnoreCase": { "aws:username": "Ana" } }), true),
            (json!({ "StringNotEquals": { "aws:username": ["ben", "ana"] } }), false),
            (json!({ "StringNotEquals": { "aws:absent": "x" } }), true),
            (json!({ "StringEquals": { "aws:absent": "x" } }), false),
            (json!({ "StringEqualsIfExists": { "aws:absent": "x" } }), true),
            (json!({ "StringLike": { "aws:username": "a?a*" } }), true),
            (json!({ "Bool": { "aws:SecureTransport": true } }), true),
            (json!({ "NumericLessThanEquals": { "s3:max-keys": 10 } }), true),
            (json!({ "NumericGreaterThan": { "s3:max-keys": "10" } }), false),
            (json!({ "DateGreaterThan": { "aws:CurrentTime": "2026-01-01T00:00:00Z" } }), true),
            (json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:user/*" } }), true),
            (json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*" } }), false),
            (json!({ "Null": { "aws:absent": "true" } }), true),
            (json!({ "Null": { "aws:username": true } }), false),
            (json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["a"] } }), true),
            (json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": ["a"] } }), false),
            (json!({ "StringEquals": { "aws:username": "ana" }, "Bool": { "aws:SecureTransport": "false" } }), false),
            (json!({ "NoSuchOperator": { "aws:username": "ana" } }), false),
        ] {
            let identity = [allow(json!({ "Condition": condition }))];
            let decision = asked(&Policies { identity: &identity, ..Policies::default() }, &request);
            assert_eq!(decision == Decision::Allowed, holds, "{condition}");
        }
    }

    #[test]
    fn a_deny_that_cannot_be_judged_denies() {
        let identity = [allow(json!({})), allow(json!({ "Effect": "Deny", "Condition": { "NoSuch": { "a": "b" } } }))];
        let policies = Policies { identity: &identity, ..Policies::default() };
        assert_eq!(asked(&policies, &Context::new()), Decision::ExplicitDeny);
    }

    #[test]
    fn variables_are_put_in() {
        let home = [allow(json!({ "Resource": "arn:aws:s3:::data/${aws:username}/*" }))];
        let policies = Policies { identity: &home, ..Policies::default() };
        assert_eq!(asked(&policies, &context(&[("aws:username", "a")])), Decision::Allowed);
        assert_eq!(asked(&policies, &context(&[("aws:username", "b")])), Decision::ImplicitDeny);
        assert_eq!(asked(&policies, &Context::new()), Decision::ImplicitDeny);
    }

    #[test]
    fn wildcards_match() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("?", "", false),
            ("a**b", "ab", true),
            ("arn:*:x", "arn:a:b:x", true),
        ] {
            assert_eq!(wildcard(pattern, text), matches, "{pattern} {text}");
        }
    }
}
