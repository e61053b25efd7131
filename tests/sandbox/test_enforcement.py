"""`opora sandbox serve --enforce-iam`: who may do what, and signatures, through unmodified boto3.

The expectations are those of IAM's user guide (policy evaluation logic), the service authorization reference (actions,
resources, condition keys) and each service's common errors.
"""

import datetime
import io
import itertools
import json
import urllib.error
import urllib.request

import boto3
import botocore.auth
import pytest
from botocore.config import Config

from conftest import Server

_names = itertools.count(1)


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return allow(action, resource, **more) | {"Effect": "Deny"}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def server():
    server = Server("--enforce-iam")
    yield server
    server.stop()


class Caller:
    """Somebody with keys."""

    def __init__(self, server, arn, key, secret, token=None):
        self.server, self.arn, self.key, self.secret, self.token = server, arn, key, secret, token

    def __call__(self, service, region="us-east-1", **options):
        config = Config(retries={"total_max_attempts": 1}, **options)
        return boto3.client(
            service, endpoint_url=self.server.url, region_name=region, config=config, aws_access_key_id=self.key,
            aws_secret_access_key=self.secret, aws_session_token=self.token,
        )


@pytest.fixture
def user(server, client):
    """Makes a user with statements and returns its clients: user(allow("s3:*"))("s3")."""

    def make(*statements, boundary=None, tags=()):
        iam, name = client("iam"), f"user-{next(_names)}"
        made = iam.create_user(UserName=name, Tags=[{"Key": key, "Value": value} for key, value in tags])
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
        if boundary:
            bound = iam.create_policy(PolicyName=f"bound-{name}", PolicyDocument=document(*boundary))["Policy"]["Arn"]
            iam.delete_user_policy(UserName=name, PolicyName="own")
            iam.delete_user(UserName=name)
            made = iam.create_user(UserName=name, PermissionsBoundary=bound)
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        return Caller(server, made["User"]["Arn"], keys["AccessKeyId"], keys["SecretAccessKey"])

    return make


@pytest.fixture
def role(client, account):
    """Makes a role that its account may assume."""

    def make(*statements, trust=None, service=None):
        iam, name = client("iam"), f"role-{next(_names)}"
        principal = {"Service": service} if service else {"AWS": trust or f"arn:aws:iam::{account}:root"}
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}]}))
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
        return made["Role"]["Arn"]

    return make


