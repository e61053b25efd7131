"""CloudWatch Logs: every simulated operation, success and error."""

import json

import pytest


@pytest.fixture
def logs(client):
    return client("logs")


@pytest.fixture
def group(logs):
    logs.create_log_group(logGroupName="/acme/app", tags={"owner": "ml"})
    return "/acme/app"


@pytest.fixture
def now(server):
    """The sandbox's clock in milliseconds: other tests may have moved it."""
    moment = server.admin("status")["time"]
    import datetime
    parsed = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return int(parsed.timestamp() * 1000)


@pytest.fixture
def key(client, account):
    statement = [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Resource": "*",
         "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:GenerateDataKey*", "kms:Describe*"]},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    return client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]


def one(logs, name):
    [found] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return found


def test_groups(logs, group, account, refused):
    found = one(logs, group)
    arn = f"arn:aws:logs:us-east-1:{account}:log-group:/acme/app"
    assert (found["arn"], found["logGroupArn"], found["logGroupClass"]) == (f"{arn}:*", arn, "STANDARD")
    assert "retentionInDays" not in found and found["deletionProtectionEnabled"] is False
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_group(logGroupName=group)
    with refused("InvalidParameterException"):
        logs.create_log_group(logGroupName="bad name")
    with refused("InvalidParameterException"):
        logs.create_log_group(logGroupName="aws/mine")
    logs.delete_log_group(logGroupName=group)
    with refused("ResourceNotFoundException"):
        logs.delete_log_group(logGroupName=group)


def test_retention(logs, group, refused):
    logs.put_retention_policy(logGroupName=group, retentionInDays=30)
    assert one(logs, group)["retentionInDays"] == 30
    with refused("InvalidParameterException"):
        logs.put_retention_policy(logGroupName=group, retentionInDays=31)
    with refused("ResourceNotFoundException"):
        logs.put_retention_policy(logGroupName="/none", retentionInDays=30)
    logs.delete_retention_policy(logGroupName=group)
    assert "retentionInDays" not in one(logs, group)
    with refused("ResourceNotFoundException"):
        logs.delete_retention_policy(logGroupName="/none")


def test_classes_and_protection(logs, refused):
    logs.create_log_group(logGroupName="/rare", logGroupClass="INFREQUENT_ACCESS", deletionProtectionEnabled=True)
    assert one(logs, "/rare")["logGroupClass"] == "INFREQUENT_ACCESS"
    with refused("ValidationException"):
        logs.delete_log_group(logGroupName="/rare")
    logs.put_log_group_deletion_protection(logGroupIdentifier="/rare", deletionProtectionEnabled=False)
    logs.delete_log_group(logGroupName="/rare")
    with refused("ResourceNotFoundException"):
        logs.put_log_group_deletion_protection(logGroupIdentifier="/rare", deletionProtectionEnabled=True)
    logs.create_log_group(logGroupName="/delivery", logGroupClass="DELIVERY")
    with refused("InvalidParameterException"):
        logs.put_retention_policy(logGroupName="/delivery", retentionInDays=1)


def test_keys(logs, group, key, client, refused):
    logs.associate_kms_key(logGroupName=group, kmsKeyId=key)
    assert one(logs, group)["kmsKeyId"] == key
    logs.disassociate_kms_key(logGroupName=group)
    assert "kmsKeyId" not in one(logs, group)
    logs.create_log_group(logGroupName="/sealed", kmsKeyId=key)
    assert one(logs, "/sealed")["kmsKeyId"] == key
    closed = client("kms").create_key()["KeyMetadata"]["Arn"]
    for bad in [closed, "alias/none", key[:-1] + ("1" if key[-1] == "0" else "0")]:
        with refused("InvalidParameterException"):
            logs.associate_kms_key(logGroupName=group, kmsKeyId=bad)
    with refused("ResourceNotFoundException"):
        logs.associate_kms_key(logGroupName="/none", kmsKeyId=key)
    with refused("ResourceNotFoundException"):
        logs.disassociate_kms_key(logGroupName="/none")


def test_group_pages(logs, refused):
    for number in range(60):
        logs.create_log_group(logGroupName=f"/p/{number:02}")
    assert len(logs.describe_log_groups()["logGroups"]) == 50
    pages = list(logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 25}))
    assert [len(page["logGroups"]) for page in pages] == [25, 25, 10]
    assert len(logs.describe_log_groups(logGroupNamePrefix="/p/5")["logGroups"]) == 10
    assert len(logs.describe_log_groups(logGroupNamePattern="P/59")["logGroups"]) == 1
    assert len(logs.describe_log_groups(logGroupIdentifiers=["/p/01"])["logGroups"]) == 1
    with refused("InvalidParameterException"):
        logs.describe_log_groups(logGroupNamePrefix="a", logGroupNamePattern="b")
    with refused("InvalidParameterException"):
        logs.describe_log_groups(nextToken="bad")


