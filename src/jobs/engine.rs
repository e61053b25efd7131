//! What an engine is: typed for its author, erased for the runner.
//!
//! An engine reads its own fields of a job file, says what the job can cost at most, and talks to its service.
//! It writes no ledger and decides nothing about attempts: the runner does, the same way for all.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::error::JobError;
use super::fields::Fields;
use super::price::{Stated, WorstCase};
use super::record::{Record, Remote, Stage, Uploaded, Usage};
use super::run::Sending;
use crate::aws::{Aws, AwsError};
use crate::kind::{Scope, Tags};
use crate::spec::Files;
use crate::state::State;

/// What an engine may look at while it reads its fields.
pub(crate) struct Reading<'a> {
    pub state: &'a State,
    pub files: &'a dyn Files,
    /// The job file's folder.
    pub folder: &'a Path,
    pub deadline: Duration,
}

/// Files or a folder that a job needs on S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    pub channel: String,
    /// Relative to the job file's folder.
    pub path: String,
    pub bucket: String,
    pub prefix: String,
    pub kms_key: Option<String>,
}

/// What is known of a job besides its engine's own fields.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a, S> {
    pub spec: &'a S,
    pub record: &'a Record,
    pub scope: &'a Scope,
    pub data: &'a [Uploaded],
    pub tags: &'a Tags,
    pub deadline: Duration,
}

/// What an engine saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub stage: Stage,
    pub remote: Remote,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub time: Option<Timestamp>,
    pub stream: String,
    pub text: String,
}

/// Where reading a log goes on, by stream.
pub type LogCursor = BTreeMap<String, String>;

/// A page of a job's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    pub cursor: LogCursor,
    /// Whether there is certainly more right now.
    pub more: bool,
    /// Why there are no lines, where there never will be.
    pub note: Option<&'static str>,
}

/// An engine, as its author writes it.
#[async_trait]
pub(crate) trait Engine: Send + Sync + 'static {
    const NAME: &'static str;
    /// Whether the job goes on when this process ends.
    const DETACHED: bool;
    /// The engine's own fields of a job file.
    const FIELDS: &'static [&'static str];
    /// The resolved fields: everything that is sent, but for data files.
    type Spec: Serialize + DeserializeOwned + Send + Sync;

    /// Reads the fields; what is wrong is reported there.
    fn read(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Self::Spec>;

    /// Returns what the record says of the spec: no contents of prompts or files.
    fn summary(spec: &Self::Spec) -> Value;

    /// Returns what the job can cost at most.
    fn worst_case(spec: &Self::Spec, deadline: Duration, region: &str, stated: &Stated) -> WorstCase;

    /// Prices what was used.
    fn cost(spec: &Value, usage: Usage, region: &str, stated: &Stated) -> WorstCase;

    /// Returns the data that has to lie on S3 before it starts.
    fn data(spec: &Self::Spec) -> Vec<DataSet>;

    /// Returns the name that the service knows the job by.
    fn name(environment: &str, job: &str, digest: &str, attempt: u32) -> String;

    /// Starts the job, or adopts the one of this name that is this job.
    async fn submit(sending: &Sending<'_>, order: Order<'_, Self::Spec>) -> Result<Seen, JobError>;

    /// Looks for a job whose start was intended; `None` where it certainly was not started.
    async fn find(sending: &Sending<'_>, record: &Record) -> Result<Option<Seen>, JobError>;

    /// Asks where it stands.
    async fn poll(aws: &Aws, record: &Record) -> Result<Seen, AwsError>;

    /// Asks to stop it.
    async fn cancel(aws: &Aws, record: &Record) -> Result<(), JobError>;

    /// Reads on in its log.
    async fn logs(aws: &Aws, record: &Record, cursor: &LogCursor) -> Result<LogPage, AwsError>;
}

/// An engine as the runner sees it.
#[async_trait]
pub(crate) trait AnyEngine: Send + Sync {
    fn name(&self) -> &'static str;
    fn is_detached(&self) -> bool;
    fn fields(&self) -> &'static [&'static str];
    fn read(&self, fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Value>;
    fn summary(&self, spec: &Value) -> Value;
    fn worst_case(&self, spec: &Value, deadline: Duration, region: &str, stated: &Stated) -> WorstCase;
    fn cost(&self, spec: &Value, usage: Usage, region: &str, stated: &Stated) -> WorstCase;
    fn data(&self, spec: &Value) -> Vec<DataSet>;
    fn job_name(&self, environment: &str, job: &str, digest: &str, attempt: u32) -> String;
    async fn submit(&self, sending: &Sending<'_>, order: Order<'_, Value>) -> Result<Seen, JobError>;
    async fn find(&self, sending: &Sending<'_>, record: &Record) -> Result<Option<Seen>, JobError>;
    async fn poll(&self, aws: &Aws, record: &Record) -> Result<Seen, AwsError>;
    async fn cancel(&self, aws: &Aws, record: &Record) -> Result<(), JobError>;
    async fn logs(&self, aws: &Aws, record: &Record, cursor: &LogCursor) -> Result<LogPage, AwsError>;
}

/// The runner's view of an engine.
pub(crate) struct Erased<E>(PhantomData<fn() -> E>);

impl<E> Erased<E> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

fn decode<E: Engine>(spec: &Value) -> E::Spec {
    E::Spec::deserialize(spec).expect("internal error: a spec reads back as it was written")
}

#[async_trait]
impl<E: Engine> AnyEngine for Erased<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn is_detached(&self) -> bool {
        E::DETACHED
    }

    fn fields(&self) -> &'static [&'static str] {
        E::FIELDS
    }

    fn read(&self, fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Value> {
        let spec = E::read(fields, reading)?;
        Some(serde_json::to_value(spec).expect("internal error: a spec has text keys only"))
    }

    fn summary(&self, spec: &Value) -> Value {
        E::summary(&decode::<E>(spec))
    }

    fn worst_case(&self, spec: &Value, deadline: Duration, region: &str, stated: &Stated) -> WorstCase {
        E::worst_case(&decode::<E>(spec), deadline, region, stated)
    }

    fn cost(&self, spec: &Value, usage: Usage, region: &str, stated: &Stated) -> WorstCase {
        E::cost(spec, usage, region, stated)
    }

    fn data(&self, spec: &Value) -> Vec<DataSet> {
        E::data(&decode::<E>(spec))
    }

    fn job_name(&self, environment: &str, job: &str, digest: &str, attempt: u32) -> String {
        E::name(environment, job, digest, attempt)
    }

    async fn submit(&self, sending: &Sending<'_>, order: Order<'_, Value>) -> Result<Seen, JobError> {
        let spec = decode::<E>(order.spec);
        let Order { spec: _, record, scope, data, tags, deadline } = order;
        E::submit(sending, Order { spec: &spec, record, scope, data, tags, deadline }).await
    }

    async fn find(&self, sending: &Sending<'_>, record: &Record) -> Result<Option<Seen>, JobError> {
        E::find(sending, record).await
    }

    async fn poll(&self, aws: &Aws, record: &Record) -> Result<Seen, AwsError> {
        E::poll(aws, record).await
    }

    async fn cancel(&self, aws: &Aws, record: &Record) -> Result<(), JobError> {
        E::cancel(aws, record).await
    }

    async fn logs(&self, aws: &Aws, record: &Record, cursor: &LogCursor) -> Result<LogPage, AwsError> {
        E::logs(aws, record, cursor).await
    }
}
