//! `opora validate`: every problem of the spec at once.

use clap::Args;
use serde_json::json;

use super::audit;
use super::context::Context;
use super::exit::Exit;
use super::output::diagnostics_json;
use crate::diagnostic::Diagnostic;
use crate::render::counted;

/// Arguments of `opora validate`.
#[derive(Debug, Args)]
pub(crate) struct Validate {}

pub(crate) fn run(_: &Validate, context: &Context) -> Exit {
    let loaded = match context.load_any() {
        Ok(loaded) => loaded,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = loaded.diagnostics.len() - errors;
    let resources = loaded.environment.as_ref().map_or(0, |environment| environment.resources.len());
    let name = context.global.spec.display();
    // What the spec names beside it has to be right too.
    if errors == 0
        && let Some(environment) = &loaded.environment
        && let Err(refused) = audit::rules(context, environment)
    {
        context.refuse(&refused, None);
        return Exit::Failed;
    }
    if context.out.json {
        let diagnostics = diagnostics_json(&loaded.diagnostics, &loaded.sources, &loaded.locator);
        context.out.document(
            &json!({ "errors": errors, "warnings": warnings, "resources": resources, "diagnostics": diagnostics }),
        );
    } else {
        context.out.diagnostics(&loaded.diagnostics, &loaded.sources, &loaded.locator);
        match errors {
            0 => {
                let (resources, warnings) = (counted(resources, "resource"), counted(warnings, "warning"));
                context.out.line(format!("{name} is valid: {resources}, {warnings}"));
            }
            _ => context.out.complain(format!("{} in {name}", counted(errors, "error"))),
        }
    }
    if loaded.diagnostics.iter().any(Diagnostic::is_error) { Exit::Failed } else { Exit::Done }
}
