//! The rules of security groups, one by one: authorised, described, changed and revoked.

use serde_json::{Value, json};

use super::security_group::of_request;
use super::{check_form, describe, done, invalid, items, new_tags, permission, prefix_list, vpc};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[
    ("AuthorizeSecurityGroupEgress", |call, input| authorize(call, input, true)),
    ("AuthorizeSecurityGroupIngress", |call, input| authorize(call, input, false)),
    ("DescribeSecurityGroupRules", describe_security_group_rules),
    ("ModifySecurityGroupRules", modify_security_group_rules),
    ("RevokeSecurityGroupEgress", |call, input| revoke(call, input, true)),
    ("RevokeSecurityGroupIngress", |call, input| revoke(call, input, false)),
    ("UpdateSecurityGroupRuleDescriptionsEgress", |call, input| update_descriptions(call, input, true)),
    ("UpdateSecurityGroupRuleDescriptionsIngress", |call, input| update_descriptions(call, input, false)),
];

pub(super) const RULES: &str = "security_group_rules";

fn missing(id: &str) -> AwsError {
    match check_form("sgr", id, "InvalidSecurityGroupRuleId.Malformed") {
        Err(error) => error,
        Ok(()) => {
            let message = format!("The security group rule ID '{id}' does not exist");
            AwsError::new("InvalidSecurityGroupRuleId.NotFound", message)
        }
    }
}

/// Returns the rules of a group.
pub(super) fn of_group(call: &Call<'_>, group: &str) -> Vec<(String, Value)> {
    call.select(RULES, |_, rule| text(rule, "GroupId") == group)
}

/// Stores a rule of a group.
pub(super) fn make(call: &mut Call<'_>, group: &str, mut rule: Value, tags: Value) -> Value {
    let id = call.id("sgr");
    let arn = call.arn(&format!("security-group-rule/{id}"));
    rule["SecurityGroupRuleId"] = json!(id);
    rule["GroupId"] = json!(group);
    rule["GroupOwnerId"] = json!(call.account);
    rule["SecurityGroupRuleArn"] = json!(arn);
    rule["Tags"] = tags;
    rule["_arn"] = json!(arn);
    call.put(RULES, &id, rule.clone());
    rule
}

fn duplicate(rule: &Value) -> AwsError {
    let message = format!("the specified rule \"{}\" already exists", permission::words(rule));
    AwsError::new("InvalidPermission.Duplicate", message)
}

fn authorize(call: &mut Call<'_>, input: &Value, egress: bool) -> Answer {
    vpc::ensure_default(call);
    let (group, _) = of_request(call, input)?;
    let rules = permission::read(call, input, egress)?;
    let tags = new_tags(input, "security-group-rule")?;
    let have = of_group(call, &group);
    for (index, rule) in rules.iter().enumerate() {
        if have.iter().any(|(_, other)| permission::same(rule, other)) {
            return Err(duplicate(rule));
        }
        if rules[..index].iter().any(|other| permission::same(rule, other)) {
            let message = "The same permission must not appear multiple times";
            return Err(invalid(message));
        }
    }
    if have.iter().filter(|(_, rule)| rule["IsEgress"] == egress).count() + rules.len()
        > call.quota("rules_per_security_group")
    {
        let message = "The maximum number of rules per security group has been reached.";
        return Err(AwsError::new("RulesPerSecurityGroupLimitExceeded", message));
    }
    let made: Vec<Value> = rules.into_iter().map(|rule| make(call, &group, rule, tags.clone())).collect();
    Ok(json!({"Return": true, "SecurityGroupRules": made}))
}

/// Finds the rules that a request names by their ids or by what they let through.
fn named(call: &Call<'_>, input: &Value, group: &str, egress: bool) -> Result<Vec<(String, Value)>, AwsError> {
    let have = of_group(call, group);
    let ids = texts(input, "SecurityGroupRuleIds");
    if !ids.is_empty() {
        let find = |id: &&str| {
            let found = have.iter().find(|(known, rule)| known == id && rule["IsEgress"] == egress).cloned();
            found.ok_or_else(|| missing(id))
        };
        return ids.iter().map(find).collect();
    }
    let wanted = permission::read(call, input, egress)?;
    let find = |rule: &Value| {
        let found = have.iter().find(|(_, other)| permission::same(rule, other)).cloned();
        found.ok_or_else(|| {
            let message = "The specified rule does not exist in this security group.";
            AwsError::new("InvalidPermission.NotFound", message)
        })
    };
    wanted.iter().map(find).collect()
}

