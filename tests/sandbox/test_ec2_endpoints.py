"""EC2: VPC endpoints and their services, prefix lists, flow logs."""

import json

import pytest


@pytest.fixture
def ec2(client):
    return client("ec2")


@pytest.fixture
def vpc(ec2):
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
    return made


@pytest.fixture
def subnets(ec2, vpc):
    make = lambda part, zone: ec2.create_subnet(
        VpcId=vpc, CidrBlock=f"10.0.{part}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
    return [make(0, "a"), make(1, "b"), make(2, "b")]


@pytest.fixture
def table(ec2, vpc):
    return ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]


def shown(ec2, id):
    return only(ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"])


S3, KMS = "com.amazonaws.us-east-1.s3", "com.amazonaws.us-east-1.kms"


def test_gateway_endpoints(ec2, vpc, table, refused):
    make = lambda **more: ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, **more)["VpcEndpoint"]
    made = make(RouteTableIds=[table], ClientToken="t")
    id = made["VpcEndpointId"]
    assert make(RouteTableIds=[table], ClientToken="t")["VpcEndpointId"] == id
    assert (made["State"], made["VpcEndpointType"], made["PrivateDnsEnabled"]) == ("available", "Gateway", False)
    routes = lambda: only(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])["Routes"]
    route = only([one for one in routes() if one["GatewayId"] == id])
    assert route["DestinationPrefixListId"] == "pl-63a5400a"
    with refused("RouteAlreadyExists"):
        make(RouteTableIds=[table])
    with refused("InvalidParameterValue"):
        ec2.delete_route(RouteTableId=table, DestinationPrefixListId="pl-63a5400a")
    ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveRouteTableIds=[table])
    assert len(routes()) == 1
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddRouteTableIds=[table], PolicyDocument=json.dumps({"Statement": []}))
    assert shown(ec2, id)["RouteTableIds"] == [table]
    assert json.loads(shown(ec2, id)["PolicyDocument"]) == {"Statement": []}
    ec2.modify_vpc_endpoint(VpcEndpointId=id, ResetPolicy=True)
    assert json.loads(shown(ec2, id)["PolicyDocument"])["Statement"][0]["Action"] == "*"
    with refused("InvalidParameter"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=["subnet-1"])
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[id])["Unsuccessful"] == []
    assert len(routes()) == 1
    gone = only(ec2.delete_vpc_endpoints(VpcEndpointIds=[id])["Unsuccessful"])
    assert (gone["ResourceId"], gone["Error"]["Code"]) == (id, "InvalidVpcEndpointId.NotFound")


def test_interface_endpoints(ec2, vpc, subnets, refused, later):
    one, two, three = subnets
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=KMS, VpcEndpointType="Interface", SubnetIds=[one], SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "a", "Value": "b"}]}])["VpcEndpoint"]
    id = made["VpcEndpointId"]
    assert (made["State"], made["PrivateDnsEnabled"], made["Groups"]) == (
        "pending", True, [{"GroupId": group, "GroupName": "g"}])
    later(61)
    now = shown(ec2, id)
    assert now["State"] == "available" and now["Tags"] == [{"Key": "a", "Value": "b"}]
    assert "kms.us-east-1.amazonaws.com" in {entry["DnsName"] for entry in now["DnsEntries"]}
    eni = only(ec2.describe_network_interfaces(NetworkInterfaceIds=now["NetworkInterfaceIds"])["NetworkInterfaces"])
    assert (eni["SubnetId"], eni["RequesterManaged"]) == (one, True)
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=one)
    with refused("InvalidParameter"):
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=KMS, VpcEndpointType="Interface", SubnetIds=[one])
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=[two], PrivateDnsEnabled=False)
    assert shown(ec2, id)["SubnetIds"] == [one, two] and len(shown(ec2, id)["NetworkInterfaceIds"]) == 2
    with refused("DuplicateSubnetsInSameZone"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, AddSubnetIds=[three])
    default = only(ec2.describe_security_groups(Filters=[
        {"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"])["GroupId"]
    ec2.modify_vpc_endpoint(
        VpcEndpointId=id, RemoveSubnetIds=[one], AddSecurityGroupIds=[default], RemoveSecurityGroupIds=[group])
    now = shown(ec2, id)
    assert (now["SubnetIds"], now["Groups"][0]["GroupId"], now["PrivateDnsEnabled"]) == ([two], default, False)
    with refused("InvalidParameter"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveSecurityGroupIds=[default])
    with refused("InvalidParameter"):
        ec2.modify_vpc_endpoint(VpcEndpointId=id, IpAddressType="dualstack")
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    assert shown(ec2, id)["State"] == "deleting"
    later(61)
    with refused("InvalidVpcEndpointId.NotFound"):
        shown(ec2, id)
    ec2.delete_subnet(SubnetId=two)


def test_endpoint_refusals(ec2, vpc, subnets, table, client, refused):
    interface = {"VpcId": vpc, "VpcEndpointType": "Interface"}
    for given, code in [
        ({"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.nothing"}, "InvalidServiceName"),
        ({"VpcId": vpc, "ServiceName": KMS}, "InvalidParameter"),
        ({"VpcId": "vpc-00000000", "ServiceName": S3}, "InvalidVpcId.NotFound"),
        ({"VpcId": vpc, "ServiceName": S3, "RouteTableIds": ["rtb-00000000"]}, "InvalidRouteTableId.NotFound"),
        ({"VpcId": vpc, "ServiceName": S3, "SubnetIds": subnets[:1]}, "InvalidParameter"),
        ({"VpcId": vpc, "ServiceName": S3, "PolicyDocument": "{"}, "InvalidPolicyDocument"),
        ({**interface, "ServiceName": KMS, "RouteTableIds": [table]}, "InvalidParameter"),
        ({**interface, "ServiceName": KMS, "SubnetIds": subnets}, "DuplicateSubnetsInSameZone"),
        ({**interface, "ServiceName": KMS, "SubnetIds": ["subnet-00000000"]}, "InvalidSubnetId.NotFound"),
        ({**interface, "ServiceName": KMS, "SecurityGroupIds": ["sg-00000000"]}, "InvalidSecurityGroupId.NotFound"),
        ({**interface, "ServiceName": S3, "PrivateDnsEnabled": True}, "InvalidParameter"),
    ]:
        with refused(code):
            ec2.create_vpc_endpoint(**given)
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    with refused("InvalidParameter"):
        ec2.create_vpc_endpoint(**interface, ServiceName=KMS, SubnetIds=subnets[:1])
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    with refused("InvalidVpcEndpointId.NotFound"):
        ec2.modify_vpc_endpoint(VpcEndpointId="vpce-00000000", ResetPolicy=True)
    with refused("InvalidVpcEndpointId.Malformed"):
        ec2.describe_vpc_endpoints(VpcEndpointIds=["vpce-x"])


def test_services_and_prefix_lists(ec2, refused):
    both = ec2.describe_vpc_endpoint_services(ServiceNames=[S3])["ServiceDetails"]
    assert [detail["ServiceType"][0]["ServiceType"] for detail in both] == ["Gateway", "Interface"]
    gateways = ec2.describe_vpc_endpoint_services(Filters=[{"Name": "service-type", "Values": ["Gateway"]}])
    assert gateways["ServiceNames"] == ["com.amazonaws.us-east-1.dynamodb", S3]
    with refused("InvalidServiceName"):
        ec2.describe_vpc_endpoint_services(ServiceNames=["x"])
    found = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [S3]}])["PrefixLists"]
    assert (only(found)["PrefixListId"], bool(only(found)["Cidrs"])) == ("pl-63a5400a", True)
    managed = ec2.describe_managed_prefix_lists(PrefixListIds=["pl-63a5400a"])["PrefixLists"]
    assert (only(managed)["OwnerId"], only(managed)["State"]) == ("AWS", "create-complete")
    for describe in (ec2.describe_prefix_lists, ec2.describe_managed_prefix_lists):
        with refused("InvalidPrefixListID.NotFound"):
            describe(PrefixListIds=["pl-00000000"])


