//! The examples, killed at their calls: create, update, replace and destroy.
//!
//! `OPORA_STRIDE=1` kills at every call, `OPORA_KILL="core 1 40 2"` replays one: example, edit, call, moment.

use std::sync::Mutex;

use super::mortal::{Fate, MOMENTS};
use super::{End, Life, PROTECTION, block_on, number, on_all_cores};

/// Of how many kills a plain `cargo test` takes one.
const STRIDE: usize = 389;

/// What a spec says, and what takes its place.
type Patch = (&'static str, &'static str);

/// An example, and the edits that follow each other on it.
struct Example {
    name: &'static str,
    /// Lifts the protection of what holds data: a life ends.
    unprotected: &'static [Patch],
    /// Changes that are made in place.
    updates: &'static [Patch],
    /// Changes that make something anew, before or after the old one goes.
    replaces: &'static [Patch],
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "core",
        unprotected: &[("retention_days: $(inputs.retention_days)", "$0\n      lifecycle: { allow_data_loss: true }")],
        updates: &[
            ("description: Data and logs of the core environment", "description: Data of the core environment"),
            ("period_days: 365", "period_days: 180"),
            ("default: [us-east-1a, us-east-1b]", "default: [us-east-1a, us-east-1b, us-east-1c]"),
            (
                "      ingress: [{ from: self, protocol: all }]",
                "      ingress: [{ from: 10.20.0.0/16, protocol: tcp, ports: 443 }]",
            ),
            ("expire_days: 7", "expire_days: 14"),
            ("description: Reads the datasets", "description: Reads and writes the datasets"),
            ("Action: [s3:GetObject,", "Action: [s3:GetObject, s3:PutObject,"),
            ("default: 365, min: 1", "default: 400, min: 1"),
            ("multi_region: true", "multi_region: false"),
            ("data-classification: internal", "data-classification: public"),
        ],
        replaces: &[
            ("subnet(prefix=20,", "subnet(prefix=21,"),
            ("      name: core-nodes\n", "      lifecycle: { create_before_destroy: true }\n"),
            ("description: Traffic between the nodes", "description: Traffic of the nodes"),
            ("name: core-reader\n", "name: core-reads\n"),
            ("name: core-read-datasets", "name: core-reads-datasets"),
            ("name: /core/jobs", "name: /core/work"),
            ("name: core\n      bucket", "name: core-all\n      bucket"),
            (r#""trail/core""#, r#""trail/core-all""#),
        ],
    },
    Example {
        name: "research",
        unprotected: &[
            (PROTECTION, "prevent_destroy: false, allow_data_loss: true"),
            ("name: acme-research-datasets\n", "$0      lifecycle: { allow_data_loss: true }\n"),
            (
                "retention_days: 365, kms_key: $(kms_key.data.arn) }",
                "retention_days: 365, kms_key: $(kms_key.data.arn), lifecycle: { allow_data_loss: true } }",
            ),
        ],
        updates: &[
            ("period_days: 365", "period_days: 180"),
            ("amount: $(inputs.monthly_usd)", "amount: 9000"),
            ("threshold: 80, emails", "threshold: 90, emails"),
            ("EMAIL: anonymize", "EMAIL: block"),
            ("flow, retention_days: 365", "flow, retention_days: 400"),
            ("protocol: tcp, ports: 443 }]\n    serving", "protocol: tcp, ports: 8443 }]\n    serving"),
            ("instance_type: ml.m5.xlarge, instances: 1", "instance_type: ml.m5.xlarge, instances: 2"),
            ("expire_days: 7", "expire_days: 14"),
            ("default: p5.48xlarge, one_of", "default: p4d.24xlarge, one_of"),
            ("owner: ml-platform@example.com", "owner: ml-research@example.com"),
        ],
        replaces: &[
            (
                "description: EFA traffic between the nodes of the cluster",
                "description: EFA traffic of the nodes\n      lifecycle: { create_before_destroy: true }",
            ),
            (
                "description: Models reach the endpoints and nothing else",
                "description: Models reach the endpoints\n      lifecycle: { create_before_destroy: true }",
            ),
            ("lmi15.0.0-cu128", "lmi16.0.0-cu128"),
            ("      network_isolation: true\n", "$0      lifecycle: { create_before_destroy: true }\n"),
            ("      data_capture:\n", "      lifecycle: { create_before_destroy: true }\n$0"),
            ("subnet(prefix=24, index=255)", "subnet(prefix=24, index=254)"),
            ("destination: $(log_group.flow.arn)", "destination: $(log_group.bedrock.arn)"),
            (
                "description: Training and serving on SageMaker\n",
                "$0      path: /research/\n      lifecycle: { create_before_destroy: true }\n",
            ),
        ],
    },
];

/// One thing that a user does to an example.
struct Edit {
    yaml: String,
    destroy: bool,
}

