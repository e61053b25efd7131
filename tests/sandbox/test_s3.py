"""S3: every simulated operation, success and error."""

import base64
import datetime
import hashlib
import io
import json
import urllib.error
import urllib.request

import pytest
from boto3.s3.transfer import TransferConfig


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def unchecked(client):
    """A client that sends what boto3 would refuse by itself."""
    return client("s3", parameter_validation=False)


@pytest.fixture
def bucket(s3, account):
    name = f"data-{account}"
    s3.create_bucket(Bucket=name)
    return name


def put(s3, bucket, *keys, **more):
    return [s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), **more) for key in keys]


def body(answer):
    return answer["Body"].read()


# Buckets


def test_bucket_lives_and_dies(s3, bucket, refused):
    head = s3.head_bucket(Bucket=bucket)
    assert head["BucketRegion"] == "us-east-1"
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [bucket]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)  # this region answers success again
    put(s3, bucket, "k")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        s3.get_bucket_location(Bucket=bucket)


def test_a_new_bucket_is_closed_and_encrypted(s3, bucket):
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert rule["BucketKeyEnabled"] is False
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_bucket_names(unchecked, client, s3, bucket, refused):
    for bad in ["ab", "Upper", "under_score", "10.0.0.1", "xn--x", "a..b"]:
        with refused("InvalidBucketName", 400):
            unchecked.create_bucket(Bucket=bad)
    other = client("s3", account="999999999999")
    with refused("BucketAlreadyExists", 409):
        other.create_bucket(Bucket=bucket)
    with refused("403", 403):
        other.head_bucket(Bucket=bucket)
    with refused("AccessDenied", 403):
        other.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied", 403):
        s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="999999999999")


def test_regions(client, account, refused):
    ireland = client("s3", region="eu-west-1")
    name = f"ireland-{account}"
    with refused("IllegalLocationConstraintException", 400):
        ireland.create_bucket(Bucket=name)
    there = {"LocationConstraint": "eu-west-1"}
    ireland.create_bucket(Bucket=name, CreateBucketConfiguration=there)
    with refused("BucketAlreadyOwnedByYou", 409):
        ireland.create_bucket(Bucket=name, CreateBucketConfiguration=there)
    assert ireland.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    # boto3 is told the right region and follows.
    virginia = client("s3")
    assert virginia.list_objects_v2(Bucket=name)["KeyCount"] == 0
    assert [one["BucketRegion"] for one in virginia.list_buckets(BucketRegion="eu-west-1")["Buckets"]] == ["eu-west-1"]
    assert virginia.list_buckets(BucketRegion="us-east-1")["Buckets"] == []


def test_list_buckets_pages(s3, account):
    for number in range(5):
        s3.create_bucket(Bucket=f"b{number}-{account}")
    pages = list(s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Buckets"]) for page in pages] == [2, 2, 1]
    assert len(s3.list_buckets(Prefix="b3")["Buckets"]) == 1


def test_tags_from_the_create_call(s3, client, account, refused):
    name = f"tagged-{account}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": [{"Key": "owner", "Value": "ml"}]})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "owner", "Value": "ml"}]
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "owner"}])
    assert [one["ResourceARN"] for one in found["ResourceTagMappingList"]] == [f"arn:aws:s3:::{name}"]
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "b"}]
    with refused("InvalidTag", 400):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": ""}] * 2})
    s3.delete_bucket_tagging(Bucket=name)
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=name)


# Settings


