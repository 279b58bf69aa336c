"""Standard streams at a process's door: closed ones, full disks and broken pipes end in words."""

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
    errno.EPIPE: "what read it has closed it",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk's quota is used up",
}


class OutputLost(SystemExit):
    """End a command whose output cannot be written; the words have been said."""


def served(command: Callable[[], Any], program: str) -> NoReturn:
    """Carry out a command and exit with its status, or with NOT_WRITTEN where its output was lost."""
    _open_closed()
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _guarded(sys.stdout, _Output(program))
    sys.stderr = _guarded(sys.stderr, _Errors())
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
    """A standard stream that waits where it would block, and says what happens where it cannot be written."""

    def write(self, data: Any) -> int:
        """Write what fits, at least something."""
        try:
            while (written := super().write(data)) is None:  # it is shared with a program that never blocks
                select.select([], [self], [])
            return written
        except OSError as error:
            self.lose(error)
            return len(data)

    def lose(self, error: OSError) -> None:
        """Handle that nothing can be written."""
        raise NotImplementedError


class _Output(_Stream):
    """Standard output: a command is of no use without it."""

    def __init__(self, program: str) -> None:
        super().__init__(1, "w", closefd=False)
        self._program = program

    def lose(self, error: OSError) -> None:
        """Say why, and end the command; discard what follows."""
        _to_nowhere(1, os.O_WRONLY)
        why = _WORDS.get(error.errno or 0, error.strerror or str(error))
        sys.stderr.write(f"{self._program}: standard output cannot be written: {why}\n")
        sys.stderr.flush()
        raise OutputLost(NOT_WRITTEN) from None


class _Errors(_Stream):
    """Standard error: if it cannot be written, the command continues."""

    def __init__(self) -> None:
        super().__init__(2, "w", closefd=False)

    def lose(self, error: OSError) -> None:
        """Discard what follows."""
        _to_nowhere(2, os.O_WRONLY)


def _guarded(stream: TextIO | None, raw: _Stream) -> TextIO:
    """Return a text stream like the one that there was, on top of a raw one."""
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
