//! `opora explain`: the page of an error code, or of a kind.

use clap::Args;

use super::context::Context;
use super::exit::Exit;
use crate::diagnostic::Diagnostic;
use crate::docs;

/// Arguments of `opora explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A code such as `SPEC012`, or a kind such as `kms_key`; without it all are listed.
    #[arg(value_name = "CODE|KIND")]
    pub what: Option<String>,
}

pub(crate) fn run(args: &Explain, context: &Context) -> Exit {
    let Some(what) = &args.what else {
        for (code, page) in docs::error_pages() {
            let title = page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
            context.out.line(title.strip_prefix(code).map_or_else(|| format!("{code}  {title}"), |_| title.to_owned()));
        }
        for kind in context.schemas.iter() {
            context.out.line(format!(
                "{}  {}",
                kind.name,
                kind.arguments.description().lines().next().unwrap_or_default()
            ));
        }
        return Exit::Done;
    };
    if let Some(page) = docs::error_page(&what.to_uppercase()) {
        context.out.line(page.trim_end());
        return Exit::Done;
    }
    if let Some(kind) = context.schemas.get(what) {
        context.out.line(docs::kind_page(kind).trim_end());
        return Exit::Done;
    }
    let refused = Diagnostic::error("CLI007", "there is no such code or kind")
        .detail(format!("`{what}`"))
        .help("`opora explain` lists them all");
    context.refuse(&refused.into(), None);
    Exit::Failed
}
