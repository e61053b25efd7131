//! `opora job`: runs jobs, and shows, stops and lists them. Exit codes are in docs/jobs.md.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::{Output, Style};
use crate::aws::Aws;
use crate::diagnostic::Diagnostic;
use crate::jobs::{
    self, Event, Job, JobError, Jobs, Listener, LogCursor, PART_BYTES, Record, Run, Stage, Surroundings, duration_text,
};
use crate::spec::{DiskFiles, Locator};
use crate::state::{RunId, State, StateLog};

/// Where answers of models are kept, beside the spec.
const FOLDER: &str = ".opora/jobs";

/// How long `logs --follow` waits before it looks again.
const FOLLOW_SECONDS: u64 = 5;

/// Arguments of `opora job`.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    command: JobCommand,
}

impl JobArgs {
    /// Makes the arguments of `opora job run FILE`.
    pub(crate) fn run_file(file: PathBuf) -> Self {
        Self { command: JobCommand::Run { file, again: false } }
    }
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Runs a job to its end, or goes on with the one that this file started.
    Run {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Makes another attempt where the job has ended, or its end is not known; costs once more.
        #[arg(long)]
        again: bool,
    },
    /// Lists the environment's jobs.
    List,
    /// Asks where a job stands.
    Status {
        /// An id, the start of one, or a job's name.
        id: String,
    },
    /// Prints what a job logged.
    Logs {
        id: String,
        /// Goes on until the job has ended.
        #[arg(long, short = 'F')]
        follow: bool,
    },
    /// Stops a job, and waits until it has ended.
    Cancel { id: String },
    /// Prints a model's answer, or where a trained model lies.
    Result { id: String },
}

impl From<JobError> for Refused {
    fn from(error: JobError) -> Self {
        error.diagnostic().into()
    }
}