def test_tags(logs, group, client, account, refused):
    arn = f"arn:aws:logs:us-east-1:{account}:log-group:{group}"
    logs.tag_resource(resourceArn=arn, tags={"a": "1"})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"owner": "ml", "a": "1"}
    logs.untag_resource(resourceArn=arn, tagKeys=["owner"])
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1"}
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "a"}])
    assert [one["ResourceARN"] for one in found["ResourceTagMappingList"]] == [arn]
    logs.tag_log_group(logGroupName=group, tags={"b": "2"})
    logs.untag_log_group(logGroupName=group, tags=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    with refused("TooManyTagsException"):
        logs.tag_resource(resourceArn=arn, tags={f"k{n}": "" for n in range(50)})
    for bad in ["arn:aws:s3:::bucket", arn + ":*"]:
        with refused("InvalidParameterException"):
            logs.list_tags_for_resource(resourceArn=bad)
    for call in [lambda: logs.list_tags_for_resource(resourceArn=arn + "x"),
                 lambda: logs.tag_resource(resourceArn=arn + "x", tags={"a": "b"}),
                 lambda: logs.untag_resource(resourceArn=arn + "x", tagKeys=["a"]),
                 lambda: logs.list_tags_log_group(logGroupName="/none"),
                 lambda: logs.tag_log_group(logGroupName="/none", tags={"a": "b"}),
                 lambda: logs.untag_log_group(logGroupName="/none", tags=["a"])]:
        with refused("ResourceNotFoundException"):
            call()


def test_streams(logs, group, now, refused):
    for name in ["b", "a", "c"]:
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    names = [one["logStreamName"] for one in logs.describe_log_streams(logGroupName=group)["logStreams"]]
    assert names == ["a", "b", "c"]
    for at, name in enumerate(["c", "a", "b"]):
        logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=[{"timestamp": now + at, "message": "m"}])
    newest = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"]
    assert [one["logStreamName"] for one in newest] == ["b", "a", "c"]
    assert newest[0]["lastEventTimestamp"] == now + 2
    pages = list(logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, PaginationConfig={"PageSize": 2}))
    assert [len(page["logStreams"]) for page in pages] == [2, 1]
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_stream(logGroupName=group, logStreamName="a")
    with refused("InvalidParameterException"):
        logs.create_log_stream(logGroupName=group, logStreamName="a:b")
    with refused("ResourceNotFoundException"):
        logs.create_log_stream(logGroupName="/none", logStreamName="a")
    with refused("ResourceNotFoundException"):
        logs.describe_log_streams(logGroupName="/none")
    with refused("InvalidParameterException"):
        logs.describe_log_streams()
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    with refused("ResourceNotFoundException"):
        logs.delete_log_stream(logGroupName=group, logStreamName="a")


def test_events(logs, group, now, refused):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    where = {"logGroupName": group, "logStreamName": "s"}
    events = [{"timestamp": now - 1000 + n, "message": f"m{n}"} for n in range(10)]
    assert "rejectedLogEventsInfo" not in logs.put_log_events(logEvents=events, **where)
    head = logs.get_log_events(startFromHead=True, limit=4, **where)
    assert [event["message"] for event in head["events"]] == ["m0", "m1", "m2", "m3"]
    following = logs.get_log_events(nextToken=head["nextForwardToken"], **where)
    assert [event["message"] for event in following["events"]] == ["m4", "m5", "m6", "m7", "m8", "m9"]
    end = logs.get_log_events(nextToken=following["nextForwardToken"], **where)
    assert end["events"] == [] and end["nextForwardToken"] == following["nextForwardToken"]
    tail = logs.get_log_events(limit=2, **where)
    assert [event["message"] for event in tail["events"]] == ["m8", "m9"]
    earlier = logs.get_log_events(limit=2, nextToken=tail["nextBackwardToken"], **where)
    assert [event["message"] for event in earlier["events"]] == ["m6", "m7"]
    window = logs.get_log_events(startTime=now - 999, endTime=now - 997, **where)
    assert [event["message"] for event in window["events"]] == ["m1", "m2"]
    day = 86_400_000
    rejected = logs.put_log_events(logEvents=[{"timestamp": now - 15 * day, "message": "old"}], **where)
    assert rejected["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    rejected = logs.put_log_events(logEvents=[{"timestamp": now + day, "message": "new"}], **where)
    assert rejected["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
    for bad in [events[::-1], [{"timestamp": now - 2 * day, "message": "a"}, {"timestamp": now, "message": "b"}]]:
        with refused("InvalidParameterException"):
            logs.put_log_events(logEvents=bad, **where)
    with refused("ResourceNotFoundException"):
        logs.put_log_events(logGroupName=group, logStreamName="none", logEvents=events)
    with refused("ResourceNotFoundException"):
        logs.get_log_events(logGroupName=group, logStreamName="none")
    with refused("InvalidParameterException"):
        logs.get_log_events(nextToken="bad", **where)


def test_filter(logs, group, now, refused):
    messages = {"a": ["ERROR disk", "INFO fine"], "b": ['{"level": "error", "code": 503}', "ERROR net"]}
    for stream, texts in messages.items():
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
            {"timestamp": now + at, "message": text} for at, text in enumerate(texts)])

    def found(pattern="", **more):
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=pattern, PaginationConfig={"PageSize": 1}, **more)
        return sorted(event["message"] for page in pages for event in page["events"])

    assert len(found()) == 4
    assert found("ERROR") == ["ERROR disk", "ERROR net"]
    assert found("ERROR -net") == ["ERROR disk"]
    assert found("{ $.code >= 500 }") == ['{"level": "error", "code": 503}']
    assert found(logStreamNames=["a"]) == ["ERROR disk", "INFO fine"]
    assert found(logStreamNamePrefix="b", startTime=now + 1) == ["ERROR net"]
    with refused("InvalidParameterException"):
        logs.filter_log_events(logGroupName=group, filterPattern="{ bad }")
    with refused("ResourceNotFoundException"):
        logs.filter_log_events(logGroupName="/none")


