//! A NAT gateway: the way out of private subnets.
//!
//! Calls: CreateNatGateway; AssociateNatGatewayAddress, DisassociateNatGatewayAddress,
//! AssignPrivateNatGatewayAddress, UnassignPrivateNatGatewayAddress, CreateTags, DeleteTags; DeleteNatGateway.
//! Reads: DescribeNatGateways; before a public one is made, DescribeSubnets and DescribeInternetGateways.
//! Waits: until it is `available`; until secondary addresses are in use or gone, which takes up to six minutes of
//! draining; until it is `deleted`, when its addresses and interface are free again.
//! Traps: a public one whose VPC has no internet gateway yet is made and then fails by itself, so the create first
//! waits for the gateway's attachment. A failed or deleted one stays visible for about an hour; it reads as absent.
//! An address is an `elastic_ip` of its own: its allocation takes no client token and must not hide in this call.

mod secondary;

use std::time::Duration;

use aws_sdk_ec2::types::{ConnectivityType, Filter, NatGateway as SdkGateway, NatGatewayState, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ec2;
use crate::aws::resource::{
    Creation, Deletion, Discovered, Fields, Observation, Observed, Problem, ResourceKind, Update,
};
use crate::aws::tags::Tags;
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError, ErrorClass};
use crate::graph::PhysicalId;
use crate::kind::{Actions, Identity};

/// A NAT gateway, by which instances without public addresses reach out.
///
/// Private subnets use it through a route table that sends `0.0.0.0/0` to `$(nat_gateway.NAME.id)`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The id of the subnet it lies in: a public subnet for a public gateway.
    #[schemars(extend("x-change" = "replace"))]
    pub subnet: String,
    /// `public` reaches the internet; `private` reaches other networks only.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace"))]
    pub connectivity: Connectivity,
    /// The address of a public gateway: `$(elastic_ip.NAME.allocation_id)`.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace", "x-unique" = []))]
    pub allocation: Option<String>,
    /// The private address; left out, AWS picks one of the subnet's.
    #[serde(default)]
    #[schemars(extend("x-change" = "replace", "x-unique" = ["subnet"]))]
    pub private_ip: Option<String>,
    /// Further addresses of a public gateway, each for 55,000 more connections to one destination:
    /// `$(elastic_ip.NAME.allocation_id)`. AWS takes one unless the account's quota was raised.
    ///
    /// One that is taken away drains first, for up to six minutes.
    #[serde(default)]
    #[schemars(length(max = 31), extend("x-set" = true, "x-unique" = []))]
    pub secondary_addresses: Vec<String>,
    /// Further private addresses of a private gateway, free ones of its subnet. AWS takes seven unless the account's
    /// quota was raised.
    #[serde(default)]
    #[schemars(length(min = 1, max = 31), extend("x-set" = true, "x-unique" = ["subnet"]))]
    pub secondary_private_ips: Option<Vec<String>>,
    /// How many further private addresses a private gateway has, picked by AWS; in place of the addresses themselves.
    #[serde(default)]
    #[schemars(range(min = 1, max = 31))]
    pub secondary_private_ip_count: Option<u8>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

/// What a NAT gateway reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    #[default]
    Public,
    Private,
}

/// What AWS sets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// The gateway's id (`nat-…`).
    pub id: String,
    /// The public address, of a public gateway.
    pub public_ip: Option<String>,
    /// The network interface.
    pub network_interface: String,
    /// The VPC's id.
    pub vpc: String,
    /// `pending`, `available` or `failed`; one that failed is replaced.
    #[schemars(extend("x-volatile" = true, "x-broken" = ["failed"]))]
    pub state: String,
}

/// See the module's header.
pub struct NatGateway;

