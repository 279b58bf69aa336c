"""Carry out commands in this process: a new one would first have to import torch or textual."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from subprocess import CompletedProcess
from unittest import mock

from engine.__main__ import main as of_engine
from engine.system.paths import sessions_place
from qood_tui.cli.main import main as of_terminal


def engine(*arguments: str) -> CompletedProcess[str]:
    """Carry out `python -m engine …`, as which `qood-tui` runs quantize, scores, metrics and data."""
    return _ran(of_engine, "engine", arguments)


def terminal(*arguments: str) -> CompletedProcess[str]:
    """Carry out `qood-tui …` where standard input is no terminal."""
    return _ran(of_terminal.main, "qood-tui", arguments)


def _ran(command: Callable[[], object], program: str, arguments: tuple[str, ...]) -> CompletedProcess[str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with (
        mock.patch.dict(os.environ),
        mock.patch.dict(vars(sessions_place)),  # which an option names to whatever the command calls
        mock.patch.object(sys, "argv", [program, *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = command()
        except SystemExit as ended:
            status = ended.code
    said = [stream.buffer.getvalue().decode() for stream in (out, err) if not stream.flush()]  # type: ignore[attr-defined]
    return CompletedProcess(arguments, int(status or 0) if not isinstance(status, str) else 1, *said)
