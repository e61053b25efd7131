//! The golden samples under `reports/samples`: one audit of a made-up account, drawn in every form.
//!
//! `OPORA_UPDATE_SAMPLES=1 cargo test reports` writes them anew; a reviewer then reads the difference.

use opora::aws::kinds;
use opora::controls::{
    Attestations, Audit, Catalogue, Checks, Finding, Moment, Question, ReadProblems, RecordEvidence, RecordKind,
    Verdict, Waivers, evaluate,
};
use opora::diagnostic::SourceId;
use opora::graph::{Address, PhysicalId};
use opora::kind::{KindSchemas, Resource, Scope, with_defaults};
use opora::report::{Language, Place, html, json, sarif, text};
use opora::value::unreadable;
use serde_json::{Value, json};

const WAIVERS: &str = "\
waivers:
- check: bucket_without_access_logging
  address: s3_bucket.scratch
  reason: holds nothing for longer than a day
  owner: ml-platform@example.com
  expires: 2027-03-31
- check: security_group_open_to_world_on_ssh
  address: security_group.bastion
  reason: replaced by Session Manager
  owner: network@example.com
  expires: 2026-10-01
";

const ATTESTATIONS: &str = "\
attestations:
- control: A.7.1
  statement: AWS's certificate covers the data centres of us-east-1.
  owner: assurance@example.com
  evidence: [\"ISO/IEC 27001 certificate from AWS Artifact, valid until 2027-11-30\"]
  date: 2026-09-01
  valid_until: 2027-08-31
- control: A.6.3
  statement: All administrators finished the course on cloud credentials and prompts.
  owner: security@example.com
  evidence: [\"completion records of 2026-10-12\"]
  date: 2026-10-12
  valid_until: 2027-10-11
- control: A.5.18
  statement: Roles were reviewed and two of them removed.
  owner: ml-platform@example.com
  evidence: [\"signed review of 2026-06-30\"]
  date: 2026-06-30
  valid_until: 2026-09-28
exclusions:
- control: A.8.30
  justification: No code or model for this environment is made by others.
  owner: security@example.com
  date: 2026-01-15
";

fn resource(kinds: &KindSchemas, kind: &str, name: &str, arguments: Value, attributes: Value) -> Resource {
    let schema = kinds.get(kind).unwrap_or_else(|| panic!("{kind}"));
    Resource {
        kind: kind.into(),
        address: (!name.starts_with('~')).then(|| Address::new(kind, name)),
        id: Some(PhysicalId(name.trim_start_matches('~').into())),
        arguments: with_defaults(&schema.arguments, &arguments),
        attributes,
    }
}

fn account(kinds: &KindSchemas) -> Vec<Resource> {
    let key = "arn:aws:kms:us-east-1:123456789012:key/6a1f";
    let tags = json!({ "owner": "ml-platform@example.com", "data-classification": "confidential" });
    let tls = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::acme-research-datasets", "arn:aws:s3:::acme-research-datasets/*"],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } } }] });
    let one = |kind: &str, name: &str, arguments: Value, attributes: Value| {
        resource(kinds, kind, name, arguments, attributes)
    };
    vec![
        one("kms_key", "data", json!({ "rotation": { "period_days": 365 }, "tags": tags }), json!({ "arn": key })),
        one("kms_key", "old", json!({ "description": "before the move", "tags": tags }), json!({})),
        one(
            "s3_bucket",
            "datasets",
            json!({ "encryption": { "kms_key": key, "bucket_key": true }, "versioning": true, "policy": tls, "tags": tags,
                "logging": { "bucket": "acme-logs", "prefix": "datasets/" }, "lifecycle_rules": [{ "prefix": "tmp/", "expire_days": 7 }] }),
            json!({ "name": "acme-research-datasets" }),
        ),
        one(
            "s3_bucket",
            "scratch",
            json!({ "encryption": { "kms_key": key }, "versioning": true, "policy": unreadable("access denied: s3:GetBucketPolicy"),
                "tags": tags, "lifecycle_rules": [{ "expire_days": 1 }] }),
            json!({ "name": "acme-scratch" }),
        ),
        one("vpc", "main", json!({ "cidr": "10.40.0.0/16", "tags": tags }), json!({ "id": "vpc-0a1" })),
        one(
            "subnet",
            "private",
            json!({ "vpc": "vpc-0a1", "cidr": "10.40.0.0/20", "tags": tags }),
            json!({ "id": "subnet-1" }),
        ),
        one(
            "flow_log",
            "main",
            json!({ "target": "vpc-0a1", "destination": "arn:aws:logs:us-east-1:123456789012:log-group:flow", "tags": tags }),
            json!({ "id": "fl-1" }),
        ),
        one(
            "security_group",
            "efa",
            json!({ "vpc": "vpc-0a1", "description": "EFA", "ingress": [{ "from": "self", "protocol": "all" }], "tags": tags }),
            json!({ "id": "sg-1" }),
        ),
        one(
            "security_group",
            "bastion",
            json!({ "vpc": "vpc-0a1", "description": "bastion", "tags": tags,
                "ingress": [{ "from": "0.0.0.0/0", "protocol": "tcp", "ports": 22, "description": "on the road" }] }),
            json!({ "id": "sg-2" }),
        ),
        one(
            "log_group",
            "training",
            json!({ "retention_days": 365, "kms_key": key, "tags": tags }),
            json!({ "name": "/acme/training" }),
        ),
        one("log_group", "~/aws/sagemaker/TrainingJobs", json!({}), json!({ "name": "/aws/sagemaker/TrainingJobs" })),
        one(
            "cloudtrail_trail",
            "main",
            json!({ "bucket": "acme-logs", "kms_key": key, "tags": tags }),
            json!({ "name": "main" }),
        ),
        one(
            "launch_template",
            "node",
            json!({ "instance_type": "p5.48xlarge", "volumes": [{ "device": "/dev/sdf" }], "tags": tags }),
            json!({ "id": "lt-1" }),
        ),
        one(
            "bedrock_guardrail",
            "default",
            json!({ "version": "publish", "tags": tags,
            "sensitive_information": { "AWS_ACCESS_KEY": "block", "AWS_SECRET_KEY": "block", "PASSWORD": "block" } }),
            json!({ "id": "gr1" }),
        ),
        one(
            "bedrock_invocation_logging",
            "main",
            json!({ "s3": { "bucket": "acme-logs" } }),
            json!({ "region": "us-east-1" }),
        ),
    ]
}

fn audit() -> (Audit, Checks) {
    let (catalogue, _) = Catalogue::iso27001();
    let kinds = kinds::schemas();
    let (checks, _) = Checks::embedded(&kinds, &catalogue);
    let (waivers, problems) = Waivers::load(WAIVERS, SourceId(0), &checks);
    assert!(problems.is_empty(), "{problems:#?}");
    let (attestations, problems) = Attestations::load(ATTESTATIONS, SourceId(0), &catalogue);
    assert!(problems.is_empty(), "{problems:#?}");
    let record = |kind, summary: &str, reference: &str| RecordEvidence {
        kind,
        verdict: Verdict::Pass,
        summary: summary.into(),
        reference: reference.into(),
    };
    let audit = evaluate(&Question {
        checks: &checks,
        catalogue: &catalogue,
        kinds: &kinds,
        resources: &account(&kinds),
        problems: &ReadProblems { unlisted: [("budget".into(), "access denied: budgets:ViewBudget".into())].into() },
        waivers: &waivers,
        attestations: &attestations,
        records: &[
            record(RecordKind::Inventory, "15 resources, 1 of them not in the spec", "state entry 41"),
            record(RecordKind::Drift, "0 of 412 fields differ", "drift of 2026-11-22T09:31:07Z"),
            record(RecordKind::ApplyLog, "12 applies, each bound to its plan", "state entries 3 to 41"),
            record(RecordKind::StateHistory, "41 entries without a gap", "state entries 1 to 41"),
            record(RecordKind::SpecCommits, "every apply names its spec's commit", "state entries 3 to 41"),
        ],
        scope: &Scope { environment: "research".into(), account: "123456789012".into(), region: "us-east-1".into() },
        moment: Moment::Live,
        now: "2026-11-22T09:34:00Z".parse().unwrap(),
    });
    (audit, checks)
}

/// Stands in for the source map: each managed resource has a line of its own.
fn locate(finding: &Finding) -> Option<Place> {
    let address = finding.address.as_ref()?;
    let line = 10 + address.to_string().len();
    Some(Place { file: "research.yaml".into(), line, column: 5, end_line: line, end_column: 5 + address.name.len() })
}

#[track_caller]
fn golden(name: &str, drawn: &str) {
    let path = format!("{}/reports/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("OPORA_UPDATE_SAMPLES").is_some() {
        std::fs::create_dir_all(format!("{}/reports/samples", env!("CARGO_MANIFEST_DIR"))).unwrap();
        std::fs::write(&path, drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(drawn.lines()).position(|(a, b)| a != b);
    assert!(kept == drawn, "reports/samples/{name} differs from line {:?} on", differs.map(|at| at + 1));
}

#[test]
fn samples_are_what_the_program_draws() {
    let (audit, checks) = audit();
    golden("audit.txt", &text(&audit, &locate, Language::English));
    golden("audit.uk.txt", &text(&audit, &locate, Language::Ukrainian));
    golden("audit.json", &json(&audit));
    golden("audit.sarif", &sarif(&audit, &checks, &locate));
    golden("audit.html", &html(&audit, &locate, Language::English));
    golden("audit.uk.html", &html(&audit, &locate, Language::Ukrainian));
}

#[test]
fn the_ukrainian_report_has_no_english_text_of_a_check() {
    let (audit, checks) = audit();
    // The catalogue's own texts stay as they are, and may use the same words.
    let draw = |language| {
        let drawn = text(&audit, &locate, language) + &html(&audit, &locate, language);
        let drawn = drawn.replace("&#x27;", "'").replace("&#39;", "'");
        audit.controls.iter().fold(drawn, |drawn, control| drawn.replace(&control.intent, ""))
    };
    let (drawn, english) = (draw(Language::Ukrainian), draw(Language::English));
    let mut shown = 0;
    for check in checks.iter() {
        assert!(check.uk.is_some(), "{} has no Ukrainian texts", check.id);
        for (text, own) in check.ukrainian() {
            assert!(!drawn.contains(&text), "{}: {text}", check.id);
            assert_eq!(drawn.contains(&own), english.contains(&text), "{}: {own}", check.id);
            shown += usize::from(drawn.contains(&own));
            let cyrillic = own.chars().filter(|c| ('\u{400}'..'\u{500}').contains(c)).count();
            assert!(cyrillic * 2 > own.chars().count(), "{}: {own}", check.id);
            assert!(!own.contains(['ы', 'э', 'ъ', 'ё']), "{}: {own}", check.id);
        }
    }
    assert!(shown > 30, "{shown}");
}

#[test]
fn the_page_needs_neither_network_nor_script() {
    let (audit, _) = audit();
    let page = html(&audit, &locate, Language::English);
    for forbidden in ["<script", "src=", "@import", "url(", "http://", "https://", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(!page.to_lowercase().contains("compliant"));
    let ids = page.matches("<details class=\"control\"").count();
    assert_eq!(ids, 93);
}

#[test]
fn what_users_write_is_escaped() {
    let (mut audit, _) = audit();
    for finding in &mut audit.findings {
        finding.reason = Some("<img src=x onerror=alert(1)>".into());
    }
    let page = html(&audit, &locate, Language::English);
    assert!(!page.contains("<img"));
    assert!(page.contains("&lt;img"));
}

#[test]
fn sarif_tells_unknown_from_fail() {
    let (audit, checks) = audit();
    let log: Value = serde_json::from_str(&sarif(&audit, &checks, &locate)).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let of = |kind: &str| results.iter().filter(|one| one["kind"] == kind).count();
    let count = |verdict| audit.findings.iter().filter(|one| one.verdict == verdict).count();
    assert_eq!((of("fail"), of("open")), (count(Verdict::Fail), count(Verdict::Unknown)));
    assert!(of("open") > 0);
    assert!(results.iter().any(|one| one.get("suppressions").is_some()));
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    for result in results {
        let rule = &log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
}
