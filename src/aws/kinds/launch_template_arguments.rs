//! What the user sets of a launch template, and the traps that show without asking AWS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::resource::{Problem, yes};
use crate::aws::tags::Tags;
use crate::value::has_unknown;

/// Bytes of user data before its encoding; the API's limit.
const USER_DATA_BYTES_MAX: usize = 16 * 1024;

/// A template that EC2 instances are launched from, with IMDSv2 and encrypted volumes unless told otherwise.
///
/// Its network interfaces follow from the instance type: an accelerated type gets an EFA on each network card
/// that has one. A change makes a new version and makes it the default; the ten newest versions are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The template's name; left out, it is made of environment and address.
    #[serde(default)]
    #[schemars(length(min = 3, max = 128), extend("x-change" = "replace", "x-unique" = []))]
    pub name: Option<String>,
    /// What this version is for.
    #[serde(default)]
    #[schemars(length(max = 255))]
    pub description: Option<String>,
    /// The instance type, such as `p5.48xlarge`.
    pub instance_type: String,
    /// An image id (`ami-…`), or `resolve:ssm:` and the name of a parameter that holds one.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(ami-[0-9a-f]+|resolve:ssm:.+)$"))]
    pub image: Option<String>,
    /// The subnet of all network interfaces; EFA traffic does not leave it. Left out, the launch names one.
    #[serde(default)]
    pub subnet: Option<String>,
    /// The security groups of all network interfaces. For EFA, one that admits itself in both directions.
    #[serde(default)]
    #[schemars(extend("x-set" = true))]
    pub security_groups: Vec<String>,
    /// Whether the type's EFA interfaces are made: `auto`, all that it has, or `none`.
    #[serde(default)]
    pub efa: Efa,
    /// Whether instances get a public address; only with a single network interface.
    #[serde(default)]
    pub public_ip: Option<bool>,
    /// The instance profile, by name or ARN.
    #[serde(default)]
    pub instance_profile: Option<String>,
    /// The instance metadata service.
    #[serde(default)]
    pub metadata: Metadata,
    /// EBS volumes, by device name.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Whether EBS has bandwidth of its own; only of meaning for old types.
    #[serde(default)]
    pub ebs_optimized: Option<bool>,
    /// The placement group, by name. Leave it out with a capacity block.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// The partition of a `partition` placement group; left out, EC2 spreads the instances over all.
    #[serde(default)]
    #[schemars(range(min = 1, max = 7))]
    pub partition: Option<u32>,
    /// `default` or `dedicated`.
    #[serde(default)]
    pub tenancy: Option<String>,
    /// The capacity that instances run in.
    #[serde(default)]
    pub capacity_reservation: Option<CapacityReservation>,
    /// How capacity is bought; left out, on demand.
    #[serde(default)]
    pub market: Option<Market>,
    /// Cores and threads, for types where they can be chosen.
    #[serde(default)]
    pub cpu: Option<Cpu>,
    /// How a burstable type (`t3`, `t4g`, …) runs when its CPU credits are used up; left out, as the account says.
    #[serde(default)]
    pub cpu_credits: Option<CpuCredits>,
    /// Whether the instance can run Nitro Enclaves: isolated parts that keys can be released to alone.
    #[serde(default)]
    pub enclave: bool,
    /// Whether the instance can hibernate: its memory is written to the root volume, which has to be encrypted.
    #[serde(default)]
    pub hibernation: bool,
    /// Whether EC2 moves the instance to other hardware when its own fails; left out, it does where the type allows.
    #[serde(default)]
    pub auto_recovery: Option<bool>,
    /// The text that cloud-init runs at the first boot; at most 16 KiB. No secrets: everyone who may describe
    /// the template reads it.
    #[serde(default)]
    pub user_data: Option<String>,
    /// The name of an EC2 key pair for SSH; Session Manager needs none.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether CloudWatch has metrics of every minute.
    #[serde(default)]
    pub monitoring: bool,
    /// What a shutdown from inside the instance does.
    #[serde(default)]
    pub shutdown_behavior: Option<ShutdownBehavior>,
    /// Whether instances refuse to be terminated by the API.
    #[serde(default)]
    pub termination_protection: bool,
    /// Whether instances refuse to be stopped by the API.
    #[serde(default)]
    pub stop_protection: bool,
    /// Tags of the instances and their volumes.
    #[serde(default)]
    pub instance_tags: Tags,
    /// Tags of the template itself.
    #[serde(default)]
    pub tags: Tags,
}

/// Which EFA interfaces are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Efa {
    /// All that the instance type has.
    #[default]
    Auto,
    /// None, though the type may have them.
    None,
    /// Interfaces that nobody here laid out; never wanted, only found.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Other,
}

