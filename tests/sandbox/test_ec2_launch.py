"""Placement groups, launch templates and instance types."""

import base64
import json

import pytest


@pytest.fixture
def ec2(client):
    return client("ec2")


def test_placement_group_life(ec2, refused, later):
    made = ec2.create_placement_group(
        GroupName="pack", Strategy="cluster",
        TagSpecifications=[{"ResourceType": "placement-group", "Tags": [{"Key": "a", "Value": "1"}]}],
    )["PlacementGroup"]
    assert made["GroupId"].startswith("pg-") and made["State"] == "available"
    ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=3)
    ec2.create_placement_group(GroupName="apart", Strategy="spread")
    with refused("InvalidPlacementGroup.Duplicate"):
        ec2.create_placement_group(GroupName="pack", Strategy="spread")
    with refused("InvalidParameterCombination"):
        ec2.create_placement_group(GroupName="other", Strategy="cluster", PartitionCount=2)
    found = {group["GroupName"]: group for group in ec2.describe_placement_groups()["PlacementGroups"]}
    assert found["parts"]["PartitionCount"] == 3 and found["apart"]["SpreadLevel"] == "rack"
    ec2.create_tags(Resources=[made["GroupId"]], Tags=[{"Key": "b", "Value": "2"}])
    by_tag = ec2.describe_placement_groups(Filters=[{"Name": "tag:b", "Values": ["2"]}])["PlacementGroups"]
    assert [group["GroupName"] for group in by_tag] == ["pack"]
    assert ec2.describe_placement_groups(GroupIds=[made["GroupId"]])["PlacementGroups"][0]["GroupName"] == "pack"
    ec2.delete_placement_group(GroupName="pack")
    later(5)
    with refused("InvalidPlacementGroup.Unknown"):
        ec2.describe_placement_groups(GroupNames=["pack"])
    with refused("InvalidPlacementGroup.Unknown"):
        ec2.delete_placement_group(GroupName="pack")


def test_instance_types_are_real(ec2, refused):
    found = ec2.describe_instance_types(InstanceTypes=["p5.48xlarge", "t3.micro"])["InstanceTypes"]
    network = {row["InstanceType"]: row["NetworkInfo"] for row in found}
    assert network["p5.48xlarge"]["EfaInfo"]["MaximumEfaInterfaces"] == 32
    assert len(network["p5.48xlarge"]["NetworkCards"]) == 32
    assert not network["t3.micro"]["EfaSupported"]
    with refused("InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["p9.huge"])
    with_efa = ec2.get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "network-info.efa-supported", "Values": ["true"]}], PaginationConfig={"PageSize": 5},
    )
    names = [row["InstanceType"] for page in with_efa for row in page["InstanceTypes"]]
    assert len(names) == len(set(names)) > 10 and "trn2.48xlarge" in names
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["p5.48xlarge"]}],
    )["InstanceTypeOfferings"]
    assert {row["Location"] for row in offered} < {f"us-east-1{letter}" for letter in "abcdef"}


DATA = {
    "InstanceType": "p4d.24xlarge",
    "ImageId": "resolve:ssm:/aws/service/ami",
    "UserData": base64.b64encode(b"#!/bin/sh\necho hi\n").decode(),
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    "NetworkInterfaces": [
        {"DeviceIndex": 0, "NetworkCardIndex": 0, "Groups": ["sg-1"], "DeleteOnTermination": True},
        {"DeviceIndex": 1, "NetworkCardIndex": 0, "Groups": ["sg-1"], "InterfaceType": "efa-only"},
    ],
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100, "Encrypted": True, "VolumeType": "gp3"}}],
    "InstanceMarketOptions": {"MarketType": "capacity-block"},
    "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}},
}


