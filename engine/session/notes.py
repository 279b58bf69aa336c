"""The note of a session: what a person wrote about it, in a file beside the journal."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from engine.errors import InputError
from engine.system.files import open_plain
from engine.text import in_bytes

NAME = "note.txt"
LARGEST = 64 * 1024  # bytes


def read(session: Path) -> str:
    """Return the note of a session; nothing where there is none that can be read as one."""
    try:
        with open_plain(session / NAME) as file:
            return file.read(LARGEST).decode(errors="replace").strip()
    except OSError:
        return ""


def first_line(session: Path) -> str:
    """Return the first line of a session's note."""
    return read(session).partition("\n")[0].rstrip()


def write(session: Path, text: str) -> None:
    """Put a note beside the journal at once, or take it away if it is empty; raise InputError."""
    path = session / NAME
    text = text.strip()
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InputError("note", text[:40], "UTF-8 text is needed") from None
    if len(data) >= LARGEST:
        raise InputError("note", in_bytes(len(data)), f"give less than {in_bytes(LARGEST)}")
    try:
        if not data:
            path.unlink(missing_ok=True)
            return
        number, made = tempfile.mkstemp(dir=session, prefix=".note-")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(path)
        except OSError:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            "note", str(path), f"a folder that can be written is needed ({error.strerror})"
        ) from None
