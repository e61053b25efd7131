//! What an account and a region have without anyone making it: regions, zones, attributes.

use serde_json::{Value, json};

use super::{filter, invalid, zone_id, zones};
use crate::sandbox::call::{Call, texts};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DescribeAccountAttributes", describe_account_attributes),
    ("DescribeAvailabilityZones", describe_availability_zones),
    ("DescribeRegions", describe_regions),
];

/// The regions enabled in every account.
pub(in crate::sandbox::services) const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

fn describe_regions(_: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = texts(input, "RegionNames");
    if let Some(unknown) = wanted.iter().find(|name| !REGIONS.contains(name)) {
        return Err(invalid(format!("Invalid region provided: {unknown}")));
    }
    let filters = filter::parse(
        input,
        &[("region-name", "RegionName"), ("endpoint", "Endpoint"), ("opt-in-status", "OptInStatus")],
    )?;
    let rows = REGIONS.iter().filter(|name| wanted.is_empty() || wanted.contains(name)).map(|name| {
        json!({"RegionName": name, "Endpoint": format!("ec2.{name}.amazonaws.com"), "OptInStatus": "opt-in-not-required"})
    });
    let rows: Vec<Value> = rows.filter(|row| filters.iter().all(|filter| filter.fits(row))).collect();
    Ok(json!({"Regions": rows}))
}

fn describe_availability_zones(call: &mut Call<'_>, input: &Value) -> Answer {
    let (names, ids) = (texts(input, "ZoneNames"), texts(input, "ZoneIds"));
    let all = zones(call);
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|zone| zone == *name)) {
        return Err(invalid(format!("Invalid availability zone: [{unknown}]")));
    }
    let filters = filter::parse(
        input,
        &[
            ("zone-name", "ZoneName"),
            ("zone-id", "ZoneId"),
            ("region-name", "RegionName"),
            ("state", "State"),
            ("zone-type", "ZoneType"),
            ("opt-in-status", "OptInStatus"),
            ("group-name", "GroupName"),
        ],
    )?;
    let rows = all.iter().map(|zone| {
        json!({
            "State": "available",
            "OptInStatus": "opt-in-not-required",
            "Messages": [],
            "RegionName": call.region,
            "ZoneName": zone,
            "ZoneId": zone_id(zone),
            "GroupName": format!("{}-zg-1", call.region),
            "NetworkBorderGroup": call.region,
            "ZoneType": "availability-zone",
        })
    });
    let rows: Vec<Value> = rows
        .filter(|row| {
            let name = row["ZoneName"].as_str().unwrap_or_default();
            let id = row["ZoneId"].as_str().unwrap_or_default();
            (names.is_empty() || names.contains(&name))
                && (ids.is_empty() || ids.contains(&id))
                && filters.iter().all(|filter| filter.fits(row))
        })
        .collect();
    Ok(json!({"AvailabilityZones": rows}))
}

fn describe_account_attributes(call: &mut Call<'_>, input: &Value) -> Answer {
    super::vpc::ensure_default(call);
    let default = call.find(super::vpc::VPCS, |_, vpc| vpc["IsDefault"] == true);
    let default = default.as_ref().map_or("none", |(id, _)| id);
    let addresses = call.quota("elastic_ips").to_string();
    let wanted = texts(input, "AttributeNames");
    let rows = [
        ("supported-platforms", "VPC"),
        ("vpc-max-security-groups-per-interface", "5"),
        ("max-elastic-ips", "5"),
        ("max-instances", "20"),
        ("vpc-max-elastic-ips", addresses.as_str()),
        ("default-vpc", default),
    ];
    let rows: Vec<Value> = rows
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
        .map(|(name, value)| json!({"AttributeName": name, "AttributeValues": [{"AttributeValue": value}]}))
        .collect();
    Ok(json!({"AccountAttributes": rows}))
}
