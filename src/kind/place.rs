//! What only one resource of a kind can have at a time: a name, a range of addresses, an attachment.
//!
//! A spec that gives one to two resources can't be applied, and what is to have one comes after what has it today has
//! let go. Read off the schema: `x-unique` on an argument lists the arguments within whose values it is unique (none
//! for the account and region). A text is a name, `format: cidr` a range that overlaps nothing, a list one of these for
//! each item; a boolean says that all the arguments it is unique within are had, unless it is `false`. With `x-kept`
//! it is free only when the deletion's waiting time is over.

use std::fmt;

use ipnet::IpNet;
use serde_json::Value;

use super::{Identity, KindSchema, Shape, shape};
use crate::graph::Address;
use crate::value::unknown_references;

/// One thing that only one resource of its kind can have at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The argument by which a resource has it; empty for the whole of a kind of which there is one.
    pub argument: String,
    /// The arguments within whose values it is unique.
    within: Vec<(String, Value)>,
    what: What,
    /// How many days a resource keeps it after its deletion.
    pub kept_days: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Name(String),
    Range(IpNet),
    /// There is one in all.
    Whole,
}

impl Place {
    /// Tells whether two resources can't have these both at once.
    pub fn meets(&self, other: &Self) -> bool {
        self.within == other.within
            && match (&self.what, &other.what) {
                (What::Range(one), What::Range(other)) => one.contains(other) || other.contains(one),
                (one, other) => one == other,
            }
    }

    /// Returns what places that meet have in common, for an index.
    pub fn key(&self) -> String {
        let what = match &self.what {
            What::Name(name) => name.as_str(),
            What::Range(_) | What::Whole => "",
        };
        let within = self.within.iter().map(|(name, value)| format!("{name}={value} "));
        within.chain([what.to_owned()]).collect()
    }

    /// Returns the range, where it is one.
    pub fn range(&self) -> Option<IpNet> {
        match self.what {
            What::Range(net) => Some(net),
            _ => None,
        }
    }

    /// Tells whether a resource has it by what the user says alone: an endpoint's names are AWS's to grant.
    pub fn is_given(&self) -> bool {
        self.argument.is_empty() || self.what != What::Whole
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            // Of a reference, the argument says more than that it is known after apply.
            What::Name(name) if !unknown_references(name).is_empty() => write!(f, "`{}`", self.argument),
            What::Name(name) => write!(f, "`{name}`"),
            What::Range(net) => write!(f, "`{net}`"),
            What::Whole if self.argument.is_empty() => f.write_str("what an account has once in a region"),
            What::Whole => write!(f, "`{}`", self.argument),
        }
    }
}

impl KindSchema {
    /// Returns what a resource with these arguments has for itself alone among those of its kind.
    ///
    /// A reference to what is known only after apply is the same wherever it stands; an expression's value is not, so
    /// what hangs on one is left out.
    pub(crate) fn places(&self, arguments: &Value) -> Vec<Place> {
        self.marked(arguments, &["x-unique"])
    }

    /// Returns its places, and what it claims besides: what is handed over in one call is one resource's, too.
    pub(crate) fn places_and_claims(&self, arguments: &Value) -> Vec<Place> {
        self.marked(arguments, &["x-unique", "x-claims"])
    }

    fn marked(&self, arguments: &Value, marks: &[&str]) -> Vec<Place> {
        let mut out = Vec::new();
        if self.identity == Identity::Singleton {
            out.push(Place { argument: String::new(), within: Vec::new(), what: What::Whole, kept_days: 0 });
        }
        for (name, node) in self.arguments.properties() {
            let Some(mark) = marks.iter().find_map(|mark| node.get(*mark)) else { continue };
            let of = |name: &str| arguments.get(name).cloned().unwrap_or_default();
            let within = mark.as_array().into_iter().flatten().filter_map(Value::as_str);
            let within: Vec<(String, Value)> = within.map(|name| (name.to_owned(), of(name))).collect();
            let items = match of(name) {
                Value::Array(items) => items,
                one => vec![one],
            };
            let places = items.iter().filter(|item| is_same_everywhere(item)).filter_map(|item| what(item, node));
            let kept_days = match node.get("x-kept") {
                Some(_) => self.arguments.waiting_days(arguments).unwrap_or_default(),
                None => 0,
            };
            if within.iter().all(|(_, value)| is_same_everywhere(value)) {
                let place = |what| Place { argument: name.clone(), within: within.clone(), what, kept_days };
                out.extend(places.map(place));
            }
        }
        out
    }
}

fn what(value: &Value, node: &Value) -> Option<What> {
    match value {
        Value::Null | Value::Bool(true) if shape(node) == Shape::Boolean => Some(What::Whole),
        Value::String(text) if node.get("format").and_then(Value::as_str) == Some("cidr") => {
            text.parse().ok().map(What::Range)
        }
        Value::String(text) => Some(What::Name(text.clone())),
        _ => None,
    }
}

/// Tells whether equal values are equal things: numbered markers stand for expressions of one resource alone.
fn is_same_everywhere(value: &Value) -> bool {
    let is_address = |reference: &&str| Address::parse_reference(reference).is_some();
    value.as_str().is_none_or(|text| unknown_references(text).iter().all(is_address))
}
