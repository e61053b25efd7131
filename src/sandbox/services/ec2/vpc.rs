//! VPCs, with the default VPC and what every VPC comes with: main route table, network ACL, default group.
//!
//! Not simulated: IPAM pools, IPv6 blocks of a customer's own.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{dependency, describe, done, invalid, ipv6, new_tags, not_found, zone_id, zones};
use crate::sandbox::call::{Call, Transition, text};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AssociateVpcCidrBlock", associate_vpc_cidr_block),
    ("CreateVpc", create_vpc),
    ("DeleteVpc", delete_vpc),
    ("DescribeVpcAttribute", describe_vpc_attribute),
    ("DescribeVpcs", describe_vpcs),
    ("DisassociateVpcCidrBlock", disassociate_vpc_cidr_block),
    ("ModifyVpcAttribute", modify_vpc_attribute),
];

pub(super) const VPCS: &str = "vpcs";
/// Seconds a new VPC is `pending`.
const PENDING_S: f64 = 1.0;

/// The kinds whose presence keeps a VPC from being deleted, with the member that names the VPC.
const DEPENDANTS: &[(&str, &str)] =
    &[("subnets", "VpcId"), ("nat_gateways", "VpcId"), ("vpc_endpoints", "VpcId"), ("network_interfaces", "VpcId")];

fn missing(id: &str) -> AwsError {
    not_found("InvalidVpcID.NotFound", "vpc", id)
}

/// Returns a VPC by id.
pub(super) fn vpc(call: &Call<'_>, id: &str) -> Result<Value, AwsError> {
    call.get(VPCS, id).ok_or_else(|| missing(id))
}

/// Returns the IPv4 blocks of a VPC.
pub(super) fn blocks(vpc: &Value) -> Vec<Ipv4Net> {
    let sets = vpc["CidrBlockAssociationSet"].as_array().into_iter().flatten();
    let held = sets.filter(|set| set["CidrBlockState"]["State"] == "associated");
    held.filter_map(|set| text(set, "CidrBlock").parse().ok()).collect()
}

/// Tells whether two blocks share an address.
pub(super) fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// Reads a block and brings it to its canonical form.
pub(super) fn block(given: &str, kind: &str) -> Result<Ipv4Net, AwsError> {
    let parsed = given.parse::<Ipv4Net>();
    let parsed = parsed.map_err(|_| {
        invalid(format!("Value ({given}) for parameter cidrBlock is invalid. This is not a valid CIDR block."))
    })?;
    if !(16..=28).contains(&parsed.prefix_len()) {
        return Err(AwsError::new(format!("Invalid{kind}.Range"), format!("The CIDR '{given}' is invalid.")));
    }
    Ok(parsed.trunc())
}

/// Makes the default VPC with a subnet per zone when a caller first looks at a region.
pub(super) fn ensure_default(call: &mut Call<'_>) {
    if call.get("_marks", "default_vpc").is_some() {
        return;
    }
    call.put("_marks", "default_vpc", json!({}));
    let block: Ipv4Net = "172.31.0.0/16".parse().expect("internal error: a constant block is valid");
    let id = make(call, block, "default", true, json!([]));
    let parts = block.subnets(20).into_iter().flatten();
    for (zone, part) in zones(call).into_iter().zip(parts) {
        super::subnet::make(call, &id, part, &zone, &zone_id(&zone), true, json!([]));
    }
    let gateway = super::internet_gateway::make_default(call, &id);
    let route =
        json!({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway, "Origin": "CreateRoute", "State": "active"});
    for (table, _) in call.list("route_tables") {
        call.change("route_tables", &table, |row| super::push(row, "Routes", route.clone()));
    }
    // Reading is no change of the caller's.
    call.touched.clear();
}

