"""EC2: internet gateways, addresses, NAT gateways, route tables, interfaces, IPv6, network ACLs."""

import pytest


@pytest.fixture
def ec2(client):
    return client("ec2")


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def subnet(ec2, vpc):
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]


@pytest.fixture
def gateway(ec2, vpc):
    made = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
    return made


@pytest.fixture
def table(ec2, vpc):
    return ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]


@pytest.fixture
def nat(ec2, subnet, gateway, later):
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    assert made["State"] == "pending"
    later(120)
    return made["NatGatewayId"], address


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]


def tagged(kind):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": "x"}]}]


def routes(ec2, table):
    shown = only(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])["Routes"]
    return {
        route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock") or route["DestinationPrefixListId"]: route
        for route in shown
    }


def test_internet_gateways(ec2, vpc, gateway, refused):
    shown = only(ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"])
    assert shown["Attachments"] == [{"State": "available", "VpcId": vpc}]
    found = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])
    assert only(found["InternetGateways"]) == shown
    with refused("Resource.AlreadyAssociated"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    other = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))["InternetGateway"]
    assert other["Tags"] == [{"Key": "Name", "Value": "x"}]
    with refused("InvalidParameterValue"):
        ec2.attach_internet_gateway(InternetGatewayId=other["InternetGatewayId"], VpcId=vpc)
    with refused("Gateway.NotAttached"):
        ec2.detach_internet_gateway(InternetGatewayId=other["InternetGatewayId"], VpcId=vpc)
    with refused("DependencyViolation"):
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    with refused("InvalidVpcID.NotFound"):
        ec2.attach_internet_gateway(InternetGatewayId=other["InternetGatewayId"], VpcId="vpc-00000000")
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    for one in (gateway, other["InternetGatewayId"]):
        ec2.delete_internet_gateway(InternetGatewayId=one)
        with refused("InvalidInternetGatewayID.NotFound"):
            ec2.delete_internet_gateway(InternetGatewayId=one)
    # The default VPC's gateway counts.
    for _ in range(4):
        ec2.create_internet_gateway()
    with refused("InternetGatewayLimitExceeded"):
        ec2.create_internet_gateway()


def test_addresses(ec2, subnet, gateway, refused):
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))
    assert (made["Domain"], made["NetworkBorderGroup"], made["PublicIpv4Pool"]) == ("vpc", "us-east-1", "amazon")
    shown = only(ec2.describe_addresses(PublicIps=[made["PublicIp"]])["Addresses"])
    assert (shown["AllocationId"], shown["Tags"]) == (made["AllocationId"], [{"Key": "Name", "Value": "x"}])
    attribute = ec2.describe_addresses_attribute(AllocationIds=[made["AllocationId"]], Attribute="domain-name")
    assert only(attribute["Addresses"])["AllocationId"] == made["AllocationId"]
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    tie = ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=eni)["AssociationId"]
    shown = only(ec2.describe_addresses(Filters=[{"Name": "network-interface-id", "Values": [eni]}])["Addresses"])
    assert shown["AssociationId"] == tie
    with refused("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=made["AllocationId"])
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=eni)
    ec2.disassociate_address(AssociationId=tie)
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_address(AssociationId=tie)
    ec2.release_address(AllocationId=made["AllocationId"])
    with refused("InvalidAllocationID.NotFound"):
        ec2.release_address(AllocationId=made["AllocationId"])
    with refused("InvalidAllocationID.NotFound"):
        ec2.describe_addresses_attribute(AllocationIds=[made["AllocationId"]], Attribute="domain-name")
    with refused("InvalidAddress.NotFound"):
        ec2.describe_addresses(PublicIps=[made["PublicIp"]])
    with refused("InvalidParameterValue"):
        ec2.allocate_address(NetworkBorderGroup="mars-1")
    local = ec2.allocate_address(NetworkBorderGroup="us-east-1-bos-1")
    assert local["NetworkBorderGroup"] == "us-east-1-bos-1"
    for _ in range(4):
        ec2.allocate_address()
    with refused("AddressLimitExceeded"):
        ec2.allocate_address()


