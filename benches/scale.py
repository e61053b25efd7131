#!/usr/bin/env python3
"""Measures opora at scale, in the simulated AWS: start-up, plans of many resources without change, checks.

    benches/scale.py [--opora target/release/opora] [--sizes 1000,10000]

For each size it writes a spec of mixed resources and applies it in a sandbox folder, whose clock is virtual. Then
it serves that folder and plans again over the socket. The plan's own process is measured: wall time and memory by
phase (`--timings`), its CPU time, and the API calls by service as the sandbox counted them. Needs Python 3 alone.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# How many of each kind there are in 1,000 resources.
MIX = {
    "vpc": 4, "subnet": 120, "internet_gateway": 4, "route_table": 60, "security_group": 120, "vpc_endpoint": 20,
    "elastic_ip": 5, "placement_group": 30, "launch_template": 30, "log_group": 157, "iam_role": 150,
    "iam_policy": 80, "iam_instance_profile": 20, "kms_key": 30, "s3_bucket": 40, "secretsmanager_secret": 40,
    "sagemaker_model": 30, "sagemaker_endpoint_config": 30, "bedrock_guardrail": 10, "budget": 20,
}
assert sum(MIX.values()) == 1000

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-gpu-py312"


def arguments(kind, n, vpcs):
    vpc = f"$(vpc.n{n % vpcs}.id)"
    return {
        "vpc": lambda: {"cidr": f"10.{n % 200}.0.0/16"},
        "subnet": lambda: {"vpc": vpc, "zone": "us-east-1a", "cidr": f"10.{n % vpcs}.{n // vpcs}.0/24"},
        "internet_gateway": lambda: {"vpc": f"$(vpc.n{n}.id)"},
        "route_table": lambda: {"vpc": vpc},
        "security_group": lambda: {"vpc": vpc, "description": f"Group {n}", "ingress": [
            {"protocol": "tcp", "ports": 443, "from": ["10.0.0.0/8"], "description": "TLS"}]},
        "vpc_endpoint": lambda: {"vpc": vpc, "service": "s3", "type": "gateway"},
        "elastic_ip": dict,
        "placement_group": lambda: {"strategy": "cluster"},
        "launch_template": lambda: {"instance_type": "m7i.large", "image": "ami-0123456789abcdef0"},
        "log_group": lambda: {"name": f"/bench/{n}", "retention_days": 365},
        "iam_role": lambda: {"trust": {"service": "ec2.amazonaws.com"}},
        "iam_policy": lambda: {"document": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::bench-{n}/*"}]}},
        "iam_instance_profile": lambda: {"role": f"$(iam_role.n{n}.name)"},
        "kms_key": lambda: {"description": f"Key {n}", "rotation": {"period_days": 365}},
        "s3_bucket": lambda: {"name": f"opora-bench-{n}", "versioning": True},
        "secretsmanager_secret": lambda: {"description": f"Secret {n}", "value": {"generate": {"length": 32}}},
        "sagemaker_model": lambda: {"role": "$(iam_role.trainer.arn)", "containers": [{"image": IMAGE}]},
        "sagemaker_endpoint_config": lambda: {"variants": [
            {"name": "main", "model": f"$(sagemaker_model.n{n}.name)", "instance_type": "ml.g5.xlarge"}]},
        "bedrock_guardrail": lambda: {"name": f"bench-{n}", "words": ["secret"]},
        "budget": lambda: {"amount": 100, "unit": "USD", "period": "monthly"},
    }[kind]()


def spec(size):
    resources = {
        kind: {f"n{n}": arguments(kind, n, MIX["vpc"] * size // 1000) for n in range(share * size // 1000)}
        for kind, share in MIX.items()
    }
    roles = resources["iam_role"]
    roles.popitem()
    roles["trainer"] = {"trust": {"service": "sagemaker.amazonaws.com"}}
    return {"opora": 1, "environment": "bench", "account": "123456789012", "region": "us-east-1",
            "resources": resources}


def yaml(value, depth=0):
    """Writes block YAML down to the arguments, and those as JSON, which is YAML too."""
    if depth < 3 and isinstance(value, dict):
        return "".join(f"{'  ' * depth}{key}:" + (
            "\n" + yaml(inner, depth + 1) if depth < 2 and isinstance(inner, dict) else f" {json.dumps(inner)}\n")
            for key, inner in value.items())
    return f"{'  ' * depth}{json.dumps(value)}\n"


def run(command, **options):
    """Runs a command to its end; returns its output, wall and CPU seconds, and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    out, err = [], []
    readers = [threading.Thread(target=lambda s=s, to=to: to.append(s.read()))
               for s, to in ((process.stdout, out), (process.stderr, err))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    return process.returncode, out[0], err[0], wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def serve(opora, folder):
    process = subprocess.Popen([opora, "sandbox", "serve", "--listen", "127.0.0.1:0", "--dir", folder],
                               stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line.startswith("listening on http://"):
        sys.exit(f"the sandbox did not start: {line}")
    return process, line.split()[-1]


def calls(url):
    with urllib.request.urlopen(f"{url}/_sandbox/calls") as answer:
        return json.load(answer)["calls"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opora", default="target/release/opora", help="the binary to measure")
    parser.add_argument("--sizes", default="1000,10000")
    options = parser.parse_args()
    opora = str(pathlib.Path(options.opora).resolve())

    starts = [run([opora, "--version"]) for _ in range(21)]
    print(f"opora --version: {min(one[3] for one in starts) * 1000:.1f} ms wall at least, "
          f"{sorted(one[3] for one in starts)[10] * 1000:.1f} ms median, {starts[0][5]:.0f} MB")

    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "123456789012", "AWS_SECRET_ACCESS_KEY": "sandbox"}
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "opora.yaml").write_text(yaml(spec(size)))
            at = {"cwd": folder, "env": environment}
            account = str(pathlib.Path(folder, "account"))
            # An account of this size has raised its quotas.
            pathlib.Path(account).mkdir()
            pathlib.Path(account, "conditions.json").write_text(json.dumps({"quotas": {"*": 10 * size}}))
            code, out, err, wall, cpu, memory = run([opora, "apply", "--yes", "--brief", f"--sandbox={account}"], **at)
            if code != 0:
                sys.exit(f"apply failed ({code}):\n{err[:3000]}")
            print(f"\n{size} resources\n  apply, with the sandbox inside: {wall:.1f} s wall, {cpu:.1f} s CPU, "
                  f"{memory:.0f} MB at most")
            sandbox, url = serve(opora, account)
            try:
                measure(opora, url, at)
            finally:
                sandbox.terminate()
                sandbox.wait()


def measure(opora, url, at):
    common = ["--endpoint-url", url]
    before = len(calls(url))
    code, out, err, wall, cpu, memory = run([opora, "plan", "--timings", *common], **at)
    if code != 0:
        sys.exit(f"the plan is not empty ({code}):\n{err[:3000]}")
    new = calls(url)[before:]
    made = collections.Counter(call["service"] for call in new)
    each = collections.Counter(f'{call["service"]}:{call["operation"]}' for call in new)
    aside = sum(made.values()) - made["s3"] - made["kms"]
    print(f"  plan without change: {wall:.2f} s wall, {cpu:.2f} s CPU, {memory:.0f} MB at most")
    print("    " + "\n    ".join(line for line in err.splitlines() if " MB at most" in line))
    print(f"    {sum(made.values())} calls, {aside} without S3 and KMS: {dict(sorted(made.items()))}")
    print("    most: " + ", ".join(f"{name} {count}" for name, count in each.most_common() if count >= 10))
    code, out, err, wall, cpu, memory = run([opora, "audit", "--spec", "--json"], **at)
    print(f"  checks of the spec: {wall:.2f} s wall, {cpu:.2f} s CPU, {memory:.0f} MB at most")


if __name__ == "__main__":
    main()