def test_encryption(s3, bucket, refused):
    def put_rule(**default):
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    put_rule(SSEAlgorithm="aws:kms", KMSMasterKeyID="arn:aws:kms:us-east-1:111122223333:key/k")
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith("key/k")
    assert rule["BucketKeyEnabled"] is True
    with refused("InvalidArgument", 400):
        put_rule(SSEAlgorithm="AES256", KMSMasterKeyID="k")
    with refused("MalformedXML", 400):
        put_rule(SSEAlgorithm="ROT13")
    s3.delete_bucket_encryption(Bucket=bucket)
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_policy_and_public_access(s3, bucket, account, refused):
    def policy(**changes):
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "s3:GetObject",
                     "Resource": f"arn:aws:s3:::{bucket}/*", **changes}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy()
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
    for bad in ["{", "[]", policy(Effect="Maybe"), policy(Resource="arn:aws:s3:::other/*"), policy(Action="ec2:*"),
                policy(Principal={"AWS": "nobody"}), json.dumps({"Version": "1"})]:
        with refused("MalformedPolicy", 400):
            s3.put_bucket_policy(Bucket=bucket, Policy=bad)
    with refused("AccessDenied", 403):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(Principal="*"))
    narrow = policy(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=narrow)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == {"BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": False,
                     "RestrictPublicBuckets": False}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(Principal="*"))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy_status(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        s3.get_public_access_block(Bucket=bucket)


def test_ownership_and_lists(s3, bucket, refused):
    owner = s3.get_bucket_acl(Bucket=bucket)
    assert [grant["Permission"] for grant in owner["Grants"]] == ["FULL_CONTROL"]
    with refused("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket=bucket, ACL="authenticated-read")
    with refused("AccessControlListNotSupported", 400):
        s3.put_object(Bucket=bucket, Key="k", ACL="public-read")
    preferred = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=preferred)
    with refused("AccessDenied", 403):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_bucket_acl(Bucket=bucket, ACL="authenticated-read")
    assert len(s3.get_bucket_acl(Bucket=bucket)["Grants"]) == 2
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    put(s3, bucket, "k")
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"][0]["Permission"] == "FULL_CONTROL"
    with refused("NoSuchKey", 404):
        s3.get_object_acl(Bucket=bucket, Key="none")
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    with refused("OwnershipControlsNotFoundError", 404):
        s3.get_bucket_ownership_controls(Bucket=bucket)


def test_lifecycle(s3, bucket, refused):
    def put_rules(*rules):
        configuration = {"Rules": [{"Status": "Enabled", "Filter": {"Prefix": ""}, **rule} for rule in rules]}
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)

    with refused("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    put_rules({"ID": "mine", "Expiration": {"Days": 7}},
              {"Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}},
               "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]})
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    first, second = answer["Rules"]
    assert first == {"ID": "mine", "Expiration": {"Days": 7}, "Filter": {"Prefix": ""}, "Status": "Enabled"}
    assert second["ID"] and second["Filter"]["And"]["Tags"] == [{"Key": "k", "Value": "v"}]
    for code, rule in [
        ("InvalidArgument", {"Expiration": {"Days": 0}}),
        ("InvalidArgument", {"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}),
        ("InvalidArgument", {"Expiration": {"Date": datetime.datetime(2030, 1, 1, 5)}}),
        ("InvalidArgument", {"Expiration": {"Days": 5}, "Transitions": [{"Days": 9, "StorageClass": "GLACIER"}]}),
        ("InvalidRequest", {}),
        ("MalformedXML", {"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}}),
        ("MalformedXML", {"Prefix": "a", "Expiration": {"Days": 1}}),
    ]:
        with refused(code, 400):
            put_rules(rule)
    with refused("InvalidArgument", 400):
        put_rules({"ID": "a", "Expiration": {"Days": 1}}, {"ID": "a", "Expiration": {"Days": 2}})
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_logging(s3, client, bucket, account, refused):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    logging = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "log/"}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=logging)
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == logging["LoggingEnabled"]
    with refused("InvalidTargetBucketForLogging", 400):
        s3.put_bucket_logging(
            Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "none-here", "TargetPrefix": ""}})
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_cors_notifications_and_the_rest(s3, bucket, refused):
    with refused("NoSuchCORSConfiguration", 404):
        s3.get_bucket_cors(Bucket=bucket)
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://*.example.com"], "MaxAgeSeconds": 60}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    with refused("InvalidRequest", 400):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{**rule, "AllowedMethods": ["PATCH"]}]})
    s3.delete_bucket_cors(Bucket=bucket)
    with refused("NoSuchCORSConfiguration", 404):
        s3.get_bucket_cors(Bucket=bucket)
    bridge = {"EventBridgeConfiguration": {}}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=bridge)
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    with refused("NoSuchWebsiteConfiguration", 404):
        s3.get_bucket_website(Bucket=bucket)


def test_acceleration(s3, bucket, account, refused):
    def put_status(name, status):
        s3.put_bucket_accelerate_configuration(Bucket=name, AccelerateConfiguration={"Status": status})

    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    for status in ["Enabled", "Suspended"]:
        put_status(bucket, status)
        assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == status
    with refused("MalformedXML", 400):
        put_status(bucket, "Off")
    with refused("MalformedXML", 400):
        s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={})
    dotted = f"with.dots.{account}"
    s3.create_bucket(Bucket=dotted)
    with refused("InvalidRequest", 400, "periods"):
        put_status(dotted, "Suspended")
    with refused("NoSuchBucket", 404):
        s3.get_bucket_accelerate_configuration(Bucket="none-here")


