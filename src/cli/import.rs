//! `opora import`: takes an existing resource into the state.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::apply::run_started;
use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use crate::apply::observe;
use crate::aws::kinds;
use crate::aws::resource::Fields;
use crate::diagnostic::Diagnostic;
use crate::graph::{Address, PhysicalId};
use crate::kind::Seen;
use crate::state::{Entry, Outcome};

/// Arguments of `opora import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Where the spec has it.
    pub address: Address,
    /// AWS's id of it.
    pub id: String,
}

pub(crate) async fn run(args: &Import, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    match import(args, context, &spec).await {
        Ok(()) => Exit::Done,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn import(args: &Import, context: &Context, spec: &Spec) -> Result<(), Refused> {
    let address = &args.address;
    let Some(desired) = spec.environment.resources.get(address) else {
        return Err(Diagnostic::error("IMPORT001", "the spec has no resource at this address")
            .detail(format!("`{address}`"))
            .help("write it into the spec first; after the import `opora plan` shows what differs")
            .into());
    };
    let connected = context.connect(&spec.environment.scope).await?;
    let log = context.open_state(&spec.environment, Some(&connected.aws))?;
    let state = context.load_state(&log).await?;
    let id = PhysicalId::from(args.id.as_str());
    if let Some(record) = state.resources.get(address) {
        let detail = format!("{address} is {}", record.id);
        return Err(Diagnostic::error("IMPORT002", "the state has a resource at this address").detail(detail).into());
    }
    if let Some((other, _)) = state.resources.iter().find(|(_, record)| record.kind == desired.kind && record.id == id)
    {
        let detail = format!("`{id}` is {other}");
        return Err(Diagnostic::error("IMPORT003", "the resource is managed already")
            .detail(detail)
            .help("`opora state mv` moves it")
            .into());
    }
    let wanted = BTreeMap::from([(address.clone(), (desired.kind.clone(), id.clone()))]);
    let fields = BTreeMap::from([(desired.kind.clone(), Fields::All)]);
    let seen = observe(&connected.aws, &kinds::get, &wanted, &fields).await.remove(address);
    let resource = match seen {
        Some(Seen::Present(resource)) => resource,
        Some(Seen::Unreadable { reason }) => {
            return Err(Diagnostic::error("IMPORT004", "the resource could not be read")
                .detail(format!("`{id}`: {reason}"))
                .into());
        }
        Some(Seen::Absent) | None => {
            let detail = format!("there is no {} `{id}` in {}", desired.kind, spec.environment.scope.region);
            return Err(Diagnostic::error("IMPORT005", "the resource does not exist").detail(detail).into());
        }
    };
    if let Some(owner) = resource.owner.filter(|owner| owner.environment != spec.environment.scope.environment) {
        let detail = format!("`{id}` carries the tags of the environment `{}`", owner.environment);
        return Err(Diagnostic::error("PLAN006", "the resource belongs to another environment").detail(detail).into());
    }
    let writer = context.acquire(&log, &connected.caller.arn).await?;
    let recorded = Entry::Recorded {
        run: writer.run(),
        step: 0,
        address: address.clone(),
        kind: desired.kind.clone(),
        id: id.clone(),
        generation: state.next_generation(address),
        arguments: serde_json::Value::Object(serde_json::Map::new()),
        attributes: resource.attributes,
        references: desired.references.iter().cloned().collect(),
        lifecycle: serde_json::to_value(&desired.lifecycle).unwrap_or_default(),
    };
    let started = run_started("import", context, spec, &connected.caller.arn, None, &writer);
    let finished = Entry::RunFinished { run: writer.run(), outcome: Outcome::Succeeded };
    let written = writer.append(vec![started, recorded, finished]).await;
    writer.release().await?;
    written?;
    if context.out.json {
        context.out.document(&json!({ "imported": { "address": address, "id": id } }));
    } else {
        context.out.line(format!("imported {address} as {id}; `opora plan` shows what differs from the spec"));
    }
    Ok(())
}
