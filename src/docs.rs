//! The pages that the binary carries: one for each error code, and one for each kind.
//!
//! Kind pages are made from the kinds' own doc comments; `docs/kinds/` holds the same text, which a test proves.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};

use crate::kind::{Identity, KindSchema, OnChange};

static ERRORS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/docs/errors");

/// Returns all pages of error codes, by code.
pub fn error_pages() -> BTreeMap<&'static str, &'static str> {
    let page = |file: &'static include_dir::File<'_>| Some((file.path().file_stem()?.to_str()?, file.contents_utf8()?));
    ERRORS.files().filter_map(page).collect()
}

/// Returns the page of an error code.
pub fn error_page(code: &str) -> Option<&'static str> {
    error_pages().remove(code)
}

/// Writes the reference page of a kind, in Markdown.
pub fn kind_page(kind: &KindSchema) -> String {
    let mut out = format!("# {}\n\n{}\n", kind.name, kind.arguments.description());
    out.push_str("\n## Arguments\n\n| Argument | Type | Default | Change | |\n| --- | --- | --- | --- | --- |\n");
    for argument in kind.arguments.documentation() {
        let default = match (&argument.default, argument.required) {
            (_, true) => "required".to_owned(),
            (Some(default), _) => format!("`{default}`"),
            (None, _) => String::new(),
        };
        let change = match argument.on_change {
            OnChange::Update => "in place",
            OnChange::Replace => "replaces",
        };
        let description = argument.description.replace('\n', " ").replace('|', "\\|");
        let shape = argument.shape.replace('|', "\\|");
        out.push_str(&format!("| `{}` | {shape} | {default} | {change} | {description} |\n", argument.path));
    }
    out.push_str("\n## Attributes\n\n| Attribute | Type | |\n| --- | --- | --- |\n");
    for attribute in kind.attributes.documentation() {
        let description = attribute.description.replace('\n', " ").replace('|', "\\|");
        out.push_str(&format!("| `{}` | {} | {description} |\n", attribute.path, attribute.shape));
    }
    out.push_str("\n## IAM actions\n\n");
    for (word, actions) in [
        ("Read", kind.actions.read),
        ("Create", kind.actions.create),
        ("Update", kind.actions.update),
        ("Delete", kind.actions.delete),
    ] {
        let actions: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
        out.push_str(&format!("- {word}: {}\n", actions.join(", ")));
    }
    let identity = match kind.identity {
        Identity::ClientToken => "the client token of its create call",
        Identity::UniqueName => "its name, which is unique",
        Identity::Tags => "the ownership tags given in its create call",
        Identity::Singleton => "being the only one of its account and region",
    };
    out.push_str(&format!("\nAn interrupted create is found again by {identity}.\n"));
    if kind.holds_data {
        out.push_str(
            "\nIt holds data: a plan deletes or replaces one only where the loss is allowed, or where AWS shows that it ",
        );
        out.push_str("is empty. See [what is protected](../guards.md).\n");
    }
    out
}
