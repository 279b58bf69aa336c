from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from engine.plan.plan import preset
from engine.session import store
from engine.session.layout import ARRAYS, JOURNAL, array_file
from engine.session.place import Folder, Irregular
from engine.session.writer import Writer
from tests.journals import RECORDED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / "2", tmp_path / "session"))


def test_only_plain_files_are_listed_and_opened(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (folder / array_file("linked")).symlink_to(tmp_path / "mine")
    os.mkfifo(folder / array_file("pipe"))
    place = Folder(folder)
    assert [file.name for file in place.files()] == [file.name for file in Folder(RECORDED / "2").files()]
    assert place.irregular() == [
        Irregular("arrays/linked.npy", "it is a link to elsewhere"),
        Irregular("arrays/pipe.npy", "it is not a plain file"),
    ]
    for name in ("linked", "pipe"):
        with pytest.raises(OSError):
            place.open(array_file(name))
    with place.open(JOURNAL) as file:
        assert file.readline().startswith(b'{"format":"qood-session"')


def test_nothing_is_opened_through_a_linked_folder_but_the_session_may_be_one(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder)
    place = Folder(tmp_path / "link")
    assert place.name == "session"
    with place.open(array_file("nll")) as file:
        assert file.read(6) == b"\x93NUMPY"
    (folder / ARRAYS).rename(tmp_path / "elsewhere")
    (folder / ARRAYS).symlink_to(tmp_path / "elsewhere")
    assert [file.name for file in place.files()] == [JOURNAL]
    with pytest.raises(OSError, match="its folder is a link"):
        place.open(array_file("nll"))


def test_whoever_writes_a_session_is_seen(tmp_path: Path) -> None:
    session = store.create(preset("quick"), (), tmp_path, "quick")
    place = Folder(session)
    assert not place.is_being_written()
    writer = Writer(session)
    assert place.is_locked() and place.is_being_written()
    writer.abandon()
    assert not place.is_locked() and not place.is_being_written()
