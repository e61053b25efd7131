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

    def __init__(self, code, status=None):
        self.code, self.status = code, status

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind is not None, f"expected {self.code}, the call succeeded"
        if not isinstance(error, ClientError):
            return False
        assert self.code in (None, error.response["Error"]["Code"]), error.response
        if self.status:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == self.status
        self.error = error.response
        return True


@pytest.fixture
def refused():
    return Refused
