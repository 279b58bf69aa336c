"""Prepared images that are kept: the same pixels, under all that they depend on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.discover import ood_set
from engine.datasets.sources.base import Source
from engine.images import decode as decoding
from engine.images.crops import KeptImages
from engine.images.decoders import Decoders, Wanted
from engine.images.disk_images import DiskImages
from engine.images.image_set import Geometry, Pixels
from tests.engine.images.albums import opened, save


def test_kept_crops_are_the_same_pixels_and_follow_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        save(folder / name)
    (folder / "d.png").write_text("no image")
    pool, everything, geometries = Decoders(1), np.arange(4), [Geometry(16), Geometry(24, 0.9)]
    expected = opened(folder, pool).read(everything, geometries)
    decoded: list[str] = []
    original = pool.read

    def counting(source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> object:
        decoded.extend(one.member for one in wanted)
        return original(source, wanted, geometries)

    monkeypatch.setattr(pool, "read", counting)

    def check(new: list[str]) -> None:
        decoded.clear()
        read = KeptImages(opened(folder, pool), tmp_path / "crops").read(everything, geometries)
        assert decoded == new
        assert read.unreadable.keys() == {3}
        for geometry in geometries:
            np.testing.assert_array_equal(read.pixels[geometry], expected.pixels[geometry])

    check(["a.png", "b.png", "c.png", "d.png"])
    check(["d.png"])
    for file in (tmp_path / "crops").glob("*[!s].npy"):
        array = np.lib.format.open_memmap(file, "r+")
        array[1, 0, 3, 3] ^= 1  # a torn row
        array.flush()
    check(["b.png", "d.png"])
    save(folder / "c.png", Image.new("RGB", (40, 30), "red"))
    expected = opened(folder, pool).read(everything, geometries)
    check(["c.png", "d.png"])
    pool.close()


def test_a_torn_image_is_torn_with_kept_crops_too(tmp_path: Path, decoders: Decoders) -> None:
    save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes(save(tmp_path / "torn.png")[:99])
    plain = opened(tmp_path, decoders)
    kept = KeptImages(plain, tmp_path / "crops")
    for geometries in ([], [Geometry(16)]):
        torn = kept.read(np.arange(2), geometries).unreadable
        assert torn.keys() == {plain.members.index("torn.png")}
        assert torn == plain.read(np.arange(2), geometries).unreadable


def test_every_part_of_the_key_of_kept_crops_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: Decoders
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        save(folder / f"{number}.png")
    decoded: list[str] = []
    original, small = decoders.read, Geometry(16)

    def counting(source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> object:
        decoded.extend(one.member for one in wanted)
        return original(source, wanted, geometries)

    monkeypatch.setattr(decoders, "read", counting)

    def decodes(geometry: Geometry = small, name: str = "mine", largest: int = 10**6) -> bool:
        decoded.clear()
        monkeypatch.setattr(decoders, "largest", largest)
        images = DiskImages(ood_set(name, str(folder)), decoders)
        KeptImages(images, tmp_path / "crops").read(np.arange(len(images.members)), [geometry])
        return bool(decoded)

    assert decodes() and not decodes()
    assert decodes(name="other") and decodes(largest=10**7)
    for geometry in (
        Geometry(24),
        Geometry(16, 0.9),
        Geometry(16, 1.0, "bilinear"),
        Geometry(16, mode="squash"),
    ):
        assert decodes(geometry) and not decodes(geometry), geometry
    for part in decoding.made_by():
        with monkeypatch.context() as patch:
            changed = {**decoding.made_by(), part: "another"}
            patch.setattr("engine.images.crops.made_by", lambda changed=changed: changed)
            assert decodes(), part
    assert {"pillow", "libjpeg_turbo", "zlib", "webp", "decode"} <= decoding.made_by().keys()
    save(folder / "3.png")  # another number of images
    assert decodes()


def test_several_threads_open_kept_crops_at_once(tmp_path: Path, decoders: Decoders) -> None:
    """Calibration images are read while chunks of the same set are read ahead."""
    folder = tmp_path / "images"
    folder.mkdir()
    save(folder / "a.png")
    images, everything, geometry = opened(folder, decoders), np.arange(1), Geometry(16)
    expected = images.read(everything, [geometry]).pixels[geometry]
    for number in range(30):
        start = threading.Barrier(4)

        def read(number: int = number, start: threading.Barrier = start) -> Pixels:
            kept = KeptImages(images, tmp_path / f"crops{number}")
            start.wait(10)
            return kept.read(everything, [geometry]).pixels[geometry]

        with ThreadPoolExecutor(4) as pool:
            for found in [pool.submit(read) for _ in range(4)]:
                np.testing.assert_array_equal(found.result(), expected)
        assert len(list((tmp_path / f"crops{number}").iterdir())) == 2
