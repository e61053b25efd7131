//! `opora completions`: a completion script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::context::Context;
use super::exit::Exit;

/// Arguments of `opora completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    pub shell: Shell,
}

pub(crate) fn run(args: &Completions, context: &Context) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "opora", &mut script);
    context.out.raw(&String::from_utf8_lossy(&script));
    Exit::Done
}
