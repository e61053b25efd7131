//! A state that can't be reached or written, as a user meets it: nothing is made twice, and it is never taken for empty.

use std::path::Path;
use std::process::Command;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use insta::assert_snapshot;
use opora::aws::{Aws, Pacing, connect};

use super::terminal::{Ended, SPEC, Server, Terminal};

const ACCOUNT: &str = "123456789012";

fn outsider(server: &Server) -> Aws {
    let keys = Credentials::from_keys(ACCOUNT, "secret", None);
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_types::region::Region::new("us-east-1"))
        .endpoint_url(&server.url)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    Aws::new(&config, connect::live_seam(), Pacing::new(1.0))
}

/// Returns the keys and VPCs that the account has beside AWS's own.
async fn made(server: &Server) -> (usize, usize) {
    let aws = outsider(server);
    let keys = aws.kms().list_keys().send().await.unwrap().keys.unwrap_or_default().len();
    let vpcs = aws.ec2().describe_vpcs().send().await.unwrap().vpcs.unwrap_or_default();
    (keys, vpcs.iter().filter(|vpc| vpc.is_default != Some(true)).count())
}

/// Runs opora by another program, which is given it as its last arguments.
fn run_by(mut program: Command, terminal: &Terminal, words: &[&str]) -> Ended {
    let opora = terminal.command(words);
    program.arg(opora.get_program()).args(opora.get_args()).env_clear();
    program.envs(opora.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = program.current_dir(terminal.path("")).output().unwrap();
    Ended::new(output.status.code(), &output.stdout, &output.stderr)
}

/// A file system that takes no file beyond a size: the limit of the process stands in for a full disk.
#[cfg(unix)]
#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_a_run() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    let run = |blocks: &str| {
        let mut shell = Command::new("/bin/bash");
        // The signal would end the process before it could say anything.
        shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
        run_by(shell, &terminal, &["apply", "--yes", "--quiet", "--brief"])
    };
    let full = run("1");
    assert_eq!(full.code, Some(1), "{full}");
    assert!(full.err.contains("error[STATE005]: no space left for the state"), "{full}");
    assert_eq!(terminal.run("state verify").code, Some(0));
    let again = run("unlimited");
    assert_eq!(again.code, Some(0), "{again}");
    assert_eq!(terminal.run("plan").code, Some(0));
    assert_eq!(made(&server).await, (1, 1), "nothing was made twice");
}

/// Sets who may write to the folders and files of a state; its owner alone, or nobody.
#[cfg(unix)]
fn permit_writes(folder: &Path, permitted: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    for found in std::fs::read_dir(folder).unwrap() {
        let found = found.unwrap();
        if found.file_type().unwrap().is_dir() {
            permit_writes(&found.path(), permitted);
        }
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(if permitted { 0o700 } else { 0o500 })).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_states_folder_that_is_read_only() {
    let server = Server::start(&[]);
    let terminal = Terminal::with(SPEC).signed_in(ACCOUNT, &server);
    assert_eq!(terminal.run("apply --yes --quiet").code, Some(0));
    terminal.write("opora.yaml", &SPEC.replace("vpc:\n", "vpc:\n    other: { cidr: 10.50.0.0/16 }\n"));
    let state = terminal.path(".opora/state");
    permit_writes(&state, false);
    let privileged = std::fs::write(state.join("log/proof"), "").is_ok();
    let run = |words: &[&str]| {
        let mut program = Command::new(if privileged { "setpriv" } else { "env" });
        if privileged {
            // Whoever may pass over all permissions keeps to them without this capability.
            program.arg("--bounding-set=-dac_override,-dac_read_search");
        }
        run_by(program, &terminal, words)
    };
    if privileged {
        std::fs::remove_file(state.join("log/proof")).unwrap();
    }
    assert_eq!(run(&["plan", "--quiet"]).code, Some(2), "it can be read");
    let refused = run(&["apply", "--yes", "--quiet", "--brief"]);
    assert_snapshot!(Ended { out: String::new(), ..refused }, @"
    ! error[STATE007]: access to the state is denied
    !   access to .opora/state is denied: Permission denied (os error 13)
    !   help: grant read, write and list access to the state's location
    exit 1
    ");
    assert_eq!(made(&server).await, (1, 1), "without a lease nothing is made");
    permit_writes(&state, true);
    assert_eq!(terminal.run("state verify").code, Some(0));
    assert_eq!(terminal.run("apply --yes --quiet").code, Some(0));
    assert_eq!(made(&server).await, (1, 2));
}

#[tokio::test]
async fn a_states_bucket_that_is_gone_or_closed() {
    let server = Server::start(&[]);
    let spec = SPEC.replace("region: us-east-1\n", "region: us-east-1\nstate: s3://acme-state/research\n");
    let terminal = Terminal::with(&spec).signed_in(ACCOUNT, &server);
    assert_snapshot!(terminal.run("apply --yes --quiet"), @"
    ! error[STATE008]: the state's bucket does not exist
    !   the bucket of s3://acme-state/research does not exist: NoSuchBucket: The specified bucket does not
    !   exist (request [uuid])
    !   help: create the bucket, or correct the spec's `state:`
    exit 1
    ");
    assert_eq!(made(&server).await, (0, 0));

    let aws = outsider(&server);
    aws.s3().create_bucket().bucket("acme-state").send().await.unwrap();
    server.fault("PutObject", "denied");
    let ended = terminal.run("apply --yes --quiet --brief");
    assert_snapshot!(Ended { out: String::new(), ..ended }, @"
    ! error[STATE007]: access to the state is denied
    !   access to s3://acme-state/research is denied: AccessDenied: User:
    !   arn:aws:iam::123456789012:user/sandbox is not authorized to perform: s3:PutObject (request
    !   [uuid])
    !   help: grant read, write and list access to the state's location
    exit 1
    ");
    assert_eq!(made(&server).await, (0, 0), "without a lease nothing is made");
    server.admin("faults", Some("{}"));
    assert_eq!(terminal.run("apply --yes --quiet").code, Some(0));

    server.fault("ListObjectsV2", "denied");
    let denied = terminal.run("plan --quiet");
    assert!(denied.code == Some(1) && denied.err.starts_with("error[STATE007]: "), "{denied}");
    server.admin("faults", Some("{}"));

    let objects = aws.s3().list_objects_v2().bucket("acme-state").send().await.unwrap();
    for object in objects.contents() {
        aws.s3().delete_object().bucket("acme-state").key(object.key().unwrap()).send().await.unwrap();
    }
    aws.s3().delete_bucket().bucket("acme-state").send().await.unwrap();
    for line in ["plan --quiet", "apply --yes --quiet", "destroy --yes --quiet", "drift --quiet"] {
        let gone = terminal.run(line);
        assert!(gone.code == Some(1) && gone.err.starts_with("error[STATE008]: "), "{line}: {gone}");
    }
    assert_eq!(made(&server).await, (1, 1), "a state that is out of reach is not an empty one");
}
