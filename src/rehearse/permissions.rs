//! Asks IAM whether the caller may do what the steps call for: SimulatePrincipalPolicy, which only reads.
//!
//! Which calls a step makes is known from the rehearsal itself. What IAM can't say, since a condition needs a value
//! that nobody has before the call, is unknown and never a denial.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use super::{Finding, Input, Rehearsal};
use crate::apply::StepFailure;
use crate::aws::simulate::{Decision, Question, simulate};
use crate::aws::surroundings::Principals;
use crate::aws::{AwsError, ErrorClass, kinds};
use crate::plan::{Step, StepKind};

/// Looks whether the caller may make the calls that the rehearsal made.
pub(super) async fn check(input: &Input<'_>, account: &Account, others: &Principals, out: &mut Rehearsal) {
    let Some(principal) = principal(input, account, others) else {
        if !input.caller.arn.ends_with(":root") {
            out.unknown.push(format!("permissions of {}: its role could not be found", input.caller.arn));
        }
        return;
    };
    let called: BTreeSet<String> = input.stage.aws().calls().by_operation.keys().map(|name| action_of(name)).collect();
    // Steps of one kind ask the same question; a resource's own ARN makes it another.
    let mut questions: BTreeMap<Question, Vec<&Step>> = BTreeMap::new();
    for step in &input.plan.steps {
        for question in asked(input, step, &called) {
            questions.entry(question).or_default().push(step);
        }
    }
    let mut told = BTreeSet::new();
    for (question, steps) in questions {
        let decisions = match simulate(input.account, &principal, &question).await {
            Ok(decisions) => decisions,
            Err(error) => {
                out.unknown.push(format!("permissions of {principal}: {}", error.reason()));
                return;
            }
        };
        for (action, decision) in decisions {
            for step in &steps {
                match decision {
                    Decision::Allowed => {}
                    Decision::Unknown => {
                        out.unknown.push(format!("whether {principal} may {action} for {}", step.address));
                    }
                    // Once for each action and address is enough.
                    Decision::Denied if told.insert((step.number, action.clone())) => {
                        out.findings.push(denied(input, step, &action, &principal));
                    }
                    Decision::Denied => {}
                }
            }
        }
    }
}

fn denied(input: &Input<'_>, step: &Step, action: &str, principal: &str) -> Finding {
    let code = match action.split(':').next() {
        Some("ec2") => "UnauthorizedOperation",
        Some("iam" | "s3" | "sts") => "AccessDenied",
        _ => "AccessDeniedException",
    };
    let message = format!("{principal} is not authorized to perform: {action}");
    let error = AwsError::own(action, ErrorClass::Denied, code, message);
    let failure = StepFailure { step: step.number, address: step.address.clone(), error };
    Finding { path: String::new(), ..Finding::new(input.plan, failure) }
}

/// Returns the user or the role behind a caller's ARN.
fn principal(input: &Input<'_>, account: &Account, others: &Principals) -> Option<String> {
    let caller = input.caller.arn.as_str();
    if caller.contains(":user/") {
        return Some(caller.to_owned());
    }
    let name = caller.split(":assumed-role/").nth(1)?.split('/').next()?;
    let roles = account.resources.iter().filter(|found| found.kind == "iam_role");
    let role = roles.into_iter().find(|found| found.id.as_str() == name);
    let own = role.and_then(|role| role.seen.attributes["arn"].as_str()).map(str::to_owned);
    let scope = input.scope;
    let reserved =
        || Some(format!("arn:{}:iam::{}:role{}{name}", scope.partition(), scope.account, others.path_of(name)?));
    own.or_else(reserved)
}

