//! The state's log on the sandbox's S3: conditional writes, lists and reads by `object_store`, in both URL styles.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use opora::sandbox::Sandbox;
use opora::state::{RunId, S3Access, StateError, StateLog};
use uuid::Uuid;

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
