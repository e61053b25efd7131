//! Launch templates and their versions: a version never changes, and inherits from its source.
//!
//! As AWS does, nothing in the data is checked before a launch.

use serde_json::{Map, Value, json};

use super::{describe, filter, invalid, new_tags};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateLaunchTemplate", create_launch_template),
    ("CreateLaunchTemplateVersion", create_launch_template_version),
    ("DeleteLaunchTemplate", delete_launch_template),
    ("DeleteLaunchTemplateVersions", delete_launch_template_versions),
    ("DescribeLaunchTemplateVersions", describe_launch_template_versions),
    ("DescribeLaunchTemplates", describe_launch_templates),
    ("ModifyLaunchTemplate", modify_launch_template),
];

const TEMPLATES: &str = "launch_templates";
/// The versions, by template id and number.
const VERSIONS: &str = "launch_template_versions";
/// Versions in one deletion, and on the largest page.
const VERSIONS_MAX: usize = 200;

fn missing(id: &str) -> AwsError {
    let message = format!("The specified launch template, with template ID {id}, does not exist.");
    AwsError::new("InvalidLaunchTemplateId.NotFound", message)
}

fn version_missing(id: &str, version: &str) -> AwsError {
    let message = format!("Could not find the specified version {version} for the launch template with ID {id}.");
    AwsError::new("InvalidLaunchTemplateId.VersionNotFound", message)
}

fn name_missing() -> AwsError {
    let message = "At least one of the launch templates specified in the request does not exist.";
    AwsError::new("InvalidLaunchTemplateName.NotFoundException", message)
}

/// Sorts numbers as texts.
fn version_key(id: &str, number: u64) -> String {
    format!("{id}/{number:06}")
}

/// Finds a template by the id or the name in a request.
fn template(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    match (optional(input, "LaunchTemplateId"), optional(input, "LaunchTemplateName")) {
        (Some(_), Some(_)) => {
            let message = "The parameters launchTemplateId and launchTemplateName cannot be used together";
            Err(AwsError::new("InvalidParameterCombination", message))
        }
        (Some(id), None) => {
            let well_formed = id.strip_prefix("lt-").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
            if !well_formed {
                let message = format!("The launch template ID {id} is malformed.");
                return Err(AwsError::new("InvalidLaunchTemplateId.Malformed", message));
            }
            call.get(TEMPLATES, id).map(|found| (id.to_owned(), found)).ok_or_else(|| missing(id))
        }
        (None, Some(name)) => {
            call.find(TEMPLATES, |_, found| text(found, "LaunchTemplateName") == name).ok_or_else(name_missing)
        }
        (None, None) => {
            let message = "The request must contain the parameter launchTemplateId or launchTemplateName";
            Err(AwsError::new("MissingParameter", message))
        }
    }
}

/// Returns a version by number, `$Latest` or `$Default`.
fn version(call: &Call<'_>, id: &str, found: &Value, wanted: &str) -> Result<Value, AwsError> {
    let number = match wanted {
        "$Latest" => found["LatestVersionNumber"].as_u64(),
        "$Default" => found["DefaultVersionNumber"].as_u64(),
        number => match number.parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => {
                let message = format!("Launch template version '{number}' is invalid.");
                return Err(AwsError::new("InvalidLaunchTemplateId.VersionNotFound", message));
            }
        },
    };
    let version = number.and_then(|number| call.get(VERSIONS, &version_key(id, number)));
    version.ok_or_else(|| version_missing(id, wanted))
}

/// Returns the data of the version that a launch names, with the template's id and the version's number.
pub(super) fn data_for_launch(call: &Call<'_>, given: &Value) -> Result<(String, u64, Value), AwsError> {
    let (id, found) = template(call, given)?;
    let wanted = optional(given, "Version").unwrap_or("$Default");
    let version = version(call, &id, &found, wanted)?;
    let number = version["VersionNumber"].as_u64().unwrap_or_default();
    Ok((id, number, version["LaunchTemplateData"].clone()))
}

fn put_version(call: &mut Call<'_>, id: &str, name: &str, number: u64, input: &Value, data: Value) -> Value {
    let mut version = json!({
        "LaunchTemplateId": id, "LaunchTemplateName": name, "VersionNumber": number,
        "CreateTime": call.timestamp(), "CreatedBy": call.principal, "DefaultVersion": number == 1,
        "LaunchTemplateData": data,
    });
    if let Some(description) = optional(input, "VersionDescription") {
        version["VersionDescription"] = json!(description);
    }
    call.put(VERSIONS, &version_key(id, number), version.clone());
    version
}

