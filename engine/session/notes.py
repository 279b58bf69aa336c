"""The note of a session: the user's own text about it, in a file beside the journal."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from engine.errors import InputError
from engine.session.layout import NOTE, NOTE_IN_PROGRESS
from engine.session.place import Place
from engine.text import in_bytes

LARGEST = 64 * 1024  # bytes


def read(place: Place) -> str:
    """Return the note of a session; an empty text if none can be read."""
    try:
        with place.open(NOTE) as file:
            return file.read(LARGEST).decode(errors="replace").strip()
    except OSError:
        return ""


def first_line(place: Place) -> str:
    """Return the first line of a session's note."""
    return read(place).partition("\n")[0].rstrip()


def write(folder: Path, text: str) -> None:
    """Write the note of a session atomically, or remove it if `text` is empty; raise InputError."""
    path = folder / NOTE
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
        number, made = tempfile.mkstemp(dir=folder, prefix=NOTE_IN_PROGRESS)
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
        raise InputError("note", str(path), f"a writable folder is needed ({error.strerror})") from None
