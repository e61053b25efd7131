//! GetAccountAuthorizationDetails: all identities and policies at once.

use serde_json::{Map, Value, json};

use super::identity::{shown_attached, shown_inline};
use super::{PAGE, POLICIES, PROFILES, ROLES, managed, policy, profile, user, without};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("GetAccountAuthorizationDetails", get)];

fn get(call: &mut Call<'_>, input: &Value) -> Answer {
    let filter = texts(input, "Filter");
    let wants = |kind: &str| filter.is_empty() || filter.contains(&kind);
    let mut all: Vec<(String, Value)> = Vec::new();
    let mut add = |kind: &str, id: String, shown: Value| {
        all.push((format!("{kind}/{id}"), json!({ "kind": kind, "shown": shown })));
    };
    if wants("User") {
        user::all(call).into_iter().for_each(|(name, user)| add("UserDetailList", name, user_detail(&user)));
    }
    if wants("Role") {
        for (name, role) in call.list(ROLES) {
            add("RoleDetailList", name, role_detail(call, &role));
        }
    }
    if wants("LocalManagedPolicy") {
        call.list(POLICIES).into_iter().for_each(|(arn, found)| add("Policies", arn, policy_detail(call, &found)));
    }
    if wants("AWSManagedPolicy") {
        // AWS's own are shown where they are attached.
        for (arn, found) in managed::all(call.partition()) {
            let detail = policy_detail(call, &found);
            if detail["AttachmentCount"] != 0 {
                add("Policies", arn, detail);
            }
        }
    }
    let (page, next) = call.page(input, all, PAGE)?;
    let mut out = Map::new();
    for kind in ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"] {
        let of: Vec<Value> = page.iter().filter(|one| one["kind"] == kind).map(|one| one["shown"].clone()).collect();
        out.insert(kind.to_owned(), Value::Array(of));
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

fn user_detail(user: &Value) -> Value {
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
    let profiles = call.list(PROFILES).into_iter().filter(|(_, found)| found["_role"] == role["RoleName"]);
    out["InstanceProfileList"] = profiles.map(|(_, found)| profile::shown(call, &found, false)).collect();
    out
}

fn policy_detail(call: &Call<'_>, found: &Value) -> Value {
    let mut out = without(&policy::shown(call, found), &["Tags", "Description"]);
    out["PolicyVersionList"] = policy::versions(found).into_iter().map(|(_, version)| version).collect();
    out
}
