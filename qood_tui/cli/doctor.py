"""`qood-tui doctor`: what the engine found in a process of its own, and whether the terminal will do."""

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

LONGEST_SECONDS = 180  # torch on a slow network disk takes a minute
LEAST_COLUMNS, LEAST_ROWS = 80, 24
COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}


class Terminal(msgspec.Struct, frozen=True):
    """What can be known of a terminal: which streams are not one, its size, encoding and environment."""

    redirected: tuple[str, ...] = ()
    columns: int = LEAST_COLUMNS
    rows: int = LEAST_ROWS
    encoding: str = "utf-8"
    environment: Mapping[str, str] = {}


def run(data: Path | None, *, as_json: bool) -> int:
    """Print all findings and return the exit status: 0 where nothing is bad, else 3."""
    if sys.stderr.isatty():
        click.echo("Looking; importing torch takes some seconds.\n", err=True)
    command = [sys.executable, "-m", "engine", "doctor", "--json"]
    findings = engine_findings([*command, f"--data={data}"] if data else command)
    findings += terminal_findings(here())
    encoding = sys.stdout.encoding or "ascii"
    shown = document(findings) if as_json else text(findings)
    click.echo(shown.encode(encoding, "replace").decode(encoding), nl=False)
    return status(findings)


def text(findings: list[Finding]) -> str:
    """Return the findings as the terminal shows them: in its width, coloured where that is wanted."""
    attended = sys.stdout.isatty()
    coloured = attended and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
    paint = _painted if coloured else str
    told = lines(findings, shutil.get_terminal_size().columns, paint) if attended else lines(findings)
    return "\n".join(told) + "\n"


def engine_findings(command: list[str], seconds: float = LONGEST_SECONDS) -> list[Finding]:
    """Return what the engine finds; that it hangs or breaks off is a finding too."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **_sessions_folder(), "PYTHONIOENCODING": "utf-8:backslashreplace"},
    )
    try:
        out, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # not waited for: a process that a broken driver holds does not end
        found = f"no answer within {seconds:g} s; a broken GPU driver or a network disk may hold it up"
        return [Finding("bad", "engine", found, "see what nvidia-smi says, then try again")]
    try:
        return msgspec.json.decode(out, type=Report).findings
    except msgspec.DecodeError:
        last = next(iter(reversed(told.decode(errors="replace").strip().splitlines())), "it said nothing")
        found = f"it broke off with {_ending(process.returncode)}: {clean(last)}"
        return [
            Finding("bad", "engine", found, "import torch, torchvision and timm by hand to see which fails")
        ]


def _sessions_folder() -> dict[str, str]:
    """Return what tells the engine of a folder that only the configuration names."""
    try:
        return {"QOOD_SESSIONS": str(sessions_folder())}
    except InputError:
        return {}


def here() -> Terminal:
    """Describe the terminal this process runs in."""
    streams = {"input": sys.stdin, "output": sys.stdout, "error": sys.stderr}
    redirected = tuple(name for name, stream in streams.items() if not stream.isatty())
    encoding = sys.stdout.encoding or "ascii"
    if redirected:
        return Terminal(redirected, encoding=encoding, environment=os.environ)
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return Terminal(redirected, columns, rows, encoding, os.environ)


def terminal_findings(terminal: Terminal) -> list[Finding]:
    """Judge the terminal; where there is none, its letters alone."""
    if terminal.redirected:
        found = f"redirected: standard {', '.join(terminal.redirected)}; the application needs a terminal"
        do = "run this in the terminal you will use; 'qood-tui run' works without one"
        return [Finding("warning", "terminal", found, do), letters(terminal)]
    return [size(terminal), colours(terminal), letters(terminal)]


def size(terminal: Terminal) -> Finding:
    """Judge the size."""
    found = f"{terminal.columns} columns, {terminal.rows} rows"
    if terminal.columns < LEAST_COLUMNS or terminal.rows < LEAST_ROWS:
        do = f"enlarge the window to {LEAST_COLUMNS} columns and {LEAST_ROWS} rows, or more"
        return Finding("warning", "terminal", f"{found}: not all of a screen will fit", do)
    return Finding("good", "terminal", found)


def colours(terminal: Terminal) -> Finding:
    """Judge what the environment promises of colours, and what lies between program and terminal."""
    told = terminal.environment
    kind = told.get("TERM", "")
    where = f"TERM={kind}" + (", in tmux" if "TMUX" in told else ", in screen" if "STY" in told else "")
    if kind in ("dumb", "unknown"):
        do = "export TERM=xterm-256color, if the terminal is a usual one"
        return Finding("bad", "colours", f"{where} is for terminals that cannot move the cursor", do)
    if "NO_COLOR" in told:
        return Finding("good", "colours", f"none, as NO_COLOR asks; {where}")
    if told.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        if "STY" in told and "TMUX" not in told:
            do = "if colours look wrong, unset COLORTERM or use tmux"
            return Finding("warning", "colours", f"{where}, which passes 24 bits on only from version 5", do)
        return Finding("good", "colours", f"24-bit; {where}")
    do = "if the terminal has 24-bit colours (most do; ssh does not pass it on): export COLORTERM=truecolor"
    if "STY" in told and "TMUX" not in told:
        do = "for more use tmux"
    return Finding("warning", "colours", f"{256 if kind.endswith('256color') else 16} only; {where}", do)


def letters(terminal: Terminal) -> Finding:
    """Judge the encoding."""
    if terminal.encoding.lower().replace("-", "") == "utf8":
        return Finding("good", "letters", "UTF-8")
    found = f"{terminal.encoding}, not UTF-8: curves and bars are drawn with ASCII alone"
    return Finding("warning", "letters", found, "export LC_ALL=C.UTF-8")


def _painted(level: str) -> str:
    return click.style(level, fg=COLOURS[level])


def _ending(returned: int) -> str:
    if returned >= 0:
        return f"exit status {returned}"
    try:
        return signal.Signals(-returned).name
    except ValueError:
        return f"signal {-returned}"
