//! CloudTrail: trails with their selectors and status, tags, and lookups in the sandbox's own log of calls.
//!
//! What CloudTrail tests of bucket, key, log group and role when it is given them is tested here too. Log files
//! are not delivered. An account manages an organization only where the
//! conditions name one.

mod dependencies;
mod lookup;
mod selectors;
mod status;
mod tagging;
mod trail;

use serde_json::Value;

use super::Operations;
use crate::sandbox::call::{Call, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::store::Place;

pub(super) const OPERATIONS: &[Operations] =
    &[lookup::OPERATIONS, selectors::OPERATIONS, status::OPERATIONS, tagging::OPERATIONS, trail::OPERATIONS];

/// The collection of trails, by name.
const TRAILS: &str = "trails";

fn fault(code: &str, message: impl Into<String>) -> AwsError {
    AwsError::new(code, message)
}

/// Returns the trails of the caller's account in all regions.
fn everywhere(call: &Call<'_>) -> Vec<(Place, Value)> {
    let mut place = call.place();
    let mut out = Vec::new();
    for region in call.regions("cloudtrail") {
        place.region = region;
        out.extend(call.list_at(&place, TRAILS).into_iter().map(|(_, trail)| (place.clone(), trail)));
    }
    out
}

/// Tells whether a trail shows in the caller's region: its own, and those of all regions.
fn shows(call: &Call<'_>, place: &Place, trail: &Value) -> bool {
    place.region == call.region || trail["IsMultiRegionTrail"] == true
}

/// Finds a trail by its name in this region, or by its ARN.
fn any(call: &Call<'_>, given: &str) -> Result<(Place, Value), AwsError> {
    let unknown = || fault("TrailNotFoundException", format!("Unknown trail: {given} for the user: {}", call.account));
    if given.starts_with("arn:") {
        let parts: Vec<&str> = given.splitn(6, ':').collect();
        if parts.len() < 6 || parts[2] != "cloudtrail" || !parts[5].starts_with("trail/") {
            return Err(fault("CloudTrailARNInvalidException", format!("Got an invalid ARN: {given}")));
        }
        return everywhere(call).into_iter().find(|(_, trail)| text(trail, "TrailARN") == given).ok_or_else(unknown);
    }
    check_name(given)?;
    let place = call.place();
    call.get(TRAILS, given).map(|trail| (place, trail)).ok_or_else(unknown)
}

/// Finds a trail that is to be changed, which is possible in its home region only.
fn home(call: &Call<'_>, given: &str) -> Result<(String, Value), AwsError> {
    let (place, trail) = any(call, given)?;
    if place.region != call.region {
        let message = format!("Trail {given} can only be changed in its home region {}.", place.region);
        return Err(fault("InvalidHomeRegionException", message));
    }
    Ok((text(&trail, "Name").to_owned(), trail))
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let wrong = |message: &str| Err(fault("InvalidTrailNameException", message));
    let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() < 3 {
        return wrong("Trail name too short. Minimum allowed length: 3 characters.");
    }
    if name.len() > 128 {
        return wrong("Trail name too long. Maximum allowed length: 128 characters.");
    }
    if !edge(name.chars().next()) {
        return wrong("Trail name must starts with a letter or number.");
    }
    if !edge(name.chars().last()) {
        return wrong("Trail name must ends with a letter or number.");
    }
    if !name.chars().all(inner) {
        return wrong(
            "Trail name can only contain uppercase letters, lowercase letters, numbers, periods, hyphens and underscores.",
        );
    }
    let separator = |c: &char| "._-".contains(*c);
    let letters: Vec<char> = name.chars().collect();
    if letters.windows(2).any(|pair| pair.iter().all(separator)) || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return wrong("Trail name can't have adjacent separators and can't be an IP address.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn trail_names_have_rules() {
        for good in ["abc", "my-trail_1.x", "A1b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["ab", "-abc", "abc-", "a--b", "a b", "10.0.0.1", &"a".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