fn make(call: &mut Call<'_>, block: Ipv4Net, tenancy: &str, is_default: bool, tags: Value) -> String {
    let id = call.id("vpc");
    let association = call.id("vpc-cidr-assoc");
    let mut vpc = json!({
        "VpcId": id,
        "OwnerId": call.account,
        "InstanceTenancy": tenancy,
        "State": "available",
        "CidrBlock": block.to_string(),
        "CidrBlockAssociationSet": [{
            "AssociationId": association,
            "CidrBlock": block.to_string(),
            "CidrBlockState": {"State": "associated"},
        }],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": dhcp_options(call),
        "IsDefault": is_default,
        "Tags": tags,
        "_arn": call.arn(&format!("vpc/{id}")),
        "_attributes": {
            "EnableDnsSupport": true,
            "EnableDnsHostnames": is_default,
            "EnableNetworkAddressUsageMetrics": false,
        },
    });
    if !is_default {
        vpc["State"] = json!("pending");
        Transition::from(call.now()).then(PENDING_S, json!({"State": "available"})).attach(&mut vpc);
    }
    call.put(VPCS, &id, vpc);
    companions(call, &id, block);
    id
}

fn dhcp_options(call: &mut Call<'_>) -> String {
    if let Some((id, _)) = call.find("dhcp_options", |_, _| true) {
        return id;
    }
    let id = call.id("dopt");
    let domain = match call.region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    };
    let options = json!({
        "DhcpOptionsId": id,
        "OwnerId": call.account,
        "DhcpConfigurations": [
            {"Key": "domain-name", "Values": [{"Value": domain}]},
            {"Key": "domain-name-servers", "Values": [{"Value": "AmazonProvidedDNS"}]},
        ],
        "Tags": [],
        "_arn": call.arn(&format!("dhcp-options/{id}")),
    });
    call.put("dhcp_options", &id, options);
    id
}

/// Makes the main route table, the default network ACL and the default security group.
fn companions(call: &mut Call<'_>, vpc: &str, block: Ipv4Net) {
    let (table, association) = (call.id("rtb"), call.id("rtbassoc"));
    let route = json!({
        "DestinationCidrBlock": block.to_string(),
        "GatewayId": "local",
        "Origin": "CreateRouteTable",
        "State": "active",
    });
    let main = json!({
        "RouteTableId": table,
        "VpcId": vpc,
        "OwnerId": call.account,
        "Associations": [{
            "Main": true,
            "RouteTableAssociationId": association,
            "RouteTableId": table,
            "AssociationState": {"State": "associated"},
        }],
        "PropagatingVgws": [],
        "Routes": [route],
        "Tags": [],
        "_arn": call.arn(&format!("route-table/{table}")),
    });
    call.put("route_tables", &table, main);
    let acl = call.id("acl");
    let entry = |egress: bool, number: u32, action: &str| json!({"CidrBlock": "0.0.0.0/0", "Egress": egress, "Protocol": "-1", "RuleAction": action, "RuleNumber": number});
    let default_acl = json!({
        "NetworkAclId": acl,
        "VpcId": vpc,
        "OwnerId": call.account,
        "IsDefault": true,
        "Associations": [],
        "Entries": [entry(true, 100, "allow"), entry(true, 32767, "deny"), entry(false, 100, "allow"), entry(false, 32767, "deny")],
        "Tags": [],
        "_arn": call.arn(&format!("network-acl/{acl}")),
    });
    call.put("network_acls", &acl, default_acl);
    let group = call.id("sg");
    let default_group = json!({
        "GroupId": group,
        "GroupName": "default",
        "Description": "default VPC security group",
        "VpcId": vpc,
        "OwnerId": call.account,
        "Tags": [],
        "_arn": call.arn(&format!("security-group/{group}")),
        "SecurityGroupArn": call.arn(&format!("security-group/{group}")),
    });
    call.put("security_groups", &group, default_group);
    let rules = [
        json!({"IsEgress": false, "IpProtocol": "-1", "FromPort": -1, "ToPort": -1,
               "ReferencedGroupInfo": {"GroupId": group, "UserId": call.account}}),
        json!({"IsEgress": true, "IpProtocol": "-1", "FromPort": -1, "ToPort": -1, "CidrIpv4": "0.0.0.0/0"}),
    ];
    for mut rule in rules {
        let id = call.id("sgr");
        rule["SecurityGroupRuleId"] = json!(id);
        rule["GroupId"] = json!(group);
        rule["GroupOwnerId"] = json!(call.account);
        rule["Tags"] = json!([]);
        rule["_arn"] = json!(call.arn(&format!("security-group-rule/{id}")));
        rule["SecurityGroupRuleArn"] = rule["_arn"].clone();
        call.put("security_group_rules", &id, rule);
    }
}

