//! Users and their access keys.
//!
//! Every account has the user `sandbox`, the administrator whose keys need not be made.

use serde_json::{Value, json};

use super::{KEYS, PAGE, USERS, below, boundary, conflict, departed, limit, new_tags, no_such, unique_id, without};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::ids::BASE32;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateAccessKey", create_access_key),
    ("CreateUser", create_user),
    ("DeleteAccessKey", delete_access_key),
    ("DeleteUser", delete_user),
    ("GetUser", get_user),
    ("ListAccessKeys", list_access_keys),
    ("ListUsers", list_users),
];

/// The administrator of every account.
const SANDBOX: &str = "sandbox";
const ACCESS_KEYS_MAX: usize = 2;

fn new_user(call: &Call<'_>, name: &str, path: &str, id: String) -> Value {
    json!({
        "Path": path,
        "UserName": name,
        "UserId": id,
        "Arn": call.arn(&format!("user{path}{name}")),
        "CreateDate": call.timestamp(),
        "Tags": [],
        "_inline": {},
        "_attached": [],
    })
}

/// Returns a user, the administrator included.
pub(super) fn find(call: &Call<'_>, name: &str) -> Option<Value> {
    call.get(USERS, name).or_else(|| {
        (name == SANDBOX).then(|| {
            let known = call.identity_of(&call.account).map(|identity| identity.user_id);
            let mut user = new_user(call, SANDBOX, "/", known.unwrap_or_default());
            // As old as the account.
            user["CreateDate"] = json!(0);
            user["_attached"] = json!([format!("arn:{}:iam::aws:policy/AdministratorAccess", call.partition())]);
            user
        })
    })
}

pub(super) fn user(call: &Call<'_>, name: &str) -> Result<Value, AwsError> {
    find(call, name).ok_or_else(|| no_such(format!("The user with name {name} cannot be found.")))
}

/// Returns all users in order of their names.
pub(super) fn all(call: &Call<'_>) -> Vec<(String, Value)> {
    let mut users = call.list(USERS);
    if users.iter().all(|(name, _)| name != SANDBOX) {
        users.extend(find(call, SANDBOX).map(|user| (SANDBOX.to_owned(), user)));
        users.sort_by(|a, b| a.0.cmp(&b.0));
    }
    users
}

/// Keeps the administrator, so that it can be changed.
pub(super) fn settle(call: &mut Call<'_>, name: &str) {
    if call.get(USERS, name).is_none()
        && let Some(user) = find(call, name)
    {
        call.put(USERS, name, user);
    }
}

fn create_user(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "UserName").to_owned();
    if super::taken(call, USERS, &name) || name.eq_ignore_ascii_case(SANDBOX) {
        let message = format!("User with name {name} already exists.");
        return Err(AwsError::new("EntityAlreadyExists", message));
    }
    let bound = optional(input, "PermissionsBoundary").map(|arn| boundary(call, arn)).transpose()?;
    let tags = new_tags(input)?;
    let id = unique_id(call, "AIDA");
    let mut made = new_user(call, &name, optional(input, "Path").unwrap_or("/"), id);
    made["Tags"] = tags;
    if let Some(bound) = bound {
        made["PermissionsBoundary"] = bound;
    }
    call.put(USERS, &name, made.clone());
    Ok(json!({ "User": shown(&made) }))
}

fn shown(user: &Value) -> Value {
    let bare = user["Tags"].as_array().is_none_or(Vec::is_empty);
    without(user, if bare { &["Tags"] } else { &[] })
}

/// Returns the user a request names, or the caller's own.
fn named(call: &Call<'_>, input: &Value) -> String {
    let own = call.principal.rsplit('/').next().unwrap_or_default();
    optional(input, "UserName").unwrap_or(own).to_owned()
}

fn get_user(call: &mut Call<'_>, input: &Value) -> Answer {
    if optional(input, "UserName").is_none() && !call.principal.contains(":user/") {
        let message = "Must specify userName when calling with non-User credentials";
        return Err(AwsError::new("ValidationError", message).status(400));
    }
    Ok(json!({ "User": shown(&user(call, &named(call, input))?) }))
}

fn list_users(call: &mut Call<'_>, input: &Value) -> Answer {
    let users = below(input, all(call));
    let users =
        users.into_iter().map(|(name, user)| (name, without(&user, &["Tags", "PermissionsBoundary"]))).collect();
    call.paged(input, "Users", users, PAGE)
}

fn keys_of(call: &Call<'_>, name: &str) -> Vec<(String, Value)> {
    call.select(KEYS, |_, key| text(key, "UserName") == name)
}

fn delete_user(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "UserName").to_owned();
    let found = user(call, &name)?;
    if call.get(USERS, &name).is_none() {
        return Err(AwsError::new("AccessDenied", "the account's administrator can not be deleted").status(403));
    }
    if found["_attached"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(conflict("Cannot delete entity, must detach all policies first."));
    }
    if found["_inline"].as_object().is_some_and(|map| !map.is_empty()) {
        return Err(conflict("Cannot delete entity, must delete policies first."));
    }
    if !keys_of(call, &name).is_empty() {
        return Err(conflict("Cannot delete entity, must delete access keys first."));
    }
    call.remove(USERS, &name);
    departed::leave(call, text(&found, "Arn"), text(&found, "UserId"));
    Ok(json!({}))
}

fn create_access_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = named(call, input);
    let found = user(call, &name)?;
    if keys_of(call, &name).len() >= ACCESS_KEYS_MAX {
        return Err(limit(format!("Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS_MAX}")));
    }
    let id = format!("AKIA{}", call.letters(BASE32, 16));
    let secret = call.letters(BASE32, 40);
    let identity =
        json!({ "account": call.account, "arn": found["Arn"], "user_id": found["UserId"], "secret": secret });
    call.register_key(&id, identity);
    let key = json!({ "UserName": name, "AccessKeyId": id, "Status": "Active", "CreateDate": call.timestamp() });
    call.put(KEYS, &id, key.clone());
    let mut answer = key;
    answer["SecretAccessKey"] = json!(secret);
    Ok(json!({ "AccessKey": answer }))
}

fn list_access_keys(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = named(call, input);
    user(call, &name)?;
    let keys = keys_of(call, &name);
    call.paged(input, "AccessKeyMetadata", keys, PAGE)
}

fn delete_access_key(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "AccessKeyId").to_owned();
    let name = named(call, input);
    user(call, &name)?;
    if call.get(KEYS, &id).is_none_or(|key| text(&key, "UserName") != name) {
        return Err(no_such(format!("The Access Key with id {id} cannot be found.")));
    }
    call.remove(KEYS, &id);
    // From now on nobody: an expired key is refused.
    let now = call.now();
    call.register_key(&id, json!({ "account": call.account, "arn": "", "user_id": "", "expires": now }));
    Ok(json!({}))
}
