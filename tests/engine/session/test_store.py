from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.plan.plan import preset
from engine.protocol.events import Logged
from engine.session import notes, store
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: (folder / file.name).read_bytes() for file in Folder(folder).files()}


def test_a_session_is_renamed_and_deleted_with_nothing_else(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with this name"):
        store.rename(copied, copied.name)
    there = store.rename(copied, "new-name")
    assert there == copied.parent / "new-name" and Session.at(there).entries
    outside = tmp_path / "outside.npy"
    outside.write_text("mine")
    (there / "arrays" / "linked.npy").symlink_to(outside)
    (there / "mine.md").write_text("mine")
    (there / "elsewhere").symlink_to(tmp_path)
    assert set(store.delete(there)) == {"mine.md", "elsewhere", "arrays/linked.npy"}
    assert outside.read_text() == "mine"
    assert set(files(there)) == {"mine.md"}


def test_a_deleted_session_is_gone(copied: Path) -> None:
    notes.write(copied, "x")
    (copied / "reserve").write_bytes(b"0")
    assert store.delete(copied) == [] and not copied.exists()


def test_what_is_not_the_users_is_not_touched(recorded: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(recorded)
    running = store.create(preset("quick"), (), tmp_path, "quick")
    writer = Writer(running)
    writer.append(Logged("info", "x"))
    for session, words in ((store.find("demo"), "ships"), (link, "link"), (running, "running")):
        before = files(session)
        for attempt in (lambda s=session: store.rename(s, "other"), lambda s=session: store.delete(s)):
            with pytest.raises(InputError, match=words):
                attempt()
        assert files(session) == before
    writer.abandon()