def session(caller, role, **options):
    made = caller("sts").assume_role(RoleArn=role, RoleSessionName="me", **options)
    keys = made["Credentials"]
    return Caller(caller.server, made["AssumedRoleUser"]["Arn"], keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


@pytest.fixture
def bucket(client, account):
    name = f"data-{account}"
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    for key in ("a", "part/x"):
        s3.put_object(Bucket=name, Key=key, Body=b"1")
    return name


def test_any_other_key_is_the_administrator(client):
    client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    assert client("sts", account="test").get_caller_identity()["Account"] == "123456789012"


def test_without_a_policy_nothing_is_allowed_but_to_ask_who_one_is(user, account, refused):
    nobody = user()
    assert nobody("sts").get_caller_identity()["Arn"] == nobody.arn
    for code, status, service, action, call in [
        ("UnauthorizedOperation", 403, "ec2", "ec2:DescribeVpcs", lambda it: it.describe_vpcs()),
        ("AccessDenied", 403, "iam", "iam:ListRoles", lambda it: it.list_roles()),
        ("AccessDenied", 403, "s3", "s3:ListAllMyBuckets", lambda it: it.list_buckets()),
        ("AccessDeniedException", 400, "kms", "kms:ListKeys", lambda it: it.list_keys()),
        ("AccessDeniedException", 400, "logs", "logs:DescribeLogGroups", lambda it: it.describe_log_groups()),
        ("AccessDeniedException", 400, "secretsmanager", "secretsmanager:ListSecrets", lambda it: it.list_secrets()),
        ("AccessDeniedException", 400, "sagemaker", "sagemaker:ListModels", lambda it: it.list_models()),
        ("AccessDeniedException", 400, "cloudtrail", "cloudtrail:DescribeTrails", lambda it: it.describe_trails()),
        ("AccessDeniedException", 403, "bedrock", "bedrock:ListGuardrails", lambda it: it.list_guardrails()),
        ("AccessDeniedException", 400, "budgets", "budgets:ViewBudget", lambda it: it.describe_budgets(AccountId=account)),
        ("AccessDeniedException", 400, "resourcegroupstaggingapi", "tag:GetResources", lambda it: it.get_resources()),
        ("AccessDeniedException", 403, "bedrock-runtime", "bedrock:InvokeModel", lambda it: it.converse(
            modelId="amazon.nova-lite-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}])),
        ("AccessDeniedException", 403, "sagemaker-runtime", "sagemaker:InvokeEndpoint",
         lambda it: it.invoke_endpoint(EndpointName="e", Body=b"")),
        ("AccessDenied", 403, "sts", "sts:GetAccessKeyInfo", lambda it: it.get_access_key_info(AccessKeyId="AKIAIOSFODNN7EXAMPLE")),
    ]:
        with refused(code, status) as denial:
            call(nobody(service))
        message = denial.error["Error"]["Message"]
        assert f"User: {nobody.arn} is not authorized to perform: {action} on resource: " in message, message
        assert f"because no identity-based policy allows the {action} action" in message


def test_an_allow_is_for_its_resources(user, bucket, refused):
    reader = user(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/part/*"), allow("s3:ListBucket", f"arn:aws:s3:::{bucket}"))
    s3 = reader("s3")
    assert s3.get_object(Bucket=bucket, Key="part/x")["Body"].read() == b"1"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    with refused("AccessDenied", 403) as denial:
        s3.get_object(Bucket=bucket, Key="a")
    assert f'on resource: "arn:aws:s3:::{bucket}/a"' in denial.error["Error"]["Message"]
    with refused("AccessDenied"):
        s3.put_object(Bucket=bucket, Key="part/x", Body=b"2")
    with refused("403"):
        s3.head_object(Bucket=bucket, Key="a")


def test_a_deny_wins(user, bucket, refused):
    almost = user(allow("s3:*"), deny("s3:DeleteObject", f"arn:aws:s3:::{bucket}/part/*"))
    s3 = almost("s3")
    s3.delete_object(Bucket=bucket, Key="a")
    with refused("AccessDenied") as denial:
        s3.delete_object(Bucket=bucket, Key="part/x")
    assert "with an explicit deny in an identity-based policy" in denial.error["Error"]["Message"]
    # Many at once are asked one by one.
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "part/x"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["a"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("part/x", "AccessDenied")]


def test_conditions_look_at_the_request(user, bucket, refused):
    home = user(allow("s3:ListBucket", Condition={"StringLike": {"s3:prefix": "part/*"}}))
    assert home("s3").list_objects_v2(Bucket=bucket, Prefix="part/")["KeyCount"] == 1
    with refused("AccessDenied"):
        home("s3").list_objects_v2(Bucket=bucket)
    east = user(allow("ec2:Describe*", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}}))
    east("ec2").describe_vpcs()
    with refused("UnauthorizedOperation"):
        east("ec2", region="eu-west-1").describe_vpcs()
    outside = user(allow("ec2:*", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))
    with refused("UnauthorizedOperation"):
        outside("ec2").describe_vpcs()
    own = user(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/${{aws:username}}/*"))
    with refused("AccessDenied"):
        own("s3").get_object(Bucket=bucket, Key="part/x")


def test_tags_decide(user, client, refused):
    ec2 = client("ec2")
    vpcs = {}
    for team in ("ml", "web"):
        vpcs[team] = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[
            {"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": team}]}])["Vpc"]["VpcId"]
    owner = user(
        allow("ec2:DeleteVpc", Condition={"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}),
        allow("ec2:CreateVpc"),
        allow("ec2:CreateTags", Condition={"StringEquals": {"aws:RequestTag/team": "ml", "ec2:CreateAction": "CreateVpc"}}),
        tags=[("team", "ml")],
    )("ec2")
    owner.delete_vpc(VpcId=vpcs["ml"])
    with refused("UnauthorizedOperation"):
        owner.delete_vpc(VpcId=vpcs["web"])
    owner.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[
        {"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": "ml"}]}])
    with refused("UnauthorizedOperation") as denial:
        owner.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[
            {"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": "web"}]}])
    assert "ec2:CreateTags" in denial.error["Error"]["Message"]


def test_every_resource_of_a_call_has_to_be_allowed(user, client, account, refused):
    ec2 = client("ec2")
    vpcs = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(2)]
    base = f"arn:aws:ec2:us-east-1:{account}"
    one = user(allow("ec2:CreateSubnet", [f"{base}:subnet/*", f"{base}:vpc/{vpcs[0]}"]))("ec2")
    one.create_subnet(VpcId=vpcs[0], CidrBlock="10.0.1.0/24")
    with refused("UnauthorizedOperation"):
        one.create_subnet(VpcId=vpcs[1], CidrBlock="10.0.1.0/24")
    # A dry run tells which.
    with refused("DryRunOperation"):
        one.create_subnet(VpcId=vpcs[0], CidrBlock="10.0.2.0/24", DryRun=True)
    with refused("UnauthorizedOperation"):
        one.create_subnet(VpcId=vpcs[1], CidrBlock="10.0.2.0/24", DryRun=True)


def test_a_boundary_narrows_and_gives_nothing(user, bucket, refused):
    bound = user(allow("*"), boundary=[allow("s3:*")])
    bound("s3").list_objects_v2(Bucket=bucket)
    with refused("UnauthorizedOperation") as denial:
        bound("ec2").describe_vpcs()
    assert "because no permissions boundary allows the ec2:DescribeVpcs action" in denial.error["Error"]["Message"]
    empty = user(allow("ec2:*"), boundary=[allow("*")])
    with refused("AccessDenied"):
        empty("s3").list_objects_v2(Bucket=bucket)


def test_a_session_has_its_roles_policies_and_may_be_narrowed(user, role, bucket, refused):
    caller = user(allow("sts:AssumeRole"))
    target = role(allow("s3:*"))
    full = session(caller, target)
    full("s3").put_object(Bucket=bucket, Key="b", Body=b"1")
    with refused("UnauthorizedOperation") as denial:
        full("ec2").describe_vpcs()
    assert ":assumed-role/" in denial.error["Error"]["Message"]
    narrow = session(caller, target, Policy=document(allow("s3:GetObject"), allow("ec2:*")))
    narrow("s3").get_object(Bucket=bucket, Key="a")
    with refused("AccessDenied") as denial:
        narrow("s3").put_object(Bucket=bucket, Key="c", Body=b"1")
    assert "because no session policy allows the s3:PutObject action" in denial.error["Error"]["Message"]
    with refused("UnauthorizedOperation"):
        narrow("ec2").describe_vpcs()


def test_assuming_a_role_asks_both_sides(user, role, refused):
    stranger = user()
    with refused("AccessDenied", 403):
        session(stranger, role(allow("s3:*")))
    # Within the account, a trust policy that names the user is enough.
    session(stranger, role(allow("s3:*"), trust=stranger.arn))
    with refused("AccessDenied"):
        session(user(allow("sts:AssumeRole")), role(allow("s3:*"), trust=stranger.arn))


def test_bucket_policies_count(user, client, bucket, refused):
    friend, other = user(), user(allow("s3:*"))
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*", "Principal": {"AWS": friend.arn}}
    forbid = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*", "Principal": "*",
              "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}
    client("s3").put_bucket_policy(Bucket=bucket, Policy=document(statement, forbid))
    assert friend("s3").get_object(Bucket=bucket, Key="a")
    with refused("AccessDenied"):
        friend("s3").list_objects_v2(Bucket=bucket)
    other("s3").put_object(Bucket=bucket, Key="a", Body=b"1", ServerSideEncryption="AES256")
    with refused("AccessDenied") as denial:
        other("s3").put_object(Bucket=bucket, Key="a", Body=b"1")
    assert "with an explicit deny in a resource-based policy" in denial.error["Error"]["Message"]


def test_key_policies_decide(user, client, account, refused):
    kms = client("kms")
    reader, named = user(allow("kms:*")), user()
    root = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {"AWS": f"arn:aws:iam::{account}:user/sandbox"}}
    own = {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*", "Principal": {"AWS": named.arn}}
    closed = kms.create_key(Policy=document(root, own), BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["KeyId"]
    opened = kms.create_key()["KeyMetadata"]["KeyId"]
    # The default policy leaves it to the account's IAM policies; one without the account does not.
    sealed = reader("kms").encrypt(KeyId=opened, Plaintext=b"x")["CiphertextBlob"]
    assert reader("kms").decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    with refused("AccessDeniedException") as denial:
        reader("kms").encrypt(KeyId=closed, Plaintext=b"x")
    assert "no resource-based policy allows" in denial.error["Error"]["Message"]
    sealed = named("kms").encrypt(KeyId=closed, Plaintext=b"x")["CiphertextBlob"]
    with refused("AccessDeniedException"):
        named("kms").encrypt(KeyId=opened, Plaintext=b"x")
    with refused("AccessDeniedException"):
        named("kms").describe_key(KeyId=closed)
    # A grant does what no policy does.
    kms.create_grant(KeyId=opened, GranteePrincipal=named.arn, Operations=["Encrypt"],
                     Constraints={"EncryptionContextSubset": {"job": "a"}})
    named("kms").encrypt(KeyId=opened, Plaintext=b"x", EncryptionContext={"job": "a"})
    with refused("AccessDeniedException"):
        named("kms").encrypt(KeyId=opened, Plaintext=b"x", EncryptionContext={"job": "b"})


def test_secret_policies_count(user, client, refused):
    friend = user()
    secrets = client("secretsmanager")
    arn = secrets.create_secret(Name="s", SecretString="1")["ARN"]
    with refused("AccessDeniedException") as denial:
        friend("secretsmanager").get_secret_value(SecretId="s")
    assert arn in denial.error["Error"]["Message"]
    secrets.put_resource_policy(SecretId="s", ResourcePolicy=document(
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*", "Principal": {"AWS": friend.arn}}))
    assert friend("secretsmanager").get_secret_value(SecretId="s")["SecretString"] == "1"


def test_replicas_of_a_new_secret_are_allowed_apart(user, refused):
    region = [{"Region": "eu-west-1"}]
    with refused("AccessDeniedException") as denial:
        user(allow("secretsmanager:CreateSecret"))("secretsmanager").create_secret(Name="s", AddReplicaRegions=region)
    assert "secretsmanager:ReplicateSecretToRegions" in denial.error["Error"]["Message"]
    both = user(allow(["secretsmanager:CreateSecret", "secretsmanager:ReplicateSecretToRegions"]))
    both("secretsmanager").create_secret(Name="s", AddReplicaRegions=region)


def test_a_role_that_is_passed_has_to_be_allowed(user, role, refused):
    machine, other = role(service="sagemaker.amazonaws.com"), role(service="sagemaker.amazonaws.com")
    caller = user(allow("sagemaker:*"), allow("iam:PassRole", machine, Condition={
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}))("sagemaker")
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"}
    caller.create_model(ModelName="a", ExecutionRoleArn=machine, PrimaryContainer=container)
    with refused("AccessDeniedException") as denial:
        caller.create_model(ModelName="b", ExecutionRoleArn=other, PrimaryContainer=container)
    assert f"not authorized to perform: iam:PassRole on resource: {other}" in denial.error["Error"]["Message"]
    elsewhere = user(allow("sagemaker:*"), allow("iam:PassRole", machine, Condition={
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}))("sagemaker")
    with refused("AccessDeniedException"):
        elsewhere.create_model(ModelName="c", ExecutionRoleArn=machine, PrimaryContainer=container)


def test_a_replication_passes_its_role(user, role, client, bucket, account, refused):
    copies, copier = f"copies-{account}", role(service="s3.amazonaws.com")
    client("s3").create_bucket(Bucket=copies)
    for name in [bucket, copies]:
        client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {"Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{copies}"}}
    request = {"Bucket": bucket, "ReplicationConfiguration": {"Role": copier, "Rules": [rule]}}
    replicate = allow("s3:PutReplicationConfiguration")
    with refused("AccessDenied", 403, f'not authorized to perform: iam:PassRole on resource: "{copier}"'):
        user(replicate)("s3").put_bucket_replication(**request)
    user(replicate, allow("iam:PassRole", copier, Condition={
        "StringEquals": {"iam:PassedToService": "s3.amazonaws.com"}}))("s3").put_bucket_replication(**request)


def test_operations_have_the_actions_that_the_reference_lists(user, bucket, client, account, refused):
    """Operation and action differ in name: the action allows it, the operation's name does not."""
    s3 = client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="v", Body=b"1")["VersionId"]
    for service, action, wrong, call in [
        ("s3", "s3:ListBucket", "s3:ListObjectsV2", lambda it: it.list_objects_v2(Bucket=bucket)),
        ("s3", "s3:ListBucket", "s3:HeadBucket", lambda it: it.head_bucket(Bucket=bucket)),
        ("s3", "s3:ListAllMyBuckets", "s3:ListBuckets", lambda it: it.list_buckets()),
        ("s3", "s3:GetEncryptionConfiguration", "s3:GetBucketEncryption", lambda it: it.get_bucket_encryption(Bucket=bucket)),
        ("s3", "s3:GetAccelerateConfiguration", "s3:GetBucketAccelerateConfiguration",
         lambda it: it.get_bucket_accelerate_configuration(Bucket=bucket)),
        ("s3", "s3:GetIntelligentTieringConfiguration", "s3:ListBucketIntelligentTieringConfigurations",
         lambda it: it.list_bucket_intelligent_tiering_configurations(Bucket=bucket)),
        ("s3", "s3:PutReplicationConfiguration", "s3:DeleteBucketReplication",
         lambda it: it.delete_bucket_replication(Bucket=bucket)),
        ("s3", "s3:GetObjectVersion", "s3:GetObject", lambda it: it.get_object(Bucket=bucket, Key="v", VersionId=version)),
        ("s3", "s3:ListBucketVersions", "s3:ListObjectVersions", lambda it: it.list_object_versions(Bucket=bucket)),
        ("s3", "s3:PutObject", "s3:CreateMultipartUpload", lambda it: it.create_multipart_upload(Bucket=bucket, Key="m")),
        ("budgets", "budgets:ViewBudget", "budgets:DescribeBudgets", lambda it: it.describe_budgets(AccountId=account)),
        ("bedrock-runtime", "bedrock:InvokeModel", "bedrock:Converse", lambda it: it.converse(
            modelId="amazon.nova-lite-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}])),
        ("resourcegroupstaggingapi", "tag:GetResources", "resourcegroupstaggingapi:GetResources", lambda it: it.get_resources()),
    ]:
        call(user(allow(action))(service))
        with refused(None):
            call(user(allow(wrong))(service))


def test_copying_reads_and_writes(user, bucket, refused):
    source = {"Bucket": bucket, "Key": "a"}
    user(allow(["s3:PutObject", "s3:GetObject"]))("s3").copy_object(Bucket=bucket, Key="c", CopySource=source)
    for only in ("s3:PutObject", "s3:GetObject"):
        with refused("AccessDenied"):
            user(allow(only))("s3").copy_object(Bucket=bucket, Key="c", CopySource=source)


WRONG_SECRET = [
    ("sts", "SignatureDoesNotMatch", 403, lambda it: it.get_caller_identity()),
    ("iam", "SignatureDoesNotMatch", 403, lambda it: it.list_roles()),
    ("s3", "SignatureDoesNotMatch", 403, lambda it: it.list_buckets()),
    ("ec2", "AuthFailure", 401, lambda it: it.describe_vpcs()),
    ("kms", "InvalidSignatureException", 400, lambda it: it.list_keys()),
    ("bedrock", "InvalidSignatureException", 403, lambda it: it.list_guardrails()),
]


def test_signatures_are_verified(server, user, refused):
    known = user(allow("*"))
    for service, code, status, call in WRONG_SECRET:
        call(known(service))
        with refused(code, status):
            call(Caller(server, None, known.key, "wrong")(service))


def test_unknown_keys_are_refused(server, refused):
    nobody = Caller(server, None, "AKIA" + "Z" * 16, "any")
    for service, _, _, call in WRONG_SECRET:
        code = {"s3": "InvalidAccessKeyId", "ec2": "AuthFailure", "kms": "UnrecognizedClientException",
                "bedrock": "UnrecognizedClientException"}.get(service, "InvalidClientTokenId")
        with refused(code):
            call(nobody(service))


def test_a_session_needs_its_token_and_its_time(server, user, role, later, refused):
    caller = session(user(allow("sts:AssumeRole")), role(allow("*")))
    for token in (None, "another"):
        for service, code in [("sts", "InvalidClientTokenId"), ("s3", "InvalidToken"), ("kms", "UnrecognizedClientException")]:
            call = next(call for name, _, _, call in WRONG_SECRET if name == service)
            with refused(code):
                call(Caller(server, None, caller.key, caller.secret, token)(service))
    later(3601)
    for service, code in [("sts", "ExpiredToken"), ("s3", "ExpiredToken"), ("ec2", "RequestExpired"), ("kms", "ExpiredTokenException")]:
        call = next(call for name, _, _, call in WRONG_SECRET if name == service)
        with refused(code):
            call(caller(service))


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_off_is_refused(user, monkeypatch, minutes, refused):
    caller = user(allow("*"))
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: now.replace(tzinfo=None))
    caller("s3").list_buckets()  # S3 allows 15 minutes
    for service, code in [("sts", "SignatureDoesNotMatch"), ("ec2", "RequestExpired"), ("kms", "InvalidSignatureException")]:
        call = next(call for name, _, _, call in WRONG_SECRET if name == service)
        with refused(code):
            call(caller(service))


def test_paths_queries_and_bodies_are_signed(user, client, bucket):
    """Names that have to be encoded, streams, and every way that the SDKs sign."""
    everybody = user(allow("*"))
    s3 = everybody("s3")
    for key in ("a b+c/ü~(1)*'!", "x//y", "%41"):
        s3.put_object(Bucket=bucket, Key=key, Body=io.BytesIO(b"text"), Metadata={"note": "  two  words "})
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"text"
        assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"][0]["Key"] == key
    assert everybody("bedrock").list_guardrails(maxResults=1) is not None
    made = everybody("bedrock").create_guardrail(name="g", blockedInputMessaging="n", blockedOutputsMessaging="n",
                                                 wordPolicyConfig={"wordsConfig": [{"text": "x"}]})
    assert everybody("bedrock").get_guardrail(guardrailIdentifier=made["guardrailArn"])["name"] == "g"


def test_links_are_signed_too(user, bucket):
    reader = user(allow("s3:GetObject"))
    s3 = reader("s3", signature_version="s3v4")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"}, ExpiresIn=60)
    assert urllib.request.urlopen(link).read() == b"1"
    for broken, code in [(link[:-1] + ("0" if link[-1] != "0" else "1"), b"SignatureDoesNotMatch"),
                         (link.replace("/a?", "/part/x?"), b"SignatureDoesNotMatch")]:
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(broken)
        assert code in error.value.read()
    other = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a"}, ExpiresIn=60)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(other, b"2", method="PUT"))
    assert b"AccessDenied" in error.value.read()


def test_without_the_option_nothing_is_asked(refused):
    server = Server()
    try:
        iam = server.client("iam", "100000000001")
        iam.create_user(UserName="u")
        keys = iam.create_access_key(UserName="u")["AccessKey"]
        free = Caller(server, None, keys["AccessKeyId"], "any")
        free("ec2").describe_vpcs()
        # The conditions turn it on as well.
        server.admin("faults", {"enforce_iam": True})
        with refused("AuthFailure"):
            free("ec2").describe_vpcs()
        with refused("UnauthorizedOperation"):
            Caller(server, None, keys["AccessKeyId"], keys["SecretAccessKey"])("ec2").describe_vpcs()
    finally:
        server.stop()
