//! Managed policies and their versions.

use serde_json::{Value, json};

use super::{
    PAGE, POLICIES, ROLES, below, conflict, document, encoded, limit, managed, new_tags, no_such, unique_id, user,
    without,
};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreatePolicy", create_policy),
    ("CreatePolicyVersion", create_policy_version),
    ("DeletePolicy", delete_policy),
    ("DeletePolicyVersion", delete_policy_version),
    ("GetPolicy", get_policy),
    ("GetPolicyVersion", get_policy_version),
    ("ListEntitiesForPolicy", list_entities_for_policy),
    ("ListPolicies", list_policies),
    ("ListPolicyVersions", list_policy_versions),
    ("SetDefaultPolicyVersion", set_default_policy_version),
];

const VERSIONS_MAX: usize = 5;
/// The quota for a managed policy's document in characters, white space not counted.
const DOCUMENT_MAX: usize = 6144;

/// Returns a customer or AWS policy by its ARN.
pub(super) fn find(call: &Call<'_>, arn: &str) -> Option<Value> {
    let own = call.get_at(&super::at_home(call), POLICIES, arn);
    let known = own.or_else(|| managed::all(call.partition()).find(|(known, _)| known == arn).map(|(_, p)| p));
    known.or_else(|| call.catalogue("managed_policies").contains(&arn.to_owned()).then(|| managed::unknown(arn)))
}

fn policy(call: &Call<'_>, arn: &str) -> Result<Value, AwsError> {
    if !arn.starts_with("arn:") {
        return Err(AwsError::new("ValidationError", format!("ARN {arn} is not valid.")).status(400));
    }
    find(call, arn).ok_or_else(|| no_such(format!("Policy {arn} was not found.")))
}

/// Returns a policy that may be changed: AWS's own may not.
pub(super) fn own(call: &Call<'_>, arn: &str) -> Result<Value, AwsError> {
    let found = policy(call, arn)?;
    if call.get(POLICIES, arn).is_none() {
        let message = format!("User: {} is not authorized to change the AWS managed policy {arn}", call.principal);
        return Err(AwsError::new("AccessDenied", message).status(403));
    }
    Ok(found)
}

/// Returns the document in force, where the sandbox has it.
pub(crate) fn default_document(call: &Call<'_>, arn: &str) -> Option<String> {
    document_in_force(&find(call, arn)?)
}

fn document_in_force(found: &Value) -> Option<String> {
    found["_versions"][text(found, "DefaultVersionId")]["document"].as_str().map(str::to_owned)
}

/// Returns the document in force of a policy of the account, or of AWS's own of that ARN.
pub(crate) fn document_of(own: Option<Value>, arn: &str) -> Option<String> {
    let partition = arn.split(':').nth(1).unwrap_or("aws");
    let found = own.or_else(|| managed::all(partition).find(|(known, _)| known == arn).map(|(_, policy)| policy))?;
    document_in_force(&found)
}

fn check(given: &str) -> Result<(), AwsError> {
    document::identity(given)?;
    if given.chars().filter(|c| !c.is_whitespace()).count() > DOCUMENT_MAX {
        return Err(limit(format!("Cannot exceed quota for PolicySize: {DOCUMENT_MAX}")));
    }
    Ok(())
}

fn create_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "PolicyName");
    let path = optional(input, "Path").unwrap_or("/");
    let arn = call.arn(&format!("policy{path}{name}"));
    if call.any(POLICIES, |_, policy| text(policy, "PolicyName").eq_ignore_ascii_case(name)) {
        let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(AwsError::new("EntityAlreadyExists", message));
    }
    if call.count(POLICIES) >= call.quota("policies") {
        return Err(limit(format!("Cannot exceed quota for PoliciesPerAccount: {}", call.quota("policies"))));
    }
    let given = text(input, "PolicyDocument");
    check(given)?;
    let tags = new_tags(input)?;
    let mut made = json!({
        "PolicyName": name,
        "PolicyId": unique_id(call, "ANPA"),
        "Arn": arn,
        "Path": path,
        "DefaultVersionId": "v1",
        "IsAttachable": true,
        "CreateDate": call.timestamp(),
        "UpdateDate": call.timestamp(),
        "Tags": tags,
        "_arn": arn,
        "_latest": 1,
        "_versions": { "v1": { "document": given, "at": call.timestamp() } },
    });
    if let Some(description) = optional(input, "Description") {
        made["Description"] = json!(description);
    }
    call.put(POLICIES, &arn, made.clone());
    // A new policy's answer has no description.
    let mut out = shown(call, &made);
    if let Some(members) = out.as_object_mut() {
        members.shift_remove("Description");
    }
    Ok(json!({ "Policy": out }))
}