/// Returns what a step has to be allowed: the actions of its kind that were called, or that a call implies.
fn asked(input: &Input<'_>, step: &Step, called: &BTreeSet<String>) -> Vec<Question> {
    let Some(kind) = kinds::get(&step.resource) else { return Vec::new() };
    let declared = &kind.schema().actions;
    let writes = match step.kind {
        StepKind::Create => declared.create,
        StepKind::Update => declared.update,
        StepKind::Delete => declared.delete,
        StepKind::Forget | StepKind::Record => return Vec::new(),
    };
    let implied = |action: &str| step.kind == StepKind::Create && tags(action);
    let actions: BTreeSet<String> = writes
        .iter()
        .chain(declared.read)
        .filter(|action| **action != "iam:PassRole" && (called.contains(**action) || implied(action)))
        .map(|action| (*action).to_owned())
        .collect();
    let bound = input.plan.bound.get(&step.address).and_then(|bound| bound.seen.present());
    let arn = bound.and_then(|seen| seen.attributes["arn"].as_str()).map(str::to_owned);
    let predicted = || {
        let owner = crate::kind::Owner::new(&input.scope.environment, &step.address, step.generation);
        let attributes = kind.predict(&step.arguments, &owner, input.scope);
        attributes.get("arn").and_then(|arn| arn.as_str()).map(str::to_owned)
    };
    let region = input.scope.region.clone();
    let mut out = vec![Question { actions, resource: arn.or_else(predicted), region: region.clone() }];
    if writes.contains(&"iam:PassRole") {
        let arguments = &kind.schema().arguments;
        crate::value::walk_leaves(&step.arguments, "", &mut |path, leaf| {
            let role = leaf.as_str().filter(|text| text.starts_with("arn:") && text.contains(":role/"));
            // The schema ends where a policy begins: whom that names gets nothing passed.
            let role = role.filter(|_| arguments.at(path).is_some());
            out.extend(role.map(|role| Question {
                actions: BTreeSet::from(["iam:PassRole".to_owned()]),
                resource: Some(role.to_owned()),
                region: region.clone(),
            }));
        });
    }
    out.retain(|question| !question.actions.is_empty());
    out
}

/// Tells whether an action is needed for the tags in a create call.
fn tags(action: &str) -> bool {
    let operation = action.split(':').nth(1).unwrap_or_default();
    matches!(operation, "CreateTags" | "AddTags" | "TagResource") || operation.starts_with("Tag")
}

/// Returns the IAM action of an operation (`s3:PutBucketEncryption` needs `s3:PutEncryptionConfiguration`).
fn action_of(call: &str) -> String {
    let action = match call {
        "s3:HeadBucket" | "s3:ListObjects" | "s3:ListObjectsV2" => "s3:ListBucket",
        "s3:ListBuckets" => "s3:ListAllMyBuckets",
        "s3:ListObjectVersions" => "s3:ListBucketVersions",
        "s3:PutBucketEncryption" | "s3:DeleteBucketEncryption" => "s3:PutEncryptionConfiguration",
        "s3:GetBucketEncryption" => "s3:GetEncryptionConfiguration",
        "s3:PutPublicAccessBlock" | "s3:DeletePublicAccessBlock" => "s3:PutBucketPublicAccessBlock",
        "s3:GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
        "s3:PutBucketLifecycleConfiguration" | "s3:DeleteBucketLifecycle" => "s3:PutLifecycleConfiguration",
        "s3:GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "s3:PutBucketReplication" | "s3:DeleteBucketReplication" => "s3:PutReplicationConfiguration",
        "s3:GetBucketReplication" => "s3:GetReplicationConfiguration",
        "s3:PutBucketAccelerateConfiguration" => "s3:PutAccelerateConfiguration",
        "s3:GetBucketAccelerateConfiguration" => "s3:GetAccelerateConfiguration",
        "s3:PutBucketIntelligentTieringConfiguration" | "s3:DeleteBucketIntelligentTieringConfiguration" => {
            "s3:PutIntelligentTieringConfiguration"
        }
        "s3:ListBucketIntelligentTieringConfigurations" => "s3:GetIntelligentTieringConfiguration",
        "s3:DeleteBucketTagging" => "s3:PutBucketTagging",
        "s3:PutBucketCors" | "s3:DeleteBucketCors" => "s3:PutBucketCORS",
        "s3:GetBucketCors" => "s3:GetBucketCORS",
        "s3:DeleteBucketOwnershipControls" => "s3:PutBucketOwnershipControls",
        "s3:PutObjectLockConfiguration" => "s3:PutBucketObjectLockConfiguration",
        "s3:GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "budgets:CreateBudget" | "budgets:UpdateBudget" | "budgets:DeleteBudget" => "budgets:ModifyBudget",
        "budgets:DescribeBudget" | "budgets:DescribeBudgets" => "budgets:ViewBudget",
        other => other,
    };
    action.to_owned()
}
