//! The security group that comes with a VPC: empty, or as AWS makes it.
//!
//! Calls: DescribeSecurityGroups; AuthorizeSecurityGroupIngress, AuthorizeSecurityGroupEgress,
//! RevokeSecurityGroupIngress, RevokeSecurityGroupEgress.
//! Traps: it can't be deleted, and whatever names no group is in it. What is to be let through is authorised
//! before the rest is revoked.

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, SecurityGroup, UserIdGroupPair};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ec2;
use crate::aws::{Aws, AwsError};

/// What the group lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultGroup {
    /// Nothing.
    Closed,
    /// What AWS makes it with: everything among its members, and everything out.
    Aws,
    /// Rules that somebody else made; never wanted, only found.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Other,
}

const ALL: &str = "-1";
const ANYWHERE: &str = "0.0.0.0/0";
const ANYWHERE_IPV6: &str = "::/0";

/// Tells what a group lets through.
pub(super) fn state(group: &SecurityGroup) -> DefaultGroup {
    let (ingress, egress) = (group.ip_permissions(), group.ip_permissions_egress());
    if ingress.is_empty() && egress.is_empty() {
        return DefaultGroup::Closed;
    }
    match (ingress, egress) {
        ([within], [out]) if is_within(within, group.group_id()) && is_out(out) => DefaultGroup::Aws,
        _ => DefaultGroup::Other,
    }
}

fn is_within(rule: &IpPermission, own: Option<&str>) -> bool {
    let pairs = rule.user_id_group_pairs();
    let ranges = rule.ip_ranges().is_empty() && rule.ipv6_ranges().is_empty() && rule.prefix_list_ids().is_empty();
    rule.ip_protocol() == Some(ALL) && ranges && pairs.len() == 1 && pairs[0].group_id() == own
}

/// A VPC with IPv6 has a second range in the rule that lets out.
fn is_out(rule: &IpPermission) -> bool {
    let ipv4 = matches!(rule.ip_ranges(), [one] if one.cidr_ip() == Some(ANYWHERE));
    let ipv6 = rule.ipv6_ranges().iter().all(|one| one.cidr_ipv6() == Some(ANYWHERE_IPV6));
    let others = rule.user_id_group_pairs().is_empty() && rule.prefix_list_ids().is_empty();
    rule.ip_protocol() == Some(ALL) && ipv4 && ipv6 && others
}

/// Makes the group what is wanted; what is not said is as AWS makes it.
pub(super) async fn set(aws: &Aws, id: &str, wanted: Option<DefaultGroup>, ipv6: bool) -> Result<(), AwsError> {
    let filters = vec![ec2::filter("group-id", [id])];
    let found = aws.ec2().describe_security_groups().set_filters(Some(filters)).send().await?;
    let Some(group) = found.security_groups().first() else { return Ok(()) };
    if wanted == Some(DefaultGroup::Closed) {
        return revoke(aws, id, group.ip_permissions(), group.ip_permissions_egress()).await;
    }
    let (within, out) = (within(id), out(ipv6));
    let has_within = group.ip_permissions().iter().any(|rule| is_within(rule, Some(id)));
    let has_out = group.ip_permissions_egress().iter().any(is_out);
    if !has_within {
        aws.ec2().authorize_security_group_ingress().group_id(id).ip_permissions(within).send().await?;
    }
    if !has_out {
        aws.ec2().authorize_security_group_egress().group_id(id).ip_permissions(out).send().await?;
    }
    let ingress: Vec<_> = group.ip_permissions().iter().filter(|rule| !is_within(rule, Some(id))).cloned().collect();
    let egress: Vec<_> = group.ip_permissions_egress().iter().filter(|rule| !is_out(rule)).cloned().collect();
    revoke(aws, id, &ingress, &egress).await
}

fn within(id: &str) -> IpPermission {
    let pair = UserIdGroupPair::builder().group_id(id).build();
    IpPermission::builder().ip_protocol(ALL).user_id_group_pairs(pair).build()
}

fn out(ipv6: bool) -> IpPermission {
    let everywhere = IpRange::builder().cidr_ip(ANYWHERE).build();
    let everywhere_ipv6 = ipv6.then(|| vec![Ipv6Range::builder().cidr_ipv6(ANYWHERE_IPV6).build()]);
    IpPermission::builder().ip_protocol(ALL).ip_ranges(everywhere).set_ipv6_ranges(everywhere_ipv6).build()
}

async fn revoke(aws: &Aws, id: &str, ingress: &[IpPermission], egress: &[IpPermission]) -> Result<(), AwsError> {
    if !ingress.is_empty() {
        let call = aws.ec2().revoke_security_group_ingress().group_id(id);
        call.set_ip_permissions(Some(ingress.to_vec())).send().await?;
    }
    if !egress.is_empty() {
        let call = aws.ec2().revoke_security_group_egress().group_id(id);
        call.set_ip_permissions(Some(egress.to_vec())).send().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_by_its_rules() {
        let group = |ingress: Vec<IpPermission>, egress: Vec<IpPermission>| {
            let made = SecurityGroup::builder().group_id("sg-1").set_ip_permissions(Some(ingress));
            state(&made.set_ip_permissions_egress(Some(egress)).build())
        };
        assert_eq!(group(vec![], vec![]), DefaultGroup::Closed);
        assert_eq!(group(vec![within("sg-1")], vec![out(false)]), DefaultGroup::Aws);
        assert_eq!(group(vec![within("sg-1")], vec![out(true)]), DefaultGroup::Aws);
        assert_eq!(group(vec![within("sg-2")], vec![out(true)]), DefaultGroup::Other);
        assert_eq!(group(vec![], vec![out(true)]), DefaultGroup::Other);
    }
}
