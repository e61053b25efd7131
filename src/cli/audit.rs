//! `opora audit`: the controls on the spec, on a plan, or on the live account; and what a plan does to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use serde_json::json;

use super::audit_records::{self, Sources};
use super::context::{Connected, Context, Refused, Spec};
use super::exit::Exit;
use super::output::{Output, Style};
use crate::controls::{
    Attestations, Audit, Catalogue, Checks, ComplianceDiff, Finding, Gate, GateAction, GateOutcome, Moment, Question,
    ReadProblems, RecordEvidence, Severity, State as ControlState, Waivers, compliance_diff, evaluate, gate,
};
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine;
use crate::kind::Resource;
use crate::plan::Plan;
use crate::report::{self, Place};
use crate::spec::{Environment, Locator};

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Html,
    Json,
    Sarif,
    Text,
}

/// The language of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Language {
    #[default]
    En,
    Uk,
}

impl From<Language> for report::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::En => Self::English,
            Language::Uk => Self::Ukrainian,
        }
    }
}

/// Arguments of `opora audit`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("moment"))]
pub(crate) struct AuditArgs {
    /// Checks what the spec says; needs no account.
    #[arg(long = "spec", group = "moment")]
    pub on_spec: bool,
    /// Checks what a saved plan leads to; needs no account.
    #[arg(long, value_name = "FILE", group = "moment")]
    pub plan: Option<PathBuf>,
    /// Checks what the account has; this is the default.
    #[arg(long, group = "moment")]
    pub live: bool,
    /// Writes a report; its ending (.html, .json, .sarif, .txt) says the form, unless `--format` does.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The form of the report.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The language of the report.
    #[arg(long, value_enum, default_value_t)]
    pub lang: Language,
}

/// What a plan does to the controls.
#[derive(Debug, Default)]
pub(crate) struct Compliance {
    diff: ComplianceDiff,
    outcome: GateOutcome,
}

impl Compliance {
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({ "diff": self.diff, "gate": self.outcome })
    }

    /// Tells whether the spec's gate stops the plan.
    pub(crate) fn blocks(&self) -> bool {
        !self.outcome.blocked.is_empty()
    }

    /// Returns what a user is told of each fault that the gate stops the plan for.
    pub(crate) fn refusal(&self) -> Refused {
        let one = |finding: &Finding| {
            let reason = finding.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let told = Diagnostic::error("PLAN016", "the plan fails a check that the spec's gate blocks on")
                .detail(format!("{} ({}), {}{reason}", finding.check, finding.severity.as_str(), finding.subject()))
                .help("mend it in the spec, or waive it in the spec's `controls.waivers`");
            let path = finding.reads.first().map(|read| read.path.clone()).unwrap_or_default();
            match &finding.address {
                Some(address) => told.at_argument(address, path, "this fails the check"),
                None => told,
            }
        };
        Refused(self.outcome.blocked.iter().map(one).collect())
    }

    pub(crate) fn print(&self, out: &Output) {
        let list = |changes: &[crate::controls::Change]| {
            let ids = ComplianceDiff::controls(changes);
            if ids.is_empty() { "none".to_owned() } else { ids.join(" ") }
        };
        let after_apply = self.diff.unknown.iter().filter(|change| change.after_apply).cloned().collect::<Vec<_>>();
        let unknown = self.diff.unknown.iter().filter(|change| !change.after_apply).cloned().collect::<Vec<_>>();
        let mut line = format!(
            "{}   repaired {}   broken {}   unknown {}",
            out.style(Style::Dim, "controls"),
            list(&self.diff.repaired),
            list(&self.diff.broken),
            list(&unknown),
        );
        if !after_apply.is_empty() {
            line.push_str(&format!("   known after apply {}", list(&after_apply)));
        }
        out.line(line);
        let mut shown = std::collections::BTreeSet::new();
        for finding in &self.outcome.blocked {
            shown.insert((finding.check.clone(), finding.subject()));
            out.line(format!("  {}  {}  {}", out.style(Style::Bad, "blocks"), finding.check, finding.subject()));
        }
        for finding in &self.outcome.warned {
            if shown.insert((finding.check.clone(), finding.subject())) {
                out.line(format!("  {}   {}  {}", out.style(Style::Warn, "warns"), finding.check, finding.subject()));
            }
        }
    }
}

