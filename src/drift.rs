//! Drift: what differs between what was applied and what AWS has. Pure.
//!
//! Says how much was looked at: a field that could not be read, or that nothing manages, is counted and
//! never taken as unchanged.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::{Address, PhysicalId};
use crate::kind::{KindSchemas, Seen};
use crate::plan::{FieldChange, Prior, Unread, compare};
use crate::value;

/// A managed resource that differs from what was applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drifted {
    pub address: Address,
    pub kind: String,
    pub id: PhysicalId,
    /// Whether it is gone altogether.
    pub gone: bool,
    /// `before` is what was applied, `after` what AWS has.
    pub fields: Vec<FieldChange>,
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    pub managed: usize,
    pub fields_checked: usize,
    /// Named by `lifecycle.ignore`.
    pub fields_ignored: usize,
    pub fields_unreadable: usize,
    /// Arguments that AWS has and no spec sets.
    pub fields_unmanaged: usize,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Drift {
    pub drifted: Vec<Drifted>,
    /// Resources and fields that could not be read.
    pub unreadable: Vec<(Address, Unread)>,
    pub coverage: Coverage,
}

/// Compares every recorded resource with what was seen of it.
pub fn drift(kinds: &KindSchemas, prior: &BTreeMap<Address, Prior>, seen: &BTreeMap<Address, Seen>) -> Drift {
    let mut out = Drift { coverage: Coverage { managed: prior.len(), ..Coverage::default() }, ..Drift::default() };
    for (address, prior) in prior {
        let unreadable = |reason: &str| (address.clone(), Unread { path: String::new(), reason: reason.to_owned() });
        let Some(schema) = kinds.get(&prior.kind) else {
            out.unreadable.push(unreadable("this opora does not know the kind"));
            continue;
        };
        let found = |gone: bool, fields: Vec<FieldChange>| Drifted {
            address: address.clone(),
            kind: prior.kind.clone(),
            id: prior.id.clone(),
            gone,
            fields,
        };
        match seen.get(address) {
            Some(Seen::Present(resource)) => {
                let recorded = Some(&prior.arguments);
                let comparison =
                    compare(schema, &prior.arguments, &resource.arguments, recorded, &prior.lifecycle.ignore);
                out.coverage.fields_checked += comparison.compared;
                out.coverage.fields_ignored += prior.lifecycle.ignore.len();
                out.coverage.fields_unreadable += comparison.unread.len();
                out.coverage.fields_unmanaged += unmanaged_fields(prior, resource);
                out.unreadable.extend(comparison.unread.into_iter().map(|unread| (address.clone(), unread)));
                if !comparison.changes.is_empty() {
                    let turned = comparison.changes.into_iter().map(|change| FieldChange {
                        before: change.after,
                        after: change.before,
                        ..change
                    });
                    out.drifted.push(found(false, turned.collect()));
                }
            }
            Some(Seen::Absent) => out.drifted.push(found(true, Vec::new())),
            Some(Seen::Unreadable { reason }) => out.unreadable.push(unreadable(reason)),
            None => out.unreadable.push(unreadable("it was not read")),
        }
    }
    out
}

/// Counts the top-level arguments that AWS has a value for and the spec does not set.
fn unmanaged_fields(prior: &Prior, seen: &crate::kind::SeenResource) -> usize {
    let names = seen.arguments.as_object().into_iter().flatten();
    names.filter(|(name, value)| !value.is_null() && value::get(&prior.arguments, name).is_none()).count()
}