def test_nat_gateway_life(ec2, subnet, gateway, vpc, nat, refused, later):
    made, address = nat
    shown = only(ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"])
    assert (shown["State"], shown["ConnectivityType"], shown["VpcId"]) == ("available", "public", vpc)
    held = only(shown["NatGatewayAddresses"])
    eip = only(ec2.describe_addresses(AllocationIds=[address])["Addresses"])
    assert held["PublicIp"] == eip["PublicIp"] and held["IsPrimary"] and held["AllocationId"] == address
    eni = only(ec2.describe_network_interfaces(NetworkInterfaceIds=[held["NetworkInterfaceId"]])["NetworkInterfaces"])
    assert (eni["InterfaceType"], eni["RequesterManaged"], eni["Status"]) == ("nat_gateway", True, "in-use")
    assert only(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"])["AvailableIpAddressCount"] == 250
    with refused("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=address)
    with refused("AuthFailure"):
        ec2.disassociate_address(AssociationId=eip["AssociationId"])
    with refused("InvalidNetworkInterface.InUse"):
        ec2.delete_network_interface(NetworkInterfaceId=held["NetworkInterfaceId"])
    with refused("DependencyViolation"):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_nat_gateway(NatGatewayId=made)
    state = lambda: only(ec2.describe_nat_gateways(Filters=[{"Name": "nat-gateway-id", "Values": [made]}])["NatGateways"])
    assert state()["State"] == "deleting"
    later(61)
    assert state()["State"] == "deleted"
    ec2.release_address(AllocationId=address)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_subnet(SubnetId=subnet)
    later(3700)
    with refused("NatGatewayNotFound"):
        ec2.describe_nat_gateways(NatGatewayIds=[made])
    with refused("NatGatewayNotFound"):
        ec2.delete_nat_gateway(NatGatewayId=made)
    with refused("NatGatewayMalformed"):
        ec2.delete_nat_gateway(NatGatewayId="nat-x")


def test_nat_gateways_fail_in_the_background(ec2, subnet, later, refused):
    address = ec2.allocate_address()["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    later(10)
    shown = only(ec2.describe_nat_gateways(NatGatewayIds=[made["NatGatewayId"]])["NatGateways"])
    assert (shown["State"], shown["FailureCode"]) == ("failed", "Gateway.NotAttached")
    assert "has no Internet gateway attached" in shown["FailureMessage"]
    ec2.release_address(AllocationId=address)
    with refused("MissingParameter"):
        ec2.create_nat_gateway(SubnetId=subnet)
    with refused("InvalidSubnetID.NotFound"):
        ec2.create_nat_gateway(SubnetId="subnet-00000000", AllocationId=address)
    with refused("InvalidAllocationID.NotFound"):
        ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)
    with refused("InvalidParameterCombination"):
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private", AllocationId=address)


def test_a_client_token_makes_one_nat_gateway(ec2, subnet, refused):
    make = lambda **more: ec2.create_nat_gateway(
        SubnetId=subnet, ConnectivityType="private", ClientToken="t", **more)["NatGateway"]["NatGatewayId"]
    assert make() == make()
    assert len(ec2.describe_nat_gateways()["NatGateways"]) == 1
    with refused("IdempotentParameterMismatch"):
        make(PrivateIpAddress="10.0.0.9")
    with refused("InvalidIPAddress.InUse"):
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private", PrivateIpAddress="10.0.0.4")


def test_route_table_life(ec2, vpc, subnet, table, refused):
    shown = only(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])
    assert shown["Associations"] == [] and shown["PropagatingVgws"] == []
    assert only(shown["Routes"])["GatewayId"] == "local"
    mains = ec2.describe_route_tables(Filters=[
        {"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    main = only(mains)
    tie = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert tie["AssociationState"]["State"] == "associated"
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_route_table(RouteTableId=main["RouteTableId"], SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=table)
    other = ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table"))["RouteTable"]["RouteTableId"]
    moved = ec2.replace_route_table_association(AssociationId=tie["AssociationId"], RouteTableId=other)
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_route_table(AssociationId=tie["AssociationId"])
    found = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
    assert only(found)["RouteTableId"] == other
    ec2.disassociate_route_table(AssociationId=moved["NewAssociationId"])
    with refused("InvalidParameterValue"):
        ec2.disassociate_route_table(AssociationId=main["Associations"][0]["RouteTableAssociationId"])
    with refused("DependencyViolation"):
        ec2.delete_route_table(RouteTableId=main["RouteTableId"])
    with refused("InvalidAssociationID.NotFound"):
        ec2.replace_route_table_association(AssociationId="rtbassoc-1", RouteTableId=other)
    # A new main table, and the old one can go.
    ec2.replace_route_table_association(
        AssociationId=main["Associations"][0]["RouteTableAssociationId"], RouteTableId=other)
    ec2.delete_route_table(RouteTableId=main["RouteTableId"])
    ec2.delete_route_table(RouteTableId=table)
    with refused("InvalidRouteTableID.NotFound"):
        ec2.delete_route_table(RouteTableId=table)
    with refused("InvalidRouteTableId.Malformed"):
        ec2.describe_route_tables(RouteTableIds=["rtb-x"])
    with refused("InvalidVpcID.NotFound"):
        ec2.create_route_table(VpcId="vpc-00000000")
    with refused("InvalidSubnetID.NotFound"):
        ec2.associate_route_table(RouteTableId=other, SubnetId="subnet-00000000")
    foreign = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    there = ec2.create_subnet(VpcId=foreign, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    with refused("InvalidParameterValue"):
        ec2.associate_route_table(RouteTableId=other, SubnetId=there)


def test_routes(ec2, vpc, table, gateway, nat, refused, later):
    made, _ = nat
    everywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**everywhere, GatewayId=gateway)
    assert (routes(ec2, table)["0.0.0.0/0"]["GatewayId"], routes(ec2, table)["0.0.0.0/0"]["State"]) == (gateway, "active")
    with refused("RouteAlreadyExists"):
        ec2.create_route(**everywhere, NatGatewayId=made)
    ec2.replace_route(**everywhere, NatGatewayId=made)
    assert "GatewayId" not in routes(ec2, table)["0.0.0.0/0"]
    ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="2001:0db8::/32", GatewayId=gateway)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.168.7.7/16", GatewayId=gateway)
    assert {"2001:db8::/32", "192.168.0.0/16"} <= set(routes(ec2, table))
    ec2.delete_nat_gateway(NatGatewayId=made)
    later(61)
    assert routes(ec2, table)["0.0.0.0/0"]["State"] == "blackhole"
    gone = ec2.describe_route_tables(Filters=[{"Name": "route.state", "Values": ["blackhole"]}])["RouteTables"]
    assert only(gone)["RouteTableId"] == table
    ec2.delete_route(**everywhere)
    with refused("InvalidRoute.NotFound"):
        ec2.delete_route(**everywhere)
    with refused("InvalidParameterValue"):
        ec2.replace_route(**everywhere, GatewayId=gateway)
    with refused("InvalidParameterValue"):
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16")
    with refused("RouteAlreadyExists"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", GatewayId=gateway)


def test_route_refusals(ec2, vpc, table, refused):
    loose = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    for target, code in [
        ({"GatewayId": "igw-00000000"}, "InvalidInternetGatewayID.NotFound"),
        ({"GatewayId": loose}, "InvalidParameterValue"),
        ({"NatGatewayId": "nat-00000000"}, "InvalidNatGatewayID.NotFound"),
        ({"NetworkInterfaceId": "eni-00000000"}, "InvalidNetworkInterfaceID.NotFound"),
        ({"InstanceId": "i-00000000"}, "InvalidInstanceID.NotFound"),
        ({"VpcEndpointId": "vpce-00000000"}, "InvalidVpcEndpointId.NotFound"),
        ({"TransitGatewayId": "tgw-00000000"}, "InvalidTransitGatewayID.NotFound"),
        ({"VpcPeeringConnectionId": "pcx-00000000"}, "InvalidVpcPeeringConnectionID.NotFound"),
        ({}, "MissingParameter"),
        ({"GatewayId": loose, "NatGatewayId": "nat-1"}, "InvalidParameterCombination"),
    ]:
        with refused(code):
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    with refused("MissingParameter"):
        ec2.create_route(RouteTableId=table, GatewayId=loose)
    with refused("InvalidParameterValue"):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0", GatewayId=loose)
    with refused("InvalidPrefixListID.NotFound"):
        ec2.create_route(RouteTableId=table, DestinationPrefixListId="pl-00000000", GatewayId=loose)


def test_interfaces(ec2, vpc, subnet, refused):
    made = ec2.create_network_interface(
        SubnetId=subnet, Description="d", PrivateIpAddress="10.0.0.77", TagSpecifications=tagged("network-interface"),
    )["NetworkInterface"]
    assert (made["Status"], made["PrivateIpAddress"], made["Groups"][0]["GroupName"]) == ("available", "10.0.0.77", "default")
    assert made["TagSet"] == [{"Key": "Name", "Value": "x"}]
    found = ec2.describe_network_interfaces(Filters=[{"Name": "private-ip-address", "Values": ["10.0.0.77"]}])
    assert only(found["NetworkInterfaces"])["NetworkInterfaceId"] == made["NetworkInterfaceId"]
    with refused("InvalidIPAddress.InUse"):
        ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.0.77")
    with refused("InvalidParameterValue"):
        ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.9.0.77")
    with refused("InvalidGroup.NotFound"):
        ec2.create_network_interface(SubnetId=subnet, Groups=["sg-00000000"])
    with refused("InvalidSubnetID.NotFound"):
        ec2.create_network_interface(SubnetId="subnet-00000000")
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/28")["Subnet"]["SubnetId"]
    for _ in range(11):
        ec2.create_network_interface(SubnetId=small)
    with refused("InsufficientFreeAddressesInSubnet"):
        ec2.create_network_interface(SubnetId=small)


def test_ipv6(ec2, vpc, refused):
    block = lambda: [one["Ipv6CidrBlock"] for one in only(
        ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]).get("Ipv6CidrBlockAssociationSet", [])]
    assert block() == []
    tie = ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    assert tie["Ipv6CidrBlockState"]["State"] == "associating"
    whole = only(block())
    assert whole.endswith("::/56")
    with refused("CidrLimitExceeded"):
        ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    part = whole.replace("00::/56", "01::/64")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", Ipv6CidrBlock=part)["Subnet"]
    assert only(subnet["Ipv6CidrBlockAssociationSet"])["Ipv6CidrBlock"] == part
    with refused("InvalidSubnet.Conflict"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock=part)
    with refused("InvalidSubnet.Range"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock="2001:db8::/64")
    with refused("DependencyViolation"):
        ec2.disassociate_vpc_cidr_block(AssociationId=tie["AssociationId"])
    id = subnet["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=id, AssignIpv6AddressOnCreation={"Value": True})
    held = subnet["Ipv6CidrBlockAssociationSet"][0]["AssociationId"]
    with refused("OperationNotPermitted"):
        ec2.disassociate_subnet_cidr_block(AssociationId=held)
    ec2.modify_subnet_attribute(SubnetId=id, AssignIpv6AddressOnCreation={"Value": False})
    ec2.disassociate_subnet_cidr_block(AssociationId=held)
    with refused("InvalidSubnetCidrBlockAssociationID.NotFound"):
        ec2.disassociate_subnet_cidr_block(AssociationId=held)
    with refused("InvalidParameterValue"):
        ec2.modify_subnet_attribute(SubnetId=id, AssignIpv6AddressOnCreation={"Value": True})
    ec2.associate_subnet_cidr_block(SubnetId=id, Ipv6CidrBlock=part)
    with refused("SubnetCidrLimitExceeded"):
        ec2.associate_subnet_cidr_block(SubnetId=id, Ipv6CidrBlock=part)
    local = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    assert routes(ec2, local)[whole]["GatewayId"] == "local"
    ec2.delete_subnet(SubnetId=id)
    ec2.disassociate_vpc_cidr_block(AssociationId=tie["AssociationId"])
    assert block() == []


def test_network_acls_and_dhcp_options(ec2, vpc, subnet, refused):
    acl = only(ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"])
    assert acl["IsDefault"] and {entry["RuleNumber"] for entry in acl["Entries"]} == {100, 32767}
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=["acl-00000000"])
    options = only(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"])["DhcpOptionsId"]
    assert only(ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"])["DhcpConfigurations"]
    with refused("InvalidDhcpOptionID.NotFound"):
        ec2.describe_dhcp_options(DhcpOptionsIds=["dopt-00000000"])


def test_pages(ec2, vpc, refused):
    made = {ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(12)}
    pages = list(ec2.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["RouteTables"]) for page in pages] == [5, 5, 4]
    assert made <= {table["RouteTableId"] for page in pages for table in page["RouteTables"]}
    with refused("InvalidParameterValue"):
        ec2.describe_route_tables(MaxResults=101)
    with refused("InvalidParameterValue"):
        ec2.describe_internet_gateways(MaxResults=1001)
    with refused("InvalidParameterValue"):
        ec2.describe_nat_gateways(Filters=[{"Name": "no-such", "Values": ["x"]}])


def addresses(ec2, gateway):
    rows = only(ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"])["NatGatewayAddresses"]
    return [(row.get("AllocationId"), row["IsPrimary"], row["Status"]) for row in rows]


def test_public_secondary_addresses(ec2, subnet, nat, refused, later):
    made, first = nat
    second, third = (ec2.allocate_address()["AllocationId"] for _ in range(2))
    added = ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[second])["NatGatewayAddresses"]
    assert only(added)["Status"] == "associating"
    later(20)
    assert addresses(ec2, made) == [(first, True, "succeeded"), (second, False, "succeeded")]
    shown = only(ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"])["NatGatewayAddresses"]
    eni = only(ec2.describe_network_interfaces(NetworkInterfaceIds=[shown[0]["NetworkInterfaceId"]])["NetworkInterfaces"])
    assert [one["PrivateIpAddress"] for one in eni["PrivateIpAddresses"]] == [one["PrivateIp"] for one in shown]
    assert eni["Association"]["AllocationId"] == first
    assert eni["PrivateIpAddresses"][1]["Association"]["AllocationId"] == second
    assert only(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"])["AvailableIpAddressCount"] == 249
    for code, call in [
        ("AddressLimitExceeded", lambda: ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[third])),
        ("Resource.AlreadyAssociated", lambda: ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[second])),
        ("InvalidAllocationID.NotFound",
         lambda: ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=["eipalloc-00000000"])),
        ("NatGatewayNotFound",
         lambda: ec2.associate_nat_gateway_address(NatGatewayId="nat-00000000000000000", AllocationIds=[third])),
        ("InvalidParameterValue",
         lambda: ec2.disassociate_nat_gateway_address(NatGatewayId=made, AssociationIds=[shown[0]["AssociationId"]])),
        ("InvalidAssociationID.NotFound",
         lambda: ec2.disassociate_nat_gateway_address(NatGatewayId=made, AssociationIds=["eipassoc-00000000"])),
        ("InvalidParameterValue",
         lambda: ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddressCount=1)),
        ("InvalidIPAddress.InUse", lambda: ec2.release_address(AllocationId=second)),
    ]:
        with refused(code):
            call()
    ec2.disassociate_nat_gateway_address(NatGatewayId=made, AssociationIds=[shown[1]["AssociationId"]])
    assert addresses(ec2, made)[1] == (second, False, "disassociating")
    with refused("IncorrectState"):
        ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[third])
    later(40)
    assert addresses(ec2, made) == [(first, True, "succeeded")]
    assert only(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"])["AvailableIpAddressCount"] == 250
    ec2.release_address(AllocationId=second)
    ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[third], PrivateIpAddresses=["10.0.0.77"])
    ec2.delete_nat_gateway(NatGatewayId=made)
    later(70)
    for address in [first, third]:
        ec2.release_address(AllocationId=address)


def test_an_address_of_another_border_group_fails(ec2, nat, later):
    made, first = nat
    far = ec2.allocate_address(NetworkBorderGroup="us-east-1-bos-1")["AllocationId"]
    ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[far])
    later(20)
    assert addresses(ec2, made) == [(first, True, "succeeded"), (far, False, "failed")]
    shown = only(ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"])["NatGatewayAddresses"]
    assert "network border group" in shown[1]["FailureMessage"]
    near = ec2.allocate_address()["AllocationId"]
    ec2.associate_nat_gateway_address(NatGatewayId=made, AllocationIds=[near])
    later(20)
    assert addresses(ec2, made)[2] == (near, False, "succeeded")


def test_private_secondary_addresses(ec2, subnet, refused, later):
    make = lambda **more: ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private", **more)["NatGateway"]
    made = make(PrivateIpAddress="10.0.0.10", SecondaryPrivateIpAddresses=["10.0.0.11"])
    assert [one["Status"] for one in made["NatGatewayAddresses"]] == ["succeeded", "assigning"]
    made = made["NatGatewayId"]
    with refused("IncorrectState"):
        ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddressCount=1)
    later(100)
    ips = lambda: [one["PrivateIp"] for one in only(
        ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"])["NatGatewayAddresses"]]
    assert ips() == ["10.0.0.10", "10.0.0.11"]
    ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddresses=["10.0.0.12"])
    ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddressCount=2)
    assert len(set(ips())) == 5
    for code, call in [
        ("InvalidParameterCombination", lambda: ec2.assign_private_nat_gateway_address(
            NatGatewayId=made, PrivateIpAddressCount=1, PrivateIpAddresses=["10.0.0.50"])),
        ("MissingParameter", lambda: ec2.assign_private_nat_gateway_address(NatGatewayId=made)),
        ("InvalidIPAddress.InUse",
         lambda: ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddresses=["10.0.0.11"])),
        ("PrivateIpAddressLimitExceeded",
         lambda: ec2.assign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddressCount=4)),
        ("InvalidParameterValue",
         lambda: ec2.unassign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddresses=["10.0.0.10"])),
        ("InvalidParameterValue",
         lambda: ec2.unassign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddresses=["10.0.0.99"])),
        ("InvalidParameterCombination", lambda: make(SecondaryPrivateIpAddressCount=1, SecondaryPrivateIpAddresses=["10.0.0.50"])),
        ("InvalidParameterCombination", lambda: make(SecondaryAllocationIds=[ec2.allocate_address()["AllocationId"]])),
        ("PrivateIpAddressLimitExceeded", lambda: make(SecondaryPrivateIpAddressCount=8)),
    ]:
        with refused(code):
            call()
    gone = ec2.unassign_private_nat_gateway_address(NatGatewayId=made, PrivateIpAddresses=["10.0.0.11", "10.0.0.12"])
    assert [one["Status"] for one in gone["NatGatewayAddresses"]] == ["unassigning", "unassigning"]
    later(40)
    assert len(ips()) == 3 and not {"10.0.0.11", "10.0.0.12"} & set(ips())
    assert len(make(SecondaryPrivateIpAddressCount=2)["NatGatewayAddresses"]) == 3
