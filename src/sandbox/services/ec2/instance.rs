//! Instances: launched all or none, out of a request over a launch template, and terminated over time.
//!
//! Capacity is limited where the sandbox's conditions say so. Not simulated: volumes as resources, spot, hosts.

use serde_json::{Value, json};

use super::instance_type::{instance_type, offered_in};
use super::interface::{self, Purpose, pick_address};
use super::{describe, filter, image, invalid, launch_template, new_tags, not_found, placement, security_group};
use super::{subnet, zone_id};
use crate::sandbox::call::{Call, Transition, optional, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("DescribeInstances", describe_instances),
    ("RunInstances", run_instances),
    ("TerminateInstances", terminate_instances),
];

pub(super) const INSTANCES: &str = "instances";
/// Seconds until a new instance runs, until a terminated one is so, and until it is forgotten.
const PENDING_S: f64 = 20.0;
const SHUTTING_DOWN_S: f64 = 30.0;
const FORGOTTEN_S: f64 = 3600.0;

fn missing(id: &str) -> AwsError {
    let well_formed = id.strip_prefix("i-").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
    if !well_formed {
        return AwsError::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""));
    }
    not_found("InvalidInstanceID.NotFound", "instance", id)
}

fn combination(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterCombination", message)
}

fn state(code: u64, name: &str) -> Value {
    json!({"Code": code, "Name": name})
}

/// A launch after all its checks.
struct Launch {
    image: Value,
    kind: &'static Value,
    subnet: Value,
    groups: Vec<String>,
    interfaces: Vec<Value>,
    placement: Value,
    /// The instance profile as an instance shows it; null without one.
    profile: Value,
    request: Value,
}

fn run_instances(call: &mut Call<'_>, input: &Value) -> Answer {
    super::vpc::ensure_default(call);
    call.once(optional(input, "ClientToken"), input, |call| {
        let (low, high) = (input["MinCount"].as_u64().unwrap_or(1), input["MaxCount"].as_u64().unwrap_or(1));
        if low == 0 || high < low {
            return Err(invalid(format!("Value ({low}) for parameter minCount is invalid. Must be 1 to maxCount.")));
        }
        let request = merged(call, input)?;
        let launch = check(call, request)?;
        let count = capacity(call, &launch, low, high)?;
        room(call, &launch, count)?;
        let tags = instance_tags(&launch.request)?;
        let reservation = call.id("r");
        let mut made = Vec::new();
        for index in 0..count {
            made.push(make(call, &launch, &reservation, index, input, &tags)?);
        }
        Ok(json!({"ReservationId": reservation, "OwnerId": call.account, "Groups": [], "Instances": made}))
    })
}

/// Lays a request over the launch template it names.
fn merged(call: &Call<'_>, input: &Value) -> Result<Value, AwsError> {
    let mut out = json!({});
    if let Some(template) = input.get("LaunchTemplate") {
        let (id, number, data) = launch_template::data_for_launch(call, template)?;
        out = data;
        out["_template"] = json!([id, number.to_string()]);
    }
    if input.get("SubnetId").is_some() && out.get("NetworkInterfaces").is_some() {
        let message = "Network interfaces and an instance-level subnet ID may not be specified on the same request";
        return Err(combination(message));
    }
    for (key, value) in input.as_object().into_iter().flatten() {
        if !["LaunchTemplate", "MinCount", "MaxCount", "ClientToken", "DryRun"].contains(&key.as_str()) {
            out[key] = value.clone();
        }
    }
    Ok(out)
}

