//! The `opora` binary: parses arguments, calls the library, maps the outcome to an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use opora::cli::sandbox::{self, SandboxCommand};

/// Plans, applies, audits and runs an AWS environment for AI work.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A simulated AWS.
    #[command(subcommand)]
    Sandbox(SandboxCommand),
}

fn main() -> ExitCode {
    let Command::Sandbox(command) = Arguments::parse().command;
    match sandbox::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
