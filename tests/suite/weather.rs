//! What happens on the way to AWS: chosen calls are answered by a test, lost, or have something happen before them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use futures::future::BoxFuture;
use opora::aws::kinds;
use opora::graph::PhysicalId;
use opora::sandbox::{Fault, FaultKind, Sandbox};

use crate::support::{World, connect_by};

/// What becomes of a call; `None` lets it pass.
pub type Fate = Option<Result<HttpResponse, ConnectorError>>;

type Rule = dyn Fn(&str) -> BoxFuture<'static, Fate> + Send + Sync;

/// An HTTP client that asks a rule, by the operation's name, before it passes a call on.
#[derive(Clone)]
struct Weather {
    inner: SharedHttpClient,
    rule: Arc<Rule>,
}

impl fmt::Debug for Weather {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Weather")
    }
}

impl HttpClient for Weather {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            inner: self.inner.http_connector(settings, components),
            rule: self.rule.clone(),
        })
    }
}

struct Connector {
    inner: SharedHttpConnector,
    rule: Arc<Rule>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, rule) = (self.inner.clone(), self.rule.clone());
        HttpConnectorFuture::new(async move {
            match rule(&operation(&request)).await {
                Some(fate) => fate,
                None => inner.call(request).await,
            }
        })
    }
}

/// Returns the operation's name; of REST services the method and the path.
fn operation(request: &HttpRequest) -> String {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned);
    action.unwrap_or_else(|| format!("{} {}", request.method(), request.uri()))
}

/// Makes an HTTP client to a sandbox on which a rule acts.
pub fn under(
    sandbox: &Sandbox,
    rule: impl Fn(&str) -> BoxFuture<'static, Fate> + Send + Sync + 'static,
) -> SharedHttpClient {
    SharedHttpClient::new(Weather { inner: sandbox.http_client(), rule: Arc::new(rule) })
}

impl World {
    /// Makes an environment on whose calls a rule acts.
    pub fn under(seed: u64, rule: impl Fn(&Sandbox, &str) -> BoxFuture<'static, Fate> + Send + Sync + 'static) -> Self {
        let world = Self::new(seed);
        let sandbox = world.sandbox.clone();
        let http = under(&world.sandbox, move |operation| rule(&sandbox, operation));
        Self { aws: connect_by(&world.sandbox, http), ..world }
    }

    /// Fails the test where the account has something of this environment that the state does not, or the other way.
    pub async fn assert_no_orphan(&self, environment: &str) {
        let state = self.state().await;
        assert!(state.intents.is_empty() && state.deposed.is_empty(), "{:#?} {:#?}", state.intents, state.deposed);
        let mut managed: BTreeMap<&str, Vec<PhysicalId>> = BTreeMap::new();
        for record in state.resources.values() {
            managed.entry(&record.kind).or_default().push(record.id.clone());
        }
        for kind in kinds::all().filter(|kind| kind.schema().takes_tags()) {
            let found = kind.discover(&self.aws).await.unwrap();
            let own =
                found.into_iter().filter(|one| one.owner.as_ref().is_some_and(|own| own.environment == environment));
            let mut own: Vec<PhysicalId> = own.map(|one| one.id).collect();
            let mut known = managed.remove(kind.schema().name).unwrap_or_default();
            own.sort();
            known.sort();
            assert_eq!(own, known, "{}: what the account has, and what the state has", kind.schema().name);
        }
    }
}

/// Makes a fault that strikes every call of an operation.
pub fn fault(operation: &str, kind: FaultKind) -> Fault {
    let operation = Some(operation.to_owned());
    Fault { service: None, operation, nth: None, every: Some(1), probability: None, kind, seen: 0 }
}

/// Makes a fault that strikes the first call of an operation.
pub fn first(operation: &str, kind: FaultKind) -> Fault {
    Fault { nth: Some(1), every: None, ..fault(operation, kind) }
}

/// Answers as a service of the JSON protocol does.
pub fn json_error(code: &str, message: &str) -> Fate {
    answer(400, "application/x-amz-json-1.1", &format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
}

/// Answers as EC2 does.
pub fn ec2_error(status: u16, code: &str, message: &str) -> Fate {
    let error = format!("<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>");
    answer(
        status,
        "text/xml",
        &format!("<Response>{error}<RequestID>11111111-2222-4333-8444-555555555555</RequestID></Response>"),
    )
}

/// Answers as S3 does.
pub fn s3_error(status: u16, code: &str, message: &str) -> Fate {
    answer(status, "application/xml", &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn answer(status: u16, kind: &'static str, body: &str) -> Fate {
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    response.headers_mut().insert("content-type", kind);
    Some(Ok(response))
}

/// Does not get through, for this reason.
pub fn unreachable(reason: &str) -> Fate {
    Some(Err(ConnectorError::io(format!("client error (Connect): {reason}").into())))
}
