//! `opora apply`: makes the account what the spec, or a saved plan, says.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::context::{Connected, Context, Refused, Spec, host_name};
use super::exit::Exit;
use super::output::{Output, Style};
use super::plan::{Made, Select};
use super::{audit, commit, outcome, plan, plan_text};
use crate::apply::{self, Event, OnFailure, Report, Session, Watched, changes_since, check_state};
use crate::aws::kinds;
use crate::aws::resource::SecretValues;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::plan::{Plan, PlanFile, StepKind};
use crate::state::{Entry, Outcome, State, StateLog, Writer};

/// Arguments of `opora apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A plan that `opora plan --out` saved; without it a new one is made.
    #[arg(value_name = "FILE", conflicts_with_all = ["target", "exclude", "allow_data_loss"])]
    pub plan: Option<PathBuf>,
    /// Does not ask; a saved plan is applied without asking.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// What a failed step stops.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub on_failure: Failing,
    #[command(flatten)]
    pub select: Select,
}

/// What an apply does when a step fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failing {
    /// Begins nothing more; what is in flight is finished and recorded.
    Stop,
    /// Begins nothing that depends on it, and does the rest.
    #[default]
    Continue,
    /// Begins nothing more, and deletes again what this run made.
    Rollback,
}

/// How a plan is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub command: &'a str,
    pub on_failure: OnFailure,
    /// Whether it does not ask.
    pub yes: bool,
}

