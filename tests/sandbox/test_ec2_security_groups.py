"""EC2: security groups and their rules, in both of the forms that the API has for them."""

import pytest


@pytest.fixture
def ec2(client):
    return client("ec2")


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def group(ec2, vpc):
    return ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]


def shown(ec2, group):
    return only(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"])


def tcp(port, cidr="10.0.0.0/8", **more):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr, **more}]}


EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def test_group_life(ec2, vpc, account, refused):
    made = ec2.create_security_group(
        GroupName="g", Description="d", VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}])
    id = made["GroupId"]
    assert made["Tags"] == [{"Key": "a", "Value": "b"}] and made["SecurityGroupArn"].endswith(id)
    group = shown(ec2, id)
    assert (group["GroupName"], group["VpcId"], group["OwnerId"]) == ("g", vpc, account)
    assert group["IpPermissions"] == []
    egress = only(group["IpPermissionsEgress"])
    assert (egress["IpProtocol"], egress["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}]) and "FromPort" not in egress
    with refused("InvalidGroup.Duplicate"):
        ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)
    for name, description in [("sg-x", "d"), ("default", "d"), ("x", "дім"), ("x" * 256, "d")]:
        with refused("InvalidParameterValue"):
            ec2.create_security_group(GroupName=name, Description=description, VpcId=vpc)
    with refused("InvalidVpcID.NotFound"):
        ec2.create_security_group(GroupName="x", Description="d", VpcId="vpc-00000000")
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    assert ec2.delete_security_group(GroupId=id)["GroupId"] == id
    with refused("InvalidGroup.NotFound"):
        ec2.delete_security_group(GroupId=id)
    with refused("InvalidGroupId.Malformed"):
        ec2.describe_security_groups(GroupIds=["g"])


def test_the_default_group_lets_its_members_talk_and_stays(ec2, vpc, refused):
    mine = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    group = only(ec2.describe_security_groups(Filters=mine)["SecurityGroups"])
    assert only(only(group["IpPermissions"])["UserIdGroupPairs"])["GroupId"] == group["GroupId"]
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=group["GroupId"])
    assert only(ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"])["VpcId"] != vpc
    with refused("InvalidGroup.NotFound"):
        ec2.describe_security_groups(GroupNames=["no such"])


def test_rules(ec2, group, account, refused):
    given = [
        tcp(443, "10.1.2.3/8", Description="TLS"),
        {"IpProtocol": "6", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [{"CidrIpv6": "2001:0db8::/32"}],
         "PrefixListIds": [{"PrefixListId": "pl-63a5400a"}], "UserIdGroupPairs": [{"GroupId": group}]},
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        {"IpProtocol": "47", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
    ]
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=given, TagSpecifications=[
        {"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}])
    assert made["Return"] and len(made["SecurityGroupRules"]) == 6
    assert all(rule["Tags"] == [{"Key": "a", "Value": "b"}] for rule in made["SecurityGroupRules"])
    by_protocol = {one["IpProtocol"]: one for one in shown(ec2, group)["IpPermissions"]}
    assert set(by_protocol) == {"tcp", "icmp", "47"}
    web = by_protocol["tcp"]
    assert (web["FromPort"], web["ToPort"]) == (443, 443)
    assert web["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "TLS"}]
    assert web["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/32"}]
    assert web["PrefixListIds"] == [{"PrefixListId": "pl-63a5400a"}]
    assert web["UserIdGroupPairs"] == [{"GroupId": group, "UserId": account}]
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(443, Description="another")])
    with refused("InvalidParameterValue"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(1), tcp(1)])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert len([rule for rule in rules if not rule["IsEgress"]]) == 6
    gone = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=given)
    assert len(gone["RevokedSecurityGroupRules"]) == 6
    assert shown(ec2, group)["IpPermissions"] == []
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(443)])


def test_egress(ec2, group, refused):
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(443)])
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING])
    assert only(shown(ec2, group)["IpPermissionsEgress"])["FromPort"] == 443
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING])


@pytest.mark.parametrize("permission, code", [
    ({"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65536, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "tcp", "FromPort": 9, "ToPort": 8, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "sctp2", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "дім"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "-1"}, "InvalidParameterValue"),
    ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-00000000"}]}, "InvalidGroup.NotFound"),
    ({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-00000000"}]}, "InvalidPrefixListID.NotFound"),
    ({"IpProtocol": "icmp", "FromPort": 256, "ToPort": 0, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
])
def test_rule_refusals(ec2, group, refused, permission, code):
    with refused(code):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert shown(ec2, group)["IpPermissions"] == []


def test_rules_by_id(ec2, group, refused):
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(1), tcp(2)])["SecurityGroupRules"]
    one, two = (rule["SecurityGroupRuleId"] for rule in made)
    change = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIpv6": "::/0", "Description": "DNS"}
    ec2.modify_security_group_rules(
        GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": one, "SecurityGroupRule": change}])
    rule = only(ec2.describe_security_group_rules(SecurityGroupRuleIds=[one])["SecurityGroupRules"])
    assert (rule["IpProtocol"], rule["CidrIpv6"], rule["Description"]) == ("udp", "::/0", "DNS") and "CidrIpv4" not in rule
    with refused("InvalidPermission.Duplicate"):
        ec2.modify_security_group_rules(
            GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": two, "SecurityGroupRule": change}])
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[one])
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        ec2.describe_security_group_rules(SecurityGroupRuleIds=[one])
    with refused("InvalidSecurityGroupRuleId.NotFound"):
        ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[two])
    with refused("InvalidSecurityGroupRuleId.Malformed"):
        ec2.describe_security_group_rules(SecurityGroupRuleIds=["sgr-x"])


def test_descriptions_change_in_place(ec2, group, refused):
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(1)])["SecurityGroupRules"]
    id = only(made)["SecurityGroupRuleId"]
    text = lambda: only(ec2.describe_security_group_rules(SecurityGroupRuleIds=[id])["SecurityGroupRules"]).get("Description")
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[tcp(1, Description="one")])
    assert text() == "one"
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": id, "Description": "two"}])
    assert text() == "two"
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[tcp(1)])
    assert text() is None
    with refused("InvalidPermission.NotFound"):
        ec2.update_security_group_rule_descriptions_egress(GroupId=group, IpPermissions=[tcp(1)])
    ec2.update_security_group_rule_descriptions_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}])
    egress = only(only(shown(ec2, group)["IpPermissionsEgress"])["IpRanges"])
    assert egress["Description"] == "all"


def test_what_is_used_stays(ec2, vpc, group, refused):
    other = ec2.create_security_group(GroupName="other", Description="d", VpcId=vpc)["GroupId"]
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[pair])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[pair])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    eni = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["NetworkInterfaceId"]
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    ec2.delete_security_group(GroupId=group)


def test_at_most_sixty_rules(ec2, group, refused):
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(port) for port in range(60)])
    with refused("RulesPerSecurityGroupLimitExceeded"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(60)])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(60)])


def test_filters_see_the_rules(ec2, group):
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "0.0.0.0/0")])
    found = ec2.describe_security_groups(Filters=[
        {"Name": "ip-permission.from-port", "Values": ["22"]}, {"Name": "ip-permission.cidr", "Values": ["0.0.0.0/0"]}])
    assert only(found["SecurityGroups"])["GroupId"] == group
