//! Placement groups: known by name, unique in a region, held by the instances in them.

use serde_json::{Value, json};

use super::{describe, done, invalid, new_tags};
use crate::sandbox::call::{Call, Transition, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreatePlacementGroup", create_placement_group),
    ("DeletePlacementGroup", delete_placement_group),
    ("DescribePlacementGroups", describe_placement_groups),
];

pub(super) const GROUPS: &str = "placement_groups";
/// Seconds a deleted group still shows as `deleting`.
const DELETING_S: f64 = 1.0;
const PARTITIONS_DEFAULT: i64 = 2;

pub(super) fn unknown(name: &str) -> AwsError {
    AwsError::new("InvalidPlacementGroup.Unknown", format!("The Placement Group '{name}' is unknown."))
}

fn create_placement_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "GroupName");
    if name.is_empty() {
        return Err(AwsError::new("MissingParameter", "The request must contain the parameter groupName"));
    }
    if name.len() > 255 || !name.is_ascii() {
        return Err(invalid(format!("Value ({name}) for parameter groupName is invalid.")));
    }
    let Some(strategy) = optional(input, "Strategy") else {
        return Err(AwsError::new("MissingParameter", "The request must contain the parameter strategy"));
    };
    if !["cluster", "spread", "partition"].contains(&strategy) {
        return Err(invalid(format!("Value ({strategy}) for parameter strategy is invalid.")));
    }
    let partitions = input.get("PartitionCount").and_then(Value::as_i64);
    if partitions.is_some() && strategy != "partition" {
        let message = "The parameter PartitionCount may only be used with the partition strategy.";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    if partitions.is_some_and(|count| !(1..=7).contains(&count)) {
        return Err(invalid("Value for parameter partitionCount is invalid. It must be between 1 and 7."));
    }
    let level = optional(input, "SpreadLevel");
    if level.is_some() && strategy != "spread" {
        let message = "The parameter SpreadLevel may only be used with the spread strategy.";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    if level.is_some_and(|level| level != "rack" && level != "host") {
        return Err(invalid(format!("Value ({}) for parameter spreadLevel is invalid.", level.unwrap_or_default())));
    }
    let tags = new_tags(input, "placement-group")?;
    if call.get(GROUPS, name).is_some() {
        let message = format!("The placement group '{name}' already exists.");
        return Err(AwsError::new("InvalidPlacementGroup.Duplicate", message));
    }
    if call.count(GROUPS) >= call.quota("placement_groups") {
        let message = "The maximum number of placement groups has been reached.";
        return Err(AwsError::new("PlacementGroupLimitExceeded", message));
    }
    let id = call.id("pg");
    let arn = call.arn(&format!("placement-group/{name}"));
    let mut group = json!({
        "GroupName": name, "GroupId": id, "GroupArn": arn, "State": "available", "Strategy": strategy,
        "Tags": tags, "_arn": arn,
    });
    if strategy == "partition" {
        group["PartitionCount"] = json!(partitions.unwrap_or(PARTITIONS_DEFAULT));
    }
    if strategy == "spread" {
        group["SpreadLevel"] = json!(level.unwrap_or("rack"));
    }
    call.put(GROUPS, name, group.clone());
    Ok(json!({"PlacementGroup": group}))
}

fn delete_placement_group(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "GroupName");
    let group = call.get(GROUPS, name).filter(|group| group["State"] != "deleting").ok_or_else(|| unknown(name))?;
    let used = call.any(super::instance::INSTANCES, |_, instance| {
        let held = instance["State"]["Name"] != "terminated";
        held && (instance["Placement"]["GroupName"] == name || instance["Placement"]["GroupId"] == group["GroupId"])
    });
    if used {
        let message = format!("The placement group '{name}' is in use and may not be deleted.");
        return Err(AwsError::new("InvalidPlacementGroup.InUse", message));
    }
    let now = call.now();
    call.change(GROUPS, name, |group| {
        group["State"] = json!("deleting");
        Transition::from(now).gone(DELETING_S).attach(group);
    });
    done()
}

fn describe_placement_groups(call: &mut Call<'_>, input: &Value) -> Answer {
    let ids = texts(input, "GroupIds");
    let mut rows = call.list(GROUPS);
    for id in &ids {
        if !rows.iter().any(|(_, group)| text(group, "GroupId") == *id) {
            return Err(unknown(id));
        }
    }
    let known = &[
        ("group-name", "GroupName"),
        ("group-arn", "GroupArn"),
        ("spread-level", "SpreadLevel"),
        ("state", "State"),
        ("strategy", "Strategy"),
    ];
    if ids.is_empty() {
        return describe(call, input, (GROUPS, "PlacementGroups"), ("GroupNames", unknown), known);
    }
    let filters = super::filter::parse(input, known)?;
    rows.retain(|(_, group)| ids.contains(&text(group, "GroupId")) && filters.iter().all(|filter| filter.fits(group)));
    call.paged(input, "PlacementGroups", rows, usize::MAX)
}
