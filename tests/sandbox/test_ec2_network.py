"""EC2: VPCs, subnets, tags and what an account has from the start; and the tagging API over them."""

import pytest


@pytest.fixture
def ec2(client):
    return client("ec2")


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(
        CidrBlock="10.0.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "main"}]}],
    )["Vpc"]


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]


def test_defaults(ec2):
    default = only(ec2.describe_vpcs()["Vpcs"])
    assert (default["IsDefault"], default["CidrBlock"], default["State"]) == (True, "172.31.0.0/16", "available")
    subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert len(subnets) == 6 and all(s["MapPublicIpOnLaunch"] for s in subnets)
    attributes = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert only(only(attributes)["AttributeValues"])["AttributeValue"] == default["VpcId"]


def test_regions_and_zones(ec2, refused):
    assert "eu-west-1" in {r["RegionName"] for r in ec2.describe_regions()["Regions"]}
    with refused("InvalidParameterValue"):
        ec2.describe_regions(RegionNames=["mars-north-1"])
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneName"][-1] for z in zones] == list("abcdef")
    assert zones[0]["ZoneId"] == "use1-az1"
    with refused("InvalidParameterValue"):
        ec2.describe_availability_zones(ZoneNames=["us-east-1z"])


def test_vpc_life(ec2, vpc, account, refused, later):
    assert (vpc["State"], vpc["OwnerId"], vpc["IsDefault"]) == ("pending", account, False)
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc["VpcId"]], WaiterConfig={"Delay": 1})
    later(2)
    seen = only(ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"])
    assert (seen["State"], seen["Tags"]) == ("available", [{"Key": "Name", "Value": "main"}])
    assert only(ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["ma*"]}])["Vpcs"]) == seen
    assert ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["x"]}])["Vpcs"] == []
    with refused("InvalidParameterValue"):
        ec2.describe_vpcs(Filters=[{"Name": "no-such", "Values": ["x"]}])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    with refused("InvalidVpcID.NotFound", 400):
        ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])
    with refused("InvalidVpcID.NotFound"):
        ec2.delete_vpc(VpcId=vpc["VpcId"])


def test_vpc_refusals(ec2, refused):
    for cidr, code in [("10.0.0.0/8", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range"),
                       ("ten", "InvalidParameterValue")]:
        with refused(code):
            ec2.create_vpc(CidrBlock=cidr)
    with refused("MissingParameter"):
        ec2.create_vpc()
    with refused("DryRunOperation", 412):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", DryRun=True)
    with refused("InvalidParameterValue"):
        ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[
            {"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": ""}]}])
    assert ec2.create_vpc(CidrBlock="10.1.2.3/16")["Vpc"]["CidrBlock"] == "10.1.0.0/16"
    for number in range(3):
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    with refused("VpcLimitExceeded"):
        ec2.create_vpc(CidrBlock="10.9.0.0/16")


def test_vpc_attributes(ec2, vpc, refused):
    read = lambda name: ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)
    assert read("enableDnsSupport")["EnableDnsSupport"]["Value"] is True
    assert read("enableDnsHostnames")["EnableDnsHostnames"]["Value"] is False
    ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
    assert read("enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
    with refused("InvalidParameterCombination"):
        ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True}, EnableDnsSupport={"Value": True})
    with refused("InvalidVpcID.NotFound"):
        ec2.modify_vpc_attribute(VpcId="vpc-0", EnableDnsSupport={"Value": True})
    with refused("InvalidVpcID.NotFound"):
        ec2.describe_vpc_attribute(VpcId="vpc-0", Attribute="enableDnsSupport")


def test_vpc_blocks(ec2, vpc, refused):
    added = ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    with refused("InvalidVpc.Range"):
        ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], CidrBlock="10.1.128.0/17")
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.1.0.0/24")["Subnet"]
    with refused("DependencyViolation"):
        ec2.disassociate_vpc_cidr_block(AssociationId=added["AssociationId"])
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.disassociate_vpc_cidr_block(AssociationId=added["AssociationId"])
    with refused("InvalidVpcCidrBlockAssociationID.NotFound"):
        ec2.disassociate_vpc_cidr_block(AssociationId=added["AssociationId"])
    with refused("OperationNotPermitted"):
        ec2.disassociate_vpc_cidr_block(AssociationId=vpc["CidrBlockAssociationSet"][0]["AssociationId"])


