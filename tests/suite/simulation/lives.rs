//! What the examples live through: they are created, updated, replaced in part, renewed, and destroyed.

use std::path::{Path, PathBuf};

/// One thing that a user does to an environment.
pub(super) struct Edit {
    pub name: &'static str,
    pub yaml: String,
    pub destroy: bool,
}

/// Texts of a spec and what takes their place, where `$0` is what was there.
type Changes = &'static [(&'static str, &'static str)];

/// An example, and the edits that follow each other on it.
struct Example {
    name: &'static str,
    /// Lets all of it go in the end, data included.
    lift: Changes,
    /// Changes in place.
    update: Changes,
    /// Makes things anew, most of them after the old ones went.
    replace: Changes,
    /// Makes things anew before the old ones go.
    renew: Changes,
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "core",
        lift: &[
            ("alias: alias/core-data\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            ("name: acme-core-datasets\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            ("name: acme-core-trail\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            ("name: /core/jobs\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            ("name: core/registry-token\n", "$0      lifecycle: { allow_data_loss: true }\n"),
        ],
        update: &[
            ("description: Data and logs of the core environment", "description: Data of the core environment"),
            ("period_days: 365", "period_days: 180"),
            ("default: [us-east-1a, us-east-1b]", "default: [us-east-1a, us-east-1b, us-east-1c]"),
            (
                "ingress: [{ from: self, protocol: all }]",
                "ingress: [{ from: 10.20.0.0/16, protocol: tcp, ports: 443 }]",
            ),
            ("expire_days: 7", "expire_days: 14"),
            ("description: Reads the datasets", "description: Reads and writes the datasets"),
            ("Action: [s3:GetObject,", "Action: [s3:GetObject, s3:PutObject,"),
            ("default: 365, min: 1", "default: 400, min: 1"),
            ("multi_region: true", "multi_region: false"),
            ("data-classification: internal", "data-classification: public"),
        ],
        replace: &[
            ("subnet(prefix=20,", "subnet(prefix=21,"),
            ("      name: core-nodes\n", "      lifecycle: { create_before_destroy: true }\n"),
            ("description: Traffic between the nodes", "description: Traffic of the nodes"),
            ("name: core-reader\n", "name: core-reads\n"),
            ("name: core-read-datasets", "name: core-reads-datasets"),
            ("name: /core/jobs", "name: /core/work"),
            ("name: core\n      bucket", "name: core-all\n      bucket"),
            (r#""trail/core""#, r#""trail/core-all""#),
        ],
        renew: &[
            // All of the network with it.
            (
                "cidr: 10.20.0.0/16, dns_hostnames: true",
                "cidr: 10.21.0.0/16, lifecycle: { create_before_destroy: true }",
            ),
            ("name: core-reads\n", "name: core-data-reader\n      lifecycle: { create_before_destroy: true }\n"),
            (
                "name: /core/work\n      lifecycle: { ",
                "name: /core/jobs\n      lifecycle: { create_before_destroy: true, ",
            ),
            (
                "name: core/registry-token\n      lifecycle: { ",
                "name: core/token\n      lifecycle: { create_before_destroy: true, ",
            ),
        ],
    },
    Example {
        name: "research",
        lift: &[
            ("lifecycle: { prevent_destroy: true }", "lifecycle: { allow_data_loss: true }"),
            ("name: acme-research-datasets\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            (
                "retention_days: 365, kms_key: $(kms_key.data.arn) }",
                "retention_days: 365, kms_key: $(kms_key.data.arn), lifecycle: { allow_data_loss: true } }",
            ),
            ("description: Token of the model registry\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            ("config: $(sagemaker_endpoint_config.assistant.name)\n", "$0      lifecycle: { allow_data_loss: true }\n"),
        ],
        update: &[
            ("period_days: 365", "period_days: 180"),
            ("amount: $(inputs.monthly_usd)", "amount: 9000"),
            ("threshold: 80, emails", "threshold: 90, emails"),
            ("EMAIL: anonymize", "EMAIL: block"),
            ("description: Blocks credentials and personal data", "description: Blocks credentials"),
            ("flow, retention_days: 365", "flow, retention_days: 400"),
            ("ports: 443 }]\n    serving", "ports: 8443 }]\n    serving"),
            ("expire_days: 7", "expire_days: 14"),
            ("default: 4, min", "default: 8, min"),
            ("default: p5.48xlarge, one_of", "default: p4d.24xlarge, one_of"),
            ("owner: ml-platform@example.com", "owner: ml-research@example.com"),
        ],
        replace: &[
            (
                "description: EFA traffic between the nodes of the cluster",
                "description: EFA traffic of the nodes\n      lifecycle: { create_before_destroy: true }",
            ),
            ("subnet(prefix=24, index=255)", "subnet(prefix=24, index=254)"),
            ("destination: $(log_group.flow.arn)", "destination: $(log_group.bedrock.arn)"),
            ("lmi15.0.0-cu128", "lmi16.0.0-cu128"),
            ("      network_isolation: true\n", "$0      lifecycle: { create_before_destroy: true }\n"),
            ("      data_capture:\n", "      lifecycle: { create_before_destroy: true }\n$0"),
        ],
        renew: &[
            (
                "description: Models reach the endpoints and nothing else",
                "description: Models reach the endpoints\n      lifecycle: { create_before_destroy: true }",
            ),
            ("ml.m5.xlarge, instances: 1", "ml.m5.2xlarge, instances: 2"),
            ("sampling_percent: 10", "sampling_percent: 20"),
            (
                "description: Training and serving on SageMaker\n",
                "$0      path: /research/\n      lifecycle: { create_before_destroy: true }\n",
            ),
            (
                "name: /research/flow, retention_days: 400, kms_key: $(kms_key.data.arn), lifecycle: { ",
                "name: /research/flows, retention_days: 400, kms_key: $(kms_key.data.arn), lifecycle: { create_before_destroy: true, ",
            ),
        ],
    },
];

/// The module of the audit trail, which a spec finds beside itself.
pub(super) const MODULE: &str = "templates/landing-zone/module.yaml";

const MODULE_LIFT: Changes = &[
    ("prevent_destroy: true", "allow_data_loss: true"),
    ("retention_days: $(inputs.retention_days)\n", "$0      lifecycle: { allow_data_loss: true }\n"),
];

/// Returns the module as it may go.
pub(super) fn module() -> String {
    edited(&std::fs::read_to_string(path(MODULE)).unwrap(), MODULE_LIFT)
}

fn path(below: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn edited(yaml: &str, changes: Changes) -> String {
    changes.iter().fold(yaml.to_owned(), |yaml, (from, to)| {
        assert!(yaml.contains(from), "the example has no `{from}`");
        yaml.replace(from, &to.replace("$0", from))
    })
}

/// Returns the examples with their edits, one after the other; each keeps its state where `state` says.
pub(super) fn lives(state: impl Fn(&str) -> String) -> Vec<(&'static str, Vec<Edit>)> {
    let one = |example: &Example| {
        let yaml = std::fs::read_to_string(path("examples").join(example.name).join("opora.yaml")).unwrap();
        let lines = yaml.lines().filter(|line| !line.starts_with("state:"));
        let yaml: String = lines.flat_map(|line| [line, "\n"]).collect();
        let region = "region: us-east-1\n";
        let yaml = yaml.replace(region, &format!("{region}state: {:?}\n", state(example.name)));
        let created = edited(&yaml, example.lift);
        let updated = edited(&created, example.update);
        let replaced = edited(&updated, example.replace);
        let renewed = edited(&replaced, example.renew);
        let edit = |name, yaml: &str, destroy| Edit { name, yaml: yaml.to_owned(), destroy };
        let edits = vec![
            edit("create", &created, false),
            edit("update", &updated, false),
            edit("replace", &replaced, false),
            edit("renew", &renewed, false),
            edit("destroy", &renewed, true),
        ];
        (example.name, edits)
    };
    EXAMPLES.iter().map(one).collect()
}
