"""Two applies of the real binary on one state on S3: that of the sandbox, and moto's, which is not ours."""

import os
import signal
import subprocess
import time

import boto3
import pytest

from conftest import binary

ACCOUNT, REGION = "123456789012", "us-east-1"
HEAD = f"""opora: 1
environment: ENVIRONMENT
account: "{ACCOUNT}"
region: {REGION}
state: s3://acme-states/ENVIRONMENT
resources:
  kms_key:
"""


def spec(environment, count, one_by_one=False):
    lines = []
    for n in range(count):
        after = f", depends_on: [kms_key.key{n - 1}]" if one_by_one and n else ""
        lines.append(f"    key{n}: {{ description: Key {n}{after} }}\n")
    return HEAD.replace("ENVIRONMENT", environment) + "".join(lines)


# Simulated seconds in one, for waits, paces and leases of the processes.
SPEED = 10
LEASE_S = 60
# Keys of the run that is stopped, made one after the other.
STOPPED_KEYS = 25


@pytest.fixture(params=["sandbox", "moto"])
def url(request, server):
    return server.url if request.param == "sandbox" else request.getfixturevalue("moto")


def opora(folder, url, *arguments, **variables):
    environment = variables | {
        "PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "any", "AWS_ENDPOINT_URL": url,
    }
    return subprocess.Popen(
        [binary(), *arguments], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_one_goes_on_and_the_other_is_told_who_holds_the_state(tmp_path, url):
    s3 = boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="any")
    s3.create_bucket(Bucket="acme-states")
    (tmp_path / "opora.yaml").write_text(spec("research", 40))
    first = opora(tmp_path, url, "apply", "--yes", "--quiet")
    while not s3.list_objects_v2(Bucket="acme-states", Prefix="research/log/")["KeyCount"]:
        assert first.poll() is None, ended(first)
    # AWS's pace for CreateKey keeps the first one busy for a while.
    code, _, err = ended(opora(tmp_path, url, "apply", "--yes", "--quiet"))
    assert code == 1 and err.startswith("error[STATE001]: another run holds the state\n"), err
    assert f"(process {first.pid}) holds it since " in err, err
    code, out, err = ended(first)
    assert code == 0, out[-2000:] + err
    kms = boto3.client("kms", endpoint_url=url, region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="any")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys(Limit=1000)["Keys"]]
    assert len([key for key in keys if key["Description"].startswith("Key ")]) == 40
    assert ended(opora(tmp_path, url, "plan", "--quiet"))[0] == 0
    code, out, err = ended(opora(tmp_path, url, "state", "verify"))
    assert code == 0, out + err


def keys(url):
    """Returns how many keys there are."""
    kms = boto3.client("kms", endpoint_url=url, region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="any")
    return sum(len(page["Keys"]) for page in kms.get_paginator("list_keys").paginate())


def test_a_run_stopped_past_its_lease_is_taken_over_and_fenced_off(tmp_path, url):
    s3 = boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="any")
    s3.create_bucket(Bucket="acme-states")
    before = keys(url)
    (tmp_path / "opora.yaml").write_text(spec("stopped", STOPPED_KEYS, one_by_one=True))
    quick = {"OPORA_SANDBOX_CLOCK": f"{time.time()}:{SPEED}", "OPORA_LEASE_SECONDS": str(LEASE_S)}
    first = opora(tmp_path, url, "apply", "--yes", "--quiet", **quick)
    while keys(url) < before + 3:
        assert first.poll() is None, ended(first)
    first.send_signal(signal.SIGSTOP)
    while True:
        code, out, err = ended(opora(tmp_path, url, "apply", "--yes", "--quiet", **quick))
        if not err.startswith("error[STATE001]"):
            break
        assert f"(process {first.pid}) holds it since " in err, err
    assert code == 0, out[-2000:] + err
    assert keys(url) == before + STOPPED_KEYS
    first.send_signal(signal.SIGCONT)
    code, out, err = ended(first)
    assert code == 1 and "error[STATE002]: this run lost its lease on the state" in err, out[-2000:] + err
    assert keys(url) == before + STOPPED_KEYS, "the late one changes nothing"
    assert ended(opora(tmp_path, url, "plan", "--quiet", **quick))[0] == 0
    code, out, err = ended(opora(tmp_path, url, "state", "verify", **quick))
    assert code == 0, out + err
