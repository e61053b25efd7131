"""What `opora apply` asks on a terminal, and that it does not ask for a saved plan."""

import os
import pathlib
import pty
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("OPORA_BIN")

SPEC = """opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data }
"""


@pytest.fixture
def opora(tmp_path):
    """Runs opora on a terminal of its own, types a line, and returns the exit code and what was shown."""
    binary = BINARY or str(ROOT / "target/debug/opora")
    (tmp_path / "opora.yaml").write_text(SPEC)

    def run(*arguments, typed=""):
        control, terminal = pty.openpty()
        process = subprocess.Popen(
            [binary, *arguments, "--sandbox"], cwd=tmp_path, env={"HOME": str(tmp_path), "TERM": "dumb"},
            stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        os.close(terminal)
        os.write(control, typed.encode())
        shown = process.communicate(timeout=60)[0].decode()
        os.close(control)
        return process.returncode, shown

    return run


QUESTION = "apply this plan? Only `yes` goes on."


def test_only_yes_goes_on(opora):
    code, shown = opora("apply", typed="y\n")
    assert code == 1 and QUESTION in shown and "nothing was done" in shown
    assert opora("state", "list")[1] == ""
    code, shown = opora("apply", typed="yes\n")
    assert code == 0 and QUESTION in shown and "created" in shown
    code, shown = opora("destroy", "--allow-data-loss", "kms_key.data", typed="no\n")
    assert code == 1 and "destroy this plan?" in shown


def test_a_saved_plan_is_not_asked_about(opora):
    assert opora("plan", "--out", "p.opora")[0] == 2
    code, shown = opora("apply", "p.opora")
    assert code == 0 and QUESTION not in shown and "created" in shown
