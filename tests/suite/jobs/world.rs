//! An account with a bucket, a key and a role, its state, and a hook that kills a run at a chosen call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::SignedDuration;
use opora::aws::{Aws, Pacing, Seam, connect};
use opora::diagnostic::Diagnostic;
use opora::graph::PhysicalId;
use opora::jobs::{self, Event, Job, JobError, Jobs, PART_BYTES, Record, Run, Surroundings};
use opora::kind::Scope;
use opora::sandbox::Sandbox;
use opora::spec::DiskFiles;
use opora::state::{Creation, Entry, RunId, State, StateError, StateLog, Store, memory};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub const ACCOUNT: &str = "111122223333";
pub const BUCKET: &str = "acme-research-datasets";
/// Bytes of an answer's stream that arrive at a time.
const PIECE: usize = 200;

/// Counts the moments before and after every AWS call, every write of the log and every piece of a stream, and
/// stops the world at one of them.
#[derive(Default)]
pub struct Gate {
    kill_at: Option<usize>,
    passed: AtomicUsize,
    killed: Notify,
}

impl Gate {
    pub fn open() -> Arc<Self> {
        Arc::default()
    }

    pub fn killing_at(at: usize) -> Arc<Self> {
        Arc::new(Self { kill_at: Some(at), ..Self::default() })
    }

    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        if Some(self.passed.fetch_add(1, Ordering::SeqCst)) == self.kill_at {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// What happens to the bodies of streamed answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streams {
    #[default]
    Whole,
    /// They end after so many bytes, as if that were all.
    EndAfter(usize),
    /// Nothing more comes after so many bytes.
    SilentAfter(usize),
}

struct GatedHttp {
    inner: SharedHttpClient,
    gate: Arc<Gate>,
    streams: Streams,
}

impl std::fmt::Debug for GatedHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatedHttp")
    }
}

impl HttpClient for GatedHttp {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(GatedConnector { inner, gate: Arc::clone(&self.gate), streams: self.streams })
    }
}

struct GatedConnector {
    inner: SharedHttpConnector,
    gate: Arc<Gate>,
    streams: Streams,
}

impl std::fmt::Debug for GatedConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatedConnector")
    }
}

impl HttpConnector for GatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, gate, streams) = (self.inner.clone(), Arc::clone(&self.gate), self.streams);
        HttpConnectorFuture::new(async move {
            gate.pass().await;
            let response = inner.call(request).await?;
            gate.pass().await;
            let kind = response.headers().get("content-type").unwrap_or_default();
            if kind.contains("eventstream") { Ok(streamed(response, gate, streams).await) } else { Ok(response) }
        })
    }
}

/// Lets a body arrive piece by piece.
async fn streamed(mut response: HttpResponse, gate: Arc<Gate>, streams: Streams) -> HttpResponse {
    let whole = response.take_body().collect().await.unwrap().to_bytes();
    let (whole, silent) = match streams {
        Streams::Whole => (whole, false),
        Streams::EndAfter(bytes) => (whole.slice(..bytes.min(whole.len())), false),
        Streams::SilentAfter(bytes) => (whole.slice(..bytes.min(whole.len())), true),
    };
    let pieces = futures::stream::unfold(whole, move |mut rest: Bytes| {
        let gate = Arc::clone(&gate);
        async move {
            if rest.is_empty() {
                if silent {
                    std::future::pending::<()>().await;
                }
                return None;
            }
            gate.pass().await;
            let piece = rest.split_to(PIECE.min(rest.len()));
            Some((Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(piece)), rest))
        }
    });
    *response.body_mut() = SdkBody::from_body_1_x(StreamBody::new(pieces.fuse()));
    response
}

struct GatedStore {
    inner: Arc<dyn Store>,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for GatedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatedStore")
    }
}

