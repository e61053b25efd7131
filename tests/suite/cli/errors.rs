//! Errors of the spec and of the command line, as they are drawn.

use insta::assert_snapshot;

use super::terminal::{SPEC, Terminal};

#[test]
fn there_is_no_spec() {
    assert_snapshot!(Terminal::empty().run("plan --sandbox"), @"
    ! error[SPEC001]: file can't be read
    !   opora.yaml: No such file or directory (os error 2)
    !   help: `opora init` writes a starter spec; `--file` names another
    exit 1
    ");
}

#[test]
fn every_problem_of_a_spec_at_once() {
    let spec = SPEC
        .replace("rotation: { period_days: 365 }", "rotation: { period: 365 }")
        .replace("cidr: 10.40.0.0/16", "cidr: 10.40.0.0/160")
        .replace("$(kms_key.data.arn)", "$(kms_key.dta.arn)");
    let terminal = Terminal::with(&spec);
    assert_snapshot!(terminal.run("validate"), @"
    ! error[SPEC012]: unknown argument
    !    ╭─[opora.yaml:7:63]
    !  7 │     data: { description: Data, alias: alias/data, rotation: { period: 365 } }
    !    ·                                                               ───┬──
    !    ·                                                                  ╰── `period` is not an argument of kms_key.rotation
    !    ╰────
    !   help: one of `period_days`
    ! 
    ! error[SPEC040]: CIDR not valid
    !    ╭─[opora.yaml:9:19]
    !  9 │     main: { cidr: 10.40.0.0/160 }
    !    ·                   ──────┬──────
    !    ·                         ╰── `10.40.0.0/160` is not a CIDR
    !    ╰────
    !   help: write a network such as 10.0.0.0/16
    ! 
    ! error[SPEC030]: dangling reference
    !     ╭─[opora.yaml:17:10]
    !  17 │   key: $(kms_key.dta.arn)
    !     ·          ─────┬─────
    !     ·               ╰── there is no resource `kms_key.dta`
    !     ╰────
    !   help: did you mean `kms_key.data`?
    ! 3 errors in opora.yaml
    exit 1
    ");
    assert_eq!(terminal.run("plan --sandbox").code, Some(1));
}

#[test]
fn an_empty_spec_and_one_of_bytes() {
    let terminal = Terminal::with("");
    assert_snapshot!(terminal.run("validate"), @"
    ! error[SPEC003]: file is empty
    !    ╭─[opora.yaml:1:1]
    !    ╰────
    !   help: `opora init` writes a starter spec
    ! 1 error in opora.yaml
    exit 1
    ");
    std::fs::write(terminal.path("opora.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(terminal.run("validate").code, Some(1));
}

#[test]
fn inputs_are_pairs() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("plan --sandbox --input nodes"), @"
    ! error[CLI001]: an input is not NAME=VALUE
    !   `nodes` has no `=`
    !   help: write `--input nodes=4`
    exit 1
    ");
}

#[test]
fn a_command_that_is_not_there() {
    assert_snapshot!(Terminal::empty().run("aply"), @"
    ! error: unrecognized subcommand 'aply'
    ! 
    !   tip: a similar subcommand exists: 'apply'
    ! 
    ! Usage: opora [OPTIONS] <COMMAND>
    ! 
    ! For more information, try '--help'.
    exit 1
    ");
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let terminal = Terminal::with(SPEC);
    let json = terminal.run("show kms_key.data --json");
    assert_eq!(json.code, Some(1));
    assert_eq!(json.json()["diagnostics"][0]["code"], "STATE020");
}

#[test]
fn a_command_line_that_is_not_one_is_json_where_json_is_asked_for() {
    let json = Terminal::empty().run("aply --json");
    assert_eq!(json.code, Some(1));
    let said = &json.json()["diagnostics"][0];
    assert_eq!(said["code"], "CLI012");
    assert!(said["detail"].as_str().unwrap().contains("a similar subcommand exists: 'apply'"), "{said}");
}

#[test]
fn texts_that_are_no_arns() {
    let spec = SPEC.replace(
        "resources:\n",
        "resources:\n  iam_role:\n    \"no\": { trust: { principals: [ana], accounts: [\"12\"] }, attach: [AdministratorAccess] }\n",
    );
    let json = Terminal::with(&spec).run("validate --json").json();
    let said = json["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = said.iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["SPEC043", "SPEC015", "SPEC043"], "{json}");
}

#[test]
fn files_that_are_no_plans() {
    let terminal = Terminal::with(SPEC);
    terminal.write("notes.txt", "to do");
    assert_snapshot!(terminal.run("apply notes.txt --sandbox"), @"
    ! error[PLAN001]: the plan file can't be used
    !   the file is no plan of opora: expected ident at line 1 column 2
    !   help: make one with `opora plan --out FILE`
    exit 1
    ");
    assert_snapshot!(terminal.run("show nothing-at-all"), @r#"
    ! error[CLI004]: neither a plan file nor an address
    !   `nothing-at-all` is not an address such as `kms_key.data` or `subnet.private["a"]`
    !   help: `opora state list` shows the addresses
    exit 1
    "#);
    assert_snapshot!(terminal.run("plan --sandbox --quiet --json --out no/such/folder/p"), @r#"
    {
      "diagnostics": [
        {
          "code": "CLI002",
          "severity": "error",
          "summary": "a file can't be written",
          "detail": "no/such/folder/p: there is no folder `no/such/folder`",
          "labels": [],
          "help": "choose another path"
        }
      ]
    }
    exit 1
    "#);
}

#[test]
fn a_sandbox_that_is_a_file() {
    let terminal = Terminal::with(SPEC);
    terminal.write("file", "");
    let ended = terminal.run("plan --sandbox=file");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error[CONN004]: "), "{ended}");
}
