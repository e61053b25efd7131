//! What the user sets of an endpoint configuration, and the faults that show without asking AWS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sagemaker::{NAME_PATTERN, Vpc};
use crate::aws::resource::{Problem, yes};
use crate::aws::tags::Tags;

/// A SageMaker endpoint configuration: which models run on which instances, and what is captured.
///
/// Only the tags can be changed in place. With `lifecycle: { create_before_destroy: true }` and no `name`, a new
/// configuration stands beside the old one until its endpoint has moved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The configuration's name; left out, it is made of environment, address and generation.
    #[serde(default)]
    #[schemars(regex(pattern = NAME_PATTERN), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// What answers requests, by weight.
    #[schemars(length(min = 1, max = 10), extend("x-change" = "replace"))]
    pub variants: Vec<Variant>,
    /// Variants that get copies of the requests and whose answers nobody sees.
    #[serde(default)]
    #[schemars(length(max = 10), extend("x-change" = "replace"))]
    pub shadow_variants: Vec<Variant>,
    /// The KMS key of the instances' volumes. Types with NVMe disks of their own (`ml.p4d`, `ml.p5`, `ml.g5`, …)
    /// take none: their disks are encrypted by the hardware.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub kms_key: Option<String>,
    /// Requests and answers that are kept in S3.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub data_capture: Option<DataCapture>,
    /// Makes the endpoint asynchronous: requests are queued and answers go to S3.
    #[serde(default, rename = "async")]
    #[schemars(extend("x-change" = "replace"))]
    pub asynchronous: Option<Asynchronous>,
    /// The ARN of the role for inference components.
    #[serde(default)]
    #[schemars(extend("format" = "arn", "x-change" = "replace"))]
    pub role: Option<String>,
    /// The network of inference components.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub vpc: Option<Vpc>,
    /// Whether inference components are cut off from every network.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub network_isolation: Option<bool>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// One model on one kind of instance, or serverless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The variant's name.
    #[serde(default = "all_traffic")]
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The model, by name; left out for inference components.
    #[serde(default)]
    pub model: Option<String>,
    /// The instance type, such as `ml.g5.2xlarge`; left out when serverless.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// How many instances it starts with; of no meaning when serverless.
    #[serde(default = "one_instance")]
    pub instances: u32,
    /// Its share of the requests, as a ratio to the sum of all.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Runs it without instances.
    #[serde(default)]
    pub serverless: Option<Serverless>,
    /// Lets SageMaker add and remove instances.
    #[serde(default)]
    pub scaling: Option<Scaling>,
    /// How requests find an instance: `LEAST_OUTSTANDING_REQUESTS` or `RANDOM`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(LEAST_OUTSTANDING_REQUESTS|RANDOM|PREFIX_AWARE)$"))]
    pub routing: Option<String>,
    /// GiB of the volume of each instance.
    #[serde(default)]
    #[schemars(range(min = 1, max = 512))]
    pub volume_gb: Option<u32>,
    /// Seconds that the download of the model's data may take.
    #[serde(default)]
    #[schemars(range(min = 60, max = 3600))]
    pub download_timeout_seconds: Option<u32>,
    /// Seconds until the container has to answer its health check.
    #[serde(default)]
    #[schemars(range(min = 60, max = 3600))]
    pub startup_timeout_seconds: Option<u32>,
    /// Whether Session Manager may open a shell in the container's host.
    #[serde(default)]
    pub ssm_access: Option<bool>,
    /// The host image, where the newest driver is needed (`al2-ami-sagemaker-inference-gpu-3-1`).
    #[serde(default)]
    pub host_image: Option<String>,
    /// Where the memory of a crashed container goes.
    #[serde(default)]
    pub core_dumps: Option<CoreDumps>,
}

/// A variant without instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serverless {
    /// Memory: 1024 to 6144 in steps of 1024.
    #[schemars(range(min = 1024, max = 6144), extend("multipleOf" = 1024))]
    pub memory_mb: u32,
    /// Requests at the same time.
    #[schemars(range(min = 1, max = 200))]
    pub max_concurrency: u32,
    /// Requests at the same time that are always ready for.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub provisioned_concurrency: Option<u32>,
}

/// Instances that come and go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    #[schemars(range(min = 1))]
    pub max: u32,
}

/// Where the memory of a crashed container goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoreDumps {
    /// The S3 prefix.
    pub uri: String,
    /// The KMS key of the objects.
    #[serde(default)]
    pub kms_key: Option<String>,
}

