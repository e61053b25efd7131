//! What an account has beside the resources of the kinds, as far as it can stop an apply.
//!
//! Network interfaces that keep a subnet, names that others hold, users that hold a policy, the zones and services
//! of the region, the account's own quotas. Each part is read from one account and written into another, which is a
//! copy; nothing here writes to the account that it reads. What could not be read is said, never taken for empty.

mod names;
mod network;
mod principals;
mod region;

use std::collections::{BTreeMap, BTreeSet};

use super::{Aws, AwsError};
pub use names::Names;
pub use network::Network;
pub use principals::Principals;
pub use region::Region;

/// Ids of the account that was read, and the ids of the same things in the copy.
pub type Ids = BTreeMap<String, String>;

/// What a plan asks about.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Buckets that are to be made.
    pub new_buckets: BTreeSet<String>,
    /// Buckets that are to be deleted.
    pub old_buckets: BTreeSet<String>,
    /// Buckets that others are to be replicated to, with the account that each is said to belong to.
    pub destinations: BTreeMap<String, Option<String>>,
    /// Services that endpoints lead to, in full (`com.amazonaws.us-east-1.kms`).
    pub services: BTreeSet<String>,
    /// AWS's own policies that are to be attached.
    pub policies: BTreeSet<String>,
    /// Whether a trail is to be an organization's.
    pub organization: bool,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    pub network: Network,
    pub names: Names,
    pub principals: Principals,
    pub region: Region,
    /// What could not be looked at, with the reason.
    pub unknown: Vec<String>,
}

/// Reads what surrounds the resources.
pub async fn read(aws: &Aws, questions: &Questions) -> Surroundings {
    let mut unknown = Vec::new();
    let (network, names, principals, region) = futures::join!(
        network::read(aws),
        names::read(aws, questions),
        principals::read(aws),
        region::read(aws, questions)
    );
    let out = Surroundings {
        network: network.0,
        names: names.0,
        principals: principals.0,
        region: region.0,
        unknown: Vec::new(),
    };
    for part in [network.1, names.1, principals.1, region.1] {
        unknown.extend(part);
    }
    Surroundings { unknown, ..out }
}

/// Notes why a part is unknown, and goes on without it.
fn or_unknown<T: Default>(what: &str, answer: Result<T, AwsError>, unknown: &mut Vec<String>) -> T {
    answer.unwrap_or_else(|error| {
        unknown.push(format!("{what}: {}", error.reason()));
        T::default()
    })
}

/// Returns the id in the copy.
fn of_copy<'i>(ids: &'i Ids, id: &'i str) -> &'i str {
    ids.get(id).map_or(id, String::as_str)
}
