//! Event selectors of a trail: advanced ones as they are, basic ones as the advanced ones that equal them.
//!
//! Pure; makes no call.

use aws_sdk_cloudtrail::types::{AdvancedEventSelector, AdvancedFieldSelector, EventSelector, ReadWriteType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Events that a trail records: those that fit all fields of one selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// What it selects, for people.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub name: String,
    /// The conditions; one on `eventCategory` is always needed.
    #[schemars(extend("x-set" = true), length(min = 1))]
    pub fields: Vec<Condition>,
}

/// A condition on one field of an event. Of the values of one operator, one has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field, such as `eventCategory`, `readOnly`, `resources.type`, `resources.ARN`, `eventName` or `eventSource`.
    pub field: String,
    /// Values that the field may be.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub equals: Vec<String>,
    /// Values that it may not be.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub not_equals: Vec<String>,
    /// Beginnings that it may have.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub starts_with: Vec<String>,
    /// Beginnings that it may not have.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub not_starts_with: Vec<String>,
    /// Ends that it may have.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub ends_with: Vec<String>,
    /// Ends that it may not have.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub not_ends_with: Vec<String>,
}

impl Selector {
    pub(super) fn to_aws(&self) -> AdvancedEventSelector {
        let values = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let field = |condition: &Condition| {
            AdvancedFieldSelector::builder()
                .field(&condition.field)
                .set_equals(values(&condition.equals))
                .set_not_equals(values(&condition.not_equals))
                .set_starts_with(values(&condition.starts_with))
                .set_not_starts_with(values(&condition.not_starts_with))
                .set_ends_with(values(&condition.ends_with))
                .set_not_ends_with(values(&condition.not_ends_with))
                .build()
                .expect("internal error: the field is set")
        };
        let fields = self.fields.iter().map(field).collect();
        AdvancedEventSelector::builder()
            .set_name((!self.name.is_empty()).then(|| self.name.clone()))
            .set_field_selectors(Some(fields))
            .build()
            .expect("internal error: the fields are set")
    }

    pub(super) fn of_aws(selector: AdvancedEventSelector) -> Self {
        let condition = |field: AdvancedFieldSelector| Condition {
            field: field.field,
            equals: field.equals.unwrap_or_default(),
            not_equals: field.not_equals.unwrap_or_default(),
            starts_with: field.starts_with.unwrap_or_default(),
            not_starts_with: field.not_starts_with.unwrap_or_default(),
            ends_with: field.ends_with.unwrap_or_default(),
            not_ends_with: field.not_ends_with.unwrap_or_default(),
        };
        let fields = selector.field_selectors.into_iter().map(condition).collect();
        Self { name: selector.name.unwrap_or_default(), fields }
    }
}

/// Reads a basic selector as the advanced ones that record the same events; the default one as none.
pub(super) fn of_basic(selector: &EventSelector) -> Vec<Selector> {
    let is = |field: &str, value: &str| Condition {
        field: field.to_owned(),
        equals: vec![value.to_owned()],
        ..Condition::default()
    };
    let read_only = match selector.read_write_type {
        Some(ReadWriteType::ReadOnly) => Some("true"),
        Some(ReadWriteType::WriteOnly) => Some("false"),
        _ => None,
    };
    let excluded = selector.exclude_management_event_sources();
    let resources = selector.data_resources();
    let management = selector.include_management_events.unwrap_or(true);
    if management && read_only.is_none() && excluded.is_empty() && resources.is_empty() {
        return Vec::new();
    }
    let with_access = |mut fields: Vec<Condition>| {
        fields.extend(read_only.map(|value| is("readOnly", value)));
        Selector { name: String::new(), fields }
    };
    let mut out = Vec::new();
    if management {
        let mut fields = vec![is("eventCategory", "Management")];
        if !excluded.is_empty() {
            let field = "eventSource".to_owned();
            fields.push(Condition { field, not_equals: excluded.to_vec(), ..Condition::default() });
        }
        out.push(with_access(fields));
    }
    for resource in resources {
        let mut fields = vec![is("eventCategory", "Data"), is("resources.type", resource.r#type().unwrap_or_default())];
        let values = resource.values();
        // `arn:aws:s3` or `arn:aws:lambda` alone means all.
        if !values.iter().any(|value| value.split(':').count() <= 3) {
            let field = "resources.ARN".to_owned();
            fields.push(Condition { field, starts_with: values.to_vec(), ..Condition::default() });
        }
        out.push(with_access(fields));
    }
    out
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudtrail::types::DataResource;

    use super::*;

    #[test]
    fn basic_selectors_read_as_the_advanced_ones_that_equal_them() {
        let default = EventSelector::builder().read_write_type(ReadWriteType::All).include_management_events(true);
        assert_eq!(of_basic(&default.clone().build()), Vec::new());
        let buckets = DataResource::builder().r#type("AWS::S3::Object").values("arn:aws:s3:::b/").build();
        let selectors = of_basic(&default.read_write_type(ReadWriteType::WriteOnly).data_resources(buckets).build());
        let fields: Vec<Vec<&str>> =
            selectors.iter().map(|one| one.fields.iter().map(|field| field.field.as_str()).collect()).collect();
        assert_eq!(
            fields,
            [vec!["eventCategory", "readOnly"], vec!["eventCategory", "resources.type", "resources.ARN", "readOnly"]]
        );
    }
}
