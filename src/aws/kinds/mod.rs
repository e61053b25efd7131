//! The registry of kinds: one line each, in the order of their names. Nothing else is edited to add one.

mod ec2;
mod elastic_ip;
mod flow_log;
mod internet_gateway;
mod kms_key;
mod nat_gateway;
mod route_table;
mod security_group;
mod subnet;
mod vpc;
mod vpc_endpoint;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::resource::{Kind, erase};
use crate::kind::KindSchemas;

static REGISTRY: LazyLock<BTreeMap<&'static str, Box<dyn Kind>>> = LazyLock::new(|| {
    let kinds = [
        erase::<elastic_ip::ElasticIp>(),
        erase::<flow_log::FlowLog>(),
        erase::<internet_gateway::InternetGateway>(),
        erase::<kms_key::KmsKey>(),
        erase::<nat_gateway::NatGateway>(),
        erase::<route_table::RouteTable>(),
        erase::<security_group::SecurityGroup>(),
        erase::<subnet::Subnet>(),
        erase::<vpc::Vpc>(),
        erase::<vpc_endpoint::VpcEndpoint>(),
    ];
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
