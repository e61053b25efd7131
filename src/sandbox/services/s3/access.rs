//! Access to a bucket: policy, public access block, ownership and access control lists.

use serde_json::{Value, json};

use super::{Bucket, bucket, change, denied, fault, malformed_xml, owner};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::documents::{self, PolicyFault};

pub(super) const OPERATIONS: Operations = &[
    ("DeleteBucketOwnershipControls", delete_bucket_ownership_controls),
    ("DeleteBucketPolicy", delete_bucket_policy),
    ("DeletePublicAccessBlock", delete_public_access_block),
    ("GetBucketAcl", get_bucket_acl),
    ("GetBucketOwnershipControls", get_bucket_ownership_controls),
    ("GetBucketPolicy", get_bucket_policy),
    ("GetBucketPolicyStatus", get_bucket_policy_status),
    ("GetObjectAcl", get_object_acl),
    ("GetPublicAccessBlock", get_public_access_block),
    ("PutBucketAcl", put_bucket_acl),
    ("PutBucketOwnershipControls", put_bucket_ownership_controls),
    ("PutBucketPolicy", put_bucket_policy),
    ("PutPublicAccessBlock", put_public_access_block),
];

const ENFORCED: &str = "BucketOwnerEnforced";
/// The longest policy, in bytes.
const POLICY_BYTES_MAX: usize = 20_480;
const BLOCKS: [&str; 4] = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

/// Returns the block that a new bucket has.
pub(super) fn all_blocked() -> Value {
    BLOCKS.iter().map(|name| ((*name).to_owned(), json!(true))).collect::<serde_json::Map<_, _>>().into()
}

fn blocks(bucket: &Bucket, name: &str) -> bool {
    bucket.value["_public_access_block"][name] == true
}

fn get_public_access_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match found.value.get("_public_access_block").filter(|block| !block.is_null()) {
        Some(block) => Ok(json!({"PublicAccessBlockConfiguration": block})),
        None => {
            let message = "The public access block configuration was not found";
            Err(fault("NoSuchPublicAccessBlockConfiguration", 404, message).with("BucketName", found.name))
        }
    }
}

fn put_public_access_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let given = &input["PublicAccessBlockConfiguration"];
    let block: serde_json::Map<String, Value> =
        BLOCKS.iter().map(|name| ((*name).to_owned(), json!(given[*name] == true))).collect();
    change(call, &found, |bucket| bucket["_public_access_block"] = Value::Object(block));
    Ok(json!({}))
}

fn delete_public_access_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_public_access_block"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn malformed(message: &str) -> AwsError {
    fault("MalformedPolicy", 400, message)
}

fn put_bucket_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let document = text(input, "Policy").to_owned();
    if document.len() > POLICY_BYTES_MAX {
        return Err(malformed("Normalized policy document exceeds the maximum allowed size of 20480 bytes."));
    }
    let statements = documents::parse(call, &document, "s3").map_err(|error| match error {
        PolicyFault::Malformed(message) => malformed(message),
        PolicyFault::Principal(principal) => malformed("Invalid principal in policy").with("Detail", principal),
        PolicyFault::Action => malformed("Policy has invalid action"),
    })?;
    let arn = text(&found.value, "BucketArn");
    for statement in &statements {
        let resources = documents::texts(statement.get("Resource").or(statement.get("NotResource")));
        let ours =
            |resource: &&str| *resource == arn || resource.strip_prefix(arn).is_some_and(|it| it.starts_with('/'));
        let reaching = |resource: &&str| ours(resource) || *resource == "*" || documents::covers(resource, arn);
        if resources.is_empty() || !resources.iter().all(reaching) {
            return Err(malformed("Policy has invalid resource"));
        }
    }
    if blocks(&found, "BlockPublicPolicy") && statements.iter().any(documents::is_public) {
        let message = format!(
            "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"{arn}\" because public policies \
             are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            call.principal
        );
        return Err(fault("AccessDenied", 403, &message));
    }
    change(call, &found, |bucket| bucket["_policy"] = json!(document));
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn policy(found: &Bucket) -> Result<String, AwsError> {
    optional(&found.value, "_policy").map(str::to_owned).ok_or_else(|| {
        fault("NoSuchBucketPolicy", 404, "The bucket policy does not exist").with("BucketName", found.name.as_str())
    })
}

fn get_bucket_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    Ok(json!({"Policy": policy(&found)?}))
}

