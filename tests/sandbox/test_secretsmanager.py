"""Secrets Manager: every simulated operation, success and error."""

import json

import pytest

TOKEN = "11111111-2222-3333-4444-55555555555{}"


@pytest.fixture
def sm(client):
    return client("secretsmanager")


@pytest.fixture
def secret(sm):
    return sm.create_secret(Name="acme/token", SecretString="one", ClientRequestToken=TOKEN.format(1),
                            Tags=[{"Key": "owner", "Value": "ml"}])


def test_create_describe_and_tokens(sm, secret, account, refused):
    assert secret["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:{account}:secret:acme/token-")
    assert secret["VersionId"] == TOKEN.format(1)
    for name in ["acme/token", secret["ARN"], secret["ARN"].rsplit("-", 1)[0]]:
        shown = sm.describe_secret(SecretId=name)
        assert shown["ARN"] == secret["ARN"]
    assert shown["VersionIdsToStages"] == {TOKEN.format(1): ["AWSCURRENT"]}
    assert shown["Tags"] == [{"Key": "owner", "Value": "ml"}] and "KmsKeyId" not in shown
    again = sm.create_secret(Name="acme/token", SecretString="one", ClientRequestToken=TOKEN.format(1))
    assert again["ARN"] == secret["ARN"]
    with refused("ResourceExistsException"):
        sm.create_secret(Name="acme/token", SecretString="other", ClientRequestToken=TOKEN.format(1))
    with refused("ResourceExistsException"):
        sm.create_secret(Name="acme/token", SecretString="one")
    with refused("ResourceNotFoundException"):
        sm.describe_secret(SecretId="none")
    with refused("ResourceNotFoundException"):
        sm.describe_secret(SecretId="arn:aws:secretsmanager:eu-west-1:1:secret:acme/token")
    with refused("ValidationException"):
        sm.create_secret(Name="bad name!")
    with refused("InvalidRequestException"):
        sm.create_secret(Name="two", SecretString="a", SecretBinary=b"b")


def test_versions_and_stages(sm, secret, refused):
    second = sm.put_secret_value(SecretId="acme/token", SecretString="two", ClientRequestToken=TOKEN.format(2))
    assert second["VersionStages"] == ["AWSCURRENT"]
    same = sm.put_secret_value(SecretId="acme/token", SecretString="two", ClientRequestToken=TOKEN.format(2))
    assert same["VersionId"] == second["VersionId"]
    with refused("ResourceExistsException"):
        sm.put_secret_value(SecretId="acme/token", SecretString="three", ClientRequestToken=TOKEN.format(2))
    assert sm.get_secret_value(SecretId="acme/token")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId="acme/token", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert sm.get_secret_value(SecretId="acme/token", VersionId=TOKEN.format(1))["SecretString"] == "one"
    with refused("ResourceNotFoundException"):
        sm.get_secret_value(SecretId="acme/token", VersionStage="none")
    with refused("InvalidRequestException"):
        sm.get_secret_value(SecretId="acme/token", VersionId=TOKEN.format(1), VersionStage="AWSCURRENT")
    with refused("InvalidRequestException"):
        sm.put_secret_value(SecretId="acme/token")
    third = sm.put_secret_value(SecretId="acme/token", SecretBinary=b"\x00\x01", VersionStages=["next"])
    assert sm.get_secret_value(SecretId="acme/token", VersionStage="next")["SecretBinary"] == b"\x00\x01"
    with refused("InvalidParameterException"):
        sm.update_secret_version_stage(SecretId="acme/token", VersionStage="AWSCURRENT", MoveToVersionId=third["VersionId"])
    sm.update_secret_version_stage(SecretId="acme/token", VersionStage="AWSCURRENT", MoveToVersionId=third["VersionId"],
                                   RemoveFromVersionId=TOKEN.format(2))
    stages = sm.describe_secret(SecretId="acme/token")["VersionIdsToStages"]
    assert stages == {third["VersionId"]: ["next", "AWSCURRENT"], TOKEN.format(2): ["AWSPREVIOUS"]}
    with refused("InvalidParameterException"):
        sm.update_secret_version_stage(SecretId="acme/token", VersionStage="AWSCURRENT",
                                       RemoveFromVersionId=third["VersionId"])
    with refused("ResourceNotFoundException"):
        sm.update_secret_version_stage(SecretId="acme/token", VersionStage="next", MoveToVersionId=TOKEN.format(9))
    listed = sm.list_secret_version_ids(SecretId="acme/token")["Versions"]
    assert len(listed) == 2
    everything = sm.list_secret_version_ids(SecretId="acme/token", IncludeDeprecated=True, MaxResults=2)
    assert len(everything["Versions"]) == 2 and everything["NextToken"]
    rest = sm.list_secret_version_ids(SecretId="acme/token", IncludeDeprecated=True, MaxResults=2,
                                      NextToken=everything["NextToken"])
    assert len(rest["Versions"]) == 1
    with refused("InvalidNextTokenException"):
        sm.list_secret_version_ids(SecretId="acme/token", NextToken="bad")