fn check_data(input: &Value) -> Result<(), AwsError> {
    let data = input.get("LaunchTemplateData").and_then(Value::as_object);
    if data.is_none_or(Map::is_empty) {
        let message = "The request must contain the parameter launchTemplateData";
        return Err(AwsError::new("MissingParameter", message));
    }
    let encoded = input["LaunchTemplateData"].get("UserData").and_then(Value::as_str);
    if encoded.is_some_and(|data| crate::sandbox::codec::from_base64(data).is_none()) {
        return Err(AwsError::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."));
    }
    Ok(())
}

fn create_launch_template(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "ClientToken"), input, |call| {
        let name = text(input, "LaunchTemplateName");
        let allowed = |c: char| c.is_ascii_alphanumeric() || "().-/_".contains(c);
        if !(3..=128).contains(&name.len()) || !name.chars().all(allowed) {
            let message = format!(
                "The launch template name '{name}' is malformed. It must have 3 to 128 letters, digits or ().-/_"
            );
            return Err(AwsError::new("InvalidLaunchTemplateName.MalformedException", message));
        }
        check_data(input)?;
        let tags = new_tags(input, "launch-template")?;
        if call.any(TEMPLATES, |_, found| text(found, "LaunchTemplateName") == name) {
            let message = "Launch template name already in use.";
            return Err(AwsError::new("InvalidLaunchTemplateName.AlreadyExistsException", message));
        }
        if call.count(TEMPLATES) >= call.quota("launch_templates") {
            let message = "The maximum number of launch templates has been reached.";
            return Err(AwsError::new("LaunchTemplateLimitExceeded", message));
        }
        let id = call.id("lt");
        let arn = call.arn(&format!("launch-template/{id}"));
        let found = json!({
            "LaunchTemplateId": id, "LaunchTemplateName": name, "CreateTime": call.timestamp(),
            "CreatedBy": call.principal, "DefaultVersionNumber": 1, "LatestVersionNumber": 1,
            "Tags": tags, "_arn": arn, "_made": 1,
        });
        call.put(TEMPLATES, &id, found.clone());
        put_version(call, &id, name, 1, input, input["LaunchTemplateData"].clone());
        Ok(json!({"LaunchTemplate": found}))
    })
}

fn create_launch_template_version(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "ClientToken"), input, |call| {
        let (id, found) = template(call, input)?;
        check_data(input)?;
        // A version from a source has the source's members that it doesn't set itself.
        let mut data = match optional(input, "SourceVersion") {
            Some(source) => version(call, &id, &found, source)?["LaunchTemplateData"].clone(),
            None => json!({}),
        };
        for (key, value) in input["LaunchTemplateData"].as_object().into_iter().flatten() {
            data[key] = value.clone();
        }
        let number = found["_made"].as_u64().unwrap_or(1) + 1;
        let made = put_version(call, &id, text(&found, "LaunchTemplateName"), number, input, data);
        call.change(TEMPLATES, &id, |found| {
            found["LatestVersionNumber"] = json!(number);
            found["_made"] = json!(number);
        });
        Ok(json!({"LaunchTemplateVersion": made}))
    })
}

fn modify_launch_template(call: &mut Call<'_>, input: &Value) -> Answer {
    call.once(optional(input, "ClientToken"), input, |call| {
        let (id, found) = template(call, input)?;
        if let Some(wanted) = optional(input, "DefaultVersion") {
            let number = version(call, &id, &found, wanted)?["VersionNumber"].as_u64().unwrap_or_default();
            let old = found["DefaultVersionNumber"].as_u64().unwrap_or_default();
            call.change(VERSIONS, &version_key(&id, old), |version| version["DefaultVersion"] = json!(false));
            call.change(VERSIONS, &version_key(&id, number), |version| version["DefaultVersion"] = json!(true));
            call.change(TEMPLATES, &id, |found| found["DefaultVersionNumber"] = json!(number));
        }
        Ok(json!({"LaunchTemplate": call.get(TEMPLATES, &id)}))
    })
}

fn versions_of(call: &Call<'_>, id: &str) -> Vec<(String, Value)> {
    let prefix = format!("{id}/");
    call.select(VERSIONS, |key, _| key.starts_with(&prefix))
}

fn delete_launch_template(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = template(call, input)?;
    for (key, _) in versions_of(call, &id) {
        call.remove(VERSIONS, &key);
    }
    call.remove(TEMPLATES, &id);
    Ok(json!({"LaunchTemplate": found}))
}

