//! Reads what AWS has, in bulk: one read per kind for all of its resources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::recover::FIND_BOUND_S;
use crate::aws::resource::{Discovered, Fields, Kind};
use crate::aws::wait::{self, Bound, Poll};
use crate::aws::{Aws, AwsError};
use crate::graph::{Address, PhysicalId};
use crate::kind::Seen;

/// Reads the resources under their ids, all kinds at once. Every address is answered.
pub async fn observe(
    aws: &Aws,
    kinds: &(dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    wanted: &BTreeMap<Address, (String, PhysicalId)>,
    fields: &BTreeMap<String, Fields>,
) -> BTreeMap<Address, Seen> {
    let mut by_kind: BTreeMap<&str, Vec<PhysicalId>> = BTreeMap::new();
    for (kind, id) in wanted.values() {
        by_kind.entry(kind).or_default().push(id.clone());
    }
    let reads = by_kind.into_iter().map(|(name, mut ids)| async move {
        ids.sort();
        ids.dedup();
        let answer = match kinds(name) {
            Some(kind) => {
                let fields = fields.get(name).unwrap_or(&Fields::All);
                kind.read_many(aws, &ids, fields).await.map_err(|error| error.reason())
            }
            None => Err(format!("this opora does not know the kind `{name}`")),
        };
        (name.to_owned(), answer)
    });
    let answers: BTreeMap<String, Result<BTreeMap<PhysicalId, Seen>, String>> =
        join_all(reads).await.into_iter().collect();
    let look_up = |(address, (kind, id)): (&Address, &(String, PhysicalId))| {
        let seen = match answers.get(kind) {
            Some(Ok(found)) => {
                found.get(id).cloned().unwrap_or_else(|| Seen::Unreadable { reason: "it was not answered".to_owned() })
            }
            Some(Err(reason)) => Seen::Unreadable { reason: reason.clone() },
            None => Seen::Unreadable { reason: "it was not asked for".to_owned() },
        };
        (address.clone(), seen)
    };
    wanted.iter().map(look_up).collect()
}

/// Waits for resources that calls which list do not show yet, because they were only just made.
///
/// Returns what is seen of them at the end; what stays absent for as long as AWS may take to show it is absent.
pub async fn observe_new(
    aws: &Aws,
    kinds: &(dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    wanted: &BTreeMap<Address, (String, PhysicalId)>,
    fields: &BTreeMap<String, Fields>,
) -> BTreeMap<Address, Seen> {
    let last = Mutex::new(BTreeMap::new());
    let _ = wait::until(aws, "new resources to show", Bound::seconds(FIND_BOUND_S), || async {
        let seen = observe(aws, kinds, wanted, fields).await;
        let missing = seen.values().filter(|seen| matches!(seen, Seen::Absent)).count();
        *last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(if missing == 0 { Poll::Ready(()) } else { Poll::Pending(format!("{missing} not there")) })
    })
    .await;
    last.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Says which arguments have to be read of each kind: those that any of its resources sets or set.
///
/// What nothing manages is not asked for; an audit asks for all.
pub fn wanted_fields<'a>(resources: impl IntoIterator<Item = (&'a str, &'a Value)>) -> BTreeMap<String, Fields> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (kind, arguments) in resources {
        let set = names.entry(kind.to_owned()).or_default();
        set.extend(arguments.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        set.insert("tags".to_owned());
    }
    names.into_iter().map(|(kind, names)| (kind, Fields::Only(names))).collect()
}

/// A resource that the account has and no state knows, or the reason why a kind could not be listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unmanaged {
    pub kind: String,
    pub found: Discovered,
}

/// Lists what exists of the given kinds and is not among `managed`.
///
/// The second part names the kinds that could not be listed: nothing is known of them.
pub async fn observe_unmanaged(
    aws: &Aws,
    kinds: impl IntoIterator<Item = &'static dyn Kind>,
    managed: &BTreeSet<(String, PhysicalId)>,
) -> (Vec<Unmanaged>, BTreeMap<String, AwsError>) {
    let reads = kinds.into_iter().map(|kind| async move { (kind.schema().name, kind.discover(aws).await) });
    let mut found = Vec::new();
    let mut failed = BTreeMap::new();
    for (kind, answer) in join_all(reads).await {
        match answer {
            Ok(all) => {
                let new = all.into_iter().filter(|found| !managed.contains(&(kind.to_owned(), found.id.clone())));
                found.extend(new.map(|found| Unmanaged { kind: kind.to_owned(), found }));
            }
            Err(error) => {
                failed.insert(kind.to_owned(), error);
            }
        }
    }
    (found, failed)
}
