//! Filters of describe operations: names known per kind, values with `*` and `?`, tags.

use serde_json::Value;

use super::invalid;
use crate::sandbox::call::{text, texts};
use crate::sandbox::error::AwsError;
use crate::sandbox::tags;

/// A filter's name and the path of the member it looks at; lists on the path are searched.
pub(super) type Known = (&'static str, &'static str);

/// One filter of a request.
pub(super) struct Filter {
    target: Target,
    values: Vec<String>,
}

enum Target {
    Path(&'static str),
    Tag(String),
    TagKey,
}

/// Reads the filters of a request; an unknown name is refused, as EC2 does.
pub(super) fn parse(input: &Value, known: &[Known]) -> Result<Vec<Filter>, AwsError> {
    let mut found = Vec::new();
    // Some operations call the list by its singular.
    for filter in ["Filters", "Filter"].iter().filter_map(|key| input[*key].as_array()).flatten() {
        let name = text(filter, "Name");
        let values: Vec<String> = texts(filter, "Values").into_iter().map(str::to_owned).collect();
        if values.is_empty() {
            return Err(invalid(format!("The filter '{name}' must have at least one value")));
        }
        let target = match (name.strip_prefix("tag:"), name) {
            (Some(key), _) => Target::Tag(key.to_owned()),
            (None, "tag-key") => Target::TagKey,
            (None, name) => {
                let path = known.iter().find(|(key, _)| *key == name).map(|(_, path)| *path);
                Target::Path(path.ok_or_else(|| invalid(format!("The filter '{name}' is invalid")))?)
            }
        };
        found.push(Filter { target, values });
    }
    Ok(found)
}

impl Filter {
    /// Tells whether it looks at one of these members.
    pub(super) fn looks_at(&self, members: &[&str]) -> bool {
        let Target::Path(path) = &self.target else { return false };
        members.contains(&path.split('.').next().unwrap_or(path))
    }

    /// Tells whether a resource passes.
    pub(super) fn fits(&self, row: &Value) -> bool {
        let candidates = match &self.target {
            Target::Path(path) => reach(row, path),
            Target::Tag(key) => {
                let tag = super::items(row, "Tags").find(|tag| text(tag, "Key") == key);
                tag.map(|tag| text(tag, "Value").to_owned()).into_iter().collect()
            }
            Target::TagKey => tags::of(row).into_keys().collect(),
        };
        candidates.iter().any(|text| self.values.iter().any(|pattern| like(pattern, text)))
    }
}

/// Returns the texts at a dotted path, through lists.
fn reach(value: &Value, path: &str) -> Vec<String> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let found = match value {
        Value::Array(items) => return items.iter().flat_map(|item| reach(item, path)).collect(),
        value => value.get(head),
    };
    match (found, rest) {
        (Some(value), Some(rest)) => reach(value, rest),
        (Some(Value::String(text)), None) => vec![text.clone()],
        (Some(Value::Array(items)), None) => items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect(),
        (Some(Value::Null), None) | (None, _) => Vec::new(),
        (Some(other), None) => vec![other.to_string()],
    }
}

/// Matches a text with a pattern of `*`, `?` and `\` escapes.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?', '\\']) {
        return pattern == text;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // reached[i]: the pattern so far matches the first i letters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut letters = pattern.iter();
    while let Some(&letter) = letters.next() {
        let mut next = vec![false; text.len() + 1];
        match letter {
            '*' => {
                let mut any = false;
                for (i, &was) in reached.iter().enumerate() {
                    any |= was;
                    next[i] = any;
                }
            }
            letter => {
                let (wanted, wild) = match letter {
                    '\\' => (letters.next().copied().unwrap_or('\\'), false),
                    '?' => ('?', true),
                    other => (other, false),
                };
                for i in 0..text.len() {
                    next[i + 1] = reached[i] && (wild || text[i] == wanted);
                }
            }
        }
        reached = next;
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_ec2_documents() {
        for (pattern, text, expected) in [
            ("vpc-*", "vpc-1", true),
            ("*a?c*", "xxabcxx", true),
            ("a", "ab", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
