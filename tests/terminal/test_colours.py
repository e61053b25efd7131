"""Colour and progress: only where a person watches, and never more than the terminal is wide."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from test_asking import BINARY, ROOT, SPEC

OPORA = BINARY or str(ROOT / "target/debug/opora")
ESCAPE = "\x1b["


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
        [OPORA, *arguments], cwd=folder, env=environment(folder, **variables),
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
        [OPORA, *arguments], cwd=folder, env=environment(folder, **variables), stdin=subprocess.DEVNULL,
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
def test_the_lines_of_a_spec_fit_the_terminal(folder, columns):
    wrong = "    data: { description: Data, rotation: { period_days: 365 }, polcy: none, alias: alias/a-rather-long-name }\n"
    (folder / "opora.yaml").write_text(SPEC.replace("    data: { description: Data }\n", wrong))
    shown = watched(folder, "validate", columns=columns, NO_COLOR="1")
    (line,) = [line for line in shown.replace("\r", "").splitlines() if "7 │" in line]
    assert "polcy: none" in line and len(line) <= columns, shown
    assert columns < 120 or line.endswith("a-rather-long-name }"), "it is cut only where it has to be"
