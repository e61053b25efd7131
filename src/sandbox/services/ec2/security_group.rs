//! Security groups. Their rules are kept one by one; a group shows them in AWS's grouping.

use serde_json::{Value, json};

use super::{check_form, describe_as, interface, invalid, new_tags, permission, security_group_rule as rule, vpc};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("CreateSecurityGroup", create_security_group),
    ("DeleteSecurityGroup", delete_security_group),
    ("DescribeSecurityGroups", describe_security_groups),
];

pub(super) const GROUPS: &str = "security_groups";

pub(super) fn missing(id: &str) -> AwsError {
    match check_form("sg", id, "InvalidGroupId.Malformed") {
        Err(error) => error,
        Ok(()) => AwsError::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist")),
    }
}

/// Returns the id of a VPC's default group.
pub(super) fn default_of(call: &Call<'_>, vpc: &str) -> Option<String> {
    named(call, vpc, "default").map(|(id, _)| id)
}

/// Returns the group of a VPC that has a name.
fn named(call: &Call<'_>, vpc: &str, name: &str) -> Option<(String, Value)> {
    call.find(GROUPS, |_, row| text(row, "VpcId") == vpc && text(row, "GroupName") == name)
}

/// Finds the group a request is about, by id or, in the default VPC, by name.
pub(super) fn of_request(call: &Call<'_>, input: &Value) -> Result<(String, Value), AwsError> {
    if let Some(id) = input["GroupId"].as_str() {
        return call.get(GROUPS, id).map(|row| (id.to_owned(), row)).ok_or_else(|| missing(id));
    }
    let Some(name) = input["GroupName"].as_str() else {
        let message = "The request must contain the parameter groupName or groupId";
        return Err(AwsError::new("MissingParameter", message));
    };
    let vpc = default_vpc(call).unwrap_or_default();
    named(call, &vpc, name).ok_or_else(|| {
        let message = format!("The security group '{name}' does not exist in default VPC '{vpc}'");
        AwsError::new("InvalidGroup.NotFound", message)
    })
}

fn default_vpc(call: &Call<'_>) -> Option<String> {
    call.find(vpc::VPCS, |_, row| row["IsDefault"] == true).map(|(id, _)| id)
}

/// Tells whether a text has only the letters that names and descriptions may have.
pub(super) fn is_plain(text: &str) -> bool {
    let special = " ._-:/()#,@[]+=&;{}!$*";
    text.chars().count() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || special.contains(c))
}

