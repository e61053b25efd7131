//! STS: who the caller is, and temporary keys bound to an account.
//!
//! AssumeRole checks that a role of the simulated world exists and that its trust policy lets the caller in.
//! An account in which nothing was ever made is taken to be another organisation's, with any role.

use serde_json::{Value, json};

use super::Operations;
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::time;
use crate::sandbox::enforce;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::iam_eval::{Caller, Context, Decision, Policies, Request, decide};
use crate::sandbox::identity::is_account;
use crate::sandbox::ids::BASE32;
use crate::sandbox::store::{GLOBAL, Place};

pub(super) const OPERATIONS: Operations = &[
    ("AssumeRole", assume_role),
    ("GetAccessKeyInfo", get_access_key_info),
    ("GetCallerIdentity", get_caller_identity),
    ("GetSessionToken", get_session_token),
];

fn get_caller_identity(call: &mut Call<'_>, _: &Value) -> Answer {
    Ok(json!({"Account": call.account, "Arn": call.principal, "UserId": call.user_id}))
}

fn get_access_key_info(call: &mut Call<'_>, input: &Value) -> Answer {
    let key = text(input, "AccessKeyId");
    let known = call
        .identity_of(key)
        .map_err(|_| AwsError::new("InvalidClientTokenId", "The access key id is not known").status(403))?;
    Ok(json!({"Account": known.account}))
}

fn get_session_token(call: &mut Call<'_>, input: &Value) -> Answer {
    if call.access_key.starts_with("ASIA") {
        let message = "Cannot call GetSessionToken with session credentials";
        return Err(AwsError::new("AccessDenied", message).status(403));
    }
    let (account, arn, user_id) = (&call.account, &call.principal, &call.user_id);
    let life = input["DurationSeconds"].as_f64().unwrap_or(43_200.0);
    let identity = json!({"account": account, "arn": arn, "user_id": user_id});
    Ok(json!({"Credentials": credentials(call, identity, life)}))
}

fn assume_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let role_arn = text(input, "RoleArn");
    let parts: Vec<&str> = role_arn.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return Err(AwsError::new("ValidationError", format!("{role_arn} is invalid")).status(400));
    };
    let path = resource.strip_prefix("role/").filter(|name| !name.is_empty());
    let (Some(path), true) = (path, is_account(account)) else {
        return Err(AwsError::new("ValidationError", format!("{role_arn} is invalid")).status(400));
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let denied = || {
        let message =
            format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}", call.principal);
        AwsError::new("AccessDenied", message).status(403)
    };
    let iam = Place { account: account.to_owned(), region: GLOBAL.to_owned(), service: "iam".to_owned() };
    let role = call.get_at(&iam, "roles", name);
    let inhabited = call.rows_at(&iam, "roles").next().is_some() || account == call.account;
    if inhabited && super::service("iam").is_some() && role.as_ref().is_none_or(|r| text(r, "Arn") != role_arn) {
        return Err(denied());
    }
    if let Some(role) = &role
        && !trusted(call, input, role, account)
    {
        return Err(denied());
    }
    let longest = role.as_ref().and_then(|r| r["MaxSessionDuration"].as_f64()).unwrap_or(3600.0);
    let life = input["DurationSeconds"].as_f64().unwrap_or(3600.0);
    if life > longest {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(AwsError::new("ValidationError", message).status(400));
    }
    let session = text(input, "RoleSessionName");
    let role_id = role.as_ref().and_then(|r| optional(r, "RoleId")).map(str::to_owned);
    let role_id = role_id.unwrap_or_else(|| {
        let bytes = call.derived(role_arn);
        format!("AROA{}", crate::sandbox::ids::letters(&bytes, BASE32, 17))
    });
    let arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}");
    let user_id = format!("{role_id}:{session}");
    let narrowed = enforce::narrowed(call, input)?;
    // Any role of an account in which nothing was made may do anything there.
    let identity = json!({
        "account": account, "arn": arn, "user_id": user_id, "policies": narrowed, "admin": role.is_none(),
    });
    let mut answer = json!({
        "Credentials": credentials(call, identity, life),
        "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": user_id},
    });
    if let Some(source) = optional(input, "SourceIdentity") {
        answer["SourceIdentity"] = json!(source);
    }
    Ok(answer)
}

/// Asks a role's trust policy, and the caller's own policies where they are enforced.
fn trusted(call: &Call<'_>, input: &Value, role: &Value, account: &str) -> bool {
    let Ok(trust) = serde_json::from_str::<Value>(text(role, "_trust")) else { return false };
    let all = [json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})];
    let principal = enforce::principal(call);
    let caller = caller(call);
    let mut context = Context::new();
    let mut put = |key: &str, value: &str| context.insert(key.to_ascii_lowercase(), vec![value.to_owned()]);
    put("aws:PrincipalArn", caller.role.as_deref().unwrap_or(&caller.arn));
    put("aws:PrincipalAccount", &caller.account);
    put("aws:SecureTransport", "true");
    put("sts:RoleSessionName", text(input, "RoleSessionName"));
    for (member, key) in [("ExternalId", "sts:ExternalId"), ("SourceIdentity", "sts:SourceIdentity")] {
        if let Some(value) = optional(input, member) {
            put(key, value);
        }
    }
    // Codes are not verified: there are no MFA devices in the sandbox.
    if optional(input, "SerialNumber").is_some() && optional(input, "TokenCode").is_some() {
        put("aws:MultiFactorAuthPresent", "true");
    }
    let request = Request { caller: &caller, action: "sts:AssumeRole", resource: text(role, "Arn"), context: &context };
    let policies = Policies {
        identity: principal.as_ref().map_or(&all[..], |principal| &principal.identity),
        boundary: principal.as_ref().and_then(|principal| principal.boundary.as_ref()),
        session: principal.as_ref().and_then(|principal| principal.session.as_deref()),
        resource: Some(&trust),
        foreign: account != call.account,
        resource_decides: true,
    };
    decide(&policies, &request) == Decision::Allowed
}

/// Returns the caller as policies name it: a session by its role too.
fn caller(call: &Call<'_>) -> Caller {
    let session = call.principal.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
    let role = session.map(|name| {
        let iam = Place { account: call.account.clone(), region: GLOBAL.to_owned(), service: "iam".to_owned() };
        let known = call.get_at(&iam, "roles", name).map(|role| text(&role, "Arn").to_owned());
        known.unwrap_or_else(|| format!("arn:{}:iam::{}:role/{name}", call.partition(), call.account))
    });
    Caller { account: call.account.clone(), arn: call.principal.clone(), role, service: None }
}

fn credentials(call: &mut Call<'_>, mut identity: Value, life_s: f64) -> Value {
    let key = format!("ASIA{}", call.letters(BASE32, 16));
    let secret = call.letters(BASE32, 40);
    let token = crate::sandbox::codec::to_base64(call.letters(BASE32, 120).as_bytes());
    let expires = call.now() + life_s;
    identity["expires"] = json!(expires);
    identity["secret"] = json!(secret);
    identity["token"] = json!(token);
    call.register_key(&key, identity);
    json!({
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": time::value(expires),
    })
}
