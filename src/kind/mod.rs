//! What a resource kind is, apart from AWS: its name, its schemas, and what each argument's change means.
//!
//! Pure and without any SDK type. The trait that talks to AWS is `aws::resource::ResourceKind`; a
//! [`KindSchema`] is made from it once and is all that spec, plan, drift, controls and docs see.

mod normal;
mod observed;
mod overlap;
mod place;
mod policy;
mod rules;
mod schema;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use normal::{normalise, with_defaults};
pub use observed::{Holding, Owner, Seen, SeenResource, Tags};
pub(crate) use overlap::{is_public, overlap, statements_of};
pub(crate) use place::Place;
pub use policy::{PolicyDocument, canonical_policy};
pub(crate) use rules::{canonical_rules, port_range};
pub use schema::{ArgumentDoc, Arn, OnChange, SchemaNode, Shape};
pub(crate) use schema::{describe, enum_values, is_policy, shape, step, unwrap_nullable};

use crate::graph::Address;

/// The account and region that a spec names, and the ARN partition they lie in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    pub environment: String,
    pub account: String,
    pub region: String,
}

impl Scope {
    /// Returns the ARN partition of the region (`aws`, `aws-cn`, `aws-us-gov`, …).
    pub fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if self.region.starts_with("us-gov-") => "aws-us-gov",
            Some("us") if self.region.starts_with("us-iso-") => "aws-iso",
            Some("us") if self.region.starts_with("us-isob-") => "aws-iso-b",
            _ => "aws",
        }
    }

    /// Makes an ARN in this account and region; `service` with a leading `-` leaves the region out (`-iam`).
    pub fn arn(&self, service: &str, resource: &str) -> String {
        let (service, region) = match service.strip_prefix('-') {
            Some(global) => (global, ""),
            None => (service, self.region.as_str()),
        };
        format!("arn:{}:{service}:{region}:{}:{resource}", self.partition(), self.account)
    }
}

/// IAM actions that the calls of a kind need, by what is done (`service:Operation`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Actions {
    pub read: &'static [&'static str],
    pub create: &'static [&'static str],
    pub update: &'static [&'static str],
    pub delete: &'static [&'static str],
}

/// How a create whose reply was lost finds its resource again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The create call takes a client token: the same call again answers with the same resource.
    ClientToken,
    /// The name is unique in its scope, and ownership tags tell whose it is.
    UniqueName,
    /// Tags given in the create call are searched for.
    Tags,
    /// There is exactly one in an account and region; "create" sets it.
    Singleton,
}

/// All that is known of a kind without asking AWS.
#[derive(Debug, Clone, Serialize)]
pub struct KindSchema {
    pub name: &'static str,
    /// The service prefix of its IAM actions (`kms`, `ec2`).
    pub service: &'static str,
    pub identity: Identity,
    /// Whether deleting one destroys what can't be made again from the spec, or turns away who uses it.
    pub holds_data: bool,
    pub actions: Actions,
    /// What the user sets.
    pub arguments: SchemaNode,
    /// What AWS sets.
    pub attributes: SchemaNode,
}

impl KindSchema {
    /// Tells whether the kind takes tags.
    pub fn takes_tags(&self) -> bool {
        self.arguments.property("tags").is_some()
    }

    /// Tells what a change of the argument at `path` means; the nearest marked ancestor decides.
    pub fn on_change(&self, path: &str) -> OnChange {
        self.arguments.on_change(path)
    }
}

/// Looks kinds up by name.
#[derive(Debug, Clone, Default)]
pub struct KindSchemas(BTreeMap<&'static str, KindSchema>);

impl KindSchemas {
    /// Returns the schema of a kind.
    pub fn get(&self, name: &str) -> Option<&KindSchema> {
        self.0.get(name)
    }

    /// Returns all kinds in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &KindSchema> {
        self.0.values()
    }
}

impl FromIterator<KindSchema> for KindSchemas {
    fn from_iter<I: IntoIterator<Item = KindSchema>>(kinds: I) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name, kind)).collect())
    }
}

/// One resource in the normal form: desired, observed or planned alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The kind's name.
    pub kind: String,
    /// Its place in the spec; `None` for one that the spec does not have.
    pub address: Option<Address>,
    /// AWS's own id, where it exists.
    pub id: Option<crate::graph::PhysicalId>,
    pub arguments: Value,
    pub attributes: Value,
}
