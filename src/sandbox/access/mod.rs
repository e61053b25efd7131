//! What the account allows at one moment, and whether a moment lies between two others.
//!
//! Read from the store alone: rules of security groups, routes of subnets, policies of roles, keys, buckets,
//! secrets and endpoints, and what trails record. A moment between a beginning and an end is sound where it
//! allows all that both allow, and nothing that neither allows. The probes are made of the boundaries of all
//! three moments' rules, so that for ranges, ports, routes and patterns that end in `*` no case is left out.
//! Deliberately absent: network ACLs, grants of KMS, and what one gate's change means behind another resource's.

mod connections;
mod logging;
mod patterns;
mod policies;
mod routes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::call::resolve;
use super::store::{Place, Store};

pub(crate) use connections::Connections;
pub(crate) use logging::Logging;
pub(crate) use policies::Guard;
pub(crate) use routes::Routes;

/// What one resource allows.
#[derive(Debug, Clone, PartialEq)]
enum Facts {
    Connections(Connections),
    Routes(Routes),
    Guard(Guard),
    Logging(Logging),
}

/// What everything in the world allows, by resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    facts: BTreeMap<String, Facts>,
}

/// The account after one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The operation's name; empty for the moment at which the watch began.
    pub operation: String,
    pub access: Access,
}

/// A moment that is not between its beginning and its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The resource, as its kind and id.
    pub subject: String,
    /// What is allowed though neither end allows it, or not though both do.
    pub probe: String,
    pub too_wide: bool,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.too_wide { "let through, though neither end does" } else { "cut, though neither end is" };
        write!(formatter, "{}: {} is {what}", self.subject, self.probe)
    }
}

/// Reads the store's resources as they are at one time.
pub(crate) struct Reader<'s> {
    pub(crate) store: &'s Store,
    pub(crate) now: f64,
}

impl<'s> Reader<'s> {
    /// Lists the resources of a collection wherever they are.
    fn all(&self, service: &str, collection: &str) -> Vec<(&'s Place, String, Value)> {
        let mut out = Vec::new();
        for (place, shelf) in self.store.shelves().filter(|(place, _)| place.service == service) {
            for (id, entry) in shelf.collections.get(collection).into_iter().flatten() {
                if let Some(value) = resolve(&entry.value, self.now) {
                    out.push((place, id.clone(), value.into_owned()));
                }
            }
        }
        out
    }

    /// Returns a resource of any service in one place's account.
    fn get(&self, account: &str, service: &str, collection: &str, id: &str) -> Option<Value> {
        let mut shelves = self.store.shelves();
        let found = shelves.find_map(|(place, shelf)| {
            let here = place.account == account && place.service == service;
            shelf.collections.get(collection)?.get(id).filter(|_| here)
        });
        resolve(&found?.value, self.now).map(Cow::into_owned)
    }
}

impl Access {
    /// Reads what the world allows now.
    pub(crate) fn of(store: &Store, now: f64) -> Self {
        let reader = Reader { store, now };
        let mut facts = BTreeMap::new();
        facts.extend(connections::read(&reader).into_iter().map(|(id, it)| (id, Facts::Connections(it))));
        facts.extend(routes::read(&reader).into_iter().map(|(id, it)| (id, Facts::Routes(it))));
        facts.extend(policies::read(&reader).into_iter().map(|(id, it)| (id, Facts::Guard(it))));
        facts.extend(logging::read(&reader).into_iter().map(|(id, it)| (id, Facts::Logging(it))));
        Self { facts }
    }

    /// Names the resources whose access differs between two moments, those that only one has left out.
    pub fn differing(&self, other: &Self) -> BTreeSet<String> {
        let both = self.facts.iter().filter_map(|(id, one)| Some((id, one, other.facts.get(id)?)));
        both.filter(|(_, one, other)| one != other).map(|(id, ..)| id.clone()).collect()
    }

    /// Returns where this moment allows what neither end does, or cuts what both ends allow.
    ///
    /// A resource that the beginning or the end does not have is made or deleted in between, and not looked at.
    pub fn between(&self, before: &Self, after: &Self) -> Vec<Breach> {
        let mut out = Vec::new();
        for (subject, first) in &before.facts {
            let Some(last) = after.facts.get(subject) else { continue };
            let Some(here) = self.facts.get(subject) else {
                out.push(Breach { subject: subject.clone(), probe: "all of it".to_owned(), too_wide: false });
                continue;
            };
            if here == first || here == last {
                continue;
            }
            let found = match (first, here, last) {
                (Facts::Connections(first), Facts::Connections(here), Facts::Connections(last)) => {
                    here.between(first, last)
                }
                (Facts::Routes(first), Facts::Routes(here), Facts::Routes(last)) => here.between(first, last),
                (Facts::Guard(first), Facts::Guard(here), Facts::Guard(last)) => here.between(first, last),
                (Facts::Logging(first), Facts::Logging(here), Facts::Logging(last)) => here.between(first, last),
                _ => Vec::new(),
            };
            let breach = |(probe, too_wide)| Breach { subject: subject.clone(), probe, too_wide };
            out.extend(found.into_iter().map(breach));
        }
        out
    }
}

/// What an evaluator found: the probe, and whether it is let through rather than cut.
type Found = Vec<(String, bool)>;

/// Judges one probe by whether beginning, moment and end allow it.
fn judge(probe: impl FnOnce() -> String, before: bool, here: bool, after: bool, found: &mut Found) {
    if here && !before && !after {
        found.push((probe(), true));
    } else if !here && before && after {
        found.push((probe(), false));
    }
}

#[cfg(test)]
mod tests;
