//! Launch template data: written from the arguments, and read back into them. Pure.
//!
//! Where no subnet, public address or EFA is asked for, the template names no network interface, so that a
//! launch may still choose its subnet. `efa: none` is told from `auto` on a type without EFA by the primary
//! interface's explicit type.

use aws_sdk_ec2::types as sdk;
use aws_sdk_ec2::types::{RequestLaunchTemplateData, ResourceType, ResponseLaunchTemplateData};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ec2::{sdk_tags, split_tags};
use super::efa::{Interface, Network, interfaces};
use super::launch_template_arguments::{
    Arguments, CapacityReservation, Cpu, CpuCredits, Efa, HttpTokens, Market, Metadata, ShutdownBehavior, Volume,
};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, ErrorClass};

const PLAIN: &str = "interface";
const EFA_ONLY: &str = "efa-only";

/// Makes the data of a version.
///
/// # Errors
/// Returns what EC2 would refuse at launch only: EFA without a security group, a public address with several
/// interfaces.
pub(super) fn request(arguments: &Arguments, network: &Network) -> Result<RequestLaunchTemplateData, AwsError> {
    let layout = interfaces(network, arguments.efa == Efa::Auto);
    if layout.len() > 1 && arguments.security_groups.is_empty() {
        return Err(refused("EFA interfaces need `security_groups`, one of which admits itself in both directions"));
    }
    if layout.len() > 1 && arguments.public_ip == Some(true) {
        return Err(refused("`public_ip` goes with a single network interface only; set `efa: none`"));
    }
    let mut data = RequestLaunchTemplateData::builder()
        .instance_type(arguments.instance_type.as_str().into())
        .set_image_id(arguments.image.clone())
        .set_key_name(arguments.key.clone())
        .set_ebs_optimized(arguments.ebs_optimized)
        .monitoring(sdk::LaunchTemplatesMonitoringRequest::builder().enabled(arguments.monitoring).build())
        .disable_api_termination(arguments.termination_protection)
        .metadata_options(metadata(&arguments.metadata))
        .set_user_data(arguments.user_data.as_ref().map(|text| STANDARD.encode(text)))
        .set_instance_initiated_shutdown_behavior(arguments.shutdown_behavior.map(|behavior| match behavior {
            ShutdownBehavior::Stop => sdk::ShutdownBehavior::Stop,
            ShutdownBehavior::Terminate => sdk::ShutdownBehavior::Terminate,
        }))
        .set_iam_instance_profile(arguments.instance_profile.as_deref().map(profile))
        .set_capacity_reservation_specification(arguments.capacity_reservation.as_ref().map(reservation))
        .set_instance_market_options(arguments.market.map(market))
        .set_cpu_options(arguments.cpu.as_ref().map(cpu))
        .set_credit_specification(arguments.cpu_credits.map(credits))
        .set_maintenance_options(arguments.auto_recovery.map(maintenance))
        .set_disable_api_stop(arguments.stop_protection.then_some(true));
    if arguments.enclave {
        data = data.enclave_options(sdk::LaunchTemplateEnclaveOptionsRequest::builder().enabled(true).build());
    }
    if arguments.hibernation {
        let options = sdk::LaunchTemplateHibernationOptionsRequest::builder().configured(true);
        data = data.hibernation_options(options.build());
    }
    if layout.len() > 1 || arguments.subnet.is_some() || arguments.public_ip.is_some() || arguments.efa == Efa::None {
        data = data.set_network_interfaces(Some(layout.iter().map(|one| interface(arguments, one)).collect()));
    } else if !arguments.security_groups.is_empty() {
        data = data.set_security_group_ids(Some(arguments.security_groups.clone()));
    }
    if arguments.placement_group.is_some() || arguments.partition.is_some() || arguments.tenancy.is_some() {
        let placement = sdk::LaunchTemplatePlacementRequest::builder()
            .set_group_name(arguments.placement_group.clone())
            .set_partition_number(arguments.partition.map(int))
            .set_tenancy(arguments.tenancy.as_deref().map(Into::into));
        data = data.placement(placement.build());
    }
    if !arguments.volumes.is_empty() {
        data = data.set_block_device_mappings(Some(arguments.volumes.iter().map(volume).collect()));
    }
    if !arguments.instance_tags.is_empty() {
        for kind in [ResourceType::Instance, ResourceType::Volume] {
            let tags = sdk::LaunchTemplateTagSpecificationRequest::builder().resource_type(kind);
            data = data.tag_specifications(tags.set_tags(Some(sdk_tags(&arguments.instance_tags))).build());
        }
    }
    Ok(data.build())
}

