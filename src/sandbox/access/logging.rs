//! What a trail records, and whether it can deliver.
//!
//! Only a gap counts: recording more than either end for a moment harms nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::patterns::instance;
use super::{Found, Reader};
use crate::sandbox::iam_eval::{Caller, Context, Decision, Policies, Request, decide, texts};

/// The members of a trail that decide what is recorded, and whether it is delivered.
const MEMBERS: [&str; 12] = [
    "S3BucketName",
    "S3KeyPrefix",
    "KmsKeyId",
    "TrailARN",
    "IncludeGlobalServiceEvents",
    "IsMultiRegionTrail",
    "IsOrganizationTrail",
    "LogFileValidationEnabled",
    "CloudWatchLogsLogGroupArn",
    "CloudWatchLogsRoleArn",
    "_selectors",
    "_status",
];
const SERVICE: &str = "cloudtrail.amazonaws.com";

/// What logs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Logging {
    Trail(Box<Trail>),
    /// The configuration of Bedrock's log of model invocations.
    Invocations(Value),
}

/// A trail with all that its records depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trail {
    trail: Value,
    account: String,
    region: String,
    bucket_policy: Option<Value>,
    /// The key's policy; none where the trail has no key.
    key_policy: Option<Value>,
    key_usable: bool,
}

pub(super) fn read(reader: &Reader<'_>) -> Vec<(String, Logging)> {
    let mut out = Vec::new();
    for (place, name, mut trail) in reader.all("cloudtrail", "trails") {
        if let Some(members) = trail.as_object_mut() {
            members.retain(|name, _| MEMBERS.contains(&name.as_str()));
        }
        let text = |value: &Value| value.as_str().and_then(|text| serde_json::from_str(text).ok());
        let bucket = trail["S3BucketName"].as_str().and_then(|name| reader.get(&place.account, "s3", "buckets", name));
        let key = trail["KmsKeyId"].as_str().and_then(|arn| arn.rsplit('/').next());
        let key = key.map(|id| reader.get(&place.account, "kms", "keys", id).unwrap_or_default());
        let facts = Trail {
            account: place.account.clone(),
            region: place.region.clone(),
            bucket_policy: bucket.and_then(|bucket| text(&bucket["_policy"])),
            key_usable: key.as_ref().is_none_or(|key| key["KeyState"] == "Enabled"),
            key_policy: key.map(|key| text(&key["_policy"]).unwrap_or_default()),
            trail,
        };
        out.push((format!("trail {name}"), Logging::Trail(Box::new(facts))));
    }
    for (place, _, found) in reader.all("bedrock", "invocation_logging") {
        let facts = Logging::Invocations(found["loggingConfig"].clone());
        out.push((format!("invocations in {}", place.region), facts));
    }
    out
}

/// An event by its fields.
type Event = BTreeMap<String, String>;

impl Logging {
    pub(super) fn between(&self, before: &Self, after: &Self) -> Found {
        match (before, self, after) {
            (Logging::Trail(before), Logging::Trail(here), Logging::Trail(after)) => here.between(before, after),
            (Logging::Invocations(before), Logging::Invocations(here), Logging::Invocations(after)) => {
                invocations(before, here, after)
            }
            _ => Found::new(),
        }
    }
}

/// Finds a kind of data that both ends log to one destination, and the moment does not.
fn invocations(before: &Value, here: &Value, after: &Value) -> Found {
    let mut found = Found::new();
    for destination in ["cloudWatchConfig", "s3Config"] {
        for data in ["text", "image", "embedding", "video", "audio"] {
            let logs = |it: &Value| it.get(destination).is_some() && it[format!("{data}DataDeliveryEnabled")] == true;
            if logs(before) && logs(after) && !logs(here) {
                found.push((format!("{data} to {destination}"), false));
            }
        }
    }
    found
}

