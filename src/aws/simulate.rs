//! SimulatePrincipalPolicy: what IAM would decide for a user or a role. It only reads.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};

use super::{Aws, AwsError};

/// What is asked of IAM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub actions: BTreeSet<String>,
    /// The ARN of the resource, where it is known.
    pub resource: Option<String>,
    pub region: String,
}

/// What IAM says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied,
    /// It depends on something that nobody knows before the call.
    Unknown,
}

/// Asks for every action. An action is allowed if it is for the resource or for `*`: not every action has a resource
/// of the kind that is asked about.
///
/// # Errors
/// Returns what IAM answered, for example that the caller may not ask.
pub async fn simulate(aws: &Aws, principal: &str, question: &Question) -> Result<BTreeMap<String, Decision>, AwsError> {
    let region = ContextEntry::builder()
        .context_key_name("aws:RequestedRegion")
        .context_key_values(&question.region)
        .context_key_type(ContextKeyTypeEnum::String)
        .build();
    let mut out: BTreeMap<String, Decision> = BTreeMap::new();
    let resources = question.resource.iter().map(String::as_str).chain(["*"]);
    let mut refused: BTreeSet<String> = BTreeSet::new();
    for resource in resources {
        let call = aws.iam().simulate_principal_policy().policy_source_arn(principal).resource_arns(resource);
        let actions: Vec<String> = question.actions.iter().cloned().collect();
        let call = call.set_action_names(Some(actions)).context_entries(region.clone());
        let mut pages = call.into_paginator().items().send();
        while let Some(result) = pages.next().await {
            let result = result?;
            let decision = match result.eval_decision {
                PolicyEvaluationDecisionType::Allowed => Decision::Allowed,
                // What denies this very resource denies it, whatever is allowed for others.
                PolicyEvaluationDecisionType::ExplicitDeny => {
                    refused.insert(result.eval_action_name.clone());
                    Decision::Denied
                }
                _ if !result.missing_context_values.unwrap_or_default().is_empty() => Decision::Unknown,
                _ => Decision::Denied,
            };
            let best = out.entry(result.eval_action_name).or_insert(decision);
            *best = better(*best, decision);
        }
    }
    out.extend(refused.into_iter().map(|action| (action, Decision::Denied)));
    Ok(out)
}

fn better(one: Decision, other: Decision) -> Decision {
    match (one, other) {
        (Decision::Allowed, _) | (_, Decision::Allowed) => Decision::Allowed,
        (Decision::Unknown, _) | (_, Decision::Unknown) => Decision::Unknown,
        _ => Decision::Denied,
    }
}
