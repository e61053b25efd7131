//! The state on S3: `object_store`'s client over opora's own HTTP client and credentials.
//!
//! Entries are written with `If-None-Match: *`. Requests are signed and retried by `object_store`; the HTTP
//! client is the one the SDK uses, so that the sandbox, proxies and trust roots are the same for both.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::auth::no_auth::{NO_AUTH_SCHEME_ID, NoAuthScheme};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::identity::no_auth::NoAuthIdentityResolver;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector as _, HttpConnectorSettings, SharedHttpClient,
};
use aws_smithy_runtime_api::client::orchestrator;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http_body_util::BodyExt as _;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::client::{
    ClientOptions, CredentialProvider, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path;
use tokio::sync::Mutex;

use super::Clock;
use super::error::{Source, StateError};
use super::store::{ObjectStoreAdapter, Store};

/// What the state needs to reach S3.
#[derive(Debug, Clone)]
pub struct S3Access {
    pub http: SharedHttpClient,
    pub credentials: SharedCredentialsProvider,
    pub region: String,
    /// Another address than AWS's own, such as a local sandbox's.
    pub endpoint: Option<String>,
}

/// Connecting may take this long before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer may take this long to begin.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Retries of one request, within [`RETRY_TIMEOUT`].
const RETRIES_MAX: usize = 5;

/// All attempts at one request together end by then.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Cached credentials are fetched anew this long before they end.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(60);

/// Opens `s3://bucket/prefix?kms_key=…`; makes no call.
pub(super) fn open(location: &str, access: S3Access, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StateError> {
    let refuse = |reason: String| StateError::Location { location: location.to_owned(), reason };
    let url = url::Url::parse(location).map_err(|error| refuse(error.to_string()))?;
    let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("no bucket".to_owned()))?;
    let mut kms_key = None;
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "kms_key" if !value.is_empty() => kms_key = Some(value.into_owned()),
            other => return Err(refuse(format!("`{other}` is not an option; `kms_key` is"))),
        }
    }
    let prefix = Path::from_url_path(url.path()).map_err(|error| refuse(error.to_string()))?;
    let S3Access { http, credentials, region, endpoint } = access;
    // object_store knows the address of one partition only.
    let endpoint =
        endpoint.or_else(|| region.starts_with("cn-").then(|| format!("https://s3.{region}.amazonaws.com.cn")));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&region)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_virtual_hosted_style_request(endpoint.is_none())
        .with_http_connector(Bridge { http })
        .with_credentials(Arc::new(Credentials { provider: credentials, clock, cached: Mutex::default() }))
        .with_retry(RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() });
    if let Some(endpoint) = endpoint {
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    if let Some(key) = kms_key {
        builder = builder.with_sse_kms_encryption(key).with_bucket_key(true);
    }
    let inner = builder.build().map_err(|error| refuse(error.to_string()))?;
    Ok(Arc::new(ObjectStoreAdapter { inner: Arc::new(inner), prefix, location: location.to_owned(), remote: true }))
}

/// Hands `object_store`'s requests to the SDK's HTTP client.
#[derive(Debug, Clone)]
struct Bridge {
    http: SharedHttpClient,
}

