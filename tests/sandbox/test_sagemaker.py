"""Models, endpoint configurations, endpoints and training jobs."""

import io
import json
import tarfile

import pytest

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1"


@pytest.fixture
def sagemaker(client):
    return client("sagemaker")


def model(sagemaker, name="model", **environment):
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": environment}
    return sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)["ModelArn"]


def config(sagemaker, name="config", model="model", **more):
    variant = {"VariantName": "a", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)


def test_models(sagemaker, refused):
    arn = model(sagemaker, name="My-Model")
    assert arn.endswith("model/my-model"), "ARNs are in lower case"
    found = sagemaker.describe_model(ModelName="My-Model")
    assert found["PrimaryContainer"]["Mode"] == "SingleModel"
    assert found["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["CompressionType"] == "Gzip"
    assert found["EnableNetworkIsolation"] is False
    with refused("ValidationException") as error:
        model(sagemaker, name="My-Model")
    assert "already existing" in error.error["Error"]["Message"]
    with refused("ValidationException"):
        sagemaker.create_model(ModelName="none", ExecutionRoleArn=ROLE)
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    for number in range(12):
        model(sagemaker, name=f"m{number}")
    names = [row["ModelName"] for page in sagemaker.get_paginator("list_models").paginate() for row in page["Models"]]
    assert len(names) == len(set(names)) == 13
    assert [row["ModelName"] for row in sagemaker.list_models(NameContains="m11")["Models"]] == ["m11"]
    sagemaker.delete_model(ModelName="My-Model")
    with refused("ValidationException") as error:
        sagemaker.describe_model(ModelName="My-Model")
    assert "Could not find" in error.error["Error"]["Message"]


def test_additional_model_data_sources(sagemaker, refused):
    def source(channel):
        place = {"S3Uri": f"s3://acme/{channel}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        return {"ChannelName": channel, "S3DataSource": place}

    def make(*channels):
        container = {"Image": IMAGE, "AdditionalModelDataSources": [source(channel) for channel in channels]}
        sagemaker.create_model(ModelName="wide", PrimaryContainer=container, ExecutionRoleArn=ROLE)

    for bad in [["draft", "draft"], ["no channel"], [f"c{number}" for number in range(6)]]:
        with refused("ValidationException"):
            make(*bad)
    make("draft", "adapter")
    shown = sagemaker.describe_model(ModelName="wide")["PrimaryContainer"]["AdditionalModelDataSources"]
    assert shown == [source("draft"), source("adapter")]


def test_a_role_has_to_trust_sagemaker(sagemaker, client, account, refused):
    iam = client("iam")
    arn = f"arn:aws:iam::{account}:role/sagemaker"

    def refuse():
        with refused("ValidationException") as error:
            sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=arn)
        assert error.error["Error"]["Message"].startswith(f"Could not assume role {arn}. Please ensure that the role")
        with refused("ValidationException") as error:
            train(sagemaker, "j", role=arn)
        assert error.error["Error"]["Message"].startswith(f"Could not assume role {arn}. Please ensure that the role")

    def trust(service):
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
                     "Condition": {"StringEquals": {"aws:SourceAccount": account}}}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    refuse()
    iam.create_role(RoleName="sagemaker", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
    refuse()
    iam.update_assume_role_policy(RoleName="sagemaker", PolicyDocument=trust("sagemaker.amazonaws.com"))
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=arn)
    train(sagemaker, "j", role=arn)


def test_endpoint_configs(sagemaker, refused):
    with refused("ValidationException"):
        config(sagemaker)
    model(sagemaker)
    config(sagemaker, Tags=[{"Key": "a", "Value": "1"}])
    found = sagemaker.describe_endpoint_config(EndpointConfigName="config")
    assert found["ProductionVariants"][0]["InitialVariantWeight"] == 1.0
    with refused("ValidationException"):
        config(sagemaker)
    with refused("ValidationException"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="p5", KmsKeyId="key",
            ProductionVariants=[{"VariantName": "a", "ModelName": "model", "InstanceType": "ml.p5.48xlarge", "InitialInstanceCount": 1}],
        )
    assert [row["EndpointConfigName"] for row in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == ["config"]
    sagemaker.delete_endpoint_config(EndpointConfigName="config")
    with refused("ValidationException"):
        sagemaker.describe_endpoint_config(EndpointConfigName="config")


def test_endpoint_life(sagemaker, client, refused, later):
    model(sagemaker)
    model(sagemaker, name="broken", SANDBOX_FAIL="1")
    config(sagemaker)
    config(sagemaker, name="second")
    config(sagemaker, name="third", model="broken")
    with refused("ValidationException"):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="none")
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="config")
    with refused("ValidationException"):
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="config")
    status = lambda: sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"]
    assert status() == "Creating"
    with refused("ValidationException"):
        sagemaker.delete_endpoint(EndpointName="e")
    runtime = client("sagemaker-runtime")
    with refused("ValidationError"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"x")
    later(600)
    assert status() == "InService"
    answer = runtime.invoke_endpoint(EndpointName="e", Body=b"x", ContentType="text/plain")
    assert answer["InvokedProductionVariant"] == "a" and json.loads(answer["Body"].read())["bytes"] == 1
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="second")
    assert status() == "Updating"
    with refused("ValidationException"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="config")
    later(600)
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "second")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="third")
    later(245)
    assert status() == "RollingBack"
    later(600)
    found = sagemaker.describe_endpoint(EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "second")
    assert "ping health check" in found["FailureReason"]
    sagemaker.create_endpoint(EndpointName="f", EndpointConfigName="third")
    later(600)
    assert sagemaker.describe_endpoint(EndpointName="f")["EndpointStatus"] == "Failed"
    assert [row["EndpointName"] for row in sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]] == ["f"]
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredInstanceCount": 3}],
    )
    later(600)
    assert sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    sagemaker.delete_endpoint(EndpointName="e")
    assert status() == "Deleting"
    later(600)
    with refused("ValidationException"):
        sagemaker.describe_endpoint(EndpointName="e")


