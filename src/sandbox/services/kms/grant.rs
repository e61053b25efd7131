//! Grants: kept and listed; the sandbox does not evaluate them.

use serde_json::{Map, Value, json};

use super::{in_state, key};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::to_base64;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateGrant", create_grant),
    ("ListGrants", list_grants),
    ("RetireGrant", retire_grant),
    ("RevokeGrant", revoke_grant),
];

const GRANTS: &str = "grants";

fn unknown(id: &str) -> AwsError {
    AwsError::new("NotFoundException", format!("Grant ID {id} not found"))
}

fn create_grant(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    in_state(call, &id, &found, &["Enabled", "PendingImport"])?;
    let mut facts = Map::new();
    for member in ["GranteePrincipal", "RetiringPrincipal", "Operations", "Constraints", "Name"] {
        if let Some(value) = input.get(member) {
            facts.insert(member.to_owned(), value.clone());
        }
    }
    // A named grant asked for again with the same facts is the same grant.
    if facts.contains_key("Name") {
        let same =
            call.find(GRANTS, |_, grant| text(grant, "_key") == id && grant["_facts"] == Value::Object(facts.clone()));
        if let Some((_, grant)) = same {
            return Ok(json!({"GrantId": grant["GrantId"], "GrantToken": grant["_token"]}));
        }
    }
    let grant_id = hex::encode(call.entropy());
    let token = to_base64(&call.entropy());
    let mut grant = json!({
        "GrantId": grant_id,
        "KeyId": found["Arn"],
        "CreationDate": call.timestamp(),
        "IssuingAccount": format!("arn:{}:iam::{}:root", call.partition(), call.account),
        "_key": id,
        "_token": token,
        "_facts": facts,
    });
    for (member, value) in facts {
        grant[member] = value;
    }
    call.put(GRANTS, &grant_id, grant);
    Ok(json!({"GrantId": grant_id, "GrantToken": token}))
}

fn list_grants(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, _) = key(call, input)?;
    let grants = call.select(GRANTS, |grant_id, grant| {
        text(grant, "_key") == id
            && optional(input, "GrantId").is_none_or(|wanted| wanted == grant_id)
            && optional(input, "GranteePrincipal").is_none_or(|wanted| wanted == text(grant, "GranteePrincipal"))
    });
    call.paged(input, "Grants", grants, 50)
}

fn revoke_grant(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, _) = key(call, input)?;
    end(call, &id, text(input, "GrantId"))
}

fn retire_grant(call: &mut Call<'_>, input: &Value) -> Answer {
    if let Some(token) = optional(input, "GrantToken") {
        let found = call.find(GRANTS, |_, grant| text(grant, "_token") == token);
        let (id, _) =
            found.ok_or_else(|| AwsError::new("InvalidGrantTokenException", "The grant token is not valid"))?;
        call.remove(GRANTS, &id);
        return Ok(json!({}));
    }
    let (id, _) = key(call, input)?;
    end(call, &id, text(input, "GrantId"))
}

fn end(call: &mut Call<'_>, key: &str, grant_id: &str) -> Answer {
    let found = call.get(GRANTS, grant_id).filter(|grant| text(grant, "_key") == key);
    if found.is_none() {
        return Err(unknown(grant_id));
    }
    call.remove(GRANTS, grant_id);
    Ok(json!({}))
}
