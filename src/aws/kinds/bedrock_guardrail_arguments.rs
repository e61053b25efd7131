//! What the user sets of a guardrail, and the faults that show without asking AWS.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::resource::Problem;
use crate::aws::tags::Tags;

/// A guardrail of Amazon Bedrock: what a model may not be asked, and may not answer.
///
/// Calls name it by `$(bedrock_guardrail.NAME.id)` and `$(bedrock_guardrail.NAME.version)`. With `version:
/// publish` every change of the draft becomes a new numbered version, so that what runs is what was checked;
/// AWS keeps at most 20 of them. None is deleted, since applications may still name it, unless `versions_kept` says
/// how many are enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The guardrail's name; left out, it is made of environment and address.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-9a-zA-Z_-]{1,50}$"), extend("x-unique" = []))]
    pub name: Option<String>,
    /// What the guardrail is for.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub description: Option<String>,
    /// What is answered in place of a blocked question.
    #[serde(default = "blocked_input")]
    #[schemars(length(min = 1, max = 500))]
    pub blocked_input_message: String,
    /// What is answered in place of a blocked answer.
    #[serde(default = "blocked_output")]
    #[schemars(length(min = 1, max = 500))]
    pub blocked_output_message: String,
    /// How strictly harmful content is filtered, by category: `SEXUAL`, `VIOLENCE`, `HATE`, `INSULTS`,
    /// `MISCONDUCT` or `PROMPT_ATTACK`.
    #[serde(default)]
    pub content_filters: BTreeMap<String, ContentFilter>,
    /// Topics that are not talked about, by name.
    #[serde(default)]
    pub denied_topics: BTreeMap<String, Topic>,
    /// Words and phrases that are blocked.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub words: Vec<String>,
    /// AWS's own lists of words that are blocked: `PROFANITY`.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub managed_word_lists: Vec<String>,
    /// What is done with personal data and credentials, by type, such as `EMAIL` or `AWS_SECRET_KEY`.
    #[serde(default)]
    pub sensitive_information: BTreeMap<String, Treatment>,
    /// Patterns of one's own for sensitive data, by name.
    #[serde(default)]
    pub regexes: BTreeMap<String, Pattern>,
    /// How well an answer has to rest on its source and meet the question.
    #[serde(default)]
    pub contextual_grounding: Option<Grounding>,
    /// `standard` understands more languages and needs `cross_region_profile`.
    #[serde(default)]
    pub tier: Tier,
    /// The guardrail profile by which AWS may process requests in other regions.
    #[serde(default)]
    pub cross_region_profile: Option<String>,
    /// The ARN of the KMS key that encrypts the guardrail; left out, a key of AWS's own.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub kms_key: Option<String>,
    /// `publish` makes a numbered version of each change; left out, there is only the draft.
    #[serde(default)]
    pub version: Option<Version>,
    /// How many of the versions that opora published are kept, the newest one and the one before it among them;
    /// older ones are deleted after a new one is published. Left out, all are kept, and AWS refuses the 21st.
    ///
    /// Versions that others published, and those that AWS says are in use, are left alone. A call that names a
    /// deleted version fails.
    #[serde(default)]
    #[schemars(range(min = 2, max = 20), extend("x-local" = true))]
    pub versions_kept: Option<u32>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// One category of harmful content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentFilter {
    /// How strictly questions are filtered.
    #[serde(default)]
    pub input: Strength,
    /// How strictly answers are filtered; `none` for `PROMPT_ATTACK`.
    #[serde(default)]
    pub output: Strength,
    /// What is done with a question that the filter finds.
    #[serde(default)]
    pub input_action: Action,
    /// What is done with an answer that the filter finds.
    #[serde(default)]
    pub output_action: Action,
    /// What is looked at: `TEXT`, `IMAGE`.
    #[serde(default = "text")]
    #[schemars(extend("x-set" = true))]
    pub modalities: Vec<String>,
}

/// How strictly is filtered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    None,
    Low,
    Medium,
    #[default]
    High,
}

/// What is done with what a filter finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    #[default]
    Block,
    /// Only noted in the trace.
    Detect,
}

/// What is done with sensitive data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// The whole text is blocked.
    Block,
    /// The data is replaced by its type's name.
    Anonymize,
    /// Only noted in the trace.
    Detect,
}

/// A topic that is not talked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What belongs to it, in a sentence or two.
    #[schemars(length(min = 1, max = 1000))]
    pub definition: String,
    /// Questions that belong to it; at most five.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub examples: Vec<String>,
}

