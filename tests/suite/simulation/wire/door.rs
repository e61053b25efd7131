//! The door between processes of the real binary and a sandbox in this one: it counts calls, and kills at one.
//!
//! Each process has a port of its own. From its fatal moment on nothing that it sends is taken any more, whatever its
//! other tasks still do until the signal arrives; so the moment is exact, though the processes are as they are.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opora::sandbox::Sandbox;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::cli::terminal::{Ended, Terminal};
use crate::simulation::mortal::Moment;

/// The bucket of the state, so that each write of it passes the door as well.
pub(super) const STATES: &str = "acme-states";

/// A call of a process by its name and how many of this name came before, and the moment around it.
#[derive(Debug, Clone)]
pub(super) struct Fatal {
    pub name: String,
    /// From 1.
    pub occurrence: u64,
    pub moment: Moment,
}

/// What passed for one process.
#[derive(Default)]
struct Traffic {
    calls: BTreeMap<String, u64>,
    /// It has had its last reply, and dies with the next write of its state.
    doomed: bool,
    dead: bool,
}

struct Door {
    sandbox: Sandbox,
    fatal: Option<Fatal>,
    traffic: Mutex<Traffic>,
    kill: Notify,
}

/// How a process ended.
pub(super) struct Passed {
    pub killed: bool,
    pub ended: Ended,
    /// How many calls of each name there were.
    pub calls: BTreeMap<String, u64>,
}

impl Door {
    /// Answers a request; `None` for one that a dead process sent.
    fn answer(&self, request: http::Request<Bytes>) -> Option<http::Response<Bytes>> {
        let name = name(&request);
        let mut traffic = self.traffic.lock().unwrap();
        if traffic.dead {
            return None;
        }
        if traffic.doomed && writes_state(&name) {
            return self.die(&mut traffic);
        }
        let count = traffic.calls.entry(name.clone()).or_default();
        *count += 1;
        let fatal = self.fatal.as_ref().filter(|fatal| fatal.name == name && fatal.occurrence == *count);
        match fatal.map(|fatal| fatal.moment) {
            None => Some(self.sandbox.handle(request)),
            Some(Moment::Unsent) => self.die(&mut traffic),
            Some(Moment::Unanswered) => {
                self.sandbox.handle(request);
                self.die(&mut traffic)
            }
            Some(Moment::Unjournaled) => {
                traffic.doomed = true;
                Some(self.sandbox.handle(request))
            }
        }
    }

    fn die(&self, traffic: &mut Traffic) -> Option<http::Response<Bytes>> {
        traffic.dead = true;
        self.kill.notify_one();
        None
    }
}

async fn pass(door: Arc<Door>, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    match door.answer(http::Request::from_parts(parts, body)) {
        Some(response) => Ok(response.map(Full::new)),
        // Never answered: the connection ends with the process.
        None => std::future::pending().await,
    }
}

async fn serve(door: Arc<Door>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let door = Arc::clone(&door);
        let service = service_fn(move |request| pass(Arc::clone(&door), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Runs a process at the terminal, and kills it at a moment.
pub(super) async fn run(sandbox: &Sandbox, terminal: &Terminal, words: &[&str], fatal: Option<Fatal>) -> Passed {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let door = Door { sandbox: sandbox.clone(), fatal, traffic: Mutex::default(), kill: Notify::new() };
    let door = Arc::new(door);
    let serving = tokio::spawn(serve(Arc::clone(&door), listener));
    let output = |name: &str| std::fs::File::create(terminal.path(name)).unwrap();
    let mut command = terminal.command(words);
    command.env("AWS_ENDPOINT_URL", url).stdout(Stdio::from(output("out"))).stderr(Stdio::from(output("err")));
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let killed = tokio::select! {
        biased;
        () = door.kill.notified() => {
            child.kill().await.unwrap();
            true
        }
        _ = child.wait() => false,
    };
    let code = child.wait().await.unwrap().code();
    serving.abort();
    let read = |name: &str| std::fs::read(terminal.path(name)).unwrap();
    let calls = std::mem::take(&mut door.traffic.lock().unwrap().calls);
    Passed { killed, ended: Ended::new(code, &read("out"), &read("err")), calls }
}

/// Tells whether a name is that of a write of the state.
pub(super) fn writes_state(name: &str) -> bool {
    name.starts_with("state:PUT")
}

/// Tells whether a call changes nothing: all moments around it are one.
pub(super) fn only_reads(name: &str) -> bool {
    let verbs = ["Describe", "Get", "List", "Head", "Lookup", "GET", "HEAD", "state:GET", "state:LIST"];
    verbs.iter().any(|verb| name.starts_with(verb))
}

/// Names a request: by its operation where it says it, else by method, path and the key of its query.
fn name(request: &http::Request<Bytes>) -> String {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if let Some(target) = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()) {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let form = url::form_urlencoded::parse(request.body()).find(|(key, _)| key == "Action");
    if let Some((_, action)) = form.filter(|_| path == "/") {
        return action.into_owned();
    }
    if let Some((_, operation)) = path.rsplit_once("/operation/") {
        return operation.to_owned();
    }
    let key = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).find(|key| *key != "x-id");
    if let Some(object) = path.strip_prefix(&format!("/{STATES}/")) {
        let folder = object.rsplit('/').nth(1).unwrap_or_default();
        return if query.contains("list-type") {
            "state:LIST".to_owned()
        } else {
            format!("state:{}:{folder}", request.method())
        };
    }
    if path.trim_end_matches('/') == format!("/{STATES}") {
        return "state:LIST".to_owned();
    }
    format!("{}:{path}?{}", request.method(), key.unwrap_or_default())
}
