//! Measures the languages that a check could be written in: what a misspelt field answers, time, memory.
//!
//! Run: `cargo run --release -- LANGUAGE [RESOURCES]` with LANGUAGE one of `semantics`, `cel`, `cel-resident`,
//! `rego`, `opora` (CEL's grammar with our evaluator, whole audit with the values read), `none`; the world is made up by counting, so that runs compare. `none` builds the resources alone: its
//! time and memory are to be taken off the others'.

#[cfg(feature = "with-opora")]
mod opora;

// The package's own modules, without the SDK crates that the package needs elsewhere.
#[cfg(feature = "with-opora")]
#[path = "../../../src/controls/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench uses a part")]
mod controls;
#[cfg(feature = "with-opora")]
#[path = "../../../src/diagnostic.rs"]
#[allow(dead_code, reason = "the bench uses a part")]
mod diagnostic;
#[cfg(feature = "with-opora")]
#[path = "../../../src/graph/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench uses a part")]
mod graph;
#[cfg(feature = "with-opora")]
#[path = "../../../src/kind/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench uses a part")]
mod kind;
#[cfg(feature = "with-opora")]
#[path = "../../../src/value.rs"]
#[allow(dead_code, reason = "the bench uses a part")]
mod value;

use std::time::Instant;

use serde_json::{Value, json};