@pytest.fixture
def copies(s3, account):
    """A bucket to replicate to."""
    name = f"copies-{account}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def test_replication(s3, bucket, copies, account, refused):
    role = f"arn:aws:iam::{account}:role/copier"  # S3 looks for it when it copies
    rule = {"Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{copies}"}}

    def put_rules(*rules, role=role):
        s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": list(rules)})

    def set_versioning(name, status):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})

    with refused("ReplicationConfigurationNotFoundError", 404):
        s3.get_bucket_replication(Bucket=bucket)
    with refused("InvalidRequest", 400, "Versioning must be 'Enabled'"):
        put_rules(rule)
    set_versioning(bucket, "Enabled")
    put_rules(rule, {**rule, "ID": "mine", "Priority": 2, "Filter": {"Tag": {"Key": "k", "Value": "v"}}})
    kept = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    assert kept["Role"] == role
    assert kept["Rules"][0]["ID"] and kept["Rules"][0] == {**rule, "ID": kept["Rules"][0]["ID"]}
    assert kept["Rules"][1]["ID"] == "mine"
    with refused("InvalidBucketState", 409, "first delete the replication configuration"):
        set_versioning(bucket, "Suspended")
    set_versioning(copies, "Suspended")  # which stops the copying, and is not refused
    with refused("InvalidRequest", 400, "Destination bucket must have versioning enabled"):
        put_rules(rule)
    s3.delete_bucket_replication(Bucket=bucket)
    s3.delete_bucket_replication(Bucket=bucket)
    with refused("ReplicationConfigurationNotFoundError", 404):
        s3.get_bucket_replication(Bucket=bucket)
    set_versioning(bucket, "Suspended")
    with refused("NoSuchBucket", 404):
        s3.delete_bucket_replication(Bucket="none-here")