/// A pattern of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The regular expression; no look-around.
    #[schemars(length(min = 1, max = 500))]
    pub pattern: String,
    /// What is done with a match.
    pub action: Treatment,
    /// What it stands for.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
}

/// How well an answer has to do, each from 0 to 0.99.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grounding {
    /// Answers that rest on their source less than this are blocked.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub grounding: Option<f64>,
    /// Answers that meet the question less than this are blocked.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub relevance: Option<f64>,
}

/// Which models filters and topics use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    #[default]
    Classic,
    Standard,
}

/// What happens to a changed draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// It becomes a numbered version.
    Publish,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The guardrail's id.
    pub id: String,
    /// The guardrail's ARN.
    pub arn: String,
    /// The newest numbered version, or `DRAFT` where there is none.
    #[schemars(extend("x-volatile" = true))]
    pub version: String,
    /// `CREATING`, `READY`, `FAILED`, …
    #[schemars(extend("x-volatile" = true))]
    pub status: String,
}

fn blocked_input() -> String {
    "This request is not allowed here.".to_owned()
}

fn blocked_output() -> String {
    "The answer was withheld.".to_owned()
}

fn text() -> Vec<String> {
    vec!["TEXT".to_owned()]
}

/// Finds what AWS would refuse.
pub(super) fn check(arguments: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let map = |name: &str| arguments.get(name).and_then(Value::as_object);
    let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
    const CATEGORIES: [&str; 6] = ["SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK"];
    for (name, filter) in map("content_filters").into_iter().flatten() {
        let path = crate::value::join_key("content_filters", name);
        if !CATEGORIES.contains(&name.as_str()) {
            let mut problem = Problem::new(path.clone(), format!("`{name}` is no category"));
            problem.help = Some(format!("one of {}", CATEGORIES.join(", ")));
            out.push(problem);
        }
        let output = filter.get("output").and_then(Value::as_str).unwrap_or("high");
        if name == "PROMPT_ATTACK" && output != "none" {
            out.push(Problem::new(format!("{path}.output"), "answers hold no prompt attacks; set it to `none`"));
        }
    }
    for name in map("sensitive_information").into_iter().flat_map(serde_json::Map::keys) {
        if aws_sdk_bedrock::types::GuardrailPiiEntityType::try_parse(name).is_err() {
            let path = crate::value::join_key("sensitive_information", name);
            out.push(Problem::new(path, format!("`{name}` is no type of sensitive data that Bedrock knows")));
        }
    }
    for name in arguments.get("managed_word_lists").and_then(Value::as_array).into_iter().flatten() {
        if name.as_str().is_some_and(|name| name != "PROFANITY") {
            out.push(Problem::new("managed_word_lists", format!("{name} is no managed list; there is `PROFANITY`")));
        }
    }
    if arguments.get("tier").and_then(Value::as_str) == Some("standard") && !set("cross_region_profile") {
        out.push(Problem::new("tier", "`standard` needs `cross_region_profile`"));
    }
    if set("versions_kept") && !set("version") {
        out.push(Problem::new("versions_kept", "only with `version: publish`"));
    }
    if map("contextual_grounding").is_some_and(|grounding| grounding.values().all(Value::is_null)) {
        out.push(Problem::new("contextual_grounding", "needs `grounding` or `relevance`"));
    }
    let policies =
        ["content_filters", "denied_topics", "sensitive_information", "regexes", "words", "managed_word_lists"];
    let empty = |name: &&str| match arguments.get(*name) {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Null) | None => true,
        Some(_) => false,
    };
    if policies.iter().all(empty) && !set("contextual_grounding") {
        out.push(Problem::new("", "a guardrail needs at least one filter, topic, word or kind of sensitive data"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_bedrock_refuses_is_found_before() {
        let paths = |value: Value| check(&value).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        assert_eq!(paths(json!({})), [""]);
        assert!(paths(json!({ "sensitive_information": { "EMAIL": "block" } })).is_empty());
        assert_eq!(
            paths(json!({ "content_filters": { "HATRED": {}, "PROMPT_ATTACK": {} }, "tier": "standard",
                "sensitive_information": { "MAIL": "block" }, "managed_word_lists": ["X"],
                "contextual_grounding": {} })),
            [
                "content_filters.HATRED",
                "content_filters.PROMPT_ATTACK.output",
                "sensitive_information.MAIL",
                "managed_word_lists",
                "tier",
                "contextual_grounding",
            ]
        );
    }
}
