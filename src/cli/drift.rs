//! `opora drift`: what differs from what was applied, and what nothing manages.

use clap::Args;
use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::plan_text::change_text;
use crate::aws::history::Writers;
use crate::engine::{self, DriftFound, DriftWriters};
use crate::render::counted;

/// Arguments of `opora drift`.
#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    /// Looks only at what is managed.
    #[arg(long)]
    pub managed_only: bool,
    /// Does not ask CloudTrail who changed what differs.
    #[arg(long)]
    pub no_who: bool,
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
    super::rebuild::refuse_lost(context, spec, &connected, &log, &state).await?;
    out.busy(&format!("reading {}", counted(state.resources.len(), "resource")));
    let found = engine::find_drift(&connected.aws, &context.schemas, &state, !args.managed_only).await;
    let writers = if args.no_who {
        None
    } else {
        out.busy("asking CloudTrail who changed what differs");
        Some(engine::drift_writers(&connected.aws, &state, &found).await)
    };
    out.idle();
    if out.json {
        out.document(&to_json(&found, writers.as_ref()));
    } else {
        print(context, &found, writers.as_ref());
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

/// Puts who wrote to it beside what was found.
fn with_writers<T: serde::Serialize>(found: &[T], writers: Option<&[Writers]>) -> Vec<serde_json::Value> {
    let one = |(at, found): (usize, &T)| {
        let mut value = json!(found);
        if let Some(writers) = writers.and_then(|writers| writers.get(at)) {
            value["who"] = json!(writers);
        }
        value
    };
    found.iter().enumerate().map(one).collect()
}

fn to_json(found: &DriftFound, writers: Option<&DriftWriters>) -> serde_json::Value {
    json!({
        "format": 1,
        "drifted": with_writers(&found.drift.drifted, writers.map(|writers| writers.drifted.as_slice())),
        "unmanaged": with_writers(&found.unmanaged, writers.map(|writers| writers.unmanaged.as_slice())),
        "unreadable": found.drift.unreadable.iter().map(|(address, unread)| {
            json!({ "address": address, "path": unread.path, "reason": unread.reason })
        }).collect::<Vec<_>>(),
        "unlisted": found.unlisted.iter().map(|(kind, error)| {
            json!({ "kind": kind, "reason": error.reason() })
        }).collect::<Vec<_>>(),
        "coverage": found.drift.coverage,
    })
}

fn print(context: &Context, found: &DriftFound, writers: Option<&DriftWriters>) {
    let out = &context.out;
    let who = |writers: Option<&Writers>| {
        if let Some(writers) = writers {
            out.line(format!("               {}", out.style(Style::Dim, &writers.text())));
        }
    };
    for (at, drifted) in found.drift.drifted.iter().enumerate() {
        let head = out.style(Style::Bad, if drifted.gone { "gone      " } else { "drifted   " });
        out.line(format!("  {head} {}  {}", drifted.address, out.style(Style::Dim, drifted.id.as_str())));
        for field in &drifted.fields {
            out.line(format!("               {}  {}", field.path, change_text(field)));
        }
        who(writers.and_then(|writers| writers.drifted.get(at)));
    }
    for (at, unmanaged) in found.unmanaged.iter().enumerate() {
        let name = unmanaged.found.name.as_ref().filter(|name| **name != unmanaged.found.id.0);
        let name = name.map(|name| format!("  {name}")).unwrap_or_default();
        let head = out.style(Style::Warn, "unmanaged ");
        out.line(format!("  {head} {} {}{name}", unmanaged.kind, unmanaged.found.id));
        who(writers.and_then(|writers| writers.unmanaged.get(at)));
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
