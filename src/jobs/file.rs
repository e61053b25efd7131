//! Reads a job file: what all engines share, then what its engine takes; every problem at once.
//!
//! Expressions see the environment's state as it was applied. Reads the job file, and what it names as a prompt;
//! data files are only looked for here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::engine::{AnyEngine, Reading};
use super::engines;
use super::expressions::{Values, evaluate};
use super::fields::{Fields, Problems};
use super::price::Stated;
use super::units::Usd;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::kind::{Scope, Tags};
use crate::spec::{Files, suggest};
use crate::state::State;
use crate::yaml::{self, Node, NodeValue};

/// The version of job files; their `opora` field.
const LANGUAGE: i64 = 1;

/// Fields of every job file.
const FIELDS: [&str; 9] = ["opora", "job", "environment", "engine", "deadline", "budget", "price", "tags", "notify"];

/// The shortest and the longest time that a job may be given; the longest is SageMaker's.
const DEADLINE_MIN: Duration = Duration::from_secs(10);
const DEADLINE_MAX: Duration = Duration::from_secs(28 * 24 * 3600);

/// Where a job file belongs.
pub struct Surroundings<'a> {
    pub scope: &'a Scope,
    /// The environment's tags, which the job's own are laid over.
    pub tags: &'a Tags,
    pub state: &'a State,
}

/// A job that may be run.
#[derive(Clone)]
pub struct Job {
    pub name: String,
    pub(crate) engine: &'static dyn AnyEngine,
    pub scope: Scope,
    /// The engine's resolved fields.
    pub(crate) spec: Value,
    pub deadline: Duration,
    /// `None` for `budget: none`.
    pub budget: Option<Usd>,
    pub(crate) price: Stated,
    pub(crate) tags: Tags,
    /// Paths of data are relative to it.
    pub(crate) folder: PathBuf,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("engine", &self.engine.name()).finish_non_exhaustive()
    }
}

impl Job {
    /// Returns the name of its engine.
    pub fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    /// Tells whether it goes on when this process ends.
    pub fn is_detached(&self) -> bool {
        self.engine.is_detached()
    }
}

/// What loading a job file gives.
#[derive(Debug)]
pub struct LoadedJob {
    /// There exactly when no diagnostic is an error.
    pub job: Option<Job>,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
}

/// Reads a job file.
pub fn load(path: &Path, files: &dyn Files, around: &Surroundings<'_>) -> LoadedJob {
    let mut sources = SourceMap::default();
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let diagnostic = Diagnostic::error("JOB001", "the job file can't be read")
                .detail(format!("{}: {error}", path.display()))
                .help("name a job file; docs/jobs.md shows one");
            return LoadedJob { job: None, diagnostics: vec![diagnostic], sources };
        }
    };
    let (_, root, diagnostics) = yaml::parse_bytes(&path.display().to_string(), &bytes, &mut sources);
    let problems = Problems::default();
    problems.extend(diagnostics);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let job = root.and_then(|root| {
        let root = evaluate(&root, &Values::new(around.scope, around.state), &sources, &problems);
        read(&root, files, folder, around, &problems)
    });
    let mut diagnostics = problems.into_vec();
    diagnostics.sort_by_key(|diagnostic| match diagnostic.labels.first().map(|label| &label.location) {
        Some(crate::diagnostic::Location::Span(span)) => Some((span.source, span.start)),
        _ => None,
    });
    let job = job.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    LoadedJob { job, diagnostics, sources }
}

