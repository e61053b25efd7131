//! Trails: made, shown, changed, deleted.

use serde_json::{Value, json};

use super::{TRAILS, any, check_name, dependencies, everywhere, fault, home, shows};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations = &[
    ("CreateTrail", create_trail),
    ("DeleteTrail", delete_trail),
    ("DescribeTrails", describe_trails),
    ("GetTrail", get_trail),
    ("ListTrails", list_trails),
    ("UpdateTrail", update_trail),
];

/// Reads a text of the request: left out, taken away (empty), or set.
fn given<'i>(input: &'i Value, name: &str) -> Option<Option<&'i str>> {
    optional(input, name).map(|text| Some(text).filter(|text| !text.is_empty()))
}

fn create_trail(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "Name").to_owned();
    check_name(&name)?;
    if call.get(TRAILS, &name).is_some() {
        let message = format!("Trail {name} already exists for customer: {}", call.account);
        return Err(fault("TrailAlreadyExistsException", message));
    }
    if everywhere(call).iter().filter(|(place, trail)| shows(call, place, trail)).count() >= call.quota("trails") {
        let message = format!("User: {} already has {} trails in {}.", call.account, call.quota("trails"), call.region);
        return Err(fault("MaximumNumberOfTrailsExceededException", message));
    }
    let tags = tags::requested(input.get("TagsList"));
    let tags = tags.map_err(|error| fault("InvalidTagParameterException", error.message()))?;
    let arn = call.arn(&format!("trail/{name}"));
    let mut made = json!({
        "Name": name,
        "S3BucketName": input["S3BucketName"],
        "IncludeGlobalServiceEvents": true,
        "IsMultiRegionTrail": false,
        "HomeRegion": call.region,
        "TrailARN": arn,
        "LogFileValidationEnabled": false,
        "HasCustomEventSelectors": false,
        "HasInsightSelectors": false,
        "IsOrganizationTrail": false,
        "TagsList": tags::list(&tags, "Key", "Value"),
        "_arn": arn,
        "_selectors": super::selectors::default(),
        "_status": {"IsLogging": false},
    });
    apply(call, &mut made, input)?;
    call.put(TRAILS, &name, made.clone());
    Ok(made)
}

/// Checks a request against what it refers to, and writes it into a trail.
fn apply(call: &Call<'_>, trail: &mut Value, input: &Value) -> Result<(), AwsError> {
    let arn = text(trail, "TrailARN").to_owned();
    for (member, field) in [
        ("IncludeGlobalServiceEvents", "IncludeGlobalServiceEvents"),
        ("IsMultiRegionTrail", "IsMultiRegionTrail"),
        ("EnableLogFileValidation", "LogFileValidationEnabled"),
    ] {
        if let Some(Value::Bool(on)) = input.get(member) {
            trail[field] = json!(on);
        }
    }
    if trail["IsMultiRegionTrail"] == true && trail["IncludeGlobalServiceEvents"] == false {
        let message = "Multi-Region trail must include global service events.";
        return Err(fault("InvalidParameterCombinationException", message));
    }
    if let Some(Value::Bool(on)) = input.get("IsOrganizationTrail") {
        trail["IsOrganizationTrail"] = json!(on);
    }
    let organization = if trail["IsOrganizationTrail"] == true {
        let message = "Your account is not part of an organization in AWS Organizations.";
        Some(call.organization().ok_or_else(|| fault("OrganizationsNotInUseException", message))?)
    } else {
        None
    };
    for name in ["S3BucketName", "S3KeyPrefix", "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn"] {
        match given(input, name) {
            Some(Some(value)) => trail[name] = json!(value),
            Some(None) => drop_member(trail, name),
            None => {}
        }
    }
    for owner in [Some(call.account.as_str()), organization].into_iter().flatten() {
        dependencies::bucket(call, text(trail, "S3BucketName"), optional(trail, "S3KeyPrefix"), owner, &arn)?;
    }
    let role = optional(trail, "CloudWatchLogsRoleArn");
    dependencies::logs(call, optional(trail, "CloudWatchLogsLogGroupArn"), role, &arn)?;
    match given(input, "KmsKeyId") {
        Some(Some(key)) => trail["KmsKeyId"] = json!(dependencies::key(call, key, &arn)?),
        Some(None) => drop_member(trail, "KmsKeyId"),
        None => {}
    }
    match given(input, "SnsTopicName") {
        Some(Some(topic)) => {
            trail["SnsTopicARN"] = json!(dependencies::topic(call, topic)?);
            trail["SnsTopicName"] = json!(topic);
        }
        Some(None) => {
            drop_member(trail, "SnsTopicARN");
            drop_member(trail, "SnsTopicName");
        }
        None => {}
    }
    Ok(())
}

fn drop_member(trail: &mut Value, name: &str) {
    if let Some(members) = trail.as_object_mut() {
        members.shift_remove(name);
    }
}

fn update_trail(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, mut trail) = home(call, text(input, "Name"))?;
    apply(call, &mut trail, input)?;
    call.put(TRAILS, &name, trail.clone());
    Ok(trail)
}

fn delete_trail(call: &mut Call<'_>, input: &Value) -> Answer {
    let (name, _) = home(call, text(input, "Name"))?;
    call.remove(TRAILS, &name);
    Ok(json!({}))
}

fn get_trail(call: &mut Call<'_>, input: &Value) -> Answer {
    let (_, trail) = any(call, text(input, "Name"))?;
    Ok(json!({"Trail": trail}))
}

fn describe_trails(call: &mut Call<'_>, input: &Value) -> Answer {
    let names = texts(input, "trailNameList");
    let shadows = input.get("includeShadowTrails").is_none_or(|value| *value == true);
    let mut out = Vec::new();
    if names.is_empty() {
        let all = everywhere(call).into_iter().filter(|(place, trail)| shows(call, place, trail));
        out.extend(all.filter(|(place, _)| shadows || place.region == call.region).map(|(_, trail)| trail));
    }
    for name in names {
        match any(call, name) {
            Ok((place, trail)) if shadows || place.region == call.region => out.push(trail),
            // A name without a trail is left out; a name that can be none is refused.
            Err(error) if error.code != "TrailNotFoundException" => return Err(error),
            _ => {}
        }
    }
    Ok(json!({"trailList": out}))
}

fn list_trails(call: &mut Call<'_>, input: &Value) -> Answer {
    let all = everywhere(call).into_iter().map(|(_, trail)| (text(&trail, "TrailARN").to_owned(), trail));
    call.paged(input, "Trails", all.collect(), 100)
}
