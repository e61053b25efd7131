//! The sandbox on a socket: HTTP/1.1 for boto3, the AWS CLI, Terraform and tests.

use std::fmt;
use std::time::Duration;

use aws_smithy_async::rt::sleep::AsyncSleep;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::dispatch::{Lost, Slow};
use super::{Sandbox, codec};

/// The largest request body in bytes (S3 allows 5 GiB; the sandbox holds bodies in memory).
const BODY_MAX: usize = 1 << 30;
/// How long a stop waits for the calls in flight.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Breaks the connection: an injected loss.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is broken on purpose")
    }
}

impl std::error::Error for Broken {}

impl Sandbox {
    /// Serves until `stop` resolves, then finishes the calls in flight.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let (stopping, _) = tokio::sync::watch::channel(());
        let mut connections = tokio::task::JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                // Finished connections leave the set as they end.
                Some(_) = connections.join_next() => continue,
                () = &mut stop => break,
            };
            connections.spawn(converse(self.clone(), stream, stopping.subscribe()));
        }
        drop(listener);
        stopping.send(()).ok();
        let finish = async { while connections.join_next().await.is_some() {} };
        tokio::time::timeout(STOP_TIMEOUT, finish).await.ok();
        Ok(())
    }
}

/// Serves one connection until it ends, or until the call in flight ends once the server stops.
async fn converse(sandbox: Sandbox, stream: TcpStream, mut stopping: tokio::sync::watch::Receiver<()>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| answer(sandbox.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A connection that the client or a fault breaks is no event for the server.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await.ok();
        }
    }
}

async fn answer(sandbox: Sandbox, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Broken> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let text = "the request body can not be read or is too large";
        return Ok(codec::plain(400, "text/plain", text).map(Full::new));
    };
    let response = sandbox.handle(http::Request::from_parts(parts, body.to_bytes()));
    if response.extensions().get::<Lost>().is_some() {
        return Err(Broken);
    }
    if let Some(Slow(seconds)) = response.extensions().get::<Slow>() {
        sandbox.clock().sleep(Duration::from_secs_f64(*seconds)).await;
    }
    Ok(response.map(Full::new))
}
