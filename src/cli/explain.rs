//! `opora explain`: the page of an error code, or of a kind.

use clap::Args;
use serde_json::json;

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
        list(context);
        return Exit::Done;
    };
    let code = what.to_uppercase();
    let page = match (docs::error_page(&code), context.schemas.get(what)) {
        (Some(page), _) => Some((code.as_str(), page.to_owned())),
        (None, Some(kind)) => Some((kind.name, docs::kind_page(kind))),
        (None, None) => None,
    };
    if let Some((name, page)) = page {
        if context.out.json {
            context.out.document(&json!({ "name": name, "page": page }));
        } else {
            context.out.line(page.trim_end());
        }
        return Exit::Done;
    }
    let refused = Diagnostic::error("CLI007", "there is no such code or kind")
        .detail(format!("`{what}`"))
        .help("`opora explain` lists them all");
    context.refuse(&refused.into(), None);
    Exit::Failed
}

/// Lists all codes and kinds, each with its title.
fn list(context: &Context) {
    let codes = docs::error_pages().into_iter().map(|(code, page)| {
        let title = page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
        (code, ": ", title.strip_prefix(code).unwrap_or(title).trim_start_matches([':', ' ']))
    });
    let kinds = context.schemas.iter().map(|kind| {
        let title = kind.arguments.description().lines().next().unwrap_or_default();
        (kind.name, "  ", title)
    });
    let all = codes.chain(kinds);
    if context.out.json {
        context.out.document(&all.map(|(name, _, title)| json!({ "name": name, "title": title })).collect::<Vec<_>>());
        return;
    }
    for (name, between, title) in all {
        context.out.line(format!("{name}{between}{title}"));
    }
}
