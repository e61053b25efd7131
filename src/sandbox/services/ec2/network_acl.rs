//! Network ACLs and DHCP options, as every VPC has them; only reading is simulated.

use serde_json::Value;

use super::{describe, not_found};
use crate::sandbox::call::Call;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations =
    &[("DescribeDhcpOptions", describe_dhcp_options), ("DescribeNetworkAcls", describe_network_acls)];

fn missing_acl(id: &str) -> AwsError {
    not_found("InvalidNetworkAclID.NotFound", "networkAcl", id)
}

fn missing_options(id: &str) -> AwsError {
    not_found("InvalidDhcpOptionID.NotFound", "dhcpOption", id)
}

fn describe_network_acls(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        ("network_acls", "NetworkAcls"),
        ("NetworkAclIds", missing_acl),
        &[
            ("association.association-id", "Associations.NetworkAclAssociationId"),
            ("association.network-acl-id", "Associations.NetworkAclId"),
            ("association.subnet-id", "Associations.SubnetId"),
            ("default", "IsDefault"),
            ("entry.cidr", "Entries.CidrBlock"),
            ("entry.egress", "Entries.Egress"),
            ("entry.protocol", "Entries.Protocol"),
            ("entry.rule-action", "Entries.RuleAction"),
            ("entry.rule-number", "Entries.RuleNumber"),
            ("network-acl-id", "NetworkAclId"),
            ("owner-id", "OwnerId"),
            ("vpc-id", "VpcId"),
        ],
    )
}

fn describe_dhcp_options(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        ("dhcp_options", "DhcpOptions"),
        ("DhcpOptionsIds", missing_options),
        &[
            ("dhcp-options-id", "DhcpOptionsId"),
            ("key", "DhcpConfigurations.Key"),
            ("owner-id", "OwnerId"),
            ("value", "DhcpConfigurations.Values.Value"),
        ],
    )
}
