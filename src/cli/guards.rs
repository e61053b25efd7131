//! `opora guards`: what is protected against its deletion, and why. Asks AWS nothing but for a state on S3.

use clap::Args;
use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::state;
use crate::engine::{self, Guarded, Protection};
use crate::render::counted;

/// Arguments of `opora guards`.
#[derive(Debug, Args)]
pub(crate) struct Guards {}

pub(crate) async fn run(_: &Guards, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match list(context, &spec).await {
        Ok(()) => Exit::Done,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn list(context: &Context, spec: &Spec) -> Result<(), Refused> {
    let log = state::open(context, spec).await?;
    let state = context.load_state(&log).await?;
    let guards = engine::guards(&spec.environment, &context.schemas, &state);
    let out = &context.out;
    if out.json {
        out.document(&json!({ "format": 1, "guards": guards }));
        return Ok(());
    }
    for guarded in &guards {
        let id = guarded.id.as_ref().map(|id| format!("  {id}")).unwrap_or_default();
        let gone = if guarded.in_spec { "" } else { "  (no longer in the spec)" };
        out.line(format!("{}{}{gone}", guarded.address, out.style(Style::Dim, &id)));
        for (what, how) in reasons(guarded) {
            out.line(format!("  {what:<16} {how}"));
        }
    }
    let all = state.resources.keys().chain(spec.environment.resources.keys());
    let count = all.collect::<std::collections::BTreeSet<_>>().len();
    out.line(format!("{} of {} guarded", guards.len(), counted(count, "resource")));
    Ok(())
}

fn reasons(guarded: &Guarded) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let place = match guarded.prevent_destroy {
        Protection { spec: true, state: true } => Some("in the spec and in the state: no plan deletes or replaces it"),
        Protection { spec: true, state: false } => Some("in the spec, and not applied yet"),
        Protection { spec: false, state: true } if guarded.in_spec => {
            Some("in the state; the spec lifts it when applied")
        }
        Protection { spec: false, state: true } => Some("in the state: no plan deletes it"),
        Protection { spec: false, state: false } => None,
    };
    out.extend(place.map(|place| ("prevent_destroy", place.to_owned())));
    if guarded.holds_data {
        let how = if guarded.allow_data_loss {
            "its loss is allowed"
        } else {
            "deleted or replaced only with `allow_data_loss`, or where AWS shows that it is empty"
        };
        out.push(("holds data", how.to_owned()));
    }
    let days =
        guarded.waiting_days.map(|days| format!("{days} days from its deletion, in which it can be brought back"));
    out.extend(days.map(|text| ("waiting period", text)));
    out
}