fn create_vpc(call: &mut Call<'_>, input: &Value) -> Answer {
    if ["Ipv4IpamPoolId", "Ipv6IpamPoolId", "Ipv6Pool", "Ipv6CidrBlock"].iter().any(|key| input.get(*key).is_some()) {
        let message = "the sandbox has no IPAM pools and no IPv6 blocks but Amazon's";
        return Err(AwsError::new("NotImplementedBySandbox", message));
    }
    let Some(given) = input["CidrBlock"].as_str() else {
        let message = "Either 'cidrBlock' or 'ipv4IpamPoolId' must be provided.";
        return Err(AwsError::new("MissingParameter", message));
    };
    let block = block(given, "Vpc")?;
    let tenancy = input["InstanceTenancy"].as_str().unwrap_or("default");
    if tenancy == "host" {
        return Err(invalid("Value (host) for parameter instanceTenancy is invalid."));
    }
    let tags = new_tags(input, "vpc")?;
    ensure_default(call);
    if call.count(VPCS) >= call.quota("vpcs") {
        let message = "The maximum number of VPCs has been reached.";
        return Err(AwsError::new("VpcLimitExceeded", message));
    }
    let id = make(call, block, tenancy, false, tags);
    if input["AmazonProvidedIpv6CidrBlock"] == true {
        let association = ipv6::amazons(call);
        call.change(VPCS, &id, |vpc| vpc["Ipv6CidrBlockAssociationSet"] = json!([association]));
    }
    Ok(json!({"Vpc": vpc(call, &id)?}))
}

fn describe_vpcs(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (VPCS, "Vpcs"),
        ("VpcIds", missing),
        &[
            ("cidr", "CidrBlock"),
            ("cidr-block-association.association-id", "CidrBlockAssociationSet.AssociationId"),
            ("cidr-block-association.cidr-block", "CidrBlockAssociationSet.CidrBlock"),
            ("ipv6-cidr-block-association.association-id", "Ipv6CidrBlockAssociationSet.AssociationId"),
            ("ipv6-cidr-block-association.ipv6-cidr-block", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock"),
            ("dhcp-options-id", "DhcpOptionsId"),
            ("is-default", "IsDefault"),
            ("isDefault", "IsDefault"),
            ("owner-id", "OwnerId"),
            ("state", "State"),
            ("vpc-id", "VpcId"),
        ],
    )
}

fn delete_vpc(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "VpcId");
    ensure_default(call);
    vpc(call, id)?;
    let own = |_: &str, row: &Value| text(row, "VpcId") == id;
    let attached =
        call.any("internet_gateways", |_, row| super::items(row, "Attachments").any(|tie| text(tie, "VpcId") == id));
    let groups = call.select("security_groups", own);
    let tables = call.select("route_tables", own);
    let acls = call.select("network_acls", own);
    let main = |table: &Value| table["Associations"].as_array().into_iter().flatten().any(|a| a["Main"] == true);
    let blocked = attached
        || groups.iter().any(|(_, group)| text(group, "GroupName") != "default")
        || tables.iter().any(|(_, table)| !main(table))
        || acls.iter().any(|(_, acl)| acl["IsDefault"] != true)
        || DEPENDANTS.iter().any(|(kind, member)| {
            call.any(kind, |_, row| text(row, member) == id && !matches!(text(row, "State"), "deleted" | "failed"))
        });
    if blocked {
        return Err(dependency("vpc", id));
    }
    for (group, _) in &groups {
        for (rule, _) in super::security_group_rule::of_group(call, group) {
            call.remove("security_group_rules", &rule);
        }
        call.remove("security_groups", group);
    }
    for (table, _) in tables {
        call.remove("route_tables", &table);
    }
    for (acl, _) in acls {
        call.remove("network_acls", &acl);
    }
    call.remove(VPCS, id);
    done()
}

