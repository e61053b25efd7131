//! What a user reads when steps fail: what to do, what was left, and what was undone.

use insta::assert_snapshot;

use super::terminal::{Ended, SPEC, Server, Terminal};

const ACCOUNT: &str = "123456789012";

#[test]
fn a_rollback_says_what_went_and_what_stays() {
    let server = Server::start(&[]);
    let spec = SPEC
        .replace("main: { cidr: 10.40.0.0/16 }", "main: { cidr: 10.40.0.0/16, lifecycle: { prevent_destroy: true } }");
    let terminal = Terminal::with(&spec).signed_in(ACCOUNT, &server);
    server.fault("CreateSubnet", "denied");
    let ended = terminal.run("apply --yes --quiet --brief --on-failure rollback");
    assert_snapshot!(ended, @r#"
      + create   kms_key.data
      + create   subnet.private["a"]
      + create   vpc.main

    controls   repaired none   broken [controls]   unknown none
    3 to create, 0 unchanged.
      kept     vpc.main  vpc-[id]  it has `prevent_destroy`
    1 rolled back, 1 kept
    2 done, 1 failed, 0 skipped; [n] calls, [n] throttled; what is left is recorded, the same command begins anew from there
    !   failed    subnet.private["a"]
    !   rolling back: what this run made is deleted again
    ! error[AWS004]: access denied
    !   subnet.private["a"]
    !   ec2:CreateSubnet answered UnauthorizedOperation: User: arn:aws:iam::123456789012:user/sandbox is
    !   not authorized to perform: ec2:CreateSubnet
    !   request id [uuid]
    !   left behind: nothing
    !     ╭─[opora.yaml:11:5]
    !  11 │     private:
    !     ·     ───┬───
    !     ·        ╰── this resource
    !     ╰────
    !   help: grant the action to the caller; `opora plan --json` lists what the plan needs
    exit 1
    "#);
    let left = terminal.run("state list --json").json();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert_eq!(terminal.run("state verify").code, Some(0));
    server.admin("faults", Some("{}"));
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    assert_eq!(terminal.run("plan").code, Some(0));
}

#[test]
fn stop_says_what_was_not_begun() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    server.fault("CreateVpc", "denied");
    let ended = terminal.run("apply --yes --quiet --brief --on-failure stop");
    assert_eq!(ended.code, Some(1));
    assert_snapshot!(Ended { err: String::new(), ..ended }, @r#"
      + create   kms_key.data
      + create   subnet.private["a"]
      + create   vpc.main

    controls   repaired none   broken [controls]   unknown none
    3 to create, 0 unchanged.
      skipped  subnet.private["a"]  it needs vpc.main
    1 done, 1 failed, 1 skipped; [n] calls, [n] throttled; what was done is recorded, the same command tries the rest again
    exit 1
    "#);
    let json = terminal.run("apply --yes --json --on-failure stop").json();
    assert_eq!(json["report"]["stopped"], true);
    assert_eq!(json["report"]["failed"][0]["error"]["code"], "UnauthorizedOperation");
    assert_eq!(json["report"]["failed"][0]["error"]["residue"], "nothing");
    assert_eq!(json["diagnostics"][0]["code"], "AWS004");
    assert!(json["diagnostics"][0]["help"].is_string());
    server.admin("faults", Some("{}"));
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    server.fault("DeleteSubnet", "denied");
    let ended = terminal.run("destroy --yes --quiet --brief --on-failure stop --allow-data-loss kms_key.data");
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.out.contains("skipped  vpc.main"), "{ended}");
    let refused = terminal.run("destroy --yes --on-failure rollback");
    assert_snapshot!(Ended { out: String::new(), ..refused }, @"
    ! error: invalid value 'rollback' for '--on-failure <WHAT>'
    !   [possible values: stop, continue]
    ! 
    ! For more information, try '--help'.
    exit 1
    ");
}

#[test]
fn a_secret_without_its_variable_says_what_to_set() {
    let head = "opora: 1\nenvironment: research\naccount: \"123456789012\"\nregion: us-east-1\n";
    let secret = "resources:\n  secretsmanager_secret:\n    token: { value: { from_env: OPORA_TEST_UNSET } }\n";
    let ended = Terminal::with(&format!("{head}{secret}")).run("apply --yes --sandbox");
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("OPORA_TEST_UNSET") && ended.err.contains("help: set the variable"), "{ended}");
    assert!(!ended.err.contains("answered"), "AWS was not asked: {ended}");
}

/// What an apply is going to send is looked for before it writes anything.
#[test]
fn a_secret_value_that_is_not_there_is_found_before_the_first_write() {
    let spec = SPEC.replace(
        "  vpc:\n",
        "  secretsmanager_secret:\n    token: { name: token, value: { from_env: TOKEN_OF_THE_TEST } }\n  vpc:\n",
    );
    let server = Server::start(&[]);
    let terminal = Terminal::with(&spec).signed_in("123456789012", &server);
    assert_eq!(terminal.run("plan --out p.plan --quiet").code, Some(2), "a plan needs no values");
    let refused = terminal.run("apply p.plan --quiet");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert_snapshot!(refused.err, @r"
    error[AWS020]: a secret's value is not to be had
      the environment variable `TOKEN_OF_THE_TEST` is not set
       ╭─[opora.yaml:9:27]
     9 │     token: { name: token, value: { from_env: TOKEN_OF_THE_TEST } }
       ·                           ──┬──
       ·                             ╰── this value
       ╰────
      help: set the variable or write the file that the secret's `value` names, and run it again
    ");
    assert_eq!(terminal.run("state history --json").json(), serde_json::json!([]));
    let calls = server.admin("calls", None);
    let is_write =
        |call: &&serde_json::Value| call["operation"].as_str().is_some_and(|name| name.starts_with("Create"));
    assert_eq!(calls["calls"].as_array().unwrap().iter().find(is_write), None);
    let terminal = terminal.set("TOKEN_OF_THE_TEST", "canary");
    let ended = terminal.run("apply p.plan --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
    // Once it is there, nothing sends it again.
    let terminal = terminal.set("TOKEN_OF_THE_TEST", "");
    terminal.write("opora.yaml", &spec.replace("name: token,", "name: token, description: A token,"));
    let ended = terminal.run("apply --yes --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
}