fn read(
    root: &Node,
    files: &dyn Files,
    folder: PathBuf,
    around: &Surroundings<'_>,
    problems: &Problems,
) -> Option<Job> {
    let engine = read_engine(root, problems);
    let own = engine.map(AnyEngine::fields).unwrap_or_default();
    let known: Vec<&str> = match engine {
        Some(_) => FIELDS.iter().chain(own).copied().collect(),
        // Without an engine nobody can say which of the other fields are right.
        None => root.as_map().unwrap_or_default().iter().filter_map(|(key, _)| key.as_str()).collect(),
    };
    let fields = Fields::new(root, &root.span, "a job", &known, problems)?;
    if let Some(node) = fields.required("opora", "opora: 1")
        && node.value != NodeValue::Int(LANGUAGE)
    {
        fields.refuse(node, "this opora reads version 1 of job files", "write `opora: 1`");
    }
    let name = read_name(&fields);
    check_environment(&fields, around.scope);
    refuse_notify(&fields);
    let deadline = fields
        .required("deadline", "deadline: 8h")
        .and_then(|_| fields.duration("deadline", DEADLINE_MIN, DEADLINE_MAX));
    let budget = read_budget(&fields);
    let price = read_price(&fields);
    let mut tags = around.tags.clone();
    tags.extend(fields.scalars("tags"));
    let engine = engine?;
    let reading = Reading { state: around.state, files, folder: &folder, deadline: deadline.unwrap_or(DEADLINE_MAX) };
    let spec = engine.read(&fields, &reading);
    Some(Job {
        name: name?,
        engine,
        scope: around.scope.clone(),
        spec: spec?,
        deadline: deadline?,
        budget: budget?,
        price,
        tags,
        folder,
    })
}

fn read_engine(root: &Node, problems: &Problems) -> Option<&'static dyn AnyEngine> {
    let fields = Fields::new(root, &root.span, "a job", &root_names(root), problems)?;
    let node = fields.required("engine", "engine: bedrock.converse")?;
    let name = fields.text_of(node)?;
    let found = engines::get(name);
    if found.is_none() {
        let help = suggest::help(name, engines::names(), "see docs/jobs.md");
        fields.refuse(node, format!("`{name}` is not an engine"), &help);
    }
    found
}

fn root_names(root: &Node) -> Vec<&str> {
    root.as_map().unwrap_or_default().iter().filter_map(|(key, _)| key.as_str()).collect()
}

fn read_name(fields: &Fields<'_>) -> Option<String> {
    let node = fields.required("job", "job: finetune")?;
    let text = fields.text_of(node)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = text.len() <= 24
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.chars().all(fits);
    if !good {
        let help = "lower-case letters, digits and single `-`, a letter first, 24 characters at most";
        fields.refuse(node, format!("`{text}` can't name a job"), help);
        return None;
    }
    Some(text.to_owned())
}

fn check_environment(fields: &Fields<'_>, scope: &Scope) {
    let Some(node) = fields.required("environment", &format!("environment: {}", scope.environment)) else { return };
    if let Some(text) = fields.text_of(node)
        && text != scope.environment
    {
        let label = format!("the spec's environment is `{}`", scope.environment);
        fields.refuse(node, label, "name the spec of this environment with `--file`");
    }
}

fn refuse_notify(fields: &Fields<'_>) {
    if let Some(node) = fields.node("notify")
        && node.as_seq().is_none_or(|items| !items.is_empty())
    {
        let diagnostic = Diagnostic::error("JOB008", "not available yet")
            .at(node.span.clone(), "opora sends no notifications of jobs yet");
        fields
            .problems()
            .push(diagnostic.help("remove `notify`; an EventBridge rule on the job's state does it meanwhile"));
    }
}

/// Returns `Some(None)` for `budget: none`.
fn read_budget(fields: &Fields<'_>) -> Option<Option<Usd>> {
    let node = fields.required("budget", "budget: 400 USD")?;
    if node.as_str() == Some("none") {
        return Some(None);
    }
    fields.money("budget").map(Some)
}

fn read_price(fields: &Fields<'_>) -> Stated {
    let known = ["instance_hour", "input_tokens", "output_tokens"];
    let Some(price) = fields.map("price", "price", &known) else { return Stated::default() };
    Stated {
        instance_hour: price.money("instance_hour"),
        input_tokens: price.money("input_tokens"),
        output_tokens: price.money("output_tokens"),
    }
}
