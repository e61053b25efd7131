"""The Resource Groups Tagging API, by unmodified boto3, and beside moto."""

import boto3
import pytest
from botocore.exceptions import ClientError


def code(error):
    return error.value.response["Error"]["Code"]


def arns(answer):
    return sorted(found["ResourceARN"] for found in answer["ResourceTagMappingList"])


def fill(client, bucket):
    """Makes some tagged things of several services; returns their ARNs by service."""
    kms, s3, logs = client("kms"), client("s3"), client("logs")
    key = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "ml"}, {"TagKey": "tier", "TagValue": "1"}])
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "hpc"}]})
    logs.create_log_group(logGroupName="/tagging/a", tags={"team": "ml"})
    logs.create_log_group(logGroupName="/tagging/untagged")
    group = logs.describe_log_groups(logGroupNamePrefix="/tagging/a")["logGroups"][0]["arn"].removesuffix(":*")
    return {"kms": key["KeyMetadata"]["Arn"], "s3": f"arn:aws:s3:::{bucket}", "logs": group}


def answers(client, made):
    """What the API says of what `fill` made, with ARNs as their services."""
    tagging, names = client("resourcegroupstaggingapi"), {arn: name for name, arn in made.items()}

    def ask(**question):
        pages = tagging.get_paginator("get_resources").paginate(**question)
        found = [row for page in pages for row in page["ResourceTagMappingList"]]
        plain = [(row["ResourceARN"].removesuffix(":*"), row["Tags"]) for row in found]
        return sorted((names[arn], sorted((tag["Key"], tag["Value"]) for tag in tags))
                      for arn, tags in plain if arn in names)

    return {
        "all": ask(),
        "one key": ask(TagFilters=[{"Key": "tier"}]),
        "one value": ask(TagFilters=[{"Key": "team", "Values": ["ml"]}]),
        "either value": ask(TagFilters=[{"Key": "team", "Values": ["ml", "hpc"]}]),
        "both keys": ask(TagFilters=[{"Key": "team", "Values": ["ml"]}, {"Key": "tier", "Values": ["1"]}]),
        "nobody": ask(TagFilters=[{"Key": "team", "Values": ["nobody"]}]),
        "one service": ask(ResourceTypeFilters=["kms"]),
        "one type": ask(ResourceTypeFilters=["kms:key"], TagFilters=[{"Key": "team"}]),
    }


def test_every_service_is_searched_as_on_moto(client, account, moto):
    def theirs(service):
        return boto3.client(service, endpoint_url=moto, region_name="us-east-1", aws_access_key_id="123456789012",
                            aws_secret_access_key="any")

    bucket = f"tagging-{account}"
    ours = answers(client, fill(client, bucket))
    assert ours == answers(theirs, fill(theirs, bucket))
    assert [name for name, _ in ours["all"]] == ["kms", "logs", "s3"]
    assert ours["both keys"] == [("kms", [("team", "ml"), ("tier", "1")])]


def test_pages_and_their_tokens(client):
    logs, tagging = client("logs"), client("resourcegroupstaggingapi")
    for n in range(7):
        logs.create_log_group(logGroupName=f"/page/{n}", tags={"page": "yes"})
    question = {"TagFilters": [{"Key": "page"}], "ResourcesPerPage": 3}
    first = tagging.get_resources(**question)
    assert len(first["ResourceTagMappingList"]) == 3 and first["PaginationToken"]
    pages = tagging.get_paginator("get_resources").paginate(**question)
    sizes = [len(page["ResourceTagMappingList"]) for page in pages]
    assert sizes == [3, 3, 1]
    last = tagging.get_resources(TagFilters=[{"Key": "page"}], ResourcesPerPage=100)
    assert len(arns(last)) == 7 and last["PaginationToken"] == ""
    with pytest.raises(ClientError) as error:
        tagging.get_resources(PaginationToken="not-a-token", **question)
    assert code(error) in ("InvalidParameterException", "PaginationTokenExpiredException")
    with pytest.raises(ClientError) as error:
        tagging.get_resources(ResourcesPerPage=101)
    assert code(error) == "InvalidParameterException"


