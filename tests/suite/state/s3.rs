//! The bridge to S3: what is sent, and what is made of each answer.
//!
//! The far end here is a fixed answer per method; that the log works on a store with S3's rules is for the
//! sandbox's S3 to show.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use opora::state::{S3Access, StateError, StateLog};

use super::{FakeClock, TTL, run};

type Answer = fn(&HttpRequest) -> (u16, &'static str);

#[derive(Debug, Clone)]
struct FarEnd {
    answer: Answer,
    seen: Arc<Mutex<Vec<HttpRequest>>>,
}

impl HttpConnector for FarEnd {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = (self.answer)(&request);
        self.seen.lock().unwrap().push(request);
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        response.headers_mut().insert("ETag", "\"1\"");
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn open(location: &str, answer: Answer) -> (StateLog, FarEnd) {
    let far_end = FarEnd { answer, seen: Arc::default() };
    let connector = SharedHttpConnector::new(far_end.clone());
    let access = S3Access {
        http: http_client_fn(move |_, _| connector.clone()),
        credentials: SharedCredentialsProvider::new(Credentials::new(
            "AKID",
            "key",
            Some("token".into()),
            None,
            "test",
        )),
        region: "eu-central-1".to_owned(),
        endpoint: None,
    };
    (StateLog::open(location, Some(access), FakeClock::new()).unwrap(), far_end)
}

const EMPTY_LIST: &str = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>";

fn empty_bucket(request: &HttpRequest) -> (u16, &'static str) {
    match request.method() {
        "PUT" => (200, ""),
        _ if request.uri().contains("list-type") => (200, EMPTY_LIST),
        _ => (404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

#[tokio::test]
async fn an_entry_is_a_signed_conditional_put_under_the_key() {
    let (log, far_end) = open("s3://acme-state/env/research?kms_key=alias/state", empty_bucket);
    let error = log.acquire(run(1), "tester", TTL).await.unwrap_err();
    assert!(matches!(error, StateError::Precondition { .. }), "this bucket takes the same key twice: {error}");
    let seen = far_end.seen.lock().unwrap();
    let put = seen.iter().find(|request| request.method() == "PUT").unwrap();
    let at = "https://acme-state.s3.eu-central-1.amazonaws.com/env/research/log/00000000000000000001.json";
    assert_eq!(put.uri(), at);
    let header = |name: &str| put.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
    assert_eq!(header("if-none-match"), "*");
    assert_eq!(header("x-amz-server-side-encryption"), "aws:kms");
    assert_eq!(header("x-amz-server-side-encryption-aws-kms-key-id"), "alias/state");
    assert_eq!(header("x-amz-security-token"), "token");
    assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    assert!(std::str::from_utf8(put.body().bytes().unwrap()).unwrap().contains("lease_taken"));
}

#[tokio::test]
async fn every_refusal_is_told_apart_and_none_is_an_empty_state() {
    let answers: [(&str, Answer); 6] = [
        ("STATE008", |_| (404, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>")),
        ("STATE007", |_| (403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")),
        ("STATE012", |_| (400, "<Error><Code>ExpiredToken</Code><Message>no</Message></Error>")),
        ("STATE025", |_| (403, "<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>")),
        ("STATE009", |_| (404, "<html>a proxy's page</html>")),
        ("STATE009", |_| (200, "not a listing")),
    ];
    for (code, answer) in answers {
        let (log, _) = open("s3://acme-state/env", answer);
        let diagnostic = log.load().await.unwrap_err().into_diagnostic();
        assert_eq!(diagnostic.code, code, "{diagnostic:?}");
    }
}

#[tokio::test]
async fn an_entry_behind_a_proxys_error_page_is_not_taken_as_absent() {
    let one_entry = |request: &HttpRequest| {
        if !request.uri().contains("list-type") {
            (404, "<html>a proxy's page</html>")
        } else if request.uri().contains("log") {
            (
                200,
                "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated><Contents>\
                 <Key>env/log/00000000000000000001.json</Key><Size>1</Size>\
                 <LastModified>2026-11-22T00:00:00Z</LastModified><ETag>\"1\"</ETag></Contents></ListBucketResult>",
            )
        } else {
            (200, EMPTY_LIST)
        }
    };
    let (log, _) = open("s3://acme-state/env", one_entry);
    assert!(matches!(log.load().await.unwrap_err(), StateError::Storage { .. }));
}

#[tokio::test]
async fn the_detail_is_what_s3_said_and_no_more() {
    let (log, _) = open("s3://acme-state/env", |_| {
        (403, "<Error><Code>AccessDenied</Code><Message>not you</Message><RequestId>R1</RequestId></Error>")
    });
    let diagnostic = log.load().await.unwrap_err().into_diagnostic();
    let detail = "access to s3://acme-state/env is denied: AccessDenied: not you (request R1)";
    assert_eq!(diagnostic.detail.as_deref(), Some(detail));
}
