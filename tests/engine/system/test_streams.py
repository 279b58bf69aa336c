"""At the process's door: output that cannot be written ends in words and a status, whatever the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from engine.__main__ import COMMANDS
from engine.protocol.events import SessionClosed
from engine.session import journal
from engine.system.streams import NOT_WRITTEN
from qood_tui.cli.main import main

TERMINAL = {
    "compare": ("compare", "demo", "interrupted", "--plain"),
    "completion": ("completion", "bash"),
    "config check": ("config", "check"),
    "config path": ("config", "path"),
    "config schema": ("config", "schema"),
    "config show": ("config", "show"),
    "doctor": ("doctor", "--help"),
    "replay": ("replay", "demo", "--plain"),
    "report": ("report", "demo", "--quick"),
    "run": ("run", "--help"),
    "serve": ("serve", "--help"),
    "sessions delete": ("sessions", "delete", "--help"),
    "sessions export": ("sessions", "export", "--help"),
    "sessions import": ("sessions", "import", "--help"),
    "sessions list": ("sessions", "list"),
    "sessions note": ("sessions", "note", "demo"),
    "sessions redact": ("sessions", "redact", "--help"),
    "sessions rename": ("sessions", "rename", "--help"),
    "sessions rescore": ("sessions", "rescore", "--help"),
    "sessions show": ("sessions", "show", "demo"),
    "sessions verify": ("sessions", "verify", "demo", "--quick"),
    "stop": ("stop",),
    "": ("--version",),
}
ENGINE = {
    "data": ("data", "--help"),
    "doctor": ("doctor", "--help"),
    "metrics": ("metrics", "--help"),
    "quantize": ("quantize", "--help"),
    "report": ("report", "--help"),
    "rescore": ("rescore", "--help"),
    "run": ("run", "--help"),
    "scores": ("scores", "--list"),
    "": ("--help",),
}
DOORS = [("qood_tui", *arguments) for arguments in TERMINAL.values()]
DOORS += [("engine", *arguments) for arguments in ENGINE.values()]
# How a shell redirects, whether that leaves a place for words and what then must be among them.
REDIRECTED = {
    "> /dev/full": "the disk is full",
    ">&-": "it is closed",
    "| true": "what read it has closed it",
    "> /dev/full 2>&-": "",
    ">&- 2>&- <&-": "",
}


def leaves(command: click.Command, path: str = "") -> set[str]:
    if not isinstance(command, click.Group):
        return {path}
    return {name for key, one in command.commands.items() for name in leaves(one, f"{path} {key}".strip())}


def test_every_command_is_tried() -> None:
    forwarded = {"data", "metrics", "quantize", "scores"}  # to those of the engine
    assert set(TERMINAL) - {""} == leaves(main) - forwarded
    assert set(ENGINE) - {""} == {"run", "report", *COMMANDS}


def started(arguments: tuple[str, ...], how: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command behind a redirection; its exit status, not that of what follows it, is the shell's."""
    script = f'"$0" -m "$@" {how}' if "|" not in how else f'(sleep 0.2; "$0" -m "$@") {how}'
    return subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", script, sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "QOOD_RUNTIME": str(folder), "QOOD_LOGS": str(folder / "logs")},
    )


@pytest.mark.parametrize("arguments", DOORS, ids=" ".join)
def test_output_that_cannot_be_written_ends_in_words_and_a_status(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    computes = arguments[1] in ("data", "metrics", "quantize", "scores", "rescore")  # torch takes seconds
    ways = ("> /dev/full", "2>&- <&-") if computes else (*REDIRECTED, "2>&- <&-", "2> /dev/full")
    running = {how: started(arguments, how, tmp_path) for how in ways}
    for how, process in running.items():
        out, told = process.communicate(timeout=120)
        assert "Traceback" not in told and "defect" not in told and "Exception ignored" not in told, told
        if how in REDIRECTED:
            assert process.returncode == NOT_WRITTEN, (how, told)
            assert REDIRECTED[how] in told and not out
            assert not how.endswith("-") or how == ">&-" or not told
        else:
            assert process.returncode == 0 and out, (how, told)
    assert not (tmp_path / "logs").exists()


def test_a_sweep_goes_on_without_its_streams_and_is_kept(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('models = ["vit-narrow"]\nbits = ["FP32"]\nid_images = 100\nood_images = 40\n')
    for how, status in (("> /dev/full 2>&-", NOT_WRITTEN), ("2> /dev/full", 0)):
        folder = tmp_path / str(status)
        script = f'"$0" -m qood_tui run "$1" --json --session-dir "$2" {how}'
        command = ["bash", "-c", script, sys.executable, str(plan), str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ran.returncode == status
        (session,) = folder.iterdir()
        last = journal.read(session)[1][-1].event
        assert isinstance(last, SessionClosed) and last.outcome == "finished"
    assert json.loads(ran.stdout)["rows"]


def test_children_are_told_that_standard_output_is_closed(tmp_path: Path) -> None:
    """No file that a command opens may become the standard output of what it starts."""
    script = (
        "import subprocess, sys; from engine.system.streams import served\n"
        "def command():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        assert file.fileno() > 2\n"
        "        raise SystemExit(subprocess.run(['echo', 'astray'], close_fds=False).returncode)\n"
        "served(command, 'x')"
    )
    file = tmp_path / "file"
    command = ["bash", "-c", '"$0" -c "$1" "$2" >&- <&-', sys.executable, script, str(file)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1 and "Bad file descriptor" in ran.stderr and file.read_text() == ""
