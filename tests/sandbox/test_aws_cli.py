"""The unmodified AWS CLI as a client: every service by the `aws` command, with pages, waiters, errors and `s3 cp`.

The command comes with tests/requirements.txt. Where it can't be installed these tests are skipped, never in CI.
"""

import base64
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest

from conftest import Server

BESIDE = pathlib.Path(sys.executable).with_name("aws")
AWS = str(BESIDE) if BESIDE.exists() else shutil.which("aws")
pytestmark = pytest.mark.skipif(not AWS and not os.environ.get("CI"), reason="the AWS CLI is not installed")

# What the CLI leaves with where the service refused: version 2 and version 1.
REFUSED = (254, 255)


@pytest.fixture(scope="module")
def server():
    # Waiters ask every few seconds; simulated minutes pass between.
    server = Server("--speed", "120")
    yield server
    server.stop()


class Cli:
    """Runs `aws` with nothing of this machine's own configuration."""

    def __init__(self, folder, server, account):
        self.folder, self.server = folder, server
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
            "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
        }

    def run(self, line, **given):
        arguments = shlex.split(line)
        for name, value in given.items():
            arguments += ["--" + name.replace("_", "-"), value if isinstance(value, str) else json.dumps(value)]
        return subprocess.run(
            [AWS, *arguments], cwd=self.folder, env=self.environment, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def __call__(self, line, **given):
        done = self.run(line, **given)
        assert done.returncode == 0, f"aws {line}\n{done.stderr}"
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    def later(self, seconds):
        """Moves the clock, so that the CLI's waiters, with up to two minutes between asking, need not wait."""
        self.server.admin("clock", {"advance_s": seconds})

    def refused(self, code, line, **given):
        done = self.run(line, **given)
        assert done.returncode in REFUSED and f"({code})" in done.stderr, (done.returncode, done.stderr)


@pytest.fixture
def aws(tmp_path, server, account):
    return Cli(tmp_path, server, account)


def trust(service):
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}]}


def test_sts(aws, account):
    assert aws("sts get-caller-identity")["Account"] == account
    assert aws("sts get-session-token")["Credentials"]["AccessKeyId"].startswith("ASIA")
    aws.refused("ValidationError", "sts assume-role --role-arn nonsense-that-is-long-enough --role-session-name me")


def test_iam(aws):
    for name in ("one", "two", "three"):
        aws(f"iam create-role --role-name {name}", assume_role_policy_document=trust("ec2.amazonaws.com"))
    aws("iam wait role-exists --role-name one")
    assert aws("iam get-role --role-name one")["Role"]["AssumeRolePolicyDocument"] == trust("ec2.amazonaws.com")
    # The CLI's own paging: pages of one and a token of its own, then everything by pages of one.
    first = aws("iam list-roles --max-items 1 --page-size 1")
    rest = aws("iam list-roles", starting_token=first["NextToken"])
    assert [role["RoleName"] for role in first["Roles"] + rest["Roles"]] == ["one", "three", "two"]
    assert len(aws("iam list-roles --page-size 1")["Roles"]) == 3
    assert aws("iam list-roles --output text", query="length(Roles[?RoleName=='two'])") == 1
    aws.refused("EntityAlreadyExists", "iam create-role --role-name one", assume_role_policy_document=trust("a.amazonaws.com"))
    aws.refused("NoSuchEntity", "iam get-role --role-name absent")
    aws("iam delete-role --role-name one")
    aws.refused("NoSuchEntity", "iam get-role --role-name one")


