//! The JSON Schema of the language: a valid schema that the examples conform to and mistakes do not.

use std::process::Command;

use opora::aws::kinds;
use opora::spec::{json_schema, module_json_schema};

#[test]
fn every_kind_and_its_arguments_are_in_it() {
    let schemas = kinds::schemas();
    let schema = json_schema(&schemas);
    for kind in schemas.iter() {
        let block = &schema["properties"]["resources"]["properties"][kind.name]["patternProperties"];
        let block = block.as_object().unwrap().values().next().unwrap();
        for (name, _) in kind.arguments.properties() {
            assert!(block["properties"].get(name).is_some(), "{} {name}", kind.name);
        }
        assert!(block["properties"].get("for_each").is_some());
        assert_eq!(block["additionalProperties"], false);
    }
}

/// Python's `jsonschema` and `yaml`, where they are installed, are the judges.
#[test]
fn the_examples_conform_and_mistakes_do_not() {
    let named = std::env::var_os("OPORA_TEST_PYTHON");
    let is_named = named.is_some();
    let python = named.unwrap_or_else(|| "python3".into());
    let has =
        Command::new(&python).args(["-c", "import jsonschema, yaml"]).output().is_ok_and(|out| out.status.success());
    if !has {
        assert!(!is_named, "OPORA_TEST_PYTHON has no jsonschema and yaml");
        println!("skipped: {} has no jsonschema and yaml", python.to_string_lossy());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let schemas = kinds::schemas();
    std::fs::write(dir.path().join("spec.json"), json_schema(&schemas).to_string()).unwrap();
    std::fs::write(dir.path().join("module.json"), module_json_schema(&schemas).to_string()).unwrap();
    let script = r#"
import json, sys, yaml, jsonschema
folder, root = sys.argv[1:]
for schema, files in [("spec", ["examples/core/opora.yaml", "examples/research/opora.yaml"]),
                      ("module", ["templates/landing-zone/module.yaml", "templates/ultracluster/module.yaml"])]:
    schema = json.load(open(f"{folder}/{schema}.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    class Text(yaml.SafeLoader): pass
    Text.yaml_implicit_resolvers = {k: [r for r in v if r[0] != "tag:yaml.org,2002:bool" or k in "tTfF"] for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    for name in files:
        document = yaml.load(open(f"{root}/{name}", encoding="utf-8"), Loader=Text)
        for error in judge.iter_errors(document):
            sys.exit(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
spec = jsonschema.Draft202012Validator(json.load(open(f"{folder}/spec.json")))
good = {"opora": 1, "environment": "a", "account": "123456789012", "region": "us-east-1"}
assert spec.is_valid(good)
for bad in [{**good, "resorces": {}}, {**good, "account": 123456789012}, {**good, "resources": {"vpc": {"a": {}}}},
            {**good, "resources": {"kms_key": {"a": {"alais": "alias/x"}}}}, {**good, "resources": {"kms": {}}},
            {**good, "resources": {"kms_key": {"a": {"rotation": {"period_days": "x"}}}}}]:
    assert not spec.is_valid(bad), bad
assert spec.is_valid({**good, "resources": {"kms_key": {"a": {"rotation": {"period_days": "$(inputs.days)"}}}}})
"#;
    let out =
        Command::new(&python).args(["-c", script]).arg(dir.path()).arg(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