def test_update(sm, secret, client, refused):
    key = client("kms").create_key()["KeyMetadata"]
    sm.update_secret(SecretId="acme/token", Description="d", KmsKeyId=key["Arn"])
    shown = sm.describe_secret(SecretId="acme/token")
    assert (shown["Description"], shown["KmsKeyId"]) == ("d", key["Arn"])
    version = sm.update_secret(SecretId="acme/token", SecretString="new")["VersionId"]
    assert sm.get_secret_value(SecretId="acme/token")["VersionId"] == version
    with refused("EncryptionFailure"):
        sm.update_secret(SecretId="acme/token", KmsKeyId="alias/none")
    with refused("EncryptionFailure"):
        sm.create_secret(Name="other", KmsKeyId="11111111-0000-0000-0000-000000000000")
    client("kms").disable_key(KeyId=key["KeyId"])
    with refused("DecryptionFailure"):
        sm.get_secret_value(SecretId="acme/token")
    with refused("ResourceNotFoundException"):
        sm.update_secret(SecretId="none")


def test_deletion_window(sm, secret, later, refused):
    with refused("InvalidParameterException"):
        sm.delete_secret(SecretId="acme/token", RecoveryWindowInDays=3)
    with refused("InvalidParameterException"):
        sm.delete_secret(SecretId="acme/token", RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True)
    sm.delete_secret(SecretId="acme/token", RecoveryWindowInDays=7)
    assert "DeletedDate" in sm.describe_secret(SecretId="acme/token")
    for call in [lambda: sm.get_secret_value(SecretId="acme/token"), lambda: sm.delete_secret(SecretId="acme/token"),
                 lambda: sm.create_secret(Name="acme/token"),
                 lambda: sm.put_secret_value(SecretId="acme/token", SecretString="x")]:
        with refused("InvalidRequestException"):
            call()
    assert sm.list_secrets()["SecretList"] == []
    assert len(sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]) == 1
    sm.restore_secret(SecretId="acme/token")
    assert sm.get_secret_value(SecretId="acme/token")["SecretString"] == "one"
    sm.delete_secret(SecretId="acme/token", RecoveryWindowInDays=7)
    later(7 * 86400 + 1)
    with refused("ResourceNotFoundException"):
        sm.describe_secret(SecretId="acme/token")
    made = sm.create_secret(Name="acme/token", SecretString="anew")
    assert made["ARN"] != secret["ARN"]
    sm.delete_secret(SecretId="acme/token", ForceDeleteWithoutRecovery=True)
    sm.create_secret(Name="acme/token", SecretString="anew")
    with refused("ResourceNotFoundException"):
        sm.restore_secret(SecretId="none")


