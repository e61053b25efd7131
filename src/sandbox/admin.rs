//! The sandbox's own surface on its socket, below `/_sandbox/`: JSON, unsigned, loopback use only.
//!
//! GET status, calls, faults, clock; POST reset, save, load, clock (`{"advance_s": n}`), faults (conditions).

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Conditions, Sandbox, codec};

/// The path below which the surface lies.
pub(crate) const PREFIX: &str = "/_sandbox/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    dir: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: f64,
}

/// Answers one request to the surface.
pub(crate) fn handle(sandbox: &Sandbox, request: &Request<Bytes>) -> Response<Bytes> {
    match answer(sandbox, request) {
        Ok(value) => codec::plain(200, "application/json", value.to_string()),
        Err((status, message)) => {
            let body = json!({"error": message}).to_string();
            codec::plain(status, "application/json", body)
        }
    }
}

type Failure = (u16, String);

fn answer(sandbox: &Sandbox, request: &Request<Bytes>) -> Result<Value, Failure> {
    let name = request.uri().path().trim_start_matches(PREFIX);
    let io = |error: std::io::Error| (500, error.to_string());
    match (request.method(), name) {
        (&Method::GET, "status") => Ok(sandbox.status()),
        (&Method::GET, "calls") => {
            let query = request.uri().query().unwrap_or_default();
            let since = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "since");
            let since = since.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
            let records: Vec<_> = sandbox.calls().into_iter().filter(|record| record.n > since).collect();
            Ok(json!({"count": sandbox.call_count(), "calls": records}))
        }
        (&Method::GET, "faults") => Ok(json!(sandbox.conditions())),
        (&Method::GET, "clock") => Ok(json!({"seconds": sandbox.clock().seconds()})),
        (&Method::POST, "reset") => sandbox.reset().map(|()| json!({})).map_err(io),
        (&Method::POST, "save") => {
            let folder: Folder = body(request)?;
            sandbox.save(Path::new(&folder.dir)).map(|()| json!({})).map_err(io)
        }
        (&Method::POST, "load") => {
            let folder: Folder = body(request)?;
            sandbox.load(Path::new(&folder.dir)).map(|()| json!({})).map_err(io)
        }
        (&Method::POST, "clock") => {
            let advance: Advance = body(request)?;
            sandbox.clock().advance(advance.advance_s);
            Ok(json!({"seconds": sandbox.clock().seconds()}))
        }
        (&Method::POST, "faults") => {
            let conditions: Conditions = body(request)?;
            sandbox.set_conditions(conditions);
            Ok(json!({}))
        }
        _ => Err((404, format!("no `{} {name}` here", request.method()))),
    }
}

fn body<T: serde::de::DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Failure> {
    serde_json::from_slice(request.body()).map_err(|error| (400, error.to_string()))
}
