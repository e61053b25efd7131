"""Quotas: AWS's published defaults, and what the conditions set in their place."""

import pytest


@pytest.fixture
def quotas(server):
    yield lambda **values: server.admin("faults", {"quotas": values})
    server.admin("faults", {})


def test_network(client, quotas, refused):
    ec2 = client("ec2")
    quotas(vpcs=2, subnets_per_vpc=1, elastic_ips=1, launch_templates=1)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    # The default VPC counts.
    with refused("VpcLimitExceeded"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16")
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")
    with refused("SubnetLimitExceeded"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")
    ec2.allocate_address(Domain="vpc")
    with refused("AddressLimitExceeded"):
        ec2.allocate_address(Domain="vpc")
    attributes = {row["AttributeName"]: row["AttributeValues"][0]["AttributeValue"]
                  for row in ec2.describe_account_attributes()["AccountAttributes"]}
    assert attributes["vpc-max-elastic-ips"] == "1"
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData={"InstanceType": "m5.large"})
    with refused("LaunchTemplateLimitExceeded"):
        ec2.create_launch_template(LaunchTemplateName="two", LaunchTemplateData={"InstanceType": "m5.large"})
    quotas(vpcs=3)
    ec2.create_vpc(CidrBlock="10.1.0.0/16")


def test_keys_groups_and_secrets(client, quotas, refused):
    kms, logs, secrets = client("kms"), client("logs"), client("secretsmanager")
    quotas(kms_keys=1, kms_aliases_per_key=1, log_groups=1, secrets=1)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("LimitExceededException"):
        kms.create_key()
    kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    with refused("LimitExceededException"):
        kms.create_alias(AliasName="alias/two", TargetKeyId=key)
    logs.create_log_group(logGroupName="one")
    with refused("LimitExceededException"):
        logs.create_log_group(logGroupName="two")
    secrets.create_secret(Name="one")
    with refused("LimitExceededException"):
        secrets.create_secret(Name="two")


def test_iam(client, quotas, refused):
    iam = client("iam")
    quotas(instance_profiles=1, roles=0)
    iam.create_instance_profile(InstanceProfileName="one")
    with refused("LimitExceeded"):
        iam.create_instance_profile(InstanceProfileName="two")
    with refused("LimitExceeded"):
        iam.create_role(RoleName="one", AssumeRolePolicyDocument=TRUST)
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["InstanceProfilesQuota"], summary["RolesQuota"]) == (1, 0)


TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s"},"Action":"sts:AssumeRole"}]}' % (
    "sagemaker.amazonaws.com")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1"


def test_a_model_needs_a_role_that_sagemaker_may_assume(client, account, refused):
    iam, sagemaker = client("iam"), client("sagemaker")
    model = {"PrimaryContainer": {"Image": IMAGE}}
    with refused("ValidationException"):
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{account}:role/none", **model)
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST.replace("sagemaker", "ec2"))
    with refused("ValidationException"):
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{account}:role/other", **model)
    role = iam.create_role(RoleName="serve", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, **model)


def test_instances_of_endpoints(client, account, quotas, refused):
    iam, sagemaker = client("iam"), client("sagemaker")
    role = iam.create_role(RoleName="serve", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 2}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    quotas(**{"endpoint_instances/ml.m4.xlarge": 3})
    sagemaker.create_endpoint(EndpointName="one", EndpointConfigName="c")
    with refused("ResourceLimitExceeded"):
        sagemaker.create_endpoint(EndpointName="two", EndpointConfigName="c")
