//! The secondary addresses of a NAT gateway: brought about one call at a time, each decided by a look at what there is.
//!
//! While addresses drain, AWS takes no other change. An address that AWS failed to give is none, and is asked for anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_ec2::types::{NatGatewayAddress, NatGatewayAddressStatus as Status};

use super::{Arguments, NatGateway, list};
use crate::aws::kinds::ec2;
use crate::aws::resource::Update;
use crate::aws::wait::{Bound, Poll, Stepwise, step_by_step, until};
use crate::aws::{Aws, AwsError, ErrorClass};

/// Seconds that addresses may take to be given, or to drain: AWS lets go of one after 350 s at the latest.
const SETTLED_S: u64 = 900;

/// One call that brings a gateway closer to its arguments.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Takes public addresses away, by their association ids.
    Disassociate(Vec<String>),
    /// Adds public addresses, by their allocation ids.
    Associate(Vec<String>),
    /// Takes private addresses away.
    Unassign(Vec<String>),
    Assign(Vec<String>),
    AssignCount(i32),
}

impl Step {
    fn adds(&self) -> bool {
        matches!(self, Self::Associate(_) | Self::Assign(_) | Self::AssignCount(_))
    }
}

/// What is read of secondary addresses.
pub(super) struct Secondary {
    pub(super) allocations: Vec<String>,
    pub(super) private_ips: Vec<String>,
}

/// Reads the secondary addresses that there are or will be; private ones of a private gateway only.
pub(super) fn read(addresses: &[NatGatewayAddress]) -> Secondary {
    let (public, private): (Vec<_>, Vec<_>) = in_use(addresses).partition(|address| address.allocation_id.is_some());
    Secondary {
        allocations: public.into_iter().filter_map(|address| address.allocation_id.clone()).collect(),
        private_ips: private.into_iter().filter_map(|address| address.private_ip.clone()).collect(),
    }
}

fn in_use(addresses: &[NatGatewayAddress]) -> impl Iterator<Item = &NatGatewayAddress> {
    let leaves = |address: &NatGatewayAddress| {
        matches!(address.status, Some(Status::Failed | Status::Disassociating | Status::Unassigning))
    };
    addresses.iter().filter(move |address| address.is_primary == Some(false) && !leaves(address))
}

/// Brings a gateway's secondary addresses to what is wanted, and waits until they are in use or gone.
pub(super) async fn update(cx: &Update<'_, NatGateway>) -> Result<(), AwsError> {
    let addresses = Addresses { aws: cx.aws, once: &cx.aws.once(), id: cx.id.as_str(), wanted: cx.after };
    step_by_step(cx.aws, &addresses).await
}

/// A gateway's secondary addresses on their way to what is wanted.
struct Addresses<'a> {
    aws: &'a Aws,
    /// For calls that must not be sent twice.
    once: &'a Aws,
    id: &'a str,
    wanted: &'a Arguments,
}

#[async_trait]
impl Stepwise for Addresses<'_> {
    type Step = Step;

    const WHAT: &'static str = "the NAT gateway's addresses";

    async fn next(&self, sent: &[Step]) -> Result<Option<Step>, AwsError> {
        let there = settled(self.aws, self.id).await?;
        let next = next(&there, self.wanted);
        let asked = sent.iter().any(Step::adds);
        match there.iter().find(|address| address.status == Some(Status::Failed)) {
            Some(failed) if asked && next.is_some() => Err(refused(failed)),
            _ => Ok(next),
        }
    }

    async fn send(&self, step: &Step) -> Result<(), AwsError> {
        let (ec2, id) = (self.once.ec2(), self.id);
        match step {
            Step::Disassociate(ids) => {
                let call = ec2.disassociate_nat_gateway_address().nat_gateway_id(id);
                call.set_association_ids(Some(ids.clone())).send().await?;
            }
            Step::Associate(ids) => {
                let call = ec2.associate_nat_gateway_address().nat_gateway_id(id);
                call.set_allocation_ids(Some(ids.clone())).send().await?;
            }
            Step::Unassign(ips) => {
                let call = ec2.unassign_private_nat_gateway_address().nat_gateway_id(id);
                call.set_private_ip_addresses(Some(ips.clone())).send().await?;
            }
            Step::Assign(ips) => {
                let call = ec2.assign_private_nat_gateway_address().nat_gateway_id(id);
                call.set_private_ip_addresses(Some(ips.clone())).send().await?;
            }
            Step::AssignCount(count) => {
                let call = ec2.assign_private_nat_gateway_address().nat_gateway_id(id);
                call.private_ip_address_count(*count).send().await?;
            }
        }
        Ok(())
    }
}