def test_replication_rules(s3, client, bucket, copies, account, refused):
    for name in [bucket, copies]:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    other = "999999999999"
    foreign = client("s3", account=other)
    foreign.create_bucket(Bucket=f"foreign-{account}")
    foreign.put_bucket_versioning(Bucket=f"foreign-{account}", VersioningConfiguration={"Status": "Enabled"})
    on, off = {"Status": "Enabled"}, {"Status": "Disabled"}
    minutes = {"Minutes": 15}
    tag = {"Key": "k", "Value": "v"}
    role = f"arn:aws:iam::{account}:role/copier"

    def rule(destination=None, name=copies, **more):
        found = {"Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": off,
                 "Destination": {"Bucket": f"arn:aws:s3:::{name}", **(destination or {})}, **more}
        return {key: value for key, value in found.items() if value is not None}

    def put_rules(*rules, role=role):
        s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": list(rules)})

    kms = {"SourceSelectionCriteria": {"SseKmsEncryptedObjects": on}}
    key = {"EncryptionConfiguration": {"ReplicaKmsKeyID": "arn:aws:kms:us-east-1:111122223333:key/k"}}
    timed = {"ReplicationTime": {"Status": "Enabled", "Time": minutes}, "Metrics": {**on, "EventThreshold": minutes}}
    owned = {"Account": other, "AccessControlTranslation": {"Owner": "Destination"}}
    for good in [
        rule({"StorageClass": "GLACIER_IR", "Metrics": on}),
        rule(key, **kms),
        rule({"EncryptionConfiguration": {"UseSourceMultiRegionKey": on}}, **kms),
        rule(timed, SourceSelectionCriteria={"ReplicaModifications": on}),
        rule(owned, name=f"foreign-{account}"),
        rule(Filter={"And": {"Prefix": "a", "Tags": [tag]}}),
        rule(Filter={"Not": {"Prefix": "a"}}, DeleteMarkerReplication=on),
        rule(Filter={}),
        rule(Filter=None, Priority=None, DeleteMarkerReplication=None, Prefix="a"),
    ]:
        put_rules(good)
        kept = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"][0]
        assert {**good, "ID": kept["ID"]} == kept
    for code, bad in [
        ("InvalidRequest", rule(Priority=None)),
        ("InvalidRequest", rule(Priority=-1)),
        ("InvalidRequest", rule(DeleteMarkerReplication=None)),
        ("InvalidRequest", rule(Filter=None, Prefix="a")),
        ("MalformedXML", rule(Prefix="a")),
        ("MalformedXML", rule(Filter={"Prefix": "a", "Tag": tag})),
        ("MalformedXML", rule(ExistingObjectReplication=on)),
        ("InvalidRequest", rule(Filter={"Tag": tag}, DeleteMarkerReplication=on)),
        ("InvalidRequest", rule(Filter={"Not": {"Tag": tag}}, DeleteMarkerReplication=on)),
        ("InvalidRequest", rule(SourceSelectionCriteria={})),
        ("InvalidRequest", rule(**kms)),
        ("InvalidRequest", rule(key)),
        ("InvalidRequest", rule({"AccessControlTranslation": {"Owner": "Destination"}})),
        ("InvalidArgument", rule({"Account": other})),
        ("InvalidRequest", rule({"ReplicationTime": timed["ReplicationTime"]})),
        ("InvalidRequest", rule({**timed, "Metrics": off})),
        ("InvalidArgument", rule({**timed, "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 30}}})),
        ("InvalidArgument", rule({**timed, "Metrics": on})),
        ("InvalidArgument", rule({"Metrics": {**on, "EventThreshold": minutes}})),
        ("InvalidArgument", rule(ID="x" * 256)),
        ("InvalidArgument", rule(ID="ü")),
        ("InvalidRequest", rule(name=bucket)),
        ("InvalidRequest", rule(name="none-here")),
        ("InvalidArgument", rule({"Bucket": copies})),
    ]:
        with refused(code, 400):
            put_rules(bad)
    with refused("InvalidRequest", 400, "duplicate priority 1"):
        put_rules(rule(), rule())
    with refused("InvalidArgument", 400, "unique"):
        put_rules(rule(ID="a"), rule(ID="a", Priority=2))
    with refused("MalformedXML", 400):
        put_rules()
    with refused("InvalidArgument", 400):
        put_rules(rule(), role="copier")
    with refused("AccessDenied", 403):
        put_rules(rule(), role=f"arn:aws:iam::{other}:role/copier")


def test_intelligent_tiering(s3, bucket, refused):
    def tiers(**days):
        return [{"AccessTier": f"{tier}_ACCESS", "Days": count} for tier, count in days.items()]

    def put_tiers(tierings, id="cold", **more):
        configuration = {"Id": id, "Status": "Enabled", "Tierings": tierings, **more}
        s3.put_bucket_intelligent_tiering_configuration(
            Bucket=bucket, Id="cold" if id == "another" else id, IntelligentTieringConfiguration=configuration)
        return configuration

    def listed(**more):
        return s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket, **more)

    assert "IntelligentTieringConfigurationList" not in listed() and listed()["IsTruncated"] is False
    for method in [s3.get_bucket_intelligent_tiering_configuration, s3.delete_bucket_intelligent_tiering_configuration]:
        with refused("NoSuchConfiguration", 404):
            method(Bucket=bucket, Id="cold")
    put_tiers(tiers(ARCHIVE=90))
    kept = put_tiers(tiers(ARCHIVE=90, DEEP_ARCHIVE=180), Filter={"Prefix": "a"})  # takes the place of the first
    answer = s3.get_bucket_intelligent_tiering_configuration(Bucket=bucket, Id="cold")
    assert answer["IntelligentTieringConfiguration"] == kept
    assert listed()["IntelligentTieringConfigurationList"] == [kept]
    tag = {"Key": "k", "Value": "v"}
    put_tiers(tiers(DEEP_ARCHIVE=730), id="tagged", Filter={"Tag": tag})
    put_tiers(tiers(ARCHIVE=730), id="both", Status="Disabled", Filter={"And": {"Prefix": "a", "Tags": [tag]}})
    assert [one["Id"] for one in listed()["IntelligentTieringConfigurationList"]] == ["both", "cold", "tagged"]
    for code, tierings, more in [
        ("InvalidArgument", tiers(ARCHIVE=89), {}),
        ("InvalidArgument", tiers(DEEP_ARCHIVE=179), {}),
        ("InvalidArgument", tiers(ARCHIVE=731), {}),
        ("InvalidArgument", tiers(ARCHIVE=200, DEEP_ARCHIVE=200), {}),
        ("InvalidArgument", tiers(ARCHIVE=90) * 2, {}),
        ("InvalidArgument", tiers(ARCHIVE=90), {"Filter": {"Prefix": ""}}),
        ("InvalidArgument", tiers(ARCHIVE=90), {"Filter": {"And": {"Tags": [tag]}}}),
        ("InvalidArgument", tiers(ARCHIVE=90), {"id": "x" * 65}),
        ("InvalidArgument", tiers(ARCHIVE=90), {"id": "with space"}),
        ("MalformedXML", tiers(ARCHIVE=90), {"id": "another"}),
        ("MalformedXML", tiers(ARCHIVE=90), {"Filter": {"Prefix": "a", "Tag": tag}}),
        ("MalformedXML", tiers(WARM=90), {}),
        ("MalformedXML", [], {}),
    ]:
        with refused(code, 400):
            put_tiers(tierings, **more)
    s3.delete_bucket_intelligent_tiering_configuration(Bucket=bucket, Id="cold")
    assert [one["Id"] for one in listed()["IntelligentTieringConfigurationList"]] == ["both", "tagged"]
    for number in range(100):
        put_tiers(tiers(ARCHIVE=90), id=f"n{number:03}")
    first = listed()
    assert first["IsTruncated"] and len(first["IntelligentTieringConfigurationList"]) == 100
    rest = listed(ContinuationToken=first["NextContinuationToken"])
    assert [one["Id"] for one in rest["IntelligentTieringConfigurationList"]] == ["n099", "tagged"]
    with refused("InvalidArgument", 400):
        listed(ContinuationToken="!")
    with refused("NoSuchBucket", 404):
        s3.list_bucket_intelligent_tiering_configurations(Bucket="none-here")


# Objects


def test_object_round_trip(s3, bucket, refused):
    put_answer = s3.put_object(
        Bucket=bucket, Key="a/ü b+c.txt", Body=b"hello", ContentType="text/plain", Metadata={"who": "me"},
        CacheControl="no-store", Tagging="a=1&b=2", StorageClass="STANDARD_IA")
    assert put_answer["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put_answer["ServerSideEncryption"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="a/ü b+c.txt")
    assert body(got) == b"hello"
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/plain", {"who": "me"}, 2)
    assert (got["CacheControl"], got["StorageClass"], got["ContentLength"]) == ("no-store", "STANDARD_IA", 5)
    head = s3.head_object(Bucket=bucket, Key="a/ü b+c.txt")
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (5, got["ETag"], {"who": "me"})
    changed = s3.get_object(Bucket=bucket, Key="a/ü b+c.txt", ResponseContentType="text/html")
    assert changed["ContentType"] == "text/html"
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="none")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="none")
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="k" * 1025)
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Metadata={"m": "x" * 2048})
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="none-here", Key="k")


