"""A session read straight from a `.qood` file, which may come from a stranger."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.archive.transfer import export
from engine.archive.verify import verify
from engine.errors import InputError, JournalError
from engine.session import archive_file
from engine.session.archive_file import ArchiveFile
from engine.session.layout import JOURNAL, array_file
from engine.session.notes import LARGEST
from engine.session.session import Session
from tests.engine.session.test_session import nouns
from tests.journals import RECORDED

Change = Callable[[zipfile.ZipFile], object]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a session in one file."""
    return export(RECORDED / "2", tmp_path / "one.qood").file


def added(archive: Path, name: str, content: bytes = b"x", **given: int) -> Path:
    """Add a member to an archive, with something of its own."""
    info = zipfile.ZipInfo(name)
    for field, value in given.items():
        setattr(info, field, value)
    with zipfile.ZipFile(archive, "a") as made:
        made.writestr(info, content)
    return archive


def test_files_are_read_from_any_place_in_them(archive: Path) -> None:
    place = ArchiveFile(archive)
    whole = (RECORDED / "2" / JOURNAL).read_bytes()
    with place.open(JOURNAL) as file:
        assert file.read(10) == whole[:10]
        assert file.seek(50_000) == 50_000 and file.readline() == whole[50_000:].splitlines(True)[0]
        assert file.seek(7) == 7 and file.read() == whole[7:] and file.read() == b""
    with place.open_local(array_file("nll")) as file:
        assert file.read() == (RECORDED / "2" / array_file("nll")).read_bytes()
        assert os.fstat(file.fileno()).st_nlink == 0  # no name of it is left on the disk
    with pytest.raises(FileNotFoundError):
        place.open("quantized/x.safetensors")
    assert place.where("") == str(archive) and place.where(JOURNAL) == f"{archive}/{JOURNAL}"
    assert not place.is_being_written() and not place.irregular() and not place.may_grow


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2/../../outside.npy", "no file of a session"),
        ("/etc/passwd", "no file of a session"),
        ("2/arrays/x.pkl", "no file of a session"),
        ("2/lease", "no file of a session"),
        ("2/arrays/\x1b[31m.npy", "no file of a session"),
        ("2/arrays/MSP.npy", "twice"),
        ("other/arrays/x.npy", "2 folders"),
    ],
)
def test_a_file_of_another_name_is_refused(archive: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        Session.at(added(archive, name))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"external_attr": (stat.S_IFLNK | 0o777) << 16, "create_system": 3}, "link"),
        ({"external_attr": (stat.S_IFIFO | 0o600) << 16, "create_system": 3}, "not a plain file"),
        ({"compress_type": zipfile.ZIP_LZMA}, "deflate"),
    ],
)
def test_links_and_other_kinds_are_refused(archive: Path, given: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Session.at(added(archive, "2/arrays/x.npy", **given))


def test_what_would_grow_without_end_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="note"):
        Session.at(added(archive, "2/note.txt", b"x" * (LARGEST + 1)))
    bomb = export(RECORDED / "2", archive.with_name("bomb.qood")).file
    added(bomb, "2/arrays/x.npy", bytes(60 << 20), compress_type=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(archive_file, "LEAST_BOMB", 1 << 20)
    with pytest.raises(InputError, match="cannot come out of"):
        Session.at(bomb)


def test_what_is_no_archive_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "x.qood"
    for content in (b"", b"no zip", b"PK\x05\x06" + bytes(18)):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.qood"):
            Session.at(file)
    os.mkfifo(tmp_path / "pipe.qood")
    with pytest.raises(InputError, match="plain file"):
        ArchiveFile(tmp_path / "pipe.qood")


def changed(archive: Path, name: str, change: Callable[[bytearray, zipfile.ZipInfo], object]) -> Path:
    """Change the bytes of an archive, given the place of one of its members."""
    with zipfile.ZipFile(archive) as made:
        info = made.getinfo(f"2/{name}")
    data = bytearray(archive.read_bytes())
    change(data, info)
    archive.write_bytes(data)
    return archive


def flip(data: bytearray, info: zipfile.ZipInfo) -> None:
    """Damage a byte in the middle of a member."""
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF


def claim(size: int) -> Callable[[bytearray, zipfile.ZipInfo], None]:
    """Return a change of what the directory says of a member's size."""

    def change(data: bytearray, info: zipfile.ZipInfo) -> None:
        entry = data.rindex(info.filename.encode()) - 46
        data[entry + 24 : entry + 28] = size.to_bytes(4, "little")

    return change


@pytest.mark.parametrize("change", [flip, claim(100), claim(5_000_000)])
def test_a_damaged_array_is_named_and_nothing_is_made_of_it(
    archive: Path, change: Callable[[bytearray, zipfile.ZipInfo], object], tmp_path: Path
) -> None:
    session = Session.at(changed(archive, array_file("nll"), change))
    assert session.rows == 120
    with pytest.raises(JournalError, match=r"one\.qood/arrays/nll\.npy"):
        _ = session.arrays
    (damage,) = verify(session.place, quick=True).damage
    assert "nll.npy" in damage and damage.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["one.qood"]


def test_a_damaged_journal_is_told_in_words(archive: Path) -> None:
    place = ArchiveFile(changed(archive, JOURNAL, flip))
    (damage,) = verify(place).damage
    assert "damaged in the archive" in damage


def test_an_array_that_does_not_fit_on_the_disk_is_told(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_file, "SPARE", 1 << 60)
    with pytest.raises(JournalError, match="are needed in"):
        _ = Session.at(archive).arrays


def test_arrays_outlive_their_files_and_leave_nothing_behind(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    session = Session.at(archive)
    expected = Session.at(RECORDED / "2").arrays.digests(0, 120)
    arrays = session.arrays
    archive.unlink()
    assert arrays.digests(0, 120) == expected
    assert not list((tmp_path / "temporary").iterdir())
    shutil.rmtree(tmp_path / "temporary")


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_whatever_is_damaged_is_refused_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = export(RECORDED / "2", tmp_path_factory.mktemp("damaged") / "x.qood").file
    content = bytearray(file.read_bytes())
    directory = content.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.sampled_from((0, directory)))
        content[data.draw(st.integers(start, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content[: data.draw(st.sampled_from((len(content), len(content) - 100)))])
    try:
        verdict = verify(ArchiveFile(file), quick=True)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert all(line.isprintable() for line in verdict.damage)
        if verdict.is_whole:  # what was damaged is no byte of a file, but of what is said of it
            assert nouns(Session.at(file)) == nouns(Session.at(RECORDED / "2"))