fn get_bucket_policy_status(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let document: Value = serde_json::from_str(&policy(&found)?).unwrap_or_default();
    let statements = match &document["Statement"] {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let open = statements.iter().any(documents::is_public);
    Ok(json!({"PolicyStatus": {"IsPublic": open && !blocks(&found, "RestrictPublicBuckets")}}))
}

fn delete_bucket_policy(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_policy"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

fn get_bucket_ownership_controls(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    match optional(&found.value, "_ownership") {
        Some(ownership) => Ok(json!({"OwnershipControls": {"Rules": [{"ObjectOwnership": ownership}]}})),
        None => {
            let message = "The bucket ownership controls were not found";
            Err(fault("OwnershipControlsNotFoundError", 404, message).with("BucketName", found.name))
        }
    }
}

fn put_bucket_ownership_controls(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let rules = input["OwnershipControls"]["Rules"].as_array().cloned().unwrap_or_default();
    let [rule] = rules.as_slice() else { return Err(malformed_xml()) };
    let ownership = text(rule, "ObjectOwnership").to_owned();
    if ownership == ENFORCED && text(&found.value, "_acl") != "private" {
        let message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
        return Err(fault("InvalidBucketAclWithObjectOwnership", 400, message));
    }
    change(call, &found, |bucket| bucket["_ownership"] = json!(ownership));
    Ok(json!({}))
}

fn delete_bucket_ownership_controls(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    change(call, &found, |bucket| bucket["_ownership"] = Value::Null);
    call.reply_status = Some(204);
    Ok(json!({}))
}

/// Refuses a canned list on a bucket or object that can't have it.
pub(super) fn check_acl(bucket: &Bucket, input: &Value) -> Result<(), AwsError> {
    let acl = optional(input, "ACL");
    let grants = ["GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP"];
    let granted = grants.iter().any(|name| input.get(*name).is_some());
    let harmless = matches!(acl, None | Some("bucket-owner-full-control" | "private"));
    if text(&bucket.value, "_ownership") == ENFORCED && (granted || !harmless) {
        let message = "The bucket does not allow ACLs";
        return Err(fault("AccessControlListNotSupported", 400, message));
    }
    if acl.is_some_and(|acl| acl.starts_with("public-")) && blocks(bucket, "BlockPublicAcls") {
        return Err(denied());
    }
    Ok(())
}

fn put_bucket_acl(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    check_acl(&found, input)?;
    let acl = match (optional(input, "ACL"), input.get("AccessControlPolicy")) {
        (Some(acl), _) => acl.to_owned(),
        (None, Some(policy)) => {
            // Of full lists the sandbox has the one that every bucket starts with.
            let grants = policy["Grants"].as_array().cloned().unwrap_or_default();
            let own = owner(&call.account)["ID"].clone();
            if !grants.iter().all(|grant| grant["Grantee"]["ID"] == own) {
                return Err(fault("NotImplemented", 501, "The sandbox keeps canned access control lists only"));
            }
            "private".to_owned()
        }
        (None, None) => return Err(fault("MissingSecurityHeader", 400, "Your request was missing a required header")),
    };
    change(call, &found, |bucket| bucket["_acl"] = json!(acl));
    Ok(json!({}))
}

fn get_bucket_acl(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let acl = text(&found.value, "_acl").to_owned();
    Ok(acl_answer(&call.account, &acl))
}

fn get_object_acl(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let (_, version) = super::versions::asked(call, &found, input)?;
    let acl = optional(&version, "_acl").unwrap_or("private").to_owned();
    Ok(acl_answer(&call.account, &acl))
}

fn acl_answer(account: &str, acl: &str) -> Value {
    let own = owner(account);
    let mut grants = vec![json!({
        "Grantee": {"ID": own["ID"], "Type": "CanonicalUser"},
        "Permission": "FULL_CONTROL",
    })];
    let group =
        |uri: &str, permission: &str| json!({"Grantee": {"URI": uri, "Type": "Group"}, "Permission": permission});
    let (all, signed) = (
        "http://acs.amazonaws.com/groups/global/AllUsers",
        "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    );
    let log = "http://acs.amazonaws.com/groups/s3/LogDelivery";
    match acl {
        "public-read" => grants.push(group(all, "READ")),
        "public-read-write" => grants.extend([group(all, "READ"), group(all, "WRITE")]),
        "authenticated-read" => grants.push(group(signed, "READ")),
        "log-delivery-write" => grants.extend([group(log, "WRITE"), group(log, "READ_ACP")]),
        _ => {}
    }
    json!({"Owner": own, "Grants": grants})
}
