"""Output that cannot be written ends in a reason and a status, at the door that all commands go through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.protocol.events import SessionClosed
from engine.session.session import Session
from engine.system.streams import NOT_WRITTEN

# How a shell redirects, and the reason that is given where there is a place for one.
LOST = {
    "> /dev/full": "the disk is full",
    ">&-": "it is closed",
    "| true": "its reader has closed it",
    "> /dev/full 2>&-": "",
    ">&- 2>&- <&-": "",
}
KEPT = ("2>&- <&-", "2> /dev/full")
WRITES = (
    "import sys; from engine.system.streams import served\n"
    "def command():\n"
    "    sys.stderr.write('beside\\n'); sys.stdout.write('x' * {size})\n"
    "served(command, 'program')"
)


def ran(arguments: tuple[str, ...], how: str) -> subprocess.CompletedProcess[str]:
    """Run Python behind a redirection; the exit status is its own, not that of what reads its output."""
    script = f'"$0" "$@" {how}' if "|" not in how else f'(sleep 0.2; "$0" "$@") {how}'
    command = ["bash", "-o", "pipefail", "-c", script, sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("how", LOST)
def test_output_that_is_lost_ends_in_a_reason_and_a_status(how: str, size: int) -> None:
    done = ran(("-c", WRITES.format(size=size)), how)
    assert done.returncode == NOT_WRITTEN and not done.stdout
    reason = f"program: standard output cannot be written: {LOST[how]}\n" if LOST[how] else ""
    assert done.stderr == ("beside\n" if reason else "") + reason


@pytest.mark.parametrize("how", KEPT)
def test_a_command_continues_without_standard_error(how: str) -> None:
    done = ran(("-c", WRITES.format(size=1)), how)
    assert done.returncode == 0 and done.stdout == "x"


@pytest.mark.parametrize(
    "arguments",
    [
        ("qood_tui", "--version"),
        ("qood_tui", "report", "demo", "--quick"),
        ("qood_tui", "config", "schema"),
        ("qood_tui", "run", "--help"),
        ("engine", "--help"),
        ("engine", "scores", "--list"),
    ],
    ids=" ".join,
)
def test_both_programs_go_through_this_door(arguments: tuple[str, ...]) -> None:
    done = ran(("-m", *arguments), "> /dev/full")
    assert done.returncode == NOT_WRITTEN and done.stderr.endswith("cannot be written: the disk is full\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_sweep_goes_on_without_its_streams_and_is_kept(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('models = ["vit-narrow"]\nbits = ["FP32"]\nid_images = 100\nood_images = 40\n')
    run = ("-m", "qood_tui", "run", str(plan), "--json", "--session-dir", str(tmp_path / "sessions"))
    assert ran(run, "> /dev/full 2>&-").returncode == NOT_WRITTEN
    (session,) = (tmp_path / "sessions").iterdir()
    last = Session.at(session).entries[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "finished"


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """What a child of a command prints must not end in a file that the command has open."""
    script = (
        "import subprocess, sys; from engine.system.streams import served\n"
        "def command():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        assert file.fileno() > 2\n"
        "        raise SystemExit(subprocess.run(['echo', 'astray'], close_fds=False).returncode)\n"
        "served(command, 'x')"
    )
    file = tmp_path / "file"
    done = ran(("-c", script, os.fspath(file)), ">&- <&-")
    assert done.returncode == 1 and "Bad file descriptor" in done.stderr and file.read_text() == ""
