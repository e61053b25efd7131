"""Guardrails, invocation logging, models and inference profiles; Converse and its kin."""

import gzip
import json

import pytest


@pytest.fixture
def bedrock(client):
    return client("bedrock")


@pytest.fixture
def runtime(client):
    return client("bedrock-runtime")


GUARDRAIL = dict(
    blockedInputMessaging="no", blockedOutputsMessaging="not that",
    wordPolicyConfig={"wordsConfig": [{"text": "project falcon"}], "managedWordListsConfig": [{"type": "PROFANITY"}]},
    sensitiveInformationPolicyConfig={
        "piiEntitiesConfig": [{"type": "EMAIL", "action": "ANONYMIZE"}, {"type": "AWS_ACCESS_KEY", "action": "BLOCK"}],
        "regexesConfig": [{"name": "ticket", "pattern": r"T-\d+", "action": "ANONYMIZE"}],
    },
    contentPolicyConfig={"filtersConfig": [{"type": "HATE", "inputStrength": "HIGH", "outputStrength": "LOW"}]},
    topicPolicyConfig={"topicsConfig": [{"name": "gambling", "definition": "bets", "type": "DENY"}]},
    contextualGroundingPolicyConfig={"filtersConfig": [{"type": "GROUNDING", "threshold": 0.7}]},
)
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture
def guardrail(bedrock, later):
    made = bedrock.create_guardrail(name="guard", **GUARDRAIL)
    later(10)
    return made["guardrailId"]


def test_guardrail_life(bedrock, refused, later):
    made = bedrock.create_guardrail(name="guard", tags=[{"key": "a", "value": "1"}], **GUARDRAIL)
    identity = made["guardrailId"]
    assert made["version"] == "DRAFT"
    assert bedrock.get_guardrail(guardrailIdentifier=identity)["status"] == "CREATING"
    with refused("ConflictException"):
        bedrock.update_guardrail(guardrailIdentifier=identity, name="guard", **GUARDRAIL)
    later(10)
    found = bedrock.get_guardrail(guardrailIdentifier=made["guardrailArn"])
    assert found["status"] == "READY" and found["wordPolicy"]["words"][0]["text"] == "project falcon"
    assert found["sensitiveInformationPolicy"]["piiEntities"][0]["type"] == "EMAIL"
    assert found["contextualGroundingPolicy"]["filters"][0]["threshold"] == 0.7
    with refused("ConflictException"):
        bedrock.create_guardrail(name="guard", **GUARDRAIL)
    with refused("ValidationException"):
        bedrock.create_guardrail(name="empty", blockedInputMessaging="a", blockedOutputsMessaging="b")
    with refused("ResourceNotFoundException", 404):
        bedrock.get_guardrail(guardrailIdentifier="abcdefabcdef")
    version = bedrock.create_guardrail_version(guardrailIdentifier=identity)["version"]
    assert version == "1"
    later(10)
    bedrock.update_guardrail(
        guardrailIdentifier=identity, name="renamed", blockedInputMessaging="a", blockedOutputsMessaging="b",
        wordPolicyConfig={"wordsConfig": [{"text": "x"}]},
    )
    later(10)
    draft = bedrock.get_guardrail(guardrailIdentifier=identity)
    assert draft["name"] == "renamed" and "contentPolicy" not in draft, "an update replaces everything"
    assert bedrock.get_guardrail(guardrailIdentifier=identity, guardrailVersion="1")["name"] == "guard"
    listed = bedrock.list_guardrails(guardrailIdentifier=identity)["guardrails"]
    assert [row["version"] for row in listed] == ["DRAFT", "1"]
    arn = made["guardrailArn"]
    bedrock.tag_resource(resourceARN=arn, tags=[{"key": "b", "value": "2"}])
    bedrock.untag_resource(resourceARN=arn, tagKeys=["a"])
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "b", "value": "2"}]
    bedrock.delete_guardrail(guardrailIdentifier=identity)
    later(10)
    with refused("ResourceNotFoundException"):
        bedrock.get_guardrail(guardrailIdentifier=identity)


def test_tokens_make_one(bedrock, refused):
    token = "t" * 40
    first = bedrock.create_guardrail(name="once", clientRequestToken=token, **GUARDRAIL)["guardrailId"]
    assert bedrock.create_guardrail(name="once", clientRequestToken=token, **GUARDRAIL)["guardrailId"] == first
    with refused("ConflictException"):
        bedrock.create_guardrail(name="twice", clientRequestToken=token, **GUARDRAIL)