/// The instance metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Whether the service answers at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `required` is IMDSv2: a token for each request. `optional` lets any process in by a plain GET.
    #[serde(default)]
    pub http_tokens: HttpTokens,
    /// Network hops that an answer may take: 1 for the instance itself, 2 for containers on it.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub hop_limit: u32,
    /// Whether the instance can read its own tags.
    #[serde(default)]
    pub tags: bool,
    /// Whether the service also answers at its IPv6 address.
    #[serde(default)]
    pub ipv6: bool,
}

/// Whether metadata needs a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpTokens {
    #[default]
    Required,
    Optional,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { enabled: true, http_tokens: HttpTokens::Required, hop_limit: 1, tags: false, ipv6: false }
    }
}

/// An EBS volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The device name; the image's root device (often `/dev/xvda` or `/dev/sda1`) changes the root volume.
    pub device: String,
    /// GiB; left out, the snapshot's size.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65536))]
    pub size_gb: Option<u32>,
    /// `gp3`, `gp2`, `io2`, `io1`, `st1`, `sc1` or `standard`.
    #[serde(default = "gp3", rename = "type")]
    pub volume_type: String,
    /// I/O operations a second, for `gp3`, `io1` and `io2`.
    #[serde(default)]
    #[schemars(range(min = 100, max = 256000))]
    pub iops: Option<u32>,
    /// MiB a second, for `gp3`.
    #[serde(default)]
    #[schemars(range(min = 125, max = 2000))]
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    #[serde(default = "yes")]
    pub encrypted: bool,
    /// The KMS key that encrypts it; left out, the account's default key for EBS.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// The snapshot that it is made from.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Whether it goes with its instance.
    #[serde(default = "yes")]
    pub delete_on_termination: bool,
}

/// The capacity that instances run in: a reservation, a group of them, or a preference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityReservation {
    /// The reservation's or capacity block's id (`cr-…`).
    #[serde(default)]
    pub id: Option<String>,
    /// The ARN of a resource group of reservations.
    #[serde(default)]
    #[schemars(extend("format" = "arn"))]
    pub group: Option<String>,
    /// `open`, `none`, or `capacity-reservations-only`, which never falls back to on-demand.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(open|none|capacity-reservations-only)$"))]
    pub preference: Option<String>,
}

/// How capacity is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// In a block that was bought before; needs its reservation id.
    CapacityBlock,
    /// Spare capacity that AWS may take back.
    Spot,
}

/// Cores and threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Cores.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub cores: Option<u32>,
    /// Threads of each core; 1 turns hyper-threading off.
    #[serde(default)]
    #[schemars(range(min = 1, max = 2))]
    pub threads_per_core: Option<u32>,
}

/// What a burstable type does without credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CpuCredits {
    /// It slows down to its baseline.
    Standard,
    /// It goes on, at a price.
    Unlimited,
}

/// What a shutdown from inside does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownBehavior {
    Stop,
    Terminate,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The template's id (`lt-…`).
    pub id: String,
    /// The template's ARN.
    pub arn: String,
    /// The template's name.
    pub name: String,
    /// The version that launches take unless they name one.
    #[schemars(extend("x-volatile" = true))]
    pub default_version: i64,
    /// The newest version.
    #[schemars(extend("x-volatile" = true))]
    pub latest_version: i64,
}

fn one() -> u32 {
    1
}

fn gp3() -> String {
    "gp3".to_owned()
}

/// Finds the known traps.
pub(super) fn check(arguments: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
    let is = |name: &str, text: &str| arguments.get(name).and_then(Value::as_str) == Some(text);
    let empty = |name: &str| arguments.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let instance_type = arguments.get("instance_type").and_then(Value::as_str).unwrap_or_default();
    if has_efa(instance_type) && !is("efa", "none") {
        if empty("security_groups") && !arguments.get("security_groups").is_some_and(has_unknown) {
            let problem = Problem::new("security_groups", "EFA interfaces need a security group that admits itself");
            out.push(problem);
        }
        if arguments.get("public_ip").and_then(Value::as_bool) == Some(true) {
            let mut problem = Problem::new("public_ip", "an instance with several interfaces gets no public address");
            problem.help = Some("leave it out, or set `efa: none`".to_owned());
            out.push(problem);
        }
    }
    let reservation = arguments.get("capacity_reservation");
    let part = |name: &str| reservation.and_then(|value| value.get(name)).filter(|value| !value.is_null());
    if is("market", "capacity-block") && part("id").is_none() && part("group").is_none() {
        out.push(Problem::new("market", "a capacity block needs `capacity_reservation: { id }`"));
    }
    if part("id").is_some() && part("group").is_some() {
        out.push(Problem::new("capacity_reservation", "either `id` or `group`, not both"));
    }
    if set("capacity_reservation") && part("id").is_none() && part("group").is_none() && part("preference").is_none() {
        out.push(Problem::new("capacity_reservation", "needs `id`, `group` or `preference`"));
    }
    let on = |name: &str| arguments.get(name).and_then(Value::as_bool) == Some(true);
    if on("enclave") && on("hibernation") {
        out.push(Problem::new("hibernation", "an instance with enclaves can't hibernate"));
    }
    if set("partition") && !set("placement_group") {
        out.push(Problem::new("partition", "needs the `placement_group` that it is a partition of"));
    }
    let bytes = arguments.get("user_data").and_then(Value::as_str).map_or(0, str::len);
    if bytes > USER_DATA_BYTES_MAX {
        out.push(Problem::new("user_data", format!("is {bytes} bytes; EC2 takes {USER_DATA_BYTES_MAX}")));
    }
    if let Some(volumes) = arguments.get("volumes").and_then(Value::as_array) {
        check_volumes(volumes, &mut out);
    }
    out
}

