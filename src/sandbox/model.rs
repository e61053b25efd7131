//! The API models: which operations and shapes each simulated service has, as AWS publishes them.
//!
//! Embedded JSON made by `scripts/sandbox-models.py`, parsed once per service on first use. This module
//! holds facts only; what an operation does is in `services`. Documentation is deliberately absent.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use indexmap::IndexMap;
use serde::Deserialize;

/// Everything published about one service's API that the sandbox uses.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    #[serde(skip)]
    pub(crate) name: &'static str,
    pub(crate) metadata: Metadata,
    pub(crate) operations: IndexMap<String, Operation>,
    /// Operations that exist but whose shapes are not embedded: name to `METHOD /uri`.
    pub(crate) others: IndexMap<String, String>,
    pub(crate) shapes: HashMap<String, Shape>,
}

/// Service-wide facts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[cfg(test)]
    endpoint_prefix: String,
    pub(crate) protocol: String,
    #[cfg(test)]
    #[serde(default)]
    signing_name: Option<String>,
    #[serde(default)]
    pub(crate) target_prefix: Option<String>,
    #[serde(default)]
    pub(crate) xml_namespace: Option<String>,
    /// Marks a JSON service that must repeat the query protocol's error code in a header.
    #[serde(default)]
    pub(crate) aws_query_compatible: Option<serde_json::Value>,
}

/// One operation of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) http: Http,
    #[serde(default)]
    pub(crate) input: Option<Side>,
    #[serde(default)]
    pub(crate) output: Option<Side>,
    #[cfg(test)]
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    pub(crate) paging: Option<Paging>,
}

impl Operation {
    /// Tells whether it shows resources and changes none.
    pub(crate) fn is_read(&self) -> bool {
        ["Describe", "Get", "Head", "List"].iter().any(|start| self.name.starts_with(start))
    }
}

/// Method, URI template and success status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) request_uri: String,
    #[serde(default)]
    pub(crate) response_code: Option<u16>,
}

/// An operation's input or output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Side {
    pub(crate) shape: String,
    #[serde(default)]
    pub(crate) result_wrapper: Option<String>,
}

/// Paging facts; botocore writes either one name or a list of names.
#[derive(Debug, Deserialize)]
pub(crate) struct Paging {
    pub(crate) input_token: Names,
    pub(crate) output_token: Names,
    #[serde(default)]
    pub(crate) limit_key: Option<String>,
    #[serde(default)]
    pub(crate) more_results: Option<String>,
}

/// One name or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    /// Returns the first name.
    pub(crate) fn first(&self) -> &str {
        match self {
            Names::One(name) => name,
            Names::Many(names) => names.first().map_or("", String::as_str),
        }
    }
}

/// The kinds of shape that the wire protocols distinguish.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShapeType {
    Structure,
    List,
    Map,
    String,
    #[serde(alias = "character")]
    Blob,
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Timestamp,
}

/// One shape: a type with its wire facts and constraints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shape {
    #[serde(rename = "type")]
    pub(crate) kind: ShapeType,
    #[serde(default)]
    pub(crate) members: IndexMap<String, Member>,
    #[serde(default)]
    pub(crate) member: Option<Member>,
    #[serde(default)]
    pub(crate) key: Option<Member>,
    #[serde(default)]
    pub(crate) value: Option<Member>,
    #[serde(default)]
    pub(crate) required: Vec<String>,
    #[serde(default, rename = "enum")]
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) min: Option<f64>,
    #[serde(default)]
    pub(crate) max: Option<f64>,
    #[serde(default)]
    pub(crate) pattern: Option<String>,
    #[serde(default)]
    pub(crate) payload: Option<String>,
    #[serde(default)]
    pub(crate) flattened: bool,
    #[serde(default)]
    pub(crate) timestamp_format: Option<String>,
    #[serde(default)]
    pub(crate) xml_namespace: Option<XmlNamespace>,
    #[serde(default)]
    pub(crate) eventstream: bool,
    #[serde(default)]
    pub(crate) exception: bool,
    #[serde(default)]
    pub(crate) error: Option<ErrorFacts>,
    #[serde(default)]
    pub(crate) union: bool,
    /// An open JSON value without a schema.
    #[serde(default)]
    pub(crate) document: bool,
    #[serde(default)]
    pub(crate) streaming: bool,
    #[serde(skip)]
    compiled: OnceLock<Option<regex::Regex>>,
}

impl Shape {
    /// Returns the compiled pattern, or none where there is none or Rust's regex lacks its syntax.
    ///
    /// AWS's patterns match whole values. The few with look-around are left to the handlers.
    pub(crate) fn regex(&self) -> Option<&regex::Regex> {
        let pattern = self.pattern.as_ref()?;
        self.compiled
            .get_or_init(|| {
                let pattern = JAVA_CLASSES.iter().fold(pattern.clone(), |text, (java, rust)| text.replace(java, rust));
                regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(64 << 20).build().ok()
            })
            .as_ref()
    }
}

