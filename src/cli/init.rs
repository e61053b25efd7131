//! `opora init`: writes a starter spec from a template.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::{Context, Refused};
use super::exit::Exit;
use crate::diagnostic::Diagnostic;
use crate::spec;

/// Arguments of `opora init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The environment's name.
    #[arg(long, default_value = "research")]
    pub environment: String,
    /// The account it is for.
    #[arg(long, value_name = "12 DIGITS")]
    pub account: Option<String>,
    /// The region it is in.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Writes over an existing file.
    #[arg(long)]
    pub force: bool,
}

pub(crate) fn run(args: &Init, context: &Context) -> Exit {
    match init(args, context) {
        Ok(()) => Exit::Done,
        Err(refused) => {
            context.refuse(&refused, None);
            Exit::Failed
        }
    }
}

fn init(args: &Init, context: &Context) -> Result<(), Refused> {
    let path: &PathBuf = &context.global.spec;
    if path.exists() && !args.force {
        let detail = format!("`{}` is there already", path.display());
        return Err(Diagnostic::error("CLI005", "nothing is written over a file")
            .detail(detail)
            .help("choose another with `--file FILE`, or pass `--force`")
            .into());
    }
    let account = args.account.as_deref().unwrap_or("123456789012");
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Diagnostic::error("CLI006", "an account id has 12 digits").detail(format!("`{account}`")).into());
    }
    let template = spec::STARTER;
    let text = template
        .replace("{{ environment }}", &args.environment)
        .replace("{{ account }}", account)
        .replace("{{ region }}", &args.region);
    std::fs::write(path, text).map_err(|error| {
        Refused::from(
            Diagnostic::error("CLI002", "a file can't be written").detail(format!("{}: {error}", path.display())),
        )
    })?;
    let file = path.display();
    if context.out.json {
        context.out.document(&json!({ "wrote": path }));
        return Ok(());
    }
    context.out.line(format!("wrote {file}"));
    if args.account.is_none() {
        context.out.note("its account is a placeholder: set `account:` to yours, or try it with `--sandbox`");
    }
    context.out.note(format!("next: `opora validate -f {file}`, then `opora plan -f {file}`"));
    Ok(())
}