/// One bucket of a made-up account; every seventh one has faults.
fn resource(at: usize) -> Value {
    let bad = at % 7 == 0;
    json!({
        "kind": "s3_bucket",
        "name": format!("bucket-{at}"),
        "encryption": if bad { json!({ "algorithm": "AES256" }) } else {
            json!({ "algorithm": "aws:kms", "kms_key": format!("arn:aws:kms:us-east-1:123456789012:key/{at}"), "bucket_key": true })
        },
        "versioning": !bad,
        "public_access_block": { "block_public_acls": true, "ignore_public_acls": true, "block_public_policy": !bad,
            "restrict_public_buckets": true },
        "logging": { "bucket": "logs", "prefix": format!("b{at}/") },
        "policy": { "Version": "2012-10-17", "Statement": [
            { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
              "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
            { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::123456789012:role/trainer" },
              "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("arn:aws:s3:::bucket-{at}/*") }] },
        "lifecycle_rules": [{ "prefix": "tmp/", "expire_days": 7 }],
        "tags": { "owner": "ml", "data-classification": "confidential" },
    })
}

#[cfg(feature = "with-cel")]
const CEL: [&str; 7] = [
    "has(resource.encryption.kms_key) && resource.encryption.kms_key != ''",
    "resource.versioning",
    "resource.public_access_block.block_public_acls && resource.public_access_block.block_public_policy && resource.public_access_block.ignore_public_acls && resource.public_access_block.restrict_public_buckets",
    "resource.policy.Statement.exists(s, s.Effect == 'Deny' && has(s.Condition) && s.Condition.Bool['aws:SecureTransport'] == 'false')",
    "resource.logging.bucket != ''",
    "resource.lifecycle_rules.exists(r, r.expire_days <= 30)",
    "'owner' in resource.tags && 'data-classification' in resource.tags",
];

#[cfg(feature = "with-rego")]
const REGO: &str = r#"package checks
import rego.v1
pass contains "key" if { input.encryption.kms_key != "" }
pass contains "versioning" if { input.versioning }
pass contains "public" if {
    input.public_access_block.block_public_acls
    input.public_access_block.block_public_policy
    input.public_access_block.ignore_public_acls
    input.public_access_block.restrict_public_buckets
}
pass contains "tls" if {
    some s in input.policy.Statement
    s.Effect == "Deny"
    s.Condition.Bool["aws:SecureTransport"] == "false"
}
pass contains "logging" if { input.logging.bucket != "" }
pass contains "lifecycle" if { some r in input.lifecycle_rules; r.expire_days <= 30 }
pass contains "tags" if { input.tags.owner; input.tags["data-classification"] }
"#;

/// Peak resident memory of this process, in KiB (Linux).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[cfg(feature = "with-cel")]
fn cel_run(resources: &[Value]) -> usize {
    let programs: Vec<_> = CEL.iter().map(|text| cel::Program::compile(text).expect("compiles")).collect();
    let mut passed = 0;
    for resource in resources {
        let mut context = cel::Context::default();
        context.add_variable("resource", resource.clone()).expect("converts");
        passed += programs.iter().filter(|program| program.execute(&context) == Ok(true.into())).count();
    }
    passed
}

/// The same with all resources converted first, as a check over related resources needs them.
#[cfg(feature = "with-cel")]
fn cel_resident(resources: &[Value]) -> usize {
    let programs: Vec<_> = CEL.iter().map(|text| cel::Program::compile(text).expect("compiles")).collect();
    let values: Vec<cel::Value> = resources.iter().map(|one| cel::to_value(one).expect("converts")).collect();
    let mut passed = 0;
    for value in &values {
        let mut context = cel::Context::default();
        context.add_variable_from_value("resource", value.clone());
        passed += programs.iter().filter(|program| program.execute(&context) == Ok(true.into())).count();
    }
    passed
}

#[cfg(feature = "with-rego")]
fn rego_run(resources: &[Value]) -> usize {
    let mut engine = regorus::Engine::new();
    engine.add_policy("checks.rego".into(), REGO.into()).expect("compiles");
    let mut passed = 0;
    for resource in resources {
        engine.set_input(serde_json::from_value(resource.clone()).expect("converts"));
        let value = engine.eval_rule("data.checks.pass".into()).expect("evaluates");
        passed += value.as_set().map_or(0, |set| set.len());
    }
    passed
}

fn semantics() {
    let bucket = resource(7);
    for (what, cel, rego) in [
        ("a field that is not set", "resource.encryption.kms_key != ''", "input.encryption.kms_key != \"\""),
        ("a misspelt field, asked to be equal", "resource.encrption.kms_key == ''", "input.encrption.kms_key == \"\""),
        ("a misspelt field, denied", "!(resource.versionning == true)", "not input.versionning == true"),
        ("all over a misspelt list", "resource.lifecycle_rule.all(r, r.expire_days <= 30)", "every r in input.lifecycle_rule { r.expire_days <= 30 }"),
        ("no misspelt member in a list", "!resource.lifecycle_rules.exists(r, r.expires > 30)", "not any_late"),
        ("an unknown value decides nothing: true || x", "true || resource.nope", "any_true"),
    ] {
        println!("{what}");
        #[cfg(feature = "with-cel")]
        {
            let mut context = cel::Context::default();
            context.add_variable("resource", bucket.clone()).expect("converts");
            let program = cel::Program::compile(cel).expect("compiles");
            println!("  cel   {cel}\n        {:?}", program.execute(&context));
        }
        #[cfg(feature = "with-rego")]
        {
            let mut engine = regorus::Engine::new();
            let text = format!(
                "package t\nimport rego.v1\ndefault fails := false\nfails if {{ {rego} }}\n\
                 any_late if {{ some r in input.lifecycle_rules; r.expires > 30 }}\nany_true if true\nany_true if input.nope\n"
            );
            engine.add_policy("t.rego".into(), text).expect("compiles");
            engine.set_input(serde_json::from_value(bucket.clone()).expect("converts"));
            println!("  rego  {rego}\n        {:?}", engine.eval_rule("data.t.fails".into()).map(|value| value.to_string()));
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let language = args.next().unwrap_or_else(|| "semantics".to_owned());
    let count: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    if language == "semantics" {
        return semantics();
    }
    let resources: Vec<Value> = (0..count).map(resource).collect();
    let before = peak();
    let start = Instant::now();
    let passed = match language.as_str() {
        #[cfg(feature = "with-cel")]
        "cel" => cel_run(&resources),
        #[cfg(feature = "with-cel")]
        "cel-resident" => cel_resident(&resources),
        #[cfg(feature = "with-rego")]
        "rego" => rego_run(&resources),
        #[cfg(feature = "with-opora")]
        "opora" => opora::run(resources.clone()),
        _ => 0,
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{language}: {count} resources x 7 rules, {passed} passed, {seconds:.3} s, {:.1} MiB over the resources' {:.1} MiB",
        (peak() - before) as f64 / 1024.0, before as f64 / 1024.0);
}