/// Returns who has a policy attached, and whose boundary it is, as role and user names.
fn holders(call: &Call<'_>, arn: &str, as_boundary: bool) -> (Vec<Value>, Vec<Value>) {
    let holds = |found: &Value| {
        if as_boundary {
            return found["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn;
        }
        found["_attached"].as_array().is_some_and(|list| list.iter().any(|known| known == arn))
    };
    let roles = call.select(ROLES, |_, role| holds(role)).into_iter().map(|(_, role)| role).collect();
    let users = user::all(call).into_iter().map(|(_, user)| user).filter(holds).collect();
    (roles, users)
}

/// Tells whether a policy is attached to a role or a user.
pub(super) fn is_attached(call: &Call<'_>, arn: &str) -> bool {
    let (roles, users) = holders(call, arn, false);
    !roles.is_empty() || !users.is_empty()
}

/// Returns a policy as GetPolicy shows it, with its counts.
pub(super) fn shown(call: &Call<'_>, found: &Value) -> Value {
    let bare = found["Tags"].as_array().is_none_or(Vec::is_empty);
    let mut out = without(found, if bare { &["Tags"] } else { &[] });
    let count = |boundary: bool| {
        let (roles, users) = holders(call, text(found, "Arn"), boundary);
        json!(roles.len() + users.len())
    };
    out["AttachmentCount"] = count(false);
    out["PermissionsBoundaryUsageCount"] = count(true);
    out
}

fn get_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = policy(call, text(input, "PolicyArn"))?;
    Ok(json!({ "Policy": shown(call, &found) }))
}

fn list_policies(call: &mut Call<'_>, input: &Value) -> Answer {
    let scope = optional(input, "Scope").unwrap_or("All");
    let mut list = Vec::new();
    if scope != "AWS" {
        list.extend(call.list(POLICIES));
    }
    if scope != "Local" {
        list.extend(managed::all(call.partition()));
    }
    let used = optional(input, "PolicyUsageFilter");
    let attached_only = input["OnlyAttached"] == true;
    let list = below(input, list).into_iter().map(|(arn, policy)| (arn, shown(call, &policy)));
    let list = list.filter(|(_, policy)| {
        let bound = policy["PermissionsBoundaryUsageCount"] != 0;
        let attached = policy["AttachmentCount"] != 0;
        let fits = match used {
            Some("PermissionsBoundary") => bound,
            Some(_) => attached,
            None => true,
        };
        fits && (!attached_only || attached)
    });
    // A list leaves out description and tags.
    let mut list: Vec<_> = list.map(|(arn, policy)| (arn, without(&policy, &["Description", "Tags"]))).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    call.paged(input, "Policies", list, PAGE)
}

fn number(version: &str) -> u64 {
    version.trim_start_matches('v').parse().unwrap_or(0)
}

/// Returns the versions, the newest first.
pub(super) fn versions(found: &Value) -> Vec<(String, Value)> {
    let all = found["_versions"].as_object().into_iter().flatten();
    let mut out: Vec<(String, Value)> = all
        .map(|(id, version)| {
            let default = text(found, "DefaultVersionId") == id;
            let mut shown = json!({ "VersionId": id, "IsDefaultVersion": default, "CreateDate": version["at"] });
            if let Some(text) = version["document"].as_str() {
                shown["Document"] = json!(encoded(text));
            }
            (id.clone(), shown)
        })
        .collect();
    out.sort_by_key(|(id, _)| std::cmp::Reverse(number(id)));
    out
}

fn version(found: &Value, id: &str) -> Result<Value, AwsError> {
    let arn = text(found, "Arn");
    let known = versions(found).into_iter().find(|(known, _)| known == id).map(|(_, version)| version);
    known.ok_or_else(|| no_such(format!("Policy {arn} version {id} does not exist or is not attachable.")))
}