def test_launch_template_versions(ec2, refused):
    made = ec2.create_launch_template(LaunchTemplateName="node", LaunchTemplateData=DATA, VersionDescription="first")
    template = made["LaunchTemplate"]
    assert (template["DefaultVersionNumber"], template["LatestVersionNumber"]) == (1, 1)
    identity = template["LaunchTemplateId"]
    with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
        ec2.create_launch_template(LaunchTemplateName="node", LaunchTemplateData=DATA)
    with refused("InvalidLaunchTemplateName.MalformedException"):
        ec2.create_launch_template(LaunchTemplateName="a b", LaunchTemplateData=DATA)
    second = ec2.create_launch_template_version(
        LaunchTemplateId=identity, SourceVersion="1", LaunchTemplateData={"InstanceType": "p5.48xlarge"},
    )["LaunchTemplateVersion"]
    assert second["VersionNumber"] == 2 and not second["DefaultVersion"]
    assert second["LaunchTemplateData"]["InstanceType"] == "p5.48xlarge"
    assert second["LaunchTemplateData"]["UserData"] == DATA["UserData"], "inherited from the source"
    third = ec2.create_launch_template_version(
        LaunchTemplateName="node", LaunchTemplateData={"InstanceType": "t3.micro"},
    )["LaunchTemplateVersion"]
    assert "UserData" not in third["LaunchTemplateData"], "nothing is inherited without a source"
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        ec2.create_launch_template_version(
            LaunchTemplateId=identity, SourceVersion="9", LaunchTemplateData={"InstanceType": "t3.micro"},
        )
    ec2.modify_launch_template(LaunchTemplateId=identity, DefaultVersion="2")
    default = ec2.describe_launch_template_versions(Versions=["$Default"])["LaunchTemplateVersions"]
    assert [version["VersionNumber"] for version in default] == [2]
    first = ec2.describe_launch_template_versions(LaunchTemplateId=identity, Versions=["1"])["LaunchTemplateVersions"][0]
    for key, value in DATA.items():
        assert first["LaunchTemplateData"][key] == value
    everything = ec2.describe_launch_template_versions(LaunchTemplateId=identity)["LaunchTemplateVersions"]
    assert [version["VersionNumber"] for version in everything] == [3, 2, 1]
    gone = ec2.delete_launch_template_versions(LaunchTemplateId=identity, Versions=["1", "2", "7"])
    assert [row["VersionNumber"] for row in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    codes = [row["ResponseError"]["Code"] for row in gone["UnsuccessfullyDeletedLaunchTemplateVersions"]]
    assert codes == ["unexpectedError", "launchTemplateVersionDoesNotExist"]
    ec2.delete_launch_template(LaunchTemplateId=identity)
    with refused("InvalidLaunchTemplateId.NotFound"):
        ec2.describe_launch_templates(LaunchTemplateIds=[identity])
    with refused("InvalidLaunchTemplateName.NotFoundException"):
        ec2.describe_launch_templates(LaunchTemplateNames=["node"])
    with refused("InvalidLaunchTemplateId.Malformed"):
        ec2.describe_launch_template_versions(LaunchTemplateId="lt-xyz")


def test_client_tokens(ec2, refused):
    def make(**more):
        return ec2.create_launch_template(
            LaunchTemplateName="once", LaunchTemplateData={"InstanceType": "t3.micro"}, ClientToken="t1", **more,
        )["LaunchTemplate"]["LaunchTemplateId"]

    assert make() == make()
    with refused("IdempotentParameterMismatch"):
        make(VersionDescription="other")


def test_lists_are_paged(ec2):
    for number in range(7):
        ec2.create_launch_template(LaunchTemplateName=f"many-{number}", LaunchTemplateData={"InstanceType": "t3.micro"})
    pages = list(ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["LaunchTemplates"]) for page in pages] == [3, 3, 1]


@pytest.fixture
def network(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="efa", Description="efa", VpcId=vpc)["GroupId"]
    return subnet, group


