//! The command line: one file per subcommand, and the only place that prints, asks or reads the environment.

mod apply;
mod audit;
mod audit_records;
mod backup;
mod commit;
mod completions;
mod context;
mod demo;
mod destroy;
mod drift;
mod exit;
mod explain;
mod graph;
mod guards;
mod import;
mod init;
mod job;
mod outcome;
mod output;
mod plan;
mod plan_text;
mod process;
mod rebuild;
mod rehearse;
mod restore;
mod sandbox;
mod schema;
mod show;
mod state;
mod timings;
mod validate;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::diagnostic::{Diagnostic, SourceMap};
use crate::spec::Locator;
use context::Context;
use exit::Exit;
use output::{Color, Output};

/// Takes an AWS account to a running, provably compliant environment for AI work, and keeps it so.
#[derive(Debug, Parser)]
#[command(name = "opora", bin_name = "opora", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The spec.
    #[arg(
        id = "spec_file",
        long = "file",
        short = 'f',
        global = true,
        value_name = "FILE",
        env = "OPORA_SPEC",
        default_value = "opora.yaml"
    )]
    pub spec: PathBuf,
    /// A value for an input of the spec; may be given several times.
    #[arg(long = "input", short = 'i', global = true, value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Uses a simulated AWS in place of the account, kept in a folder.
    #[arg(long, global = true, value_name = "DIR", num_args = 0..=1, require_equals = true,
        default_missing_value = ".opora/sandbox")]
    pub sandbox: Option<PathBuf>,
    /// A profile of the AWS configuration; it comes before keys in the environment, unlike `AWS_PROFILE`.
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// An endpoint in place of AWS's own, for all services.
    #[arg(long, global = true, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub endpoint_url: Option<String>,
    /// The clock of a sandbox that is served at a speed, as SINCE:SPEED: when it showed wall time, in seconds since
    /// the epoch, and how many of its seconds pass in one. Waits and leases go by it.
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "SINCE:SPEED",
        env = "OPORA_SANDBOX_CLOCK",
        requires = "endpoint_url"
    )]
    pub sandbox_clock: Option<sandbox::ServedClock>,
    /// Prints JSON to standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Prints no progress and no remarks.
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// Prints less: plans without the arguments of what is created, runs without a line for each step.
    #[arg(long, global = true)]
    pub brief: bool,
    /// Prints how long each phase took, and the peak of memory, to standard error.
    #[arg(long, global = true)]
    pub timings: bool,
    /// How long a lease on the state holds without being renewed, in seconds.
    #[arg(long, global = true, hide = true, value_name = "SECONDS", env = "OPORA_LEASE_SECONDS", default_value_t = 120,
        value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub lease: u16,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a starter spec.
    Init(init::Init),
    /// Checks the spec, and reports every problem at once.
    Validate(validate::Validate),
    /// Shows what apply would do, and changes nothing.
    Plan(plan::PlanArgs),
    /// Tries a plan on a copy of the account, and says what would fail.
    Rehearse(rehearse::Rehearse),
    /// Makes the account what the spec says.
    Apply(apply::Apply),
    /// Deletes everything that the state holds.
    Destroy(destroy::Destroy),
    /// Finds what differs from what was applied, and what nothing manages.
    Drift(drift::DriftArgs),
    /// Checks the controls on the spec, on a plan or on the live account.
    Audit(audit::AuditArgs),
    /// Shows a plan file, a resource of the state, or all of it.
    Show(show::Show),
    /// Looks into the state and changes what it records.
    State(state::StateArgs),
    /// Copies the spec, the state and its history, and evidence to a folder or a bucket.
    Backup(backup::Backup),
    /// Brings the state back from a backup.
    Restore(restore::Restore),
    /// Takes an existing resource into the state.
    Import(import::Import),
    /// Runs jobs on the environment: models of Bedrock, training on SageMaker.
    Job(job::JobArgs),
    /// Prints the JSON Schema of a spec, for editors.
    Schema(schema::Schema),
    /// Draws what refers to what.
    Graph(graph::Graph),
    /// Lists what is protected against its deletion, and why.
    Guards(guards::Guards),
    /// Explains an error code.
    Explain(explain::Explain),
    /// The simulated AWS: serve, reset, save, load, status.
    Sandbox(sandbox::Sandbox),
    /// Shows the whole journey in the simulated AWS, from a spec to its destruction.
    Demo(demo::Demo),
    /// Prints a completion script for a shell.
    Completions(completions::Completions),
}

/// Runs a command and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error).into(),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let out = Output::new(&cli.global, no_color);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.complain(format!("error: no runtime could be started: {error}"));
            return Exit::Failed.into();
        }
    };
    let context = Context::new(cli.global, out);
    let exit = runtime.block_on(run(cli.command, &context));
    context.out.print_timings();
    exit.into()
}

/// Prints the help that was asked for, or why the command line can't be read.
fn not_parsed(error: &clap::Error) -> Exit {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let refused = Diagnostic::error("CLI012", "the command line can't be read")
            .detail(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
            .help("`opora --help` lists the commands, `opora COMMAND --help` what one takes");
        let diagnostics = output::diagnostics_json(&[refused], &SourceMap::default(), &Locator::default());
        let text = serde_json::to_string_pretty(&json!({ "diagnostics": diagnostics })).unwrap_or_default();
        let _ = writeln!(std::io::stdout(), "{text}");
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Failed } else { Exit::Done }
}

async fn run(command: Command, context: &Context) -> Exit {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Validate(args) => validate::run(&args, context),
        Command::Plan(args) => plan::run(&args, context).await,
        Command::Rehearse(args) => rehearse::run(&args, context).await,
        Command::Apply(args) => apply::run(&args, context).await,
        Command::Destroy(args) => destroy::run(&args, context).await,
        Command::Drift(args) => drift::run(&args, context).await,
        Command::Audit(args) => audit::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::State(args) => state::run(&args, context).await,
        Command::Backup(args) => backup::run(&args, context).await,
        Command::Restore(args) => restore::run(&args, context).await,
        Command::Import(args) => import::run(&args, context).await,
        Command::Job(args) => job::run(&args, context).await,
        Command::Schema(args) => schema::run(&args, context),
        Command::Graph(args) => graph::run(&args, context),
        Command::Guards(args) => guards::run(&args, context).await,
        Command::Explain(args) => explain::run(&args, context),
        Command::Sandbox(args) => sandbox::run(&args, context).await,
        Command::Demo(args) => demo::run(&args, context).await,
        Command::Completions(args) => completions::run(&args, context),
    }
}