impl ResourceKind for NatGateway {
    const NAME: &'static str = "nat_gateway";
    const SERVICE: &'static str = "ec2";
    const IDENTITY: Identity = Identity::ClientToken;
    const ACTIONS: Actions = Actions {
        read: &["ec2:DescribeNatGateways"],
        create: &[
            "ec2:CreateNatGateway",
            "ec2:CreateTags",
            "ec2:DescribeInternetGateways",
            "ec2:DescribeSubnets",
            "ec2:DescribeNatGateways",
        ],
        update: &[
            "ec2:AssignPrivateNatGatewayAddress",
            "ec2:AssociateNatGatewayAddress",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:DisassociateNatGatewayAddress",
            "ec2:UnassignPrivateNatGatewayAddress",
        ],
        delete: &["ec2:DeleteNatGateway", "ec2:DescribeNatGateways"],
    };

    type Arguments = Arguments;
    type Attributes = Attributes;

    fn check(arguments: &Value) -> Vec<Problem> {
        let private = arguments.get("connectivity").and_then(Value::as_str) == Some("private");
        let set = |name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        let mut out = Vec::new();
        match (private, set("allocation")) {
            (true, true) => out.push(Problem::new("allocation", "a private NAT gateway has no public address")),
            (false, false) => {
                let problem = Problem::new("allocation", "a public NAT gateway needs an address");
                let help = Some("add an `elastic_ip` and name its `allocation_id`".to_owned());
                out.push(Problem { help, ..problem });
            }
            _ => {}
        }
        let further = arguments.get("secondary_addresses").and_then(Value::as_array);
        if private && further.is_some_and(|list| !list.is_empty()) {
            out.push(Problem::new("secondary_addresses", "a private NAT gateway has no public address"));
        }
        if further.is_some_and(|list| list.iter().any(|one| Some(one) == arguments.get("allocation"))) {
            out.push(Problem::new("secondary_addresses", "one of them is the gateway's `allocation`"));
        }
        for name in ["secondary_private_ips", "secondary_private_ip_count"].into_iter().filter(|name| set(name)) {
            if !private {
                out.push(Problem::new(name, "only with `connectivity: private`"));
            }
        }
        if set("secondary_private_ips") && set("secondary_private_ip_count") {
            out.push(Problem::new("secondary_private_ip_count", "not beside `secondary_private_ips`"));
        }
        out
    }

