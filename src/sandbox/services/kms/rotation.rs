//! Rotation of key material: yearly or another period, and on demand.

use serde_json::{Value, json};

use super::{KEYS, customer_managed, in_state, key};
use crate::sandbox::call::{Call, text};
use crate::sandbox::codec::time;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DisableKeyRotation", disable_key_rotation),
    ("EnableKeyRotation", enable_key_rotation),
    ("GetKeyRotationStatus", get_key_rotation_status),
    ("ListKeyRotations", list_key_rotations),
    ("RotateKeyOnDemand", rotate_key_on_demand),
];

const DAY_S: f64 = 86_400.0;
/// The most rotations on demand of one key.
const ON_DEMAND_MAX: usize = 25;

fn rotatable(key: &Value) -> Result<(), AwsError> {
    if text(key, "KeySpec") != "SYMMETRIC_DEFAULT" || text(key, "Origin") != "AWS_KMS" {
        let message = format!("{} does not support rotation.", text(key, "Arn"));
        return Err(AwsError::new("UnsupportedOperationException", message));
    }
    Ok(())
}

fn enable_key_rotation(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    rotatable(&found)?;
    in_state(call, &id, &found, &["Enabled"])?;
    let days = input["RotationPeriodInDays"].as_i64();
    let kept = found["_rotation"]["days"].as_i64();
    let rotation = json!({"since": call.timestamp(), "days": days.or(kept).unwrap_or(365)});
    call.change(KEYS, &id, |key| key["_rotation"] = rotation);
    Ok(json!({}))
}

fn disable_key_rotation(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    rotatable(&found)?;
    in_state(call, &id, &found, &["Enabled"])?;
    call.change(KEYS, &id, |key| key["_rotation"] = Value::Null);
    Ok(json!({}))
}

/// Returns the moments of automatic rotation up to `now`, and the next one.
fn automatic(key: &Value, now: f64) -> Option<(Vec<f64>, f64)> {
    let since = key["_rotation"]["since"].as_f64()?;
    let period = key["_rotation"]["days"].as_f64()? * DAY_S;
    let count = ((now - since) / period).floor().max(0.0) as u32;
    let past = (1..=count).map(|n| since + f64::from(n) * period).collect();
    Some((past, since + f64::from(count + 1) * period))
}

fn get_key_rotation_status(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    if text(&found, "KeySpec") != "SYMMETRIC_DEFAULT" {
        rotatable(&found)?;
    }
    in_state(call, &id, &found, &["Enabled", "Disabled", "PendingDeletion"])?;
    let mut answer = json!({"KeyId": id, "KeyRotationEnabled": false});
    if let Some((_, next)) = automatic(&found, call.now()).filter(|_| text(&found, "KeyState") != "PendingDeletion") {
        answer["KeyRotationEnabled"] = json!(true);
        answer["RotationPeriodInDays"] = found["_rotation"]["days"].clone();
        answer["NextRotationDate"] = time::value(next);
    }
    Ok(answer)
}

fn rotate_key_on_demand(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    customer_managed(call, &id, &found)?;
    rotatable(&found)?;
    in_state(call, &id, &found, &["Enabled"])?;
    let mut done = found["_on_demand"].as_array().cloned().unwrap_or_default();
    if done.len() >= ON_DEMAND_MAX {
        let message = "The limit of on-demand rotations of this key is reached.";
        return Err(AwsError::new("LimitExceededException", message));
    }
    done.push(call.timestamp());
    call.change(KEYS, &id, |key| key["_on_demand"] = json!(done));
    Ok(json!({"KeyId": id}))
}

fn list_key_rotations(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = key(call, input)?;
    rotatable(&found)?;
    let mut all: Vec<(f64, &str)> = Vec::new();
    if let Some((past, _)) = automatic(&found, call.now()) {
        all.extend(past.into_iter().map(|at| (at, "AUTOMATIC")));
    }
    let on_demand = found["_on_demand"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    all.extend(on_demand.map(|at| (at, "ON_DEMAND")));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rows = all.into_iter().enumerate().map(|(n, (at, kind))| {
        let row = json!({"KeyId": id, "RotationDate": time::value(at), "RotationType": kind});
        (format!("{n:05}"), row)
    });
    call.paged(input, "Rotations", rows.collect(), 100)
}