fn create_security_group(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let (name, description) = (text(input, "GroupName"), text(input, "Description"));
    for (value, what) in [(name, "groupName"), (description, "GroupDescription")] {
        if value.is_empty() {
            return Err(super::needs(what));
        }
        if !is_plain(value) {
            return Err(invalid(format!(
                "Value ({value}) for parameter {what} is invalid. Character sets beyond ASCII are not supported."
            )));
        }
    }
    if name.starts_with("sg-") {
        return Err(invalid(format!(
            "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        )));
    }
    if name == "default" {
        return Err(invalid("Cannot use reserved security group name: default"));
    }
    let vpc_id = match input["VpcId"].as_str() {
        Some(id) => id.to_owned(),
        None => default_vpc(call).ok_or_else(|| AwsError::new("VPCIdNotSpecified", "No default VPC for this user"))?,
    };
    vpc::vpc(call, &vpc_id)?;
    let tags = new_tags(input, "security-group")?;
    if named(call, &vpc_id, name).is_some() {
        let message = format!("The security group '{name}' already exists for VPC '{vpc_id}'");
        return Err(AwsError::new("InvalidGroup.Duplicate", message));
    }
    if call.count(GROUPS) >= call.quota("security_groups") {
        let message = "The maximum number of security groups has been reached.";
        return Err(AwsError::new("SecurityGroupLimitExceeded", message));
    }
    let id = call.id("sg");
    let arn = call.arn(&format!("security-group/{id}"));
    let group = json!({
        "GroupId": id,
        "GroupName": name,
        "Description": description,
        "VpcId": vpc_id,
        "OwnerId": call.account,
        "SecurityGroupArn": arn,
        "Tags": tags,
        "_arn": arn,
    });
    let tags = group["Tags"].clone();
    call.put(GROUPS, &id, group);
    let everything =
        json!({"IsEgress": true, "IpProtocol": "-1", "FromPort": -1, "ToPort": -1, "CidrIpv4": "0.0.0.0/0"});
    rule::make(call, &id, everything, json!([]));
    Ok(json!({"GroupId": id, "SecurityGroupArn": arn, "Tags": tags}))
}

fn describe_security_groups(call: &mut Call<'_>, input: &Value) -> Answer {
    let names = texts(input, "GroupNames");
    vpc::ensure_default(call);
    let home = default_vpc(call).unwrap_or_default();
    let wanted = |row: &Value| names.contains(&text(row, "GroupName")) && text(row, "VpcId") == home;
    for name in &names {
        if named(call, &home, name).is_none() {
            let message = format!("The security group '{name}' does not exist in default VPC '{home}'");
            return Err(AwsError::new("InvalidGroup.NotFound", message));
        }
    }
    let mut answer = describe_as(
        call,
        input,
        (GROUPS, "SecurityGroups"),
        ("GroupIds", missing),
        &[
            ("description", "Description"),
            ("egress.ip-permission.cidr", "IpPermissionsEgress.IpRanges.CidrIp"),
            ("egress.ip-permission.from-port", "IpPermissionsEgress.FromPort"),
            ("egress.ip-permission.group-id", "IpPermissionsEgress.UserIdGroupPairs.GroupId"),
            ("egress.ip-permission.ipv6-cidr", "IpPermissionsEgress.Ipv6Ranges.CidrIpv6"),
            ("egress.ip-permission.prefix-list-id", "IpPermissionsEgress.PrefixListIds.PrefixListId"),
            ("egress.ip-permission.protocol", "IpPermissionsEgress.IpProtocol"),
            ("egress.ip-permission.to-port", "IpPermissionsEgress.ToPort"),
            ("group-id", "GroupId"),
            ("group-name", "GroupName"),
            ("ip-permission.cidr", "IpPermissions.IpRanges.CidrIp"),
            ("ip-permission.from-port", "IpPermissions.FromPort"),
            ("ip-permission.group-id", "IpPermissions.UserIdGroupPairs.GroupId"),
            ("ip-permission.ipv6-cidr", "IpPermissions.Ipv6Ranges.CidrIpv6"),
            ("ip-permission.prefix-list-id", "IpPermissions.PrefixListIds.PrefixListId"),
            ("ip-permission.protocol", "IpPermissions.IpProtocol"),
            ("ip-permission.to-port", "IpPermissions.ToPort"),
            ("owner-id", "OwnerId"),
            ("vpc-id", "VpcId"),
        ],
        &["IpPermissions", "IpPermissionsEgress"],
        |call, group| {
            let rules = rule::of_group(call, text(group, "GroupId"));
            group["IpPermissions"] = permission::grouped(&rules, false);
            group["IpPermissionsEgress"] = permission::grouped(&rules, true);
        },
    )?;
    super::retain(&mut answer, "SecurityGroups", |row| names.is_empty() || wanted(row));
    Ok(answer)
}

fn delete_security_group(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let (id, group) = of_request(call, input)?;
    if text(&group, "GroupName") == "default" {
        let message = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
        return Err(AwsError::new("CannotDelete", message));
    }
    let referenced =
        call.any(rule::RULES, |_, row| row["ReferencedGroupInfo"]["GroupId"] == *id && text(row, "GroupId") != id);
    let holds = |kind: &str| call.any(kind, |_, row| interface::in_group(row, &id));
    let instance = call.any("instances", |_, row| {
        row["State"]["Name"] != "terminated"
            && super::items(row, "SecurityGroups").any(|group| text(group, "GroupId") == id)
    });
    if referenced || holds(interface::INTERFACES) || holds("vpc_endpoints") || instance {
        let message = format!("resource {id} has a dependent object");
        return Err(AwsError::new("DependencyViolation", message));
    }
    for (rule_id, _) in rule::of_group(call, &id) {
        call.remove(rule::RULES, &rule_id);
    }
    call.remove(GROUPS, &id);
    Ok(json!({"Return": true, "GroupId": id}))
}
