//! Roles: create, read, change, delete.

use serde_json::{Value, json};

use super::departed;
use super::{
    PAGE, PROFILES, ROLES, below, boundary, conflict, document, encoded, limit, new_tags, role, unique_id, without,
};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateRole", create_role),
    ("DeleteRole", delete_role),
    ("DeleteRolePermissionsBoundary", delete_role_permissions_boundary),
    ("GetRole", get_role),
    ("ListRoles", list_roles),
    ("PutRolePermissionsBoundary", put_role_permissions_boundary),
    ("UpdateAssumeRolePolicy", update_assume_role_policy),
    ("UpdateRole", update_role),
    ("UpdateRoleDescription", update_role_description),
];

fn create_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    if super::taken(call, ROLES, &name) {
        let message = format!("Role with name {name} already exists.");
        return Err(AwsError::new("EntityAlreadyExists", message));
    }
    if text(input, "Path").starts_with("/aws-service-role/") {
        let message = "The specified value for path is invalid. It is reserved for service-linked roles.";
        return Err(AwsError::new("InvalidInput", message));
    }
    if call.count(ROLES) >= call.quota("roles") {
        return Err(limit(format!("Cannot exceed quota for RolesPerAccount: {}", call.quota("roles"))));
    }
    let trust = text(input, "AssumeRolePolicyDocument");
    check_trust(call, trust)?;
    let bound = optional(input, "PermissionsBoundary").map(|arn| boundary(call, arn)).transpose()?;
    let tags = new_tags(input)?;
    let mut made = new_role(call, &name, optional(input, "Path").unwrap_or("/"), trust);
    if let Some(description) = optional(input, "Description") {
        made["Description"] = json!(description);
    }
    made["MaxSessionDuration"] = input.get("MaxSessionDuration").cloned().unwrap_or(json!(3600));
    if let Some(bound) = bound {
        made["PermissionsBoundary"] = bound;
    }
    made["Tags"] = tags;
    call.put(ROLES, &name, made.clone());
    let mut shown = shown(&made);
    if let Some(members) = shown.as_object_mut() {
        members.shift_remove("RoleLastUsed");
    }
    Ok(json!({ "Role": shown }))
}

/// Makes a role with what every role has.
pub(super) fn new_role(call: &mut Call<'_>, name: &str, path: &str, trust: &str) -> Value {
    json!({
        "Path": path,
        "RoleName": name,
        "RoleId": unique_id(call, "AROA"),
        "Arn": call.arn(&format!("role{path}{name}")),
        "CreateDate": call.timestamp(),
        "AssumeRolePolicyDocument": encoded(trust),
        "MaxSessionDuration": 3600,
        "Tags": [],
        "RoleLastUsed": {},
        "_trust": trust,
        "_inline": {},
        "_attached": [],
    })
}

fn check_trust(call: &Call<'_>, trust: &str) -> Result<(), AwsError> {
    document::trust(call, trust)?;
    if trust.chars().filter(|c| !c.is_whitespace()).count() > call.quota("role_trust_characters") {
        return Err(limit(format!("Cannot exceed quota for ACLSizePerRole: {}", call.quota("role_trust_characters"))));
    }
    Ok(())
}

/// Returns a role as GetRole shows it: tags only where it has some.
pub(super) fn shown(role: &Value) -> Value {
    let bare = role["Tags"].as_array().is_none_or(Vec::is_empty);
    without(role, if bare { &["Tags"] } else { &[] })
}

/// Returns a role that may be changed: service-linked ones are their service's.
pub(super) fn own(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    let found = role(call, name)?;
    if text(&found, "Path").starts_with("/aws-service-role/") {
        let message = format!(
            "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
        );
        return Err(AwsError::new("UnmodifiableEntity", message));
    }
    Ok(found)
}

fn get_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = role(call, text(input, "RoleName"))?;
    Ok(json!({ "Role": shown(&found) }))
}

fn list_roles(call: &mut Call<'_>, input: &Value) -> Answer {
    let roles = below(input, call.list(ROLES));
    // A list leaves out tags, boundary and last use.
    let plain = |role: &Value| without(role, &["Tags", "PermissionsBoundary", "RoleLastUsed"]);
    let roles = roles.into_iter().map(|(name, role)| (name, plain(&role))).collect();
    call.paged(input, "Roles", roles, PAGE)
}

fn update_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    own(call, &name)?;
    call.change(ROLES, &name, |role| {
        if let Some(description) = input.get("Description") {
            role["Description"] = description.clone();
        }
        if let Some(seconds) = input.get("MaxSessionDuration") {
            role["MaxSessionDuration"] = seconds.clone();
        }
    });
    Ok(json!({}))
}

fn update_role_description(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    own(call, &name)?;
    call.change(ROLES, &name, |role| role["Description"] = input["Description"].clone());
    Ok(json!({ "Role": shown(&role(call, &name)?) }))
}

fn update_assume_role_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    own(call, &name)?;
    let trust = text(input, "PolicyDocument");
    check_trust(call, trust)?;
    call.change(ROLES, &name, |role| {
        role["AssumeRolePolicyDocument"] = json!(encoded(trust));
        role["_trust"] = json!(trust);
    });
    Ok(json!({}))
}

fn put_role_permissions_boundary(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    own(call, &name)?;
    let bound = boundary(call, text(input, "PermissionsBoundary"))?;
    call.change(ROLES, &name, |role| role["PermissionsBoundary"] = bound);
    Ok(json!({}))
}

fn delete_role_permissions_boundary(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    let found = own(call, &name)?;
    if found.get("PermissionsBoundary").is_none() {
        return Err(super::no_such(format!("The role with name {name} does not have a permissions boundary.")));
    }
    call.change(ROLES, &name, |role| {
        if let Some(members) = role.as_object_mut() {
            members.shift_remove("PermissionsBoundary");
        }
    });
    Ok(json!({}))
}

fn delete_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName").to_owned();
    let found = own(call, &name)?;
    if call.any(PROFILES, |_, profile| text(profile, "_role") == name) {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    if found["_attached"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(conflict("Cannot delete entity, must detach all policies first."));
    }
    if found["_inline"].as_object().is_some_and(|map| !map.is_empty()) {
        return Err(conflict("Cannot delete entity, must delete policies first."));
    }
    call.remove(ROLES, &name);
    departed::leave(call, text(&found, "Arn"), text(&found, "RoleId"));
    Ok(json!({}))
}