impl HttpConnector for Bridge {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Bridge {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let unknown = |error: Box<dyn Error + Send + Sync>| HttpError::new_boxed(HttpErrorKind::Unknown, error);
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = http::Request::from_parts(parts, SdkBody::from(body));
        let request = orchestrator::HttpRequest::try_from(request).map_err(|error| unknown(error.into()))?;
        let settings =
            HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let components = components().map_err(unknown)?;
        let answer = self.http.http_connector(&settings, &components).call(request).await.map_err(|error| {
            let kind = match () {
                () if error.is_timeout() => HttpErrorKind::Timeout,
                () if error.is_io() => HttpErrorKind::Connect,
                () if error.is_user() => HttpErrorKind::Unknown,
                () => HttpErrorKind::Request,
            };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = answer.try_into_http1x().map_err(|error| unknown(error.into()))?.into_parts();
        let body = ByteStream::new(body).collect().await;
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?.into_bytes();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}

/// Makes what a connector is given besides a request; an SDK client has more use for it than this bridge.
fn components() -> Result<RuntimeComponents, Box<dyn Error + Send + Sync>> {
    let components = RuntimeComponentsBuilder::new("opora state")
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![NO_AUTH_SCHEME_ID])))
        .with_auth_scheme(NoAuthScheme::new())
        .with_identity_resolver(NO_AUTH_SCHEME_ID, NoAuthIdentityResolver::new())
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_endpoint_resolver(Some(StaticUriEndpointResolver::uri("https://s3.amazonaws.com")))
        .with_retry_strategy(Some(NeverRetryStrategy::new()))
        .with_sleep_impl(Some(TokioSleep::new()))
        .build()?;
    Ok(components)
}

/// Hands the SDK's credentials to `object_store`, from a cache until shortly before they end.
struct Credentials {
    provider: SharedCredentialsProvider,
    clock: Arc<dyn Clock>,
    cached: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut cached = self.cached.lock().await;
        let soon = SystemTime::from(self.clock.now()) + CREDENTIALS_MARGIN;
        if let Some((credential, ends)) = cached.as_ref()
            && ends.is_some_and(|ends| ends > soon)
        {
            return Ok(Arc::clone(credential));
        }
        let fetched = self
            .provider
            .provide_credentials()
            .await
            .map_err(|error| object_store::Error::Unauthenticated { path: String::new(), source: Box::new(error) })?;
        let credential = Arc::new(AwsCredential {
            key_id: fetched.access_key_id().to_owned(),
            secret_key: fetched.secret_access_key().to_owned(),
            token: fetched.session_token().map(str::to_owned),
        });
        *cached = Some((Arc::clone(&credential), fetched.expiry()));
        Ok(credential)
    }
}

/// Error codes of S3 that say that the caller is not who he should be, rather than not allowed.
const CREDENTIAL_CODES: [&str; 7] = [
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// Sorts a store's error by what a user can do about it.
pub(super) fn sort_error(operation: &'static str, location: &str, error: object_store::Error) -> StateError {
    let text = full_text(&error);
    let says = |code: &str| text.contains(&format!("<Code>{code}</Code>"));
    let denied = matches!(error, object_store::Error::PermissionDenied { .. });
    let unknown = matches!(error, object_store::Error::Unauthenticated { .. });
    let location = location.to_owned();
    let source: Source = match Answer::find_in(&text) {
        Some(answer) => Arc::new(answer),
        None => Arc::new(error),
    };
    match () {
        () if says("RequestTimeTooSkewed") => StateError::ClockSkew { location, source },
        () if unknown || CREDENTIAL_CODES.iter().any(|code| says(code)) => StateError::Credentials { location, source },
        () if says("NoSuchBucket") => StateError::BucketNotFound { location, source },
        () if denied || says("AccessDenied") => StateError::Permission { location, source },
        () => StateError::Storage { operation, location, source },
    }
}

/// Tells whether there certainly is no object: of a remote store, only its own word for it counts.
pub(super) fn is_absent_key(error: &object_store::Error, remote: bool) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && (!remote || full_text(error).contains("<Code>NoSuchKey</Code>"))
}

/// What S3 said, out of the XML of its error answer.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message} (request {request_id})")]
struct Answer {
    code: String,
    message: String,
    request_id: String,
}

impl Answer {
    fn find_in(text: &str) -> Option<Self> {
        let element = |name: &str| {
            let start = text.split_once(&format!("<{name}>"))?.1;
            Some(start.split_once(&format!("</{name}>"))?.0.to_owned())
        };
        let or_unknown = |name| element(name).unwrap_or_else(|| "unknown".to_owned());
        Some(Self { code: element("Code")?, message: or_unknown("Message"), request_id: or_unknown("RequestId") })
    }
}

fn full_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&error.to_string());
        text.push('\n');
        next = error.source();
    }
    text
}
