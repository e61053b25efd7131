//! GetAccountAuthorizationDetails: all identities and policies at once.

use serde_json::{Map, Value, json};

use super::identity::{shown_attached, shown_inline};
use super::{PAGE, POLICIES, PROFILES, ROLES, managed, policy, profile, user, without};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("GetAccountAuthorizationDetails", get)];

/// What a list shows of a resource.
type Detail = fn(&Call<'_>, &Value) -> Value;

/// The lists of the answer, each with what it shows.
const DETAILS: &[(&str, Detail)] = &[
    ("UserDetailList", user_detail),
    ("GroupDetailList", |_, _| Value::Null),
    ("RoleDetailList", role_detail),
    ("Policies", policy_detail),
];

fn get(call: &mut Call<'_>, input: &Value) -> Answer {
    let filter = texts(input, "Filter");
    let wants = |kind: &str| filter.is_empty() || filter.contains(&kind);
    let mut all: Vec<(String, Value)> = Vec::new();
    let mut add = |kind: &str, found: Vec<(String, Value)>| {
        all.extend(found.into_iter().map(|(id, found)| (format!("{kind}/{id}"), json!([kind, found]))));
    };
    if wants("User") {
        add("UserDetailList", user::all(call));
    }
    if wants("Role") {
        add("RoleDetailList", call.list(ROLES));
    }
    if wants("LocalManagedPolicy") {
        add("Policies", call.list(POLICIES));
    }
    if wants("AWSManagedPolicy") {
        // AWS's own are shown where they are attached.
        add("Policies", managed::all(call.partition()).filter(|(arn, _)| policy::is_attached(call, arn)).collect());
    }
    let (page, next) = call.page(input, all, PAGE)?;
    let mut out = Map::new();
    for (kind, detail) in DETAILS {
        let of = page.iter().filter(|one| one[0] == *kind).map(|one| detail(call, &one[1]));
        out.insert((*kind).to_owned(), of.collect());
    }
    out.insert("IsTruncated".to_owned(), json!(next.is_some()));
    if let Some(next) = next {
        out.insert("Marker".to_owned(), json!(next));
    }
    Ok(Value::Object(out))
}

fn attached(found: &Value) -> Vec<Value> {
    shown_attached(found).into_iter().map(|(_, shown)| shown).collect()
}

fn user_detail(_: &Call<'_>, user: &Value) -> Value {
    let mut out = without(user, &[]);
    out["UserPolicyList"] = json!(shown_inline(user));
    out["GroupList"] = json!([]);
    out["AttachedManagedPolicies"] = json!(attached(user));
    out
}

fn role_detail(call: &Call<'_>, role: &Value) -> Value {
    // No description and no session length: only GetRole and ListRoles have them.
    let mut out = without(role, &["Description", "MaxSessionDuration"]);
    out["RolePolicyList"] = json!(shown_inline(role));
    out["AttachedManagedPolicies"] = json!(attached(role));
    let profiles = call.select(PROFILES, |_, found| found["_role"] == role["RoleName"]);
    out["InstanceProfileList"] = profiles.into_iter().map(|(_, found)| profile::shown(call, &found, false)).collect();
    out
}

fn policy_detail(call: &Call<'_>, found: &Value) -> Value {
    let mut out = without(&policy::shown(call, found), &["Tags", "Description"]);
    out["PolicyVersionList"] = policy::versions(found).into_iter().map(|(_, version)| version).collect();
    out
}