/// The checks, the catalogue and what people added beside the spec.
pub(crate) struct Rules {
    catalogue: Catalogue,
    checks: Checks,
    waivers: Waivers,
    attestations: Attestations,
    gate: Gate,
}

/// Loads the embedded checks and catalogue, and the waivers and attestations beside the spec.
pub(crate) fn rules(context: &Context, environment: &Environment) -> Result<Rules, Refused> {
    let (catalogue, mut problems) = Catalogue::iso27001();
    let (checks, more) = Checks::embedded(&context.schemas, &catalogue);
    problems.extend(more);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let mut sources = SourceMap::default();
    let mut waivers = Waivers::default();
    if let Some(name) = &environment.controls.waivers {
        let text = read(&context.beside_spec(name))?;
        let (loaded, more) = Waivers::load(&text, sources.add(name, text.as_str()), &checks);
        waivers = loaded;
        problems.extend(more);
    }
    let mut attestations = Attestations::default();
    let path = context.beside_spec("attestations.yaml");
    if path.exists() {
        let text = read(&path)?;
        let name = path.display().to_string();
        let (loaded, more) = Attestations::load(&text, sources.add(name, text.as_str()), &catalogue);
        attestations = loaded;
        problems.extend(more);
    }
    if problems.iter().any(Diagnostic::is_error) {
        context.out.diagnostics(&problems, &sources, &Locator::default());
        return Err(Refused(Vec::new()));
    }
    Ok(Rules { catalogue, checks, waivers, attestations, gate: gate_of(environment) })
}

fn read(path: &std::path::Path) -> Result<String, Refused> {
    std::fs::read_to_string(path).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Refused::from(Diagnostic::error("CLI009", "a file that the spec names can't be read").detail(detail))
    })
}

fn gate_of(environment: &Environment) -> Gate {
    let severity = |name: &str| serde_json::from_value::<Severity>(name.into()).ok();
    let action = |gate: &crate::spec::Gate| match gate {
        crate::spec::Gate::Block => Some(GateAction::Block),
        crate::spec::Gate::Warn => Some(GateAction::Warn),
        crate::spec::Gate::Ignore => None,
    };
    let rules = environment.controls.gate.iter();
    rules.filter_map(|(name, gate)| Some((severity(name)?, action(gate)?))).collect()
}

/// Asks the checks about resources, whichever moment they are of.
pub(crate) struct Ask<'a> {
    pub resources: &'a [Resource],
    pub problems: &'a ReadProblems,
    pub records: &'a [RecordEvidence],
    pub moment: Moment,
    pub now: jiff::Timestamp,
}

pub(crate) fn evaluated(context: &Context, spec: &Spec, rules: &Rules, ask: &Ask<'_>) -> Audit {
    evaluate(&Question {
        checks: &rules.checks,
        catalogue: &rules.catalogue,
        kinds: &context.schemas,
        resources: ask.resources,
        problems: ask.problems,
        waivers: &rules.waivers,
        attestations: &rules.attestations,
        records: ask.records,
        scope: &spec.environment.scope,
        moment: ask.moment,
        now: ask.now,
    })
}

/// Says what a plan does to the controls: what it breaks, what it repairs, and what the gate says to it.
pub(crate) fn compliance_of_plan(
    context: &Context,
    spec: &Spec,
    plan: &Plan,
    now: jiff::Timestamp,
) -> Result<Compliance, Refused> {
    let rules = rules(context, &spec.environment)?;
    let problems = ReadProblems { unlisted: engine::unread(plan) };
    let audit = |resources: BTreeMap<_, Resource>| {
        let resources: Vec<Resource> = resources.into_values().collect();
        let ask = Ask { resources: &resources, problems: &problems, records: &[], moment: Moment::Plan, now };
        evaluated(context, spec, &rules, &ask)
    };
    let (before, after) = (audit(engine::seen_resources(plan)), audit(engine::planned_resources(plan)));
    // What is destroyed as a whole has no controls to keep.
    let outcome = if plan.destroy { GateOutcome::default() } else { gate(&rules.gate, &after) };
    Ok(Compliance { diff: compliance_diff(&before, &after), outcome })
}

