//! `opora drift`: what differs from what was applied, and what nothing manages.

use clap::Args;
use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::plan_text::change_text;
use crate::engine::{self, DriftFound};

/// Arguments of `opora drift`.
#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    /// Looks only at what is managed.
    #[arg(long)]
    pub managed_only: bool,
}

pub(crate) async fn run(args: &DriftArgs, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match find(args, context, &spec).await {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn find(args: &DriftArgs, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let out = &context.out;
    let connected = context.connect(&spec.environment.scope).await?;
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    let state = context.load_state(&log).await?;
    out.busy(&format!("reading {} resources", state.resources.len()));
    let found = engine::find_drift(&connected.aws, &context.schemas, &state, !args.managed_only).await;
    out.idle();
    if out.json {
        out.document(&to_json(&found));
    } else {
        print(context, &found);
    }
    Ok(exit(&found))
}

fn exit(found: &DriftFound) -> Exit {
    if !found.drift.drifted.is_empty() {
        Exit::Drift
    } else if !found.drift.unreadable.is_empty() || !found.unlisted.is_empty() {
        // What could not be looked at is not "no drift".
        Exit::Failed
    } else if !found.unmanaged.is_empty() {
        Exit::Unmanaged
    } else {
        Exit::Done
    }
}

fn to_json(found: &DriftFound) -> serde_json::Value {
    json!({
        "format": 1,
        "drifted": found.drift.drifted,
        "unmanaged": found.unmanaged,
        "unreadable": found.drift.unreadable.iter().map(|(address, unread)| {
            json!({ "address": address, "path": unread.path, "reason": unread.reason })
        }).collect::<Vec<_>>(),
        "unlisted": found.unlisted.iter().map(|(kind, error)| {
            json!({ "kind": kind, "reason": error.reason() })
        }).collect::<Vec<_>>(),
        "coverage": found.drift.coverage,
    })
}

pub(crate) fn print(context: &Context, found: &DriftFound) {
    let out = &context.out;
    for drifted in &found.drift.drifted {
        let head = out.style(Style::Bad, if drifted.gone { "gone      " } else { "drifted   " });
        out.line(format!("  {head} {}  {}", drifted.address, out.style(Style::Dim, drifted.id.as_str())));
        for field in &drifted.fields {
            out.line(format!("               {}  {}", field.path, change_text(field)));
        }
    }
    for unmanaged in &found.unmanaged {
        let name = unmanaged.found.name.as_ref().filter(|name| **name != unmanaged.found.id.0);
        let name = name.map(|name| format!("  {name}")).unwrap_or_default();
        let head = out.style(Style::Warn, "unmanaged ");
        out.line(format!("  {head} {} {}{name}", unmanaged.kind, unmanaged.found.id));
    }
    for (address, unread) in &found.drift.unreadable {
        let path = if unread.path.is_empty() { String::new() } else { format!("  {}", unread.path) };
        out.line(format!("  {} {address}{path}  {}", out.style(Style::Warn, "unreadable"), unread.reason));
    }
    for (kind, error) in &found.unlisted {
        out.line(format!("  {} {kind}  {}", out.style(Style::Warn, "unlisted  "), error.reason()));
    }
    let coverage = &found.drift.coverage;
    out.line(format!(
        "{} managed, {} drifted, {} unmanaged; {} fields checked, {} ignored, {} unreadable, {} not in the spec",
        coverage.managed,
        found.drift.drifted.len(),
        found.unmanaged.len(),
        coverage.fields_checked,
        coverage.fields_ignored,
        found.drift.unreadable.len() + found.unlisted.len(),
        coverage.fields_unmanaged,
    ));
}
