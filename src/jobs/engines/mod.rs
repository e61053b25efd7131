//! The engines: one file each and one line here.
//!
//! Besides `crate::aws` the only place that names an SDK crate.

mod bedrock_converse;
mod sagemaker_training;
mod timer;
pub(crate) mod upload;

use super::engine::{AnyEngine, Erased};

static ENGINES: [&dyn AnyEngine; 2] =
    [&Erased::<bedrock_converse::BedrockConverse>::new(), &Erased::<sagemaker_training::SagemakerTraining>::new()];

/// Returns an engine by the name that job files use.
pub(crate) fn get(name: &str) -> Option<&'static dyn AnyEngine> {
    ENGINES.iter().find(|engine| engine.name() == name).copied()
}

/// Returns the names of all engines.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|engine| engine.name())
}
