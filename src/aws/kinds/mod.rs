//! The registry of kinds: one line each, in the order of their names. Nothing else is edited to add one.

#[allow(dead_code, reason = "its kinds follow")]
mod ec2;
mod kms_key;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::resource::{Kind, erase};
use crate::kind::KindSchemas;

static REGISTRY: LazyLock<BTreeMap<&'static str, Box<dyn Kind>>> = LazyLock::new(|| {
    let kinds = [erase::<kms_key::KmsKey>()];
    kinds.into_iter().map(|kind| (kind.schema().name, kind)).collect()
});

/// Returns a kind by its name.
pub fn get(name: &str) -> Option<&'static dyn Kind> {
    REGISTRY.get(name).map(AsRef::as_ref)
}

/// Returns all kinds in the order of their names.
pub fn all() -> impl Iterator<Item = &'static dyn Kind> {
    REGISTRY.values().map(AsRef::as_ref)
}

/// Returns the schemas of all kinds.
pub fn schemas() -> KindSchemas {
    all().map(|kind| kind.schema().clone()).collect()
}