def test_live_tail_begins(client, group, account, refused):
    # Its events are CloudWatch's own push, which nothing here writes; the session and its first update are answered.
    logs = client("logs", inject_host_prefix=False)
    arn = f"arn:aws:logs:us-east-1:{account}:log-group:{group}"
    stream = logs.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="ERROR")["responseStream"]
    first, second = stream
    assert first["sessionStart"]["logEventFilterPattern"] == "ERROR"
    assert second["sessionUpdate"]["sessionResults"] == []
    with refused("InvalidParameterException"):
        logs.start_live_tail(logGroupIdentifiers=[group])


def test_retention_hides_what_is_older(logs, group, now, later):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now, "message": "m"}])
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert len(logs.get_log_events(logGroupName=group, logStreamName="s")["events"]) == 1
    later(86_400 + 10)
    assert logs.get_log_events(logGroupName=group, logStreamName="s")["events"] == []


def test_account_policies_and_filters(logs, group, refused):
    policy = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "delivery.logs.amazonaws.com"}, "Action": "logs:PutLogEvents",
         "Resource": "*"}]})
    logs.put_resource_policy(policyName="p", policyDocument=policy)
    [found] = logs.describe_resource_policies()["resourcePolicies"]
    assert (found["policyName"], found["policyDocument"]) == ("p", policy)
    with refused("InvalidParameterException"):
        logs.put_resource_policy(policyName="p", policyDocument="{}")
    logs.delete_resource_policy(policyName="p")
    with refused("ResourceNotFoundException"):
        logs.delete_resource_policy(policyName="p")
    assert logs.describe_metric_filters(logGroupName=group)["metricFilters"] == []
    assert logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"] == []
    with refused("ResourceNotFoundException"):
        logs.describe_metric_filters(logGroupName="/none")
    with refused("ResourceNotFoundException"):
        logs.describe_subscription_filters(logGroupName="/none")


def protection(**changes):
    identifiers = ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"]
    audit = {"Sid": "audit", "DataIdentifier": identifiers, "Operation": {"Audit": {"FindingsDestination": {}}}}
    mask = {"Sid": "mask", "DataIdentifier": identifiers, "Operation": {"Deidentify": {"MaskConfig": {}}}}
    return json.dumps({"Name": "p", "Version": "2021-06-01",
                       "Statement": [{**audit, **changes.get("audit", {})}, {**mask, **changes.get("mask", {})}]})


def test_data_protection(logs, refused):
    logs.create_log_group(logGroupName="/acme/private")
    status = lambda: logs.describe_log_groups()["logGroups"][0].get("dataProtectionStatus")
    assert status() is None and "policyDocument" not in logs.get_data_protection_policy(logGroupIdentifier="/acme/private")
    put = logs.put_data_protection_policy(logGroupIdentifier="/acme/private", policyDocument=protection())
    assert put["policyDocument"] == protection() and put["lastUpdatedTime"] and status() == "ACTIVATED"
    arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
    assert logs.get_data_protection_policy(logGroupIdentifier=arn)["policyDocument"] == protection()
    for bad in ["no", "{}", protection(mask={"DataIdentifier": []}), protection(mask={"Operation": {"Deidentify": {}}}),
                protection(audit={"DataIdentifier": ["x"]}, mask={"DataIdentifier": ["x"]}),
                protection(audit={"Operation": {"Audit": {}}}),
                protection(audit={"Operation": {"Audit": {"FindingsDestination": {"CloudWatchLogs": {"LogGroup": "none"}}}}})]:
        with refused("InvalidParameterException"):
            logs.put_data_protection_policy(logGroupIdentifier="/acme/private", policyDocument=bad)
    logs.delete_data_protection_policy(logGroupIdentifier="/acme/private")
    assert status() == "DELETED"
    logs.create_log_group(logGroupName="/acme/rare", logGroupClass="INFREQUENT_ACCESS")
    with refused("InvalidParameterException"):
        logs.put_data_protection_policy(logGroupIdentifier="/acme/rare", policyDocument=protection())
    for call in [logs.get_data_protection_policy, logs.delete_data_protection_policy]:
        with refused("ResourceNotFoundException"):
            call(logGroupIdentifier="none")