STREAM = "arn:aws:firehose:us-east-1:123456789012:deliverystream/flow"


def test_flow_logs(ec2, vpc, refused):
    given = {
        "ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogDestination": STREAM,
        "LogDestinationType": "kinesis-data-firehose",
    }
    made = ec2.create_flow_logs(**given, MaxAggregationInterval=60, ClientToken="t", TagSpecifications=[
        {"ResourceType": "vpc-flow-log", "Tags": [{"Key": "a", "Value": "b"}]}])
    assert made["Unsuccessful"] == []
    id = only(made["FlowLogIds"])
    log = only(ec2.describe_flow_logs(FlowLogIds=[id])["FlowLogs"])
    assert (log["ResourceId"], log["TrafficType"], log["MaxAggregationInterval"], log["LogDestination"]) == (
        vpc, "ALL", 60, STREAM)
    assert log["FlowLogStatus"] == "ACTIVE" and "${srcaddr}" in log["LogFormat"] and log["Tags"][0]["Key"] == "a"
    assert only(ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"]) == log
    again = only(ec2.create_flow_logs(**given)["Unsuccessful"])
    assert again["Error"]["Code"] == "FlowLogAlreadyExists"
    with refused("IdempotentParameterMismatch"):
        ec2.create_flow_logs(**given, ClientToken="t")
    absent = only(ec2.create_flow_logs(**{**given, "ResourceIds": ["vpc-00000000"]})["Unsuccessful"])
    assert absent["Error"]["Code"] == "InvalidVpcId.NotFound"
    assert ec2.delete_flow_logs(FlowLogIds=[id])["Unsuccessful"] == []
    assert only(ec2.delete_flow_logs(FlowLogIds=[id])["Unsuccessful"])["Error"]["Code"] == "InvalidFlowLogId.NotFound"
    with refused("InvalidFlowLogId.NotFound"):
        ec2.describe_flow_logs(FlowLogIds=[id])


def test_flow_log_refusals(ec2, vpc, refused):
    make = lambda **more: ec2.create_flow_logs(ResourceIds=[vpc], ResourceType="VPC", **{"TrafficType": "ALL", **more})
    role = "arn:aws:iam::123456789012:role/no-such-role"
    for given in [
        {"LogGroupName": "g"},
        {"DeliverLogsPermissionArn": role},
        {"LogGroupName": "g", "DeliverLogsPermissionArn": role},
        {"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::b", "DeliverLogsPermissionArn": role},
        {"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::b", "LogGroupName": "g"},
        {"LogDestinationType": "kinesis-data-firehose", "LogDestination": STREAM, "MaxAggregationInterval": 61},
    ]:
        with refused("InvalidParameter"):
            make(**given)
    with refused("MissingParameter"):
        make(LogDestinationType="s3")
    missing = only(make(LogDestinationType="s3", LogDestination="arn:aws:s3:::no-such-bucket")["Unsuccessful"])
    assert "does not exist" in missing["Error"]["Message"]