pub(crate) async fn run(args: &Apply, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    context.watch_interrupt();
    let result = match &args.plan {
        Some(path) => apply_file(path, args.running(), context, &spec).await,
        None => apply_new(args, context, &spec).await,
    };
    match result {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

impl Apply {
    fn running(&self) -> Running<'static> {
        let on_failure = match self.on_failure {
            Failing::Stop => OnFailure::Stop,
            Failing::Continue => OnFailure::Continue,
            Failing::Rollback => OnFailure::Rollback,
        };
        Running { command: "apply", on_failure, yes: self.yes }
    }
}

async fn apply_new(args: &Apply, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let connected = context.connect(&spec.environment.scope).await?;
    let made = plan::make(context, spec, connected, &args.select.selection(), false).await?;
    confirm_and_run(context, spec, made, args.running()).await
}

/// Shows a fresh plan, asks, and runs it.
pub(crate) async fn confirm_and_run(
    context: &Context,
    spec: &Spec,
    made: Made,
    running: Running<'_>,
) -> Result<Exit, Refused> {
    let out = &context.out;
    if made.plan.steps.is_empty() {
        print_nothing_to_do(context, spec, &made);
        return Ok(Exit::Done);
    }
    if !passes_gate(context, spec, &made.plan, made.connected.aws.now())? {
        return Ok(Exit::Controls);
    }
    let asked = !running.yes && !made.plan.is_empty();
    let observed_at = made.connected.aws.now();
    if asked && !ask(out, running.command)? {
        return Ok(Exit::Failed);
    }
    let file = PlanFile::new(made.plan, observed_at);
    execute(context, spec, &made.connected, &made.log, &file, asked, running).await
}

/// Runs a saved plan. It asks nobody: whoever saved the plan could read it, and it does that or nothing.
async fn apply_file(
    path: &std::path::Path,
    running: Running<'_>,
    context: &Context,
    spec: &Spec,
) -> Result<Exit, Refused> {
    let file = load_for(path, spec)?;
    let connected = context.connect(&spec.environment.scope).await?;
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    refuse_applied(&context.load_state(&log).await?, &file)?;
    if !passes_gate(context, spec, &file.plan, file.observed_at)? {
        return Ok(Exit::Controls);
    }
    execute(context, spec, &connected, &log, &file, true, running).await
}

/// Shows a plan with what it does to the controls, and tells whether the spec's gate lets it pass.
fn passes_gate(context: &Context, spec: &Spec, plan: &Plan, at: Timestamp) -> Result<bool, Refused> {
    let out = &context.out;
    let controls = audit::compliance_of_plan(context, spec, plan, at)?;
    if !out.json {
        plan_text::print(out, plan);
        if !plan.is_empty() {
            out.line("");
            controls.print(out);
        }
        out.line(format!("{}.", plan_text::summary(plan)));
    }
    if controls.blocks() {
        context.refuse(&controls.refusal(), Some(spec));
    }
    Ok(!controls.blocks())
}

/// Loads a saved plan, and refuses one that is not for this spec as it is.
pub(crate) fn load_for(path: &std::path::Path, spec: &Spec) -> Result<PlanFile, Refused> {
    let file = plan::load(path)?;
    if file.plan.scope != spec.environment.scope {
        let detail = format!(
            "the plan is for `{}` in {} {}",
            file.plan.scope.environment, file.plan.scope.account, file.plan.scope.region
        );
        return Err(Diagnostic::error("PLAN012", "the plan is for another environment, account or region")
            .detail(detail)
            .into());
    }
    if file.plan.spec_digest != spec.environment.digest {
        return Err(Diagnostic::error("PLAN013", "the spec has changed since this plan was made")
            .detail("the plan would apply what the spec said then")
            .help("make the plan again, or restore the spec and its inputs")
            .into());
    }
    Ok(file)
}

pub(crate) fn refuse_applied(state: &State, file: &PlanFile) -> Result<(), Refused> {
    let Some(applied) = state.applied.get(&file.digest) else { return Ok(()) };
    Err(Diagnostic::error("PLAN010", "this plan was applied already")
        .detail(format!("it was applied at {:.0} by run {}", applied.time, applied.run))
        .help("`opora plan` shows whether anything is left to do")
        .into())
}

/// Runs a plan under the lease.
async fn execute(
    context: &Context,
    spec: &Spec,
    connected: &Connected,
    log: &StateLog,
    file: &PlanFile,
    check: bool,
    running: Running<'_>,
) -> Result<Exit, Refused> {
    let writer = context.acquire(log, &connected.caller.arn).await?;
    let result = execute_leased(context, spec, connected, &writer, file, check, running).await;
    let released = writer.release().await;
    let exit = result?;
    released?;
    Ok(exit)
}

async fn execute_leased(
    context: &Context,
    spec: &Spec,
    connected: &Connected,
    writer: &Writer,
    file: &PlanFile,
    check: bool,
    running: Running<'_>,
) -> Result<Exit, Refused> {
    let out = &context.out;
    let state = writer.state().await?;
    refuse_applied(&state, file)?;
    let changed = check_state(&file.plan, &state);
    if !changed.is_empty() {
        return Err(changed.into());
    }
    let secrets = context.secrets();
    let secrets = Watched::new(&secrets, writer.secrets());
    let missing = engine::missing_secrets(&file.plan, &secrets);
    if !missing.is_empty() {
        return Err(missing.into());
    }
    let progress = Progress::new(out, file.plan.steps.len());
    let events = |event: Event| progress.show(&event);
    let session = session(context, spec, connected, writer, &secrets, &events);
    if check {
        let changed = changes_since(&connected.aws, &kinds::get, &file.plan, file.observed_at).await;
        if !changed.is_empty() {
            return Err(changed.into());
        }
    }
    writer
        .append(vec![
            run_started(running.command, context, spec, &connected.caller.arn, Some(&file.digest), writer),
            applied(&file.digest, writer),
        ])
        .await?;
    let report = engine::apply_plan(&session, &file.plan, &state, running.on_failure).await?;
    out.idle();
    let outcome = match (report.interrupted, report.is_complete()) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Succeeded,
        (false, false) => Outcome::Failed,
    };
    writer.append(vec![Entry::RunFinished { run: writer.run(), outcome }]).await?;
    let state = writer.state().await?;
    outcome::print(context, spec, &file.plan, &report, &state, connected);
    Ok(if report.is_complete() { Exit::Done } else { Exit::Failed })
}

/// Makes the entry that begins a run in the history.
pub(crate) fn run_started(
    command: &str,
    context: &Context,
    spec: &Spec,
    who: &str,
    plan: Option<&str>,
    writer: &Writer,
) -> Entry {
    Entry::RunStarted {
        run: writer.run(),
        command: command.to_owned(),
        who: who.to_owned(),
        host: host_name(),
        spec_digest: Some(spec.environment.digest.clone()),
        plan_digest: plan.map(str::to_owned),
        spec_commit: commit::of(&context.global.spec),
        opora: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn applied(digest: &str, writer: &Writer) -> Entry {
    Entry::PlanApplied { digest: digest.to_owned(), run: writer.run() }
}

fn session<'a>(
    context: &'a Context,
    spec: &'a Spec,
    connected: &'a Connected,
    writer: &'a Writer,
    secrets: &'a dyn SecretValues,
    events: &'a (dyn Fn(Event) + Sync),
) -> Session<'a> {
    Session {
        aws: &connected.aws,
        scope: &spec.environment.scope,
        log: writer,
        kinds: &kinds::get,
        secrets,
        events,
        stop: context.stop.clone(),
    }
}