pub(crate) async fn run(args: &AuditArgs, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match audit(args, context, &spec).await {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn audit(args: &AuditArgs, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let rules = rules(context, &spec.environment)?;
    let nothing = ReadProblems::default();
    let audit = if args.on_spec {
        let resources = engine::desired_resources(&spec.environment, &spec.environment.scope);
        let now = jiff::Timestamp::now();
        let ask = Ask { resources: &resources, problems: &nothing, records: &[], moment: Moment::Spec, now };
        evaluated(context, spec, &rules, &ask)
    } else if let Some(path) = &args.plan {
        let file = super::plan::load(path)?;
        let resources: Vec<Resource> = engine::planned_resources(&file.plan).into_values().collect();
        let unread = ReadProblems { unlisted: engine::unread(&file.plan) };
        let now = file.observed_at;
        let ask = Ask { resources: &resources, problems: &unread, records: &[], moment: Moment::Plan, now };
        evaluated(context, spec, &rules, &ask)
    } else {
        let connected = context.connect(&spec.environment.scope).await?;
        live(context, spec, &connected, &rules).await?
    };
    if context.out.json {
        context.out.raw(&report::json(&audit));
    } else {
        context.out.raw(&report::text(&audit, &|finding| place(spec, finding), args.lang.into()));
    }
    if let Some(path) = &args.report {
        write_report(path, args, spec, &rules.checks, &audit)?;
        context.out.note(format!("report {}", path.display()));
    }
    let open = |state| matches!(state, ControlState::Fail | ControlState::Unknown);
    let bad = audit.controls.iter().any(|control| open(control.state) && !control.checks.is_empty());
    Ok(if bad { Exit::Controls } else { Exit::Done })
}

/// Reads the whole account and asks the checks about it.
async fn live(context: &Context, spec: &Spec, connected: &Connected, rules: &Rules) -> Result<Audit, Refused> {
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    let state = context.load_state(&log).await?;
    context.out.busy("reading the account");
    let account = engine::read_account(&connected.aws, &state).await;
    let drift = engine::find_drift(&connected.aws, &context.schemas, &state, false).await;
    context.out.idle();
    let mut unlisted = account.unlisted.clone();
    for (kind, id, reason) in &account.unread {
        unlisted.entry(kind.clone()).or_insert_with(|| format!("{id}: {reason}"));
    }
    let sources = Sources { spec, connected, state: &state, account: &account, found: &drift };
    let records = audit_records::records(context, &sources);
    let problems = ReadProblems { unlisted };
    let now = connected.aws.now();
    let ask = Ask { resources: &account.resources, problems: &problems, records: &records, moment: Moment::Live, now };
    let audit = evaluated(context, spec, rules, &ask);
    if let Err(error) = audit_records::remember(&log, &state, &connected.caller.arn, &audit).await {
        let diagnostic = error.into_diagnostic();
        let why = diagnostic.detail.unwrap_or_default();
        context.out.note(format!("the audit could not be recorded in the state: {}: {why}", diagnostic.summary));
    }
    Ok(audit)
}

fn place(spec: &Spec, finding: &Finding) -> Option<Place> {
    let path = finding.reads.first().map(|read| read.path.as_str()).unwrap_or_default();
    let span = spec.locator.locate(finding.address.as_ref()?, path)?;
    let (line, column) = spec.sources.line_column(span.source, span.start)?;
    let (end_line, end_column) = spec.sources.line_column(span.source, span.end)?;
    Some(Place { file: spec.sources.get(span.source)?.name.clone(), line, column, end_line, end_column })
}

fn write_report(path: &Path, args: &AuditArgs, spec: &Spec, checks: &Checks, audit: &Audit) -> Result<(), Refused> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let format = match (args.format, ending) {
        (Some(format), _) => format,
        (None, Some("html" | "htm")) => Format::Html,
        (None, Some("json")) => Format::Json,
        (None, Some("sarif")) => Format::Sarif,
        (None, Some("txt")) => Format::Text,
        (None, _) => {
            return Err(Diagnostic::error("CLI008", "the form of the report is not clear")
                .detail(format!("`{}`", path.display()))
                .help("end the file's name in .html, .json, .sarif or .txt, or pass `--format`")
                .into());
        }
    };
    let locate = |finding: &Finding| place(spec, finding);
    let text = match format {
        Format::Html => report::html(audit, &locate, args.lang.into()),
        Format::Json => report::json(audit),
        Format::Sarif => report::sarif(audit, checks, &locate),
        Format::Text => report::text(audit, &locate, args.lang.into()),
    };
    std::fs::write(path, text).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Refused::from(Diagnostic::error("CLI002", "a file can't be written").detail(detail))
    })
}