def test_subnets(ec2, vpc, refused, later):
    make = lambda cidr, **more: ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=cidr, **more)["Subnet"]
    first = make("10.0.1.0/24", AvailabilityZone="us-east-1b")
    assert (first["State"], first["AvailableIpAddressCount"], first["AvailabilityZoneId"]) == ("pending", 251, "use1-az2")
    later(2)
    assert only(ec2.describe_subnets(SubnetIds=[first["SubnetId"]])["Subnets"])["State"] == "available"
    for cidr, code in [("10.0.1.128/25", "InvalidSubnet.Conflict"), ("10.0.0.0/16", "InvalidSubnet.Conflict"),
                       ("10.1.0.0/24", "InvalidSubnet.Range"), ("10.0.2.0/29", "InvalidSubnet.Range")]:
        with refused(code):
            make(cidr)
    with refused("InvalidParameterValue"):
        make("10.0.2.0/24", AvailabilityZone="eu-west-1a")
    with refused("InvalidVpcID.NotFound"):
        ec2.create_subnet(VpcId="vpc-0", CidrBlock="10.0.2.0/24")
    ec2.modify_subnet_attribute(SubnetId=first["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    rows = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert only(rows)["MapPublicIpOnLaunch"] is True
    with refused("InvalidSubnetID.NotFound"):
        ec2.modify_subnet_attribute(SubnetId="subnet-0", MapPublicIpOnLaunch={"Value": True})
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    ec2.delete_subnet(SubnetId=first["SubnetId"])
    with refused("InvalidSubnetID.NotFound"):
        ec2.delete_subnet(SubnetId=first["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])


def test_pages(ec2, vpc, refused):
    for number in range(4):
        ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=f"10.0.{number}.0/24")
    pages = list(ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Subnets"]) for page in pages] == [5, 5]
    assert len({s["SubnetId"] for page in pages for s in page["Subnets"]}) == 10
    with refused("InvalidParameterValue"):
        ec2.describe_subnets(MaxResults=5, NextToken="none")
    with refused("InvalidParameterCombination"):
        ec2.describe_vpcs(MaxResults=5, VpcIds=[vpc["VpcId"]])


def test_tags(ec2, vpc, client, account, refused):
    identity = vpc["VpcId"]
    ec2.create_tags(Resources=[identity], Tags=[{"Key": "owner", "Value": "ml"}, {"Key": "Name", "Value": "new"}])
    rows = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [identity]}])["Tags"]
    assert {(r["Key"], r["Value"], r["ResourceType"]) for r in rows} == {("owner", "ml", "vpc"), ("Name", "new", "vpc")}
    found = client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "owner", "Values": ["ml"]}], ResourceTypeFilters=["ec2:vpc"])
    mapping = only(found["ResourceTagMappingList"])
    assert mapping["ResourceARN"] == f"arn:aws:ec2:us-east-1:{account}:vpc/{identity}"
    ec2.delete_tags(Resources=[identity], Tags=[{"Key": "owner", "Value": "other"}])
    assert len(ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [identity]}])["Tags"]) == 2
    ec2.delete_tags(Resources=[identity], Tags=[{"Key": "owner"}])
    assert len(ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [identity]}])["Tags"]) == 1
    with refused("InvalidVpcID.NotFound"):
        ec2.create_tags(Resources=["vpc-0"], Tags=[{"Key": "a", "Value": ""}])
    with refused("InvalidParameterValue"):
        ec2.create_tags(Resources=[identity], Tags=[{"Key": "aws:a", "Value": ""}])
    with refused("InvalidID"):
        ec2.delete_tags(Resources=["thing-0"])


def test_tagging_api(ec2, vpc, client, refused):
    api = client("resourcegroupstaggingapi")
    arn = only(api.get_resources()["ResourceTagMappingList"])["ResourceARN"]
    assert api.tag_resources(ResourceARNList=[arn, arn + "0"], Tags={"env": "test"})["FailedResourcesMap"].keys() == {arn + "0"}
    assert set(api.get_tag_keys()["TagKeys"]) == {"Name", "env"}
    assert api.get_tag_values(Key="env")["TagValues"] == ["test"]
    api.untag_resources(ResourceARNList=[arn], TagKeys=["Name", "env"])
    assert api.get_resources()["ResourceTagMappingList"] == []
    with refused("InvalidParameterException"):
        api.get_resources(ResourceARNList=[arn], ResourceTypeFilters=["ec2"])