/// Takes up what an interrupted run left open.
pub(crate) async fn recover(
    context: &Context,
    spec: &Spec,
    connected: &Connected,
    log: &StateLog,
    state: &State,
) -> Result<(), Refused> {
    let writer = context.acquire(log, &connected.caller.arn).await?;
    let secrets = context.secrets();
    let secrets = Watched::new(&secrets, writer.secrets());
    let out = &context.out;
    let events = |event: Event| {
        if let Event::Recovered { address, id } = event {
            out.note(match id {
                Some(id) => format!("  found      {address}  {id}"),
                None => format!("  not made   {address}"),
            });
        }
    };
    let session = session(context, spec, connected, &writer, &secrets, &events);
    let problems = apply::recover(&session, state).await;
    let released = writer.release().await;
    let problems = problems?;
    released?;
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

fn ask(out: &Output, command: &str) -> Result<bool, Refused> {
    let help = format!("pass `--yes`, or save the plan (`opora plan --out FILE`) and run `opora {command} FILE`");
    ask_yes(out, &format!("{command} this plan?"), &help)
}

/// Asks a question that only `yes` agrees to; refused with `help` where nobody can be asked.
pub(crate) fn ask_yes(out: &Output, question: &str, help: &str) -> Result<bool, Refused> {
    if out.json || !std::io::stdin().is_terminal() {
        return Err(Diagnostic::error("CLI003", "nobody can be asked")
            .detail("standard input is no terminal")
            .help(help)
            .into());
    }
    out.complain(format!("{question} Only `yes` goes on."));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let agreed = read.is_ok() && answer.trim() == "yes";
    if !agreed {
        out.complain("nothing was done");
    }
    Ok(agreed)
}

fn print_nothing_to_do(context: &Context, spec: &Spec, made: &Made) {
    let out = &context.out;
    if out.json {
        out.document(&json!({ "counts": made.plan.counts(), "report": Report::default(),
            "outputs": engine::outputs(&spec.environment, &made.state), "diagnostics": [],
            "calls": made.connected.aws.calls() }));
    } else {
        plan_text::print(out, &made.plan);
        out.line(format!("{}.", plan_text::summary(&made.plan)));
    }
}

/// Shows a run's steps as they go.
struct Progress<'a> {
    out: &'a Output,
    all: u64,
    done: AtomicU64,
}

impl<'a> Progress<'a> {
    fn new(out: &'a Output, steps: usize) -> Self {
        Self { out, all: steps as u64, done: AtomicU64::new(0) }
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Started { kind, address, .. } => {
                self.out.progress(self.done.load(Ordering::Relaxed), self.all, &format!("{} {address}", verb(*kind)));
            }
            Event::Done { kind, address, id, .. } => {
                let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
                self.out.progress(done, self.all, &address.to_string());
                if !self.out.json && !self.out.brief && *kind != StepKind::Record {
                    let id = id.as_ref().map(|id| format!("  {id}")).unwrap_or_default();
                    let word = self.out.style(Style::Good, &format!("{:<9}", past(*kind)));
                    self.out.line(format!("  {word} {address}{}", self.out.style(Style::Dim, &id)));
                }
            }
            Event::Failed { address, .. } => {
                self.out.complain(format!("  failed    {address}"));
            }
            Event::RollingBack => self.out.complain("  rolling back: what this run made is deleted again"),
            Event::Created { .. } | Event::Skipped { .. } | Event::Recovered { .. } => {}
        }
    }
}

fn verb(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Create => "creating",
        StepKind::Update => "updating",
        StepKind::Delete => "deleting",
        StepKind::Forget => "forgetting",
        StepKind::Record => "recording",
    }
}

fn past(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Create => "created",
        StepKind::Update => "updated",
        StepKind::Delete => "deleted",
        StepKind::Forget => "forgotten",
        StepKind::Record => "recorded",
    }
}
