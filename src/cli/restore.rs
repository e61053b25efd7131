//! `opora restore`: brings the state back from a backup, or its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::{backup, plan, state};
use crate::diagnostic::Diagnostic;
use crate::render::counted;
use crate::state::{Entry, LogCopy, Manifest, Restored, RunId, State, StateError, Store};

/// Arguments of `opora restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder, or `s3://bucket/prefix`, that `opora backup` wrote to.
    pub from: String,
    /// A backup's name; the newest by default.
    #[arg(long, value_name = "NAME")]
    pub at: Option<String>,
    /// Writes the backup's files below a folder, and leaves the state.
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Puts a state that is there aside, into `quarantine/`; overwrites files.
    #[arg(long)]
    pub force: bool,
}

pub(crate) async fn run(args: &Restore, context: &Context) -> Exit {
    let result = match &args.files {
        Some(folder) => restore_files(args, context, folder).await,
        None => match context.load() {
            Ok(spec) => restore_state(args, context, &spec).await,
            Err(refused) => Err(refused),
        },
    };
    match result {
        Ok(()) => Exit::Done,
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

async fn manifest(args: &Restore, store: &dyn Store) -> Result<(String, Manifest), Refused> {
    let name = match &args.at {
        Some(name) => name.clone(),
        None => Manifest::newest(store)
            .await?
            .ok_or_else(|| StateError::Backup { location: store.location(), reason: "there is none".to_owned() })?,
    };
    let manifest = Manifest::read(store, &name).await?;
    Ok((name, manifest))
}

async fn restore_state(args: &Restore, context: &Context, spec: &Spec) -> Result<(), Refused> {
    let store = backup::open(context, spec, &args.from).await?;
    let (name, manifest) = manifest(args, store.as_ref()).await?;
    let (scope, subject) = (&spec.environment.scope, &manifest.subject);
    if (&scope.environment, &scope.account, &scope.region) != (&subject.environment, &subject.account, &subject.region)
    {
        let detail = format!("it is of `{}` in {} {}", subject.environment, subject.account, subject.region);
        return Err(Diagnostic::error("STATE017", "the backup is of another environment").detail(detail).into());
    }
    let copy = manifest.read_log(store.as_ref()).await?;
    let log = state::open(context, spec).await?;
    let there = log.load().await;
    if let Ok(there) = &there {
        context.refuse_leased(there, log.now())?;
        if there.number > 0 && same(there, &copy.state) {
            say(context, &name, &copy, "the state has all that the backup has; nothing was written");
            return Ok(());
        }
    }
    let differences = match &there {
        Ok(there) => differences(there, &copy.state),
        Err(StateError::Corrupt(problem)) => vec![format!("the state there is damaged: {problem}")],
        Err(error) => return Err(error.clone().into()),
    };
    if log.restore(&copy, args.force).await? == Restored::Differs {
        return Err(Diagnostic::error("STATE018", "there is a state that the backup would replace")
            .detail(format!("in {}; with backup {name}\n{}", log.location(), differences.join("\n")))
            .help("`opora backup` it first, then pass `--force`: it is put aside into `quarantine/`")
            .into());
    }
    let text = format!("restored from backup {name} in {}", store.location());
    log.join(RunId(uuid::Uuid::new_v4())).await?.append(vec![Entry::Note { text }]).await?;
    if args.force && !context.out.json {
        differences.iter().for_each(|line| context.out.line(line));
    }
    say(context, &name, &copy, "restored; `opora plan` shows what has changed in AWS since");
    Ok(())
}

fn say(context: &Context, name: &str, copy: &LogCopy, text: &str) {
    if context.out.json {
        let (number, resources) = (copy.state.number, copy.state.resources.len());
        context.out.document(&json!({ "backup": name, "number": number, "resources": resources, "text": text }));
    } else {
        context.out.line(format!(
            "the log up to entry {} with {}",
            copy.state.number,
            counted(copy.state.resources.len(), "resource")
        ));
        context.out.line(text);
    }
}

/// Tells whether two states hold the same of AWS.
fn same(there: &State, copy: &State) -> bool {
    there.number >= copy.number
        && (&there.resources, &there.deposed, &there.intents, &there.ledger)
            == (&copy.resources, &copy.deposed, &copy.intents, &copy.ledger)
}

/// Says what a replacement would change, by address.
fn differences(there: &State, copy: &State) -> Vec<String> {
    let mut out = vec![format!("the log there is at entry {}, the backup's at {}", there.number, copy.number)];
    for (address, record) in &there.resources {
        match copy.resources.get(address) {
            None => out.push(format!("- {address}  {}", record.id)),
            Some(other) if other.id != record.id => {
                out.push(format!("~ {address}  {} → {}", record.id, other.id));
            }
            Some(other) if other != record => out.push(format!("~ {address}  {}: recorded differently", record.id)),
            Some(_) => {}
        }
    }
    let new = copy.resources.iter().filter(|(address, _)| !there.resources.contains_key(*address));
    out.extend(new.map(|(address, record)| format!("+ {address}  {}", record.id)));
    out
}

async fn restore_files(args: &Restore, context: &Context, folder: &Path) -> Result<(), Refused> {
    let store: Arc<dyn Store> = if args.from.starts_with("s3://") {
        // The spec, which names the region, may be what was lost.
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
        let aws = context.connect_unchecked(&region).await;
        context.open_store(&args.from, Some(&aws))?
    } else {
        context.open_store(&args.from, None)?
    };
    let (name, manifest) = manifest(args, store.as_ref()).await?;
    let mut files = Vec::new();
    for file in &manifest.files {
        if !crate::spec::is_inside(&file.path) {
            let reason = format!("{name}: `{}` leads out of the folder", file.path);
            return Err(StateError::Backup { location: store.location(), reason }.into());
        }
        let (path, bytes) = (folder.join(&file.path), manifest.read_file(store.as_ref(), file).await?);
        let differs = std::fs::read(&path).is_ok_and(|there| there != bytes);
        if differs && !args.force {
            return Err(Diagnostic::error("CLI005", "nothing is written over a file")
                .detail(format!("`{}` is there already, and differs", path.display()))
                .help("choose another folder, or pass `--force`")
                .into());
        }
        files.push((path, bytes));
    }
    for (path, bytes) in &files {
        let failed = |error: std::io::Error| {
            let detail = format!("{}: {error}", path.display());
            Refused::from(Diagnostic::error("CLI002", "a file can't be written").detail(detail))
        };
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
        plan::write_private(path, bytes).map_err(failed)?;
    }
    if context.out.json {
        context.out.document(&json!({ "backup": name, "files": manifest.files, "inputs": manifest.subject.inputs }));
    } else {
        context.out.line(format!("wrote {} of backup {name} below {}", counted(files.len(), "file"), folder.display()));
        if !manifest.subject.inputs.is_empty() {
            context.out.line(format!("it was made with --input {}", manifest.subject.inputs.join(" --input ")));
        }
    }
    Ok(())
}