fn revoke(call: &mut Call<'_>, input: &Value, egress: bool) -> Answer {
    vpc::ensure_default(call);
    let (group, _) = of_request(call, input)?;
    let mut revoked = Vec::new();
    for (id, rule) in named(call, input, &group, egress)? {
        call.remove(RULES, &id);
        let mut shown = json!({
            "SecurityGroupRuleId": id,
            "GroupId": group,
            "IsEgress": egress,
            "IpProtocol": rule["IpProtocol"],
            "FromPort": rule["FromPort"],
            "ToPort": rule["ToPort"],
        });
        for key in ["CidrIpv4", "CidrIpv6", "PrefixListId", "Description"] {
            if let Some(value) = rule.get(key) {
                shown[key] = value.clone();
            }
        }
        if let Some(info) = rule.get("ReferencedGroupInfo") {
            shown["ReferencedGroupId"] = info["GroupId"].clone();
        }
        revoked.push(shown);
    }
    Ok(json!({"Return": true, "RevokedSecurityGroupRules": revoked}))
}

fn update_descriptions(call: &mut Call<'_>, input: &Value, egress: bool) -> Answer {
    vpc::ensure_default(call);
    let (group, _) = of_request(call, input)?;
    let mut changes = Vec::new();
    for item in items(input, "SecurityGroupRuleDescriptions") {
        let id = text(item, "SecurityGroupRuleId");
        let rule = call.get(RULES, id).filter(|rule| text(rule, "GroupId") == group && rule["IsEgress"] == egress);
        rule.ok_or_else(|| missing(id))?;
        changes.push((id.to_owned(), item.get("Description").cloned()));
    }
    if changes.is_empty() {
        for rule in permission::read(call, input, egress)? {
            let found = of_group(call, &group).into_iter().find(|(_, other)| permission::same(&rule, other));
            let (id, _) = found.ok_or_else(|| {
                let message = "The specified rule does not exist in this security group.";
                AwsError::new("InvalidPermission.NotFound", message)
            })?;
            changes.push((id, rule.get("Description").cloned()));
        }
    }
    for (id, description) in changes {
        call.change(RULES, &id, |rule| describe_rule(rule, description));
    }
    done()
}

fn describe_rule(rule: &mut Value, description: Option<Value>) {
    match description.filter(|text| text.as_str().is_some_and(|text| !text.is_empty())) {
        Some(description) => rule["Description"] = description,
        None => {
            if let Some(members) = rule.as_object_mut() {
                members.shift_remove("Description");
            }
        }
    }
}

fn describe_security_group_rules(call: &mut Call<'_>, input: &Value) -> Answer {
    describe(
        call,
        input,
        (RULES, "SecurityGroupRules"),
        ("SecurityGroupRuleIds", missing),
        &[("group-id", "GroupId"), ("security-group-rule-id", "SecurityGroupRuleId")],
    )
}

fn modify_security_group_rules(call: &mut Call<'_>, input: &Value) -> Answer {
    vpc::ensure_default(call);
    let (group, _) = of_request(call, input)?;
    let mut changes: Vec<(String, Value)> = Vec::new();
    for item in items(input, "SecurityGroupRules") {
        let id = text(item, "SecurityGroupRuleId");
        let old = call.get(RULES, id).filter(|rule| text(rule, "GroupId") == group).ok_or_else(|| missing(id))?;
        let new = changed(call, &old, &item["SecurityGroupRule"])?;
        let clash = |other: &(String, Value)| other.0 != id && permission::same(&new, &other.1);
        if of_group(call, &group).iter().any(clash) || changes.iter().any(clash) {
            return Err(duplicate(&new));
        }
        changes.push((id.to_owned(), new));
    }
    for (id, rule) in changes {
        call.put(RULES, &id, rule);
    }
    done()
}

/// Returns a rule with a request's protocol, ports and peer in place of its own.
fn changed(call: &Call<'_>, old: &Value, wanted: &Value) -> Result<Value, AwsError> {
    let (protocol, from, to) = permission::ports(wanted)?;
    let mut new = old.clone();
    if let Some(members) = new.as_object_mut() {
        members.retain(|key, _| !permission::PEERS.contains(&key.as_str()));
    }
    (new["IpProtocol"], new["FromPort"], new["ToPort"]) = (json!(protocol), json!(from), json!(to));
    let malformed = |value: &str| invalid(format!("CIDR block {value} is malformed"));
    if let Some(value) = wanted["CidrIpv4"].as_str() {
        let range: ipnet::Ipv4Net = value.parse().map_err(|_| malformed(value))?;
        new["CidrIpv4"] = json!(range.trunc().to_string());
    } else if let Some(value) = wanted["CidrIpv6"].as_str() {
        let range: ipnet::Ipv6Net = value.parse().map_err(|_| malformed(value))?;
        new["CidrIpv6"] = json!(range.trunc().to_string());
    } else if let Some(id) = wanted["PrefixListId"].as_str() {
        if !prefix_list::exists(call, id) {
            return Err(prefix_list::missing(id));
        }
        new["PrefixListId"] = json!(id);
    } else if let Some(id) = wanted["ReferencedGroupId"].as_str() {
        call.get(super::security_group::GROUPS, id).ok_or_else(|| super::security_group::missing(id))?;
        new["ReferencedGroupInfo"] = json!({"GroupId": id, "UserId": call.account});
    } else {
        return Err(invalid("Each rule must name a source or destination"));
    }
    describe_rule(&mut new, wanted.get("Description").cloned());
    Ok(new)
}
