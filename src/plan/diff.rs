//! Compares what is wanted with what AWS has, field by field, by the kind's schema.
//!
//! Only what the spec sets, or set before, is compared; the rest belongs to AWS. A field that could not be
//! read is never taken as equal: it is compared with what was recorded and reported as unread.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::{KindSchema, OnChange};
use crate::value::{has_unknown, join_key, unreadable_reason};

/// One argument that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: String,
    /// `None` where AWS has nothing there.
    pub before: Option<Value>,
    /// `None` where it is reset; markers where it is known only after apply.
    pub after: Option<Value>,
    pub replaces: bool,
}

/// One argument that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub path: String,
    pub reason: String,
}

/// What differs, and what could not be compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    pub changes: Vec<FieldChange>,
    pub unread: Vec<Unread>,
    /// Leaves that were compared.
    pub compared: usize,
}

/// Compares arguments in the normal form.
///
/// `recorded` is what the spec set when it was last applied; `ignore` holds argument paths that the spec's
/// `lifecycle.ignore` names.
pub fn compare(
    kind: &KindSchema,
    wanted: &Value,
    seen: &Value,
    recorded: Option<&Value>,
    ignore: &[String],
) -> Comparison {
    let mut walk = Walk { kind, ignore, out: Comparison::default() };
    let empty = Map::new();
    let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let recorded = map(recorded);
    walk.object("", wanted.as_object().unwrap_or(&empty), seen.as_object().unwrap_or(&empty), &recorded);
    walk.out.changes.sort_by(|a, b| a.path.cmp(&b.path));
    walk.out
}

struct Walk<'a> {
    kind: &'a KindSchema,
    ignore: &'a [String],
    out: Comparison,
}

impl Walk<'_> {
    fn object(
        &mut self,
        path: &str,
        wanted: &Map<String, Value>,
        seen: &Map<String, Value>,
        recorded: &Map<String, Value>,
    ) {
        for (key, value) in wanted {
            let path = join_key(path, key);
            if !self.ignored(&path) {
                self.field(&path, value, seen.get(key), recorded.get(key));
            }
        }
        // What the spec set before and sets no more is reset.
        for (key, old) in recorded.iter().filter(|(key, old)| !wanted.contains_key(*key) && !old.is_null()) {
            let path = join_key(path, key);
            if self.ignored(&path) {
                continue;
            }
            match seen.get(key) {
                Some(value) if unreadable_reason(value).is_some() => self.unread(&path, value),
                Some(value) if self.kind.arguments.rests(&path, value) => {}
                Some(value) if !value.is_null() => self.change(&path, Some(value), None),
                _ if self.kind.arguments.is_local(&path) => self.change(&path, Some(old), None),
                _ => {}
            }
        }
    }

    fn field(&mut self, path: &str, wanted: &Value, seen: Option<&Value>, recorded: Option<&Value>) {
        let local = self.kind.arguments.is_local(path);
        let seen = if local { recorded } else { seen };
        if let Some(unread) = seen.filter(|value| unreadable_reason(value).is_some()) {
            self.unread(path, unread);
            if recorded.is_some_and(|recorded| recorded != wanted) {
                self.change(path, recorded, Some(wanted));
            }
            return;
        }
        match (wanted, seen) {
            // Free maps (tags) are owned whole: a key that the spec does not have is a difference.
            (Value::Object(wanted), Some(Value::Object(seen))) if !self.is_free_map(path) => {
                let empty = Map::new();
                let recorded = recorded.and_then(Value::as_object).unwrap_or(&empty);
                self.object(path, wanted, seen, recorded);
            }
            (Value::Object(wanted), Some(Value::Object(seen))) if !is_policy(self.kind, path) => {
                self.free_map(path, wanted, seen);
            }
            (wanted, Some(seen)) => {
                self.out.compared += 1;
                if wanted != seen || has_unknown(wanted) {
                    self.change(path, Some(seen), Some(wanted));
                }
            }
            (wanted, None) => {
                self.out.compared += 1;
                if !is_nothing(wanted) {
                    self.change(path, None, Some(wanted));
                }
            }
        }
    }

    fn free_map(&mut self, path: &str, wanted: &Map<String, Value>, seen: &Map<String, Value>) {
        self.out.compared += wanted.len().max(1);
        for (key, value) in wanted {
            if seen.get(key) != Some(value) {
                self.change(&join_key(path, key), seen.get(key), Some(value));
            }
        }
        for (key, value) in seen.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
            self.change(&join_key(path, key), Some(value), None);
        }
    }

    /// Tells whether a path is a map with free keys, or a policy document: both are compared as wholes.
    fn is_free_map(&self, path: &str) -> bool {
        use crate::kind::Shape;
        let Some(node) = self.kind.arguments.at(path) else { return false };
        matches!(crate::kind::shape(node), Shape::Map(_)) || is_policy(self.kind, path)
    }

    fn ignored(&self, path: &str) -> bool {
        self.ignore.iter().any(|ignored| ignored == path)
    }

    fn unread(&mut self, path: &str, value: &Value) {
        let reason = unreadable_reason(value).unwrap_or_default().to_owned();
        self.out.unread.push(Unread { path: path.to_owned(), reason });
    }

    fn change(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        if self.ignored(path) {
            return;
        }
        self.out.changes.push(FieldChange {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            replaces: self.kind.on_change(path) == OnChange::Replace,
        });
    }
}

fn is_policy(kind: &KindSchema, path: &str) -> bool {
    kind.arguments.at(path).is_some_and(crate::kind::is_policy)
}

/// Tells whether a wanted value equals AWS having nothing: an empty text, list or map.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
