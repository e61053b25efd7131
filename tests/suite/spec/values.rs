//! What a valid spec yields.

use serde_json::json;

use opora::spec::MemoryFiles;
use opora::value::unknown;

use super::{HEADER, drawn, load_body, load_files};

#[test]
fn a_sample() {
    let loaded = load_body(
        r#"
tags: { owner: ml@example.com }
inputs:
  zones: { type: list, default: [us-east-1a, us-east-1b] }
resources:
  vpc:
    main: { cidr: 10.40.0.0/16 }
  subnet:
    private:
      for_each: $(inputs.zones)
      vpc: $(vpc.main.id)
      zone: $(each.value)
      cidr: $(vpc.main.cidr | subnet(prefix=20, index=each.index))
  iam_role:
    trainer: { name: trainer-$(environment), policies: [$(kms_key.data.arn), a] }
  kms_key:
    data:
      alias: alias/$(environment)-data
      description: 'key $(vpc.main.id | upper) in $(region)'
outputs:
  key: $(kms_key.data.arn)
  role: $(iam_role.trainer.arn)
"#,
    );
    assert_eq!(drawn(&loaded), "");
    let environment = loaded.environment.unwrap();
    assert_eq!(environment.outputs["role"], json!("arn:aws:iam::123456789012:role/trainer-test"));
}

