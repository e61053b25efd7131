//! From a YAML text to the environment it wants: values, references and places, with every problem at once.
//!
//! The way: `yaml` makes a tree with spans, `document` reads its fields, `modules` lays the module tree flat,
//! `resolve` finds references and order, `expand` evaluates, `validate`, `networks` and `unique` check. Pure but for the
//! files that the spec names, which come through [`Files`]; no clock, no environment, nothing of AWS.

mod codes;
mod deferred;
mod document;
mod eval;
mod expand;
mod files;
mod formats;
mod functions;
mod inputs;
mod json_schema;
mod locate;
mod model;
mod modules;
mod networks;
mod policy;
mod resolve;
pub(crate) mod suggest;
pub(crate) mod template;
mod unique;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use codes::{Code, codes};
pub use deferred::{Deferred, DeferredError, evaluate_deferred};
pub use document::LANGUAGE;
pub use expand::FOR_EACH_MAX;
pub(crate) use files::is_inside;
pub use files::{DiskFiles, Files, MemoryFiles, STARTER, embedded, embedded_paths};
pub use json_schema::{json_schema, module_json_schema};
pub use locate::Locator;
pub use model::{ControlsConfig, Desired, Environment, Gate, Lifecycle, NoPredict, Predict, Trigger};
pub use modules::{MODULE_DEPTH_MAX, MODULES_MAX};

use crate::diagnostic::{Diagnostic, Location, SourceMap};
use crate::kind::{KindSchemas, Scope};
use crate::yaml;
use document::{Header, Reader, Unit};

/// What loading a spec gives: the environment where nothing is wrong, and what to say either way.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// There exactly when no diagnostic is an error.
    pub environment: Option<Environment>,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
    pub locator: Locator,
}

/// Reads a spec and all that it names.
pub fn load(
    path: &Path,
    files: &dyn Files,
    kinds: &KindSchemas,
    predict: &dyn Predict,
    inputs: &BTreeMap<String, String>,
) -> Loaded {
    let mut sources = SourceMap::default();
    let mut diagnostics = Vec::new();
    let failed = |diagnostics, sources| Loaded { environment: None, diagnostics, sources, locator: Locator::default() };
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let detail = format!("{}: {error}", path.display());
            let diagnostic = Diagnostic::error("SPEC001", "file can't be read").detail(detail);
            diagnostics.push(diagnostic.help("`opora init` writes a starter spec; `--file` names another"));
            return failed(diagnostics, sources);
        }
    };
    let (_, root, mut found) = yaml::parse_bytes(&path.display().to_string(), &bytes, &mut sources);
    diagnostics.append(&mut found);
    let Some(root) = root else { return failed(diagnostics, sources) };
    let mut reader = Reader::default();
    let (header, unit) = reader.document(&root);
    diagnostics.append(&mut reader.diagnostics);
    let scope = Scope {
        environment: header.environment.clone(),
        account: header.account.clone(),
        region: header.region.clone(),
    };
    let values = root_inputs(&unit, inputs, &mut diagnostics);
    let folder = path.parent().unwrap_or(Path::new(""));
    let units = modules::Expansion::new(files, folder, &mut sources, &mut diagnostics).expand(unit);

    let evaluator = eval::Evaluator::new(constants(&scope));
    let resolution = resolve::Resolver::new(&units, kinds, &sources, &evaluator, &mut diagnostics).run();
    let around = expand::Surroundings {
        units: &units,
        kinds,
        files,
        folder,
        predict,
        scope: &scope,
        evaluator: &evaluator,
        resolution: &resolution,
    };
    let expanded =
        expand::Expander::new(around, &mut sources, &mut diagnostics, values.clone(), header.tags.clone()).run();
    networks::check(&expanded.resources, kinds, &mut diagnostics);
    unique::check(&expanded.resources, kinds, &mut diagnostics);
    sort(&mut diagnostics, &expanded.locator);
    let locator = expanded.locator.clone();
    let environment = (!diagnostics.iter().any(Diagnostic::is_error))
        .then(|| assemble(header, scope, values, expanded, digest(&sources, inputs)));
    Loaded { environment, diagnostics, sources, locator }
}

fn assemble(
    header: Header,
    scope: Scope,
    inputs: BTreeMap<String, Value>,
    expanded: expand::Expanded,
    digest: String,
) -> Environment {
    Environment {
        account: scope.account.clone(),
        scope,
        state: header.state,
        controls: header.controls,
        tags: expanded.tags,
        inputs,
        resources: expanded.resources,
        outputs: expanded.outputs,
        output_deferred: expanded.output_deferred,
        digest,
    }
}

fn constants(scope: &Scope) -> Map<String, Value> {
    let entry = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    Map::from_iter([
        entry("account", &scope.account),
        entry("region", &scope.region),
        entry("environment", &scope.environment),
        entry("partition", scope.partition()),
    ])
}

/// Gives the document's inputs their values: from the command line, else their defaults.
fn root_inputs(
    unit: &Unit,
    given: &BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (name, input) in &unit.inputs {
        let value = match (given.get(name), &input.default) {
            (Some(text), _) => match input.read(text).and_then(|value| input.refuse(&value).map_or(Ok(value), Err)) {
                Ok(value) => value,
                Err(why) => {
                    let diagnostic = Diagnostic::error("SPEC020", "input value not allowed")
                        .at(input.key.clone(), format!("--input {name}={text}: {why}"));
                    diagnostics.push(diagnostic);
                    Value::from(crate::value::unknown("?"))
                }
            },
            (None, Some(default)) => default.to_json(),
            (None, None) => {
                diagnostics.push(
                    Diagnostic::error("SPEC021", "input without a value")
                        .at(input.key.clone(), format!("`{name}` has no default"))
                        .help(format!("give it one, or call with `--input {name}=…`")),
                );
                Value::from(crate::value::unknown("?"))
            }
        };
        out.insert(name.clone(), value);
    }
    for name in given.keys().filter(|name| !unit.inputs.contains_key(*name)) {
        let help = suggest::help(name, unit.inputs.keys().map(String::as_str), "declare it under `inputs:`");
        let detail = format!("`--input {name}`: the spec declares no such input");
        diagnostics.push(Diagnostic::error("SPEC022", "unknown input").detail(detail).help(help));
    }
    out
}

/// Brings diagnostics into the order of the text, without warnings about what is an error already.
fn sort(diagnostics: &mut Vec<Diagnostic>, locator: &Locator) {
    let errors: Vec<Location> = diagnostics
        .iter()
        .filter(|found| found.is_error())
        .flat_map(|found| &found.labels)
        .map(|label| label.location.clone())
        .collect();
    diagnostics.retain(|found| found.is_error() || !found.labels.iter().any(|label| errors.contains(&label.location)));
    diagnostics.sort_by_cached_key(|diagnostic| {
        let first = diagnostic.labels.first().and_then(|label| locator.resolve(&label.location));
        first.map(|span| (span.source, span.start, span.end))
    });
}

fn digest(sources: &SourceMap, inputs: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for file in sources.files() {
        add(&file.text);
    }
    for (name, value) in inputs {
        add(name);
        add(value);
    }
    hex::encode(hash.finalize())
}
