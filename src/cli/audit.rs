//! The controls on the spec, on a plan, or on the live account.

use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::output::{Output, Style};
use super::plan::Made;
use crate::controls::{
    Attestations, Audit, Catalogue, Checks, ComplianceDiff, Gate, GateAction, GateOutcome, Moment, Question,
    ReadProblems, RecordEvidence, Severity, Waivers, compliance_diff, evaluate, gate,
};
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine;
use crate::kind::Resource;
use crate::spec::Locator;

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
pub(crate) fn rules(context: &Context, spec: &Spec) -> Result<Rules, Refused> {
    let (catalogue, mut problems) = Catalogue::iso27001();
    let (checks, more) = Checks::embedded(&context.schemas, &catalogue);
    problems.extend(more);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let mut sources = SourceMap::default();
    let mut waivers = Waivers::default();
    if let Some(name) = &spec.environment.controls.waivers {
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
    Ok(Rules { catalogue, checks, waivers, attestations, gate: gate_of(spec) })
}

fn read(path: &std::path::Path) -> Result<String, Refused> {
    std::fs::read_to_string(path).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Refused::from(Diagnostic::error("CLI009", "a file that the spec names can't be read").detail(detail))
    })
}

fn gate_of(spec: &Spec) -> Gate {
    let severity = |name: &str| serde_json::from_value::<Severity>(name.into()).ok();
    let action = |gate: &crate::spec::Gate| match gate {
        crate::spec::Gate::Block => Some(GateAction::Block),
        crate::spec::Gate::Warn => Some(GateAction::Warn),
        crate::spec::Gate::Ignore => None,
    };
    let rules = spec.environment.controls.gate.iter();
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
pub(crate) fn compliance_of_plan(context: &Context, spec: &Spec, made: &Made) -> Result<Compliance, Refused> {
    let rules = rules(context, spec)?;
    let before = engine::managed_resources(&made.state, &made.observed);
    let after = engine::planned_resources(&made.plan, &made.observed);
    let now = made.connected.aws.now();
    let problems = ReadProblems::default();
    let ask = |resources| Ask { resources, problems: &problems, records: &[], moment: Moment::Plan, now };
    let before = evaluated(context, spec, &rules, &ask(&before));
    let after = evaluated(context, spec, &rules, &ask(&after));
    Ok(Compliance { diff: compliance_diff(&before, &after), outcome: gate(&rules.gate, &after) })
}
