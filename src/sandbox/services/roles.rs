//! IAM roles as other services see them: there, trusting the service, and allowed to do what it is to do.
//!
//! Looks only; a role of a moment ago may not have propagated yet. Each service words its own error.

use serde_json::Value;

use crate::sandbox::call::{Call, text};
use crate::sandbox::iam_eval::{Caller, Context, Decision, Policies, Request, decide};

/// Returns a role of the caller's account that a service may assume on behalf of the resource `source`.
pub(super) fn trusting(call: &Call<'_>, arn: &str, service: &str, source: &str) -> Option<Value> {
    let own = format!("arn:{}:iam::{}:role/", call.partition(), call.account);
    let path = arn.strip_prefix(&own)?;
    let role = call.elsewhere("iam", "roles", path.rsplit('/').next().unwrap_or(path))?;
    if text(&role, "Arn") != arn {
        return None;
    }
    let trust: Value = serde_json::from_str(text(&role, "_trust")).ok()?;
    let caller = Caller { service: Some(service.to_owned()), ..Caller::default() };
    let context = service_context(call, source);
    let request = Request { caller: &caller, action: "sts:AssumeRole", resource: arn, context: &context };
    let policies = Policies { resource: Some(&trust), resource_decides: true, ..Policies::default() };
    (decide(&policies, &request) == Decision::Allowed).then_some(role)
}

/// Tells whether a role's own policies let it do something.
pub(super) fn allows(call: &Call<'_>, role: &Value, action: &str, resource: &str) -> bool {
    let (identity, boundary) = super::iam::identity_policies(call, role);
    let caller =
        Caller { account: call.account.clone(), role: Some(text(role, "Arn").to_owned()), ..Caller::default() };
    let context = Context::new();
    let request = Request { caller: &caller, action, resource, context: &context };
    let policies = Policies { identity: &identity, boundary: boundary.as_ref(), ..Policies::default() };
    decide(&policies, &request) == Decision::Allowed
}

/// Tells whether a resource's policy lets a service do something on behalf of the resource `source`.
pub(super) fn policy_lets(
    call: &Call<'_>,
    policy: Option<&str>,
    (service, source): (&str, &str),
    action: &str,
    resource: &str,
) -> bool {
    let policy: Option<Value> = policy.and_then(|document| serde_json::from_str(document).ok());
    let caller = Caller { service: Some(service.to_owned()), ..Caller::default() };
    let context = service_context(call, source);
    let request = Request { caller: &caller, action, resource, context: &context };
    let policies = Policies { resource: policy.as_ref(), resource_decides: true, ..Policies::default() };
    decide(&policies, &request) == Decision::Allowed
}

/// What a service says of itself when it comes on behalf of a resource.
fn service_context(call: &Call<'_>, source: &str) -> Context {
    let keys =
        [("aws:sourceaccount", call.account.as_str()), ("aws:sourcearn", source), ("aws:securetransport", "true")];
    keys.map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).into()
}