/// Decides what to do next. What is not wanted goes first, for a gateway has only so many addresses.
fn next(there: &[NatGatewayAddress], after: &Arguments) -> Option<Step> {
    let seen = read(there);
    let wanted: BTreeSet<&str> = after.secondary_addresses.iter().map(String::as_str).collect();
    let unwanted = |address: &&NatGatewayAddress| {
        address.allocation_id.as_deref().is_some_and(|allocation| !wanted.contains(allocation))
    };
    let gone: Vec<_> = in_use(there).filter(unwanted).filter_map(|address| address.association_id.clone()).collect();
    if !gone.is_empty() {
        return Some(Step::Disassociate(gone));
    }
    let missing = |wanted: &[String], seen: &[String]| -> Vec<String> {
        wanted.iter().filter(|one| !seen.contains(one)).cloned().collect()
    };
    let new = missing(&after.secondary_addresses, &seen.allocations);
    if !new.is_empty() {
        return Some(Step::Associate(new));
    }
    let kept = match (&after.secondary_private_ips, after.secondary_private_ip_count) {
        (Some(wanted), _) => wanted.clone(),
        (None, count) => seen.private_ips.iter().take(count.map_or(0, usize::from)).cloned().collect(),
    };
    let gone = missing(&seen.private_ips, &kept);
    if !gone.is_empty() {
        return Some(Step::Unassign(gone));
    }
    let new = missing(&kept, &seen.private_ips);
    if !new.is_empty() {
        return Some(Step::Assign(new));
    }
    let wanted = after.secondary_private_ip_count.filter(|_| after.secondary_private_ips.is_none()).unwrap_or_default();
    let more = usize::from(wanted).saturating_sub(kept.len());
    let more = i32::try_from(more).unwrap_or(i32::MAX);
    (more > 0).then_some(Step::AssignCount(more))
}

fn refused(failed: &NatGatewayAddress) -> AwsError {
    let name = failed.allocation_id.as_deref().or(failed.private_ip.as_deref()).unwrap_or_default();
    let reason = failed.failure_message.as_deref().unwrap_or("AWS says no reason");
    let message = format!("the address {name} of the NAT gateway failed: {reason}");
    let action = match failed.allocation_id {
        Some(_) => "ec2:AssociateNatGatewayAddress",
        None => "ec2:AssignPrivateNatGatewayAddress",
    };
    AwsError::own(action, ErrorClass::Other, "AddressFailed", message)
}

/// Waits until nothing is under way among a gateway's addresses, and returns them.
async fn settled(aws: &Aws, id: &str) -> Result<Vec<NatGatewayAddress>, AwsError> {
    until(aws, "the NAT gateway's addresses to settle", Bound::seconds(SETTLED_S), || async {
        let found = list(aws, vec![ec2::filter("nat-gateway-id", [id])]).await?;
        let Some(gateway) = found.into_iter().next() else { return Ok(Poll::Pending("not visible".to_owned())) };
        let addresses = gateway.nat_gateway_addresses.unwrap_or_default();
        Ok(under_way(&addresses).map_or_else(|| Poll::Ready(addresses), Poll::Pending))
    })
    .await
}

/// Returns what is under way among addresses.
pub(super) fn under_way(addresses: &[NatGatewayAddress]) -> Option<String> {
    let mut statuses = addresses.iter().filter_map(|address| address.status.as_ref());
    let found = statuses.find(|status| !matches!(status, Status::Succeeded | Status::Failed));
    found.map(|status| status.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn address(name: &str, status: Status) -> NatGatewayAddress {
        let address = NatGatewayAddress::builder().is_primary(false).status(status);
        match name.strip_prefix("eipalloc-") {
            Some(rest) => address.allocation_id(name).association_id(format!("eipassoc-{rest}")).build(),
            None => address.private_ip(name).build(),
        }
    }

    fn check(there: &[&str], wanted: Value, expected: Option<Step>) {
        let primary = NatGatewayAddress::builder().is_primary(true).private_ip("10.0.0.4").build();
        let others = there.iter().map(|name| address(name, Status::Succeeded));
        let there: Vec<_> = std::iter::once(primary).chain(others).collect();
        let mut arguments = json!({ "subnet": "subnet-1" });
        arguments.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        let after = serde_json::from_value(arguments).unwrap();
        assert_eq!(next(&there, &after), expected, "{wanted}");
    }

    #[test]
    fn one_step_at_a_time() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let public = json!({ "secondary_addresses": ["eipalloc-b", "eipalloc-c"] });
        check(&["eipalloc-a", "eipalloc-b"], public.clone(), Some(Step::Disassociate(list(&["eipassoc-a"]))));
        check(&["eipalloc-b"], public.clone(), Some(Step::Associate(list(&["eipalloc-c"]))));
        check(&["eipalloc-c", "eipalloc-b"], public, None);
        let ips = json!({ "secondary_private_ips": ["10.0.0.8", "10.0.0.9"] });
        check(&["10.0.0.7", "10.0.0.8"], ips.clone(), Some(Step::Unassign(list(&["10.0.0.7"]))));
        check(&["10.0.0.8"], ips, Some(Step::Assign(list(&["10.0.0.9"]))));
        let three = json!({ "secondary_private_ip_count": 3 });
        check(&["10.0.0.7"], three.clone(), Some(Step::AssignCount(2)));
        check(&["10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10"], three, Some(Step::Unassign(list(&["10.0.0.10"]))));
        check(&["10.0.0.7"], json!({}), Some(Step::Unassign(list(&["10.0.0.7"]))));
        check(&[], json!({}), None);
    }

    #[test]
    fn what_failed_or_drains_is_not_there() {
        let there = [
            address("eipalloc-a", Status::Failed),
            address("eipalloc-b", Status::Disassociating),
            address("eipalloc-c", Status::Associating),
        ];
        assert_eq!(read(&there).allocations, ["eipalloc-c"]);
    }
}