/// The attributes, each as (name in requests, name in DescribeVpcAttribute).
const ATTRIBUTES: &[(&str, &str)] = &[
    ("EnableDnsHostnames", "enableDnsHostnames"),
    ("EnableDnsSupport", "enableDnsSupport"),
    ("EnableNetworkAddressUsageMetrics", "enableNetworkAddressUsageMetrics"),
];

fn describe_vpc_attribute(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "VpcId");
    ensure_default(call);
    let vpc = vpc(call, id)?;
    let wanted = text(input, "Attribute");
    let found = ATTRIBUTES.iter().find(|(_, name)| *name == wanted);
    let (member, _) = found.ok_or_else(|| invalid(format!("Value ({wanted}) for parameter attribute is invalid.")))?;
    let mut answer = json!({"VpcId": id});
    answer[*member] = json!({"Value": vpc["_attributes"][*member]});
    Ok(answer)
}

fn modify_vpc_attribute(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "VpcId");
    ensure_default(call);
    let vpc = vpc(call, id)?;
    let given: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).filter(|name| input.get(*name).is_some()).collect();
    let [name] = given.as_slice() else {
        let message = "Fields for multiple attribute types specified, or none";
        return Err(AwsError::new("InvalidParameterCombination", message));
    };
    let value = input[*name]["Value"].clone();
    if *name == "EnableDnsHostnames" && value == true && vpc["_attributes"]["EnableDnsSupport"] != true {
        let message = "DNS hostnames need DNS support to be enabled.";
        return Err(AwsError::new("InvalidParameterCombination", message));
    }
    call.change(VPCS, id, |vpc| vpc["_attributes"][*name] = value);
    done()
}

fn associate_vpc_cidr_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let id = text(input, "VpcId");
    ensure_default(call);
    let found = vpc(call, id)?;
    if input["AmazonProvidedIpv6CidrBlock"] == true && input.get("CidrBlock").is_none() {
        if !ipv6::blocks(&found).is_empty() {
            let message = format!("This network '{id}' has met its maximum number of allowed CIDRs");
            return Err(AwsError::new("CidrLimitExceeded", message));
        }
        let association = ipv6::amazons(call);
        let mut answered = association.clone();
        answered["Ipv6CidrBlockState"] = json!({"State": "associating"});
        call.change(VPCS, id, |vpc| super::push(vpc, "Ipv6CidrBlockAssociationSet", association));
        return Ok(json!({"VpcId": id, "Ipv6CidrBlockAssociation": answered}));
    }
    let Some(given) = input["CidrBlock"].as_str() else {
        let message = "the sandbox has no IPAM pools and no IPv6 blocks but Amazon's";
        return Err(AwsError::new("NotImplementedBySandbox", message));
    };
    let block = block(given, "Vpc")?;
    let held = blocks(&found);
    if held.iter().any(|other| overlap(other, &block)) {
        return Err(AwsError::new(
            "InvalidVpc.Range",
            format!("The CIDR '{block}' conflicts with another block of the VPC."),
        ));
    }
    if held.len() >= call.quota("cidrs_per_vpc") {
        let message = format!("This network '{id}' has met its maximum number of allowed CIDRs");
        return Err(AwsError::new("CidrLimitExceeded", message));
    }
    let association = json!({
        "AssociationId": call.id("vpc-cidr-assoc"),
        "CidrBlock": block.to_string(),
        "CidrBlockState": {"State": "associated"},
    });
    let kept = association.clone();
    call.change(VPCS, id, |vpc| {
        if let Some(sets) = vpc["CidrBlockAssociationSet"].as_array_mut() {
            sets.push(kept);
        }
    });
    let mut answered = association;
    answered["CidrBlockState"] = json!({"State": "associating"});
    Ok(json!({"VpcId": id, "CidrBlockAssociation": answered}))
}

