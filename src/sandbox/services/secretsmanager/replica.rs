//! Replicas of a secret in other regions: they follow their primary, and only their key is their own.
//!
//! A replica that failed exists as a status of the primary alone. Promotion of a replica and replication between
//! accounts are not simulated.

use serde_json::{Value, json};

use super::{SECRETS, check_key, invalid, primary};
use crate::sandbox::call::{Call, Transition, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::identity::partition;
use crate::sandbox::services::Operations;
use crate::sandbox::services::ec2::REGIONS;

pub(super) const OPERATIONS: Operations = &[
    ("RemoveRegionsFromReplication", remove_regions_from_replication),
    ("ReplicateSecretToRegions", replicate_secret_to_regions),
];

/// Seconds a new replica is `InProgress`.
const REPLICATING_S: f64 = 20.0;
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";
const STATUS: &str = "ReplicationStatus";

/// Tells whether a secret is the replica of one in another region.
pub(super) fn is_replica(secret: &Value) -> bool {
    secret.get("_replica").is_some()
}

/// Returns the regions that a secret is replicated to, failed ones included.
pub(super) fn regions(secret: &Value) -> Vec<&str> {
    statuses(secret).map(|status| text(status, "Region")).collect()
}

fn statuses(secret: &Value) -> impl Iterator<Item = &Value> {
    secret[STATUS].as_array().into_iter().flatten()
}

/// Checks the replicas that a request asks for.
pub(super) fn requested(call: &Call<'_>, input: &Value) -> Result<Vec<Value>, AwsError> {
    let given = input["AddReplicaRegions"].as_array().cloned().unwrap_or_default();
    let mut seen = Vec::new();
    for replica in &given {
        let region = text(replica, "Region");
        let known = REGIONS.contains(&region) || partition(region) != "aws";
        if region == call.region || seen.contains(&region) || !known || partition(region) != call.partition() {
            return Err(invalid("Invalid replica region."));
        }
        seen.push(region);
    }
    Ok(given)
}

/// Begins to replicate a secret; what keeps a replica from being made shows in its status some time later.
pub(super) fn add(call: &mut Call<'_>, secret: &mut Value, given: &[Value], overwrite: bool) {
    let mut all: Vec<Value> = statuses(secret).cloned().collect();
    for replica in given {
        let region = text(replica, "Region").to_owned();
        let key = optional(replica, "KmsKeyId").unwrap_or(DEFAULT_KEY).to_owned();
        let name = text(secret, "Name").to_owned();
        let fault = within(call, &region, |call| {
            if call.get(SECRETS, &name).is_some() && !overwrite {
                return Some("Secret with this name already exists in this region".to_owned());
            }
            check_key(call, Some(&key)).err().map(|error| error.message)
        });
        if fault.is_none() {
            within(call, &region, |call| call.remove(SECRETS, &name));
        }
        all.retain(|status| text(status, "Region") != region);
        all.push(json!({"Region": region, "KmsKeyId": key, "Status": "InProgress", "_fault": fault}));
    }
    set(call, secret, all);
}

/// Sets the statuses, of which those in progress are over after a while.
fn set(call: &Call<'_>, secret: &mut Value, all: Vec<Value>) {
    secret["PrimaryRegion"] = if all.is_empty() { Value::Null } else { json!(call.region) };
    let mut over = all.clone();
    for status in over.iter_mut().filter(|status| status["Status"] == "InProgress") {
        let fault = status["_fault"].take();
        status["Status"] = json!(if fault.is_null() { "InSync" } else { "Failed" });
        if !fault.is_null() {
            status["StatusMessage"] = fault;
        }
    }
    if over != all {
        Transition::from(call.now()).then(REPLICATING_S, json!({STATUS: over})).attach(secret);
    }
    secret[STATUS] = if all.is_empty() { Value::Null } else { Value::Array(all) };
}

/// Stores a secret, and its replicas with what it has now.
pub(super) fn keep(call: &mut Call<'_>, name: &str, secret: Value) {
    let made = |status: &&Value| text(status, "Status") != "Failed" && status["_fault"].is_null();
    let replicas: Vec<Value> = statuses(&secret).filter(made).cloned().collect();
    for replica in replicas {
        let region = text(&replica, "Region");
        let (mut copy, arn) = (secret.clone(), text(&secret, "ARN").to_owned());
        within(call, region, |call| {
            let resource = arn.rsplit(':').next().unwrap_or_default();
            let own = call.arn(&format!("secret:{resource}"));
            copy["ARN"] = json!(own);
            copy["_arn"] = json!(own);
            copy["_replica"] = json!(true);
            copy["KmsKeyId"] = json!(optional(&replica, "KmsKeyId").filter(|key| *key != DEFAULT_KEY));
            copy["LastAccessedDate"] = call.get(SECRETS, name).unwrap_or_default()["LastAccessedDate"].clone();
            copy[STATUS] = Value::Null;
            crate::sandbox::call::settle(&mut copy);
            call.put(SECRETS, name, copy);
        });
    }
    call.put(SECRETS, name, secret);
}

/// Gives a replica another key, which is the one change that it takes by itself.
pub(super) fn change_key(call: &mut Call<'_>, name: &str, secret: &mut Value, key: &str) {
    secret["KmsKeyId"] = json!(key);
    call.put(SECRETS, name, secret.clone());
    let (here, home) = (call.region.clone(), text(secret, "PrimaryRegion").to_owned());
    within(call, &home, |call| {
        call.change(SECRETS, name, |primary| {
            for status in primary[STATUS].as_array_mut().into_iter().flatten() {
                if text(status, "Region") == here {
                    status["KmsKeyId"] = json!(key);
                }
            }
        })
    });
}

/// Does something in another region of the same account; the call itself stays about its own region.
fn within<T>(call: &mut Call<'_>, region: &str, act: impl FnOnce(&mut Call<'_>) -> T) -> T {
    let home = std::mem::replace(&mut call.region, region.to_owned());
    let touched = call.touched.len();
    let out = act(call);
    call.touched.truncate(touched);
    call.region = home;
    out
}

