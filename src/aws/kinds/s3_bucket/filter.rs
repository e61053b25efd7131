//! The objects that a rule is for, in the form that rules of all sorts share in S3.
//!
//! Pure. One condition stands alone; several stand in an `And`.

use aws_sdk_s3::types as s3;

use super::lifecycle::tag;
use crate::aws::tags::Tags;

/// What S3 is told of the objects.
pub(super) enum Filter {
    All,
    Prefix(String),
    Tag(s3::Tag),
    And(Option<String>, Vec<s3::Tag>),
}

impl Filter {
    /// Makes one of the beginning of the keys, empty for all, and the tags that objects need to have.
    pub(super) fn new(prefix: &str, tags: &Tags) -> Self {
        let mut tags: Vec<_> = tags.iter().map(|(key, value)| tag(key, value)).collect();
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        match (prefix, tags.pop()) {
            (None, None) => Self::All,
            (Some(prefix), None) => Self::Prefix(prefix),
            (None, Some(only)) if tags.is_empty() => Self::Tag(only),
            (prefix, Some(last)) => {
                tags.push(last);
                Self::And(prefix, tags)
            }
        }
    }

    /// Reads the beginning of the keys and the tags from what stands alone and what stands in an `And`.
    pub(super) fn read<'t>(prefixes: [Option<&str>; 2], tags: impl Iterator<Item = &'t s3::Tag>) -> (String, Tags) {
        let prefix = prefixes.into_iter().flatten().next().unwrap_or_default().to_owned();
        (prefix, tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect())
    }
}
