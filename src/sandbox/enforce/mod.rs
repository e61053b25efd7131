//! Holds callers to their IAM policies, where a sandbox was told to: users and role sessions of its accounts.
//!
//! Keys that no CreateAccessKey and no STS call gave out are the account's administrator and never asked. What
//! services do on a caller's behalf (a bucket's key, for one) is not asked for; organisation policies are absent.

mod action;
mod context;
mod signature;

use serde_json::Value;

use super::call::{Call, text, texts};
use super::codec::Wire;
use super::error::AwsError;
use super::iam_eval::{Caller, Context, Decision, Policies, Reason, Request, explain};
use super::services::iam::identity_policies;
use super::tags::{self, Tags};

pub(crate) use signature::{Fault, verify};

/// A caller with all that speaks for and against it.
pub(crate) struct Principal {
    pub(crate) caller: Caller,
    /// The name of a user; none for a session.
    user: Option<String>,
    tags: Tags,
    pub(crate) identity: Vec<Value>,
    pub(crate) boundary: Option<Value>,
    pub(crate) session: Option<Vec<Value>>,
}

/// Returns the caller, if it is one that is held to policies.
pub(crate) fn principal(call: &Call<'_>) -> Option<Principal> {
    if !call.enforced() || !call.identity_of(&call.access_key).is_ok_and(|identity| identity.policed) {
        return None;
    }
    let entry = call.key_entry(&call.access_key).unwrap_or_default();
    let session = entry["policies"].as_array().cloned();
    let path = call.principal.splitn(6, ':').nth(5).unwrap_or_default();
    let (collection, name) = match path.strip_prefix("assumed-role/") {
        Some(rest) => ("roles", rest.split('/').next().unwrap_or_default()),
        None => ("users", path.rsplit('/').next().unwrap_or_default()),
    };
    // One that is gone has no policies left, and so no permission.
    let found = call.elsewhere("iam", collection, name).unwrap_or_default();
    let (identity, boundary) = identity_policies(call, &found);
    let role = (collection == "roles").then(|| text(&found, "Arn").to_owned());
    Some(Principal {
        caller: Caller { account: call.account.clone(), arn: call.principal.clone(), role, service: None },
        user: (collection == "users").then(|| name.to_owned()),
        tags: tags::of(&found),
        identity,
        boundary,
        session,
    })
}

/// Refuses a call that the caller's policies do not allow.
pub(crate) fn check(call: &Call<'_>, input: &Value) -> Result<(), AwsError> {
    let Some(principal) = principal(call) else { return Ok(()) };
    let needs = action::needs(call, input);
    for (action, resource) in &needs {
        ask(call, &principal, input, action, resource)?;
    }
    for (role, service) in action::passed(call, input) {
        let mut context = context::of(call, &principal, input, &role);
        if !service.is_empty() {
            context.insert("iam:passedtoservice".to_owned(), vec![service.to_owned()]);
        }
        decided(call, &principal, "iam:PassRole", &role, &context, None)?;
    }
    Ok(())
}

/// Refuses an action on one of several things that a request names.
pub(crate) fn check_one(call: &Call<'_>, input: &Value, action: &str, resource: &str) -> Result<(), AwsError> {
    let Some(principal) = principal(call) else { return Ok(()) };
    ask(call, &principal, input, action, resource)
}

fn ask(call: &Call<'_>, principal: &Principal, input: &Value, action: &str, resource: &str) -> Result<(), AwsError> {
    let context = context::of(call, principal, input, resource);
    let guard = guard(call, resource);
    let outcome = decided(call, principal, action, resource, &context, guard.as_ref());
    if outcome.is_err() && granted(call, principal, input, action, resource) {
        return Ok(());
    }
    outcome
}

/// The policy of a resource.
struct Guard {
    policy: Option<Value>,
    owner: String,
    decides: bool,
}

/// Finds a resource's own policy.
fn guard(call: &Call<'_>, resource: &str) -> Option<Guard> {
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let &["arn", _, service, _, _, path] = parts.as_slice() else { return None };
    let (collection, id) = match service {
        "s3" => ("buckets", path.split('/').next()?),
        "kms" => ("keys", path.strip_prefix("key/")?),
        "secretsmanager" => {
            let own = call.find("secrets", |_, secret| secret["ARN"] == resource);
            return own.map(|(_, secret)| made(&secret, call.account.clone(), false));
        }
        _ => return None,
    };
    call.anywhere(service, collection, id).map(|(place, value)| made(&value, place.account, service == "kms"))
}

fn made(value: &Value, owner: String, decides: bool) -> Guard {
    let policy = value["_policy"].as_str().and_then(|document| serde_json::from_str(document).ok());
    Guard { policy, owner, decides }
}

fn decided(
    call: &Call<'_>,
    principal: &Principal,
    action: &str,
    resource: &str,
    context: &Context,
    guard: Option<&Guard>,
) -> Result<(), AwsError> {
    let request = Request { caller: &principal.caller, action, resource, context };
    let policies = Policies {
        identity: &principal.identity,
        boundary: principal.boundary.as_ref(),
        session: principal.session.as_deref(),
        resource: guard.and_then(|guard| guard.policy.as_ref()),
        foreign: guard.is_some_and(|guard| guard.owner != call.account),
        resource_decides: guard.is_some_and(|guard| guard.decides),
    };
    match explain(&policies, &request) {
        (Decision::Allowed, _) => Ok(()),
        (decision, reason) => Err(denial(call, action, resource, decision, reason)),
    }
}