    async fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        _: &Fields,
    ) -> Result<Vec<(PhysicalId, Observation<Self>)>, AwsError> {
        let found = ec2::list_by_ids("nat-gateway-id", ids, |filters| list(aws, filters)).await?;
        Ok(ec2::answers(ids, found.into_iter().filter(lives).map(observe)))
    }

    async fn discover(aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        let found = list(aws, Vec::new()).await?.into_iter().filter(lives);
        Ok(found.map(|gateway| ec2::discovered(gateway.nat_gateway_id, gateway.tags)).collect())
    }

    async fn find(cx: Creation<'_>, _: &Arguments) -> Result<Vec<PhysicalId>, AwsError> {
        let found = list(cx.aws, ec2::owned_by(cx.owner)).await?.into_iter().filter(lives);
        Ok(found.filter_map(|gateway| gateway.nat_gateway_id).map(PhysicalId::from).collect())
    }

    async fn create(cx: Creation<'_>, arguments: &Arguments) -> Result<PhysicalId, AwsError> {
        let connectivity = match arguments.connectivity {
            Connectivity::Public => ConnectivityType::Public,
            Connectivity::Private => ConnectivityType::Private,
        };
        if connectivity == ConnectivityType::Public {
            internet_gateway_attached(cx.aws, &arguments.subnet).await?;
        }
        addresses_free(cx.aws, arguments).await?;
        let tags = ec2::tag_specification(ResourceType::Natgateway, &cx.tags(&arguments.tags));
        let call = cx.aws.ec2().create_nat_gateway().subnet_id(&arguments.subnet).connectivity_type(connectivity);
        let call = call.set_allocation_id(arguments.allocation.clone());
        let call = call.set_private_ip_address(arguments.private_ip.clone());
        let further = &arguments.secondary_addresses;
        let call = call.set_secondary_allocation_ids((!further.is_empty()).then(|| further.clone()));
        let ips = &arguments.secondary_private_ips;
        let count = arguments.secondary_private_ip_count.filter(|_| ips.is_none());
        let call = call.set_secondary_private_ip_addresses(ips.clone());
        let call = call.set_secondary_private_ip_address_count(count.map(i32::from));
        let output = call.client_token(cx.token).tag_specifications(tags).send().await?;
        let id = output.nat_gateway.and_then(|gateway| gateway.nat_gateway_id);
        Ok(id.expect("internal error: CreateNatGateway answers with the id").into())
    }

    async fn ready(aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        until(aws, "the NAT gateway to be available", Bound::seconds(900), || async {
            let found = list(aws, vec![ec2::filter("nat-gateway-id", [id.as_str()])]).await?;
            let Some(gateway) = found.into_iter().next() else { return Ok(Poll::Pending("not visible".to_owned())) };
            match gateway.state {
                Some(NatGatewayState::Available) => {
                    let pending = secondary::under_way(gateway.nat_gateway_addresses());
                    Ok(pending.map_or(Poll::Ready(()), Poll::Pending))
                }
                Some(NatGatewayState::Pending) | None => Ok(Poll::Pending("pending".to_owned())),
                Some(_) => Err(failed(gateway)),
            }
        })
        .await
    }

    async fn update(cx: Update<'_, Self>) -> Result<(), AwsError> {
        let secondary = ["secondary_addresses", "secondary_private_ips", "secondary_private_ip_count"];
        if secondary.iter().any(|argument| cx.touches(argument)) {
            secondary::update(&cx).await?;
        }
        if cx.touches("tags") {
            let changes = cx.tag_changes(&cx.before.arguments.tags, &cx.after.tags);
            ec2::retag(cx.aws, cx.id.as_str(), &changes).await?;
        }
        Ok(())
    }

    async fn delete(cx: Deletion<'_>) -> Result<(), AwsError> {
        cx.aws.ec2().delete_nat_gateway().nat_gateway_id(cx.id.as_str()).send().await?;
        // A deleted one is shown for about an hour; one that is not shown was made a moment ago.
        let (asked, unseen) = (cx.aws.now_system(), Duration::from_secs(120));
        until(cx.aws, "the NAT gateway to be deleted", Bound::seconds(900), || async {
            let found = list(cx.aws, vec![ec2::filter("nat-gateway-id", [cx.id.as_str()])]).await?;
            let state = found.first().and_then(|gateway| gateway.state.clone());
            Ok(match state {
                None if cx.aws.now_system() < asked + unseen => Poll::Pending("not shown".to_owned()),
                None | Some(NatGatewayState::Deleted) => Poll::Ready(()),
                Some(other) => Poll::Pending(other.as_str().to_owned()),
            })
        })
        .await
    }
}

async fn list(aws: &Aws, filters: Vec<Filter>) -> Result<Vec<SdkGateway>, AwsError> {
    let call = aws.ec2().describe_nat_gateways().set_filter(Some(filters)).into_paginator().page_size(1000);
    Ok(call.items().send().try_collect().await?)
}

fn lives(gateway: &SdkGateway) -> bool {
    !matches!(gateway.state, Some(NatGatewayState::Deleting | NatGatewayState::Deleted))
}

fn failed(gateway: SdkGateway) -> AwsError {
    let state = gateway.state.map(|state| state.as_str().to_owned()).unwrap_or_default();
    let code = gateway.failure_code.unwrap_or(state);
    let message = gateway.failure_message.unwrap_or_else(|| "the NAT gateway was not made".to_owned());
    AwsError::own("ec2:CreateNatGateway", ErrorClass::Other, &code, message)
}

