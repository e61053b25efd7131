//! Configurations of S3 Intelligent-Tiering: checked as S3 checks them and given back. Nothing moves by them.

use serde_json::{Map, Value, json};

use super::{Bucket, bucket, change, fault, invalid, malformed_xml, missing};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::{from_base64, to_base64};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketIntelligentTieringConfiguration", delete_configuration),
    ("GetBucketIntelligentTieringConfiguration", get_configuration),
    ("ListBucketIntelligentTieringConfigurations", list_configurations),
    ("PutBucketIntelligentTieringConfiguration", put_configuration),
];

const CONFIGURATIONS_MAX: usize = 1000;
const PAGE: usize = 100;
const DAYS_MAX: i64 = 730;

fn configurations(found: &Bucket) -> Map<String, Value> {
    found.value["_tiering"].as_object().cloned().unwrap_or_default()
}

/// Finds the configuration that a request names.
fn named(found: &Bucket, input: &Value) -> Result<Value, AwsError> {
    let configuration = configurations(found).shift_remove(text(input, "Id"));
    configuration.ok_or_else(|| missing(found, "NoSuchConfiguration", "The specified configuration does not exist."))
}

fn get_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"IntelligentTieringConfiguration": named(&found, input)?}))
}

fn delete_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    named(&found, input)?;
    let mut kept = configurations(&found);
    kept.shift_remove(text(input, "Id"));
    change(call, &found, |bucket| bucket["_tiering"] = Value::Object(kept));
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn list_configurations(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let token = optional(input, "ContinuationToken");
    let after = match token {
        Some(token) => from_base64(token)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| invalid("The continuation token provided is incorrect"))?,
        None => String::new(),
    };
    let mut kept: Vec<_> = configurations(&found).into_iter().filter(|(id, _)| *id > after).collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    let more = kept.len() > PAGE;
    kept.truncate(PAGE);
    let next = kept.last().filter(|_| more).map(|(id, _)| to_base64(id.as_bytes()));
    let page: Vec<Value> = kept.into_iter().map(|(_, configuration)| configuration).collect();
    Ok(json!({
        "IsTruncated": more,
        "ContinuationToken": token,
        "NextContinuationToken": next,
        "IntelligentTieringConfigurationList": page,
    }))
}

fn put_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let given = input["IntelligentTieringConfiguration"].clone();
    let id = text(input, "Id");
    if id != text(&given, "Id") {
        return Err(malformed_xml());
    }
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=64).contains(&id.len()) || !id.bytes().all(letter) {
        return Err(invalid("Config Id does not match the pattern ^[a-zA-Z0-9\\-_.]+$ or has more than 64 characters"));
    }
    check_filter(&given["Filter"])?;
    check_tierings(&given)?;
    let mut kept = configurations(&found);
    if !kept.contains_key(id) && kept.len() >= CONFIGURATIONS_MAX {
        let message = "You are attempting to create a new configuration but have already reached the \
                       1,000-configuration limit.";
        return Err(fault("TooManyConfigurations", 400, message));
    }
    kept.insert(id.to_owned(), given);
    change(call, &found, |bucket| bucket["_tiering"] = Value::Object(kept));
    Ok(json!({}))
}

fn check_filter(filter: &Value) -> Result<(), AwsError> {
    let Some(parts) = filter.as_object() else { return Ok(()) };
    if parts.len() != 1 {
        return Err(malformed_xml());
    }
    let and = &filter["And"];
    let prefix = optional(filter, "Prefix").or(optional(and, "Prefix"));
    if prefix == Some("") {
        return Err(invalid("Filter Prefix should be set to a valid non-empty value or not set at all."));
    }
    let tags = and["Tags"].as_array().map_or(0, Vec::len);
    if and.is_object() && tags + usize::from(prefix.is_some()) < 2 {
        return Err(invalid("And cannot contain less than 2 elements."));
    }
    Ok(())
}

fn check_tierings(given: &Value) -> Result<(), AwsError> {
    let tierings = given["Tierings"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tierings.is_empty() {
        return Err(malformed_xml());
    }
    let (mut archive, mut deep) = (None, None);
    for tiering in tierings {
        let (tier, days) = (text(tiering, "AccessTier"), tiering["Days"].as_i64().unwrap_or_default());
        let (seen, minimum) = if tier == "ARCHIVE_ACCESS" { (&mut archive, 90) } else { (&mut deep, 180) };
        if seen.replace(days).is_some() {
            let message =
                format!("All Access Tiers in a configuration must be unique. Found duplicate entry for {tier}.");
            return Err(invalid(&message));
        }
        if days < minimum {
            return Err(invalid(&format!("Days specified in {tier} tier should not be less than {minimum}.")));
        }
        if days > DAYS_MAX {
            return Err(invalid(&format!("Days specified in {tier} tier should not be more than {DAYS_MAX}.")));
        }
    }
    match archive.zip(deep) {
        Some((archive, deep)) if deep <= archive => {
            let message =
                "Days specified in DEEP_ARCHIVE_ACCESS should be greater than days specified in ARCHIVE_ACCESS";
            Err(invalid(message))
        }
        _ => Ok(()),
    }
}
