//! Instance profiles: at most one role each.

use serde_json::{Value, json};

use super::{PAGE, PROFILES, ROLES, below, conflict, limit, new_tags, no_such, role, unique_id, without};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AddRoleToInstanceProfile", add_role),
    ("CreateInstanceProfile", create),
    ("DeleteInstanceProfile", delete),
    ("GetInstanceProfile", get),
    ("ListInstanceProfiles", list),
    ("ListInstanceProfilesForRole", list_for_role),
    ("RemoveRoleFromInstanceProfile", remove_role),
];

pub(super) fn profile(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    call.get(PROFILES, name).ok_or_else(|| no_such(format!("Instance Profile {name} cannot be found.")))
}

/// Returns a profile with its role.
pub(super) fn shown(call: &Call<'_>, found: &Value, with_tags: bool) -> Value {
    let bare = !with_tags || found["Tags"].as_array().is_none_or(Vec::is_empty);
    let mut out = without(found, if bare { &["Tags"] } else { &[] });
    let role = optional(found, "_role").and_then(|name| call.get(ROLES, name));
    let plain = |role: Value| {
        without(&role, &["Tags", "PermissionsBoundary", "RoleLastUsed", "MaxSessionDuration", "Description"])
    };
    out["Roles"] = role.map(plain).into_iter().collect();
    out
}

fn create(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "InstanceProfileName").to_owned();
    if super::taken(call, PROFILES, &name) {
        let message = format!("Instance Profile {name} already exists.");
        return Err(AwsError::new("EntityAlreadyExists", message));
    }
    let most = call.quota("instance_profiles");
    if call.count(PROFILES) >= most {
        return Err(super::limit(format!("Cannot exceed quota for InstanceProfilesPerAccount: {most}")));
    }
    let tags = new_tags(input)?;
    let path = optional(input, "Path").unwrap_or("/");
    let arn = call.arn(&format!("instance-profile{path}{name}"));
    let made = json!({
        "Path": path,
        "InstanceProfileName": name,
        "InstanceProfileId": unique_id(call, "AIPA"),
        "Arn": arn,
        "CreateDate": call.timestamp(),
        "Tags": tags,
        "_arn": arn,
    });
    call.put(PROFILES, &name, made.clone());
    Ok(json!({ "InstanceProfile": shown(call, &made, true) }))
}

fn get(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = profile(call, text(input, "InstanceProfileName"))?;
    Ok(json!({ "InstanceProfile": shown(call, &found, true) }))
}

fn list(call: &mut Call<'_>, input: &Value) -> Answer {
    let all = below(input, call.list(PROFILES));
    let all = all.into_iter().map(|(name, found)| (name, shown(call, &found, false))).collect();
    call.paged(input, "InstanceProfiles", all, PAGE)
}

fn list_for_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "RoleName");
    role(call, name)?;
    let all = call.select(PROFILES, |_, found| text(found, "_role") == name).into_iter();
    let all = all.map(|(name, found)| (name, shown(call, &found, false))).collect();
    call.paged(input, "InstanceProfiles", all, PAGE)
}

fn add_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, added) = (text(input, "InstanceProfileName").to_owned(), text(input, "RoleName").to_owned());
    let found = profile(call, &name)?;
    super::role::own(call, &added)?;
    if found.get("_role").is_some() {
        return Err(limit("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"));
    }
    call.change(PROFILES, &name, |profile| profile["_role"] = json!(added));
    Ok(json!({}))
}

fn remove_role(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, removed) = (text(input, "InstanceProfileName").to_owned(), text(input, "RoleName"));
    let found = profile(call, &name)?;
    if text(&found, "_role") != removed {
        return Err(no_such(format!("Role {removed} in {name} cannot be found.")));
    }
    call.change(PROFILES, &name, |profile| {
        if let Some(members) = profile.as_object_mut() {
            members.shift_remove("_role");
        }
    });
    Ok(json!({}))
}

fn delete(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "InstanceProfileName").to_owned();
    if profile(call, &name)?.get("_role").is_some() {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    call.remove(PROFILES, &name);
    Ok(json!({}))
}