def test_ranges_and_conditions(s3, bucket, refused):
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    part = s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-4")
    assert (body(part), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert body(s3.get_object(Bucket=bucket, Key="k", Range="bytes=-3")) == b"789"
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-")
    assert body(s3.get_object(Bucket=bucket, Key="k", IfMatch=tag)) == b"0123456789"
    with refused("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"other"')
    with refused("304", 304):
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=tag)
    future = datetime.datetime(2099, 1, 1)
    with refused("304", 304):
        s3.head_object(Bucket=bucket, Key="k", IfModifiedSince=future)
    s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince=future)


def test_conditional_writes(s3, bucket, refused):
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=tag)
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=tag)
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="none", Body=b"3", IfMatch=tag)
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfNoneMatch=tag)
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=tag)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"2"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"4", IfNoneMatch="*")


def test_checksums(s3, bucket, refused):
    sha = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumSHA256=sha)
    assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (sha, "FULL_OBJECT")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha
    assert "ChecksumSHA256" not in s3.head_object(Bucket=bucket, Key="k")
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumSHA256=wrong)
    with refused("BadDigest", 400):
        md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ContentMD5=md5)
    with refused("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ContentMD5="bad")
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"])
    assert attributes["Checksum"] == {"ChecksumSHA256": sha, "ChecksumType": "FULL_OBJECT"}
    assert (attributes["ObjectSize"], attributes["StorageClass"]) == (5, "STANDARD")
    assert attributes["ETag"] == hashlib.md5(b"hello").hexdigest() and "ObjectParts" not in attributes
    with refused("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="none", ObjectAttributes=["ETag"])
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        answer = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
        assert answer[f"Checksum{algorithm}"]


def test_object_tags(s3, bucket, refused):
    put(s3, bucket, "k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    tags = {"TagSet": [{"Key": "a", "Value": "1"}]}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags["TagSet"]
    with refused("BadRequest", 400):
        many = {"TagSet": [{"Key": f"k{n}", "Value": ""} for n in range(11)]}
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=many)
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    for call in [s3.get_object_tagging, s3.delete_object_tagging]:
        with refused("NoSuchKey", 404):
            call(Bucket=bucket, Key="none")


def test_encrypted_objects(s3, client, bucket, refused):
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/data", TargetKeyId=key["KeyId"])
    for name in [key["Arn"], key["KeyId"], "alias/data"]:
        answer = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=name)
        assert answer["SSEKMSKeyId"] == key["Arn"]
        assert answer["ETag"] != f'"{hashlib.md5(b"x").hexdigest()}"'
    with refused("KMS.NotFoundException", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/none")
    with refused("InvalidArgument", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256", SSEKMSKeyId="alias/data")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]},
            "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert (answer["ServerSideEncryption"], answer["BucketKeyEnabled"]) == ("aws:kms", True)
    kms.disable_key(KeyId=key["KeyId"])
    with refused("KMS.DisabledException", 400):
        s3.get_object(Bucket=bucket, Key="k")
    managed = s3.put_object(Bucket=bucket, Key="m", Body=b"x", ServerSideEncryption="aws:kms:dsse")
    assert managed["SSEKMSKeyId"] == kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]


def test_keys_that_the_client_sends(s3, client, bucket, refused):
    # boto3 sends such keys over TLS only; the header is set by the same code for a plain endpoint too.
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    with refused("AccessDenied", 403):  # new buckets refuse them
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **own)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
            "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **own)
    assert body(s3.get_object(Bucket=bucket, Key="k", **own)) == b"x"
    with refused("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=b"o" * 32)


def test_copies(s3, bucket, account, refused):
    other = f"copies-{account}"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x", Metadata={"m": "1"}, Tagging="t=1")
    answer = s3.copy_object(Bucket=other, Key="c", CopySource={"Bucket": bucket, "Key": "a b"})
    assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"x").hexdigest()}"'
    copy = s3.get_object(Bucket=other, Key="c")
    assert (body(copy), copy["Metadata"], copy["TagCount"]) == (b"x", {"m": "1"}, 1)
    s3.copy_object(Bucket=other, Key="c", CopySource=f"{bucket}/a b", MetadataDirective="REPLACE",
                   TaggingDirective="REPLACE", ContentType="text/x")
    copy = s3.head_object(Bucket=other, Key="c")
    assert (copy["Metadata"], copy["ContentType"], copy.get("TagCount")) == ({}, "text/x", None)
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="a b", CopySource={"Bucket": bucket, "Key": "a b"})
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=other, Key="c", CopySource={"Bucket": bucket, "Key": "none"})
    with refused("PreconditionFailed", 412):
        s3.copy_object(Bucket=other, Key="c", CopySource={"Bucket": bucket, "Key": "a b"}, CopySourceIfMatch="other")
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=other, Key="c", CopySource="nothing")