pub(crate) async fn run(args: &JobArgs, context: &Context) -> Exit {
    let result = match context.load() {
        Ok(spec) => run_command(&args.command, context, &spec).await,
        Err(refused) => Err(refused),
    };
    match result {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

async fn run_command(command: &JobCommand, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    match command {
        JobCommand::List => list(context, spec).await,
        JobCommand::Result { id } => result(context, spec, id).await,
        JobCommand::Run { file, again } => run_job(context, spec, file, *again).await,
        JobCommand::Status { id } => {
            let bench = Bench::open(context, spec).await?;
            let record = bench.jobs(&|_| {}).await?.status(id).await?;
            show(context, &record);
            Ok(Exit::Done)
        }
        JobCommand::Cancel { id } => {
            let bench = Bench::open(context, spec).await?;
            let shown = Shown::new(&context.out);
            let listener = |event: Event<'_>| shown.show(&event);
            let record = bench.jobs(&listener).await?.cancel(id).await?;
            context.out.idle();
            show(context, &record);
            Ok(Exit::Done)
        }
        JobCommand::Logs { id, follow } => logs(context, spec, id, *follow).await,
    }
}

/// The account and the log that jobs work with.
struct Bench {
    aws: Aws,
    log: StateLog,
    folder: PathBuf,
}

impl Bench {
    async fn open(context: &Context, spec: &Spec) -> Result<Self, Refused> {
        let connected = context.connect(&spec.environment.scope).await?;
        let log = context.open_state(&spec.environment, Some(&connected.aws))?;
        Ok(Self { aws: connected.aws, log, folder: context.beside_spec(FOLDER) })
    }

    async fn jobs<'l>(&self, listener: &'l Listener<'l>) -> Result<Jobs<'l>, Refused> {
        Ok(Jobs {
            aws: self.aws.clone(),
            writer: self.log.join(RunId(uuid::Uuid::new_v4())).await?,
            folder: self.folder.clone(),
            part_bytes: PART_BYTES,
            listener,
        })
    }
}

/// Loads a job file against the state; shows warnings, and refuses on errors.
pub(crate) fn load_job(context: &Context, spec: &Spec, state: &State, file: &std::path::Path) -> Result<Job, Refused> {
    let environment = &spec.environment;
    let around = Surroundings { scope: &environment.scope, tags: &environment.tags, state };
    let loaded = jobs::load(file, &DiskFiles, &around);
    let (errors, warnings): (Vec<_>, Vec<_>) = loaded.diagnostics.into_iter().partition(Diagnostic::is_error);
    match loaded.job {
        Some(job) => {
            if !context.out.json {
                context.out.diagnostics(&warnings, &loaded.sources, &Locator::default());
            }
            Ok(job)
        }
        None => {
            context.out.diagnostics(&errors, &loaded.sources, &Locator::default());
            Err(Refused(Vec::new()))
        }
    }
}

async fn run_job(context: &Context, spec: &Spec, file: &std::path::Path, again: bool) -> Result<Exit, Refused> {
    let bench = Bench::open(context, spec).await?;
    let state = bench.log.load().await?;
    let job = load_job(context, spec, &state, file)?;
    let shown = Shown::new(&context.out);
    let listener = |event: Event<'_>| shown.show(&event);
    let jobs = bench.jobs(&listener).await?;
    let run = tokio::select! {
        // First, so that the signal is listened for before anything is said or sent.
        biased;
        _ = tokio::signal::ctrl_c() => {
            context.out.idle();
            context.out.complain(left(&job, file));
            return Ok(Exit::Interrupted);
        }
        done = jobs.run(&job, again) => done,
    };
    context.out.idle();
    shown.end_text();
    let Run { record, was_done } = run?;
    if context.out.json {
        context.out.document(&json!({ "job": record, "was_done": was_done }));
    } else if was_done {
        context.out.line(format!("{} is done already; `--again` runs it once more", record.id));
        print_result(context, &record)?;
    } else {
        print_end(context, &record);
    }
    Ok(if record.stage == Stage::Succeeded { Exit::Done } else { Exit::Failed })
}

fn left(job: &Job, file: &std::path::Path) -> String {
    if job.is_detached() {
        format!(
            "left; job {} goes on. `opora job run {}` follows it again; `opora job list` has its id, for `opora job status` \
             and `opora job cancel`",
            job.name,
            file.display(),
        )
    } else {
        let (name, file) = (&job.name, file.display());
        format!("left; the answer of {name} is cut off and may be billed. `opora job run {file} --again` sends it anew")
    }
}

async fn list(context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let state = context.load_state(&super::state::open(context, spec).await?).await?;
    let records = jobs::list(&state).into_iter().collect::<Result<Vec<Record>, JobError>>()?;
    if context.out.json {
        context.out.document(&records);
        return Ok(Exit::Done);
    }
    let width = records.iter().map(|record| record.id.len()).max().unwrap_or(0);
    for record in &records {
        let cost = record.cost.map(|cost| format!("  {cost}")).unwrap_or_default();
        let stage = stage_text(&context.out, record.stage);
        context.out.line(format!("{:width$}  {stage}  {:<18}  {:.0}{cost}", record.id, record.engine, record.planned));
    }
    if records.is_empty() {
        context.out.note("no jobs yet; `opora job run FILE` runs one");
    }
    Ok(Exit::Done)
}

async fn logs(context: &Context, spec: &Spec, id: &str, follow: bool) -> Result<Exit, Refused> {
    let bench = Bench::open(context, spec).await?;
    let jobs = bench.jobs(&|_| {}).await?;
    let mut cursor = LogCursor::new();
    let mut quiet = true;
    loop {
        // Before the page: what it logged last is read once more after it has ended.
        let record = jobs.status(id).await?;
        loop {
            let page = jobs.logs(&record, &cursor).await?;
            quiet &= page.lines.is_empty();
            for line in &page.lines {
                if context.out.json {
                    context.out.line(json!(line).to_string());
                } else {
                    let time = line.time.map(|time| format!("{time:.0}  ")).unwrap_or_default();
                    context.out.line(format!("{time}{}  {}", context.out.style(Style::Dim, &line.stream), line.text));
                }
            }
            if let Some(note) = page.note {
                context.out.note(note);
                return Ok(Exit::Done);
            }
            cursor = page.cursor;
            if !page.more {
                break;
            }
        }
        if !follow || record.stage.is_ended() {
            if quiet {
                context.out.note(format!("{} has no log, or it has none any more", record.id));
            }
            return Ok(Exit::Done);
        }
        jobs.aws.sleep(std::time::Duration::from_secs(FOLLOW_SECONDS)).await;
    }
}

async fn result(context: &Context, spec: &Spec, id: &str) -> Result<Exit, Refused> {
    let state = context.load_state(&super::state::open(context, spec).await?).await?;
    let record = jobs::find(&state, id)?;
    if record.stage != Stage::Succeeded {
        let reason = format!("it is {}", record.stage.word());
        return Err(JobError::NoResult { id: record.id, reason }.into());
    }
    print_result(context, &record)?;
    Ok(Exit::Done)
}

/// Prints a model's answer from its file, and other outputs by their places.
fn print_result(context: &Context, record: &Record) -> Result<(), Refused> {
    let path = record.remote.outputs.get("text").map(|name| context.beside_spec(FOLDER).join(name));
    let text = path.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|error| JobError::NoResult {
            id: record.id.clone(),
            reason: format!("{}: {error}", path.display()),
        })
    });
    let text = text.transpose()?;
    if context.out.json {
        let outputs = &record.remote.outputs;
        context
            .out
            .document(&json!({ "id": record.id, "outputs": outputs, "text": text, "usage": record.remote.usage }));
        return Ok(());
    }
    if let Some(text) = text {
        context.out.line(text.trim_end());
    }
    for (name, place) in record.remote.outputs.iter().filter(|(name, _)| *name != "text") {
        context.out.line(format!("{name}  {place}"));
    }
    Ok(())
}