impl Example {
    /// Returns its life: create, update, replace, destroy.
    fn edits(&self) -> Vec<Edit> {
        let path = format!("{}/examples/{}/opora.yaml", env!("CARGO_MANIFEST_DIR"), self.name);
        let created = patched(std::fs::read_to_string(path).unwrap(), self.unprotected);
        let updated = patched(created.clone(), self.updates);
        let replaced = patched(updated.clone(), self.replaces);
        let edit = |yaml: &String, destroy| Edit { yaml: yaml.clone(), destroy };
        vec![edit(&created, false), edit(&updated, false), edit(&replaced, false), edit(&replaced, true)]
    }
}

fn patched(mut text: String, patches: &[Patch]) -> String {
    for (from, to) in patches {
        assert!(text.contains(from), "the example says `{from}`");
        text = text.replace(from, &to.replace("$0", from));
    }
    text
}

/// An example after each of its edits, undisturbed; the first one is before all.
struct Calm {
    example: &'static Example,
    edits: Vec<Edit>,
    lives: Vec<Life>,
    /// How many calls each edit takes.
    calls: Vec<u64>,
}

impl Calm {
    async fn new(example: &'static Example) -> Self {
        let edits = example.edits();
        let (mut lives, mut calls) = (vec![Life::new(1)], Vec::new());
        for edit in &edits {
            let life = lives.last().expect("the first is there").fork().await;
            calls.push(life.converge(&life.load(&edit.yaml), edit.destroy).await);
            lives.push(life);
        }
        Self { example, edits, lives, calls }
    }

    /// Is killed at a call of an edit, and made good by a plain run.
    async fn play(&self, kill: Kill) {
        let (edit, life) = (&self.edits[kill.edit], self.lives[kill.edit].fork().await);
        let environment = life.load(&edit.yaml);
        let end = life.process(&Fate::new(kill.at, MOMENTS[kill.moment]), &environment, edit.destroy).await;
        assert!(matches!(end, End::Killed), "call {} is made: {end:#?}", kill.at);
        life.converge(&environment, edit.destroy).await;
        assert_eq!(life.inventory(), self.lives[kill.edit + 1].inventory());
    }

    /// Returns a kill at each moment of each call.
    fn kills(&self) -> Vec<Kill> {
        let edit = |(edit, calls): (usize, &u64)| {
            let one = move |at| (0..MOMENTS.len()).map(move |moment| Kill { edit, at, moment });
            (1..=*calls).flat_map(one)
        };
        self.calls.iter().enumerate().flat_map(edit).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kill {
    edit: usize,
    at: u64,
    moment: usize,
}

#[test]
fn killed_at_every_call() {
    let stride = number("OPORA_STRIDE").map_or(STRIDE, |stride| stride.max(1) as usize);
    let only = std::env::var("OPORA_KILL").ok();
    let calm: Vec<Mutex<Option<Calm>>> = EXAMPLES.iter().map(|_| Mutex::default()).collect();
    let names = EXAMPLES.iter().enumerate().map(|(at, _)| at.to_string()).collect();
    let failed = on_all_cores(names, |at| {
        let at: usize = at.parse().expect("a number");
        *calm[at].lock().unwrap() = Some(block_on(Calm::new(&EXAMPLES[at])));
    });
    assert!(failed.is_empty(), "an undisturbed life fails: {failed:#?}");
    let calm: Vec<Calm> = calm.into_iter().map(|one| one.into_inner().unwrap().expect("it was played")).collect();
    let mut cases = Vec::new();
    for (number, calm) in calm.iter().enumerate() {
        println!("{}: {:?} calls of its edits", calm.example.name, calm.calls);
        cases.extend(calm.kills().into_iter().map(|kill| {
            let name = format!("{} {} {} {}", calm.example.name, kill.edit, kill.at, kill.moment);
            (name, number, kill)
        }));
    }
    let all = cases.len();
    let chosen: Vec<_> = match &only {
        Some(only) => cases.into_iter().filter(|(name, ..)| name == only).collect(),
        None => cases.into_iter().step_by(stride).collect(),
    };
    println!("{} of {all} kills", chosen.len());
    assert!(!chosen.is_empty(), "no such kill");
    let failed = on_all_cores(chosen.iter().map(|(name, ..)| name.clone()).collect(), |name| {
        let (_, number, kill) = chosen.iter().find(|(found, ..)| found == name).expect("it was chosen");
        block_on(calm[*number].play(*kill));
    });
    for failure in &failed {
        let (kill, why) = failure.split_once(": ").unwrap_or((failure, ""));
        println!("OPORA_KILL=\"{kill}\" cargo test --test suite simulation::examples\n{why}\n");
    }
    assert!(failed.is_empty(), "{} kills are not made good; the commands that play them again are above", failed.len());
}
