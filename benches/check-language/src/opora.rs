//! The same seven rules as checks of opora, over the same buckets, through the whole of `evaluate`.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::controls::{
    Attestations, Catalogue, Checks, Moment, Question, ReadProblems, Verdict, Waivers, evaluate,
};
use crate::diagnostic::SourceMap;
use crate::graph::{Address, PhysicalId};
use crate::kind::{Actions, Identity, KindSchema, KindSchemas, PolicyDocument, Resource, SchemaNode, Scope};

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Bucket {
    kind: String,
    name: String,
    encryption: Option<Encryption>,
    versioning: bool,
    public_access_block: Block,
    logging: Option<Logging>,
    policy: Option<PolicyDocument>,
    lifecycle_rules: Vec<Rule>,
    tags: std::collections::BTreeMap<String, String>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Encryption {
    algorithm: Option<String>,
    kms_key: Option<String>,
    bucket_key: Option<bool>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Block {
    block_public_acls: bool,
    ignore_public_acls: bool,
    block_public_policy: bool,
    restrict_public_buckets: bool,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Logging {
    bucket: String,
    prefix: String,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Rule {
    prefix: String,
    expire_days: Option<u32>,
}

#[derive(JsonSchema)]
struct Nothing {}

const ASSERTS: [&str; 7] = [
    "given(resource.encryption.kms_key)",
    "resource.versioning",
    "resource.public_access_block.block_public_acls && resource.public_access_block.block_public_policy && resource.public_access_block.ignore_public_acls && resource.public_access_block.restrict_public_buckets",
    "statements(resource.policy).exists(s, s.effect == 'Deny' && s.conditions.exists(c, c.key == 'aws:securetransport' && 'false' in c.values))",
    "resource.logging.bucket != ''",
    "resource.lifecycle_rules.exists(r, r.expire_days <= 30)",
    "'owner' in resource.tags && 'data-classification' in resource.tags",
];

/// Returns how many findings pass.
pub(crate) fn run(buckets: Vec<Value>) -> usize {
    let kind = KindSchema {
        name: "s3_bucket",
        service: "s3",
        identity: Identity::UniqueName,
        holds_data: true,
        actions: Actions::default(),
        arguments: SchemaNode::of::<Bucket>(),
        attributes: SchemaNode::of::<Nothing>(),
    };
    let kinds: KindSchemas = [kind].into_iter().collect();
    let control = "{ id: A.1, title: t, theme: people, intent: i, evidence: checks }";
    let mut sources = SourceMap::default();
    let (catalogue, _) = Catalogue::load("f", [("f/A.1.yaml", control)], &mut sources);
    let files: Vec<(String, String)> = ASSERTS.iter().enumerate().map(|(at, text)| {
        let text = format!("id: c{at}\nkind: s3_bucket\nseverity: high\nassert: {}\nmessage: m\nremediation: {{}}\nsupports: {{ f/A.1: r }}\nreferences: [r]\n", json!(text));
        (format!("c{at}.yaml"), text)
    }).collect();
    let (checks, problems) =
        Checks::load(files.iter().map(|(name, text)| (name.as_str(), text.as_str())), &kinds, &catalogue, &mut sources);
    assert!(problems.is_empty(), "{problems:#?}");
    let resources: Vec<Resource> = buckets.into_iter().enumerate().map(|(at, arguments)| Resource {
        kind: "s3_bucket".into(),
        address: Some(Address::new("s3_bucket", format!("b{at}"))),
        id: Some(PhysicalId(format!("bucket-{at}"))),
        arguments,
        attributes: json!({}),
    }).collect();
    let audit = evaluate(&Question {
        checks: &checks,
        catalogue: &catalogue,
        kinds: &kinds,
        resources: &resources,
        problems: &ReadProblems::default(),
        waivers: &Waivers::default(),
        attestations: &Attestations::default(),
        records: &[],
        scope: &Scope { environment: "e".into(), account: "1".into(), region: "r".into() },
        moment: Moment::Live,
        now: jiff::Timestamp::UNIX_EPOCH,
    });
    audit.findings.iter().filter(|finding| finding.verdict == Verdict::Pass).count()
}
