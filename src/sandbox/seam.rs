//! The seam to the SDK: an HTTP client whose answers come from the sandbox, in process.

use std::fmt;
use std::time::Duration;

use aws_smithy_async::rt::sleep::AsyncSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;

use super::Sandbox;
use super::dispatch::{Lost, Slow};

/// The bytes of one piece of a streamed answer.
const PIECE: usize = 64 * 1024;

impl Sandbox {
    /// Returns an HTTP client for the SDK that this sandbox answers.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(InProcess(self.clone()))
    }
}

struct InProcess(Sandbox);

impl fmt::Debug for InProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(InProcess(self.0.clone()))
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = self.0.clone();
        HttpConnectorFuture::new(async move { exchange(&sandbox, request).await })
    }
}

async fn exchange(sandbox: &Sandbox, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
    let response = sandbox.handle(http::Request::from_parts(parts, body));
    if response.extensions().get::<Lost>().is_some() {
        return Err(ConnectorError::io("the connection was lost".into()));
    }
    if let Some(Slow(seconds)) = response.extensions().get::<Slow>() {
        sandbox.clock().sleep(Duration::from_secs_f64(*seconds)).await;
    }
    let (parts, body) = response.into_parts();
    let body = if body.len() > PIECE { pieces(body) } else { SdkBody::from(body) };
    HttpResponse::try_from(http::Response::from_parts(parts, body))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// Makes a body that arrives in pieces, as a large one does from a socket.
fn pieces(mut bytes: bytes::Bytes) -> SdkBody {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        frames.push(Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(piece)));
    }
    SdkBody::from_body_1_x(http_body_util::StreamBody::new(futures::stream::iter(frames)))
}
