//! The network interfaces of an instance type: which cards get an EFA, by what DescribeInstanceTypes tells.
//!
//! Card 0, device 0 is always a plain interface (an `efa-only` one can't be the primary). Each card that takes
//! EFA then gets one `efa-only` interface, as many as the type has: on card 0 as device 1, elsewhere as device
//! 0. Two types are exceptions to what older endpoints tell, and have a line of their own. Pure but for
//! [`networks`].

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{InstanceType, InstanceTypeInfo, NetworkCardInterfaceType};

use crate::aws::{Aws, AwsError};

/// Instance types in one call; the API's limit.
const TYPES_MAX: usize = 100;

/// What matters of an instance type's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Network {
    /// The EFA interfaces that the type takes; 0 where it has none.
    pub efa_max: usize,
    /// The cards that take one, in their order.
    pub efa_cards: Vec<i32>,
}

/// One interface of a launch template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interface {
    pub card: i32,
    pub device: i32,
    pub efa: bool,
}

/// Returns the interfaces: the primary one, and the EFA ones where the type has them and they are wanted.
pub(super) fn interfaces(network: &Network, efa: bool) -> Vec<Interface> {
    let mut out = vec![Interface { card: 0, device: 0, efa: false }];
    if efa {
        let cards = network.efa_cards.iter().take(network.efa_max);
        out.extend(cards.map(|card| Interface { card: *card, device: i32::from(*card == 0), efa: true }));
    }
    out
}

/// Asks for the networks of instance types; a type that the region doesn't have is not in the answer.
pub(super) async fn networks(aws: &Aws, types: &BTreeSet<String>) -> Result<BTreeMap<String, Network>, AwsError> {
    let types: Vec<InstanceType> = types.iter().map(|name| InstanceType::from(name.as_str())).collect();
    let mut out = BTreeMap::new();
    for chunk in types.chunks(TYPES_MAX) {
        let answer = aws.ec2().describe_instance_types().set_instance_types(Some(chunk.to_vec())).send().await;
        match answer.map_err(AwsError::from) {
            Ok(found) => out.extend(found.instance_types().iter().map(network)),
            // One unknown type fails the call for all of them.
            Err(error) if error.code == "InvalidInstanceType" && chunk.len() > 1 => {
                for one in chunk {
                    let answer = aws.ec2().describe_instance_types().instance_types(one.clone()).send().await;
                    match answer.map_err(AwsError::from) {
                        Ok(found) => out.extend(found.instance_types().iter().map(network)),
                        Err(error) if error.code == "InvalidInstanceType" => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) if error.code == "InvalidInstanceType" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

fn network(found: &InstanceTypeInfo) -> (String, Network) {
    let name = found.instance_type().map(|name| name.as_str().to_owned()).unwrap_or_default();
    let mut out = Network::default();
    if let Some(info) = found.network_info() {
        let efa_max = info.efa_info().and_then(|efa| efa.maximum_efa_interfaces()).unwrap_or_default();
        out.efa_max = usize::try_from(efa_max).unwrap_or_default();
        out.efa_cards = match exception(&name) {
            Some(cards) => cards,
            None => {
                let takes_efa = |card: &&aws_sdk_ec2::types::NetworkCardInfo| {
                    let types = card.interface_types();
                    types.is_empty() || types.contains(&NetworkCardInterfaceType::EfaOnly)
                };
                let cards: Vec<i32> = info
                    .network_cards()
                    .iter()
                    .filter(takes_efa)
                    .filter_map(|card| card.network_card_index())
                    .collect();
                if cards.is_empty() { (0..info.maximum_network_cards().unwrap_or(1)).collect() } else { cards }
            }
        };
    }
    (name, out)
}

/// Returns the EFA cards of types whose card numbers don't follow the rule.
fn exception(instance_type: &str) -> Option<Vec<i32>> {
    match instance_type.split('.').next()? {
        // Seventeen cards, the first for plain traffic only.
        "p6-b300" => Some((1..=16).collect()),
        // One card in four is open to instances.
        "p6e-gb200" => Some(vec![1, 5, 9, 13]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{EfaInfo, NetworkCardInfo, NetworkInfo};

    use super::*;

    fn layout(name: &str, cards: i32, efa_max: i32) -> Vec<(i32, i32, bool)> {
        let listed = (0..cards).map(|index| NetworkCardInfo::builder().network_card_index(index).build()).collect();
        let info = NetworkInfo::builder()
            .maximum_network_cards(cards)
            .set_network_cards(Some(listed))
            .efa_info(EfaInfo::builder().maximum_efa_interfaces(efa_max).build())
            .build();
        let info = InstanceTypeInfo::builder().instance_type(name.into()).network_info(info).build();
        let (_, network) = network(&info);
        interfaces(&network, true).iter().map(|one| (one.card, one.device, one.efa)).collect()
    }

    #[test]
    fn each_efa_card_gets_one_efa_only_interface() {
        assert_eq!(
            layout("p4d.24xlarge", 4, 4),
            [(0, 0, false), (0, 1, true), (1, 0, true), (2, 0, true), (3, 0, true)]
        );
        for (name, cards, efa, total) in [
            ("p5.48xlarge", 32, 32, 33),
            ("p5en.48xlarge", 16, 16, 17),
            ("p6-b200.48xlarge", 8, 8, 9),
            ("trn1.32xlarge", 8, 8, 9),
            ("trn1n.32xlarge", 16, 16, 17),
            ("trn2.48xlarge", 16, 16, 17),
            ("g5.48xlarge", 1, 1, 2),
            ("i8ge.48xlarge", 2, 1, 2),
            ("m5.large", 1, 0, 1),
        ] {
            let made = layout(name, cards, efa);
            assert_eq!(made.len(), total, "{name}");
            assert_eq!(made[0], (0, 0, false), "{name}");
            let places: BTreeSet<_> = made.iter().map(|(card, device, _)| (card, device)).collect();
            assert_eq!(places.len(), total, "{name}: two interfaces in one place");
        }
    }

    #[test]
    fn the_exceptions_keep_card_zero_plain() {
        let b300 = layout("p6-b300.48xlarge", 17, 16);
        assert_eq!(b300.len(), 17);
        assert!(b300.iter().all(|(card, device, efa)| *device == 0 && *efa == (*card != 0)));
        let gb200: Vec<_> = layout("p6e-gb200.36xlarge", 17, 4).iter().map(|(card, _, _)| *card).collect();
        assert_eq!(gb200, [0, 1, 5, 9, 13]);
    }
}