def test_list_and_filters(sm, refused):
    for number in range(5):
        sm.create_secret(Name=f"team/s{number}", Description=f"Number {number}", SecretString="x",
                         Tags=[{"Key": f"k{number % 2}", "Value": "v"}])
    pages = list(sm.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["SecretList"]) for page in pages] == [2, 2, 1]
    def names(*filters, **more):
        return sorted(one["Name"] for one in sm.list_secrets(Filters=list(filters), **more)["SecretList"])
    assert names({"Key": "name", "Values": ["team/s1"]}) == ["team/s1"]
    assert names({"Key": "tag-key", "Values": ["k1"]}) == ["team/s1", "team/s3"]
    assert names({"Key": "name", "Values": ["!team/s1"]}) == ["team/s0", "team/s2", "team/s3", "team/s4"]
    assert names({"Key": "description", "Values": ["number"]}, {"Key": "all", "Values": ["s4"]}) == ["team/s4"]
    with refused("InvalidNextTokenException"):
        sm.list_secrets(NextToken="bad")
    batch = sm.batch_get_secret_value(SecretIdList=["team/s0", "none"])
    assert [one["SecretString"] for one in batch["SecretValues"]] == ["x"]
    assert batch["Errors"][0]["ErrorCode"] == "ResourceNotFoundException"
    assert len(sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["team"]}])["SecretValues"]) == 5
    with refused("InvalidParameterException"):
        sm.batch_get_secret_value()


def test_tags(sm, secret, client, refused):
    sm.tag_resource(SecretId="acme/token", Tags=[{"Key": "a", "Value": "1"}])
    sm.untag_resource(SecretId="acme/token", TagKeys=["owner"])
    assert sm.describe_secret(SecretId="acme/token")["Tags"] == [{"Key": "a", "Value": "1"}]
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "a"}])
    assert [one["ResourceARN"] for one in found["ResourceTagMappingList"]] == [secret["ARN"]]
    with refused("InvalidParameterException"):
        sm.tag_resource(SecretId="acme/token", Tags=[{"Key": "aws:x", "Value": ""}])
    with refused("ResourceNotFoundException"):
        sm.untag_resource(SecretId="none", TagKeys=["a"])


def test_resource_policy(sm, secret, account, refused):
    def policy(**changes):
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                     "Action": "secretsmanager:GetSecretValue", "Resource": "*", **changes}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId="acme/token")
    sm.put_resource_policy(SecretId="acme/token", ResourcePolicy=policy())
    assert sm.get_resource_policy(SecretId="acme/token")["ResourcePolicy"] == policy()
    with refused("MalformedPolicyDocumentException"):
        sm.put_resource_policy(SecretId="acme/token", ResourcePolicy="{}")
    with refused("MalformedPolicyDocumentException"):
        sm.put_resource_policy(SecretId="acme/token", ResourcePolicy=policy(Principal={"AWS": "nobody"}))
    with refused("PublicPolicyException"):
        sm.put_resource_policy(SecretId="acme/token", ResourcePolicy=policy(Principal="*"), BlockPublicPolicy=True)
    assert sm.validate_resource_policy(ResourcePolicy=policy())["PolicyValidationPassed"] is True
    assert sm.validate_resource_policy(ResourcePolicy=policy(Principal="*"))["PolicyValidationPassed"] is False
    with refused("MalformedPolicyDocumentException"):
        sm.validate_resource_policy(ResourcePolicy="no")
    sm.delete_resource_policy(SecretId="acme/token")
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId="acme/token")
    with refused("ResourceNotFoundException"):
        sm.delete_resource_policy(SecretId="none")


