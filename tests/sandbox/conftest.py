"""Starts `opora sandbox serve` once per session and hands out unmodified boto3 clients.

OPORA_BIN names the binary; without it, cargo builds and finds it. Each test works in an account of its own:
a 12-digit access key id is that account.
"""

import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = {"bedrock_runtime": "bedrock-runtime", "sagemaker_runtime": "sagemaker-runtime",
         "tagging": "resourcegroupstaggingapi"}
# What has no success or no error of its own: S3 knows no web site here, and the rest takes no input.
NEVER_ANSWERED = {("s3", "GetBucketWebsite")}
NEVER_REFUSED = {
    ("bedrock", "DeleteModelInvocationLoggingConfiguration"), ("bedrock", "GetModelInvocationLoggingConfiguration"),
    # They answer a list of what could not be done.
    ("ec2", "DeleteFlowLogs"), ("ec2", "DeleteVpcEndpoints"),
    ("resourcegroupstaggingapi", "UntagResources"),
    ("iam", "GenerateCredentialReport"), ("iam", "GetAccountSummary"),
}
_calls = {True: set(), False: set()}
_accounts = itertools.count(100000000001)


def binary():
    if "OPORA_BIN" in os.environ:
        return os.environ["OPORA_BIN"]
    built = subprocess.run(
        ["cargo", "build", "--quiet", "--message-format=json", "--bin", "opora"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            return message["executable"]
    raise RuntimeError("cargo named no executable")


def implemented():
    """Returns what the sandbox implements, as boto3 names it: pairs of service and operation."""
    lines = (ROOT / "docs/sandbox-operations.md").read_text().splitlines()
    found, service = set(), None
    for line in lines:
        if line.startswith("## "):
            service = line.split()[1]
        elif service and line:
            found |= {(NAMES.get(service, service), name) for name in line.split(", ")}
    return found


def pytest_configure(config):
    def note(model, http_response, parsed, **_):
        # A denial is no error of the operation's own.
        if "Unauthorized" not in (code := parsed.get("Error", {}).get("Code", "")) and "Denied" not in code:
            _calls[http_response.status_code < 400].add((model.service_model.service_name, model.name))

    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("after-call", note)


def pytest_sessionfinish(session, exitstatus):
    """Fails a run of all tests in which boto3 didn't call every operation, with success and with an error."""
    option = session.config.option
    part = option.keyword or option.markexpr or option.collectonly or session.testsfailed
    files = {item.path.name for item in session.items}
    if part or not {path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")} <= files:
        return
    for what, missing in (
        ("answered", implemented() - _calls[True] - NEVER_ANSWERED),
        ("refused", implemented() - _calls[False] - NEVER_REFUSED),
    ):
        if missing:
            names = ", ".join(sorted(":".join(pair) for pair in missing))
            print(f"\n{len(missing)} operations were never {what} in a test: {names}", file=sys.stderr)
            session.exitstatus = 1


class Server:
    """A running sandbox."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [binary(), "sandbox", "serve", "--listen", "127.0.0.1:0", *options],
            stdout=subprocess.PIPE, text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://"), line
        self.url = line.split()[-1]

    def admin(self, name, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_sandbox/{name}", data)) as answer:
            return json.load(answer)

    def client(self, service, account, region="us-east-1", **options):
        config = Config(retries={"total_max_attempts": 1}, **options)
        return boto3.client(
            service, endpoint_url=self.url, region_name=region, config=config,
            aws_access_key_id=account, aws_secret_access_key="any",
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def moto():
    """The address of moto, an emulator that is not ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/moto-api/data.json").read()
            break
        except OSError:
            assert process.poll() is None, "moto ended"
            time.sleep(0.1)
    else:
        raise AssertionError("moto does not answer")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
def account():
    return str(next(_accounts))


@pytest.fixture
def client(server, account):
    """Makes clients of this test's own account: client("kms"), client("ec2", region="eu-west-1")."""

    def make(service, account=account, **options):
        return server.client(service, account, **options)

    return make


@pytest.fixture
def later(server):
    """Moves the clock forward by seconds."""
    return lambda seconds: server.admin("clock", {"advance_s": seconds})


class Refused:
    """Checks that a call is refused with a code, or with any: `with refused("NotFoundException"): ...`."""

    def __init__(self, code, status=None, says=""):
        self.code, self.status, self.says = code, status, says

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind is not None, f"expected {self.code}, the call succeeded"
        if not isinstance(error, ClientError):
            return False
        assert self.code in (None, error.response["Error"]["Code"]), error.response
        assert self.says in error.response["Error"]["Message"], error.response
        if self.status:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == self.status
        self.error = error.response
        return True


@pytest.fixture
def refused():
    return Refused
