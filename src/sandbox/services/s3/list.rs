//! Lists of objects and versions, with prefixes, delimiters and pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Bucket, OBJECTS, bucket, invalid, owner};
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::codec::{from_base64, to_base64};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("ListObjectVersions", list_object_versions), ("ListObjects", list_objects), ("ListObjectsV2", list_objects_v2)];

/// The most entries of one page.
const PAGE_MAX: usize = 1000;
/// What `EncodingType=url` leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// One entry of a page.
enum Item {
    Object(String, Value),
    Prefix(String),
}

/// What a list request asks for.
struct Query<'q> {
    prefix: &'q str,
    delimiter: &'q str,
    max: usize,
    encoded: bool,
}

impl<'q> Query<'q> {
    fn of(input: &'q Value) -> Result<Self, AwsError> {
        let max = input["MaxKeys"].as_i64().unwrap_or(1000);
        let max = usize::try_from(max)
            .map_err(|_| invalid("Argument maxKeys must be an integer between 0 and 2147483647"))?;
        Ok(Query {
            prefix: text(input, "Prefix"),
            delimiter: text(input, "Delimiter"),
            max: max.min(PAGE_MAX),
            encoded: optional(input, "EncodingType") == Some("url"),
        })
    }

    fn write(&self, key: &str) -> Value {
        if self.encoded { json!(utf8_percent_encode(key, URL).to_string()) } else { json!(key) }
    }

    /// Returns the common prefix that a key is folded into.
    fn folded<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let at = key.strip_prefix(self.prefix)?.find(self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }

    /// Makes one page of entries after a marker, and tells whether there are more.
    fn page(&self, keys: impl Iterator<Item = (String, Value)>, after: &str) -> (Vec<Item>, bool) {
        let mut out: Vec<Item> = Vec::new();
        for (key, value) in keys.filter(|(key, _)| key.starts_with(self.prefix)) {
            let folded = self.folded(&key).map(str::to_owned);
            // A prefix that an earlier page ended with is not shown again.
            if folded.as_deref().unwrap_or(&key) <= after {
                continue;
            }
            if matches!((&folded, out.last()), (Some(folded), Some(Item::Prefix(last))) if folded == last) {
                continue;
            }
            if out.len() == self.max {
                return (out, self.max > 0);
            }
            out.push(match folded {
                Some(prefix) => Item::Prefix(prefix),
                None => Item::Object(key, value),
            });
        }
        (out, false)
    }

    fn common(&self, items: &[Item]) -> Value {
        let prefixes: Vec<Value> = items
            .iter()
            .filter_map(|item| match item {
                Item::Prefix(prefix) => Some(json!({"Prefix": self.write(prefix)})),
                Item::Object(..) => None,
            })
            .collect();
        if prefixes.is_empty() { Value::Null } else { Value::Array(prefixes) }
    }

    /// Repeats the request's own members in the answer.
    fn echo(&self, input: &Value, out: &mut Value) {
        out["Name"] = input["Bucket"].clone();
        out["Prefix"] = self.write(self.prefix);
        out["MaxKeys"] = json!(input["MaxKeys"].as_i64().unwrap_or(1000).min(1000));
        if !self.delimiter.is_empty() {
            out["Delimiter"] = self.write(self.delimiter);
        }
        if self.encoded {
            out["EncodingType"] = json!("url");
        }
    }
}

fn name_of(item: &Item) -> &str {
    match item {
        Item::Object(key, _) | Item::Prefix(key) => key,
    }
}

/// Returns each key's current version; deleted ones are left out.
fn current(call: &Call<'_>, bucket: &Bucket) -> Vec<(String, Value)> {
    let contents = bucket.contents();
    let newest =
        call.rows_now_at(&contents, OBJECTS).map(|(key, object)| (key.to_owned(), object["Versions"][0].clone()));
    newest.filter(|(_, newest)| newest["_marker"] != true).collect()
}

fn contents(call: &Call<'_>, query: &Query<'_>, items: &[Item], with_owner: bool) -> Value {
    let objects: Vec<Value> = items
        .iter()
        .filter_map(|item| match item {
            Item::Object(key, version) => Some(content(call, query, key, version, with_owner)),
            Item::Prefix(_) => None,
        })
        .collect();
    if objects.is_empty() { Value::Null } else { Value::Array(objects) }
}

fn content(call: &Call<'_>, query: &Query<'_>, key: &str, version: &Value, with_owner: bool) -> Value {
    let mut out = json!({
        "Key": query.write(key),
        "LastModified": version["LastModified"],
        "ETag": version["ETag"],
        "Size": version["ContentLength"],
        "StorageClass": optional(version, "StorageClass").unwrap_or("STANDARD"),
    });
    let known = super::object::CHECKSUMS.iter().find(|(name, _)| version.get(*name).is_some());
    if let Some((_, algorithm)) = known {
        out["ChecksumAlgorithm"] = json!([algorithm.to_ascii_uppercase()]);
        out["ChecksumType"] = version["ChecksumType"].clone();
    }
    if with_owner {
        out["Owner"] = owner(&call.account);
    }
    out
}

