//! Every subcommand where all goes well, on one small environment in the sandbox.

use insta::assert_snapshot;
use opora::aws::Aws;
use opora::sandbox::Sandbox;

use super::terminal::{Ended, SPEC, Terminal};
use crate::support::connect_outsider;

/// Works on the simulated account behind opora's back.
fn outside(terminal: &Terminal) -> (Sandbox, Aws) {
    let sandbox = Sandbox::open(&terminal.path(".opora/sandbox")).unwrap();
    let aws = connect_outsider(&sandbox);
    (sandbox, aws)
}

async fn turn_rotation_off(terminal: &Terminal) {
    let id = terminal.run("state list --json").json()[0]["id"].as_str().unwrap().to_owned();
    let (_, aws) = outside(terminal);
    aws.kms().disable_key_rotation().key_id(id).send().await.unwrap();
}

#[test]
fn validate_counts() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("validate"), @"
    opora.yaml is valid: 3 resources, 0 warnings
    exit 0
    ");
    assert_snapshot!(terminal.run("validate --json"), @r#"
    {
      "errors": 0,
      "warnings": 0,
      "resources": 3,
      "diagnostics": []
    }
    exit 0
    "#);
}

#[test]
fn plan_shows_what_apply_would_do() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("plan --sandbox"), @r#"
      + create   kms_key.data
                   description           Data
                   alias                 alias/data
                   usage                 ENCRYPT_DECRYPT
                   spec                  SYMMETRIC_DEFAULT
                   multi_region          false
                   enabled               true
                   rotation              { period_days: 365 }
                   deletion_window_days  30
      + create   subnet.private["a"]
                   vpc            (known after apply)
                   zone           us-east-1a
                   cidr           10.40.0.0/20
                   assign_ipv6    false
                   dns64          false
                   map_public_ip  false
                   private_dns    { hostname: ip-name, a_record: false, aaaa_record: false }
      + create   vpc.main
                   cidr                   10.40.0.0/16
                   ipv6                   false
                   dns_support            true
                   dns_hostnames          false
                   address_usage_metrics  false
                   tenancy                default

    controls   repaired none   broken [controls]   unknown none
    needs      ec2:AssociateVpcCidrBlock, ec2:CreateSubnet, ec2:CreateTags, ec2:CreateVpc, and [n] more (`--json` lists them)

    3 to create, 0 unchanged.
    exit 2
    "#);
    let json = terminal.run("plan --sandbox --json").json();
    assert_eq!(json["format"], 1);
    assert_eq!(json["counts"]["create"], 3);
    assert!(json["needs"].as_array().unwrap().contains(&"kms:CreateKey".into()));
    assert_eq!(json["plan"]["scope"]["account"], "123456789012");
}

