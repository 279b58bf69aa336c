"""Findings and how they are printed; the terminal imports only this module of the room."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import FINISHED, WITH_FAILURES
from engine.text import counted

Level = Literal["good", "warning", "bad"]


class Finding(msgspec.Struct, frozen=True):
    """What one check found and, unless it is good, what to do about it."""

    level: Level
    name: str
    found: str
    do: str = ""


class Report(msgspec.Struct, frozen=True):
    """All findings, as `--json` prints them."""

    findings: list[Finding]


def status(findings: list[Finding]) -> int:
    """Return the exit status."""
    return WITH_FAILURES if any(f.level == "bad" for f in findings) else FINISHED


def document(findings: list[Finding]) -> str:
    """Return the findings as JSON."""
    return msgspec.json.format(msgspec.json.encode(Report(findings)), indent=2).decode() + "\n"


def lines(findings: list[Finding], width: int = 10_000, paint: Callable[[str], str] = str) -> list[str]:
    """Return the findings in columns, wrapped to `width`, levels passed through `paint`, and a summary."""
    indent = " " * (11 + max(len(f.name) for f in findings))
    wrap = partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    printed: list[str] = []
    for f in findings:
        first, *more = wrap(f.found, initial_indent=indent, subsequent_indent=indent) or [indent]
        name = " " * (9 - len(f.level)) + f.name
        printed += [paint(f.level) + name.ljust(len(indent) - len(f.level)) + first[len(indent) :], *more]
        printed += wrap(f.do, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   ")
    bad, doubtful = (sum(f.level == level for f in findings) for level in ("bad", "warning"))
    many = counted(doubtful, "warning")
    return [*printed, "", f"Not ready: {bad} bad, {many}." if bad else f"Ready: nothing is bad, {many}."]


def short(path: Path) -> str:
    """Return a path with the home folder as `~`."""
    home = os.environ.get("HOME", "").rstrip("/")
    return f"~/{path.relative_to(home)}" if home and path.is_relative_to(home) else str(path)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def content(path: Path) -> str:
    """Return the text of a file, empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
