//! A plan as people read it: replacements and deletions first, and the reason for each.

use serde_json::Value;

use super::output::{Output, Style};
use crate::plan::{Action, Change, FieldChange, Plan, Reason};
use crate::render::counted;
use crate::value::{display_unknown, unreadable_reason, whole_unknown};

/// The longest value that is printed whole, in characters.
const VALUE_MAX: usize = 80;

/// Prints the changes of a plan; when brief, creations without their arguments.
pub(crate) fn print(out: &Output, plan: &Plan) {
    for change in plan.changes_for_reading() {
        print_change(out, change);
        if !(out.brief && change.action == Action::Create) {
            print_fields(out, change);
        }
    }
    for change in &plan.changes {
        for unread in &change.unread {
            let text =
                format!("  ? unread   {}  {}: {}; taken as recorded", change.address, unread.path, unread.reason);
            out.line(out.style(Style::Warn, &text));
        }
    }
}

fn print_change(out: &Output, change: &Change) {
    let (sign, word, style) = match change.action {
        Action::Create => ("+", "create", Style::Good),
        Action::Update => ("~", "update", Style::Warn),
        Action::Replace => ("±", "replace", Style::Bad),
        Action::Delete => ("-", "delete", Style::Bad),
        Action::Forget => (".", "forget", Style::Dim),
        Action::NoOp => return,
    };
    let reasons: Vec<String> = change.reasons.iter().filter_map(|reason| reason_text(reason, change)).collect();
    let head = out.style(style, &format!("{sign} {word:<8}"));
    let address = change.address.to_string();
    let reasons = if reasons.is_empty() { String::new() } else { format!("  {}", reasons.join("; ")) };
    out.line(format!("  {head} {}{}", out.style(Style::Strong, &address), out.style(Style::Dim, &reasons)));
}

fn print_fields(out: &Output, change: &Change) {
    let width = change.fields.iter().map(|field| field.path.chars().count()).max().unwrap_or(0).min(36);
    for field in &change.fields {
        let text = match change.action {
            Action::Create if field.after.as_ref().is_some_and(is_empty) => continue,
            Action::Create => field.after.as_ref().map_or_else(String::new, value_text),
            _ => change_text(field),
        };
        let mark = if field.replaces && change.action == Action::Replace { "  (can't change in place)" } else { "" };
        out.line(format!("               {:<width$}  {text}{mark}", field.path));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Writes what a field was and what it becomes; of lists only what differs.
pub(crate) fn change_text(field: &FieldChange) -> String {
    match (&field.before, &field.after) {
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let gone = before.iter().filter(|item| !after.contains(item)).map(|item| format!("- {}", value_text(item)));
            let new = after.iter().filter(|item| !before.contains(item)).map(|item| format!("+ {}", value_text(item)));
            let parts: Vec<String> = gone.chain(new).collect();
            if parts.is_empty() { "order".to_owned() } else { parts.join(", ") }
        }
        (Some(before), Some(after)) => format!("{} → {}", value_text(before), value_text(after)),
        (None, Some(after)) => format!("+ {}", value_text(after)),
        (Some(before), None) => format!("{} → (not set)", value_text(before)),
        (None, None) => String::new(),
    }
}

/// Writes a value in one line.
pub(crate) fn value_text(value: &Value) -> String {
    if let Some(reason) = unreadable_reason(value) {
        return format!("(unreadable: {reason})");
    }
    let text = match value {
        Value::String(text) if whole_unknown(text).is_some() => return "(known after apply)".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => display_unknown(text),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, item)| format!("{}: {}", display_unknown(key), value_text(item))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(value_text).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    let text = text.replace('\n', "⏎");
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    let short: String = text.chars().take(VALUE_MAX - 1).collect();
    format!("{short}…")
}

fn reason_text(reason: &Reason, change: &Change) -> Option<String> {
    Some(match reason {
        Reason::New | Reason::Differs => return None,
        Reason::Takes { argument, from } => {
            let what = if argument.is_empty() { "place".to_owned() } else { format!("`{argument}`") };
            format!("takes the {what} of {from}; `opora state mv {from} {}` keeps that one instead", change.address)
        }
        Reason::Gone if change.action == Action::Create => "it was deleted outside of opora".to_owned(),
        Reason::Gone => "it is gone already".to_owned(),
        Reason::CannotUpdate { path } => format!("`{path}` can't change in place"),
        Reason::Triggered { by } => format!("{by} changes"),
        Reason::NotInSpec => "no longer in the spec".to_owned(),
        Reason::Unfinished => "an earlier run did not finish it".to_owned(),
        Reason::Broken { path, value } => format!("its {path} is `{value}`, which it does not leave"),
        Reason::Deposed => "replaced earlier, waits for its deletion".to_owned(),
        Reason::Destroy => return None,
    })
}

/// Writes the last line: how many of what.
pub(crate) fn summary(plan: &Plan) -> String {
    let counts = plan.counts();
    let parts = [
        (counts.create, "to create"),
        (counts.update, "to update"),
        (counts.replace, "to replace"),
        (counts.delete, "to delete"),
        (counts.forget, "to forget"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() {
        let are = if counts.unchanged == 1 { "is" } else { "are" };
        format!("no changes: {} {are} as the spec says", counted(counts.unchanged, "resource"))
    } else {
        format!("{}, {} unchanged", parts.join(", "), counts.unchanged)
    }
}