fn refused(message: &str) -> AwsError {
    AwsError::own("ec2:CreateLaunchTemplate", ErrorClass::Invalid, "InvalidArgument", message)
}

fn interface(
    arguments: &Arguments,
    one: &Interface,
) -> sdk::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
    let made = sdk::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
        .network_card_index(one.card)
        .device_index(one.device)
        .delete_on_termination(true)
        .set_subnet_id(arguments.subnet.clone())
        .set_groups((!arguments.security_groups.is_empty()).then(|| arguments.security_groups.clone()));
    if one.efa {
        return made.interface_type(EFA_ONLY).build();
    }
    let made = made.set_associate_public_ip_address(arguments.public_ip);
    if arguments.efa == Efa::None { made.interface_type(PLAIN).build() } else { made.build() }
}

fn metadata(metadata: &Metadata) -> sdk::LaunchTemplateInstanceMetadataOptionsRequest {
    use sdk::LaunchTemplateInstanceMetadataProtocolIpv6 as Ipv6;
    use sdk::LaunchTemplateInstanceMetadataTagsState as TagsState;
    use sdk::{LaunchTemplateHttpTokensState as Tokens, LaunchTemplateInstanceMetadataEndpointState as Endpoint};
    sdk::LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_endpoint(if metadata.enabled { Endpoint::Enabled } else { Endpoint::Disabled })
        .http_tokens(match metadata.http_tokens {
            HttpTokens::Required => Tokens::Required,
            HttpTokens::Optional => Tokens::Optional,
        })
        .http_put_response_hop_limit(int(metadata.hop_limit))
        .instance_metadata_tags(if metadata.tags { TagsState::Enabled } else { TagsState::Disabled })
        .set_http_protocol_ipv6(metadata.ipv6.then_some(Ipv6::Enabled))
        .build()
}

fn volume(volume: &Volume) -> sdk::LaunchTemplateBlockDeviceMappingRequest {
    let ebs = sdk::LaunchTemplateEbsBlockDeviceRequest::builder()
        .set_volume_size(volume.size_gb.map(int))
        .volume_type(volume.volume_type.as_str().into())
        .set_iops(volume.iops.map(int))
        .set_throughput(volume.throughput.map(int))
        .encrypted(volume.encrypted)
        .set_kms_key_id(volume.kms_key.clone())
        .set_snapshot_id(volume.snapshot.clone())
        .delete_on_termination(volume.delete_on_termination);
    sdk::LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&volume.device).ebs(ebs.build()).build()
}

fn profile(name: &str) -> sdk::LaunchTemplateIamInstanceProfileSpecificationRequest {
    let made = sdk::LaunchTemplateIamInstanceProfileSpecificationRequest::builder();
    if name.starts_with("arn:") { made.arn(name).build() } else { made.name(name).build() }
}

fn reservation(wanted: &CapacityReservation) -> sdk::LaunchTemplateCapacityReservationSpecificationRequest {
    let target = (wanted.id.is_some() || wanted.group.is_some()).then(|| {
        sdk::CapacityReservationTarget::builder()
            .set_capacity_reservation_id(wanted.id.clone())
            .set_capacity_reservation_resource_group_arn(wanted.group.clone())
            .build()
    });
    sdk::LaunchTemplateCapacityReservationSpecificationRequest::builder()
        .set_capacity_reservation_preference(wanted.preference.as_deref().map(Into::into))
        .set_capacity_reservation_target(target)
        .build()
}

