//! The policies of roles and users: inline ones, and attachments of managed ones.

use serde_json::{Value, json};

use super::{PAGE, ROLES, USERS, document, encoded, limit, no_such, policy, role, user};
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AttachRolePolicy", |call, input| attach(call, input, Kind::Role)),
    ("AttachUserPolicy", |call, input| attach(call, input, Kind::User)),
    ("DeleteRolePolicy", |call, input| delete_inline(call, input, Kind::Role)),
    ("DeleteUserPolicy", |call, input| delete_inline(call, input, Kind::User)),
    ("DetachRolePolicy", |call, input| detach(call, input, Kind::Role)),
    ("DetachUserPolicy", |call, input| detach(call, input, Kind::User)),
    ("GetRolePolicy", |call, input| get_inline(call, input, Kind::Role)),
    ("GetUserPolicy", |call, input| get_inline(call, input, Kind::User)),
    ("ListAttachedRolePolicies", |call, input| list_attached(call, input, Kind::Role)),
    ("ListAttachedUserPolicies", |call, input| list_attached(call, input, Kind::User)),
    ("ListRolePolicies", |call, input| list_inline(call, input, Kind::Role)),
    ("ListUserPolicies", |call, input| list_inline(call, input, Kind::User)),
    ("PutRolePolicy", |call, input| put_inline(call, input, Kind::Role)),
    ("PutUserPolicy", |call, input| put_inline(call, input, Kind::User)),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Role,
    User,
}

impl Kind {
    /// Returns collection, name member, word, and the quota for all inline policies in characters.
    fn facts(self) -> (&'static str, &'static str, &'static str, usize) {
        match self {
            Kind::Role => (ROLES, "RoleName", "role", 10_240),
            Kind::User => (USERS, "UserName", "user", 2_048),
        }
    }

    fn get(self, call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
        let name = text(input, self.facts().1);
        let found = match self {
            Kind::Role => role(call, name)?,
            Kind::User => user::user(call, name)?,
        };
        Ok((name.to_owned(), found))
    }

    fn change(self, call: &mut Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
        if let Kind::Role = self {
            super::role::own(call, text(input, "RoleName"))?;
        }
        let (name, found) = self.get(call, input)?;
        if let Kind::User = self {
            user::settle(call, &name);
        }
        Ok((name, found))
    }
}

fn attached(found: &Value) -> Vec<String> {
    let list = found["_attached"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn attach(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let arn = text(input, "PolicyArn").to_owned();
    let (collection, _, word, _) = kind.facts();
    kind.get(call, input)?;
    if policy::find(call, &arn).is_none() {
        return Err(no_such(format!("Policy {arn} does not exist or is not attachable.")));
    }
    let (name, found) = kind.change(call, input)?;
    let mut list = attached(&found);
    if !list.contains(&arn) {
        if list.len() >= call.quota("policies_per_role") {
            let word = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
            return Err(limit(format!(
                "Cannot exceed quota for PoliciesPer{word}: {}",
                call.quota("policies_per_role")
            )));
        }
        list.push(arn);
        call.change(collection, &name, |found| found["_attached"] = json!(list));
    }
    Ok(json!({}))
}

fn detach(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let arn = text(input, "PolicyArn");
    let (name, found) = kind.change(call, input)?;
    let mut list = attached(&found);
    if !list.iter().any(|known| known == arn) {
        return Err(no_such(format!("Policy {arn} was not found.")));
    }
    list.retain(|known| known != arn);
    call.change(kind.facts().0, &name, |found| found["_attached"] = json!(list));
    Ok(json!({}))
}

/// Returns attachments as lists show them.
pub(super) fn shown_attached(found: &Value) -> Vec<(String, Value)> {
    let show = |arn: String| {
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        (arn.clone(), json!({ "PolicyName": name, "PolicyArn": arn }))
    };
    attached(found).into_iter().map(show).collect()
}

fn list_attached(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let (_, found) = kind.get(call, input)?;
    let prefix = input.get("PathPrefix").and_then(Value::as_str).unwrap_or("/").to_owned();
    let path = |arn: &str| arn.split_once(":policy").map_or("/", |(_, path)| path).to_owned();
    let list = shown_attached(&found).into_iter().filter(|(arn, _)| path(arn).starts_with(&prefix)).collect();
    call.paged(input, "AttachedPolicies", list, PAGE)
}

fn put_inline(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let text_given = text(input, "PolicyDocument");
    let (collection, _, word, quota) = kind.facts();
    kind.get(call, input)?;
    document::identity(text_given)?;
    let (name, found) = kind.change(call, input)?;
    let mut inline = found["_inline"].clone();
    inline[text(input, "PolicyName")] = json!(text_given);
    let dense = |document: &Value| document.as_str().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).count();
    let size: usize = inline.as_object().into_iter().flatten().map(|(_, document)| dense(document)).sum();
    if size > quota {
        return Err(limit(format!("Maximum policy size of {quota} bytes exceeded for {word} {name}")));
    }
    call.change(collection, &name, |found| found["_inline"] = inline);
    Ok(json!({}))
}

fn missing(word: &str, policy: &str) -> AwsError {
    no_such(format!("The {word} policy with name {policy} cannot be found."))
}

fn get_inline(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let (name, found) = kind.get(call, input)?;
    let (_, member, word, _) = kind.facts();
    let policy = text(input, "PolicyName");
    let document = found["_inline"].get(policy).and_then(Value::as_str).ok_or_else(|| missing(word, policy))?;
    Ok(json!({ member: name, "PolicyName": policy, "PolicyDocument": encoded(document) }))
}

fn list_inline(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let (_, found) = kind.get(call, input)?;
    let mut names: Vec<String> =
        found["_inline"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    names.sort();
    call.paged(input, "PolicyNames", names.into_iter().map(|name| (name.clone(), json!(name))).collect(), PAGE)
}

fn delete_inline(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let (name, found) = kind.change(call, input)?;
    let (collection, _, word, _) = kind.facts();
    let policy = text(input, "PolicyName").to_owned();
    if found["_inline"].get(&policy).is_none() {
        return Err(missing(word, &policy));
    }
    call.change(collection, &name, |found| {
        if let Some(inline) = found["_inline"].as_object_mut() {
            inline.shift_remove(&policy);
        }
    });
    Ok(json!({}))
}

/// Returns inline policies as GetAccountAuthorizationDetails shows them.
pub(super) fn shown_inline(found: &Value) -> Vec<Value> {
    let inline = found["_inline"].as_object().into_iter().flatten();
    let show = |(name, document): (&String, &Value)| json!({ "PolicyName": name, "PolicyDocument": encoded(document.as_str().unwrap_or_default()) });
    inline.map(show).collect()
}

/// Returns the documents that a role or user has, and its boundary, for evaluation.
pub(crate) fn identity_policies(call: &Call<'_>, found: &Value) -> (Vec<Value>, Option<Value>) {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let inline = found["_inline"].as_object().into_iter().flatten();
    let mut documents: Vec<Value> = inline.filter_map(|(_, document)| parse(document.as_str()?)).collect();
    documents
        .extend(attached(found).iter().filter_map(|arn| policy::default_document(call, arn)).filter_map(|t| parse(&t)));
    let bound = found["PermissionsBoundary"]["PermissionsBoundaryArn"].as_str();
    // A boundary whose document can't be told allows nothing.
    let bound = bound.map(|arn| policy::default_document(call, arn).and_then(|t| parse(&t)).unwrap_or(json!({})));
    (documents, bound)
}