# Versions


def test_versions(s3, bucket, refused):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    first, second = (s3.put_object(Bucket=bucket, Key="k", Body=text)["VersionId"] for text in (b"1", b"2"))
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"2"
    assert body(s3.get_object(Bucket=bucket, Key="k", VersionId=first)) == b"1"
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    with refused("MethodNotAllowed", 405):
        s3.get_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    with refused("NoSuchVersion", 404):
        s3.get_object(Bucket=bucket, Key="k", VersionId="none")
    listed = s3.list_object_versions(Bucket=bucket)
    assert [one["VersionId"] for one in listed["Versions"]] == [second, first]
    assert [(one["VersionId"], one["IsLatest"]) for one in listed["DeleteMarkers"]] == [(gone["VersionId"], True)]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    assert s3.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])["DeleteMarker"] is True
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"2"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"3")["VersionId"] == "null"
    s3.put_object(Bucket=bucket, Key="k", Body=b"4")
    ids = [one["VersionId"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]]
    assert ids == ["null", second, first]
    with refused("IllegalVersioningConfigurationException", 400):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={})


def test_version_pages(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = [(key, s3.put_object(Bucket=bucket, Key=key)["VersionId"]) for key in ["a", "b/1", "b/2", "c"] for _ in "xyz"]
    for size in [1, 2, 5]:
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
        found = [(one["Key"], one["VersionId"]) for page in pages for one in page.get("Versions", [])]
        assert sorted(found) == sorted(made) and len(found) == 12
    folded = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["b/"]
    assert len(folded["Versions"]) == 6


def test_object_lock(s3, account, refused, later):
    name = f"locked-{account}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
    assert s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"] == lock
    version = s3.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    assert s3.head_object(Bucket=name, Key="k")["ObjectLockMode"] == "GOVERNANCE"
    with refused("AccessDenied", 403):
        s3.delete_object(Bucket=name, Key="k", VersionId=version)
    s3.delete_object(Bucket=name, Key="k")  # a delete marker is always possible
    s3.delete_object(Bucket=name, Key="k", VersionId=version, BypassGovernanceRetention=True)
    with refused("InvalidBucketState", 409):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    with refused("MalformedXML", 400):
        both = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1, "Years": 1}}}
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=both)


