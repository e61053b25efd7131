"""Two applies of the real binary on one state on S3: that of the sandbox, and moto's, which is not ours."""

import os
import subprocess

import boto3
import pytest

from conftest import binary

ACCOUNT, REGION = "123456789012", "us-east-1"
SPEC = f"""opora: 1
environment: research
account: "{ACCOUNT}"
region: {REGION}
state: s3://acme-states/research
resources:
  kms_key:
""" + "".join(f"    key{n}: {{ description: Key {n} }}\n" for n in range(40))


@pytest.fixture(params=["sandbox", "moto"])
def url(request, server):
    return server.url if request.param == "sandbox" else request.getfixturevalue("moto")


def opora(folder, url, *arguments):
    environment = {
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
    (tmp_path / "opora.yaml").write_text(SPEC)
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