def test_rotation(sm, secret, refused):
    function = "arn:aws:lambda:us-east-1:111122223333:function:rotate"
    with refused("InvalidRequestException"):
        sm.rotate_secret(SecretId="acme/token", RotationRules={"AutomaticallyAfterDays": 5})
    with refused("InvalidRequestException"):
        sm.cancel_rotate_secret(SecretId="acme/token")
    for rules in [{}, {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"},
                  {"ScheduleExpression": "rate(1 minute)"}]:
        with refused("InvalidParameterException"):
            sm.rotate_secret(SecretId="acme/token", RotationLambdaARN=function, RotationRules=rules)
    sm.rotate_secret(SecretId="acme/token", RotationLambdaARN=function,
                     RotationRules={"AutomaticallyAfterDays": 30, "Duration": "3h"}, RotateImmediately=False)
    shown = sm.describe_secret(SecretId="acme/token")
    assert shown["RotationEnabled"] is True and shown["RotationLambdaARN"] == function
    assert shown["RotationRules"] == {"AutomaticallyAfterDays": 30, "Duration": "3h"}
    sm.rotate_secret(SecretId="acme/token", RotationRules={"ScheduleExpression": "rate(10 days)"})
    rules = sm.describe_secret(SecretId="acme/token")["RotationRules"]
    assert rules == {"AutomaticallyAfterDays": 10, "ScheduleExpression": "rate(10 days)"}
    sm.cancel_rotate_secret(SecretId="acme/token")
    shown = sm.describe_secret(SecretId="acme/token")
    assert shown["RotationEnabled"] is False and shown["RotationLambdaARN"] == function
    with refused("InvalidRequestException"):
        sm.create_secret(Name="empty")
        sm.rotate_secret(SecretId="empty", RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 1})


def test_random_password(sm, refused):
    password = sm.get_random_password()["RandomPassword"]
    assert len(password) == 32 and password != sm.get_random_password()["RandomPassword"]
    plain = sm.get_random_password(PasswordLength=50, ExcludePunctuation=True, ExcludeNumbers=True,
                                   ExcludeCharacters="abc")["RandomPassword"]
    assert plain.isalpha() and not set(plain) & set("abc")
    with refused("InvalidParameterException"):
        sm.get_random_password(PasswordLength=2)
    with refused("InvalidRequestException"):
        sm.get_random_password(ExcludePunctuation=True, ExcludeNumbers=True, ExcludeUppercase=True, ExcludeLowercase=True)


