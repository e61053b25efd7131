//! Tags and attributes of objects.

use serde_json::{Value, json};

use super::object::{CHECKSUMS, object_tags};
use super::{bucket, encryption, versions};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::Answer;
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DeleteObjectTagging", delete_object_tagging),
    ("GetObjectAttributes", get_object_attributes),
    ("GetObjectTagging", get_object_tagging),
    ("PutObjectTagging", put_object_tagging),
];

fn get_object_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let (_, version) = versions::asked(call, &found, input)?;
    Ok(json!({"TagSet": version["_tags"], "VersionId": versions::shown(&found, &version)}))
}

fn set_tags(call: &mut Call<'_>, input: &Value, tags: Value) -> Answer {
    let found = bucket(call, input)?;
    let (key, version) = versions::asked(call, &found, input)?;
    versions::change(call, &found, &key, &version["_version"], |version| version["_tags"] = tags);
    Ok(json!({"VersionId": versions::shown(&found, &version)}))
}

fn put_object_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    let tags = object_tags(&input["Tagging"]["TagSet"])?;
    set_tags(call, input, tags)
}

fn delete_object_tagging(call: &mut Call<'_>, input: &Value) -> Answer {
    set_tags(call, input, json!([]))
}

fn get_object_attributes(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let (_, version) = versions::asked(call, &found, input)?;
    encryption::check_read(call, &version, input)?;
    let mut out = json!({"LastModified": version["LastModified"], "VersionId": versions::shown(&found, &version)});
    for wanted in texts(input, "ObjectAttributes") {
        match wanted {
            "ETag" => out["ETag"] = json!(text(&version, "ETag").trim_matches('"')),
            "ObjectSize" => out["ObjectSize"] = version["ContentLength"].clone(),
            "StorageClass" => {
                out["StorageClass"] = json!(optional(&version, "StorageClass").unwrap_or("STANDARD"));
            }
            "Checksum" => {
                let mut sums = json!({"ChecksumType": version["ChecksumType"]});
                for (name, _) in CHECKSUMS {
                    if let Some(value) = optional(&version, name) {
                        // The number of parts stands behind a dash, and is not part of the value here.
                        sums[name] = json!(value.split('-').next().unwrap_or(value));
                    }
                }
                out["Checksum"] = sums;
            }
            "ObjectParts" => {
                if let Some(parts) = version["_parts"].as_array() {
                    let composite = version["ChecksumType"] == "COMPOSITE";
                    out["ObjectParts"] = json!({
                        "TotalPartsCount": parts.len(),
                        "PartNumberMarker": "0",
                        "NextPartNumberMarker": parts.len().to_string(),
                        "MaxParts": 1000,
                        "IsTruncated": false,
                        "Parts": composite.then_some(parts),
                    });
                }
            }
            _ => {}
        }
    }
    Ok(out)
}
