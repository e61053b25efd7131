//! `opora sandbox serve`: the simulated AWS on a local port, for boto3, the AWS CLI and Terraform.
//!
//! Prints one line, `listening on http://127.0.0.1:PORT`, when it takes requests.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::sandbox::{Clock, Sandbox};

/// The subcommands of `opora sandbox`.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Serves a simulated AWS until interrupted.
    Serve(Serve),
}

/// The options of `opora sandbox serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// The folder that keeps the simulated accounts; in memory without it.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Decides the ids of a new world.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Runs a subcommand to its end.
pub fn run(command: SandboxCommand) -> io::Result<()> {
    let SandboxCommand::Serve(options) = command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Serve) -> io::Result<()> {
    let sandbox = match &options.dir {
        Some(dir) => Sandbox::open(dir)?,
        None => Sandbox::in_memory(options.seed),
    };
    let kept = sandbox.clock().seconds();
    let clock = Clock::wall(options.speed);
    if options.dir.is_some() && kept > clock.seconds() {
        // A world that was ahead of wall time stays ahead.
        clock.advance(kept - clock.seconds());
    }
    let sandbox = sandbox.with_clock(clock);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    {
        let mut out = io::stdout().lock();
        writeln!(out, "listening on http://{address}")?;
        out.flush()?;
    }
    let stop = async {
        tokio::signal::ctrl_c().await.ok();
    };
    sandbox.serve(listener, stop).await
}
