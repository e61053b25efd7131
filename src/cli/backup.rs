//! `opora backup`: copies the spec, the state with its history, and evidence to a folder or a bucket.
//!
//! No secret value is in it: the state holds none, a spec only names them, and the files that it names for them are
//! refused.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::state;
use crate::aws::Aws;
use crate::diagnostic::Diagnostic;
use crate::render::counted;
use crate::spec::{DiskFiles, Environment, Files};
use crate::state::{Role, Store, Subject, holds_private_key, write_backup};

/// Files beside the spec that are evidence wherever they are.
const EVIDENCE: &str = "attestations.yaml";

/// Arguments of `opora backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// A folder, or `s3://bucket/prefix`; it may hold other backups.
    pub to: String,
    /// A file or folder below the spec's folder to take along, such as audit reports; several times.
    #[arg(long, value_name = "PATH")]
    pub include: Vec<PathBuf>,
}

pub(crate) async fn run(args: &Backup, context: &Context) -> Exit {
    let result = match context.load() {
        Ok(spec) => backup(args, context, &spec).await,
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

/// Opens a place for backups; connects only where it lies on S3.
pub(super) async fn open(context: &Context, spec: &Spec, at: &str) -> Result<Arc<dyn Store>, Refused> {
    let connected: Option<Aws> =
        if at.starts_with("s3://") { Some(context.connect(&spec.environment.scope).await?.aws) } else { None };
    context.open_store(at, connected.as_ref())
}

async fn backup(args: &Backup, context: &Context, spec: &Spec) -> Result<(), Refused> {
    let files = files(args, context, spec)?;
    let store = open(context, spec, &args.to).await?;
    let log = state::open(context, spec).await?;
    let copy = log.copy().await?;
    let scope = &spec.environment.scope;
    let name = context.global.spec.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let subject = Subject {
        environment: scope.environment.clone(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        spec: name,
        inputs: context.global.inputs.clone(),
        opora: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (name, manifest) = write_backup(store.as_ref(), log.now(), subject, &copy, files).await?;
    if context.out.json {
        context.out.document(&json!({ "backup": name, "manifest": manifest }));
    } else {
        context.out.line(format!(
            "backup {name} in {}: the log up to entry {} with {}, {}",
            store.location(),
            manifest.number,
            counted(manifest.resources, "resource"),
            counted(manifest.files.len(), "file"),
        ));
    }
    Ok(())
}

/// Remembers what was read.
#[derive(Default)]
struct Recording(Mutex<BTreeMap<PathBuf, Vec<u8>>>);

impl Files for Recording {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = DiskFiles.read(path)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

/// Returns the spec with all that it names, and what is evidence.
fn files(args: &Backup, context: &Context, spec: &Spec) -> Result<Vec<(String, Role, Bytes)>, Refused> {
    let recording = Recording::default();
    context.load_from(&recording)?;
    let root = context.beside_spec("");
    let mut out: BTreeMap<String, (Role, Vec<u8>)> = BTreeMap::new();
    for (path, bytes) in recording.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
        out.insert(relative(&root, &path)?, (Role::Spec, bytes));
    }
    let waivers = spec.environment.controls.waivers.as_deref();
    for name in waivers.into_iter().chain([EVIDENCE]) {
        match std::fs::read(root.join(name)) {
            Ok(bytes) => drop(out.insert(name.to_owned(), (Role::Evidence, bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&root.join(name), &error)),
        }
    }
    for path in &args.include {
        include(&root, path, &mut out)?;
    }
    let secret = secret_files(&spec.environment);
    for (path, (_, bytes)) in &out {
        let named = secret.iter().any(|secret| root.join(secret) == root.join(path));
        if named || holds_private_key(&String::from_utf8_lossy(bytes)) {
            let why = if named { "the spec names it as a secret" } else { "it holds a private key" };
            return Err(Diagnostic::error("STATE019", "a file holds a secret and is no part of a backup")
                .detail(format!("`{path}`: {why}"))
                .help("leave it out; keep secrets in a secret store")
                .into());
        }
    }
    Ok(out.into_iter().map(|(path, (role, bytes))| (path, role, Bytes::from(bytes))).collect())
}

fn include(root: &Path, path: &Path, out: &mut BTreeMap<String, (Role, Vec<u8>)>) -> Result<(), Refused> {
    if path.is_dir() {
        let items = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        for item in items {
            let item = item.map_err(|error| unreadable(path, &error))?;
            // `.opora`, `.git` and the like are not evidence.
            if !item.file_name().to_string_lossy().starts_with('.') {
                include(root, &item.path(), out)?;
            }
        }
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    out.entry(relative(root, path)?).or_insert((Role::Evidence, bytes));
    Ok(())
}

/// Returns a path below the spec's folder, with `/`.
fn relative(root: &Path, path: &Path) -> Result<String, Refused> {
    let canonical = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        std::fs::canonicalize(path).map_err(|error| unreadable(path, &error))
    };
    let (below, root) = (canonical(path)?, canonical(root)?);
    let Ok(below) = below.strip_prefix(&root) else {
        let detail = format!("`{}` is not below the spec's folder", path.display());
        return Err(Diagnostic::error("CLI011", "a file can't be read").detail(detail).into());
    };
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    Ok(parts.join("/"))
}

fn unreadable(path: &Path, error: &io::Error) -> Refused {
    Diagnostic::error("CLI011", "a file can't be read").detail(format!("{}: {error}", path.display())).into()
}

/// Returns the files that the spec names for secret values: `from_file` in any argument.
fn secret_files(environment: &Environment) -> Vec<String> {
    fn walk(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("from_file").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| walk(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    environment.resources.values().for_each(|desired| walk(&desired.arguments, &mut out));
    out
}
