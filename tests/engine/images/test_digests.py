"""SHA-256 of files: kept under all that they depend on."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engine.datasets.sources.base import UnreadableError
from engine.datasets.sources.files import Files
from engine.images.crops import KeptImages
from engine.images.decoders import Decoders
from engine.images.digests import NO_CONTENT, digests
from engine.images.image_set import Geometry
from tests.engine.images.albums import opened, save


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every file that is read is added."""
    read: list[str] = []
    original = Files.read
    monkeypatch.setattr(Files, "read", lambda source, member: read.append(member) or original(source, member))
    return read


def test_digests_are_kept_and_follow_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        save(folder / name)
    first = digests(Files(folder), ["a.png", "b.png", "none.png"])
    assert len(set(first)) == 3 and first[2] == NO_CONTENT
    read = watched(monkeypatch)
    assert digests(Files(folder), ["a.png", "b.png"]) == first[:2] and not read
    save(folder / "b.png", Image.new("RGB", (9, 9)))
    assert digests(Files(folder), ["a.png", "b.png"])[0] == first[0]
    assert read == ["b.png"]
    (tmp_path / "cache" / "qood-tui" / "files.sqlite").write_bytes(b"damaged" * 999)
    assert digests(Files(folder), ["a.png"]) == first[:1]


def test_what_could_not_be_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    content = save(tmp_path / "a.png")

    def denied(source: Files, member: str) -> bytes:
        raise UnreadableError("permission is denied")

    with monkeypatch.context() as patch:  # root may read everything, so chmod shows nothing here
        patch.setattr(Files, "read", denied)
        assert digests(Files(tmp_path), ["a.png"]) == [NO_CONTENT]
    assert digests(Files(tmp_path), ["a.png"]) == [hashlib.sha256(content).hexdigest()]


def same_size_and_time(path: Path, data: bytes, *, in_place: bool) -> None:
    """Replace a file as `cp -p` does in place, or as `rsync -t` does by another one."""
    before = path.stat()
    target = path if in_place else path.with_suffix(".new")
    target.write_bytes(data)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    target.replace(path)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_replaced_with_its_size_and_time_kept_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders, in_place: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    folder, everything, geometry = tmp_path / "images", np.arange(1), Geometry(16)
    folder.mkdir()
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    save(folder / "a.bmp", red)
    KeptImages(opened(folder, decoders), tmp_path / "crops").read(everything, [geometry])
    time.sleep(0.02)  # one tick of the file system's clock
    same_size_and_time(folder / "a.bmp", save(tmp_path / "blue.bmp", blue), in_place=in_place)
    again = KeptImages(opened(folder, decoders), tmp_path / "crops")
    assert again.digests(everything) == [hashlib.sha256((folder / "a.bmp").read_bytes()).hexdigest()]
    assert again.read(everything, [geometry]).pixels[geometry][0, 2].mean() == 250


def test_every_part_of_a_digests_key_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    read = watched(monkeypatch)
    stat = Path.stat

    def reads(name: str, **changes: int) -> bool:
        def changed(path: Path, **options: bool) -> object:
            about = stat(path, **options)
            fields = {n: getattr(about, n) for n in dir(about) if n.startswith("st_")}
            if path.name == name:
                fields |= {n: fields[n] + more for n, more in changes.items()}
            return SimpleNamespace(**fields)

        read.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", changed)
            digests(Files(tmp_path), [name])
        return bool(read)

    assert reads("a.png") and not reads("a.png")
    assert reads("b.png")  # the path
    for part in ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"):
        assert reads("a.png", **{part: 1}), part
        assert reads("a.png") and not reads("a.png")


def test_the_cache_keeps_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier versions hashed is not hashed again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    folder = tmp_path / "images"
    folder.mkdir()
    content, about = save(folder / "a.png"), (folder / "a.png").stat()
    digests(Files(folder), ["a.png"])
    stamp = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
    with closing(sqlite3.connect(tmp_path / "cache" / "qood-tui" / "files.sqlite")) as database:
        rows = database.execute("SELECT path, stamp, digest FROM contents").fetchall()
        assert rows == [(str(folder / "a.png"), stamp, hashlib.sha256(content).hexdigest())]


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would leave size and all times as they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save(tmp_path / "a.png")
    read = watched(monkeypatch)
    for _ in range(2):
        digests(Files(tmp_path), ["a.png"])
    assert len(read) == 2
