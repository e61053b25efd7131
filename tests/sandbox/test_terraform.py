"""Terraform's AWS provider, unmodified, as a client: apply, an empty second plan, destroy.

Skipped where Terraform or the provider is not installed. TF_PLUGIN_DIR names a folder with the provider, for
machines without a network.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import Server

HERE = pathlib.Path(__file__).parent / "terraform"
PLUGINS = os.environ.get("TF_PLUGIN_DIR", "/opt/tf-plugins")

pytestmark = pytest.mark.skipif(
    not shutil.which("terraform") or not pathlib.Path(PLUGINS).is_dir(), reason="terraform or its AWS provider is missing"
)


@pytest.fixture(scope="module")
def server():
    # The provider waits for gateways and endpoints; simulated minutes pass quickly.
    server = Server("--speed", "60")
    yield server
    server.stop()


class Terraform:
    def __init__(self, folder, server, account):
        self.folder = folder
        self.variables = ["-var", f"endpoint={server.url}", "-var", f"account={account}"]

    def run(self, *arguments, expect=0):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_EC2_METADATA_DISABLED": "true",
                       "CHECKPOINT_DISABLE": "1"}
        done = subprocess.run(
            ["terraform", *arguments], cwd=self.folder, env=environment, timeout=400,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        assert done.returncode == expect, done.stdout[-6000:]
        return done.stdout


@pytest.fixture
def terraform(tmp_path, server, account):
    def start(name):
        shutil.copy(HERE / f"{name}.tf", tmp_path)
        terraform = Terraform(tmp_path, server, account)
        terraform.run("init", "-no-color", f"-plugin-dir={PLUGINS}")
        return terraform

    return start


def test_network(terraform, client):
    network = terraform("network")
    network.run("apply", "-no-color", "-auto-approve", *network.variables)
    # Exit code 0 of a detailed plan: nothing to change.
    network.run("plan", "-no-color", "-detailed-exitcode", *network.variables)
    ec2 = client("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "route.state", "Values": ["blackhole"]}])["RouteTables"]
    assert tables == []
    network.run("destroy", "-no-color", "-auto-approve", *network.variables)
    assert [vpc["IsDefault"] for vpc in ec2.describe_vpcs()["Vpcs"]] == [True]
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_environment(terraform, client):
    environment = terraform("environment")
    environment.run("apply", "-no-color", "-auto-approve", *environment.variables)
    environment.run("plan", "-no-color", "-detailed-exitcode", *environment.variables)
    config = client("bedrock").get_model_invocation_logging_configuration()["loggingConfig"]
    assert config["cloudWatchConfig"]["logGroupName"] == "/ml/bedrock"
    assert client("sagemaker").describe_endpoint(EndpointName="assistant")["EndpointStatus"] == "InService"
    environment.run("destroy", "-no-color", "-auto-approve", *environment.variables)
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("iam").list_roles()["Roles"] == []
