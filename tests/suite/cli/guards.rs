//! The guards as a user meets them: refused deletions, what lifts them, and the list of what is protected.

use insta::assert_snapshot;

use super::terminal::{SPEC, Server, Terminal};

const GUARDED: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { alias: alias/data, deletion_window_days: 7 }
  vpc:
    main:
      cidr: 10.40.0.0/16
      lifecycle: { prevent_destroy: true }
  placement_group:
    nodes: {}
  s3_bucket:
    logs: { name: acme-guarded, lifecycle: { allow_data_loss: true } }
"#;

fn applied() -> Terminal {
    let terminal = Terminal::with(GUARDED);
    let ended = terminal.run("apply --yes --sandbox --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
    terminal
}

#[test]
fn what_is_protected_is_listed_with_the_reason() {
    let terminal = Terminal::with(GUARDED);
    assert_snapshot!(terminal.run("guards"), @"
    kms_key.data
      holds data       deleted or replaced only with `allow_data_loss`, or where AWS shows that it is empty
      waiting period   7 days from its deletion, in which it can be brought back
    s3_bucket.logs
      holds data       its loss is allowed
    vpc.main
      prevent_destroy  in the spec, and not applied yet
    3 of 4 resources guarded
    exit 0
    ");
    let terminal = applied();
    terminal.write(
        "opora.yaml",
        &GUARDED
            .replace("vpc:\n    main:\n      cidr: 10.40.0.0/16\n      lifecycle: { prevent_destroy: true }\n  ", ""),
    );
    assert_snapshot!(terminal.run("guards"), @"
    kms_key.data  [uuid]
      holds data       deleted or replaced only with `allow_data_loss`, or where AWS shows that it is empty
      waiting period   7 days from its deletion, in which it can be brought back
    s3_bucket.logs  acme-guarded
      holds data       its loss is allowed
    vpc.main  vpc-[id]  (no longer in the spec)
      prevent_destroy  in the state: no plan deletes it
    3 of 4 resources guarded
    exit 0
    ");
    assert_snapshot!(terminal.run("guards --json"), @r#"
    {
      "format": 1,
      "guards": [
        {
          "address": "kms_key.data",
          "kind": "kms_key",
          "id": "[uuid]",
          "in_spec": true,
          "prevent_destroy": {
            "spec": false,
            "state": false
          },
          "holds_data": true,
          "allow_data_loss": false,
          "waiting_days": 7
        },
        {
          "address": "s3_bucket.logs",
          "kind": "s3_bucket",
          "id": "acme-guarded",
          "in_spec": true,
          "prevent_destroy": {
            "spec": false,
            "state": false
          },
          "holds_data": true,
          "allow_data_loss": true,
          "waiting_days": null
        },
        {
          "address": "vpc.main",
          "kind": "vpc",
          "id": "vpc-[id]",
          "in_spec": false,
          "prevent_destroy": {
            "spec": false,
            "state": true
          },
          "holds_data": false,
          "allow_data_loss": false,
          "waiting_days": null
        }
      ]
    }
    exit 0
    "#);
}

#[test]
fn destroy_names_everything_that_is_guarded_at_once() {
    let terminal = applied();
    assert_snapshot!(terminal.run("destroy --yes --sandbox --quiet"), @"
    ! error[PLAN015]: a resource that holds data would be destroyed
    !   kms_key.data ([uuid]) would be deleted; lost with it: whatever it
    !   has encrypted
    !    ╭─[opora.yaml:7:5]
    !  7 │     data: { alias: alias/data, deletion_window_days: 7 }
    !    ·     ──┬─
    !    ·       ╰── the loss is not allowed here
    !    ╰────
    !   help: set `lifecycle: { allow_data_loss: true }`, or pass `--allow-data-loss kms_key.data`
    ! 
    ! error[PLAN005]: a protected resource would be destroyed
    !   vpc.main (vpc-[id]) would be deleted, and has `prevent_destroy`
    !    ╭─[opora.yaml:9:5]
    !  9 │     main:
    !    ·     ──┬─
    !    ·       ╰── protected here
    !    ╰────
    !   help: set `lifecycle: { prevent_destroy: false }`, and apply that first
    exit 1
    ");
    assert_eq!(terminal.run("state list --json").json().as_array().unwrap().len(), 4, "nothing was done");
}

#[test]
fn a_block_that_is_gone_is_given_up_on_the_command() {
    let terminal = applied();
    terminal.write(
        "opora.yaml",
        &GUARDED.replace("  kms_key:\n    data: { alias: alias/data, deletion_window_days: 7 }\n", ""),
    );
    assert_snapshot!(terminal.run("plan --sandbox --quiet"), @"
    ! error[PLAN015]: a resource that holds data would be destroyed
    !   kms_key.data ([uuid]) would be deleted; lost with it: whatever it
    !   has encrypted
    !   its block is gone from the spec
    !   help: pass `--allow-data-loss kms_key.data`, or put the block back
    exit 1
    ");
    assert_eq!(terminal.run("plan --sandbox --quiet --out p.opora --allow-data-loss kms_key.data").code, Some(2));
    assert_snapshot!(terminal.run("apply p.opora --sandbox --quiet --brief --allow-data-loss kms_key.data"), @"
    ! error: the argument '[FILE]' cannot be used with '--allow-data-loss <ADDRESS>'
    ! 
    ! Usage: opora apply --sandbox[=<DIR>] --quiet --brief <FILE>
    ! 
    ! For more information, try '--help'.
    exit 1
    ");
    let ended = terminal.run("apply p.opora --sandbox --quiet --brief");
    assert_eq!(ended.code, Some(0), "the saved plan carries the word: {ended}");
}

#[test]
fn a_state_of_another_region_or_account_is_refused_before_anything_is_read() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("123456789012", &server);
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    let count = |server: &Server| server.admin("calls", None)["count"].as_u64().unwrap();
    for (line, spec) in [
        ("plan", SPEC.replace("us-east-1", "us-west-2")),
        ("apply --yes", SPEC.replace("us-east-1", "us-west-2")),
        ("destroy --yes", SPEC.replace("us-east-1", "us-west-2")),
        ("drift", SPEC.replace("us-east-1", "us-west-2")),
        ("audit --live", SPEC.replace("us-east-1", "us-west-2")),
        ("rehearse", SPEC.replace("us-east-1", "us-west-2")),
    ] {
        terminal.write("opora.yaml", &spec);
        let before = count(&server);
        let ended = terminal.run(line);
        assert_eq!(ended.code, Some(1), "{line}: {ended}");
        assert!(ended.err.starts_with("error[CONN005]: "), "{line}: {ended}");
        assert_eq!(count(&server) - before, 1, "{line} asks nothing but who is calling");
    }
    let other = terminal.signed_in("210987654321", &server);
    other.write("opora.yaml", &SPEC.replace("123456789012", "210987654321"));
    let before = count(&server);
    assert_snapshot!(other.run("plan"), @"
    ! error[CONN005]: the state is of another account or region than the spec's
    !   the spec is for `210987654321` in `us-east-1`, the state has kms_key.data as
    !   `arn:aws:kms:us-east-1:123456789012:key/[uuid]`
    !   help: correct `account:` and `region:`, or name another `state:` for this environment
    exit 1
    ");
    assert_eq!(count(&server) - before, 1);
}
