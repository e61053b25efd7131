//! `opora destroy`: deletes everything that the state holds.

use clap::Args;

use super::context::{Context, Refused, Spec};
use super::exit::Exit;
use super::plan::Select;
use super::{apply, plan};

/// Arguments of `opora destroy`.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    #[command(flatten)]
    pub select: Select,
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
    apply::confirm_and_run(context, spec, made, args.yes, "destroy").await
}
