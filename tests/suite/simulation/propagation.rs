//! New roles that AWS shows to their users only after a while: nothing fails, and opora goes on within a second.
//!
//! All times are the sandbox's: from the moment at which a call would have been answered well to the moment at which
//! it was. The calls are paced as they are against AWS. `OPORA_PROPAGATIONS=n` plays n draws, `OPORA_SEED=n` one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_credential_types::Credentials;
use opora::apply::OnFailure;
use opora::aws::{Aws, DEFAULT_SHARE, Pacing, connect};
use opora::engine;
use opora::sandbox::{Conditions, Record};
use opora::yaml;
use serde_json::{Value, json};

use super::mortal::Fate;
use super::{Draw, Life, block_on, number, on_all_cores};
use crate::sample::merge;
use crate::support::{ACCOUNT, REGION, seam_to};

/// Draws that a plain `cargo test` plays.
const DRAWS: u64 = 40;

/// The longest time that a new role may take to show, in hundredths of a second.
const DELAY_MAX: u64 = 6_000;

/// What a wait may cost beyond the true delay, in seconds, and what the shortest wait of a pace adds to it.
const OVERHEAD_MAX: f64 = 1.0 + 2e-3;

/// Consumers in one environment at most, each of a role of its own.
const AT_ONCE_MAX: u64 = 3;

/// What uses a role: the role's name is the consumer's.
struct Consumer {
    name: &'static str,
    /// The call that AWS refuses until the role shows.
    operation: &'static str,
    /// What is there before the role is.
    before: &'static str,
    /// What is applied then, merged into what was before.
    then: &'static str,
}

