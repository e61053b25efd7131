"""CloudTrail: every simulated operation, success and error."""

import json

import boto3
import pytest


@pytest.fixture
def trail(client):
    return client("cloudtrail")


def bucket_policy(bucket, account, prefix=""):
    service = {"Service": "cloudtrail.amazonaws.com"}
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{bucket}"},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
         "Resource": f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/{account}/*",
         "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}},
    ]})


@pytest.fixture
def bucket(client, account):
    s3, name = client("s3"), f"trail-{account}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=bucket_policy(name, account))
    return name


@pytest.fixture
def made(trail, bucket):
    return trail.create_trail(Name="main", S3BucketName=bucket, IsMultiRegionTrail=True, EnableLogFileValidation=True,
                              TagsList=[{"Key": "owner", "Value": "sec"}])


def test_create_and_read(trail, made, bucket, account, client, refused):
    assert made["TrailARN"] == f"arn:aws:cloudtrail:us-east-1:{account}:trail/main"
    assert made["LogFileValidationEnabled"] is True and made["IsMultiRegionTrail"] is True
    shown = trail.get_trail(Name="main")["Trail"]
    assert (shown["HomeRegion"], shown["HasCustomEventSelectors"], shown["HasInsightSelectors"]) == (
        "us-east-1", False, False)
    assert [one["Name"] for one in trail.describe_trails()["trailList"]] == ["main"]
    assert trail.describe_trails(trailNameList=["none", made["TrailARN"]])["trailList"] == [shown]
    with refused("TrailAlreadyExistsException"):
        trail.create_trail(Name="main", S3BucketName=bucket)
    for bad in ["ab", "-bad", "a--b"]:
        with refused("InvalidTrailNameException"):
            trail.create_trail(Name=bad, S3BucketName=bucket)
    with refused("TrailNotFoundException"):
        trail.get_trail(Name="none")
    with refused("CloudTrailARNInvalidException"):
        trail.get_trail(Name="arn:aws:s3:::bucket")


def test_the_bucket_is_tested(trail, bucket, client, account, refused):
    s3 = client("s3")
    with refused("S3BucketDoesNotExistException"):
        trail.create_trail(Name="main", S3BucketName="none-here")
    with refused("InsufficientS3BucketPolicyException"):
        trail.create_trail(Name="main", S3BucketName=bucket, S3KeyPrefix="elsewhere")
    s3.delete_bucket_policy(Bucket=bucket)
    with refused("InsufficientS3BucketPolicyException"):
        trail.create_trail(Name="main", S3BucketName=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket, account, "audit/"))
    trail.create_trail(Name="main", S3BucketName=bucket, S3KeyPrefix="audit")
    with refused("InsufficientS3BucketPolicyException"):
        trail.update_trail(Name="main", S3KeyPrefix="")


def test_key_and_logs_are_tested(trail, made, client, account, refused):
    kms = client("kms")
    closed = kms.create_key()["KeyMetadata"]["Arn"]
    with refused("InsufficientEncryptionPolicyException"):
        trail.update_trail(Name="main", KmsKeyId=closed)
    with refused("KmsKeyNotFoundException"):
        trail.update_trail(Name="main", KmsKeyId="alias/none")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "kms:GenerateDataKey*",
         "Resource": "*", "Condition": {"StringLike": {
             "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{account}:trail/*"}}}]})
    key = kms.create_key(Policy=policy)["KeyMetadata"]
    assert trail.update_trail(Name="main", KmsKeyId=key["KeyId"])["KmsKeyId"] == key["Arn"]
    kms.disable_key(KeyId=key["KeyId"])
    with refused("KmsKeyDisabledException"):
        trail.update_trail(Name="main", KmsKeyId=key["Arn"])
    assert "KmsKeyId" not in trail.update_trail(Name="main", KmsKeyId="")
    client("logs").create_log_group(logGroupName="/trail")
    group = f"arn:aws:logs:us-east-1:{account}:log-group:/trail:*"
    role = f"arn:aws:iam::{account}:role/none"
    with refused("InvalidCloudWatchLogsRoleArnException"):
        trail.update_trail(Name="main", CloudWatchLogsLogGroupArn=group)
    with refused("InvalidCloudWatchLogsLogGroupArnException"):
        trail.update_trail(Name="main", CloudWatchLogsRoleArn=role)
    with refused("InvalidCloudWatchLogsLogGroupArnException"):
        trail.update_trail(Name="main", CloudWatchLogsLogGroupArn=group.replace("/trail", "/none"), CloudWatchLogsRoleArn=role)


def test_organization(trail, made, client, bucket, account, server, refused):
    server.admin("faults", {"organization": "o-example0001"})
    try:
        with refused("InsufficientS3BucketPolicyException"):
            trail.update_trail(Name="main", IsOrganizationTrail=True)
        policy = json.loads(bucket_policy(bucket, account, ""))
        policy["Statement"].append({"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
                                    "Action": "s3:PutObject",
                                    "Resource": f"arn:aws:s3:::{bucket}/AWSLogs/o-example0001/*"})
        client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        assert trail.update_trail(Name="main", IsOrganizationTrail=True)["IsOrganizationTrail"] is True
        assert trail.get_trail(Name="main")["Trail"]["IsOrganizationTrail"] is True
        assert trail.update_trail(Name="main", IsOrganizationTrail=False)["IsOrganizationTrail"] is False
    finally:
        server.admin("faults", {})


def test_update_and_delete(trail, made, refused):
    changed = trail.update_trail(Name="main", IsMultiRegionTrail=False, IncludeGlobalServiceEvents=False,
                                 EnableLogFileValidation=False, SnsTopicName="topic")
    assert (changed["IsMultiRegionTrail"], changed["LogFileValidationEnabled"]) == (False, False)
    assert changed["SnsTopicARN"].endswith(":topic")
    assert "SnsTopicARN" not in trail.update_trail(Name="main", SnsTopicName="")
    with refused("InvalidParameterCombinationException"):
        trail.update_trail(Name="main", IsMultiRegionTrail=True, IncludeGlobalServiceEvents=False)
    with refused("OrganizationsNotInUseException"):
        trail.update_trail(Name="main", IsOrganizationTrail=True)
    with refused("InvalidSnsTopicNameException"):
        trail.update_trail(Name="main", SnsTopicName="no topic")
    with refused("TrailNotFoundException"):
        trail.update_trail(Name="none")
    trail.delete_trail(Name=made["TrailARN"])
    with refused("TrailNotFoundException"):
        trail.delete_trail(Name="main")


def test_regions_and_quota(trail, made, client, bucket, account, refused):
    other = client("cloudtrail", region="eu-west-1")
    assert [one["HomeRegion"] for one in other.describe_trails()["trailList"]] == ["us-east-1"]
    assert other.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert other.get_trail_status(Name=made["TrailARN"])["IsLogging"] is False
    with refused("InvalidHomeRegionException"):
        other.start_logging(Name=made["TrailARN"])
    with refused("TrailNotFoundException"):
        other.get_trail(Name="main")
    assert [one["HomeRegion"] for one in other.list_trails()["Trails"]] == ["us-east-1"]
    for number in range(4):
        trail.create_trail(Name=f"more{number}", S3BucketName=bucket)
    with refused("MaximumNumberOfTrailsExceededException"):
        trail.create_trail(Name="toomany", S3BucketName=bucket)


def test_logging(trail, made, refused):
    assert trail.get_trail_status(Name="main")["IsLogging"] is False
    trail.start_logging(Name="main")
    status = trail.get_trail_status(Name="main")
    assert status["IsLogging"] is True and status["StartLoggingTime"]
    trail.stop_logging(Name="main")
    assert trail.get_trail_status(Name="main")["IsLogging"] is False
    for call in [trail.start_logging, trail.stop_logging, trail.get_trail_status]:
        with refused("TrailNotFoundException"):
            call(Name="none")


def test_event_selectors(trail, made, refused):
    default = trail.get_event_selectors(TrailName="main")["EventSelectors"]
    assert default == [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [],
                        "ExcludeManagementEventSources": []}]
    data = [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/"]}]
    trail.put_event_selectors(TrailName="main", EventSelectors=[{"ReadWriteType": "WriteOnly", "DataResources": data}])
    shown = trail.get_event_selectors(TrailName="main")["EventSelectors"][0]
    assert (shown["ReadWriteType"], shown["DataResources"]) == ("WriteOnly", data)
    assert trail.get_trail(Name="main")["Trail"]["HasCustomEventSelectors"] is True
    advanced = [{"Name": "reads", "FieldSelectors": [
        {"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::logs/"]}]}]
    trail.put_event_selectors(TrailName="main", AdvancedEventSelectors=advanced)
    answer = trail.get_event_selectors(TrailName="main")
    assert answer["AdvancedEventSelectors"] == advanced and "EventSelectors" not in answer
    for bad in [
        {"EventSelectors": [{}], "AdvancedEventSelectors": advanced},
        {},
        {"EventSelectors": [{"DataResources": [{"Type": "AWS::EC2::Instance", "Values": ["arn:x"]}]}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "readOnly", "Equals": ["true"]}]}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]},
                                                        {"Field": "colour", "Equals": ["red"]}]}]},
    ]:
        with refused("InvalidEventSelectorsException"):
            trail.put_event_selectors(TrailName="main", **bad)
    for call in [trail.get_event_selectors, trail.put_event_selectors]:
        with refused("TrailNotFoundException"):
            call(TrailName="none", **({"EventSelectors": [{}]} if call == trail.put_event_selectors else {}))


def test_insights(trail, made, refused):
    with refused("InsightNotEnabledException"):
        trail.get_insight_selectors(TrailName="main")
    kinds = [{"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight"}]
    trail.put_insight_selectors(TrailName="main", InsightSelectors=kinds)
    assert trail.get_insight_selectors(TrailName="main")["InsightSelectors"] == kinds
    assert trail.get_trail(Name="main")["Trail"]["HasInsightSelectors"] is True
    trail.put_insight_selectors(TrailName="main", InsightSelectors=[])
    with refused("InsightNotEnabledException"):
        trail.get_insight_selectors(TrailName="main")
    trail.put_event_selectors(TrailName="main", EventSelectors=[{"ReadWriteType": "ReadOnly"}])
    with refused("InvalidInsightSelectorsException"):
        trail.put_insight_selectors(TrailName="main", InsightSelectors=kinds)
    with refused("TrailNotFoundException"):
        trail.put_insight_selectors(TrailName="none", InsightSelectors=kinds)


def test_tags(trail, made, client, refused):
    arn = made["TrailARN"]
    trail.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "1"}])
    trail.remove_tags(ResourceId=arn, TagsList=[{"Key": "owner"}])
    [listed] = trail.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    assert (listed["ResourceId"], listed["TagsList"]) == (arn, [{"Key": "a", "Value": "1"}])
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "a"}])
    assert [one["ResourceARN"] for one in found["ResourceTagMappingList"]] == [arn]
    with refused("TagsLimitExceededException"):
        trail.add_tags(ResourceId=arn, TagsList=[{"Key": f"k{n}", "Value": "v"} for n in range(50)])
    with refused("CloudTrailARNInvalidException"):
        trail.list_tags(ResourceIdList=["main"])
    with refused("ResourceNotFoundException"):
        trail.add_tags(ResourceId=arn + "x", TagsList=[{"Key": "a", "Value": "1"}])
    with refused("ResourceNotFoundException"):
        trail.remove_tags(ResourceId=arn + "x", TagsList=[{"Key": "a"}])


def test_lookup(trail, client, bucket, refused):
    client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("NoSuchBucket"):
        client("s3").get_bucket_policy(Bucket="none-here")

    def events(**attribute):
        found = [{"AttributeKey": key, "AttributeValue": value} for key, value in attribute.items()]
        pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=found, PaginationConfig={"PageSize": 1})
        return [event for page in pages for event in page["Events"]]

    names = [event["EventName"] for event in events()]
    assert "CreateBucket" in names and "PutObject" not in names
    [made] = events(EventName="CreateBucket")
    whole = json.loads(made["CloudTrailEvent"])
    assert (made["EventSource"], made["ReadOnly"], made["Username"]) == ("s3.amazonaws.com", "false", "sandbox")
    assert whole["eventName"] == "CreateBucket" and whole["userIdentity"]["arn"].endswith(":user/sandbox")
    [failed] = [one for one in events(EventName="GetBucketPolicy")]
    assert json.loads(failed["CloudTrailEvent"])["errorCode"] == "NoSuchBucket"
    assert {one["EventName"] for one in events(ResourceName=bucket)} >= {"CreateBucket", "PutBucketPolicy"}
    assert {"ResourceName": bucket, "ResourceType": "AWS::S3::Bucket"} in made["Resources"]
    assert whole["userIdentity"]["type"] == "IAMUser" and whole["userIdentity"]["userName"] == "sandbox"
    assert "Boto3" in whole["userAgent"] and whole["sourceIPAddress"] and "errorCode" not in whole
    assert {one["ReadOnly"] for one in events(ReadOnly="false")} == {"false"}
    [same] = events(EventId=made["EventId"])
    assert same["EventTime"] == made["EventTime"] and same["EventTime"].microsecond == 0
    assert all("AWS::S3::Bucket" in {it["ResourceType"] for it in one["Resources"]} for one in events(ResourceType="AWS::S3::Bucket"))
    with refused("InvalidParameterException"):
        trail.lookup_events(MaxResults=51)
    with refused("InvalidTimeRangeException"):
        trail.lookup_events(StartTime=2_000_000_000_000 / 1000, EndTime=1)
    with refused("InvalidLookupAttributesException"):
        two = [{"AttributeKey": "EventName", "AttributeValue": "a"}, {"AttributeKey": "Username", "AttributeValue": "b"}]
        trail.lookup_events(LookupAttributes=two)
    with refused("InvalidNextTokenException"):
        trail.lookup_events(NextToken="bad")


def test_lookup_names_resources_as_the_services_do(trail, client, lookup_by_name):
    key = client("kms").create_key()["KeyMetadata"]
    client("kms").disable_key(KeyId=key["KeyId"])
    # Events of KMS carry the ARN of the key, and not its id.
    assert lookup_by_name(key["Arn"]) == ["DisableKey", "CreateKey"]
    assert lookup_by_name(key["KeyId"]) == []
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = client("ec2").create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert lookup_by_name(group) == ["AuthorizeSecurityGroupIngress", "CreateSecurityGroup"]


def test_lookup_of_a_role_session(trail, client, server, lookup_by_name):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]}
    role = client("iam").create_role(RoleName="night", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    session = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="shift")["Credentials"]
    night = boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"], aws_session_token=session["SessionToken"],
    )
    night.create_bucket(Bucket="made-at-night")
    found = trail.lookup_events(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "shift"}])["Events"]
    whole = json.loads(found[0]["CloudTrailEvent"])
    assert found[0]["EventName"] == "CreateBucket" and whole["userIdentity"]["type"] == "AssumedRole"
    assert whole["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == role["Arn"]
    # IAM has no regions: its events are kept in one.
    assert lookup_by_name("night") == ["CreateRole"]


@pytest.fixture
def lookup_by_name(trail):
    def names(name):
        found = [{"AttributeKey": "ResourceName", "AttributeValue": name}]
        pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=found)
        return [event["EventName"] for page in pages for event in page["Events"] if event["ReadOnly"] == "false"]

    return names