def test_ec2(aws):
    vpc = aws("ec2 create-vpc --cidr-block 10.0.0.0/16")["Vpc"]["VpcId"]
    aws(f"ec2 wait vpc-available --vpc-ids {vpc}")
    subnets = [aws(f"ec2 create-subnet --vpc-id {vpc} --cidr-block 10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)]
    aws(f"ec2 wait subnet-available --subnet-ids {subnets[0]} {subnets[1]}")
    paged = aws(f"ec2 describe-subnets --filters Name=vpc-id,Values={vpc} --page-size 5 --max-items 1")
    assert len(paged["Subnets"]) == 1
    rest = aws(f"ec2 describe-subnets --filters Name=vpc-id,Values={vpc}", starting_token=paged["NextToken"])
    assert {subnet["SubnetId"] for subnet in paged["Subnets"] + rest["Subnets"]} == set(subnets)
    aws(f"ec2 create-tags --resources {vpc} --tags Key=team,Value=ml")
    assert aws("ec2 describe-vpcs --filters Name=tag:team,Values=ml")["Vpcs"][0]["VpcId"] == vpc
    address = aws("ec2 allocate-address --domain vpc")["AllocationId"]
    nat = aws(f"ec2 create-nat-gateway --subnet-id {subnets[0]} --connectivity-type private")["NatGateway"]["NatGatewayId"]
    aws.later(600)
    aws(f"ec2 wait nat-gateway-available --nat-gateway-ids {nat}")
    aws(f"ec2 release-address --allocation-id {address}")
    aws.refused("DependencyViolation", f"ec2 delete-vpc --vpc-id {vpc}")
    aws.refused("InvalidVpcID.NotFound", "ec2 describe-vpcs --vpc-ids vpc-0123456789abcdef0")
    aws.refused("DryRunOperation", "ec2 create-vpc --cidr-block 10.1.0.0/16 --dry-run")


def test_s3(aws, account):
    bucket = f"cli-{account}"
    aws(f"s3 mb s3://{bucket}")
    aws(f"s3api wait bucket-exists --bucket {bucket}")
    aws(f"s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled")
    assert aws(f"s3api get-bucket-versioning --bucket {bucket}") == {"Status": "Enabled"}
    # One that goes in one call, and one in parts.
    small, large = aws.folder / "small.txt", aws.folder / "large.bin"
    small.write_text("a small one\n")
    large.write_bytes(os.urandom(20 << 20))
    for file in (small, large):
        aws(f"s3 cp {file.name} s3://{bucket}/data/{file.name}")
        aws(f"s3 cp s3://{bucket}/data/{file.name} back-{file.name}")
        assert (aws.folder / f"back-{file.name}").read_bytes() == file.read_bytes()
    assert "small.txt" in aws(f"s3 ls s3://{bucket}/data/")
    (aws.folder / "folder" / "deep").mkdir(parents=True)
    for name in ("x", "deep/y"):
        (aws.folder / "folder" / name).write_text(name)
    aws(f"s3 sync folder s3://{bucket}/sync")
    first = aws(f"s3api list-objects-v2 --bucket {bucket} --page-size 1 --max-items 3")
    rest = aws(f"s3api list-objects-v2 --bucket {bucket}", starting_token=first["NextToken"])
    keys = [item["Key"] for item in first["Contents"] + rest["Contents"]]
    assert keys == ["data/large.bin", "data/small.txt", "sync/deep/y", "sync/x"]
    aws(f"s3api wait object-exists --bucket {bucket} --key sync/x")
    aws.refused("NoSuchKey", f"s3api get-object --bucket {bucket} --key absent out")
    aws.refused("NoSuchBucket", f"s3api list-objects-v2 --bucket absent-{account}")
    aws(f"s3 rm s3://{bucket}/data --recursive")
    aws.refused("BucketNotEmpty", f"s3api delete-bucket --bucket {bucket}")


def test_kms(aws):
    key = aws("kms create-key --description data --tags TagKey=team,TagValue=ml")["KeyMetadata"]["KeyId"]
    for number in range(3):
        aws(f"kms create-alias --alias-name alias/cli-{number} --target-key-id {key}")
    assert aws("kms describe-key --key-id alias/cli-1")["KeyMetadata"]["KeyId"] == key
    first = aws("kms list-aliases --page-size 1 --max-items 2")
    rest = aws("kms list-aliases", starting_token=first["NextToken"])
    assert [alias["AliasName"] for alias in first["Aliases"] + rest["Aliases"]] == [f"alias/cli-{n}" for n in range(3)]
    (aws.folder / "plain").write_bytes(b"text")
    sealed = aws("kms encrypt --key-id alias/cli-0 --plaintext fileb://plain --query CiphertextBlob --output text")
    (aws.folder / "sealed").write_bytes(base64.b64decode(sealed))
    opened = aws("kms decrypt --ciphertext-blob fileb://sealed --query Plaintext --output text")
    assert opened.strip() == "dGV4dA=="
    aws.refused("NotFoundException", "kms describe-key --key-id alias/absent")
    aws.refused("AlreadyExistsException", f"kms create-alias --alias-name alias/cli-0 --target-key-id {key}")


def test_secretsmanager(aws):
    for name in ("a", "b", "c"):
        aws(f"secretsmanager create-secret --name cli/{name} --secret-string {name}")
    assert aws("secretsmanager get-secret-value --secret-id cli/a")["SecretString"] == "a"
    aws("secretsmanager put-secret-value --secret-id cli/a --secret-string new")
    assert aws("secretsmanager get-secret-value --secret-id cli/a --version-stage AWSPREVIOUS")["SecretString"] == "a"
    assert len(aws("secretsmanager describe-secret --secret-id cli/a")["VersionIdsToStages"]) == 2
    assert len(aws("secretsmanager list-secrets --page-size 1 --max-items 2")["SecretList"]) == 2
    assert len(aws("secretsmanager list-secrets --page-size 1")["SecretList"]) == 3
    aws.refused("ResourceExistsException", "secretsmanager create-secret --name cli/a --secret-string x")
    aws.refused("ResourceNotFoundException", "secretsmanager describe-secret --secret-id absent")


def test_logs(aws):
    for name in ("a", "b", "c"):
        aws(f"logs create-log-group --log-group-name /cli/{name}")
    aws("logs put-retention-policy --log-group-name /cli/a --retention-in-days 30")
    groups = aws("logs describe-log-groups --log-group-name-prefix /cli/ --page-size 1")["logGroups"]
    assert [(group["logGroupName"], group.get("retentionInDays")) for group in groups] == [
        ("/cli/a", 30), ("/cli/b", None), ("/cli/c", None)]
    aws("logs create-log-stream --log-group-name /cli/a --log-stream-name s")
    now = aws("logs describe-log-streams --log-group-name /cli/a")["logStreams"][0]["creationTime"]
    aws("logs put-log-events --log-group-name /cli/a --log-stream-name s", log_events=[{"timestamp": now, "message": "hello"}])
    assert aws("logs filter-log-events --log-group-name /cli/a --filter-pattern hello")["events"][0]["message"] == "hello"
    aws.refused("ResourceAlreadyExistsException", "logs create-log-group --log-group-name /cli/a")
    aws.refused("ResourceNotFoundException", "logs describe-log-streams --log-group-name /absent")


def test_cloudtrail(aws, account):
    bucket = f"trail-{account}"
    aws(f"s3 mb s3://{bucket}")
    service = {"Service": "cloudtrail.amazonaws.com"}
    aws(f"s3api put-bucket-policy --bucket {bucket}", policy={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{bucket}"},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
    ]})
    aws(f"cloudtrail create-trail --name cli --s3-bucket-name {bucket} --is-multi-region-trail")
    aws("cloudtrail start-logging --name cli")
    assert aws("cloudtrail get-trail-status --name cli")["IsLogging"] is True
    assert aws("cloudtrail describe-trails")["trailList"][0]["IsMultiRegionTrail"] is True
    for name in ("CreateTrail", "StartLogging"):
        events = aws("cloudtrail lookup-events --page-size 1 --max-items 2", lookup_attributes=[
            {"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        assert [event["EventName"] for event in events] == [name]
    aws.refused("TrailNotFoundException", "cloudtrail get-trail --name absent")
    aws.refused("TrailAlreadyExistsException", f"cloudtrail create-trail --name cli --s3-bucket-name {bucket}")


def test_budgets(aws, account):
    for name in ("a", "b"):
        aws(f"budgets create-budget --account-id {account}", budget={
            "BudgetName": name, "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "100", "Unit": "USD"}})
    shown = aws(f"budgets describe-budget --account-id {account} --budget-name a")["Budget"]
    assert float(shown["BudgetLimit"]["Amount"]) == 100
    assert len(aws(f"budgets describe-budgets --account-id {account} --page-size 1")["Budgets"]) == 2
    aws.refused("NotFoundException", f"budgets describe-budget --account-id {account} --budget-name absent")


def test_tagging(aws):
    for name in ("a", "b", "c"):
        aws(f"logs create-log-group --log-group-name {name} --tags team=ml")
    found = aws("resourcegroupstaggingapi get-resources --tag-filters Key=team,Values=ml --page-size 1")
    assert len(found["ResourceTagMappingList"]) == 3
    assert aws("resourcegroupstaggingapi get-tag-keys")["TagKeys"] == ["team"]
    aws.refused("PaginationTokenExpiredException", "resourcegroupstaggingapi get-resources --no-paginate --pagination-token alien")


@pytest.fixture
def role(aws):
    made = aws("iam create-role --role-name machine", assume_role_policy_document=trust("sagemaker.amazonaws.com"))
    return made["Role"]["Arn"]


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"


def test_sagemaker(aws, role):
    for name in ("a", "b"):
        aws(f"sagemaker create-model --model-name {name} --execution-role-arn {role}", primary_container={"Image": IMAGE})
    assert len(aws("sagemaker list-models --page-size 1")["Models"]) == 2
    aws("sagemaker create-endpoint-config --endpoint-config-name c", production_variants=[{
        "VariantName": "all", "ModelName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    aws("sagemaker create-endpoint --endpoint-name e --endpoint-config-name c")
    aws.later(1800)
    aws("sagemaker wait endpoint-in-service --endpoint-name e")
    assert aws("sagemaker describe-endpoint --endpoint-name e")["EndpointStatus"] == "InService"
    (aws.folder / "question").write_text("{}")
    aws("sagemaker-runtime invoke-endpoint --endpoint-name e --body fileb://question answer.json")
    assert (aws.folder / "answer.json").read_bytes()
    aws.refused("ValidationException", "sagemaker describe-model --model-name absent")
    aws.refused("ValidationError", "sagemaker-runtime invoke-endpoint --endpoint-name absent --body fileb://question out")


def test_training(aws, role, account):
    aws(f"s3 mb s3://train-{account}")
    aws("sagemaker create-training-job --training-job-name t", role_arn=role,
        algorithm_specification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        output_data_config={"S3OutputPath": f"s3://train-{account}/out"},
        resource_config={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        stopping_condition={"MaxRuntimeInSeconds": 3600})
    aws.later(7200)
    aws("sagemaker wait training-job-completed-or-stopped --training-job-name t")
    job = aws("sagemaker describe-training-job --training-job-name t")
    assert job["TrainingJobStatus"] == "Completed"
    aws(f"s3 cp {job['ModelArtifacts']['S3ModelArtifacts']} model.tar.gz")
    aws.refused("ValidationException", "sagemaker stop-training-job --training-job-name t")


def test_bedrock(aws):
    made = []
    for name in ("a", "b"):
        made.append(aws(f"bedrock create-guardrail --name {name} --blocked-input-messaging no --blocked-outputs-messaging no",
                        word_policy_config={"wordsConfig": [{"text": "forbidden"}]})["guardrailId"])
    assert aws(f"bedrock get-guardrail --guardrail-identifier {made[0]}")["name"] == "a"
    assert len(aws("bedrock list-guardrails --page-size 1")["guardrails"]) == 2
    assert aws("bedrock list-foundation-models --by-provider amazon")["modelSummaries"]
    aws.refused("ResourceNotFoundException", "bedrock get-guardrail --guardrail-identifier abcdefghij12")
    aws.refused("ConflictException", "bedrock create-guardrail --name a --blocked-input-messaging no --blocked-outputs-messaging no",
                word_policy_config={"wordsConfig": [{"text": "forbidden"}]})


def test_bedrock_runtime(aws):
    said = aws("bedrock-runtime converse --model-id amazon.nova-lite-v1:0",
               messages=[{"role": "user", "content": [{"text": "hello"}]}])
    assert said["output"]["message"]["role"] == "assistant" and said["usage"]["totalTokens"] > 0
    aws.refused("ValidationException", "bedrock-runtime converse --model-id nobody.nothing-v1:0",
                messages=[{"role": "user", "content": [{"text": "hello"}]}])
