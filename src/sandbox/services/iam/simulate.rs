//! SimulatePrincipalPolicy and SimulateCustomPolicy: what policies would decide.

use serde_json::{Value, json};

use super::{PAGE, identity_policies, no_such, role, user};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::iam_eval::{Caller, Context, Decision, Policies, Request, decide};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("SimulateCustomPolicy", simulate_custom), ("SimulatePrincipalPolicy", simulate_principal)];

fn documents(input: &Value, member: &str) -> Result<Vec<Value>, AwsError> {
    let parse = |text: &str| {
        serde_json::from_str(text).map_err(|_| AwsError::new("InvalidInput", format!("{member} holds invalid Json")))
    };
    texts(input, member).into_iter().map(parse).collect()
}

fn simulate_custom(call: &mut Call<'_>, input: &Value) -> Answer {
    let caller = optional(input, "CallerArn").unwrap_or_default().to_owned();
    let given = documents(input, "PolicyInputList")?;
    simulate(call, input, &caller, given, None)
}

fn simulate_principal(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicySourceArn").to_owned();
    let name = arn.rsplit('/').next().unwrap_or_default();
    let found = if arn.contains(":role/") {
        role(call, name)?
    } else if arn.contains(":user/") {
        user::user(call, name)?
    } else {
        return Err(AwsError::new(
            "InvalidInput",
            format!("Invalid Entity Arn: {arn} does not clearly define entity type"),
        ));
    };
    if found["Arn"] != arn.as_str() {
        return Err(no_such(format!("{arn} cannot be found.")));
    }
    let (mut identity, boundary) = identity_policies(call, &found);
    identity.extend(documents(input, "PolicyInputList")?);
    simulate(call, input, &arn, identity, boundary)
}

fn simulate(call: &mut Call<'_>, input: &Value, arn: &str, identity: Vec<Value>, boundary: Option<Value>) -> Answer {
    let boundaries = documents(input, "PermissionsBoundaryPolicyInputList")?;
    let boundary = boundaries.first().or(boundary.as_ref());
    let resource_policy: Option<Value> = match optional(input, "ResourcePolicy") {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| AwsError::new("InvalidInput", "invalid Json"))?),
        None => None,
    };
    let mut context = Context::new();
    for entry in input["ContextEntries"].as_array().into_iter().flatten() {
        let values = texts(entry, "ContextKeyValues").into_iter().map(str::to_owned).collect();
        context.insert(text(entry, "ContextKeyName").to_ascii_lowercase(), values);
    }
    let account = arn.split(':').nth(4).filter(|account| !account.is_empty()).unwrap_or(&call.account).to_owned();
    let owner = optional(input, "ResourceOwner").and_then(|owner| owner.split(':').nth(4));
    let foreign = owner.is_some_and(|owner| owner != account);
    let role = arn.contains(":role/").then(|| arn.to_owned());
    let caller = Caller { account, arn: arn.to_owned(), role, service: None };
    let mut resources = texts(input, "ResourceArns");
    if resources.is_empty() {
        resources.push("*");
    }
    let mut results = Vec::new();
    for action in texts(input, "ActionNames") {
        if !action.contains(':') {
            return Err(AwsError::new("InvalidInput", format!("Invalid Action Name: {action}")));
        }
        for resource in &resources {
            let request = Request { caller: &caller, action, resource, context: &context };
            let of = |boundary| Policies {
                identity: &identity,
                boundary,
                session: None,
                resource: resource_policy.as_ref(),
                foreign,
                resource_decides: false,
            };
            let decision = match decide(&of(boundary), &request) {
                Decision::Allowed => "allowed",
                Decision::ExplicitDeny => "explicitDeny",
                Decision::ImplicitDeny => "implicitDeny",
            };
            let mut result = json!({
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": decision,
                "MatchedStatements": [],
                "MissingContextValues": [],
            });
            if let Some(boundary) = boundary {
                let one = std::slice::from_ref(boundary);
                let only = Policies { identity: one, ..Policies::default() };
                let allowed = decide(&only, &request) == Decision::Allowed;
                result["PermissionsBoundaryDecisionDetail"] = json!({ "AllowedByPermissionsBoundary": allowed });
            }
            results.push((format!("{:06}", results.len()), result));
        }
    }
    call.paged(input, "EvaluationResults", results, PAGE)
}