fn show(context: &Context, record: &Record) {
    if context.out.json {
        context.out.document(record);
    } else {
        print_end(context, record);
    }
}

/// Prints where a job stands, with what is known of its end.
fn print_end(context: &Context, record: &Record) {
    let out = &context.out;
    out.line(format!("{}  {}", out.style(Style::Strong, &record.id), stage_text(out, record.stage).trim_end()));
    let row = |name: &str, value: String| out.line(format!("  {name:<10} {value}"));
    if let Some(status) = record.remote.status.as_ref().filter(|_| !record.stage.is_ended()) {
        row("status", status.clone());
    }
    if let Some(reason) = &record.remote.reason {
        row("reason", reason.clone());
    }
    if let Some(refusal) = &record.refusal {
        row("refused", format!("{} answered {}: {}", refusal.action, refusal.code, refusal.message));
    }
    if let (Some(start), Some(end)) = (record.submitted, record.ended) {
        row("took", duration_text(end.duration_since(start).try_into().unwrap_or_default()));
    }
    let usage = &record.remote.usage;
    if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
        row("tokens", format!("{input} in, {output} out"));
    }
    if let Some(seconds) = usage.billable_seconds {
        row("billable", duration_text(std::time::Duration::from_secs(seconds)));
    }
    let budget = record.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
    match (record.cost, record.worst_case) {
        (Some(cost), _) => row("cost", format!("{cost}{budget}")),
        (None, Some(worst)) if !record.stage.is_ended() => row("cost", format!("{worst}{budget} at most")),
        _ => {}
    }
    for (name, place) in &record.remote.outputs {
        let shown = match name.as_str() {
            "text" => context.beside_spec(FOLDER).join(place).display().to_string(),
            _ => place.clone(),
        };
        row(name, shown);
    }
}

fn stage_text(out: &Output, stage: Stage) -> String {
    let style = match stage {
        Stage::Succeeded => Style::Good,
        Stage::Failed | Stage::Lost => Style::Bad,
        Stage::Cancelled => Style::Warn,
        _ => Style::Dim,
    };
    out.style(style, &format!("{:<10}", stage.word()))
}

/// Shows a job's events as they come.
struct Shown<'a> {
    out: &'a Output,
    /// Whether a text stands on the line that has no end yet.
    amid_text: AtomicBool,
    last: std::sync::Mutex<String>,
}

impl<'a> Shown<'a> {
    fn new(out: &'a Output) -> Self {
        Self { out, amid_text: AtomicBool::new(false), last: std::sync::Mutex::default() }
    }

    /// Remarks on something, once.
    fn remark(&self, text: String) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != text {
            self.end_text();
            self.out.note(format!("  {text}"));
            *last = text;
        }
    }

    fn show(&self, event: &Event<'_>) {
        match event {
            Event::Found(record) => self.remark(format!("{:<10} {} is known", record.stage.word(), record.id)),
            Event::Changed(record) => self.changed(record),
            Event::Uploading { path, done, all } => {
                self.out.progress(*done, *all, &format!("bytes of {path}"));
                if done == all {
                    self.out.idle();
                    self.remark(format!("{:<10} {path}, {all} bytes", "uploaded"));
                }
            }
            Event::Skipped { path } => self.remark(format!("{:<10} {path} is on S3 already", "uploaded")),
            Event::Text(text) => {
                if !self.out.json {
                    self.out.idle();
                    self.out.raw(text);
                    self.amid_text.store(!text.ends_with('\n'), Ordering::Relaxed);
                }
            }
            Event::Unreachable(error) => self.remark(format!("not reached: {}; asking again", error.reason())),
        }
    }

    fn changed(&self, record: &Record) {
        let status = record.remote.status.clone().unwrap_or_else(|| record.id.clone());
        match (record.stage.is_ended(), phase(&status)) {
            (true, _) => self.out.idle(),
            (false, Some(phase)) => self.out.progress(phase, PHASES.len() as u64, &status),
            (false, None) => self.out.busy(&format!("{} {}", record.stage.word(), record.id)),
        }
        self.remark(format!("{:<10} {status}", record.stage.word()));
    }

    fn end_text(&self) {
        if self.amid_text.swap(false, Ordering::Relaxed) {
            self.out.line("");
        }
    }
}

/// What a training job goes through, in order.
const PHASES: [&str; 5] = ["Starting", "Downloading", "Training", "Uploading", "Completed"];

fn phase(status: &str) -> Option<u64> {
    let word = status.split(':').next().unwrap_or(status);
    PHASES.iter().position(|phase| *phase == word).map(|at| at as u64 + 1)
}