def test_arns_go_with_no_filter(client, account):
    made = fill(client, f"tagging-{account}")
    tagging = client("resourcegroupstaggingapi")
    assert arns(tagging.get_resources(ResourceARNList=[made["kms"]])) == [made["kms"]]
    for other in ({"TagFilters": [{"Key": "team"}]}, {"ResourceTypeFilters": ["kms"]}):
        with pytest.raises(ClientError) as error:
            tagging.get_resources(ResourceARNList=[made["kms"]], **other)
        assert code(error) == "InvalidParameterException"


def test_what_has_no_region_shows_in_one(client):
    iam = client("iam")
    tags = [{"Key": "global", "Value": "yes"}]
    document = '{"Version": "2012-10-17", "Statement": []}'
    policy = iam.create_policy(
        PolicyName="tagging", Tags=tags,
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')
    profile = iam.create_instance_profile(InstanceProfileName="tagging", Tags=tags)
    trust = document.replace("[]", '[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]')
    iam.create_role(RoleName="tagging", Tags=tags, AssumeRolePolicyDocument=trust)
    filters = [{"Key": "global"}]
    # GetResources does not support IAM's users and roles.
    both = sorted([policy["Policy"]["Arn"], profile["InstanceProfile"]["Arn"]])
    assert arns(client("resourcegroupstaggingapi").get_resources(TagFilters=filters)) == both
    one = client("resourcegroupstaggingapi").get_resources(TagFilters=filters, ResourceTypeFilters=["iam:policy"])
    assert arns(one) == [policy["Policy"]["Arn"]]
    elsewhere = client("resourcegroupstaggingapi", region="eu-west-1")
    assert arns(elsewhere.get_resources(TagFilters=filters)) == []


def test_keys_and_values(client, account):
    fill(client, f"tagging-{account}")
    tagging = client("resourcegroupstaggingapi")
    assert {"team", "tier"} <= set(tagging.get_tag_keys()["TagKeys"])
    assert tagging.get_tag_values(Key="team")["TagValues"] == ["hpc", "ml"]


def test_tags_are_set_and_taken_away_for_many(client, account):
    made = fill(client, f"tagging-{account}")
    tagging, missing = client("resourcegroupstaggingapi"), "arn:aws:s3:::tagging-test-missing"
    failed = tagging.tag_resources(ResourceARNList=[*made.values(), missing], Tags={"new": "1"})["FailedResourcesMap"]
    assert set(failed) == {missing}
    assert arns(tagging.get_resources(TagFilters=[{"Key": "new"}])) == sorted(made.values())
    assert client("logs").list_tags_for_resource(resourceArn=made["logs"])["tags"] == {"team": "ml", "new": "1"}
    tagging.untag_resources(ResourceARNList=[made["logs"]], TagKeys=["new"])
    assert client("logs").list_tags_for_resource(resourceArn=made["logs"])["tags"] == {"team": "ml"}


def test_it_is_behind_like_every_list(client, server, account):
    logs, tagging = client("logs"), client("resourcegroupstaggingapi")
    logs.create_log_group(logGroupName="/lag/a", tags={"lag": "old"})
    server.admin("faults", {"list_lag_s": 60})
    try:
        group = f"arn:aws:logs:us-east-1:{account}:log-group:/lag/a"
        logs.tag_resource(resourceArn=group, tags={"lag": "new"})
        assert logs.list_tags_for_resource(resourceArn=group)["tags"] == {"lag": "new"}
        assert arns(tagging.get_resources(TagFilters=[{"Key": "lag", "Values": ["old"]}])) == [group]
        server.admin("clock", {"advance_s": 120})
        assert arns(tagging.get_resources(TagFilters=[{"Key": "lag", "Values": ["new"]}])) == [group]
    finally:
        server.admin("faults", {})