fn answer(secret: &Value) -> Value {
    json!({"ARN": secret["ARN"], STATUS: secret[STATUS].as_array().cloned().unwrap_or_default()})
}

fn replicate_secret_to_regions(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let given = requested(call, input)?;
    let there = |region: &str| {
        statuses(&secret).any(|status| text(status, "Region") == region && text(status, "Status") != "Failed")
    };
    if let Some(replica) = given.iter().find(|replica| there(text(replica, "Region"))) {
        let message = format!("The secret is already replicated to the region {}.", text(replica, "Region"));
        return Err(invalid(message));
    }
    add(call, &mut secret, &given, input["ForceOverwriteReplicaSecret"] == true);
    let answer = answer(&secret);
    keep(call, &name, secret);
    Ok(answer)
}

fn remove_regions_from_replication(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut secret) = primary(call, input)?;
    let gone = texts(input, "RemoveReplicaRegions");
    if let Some(unknown) = gone.iter().find(|region| !regions(&secret).contains(region)) {
        return Err(invalid(format!("The secret is not replicated to the region {unknown}.")));
    }
    let left = statuses(&secret).filter(|status| !gone.contains(&text(status, "Region"))).cloned().collect();
    for region in gone {
        within(call, region, |call| {
            // A failed replica left somebody else's secret alone.
            if call.get(SECRETS, &name).is_some_and(|found| is_replica(&found)) {
                call.remove(SECRETS, &name);
            }
        });
    }
    crate::sandbox::call::settle(&mut secret);
    set(call, &mut secret, left);
    let answer = answer(&secret);
    keep(call, &name, secret);
    Ok(answer)
}