def destinations(client, account):
    """Makes what invocations can be logged to: a bucket and a group of the account's name, and a role `bedrock`."""
    s3, logs, iam = client("s3"), client("logs"), client("iam")
    bucket = f"bedrock-{account}"
    s3.create_bucket(Bucket=bucket)
    source = {"StringEquals": {"aws:SourceAccount": account},
              "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{account}:*"}}
    statement = {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Condition": source}
    writes = {**statement, "Action": "s3:PutObject",
              "Resource": f"arn:aws:s3:::{bucket}/log/AWSLogs/{account}/BedrockModelInvocationLogs/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [writes]}))
    logs.create_log_group(logGroupName="invocations")
    trust = {"Version": "2012-10-17", "Statement": [{**statement, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="bedrock", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    stream = f"arn:aws:logs:us-east-1:{account}:log-group:invocations:log-stream:aws/bedrock/modelinvocations"
    allow = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": stream}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName="bedrock", PolicyName="write", PolicyDocument=document)
    return {
        "cloudWatchConfig": {"logGroupName": "invocations", "roleArn": role},
        "s3Config": {"bucketName": bucket, "keyPrefix": "log"},
    }


def test_invocation_logging(bedrock, client, account, refused):
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()
    with refused("ValidationException"):
        bedrock.put_model_invocation_logging_configuration(loggingConfig={"textDataDeliveryEnabled": True})
    config = {**destinations(client, account), "imageDataDeliveryEnabled": False}
    bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    found = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    assert found["s3Config"] == config["s3Config"] and found["cloudWatchConfig"] == config["cloudWatchConfig"]
    assert found["textDataDeliveryEnabled"] and not found["imageDataDeliveryEnabled"]
    # Bedrock tries both, and leaves its traces.
    (event,) = client("logs").filter_log_events(logGroupName="invocations")["events"]
    assert event["message"] == "Permissions are correctly set for Amazon Bedrock logs."
    (left,) = client("s3").list_objects_v2(Bucket=config["s3Config"]["bucketName"])["Contents"]
    assert left["Key"].endswith("/amazon-bedrock-logs-permission-check") and left["Size"] == 0
    bedrock.delete_model_invocation_logging_configuration()
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()


def test_invocation_logging_goes_where_bedrock_may_write(bedrock, client, account, refused):
    good = destinations(client, account)

    def refuse(what, **changed):
        (member, config), = changed.items()
        with refused("ValidationException") as error:
            bedrock.put_model_invocation_logging_configuration(loggingConfig={member: {**good[member], **config}})
        assert f"Failed to validate permissions for {what}" in error.error["Error"]["Message"]

    refuse("log group: nowhere", cloudWatchConfig={"logGroupName": "nowhere"})
    refuse("log group: invocations", cloudWatchConfig={"roleArn": f"arn:aws:iam::{account}:role/nobody"})
    refuse("bucket: none-of-ours", s3Config={"bucketName": "none-of-ours"})
    refuse("bucket: bedrock-", s3Config={"keyPrefix": "elsewhere"})
    refuse("bucket: none-of-ours", cloudWatchConfig={"largeDataDeliveryS3Config": {"bucketName": "none-of-ours"}})
    # The role has to be allowed to write, and to trust Bedrock.
    iam = client("iam")
    iam.delete_role_policy(RoleName="bedrock", PolicyName="write")
    refuse("log group: invocations", cloudWatchConfig={})
    # A bucket's key has to let Bedrock in as well.
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    bucket = good["s3Config"]["bucketName"]
    client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    refuse(f"bucket: {bucket}", s3Config={})
    assert "loggingConfig" not in bedrock.get_model_invocation_logging_configuration()


def test_models_and_profiles(bedrock, refused):
    models = bedrock.list_foundation_models(byProvider="anthropic")["modelSummaries"]
    assert CLAUDE in [row["modelId"] for row in models]
    assert bedrock.get_foundation_model(modelIdentifier=CLAUDE)["modelDetails"]["providerName"] == "Anthropic"
    with refused("ResourceNotFoundException"):
        bedrock.get_foundation_model(modelIdentifier="anthropic.none-v1:0")
    profiles = bedrock.list_inference_profiles()["inferenceProfileSummaries"]
    assert all(row["type"] == "SYSTEM_DEFINED" for row in profiles)
    source = profiles[0]["inferenceProfileArn"]
    made = bedrock.create_inference_profile(inferenceProfileName="team", modelSource={"copyFrom": source})
    found = bedrock.get_inference_profile(inferenceProfileIdentifier=made["inferenceProfileArn"])
    assert found["type"] == "APPLICATION"
    with refused("ConflictException"):
        bedrock.create_inference_profile(inferenceProfileName="team", modelSource={"copyFrom": source})
    bedrock.delete_inference_profile(inferenceProfileIdentifier=found["inferenceProfileId"])
    with refused("ResourceNotFoundException"):
        bedrock.get_inference_profile(inferenceProfileIdentifier=found["inferenceProfileId"])


def ask(text, **more):
    return dict(modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": text}]}], **more)


def test_converse(runtime, refused):
    one, two = runtime.converse(**ask("why?")), runtime.converse(**ask("why?"))
    assert one["output"] == two["output"] and one["stopReason"] == "end_turn"
    usage = one["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0
    assert runtime.converse(**ask("why?", inferenceConfig={"maxTokens": 2}))["stopReason"] == "max_tokens"
    with refused("ValidationException"):
        runtime.converse(modelId="no.such-model-v1:0", messages=[{"role": "user", "content": [{"text": "x"}]}])
    with refused("ValidationException"):
        runtime.converse(modelId=CLAUDE, messages=[{"role": "assistant", "content": [{"text": "x"}]}])
    with refused("ValidationException"):
        request = ask("x")
        request["modelId"] = "anthropic.claude-sonnet-4-20250514-v1:0"
        runtime.converse(**request)
    request = ask("x")
    request["modelId"] = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert runtime.converse(**request)["stopReason"] == "end_turn"


def test_converse_stream_is_whole(runtime):
    whole = runtime.converse(**ask("tell me"))
    events = list(runtime.converse_stream(**ask("tell me"))["stream"])
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == whole["output"]["message"]["content"][0]["text"]
    assert "messageStart" in events[0] and events[-1]["metadata"]["usage"] == whole["usage"]
    assert [event for event in events if "messageStop" in event][0]["messageStop"]["stopReason"] == "end_turn"


def test_tools_are_called(runtime):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": schema}}}], "toolChoice": {"any": {}}}
    answer = runtime.converse(**ask("Kyiv", toolConfig=tools))
    assert answer["stopReason"] == "tool_use"
    assert answer["output"]["message"]["content"][0]["toolUse"]["input"] == {"city": "Kyiv"}


def test_guardrails_guard(runtime, guardrail, refused):
    config = {"guardrailIdentifier": guardrail, "guardrailVersion": "DRAFT", "trace": "enabled"}
    blocked = runtime.converse(**ask("what is Project Falcon?", guardrailConfig=config))
    assert blocked["stopReason"] == "guardrail_intervened"
    assert blocked["output"]["message"]["content"][0]["text"] == "no"
    assert blocked["trace"]["guardrail"]["inputAssessment"][guardrail]["wordPolicy"]["customWords"]
    masked = runtime.converse(**ask("mail to a@example.com", guardrailConfig=config))
    assert "a@example.com" not in masked["output"]["message"]["content"][0]["text"]
    applied = runtime.apply_guardrail(
        guardrailIdentifier=guardrail, guardrailVersion="DRAFT", source="OUTPUT",
        content=[{"text": {"text": "see T-12 or a@example.com"}}],
    )
    assert applied["action"] == "GUARDRAIL_INTERVENED" and applied["outputs"] == [{"text": "see {ticket} or {EMAIL}"}]
    fine = runtime.apply_guardrail(
        guardrailIdentifier=guardrail, guardrailVersion="DRAFT", source="INPUT", content=[{"text": {"text": "hello"}}],
    )
    assert fine["action"] == "NONE" and fine["outputs"] == []
    with refused("ResourceNotFoundException"):
        runtime.apply_guardrail(
            guardrailIdentifier=guardrail, guardrailVersion="7", source="INPUT", content=[{"text": {"text": "x"}}],
        )


def test_invoke_model(runtime, refused):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    answer = runtime.invoke_model(modelId=CLAUDE, body=json.dumps(body))
    said = json.loads(answer["body"].read())
    assert said["content"][0]["text"] and said["usage"]["output_tokens"] > 0
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-amzn-bedrock-output-token-count"]) == said["usage"]["output_tokens"]
    stream = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))
    parts = [json.loads(event["chunk"]["bytes"]) for event in stream["body"]]
    text = "".join(part["delta"]["text"] for part in parts if part["type"] == "content_block_delta")
    assert text == said["content"][0]["text"] and "amazon-bedrock-invocationMetrics" in parts[-1]
    with refused("ValidationException"):
        runtime.invoke_model(modelId=CLAUDE, body="{}")
    vector = json.loads(
        runtime.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "a"}))["body"].read()
    )["embedding"]
    assert len(vector) == 1024 and abs(sum(x * x for x in vector) - 1) < 1e-6


def test_count_tokens(runtime):
    counted = runtime.count_tokens(modelId=CLAUDE, input={"converse": {"messages": ask("hello there")["messages"]}})
    assert counted["inputTokens"] == runtime.converse(**ask("hello there"))["usage"]["inputTokens"]


ROLE = "arn:aws:iam::123456789012:role/bedrock"


def test_invocation_jobs(bedrock, refused, later):
    def make(name, **more):
        return bedrock.create_model_invocation_job(
            jobName=name, roleArn=ROLE, modelId=CLAUDE,
            inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://no-such-bucket-here/in/"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://no-such-bucket-here/out/"}}, **more,
        )["jobArn"]

    arn = make("batch", clientRequestToken="t" * 40)
    assert make("batch", clientRequestToken="t" * 40) == arn
    with refused("ConflictException"):
        make("batch")
    assert bedrock.get_model_invocation_job(jobIdentifier=arn)["status"] == "Submitted"
    other = make("other")
    bedrock.stop_model_invocation_job(jobIdentifier=other)
    later(3600)
    assert bedrock.get_model_invocation_job(jobIdentifier=other)["status"] == "Stopped"
    assert bedrock.get_model_invocation_job(jobIdentifier=arn)["status"] in ("Failed", "Completed")
    assert len(bedrock.list_model_invocation_jobs(statusEquals="Stopped")["invocationJobSummaries"]) == 1
    with refused("ConflictException"):
        bedrock.stop_model_invocation_job(jobIdentifier=other)
    with refused("ResourceNotFoundException"):
        bedrock.get_model_invocation_job(jobIdentifier="abcdefabcdef")


def test_customization(bedrock, refused, later):
    def make(name, model):
        return bedrock.create_model_customization_job(
            jobName=name, customModelName=model, roleArn=ROLE, baseModelIdentifier="amazon.titan-text-express-v1",
            trainingDataConfig={"s3Uri": "s3://bucket/train.jsonl"}, outputDataConfig={"s3Uri": "s3://bucket/out/"},
        )["jobArn"]

    arn = make("tune", "mine")
    with refused("ConflictException"):
        make("tune", "yours")
    with refused("ConflictException"):
        make("again", "mine")
    make("stopped", "never")
    bedrock.stop_model_customization_job(jobIdentifier="stopped")
    later(7200)
    found = bedrock.get_model_customization_job(jobIdentifier=arn)
    assert found["status"] == "Completed" and found["outputModelArn"]
    assert bedrock.get_model_customization_job(jobIdentifier="stopped")["status"] == "Stopped"
    jobs = bedrock.list_model_customization_jobs(statusEquals="Completed")["modelCustomizationJobSummaries"]
    assert [row["jobName"] for row in jobs] == ["tune"]
    assert bedrock.get_custom_model(modelIdentifier="mine")["modelArn"] == found["outputModelArn"]
    assert [row["modelName"] for row in bedrock.list_custom_models()["modelSummaries"]] == ["mine"]
    bedrock.delete_custom_model(modelIdentifier="mine")
    with refused("ResourceNotFoundException"):
        bedrock.get_custom_model(modelIdentifier="mine")


def test_what_is_written_to_s3(bedrock, runtime, client, account, later):
    s3, config = client("s3"), {"s3Config": destinations(client, account)["s3Config"]}
    bucket = config["s3Config"]["bucketName"]
    bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    answer = runtime.converse(**ask("is this logged?"))
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket, Prefix="log/AWSLogs/")["Contents"] if row["Size"]]
    assert len(keys) == 1 and "/BedrockModelInvocationLogs/us-east-1/" in keys[0]
    record = json.loads(gzip.decompress(s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read()))
    assert record["operation"] == "Converse" and record["output"]["outputTokenCount"] == answer["usage"]["outputTokens"]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    lines = [{"recordId": "1", "modelInput": body}, {"recordId": "2", "modelInput": {}}]
    s3.put_object(Bucket=bucket, Key="in/a.jsonl", Body="\n".join(map(json.dumps, lines)))
    arn = bedrock.create_model_invocation_job(
        jobName="batch", roleArn=ROLE, modelId=CLAUDE,
        inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://{bucket}/in/"}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{bucket}/out/"}},
    )["jobArn"]
    later(3600)
    job = bedrock.get_model_invocation_job(jobIdentifier=arn)
    assert (job["status"], job["successRecordCount"], job["errorRecordCount"]) == ("Completed", 1, 1)
    out = s3.get_object(Bucket=bucket, Key=f"out/{arn.split('/')[-1]}/a.jsonl.out")["Body"].read().decode().splitlines()
    assert [("modelOutput" in json.loads(line)) for line in out] == [True, False]


def test_invocations_are_logged_where_the_configuration_says(client, account):
    logs, bedrock, runtime = client("logs"), client("bedrock"), client("bedrock-runtime")
    config = {"cloudWatchConfig": destinations(client, account)["cloudWatchConfig"]}
    bedrock.put_model_invocation_logging_configuration(loggingConfig=config)
    runtime.converse(modelId="amazon.nova-lite-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}])
    _, event = logs.filter_log_events(logGroupName="invocations")["events"]
    assert json.loads(event["message"])["modelId"] == "amazon.nova-lite-v1:0"