fn create_policy_version(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    let found = own(call, &arn)?;
    let given = text(input, "PolicyDocument");
    check(given)?;
    if versions(&found).len() >= VERSIONS_MAX {
        return Err(limit(
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
        ));
    }
    let latest = found["_latest"].as_u64().unwrap_or(1) + 1;
    let id = format!("v{latest}");
    let (now, default) = (call.timestamp(), input["SetAsDefault"] == true);
    call.change(POLICIES, &arn, |policy| {
        policy["_latest"] = json!(latest);
        policy["_versions"][&id] = json!({ "document": given, "at": now });
        if default {
            policy["DefaultVersionId"] = json!(id);
        }
        policy["UpdateDate"] = now;
    });
    let mut made = version(&own(call, &arn)?, &id)?;
    if let Some(members) = made.as_object_mut() {
        members.shift_remove("Document");
    }
    Ok(json!({ "PolicyVersion": made }))
}

fn get_policy_version(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = policy(call, text(input, "PolicyArn"))?;
    let version = version(&found, text(input, "VersionId"))?;
    if version.get("Document").is_none() {
        let message = format!("the sandbox does not have the document of {}", text(&found, "Arn"));
        return Err(AwsError::new("NotImplementedBySandbox", message).status(400));
    }
    Ok(json!({ "PolicyVersion": version }))
}

fn list_policy_versions(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = policy(call, text(input, "PolicyArn"))?;
    let list = versions(&found).into_iter().map(|(id, version)| (id, without(&version, &["Document"]))).collect();
    call.paged(input, "Versions", list, PAGE)
}

fn set_default_policy_version(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    let found = own(call, &arn)?;
    let id = text(input, "VersionId").to_owned();
    version(&found, &id)?;
    let now = call.timestamp();
    call.change(POLICIES, &arn, |policy| {
        policy["DefaultVersionId"] = json!(id);
        policy["UpdateDate"] = now;
    });
    Ok(json!({}))
}

fn delete_policy_version(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    let found = own(call, &arn)?;
    let id = text(input, "VersionId").to_owned();
    version(&found, &id)?;
    if text(&found, "DefaultVersionId") == id {
        return Err(conflict("Cannot delete the default version of a policy."));
    }
    let now = call.timestamp();
    call.change(POLICIES, &arn, |policy| {
        if let Some(versions) = policy["_versions"].as_object_mut() {
            versions.shift_remove(&id);
        }
        policy["UpdateDate"] = now;
    });
    Ok(json!({}))
}

fn delete_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    let found = own(call, &arn)?;
    let held = |boundary| {
        let (roles, users) = holders(call, &arn, boundary);
        !roles.is_empty() || !users.is_empty()
    };
    if held(false) || held(true) {
        return Err(conflict("Cannot delete a policy attached to entities."));
    }
    if versions(&found).len() > 1 {
        return Err(conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
        ));
    }
    call.remove(POLICIES, &arn);
    Ok(json!({}))
}

fn list_entities_for_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    policy(call, &arn)?;
    let as_boundary = optional(input, "PolicyUsageFilter") == Some("PermissionsBoundary");
    let (roles, users) = holders(call, &arn, as_boundary);
    let filter = optional(input, "EntityFilter");
    let prefix = optional(input, "PathPrefix").unwrap_or("/");
    let mut list = Vec::new();
    let mut add = |kind: &str, found: Vec<Value>, members: [&str; 2]| {
        if filter.is_none_or(|wanted| wanted == kind) {
            for one in found.iter().filter(|one| text(one, "Path").starts_with(prefix)) {
                let shown = json!({ members[0]: one[members[0]], members[1]: one[members[1]] });
                list.push((format!("{kind}/{}", text(one, members[0])), json!({ "kind": kind, "shown": shown })));
            }
        }
    };
    add("Role", roles, ["RoleName", "RoleId"]);
    add("User", users, ["UserName", "UserId"]);
    let (page, next) = call.page(input, list, PAGE)?;
    let of = |kind: &str| -> Vec<Value> {
        page.iter().filter(|one| one["kind"] == kind).map(|one| one["shown"].clone()).collect()
    };
    let mut out = json!({
        "PolicyGroups": [], "PolicyRoles": of("Role"), "PolicyUsers": of("User"), "IsTruncated": next.is_some(),
    });
    if let Some(next) = next {
        out["Marker"] = json!(next);
    }
    Ok(out)
}
