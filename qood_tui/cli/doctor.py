"""`qood-tui doctor`: the engine's findings, from a separate process, and those about the terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from engine.doctor.findings import Finding, Report, document, lines, status
from engine.errors import InputError
from engine.system.paths import sessions_folder
from engine.text import clean
from qood_tui.terminal_size import USUAL

LONGEST_SECONDS = 180  # torch on a slow network disk takes a minute
COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}


class Terminal(msgspec.Struct, frozen=True):
    """What is known about a terminal: redirected streams, size, encoding and environment."""

    redirected: tuple[str, ...] = ()
    columns: int = USUAL[0]
    rows: int = USUAL[1]
    encoding: str = "utf-8"
    environment: Mapping[str, str] = {}


def run(data: Path | None, *, as_json: bool) -> int:
    """Print all findings and return the exit status: 0 if nothing is bad, otherwise 3."""
    if sys.stderr.isatty():
        click.echo("Checking; importing torch takes a few seconds.\n", err=True)
    command = [sys.executable, "-m", "engine", "doctor", "--json"]
    findings = engine_findings([*command, f"--data={data}"] if data else command)
    findings += terminal_findings(here())
    encoding = sys.stdout.encoding or "ascii"
    shown = document(findings) if as_json else text(findings)
    click.echo(shown.encode(encoding, "replace").decode(encoding), nl=False)
    return status(findings)


def text(findings: list[Finding]) -> str:
    """Return the findings for the terminal: wrapped to its width, and coloured if it allows."""
    attended = sys.stdout.isatty()
    coloured = attended and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
    paint = _painted if coloured else str
    width = shutil.get_terminal_size().columns
    rows = lines(findings, width, paint) if attended else lines(findings)
    return "\n".join(rows) + "\n"


def engine_findings(command: list[str], seconds: float = LONGEST_SECONDS) -> list[Finding]:
    """Return the engine's findings; a hang or crash is a finding too."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **_sessions_folder(), "PYTHONIOENCODING": "utf-8:backslashreplace"},
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # without waiting: a process stuck in a broken driver does not end
        found = f"no answer within {seconds:g} s; a broken GPU driver or a network disk may block it"
        return [Finding("bad", "engine", found, "check nvidia-smi, then try again")]
    try:
        return msgspec.json.decode(out, type=Report).findings
    except msgspec.DecodeError:
        last = next(iter(reversed(err.decode(errors="replace").strip().splitlines())), "no message")
        found = f"it crashed with {_ending(process.returncode)}: {clean(last)}"
        return [
            Finding("bad", "engine", found, "import torch, torchvision and timm by hand to see which fails")
        ]


def _sessions_folder() -> dict[str, str]:
    """Return the variable that passes on a sessions folder set in the configuration."""
    try:
        return {"QOOD_SESSIONS": str(sessions_folder())}
    except InputError:
        return {}


def here() -> Terminal:
    """Describe the terminal of this process."""
    streams = {"input": sys.stdin, "output": sys.stdout, "error": sys.stderr}
    redirected = tuple(name for name, stream in streams.items() if not stream.isatty())
    encoding = sys.stdout.encoding or "ascii"
    if redirected:
        return Terminal(redirected, encoding=encoding, environment=os.environ)
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return Terminal(redirected, columns, rows, encoding, os.environ)


def terminal_findings(terminal: Terminal) -> list[Finding]:
    """Check the terminal; if output is redirected, only its encoding."""
    if terminal.redirected:
        found = f"standard {', '.join(terminal.redirected)} redirected; the application needs a terminal"
        do = "run this in the terminal you will use; 'qood-tui run' works without one"
        return [Finding("warning", "terminal", found, do), encoding(terminal)]
    return [size(terminal), colours(terminal), encoding(terminal)]


def size(terminal: Terminal) -> Finding:
    """Check the size."""
    found = f"{terminal.columns} columns, {terminal.rows} rows"
    if terminal.columns < USUAL[0] or terminal.rows < USUAL[1]:
        do = f"enlarge the window to at least {USUAL[0]} columns and {USUAL[1]} rows"
        return Finding("warning", "terminal", f"{found}: screens will not fit completely", do)
    return Finding("good", "terminal", found)


def colours(terminal: Terminal) -> Finding:
    """Check the colours that the environment promises, and tmux or screen in between."""
    environment = terminal.environment
    kind = environment.get("TERM", "")
    where = f"TERM={kind}" + (
        ", in tmux" if "TMUX" in environment else ", in screen" if "STY" in environment else ""
    )
    if kind in ("dumb", "unknown"):
        do = "for an ordinary terminal: export TERM=xterm-256color"
        return Finding("bad", "colours", f"{where} stands for terminals that cannot move the cursor", do)
    if "NO_COLOR" in environment:
        return Finding("good", "colours", f"none, because of NO_COLOR; {where}")
    if environment.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        if "STY" in environment and "TMUX" not in environment:
            do = "if colours look wrong, unset COLORTERM or use tmux"
            return Finding(
                "warning", "colours", f"{where}, which supports 24-bit colours only from version 5", do
            )
        return Finding("good", "colours", f"24-bit; {where}")
    do = "if the terminal has 24-bit colours (most do; ssh drops the variable): export COLORTERM=truecolor"
    if "STY" in environment and "TMUX" not in environment:
        do = "use tmux for more"
    return Finding("warning", "colours", f"{256 if kind.endswith('256color') else 16} only; {where}", do)


def encoding(terminal: Terminal) -> Finding:
    """Check the encoding."""
    if terminal.encoding.lower().replace("-", "") == "utf8":
        return Finding("good", "encoding", "UTF-8")
    found = f"{terminal.encoding}, not UTF-8: curves and bars are drawn with ASCII only"
    return Finding("warning", "encoding", found, "export LC_ALL=C.UTF-8")


def _painted(level: str) -> str:
    return click.style(level, fg=COLOURS[level])


def _ending(returned: int) -> str:
    if returned >= 0:
        return f"exit status {returned}"
    try:
        return signal.Signals(-returned).name
    except ValueError:
        return f"signal {-returned}"