/// Java's names of ASCII classes and the same for Rust's regex.
const JAVA_CLASSES: &[(&str, &str)] =
    &[(r"\p{Alnum}", "[a-zA-Z0-9]"), (r"\p{Print}", "[ -~]"), (r"\p{ASCII}", "[\\x00-\\x7F]")];

/// An exception's wire code, status and fault.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorFacts {
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) http_status_code: Option<u16>,
}

/// A prefix and URI of an XML namespace.
#[derive(Debug, Deserialize, Clone)]
pub(crate) struct XmlNamespace {
    pub(crate) uri: String,
    #[serde(default)]
    pub(crate) prefix: Option<String>,
}

/// A reference to a shape from a structure, list or map, with its wire names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Member {
    pub(crate) shape: String,
    #[serde(default)]
    pub(crate) location: Option<String>,
    #[serde(default)]
    pub(crate) location_name: Option<String>,
    #[serde(default)]
    pub(crate) query_name: Option<String>,
    #[serde(default)]
    pub(crate) flattened: bool,
    #[serde(default)]
    pub(crate) streaming: bool,
    #[serde(default)]
    pub(crate) xml_attribute: bool,
    #[serde(default)]
    pub(crate) xml_namespace: Option<XmlNamespace>,
    #[serde(default)]
    pub(crate) timestamp_format: Option<String>,
    #[serde(default)]
    pub(crate) jsonvalue: bool,
    #[serde(default)]
    pub(crate) eventpayload: bool,
    #[serde(default)]
    pub(crate) eventheader: bool,
}

impl Model {
    /// Returns a shape by name.
    pub(crate) fn shape(&self, name: &str) -> &Shape {
        self.shapes.get(name).expect("internal error: the model script embeds every reachable shape")
    }

    /// Returns the name that SigV4 scopes of this service carry.
    #[cfg(test)]
    fn signing_name(&self) -> &str {
        self.metadata.signing_name.as_deref().unwrap_or(&self.metadata.endpoint_prefix)
    }

    /// Returns the exception with this wire code or shape name.
    pub(crate) fn exception(&self, code: &str) -> Option<(&str, &Shape)> {
        let named = self.shapes.get_key_value(code).filter(|(_, s)| s.exception);
        let found = named.or_else(|| {
            self.shapes.iter().find(|(_, shape)| {
                shape.exception && shape.error.as_ref().and_then(|e| e.code.as_deref()) == Some(code)
            })
        });
        found.map(|(name, shape)| (name.as_str(), shape))
    }
}

macro_rules! models {
    ($($name:literal),* $(,)?) => {
        static MODELS: LazyLock<Vec<(&'static str, &'static str, OnceLock<Model>)>> =
            LazyLock::new(|| vec![$(($name, include_str!(concat!("models/", $name, ".json")), OnceLock::new())),*]);
    };
}

models!(
    "bedrock",
    "bedrock-runtime",
    "budgets",
    "cloudtrail",
    "ec2",
    "iam",
    "kms",
    "logs",
    "resourcegroupstaggingapi",
    "s3",
    "sagemaker",
    "sagemaker-runtime",
    "secretsmanager",
    "sts",
);

fn parse(name: &'static str, text: &str) -> Model {
    let mut model: Model = serde_json::from_str(text).expect("internal error: an embedded model is valid");
    model.name = name;
    for (key, operation) in &mut model.operations {
        operation.name.clone_from(key);
    }
    model
}

/// Returns the model of a service by its botocore name.
pub(crate) fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|(key, ..)| *key == name).map(|(key, text, cell)| cell.get_or_init(|| parse(key, text)))
}

/// Returns the names of all services with a model.
#[cfg(test)]
fn services() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, ..)| *name)
}

/// Returns the services that requests signed for `signing_name` can be meant for.
///
/// The names are compared before a model is parsed, so one service's traffic parses one model.
pub(crate) fn signed_as(signing_name: &str) -> Vec<&'static Model> {
    let names: &[&str] = match signing_name {
        "bedrock" => &["bedrock", "bedrock-runtime"],
        "sagemaker" => &["sagemaker", "sagemaker-runtime"],
        "tagging" => &["resourcegroupstaggingapi"],
        other => return model(other).into_iter().collect(),
    };
    names.iter().filter_map(|name| model(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_model_parses_and_is_reachable_by_its_signing_name() {
        for name in services() {
            let model = model(name).unwrap();
            let found = signed_as(model.signing_name());
            assert!(found.iter().any(|m| m.name == name), "{name}");
            for operation in model.operations.values() {
                for side in [&operation.input, &operation.output].into_iter().flatten() {
                    assert_eq!(model.shape(&side.shape).kind, ShapeType::Structure);
                }
                for error in &operation.errors {
                    assert!(model.shape(error).exception, "{name} {error}");
                }
            }
        }
    }

    #[test]
    fn only_patterns_with_look_around_are_left_unchecked() {
        for name in services() {
            for (shape_name, shape) in &model(name).unwrap().shapes {
                let Some(pattern) = &shape.pattern else { continue };
                if shape.regex().is_none() {
                    assert!(pattern.contains("(?!") || pattern.contains("(?<"), "{name} {shape_name} {pattern}");
                }
            }
        }
    }
}
