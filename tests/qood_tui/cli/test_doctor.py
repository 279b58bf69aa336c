from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from qood_tui.cli import doctor
from qood_tui.cli.doctor import Terminal
from tests.qood_tui.test_imports import HEAVY, loaded_after

NO_TORCH = "raise ImportError('torch is not what this test is about')\n"
DOCTOR = [sys.executable, "-m", "qood_tui", "doctor"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which torch is quickly found to be broken."""
    (tmp_path / "torch.py").write_text(NO_TORCH)
    told = {k: v for k, v in os.environ.items() if k not in ("TMUX", "STY", "NO_COLOR")}
    return {**told, "PYTHONPATH": str(tmp_path), "TERM": "xterm-256color"}


def in_terminal(columns: int, rows: int, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command in a terminal of its own; return its exit status and what it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [*DOCTOR, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the terminal is closed
                break
    os.close(ours)
    return process.returncode, shown.decode("latin-1").replace("\r\n", "\n")


def test_the_engines_findings_and_the_terminals_are_one_document(environment: dict[str, str]) -> None:
    ran = subprocess.run(
        [*DOCTOR, "--json", "--data", "/nonexistent"],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=180,
    )
    assert ran.returncode == 3, ran.stderr
    assert "Traceback" not in ran.stderr
    findings = {f["name"]: f for f in json.loads(ran.stdout)["findings"]}
    assert findings["torch"]["level"] == "bad" and "this test is about" in findings["torch"]["found"]
    assert findings["data"]["level"] == "bad" and "/nonexistent" in findings["data"]["found"]
    assert (
        findings["terminal"]["level"] == "warning" and "input, output, error" in findings["terminal"]["found"]
    )
    assert findings["encoding"]["level"] in ("good", "warning") and "memory" in findings


def test_a_small_terminal_without_utf8_is_told_so_in_its_own_width(environment: dict[str, str]) -> None:
    environment |= {"PYTHONIOENCODING": "latin-1", "COLORTERM": ""}
    returned, shown = in_terminal(60, 20, environment, "--data", "/nonexistent/ä☃")
    assert returned == 3 and "Traceback" not in shown
    plain = shown.replace("\x1b[0m", "")
    for colour in ("32", "33", "31"):
        assert f"\x1b[{colour}m" in plain
        plain = plain.replace(f"\x1b[{colour}m", "")
    assert "\x1b" not in plain
    assert not [line for line in plain.splitlines() if len(line) > 60 and len(line.split()) > 1]
    heads = {tuple(line.split()[:2]) for line in plain.splitlines() if line[:1].strip()}
    assert heads >= {
        ("bad", "torch"),
        ("warning", "terminal"),
        ("warning", "colours"),
        ("warning", "encoding"),
    }
    assert "60 columns, 20 rows" in plain and "8859-1, not UTF-8" in plain and "Not ready: " in plain


def test_no_color_leaves_the_words(environment: dict[str, str]) -> None:
    _, shown = in_terminal(100, 30, {**environment, "NO_COLOR": "1"})
    assert "\x1b" not in shown and "bad      torch" in shown and "good     terminal    100 columns" in shown


@pytest.mark.parametrize(
    ("told", "level", "words"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "good", "24-bit"),
        ({"TERM": "tmux-256color", "COLORTERM": "24bit", "TMUX": "/tmp/x"}, "good", "in tmux"),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor", "STY": "1.x"}, "warning", "in screen"),
        ({"TERM": "screen", "STY": "1.x"}, "warning", "16 only"),
        ({"TERM": "xterm-256color"}, "warning", "export COLORTERM=truecolor"),
        ({}, "warning", "16 only"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "bad", "TERM=dumb"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "good", "NO_COLOR"),
    ],
)
def test_colours(told: dict[str, str], level: str, words: str) -> None:
    found = doctor.colours(Terminal(environment=told))
    assert found.level == level and words in f"{found.found} {found.do}"
    assert bool(found.do) == (level != "good")


@pytest.mark.parametrize(
    ("columns", "rows", "level"),
    [(80, 24, "good"), (79, 24, "warning"), (80, 23, "warning"), (0, 0, "warning")],
)
def test_size(columns: int, rows: int, level: str) -> None:
    found = doctor.size(Terminal(columns=columns, rows=rows))
    assert found.level == level and f"{columns} columns" in found.found


def test_encoding() -> None:
    assert doctor.encoding(Terminal(encoding="UTF-8")).level == "good"
    found = doctor.encoding(Terminal(encoding="iso8859-1"))
    assert found.level == "warning" and "iso8859-1" in found.found and "UTF-8" in found.do


def test_an_engine_that_breaks_off_or_hangs_is_a_finding() -> None:
    code = "import os, sys; sys.stderr.write('last \\x1b[31mwords\\n'); sys.stderr.flush(); os.abort()"
    [broke] = doctor.engine_findings([sys.executable, "-c", code])
    assert broke.level == "bad" and "SIGABRT" in broke.found and "words" in broke.found
    assert "\x1b" not in broke.found and broke.do
    [left] = doctor.engine_findings([sys.executable, "-c", "raise SystemExit(7)"])
    assert left.level == "bad" and "exit status 7" in left.found
    [hung] = doctor.engine_findings([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5)
    assert hung.level == "bad" and "0.5 s" in hung.found and hung.do


def test_the_terminals_part_needs_neither_torch_nor_textual() -> None:
    assert not loaded_after("import qood_tui.cli.doctor") & {"textual", *HEAVY}
