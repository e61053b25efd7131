//! `opora destroy`: deletes everything that the state holds.

use clap::{Args, ValueEnum};

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::plan::Select;
use super::{apply, plan};
use crate::apply::OnFailure;

/// Arguments of `opora destroy`.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// What a failed step stops.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub on_failure: Failing,
    #[command(flatten)]
    pub select: Select,
}

/// What a destroy does when a step fails; nothing that was deleted can be brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failing {
    /// Begins nothing more; what is in flight is finished and recorded.
    Stop,
    /// Begins nothing that waits for it, and does the rest.
    #[default]
    Continue,
}

pub(crate) async fn run(args: &Destroy, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    context.watch_interrupt();
    match destroy(args, context, &spec).await {
        Ok(exit) => exit,
        Err(refused) => {
            context.refuse(&refused, Some(&spec));
            Exit::Failed
        }
    }
}

async fn destroy(args: &Destroy, context: &Context, spec: &Spec) -> Result<Exit, Refused> {
    let connected = context.connect(&spec.environment.scope).await?;
    let made = plan::make(context, spec, connected, &args.select.selection(), true).await?;
    let on_failure = match args.on_failure {
        Failing::Stop => OnFailure::Stop,
        Failing::Continue => OnFailure::Continue,
    };
    let running = apply::Running { command: "destroy", on_failure, yes: args.yes };
    apply::confirm_and_run(context, spec, made, running).await
}
