//! Reads what AWS has, in bulk: one read per kind for all of its resources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::recover::FIND_BOUND_S;
use crate::aws::bulk::{BULK_MIN, Recorded, TagPages, read_recorded};
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
    observe_recorded(aws, kinds, wanted, fields, &BTreeMap::new()).await
}

/// Reads as [`observe`] does, in fewer calls for what AWS confirms in bulk to be as it was recorded.
pub async fn observe_recorded(
    aws: &Aws,
    kinds: &(dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    wanted: &BTreeMap<Address, (String, PhysicalId)>,
    fields: &BTreeMap<String, Fields>,
    recorded: &BTreeMap<Address, Recorded>,
) -> BTreeMap<Address, Seen> {
    let mut by_kind: BTreeMap<&str, (Vec<PhysicalId>, BTreeMap<&PhysicalId, &Recorded>)> = BTreeMap::new();
    for (address, (kind, id)) in wanted {
        let (ids, known) = by_kind.entry(kind).or_default();
        ids.push(id.clone());
        known.extend(recorded.get(address).map(|recorded| (id, recorded)));
    }
    for (ids, _) in by_kind.values_mut() {
        ids.sort();
        ids.dedup();
    }
    let pages = tag_pages(aws, kinds, &by_kind).shared();
    let reads = by_kind.iter().map(|(&name, (ids, known))| {
        let pages = pages.clone();
        async move {
            let answer = match kinds(name) {
                Some(kind) => {
                    let fields = fields.get(name).unwrap_or(&Fields::All);
                    let read = match kind.in_bulk() {
                        Some(_) => read_recorded(kind, aws, ids, known, fields, pages.await.as_ref()).await,
                        None => kind.read_many(aws, ids, fields).await,
                    };
                    read.map_err(|error| error.reason())
                }
                None => Err(format!("this opora does not know the kind `{name}`")),
            };
            (name, answer)
        }
    });
    let answers: BTreeMap<&str, Result<BTreeMap<PhysicalId, Seen>, String>> =
        join_all(reads).await.into_iter().collect();
    let look_up = |(address, (kind, id)): (&Address, &(String, PhysicalId))| {
        let seen = match answers.get(kind.as_str()) {
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

/// Reads the tags of what is recorded of the kinds that are read in bulk, where it is enough to be worth it.
///
/// Where AWS does not give them, there are none: the services are asked instead.
async fn tag_pages(
    aws: &Aws,
    kinds: &(dyn Fn(&str) -> Option<&'static dyn Kind> + Sync),
    wanted: &BTreeMap<&str, (Vec<PhysicalId>, BTreeMap<&PhysicalId, &Recorded>)>,
) -> Arc<TagPages> {
    let (mut bulk, mut count, mut environment) = (Vec::new(), 0, None);
    for (name, (_, recorded)) in wanted {
        let Some(one) = kinds(name).and_then(Kind::in_bulk).filter(|_| !recorded.is_empty()) else { continue };
        bulk.push(one);
        count += recorded.len();
        environment = recorded.values().next().map(|recorded| recorded.owner.environment.as_str());
    }
    let pages = match environment {
        Some(environment) if count >= BULK_MIN => TagPages::read(aws, environment, &bulk).await.ok(),
        _ => None,
    };
    Arc::new(pages.unwrap_or_default())
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
