from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.session import notes, store
from engine.session.layout import NOTE
from engine.session.place import Folder


def test_a_note_is_kept_whole_or_not_at_all(copied: Path) -> None:
    notes.write(copied, "  first é\nsecond\n\n")
    assert notes.read(Folder(copied)) == "first é\nsecond" and notes.first_line(Folder(copied)) == "first é"
    for text in ("x" * notes.LARGEST, "\ud800"):
        with pytest.raises(InputError, match="note"):
            notes.write(copied, text)
    assert notes.first_line(Folder(copied)) == "first é"
    assert not [path for path in copied.iterdir() if path.name.startswith(".")]
    assert store.summary(copied).note == "first é"
    notes.write(copied, " ")
    assert not (copied / NOTE).exists() and notes.read(Folder(copied)) == ""
    (copied / NOTE).symlink_to("/etc/passwd")
    assert notes.read(Folder(copied)) == ""