fn market(market: Market) -> sdk::LaunchTemplateInstanceMarketOptionsRequest {
    let market = match market {
        Market::CapacityBlock => sdk::MarketType::CapacityBlock,
        Market::Spot => sdk::MarketType::Spot,
    };
    sdk::LaunchTemplateInstanceMarketOptionsRequest::builder().market_type(market).build()
}

fn cpu(cpu: &Cpu) -> sdk::LaunchTemplateCpuOptionsRequest {
    sdk::LaunchTemplateCpuOptionsRequest::builder()
        .set_core_count(cpu.cores.map(int))
        .set_threads_per_core(cpu.threads_per_core.map(int))
        .build()
}

fn credits(credits: CpuCredits) -> sdk::CreditSpecificationRequest {
    let name = match credits {
        CpuCredits::Standard => "standard",
        CpuCredits::Unlimited => "unlimited",
    };
    sdk::CreditSpecificationRequest::builder().cpu_credits(name).build()
}

fn maintenance(auto_recovery: bool) -> sdk::LaunchTemplateInstanceMaintenanceOptionsRequest {
    use sdk::LaunchTemplateAutoRecoveryState as State;
    let state = if auto_recovery { State::Default } else { State::Disabled };
    sdk::LaunchTemplateInstanceMaintenanceOptionsRequest::builder().auto_recovery(state).build()
}

fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn natural(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

/// Reads a version's data; name, description, tags and `efa` are set by the caller.
pub(super) fn read(data: &ResponseLaunchTemplateData) -> Arguments {
    let interfaces = data.network_interfaces();
    let primary = primary(interfaces).or(interfaces.first());
    let groups = match primary {
        Some(primary) => primary.groups().to_vec(),
        None => data.security_group_ids().to_vec(),
    };
    let text = |value: Option<&str>| value.filter(|text| !text.is_empty()).map(str::to_owned);
    Arguments {
        name: None,
        description: None,
        instance_type: data.instance_type().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        image: text(data.image_id()),
        subnet: text(primary.and_then(|primary| primary.subnet_id())),
        security_groups: groups,
        efa: Efa::Auto,
        public_ip: primary.and_then(|primary| primary.associate_public_ip_address()),
        instance_profile: data
            .iam_instance_profile()
            .and_then(|profile| text(profile.arn()).or_else(|| text(profile.name()))),
        metadata: read_metadata(data.metadata_options()),
        volumes: data.block_device_mappings().iter().filter_map(read_volume).collect(),
        ebs_optimized: data.ebs_optimized(),
        placement_group: data.placement().and_then(|placement| text(placement.group_name())),
        partition: data.placement().and_then(|placement| placement.partition_number()).map(natural),
        tenancy: data.placement().and_then(|placement| placement.tenancy()).map(|tenancy| tenancy.as_str().to_owned()),
        capacity_reservation: data.capacity_reservation_specification().map(read_reservation),
        market: data.instance_market_options().and_then(|options| match options.market_type()? {
            sdk::MarketType::CapacityBlock => Some(Market::CapacityBlock),
            sdk::MarketType::Spot => Some(Market::Spot),
            _ => None,
        }),
        cpu: data.cpu_options().map(|cpu| Cpu {
            cores: cpu.core_count().map(natural),
            threads_per_core: cpu.threads_per_core().map(natural),
        }),
        cpu_credits: data.credit_specification().and_then(|found| found.cpu_credits()).map(|credits| match credits {
            "unlimited" => CpuCredits::Unlimited,
            _ => CpuCredits::Standard,
        }),
        enclave: data.enclave_options().and_then(|options| options.enabled()).unwrap_or_default(),
        hibernation: data.hibernation_options().and_then(|options| options.configured()).unwrap_or_default(),
        auto_recovery: data
            .maintenance_options()
            .and_then(|options| options.auto_recovery())
            .map(|state| *state != sdk::LaunchTemplateAutoRecoveryState::Disabled),
        user_data: data.user_data().filter(|text| !text.is_empty()).map(decoded),
        key: text(data.key_name()),
        monitoring: data.monitoring().and_then(|monitoring| monitoring.enabled()).unwrap_or_default(),
        shutdown_behavior: data.instance_initiated_shutdown_behavior().map(|behavior| match behavior {
            sdk::ShutdownBehavior::Terminate => ShutdownBehavior::Terminate,
            _ => ShutdownBehavior::Stop,
        }),
        termination_protection: data.disable_api_termination().unwrap_or_default(),
        stop_protection: data.disable_api_stop().unwrap_or_default(),
        instance_tags: read_tags(data),
        tags: Tags::new(),
    }
}

fn primary(
    interfaces: &[sdk::LaunchTemplateInstanceNetworkInterfaceSpecification],
) -> Option<&sdk::LaunchTemplateInstanceNetworkInterfaceSpecification> {
    interfaces.iter().find(|one| place(one) == (0, 0))
}

fn place(one: &sdk::LaunchTemplateInstanceNetworkInterfaceSpecification) -> (i32, i32) {
    (one.network_card_index().unwrap_or_default(), one.device_index().unwrap_or_default())
}

/// Tells which argument the interfaces of a version stand for.
pub(super) fn shape_of(data: &ResponseLaunchTemplateData, network: &Network) -> Efa {
    let found = data.network_interfaces();
    let wanted = |efa| {
        let mut layout: Vec<_> =
            interfaces(network, efa).into_iter().map(|one| (one.card, one.device, one.efa)).collect();
        layout.sort_unstable();
        layout
    };
    let mut layout: Vec<_> = found
        .iter()
        .map(|one| {
            let (card, device) = place(one);
            (card, device, one.interface_type() == Some(EFA_ONLY))
        })
        .collect();
    layout.sort_unstable();
    if found.is_empty() {
        layout.push((0, 0, false));
    }
    let alike = found.iter().all(|one| {
        let odd_type = one.interface_type().is_some_and(|kind| kind != EFA_ONLY && kind != PLAIN);
        let groups = |one: &sdk::LaunchTemplateInstanceNetworkInterfaceSpecification| {
            one.groups().iter().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        !odd_type && one.subnet_id() == found[0].subnet_id() && groups(one) == groups(&found[0])
    });
    let said_plain = primary(found).is_some_and(|primary| primary.interface_type() == Some(PLAIN));
    if alike && said_plain && layout == wanted(false) {
        Efa::None
    } else if alike && !said_plain && layout == wanted(true) {
        Efa::Auto
    } else {
        Efa::Other
    }
}

/// A version that says nothing of tokens is launched with what account and image say, so it counts as optional.
fn read_metadata(options: Option<&sdk::LaunchTemplateInstanceMetadataOptions>) -> Metadata {
    let tokens = options.and_then(|options| options.http_tokens());
    let endpoint = options.and_then(|options| options.http_endpoint());
    let tags = options.and_then(|options| options.instance_metadata_tags());
    Metadata {
        enabled: endpoint != Some(&sdk::LaunchTemplateInstanceMetadataEndpointState::Disabled),
        http_tokens: match tokens {
            Some(sdk::LaunchTemplateHttpTokensState::Required) => HttpTokens::Required,
            _ => HttpTokens::Optional,
        },
        hop_limit: options.and_then(|options| options.http_put_response_hop_limit()).map_or(1, natural),
        tags: tags == Some(&sdk::LaunchTemplateInstanceMetadataTagsState::Enabled),
        ipv6: options.and_then(|options| options.http_protocol_ipv6())
            == Some(&sdk::LaunchTemplateInstanceMetadataProtocolIpv6::Enabled),
    }
}

fn read_volume(mapping: &sdk::LaunchTemplateBlockDeviceMapping) -> Option<Volume> {
    let ebs = mapping.ebs()?;
    Some(Volume {
        device: mapping.device_name().unwrap_or_default().to_owned(),
        size_gb: ebs.volume_size().map(natural),
        volume_type: ebs.volume_type().map_or_else(|| "gp2".to_owned(), |kind| kind.as_str().to_owned()),
        iops: ebs.iops().map(natural),
        throughput: ebs.throughput().map(natural),
        encrypted: ebs.encrypted().unwrap_or_default(),
        kms_key: ebs.kms_key_id().map(str::to_owned),
        snapshot: ebs.snapshot_id().map(str::to_owned),
        delete_on_termination: ebs.delete_on_termination().unwrap_or_default(),
    })
}

fn read_reservation(found: &sdk::LaunchTemplateCapacityReservationSpecificationResponse) -> CapacityReservation {
    let target = found.capacity_reservation_target();
    CapacityReservation {
        id: target.and_then(|target| target.capacity_reservation_id()).map(str::to_owned),
        group: target.and_then(|target| target.capacity_reservation_resource_group_arn()).map(str::to_owned),
        preference: found.capacity_reservation_preference().map(|preference| preference.as_str().to_owned()),
    }
}

/// Returns the text of user data; what is not text stays encoded.
fn decoded(text: &str) -> String {
    let bytes = STANDARD.decode(text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

fn read_tags(data: &ResponseLaunchTemplateData) -> Tags {
    let of_instances =
        |one: &&sdk::LaunchTemplateTagSpecification| one.resource_type() == Some(&ResourceType::Instance);
    let found = data.tag_specifications().iter().find(of_instances);
    let (tags, _) = split_tags(found.map(|found| found.tags().to_vec()));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p4d() -> Network {
        Network { efa_max: 4, efa_cards: vec![0, 1, 2, 3] }
    }

    fn found(arguments: &Arguments, network: &Network) -> ResponseLaunchTemplateData {
        let data = request(arguments, network).unwrap();
        let interfaces = data.network_interfaces().iter().map(|one| {
            sdk::LaunchTemplateInstanceNetworkInterfaceSpecification::builder()
                .set_network_card_index(one.network_card_index)
                .set_device_index(one.device_index)
                .set_interface_type(one.interface_type.clone())
                .set_subnet_id(one.subnet_id.clone())
                .set_groups(one.groups.clone())
                .build()
        });
        let interfaces: Vec<_> = interfaces.collect();
        ResponseLaunchTemplateData::builder()
            .set_network_interfaces((!interfaces.is_empty()).then_some(interfaces))
            .build()
    }

    #[test]
    fn the_layout_says_what_was_wanted() {
        let plain = Network::default();
        let groups = vec!["sg-1".to_owned()];
        for (efa, network, interfaces) in
            [(Efa::Auto, p4d(), 5), (Efa::None, p4d(), 1), (Efa::Auto, plain.clone(), 0), (Efa::None, plain, 1)]
        {
            let arguments = Arguments { efa, security_groups: groups.clone(), ..Arguments::default() };
            let data = found(&arguments, &network);
            assert_eq!(data.network_interfaces().len(), interfaces);
            assert_eq!(shape_of(&data, &network), efa);
        }
    }

    #[test]
    fn a_changed_layout_is_neither() {
        let arguments = Arguments { security_groups: vec!["sg-1".to_owned()], ..Arguments::default() };
        let mut data = found(&arguments, &p4d());
        let interfaces = data.network_interfaces.as_mut().unwrap();
        interfaces[2].groups = Some(vec!["sg-2".to_owned()]);
        assert_eq!(shape_of(&data, &p4d()), Efa::Other);
        data.network_interfaces.as_mut().unwrap().truncate(3);
        assert_eq!(shape_of(&data, &p4d()), Efa::Other);
    }

    #[test]
    fn efa_without_a_group_is_refused() {
        let error = request(&Arguments::default(), &p4d()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid);
        let arguments =
            Arguments { public_ip: Some(true), security_groups: vec!["sg-1".to_owned()], ..Arguments::default() };
        assert!(request(&arguments, &p4d()).is_err());
    }

    #[test]
    fn user_data_that_is_not_text_stays_encoded() {
        assert_eq!(decoded(&STANDARD.encode("#!/bin/sh")), "#!/bin/sh");
        assert_eq!(decoded(&STANDARD.encode([0xff, 0xfe])), STANDARD.encode([0xff, 0xfe]));
    }
}