impl Trail {
    fn delivers(&self) -> bool {
        let text = |name: &str| self.trail[name].as_str().unwrap_or_default();
        let folder = self.trail["S3KeyPrefix"].as_str().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let arn = format!("arn:aws:s3:::{}", text("S3BucketName"));
        let object = format!("{arn}/{folder}AWSLogs/{}/CloudTrail/{}/log.json.gz", self.account, self.region);
        let caller = Caller { service: Some(SERVICE.to_owned()), ..Caller::default() };
        let context: Context = [
            ("aws:sourcearn", text("TrailARN")),
            ("aws:sourceaccount", self.account.as_str()),
            ("s3:x-amz-acl", "bucket-owner-full-control"),
            ("aws:securetransport", "true"),
            ("kms:encryptioncontext:aws:cloudtrail:arn", text("TrailARN")),
        ]
        .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]))
        .into();
        let lets = |policy: Option<&Value>, action: &str, resource: &str| {
            let policies = Policies { resource: policy, resource_decides: true, ..Policies::default() };
            decide(&policies, &Request { caller: &caller, action, resource, context: &context }) == Decision::Allowed
        };
        let key = self.trail["KmsKeyId"].as_str().unwrap_or_default();
        let encrypts = self.key_policy.is_none()
            || (self.key_usable && lets(self.key_policy.as_ref(), "kms:GenerateDataKey", key));
        lets(self.bucket_policy.as_ref(), "s3:PutObject", &object) && encrypts
    }

    fn records(&self, event: &Event) -> bool {
        let is = |name: &str| event.get(name).map(String::as_str);
        if is("global") == Some("true") && self.trail["IncludeGlobalServiceEvents"] != true {
            return false;
        }
        if is("away") == Some("true") && self.trail["IsMultiRegionTrail"] != true {
            return false;
        }
        let list = |name: &str| self.trail["_selectors"][name].as_array().cloned().unwrap_or_default();
        if is("member") == Some("true") && self.trail["IsOrganizationTrail"] != true {
            return false;
        }
        list("EventSelectors").iter().any(|selector| basic(selector, event))
            || list("AdvancedEventSelectors").iter().any(|selector| advanced(selector, event))
    }

    fn is_on(&self) -> bool {
        self.trail["_status"]["IsLogging"] == true
    }

    fn between(&self, before: &Self, after: &Self) -> Found {
        let mut found = Found::new();
        let mut gap = |what: &str, test: &dyn Fn(&Self) -> bool| {
            if test(before) && test(after) && !test(self) {
                found.push((what.to_owned(), false));
            }
        };
        gap("logging", &Self::is_on);
        gap("delivery", &|it| it.is_on() && it.delivers());
        gap("validation of log files", &|it| it.trail["LogFileValidationEnabled"] == true);
        gap("delivery to the log group", &|it| it.is_on() && it.trail.get("CloudWatchLogsLogGroupArn").is_some());
        for event in events(&[before, self, after]) {
            gap(&format!("the event {event:?}"), &|it| it.is_on() && it.records(&event));
        }
        found
    }
}

fn basic(selector: &Value, event: &Event) -> bool {
    let field = |name: &str| event.get(name).map_or("", String::as_str);
    let of_access = match selector["ReadWriteType"].as_str() {
        Some("ReadOnly") => field("readOnly") == "true",
        Some("WriteOnly") => field("readOnly") == "false",
        _ => true,
    };
    let category = if field("eventCategory") == "Management" {
        let excluded = texts(selector.get("ExcludeManagementEventSources"));
        selector["IncludeManagementEvents"] == true && !excluded.iter().any(|source| source == field("eventSource"))
    } else {
        selector["DataResources"].as_array().into_iter().flatten().any(|resource| {
            let named = |value: &String| field("resources.ARN").starts_with(value.as_str());
            resource["Type"] == field("resources.type") && texts(resource.get("Values")).iter().any(named)
        })
    };
    of_access && category
}

type Test = fn(&str, &str) -> bool;

fn advanced(selector: &Value, event: &Event) -> bool {
    selector["FieldSelectors"].as_array().into_iter().flatten().all(|field| {
        let value = field["Field"].as_str().and_then(|name| event.get(name)).map_or("", String::as_str);
        let any = |operator: &str, test: Test| {
            let wanted = texts(field.get(operator));
            (!wanted.is_empty()).then(|| wanted.iter().any(|wanted| test(value, wanted)))
        };
        let (equal, starts, ends): (Test, Test, Test) = (|a, b| a == b, |a, b| a.starts_with(b), |a, b| a.ends_with(b));
        let positive = [any("Equals", equal), any("StartsWith", starts), any("EndsWith", ends)];
        let negative = [any("NotEquals", equal), any("NotStartsWith", starts), any("NotEndsWith", ends)];
        let some = positive.iter().flatten().next().is_none() || positive.contains(&Some(true));
        some && !negative.contains(&Some(true))
    })
}

/// Returns events that differ in every field that a selector names.
fn events(all: &[&Trail]) -> Vec<Event> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |field: &str, value: String| {
        values.entry(field.to_owned()).or_default().insert(value);
    };
    for value in ["true", "false"] {
        add("readOnly", value.to_owned());
        add("global", value.to_owned());
        add("away", value.to_owned());
        add("member", value.to_owned());
    }
    add("eventSource", "sts.amazonaws.com".to_owned());
    for it in all {
        for selector in it.trail["_selectors"]["EventSelectors"].as_array().into_iter().flatten() {
            for source in texts(selector.get("ExcludeManagementEventSources")) {
                add("eventSource", source);
            }
            for resource in selector["DataResources"].as_array().into_iter().flatten() {
                add("resources.type", resource["Type"].as_str().unwrap_or_default().to_owned());
                for value in texts(resource.get("Values")) {
                    add("resources.ARN", instance(&format!("{value}*")));
                }
            }
        }
        for selector in it.trail["_selectors"]["AdvancedEventSelectors"].as_array().into_iter().flatten() {
            for field in selector["FieldSelectors"].as_array().into_iter().flatten() {
                let name = field["Field"].as_str().unwrap_or_default();
                for operator in ["Equals", "NotEquals", "StartsWith", "NotStartsWith"] {
                    for value in texts(field.get(operator)) {
                        add(name, if operator.ends_with("With") { format!("{value}~") } else { value });
                    }
                }
            }
        }
    }
    values.insert("eventCategory".to_owned(), ["Management", "Data"].map(str::to_owned).into());
    let mut out = vec![Event::new()];
    for (field, values) in values {
        let with = |event: &Event, value: &String| {
            let mut event = event.clone();
            event.insert(field.clone(), value.clone());
            event
        };
        out = out.iter().flat_map(|event| values.iter().map(move |value| with(event, value))).collect();
    }
    out
}
