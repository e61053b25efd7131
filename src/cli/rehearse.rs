//! `opora rehearse`: tries a plan on a copy of the account, in a sandbox in memory.
//!
//! The account is only read. The sandbox is this command's own and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::apply::{load_for, refuse_applied};
use super::context::{Connected, Context, Refused, Spec, connect_sandbox};
use super::exit::Exit;
use super::output::{Style, diagnostics_json};
use super::plan::Select;
use super::plan_text;
use crate::apply::{changes_since, check_state};
use crate::aws::surroundings::Region;
use crate::aws::{Aws, kinds};
use crate::diagnostic::Diagnostic;
use crate::engine::{self, Asked};
use crate::kind::Scope;
use crate::plan::Plan;
use crate::rehearse::{Input, Rehearsal, Stage, rehearse};
use crate::render::counted;
use crate::sandbox::{Conditions, QUOTAS, Sandbox};
use crate::state::State;

/// The copy's ids come from this seed, so that they are not those of another sandbox.
const SEED: u64 = 0x7265_6865_6172_7365;
/// The account in the copy that holds what is somebody else's.
const STRANGER: &str = "000000000000";

/// Arguments of `opora rehearse`.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// A plan that `opora plan --out` saved; without it a new one is made.
    #[arg(value_name = "FILE", conflicts_with_all = ["target", "exclude", "allow_data_loss"])]
    pub plan: Option<PathBuf>,
    /// Rehearses the deletion of everything.
    #[arg(long, conflicts_with = "plan")]
    pub destroy: bool,
    /// A quota of the account that is not AWS's default (`vpcs=20`); may be given several times.
    #[arg(long = "quota", value_name = "NAME=NUMBER")]
    pub quotas: Vec<String>,
    #[command(flatten)]
    pub select: Select,
}

