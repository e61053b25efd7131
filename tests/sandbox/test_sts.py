"""STS: identity and temporary keys."""

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config


def assumed(server, answer, service="sts"):
    keys = answer["Credentials"]
    return boto3.client(
        service, endpoint_url=server.url, region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], config=Config(retries={"total_max_attempts": 1}),
    )


def test_caller_identity(client, account):
    identity = client("sts").get_caller_identity()
    assert identity["Account"] == account
    assert identity["Arn"] == f"arn:aws:iam::{account}:user/sandbox"
    assert client("sts", account="AKIAEXAMPLE").get_caller_identity()["Account"] == "123456789012"


def test_assume_role_gives_keys_of_the_roles_account(client, server, account, refused, later):
    answer = client("sts").assume_role(
        RoleArn="arn:aws:iam::999988887777:role/ops/Admin", RoleSessionName="me", SourceIdentity="alice",
    )
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::999988887777:assumed-role/Admin/me"
    assert answer["SourceIdentity"] == "alice"
    there = assumed(server, answer)
    identity = there.get_caller_identity()
    assert identity["Account"] == "999988887777"
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert client("sts").get_access_key_info(AccessKeyId=answer["Credentials"]["AccessKeyId"])["Account"] == "999988887777"
    later(3601)
    with refused("ExpiredToken", 403):
        there.get_caller_identity()
    with refused("ExpiredTokenException"):
        assumed(server, answer, "kms").list_keys()


def test_assume_role_refuses(client, refused):
    sts = client("sts")
    with refused("ValidationError"):
        sts.assume_role(RoleArn="arn:aws:iam::1:role/x-and-more-text", RoleSessionName="me")
    with refused("ValidationError"):
        sts.assume_role(RoleArn="arn:aws:iam::999988887777:role/x", RoleSessionName="a b")
    with refused("ValidationError"):
        sts.assume_role(RoleArn="arn:aws:iam::999988887777:role/x", RoleSessionName="me", DurationSeconds=7200)


def test_session_token(client, server, account, refused):
    answer = client("sts").get_session_token(DurationSeconds=900)
    session = assumed(server, answer)
    assert session.get_caller_identity()["Account"] == account
    with refused("AccessDenied"):
        session.get_session_token()
    with refused("InvalidClientTokenId"):
        client("sts").get_access_key_info(AccessKeyId="ASIAAAAAAAAAAAAAAAAA")


def test_unsigned_requests_are_refused(server, refused):
    for service, call, code in [
        ("sts", lambda c: c.get_caller_identity(), "MissingAuthenticationToken"),
        ("kms", lambda c: c.list_keys(), "MissingAuthenticationTokenException"),
        ("s3", lambda c: c.list_buckets(), "MissingAuthenticationToken"),
    ]:
        unsigned = boto3.client(service, endpoint_url=server.url, region_name="us-east-1",
                                config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))
        with refused(code, 403):
            call(unsigned)


@pytest.mark.parametrize("service, call, name", [
    ("sts", lambda c: c.decode_authorization_message(EncodedMessage="x"), "sts:DecodeAuthorizationMessage"),
    ("ec2", lambda c: c.describe_vpn_gateways(), "ec2:DescribeVpnGateways"),
    ("kms", lambda c: c.list_retirable_grants(RetiringPrincipal="x"), "kms:ListRetirableGrants"),
    ("s3", lambda c: c.list_bucket_metrics_configurations(Bucket="bucket"), "s3:ListBucketMetricsConfigurations"),
    ("bedrock", lambda c: c.list_imported_models(), "bedrock:ListImportedModels"),
    ("sagemaker", lambda c: c.list_domains(), "sagemaker:ListDomains"),
])
def test_what_is_not_simulated_is_named(client, refused, service, call, name):
    with refused("NotImplementedBySandbox", 400) as seen:
        call(client(service))
    assert name in seen.error["Error"]["Message"]