def test_replicas(sm, account, client, later, refused):
    there = client("secretsmanager", region="eu-west-1")
    made = sm.create_secret(Name="acme/spread", SecretString="one", Tags=[{"Key": "a", "Value": "1"}],
                            AddReplicaRegions=[{"Region": "eu-west-1"}])
    assert made["ReplicationStatus"] == [
        {"Region": "eu-west-1", "KmsKeyId": "alias/aws/secretsmanager", "Status": "InProgress"}]
    later(60)
    shown = sm.describe_secret(SecretId="acme/spread")
    assert shown["PrimaryRegion"] == "us-east-1" and shown["ReplicationStatus"][0]["Status"] == "InSync"
    copy = there.describe_secret(SecretId="acme/spread")
    assert copy["ARN"] == made["ARN"].replace("us-east-1", "eu-west-1")
    assert copy["PrimaryRegion"] == "us-east-1" and "ReplicationStatus" not in copy
    assert copy["Tags"] == [{"Key": "a", "Value": "1"}]
    assert [one["Name"] for one in there.list_secrets()["SecretList"]] == ["acme/spread"]
    assert there.get_secret_value(SecretId="acme/spread")["SecretString"] == "one"
    sm.put_secret_value(SecretId="acme/spread", SecretString="two")
    sm.tag_resource(SecretId="acme/spread", Tags=[{"Key": "b", "Value": "2"}])
    assert there.get_secret_value(SecretId=copy["ARN"])["SecretString"] == "two"
    assert len(there.describe_secret(SecretId="acme/spread")["Tags"]) == 2
    for call in [lambda: there.put_secret_value(SecretId="acme/spread", SecretString="x"),
                 lambda: there.update_secret(SecretId="acme/spread", Description="x"),
                 lambda: there.untag_resource(SecretId="acme/spread", TagKeys=["a"]),
                 lambda: there.delete_secret(SecretId="acme/spread", ForceDeleteWithoutRecovery=True),
                 lambda: there.remove_regions_from_replication(SecretId="acme/spread", RemoveReplicaRegions=["eu-west-1"]),
                 lambda: sm.delete_secret(SecretId="acme/spread"),
                 lambda: sm.remove_regions_from_replication(SecretId="acme/spread", RemoveReplicaRegions=["eu-west-2"])]:
        with refused("InvalidParameterException"):
            call()
    key = client("kms", region="eu-west-1").create_key()["KeyMetadata"]["Arn"]
    there.update_secret(SecretId="acme/spread", KmsKeyId=key)
    assert there.describe_secret(SecretId="acme/spread")["KmsKeyId"] == key
    assert sm.describe_secret(SecretId="acme/spread")["ReplicationStatus"][0]["KmsKeyId"] == key
    sm.update_secret(SecretId="acme/spread", Description="d")
    copy = there.describe_secret(SecretId="acme/spread")
    assert (copy["KmsKeyId"], copy["Description"]) == (key, "d")
    left = sm.remove_regions_from_replication(SecretId="acme/spread", RemoveReplicaRegions=["eu-west-1"])
    assert left["ReplicationStatus"] == []
    with refused("ResourceNotFoundException"):
        there.describe_secret(SecretId="acme/spread")
    shown = sm.describe_secret(SecretId="acme/spread")
    assert "ReplicationStatus" not in shown and "PrimaryRegion" not in shown
    sm.delete_secret(SecretId="acme/spread", ForceDeleteWithoutRecovery=True)


def test_replicas_that_fail(sm, secret, client, later, refused):
    there = client("secretsmanager", region="eu-west-1")
    there.create_secret(Name="acme/token", SecretString="other")
    sm.replicate_secret_to_regions(SecretId="acme/token", AddReplicaRegions=[
        {"Region": "eu-west-1"}, {"Region": "eu-west-2", "KmsKeyId": "alias/none"}, {"Region": "us-west-2"}])
    later(60)
    status = {one["Region"]: one for one in sm.describe_secret(SecretId="acme/token")["ReplicationStatus"]}
    assert [status[region]["Status"] for region in ["eu-west-1", "eu-west-2", "us-west-2"]] == [
        "Failed", "Failed", "InSync"]
    assert status["eu-west-1"]["StatusMessage"] == "Secret with this name already exists in this region"
    assert "alias/none" in status["eu-west-2"]["StatusMessage"]
    assert there.get_secret_value(SecretId="acme/token")["SecretString"] == "other"
    again = sm.replicate_secret_to_regions(SecretId="acme/token", AddReplicaRegions=[{"Region": "eu-west-1"}],
                                           ForceOverwriteReplicaSecret=True)
    assert again["ReplicationStatus"][-1]["Status"] == "InProgress"
    assert there.get_secret_value(SecretId="acme/token")["SecretString"] == "one"
    for region in ["us-east-1", "us-west-2", "mars-north-1"]:
        with refused("InvalidParameterException"):
            sm.replicate_secret_to_regions(SecretId="acme/token", AddReplicaRegions=[{"Region": region}])
    with refused("InvalidParameterException"):
        sm.create_secret(Name="three", AddReplicaRegions=[{"Region": "us-east-1"}])
    with refused("ResourceNotFoundException"):
        sm.replicate_secret_to_regions(SecretId="none", AddReplicaRegions=[{"Region": "eu-west-1"}])
    sm.remove_regions_from_replication(SecretId="acme/token",
                                       RemoveReplicaRegions=["eu-west-1", "eu-west-2", "us-west-2"])
    sm.delete_secret(SecretId="acme/token", ForceDeleteWithoutRecovery=True)