fn disassociate_vpc_cidr_block(call: &mut Call<'_>, input: &Value) -> Answer {
    let wanted = text(input, "AssociationId");
    if let Some(answer) = disassociate_ipv6(call, wanted)? {
        return Ok(answer);
    }
    let holds = |vpc: &Value| {
        let sets = vpc["CidrBlockAssociationSet"].as_array().into_iter().flatten();
        sets.into_iter().find(|set| text(set, "AssociationId") == wanted).cloned()
    };
    let found = call.find_map(VPCS, |id, vpc| Some((id.to_owned(), holds(vpc)?, vpc.clone())));
    let Some((id, association, vpc)) = found else {
        let message = format!("The vpc CIDR block association ID '{wanted}' does not exist");
        return Err(AwsError::new("InvalidVpcCidrBlockAssociationID.NotFound", message));
    };
    if association["CidrBlock"] == vpc["CidrBlock"] {
        let message = format!(
            "The vpc CIDR block with association ID {wanted} may not be disassociated. It is the primary IPv4 CIDR block of the VPC"
        );
        return Err(AwsError::new("OperationNotPermitted", message));
    }
    let block: Option<Ipv4Net> = text(&association, "CidrBlock").parse().ok();
    let used = call.any("subnets", |_, subnet| {
        let part: Option<Ipv4Net> = text(subnet, "CidrBlock").parse().ok();
        text(subnet, "VpcId") == id && matches!((&block, &part), (Some(block), Some(part)) if block.contains(part))
    });
    if used {
        let message = format!("The vpc CIDR block with association ID {wanted} has dependencies");
        return Err(AwsError::new("DependencyViolation", message));
    }
    call.change(VPCS, &id, |vpc| {
        if let Some(sets) = vpc["CidrBlockAssociationSet"].as_array_mut() {
            sets.retain(|set| text(set, "AssociationId") != wanted);
        }
    });
    let mut answered = association;
    answered["CidrBlockState"] = json!({"State": "disassociating"});
    Ok(json!({"VpcId": id, "CidrBlockAssociation": answered}))
}

/// Takes an IPv6 block from the VPC that has it under an association's id; none if no VPC has.
fn disassociate_ipv6(call: &mut Call<'_>, wanted: &str) -> Result<Option<Value>, AwsError> {
    const SET: &str = "Ipv6CidrBlockAssociationSet";
    let found = call.find_map(VPCS, |id, vpc| {
        let one = super::items(vpc, SET).find(|one| text(one, "AssociationId") == wanted).cloned();
        one.map(|one| (id.to_owned(), one))
    });
    let Some((id, association)) = found else { return Ok(None) };
    let used = call.any("subnets", |_, row| text(row, "VpcId") == id && !ipv6::blocks(row).is_empty());
    if used {
        let message = format!("The vpc CIDR block with association ID {wanted} has dependencies");
        return Err(AwsError::new("DependencyViolation", message));
    }
    call.change(VPCS, &id, |vpc| super::retain(vpc, SET, |one| text(one, "AssociationId") != wanted));
    let mut answered = association;
    answered["Ipv6CidrBlockState"] = json!({"State": "disassociating"});
    Ok(Some(json!({"VpcId": id, "Ipv6CidrBlockAssociation": answered})))
}
