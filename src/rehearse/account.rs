//! Reads the account as a rehearsal needs it: everything of all kinds, and what the plan asks of the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::aws::resource::Fields;
use crate::aws::surroundings::Questions;
use crate::aws::{Aws, kinds};
use crate::graph::{Address, PhysicalId};
use crate::kind::{Seen, SeenResource};
use crate::plan::{Plan, StepKind};
use crate::value::unreadable_reason;

/// One resource of the account.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub kind: &'static str,
    pub id: PhysicalId,
    /// Its address, where the plan knows it.
    pub address: Option<Address>,
    pub seen: SeenResource,
}

/// The account's resources, and what could not be read of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub resources: Vec<Found>,
    pub unknown: Vec<String>,
}

/// Lists and reads everything of all kinds.
pub(super) async fn read(aws: &Aws, plan: &Plan) -> Account {
    let managed: BTreeMap<(&str, &PhysicalId), &Address> =
        plan.bound.iter().map(|(address, bound)| ((bound.kind.as_str(), &bound.id), address)).collect();
    let managed = &managed;
    let reads = kinds::all().map(|kind| async move {
        let name = kind.schema().name;
        let mut ids: BTreeSet<PhysicalId> =
            managed.keys().filter(|(kind, _)| *kind == name).map(|(_, id)| (*id).clone()).collect();
        match kind.discover(aws).await {
            Ok(found) => ids.extend(found.into_iter().map(|found| found.id)),
            Err(error) => return (name, Err(error.reason())),
        }
        let ids: Vec<PhysicalId> = ids.into_iter().collect();
        (name, kind.read_many(aws, &ids, &Fields::All).await.map_err(|error| error.reason()))
    });
    let mut out = Account::default();
    for (kind, answer) in futures::future::join_all(reads).await {
        let found = match answer {
            Ok(found) => found,
            Err(reason) => {
                out.unknown.push(format!("{kind}: {reason}"));
                continue;
            }
        };
        for (id, seen) in found {
            let address = managed.get(&(kind, &id)).map(|address| (*address).clone());
            match seen {
                Seen::Present(seen) => out.take(Found { kind, id, address, seen }),
                Seen::Absent => {}
                Seen::Unreadable { reason } => out.unknown.push(format!("{kind} {id}: {reason}")),
            }
        }
    }
    out
}

impl Account {
    /// Takes a resource without its unreadable arguments, which are said instead.
    fn take(&mut self, mut found: Found) {
        if let Some(arguments) = found.seen.arguments.as_object_mut() {
            arguments.retain(|name, value| match unreadable_reason(value) {
                Some(reason) => {
                    self.unknown.push(format!("{name} of {} {}: {reason}", found.kind, found.id));
                    false
                }
                None => true,
            });
        }
        self.resources.push(found);
    }
}

/// Returns the buckets that a bucket is replicated to, each with the account that is said to have it.
fn destinations(bucket: &Value) -> impl Iterator<Item = (String, Option<String>)> {
    let rules = bucket["replication"]["rules"].as_array().into_iter().flatten();
    rules.filter_map(|rule| {
        let (_, name) = rule["destination"]["bucket"].as_str()?.split_once(":::")?;
        Some((name.to_owned(), rule["destination"]["account"].as_str().map(str::to_owned)))
    })
}

/// Says what a plan asks of the account beside its resources.
pub(super) fn questions(plan: &Plan, region: &str) -> Questions {
    let mut out = Questions::default();
    let text = |step: &crate::plan::Step, name: &str| step.arguments[name].as_str().map(str::to_owned);
    for step in &plan.steps {
        let (made, gone) = (step.kind == StepKind::Create, step.kind == StepKind::Delete);
        if step.resource == "s3_bucket" && !gone {
            out.destinations.extend(destinations(&step.arguments));
        }
        match step.resource.as_str() {
            "cloudtrail_trail" => out.organization |= step.arguments["organization"] == true,
            "s3_bucket" if made => out.new_buckets.extend(text(step, "name")),
            "s3_bucket" if gone => out.old_buckets.extend(step.id.as_ref().map(ToString::to_string)),
            "vpc_endpoint" if made => {
                let full = |name: String| match name.contains(".amazonaws.") || name.starts_with("com.") {
                    true => name,
                    false => format!("com.amazonaws.{region}.{name}"),
                };
                out.services.extend(text(step, "service").map(full));
            }
            _ => {}
        }
        crate::value::walk_leaves(&step.arguments, "", &mut |_, leaf: &Value| {
            let own = leaf.as_str().filter(|text| text.contains(":iam::aws:policy/"));
            out.policies.extend(own.map(str::to_owned));
        });
    }
    out
}
