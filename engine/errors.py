"""Errors a user can act on: each names the thing, what was given and what would be right."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

# Exit statuses of commands.
FINISHED, BAD_INPUT, WITH_FAILURES, CANCELLED = 0, 2, 3, 130


class QoodError(Exception):
    """Base of every error that is shown to the user as a message."""


def _shown(value: object) -> str:
    """Return a value as the user would write it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    return repr(value)


class InputError(QoodError):
    """A user's input cannot be used, or is missing (`given` is None). Nothing has been started."""

    def __init__(self, field: str, given: object, right: str, *, wrong: str = "cannot be used") -> None:
        self.field, self.given, self.right = field, given, right
        if given is None:
            super().__init__(f"{right[0].upper()}{right[1:]}")
        else:
            super().__init__(f"{field}: {_shown(given)} {wrong}; {right}")


class QuantizeError(QoodError):
    """A model cannot be quantized faithfully."""


class ScoreError(QoodError):
    """An OOD score cannot be fitted or computed."""


class MeasureError(QoodError):
    """A measure has no value: NaN scores, an empty set."""


class JournalError(QoodError):
    """A session's journal cannot be read."""


class EngineError(QoodError):
    """The engine cannot be reached or cannot do what was requested."""


_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ESTALE)
_OF_FILES = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def of_disk(error: BaseException) -> str:
    """Return the message for an error of a disk or file, which is no defect of the program; else nothing."""
    if isinstance(error, OSError) and (
        error.errno in _OF_DISKS or (error.errno in _OF_FILES and error.filename)
    ):
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror or error}"
    if type(error).__name__ == "SafetensorError" and "I/O error" in str(error):
        return str(error).partition("I/O error: ")[2]
    return ""


def unknown_name(field: str, given: object, choices: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the nearest valid names."""
    names = list(choices)
    near = difflib.get_close_matches(str(given).lower(), [n.lower() for n in names], 3, 0.4)
    nearest = [name for name in names if name.lower() in near]
    if nearest:
        return InputError(field, given, f"did you mean {' or '.join(nearest)}?")
    return InputError(field, given, f"choose from {', '.join(names)}")
