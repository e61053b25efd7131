//! Buckets: their names, regions and lives.

use serde_json::{Value, json};

use super::{BUCKETS, OBJECTS, UPLOADS, bucket, denied, fault, named, owner};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::tags;

pub(super) const OPERATIONS: Operations = &[
    ("CreateBucket", create_bucket),
    ("DeleteBucket", delete_bucket),
    ("GetBucketLocation", get_bucket_location),
    ("HeadBucket", head_bucket),
    ("ListBuckets", list_buckets),
];

fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| inner(*b))
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| name.starts_with(start))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| name.ends_with(end))
}

/// Works out the region of a new bucket.
fn location(call: &Call<'_>, input: &Value) -> Result<String, AwsError> {
    let given = input.get("CreateBucketConfiguration").and_then(|it| optional(it, "LocationConstraint"));
    let illegal = |given: &str| {
        let message = format!(
            "The {given} location constraint is incompatible for the region specific endpoint this request was sent to."
        );
        fault("IllegalLocationConstraintException", 400, &message)
    };
    match (call.region.as_str(), given.filter(|given| !given.is_empty())) {
        ("us-east-1", None) => Ok(call.region.clone()),
        ("us-east-1", Some("us-east-1")) => {
            let message = "The specified location-constraint is not valid";
            Err(fault("InvalidLocationConstraint", 400, message).with("LocationConstraint", "us-east-1"))
        }
        ("us-east-1" | "eu-west-1", Some("EU")) => Ok("eu-west-1".to_owned()),
        ("us-east-1", Some(region)) => Ok(region.to_owned()),
        (_, None) => Err(illegal("unspecified")),
        (own, Some(region)) if own == region => Ok(region.to_owned()),
        (_, Some(region)) => Err(illegal(region)),
    }
}

fn create_bucket(call: &mut Call<'_>, input: &Value) -> Answer {
    let name = text(input, "Bucket").to_owned();
    if !is_name(&name) {
        return Err(fault("InvalidBucketName", 400, "The specified bucket is not valid.").with("BucketName", name));
    }
    let region = location(call, input)?;
    let arn = format!("arn:{}:s3:::{name}", call.partition());
    let answer = json!({"Location": format!("/{name}"), "BucketArn": arn});
    if let Some((place, _)) = call.anywhere("s3", BUCKETS, &name) {
        if place.account != call.account {
            let message = "The requested bucket name is not available. The bucket namespace is shared by all users of \
                           the system. Please select a different name and try again.";
            return Err(fault("BucketAlreadyExists", 409, message).with("BucketName", name));
        }
        // In this region alone, creating an own bucket again succeeds and changes nothing.
        if region == "us-east-1" && place.region == region {
            return Ok(answer);
        }
        let message = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(fault("BucketAlreadyOwnedByYou", 409, message).with("BucketName", name));
    }
    let ownership = optional(input, "ObjectOwnership").unwrap_or("BucketOwnerEnforced");
    let acl = optional(input, "ACL").unwrap_or("private");
    if acl != "private" && ownership == "BucketOwnerEnforced" {
        let message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
        return Err(fault("InvalidBucketAclWithObjectOwnership", 400, message));
    }
    // A new bucket blocks public access, so it can't be made with a public list either.
    if acl.starts_with("public-") {
        return Err(denied());
    }
    if call.count(BUCKETS) >= call.quota("buckets") {
        let message = "You have attempted to create more buckets than allowed";
        return Err(fault("TooManyBuckets", 400, message));
    }
    let given = input.get("CreateBucketConfiguration").and_then(|it| it.get("Tags"));
    let tags = tags::requested(given).map_err(|error| fault("InvalidTag", 400, &error.message()))?;
    let lock = input["ObjectLockEnabledForBucket"] == true;
    let mut made = json!({
        "Name": name,
        "CreationDate": call.timestamp(),
        "BucketRegion": region,
        "BucketArn": arn,
        "TagSet": tags::list(&tags, "Key", "Value"),
        "_arn": arn,
        "_acl": acl,
        "_ownership": ownership,
        "_encryption": super::encryption::default_of_new(),
        "_public_access_block": super::access::all_blocked(),
    });
    if lock {
        made["_versioning"] = json!("Enabled");
        made["_lock"] = json!({"ObjectLockEnabled": "Enabled"});
    }
    let mut place = call.place();
    place.region = region;
    call.put_at(&place, BUCKETS, &name, made);
    Ok(answer)
}

fn head_bucket(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"BucketRegion": found.place.region, "BucketArn": found.value["BucketArn"]}))
}

fn get_bucket_location(call: &mut Call<'_>, input: &Value) -> Answer {
    // The one operation that any region answers.
    let (place, _) = match call.anywhere("s3", BUCKETS, text(input, "Bucket")) {
        Some(found) => found,
        None => return named(call, text(input, "Bucket"), None).map(|_| Value::Null),
    };
    if place.account != call.account {
        return Err(denied());
    }
    let constraint = Some(place.region).filter(|region| region != "us-east-1");
    Ok(json!({"LocationConstraint": constraint}))
}

fn list_buckets(call: &mut Call<'_>, input: &Value) -> Answer {
    let prefix = optional(input, "Prefix").unwrap_or_default();
    let region = optional(input, "BucketRegion");
    let mut place = call.place();
    let mut found = Vec::new();
    for known in call.regions("s3") {
        place.region = known;
        found.extend(call.list_at(&place, BUCKETS));
    }
    found.retain(|(name, value)| {
        name.starts_with(prefix) && region.is_none_or(|region| text(value, "BucketRegion") == region)
    });
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut answer = call.paged(input, "Buckets", found, 10_000)?;
    answer["Owner"] = owner(&call.account);
    if !prefix.is_empty() {
        answer["Prefix"] = json!(prefix);
    }
    Ok(answer)
}

fn delete_bucket(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let contents = found.contents();
    if call.rows_at(&contents, OBJECTS).next().is_some() {
        let message = "The bucket you tried to delete is not empty";
        return Err(fault("BucketNotEmpty", 409, message).with("BucketName", found.name));
    }
    for (id, _) in call.list_at(&contents, UPLOADS) {
        call.remove_at(&contents, UPLOADS, &id);
    }
    call.remove(BUCKETS, &found.name);
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn bucket_names_have_rules() {
        for good in ["abc", "acme-data", "a.b.c", "1-2", &"a".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["ab", "Acme", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "xn--a", "ab--x-s3", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