/// Requests and answers that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataCapture {
    /// The S3 prefix.
    pub uri: String,
    /// Whether anything is kept now.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The share of the requests.
    #[schemars(range(min = 0, max = 100))]
    pub sampling_percent: u32,
    /// What is kept: `Input`, `Output`, or both.
    #[serde(default = "both")]
    #[schemars(extend("x-set" = true))]
    pub capture: Vec<String>,
    /// The KMS key of the objects.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Content types that are kept as CSV.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub csv_types: Vec<String>,
    /// Content types that are kept as JSON.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub json_types: Vec<String>,
}

/// An endpoint with a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asynchronous {
    /// The S3 prefix of the answers.
    pub output_uri: String,
    /// The S3 prefix of failures.
    #[serde(default)]
    pub failure_uri: Option<String>,
    /// The KMS key of the answers.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Requests that one instance works on at the same time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrency: Option<u32>,
    /// The SNS topic that hears of answers.
    #[serde(default)]
    pub success_topic: Option<String>,
    /// The SNS topic that hears of failures.
    #[serde(default)]
    pub error_topic: Option<String>,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The configuration's ARN.
    pub arn: String,
    /// The configuration's name, by which endpoints refer to it.
    pub name: String,
}

fn all_traffic() -> String {
    "AllTraffic".to_owned()
}

fn one_instance() -> u32 {
    1
}

fn one() -> f64 {
    1.0
}

fn both() -> Vec<String> {
    vec!["Input".to_owned(), "Output".to_owned()]
}

/// Families of instance types with NVMe disks of their own; `CreateEndpointConfig` refuses a volume key for them.
const LOCAL_DISK: [&str; 18] = [
    "ml.p4d",
    "ml.p4de",
    "ml.p5",
    "ml.p5e",
    "ml.p5en",
    "ml.p6-b200",
    "ml.g4dn",
    "ml.g5",
    "ml.g6",
    "ml.g6e",
    "ml.gr6",
    "ml.m5d",
    "ml.c5d",
    "ml.r5d",
    "ml.m6gd",
    "ml.c6gd",
    "ml.r6gd",
    "ml.trn1",
];

/// Finds what SageMaker would refuse.
pub(super) fn check(arguments: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let set = |value: &Value, name: &str| value.get(name).is_some_and(|value| !value.is_null());
    let mut names = std::collections::BTreeSet::new();
    for list in ["variants", "shadow_variants"] {
        for (index, variant) in arguments.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let path = |name: &str| format!("{list}[{index}].{name}");
            let name = variant.get("name").and_then(Value::as_str).unwrap_or("AllTraffic");
            if !names.insert(name) {
                out.push(Problem::new(path("name"), format!("`{name}` is named twice")));
            }
            if set(variant, "serverless") == set(variant, "instance_type") {
                out.push(Problem::new(path("instance_type"), "needs either `instance_type` or `serverless`"));
            }
            let instances = variant.get("instances").and_then(Value::as_u64).unwrap_or(1);
            if set(variant, "serverless") && instances != 1 {
                out.push(Problem::new(path("instances"), "a serverless variant has no instances"));
            }
            let kind = variant.get("instance_type").and_then(Value::as_str).unwrap_or_default();
            let family = kind.rsplit_once('.').map_or(kind, |(family, _)| family);
            if set(arguments, "kms_key") && LOCAL_DISK.contains(&family) {
                let mut problem = Problem::new("kms_key", format!("`{kind}` has NVMe disks and takes no volume key"));
                problem.help = Some("leave it out; the hardware encrypts these disks".to_owned());
                out.push(problem);
            }
            if set(variant, "volume_gb") && LOCAL_DISK.contains(&family) {
                out.push(Problem::new(path("volume_gb"), format!("`{kind}` has disks of a fixed size")));
            }
        }
    }
    if arguments.get("async").is_some_and(|value| !value.is_null()) && set(arguments, "data_capture") {
        out.push(Problem::new("data_capture", "an asynchronous endpoint keeps its answers already"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_key_needs_a_volume() {
        let paths = |value: Value| check(&value).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        let with_key = |kind: &str| json!({ "kms_key": "k", "variants": [{ "instance_type": kind }] });
        assert_eq!(paths(with_key("ml.p5.48xlarge")), ["kms_key"]);
        assert!(paths(with_key("ml.m5.large")).is_empty());
        assert_eq!(
            paths(
                json!({ "variants": [{ "serverless": {}, "instances": 2 }, { "instance_type": "ml.m5.large" }, { "name": "b" }] })
            ),
            ["variants[0].instances", "variants[1].name", "variants[2].instance_type"]
        );
    }
}
