//! Drift as a process: its exit codes, and what is gone.

use super::terminal::{SPEC, Server, Terminal};
use crate::support::connect_outsider;
use opora::sandbox::Sandbox;

#[tokio::test]
async fn what_nothing_manages_is_4_and_drift_is_3_whatever_else_there_is() {
    let terminal = Terminal::applied();
    assert_eq!(terminal.run("drift --managed-only --sandbox").code, Some(0));
    // Each command is a process of its own: whoever works beside them opens the folder anew.
    let outside = || connect_outsider(&Sandbox::open(&terminal.path(".opora/sandbox")).unwrap());
    outside().s3().create_bucket().bucket("scratch-of-somebody").send().await.unwrap();
    let unmanaged = terminal.run("drift --sandbox");
    assert_eq!(unmanaged.code, Some(4), "{unmanaged}");
    let lines: Vec<&str> = unmanaged.out.lines().collect();
    let bucket = lines.iter().position(|line| *line == "  unmanaged  s3_bucket scratch-of-somebody").unwrap();
    let who = "               last written by arn:aws:iam::123456789012:user/sandbox at ";
    assert!(lines[bucket + 1].starts_with(who), "{unmanaged}");
    assert_eq!(terminal.run("drift --managed-only --sandbox").code, Some(0));

    let subnet = &terminal.run("state list --json").json()[1]["id"];
    outside().ec2().delete_subnet().subnet_id(subnet.as_str().unwrap()).send().await.unwrap();
    let gone = terminal.run("drift --sandbox");
    assert_eq!(gone.code, Some(3), "{gone}");
    let json = terminal.run("drift --sandbox --json").json();
    assert_eq!(json["drifted"][0]["gone"], true);
    assert_eq!(json["drifted"][0]["who"]["writes"][0]["operation"], "ec2:DeleteSubnet", "{json:#}");
    assert_eq!(json["drifted"][0]["who"]["writes"][0]["by_opora"], false);
}

#[test]
fn what_could_not_be_looked_at_is_no_clean_account() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("123456789012", &server);
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    server.fault("GetKeyRotationStatus", "denied");
    let ended = terminal.run("drift --managed-only");
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.out.contains("  unreadable kms_key.data  rotation  "), "{ended}");
}
