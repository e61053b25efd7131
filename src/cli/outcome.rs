//! What a run did, failed to do and left, as it is told at its end.

use serde_json::json;

use super::context::{Connected, Context, Spec};
use super::output::{Style, diagnostics_json};
use super::plan_text;
use crate::apply::{Report, Rollback, StepFailure};
use crate::aws::Residue;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::plan::{Plan, StepKind};
use crate::state::State;

/// Prints the end of a run.
pub(crate) fn print(
    context: &Context,
    spec: &Spec,
    plan: &Plan,
    report: &Report,
    state: &State,
    connected: &Connected,
) {
    let out = &context.out;
    let outputs = engine::outputs(&spec.environment, state);
    let diagnostics = diagnostics(plan, report);
    if out.json {
        out.document(&json!({ "counts": plan.counts(), "report": report, "outputs": outputs,
            "diagnostics": diagnostics_json(&diagnostics, &spec.sources, &spec.locator),
            "calls": connected.aws.calls() }));
        return;
    }
    for diagnostic in diagnostics {
        out.diagnostics(&[diagnostic], &spec.sources, &spec.locator);
    }
    print_skipped(context, report);
    if let Some(rollback) = &report.rollback {
        print_rollback(context, rollback);
    }
    print_counts(context, report, connected);
    let has_outputs = outputs.as_object().is_some_and(|outputs| !outputs.is_empty());
    if report.is_complete() && has_outputs && !state.resources.is_empty() {
        out.line("");
        for (name, value) in outputs.as_object().into_iter().flatten() {
            out.line(format!("{name} = {}", plan_text::value_text(value)));
        }
    }
}

/// Says of each failure what was called and answered, what it left behind, and what to do.
fn diagnostics(plan: &Plan, report: &Report) -> Vec<Diagnostic> {
    let rolled_back = report.rollback.iter().flat_map(|rollback| &rollback.failed);
    report.failed.iter().chain(rolled_back).map(|failure| of_failure(plan, failure)).collect()
}

fn of_failure(plan: &Plan, failure: &StepFailure) -> Diagnostic {
    let inner = failure.diagnostic(plan);
    let mut detail = format!("{}\n{}", failure.address, inner.detail.clone().unwrap_or_default());
    if failure.error.residue == Residue::Nothing {
        let step = plan.steps.iter().find(|step| step.number == failure.step);
        let creates = step.is_some_and(|step| step.kind == StepKind::Create);
        detail.push_str(if creates { "\nleft behind: nothing" } else { "\nleft behind: nothing of this call" });
    }
    Diagnostic { detail: Some(detail), ..inner }.at_argument(&failure.address, "", "this resource")
}

fn print_skipped(context: &Context, report: &Report) {
    let out = &context.out;
    for skipped in &report.skipped {
        let why = match &skipped.because {
            Some(address) => format!("it needs {address}"),
            None if report.stopped => "the run stopped at the first failure".to_owned(),
            None => "the run was stopped".to_owned(),
        };
        out.line(format!("  {} {}  {why}", out.style(Style::Warn, "skipped "), skipped.address));
    }
}

fn print_rollback(context: &Context, rollback: &Rollback) {
    let out = &context.out;
    for kept in &rollback.kept {
        let id = kept.id.as_ref().map(|id| format!("  {id}")).unwrap_or_default();
        let word = out.style(Style::Warn, "kept    ");
        out.line(format!("  {word} {}{}  {}", kept.address, out.style(Style::Dim, &id), kept.why));
    }
    for (address, kind) in &rollback.not_undone {
        let what = if *kind == StepKind::Update { "its update" } else { "its deletion" };
        out.line(format!("  {} {address}  {what} is not undone", out.style(Style::Warn, "stays   ")));
    }
    let mut line = format!("{} rolled back, {} kept", rollback.undone.len(), rollback.kept.len());
    if rollback.interrupted {
        line.push_str("; stopped before its end");
    }
    out.line(line);
}

fn print_counts(context: &Context, report: &Report, connected: &Connected) {
    let done = report.done.iter().filter(|(_, _, kind)| *kind != StepKind::Record).count();
    let calls = connected.aws.calls();
    let mut line = format!(
        "{done} done, {} failed, {} skipped; {} calls, {} throttled",
        report.failed.len(),
        report.skipped.len(),
        calls.total(),
        calls.throttled
    );
    if report.interrupted {
        line.push_str("; stopped, the same command goes on from here");
    } else if report.rollback.is_some() {
        line.push_str("; what is left is recorded, the same command begins anew from there");
    } else if !report.is_complete() {
        line.push_str("; what was done is recorded, the same command tries the rest again");
    }
    context.out.line(line);
}
