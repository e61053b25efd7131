//! Checks that no two resources are given what only one can have; see `kind::place`.

use std::collections::BTreeMap;

use super::model::Desired;
use crate::diagnostic::Diagnostic;
use crate::graph::Address;
use crate::kind::{KindSchemas, Place};

pub(super) fn check(resources: &BTreeMap<Address, Desired>, kinds: &KindSchemas, diagnostics: &mut Vec<Diagnostic>) {
    let mut had: BTreeMap<(&str, String), Vec<(Place, &Address)>> = BTreeMap::new();
    for (address, desired) in resources {
        let Some(schema) = kinds.get(&desired.kind) else { continue };
        for place in schema.places_and_claims(&desired.arguments).into_iter().filter(Place::is_given) {
            had.entry((&desired.kind, place.key())).or_default().push((place, address));
        }
    }
    for group in had.values_mut() {
        // Sorted networks overlap only where one starts inside the last that reaches furthest.
        group.sort_by_key(|(place, address)| (place.range(), *address));
        let mut widest: Option<&(Place, &Address)> = None;
        for next in &*group {
            match widest {
                Some(last) if last.0.meets(&next.0) => diagnostics.push(both(last, next)),
                _ => widest = Some(next),
            }
        }
    }
}

fn both((first, earlier): &(Place, &Address), (place, address): &(Place, &Address)) -> Diagnostic {
    let (code, title, verb, help) = match place.range() {
        Some(_) => (
            "SPEC041",
            "networks overlap",
            "overlaps",
            "give each its own range; `subnet(prefix=…, index=each.index)` does",
        ),
        None => (
            "SPEC046",
            "two resources have what only one can have",
            "is also",
            "leave one of them out, or give each its own",
        ),
    };
    let earlier_has = format!("{first} of {earlier}");
    Diagnostic::error(code, title)
        .at_argument(address, place.argument.as_str(), format!("{place} of {address} {verb} {earlier_has}"))
        .at_argument(earlier, first.argument.as_str(), earlier_has)
        .help(help)
}