def al2023(ec2, architecture="x86_64"):
    found = ec2.describe_images(
        Owners=["amazon"],
        Filters=[{"Name": "name", "Values": ["al2023-*"]}, {"Name": "architecture", "Values": [architecture]}],
    )["Images"]
    return found[0]["ImageId"]


def test_images(ec2, refused):
    assert al2023(ec2) != al2023(ec2, "arm64")
    with refused("InvalidAMIID.NotFound"):
        ec2.describe_images(ImageIds=["ami-0123"])
    with refused("InvalidAMIID.Malformed"):
        ec2.describe_images(ImageIds=["image"])


def test_instances_come_and_go(ec2, network, refused, later):
    subnet, group = network
    ec2.create_placement_group(GroupName="pack", Strategy="cluster")
    interfaces = [{"DeviceIndex": 0, "NetworkCardIndex": 0, "Groups": [group], "SubnetId": subnet}]
    interfaces += [
        {"DeviceIndex": int(card == 0), "NetworkCardIndex": card, "Groups": [group], "SubnetId": subnet,
         "InterfaceType": "efa-only", "DeleteOnTermination": True}
        for card in range(4)
    ]
    ec2.create_launch_template(
        LaunchTemplateName="node",
        LaunchTemplateData={
            "InstanceType": "p4d.24xlarge", "NetworkInterfaces": interfaces,
            "ImageId": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "Placement": {"GroupName": "pack"},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "node"}]}],
        },
    )

    def run(**more):
        request = dict(MinCount=3, MaxCount=3, LaunchTemplate={"LaunchTemplateName": "node"}, ClientToken="run-1")
        return ec2.run_instances(**{**request, **more})

    made = run()
    assert len(made["Instances"]) == 3 and made["Instances"][0]["State"]["Name"] == "pending"
    again = run()
    assert [one["InstanceId"] for one in again["Instances"]] == [one["InstanceId"] for one in made["Instances"]]
    with refused("IdempotentParameterMismatch"):
        run(MinCount=2, MaxCount=2)
    later(60)
    reservations = ec2.describe_instances(Filters=[{"Name": "placement-group-name", "Values": ["pack"]}])["Reservations"]
    assert len(reservations) == 1 and len(reservations[0]["Instances"]) == 3
    one = reservations[0]["Instances"][0]
    assert one["State"]["Name"] == "running" and one["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert {"Key": "role", "Value": "node"} in one["Tags"]
    kinds = sorted(row["InterfaceType"] for row in one["NetworkInterfaces"])
    assert kinds == ["efa-only"] * 4 + ["interface"]
    with refused("InvalidPlacementGroup.InUse"):
        ec2.delete_placement_group(GroupName="pack")
    ids = [one["InstanceId"] for one in made["Instances"]]
    with refused("InvalidInstanceID.NotFound"):
        ec2.terminate_instances(InstanceIds=[ids[0], "i-0123456789abcdef0"])
    states = {row["State"]["Name"] for row in ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]}
    assert states == {"running"}, "one unknown id keeps all"
    ec2.terminate_instances(InstanceIds=ids)
    later(60)
    found = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]
    assert {row["State"]["Name"] for row in found} == {"terminated"}
    ec2.delete_placement_group(GroupName="pack")


