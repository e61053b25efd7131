//! Deletion with its window, and the way back.

use serde_json::{Value, json};

use super::{SECRETS, any, invalid, refused, replica, unless_replica};
use crate::sandbox::call::{Call, Transition, settle, text};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("DeleteSecret", delete_secret), ("RestoreSecret", restore_secret)];

const DAY_S: f64 = 86_400.0;

fn delete_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let force = input["ForceDeleteWithoutRecovery"] == true;
    let window = input["RecoveryWindowInDays"].as_f64();
    if force && window.is_some() {
        let message = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
        return Err(invalid(message));
    }
    if window.is_some_and(|days| !(7.0..=30.0).contains(&days)) {
        let message = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).";
        return Err(invalid(message));
    }
    let (name, mut secret) = match any(call, text(input, "SecretId")) {
        Ok(found) => unless_replica(found)?,
        // A forced delete of a secret that is not there succeeds.
        Err(_) if force => {
            let id = text(input, "SecretId");
            return Ok(json!({"ARN": id, "Name": id, "DeletionDate": call.timestamp()}));
        }
        Err(error) => return Err(error),
    };
    let arn = secret["ARN"].clone();
    let replicated = replica::regions(&secret).join(", ");
    if !replicated.is_empty() {
        let arn = text(&secret, "ARN");
        return Err(invalid(format!("You can't delete secret {arn} that still has replica regions [{replicated}].")));
    }
    if force {
        call.remove(SECRETS, &name);
        return Ok(json!({"ARN": arn, "Name": name, "DeletionDate": call.timestamp()}));
    }
    if secret.get("DeletedDate").is_some() {
        let message = "You can't perform this operation on the secret because it was already scheduled for deletion.";
        return Err(refused(message));
    }
    let seconds = window.unwrap_or(30.0) * DAY_S;
    secret["DeletedDate"] = call.timestamp();
    Transition::from(call.now()).gone(seconds).attach(&mut secret);
    call.put(SECRETS, &name, secret);
    Ok(json!({"ARN": arn, "Name": name, "DeletionDate": call.now() + seconds}))
}

fn restore_secret(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = any(call, text(input, "SecretId")).and_then(unless_replica)?;
    settle(&mut secret);
    if let Some(members) = secret.as_object_mut() {
        members.shift_remove("DeletedDate");
    }
    let answer = json!({"ARN": secret["ARN"], "Name": name});
    call.put(SECRETS, &name, secret);
    Ok(answer)
}
