//! Tags: the rules all services share, over the forms in which their resources hold them.
//!
//! A stored resource that has `_arn` and tags is found by the tagging API without further code.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// The most tags of one resource.
pub(crate) const TAGS_MAX: usize = 50;

/// Tags in order of their adding.
pub(crate) type Tags = IndexMap<String, String>;

/// The members under which resources hold tags, with the names of key and value; none means a map.
const FORMS: &[(&str, Option<(&str, &str)>)] = &[
    ("Tags", Some(("Key", "Value"))),
    ("Tags", Some(("TagKey", "TagValue"))),
    ("TagSet", Some(("Key", "Value"))),
    ("TagsList", Some(("Key", "Value"))),
    ("tags", Some(("key", "value"))),
    ("tags", None),
];

/// A tag that AWS refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagFault {
    /// The key starts with `aws:`.
    Reserved(String),
    /// One request names the key twice.
    Duplicate(String),
    /// Key or value is too long, or the key is empty.
    Length(String),
    /// More than [`TAGS_MAX`] tags.
    TooMany,
}

impl TagFault {
    /// Describes the fault in words.
    pub(crate) fn message(&self) -> String {
        match self {
            TagFault::Reserved(key) => {
                format!("Tag keys starting with 'aws:' are reserved for internal use: {key}")
            }
            TagFault::Duplicate(key) => format!("Duplicate tag key '{key}' specified."),
            TagFault::Length(key) => format!("The tag '{key}' has an empty or too long key or value."),
            TagFault::TooMany => format!("A resource can have at most {TAGS_MAX} tags."),
        }
    }
}

/// Reads a list of tags out of a request or a resource, in any of its forms.
pub(crate) fn parse(value: Option<&Value>) -> Tags {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(pair).collect(),
        Some(Value::Object(entries)) => {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            entries.iter().map(|(k, v)| (k.clone(), text(v))).collect()
        }
        _ => Tags::new(),
    }
}

fn pair(item: &Value) -> Option<(String, String)> {
    let get = |names: [&str; 3]| names.iter().find_map(|name| item.get(*name)?.as_str());
    let key = get(["Key", "TagKey", "key"])?;
    let value = get(["Value", "TagValue", "value"]).unwrap_or_default();
    Some((key.to_owned(), value.to_owned()))
}

/// Reads the tags to add from a request and checks them.
pub(crate) fn requested(value: Option<&Value>) -> Result<Tags, TagFault> {
    let tags = parse(value);
    if let Some(Value::Array(items)) = value {
        let mut seen = std::collections::BTreeSet::new();
        for (key, _) in items.iter().filter_map(pair) {
            if !seen.insert(key.clone()) {
                return Err(TagFault::Duplicate(key));
            }
        }
    }
    for (key, value) in &tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(TagFault::Reserved(key.clone()));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(TagFault::Length(key.clone()));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(TagFault::TooMany);
    }
    Ok(tags)
}

/// Adds tags to others, replacing values of known keys.
pub(crate) fn merge(mut existing: Tags, added: Tags) -> Result<Tags, TagFault> {
    existing.extend(added);
    if existing.len() > TAGS_MAX { Err(TagFault::TooMany) } else { Ok(existing) }
}

/// Writes tags as a list with the given member names.
pub(crate) fn list(tags: &Tags, key: &str, value: &str) -> Value {
    let one = |(k, v): (&String, &String)| {
        let mut out = Map::new();
        out.insert(key.to_owned(), json!(k));
        out.insert(value.to_owned(), json!(v));
        Value::Object(out)
    };
    tags.iter().map(one).collect()
}

/// Reads a stored resource's tags.
pub(crate) fn of(resource: &Value) -> Tags {
    let found = ["Tags", "TagSet", "TagsList", "tags"].iter().find_map(|name| resource.get(*name));
    parse(found)
}

/// Replaces a stored resource's tags in the form it has them.
pub(crate) fn set(resource: &mut Value, tags: &Tags) {
    let form = FORMS.iter().find(|(name, names)| match (resource.get(*name), names) {
        (Some(Value::Array(items)), Some((key, _))) => items.first().is_none_or(|i| i.get(*key).is_some()),
        (Some(Value::Object(_)), None) => true,
        _ => false,
    });
    match form.unwrap_or(&FORMS[0]) {
        (name, Some((key, value))) => resource[*name] = list(tags, key, value),
        (name, None) => resource[*name] = json!(tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back_in_its_own() {
        for start in [
            json!({"Tags": [{"Key": "a", "Value": "1"}]}),
            json!({"Tags": [{"TagKey": "a", "TagValue": "1"}]}),
            json!({"tags": {"a": "1"}}),
            json!({"tags": [{"key": "a", "value": "1"}]}),
        ] {
            let mut resource = start.clone();
            let tags = of(&resource);
            assert_eq!(tags["a"], "1");
            set(&mut resource, &tags);
            assert_eq!(resource, start);
        }
    }

    #[test]
    fn bad_tags_are_refused() {
        let fault = |value: Value| requested(Some(&value)).unwrap_err();
        assert_eq!(fault(json!([{"Key": "AWS:x", "Value": ""}])), TagFault::Reserved("AWS:x".into()));
        assert_eq!(fault(json!([{"Key": "a"}, {"Key": "a"}])), TagFault::Duplicate("a".into()));
        assert_eq!(fault(json!([{"Key": "", "Value": "x"}])), TagFault::Length(String::new()));
        let many: Vec<Value> = (0..51).map(|i| json!({"Key": format!("k{i}"), "Value": ""})).collect();
        assert_eq!(fault(json!(many)), TagFault::TooMany);
    }
}
