//! `opora show`: a plan file, one resource of the state, or all of it.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::output::Style;
use super::plan_text;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::graph::Address;
use crate::state::Record;

/// Arguments of `opora show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A plan file, or an address of the state.
    #[arg(value_name = "FILE|ADDRESS")]
    pub what: Option<String>,
}

pub(crate) async fn run(args: &Show, context: &Context) -> Exit {
    if let Some(path) = args.what.as_deref().map(Path::new).filter(|path| path.is_file()) {
        return match show_plan(path, context) {
            Ok(()) => Exit::Done,
            Err(refused) => {
                context.refuse(&refused, None);
                Exit::Failed
            }
        };
    }
    let result = match context.load() {
        Ok(spec) => show_state(args, context, &spec).await,
        Err(refused) => Err(refused),
    };
    match result {
        Ok(()) => Exit::Done,
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

fn show_plan(path: &Path, context: &Context) -> Result<(), Refused> {
    let file = super::plan::load(path)?;
    if context.out.json {
        context.out.document(&file);
        return Ok(());
    }
    let scope = &file.plan.scope;
    context.out.line(format!(
        "plan for {} in {} {}, bound to what was read at {:.0}",
        scope.environment, scope.account, scope.region, file.observed_at
    ));
    plan_text::print(&context.out, &file.plan);
    context.out.line(format!("{}.", plan_text::summary(&file.plan)));
    Ok(())
}

async fn show_state(args: &Show, context: &Context, spec: &Spec) -> Result<(), Refused> {
    let log = super::state::open(context, spec).await?;
    let state = context.load_state(&log).await?;
    let Some(what) = &args.what else {
        let outputs = engine::outputs(&spec.environment, &state);
        if context.out.json {
            context.out.document(&json!({ "resources": state.resources, "outputs": outputs }));
            return Ok(());
        }
        if state.resources.is_empty() {
            context.out.note(format!("nothing of {} is in the state", spec.environment.scope.environment));
            return Ok(());
        }
        for (address, record) in &state.resources {
            print_record(context, address, record);
        }
        for (name, value) in outputs.as_object().into_iter().flatten() {
            context.out.line(format!("{name} = {}", plan_text::value_text(value)));
        }
        return Ok(());
    };
    let address: Address = what.parse().map_err(|error: crate::graph::AddressError| {
        Diagnostic::error("CLI004", "neither a plan file nor an address")
            .detail(error.to_string())
            .help("`opora state list` shows the addresses")
    })?;
    let record = state.resources.get(&address).ok_or_else(|| super::state::unknown(&address))?;
    if context.out.json {
        context.out.document(record);
    } else {
        print_record(context, &address, record);
    }
    Ok(())
}

fn print_record(context: &Context, address: &Address, record: &Record) {
    let out = &context.out;
    let unfinished = if record.complete { "" } else { "  (unfinished)" };
    let strong = out.style(Style::Strong, &address.to_string());
    out.line(format!("{strong}  {}{unfinished}", out.style(Style::Dim, record.id.as_str())));
    for part in [&record.arguments, &record.attributes] {
        print_map(context, part);
    }
    out.line("");
}

fn print_map(context: &Context, value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        context.out.line(format!("  {name:<24} {}", plan_text::value_text(value)));
    }
}
