//! Tags of roles, policies and instance profiles.

use serde_json::{Value, json};

use super::{PAGE, POLICIES, PROFILES, ROLES, policy, profile, role};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags::{self, TagFault};

pub(super) const OPERATIONS: Operations = &[
    ("ListInstanceProfileTags", |call, input| list(call, input, Kind::Profile)),
    ("ListPolicyTags", |call, input| list(call, input, Kind::Policy)),
    ("ListRoleTags", |call, input| list(call, input, Kind::Role)),
    ("TagInstanceProfile", |call, input| tag(call, input, Kind::Profile)),
    ("TagPolicy", |call, input| tag(call, input, Kind::Policy)),
    ("TagRole", |call, input| tag(call, input, Kind::Role)),
    ("UntagInstanceProfile", |call, input| untag(call, input, Kind::Profile)),
    ("UntagPolicy", |call, input| untag(call, input, Kind::Policy)),
    ("UntagRole", |call, input| untag(call, input, Kind::Role)),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Role,
    Policy,
    Profile,
}

impl Kind {
    fn facts(self) -> (&'static str, &'static str) {
        match self {
            Kind::Role => (ROLES, "RoleName"),
            Kind::Policy => (POLICIES, "PolicyArn"),
            Kind::Profile => (PROFILES, "InstanceProfileName"),
        }
    }

    fn get(self, call: &Call<'_>, input: &Value, to_change: bool) -> Result<Value, AwsError> {
        let id = text(input, self.facts().1);
        match self {
            Kind::Role if to_change => super::role::own(call, id),
            Kind::Role => role(call, id),
            Kind::Policy => policy::own(call, id),
            Kind::Profile => profile::profile(call, id),
        }
    }
}

/// Returns how IAM refuses tags.
pub(super) fn refused(fault: &TagFault) -> AwsError {
    match fault {
        TagFault::TooMany => super::limit("The number of tags has reached the maximum limit."),
        TagFault::Duplicate(_) => {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            AwsError::new("InvalidInput", message)
        }
        TagFault::Length(_) => AwsError::new("ValidationError", fault.message()).status(400),
        TagFault::Reserved(_) => AwsError::new("InvalidInput", fault.message()),
    }
}

fn tag(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let found = kind.get(call, input, true)?;
    let added = tags::requested(input.get("Tags")).map_err(|fault| refused(&fault))?;
    let all = tags::merge(tags::of(&found), added).map_err(|fault| refused(&fault))?;
    let (collection, member) = kind.facts();
    let id = text(input, member).to_owned();
    call.change(collection, &id, |resource| resource["Tags"] = tags::list(&all, "Key", "Value"));
    Ok(json!({}))
}

fn untag(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let found = kind.get(call, input, true)?;
    let mut all = tags::of(&found);
    for key in texts(input, "TagKeys") {
        all.shift_remove(key);
    }
    let (collection, member) = kind.facts();
    let id = text(input, member).to_owned();
    call.change(collection, &id, |resource| resource["Tags"] = tags::list(&all, "Key", "Value"));
    Ok(json!({}))
}

fn list(call: &mut Call<'_>, input: &Value, kind: Kind) -> Answer {
    let found = kind.get(call, input, false)?;
    let all = found["Tags"].as_array().cloned().unwrap_or_default();
    let all = all.into_iter().map(|tag| (text(&tag, "Key").to_owned(), tag)).collect();
    call.paged(input, "Tags", all, PAGE)
}
