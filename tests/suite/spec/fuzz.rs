//! No bytes and no mangled spec make the loader panic, and an environment comes out exactly when nothing is wrong.

use opora::diagnostic::Diagnostic;
use opora::spec::MemoryFiles;
use proptest::prelude::*;

use super::{drawn, load_files};

const VALID: &str = r#"opora: 1
environment: test
account: "123456789012"
region: us-east-1
tags: { owner: a@example.com }
inputs: { zones: { type: list, default: [a, b] }, n: { type: integer, default: 2, min: 1 } }
resources:
  vpc: { main: { cidr: 10.40.0.0/16, tags: { name: "$(environment)-$$(x)" } } }
  subnet:
    private:
      for_each: $(inputs.zones)
      vpc: $(vpc.main.id)
      zone: $(each.value)
      cidr: $(vpc.main.cidr | subnet(prefix=20, index=each.index))
  kms_key:
    data:
      description: &d 'x $(subnet.private["a"].id | upper)'
      policy: $(policy("p", users=[iam_role.r.arn, vpc.main.id]))
      lifecycle: { prevent_destroy: true, ignore: [tags], replace_triggered_by: [vpc.main.cidr] }
  iam_role: { r: { name: role, policies: [b, a], depends_on: [module.m] } }
modules: { m: { use: net, with: { cidr: 10.41.0.0/16 } } }
outputs: { a: $(kms_key.data.arn), b: $(module.m.id) }
"#;

const MODULE: &str =
    "inputs: { cidr: {} }\nresources: { vpc: { m: { cidr: $(inputs.cidr) } } }\noutputs: { id: $(vpc.m.id) }\n";
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Principal":{"AWS":"$(users)"}}]}"#;

fn try_load(spec: &[u8], module: &[u8], policy: &[u8]) {
    let files =
        MemoryFiles::default().with("t.yaml", spec).with("templates/net.yaml", module).with("policies/p.json", policy);
    let loaded = load_files(&files, &[]);
    assert_eq!(loaded.environment.is_some(), !loaded.diagnostics.iter().any(Diagnostic::is_error));
    drawn(&loaded);
    if let Some(environment) = &loaded.environment {
        let text = serde_json::to_string(environment).unwrap();
        assert!(!text.contains("\u{E000}?\u{E001}"), "a stand-in came out: {text}");
    }
}

/// Cuts, doubles, swaps and overwrites pieces of a text.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("$(".to_owned()),
        Just(")".to_owned()),
        Just("\t".to_owned()),
        Just("*d".to_owned()),
        Just("{".to_owned()),
        Just("]".to_owned()),
        Just("\"".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("\n".to_owned()),
        Just("null".to_owned()),
        Just("[each.key]".to_owned()),
        Just(" | length".to_owned()),
        Just("\u{E000}".to_owned()),
        "\\PC{0,4}",
    ];
    let change = (0..text.len(), 0..24usize, piece, any::<bool>());
    prop::collection::vec(change, 1..5).prop_map(move |changes| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, length, piece, keep) in changes {
            let at = at.min(bytes.len());
            let end = if keep { at } else { (at + length).min(bytes.len()) };
            bytes.splice(at..end, piece.into_bytes());
        }
        bytes
    })
}

#[test]
fn the_unchanged_spec_is_valid() {
    let files =
        MemoryFiles::default().with("t.yaml", VALID).with("templates/net.yaml", MODULE).with("policies/p.json", POLICY);
    let loaded = load_files(&files, &[]);
    assert_eq!(drawn(&loaded), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        try_load(&bytes, b"", b"");
    }

    #[test]
    fn any_yaml_like_text(text in "[\\[\\]{}:,\\-&*!|>'\"%@#?$()a-c0 \n\t]{0,120}") {
        try_load(text.as_bytes(), b"", b"");
        try_load(format!("{VALID}x: {text}").as_bytes(), MODULE.as_bytes(), POLICY.as_bytes());
    }

    #[test]
    fn any_expression(text in "[a-z.\\[\\]()|~+*,=\"'0-9 {}:%<>!-]{0,60}") {
        try_load(VALID.replace("inputs.zones)", &format!("{text})")).as_bytes(), MODULE.as_bytes(), POLICY.as_bytes());
    }

    #[test]
    fn mangled_specs(spec in mutated(VALID), module in mutated(MODULE), policy in mutated(POLICY)) {
        try_load(&spec, MODULE.as_bytes(), POLICY.as_bytes());
        try_load(VALID.as_bytes(), &module, &policy);
    }
}

#[test]
fn an_open_expression_in_the_default_tags_is_one_error() {
    let spec = VALID.replace("region: us-east-1\n", "region: us-east-1\ntags: { a: \"$(b\" }\n");
    let spec = spec.lines().filter(|line| !line.starts_with("tags: { owner")).collect::<Vec<_>>().join("\n");
    let files = MemoryFiles::default().with("t.yaml", spec.as_bytes()).with("templates/net.yaml", MODULE);
    let loaded = load_files(&files.with("policies/p.json", POLICY), &[]);
    let open: Vec<_> = loaded.diagnostics.iter().filter(|one| one.code == "SPEC032").collect();
    assert_eq!(open.len(), 1, "{:#?}", loaded.diagnostics);
}
