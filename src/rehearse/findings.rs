//! What would fail: which step, what AWS would answer, and the argument that it is about.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::Rehearsal;
use crate::apply::StepFailure;
use crate::aws::{AwsError, ErrorClass};
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::plan::{Plan, StepKind};
use crate::value;

/// One refusal that an apply would meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub step: u32,
    pub address: Address,
    /// The argument that it is about; empty for the whole resource.
    pub path: String,
    /// The action as IAM names it (`ec2:CreateVpc`).
    pub action: String,
    /// The code that AWS would answer.
    pub code: String,
    pub class: ErrorClass,
    pub message: String,
    pub help: String,
    /// Whether opora itself finds it, and not AWS.
    #[serde(skip)]
    pub(super) own: bool,
}

impl Finding {
    pub(super) fn new(plan: &Plan, failure: StepFailure) -> Self {
        let help = help(plan, &failure);
        let StepFailure { step, address, error } = failure;
        // What is deleted has no arguments to correct.
        let of_step = plan.steps.iter().find(|one| one.number == step && one.kind != StepKind::Delete);
        let arguments = of_step.map(|one| &one.arguments);
        let path = arguments.map(|arguments| path(arguments, &error)).unwrap_or_default();
        Self {
            step,
            address,
            path,
            action: error.action(),
            own: error.is_own(),
            code: error.code,
            class: error.class,
            message: error.message,
            help,
        }
    }

    /// Returns what a user is told.
    pub fn diagnostic(&self) -> Diagnostic {
        let answer = match self.own {
            true => self.message.clone(),
            false => format!("{} would answer {}: {}", self.action, self.code, self.message),
        };
        let detail = format!("{}\n{answer}", self.address);
        Diagnostic::error("REHEARSE001", summary(self.class))
            .detail(detail)
            .at_argument(&self.address, self.path.clone(), "this would be refused")
            .help(self.help.clone())
    }
}

fn summary(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Quota => "the apply would reach a quota",
        ErrorClass::AlreadyExists => "the apply would meet a name that is taken",
        ErrorClass::Denied => "the apply would be denied",
        ErrorClass::InUse => "the apply would meet something that is still in use",
        ErrorClass::NotFound => "the apply would name something that is not there",
        ErrorClass::Unsupported => "the apply would ask for what is not offered here",
        _ => "the apply would fail",
    }
}

fn help(plan: &Plan, failure: &StepFailure) -> String {
    let error = &failure.error;
    match error.class {
        ErrorClass::Quota => "ask for a higher quota in Service Quotas, or need less; where the account has a higher \
                              one already, say so: `--quota NAME=NUMBER`"
            .to_owned(),
        ErrorClass::Denied => format!("grant `{}` to the caller", error.action()),
        _ => failure.diagnostic(plan).help.unwrap_or_default(),
    }
}

/// Takes a failed step as a finding, or as something that could not be tried.
pub(super) fn sort(plan: &Plan, failure: StepFailure, missing: &BTreeSet<String>, out: &mut Rehearsal) {
    let StepFailure { address, error, .. } = &failure;
    let untried = match error.class {
        _ if error.code == "NotImplementedBySandbox" => Some("the sandbox can't do this"),
        _ if error.code == "WorldChanged" => Some("the copy differs from the account"),
        ErrorClass::Server | ErrorClass::Unreachable | ErrorClass::Throttled => Some("the stage failed"),
        _ if missing.iter().any(|id| error.message.contains(id.as_str())) => {
            Some("it is about something that is not in the copy")
        }
        _ => None,
    };
    match untried {
        Some(why) => out.unknown.push(format!("{address} was not tried: {why} ({})", error.reason())),
        None => out.findings.push(Finding::new(plan, failure)),
    }
}