def test_launches_that_ec2_refuses(ec2, network, refused):
    subnet, group = network

    def run(code, **more):
        request = dict(MinCount=1, MaxCount=1, ImageId=al2023(ec2), InstanceType="t3.micro", SubnetId=subnet)
        with refused(code):
            ec2.run_instances(**{**request, **more})

    run("InvalidParameterValue", InstanceType="t9.mega")
    run("InvalidParameterValue", InstanceType="t4g.micro")
    run("InvalidAMIID.NotFound", ImageId="ami-0123456789abcdef0")
    run("InvalidSubnetID.NotFound", SubnetId="subnet-0123456789abcdef0")
    run("InvalidGroup.NotFound", SecurityGroupIds=["sg-0123456789abcdef0"])
    run("InvalidPlacementGroup.Unknown", Placement={"GroupName": "none"})
    run("InvalidParameterCombination", NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}])
    plain = {"DeviceIndex": 0, "NetworkCardIndex": 0, "SubnetId": subnet, "Groups": [group]}
    efa = {"DeviceIndex": 1, "NetworkCardIndex": 0, "SubnetId": subnet, "Groups": [group], "InterfaceType": "efa-only"}

    def interfaces(code, *rows, kind="p4d.24xlarge"):
        with refused(code):
            ec2.run_instances(MinCount=1, MaxCount=1, ImageId=al2023(ec2), InstanceType=kind, NetworkInterfaces=list(rows))

    interfaces("InvalidParameterCombination", {**efa, "DeviceIndex": 0})
    interfaces("InvalidParameterCombination", {**plain, "AssociatePublicIpAddress": True}, efa)
    interfaces("InvalidParameterCombination", plain, efa, kind="t3.micro")
    interfaces("InvalidParameterValue", plain, {**efa, "NetworkCardIndex": 9})


def test_instances_carry_a_role_by_their_profile(server, ec2, client, network, later, refused):
    iam, (subnet, _) = client("iam"), network
    request = dict(MinCount=1, MaxCount=1, ImageId=al2023(ec2), InstanceType="t3.micro", SubnetId=subnet)

    def refuse(message, code="InvalidParameterValue", **named):
        with refused(code) as error:
            ec2.run_instances(IamInstanceProfile=named, **request)
        assert error.error["Error"]["Message"].endswith(message)

    refuse("(node) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", Name="node")
    profile = iam.create_instance_profile(InstanceProfileName="node")["InstanceProfile"]
    arn = profile["Arn"]
    refuse(f'IAM Instance Profile "{arn}" has no associated IAM Roles', Name="node")
    refuse("Invalid IAM Instance Profile ARN", Arn=arn + "s")
    refuse("'iamInstanceProfile.arn'", code="InvalidParameterCombination", Name="node", Arn=arn)
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=json.dumps(trust))
    server.admin("faults", {"propagation": {"iam": 12}})
    try:
        iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
        refuse("Invalid IAM Instance Profile name", Name="node")
        later(15)
        (made,) = ec2.run_instances(IamInstanceProfile={"Name": "node"}, **request)["Instances"]
    finally:
        server.admin("faults", {})
    assert made["IamInstanceProfile"] == {"Arn": arn, "Id": profile["InstanceProfileId"]}
    filters = [{"Name": "iam-instance-profile.arn", "Values": [arn]}]
    (found,) = ec2.describe_instances(Filters=filters)["Reservations"]
    assert found["Instances"][0]["InstanceId"] == made["InstanceId"]
    data = {"InstanceType": "t3.micro", "ImageId": al2023(ec2), "IamInstanceProfile": {"Arn": arn}}
    ec2.create_launch_template(LaunchTemplateName="node", LaunchTemplateData=data)
    named = {"LaunchTemplateName": "node"}
    (made,) = ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate=named, SubnetId=subnet)["Instances"]
    assert made["IamInstanceProfile"]["Arn"] == arn


def test_capacity_is_all_or_nothing(server, ec2, network, refused):
    subnet, _ = network
    server.admin("faults", {"capacity": {"g5.xlarge": 2}})
    try:
        request = dict(ImageId=al2023(ec2), InstanceType="g5.xlarge", SubnetId=subnet)
        with refused("InsufficientInstanceCapacity") as error:
            ec2.run_instances(MinCount=3, MaxCount=3, **request)
        assert "us-east-1a" in error.error["Error"]["Message"]
        assert ec2.describe_instances()["Reservations"] == []
        assert len(ec2.run_instances(MinCount=1, MaxCount=5, **request)["Instances"]) == 2
    finally:
        server.admin("faults", {})