#[test]
fn unknown_values_stay_inside_what_passes_them_on() {
    let files = MemoryFiles::default()
        .with(
            "t.yaml",
            format!(
                "{HEADER}resources:\n  vpc:\n    main: {{ cidr: 10.0.0.0/16 }}\n    more: {{ for_each: [a, b], cidr: 10.0.0.0/16 }}\n  kms_key:\n    data:\n      description: $(vpc.main.id)-$(vpc.main.arn | upper)\n      alias: $(iam_role.r.policies | length)x\n      policy: $(policy(\"p\", users=[vpc.main.arn, iam_role.r.arn]))\n  iam_role:\n    r:\n      name: role\n      policies: $(vpc.more | values | map(attribute=\"id\") | list)\n    s: {{ name: $(kms_key.data.description | lower) }}\n"
            ),
        )
        .with("policies/p.json", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Principal":{"AWS":"$(users)"},"Sid":"In$(region)"}]}"#);
    let loaded = load_files(&files, &[]);
    assert_eq!(drawn(&loaded), "");
    let environment = loaded.environment.unwrap();
    let at = |text: &str| &environment.resources[&text.parse().unwrap()];
    let vpc = unknown("vpc.main.arn");
    let key = at("kms_key.data");
    assert_eq!(key.arguments["description"], format!("{}-{}", unknown("vpc.main.id"), unknown("#0")));
    assert_eq!(key.arguments["alias"], "2x");
    let users = &key.arguments["policy"]["Statement"][0]["Principal"]["AWS"];
    assert_eq!(*users, json!(["arn:aws:iam::123456789012:role/role", vpc]));
    assert_eq!(key.arguments["policy"]["Statement"][0]["Sid"], "Inus-east-1");
    let role = at("iam_role.r");
    let ids: Vec<String> = ["a", "b"].iter().map(|k| unknown(&format!("vpc.more[\"{k}\"].id"))).collect();
    assert_eq!(role.arguments["policies"], json!(ids));
    assert_eq!(
        role.references.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["vpc.more[\"a\"]", "vpc.more[\"b\"]"]
    );

    // Apply knows more step by step.
    let known = |reference: &str| match reference {
        "vpc.main.id" => Some(json!("vpc-1")),
        "vpc.main.arn" => Some(json!("arn:x")),
        _ => None,
    };
    let resolved = key.resolve(&known).unwrap();
    assert_eq!(resolved["description"], "vpc-1-ARN:X");
    let nothing = |_: &str| None;
    assert_eq!(key.resolve(&nothing).unwrap(), key.arguments);
    let other = at("iam_role.s");
    assert_eq!(other.arguments["name"], unknown("#0"));
    let description = |reference: &str| (reference == "kms_key.data.description").then(|| json!("VPC-1"));
    assert_eq!(other.resolve(&description).unwrap()["name"], "vpc-1");
    let text = serde_json::to_string(&environment).unwrap();
    assert_eq!(serde_json::from_str::<opora::spec::Environment>(&text).unwrap(), environment);
}

#[test]
fn modules_pass_unknown_values_both_ways() {
    let files = MemoryFiles::default()
        .with("t.yaml", format!("{HEADER}resources:\n  kms_key: {{ k: {{}} }}\n  vpc: {{ v: {{ cidr: 10.0.0.0/16 }} }}\nmodules:\n  a:\n    use: inner\n    with: {{ key: $(kms_key.k.arn | upper) }}\n    depends_on: [vpc.v]\noutputs: {{ x: \"$(module.a.role)\", y: \"$(module.a.shout)\" }}\n"))
        .with("templates/inner.yaml", "inputs: { key: {} }\nresources: { iam_role: { r: { name: x, policies: [$(inputs.key)] } } }\noutputs: { role: $(iam_role.r.unique_id), shout: '$(inputs.key ~ \"!\")' }\n");
    let loaded = load_files(&files, &[]);
    assert_eq!(drawn(&loaded), "");
    let environment = loaded.environment.unwrap();
    let role = &environment.resources[&"module.a.iam_role.r".parse().unwrap()];
    let references: Vec<String> = role.references.iter().map(ToString::to_string).collect();
    assert_eq!(references, ["kms_key.k", "vpc.v"]);
    let known = |reference: &str| (reference == "kms_key.k.arn").then(|| json!("arn:k"));
    assert_eq!(role.resolve(&known).unwrap()["policies"], json!(["ARN:K"]));
    assert_eq!(environment.outputs["x"], unknown("module.a.iam_role.r.unique_id"));
    assert_eq!(environment.resolve_outputs(&known).unwrap()["y"], "ARN:K!");
}

#[test]
fn places_follow_what_sorting_moved() {
    let loaded = load_body("resources:\n  iam_role:\n    r:\n      policies: [zebra, ant]\n      max_session: 3\n");
    let address = "iam_role.r".parse().unwrap();
    let text = |path: &str| {
        let span = loaded.locator.locate(&address, path).unwrap();
        loaded.sources.get(span.source).unwrap().text[span.start..span.end].to_owned()
    };
    let environment = loaded.environment.as_ref().unwrap();
    assert_eq!(environment.resources[&address].arguments["policies"], json!(["ant", "zebra"]));
    assert_eq!(text("policies[0]"), "ant");
    assert_eq!(text("policies[1]"), "zebra");
    assert_eq!(text("max_session"), "3");
    assert_eq!(text("policies[7].x"), "policies");
    assert_eq!(text("nowhere.at.all"), "r");
}

#[test]
fn inputs_and_texts_change_the_digest() {
    let text = format!(
        "{HEADER}inputs: {{ n: {{ type: list, default: [a] }} }}\nresources:\n  vpc: {{ v: {{ for_each: $(inputs.n), cidr: 10.0.0.0/16 }} }}\n"
    );
    let load = |inputs: &[(&str, &str)]| {
        load_files(&MemoryFiles::default().with("t.yaml", text.clone()), inputs).environment.unwrap()
    };
    let (plain, given) = (load(&[]), load(&[("n", "x,y")]));
    assert_eq!(plain.digest, load(&[]).digest);
    assert_ne!(plain.digest, given.digest);
    assert_eq!(given.resources.keys().map(ToString::to_string).collect::<Vec<_>>(), ["vpc.v[\"x\"]", "vpc.v[\"y\"]"]);
}

#[test]
fn a_computed_key_depends_on_what_it_picks() {
    let loaded = load_body(
        "inputs: { z: { type: list, default: [a, b] } }\nresources:\n  vpc: { v: { for_each: $(inputs.z), cidr: 10.0.0.0/16 } }\n  kms_key:\n    k: { for_each: $(inputs.z), description: \"$(vpc.v[each.key].id)\" }\n    u: { for_each: $(inputs.z), description: \"$(vpc.v[each.key].id | upper)\" }\n",
    );
    assert_eq!(drawn(&loaded), "");
    let environment = loaded.environment.unwrap();
    for name in ["k", "u"] {
        let key = &environment.resources[&format!("kms_key.{name}[\"b\"]").parse().unwrap()];
        assert_eq!(key.references.iter().map(ToString::to_string).collect::<Vec<_>>(), ["vpc.v[\"b\"]"]);
        let known = |reference: &str| (reference == "vpc.v[\"b\"].id").then(|| json!("vpc-b"));
        let expected = if name == "k" { "vpc-b" } else { "VPC-B" };
        assert_eq!(key.resolve(&known).unwrap()["description"], expected);
    }
}