#[test]
fn a_saved_plan_is_applied_once() {
    let terminal = Terminal::with(SPEC);
    let planned = terminal.run("plan --sandbox --out p.opora");
    assert_eq!(planned.code, Some(2));
    let last = planned.out.lines().last().unwrap();
    assert!(last.starts_with("3 to create, 0 unchanged. Saved to p.opora, bound to what was read at "), "{last}");
    assert_eq!(terminal.run("show p.opora").code, Some(0));
    assert_snapshot!(terminal.run("apply p.opora --sandbox"), @r#"
      + create   kms_key.data
                   description           Data
                   alias                 alias/data
                   usage                 ENCRYPT_DECRYPT
                   spec                  SYMMETRIC_DEFAULT
                   multi_region          false
                   enabled               true
                   rotation              { period_days: 365 }
                   deletion_window_days  30
      + create   subnet.private["a"]
                   vpc            (known after apply)
                   zone           us-east-1a
                   cidr           10.40.0.0/20
                   assign_ipv6    false
                   dns64          false
                   map_public_ip  false
                   private_dns    { hostname: ip-name, a_record: false, aaaa_record: false }
      + create   vpc.main
                   cidr                   10.40.0.0/16
                   ipv6                   false
                   dns_support            true
                   dns_hostnames          false
                   address_usage_metrics  false
                   tenancy                default

    controls   repaired none   broken [controls]   unknown none
    3 to create, 0 unchanged.
      created   kms_key.data  [uuid]
      created   subnet.private["a"]  subnet-[id]
      created   vpc.main  vpc-[id]
    3 done, 0 failed, 0 skipped; [n] calls, [n] throttled

    key = arn:aws:kms:us-east-1:123456789012:key/[uuid]
    exit 0
    "#);
    assert_snapshot!(terminal.run("apply p.opora --sandbox"), @"
    ! error[PLAN010]: this plan was applied already
    !   it was applied at [time] by run [uuid]
    !   help: `opora plan` shows whether anything is left to do
    exit 1
    ");
    assert_snapshot!(terminal.run("plan --sandbox"), @"
    no changes: 3 resources are as the spec says.
    ! reading 3 resources in us-east-1 … [n] calls, [n] throttled, [n] s
    exit 0
    ");
}

#[tokio::test]
async fn a_saved_plan_refuses_a_changed_world() {
    let terminal = Terminal::applied();
    terminal.write("opora.yaml", &SPEC.replace("description: Data", "description: More"));
    assert_snapshot!(terminal.run("plan --sandbox --out p.opora"), @"
      ~ update   kms_key.data
                   description  Data → More

    controls   repaired none   broken none   unknown none
    needs      kms:CreateAlias, kms:DeleteAlias, kms:DescribeKey, kms:DisableKey, and [n] more (`--json` lists them)

    1 to update, 2 unchanged. Saved to p.opora, bound to what was read at [time].
    ! reading 3 resources in us-east-1 … [n] calls, [n] throttled, [n] s
    exit 2
    ");
    turn_rotation_off(&terminal).await;
    assert_snapshot!(terminal.run("apply p.opora --sandbox"), @"
      ~ update   kms_key.data
                   description  Data → More

    controls   repaired none   broken none   unknown none
    1 to update, 2 unchanged.
    ! error[PLAN009]: the world has changed since this plan was made
    !   kms_key.data ([uuid])
    !   rotation.period_days  365 → nothing
    !   last written by arn:aws:iam::123456789012:user/sandbox at [time]:
    !   kms:DisableKeyRotation from 127.0.0.1
    !    ╭─[opora.yaml:7:5]
    !  7 │     data: { description: More, alias: alias/data, rotation: { period_days: 365 } }
    !    ·     ──┬─
    !    ·       ╰── this resource
    !    ╰────
    !   help: `opora plan` shows what would happen now
    exit 1
    ");
}

#[test]
fn a_saved_plan_is_for_its_spec_and_unaltered() {
    let terminal = Terminal::with(SPEC);
    terminal.run("plan --sandbox --out p.opora");
    let plan = std::fs::read_to_string(terminal.path("p.opora")).unwrap();
    terminal.write("altered.opora", &plan.replace("10.40.0.0/16", "10.41.0.0/16"));
    assert_snapshot!(terminal.run("apply altered.opora --sandbox"), @"
    ! error[PLAN003]: the plan file can't be used
    !   the plan was altered after it was made
    !   help: make the plan again; a plan is applied exactly as it was made
    exit 1
    ");
    terminal.write("opora.yaml", &SPEC.replace("description: Data", "description: More"));
    assert_snapshot!(terminal.run("apply p.opora --sandbox"), @"
    ! error[PLAN013]: the spec has changed since this plan was made
    !   the plan would apply what the spec said then
    !   help: make the plan again, or restore the spec and its inputs
    exit 1
    ");
}

#[test]
fn apply_asks_and_a_pipe_can_not_answer() {
    let terminal = Terminal::with(SPEC);
    let asked = terminal.run("apply --sandbox");
    assert_eq!(asked.code, Some(1));
    assert_snapshot!(asked.err, @"
    error[CLI003]: nobody can be asked
      standard input is no terminal
      help: pass `--yes`, or save the plan (`opora plan --out FILE`) and run `opora apply FILE`
    ");
    assert_snapshot!(terminal.run("apply --yes --sandbox --quiet --target kms_key.data"), @"
      + create   kms_key.data
                   description           Data
                   alias                 alias/data
                   usage                 ENCRYPT_DECRYPT
                   spec                  SYMMETRIC_DEFAULT
                   multi_region          false
                   enabled               true
                   rotation              { period_days: 365 }
                   deletion_window_days  30

    controls   repaired none   broken [controls]   unknown none
    1 to create, 0 unchanged.
      created   kms_key.data  [uuid]
    1 done, 0 failed, 0 skipped; [n] calls, [n] throttled

    key = arn:aws:kms:us-east-1:123456789012:key/[uuid]
    exit 0
    ");
}

#[test]
fn target_and_exclude_choose() {
    let terminal = Terminal::with(SPEC);
    let counts = |line: &str| terminal.run(line).json()["counts"]["create"].clone();
    assert_eq!(counts("plan --sandbox --json --target kms_key.data"), 1);
    // What the target needs comes with it.
    assert_eq!(counts("plan --sandbox --json --target subnet.private"), 2);
    // What needs the excluded one stays out with it.
    assert_eq!(counts("plan --sandbox --json --exclude vpc.main"), 1);
    assert_snapshot!(terminal.run("plan --sandbox --target kms_key.dta"), @"
    ! error[PLAN008]: no resource has this address
    !   `kms_key.dta` is neither in the spec nor in the state
    !   help: `opora state list` and `opora graph` show the addresses
    exit 1
    ");
    assert_snapshot!(terminal.run("plan --sandbox --target nonsense"), @r#"
    ! error: invalid value 'nonsense' for '--target <ADDRESS>': `nonsense` is not an address such as `kms_key.data` or `subnet.private["a"]`
    ! 
    ! For more information, try '--help'.
    exit 1
    "#);
}

#[tokio::test]
async fn drift_is_found_and_repaired() {
    let terminal = Terminal::applied();
    assert_snapshot!(terminal.run("drift --managed-only --sandbox"), @"
    3 managed, 0 drifted, 0 unmanaged; 27 fields checked, 0 ignored, 0 unreadable, 1 not in the spec
    exit 0
    ");
    turn_rotation_off(&terminal).await;
    assert_snapshot!(terminal.run("drift --managed-only --sandbox"), @"
      drifted    kms_key.data  [uuid]
                   rotation  { period_days: 365 } → (not set)
                   last written by arn:aws:iam::123456789012:user/sandbox at [time]: kms:DisableKeyRotation from 127.0.0.1
    3 managed, 1 drifted, 0 unmanaged; 27 fields checked, 0 ignored, 0 unreadable, 1 not in the spec
    exit 3
    ");
    let json = terminal.run("drift --managed-only --sandbox --json").json();
    assert_eq!(json["drifted"][0]["fields"][0]["path"], "rotation");
    assert_eq!(json["drifted"][0]["who"]["writes"][0]["operation"], "kms:DisableKeyRotation");
    let unasked = terminal.run("drift --managed-only --sandbox --json --no-who").json();
    assert_eq!(unasked["drifted"][0].get("who"), None);
    assert_snapshot!(terminal.run("apply --yes --sandbox"), @"
      ~ update   kms_key.data
                   rotation  + { period_days: 365 }

    controls   repaired [controls]   broken none   unknown none
    1 to update, 2 unchanged.
      updated   kms_key.data  [uuid]
    1 done, 0 failed, 0 skipped; [n] calls, [n] throttled

    key = arn:aws:kms:us-east-1:123456789012:key/[uuid]
    ! reading 3 resources in us-east-1 … [n] calls, [n] throttled, [n] s
    exit 0
    ");
    assert_eq!(terminal.run("drift --managed-only --sandbox").code, Some(0));
}

#[test]
fn show_and_the_state() {
    let terminal = Terminal::applied();
    assert_snapshot!(terminal.run("show vpc.main"), @"
    vpc.main  vpc-[id]
      cidr                     10.40.0.0/16
      secondary_cidrs          []
      ipv6                     false
      dns_support              true
      dns_hostnames            false
      address_usage_metrics    false
      tenancy                  default
      tags                     {  }
      id                       vpc-[id]
      arn                      arn:aws:ec2:us-east-1:123456789012:vpc/vpc-[id]
      default_security_group   sg-[id]
      main_route_table         rtb-[id]
      default_network_acl      acl-[id]
      dhcp_options             dopt-[id]

    exit 0
    ");
    assert_eq!(terminal.run("show --json").json()["resources"].as_object().unwrap().len(), 3);
    assert_snapshot!(terminal.run("state list"), @r#"
    kms_key.data  [uuid]
    subnet.private["a"]  subnet-[id]
    vpc.main  vpc-[id]
    exit 0
    "#);
    assert_eq!(terminal.run("state show kms_key.data").json()["arguments"]["alias"], "alias/data");
    assert_snapshot!(terminal.run("state history"), @"
    [time]  apply    arn:aws:iam::123456789012:user/sandbox  spec [digest]  plan [digest]  commit -  succeeded at [time]
    exit 0
    ");
    assert_snapshot!(terminal.run("state verify"), @"
    every entry of the log is whole and in its place
    exit 0
    ");
    terminal.write(".opora/state/log/00000000000000000099.json", "{\"torn");
    assert_eq!(terminal.run("state verify").code, Some(1));
    let repaired = terminal.run("state repair --yes");
    println!("{repaired}");
    assert!(repaired.out.contains("00000000000000000099"), "{repaired}");
    assert_snapshot!(terminal.run("state show kms_key.nothing"), @"
    ! error[STATE020]: the state has no such resource
    !   `kms_key.nothing`
    !   help: `opora state list` shows the addresses
    exit 1
    ");
}

#[test]
fn the_state_moves_and_forgets() {
    let terminal = Terminal::applied();
    assert_snapshot!(terminal.run("state mv vpc.main vpc.core"), @"
    vpc.main is vpc.core now; the next apply renews its tags
    exit 0
    ");
    assert_snapshot!(terminal.run("state mv vpc.core kms_key.core"), @"
    ! error[STATE022]: the addresses have different kinds
    !   `vpc.core` is a vpc, `kms_key.core` would be a kms_key
    exit 1
    ");
    assert_snapshot!(terminal.run("state mv vpc.core vpc.main"), @"
    vpc.core is vpc.main now; the next apply renews its tags
    exit 0
    ");
    assert_snapshot!(terminal.run("state rm kms_key.data"), @"
    forgot kms_key.data; it stays in AWS
    exit 0
    ");
    assert_eq!(terminal.run("plan --sandbox --json").json()["counts"]["create"], 1);
}

#[test]
fn a_plan_says_how_a_new_address_keeps_what_is_there() {
    let spec = |name: &str| {
        let (head, _) = SPEC.split_once("resources:").unwrap();
        format!(
            "{head}resources:\n  iam_role:\n    {name}: {{ name: jobs, trust: {{ service: ec2.amazonaws.com }} }}\n"
        )
    };
    let terminal = Terminal::with(&spec("jobs"));
    assert_eq!(terminal.run("apply --sandbox --yes").code, Some(0));
    terminal.write("opora.yaml", &spec("batch"));
    let told = terminal.run("plan --sandbox --brief").out;
    assert_snapshot!(told.split("\n\n").next().unwrap(), @"
      - delete   iam_role.jobs  no longer in the spec
      + create   iam_role.batch  takes the `name` of iam_role.jobs; `opora state mv iam_role.jobs iam_role.batch` keeps that one instead
    ");
    assert_eq!(terminal.run("state mv iam_role.jobs iam_role.batch").code, Some(0));
    let counts = terminal.run("plan --sandbox --json").json()["counts"].clone();
    assert_eq!((&counts["update"], &counts["create"], &counts["delete"]), (&1.into(), &0.into(), &0.into()));
}

#[test]
fn a_resource_is_imported() {
    let terminal = Terminal::applied();
    let id = terminal.run("state list --json").json()[2]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(terminal.run(&format!("import vpc.main {id} --sandbox")), @"
    ! error[IMPORT002]: the state has a resource at this address
    !   vpc.main is vpc-[id]
    exit 1
    ");
    assert_eq!(terminal.run("state rm vpc.main --json").json(), serde_json::json!({ "forgotten": ["vpc.main"] }));
    assert_snapshot!(terminal.run(&format!("import vpc.main {id} --sandbox")), @"
    imported vpc.main as vpc-[id]; `opora plan` shows what differs from the spec
    exit 0
    ");
    // Taken in again it is of another generation, which its tags say.
    assert_eq!(terminal.run("plan --sandbox --json").json()["counts"]["update"], 1);
    assert_eq!(terminal.run("apply --yes --sandbox").code, Some(0));
    assert_eq!(terminal.run("plan --sandbox").code, Some(0));
    assert_snapshot!(terminal.run("import vpc.other vpc-1 --sandbox"), @"
    ! error[IMPORT001]: the spec has no resource at this address
    !   `vpc.other`
    !   help: write it into the spec first; after the import `opora plan` shows what differs
    exit 1
    ");
    assert_eq!(terminal.run("state rm vpc.main --json").json(), serde_json::json!({ "forgotten": ["vpc.main"] }));
    assert_snapshot!(terminal.run("import vpc.main vpc-00000000000000000 --sandbox"), @"
    ! error[IMPORT005]: the resource does not exist
    !   there is no vpc `vpc-[id]` in us-east-1
    exit 1
    ");
}

#[test]
fn graph_draws_a_tree_and_dot() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("graph"), @r#"
    kms_key.data
    subnet.private["a"]
    └─ vpc.main
    exit 0
    "#);
    assert_snapshot!(terminal.run("graph --format dot"), @r#"
    digraph opora {
      rankdir = "RL";
      node [shape = "box"];
      "kms_key.data";
      "subnet.private[\"a\"]";
      "subnet.private[\"a\"]" -> "vpc.main";
      "vpc.main";
    }
    exit 0
    "#);
}

/// The commands of docs/start.md, one after the other.
#[test]
fn the_first_steps_lead_somewhere() {
    let terminal = Terminal::empty();
    for (line, code) in [
        ("init", 0),
        ("validate", 0),
        ("plan --sandbox", 2),
        ("apply --sandbox --yes", 0),
        ("plan --sandbox", 0),
        ("drift --sandbox --managed-only", 0),
        ("audit --spec", 5),
        ("destroy --sandbox --yes --allow-data-loss kms_key.data", 0),
    ] {
        let ended = terminal.run(line);
        assert_eq!(ended.code, Some(code), "{line}: {ended}");
    }
}

#[test]
fn init_writes_a_spec_that_is_valid() {
    let terminal = Terminal::empty();
    assert_snapshot!(terminal.run("init --account 111122223333"), @"
    wrote opora.yaml
    ! next: `opora validate -f opora.yaml`, then `opora plan -f opora.yaml`
    exit 0
    ");
    let validated = terminal.run("validate");
    assert_eq!(validated.code, Some(0), "{validated}");
    assert_snapshot!(terminal.run("init"), @"
    ! error[CLI005]: nothing is written over a file
    !   `opora.yaml` is there already
    !   help: choose another with `--file FILE`, or pass `--force`
    exit 1
    ");
    assert_snapshot!(terminal.run("init --force --account 12"), @"
    ! error[CLI006]: an account id has 12 digits
    !   `12`
    exit 1
    ");
}

#[test]
fn explain_has_codes_and_kinds() {
    let terminal = Terminal::empty();
    assert_snapshot!(terminal.run("explain cli007"), @"
    # CLI007: there is no such code or kind

    `opora explain` has no page under this name.

    ## What to do

    `opora explain` without a name lists all codes and kinds.
    exit 0
    ");
    assert!(terminal.run("explain kms_key").out.starts_with("# kms_key\n"));
    assert!(terminal.run("explain").out.contains("PLAN009: "));
    assert_snapshot!(terminal.run("explain nothing"), @"
    ! error[CLI007]: there is no such code or kind
    !   `nothing`
    !   help: `opora explain` lists them all
    exit 1
    ");
}

#[test]
fn schema_is_json_schema() {
    let terminal = Terminal::empty();
    let schema = terminal.run("schema").json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema.to_string().contains("kms_key"));
}

#[test]
fn completions_complete() {
    let script = Terminal::empty().run("completions bash");
    assert_eq!(script.code, Some(0));
    assert!(script.out.contains("_opora()") && script.out.contains("--sandbox"));
}

#[test]
fn audit_of_the_spec_needs_no_account() {
    let terminal = Terminal::with(SPEC);
    let audit = terminal.run("audit --spec --report audit.html");
    assert_eq!(audit.code, Some(5), "{audit}");
    assert!(audit.out.contains("nobody is named as the owner"), "{audit}");
    assert!(std::fs::read_to_string(terminal.path("audit.html")).unwrap().contains("<html"));
    let refused = terminal.run("audit --spec --report audit");
    assert_snapshot!(Ended { out: String::new(), ..refused }, @"
    ! error[CLI008]: the form of the report is not clear
    !   `audit`
    !   help: end the file's name in .html, .json, .sarif or .txt, or pass `--format`
    exit 1
    ");
}

#[test]
fn the_sandbox_is_looked_at_and_emptied() {
    let terminal = Terminal::applied();
    let status = terminal.run("sandbox status").json();
    assert_eq!(status["resources"]["123456789012/us-east-1/kms/keys"], 1);
    assert_snapshot!(terminal.run("sandbox save kept"), @"
    saved to kept
    exit 0
    ");
    assert_snapshot!(terminal.run("sandbox reset"), @"
    .opora/sandbox is empty
    exit 0
    ");
    assert_eq!(terminal.run("sandbox status").json()["resources"], serde_json::json!({}));
    assert_snapshot!(terminal.run("sandbox load kept"), @"
    loaded from kept
    exit 0
    ");
    assert_eq!(terminal.run("plan --sandbox").code, Some(0));
}

#[test]
fn destroy_leaves_nothing() {
    let terminal = Terminal::applied();
    assert_snapshot!(terminal.run("destroy --yes --sandbox --allow-data-loss kms_key.data"), @r#"
      - delete   kms_key.data
      - delete   subnet.private["a"]
      - delete   vpc.main

    controls   repaired [controls]   broken none   unknown none
    3 to delete, 0 unchanged.
      deleted   kms_key.data
      deleted   subnet.private["a"]
      deleted   vpc.main
    3 done, 0 failed, 0 skipped; [n] calls, [n] throttled
    ! reading 3 resources in us-east-1 … [n] calls, [n] throttled, [n] s
    exit 0
    "#);
    assert_snapshot!(terminal.run("state list"), @"exit 0");
    assert_snapshot!(terminal.run("destroy --yes --sandbox"), @"
    no changes: 0 resources are as the spec says.
    exit 0
    ");
}

#[test]
fn the_manual_has_every_command() {
    let help = Terminal::empty().run("--help").out;
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 10, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(manual.contains(&format!("\n| `{name}")), "docs/cli.md has no row for `{name}`");
    }
}
