//! What the examples live through: they are created, updated, replaced in part, and destroyed.

use super::door::STATES;
use super::path;

/// One thing that a user does to an environment.
pub(super) struct Edit {
    pub name: &'static str,
    pub yaml: String,
    pub destroy: bool,
}

/// Texts of an example's spec and what takes their place.
type Changes = &'static [(&'static str, &'static str)];

/// What lets all of it go in the end, data included.
const CORE_LIFT: Changes =
    &[("name: acme-core-trail\n", "name: acme-core-trail\n      lifecycle: { allow_data_loss: true }\n")];

const RESEARCH_LIFT: Changes = &[
    ("lifecycle: { prevent_destroy: true }", "lifecycle: { allow_data_loss: true }"),
    ("name: acme-research-datasets\n", "name: acme-research-datasets\n      lifecycle: { allow_data_loss: true }\n"),
    ("kms_key: $(kms_key.data.arn) }\n", "kms_key: $(kms_key.data.arn), lifecycle: { allow_data_loss: true } }\n"),
];

const MODULE_LIFT: Changes = &[
    ("prevent_destroy: true", "allow_data_loss: true"),
    (
        "retention_days: $(inputs.retention_days)\n",
        "retention_days: $(inputs.retention_days)\n      lifecycle: { allow_data_loss: true }\n",
    ),
];

/// The module of the audit trail, which a spec finds beside itself.
pub(super) const MODULE: &str = "templates/landing-zone/module.yaml";

/// Returns the module as it may go.
pub(super) fn module() -> String {
    edited(&std::fs::read_to_string(path(MODULE)).unwrap(), MODULE_LIFT)
}

const CORE_UPDATE: Changes = &[
    ("owner: ml-platform@example.com", "owner: data@example.com"),
    ("default: 365,", "default: 400,"),
    ("description: Data and logs of the core environment", "description: Data of the core environment"),
    ("description: Reads the datasets", "description: Reads what is in the datasets"),
    ("expire_days: 7", "expire_days: 14"),
    ("multi_region: true", "multi_region: false"),
];

/// All of the network is replaced, the VPC itself, a role, a log group and a secret by making the new one first.
const CORE_REPLACE: Changes = &[
    (
        "main: { cidr: 10.20.0.0/16, dns_hostnames: true }",
        "main: { cidr: 10.21.0.0/16, dns_hostnames: true, lifecycle: { create_before_destroy: true } }",
    ),
    ("name: core-reader\n", "name: core-data-reader\n      lifecycle: { create_before_destroy: true }\n"),
    (
        "name: /core/jobs\n",
        "name: /core/work\n      lifecycle: { create_before_destroy: true, allow_data_loss: true }\n",
    ),
    (
        "name: core/registry-token\n",
        "name: core/token\n      lifecycle: { create_before_destroy: true, allow_data_loss: true }\n",
    ),
];

const RESEARCH_UPDATE: Changes = &[
    ("owner: ml-platform@example.com", "owner: data@example.com"),
    ("default: 20000,", "default: 30000,"),
    ("default: 4, min", "default: 8, min"),
    ("description: Blocks credentials and personal data", "description: Blocks credentials"),
    ("sampling_percent: 10", "sampling_percent: 20"),
];

const RESEARCH_REPLACE: Changes = &[
    (
        "description: Models reach the endpoints and nothing else\n",
        "description: Models reach the endpoints\n      lifecycle: { create_before_destroy: true }\n",
    ),
    (
        "      network_isolation: true\n",
        "      network_isolation: true\n      lifecycle: { create_before_destroy: true }\n",
    ),
    ("ml.m5.xlarge, instances: 1", "ml.m5.2xlarge, instances: 1"),
    (
        "      role: $(iam_role.flow_logs.arn)\n",
        "      role: $(iam_role.flow_logs.arn)\n      aggregation_seconds: 60\n",
    ),
    (
        "name: /research/flow, retention_days: 365, kms_key: $(kms_key.data.arn), lifecycle: { ",
        "name: /research/flows, retention_days: 365, kms_key: $(kms_key.data.arn), lifecycle: { create_before_destroy: true, ",
    ),
];

fn edited(yaml: &str, changes: Changes) -> String {
    changes.iter().fold(yaml.to_owned(), |yaml, (from, to)| {
        assert!(yaml.contains(from), "the example has no `{from}`");
        yaml.replace(from, to)
    })
}

/// Reads an example, with its state in the bucket behind the door.
fn example(name: &str) -> String {
    let yaml = std::fs::read_to_string(path("examples").join(name).join("opora.yaml")).unwrap();
    let without = yaml.lines().filter(|line| !line.starts_with("state:")).collect::<Vec<_>>().join("\n");
    without.replace("region: us-east-1\n", &format!("region: us-east-1\nstate: s3://{STATES}/{name}\n")) + "\n"
}

/// Returns the examples with their edits, one after the other.
pub(super) fn lives() -> Vec<(&'static str, Vec<Edit>)> {
    [("core", CORE_LIFT, CORE_UPDATE, CORE_REPLACE), ("research", RESEARCH_LIFT, RESEARCH_UPDATE, RESEARCH_REPLACE)]
        .into_iter()
        .map(|(name, lift, update, replace)| {
            let first = edited(&example(name), lift);
            let second = edited(&first, update);
            let third = edited(&second, replace);
            let edit = |name, yaml: &str, destroy| Edit { name, yaml: yaml.to_owned(), destroy };
            let edits = vec![
                edit("create", &first, false),
                edit("update", &second, false),
                edit("replace", &third, false),
                edit("destroy", &third, true),
            ];
            (name, edits)
        })
        .collect()
}