def test_object_lock_needs_versioning(s3, bucket, refused):
    with refused("ObjectLockConfigurationNotFoundError", 404):
        s3.get_object_lock_configuration(Bucket=bucket)
    with refused("InvalidBucketState", 409):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="k", ObjectLockLegalHoldStatus="ON")


# Lists and deletes


def test_lists(s3, bucket, refused):
    keys = ["a", "b/1", "b/2", "b/c/3", "d", "e f&<>", "z/1"]
    put(s3, bucket, *keys)
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys
    folded = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in folded["Contents"]] == ["a", "d", "e f&<>"]
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["b/", "z/"]
    inner = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="b/")
    assert [one["Key"] for one in inner["Contents"]] == ["b/1", "b/2"]
    assert [one["Prefix"] for one in inner["CommonPrefixes"]] == ["b/c/"]
    assert s3.list_objects_v2(Bucket=bucket, StartAfter="d")["KeyCount"] == 2
    owner = s3.list_objects_v2(Bucket=bucket, FetchOwner=True, MaxKeys=1)["Contents"][0]["Owner"]
    assert owner["ID"] == s3.list_buckets()["Owner"]["ID"]
    for operation in ["list_objects", "list_objects_v2"]:
        for size in [1, 2, 3]:
            for delimiter in ["", "/"]:
                pages = list(s3.get_paginator(operation).paginate(
                    Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": size}))
                found = [one["Key"] for page in pages for one in page.get("Contents", [])]
                prefixes = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
                assert found == ([key for key in keys if "/" not in key] if delimiter else keys)
                assert prefixes == (["b/", "z/"] if delimiter else [])
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="bad")
    with refused("NoSuchBucket", 404):
        s3.list_objects(Bucket="none-here")


def test_delete_many(s3, bucket, refused):
    put(s3, bucket, "a", "b")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ["a", "b", "none"]]})
    assert [one["Key"] for one in answer["Deleted"]] == ["a", "b", "none"]
    put(s3, bucket, "a")
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": "a"}]})
    assert "Deleted" not in quiet and "Errors" not in quiet
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(n)} for n in range(1001)]})


# Uploads in parts

MIB = 1 << 20


