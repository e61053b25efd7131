//! A bucket's plain settings: versioning, tags, logging, CORS, notifications, acceleration, and what is only read.

use serde_json::{Value, json};

use super::{BUCKETS, bucket, change, fault, invalid, malformed_xml, missing, refused};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketCors", delete_bucket_cors),
    ("DeleteBucketTagging", delete_bucket_tagging),
    ("GetBucketAccelerateConfiguration", get_bucket_accelerate_configuration),
    ("GetBucketCors", get_bucket_cors),
    ("GetBucketLogging", get_bucket_logging),
    ("GetBucketNotificationConfiguration", get_bucket_notification_configuration),
    ("GetBucketRequestPayment", get_bucket_request_payment),
    ("GetBucketTagging", get_bucket_tagging),
    ("GetBucketVersioning", get_bucket_versioning),
    ("GetBucketWebsite", get_bucket_website),
    ("PutBucketAccelerateConfiguration", put_bucket_accelerate_configuration),
    ("PutBucketCors", put_bucket_cors),
    ("PutBucketLogging", put_bucket_logging),
    ("PutBucketNotificationConfiguration", put_bucket_notification_configuration),
    ("PutBucketTagging", put_bucket_tagging),
    ("PutBucketVersioning", put_bucket_versioning),
];

fn get_bucket_versioning(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"Status": optional(&found.value, "_versioning")}))
}

fn put_bucket_versioning(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let Some(status) = optional(&input["VersioningConfiguration"], "Status") else {
        let message = "The Versioning element must be specified";
        return Err(fault("IllegalVersioningConfigurationException", 400, message));
    };
    if status == "Suspended" && found.value.get("_lock").is_some() {
        let message =
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";
        return Err(fault("InvalidBucketState", 409, message));
    }
    if status == "Suspended" && found.value["_replication"].is_object() {
        let message = "A replication configuration is present on this bucket, so you cannot change the versioning \
                       state. To change the versioning state, first delete the replication configuration.";
        return Err(fault("InvalidBucketState", 409, message));
    }
    let status = status.to_owned();
    change(call, &found, |bucket| bucket["_versioning"] = json!(status));
    Ok(json!({}))
}

fn get_bucket_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let set = &found.value["TagSet"];
    if set.as_array().is_none_or(Vec::is_empty) {
        return Err(missing(&found, "NoSuchTagSet", "The TagSet does not exist"));
    }
    Ok(json!({"TagSet": set}))
}

fn put_bucket_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let given = tags::requested(input["Tagging"].get("TagSet"));
    let given = given.map_err(|error| fault("InvalidTag", 400, &error.message()))?;
    change(call, &found, |bucket| bucket["TagSet"] = tags::list(&given, "Key", "Value"));
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn delete_bucket_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["TagSet"] = json!([]));
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn get_bucket_logging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"LoggingEnabled": found.value["_logging"]}))
}

fn put_bucket_logging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let enabled = input["BucketLoggingStatus"].get("LoggingEnabled").cloned();
    if let Some(enabled) = &enabled {
        let wrong = |message: &str| fault("InvalidTargetBucketForLogging", 400, message);
        let Some((place, _)) = call.anywhere("s3", BUCKETS, text(enabled, "TargetBucket")) else {
            return Err(wrong("The target bucket for logging does not exist"));
        };
        if place.account != call.account {
            return Err(wrong("The owner for the bucket to be logged and the target bucket must be the same."));
        }
        if place.region != found.place.region {
            return Err(fault("CrossLocationLoggingProhibitted", 403, "Cross S3 location logging not allowed. "));
        }
    }
    change(call, &found, |bucket| bucket["_logging"] = enabled.unwrap_or_default());
    Ok(json!({}))
}

fn get_bucket_cors(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match found.value["_cors"].as_array() {
        Some(rules) => Ok(json!({"CORSRules": rules})),
        None => Err(missing(&found, "NoSuchCORSConfiguration", "The CORS configuration does not exist")),
    }
}

fn put_bucket_cors(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let rules = input["CORSConfiguration"]["CORSRules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() || rules.len() > 100 {
        return Err(malformed_xml());
    }
    for rule in &rules {
        for method in texts(rule, "AllowedMethods") {
            if !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(&method) {
                let message = format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}");
                return Err(refused(&message));
            }
        }
        for (member, what) in [("AllowedOrigins", "AllowedOrigin"), ("AllowedHeaders", "AllowedHeader")] {
            if let Some(value) = texts(rule, member).into_iter().find(|value| value.matches('*').count() > 1) {
                let message = format!("{what} \"{value}\" can not have more than one wildcard.");
                return Err(refused(&message));
            }
        }
    }
    change(call, &found, |bucket| bucket["_cors"] = Value::Array(rules));
    Ok(json!({}))
}

fn delete_bucket_cors(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_cors"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn get_bucket_notification_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(found.value.get("_notification").cloned().unwrap_or_else(|| json!({})))
}

fn put_bucket_notification_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let mut given = input["NotificationConfiguration"].clone();
    for kind in ["TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations"] {
        for one in given[kind].as_array_mut().into_iter().flatten() {
            if one.get("Id").is_none() {
                one["Id"] = json!(call.uuid());
            }
            if texts(one, "Events").is_empty() {
                return Err(invalid("A specified event is not supported for notifications."));
            }
        }
    }
    if let Some(members) = given.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    change(call, &found, |bucket| bucket["_notification"] = given);
    Ok(json!({}))
}

fn get_bucket_accelerate_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"Status": optional(&found.value, "_accelerate")}))
}

fn put_bucket_accelerate_configuration(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let Some(status) = optional(&input["AccelerateConfiguration"], "Status") else { return Err(malformed_xml()) };
    if found.name.contains('.') {
        let message = "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names";
        return Err(refused(message));
    }
    let status = status.to_owned();
    change(call, &found, |bucket| bucket["_accelerate"] = json!(status));
    Ok(json!({}))
}

fn get_bucket_request_payment(call: &mut Call<'_>, input: &Value) -> Answer {
    bucket(call, input)?;
    Ok(json!({"Payer": "BucketOwner"}))
}

fn get_bucket_website(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let message = "The specified bucket does not have a website configuration";
    Err(missing(&found, "NoSuchWebsiteConfiguration", message))
}