pub(crate) async fn run(args: &Rehearse, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match try_plan(args, context, &spec).await {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn try_plan(args: &Rehearse, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let quotas = quotas(&args.quotas)?;
    let connected = context.connect(&spec.environment.scope).await?;
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    let state = context.load_state(&log).await?;
    super::rebuild::refuse_lost(context, spec, &connected, &log, &state).await?;
    let plan = plan(args, context, spec, &connected, &state).await?;
    let stage = SandboxStage::new(&spec.environment.scope);
    let secrets = context.secrets();
    let input = Input {
        account: &connected.aws,
        caller: &connected.caller,
        stage: &stage,
        scope: &spec.environment.scope,
        state: &state,
        plan: &plan,
        quotas: &quotas,
        secrets: &secrets,
    };
    context.out.busy("reading the account and rehearsing the plan");
    let done = rehearse(&input).await?;
    context.out.idle();
    print(context, spec, &plan, &done, &quotas);
    Ok(if done.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Loads the plan and compares it with the world as apply does, or makes one.
async fn plan(
    args: &Rehearse,
    context: &Context,
    spec: &Spec,
    connected: &Connected,
    state: &State,
) -> Result<Plan, Refused> {
    if let Some(path) = &args.plan {
        let file = load_for(path, spec)?;
        refuse_applied(state, &file)?;
        let mut changed = check_state(&file.plan, state);
        if changed.is_empty() {
            changed = changes_since(&connected.aws, &kinds::get, &file.plan, file.observed_at).await;
        }
        return if changed.is_empty() { Ok(file.plan) } else { Err(changed.into()) };
    }
    if !state.intents.is_empty() {
        return Err(Diagnostic::error("REHEARSE002", "an earlier run was interrupted and has to be taken up first")
            .detail("a rehearsal writes nothing, so it can't do that")
            .help("run `opora plan`, which looks for what the run made; then rehearse")
            .into());
    }
    let environment = &spec.environment;
    let mut observed = engine::observe_state(&connected.aws, Some(environment), state).await;
    let (selection, schemas) = (&args.select.selection(), &context.schemas);
    let asked = Asked { environment, schemas, state, selection, destroy: args.destroy };
    Ok(asked.plan(&connected.aws, &mut observed).await?)
}

fn quotas(given: &[String]) -> Result<BTreeMap<String, u64>, Refused> {
    let one = |text: &String| {
        let (name, number) = text.split_once('=')?;
        let known = QUOTAS.iter().any(|quota| quota.name == name) || name.starts_with("endpoint_instances/");
        Some((name.to_owned(), number.parse().ok().filter(|_| known)?))
    };
    let refuse = |text: &String| {
        let names: Vec<&str> = QUOTAS.iter().map(|quota| quota.name).collect();
        Diagnostic::error("REHEARSE003", "not a quota that is known")
            .detail(format!("`{text}`; known are {} and endpoint_instances/TYPE", names.join(", ")))
            .help("write `--quota vpcs=20`")
    };
    let parsed = given.iter().map(|text| one(text).ok_or_else(|| Refused::from(refuse(text))));
    parsed.collect()
}

fn print(context: &Context, spec: &Spec, plan: &Plan, done: &Rehearsal, quotas: &BTreeMap<String, u64>) {
    let out = &context.out;
    let diagnostics: Vec<Diagnostic> = done.findings.iter().map(|finding| finding.diagnostic()).collect();
    let unknown: BTreeSet<&String> = done.unknown.iter().collect();
    let assumed: BTreeMap<&str, u64> =
        QUOTAS.iter().filter(|quota| !quotas.contains_key(quota.name)).map(|it| (it.name, it.default)).collect();
    if out.json {
        out.document(&json!({
            "format": 1,
            "counts": plan.counts(),
            "findings": done.findings,
            "diagnostics": diagnostics_json(&diagnostics, &spec.sources, &spec.locator),
            "skipped": done.skipped.iter().map(|(address, because)| json!({ "address": address, "because": because }))
                .collect::<Vec<_>>(),
            "unknown": unknown,
            "copied": done.copied,
            "done": done.done,
            "quotas": { "given": quotas, "published": assumed },
        }));
        return;
    }
    out.diagnostics(&diagnostics, &spec.sources, &spec.locator);
    for (address, because) in &done.skipped {
        let why = because.as_ref().map(|address| format!("it needs {address}")).unwrap_or_default();
        out.line(format!("  {} {address}  {why}", out.style(Style::Warn, "not tried")));
    }
    for what in &unknown {
        out.line(format!("  {} {what}", out.style(Style::Warn, "unknown  ")));
    }
    let verdict = match (done.findings.len(), plan.is_empty()) {
        (0, true) => "Nothing to do, so nothing would fail".to_owned(),
        (0, false) => format!("{}. Nothing would fail", plan_text::summary(plan)),
        (1, _) => "1 thing would fail".to_owned(),
        (count, _) => format!("{count} things would fail"),
    };
    let looked =
        format!("{} of the account copied, {} tried", counted(done.copied, "resource"), counted(done.done, "step"));
    out.line(format!("{verdict}; {looked}. Nothing was written."));
    out.note(
        "quotas: the account's own for IAM and Elastic IPs, else AWS's published defaults (`--quota NAME=NUMBER`)",
    );
}

/// A sandbox in memory as a stage.
struct SandboxStage {
    sandbox: Sandbox,
    aws: Aws,
    scope: Scope,
}

impl SandboxStage {
    fn new(scope: &Scope) -> Self {
        let sandbox = Sandbox::in_memory(SEED);
        let aws = connect_sandbox(&sandbox, scope);
        Self { sandbox, aws, scope: scope.clone() }
    }
}

impl Stage for SandboxStage {
    fn aws(&self) -> Aws {
        self.aws.clone()
    }

    fn stranger(&self, account: Option<&str>) -> Aws {
        let account = account.unwrap_or(STRANGER).to_owned();
        connect_sandbox(&self.sandbox, &Scope { account, ..self.scope.clone() })
    }

    fn open(&self, region: &Region) {
        let names = |offered: bool| -> BTreeSet<String> {
            let found = region.services.iter().filter(|(_, there)| **there == offered);
            found.map(|(name, _)| name.clone()).collect()
        };
        let own = |(name, names): (&str, BTreeSet<String>)| (name.to_owned(), names);
        let catalogue = [
            ("zones", region.zones.clone()),
            ("endpoint_services", names(true)),
            ("no_endpoint_services", names(false)),
            ("managed_policies", region.policies.clone()),
        ];
        let quotas = BTreeMap::from([("*".to_owned(), u64::MAX)]);
        let catalogue = catalogue.into_iter().map(own).collect();
        let organization = region.organization.then(|| "o-rehearsal1".to_owned());
        self.sandbox.set_conditions(Conditions { quotas, catalogue, organization, ..self.sandbox.conditions() });
    }

    fn rename(&self, words: &BTreeMap<String, String>) {
        self.sandbox.rename(words);
    }

    fn published(&self) -> BTreeMap<String, u64> {
        QUOTAS.iter().map(|quota| (quota.name.to_owned(), quota.default)).collect()
    }

    fn enforce(&self, quotas: &BTreeMap<String, u64>) {
        self.sandbox.set_conditions(Conditions { quotas: quotas.clone(), ..self.sandbox.conditions() });
    }
}
