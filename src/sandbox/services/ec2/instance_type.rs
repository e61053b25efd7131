//! Instance types, from a table of facts about real ones, and where they are offered.
//!
//! The table holds AWS's own shapes; network cards that are alike are written once with their count.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{filter, invalid, zone_id, zones};
use crate::sandbox::call::{Call, optional, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DescribeInstanceTypeOfferings", describe_instance_type_offerings),
    ("DescribeInstanceTypes", describe_instance_types),
];

/// Types in a request, and the largest page.
const TYPES_MAX: usize = 100;

static TABLE: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let text = include_str!("instance_types.json");
    let mut table: Map<String, Value> =
        serde_json::from_str(text).expect("internal error: the table of instance types is JSON");
    for (name, row) in &mut table {
        row["InstanceType"] = json!(name);
        let mut cards = Vec::new();
        let network = row["NetworkInfo"].as_object_mut().expect("internal error: every type has a network");
        let runs = network.shift_remove("_cards").unwrap_or_default();
        for run in runs.as_array().into_iter().flatten() {
            for _ in 0..run[0].as_u64().unwrap_or_default() {
                let mut card = run[1].clone();
                card["NetworkCardIndex"] = json!(cards.len());
                cards.push(card);
            }
        }
        network.insert("NetworkCards".to_owned(), json!(cards));
    }
    table
});

/// Returns the facts of a type.
pub(super) fn instance_type(name: &str) -> Option<&'static Value> {
    TABLE.get(name)
}

/// Tells whether a type is scarce enough to be in a few zones only.
fn is_accelerated(name: &str) -> bool {
    ["p4", "p5", "p6", "trn", "inf2", "hpc"].iter().any(|family| name.starts_with(family))
}

/// Returns the zones that offer a type.
pub(super) fn offered_in(call: &Call<'_>, name: &str) -> Vec<String> {
    let all = zones(call);
    if is_accelerated(name) { all.into_iter().take(2).collect() } else { all }
}

fn describe_instance_types(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = texts(input, "InstanceTypes");
    if wanted.len() > TYPES_MAX {
        return Err(invalid(format!("The maximum number of instance types in a request is {TYPES_MAX}")));
    }
    if !wanted.is_empty() && input.get("MaxResults").is_some() {
        let message = "The parameter MaxResults cannot be used with instance types";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    if input.get("MaxResults").and_then(Value::as_i64).is_some_and(|max| !(5..=100).contains(&max)) {
        return Err(invalid("Value for parameter maxResults is invalid. Expecting a value between 5 and 100."));
    }
    let unknown: Vec<&str> = wanted.iter().filter(|name| !TABLE.contains_key(**name)).copied().collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(AwsError::new("InvalidInstanceType", message));
    }
    let filters = filter::parse(
        input,
        &[
            ("bare-metal", "BareMetal"),
            ("burstable-performance-supported", "BurstablePerformanceSupported"),
            ("current-generation", "CurrentGeneration"),
            ("hypervisor", "Hypervisor"),
            ("instance-storage-supported", "InstanceStorageSupported"),
            ("instance-type", "InstanceType"),
            ("memory-info.size-in-mib", "MemoryInfo.SizeInMiB"),
            ("network-info.efa-info.maximum-efa-interfaces", "NetworkInfo.EfaInfo.MaximumEfaInterfaces"),
            ("network-info.efa-supported", "NetworkInfo.EfaSupported"),
            ("network-info.maximum-network-cards", "NetworkInfo.MaximumNetworkCards"),
            ("processor-info.supported-architecture", "ProcessorInfo.SupportedArchitectures"),
            ("supported-usage-class", "SupportedUsageClasses"),
            ("vcpu-info.default-vcpus", "VCpuInfo.DefaultVCpus"),
        ],
    )?;
    let rows = TABLE.iter().filter(|(name, row)| {
        (wanted.is_empty() || wanted.contains(&name.as_str())) && filters.iter().all(|filter| filter.fits(row))
    });
    let rows = rows.map(|(name, row)| (name.clone(), row.clone())).collect();
    call.paged(input, "InstanceTypes", rows, TYPES_MAX)
}

fn describe_instance_type_offerings(call: &mut Call<'_>, input: &Value) -> Answer {
    let filters = filter::parse(input, &[("instance-type", "InstanceType"), ("location", "Location")])?;
    let kind = optional(input, "LocationType").unwrap_or("region");
    let mut rows = Vec::new();
    for name in TABLE.keys() {
        let locations = match kind {
            "region" => vec![call.region.clone()],
            "availability-zone" => offered_in(call, name),
            "availability-zone-id" => offered_in(call, name).iter().map(|zone| zone_id(zone)).collect(),
            other => return Err(invalid(format!("Value ({other}) for parameter locationType is invalid."))),
        };
        for location in locations {
            let row = json!({"InstanceType": name, "LocationType": kind, "Location": location});
            if filters.iter().all(|filter| filter.fits(&row)) {
                rows.push((format!("{name}/{location}"), row));
            }
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    call.paged(input, "InstanceTypeOfferings", rows, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_written_out_and_numbered() {
        for (name, cards, efa) in [
            ("p4d.24xlarge", 4, 4),
            ("p5.48xlarge", 32, 32),
            ("p5en.48xlarge", 16, 16),
            ("p6-b300.48xlarge", 17, 16),
            ("p6e-gb200.36xlarge", 17, 4),
            ("trn2.48xlarge", 16, 16),
        ] {
            let network = &instance_type(name).unwrap()["NetworkInfo"];
            assert_eq!(network["NetworkCards"].as_array().unwrap().len(), cards, "{name}");
            assert_eq!(network["NetworkCards"][cards - 1]["NetworkCardIndex"], cards - 1);
            assert_eq!(network["EfaInfo"]["MaximumEfaInterfaces"], efa, "{name}");
        }
    }
}