/// Waits for gateways that are being deleted and hold addresses that the new one is to have.
///
/// A gateway made before that fails for good.
async fn addresses_free(aws: &Aws, arguments: &Arguments) -> Result<(), AwsError> {
    let allocations: Vec<&String> = arguments.allocation.iter().chain(&arguments.secondary_addresses).collect();
    let ips: Vec<&String> =
        arguments.private_ip.iter().chain(arguments.secondary_private_ips.iter().flatten()).collect();
    if allocations.is_empty() && ips.is_empty() {
        return Ok(());
    }
    until(aws, "the addresses to be free", Bound::seconds(300), || async {
        let leaving = list(aws, vec![ec2::filter("state", ["deleting"])]).await?;
        let mut held = leaving.iter().flat_map(|gateway| {
            let addresses = gateway.nat_gateway_addresses.iter().flatten();
            addresses.map(|address| (gateway.subnet_id.as_deref() == Some(arguments.subnet.as_str()), address))
        });
        let wanted = held.any(|(beside, address)| {
            address.allocation_id.as_ref().is_some_and(|held| allocations.contains(&held))
                || (beside && address.private_ip.as_ref().is_some_and(|held| ips.contains(&held)))
        });
        Ok(if wanted { Poll::Pending("held by a gateway that is being deleted".to_owned()) } else { Poll::Ready(()) })
    })
    .await
}

/// Waits until the subnet's VPC has an internet gateway, which an apply may attach at the same time.
async fn internet_gateway_attached(aws: &Aws, subnet: &str) -> Result<(), AwsError> {
    let subnets = aws.ec2().describe_subnets().filters(ec2::filter("subnet-id", [subnet])).send().await?;
    let Some(vpc) = subnets.subnets.unwrap_or_default().into_iter().find_map(|subnet| subnet.vpc_id) else {
        // CreateNatGateway itself says best what is wrong with the subnet.
        return Ok(());
    };
    until(aws, "an internet gateway attached to the VPC", Bound::seconds(180), || async {
        let call = aws.ec2().describe_internet_gateways().filters(ec2::filter("attachment.vpc-id", [&vpc]));
        let attached = !call.send().await?.internet_gateways.unwrap_or_default().is_empty();
        Ok(if attached { Poll::Ready(()) } else { Poll::Pending("without one".to_owned()) })
    })
    .await
}

fn observe(gateway: SdkGateway) -> (PhysicalId, Observed<NatGateway>) {
    let addresses = gateway.nat_gateway_addresses.unwrap_or_default();
    let first = addresses.iter().find(|address| address.is_primary == Some(true)).or(addresses.first()).cloned();
    let further = secondary::read(&addresses);
    let ips = Some(further.private_ips).filter(|list| !list.is_empty());
    let (tags, owner) = ec2::split_tags(gateway.tags);
    let id = gateway.nat_gateway_id.unwrap_or_default();
    let arguments = Arguments {
        subnet: gateway.subnet_id.unwrap_or_default(),
        connectivity: match gateway.connectivity_type {
            Some(ConnectivityType::Private) => Connectivity::Private,
            _ => Connectivity::Public,
        },
        allocation: first.as_ref().and_then(|address| address.allocation_id.clone()),
        private_ip: first.as_ref().and_then(|address| address.private_ip.clone()),
        secondary_addresses: further.allocations,
        secondary_private_ip_count: ips.as_ref().and_then(|list| u8::try_from(list.len()).ok()),
        secondary_private_ips: ips,
        tags,
    };
    let attributes = Attributes {
        id: id.clone(),
        public_ip: first.as_ref().and_then(|address| address.public_ip.clone()),
        network_interface: first.and_then(|address| address.network_interface_id).unwrap_or_default(),
        vpc: gateway.vpc_id.unwrap_or_default(),
        state: gateway.state.as_ref().map(|state| state.as_str().to_owned()).unwrap_or_default(),
    };
    (id.into(), Observed::new(arguments, attributes, owner))
}