/// Tells whether a grant on a key lets the caller do what its policies do not.
fn granted(call: &Call<'_>, principal: &Principal, input: &Value, action: &str, resource: &str) -> bool {
    let Some(operation) = action.strip_prefix("kms:") else { return false };
    let Some((_, key)) = resource.split_once(":key/") else { return false };
    let empty = serde_json::Map::new();
    let given = input["EncryptionContext"].as_object().unwrap_or(&empty);
    call.any("grants", |_, grant| {
        let grantee = text(grant, "GranteePrincipal");
        let named = grantee == principal.caller.arn || principal.caller.role.as_deref() == Some(grantee);
        let constraint = |name: &str| grant["Constraints"][name].as_object();
        let equal = constraint("EncryptionContextEquals").is_none_or(|wanted| wanted == given);
        let within = constraint("EncryptionContextSubset")
            .is_none_or(|wanted| wanted.iter().all(|(key, value)| given.get(key) == Some(value)));
        named && grant["_key"] == key && texts(grant, "Operations").contains(&operation) && equal && within
    })
}

/// Makes a service's denial, which names who, what and on what, and why.
fn denial(call: &Call<'_>, action: &str, resource: &str, decision: Decision, reason: Reason) -> AwsError {
    let policy = match reason {
        Reason::Identity => "identity-based policy",
        Reason::Boundary => "permissions boundary",
        Reason::Session => "session policy",
        Reason::Resource => "resource-based policy",
    };
    let why = match decision {
        Decision::ExplicitDeny if reason == Reason::Identity => format!("with an explicit deny in an {policy}"),
        Decision::ExplicitDeny => format!("with an explicit deny in a {policy}"),
        _ => format!("because no {policy} allows the {action} action"),
    };
    let message =
        format!("User: {} is not authorized to perform: {action} on resource: {resource} {why}", call.principal);
    let error = match call.service.name {
        "ec2" => AwsError::new("", format!("You are not authorized to perform this operation. {message}")).status(403),
        "s3" => {
            let quoted = format!("on resource: \"{resource}\" ");
            AwsError::new("", message.replace(&format!("on resource: {resource} "), &quoted)).status(403)
        }
        "iam" | "sts" => AwsError::new("", message).status(403),
        _ if call.model.metadata.protocol == "rest-json" => AwsError::new("", message).status(403),
        _ => AwsError::new("", message),
    };
    AwsError { code: call.service.manners.denied.to_owned(), ..error }
}

/// Makes a service's answer to credentials that it does not accept.
pub(crate) fn refusal(wire: Wire, signing_name: &str, fault: &Fault) -> AwsError {
    let message = fault.message();
    let (code, status) = match (wire, signing_name, fault) {
        (Wire::Ec2, _, Fault::UnknownKey | Fault::Mismatch | Fault::Token) => ("AuthFailure", 401),
        (Wire::Ec2, _, Fault::Skewed { .. } | Fault::Expired | Fault::LinkExpired) => ("RequestExpired", 400),
        (_, "s3", Fault::UnknownKey) => ("InvalidAccessKeyId", 403),
        (_, "s3", Fault::Mismatch) => ("SignatureDoesNotMatch", 403),
        (_, "s3", Fault::Expired) => ("ExpiredToken", 400),
        (_, "s3", Fault::Token) => ("InvalidToken", 400),
        (_, "s3", Fault::Skewed { .. }) => ("RequestTimeTooSkewed", 403),
        (_, "s3", Fault::LinkExpired) => ("AccessDenied", 403),
        (_, "s3", Fault::Body) => ("XAmzContentSHA256Mismatch", 400),
        (_, _, Fault::Version) => ("InvalidRequest", 400),
        (Wire::Query | Wire::RestXml, _, Fault::UnknownKey | Fault::Token) => ("InvalidClientTokenId", 403),
        (Wire::Query | Wire::RestXml, _, Fault::Expired) => ("ExpiredToken", 403),
        (Wire::Query | Wire::RestXml | Wire::Ec2, ..) => ("SignatureDoesNotMatch", 403),
        (_, _, Fault::UnknownKey | Fault::Token) => ("UnrecognizedClientException", 400),
        (_, _, Fault::Expired) => ("ExpiredTokenException", 400),
        _ => ("InvalidSignatureException", 400),
    };
    // Services of the REST kind answer 403 where those of the JSON kind answer 400.
    let status = if wire == Wire::RestJson { 403 } else { status };
    AwsError::new(code, message).status(status)
}

/// Returns the policies that an AssumeRole call narrows its session to.
pub(crate) fn narrowed(call: &Call<'_>, input: &Value) -> Result<Option<Vec<Value>>, AwsError> {
    let malformed = || AwsError::new("MalformedPolicyDocument", "The session policy is not valid.").status(400);
    let mut all = Vec::new();
    if let Some(document) = input.get("Policy").and_then(Value::as_str) {
        all.push(serde_json::from_str(document).map_err(|_| malformed())?);
    }
    for given in input["PolicyArns"].as_array().into_iter().flatten() {
        let arn = text(given, "arn");
        let document = super::services::iam::document_of(call, arn).and_then(|it| serde_json::from_str(&it).ok());
        all.push(document.ok_or_else(malformed)?);
    }
    Ok((!all.is_empty()).then_some(all))
}
