//! Replaces markers by values that are known by now.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::graph::Address;
use crate::spec::{self, Deferred};
use crate::value;

/// What is known of one resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub arguments: Value,
    pub attributes: Value,
}

/// What is known of all resources, by address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownResources(pub BTreeMap<Address, Known>);

impl KnownResources {
    /// Returns the value of a reference such as `kms_key.data.arn`.
    pub fn lookup(&self, reference: &str) -> Option<Value> {
        let (address, path) = Address::parse_reference(reference)?;
        let known = self.0.get(&address)?;
        let found = value::get(&known.attributes, path).or_else(|| value::get(&known.arguments, path))?;
        let usable = value::unreadable_reason(found).is_none() && !value::has_unknown(found) && !found.is_null();
        usable.then(|| found.clone())
    }
}

/// Replaces what is known; markers of what is not stay.
pub fn resolve_all(arguments: &Value, deferred: &[Deferred], known: &KnownResources) -> Value {
    value::resolve(arguments, &mut |reference| lookup(reference, deferred, known))
}

/// Looks up a reference, or the value of a deferred expression (`#n`), which needs only earlier ones.
fn lookup(reference: &str, deferred: &[Deferred], known: &KnownResources) -> Option<Value> {
    let Some(number) = reference.strip_prefix('#') else { return known.lookup(reference) };
    let number: usize = number.parse().ok()?;
    let earlier = deferred.get(..number)?;
    spec::evaluate_deferred(deferred.get(number)?, &|reference| lookup(reference, earlier, known)).ok()
}
