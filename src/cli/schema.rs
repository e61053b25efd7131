//! `opora schema`: the JSON Schema of the spec, made from the kinds.

use clap::Args;

use super::context::Context;
use super::exit::Exit;
use crate::spec;

/// Arguments of `opora schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

pub(crate) fn run(_: &Schema, context: &Context) -> Exit {
    context.out.document(&spec::json_schema(&context.schemas));
    Exit::Done
}
