"""Colour and progress: only where a person watches, and never more than the terminal is wide."""

import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import termios

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("OPORA_BIN") or str(ROOT / "target/debug/opora")
ESCAPE = "\x1b["

SPEC = """opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "opora.yaml").write_text(SPEC)
    return tmp_path


def environment(folder, **more):
    return {"HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}


def watched(folder, *arguments, columns=100, **variables):
    """Runs opora on a terminal and returns all that it wrote there."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [BINARY, *arguments], cwd=folder, env=environment(folder, **variables),
        stdin=terminal, stdout=terminal, stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(control, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(control)
    process.wait(60)
    return shown.decode()


def piped(folder, *arguments, **variables):
    done = subprocess.run(
        [BINARY, *arguments], cwd=folder, env=environment(folder, **variables), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )
    return done.stdout


def styled(shown):
    return re.findall(r"\x1b\[[0-9;]+m", shown)


def test_colour_is_for_terminals_that_want_it(folder):
    plan = ("plan", "--sandbox")
    assert styled(watched(folder, *plan))
    assert not styled(watched(folder, *plan, NO_COLOR="1"))
    assert not styled(watched(folder, *plan, "--color", "never"))
    assert not styled(piped(folder, *plan))
    assert styled(piped(folder, *plan, "--color", "always"))
    assert not styled(watched(folder, *plan, "--json"))


def test_progress_is_drawn_where_somebody_watches_and_taken_away(folder):
    shown = watched(folder, "apply", "--yes", "--sandbox", NO_COLOR="1")
    assert "reading" in shown and ESCAPE in shown, "a terminal sees progress"
    assert "0/0" not in shown, "no bar without anything in progress"
    last = shown.rstrip().splitlines()[-1]
    assert not last.rstrip().endswith("0/1"), "nothing of it stays"
    assert ESCAPE not in piped(folder, "apply", "--yes", "--sandbox")
    assert "reading" not in piped(folder, "apply", "--yes", "--sandbox", "--quiet")


@pytest.mark.parametrize("columns", [64, 80, 120])
def test_errors_fit_the_terminal(folder, columns):
    wrong = "    data: { description: Data, rotation: { period_days: 365 }, polcy: none, alias: alias/a-rather-long-name }\n"
    (folder / "opora.yaml").write_text(SPEC.replace("    data: { description: Data }\n", wrong))
    shown = watched(folder, "validate", columns=columns, NO_COLOR="1")
    lines = shown.replace("\r", "").splitlines()
    assert any("polcy" in line for line in lines)
    assert max(map(len, lines)) <= columns, shown