def train(sagemaker, name="job", seconds=3600, role=ROLE, **parameters):
    return sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=role, HyperParameters=parameters,
        AlgorithmSpecification={
            "TrainingImage": IMAGE, "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
        },
        OutputDataConfig={"S3OutputPath": "s3://bucket/out/"},
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
        StoppingCondition={"MaxRuntimeInSeconds": seconds},
    )["TrainingJobArn"]


def test_training_job_goes_through_its_states(sagemaker, refused, later):
    train(sagemaker)
    with refused("ResourceInUse"):
        train(sagemaker)
    describe = lambda name="job": sagemaker.describe_training_job(TrainingJobName=name)
    seen = []
    for _ in range(50):
        found = describe()
        seen.append(found["SecondaryStatus"])
        if found["TrainingJobStatus"] != "InProgress":
            break
        later(10)
    assert list(dict.fromkeys(seen)) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/job/output/model.tar.gz"
    assert found["FinalMetricDataList"][0]["MetricName"] == "loss"
    assert [row["Status"] for row in found["SecondaryStatusTransitions"]][-1] == "Completed"
    with refused("ValidationException"):
        sagemaker.stop_training_job(TrainingJobName="job")
    train(sagemaker, name="bad", sandbox_fail="out of memory")
    train(sagemaker, name="stopped")
    train(sagemaker, name="long", seconds=60)
    later(120)
    sagemaker.stop_training_job(TrainingJobName="stopped")
    assert describe("stopped")["TrainingJobStatus"] == "Stopping"
    later(3600)
    assert describe("stopped")["TrainingJobStatus"] == "Stopped"
    assert describe("long")["SecondaryStatus"] == "MaxRuntimeExceeded"
    bad = describe("bad")
    assert bad["TrainingJobStatus"] == "Failed" and "out of memory" in bad["FailureReason"]
    failed = sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"]
    assert [row["TrainingJobName"] for row in failed] == ["bad"]
    with refused("ValidationException"):
        describe("none")


def test_a_model_is_written(sagemaker, client, account, later):
    s3, bucket = client("s3"), f"training-{account}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in/data.csv", Body=b"1,2")

    def train(name, prefix):
        sagemaker.create_training_job(
            TrainingJobName=name, RoleArn=ROLE, HyperParameters={"epochs": "3"},
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            InputDataConfig=[{
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{prefix}"}},
            }],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
            ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )

    train("good", "in/")
    train("empty", "nothing/")
    later(3600)
    found = sagemaker.describe_training_job(TrainingJobName="good")
    assert found["TrainingJobStatus"] == "Completed"
    key = found["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
    archive = tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    assert json.load(archive.extractfile("model.json"))["parameters"] == {"epochs": "3"}
    failed = sagemaker.describe_training_job(TrainingJobName="empty")
    assert failed["TrainingJobStatus"] == "Failed" and "no objects found" in failed["FailureReason"]


def test_a_job_writes_its_log_and_its_model_without_being_looked_at(client, later, account):
    s3, logs, sagemaker = client("s3"), client("logs"), client("sagemaker")
    s3.create_bucket(Bucket=f"out-{account}")
    sagemaker.create_training_job(
        TrainingJobName="j", RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": "i", "TrainingInputMode": "File",
                                "MetricDefinitions": [{"Name": "loss", "Regex": "x"}]},
        OutputDataConfig={"S3OutputPath": f"s3://out-{account}/out"},
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    group = "/aws/sagemaker/TrainingJobs"

    def events():
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        return logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]

    later(200)  # 60 to start, 30 to download: in the second minute of training
    assert len(events()) == 2
    assert "Contents" not in s3.list_objects_v2(Bucket=f"out-{account}")
    later(1000)
    assert [event["message"].split()[0] for event in events()] == ["training"] + [f"epoch={n}" for n in range(1, 6)]
    made = s3.list_objects_v2(Bucket=f"out-{account}")["Contents"]
    assert [item["Key"] for item in made] == ["out/j/output/model.tar.gz"]
    job = sagemaker.describe_training_job(TrainingJobName="j")
    assert abs((made[0]["LastModified"] - job["TrainingEndTime"]).total_seconds()) < 1