const CONSUMERS: [Consumer; 10] = [
    Consumer {
        name: "kms",
        operation: "CreateKey",
        before: "{}",
        then: r#"
iam_role: { kms: { name: kms, trust: { service: ec2.amazonaws.com } } }
kms_key: { kms: { policy: '$(policy("kms/data-key", users=[iam_role.kms.arn]))' } }
"#,
    },
    Consumer {
        name: "kms_policy",
        operation: "PutKeyPolicy",
        before: "kms_key: { policy: { description: Of old } }",
        then: r#"
iam_role: { kms_policy: { name: kms_policy, trust: { service: ec2.amazonaws.com } } }
kms_key: { policy: { policy: '$(policy("kms/data-key", users=[iam_role.kms_policy.arn]))' } }
"#,
    },
    Consumer {
        name: "sagemaker",
        operation: "CreateModel",
        before: "{}",
        then: r#"
iam_role: { sagemaker: { name: sagemaker, trust: { service: sagemaker.amazonaws.com } } }
sagemaker_model:
  m: { role: $(iam_role.sagemaker.arn), containers: [{ image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1" }] }
sagemaker_endpoint_config: { m: { variants: [{ model: $(sagemaker_model.m.name), instance_type: ml.m5.large }] } }
sagemaker_endpoint: { m: { config: $(sagemaker_endpoint_config.m.name) } }
"#,
    },
    Consumer {
        name: "trail",
        operation: "CreateTrail",
        before: TRAIL_BUCKET,
        then: r#"
iam_role: { trail: { name: trail, trust: { service: cloudtrail.amazonaws.com } } }
log_group: { trail: { name: /p/trail } }
cloudtrail_trail:
  new: { name: new, bucket: $(s3_bucket.trail.name), log_group: $(log_group.trail.arn), log_role: $(iam_role.trail.arn) }
"#,
    },
    Consumer {
        name: "trail_update",
        operation: "UpdateTrail",
        before: r#"
s3_bucket:
  old:
    name: propagation-old
    policy: '$(policy("cloudtrail/bucket", bucket="arn:aws:s3:::propagation-old", trail=arn("cloudtrail", "trail/old")))'
cloudtrail_trail: { old: { name: old, bucket: $(s3_bucket.old.name) } }
"#,
        then: r#"
iam_role: { trail_update: { name: trail_update, trust: { service: cloudtrail.amazonaws.com } } }
log_group: { old: { name: /p/old } }
cloudtrail_trail: { old: { log_group: $(log_group.old.arn), log_role: $(iam_role.trail_update.arn) } }
"#,
    },
    Consumer {
        name: "flow",
        operation: "CreateFlowLogs",
        before: "vpc: { flow: { cidr: 10.0.0.0/16 } }",
        then: r#"
iam_role: { flow: { name: flow, trust: { service: vpc-flow-logs.amazonaws.com } } }
flow_log:
  flow: { target: $(vpc.flow.id), destination: "arn:aws:logs:us-east-1:123456789012:log-group:/p/flow", role: $(iam_role.flow.arn) }
"#,
    },
    Consumer {
        name: "bedrock",
        operation: "PutModelInvocationLoggingConfiguration",
        before: "log_group: { bedrock: { name: /p/bedrock } }",
        then: r#"
iam_role:
  bedrock:
    name: bedrock
    trust: { service: bedrock.amazonaws.com }
    policies:
      write: $(policy("logs/write", log_group=log_group.bedrock.arn))
bedrock_invocation_logging: { main: { cloudwatch: { log_group: $(log_group.bedrock.name), role: $(iam_role.bedrock.arn) } } }
"#,
    },
    Consumer {
        name: "ec2",
        operation: "CreateLaunchTemplate",
        before: "{}",
        then: r#"
iam_role: { ec2: { name: ec2, trust: { service: ec2.amazonaws.com } } }
iam_instance_profile: { ec2: { role: $(iam_role.ec2.name) } }
launch_template:
  ec2: { instance_type: m5.large, image: ami-0123456789abcdef0, instance_profile: $(iam_instance_profile.ec2.name) }
"#,
    },
    Consumer {
        name: "s3",
        operation: "PutBucketPolicy",
        before: "s3_bucket: { s3: { name: propagation-s3 } }",
        then: r#"
iam_role: { s3: { name: s3, trust: { service: ec2.amazonaws.com } } }
s3_bucket:
  s3:
    policy:
      Version: "2012-10-17"
      Statement:
        - { Effect: Allow, Principal: { AWS: $(iam_role.s3.arn) }, Action: "s3:GetObject", Resource: "arn:aws:s3:::propagation-s3/*" }
"#,
    },
    Consumer {
        name: "secret",
        operation: "PutResourcePolicy",
        before: "secretsmanager_secret: { secret: { value: { generate: { length: 20 } } } }",
        then: r#"
iam_role: { secret: { name: secret, trust: { service: ec2.amazonaws.com } } }
secretsmanager_secret:
  secret:
    policy:
      Version: "2012-10-17"
      Statement:
        - { Effect: Allow, Principal: { AWS: $(iam_role.secret.arn) }, Action: "secretsmanager:GetSecretValue", Resource: "*" }
"#,
    },
];

const TRAIL_BUCKET: &str = r#"
s3_bucket:
  trail:
    name: propagation-trail
    policy: '$(policy("cloudtrail/bucket", bucket="arn:aws:s3:::propagation-trail", trail=arn("cloudtrail", "trail/new")))'
"#;

/// How one wait ended.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// Seconds beyond the true delay.
    overhead: f64,
    attempts: usize,
}

fn parse(text: &str) -> Value {
    let mut sources = opora::diagnostic::SourceMap::default();
    let (node, problems) = yaml::parse(text, sources.add("consumer", text));
    assert_eq!(problems, Vec::new(), "{text}");
    node.expect("a consumer is not empty").to_json()
}

fn spec(resources: &Value) -> String {
    json!({ "opora": 1, "environment": "p", "account": ACCOUNT, "region": REGION, "resources": resources }).to_string()
}

/// Applies as a process does against AWS, in its pace.
async fn apply(life: &Life, resources: &Value) {
    let environment = life.load(&spec(resources));
    let credentials = Credentials::from_keys(ACCOUNT, "sandbox", None);
    let aws: Aws = connect::connect_with(seam_to(&life.sandbox), credentials, REGION, Pacing::new(DEFAULT_SHARE));
    let writer = life.lease(&life.log(&Fate::long_life())).await.expect("the lease is free");
    let state = writer.state().await.expect("the state is known");
    let plan = life.plan(&aws, &environment, &state, false).await.expect("a plan");
    let session = life.session(&aws, &environment, &writer);
    let report = engine::apply_plan(&session, &plan, &state, OnFailure::Continue).await.expect("the log works");
    assert!(report.is_complete(), "{:#?}", report.failed);
    writer.release().await.expect("the lease is released");
}

/// Returns how the wait of a consumer ended whose role shows after `delay`.
fn wait_of(consumer: &Consumer, calls: &[Record], delay: f64) -> Wait {
    let about = |call: &Record, id: &str| call.touched.iter().any(|(_, touched)| touched == id);
    let made = calls.iter().find(|call| call.operation == "CreateRole" && about(call, consumer.name));
    let shows = made.expect("the role is made").time + delay;
    let attempts: Vec<_> =
        calls.iter().filter(|call| call.operation == consumer.operation && call.n > made.unwrap().n).collect();
    let first = attempts.first().expect("the role is used");
    let done = attempts.iter().find(|call| call.error.is_none()).expect("the role is used with success");
    // What AWS does not check has nothing to wait for.
    let possible = if done.n == first.n { done.time } else { shows.max(first.time) };
    let attempts = attempts.iter().filter(|call| call.n <= done.n).count();
    Wait { overhead: done.time - possible, attempts }
}

async fn play(seed: u64, waits: &Mutex<BTreeMap<&'static str, Vec<Wait>>>) {
    let mut draw = Draw(seed);
    let life = Life::new(seed);
    let begin = draw.below(CONSUMERS.len() as u64);
    let count = 1 + draw.below(AT_ONCE_MAX);
    let chosen: Vec<&Consumer> =
        (0..count).map(|at| &CONSUMERS[((begin + at * 4) % CONSUMERS.len() as u64) as usize]).collect();
    let mut resources = json!({});
    for consumer in &chosen {
        merge(&mut resources, &parse(consumer.before));
    }
    if resources != json!({}) {
        apply(&life, &resources).await;
    }
    let delay = draw.below(DELAY_MAX + 1) as f64 / 100.0;
    let propagation = BTreeMap::from([("iam".to_owned(), delay)]);
    life.sandbox.set_conditions(Conditions { propagation, ..Conditions::default() });
    for consumer in &chosen {
        merge(&mut resources, &parse(consumer.then));
    }
    apply(&life, &resources).await;
    let calls = life.sandbox.calls();
    for consumer in chosen {
        let wait = wait_of(consumer, &calls, delay);
        assert!(
            wait.overhead <= OVERHEAD_MAX,
            "{}: {:.3} s beyond the {delay} s, in {} attempts",
            consumer.name,
            wait.overhead,
            wait.attempts
        );
        waits.lock().unwrap().entry(consumer.name).or_default().push(wait);
    }
}

#[expect(clippy::print_stdout, reason = "the distribution is what the run is for")]
fn print(waits: &BTreeMap<&'static str, Vec<Wait>>) {
    println!("| user of the role | waits | overhead s: median | 95 % | most | attempts: most |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, waits) in waits {
        let mut seconds: Vec<f64> = waits.iter().map(|wait| wait.overhead).collect();
        seconds.sort_by(f64::total_cmp);
        let at = |percent: usize| seconds[(seconds.len() - 1) * percent / 100];
        let attempts = waits.iter().map(|wait| wait.attempts).max().unwrap_or_default();
        println!("| {name} | {} | {:.2} | {:.2} | {:.2} | {attempts} |", waits.len(), at(50), at(95), at(100));
    }
}

#[test]
fn a_new_role_is_waited_for_and_not_a_second_longer() {
    let seeds: Vec<String> = match number("OPORA_SEED") {
        Some(seed) => vec![seed.to_string()],
        None => (0..number("OPORA_PROPAGATIONS").unwrap_or(DRAWS)).map(|seed| seed.to_string()).collect(),
    };
    let waits = Mutex::new(BTreeMap::new());
    let failed = on_all_cores(seeds, |seed| block_on(play(seed.parse().expect("a seed is a number"), &waits)));
    print(&waits.lock().unwrap());
    for failure in &failed {
        let (seed, why) = failure.split_once(": ").unwrap_or((failure, ""));
        println!("OPORA_SEED={seed} cargo test --test suite simulation::propagation\n{why}\n");
    }
    assert!(failed.is_empty(), "{} draws wait too long or fail; the commands are above", failed.len());
}