fn delete_launch_template_versions(call: &mut Call<'_>, input: &Value) -> Answer {
    let (id, found) = template(call, input)?;
    let wanted = texts(input, "Versions");
    if wanted.is_empty() {
        return Err(AwsError::new("MissingParameter", "The request must contain the parameter versions"));
    }
    if wanted.len() > VERSIONS_MAX {
        return Err(invalid(format!("At most {VERSIONS_MAX} versions can be deleted in one request")));
    }
    let name = text(&found, "LaunchTemplateName").to_owned();
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for number in wanted {
        let key = version_key(&id, number.parse().unwrap_or_default());
        let row = json!({
            "LaunchTemplateId": id, "LaunchTemplateName": name, "VersionNumber": number.parse::<u64>().unwrap_or_default(),
        });
        let fault = match call.get(VERSIONS, &key) {
            None => Some(("launchTemplateVersionDoesNotExist", "The specified version does not exist.")),
            Some(version) if version["DefaultVersion"] == true => {
                Some(("unexpectedError", "The default version of a launch template cannot be deleted."))
            }
            Some(_) => None,
        };
        match fault {
            None => {
                call.remove(VERSIONS, &key);
                deleted.push(row);
            }
            Some((code, message)) => {
                let mut row = row;
                row["ResponseError"] = json!({"Code": code, "Message": message});
                kept.push(row);
            }
        }
    }
    let latest = versions_of(call, &id).iter().filter_map(|(_, version)| version["VersionNumber"].as_u64()).max();
    call.change(TEMPLATES, &id, |found| found["LatestVersionNumber"] = json!(latest));
    Ok(json!({
        "SuccessfullyDeletedLaunchTemplateVersions": deleted,
        "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
    }))
}

fn describe_launch_templates(call: &mut Call<'_>, input: &Value) -> Answer {
    for name in texts(input, "LaunchTemplateNames") {
        template(call, &json!({"LaunchTemplateName": name}))?;
    }
    for id in texts(input, "LaunchTemplateIds") {
        template(call, &json!({"LaunchTemplateId": id}))?;
    }
    let names = texts(input, "LaunchTemplateNames");
    let known = &[("launch-template-name", "LaunchTemplateName"), ("create-time", "CreateTime")];
    if names.is_empty() {
        let (what, ids) = ((TEMPLATES, "LaunchTemplates"), "LaunchTemplateIds");
        return describe(call, input, what, (ids, missing), known);
    }
    let filters = filter::parse(input, known)?;
    let rows = call.select(TEMPLATES, |_, row| {
        names.contains(&text(row, "LaunchTemplateName")) && filters.iter().all(|f| f.fits(row))
    });
    call.paged(input, "LaunchTemplates", rows, VERSIONS_MAX)
}

fn describe_launch_template_versions(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = texts(input, "Versions");
    let named = optional(input, "LaunchTemplateId").or(optional(input, "LaunchTemplateName")).is_some();
    let mut rows = Vec::new();
    if named {
        let (id, found) = template(call, input)?;
        if wanted.is_empty() {
            let bound =
                |name: &str, default: u64| optional(input, name).and_then(|text| text.parse().ok()).unwrap_or(default);
            let range = bound("MinVersion", 0)..=bound("MaxVersion", u64::MAX);
            rows = versions_of(call, &id).into_iter().map(|(_, version)| version).collect();
            rows.retain(|version| version["VersionNumber"].as_u64().is_some_and(|number| range.contains(&number)));
        } else {
            for number in wanted {
                rows.push(version(call, &id, &found, number)?);
            }
        }
    } else {
        if wanted.is_empty() || wanted.iter().any(|version| !["$Latest", "$Default"].contains(version)) {
            let message = "Without a launch template, versions can only be $Latest and $Default.";
            return Err(AwsError::new("InvalidParameterCombination", message));
        }
        for (id, found) in call.list(TEMPLATES) {
            for number in &wanted {
                rows.push(version(call, &id, &found, number)?);
            }
        }
    }
    let filters = filter::parse(
        input,
        &[
            ("create-time", "CreateTime"),
            ("image-id", "LaunchTemplateData.ImageId"),
            ("instance-type", "LaunchTemplateData.InstanceType"),
            ("is-default-version", "DefaultVersion"),
            ("http-tokens", "LaunchTemplateData.MetadataOptions.HttpTokens"),
        ],
    )?;
    rows.retain(|row| filters.iter().all(|filter| filter.fits(row)));
    // The newest version of a template comes first.
    let keyed = rows.into_iter().map(|row| {
        let number = row["VersionNumber"].as_u64().unwrap_or_default();
        (format!("{}/{:06}", text(&row, "LaunchTemplateId"), 999_999 - number), row)
    });
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed.dedup_by(|a, b| a.0 == b.0);
    call.paged(input, "LaunchTemplateVersions", keyed, VERSIONS_MAX)
}