fn check(call: &Call<'_>, request: Value) -> Result<Launch, AwsError> {
    let Some(given) = optional(&request, "ImageId") else {
        return Err(AwsError::new("MissingParameter", "The request must contain the parameter ImageId"));
    };
    let image = image::image(call, given)?;
    let name = optional(&request, "InstanceType").unwrap_or("m1.small");
    let kind = instance_type(name).ok_or_else(|| invalid(format!("Invalid value '{name}' for InstanceType.")))?;
    if !texts(&kind["ProcessorInfo"], "SupportedArchitectures").contains(&text(&image, "Architecture")) {
        let message = format!(
            "The architecture of the instance type '{name}' does not match the architecture '{}' of the image.",
            text(&image, "Architecture")
        );
        return Err(invalid(message));
    }
    let interfaces = request["NetworkInterfaces"].as_array().cloned().unwrap_or_default();
    if !interfaces.is_empty() && (request.get("SubnetId").is_some() || request.get("SecurityGroupIds").is_some()) {
        let message = "Network interfaces and an instance-level subnet ID may not be specified on the same request";
        return Err(combination(message));
    }
    check_interfaces(&interfaces, kind, name)?;
    let primary = interfaces.iter().find(|one| place(one) == (0, 0));
    let wanted = primary.and_then(|one| optional(one, "SubnetId")).or(optional(&request, "SubnetId"));
    let subnet = match wanted {
        Some(id) => subnet::subnet(call, id)?,
        None => {
            let zone = optional(&request["Placement"], "AvailabilityZone");
            let mut all = call.list(subnet::SUBNETS).into_iter();
            let found = all.find(|(_, row)| {
                row["DefaultForAz"] == true && zone.is_none_or(|zone| text(row, "AvailabilityZone") == zone)
            });
            found.map(|(_, row)| row).ok_or_else(|| {
                AwsError::new("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
            })?
        }
    };
    let mut groups: Vec<String> = match primary {
        Some(primary) => texts(primary, "Groups"),
        None => texts(&request, "SecurityGroupIds"),
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    for group in &groups {
        call.get(security_group::GROUPS, group).ok_or_else(|| security_group::missing(group))?;
    }
    if groups.is_empty() {
        groups.extend(security_group::default_of(call, text(&subnet, "VpcId")));
    }
    let zone = text(&subnet, "AvailabilityZone");
    if !offered_in(call, name).iter().any(|offered| offered == zone) {
        let message = format!(
            "Your requested instance type ({name}) is not supported in your requested Availability Zone ({zone})."
        );
        return Err(AwsError::new("Unsupported", message));
    }
    let placement = placed(call, &request, kind, name, zone)?;
    let profile = profile(call, &request["IamInstanceProfile"])?;
    Ok(Launch { image, kind, subnet, groups, interfaces, placement, profile, request })
}

/// Finds the instance profile that a request names; one of a moment ago may not have propagated, nor its role.
fn profile(call: &Call<'_>, named: &Value) -> Result<Value, AwsError> {
    let (name, arn) = (optional(named, "Name"), optional(named, "Arn"));
    let id = match (name, arn) {
        (None, None) => return Ok(Value::Null),
        (Some(_), Some(_)) => {
            let message =
                "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'";
            return Err(combination(message));
        }
        (Some(name), None) => name,
        (None, Some(arn)) => arn.rsplit('/').next().unwrap_or(arn),
    };
    let found = call.elsewhere("iam", "instance_profiles", id);
    let found = found.filter(|found| arn.is_none_or(|arn| text(found, "Arn") == arn)).ok_or_else(|| {
        let (member, what) = if arn.is_some() { ("arn", "ARN") } else { ("name", "name") };
        let given = arn.unwrap_or(id);
        invalid(format!(
            "Value ({given}) for parameter iamInstanceProfile.{member} is invalid. Invalid IAM Instance Profile {what}"
        ))
    })?;
    if optional(&found, "_role").is_none() {
        let message = format!("IAM Instance Profile \"{}\" has no associated IAM Roles", text(&found, "Arn"));
        return Err(invalid(message));
    }
    Ok(json!({"Arn": found["Arn"], "Id": found["InstanceProfileId"]}))
}

fn place(one: &Value) -> (i64, i64) {
    (one["NetworkCardIndex"].as_i64().unwrap_or(0), one["DeviceIndex"].as_i64().unwrap_or(0))
}

fn check_interfaces(interfaces: &[Value], kind: &Value, name: &str) -> Result<(), AwsError> {
    let cards = kind["NetworkInfo"]["NetworkCards"].as_array().map_or(&[][..], Vec::as_slice);
    let mut places = std::collections::BTreeSet::new();
    let mut efa = 0;
    for one in interfaces {
        let (card, device) = place(one);
        let Some(facts) = cards.iter().find(|facts| facts["NetworkCardIndex"] == card) else {
            return Err(invalid(format!("Network card index {card} is not valid for instance type {name}.")));
        };
        if !places.insert((card, device)) {
            return Err(invalid(format!("Device index {device} is used more than once on network card {card}.")));
        }
        let wanted = optional(one, "InterfaceType").unwrap_or("interface");
        if !texts(facts, "InterfaceTypes").contains(&wanted) {
            return Err(combination(format!("Interface type {wanted} is not supported on card {card} of {name}.")));
        }
        if wanted == "efa-only" && (card, device) == (0, 0) {
            return Err(combination("The primary network interface cannot be of type efa-only."));
        }
        efa += i64::from(wanted != "interface");
        if one["AssociatePublicIpAddress"] == true && interfaces.len() > 1 {
            let message = "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.";
            return Err(combination(message));
        }
    }
    if !interfaces.is_empty() && !places.contains(&(0, 0)) {
        return Err(combination("The primary network interface has to be on network card 0 with device index 0."));
    }
    if efa > kind["NetworkInfo"]["EfaInfo"]["MaximumEfaInterfaces"].as_i64().unwrap_or(0) {
        return Err(combination(format!("Instance type {name} does not take {efa} EFA interfaces.")));
    }
    Ok(())
}

fn placed(call: &Call<'_>, request: &Value, kind: &Value, name: &str, zone: &str) -> Result<Value, AwsError> {
    let mut out = json!({
        "AvailabilityZone": zone, "AvailabilityZoneId": zone_id(zone), "GroupName": "",
        "Tenancy": optional(&request["Placement"], "Tenancy").unwrap_or("default"),
    });
    if let Some(group) = optional(&request["Placement"], "GroupName") {
        let found = call.get(placement::GROUPS, group).filter(|found| found["State"] == "available");
        let found = found.ok_or_else(|| placement::unknown(group))?;
        if text(&found, "Strategy") == "cluster" && kind["BurstablePerformanceSupported"] == true {
            let message = format!("Cluster placement groups are not supported by the '{name}' instance type.");
            return Err(combination(message));
        }
        out["GroupName"] = json!(group);
        out["GroupId"] = found["GroupId"].clone();
    }
    Ok(out)
}

/// Returns how many instances there is capacity for, at least `low`.
fn capacity(call: &Call<'_>, launch: &Launch, low: u64, high: u64) -> Result<u64, AwsError> {
    let name = text(launch.kind, "InstanceType");
    let zone = text(&launch.subnet, "AvailabilityZone");
    let running = |zone: &str| {
        let all = call.list(INSTANCES);
        let held = |row: &Value| row["State"]["Name"] != "terminated" && row["InstanceType"] == name;
        all.iter().filter(|(_, row)| held(row) && text(&row["Placement"], "AvailabilityZone") == zone).count() as u64
    };
    let free = |zone: &str| {
        let limit = call.capacity(&format!("{name}@{zone}")).or_else(|| call.capacity(name));
        limit.map(|limit| limit.saturating_sub(running(zone)))
    };
    let Some(here) = free(zone) else { return Ok(high) };
    if here >= low {
        return Ok(here.min(high));
    }
    let others = offered_in(call, name);
    let others: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .filter(|other| *other != zone && free(other).is_none_or(|free| free >= low))
        .collect();
    let mut message = format!(
        "We currently do not have sufficient {name} capacity in the Availability Zone you requested ({zone}). Our \
         system will be working on provisioning additional capacity."
    );
    if !others.is_empty() {
        message.push_str(&format!(
            " You can currently get {name} capacity by not specifying an Availability Zone in your request or choosing {}.",
            others.join(", ")
        ));
    }
    Err(AwsError::new("InsufficientInstanceCapacity", message).status(500))
}

/// Checks that the subnet has an address for every interface before any is made.
fn room(call: &Call<'_>, launch: &Launch, count: u64) -> Result<(), AwsError> {
    let block = text(&launch.subnet, "CidrBlock").parse::<ipnet::Ipv4Net>();
    let size = block.map_or(0, |block| 1_u64 << (32 - block.prefix_len()));
    let id = text(&launch.subnet, "SubnetId");
    let free = size.saturating_sub(5 + interface::count(call, id));
    if count.saturating_mul(launch.interfaces.len().max(1) as u64) > free {
        let message = format!("The subnet '{id}' has insufficient free addresses to satisfy the request.");
        return Err(AwsError::new("InsufficientFreeAddressesInSubnet", message));
    }
    Ok(())
}

/// Returns the tags of the instances; those for volumes and interfaces are checked and left aside.
fn instance_tags(request: &Value) -> Result<Value, AwsError> {
    let all = request["TagSpecifications"].as_array().cloned().unwrap_or_default();
    let mut own = Vec::new();
    for specification in all {
        match text(&specification, "ResourceType") {
            "instance" => own.push(specification),
            "volume" | "network-interface" | "spot-instances-request" => {}
            other => {
                return Err(invalid(format!("'{other}' is not a valid taggable resource type for this operation.")));
            }
        }
    }
    new_tags(&json!({"TagSpecifications": own}), "instance")
}

fn make(
    call: &mut Call<'_>,
    launch: &Launch,
    reservation: &str,
    index: u64,
    input: &Value,
    tags: &Value,
) -> Result<Value, AwsError> {
    let id = call.id("i");
    let mut rows =
        if launch.interfaces.is_empty() { vec![json!({"DeviceIndex": 0})] } else { launch.interfaces.clone() };
    rows.sort_by_key(place);
    let mut attached = Vec::new();
    for row in &rows {
        attached.push(attach(call, launch, row, &id)?);
    }
    let address = attached[0]["PrivateIpAddress"].clone();
    let request = &launch.request;
    let options = &request["MetadataOptions"];
    let mut made = json!({
        "InstanceId": id, "ImageId": launch.image["ImageId"], "InstanceType": launch.kind["InstanceType"],
        "State": state(0, "pending"), "LaunchTime": call.timestamp(), "AmiLaunchIndex": index,
        "Architecture": launch.image["Architecture"], "RootDeviceName": launch.image["RootDeviceName"],
        "RootDeviceType": "ebs", "VirtualizationType": "hvm", "Hypervisor": "xen", "EnaSupport": true,
        "Placement": launch.placement, "SubnetId": launch.subnet["SubnetId"], "VpcId": launch.subnet["VpcId"],
        "PrivateIpAddress": address, "SecurityGroups": attached[0]["Groups"], "NetworkInterfaces": attached,
        "SourceDestCheck": true, "EbsOptimized": request["EbsOptimized"] == true,
        "Monitoring": {"State": if request["Monitoring"]["Enabled"] == true { "enabled" } else { "disabled" }},
        "MetadataOptions": {
            "State": "applied", "HttpTokens": optional(options, "HttpTokens").unwrap_or("required"),
            "HttpPutResponseHopLimit": options["HttpPutResponseHopLimit"].as_i64().unwrap_or(2),
            "HttpEndpoint": optional(options, "HttpEndpoint").unwrap_or("enabled"),
            "InstanceMetadataTags": optional(options, "InstanceMetadataTags").unwrap_or("disabled"),
        },
        "Tags": tags, "_arn": call.arn(&format!("instance/{id}")), "_reservation": reservation,
        "_protected": request["DisableApiTermination"] == true,
    });
    if launch.profile.is_object() {
        made["IamInstanceProfile"] = launch.profile.clone();
    }
    if let Some(token) = optional(input, "ClientToken") {
        made["ClientToken"] = json!(token);
    }
    if let Some(key) = request.get("KeyName") {
        made["KeyName"] = key.clone();
    }
    if let Some(specification) = request.get("CapacityReservationSpecification") {
        made["CapacityReservationSpecification"] = specification.clone();
        if let Some(reserved) = specification["CapacityReservationTarget"].get("CapacityReservationId") {
            made["CapacityReservationId"] = reserved.clone();
        }
    }
    if request["InstanceMarketOptions"]["MarketType"] == "capacity-block" {
        made["InstanceLifecycle"] = json!("capacity-block");
    }
    if let Some(template) = request["_template"].as_array() {
        let own = [("aws:ec2launchtemplate:id", &template[0]), ("aws:ec2launchtemplate:version", &template[1])];
        for (key, value) in own {
            if let Some(tags) = made["Tags"].as_array_mut() {
                tags.push(json!({"Key": key, "Value": value}));
            }
        }
    }
    Transition::from(call.now()).then(PENDING_S, json!({"State": state(16, "running")})).attach(&mut made);
    call.put(INSTANCES, &id, made.clone());
    Ok(made)
}

/// Makes an interface and attaches it.
fn attach(call: &mut Call<'_>, launch: &Launch, row: &Value, instance: &str) -> Result<Value, AwsError> {
    let groups: Vec<String> = texts(row, "Groups").into_iter().map(str::to_owned).collect();
    let groups = if groups.is_empty() { launch.groups.clone() } else { groups };
    let address = pick_address(call, &launch.subnet, optional(row, "PrivateIpAddress"))?;
    let kind = optional(row, "InterfaceType").unwrap_or("interface");
    let description = optional(row, "Description").unwrap_or_default().to_owned();
    let purpose = Purpose { description, kind, requester: None, groups, tags: json!([]) };
    let id = interface::make(call, &launch.subnet, &address, purpose);
    let (card, device) = place(row);
    let attachment = json!({
        "AttachmentId": call.id("eni-attach"), "AttachTime": call.timestamp(), "DeviceIndex": device,
        "NetworkCardIndex": card, "Status": "attached",
        "DeleteOnTermination": row["DeleteOnTermination"] != false,
    });
    call.change(interface::INTERFACES, &id, |found| {
        found["Status"] = json!("in-use");
        found["Attachment"] = attachment.clone();
        found["Attachment"]["InstanceId"] = json!(instance);
    });
    let mut shown = call.get(interface::INTERFACES, &id).unwrap_or_default();
    shown["Attachment"] = attachment;
    if kind == "efa-only" {
        // It has no address of its own.
        shown["PrivateIpAddresses"] = json!([]);
    }
    Ok(shown)
}

const FILTERS: &[filter::Known] = &[
    ("availability-zone", "Placement.AvailabilityZone"),
    ("client-token", "ClientToken"),
    ("iam-instance-profile.arn", "IamInstanceProfile.Arn"),
    ("image-id", "ImageId"),
    ("instance-id", "InstanceId"),
    ("instance-state-name", "State.Name"),
    ("instance-type", "InstanceType"),
    ("instance.group-id", "SecurityGroups.GroupId"),
    ("placement-group-name", "Placement.GroupName"),
    ("reservation-id", "_reservation"),
    ("subnet-id", "SubnetId"),
    ("vpc-id", "VpcId"),
];

fn describe_instances(call: &mut Call<'_>, input: &Value) -> Answer {
    let mut flat = input.clone();
    if let Some(members) = flat.as_object_mut() {
        members.shift_remove("MaxResults");
        members.shift_remove("NextToken");
    }
    if !texts(input, "InstanceIds").is_empty() && input.get("MaxResults").is_some() {
        return Err(combination("The parameters MaxResults and InstanceIds cannot be used together"));
    }
    let found = describe(call, &flat, (INSTANCES, "Reservations"), ("InstanceIds", missing), FILTERS)?;
    let mut rows: Vec<(String, Value)> = Vec::new();
    for instance in found["Reservations"].as_array().into_iter().flatten() {
        let id = text(instance, "_reservation").to_owned();
        match rows.iter_mut().find(|(key, _)| *key == id) {
            Some((_, row)) => {
                if let Some(all) = row["Instances"].as_array_mut() {
                    all.push(instance.clone());
                }
            }
            None => {
                let row = json!({"ReservationId": id, "OwnerId": call.account, "Groups": [], "Instances": [instance]});
                rows.push((id, row));
            }
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    call.paged(input, "Reservations", rows, 1000)
}

fn terminate_instances(call: &mut Call<'_>, input: &Value) -> Answer {
    let ids = texts(input, "InstanceIds");
    let mut before = Vec::new();
    for id in &ids {
        // One unknown or protected instance keeps all of them.
        let found = call.get(INSTANCES, id).ok_or_else(|| missing(id))?;
        if found["_protected"] == true {
            let message = format!(
                "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
            );
            return Err(AwsError::new("OperationNotPermitted", message));
        }
        before.push(found);
    }
    let mut rows = Vec::new();
    for found in before {
        let id = text(&found, "InstanceId");
        let old = found["State"].clone();
        let over = ["shutting-down", "terminated"].contains(&text(&old, "Name"));
        if !over {
            let now = call.now();
            for row in found["NetworkInterfaces"].as_array().into_iter().flatten() {
                interface::leave(call, text(row, "NetworkInterfaceId"), SHUTTING_DOWN_S);
            }
            call.change(INSTANCES, id, |found| {
                found["State"] = state(32, "shutting-down");
                let end = json!({"State": state(48, "terminated"), "NetworkInterfaces": [], "PrivateIpAddress": null});
                Transition::from(now).then(SHUTTING_DOWN_S, end).gone(FORGOTTEN_S).attach(found);
            });
        }
        let new = if over { old.clone() } else { state(32, "shutting-down") };
        rows.push(json!({"InstanceId": id, "PreviousState": old, "CurrentState": new}));
    }
    Ok(json!({"TerminatingInstances": rows}))
}
