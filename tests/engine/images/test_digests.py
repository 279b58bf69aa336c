"""SHA-256 of files: kept under all that they depend on."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engine.images import decode as decoding
from engine.images.crops import KeptImages
from engine.images.decode import UnreadableError
from engine.images.decoders import Decoders
from engine.images.digests import digests
from engine.images.image_set import NO_FILE, Geometry
from tests.engine.images.albums import opened, save


def test_digests_are_kept_and_follow_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        save(folder / name)
    first = digests(folder, ["a.png", "b.png", "none.png"])
    assert len(set(first)) == 3 and first[2] == NO_FILE
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
    assert digests(folder, ["a.png", "b.png"]) == first[:2] and not read
    save(folder / "b.png", Image.new("RGB", (9, 9)))
    assert digests(folder, ["a.png", "b.png"])[0] == first[0]
    assert [path.name for path in read] == ["b.png"]
    (tmp_path / "cache" / "qood-tui" / "files.sqlite").write_bytes(b"damaged" * 999)
    assert digests(folder, ["a.png"]) == first[:1]


def test_what_could_not_be_read_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    content = save(tmp_path / "a.png")

    def denied(path: Path, root: Path) -> bytes:
        raise UnreadableError("it may not be read")

    with monkeypatch.context() as patch:  # root may read everything, so chmod shows nothing here
        patch.setattr("engine.images.digests.read_bytes", denied)
        assert digests(tmp_path, ["a.png"]) == [NO_FILE]
    assert digests(tmp_path, ["a.png"]) == [hashlib.sha256(content).hexdigest()]


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
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
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
            digests(tmp_path, [name])
        return bool(read)

    assert reads("a.png") and not reads("a.png")
    assert reads("b.png")  # the path
    for part in ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"):
        assert reads("a.png", **{part: 1}), part
        assert reads("a.png") and not reads("a.png")


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would leave size and all times as they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save(tmp_path / "a.png")
    read: list[Path] = []
    original = decoding.read_bytes
    monkeypatch.setattr("engine.images.digests.read_bytes", lambda p, r: read.append(p) or original(p, r))
    for _ in range(2):
        digests(tmp_path, ["a.png"])
    assert len(read) == 2
