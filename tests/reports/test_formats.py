"""The golden samples meet the schemas of their formats.

SARIF's schema is taken from the crate serde-sarif, which cargo fetches; it is not kept here. check-jsonschema and
jsonschema are on PyPI. Run: `pytest tests/reports`.
"""

import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "reports" / "samples"


@pytest.fixture(scope="session")
def sarif_schema(tmp_path_factory):
    if "OPORA_SARIF_SCHEMA" in os.environ:
        return pathlib.Path(os.environ["OPORA_SARIF_SCHEMA"])
    scratch = tmp_path_factory.mktemp("sarif")
    (scratch / "src").mkdir()
    (scratch / "src" / "lib.rs").write_text("")
    (scratch / "Cargo.toml").write_text(
        '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[dependencies]\nserde-sarif = "=0.8.0"\n'
    )
    found = subprocess.run(["cargo", "metadata", "--format-version=1"], cwd=scratch, capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip("cargo cannot fetch serde-sarif: " + found.stderr.strip().splitlines()[-1])
    packages = json.loads(found.stdout)["packages"]
    manifest = next(one["manifest_path"] for one in packages if one["name"] == "serde-sarif")
    return pathlib.Path(manifest).parent / "src" / "schema.json"


def check_jsonschema(schema, document):
    command = [sys.executable, "-m", "check_jsonschema", "--regex-variant", "python", "--schemafile", str(schema), str(document)]
    return subprocess.run(command, capture_output=True, text=True)


def test_sarif_meets_its_schema(sarif_schema):
    outcome = check_jsonschema(sarif_schema, SAMPLES / "audit.sarif")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_sarif_schema_is_looked_at(sarif_schema, tmp_path):
    log = json.loads((SAMPLES / "audit.sarif").read_text())
    log["runs"][0]["results"][0]["level"] = "dreadful"
    wrong = tmp_path / "wrong.sarif"
    wrong.write_text(json.dumps(log))
    assert check_jsonschema(sarif_schema, wrong).returncode != 0


def test_json_meets_its_schema():
    schema = json.loads((ROOT / "reports" / "audit.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    audit = json.loads((SAMPLES / "audit.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(audit))
    audit["controls"][0]["state"] = "compliant"
    assert list(validator.iter_errors(audit))


def test_every_reference_inside_the_json_resolves():
    audit = json.loads((SAMPLES / "audit.json").read_text())
    checks = {one["check"] for one in audit["populations"]}
    assert {one["check"] for one in audit["findings"]} <= checks
    assert {one["check"] for control in audit["controls"] for one in control["checks"]} <= checks
    for population in audit["populations"]:
        counted = sum(population[key] for key in ("pass", "fail", "waived", "unknown", "not_applicable"))
        mine = [one for one in audit["findings"] if one["check"] == population["check"]]
        assert counted == len(mine)
