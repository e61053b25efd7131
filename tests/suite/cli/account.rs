//! What a user meets first on a real account: no credentials, expired, another account, denied, no network.
//!
//! The account is the sandbox on a socket, reached by `AWS_ENDPOINT_URL` like any other endpoint.

use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use insta::assert_snapshot;
use opora::aws::{Pacing, connect};

use super::terminal::{Ended, SPEC, Server, Terminal};

const ACCOUNT: &str = "123456789012";

#[test]
fn no_credentials() {
    let terminal = Terminal::with(SPEC);
    assert_snapshot!(terminal.run("plan"), @"
    ! error[CONN001]: no AWS credentials were found
    !   looked in
    !   Environment: environment variable not set
    !   Profile: not set up
    !   WebIdentityToken: $AWS_WEB_IDENTITY_TOKEN_FILE was not set
    !   EcsContainer: ECS provider not configured
    !   Ec2InstanceMetadata: IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`
    !   help: sign in (`aws sso login`), set `AWS_PROFILE` or pass `--profile NAME`; or try `--sandbox`,
    !   which needs no account
    exit 1
    ");
}

#[test]
fn no_credentials_where_no_instance_answers_takes_no_long_time() {
    // A user does not turn the question for an instance's role off; nothing listens on port 1.
    let terminal = Terminal::with(SPEC)
        .set("AWS_EC2_METADATA_DISABLED", "")
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let start = Instant::now();
    let ended = terminal.run("plan");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error[CONN001]: no AWS credentials were found\n"), "{ended}");
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
}

#[test]
fn a_profile_that_is_not_there() {
    let terminal = Terminal::with(SPEC);
    let ended = terminal.run("plan --profile nobody");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("nobody"), "{ended}");
}

#[test]
fn a_named_profile_comes_before_keys_in_the_environment() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("210987654321", &server);
    terminal.write("credentials", "[mine]\naws_access_key_id = 123456789012\naws_secret_access_key = secret\n");
    let file = terminal.path("credentials").display().to_string();
    let terminal = terminal.set("AWS_SHARED_CREDENTIALS_FILE", &file);
    assert_eq!(terminal.run("plan").code, Some(1), "the keys are of another account");
    let ended = terminal.run("plan --profile mine");
    assert_eq!(ended.code, Some(2), "{ended}");
    // The SDKs' own order, where only the environment names it.
    assert_eq!(terminal.set("AWS_PROFILE", "mine").run("plan").code, Some(1));
}

#[test]
fn another_account() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("210987654321", &server);
    assert_snapshot!(terminal.run("apply --yes"), @"
    ! error[CONN002]: another account than the spec's
    !   the spec is for account `123456789012`, these credentials are for `210987654321`
    !   (arn:aws:iam::210987654321:user/sandbox)
    !   help: use the profile of that account (`--profile NAME`), or correct `account:` in the spec
    exit 1
    ");
    assert_eq!(server.admin("calls", None)["count"], 1, "nothing but the question who is calling");
}

#[tokio::test]
async fn an_expired_session() {
    let server = Server::start(&[]);
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_types::region::Region::new("us-east-1"))
        .endpoint_url(&server.url)
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(Credentials::from_keys(
            ACCOUNT, "secret", None,
        )))
        .build();
    let aws = opora::aws::Aws::new(&config, connect::live_seam(), Pacing::new(1.0));
    let session = aws.sts().get_session_token().duration_seconds(900).send().await.unwrap().credentials.unwrap();
    let terminal = Terminal::with(SPEC)
        .signed_in(session.access_key_id(), &server)
        .set("AWS_SESSION_TOKEN", session.session_token());
    assert_eq!(terminal.run("plan").code, Some(2));
    server.admin("clock", Some(r#"{"advance_s": 1000}"#));
    assert_snapshot!(terminal.run("plan"), @"
    ! error[AWS005]: the credentials are missing, expired or not valid
    !   sts:GetCallerIdentity answered ExpiredToken: The security token included in the request is expired
    !   request id [uuid]
    !   help: sign in again (for example `aws sso login`) and repeat the command
    exit 1
    ");
}

#[test]
fn a_key_that_nobody_knows() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in("ASIAXXXXXXXXXXXXXXXX", &server).set("AWS_SESSION_TOKEN", "none");
    assert_snapshot!(terminal.run("plan"), @"
    ! error[AWS005]: the credentials are missing, expired or not valid
    !   sts:GetCallerIdentity answered InvalidClientTokenId: The security token included in the request is
    !   invalid.
    !   request id [uuid]
    !   help: sign in again (for example `aws sso login`) and repeat the command
    exit 1
    ");
}

#[test]
fn denied_while_applying() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    server.fault("CreateVpc", "denied");
    let ended = terminal.run("apply --yes --quiet");
    assert_snapshot!(Ended { out: String::new(), ..ended }, @"
    !   failed    vpc.main
    ! error[AWS004]: access denied
    !   vpc.main
    !   ec2:CreateVpc answered UnauthorizedOperation: User: arn:aws:iam::123456789012:user/sandbox is not
    !   authorized to perform: ec2:CreateVpc
    !   request id [uuid]
    !   left behind: nothing
    !    ╭─[opora.yaml:9:5]
    !  9 │     main: { cidr: 10.40.0.0/16 }
    !    ·     ──┬─
    !    ·       ╰── this resource
    !    ╰────
    !   help: grant the action to the caller; `opora plan --json` lists what the plan needs
    exit 1
    ");
    server.admin("faults", Some("{}"));
    assert_eq!(terminal.run("apply --yes").code, Some(0), "the next run does the rest");
    assert_eq!(terminal.run("plan").code, Some(0));
}

#[test]
fn denied_while_reading_is_not_gone_and_not_unchanged() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    assert_eq!(terminal.run("apply --yes").code, Some(0));
    server.fault("DescribeKey", "denied");
    assert_snapshot!(terminal.run("plan --quiet"), @"
    ! error[PLAN004]: a resource could not be read, so nothing can be planned for it
    !   kms_key.data ([uuid]): access denied: kms:DescribeKey
    !    ╭─[opora.yaml:7:5]
    !  7 │     data: { description: Data, alias: alias/data, rotation: { period_days: 365 } }
    !    ·     ──┬─
    !    ·       ╰── this one
    !    ╰────
    !   help: grant the read, or leave it out with `--exclude`
    exit 1
    ");
    assert_snapshot!(terminal.run("drift --managed-only"), @"
      unreadable kms_key.data  access denied: kms:DescribeKey
    3 managed, 0 drifted, 0 unmanaged; 18 fields checked, 0 ignored, 1 unreadable, 1 not in the spec
    exit 1
    ");
}

#[test]
fn a_service_that_fails_is_tried_again_and_then_named() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    server.fault("GetCallerIdentity", "server_error");
    let ended = terminal.run("plan");
    assert!(ended.err.starts_with("error[AWS013]: the service failed\n"), "{ended}");
}

#[test]
fn nobody_listens() {
    let terminal = Terminal::with(SPEC)
        .set("AWS_ACCESS_KEY_ID", ACCOUNT)
        .set("AWS_SECRET_ACCESS_KEY", "secret")
        .set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    assert_snapshot!(terminal.run("plan"), @"
    ! error[AWS014]: the service could not be reached
    !   sts:GetCallerIdentity got no answer: dispatch failure: io error: client error (Connect): tcp
    !   connect error: Connection refused (os error 111)
    !   help: check the network, the endpoint and the region
    exit 1
    ");
}
