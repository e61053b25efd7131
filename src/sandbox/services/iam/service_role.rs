//! Service-linked roles: made and deleted for a service, changed by nobody.

use serde_json::{Value, json};

use super::role::{new_role, shown};
use super::{ROLES, no_such, role};
use crate::sandbox::call::{Call, Transition, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateServiceLinkedRole", create),
    ("DeleteServiceLinkedRole", delete),
    ("GetServiceLinkedRoleDeletionStatus", deletion_status),
];

const TASKS: &str = "service_role_deletions";
/// Seconds until a service has let go of its role.
const DELETION_S: f64 = 5.0;

/// The services that have such roles here, with the end of the role's name, and whether it takes a suffix.
const SERVICES: &[(&str, &str, bool)] = &[
    ("autoscaling.amazonaws.com", "AutoScaling", true),
    ("batch.amazonaws.com", "Batch", false),
    ("backup.amazonaws.com", "Backup", false),
    ("cloudtrail.amazonaws.com", "CloudTrail", false),
    ("config.amazonaws.com", "Config", false),
    ("ec2fleet.amazonaws.com", "EC2Fleet", false),
    ("elasticloadbalancing.amazonaws.com", "ElasticLoadBalancing", false),
    ("guardduty.amazonaws.com", "AmazonGuardDuty", false),
    ("sagemaker.amazonaws.com", "AmazonSageMakerNotebooks", false),
    ("spot.amazonaws.com", "EC2Spot", false),
    ("spotfleet.amazonaws.com", "EC2SpotFleet", false),
];

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    let service = text(input, "AWSServiceName");
    let row = SERVICES.iter().find(|(name, _, _)| *name == service);
    let Some((_, end, takes_suffix)) = row else {
        return Err(AwsError::new("InvalidInput", format!("Invalid service name {service}")));
    };
    let mut name = format!("AWSServiceRoleFor{end}");
    if let Some(suffix) = optional(input, "CustomSuffix") {
        if !takes_suffix {
            return Err(AwsError::new("InvalidInput", format!("Custom suffix is not allowed for {service}")));
        }
        name = format!("{name}_{suffix}");
    }
    if super::taken(call, ROLES, &name) {
        let message =
            format!("Service role name {name} has been taken in this account, please try a different suffix.");
        return Err(AwsError::new("InvalidInput", message));
    }
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": service } }] });
    let mut made = new_role(call, &name, &format!("/aws-service-role/{service}/"), &trust.to_string());
    if let Some(description) = optional(input, "Description") {
        made["Description"] = json!(description);
    }
    call.put(ROLES, &name, made.clone());
    Ok(json!({ "Role": shown(&made) }))
}

fn delete(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    let mut found = role(call, &name)?;
    let path = text(&found, "Path").to_owned();
    if !path.starts_with("/aws-service-role/") {
        return Err(no_such(format!("The service-linked role with name {name} cannot be found.")));
    }
    let id = format!("task{path}{name}/{}", call.uuid());
    let mut task = json!({ "Status": "IN_PROGRESS" });
    let now = call.now();
    Transition::from(now).then(DELETION_S, json!({ "Status": "SUCCEEDED" })).attach(&mut task);
    Transition::from(now).gone(DELETION_S).attach(&mut found);
    call.put(TASKS, &id, task);
    call.put(ROLES, &name, found);
    Ok(json!({ "DeletionTaskId": id }))
}

fn deletion_status(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "DeletionTaskId");
    let task = call.get(TASKS, id).ok_or_else(|| no_such(format!("Deletion task {id} cannot be found.")))?;
    Ok(json!({ "Status": task["Status"] }))
}
