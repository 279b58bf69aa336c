"""Standard streams that are closed, full or broken: a command ends with a reason and a status."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

NOT_WRITTEN = 1  # what a command exits with whose output could not be written
_WORDS = {
    errno.EBADF: "it is closed",
    errno.EPIPE: "its reader has closed it",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk's quota is used up",
}


class OutputLost(SystemExit):
    """End a command whose output cannot be written, after the reason was written to standard error."""


def served(command: Callable[[], Any], program: str) -> NoReturn:
    """Run a command and exit with its status, or with NOT_WRITTEN where its output was lost."""
    _open_closed()
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _guarded(sys.stdout, _Stream(1, program))
    sys.stderr = _guarded(sys.stderr, _Stream(2, program))
    try:
        status = command()
    except SystemExit as error:
        status = error.code
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        status = lost.code
    raise SystemExit(status)


class _Stream(io.FileIO):
    """Standard output, which a command is useless without, or standard error, which it continues without."""

    def __init__(self, number: int, program: str) -> None:
        super().__init__(number, "w", closefd=False)
        self._program = program

    def write(self, data: Any) -> int:
        """Write what fits, at least something; what cannot be written, and all that follows, is discarded."""
        try:
            while (written := super().write(data)) is None:  # it is shared with a program that never blocks
                select.select([], [self], [])
            return written
        except OSError as error:
            _to_nowhere(self.fileno(), os.O_WRONLY)
            if self.fileno() == 1:
                why = _WORDS.get(error.errno or 0, error.strerror or str(error))
                sys.stderr.write(f"{self._program}: standard output cannot be written: {why}\n")
                sys.stderr.flush()
                raise OutputLost(NOT_WRITTEN) from None
            return len(data)


def _guarded(stream: TextIO | None, raw: _Stream) -> TextIO:
    """Return a text stream like `stream`, on top of a raw one."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors=stream.errors if stream else "backslashreplace",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
        write_through=getattr(stream, "write_through", False),
    )


def _open_closed() -> None:
    """Open standard streams that are closed, so that no other file takes their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Standard output is opened for reading, so that writing fails, in child processes too.
            _to_nowhere(number, os.O_WRONLY if number == 2 else os.O_RDONLY)


def _to_nowhere(number: int, how: int) -> None:
    opened = os.open(os.devnull, how)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)
