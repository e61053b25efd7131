//! Lists of secrets with filters, and random passwords.

use serde_json::{Value, json};

use super::secret::described;
use super::{SECRETS, invalid, refused};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::codec::{from_base64, to_base64};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("GetRandomPassword", get_random_password), ("ListSecrets", list_secrets)];

/// Tells whether a secret meets all filters; a value with `!` in front excludes.
pub(super) fn matches(secret: &Value, filters: &[Value]) -> bool {
    filters.iter().all(|filter| {
        let tags = || secret["Tags"].as_array().into_iter().flatten();
        let fields: Vec<&str> = match text(filter, "Key") {
            "name" => vec![text(secret, "Name")],
            "description" => vec![text(secret, "Description")],
            "tag-key" => tags().map(|tag| text(tag, "Key")).collect(),
            "tag-value" => tags().map(|tag| text(tag, "Value")).collect(),
            "primary-region" => vec![text(secret, "PrimaryRegion")],
            "owning-service" => vec![text(secret, "OwningService")],
            _ => {
                let all = tags().flat_map(|tag| [text(tag, "Key"), text(tag, "Value")]);
                all.chain([text(secret, "Name"), text(secret, "Description")]).collect()
            }
        };
        // Descriptions and `all` look at words without regard to case; the others at beginnings.
        let words = matches!(text(filter, "Key"), "description" | "all");
        let fits = |value: &str| {
            fields.iter().any(|field| {
                if words {
                    let value = value.to_ascii_lowercase();
                    field.to_ascii_lowercase().split([' ', '/', '-', '_', '.']).any(|word| word.starts_with(&value))
                } else {
                    field.starts_with(value)
                }
            })
        };
        let values = texts(filter, "Values");
        let excluded = values.iter().filter_map(|value| value.strip_prefix('!')).any(fits);
        let mut wanted = values.iter().filter(|value| !value.starts_with('!')).peekable();
        !excluded && (wanted.peek().is_none() || wanted.any(|value| fits(value)))
    })
}

/// Cuts one page of an operation whose model has no paging facts.
pub(super) fn page(
    call: &Call<'_>,
    input: &Value,
    items: Vec<(String, Value)>,
    default: usize,
) -> Result<(Vec<Value>, Option<String>), AwsError> {
    let scope = format!("{}:", call.operation.name);
    let bad = || AwsError::new("InvalidNextTokenException", "Invalid NextToken.");
    let after = match optional(input, "NextToken") {
        Some(token) => {
            let bytes = from_base64(token).ok_or_else(bad)?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            Some(text.strip_prefix(&scope).ok_or_else(bad)?.to_owned())
        }
        None => None,
    };
    let limit = input["MaxResults"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(default);
    let start = match &after {
        Some(after) => items.iter().position(|(id, _)| id == after).map_or(items.len(), |at| at + 1),
        None => 0,
    };
    let end = (start + limit).min(items.len());
    let next = (end < items.len()).then(|| to_base64(format!("{scope}{}", items[end - 1].0).as_bytes()));
    Ok((items.into_iter().skip(start).take(end - start).map(|(_, value)| value).collect(), next))
}

fn list_secrets(call: &mut Call<'_>, input: &Value) -> Answer {
    let filters = input["Filters"].as_array().cloned().unwrap_or_default();
    let deleted = input["IncludePlannedDeletion"] == true;
    let mut found: Vec<(String, Value)> = call
        .select(SECRETS, |_, secret| (deleted || secret.get("DeletedDate").is_none()) && matches(secret, &filters))
        .into_iter()
        .map(|(name, secret)| (name, described(&secret)))
        .collect();
    let when = |secret: &Value| secret["CreatedDate"].as_f64().unwrap_or_default();
    found.sort_by(|a, b| when(&a.1).total_cmp(&when(&b.1)).then_with(|| a.0.cmp(&b.0)));
    if optional(input, "SortOrder") != Some("asc") {
        found.reverse();
    }
    call.paged(input, "SecretList", found, 100)
}

fn get_random_password(call: &mut Call<'_>, input: &Value) -> Answer {
    let length = input["PasswordLength"].as_u64().unwrap_or(32);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(1..=4096).contains(&length) {
        return Err(invalid("PasswordLength must be between 1 and 4096."));
    }
    let off = |name: &str| input[name] == true;
    let excluded = text(input, "ExcludeCharacters");
    let classes = [
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", off("ExcludeUppercase")),
        ("abcdefghijklmnopqrstuvwxyz", off("ExcludeLowercase")),
        ("0123456789", off("ExcludeNumbers")),
        ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", off("ExcludePunctuation")),
        (" ", !off("IncludeSpace")),
    ];
    let classes: Vec<Vec<char>> = classes
        .iter()
        .filter(|(_, off)| !off)
        .map(|(letters, _)| letters.chars().filter(|c| !excluded.contains(*c)).collect::<Vec<char>>())
        .filter(|letters| !letters.is_empty())
        .collect();
    if classes.is_empty() {
        return Err(refused("The combination of exclusions leaves no character to choose from."));
    }
    let each = input.get("RequireEachIncludedType").is_none_or(|value| *value == true);
    if each && length < classes.len() {
        return Err(invalid("The password is too short for one character of each included type."));
    }
    let all: Vec<char> = classes.concat();
    let mut password: Vec<char> = Vec::new();
    while password.len() < length {
        for byte in call.entropy() {
            password.push(all[usize::from(byte) % all.len()]);
        }
    }
    password.truncate(length);
    if each {
        let bytes = call.entropy();
        for (at, class) in classes.iter().enumerate() {
            password[at] = class[usize::from(bytes[at]) % class.len()];
        }
    }
    Ok(json!({"RandomPassword": password.into_iter().collect::<String>()}))
}