#[async_trait]
impl Store for GatedStore {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Creation, StateError> {
        self.gate.pass().await;
        let created = self.inner.create(path, bytes).await;
        self.gate.pass().await;
        created
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StateError> {
        self.inner.get(path).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StateError> {
        self.inner.list(folder, after).await
    }

    async fn delete(&self, path: &str) -> Result<(), StateError> {
        self.inner.delete(path).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

/// The world around a job.
pub struct World {
    pub sandbox: Sandbox,
    store: Arc<dyn Store>,
    pub dir: tempfile::TempDir,
    pub part_bytes: u64,
    pub streams: Streams,
    /// What listeners were told, in short.
    pub events: Arc<Mutex<Vec<String>>>,
    runs: AtomicUsize,
}

impl World {
    pub async fn new() -> Self {
        let world = Self {
            sandbox: Sandbox::in_memory(7),
            store: memory(),
            dir: tempfile::tempdir().unwrap(),
            part_bytes: PART_BYTES,
            streams: Streams::Whole,
            events: Arc::default(),
            runs: AtomicUsize::new(0),
        };
        let aws = world.aws(&Gate::open());
        let key = aws.kms().create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
        aws.s3().create_bucket().bucket(BUCKET).send().await.unwrap();
        world.record("kms_key", "data", "key", json!({}), json!({ "arn": key })).await;
        let encryption = json!({ "name": BUCKET, "encryption": { "kms_key": key } });
        world
            .record("s3_bucket", "datasets", BUCKET, encryption, json!({ "arn": format!("arn:aws:s3:::{BUCKET}") }))
            .await;
        let role = format!("arn:aws:iam::{ACCOUNT}:role/trainer");
        let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "Service": "sagemaker.amazonaws.com" } }] });
        let create = aws.iam().create_role().role_name("trainer").assume_role_policy_document(trust.to_string());
        create.send().await.unwrap();
        world.record("iam_role", "trainer", "trainer", json!({ "name": "trainer" }), json!({ "arn": role })).await;
        world
    }

    pub fn scope() -> Scope {
        Scope { environment: "research".into(), account: ACCOUNT.into(), region: "us-east-1".into() }
    }

    async fn record(&self, kind: &str, name: &str, id: &str, arguments: Value, attributes: Value) {
        let log = self.log(&Gate::open());
        let run = self.run_id();
        let writer = log.acquire(run, "test", SignedDuration::from_secs(60)).await.unwrap();
        let entry = Entry::Recorded {
            run,
            step: 0,
            address: format!("{kind}.{name}").parse().unwrap(),
            kind: kind.into(),
            id: PhysicalId(id.into()),
            generation: 1,
            arguments,
            attributes,
            references: Vec::new(),
            lifecycle: json!({}),
        };
        writer.append(vec![entry]).await.unwrap();
        writer.release().await.unwrap();
    }

    fn run_id(&self) -> RunId {
        RunId(uuid::Uuid::from_u128(1 + self.runs.fetch_add(1, Ordering::SeqCst) as u128))
    }

    pub fn aws(&self, gate: &Arc<Gate>) -> Aws {
        let clock = self.sandbox.clock();
        let http = GatedHttp { inner: self.sandbox.http_client(), gate: Arc::clone(gate), streams: self.streams };
        let seam = Seam {
            http: SharedHttpClient::new(http),
            time: SharedTimeSource::new(clock.clone()),
            background: clock.background(),
            sleep: SharedAsyncSleep::new(clock),
        };
        connect::connect_with(seam, Credentials::from_keys(ACCOUNT, "test", None), "us-east-1", Pacing::new(1.0))
    }

    fn log(&self, gate: &Arc<Gate>) -> StateLog {
        let clock = self.sandbox.clock();
        let now = move || {
            let time = aws_smithy_async::time::TimeSource::now(&clock);
            jiff::Timestamp::try_from(time).unwrap()
        };
        let store = Arc::new(GatedStore { inner: Arc::clone(&self.store), gate: Arc::clone(gate) });
        StateLog::on(store, Arc::new(now))
    }

    pub async fn state(&self) -> State {
        self.log(&Gate::open()).load().await.unwrap()
    }

    pub async fn records(&self) -> Vec<Record> {
        jobs::list(&self.state().await).into_iter().map(Result::unwrap).collect()
    }

    /// Returns everything that the log's store holds, as text.
    pub async fn whole_log(&self) -> String {
        let mut out = String::new();
        for name in self.store.list("log", None).await.unwrap() {
            let bytes = self.store.get(&format!("log/{name}")).await.unwrap().unwrap();
            out.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        out
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn answers(&self) -> PathBuf {
        self.dir.path().join("answers")
    }

    /// Loads a job file by its text.
    pub async fn load(&self, text: &str) -> Result<Job, Vec<Diagnostic>> {
        let path = self.write("job.yaml", text);
        let (scope, state) = (Self::scope(), self.state().await);
        let tags = BTreeMap::from([("owner".to_owned(), "ml".to_owned())]);
        let around = Surroundings { scope: &scope, tags: &tags, state: &state };
        let loaded = jobs::load(&path, &DiskFiles, &around);
        loaded.job.ok_or(loaded.diagnostics)
    }

    /// Does something with jobs, until it is done or the gate kills it; `None` for killed.
    pub async fn with<T>(&self, gate: &Arc<Gate>, work: impl AsyncFnOnce(&Jobs<'_>) -> T) -> Option<T> {
        let events = Arc::clone(&self.events);
        let listener = move |event: Event<'_>| {
            let text = match event {
                Event::Found(record) => format!("found {}", record.stage.word()),
                Event::Changed(record) => record.stage.word().to_owned(),
                Event::Uploading { done, all, .. } => format!("upload {done}/{all}"),
                Event::Skipped { path } => format!("skipped {path}"),
                Event::Text(text) => format!("text {text}"),
                Event::Unreachable(error) => format!("unreachable {}", error.code),
            };
            events.lock().unwrap().push(text);
        };
        let work = async {
            let jobs = Jobs {
                aws: self.aws(gate),
                writer: self.log(gate).join(self.run_id()).await.unwrap(),
                folder: self.answers(),
                part_bytes: self.part_bytes,
                listener: &listener,
            };
            work(&jobs).await
        };
        tokio::select! {
            biased;
            () = gate.killed.notified() => None,
            done = work => Some(done),
        }
    }

    pub async fn run_gated(&self, gate: &Arc<Gate>, job: &Job, again: bool) -> Option<Result<Run, JobError>> {
        self.with(gate, async |jobs| jobs.run(job, again).await).await
    }

    pub async fn run(&self, job: &Job, again: bool) -> Result<Run, JobError> {
        self.run_gated(&Gate::open(), job, again).await.unwrap()
    }

    /// Counts the calls of an operation that AWS carried out.
    pub fn done(&self, operation: &str) -> usize {
        let calls = self.sandbox.calls();
        calls.iter().filter(|call| call.operation == operation && call.error.is_none()).count()
    }

    /// Returns the keys of uploaded data.
    pub async fn object_keys(&self) -> Vec<String> {
        let list =
            self.aws(&Gate::open()).s3().list_objects_v2().bucket(BUCKET).prefix("jobs/data/").send().await.unwrap();
        list.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    pub async fn training_jobs(&self) -> usize {
        self.aws(&Gate::open()).sagemaker().list_training_jobs().send().await.unwrap().training_job_summaries().len()
    }
}
