"""The names of a session's files, and which of them belong to it; defined only here."""

from __future__ import annotations

import re
from typing import NamedTuple

JOURNAL = "journal.jsonl"
NOTE = "note.txt"
ARRAYS, OUTPUTS, QUANTIZED = FOLDERS = ("arrays", "outputs", "quantized")
RESERVE, TORN, LEASE = "reserve", f"{JOURNAL}.torn", "lease"  # only used while a session is being written
NOTE_IN_PROGRESS = ".note-"  # prefix of the name of a note that is being written
ARCHIVE_SUFFIX = ".qood"  # of a session in one file

_FILE = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}"
_KEPT = re.compile(
    rf"{re.escape(JOURNAL)}|{re.escape(NOTE)}|({ARRAYS}|{OUTPUTS})/{_FILE}\.npy|{QUANTIZED}/{_FILE}\.safetensors"
)
_PASSING = re.compile(
    rf"{RESERVE}|{re.escape(TORN)}|{LEASE}([.-]{_FILE})?|{re.escape(NOTE_IN_PROGRESS)}{_FILE}"
    rf"|({'|'.join(FOLDERS)})/{_FILE}\.partial"
)


class SessionFile(NamedTuple):
    """One file of a session, by its path inside the folder."""

    name: str
    size: int

    @property
    def part(self) -> str:
        """Return the part it belongs to: journal, note, arrays, outputs, quantized or other."""
        if self.name in (JOURNAL, NOTE):
            return self.name.partition(".")[0]
        return self.name.partition("/")[0] if is_kept(self.name) else "other"


def is_kept(name: str) -> bool:
    """Return whether a path inside a session's folder names a file that belongs to the session."""
    return _KEPT.fullmatch(name) is not None


def is_passing(name: str) -> bool:
    """Return whether a path names a file that is only used while a session is being written."""
    return _PASSING.fullmatch(name) is not None


def array_file(name: str) -> str:
    """Return the file of one array of per-sample numbers."""
    return f"{ARRAYS}/{name}.npy"


def output_file(variant: str, name: str) -> str:
    """Return the file of one kept output of a variant, given the variant's file stem."""
    return f"{OUTPUTS}/{variant}.{name}.npy"


def quantized_file(variant: str) -> str:
    """Return the file of a quantized variant, given its file stem."""
    return f"{QUANTIZED}/{variant}.safetensors"