fn list_objects_v2(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let query = Query::of(input)?;
    let start = optional(input, "StartAfter").unwrap_or_default();
    let token = optional(input, "ContinuationToken");
    let after = match token {
        Some(token) => from_base64(token)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.strip_prefix("after:").map(str::to_owned))
            .ok_or_else(|| invalid("The continuation token provided is incorrect"))?,
        None => start.to_owned(),
    };
    let (items, more) = query.page(current(call, &found).into_iter(), &after);
    let with_owner = input["FetchOwner"] == true;
    let mut out = json!({
        "Contents": contents(call, &query, &items, with_owner),
        "CommonPrefixes": query.common(&items),
        "KeyCount": items.len(),
        "IsTruncated": more,
        "ContinuationToken": token,
    });
    query.echo(input, &mut out);
    if !start.is_empty() {
        out["StartAfter"] = query.write(start);
    }
    if let Some(last) = items.last().filter(|_| more) {
        out["NextContinuationToken"] = json!(to_base64(format!("after:{}", name_of(last)).as_bytes()));
    }
    Ok(out)
}

fn list_objects(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let query = Query::of(input)?;
    let marker = optional(input, "Marker").unwrap_or_default();
    let (items, more) = query.page(current(call, &found).into_iter(), marker);
    let mut out = json!({
        "Contents": contents(call, &query, &items, true),
        "CommonPrefixes": query.common(&items),
        "IsTruncated": more,
        "Marker": query.write(marker),
    });
    query.echo(input, &mut out);
    // Without a delimiter the last key is the next marker, and S3 does not repeat it.
    if let Some(last) = items.last().filter(|_| more && !query.delimiter.is_empty()) {
        out["NextMarker"] = query.write(name_of(last));
    }
    Ok(out)
}

fn list_object_versions(call: &mut Call<'_>, input: &Value) -> Answer {
    let found = bucket(call, input)?;
    let query = Query::of(input)?;
    let (key_marker, id_marker) = (text(input, "KeyMarker"), text(input, "VersionIdMarker"));
    if key_marker.is_empty() && !id_marker.is_empty() {
        return Err(invalid("A version-id marker cannot be specified without a key marker."));
    }
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::<String>::new());
    let mut last: Option<(String, String)> = None;
    let (mut count, mut more) = (0, false);
    'keys: for (key, object) in call.rows_now_at(&found.contents(), OBJECTS) {
        if !key.starts_with(query.prefix) || key < key_marker {
            continue;
        }
        if let Some(folded) = query.folded(key).map(str::to_owned) {
            if folded.as_str() <= key_marker || prefixes.last() == Some(&folded) {
                continue;
            }
            if count == query.max {
                more = query.max > 0;
                break;
            }
            last = Some((folded.clone(), String::new()));
            prefixes.push(folded);
            count += 1;
            continue;
        }
        // After a key alone its versions are done; after a key and a version, those below that version follow.
        let mut skipping = key == key_marker;
        if skipping && id_marker.is_empty() {
            continue;
        }
        for (at, version) in object["Versions"].as_array().into_iter().flatten().enumerate() {
            if skipping {
                skipping = version["_version"] != id_marker;
                continue;
            }
            if count == query.max {
                more = query.max > 0;
                break 'keys;
            }
            let mut one = json!({
                "Key": query.write(key),
                "VersionId": version["_version"],
                "IsLatest": at == 0,
                "LastModified": version["LastModified"],
                "Owner": owner(&call.account),
            });
            last = Some((key.to_owned(), text(version, "_version").to_owned()));
            count += 1;
            if version["_marker"] == true {
                markers.push(one);
            } else {
                one["ETag"] = version["ETag"].clone();
                one["Size"] = version["ContentLength"].clone();
                one["StorageClass"] = json!(optional(version, "StorageClass").unwrap_or("STANDARD"));
                versions.push(one);
            }
        }
    }
    let list = |items: Vec<Value>| if items.is_empty() { Value::Null } else { Value::Array(items) };
    let prefixes: Vec<Value> = prefixes.iter().map(|prefix| json!({"Prefix": query.write(prefix)})).collect();
    let mut out = json!({
        "Versions": list(versions),
        "DeleteMarkers": list(markers),
        "CommonPrefixes": list(prefixes),
        "IsTruncated": more,
        "KeyMarker": query.write(key_marker),
        "VersionIdMarker": id_marker,
    });
    query.echo(input, &mut out);
    if let Some((key, id)) = last.filter(|_| more) {
        out["NextKeyMarker"] = query.write(&key);
        out["NextVersionIdMarker"] = Some(id).filter(|id| !id.is_empty()).into();
    }
    Ok(out)
}