/// Arguments that codes and messages are known to be about, the first that the resource has.
const PATHS: &[(&str, &[&str])] = &[
    ("PolicySize", &["document", "policy"]),
    ("ACLSizePerRole", &["trust"]),
    ("Maximum policy size", &["policies"]),
    ("PoliciesPerRole", &["attach"]),
    ("BlockPublicPolicy", &["policy"]),
    ("MalformedPolicy", &["policy", "document", "trust", "resource_policy"]),
    ("target bucket for logging", &["logging"]),
    ("Destination bucket", &["replication"]),
    ("destination bucket owner", &["replication"]),
    ("replication configuration", &["replication", "versioning"]),
    ("InvalidSubnet.", &["cidr"]),
    ("InvalidVpc.Range", &["secondary_cidrs", "cidr"]),
    ("CidrLimitExceeded", &["secondary_cidrs", "cidr"]),
    ("availabilityZone", &["zone"]),
    ("network border group", &["network_border_group"]),
    ("RulesPerSecurityGroup", &["ingress", "egress"]),
    ("RouteLimitExceeded", &["routes"]),
    ("RouteAlreadyExists", &["routes", "route_tables"]),
    ("Resource.AlreadyAssociated", &["allocation", "subnets", "vpc"]),
    ("internet gateway attached to the VPC", &["subnet"]),
    ("DuplicateSubnetsInSameZone", &["subnets"]),
    ("InvalidServiceName", &["service"]),
    ("private-dns", &["private_dns"]),
    ("private DNS", &["private_dns"]),
    ("InsufficientS3BucketPolicy", &["bucket"]),
    ("InsufficientEncryptionPolicy", &["kms_key"]),
    ("KMS key", &["kms_key"]),
    ("Unable to assume", &["role"]),
    ("Could not assume", &["role"]),
    ("CloudWatchLogsRole", &["log_role"]),
    ("InvalidGroup.Duplicate", &["name"]),
    ("AlreadyExists", &["name", "alias"]),
    ("already exist", &["name", "alias"]),
    ("already has this name", &["name"]),
    ("for endpoint usage", &["config"]),
];

/// The shortest value that is looked for in a message.
const VALUE_MIN: usize = 4;

/// Finds the argument that an error is about: the one that its code is known for, or the one whose value it names.
fn path(arguments: &Value, error: &AwsError) -> String {
    let about = format!("{} {}", error.code, error.message);
    let known = PATHS.iter().filter(|(part, _)| about.contains(part)).flat_map(|(_, names)| names.iter());
    let known = known.copied().find(|name| arguments.get(*name).is_some_and(|value| !value.is_null()));
    let below = known.map(|name| (name, &arguments[name]));
    match below {
        Some((name, value)) => named(value, name, &error.message).unwrap_or_else(|| name.to_owned()),
        None => named(arguments, "", &error.message).unwrap_or_default(),
    }
}

/// Returns the path of the longest value that a message names, whole or by the end of its ARN.
fn named(value: &Value, path: &str, message: &str) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    value::walk_leaves(value, path, &mut |path, leaf| {
        let Some(text) = leaf.as_str() else { return };
        let end = text.strip_prefix("arn:").and_then(|rest| rest.rsplit(':').next());
        let found = [Some(text), end].into_iter().flatten();
        let Some(text) = found.filter(|text| text.len() >= VALUE_MIN).find(|text| names(message, text)) else { return };
        if best.as_ref().is_none_or(|(length, _)| text.len() > *length) {
            best = Some((text.len(), path.to_owned()));
        }
    });
    best.map(|(_, path)| path)
}

/// Tells whether a message has a value as a word of its own.
fn names(message: &str, text: &str) -> bool {
    message.match_indices(text).any(|(at, _)| {
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        !joins(message[..at].chars().next_back()) && !joins(message[at + text.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_points_at_the_argument_that_the_message_names() {
        let check = |arguments: Value, code: &str, message: &str, expected: &str| {
            let error = AwsError::answered("ec2:CreateSubnet", code, message);
            assert_eq!(path(&arguments, &error), expected, "{code} {message}");
        };
        let subnet = json!({ "cidr": "10.0.1.0/24", "zone": "us-east-1a", "vpc": "vpc-1" });
        check(subnet.clone(), "InvalidSubnet.Conflict", "The CIDR '10.0.1.0/24' conflicts with another subnet", "cidr");
        check(subnet.clone(), "InvalidParameterValue", "Value for parameter availabilityZone is invalid.", "zone");
        check(subnet, "SubnetLimitExceeded", "The maximum number of subnets has been reached.", "");
        check(json!({ "name": "data" }), "EntityAlreadyExists", "Role with name database exists", "name");
    }
}