def test_upload_file_in_parts(s3, bucket, tmp_path):
    data = bytes(range(256)) * (12 * MIB // 256)
    path = tmp_path / "big"
    path.write_bytes(data)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(path), bucket, "big", Config=config, ExtraArgs={"Metadata": {"m": "1"}})
    head = s3.head_object(Bucket=bucket, Key="big")
    assert head["ETag"].endswith('-3"') and head["ContentLength"] == len(data) and head["Metadata"] == {"m": "1"}
    out = io.BytesIO()
    s3.download_fileobj(bucket, "big", out, Config=config)
    assert out.getvalue() == data
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert (second["PartsCount"], second["ContentLength"]) == (3, 5 * MIB)
    assert body(second) == data[5 * MIB:10 * MIB]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    assert body(s3.get_object(Bucket=bucket, Key="copied")) == data


def test_multipart_by_hand(s3, bucket, refused):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload["UploadId"]]
    parts = []
    for number, data in [(1, b"a" * 5 * MIB), (2, b"b")]:
        answer = s3.upload_part(PartNumber=number, Body=data, ChecksumAlgorithm="SHA256", **where)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    assert [one["Size"] for one in s3.list_parts(**where)["Parts"]] == [5 * MIB, 1]
    page = s3.list_parts(MaxParts=1, **where)
    assert page["IsTruncated"] and s3.list_parts(PartNumberMarker=page["NextPartNumberMarker"], **where)["Parts"]
    with refused("InvalidPartOrder", 400):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts[::-1]}, **where)
    with refused("InvalidPart", 400):
        s3.complete_multipart_upload(MultipartUpload={"Parts": [{**parts[0], "ETag": '"x"'}]}, **where)
    with refused("MalformedXML", 400):
        s3.complete_multipart_upload(**where)
    with refused("InvalidArgument", 400):
        s3.upload_part(PartNumber=10001, Body=b"", **where)
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    assert done["ChecksumSHA256"].endswith("-2") and done["ChecksumType"] == "COMPOSITE"
    assert s3.get_object(Bucket=bucket, Key="k")["ContentLength"] == 5 * MIB + 1
    with refused("NoSuchUpload", 404):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_multipart_refusals(s3, bucket, refused):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    parts = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=b"x", **where)["ETag"]} for n in (1, 2)]
    with refused("EntityTooSmall", 400):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    put(s3, bucket, "k", "source")
    with refused("PreconditionFailed", 412):
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts[:1]}, IfNoneMatch="*", **where)
    source = {"Bucket": bucket, "Key": "source"}
    copied = s3.upload_part_copy(PartNumber=3, CopySource=source, CopySourceRange="bytes=0-2", **where)
    assert copied["CopyPartResult"]["ETag"] == f'"{hashlib.md5(b"sou").hexdigest()}"'
    with refused("InvalidArgument", 400):
        s3.upload_part_copy(PartNumber=3, CopySource=source, CopySourceRange="bytes=0-99", **where)
    s3.abort_multipart_upload(**where)
    for call in [s3.abort_multipart_upload, s3.list_parts]:
        with refused("NoSuchUpload", 404):
            call(**where)
    with refused("NoSuchUpload", 404):
        s3.upload_part(PartNumber=1, Body=b"x", **where)


def test_lists_of_objects_are_never_behind(s3, server, bucket):
    server.admin("faults", {"list_lag_s": 60})
    try:
        s3.put_object(Bucket=bucket, Key="a", Body=b"a")
        assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]
        assert [found["Key"] for found in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["a"]
        s3.delete_object(Bucket=bucket, Key="a")
        assert s3.list_objects(Bucket=bucket).get("Contents") is None
        s3.delete_bucket(Bucket=bucket)
        assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]], "as AWS warns"
    finally:
        server.admin("faults", {})


# Links


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_presigned_links(client, bucket, signature):
    s3 = client("s3", signature_version=signature)
    link = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b", "ContentType": "text/plain"})
    request = urllib.request.Request(link, b"hello", {"Content-Type": "text/plain"}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    link = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"hello" and answer.headers["Content-Type"] == "text/plain"
    link = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "none"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(link)
    assert error.value.code == 404 and b"NoSuchKey" in error.value.read()
