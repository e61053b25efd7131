//! The state's log on the sandbox's S3: conditional writes, lists and reads by `object_store`, in both URL styles.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use opora::sandbox::Sandbox;
use opora::state::{RunId, S3Access, StateError, StateLog};
use uuid::Uuid;

use crate::state::lease::ten_writers_race;
use crate::support::connect_to;

const TTL: jiff::SignedDuration = jiff::SignedDuration::from_secs(600);

fn credentials() -> Credentials {
    Credentials::new("123456789012", "any", None, None, "test")
}

fn open(sandbox: &Sandbox, location: &str, endpoint: Option<&str>) -> StateLog {
    let access = S3Access {
        http: sandbox.http_client(),
        credentials: SharedCredentialsProvider::new(credentials()),
        region: "us-east-1".to_owned(),
        endpoint: endpoint.map(str::to_owned),
    };
    StateLog::open(location, Some(access), Arc::new(jiff::Timestamp::now)).unwrap()
}

#[tokio::test]
async fn the_log_works_on_s3_in_both_url_styles() {
    for endpoint in [None, Some("http://127.0.0.1:4566")] {
        let sandbox = Sandbox::in_memory(7);
        let aws = connect_to(&sandbox);
        aws.s3().create_bucket().bucket("acme-state").send().await.unwrap();
        let key = aws.kms().create_key().send().await.unwrap().key_metadata.unwrap();
        aws.kms().create_alias().alias_name("alias/state").target_key_id(key.key_id()).send().await.unwrap();
        let log = open(&sandbox, "s3://acme-state/env/research?kms_key=alias/state", endpoint);
        assert!(log.load().await.unwrap().resources.is_empty());

        let first = log.acquire(RunId(Uuid::from_u128(1)), "first", TTL).await.unwrap();
        let refused = log.acquire(RunId(Uuid::from_u128(2)), "second", TTL).await.unwrap_err();
        assert!(matches!(&refused, StateError::LeaseHeld { holder, .. } if holder == "first"), "{refused}");
        first.release().await.unwrap();
        log.acquire(RunId(Uuid::from_u128(2)), "second", TTL).await.unwrap().release().await.unwrap();
        assert_eq!(log.load().await.unwrap().lease, None);
        assert_eq!(log.verify().await.unwrap(), []);

        let listed = aws.s3().list_objects_v2().bucket("acme-state").prefix("env/research/log/").send().await.unwrap();
        assert!(listed.key_count().unwrap() >= 4, "{listed:?}");
        let entry = listed.contents()[0].key().unwrap();
        let head = aws.s3().head_object().bucket("acme-state").key(entry).send().await.unwrap();
        assert_eq!(head.ssekms_key_id(), key.arn());
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_empty_state() {
    let sandbox = Sandbox::in_memory(7);
    let log = open(&sandbox, "s3://acme-none/env", None);
    let error = log.load().await.unwrap_err();
    assert_eq!(error.into_diagnostic().code, "STATE008");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_writers_racing_on_the_sandboxs_s3_lose_none() {
    let sandbox = Sandbox::in_memory(7);
    connect_to(&sandbox).s3().create_bucket().bucket("acme-state").send().await.unwrap();
    ten_writers_race(|| open(&sandbox, "s3://acme-state/env", None)).await;
}

/// moto as a server that answers one request at a time: with threads it looks and writes in two steps, so that of
/// two conditional writes at once both are told that they won.
const MOTO: &str = r#"
import sys, threading
import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server, WSGIRequestHandler

class Quiet(WSGIRequestHandler):
    def log_request(self, *_): pass

app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.port}"
boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="123456789012",
             aws_secret_access_key="any").create_bucket(Bucket="acme-state")
print(url, flush=True)
sys.stdin.read()
"#;

/// Starts moto; `None` where this Python has none, which only a machine without `OPORA_TEST_PYTHON` may lack.
fn moto() -> Option<(std::process::Child, String)> {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let named = std::env::var_os("OPORA_TEST_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let mut child =
        Command::new(python).args(["-c", MOTO]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    if url.is_empty() {
        assert!(named.is_none(), "moto did not start");
        return None;
    }
    Some((child, url.trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_writers_racing_on_motos_s3_lose_none() {
    let Some((mut child, url)) = moto() else {
        println!("skipped: this Python has no moto");
        return;
    };
    let open = || {
        let access = S3Access {
            http: opora::aws::connect::live_seam().http,
            credentials: SharedCredentialsProvider::new(credentials()),
            region: "us-east-1".to_owned(),
            endpoint: Some(url.clone()),
        };
        StateLog::open("s3://acme-state/env", Some(access), Arc::new(jiff::Timestamp::now)).unwrap()
    };
    ten_writers_race(open).await;
    // The lease works there as well: its proof of conditional writes passes.
    let first = open().acquire(RunId(Uuid::from_u128(1)), "first", TTL).await.unwrap();
    let refused = open().acquire(RunId(Uuid::from_u128(2)), "second", TTL).await.unwrap_err();
    assert!(matches!(&refused, StateError::LeaseHeld { holder, .. } if holder == "first"), "{refused}");
    first.release().await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}