fn check_volumes(volumes: &[Value], out: &mut Vec<Problem>) {
    let mut devices = std::collections::BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = |name: &str| format!("volumes[{index}].{name}");
        let set = |name: &str| volume.get(name).is_some_and(|value| !value.is_null());
        let kind = volume.get("type").and_then(Value::as_str).unwrap_or("gp3");
        let device = volume.get("device").and_then(Value::as_str).unwrap_or_default();
        if !devices.insert(device) {
            out.push(Problem::new(path("device"), format!("`{device}` is named twice")));
        }
        let known = ["gp3", "gp2", "io2", "io1", "st1", "sc1", "standard"].contains(&kind);
        if !known && !has_unknown(&volume["type"]) {
            out.push(Problem::new(path("type"), format!("`{kind}` is no EBS volume type")));
        }
        if known && set("iops") && !["gp3", "io1", "io2"].contains(&kind) {
            out.push(Problem::new(path("iops"), format!("`{kind}` takes no `iops`")));
        }
        if !set("iops") && ["io1", "io2"].contains(&kind) {
            out.push(Problem::new(path("iops"), format!("`{kind}` needs `iops`")));
        }
        if known && set("throughput") && kind != "gp3" {
            out.push(Problem::new(path("throughput"), format!("`{kind}` takes no `throughput`")));
        }
        if set("kms_key") && volume.get("encrypted").and_then(Value::as_bool) == Some(false) {
            out.push(Problem::new(path("kms_key"), "a volume that is not encrypted takes no key"));
        }
        if !set("size_gb") && !set("snapshot") && !is_root(volume) {
            out.push(Problem::new(path("size_gb"), "needs a size, or a snapshot to take it from"));
        }
    }
}

/// A root device takes its size from the image.
fn is_root(volume: &Value) -> bool {
    let device = volume.get("device").and_then(Value::as_str).unwrap_or_default();
    device == "/dev/xvda" || device == "/dev/sda1"
}

/// Tells of the accelerated types that are known to have several EFA interfaces; AWS is asked at the create.
fn has_efa(instance_type: &str) -> bool {
    const LARGEST: [&str; 12] = [
        "p4d.24xlarge",
        "p4de.24xlarge",
        "p5.48xlarge",
        "p5e.48xlarge",
        "p5en.48xlarge",
        "p6-b200.48xlarge",
        "p6-b300.48xlarge",
        "p6e-gb200.36xlarge",
        "trn1.32xlarge",
        "trn1n.32xlarge",
        "trn2.48xlarge",
        "trn2u.48xlarge",
    ];
    LARGEST.contains(&instance_type)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn traps_are_found_before_any_call() {
        let paths = |value: Value| check(&value).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        assert_eq!(
            paths(json!({ "instance_type": "p5.48xlarge", "public_ip": true })),
            ["security_groups", "public_ip"]
        );
        assert!(paths(json!({ "instance_type": "p5.48xlarge", "efa": "none", "public_ip": true })).is_empty());
        assert!(paths(json!({ "instance_type": "t3.micro" })).is_empty());
        assert_eq!(paths(json!({ "instance_type": "t3.micro", "market": "capacity-block" })), ["market"]);
        assert_eq!(
            paths(json!({ "instance_type": "m5.large", "partition": 2, "enclave": true, "hibernation": true })),
            ["hibernation", "partition"]
        );
        assert_eq!(paths(json!({ "instance_type": "t3.micro", "user_data": "x".repeat(16_385) })), ["user_data"]);
        let volumes = json!([
            { "device": "/dev/xvda", "type": "gp2", "iops": 3000 },
            { "device": "/dev/xvda", "encrypted": false, "kms_key": "k" },
            { "device": "/dev/xvdb" },
            { "device": "/dev/xvdc", "type": "io2", "size_gb": 8 },
        ]);
        assert_eq!(
            paths(json!({ "instance_type": "t3.micro", "volumes": volumes })),
            ["volumes[0].iops", "volumes[1].device", "volumes[1].kms_key", "volumes[2].size_gb", "volumes[3].iops"]
        );
    }
}
