//! `opora sandbox`: the simulated AWS on a local port, and the folder that keeps it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::context::Context;
use super::exit::Exit;
use crate::diagnostic::Diagnostic;
use crate::sandbox::{Clock, Sandbox as World};

/// Arguments of `opora sandbox`.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    /// Serves a simulated AWS to any client until interrupted; prints the line `listening on http://ADDRESS`.
    Serve(Serve),
    /// Empties the folder's world.
    Reset(Folder),
    /// Copies the folder's world to another folder.
    Save(Copy),
    /// Replaces the folder's world by another folder's.
    Load(Copy),
    /// Says what the folder's world holds.
    Status(Folder),
}

#[derive(Debug, Args)]
struct Serve {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// The folder that keeps the simulated accounts; in memory without it.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Holds IAM users and role sessions to their policies, and verifies their signatures.
    #[arg(long)]
    enforce_iam: bool,
    /// Decides the ids of a new world.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Folder {
    /// The folder of the world.
    #[arg(long, default_value = ".opora/sandbox")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Copy {
    #[command(flatten)]
    folder: Folder,
    /// The other folder.
    other: PathBuf,
}

/// The clock of a sandbox that is served at a speed, as its client in another process knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServedClock {
    /// When it showed wall time, in seconds since the epoch.
    since: f64,
    /// Simulated seconds per second.
    speed: f64,
}

impl ServedClock {
    /// Returns a clock that shows the same.
    pub(crate) fn clock(self) -> Clock {
        Clock::wall_since(self.since, self.speed)
    }
}

impl FromStr for ServedClock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(since, speed)| Some((since.parse().ok()?, speed.parse().ok()?)));
        match numbers {
            Some((since, speed)) if f64::is_finite(since) && speed > 0.0 => Ok(Self { since, speed }),
            _ => Err("it is not SINCE:SPEED, as 1767603600:60".to_owned()),
        }
    }
}

pub(crate) async fn run(args: &Sandbox, context: &Context) -> Exit {
    let done = match &args.command {
        SandboxCommand::Serve(serve) => self::serve(serve, context).await,
        SandboxCommand::Reset(folder) => open(&folder.dir).and_then(|world| {
            world.reset()?;
            told(context, "reset", &folder.dir, format!("{} is empty", folder.dir.display()));
            Ok(())
        }),
        SandboxCommand::Save(copy) => open(&copy.folder.dir).and_then(|world| {
            world.save(&copy.other)?;
            told(context, "saved", &copy.other, format!("saved to {}", copy.other.display()));
            Ok(())
        }),
        SandboxCommand::Load(copy) => open(&copy.folder.dir).and_then(|world| {
            world.load(&copy.other)?;
            told(context, "loaded", &copy.other, format!("loaded from {}", copy.other.display()));
            Ok(())
        }),
        SandboxCommand::Status(folder) => open(&folder.dir).map(|world| context.out.document(&world.status())),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            let refused = Diagnostic::error("CONN004", "the sandbox can't be used").detail(error.to_string());
            context.refuse(&refused.into(), None);
            Exit::Failed
        }
    }
}

/// Says what was done with a folder.
fn told(context: &Context, done: &str, dir: &Path, text: String) {
    if context.out.json {
        context.out.document(&serde_json::json!({ done: dir }));
    } else {
        context.out.line(text);
    }
}

fn open(dir: &Path) -> std::io::Result<World> {
    World::open(dir)
}

async fn serve(options: &Serve, context: &Context) -> std::io::Result<()> {
    let sandbox = match &options.dir {
        Some(dir) => World::open(dir)?,
        None => World::in_memory(options.seed),
    };
    let kept = sandbox.clock().seconds();
    let clock = Clock::wall(options.speed);
    if options.dir.is_some() && kept > clock.seconds() {
        // A world that was ahead of wall time stays ahead.
        clock.advance(kept - clock.seconds());
    }
    let sandbox = sandbox.with_clock(clock);
    if options.enforce_iam {
        sandbox.enforce_iam();
    }
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    context.out.raw(&format!("listening on http://{}\n", listener.local_addr()?));
    std::io::stdout().flush()?;
    let stop = async {
        tokio::signal::ctrl_c().await.ok();
    };
    sandbox.serve(listener, stop).await
}
