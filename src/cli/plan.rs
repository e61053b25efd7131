//! `opora plan`: what apply would do.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::{Connected, Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::{audit, plan_text};
use crate::diagnostic::Diagnostic;
use crate::engine::{self, Asked};
use crate::graph::Address;
use crate::plan::{Plan, PlanFile, Selection};
use crate::render::counted;
use crate::state::{State, StateLog};

/// Which resources a plan is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Select {
    /// Only this address and what it needs; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub target: Vec<Address>,
    /// Not this address, nor what needs it; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub exclude: Vec<Address>,
    /// What is in this one may be lost with it; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub allow_data_loss: Vec<Address>,
}

impl Select {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            target: self.target.clone(),
            exclude: self.exclude.clone(),
            allow_data_loss: self.allow_data_loss.clone(),
        }
    }
}

/// Arguments of `opora plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Saves the plan, bound to what was read, for `opora apply FILE`.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Plans the deletion of everything.
    #[arg(long)]
    pub destroy: bool,
    #[command(flatten)]
    pub select: Select,
}

/// A plan with all that it was made from.
pub(crate) struct Made {
    pub connected: Connected,
    pub log: StateLog,
    pub state: State,
    pub plan: Plan,
}

pub(crate) async fn run(args: &PlanArgs, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match plan(args, context, &spec).await {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn plan(args: &PlanArgs, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let out = &context.out;
    let connected = context.connect(&spec.environment.scope).await?;
    let made = make(context, spec, connected, &args.select.selection(), args.destroy).await?;
    out.timings.begin("checks");
    let observed_at = made.connected.aws.now();
    let controls = audit::compliance_of_plan(context, spec, &made.plan, observed_at)?;
    out.timings.begin("output");
    let file = PlanFile::new(made.plan, observed_at);
    if let Some(path) = &args.out {
        save(path, &file)?;
    }
    if out.json {
        out.document(&json!({
            "format": 1,
            "plan": file.plan,
            "counts": file.plan.counts(),
            "controls": controls.to_json(),
            "needs": needs(&context.schemas, &file.plan),
            "saved": args.out,
        }));
    } else {
        plan_text::print(out, &file.plan);
        if !file.plan.is_empty() {
            out.line("");
            controls.print(out);
            print_needs(context, &file.plan);
            out.line("");
        }
        let saved = args
            .out
            .as_ref()
            .map(|path| format!(" Saved to {}, bound to what was read at {observed_at:.0}.", path.display()));
        out.line(format!("{}.{}", plan_text::summary(&file.plan), saved.unwrap_or_default()));
    }
    if controls.blocks() {
        return Ok(Exit::Controls);
    }
    Ok(if file.plan.is_empty() { Exit::Done } else { Exit::Changes })
}

/// Reads the world and makes the plan; an interrupted run is taken up first.
pub(crate) async fn make(
    context: &Context,
    spec: &Spec,
    connected: Connected,
    selection: &Selection,
    destroy: bool,
) -> Result<Made, Refused> {
    let out = &context.out;
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    out.timings.begin("state");
    let mut state = context.load_state(&log).await?;
    if !state.intents.is_empty() {
        out.note("an earlier run was interrupted; looking for what it made");
        super::apply::recover(context, spec, &connected, &log, &state).await?;
        state = context.load_state(&log).await?;
    }
    out.timings.begin("reading");
    super::rebuild::refuse_lost(context, spec, &connected, &log, &state).await?;
    let region = &spec.environment.scope.region;
    out.busy(&format!("reading {} in {region}", counted(state.resources.len(), "resource")));
    let before = connected.aws.calls();
    let started = connected.aws.now();
    let environment = &spec.environment;
    let mut observed = engine::observe_state(&connected.aws, Some(environment), &state).await;
    out.idle();
    let calls = connected.aws.calls();
    let took = connected.aws.now().duration_since(started).as_secs_f64();
    if !state.resources.is_empty() {
        let (made, throttled) = (calls.total() - before.total(), calls.throttled - before.throttled);
        let (count, made) = (counted(state.resources.len(), "resource"), counted(made, "call"));
        out.note(format!("reading {count} in {region} … {made}, {throttled} throttled, {took:.1} s"));
    }
    out.timings.begin("planning");
    let asked = Asked { environment, schemas: &context.schemas, state: &state, selection, destroy };
    let plan = asked.plan(&connected.aws, &mut observed).await?;
    Ok(Made { connected, log, state, plan })
}

/// Returns the IAM actions that the steps of a plan call for.
pub(crate) fn needs(schemas: &crate::kind::KindSchemas, plan: &Plan) -> Vec<&'static str> {
    use crate::plan::StepKind;
    let mut out = std::collections::BTreeSet::new();
    for step in &plan.steps {
        let Some(schema) = schemas.get(&step.resource) else { continue };
        let actions = &schema.actions;
        let writes: &[&str] = match step.kind {
            StepKind::Create => actions.create,
            StepKind::Update => actions.update,
            StepKind::Delete => actions.delete,
            StepKind::Forget | StepKind::Record => &[],
        };
        out.extend(writes.iter().copied());
        if !writes.is_empty() {
            out.extend(actions.read.iter().copied());
        }
    }
    out.into_iter().collect()
}

fn print_needs(context: &Context, plan: &Plan) {
    let needs = needs(&context.schemas, plan);
    let shown: Vec<&str> = needs.iter().copied().take(4).collect();
    let more = if needs.len() > shown.len() {
        format!(", and {} more (`--json` lists them)", needs.len() - shown.len())
    } else {
        String::new()
    };
    context.out.line(format!("{}      {}{more}", context.out.style(Style::Dim, "needs"), shown.join(", ")));
}

fn save(path: &std::path::Path, file: &PlanFile) -> Result<(), Refused> {
    write_private(path, &file.to_bytes()).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Refused::from(Diagnostic::error("CLI002", "a file can't be written").detail(detail).help("choose another path"))
    })
}

/// Reads a saved plan.
pub(crate) fn load(path: &std::path::Path) -> Result<PlanFile, Refused> {
    let bytes = std::fs::read(path).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Diagnostic::error("PLAN001", "the plan file can't be used")
            .detail(detail)
            .help("make one with `opora plan --out FILE`")
    })?;
    Ok(PlanFile::from_bytes(&bytes).map_err(|error| error.diagnostic())?)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    if !folder.is_dir() {
        let message = format!("there is no folder `{}`", folder.display());
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, message));
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
