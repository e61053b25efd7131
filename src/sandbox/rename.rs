//! Gives resources other ids: a copy of an account has to bear the ids that the account has.
//!
//! An id stands in keys, in members, in ARNs and inside policy documents, so whole words, and whole texts, are
//! exchanged everywhere in the world. A word is a run of letters, digits, `-`, `_` and `.`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::store::{Collection, Shelf, Store};

/// Exchanges words everywhere in a store.
pub(crate) fn rename(store: &mut Store, words: &BTreeMap<String, String>) {
    if words.is_empty() {
        return;
    }
    let places: Vec<_> = store.shelves().map(|(place, _)| place.clone()).collect();
    for place in places {
        rename_shelf(store.shelf_mut(&place), words);
    }
}

fn rename_shelf(shelf: &mut Shelf, words: &BTreeMap<String, String>) {
    for entries in shelf.collections.values_mut() {
        let old: Collection = std::mem::take(entries);
        for (id, mut entry) in old {
            exchange_value(&mut entry.value, words);
            entries.insert(exchange(&id, words).unwrap_or(id), entry);
        }
    }
}

fn exchange_value(value: &mut Value, words: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = exchange(text, words) {
                *text = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| exchange_value(item, words)),
        Value::Object(members) => {
            let old = std::mem::take(members);
            let new = old.into_iter().map(|(key, mut item)| {
                exchange_value(&mut item, words);
                (exchange(&key, words).unwrap_or(key), item)
            });
            *members = new.collect::<Map<_, _>>();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Returns a text with its words exchanged, if it has any of them.
fn exchange(text: &str, words: &BTreeMap<String, String>) -> Option<String> {
    if let Some(new) = words.get(text) {
        return Some(new.clone());
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(of_word).unwrap_or(rest.len());
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        match words.get(word) {
            Some(new) => {
                out.push_str(new);
                changed = true;
            }
            None => out.push_str(word),
        }
        rest = &rest[end..];
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_exchanged() {
        let words = BTreeMap::from([("vpc-01".to_owned(), "vpc-99".to_owned())]);
        assert_eq!(exchange("arn:aws:ec2:r:1:vpc/vpc-01", &words).as_deref(), Some("arn:aws:ec2:r:1:vpc/vpc-99"));
        assert_eq!(exchange("vpc-012 my-vpc-01", &words), None);
        assert_eq!(exchange("{\"a\":\"vpc-01\"}", &words).as_deref(), Some("{\"a\":\"vpc-99\"}"));
    }
}
