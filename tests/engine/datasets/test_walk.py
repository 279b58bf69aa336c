"""Which files are images: all that Pillow opens, and what is passed over is counted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from engine.datasets.discover import discover, ood_set
from engine.datasets.walk import images_below, passed_over
from engine.images.decode import decode

ONE = Image.effect_noise((24, 16), 60).convert("RGB")
SAVED = {  # by what Pillow is asked to write, the names under which people have it
    "JPEG": ("a.jpg", "b.JPEG", "c.jfif", "d.jpe", "e", "f.jpg_large", "g.pjpeg", "h.jpeg?w=1", "i.txt.1"),
    "PPM": ("k.ppm", "l.pnm", "m.PPM"),
    "JPEG2000": ("n.jp2", "o.j2k"),
    "WEBP": ("p.Webp", "q"),
    "TIFF": ("r.TIF", "s.tiff"),
    "BMP": ("t.bmp", "u.dib"),
    "PNG": ("v.jpg", "w.apng", "x"),
    "TGA": ("y.tga",),
    "ICO": ("z.ico",),
    "PCX": ("za.pcx",),
    "SGI": ("zb.rgb",),
    "DDS": ("zc.dds",),
}


@pytest.mark.parametrize("kind", SAVED)
def test_whatever_pillow_opens_is_an_image_under_any_name(tmp_path: Path, kind: str) -> None:
    for name in SAVED[kind]:
        ONE.save(tmp_path / name, kind)
    found = ood_set("mine", str(tmp_path))
    assert found.members == sorted(SAVED[kind]) and not found.notes
    for name in found.members:
        expected = Image.open(tmp_path / name).convert("RGB")
        np.testing.assert_array_equal(decode((tmp_path / name).read_bytes()), expected)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_an_image(tmp_path: Path) -> None:
    for name in ("a.avif", "b"):
        ONE.save(tmp_path / name, "AVIF")
    assert images_below(str(tmp_path)).files == ["a.avif", "b"]
    assert decode((tmp_path / "b").read_bytes()).size == ONE.size


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_grey_maps_of_every_depth_are_images(tmp_path: Path, mode: str) -> None:
    ONE.convert("L").convert(mode).save(tmp_path / "a.pgm", "PPM")
    assert images_below(str(tmp_path)).files == ["a.pgm"]
    decode((tmp_path / "a.pgm").read_bytes())


def test_what_is_no_image_is_counted_and_named_once(tmp_path: Path) -> None:
    texts = {
        "notes": "no image at all",
        "README": "Python is what made these",  # a portable map begins with P and a letter, too
        "Pf": "P6 is not a photograph",
        "BMW": "BMW made this list",
        "script": "#define nothing\n",
        "GT-00000.csv": "Filename;ClassId\n",
        "page.html": "<html>",
        "empty": "",
        "photo.heic": "\0\0\0\x18ftypheic",
        "Thumbs.db": "",
        ".hidden.jpg": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    ONE.save(tmp_path / "one.png")
    junk = ("@eaDir/one.png", "#recycle", "$RECYCLE.BIN/S-1", ".ipynb_checkpoints", "__MACOSX", "@Recycle")
    for folder in junk:
        (tmp_path / folder).mkdir(parents=True)
        ONE.save(tmp_path / folder / "thumb.jpg")
    found = ood_set("mine", str(tmp_path))
    assert found.members == ["one.png"] and not found.problems
    (note,) = found.notes
    passed = images_below(str(tmp_path)).passed
    assert sum(passed.values()) == len(texts) + len(junk)
    for name in ("@eaDir", "#recycle", "$RECYCLE.BIN", ".ipynb_checkpoints", "__MACOSX", "@Recycle"):
        assert any(name in kind for kind in passed)
    assert ".heic that Pillow cannot open" in str(passed) and "Thumbs.db" in passed
    assert "6 without a known extension" in note and "1 in @eaDir (thumbnails of a NAS)" in note
    assert passed_over({"hidden": 2}) == ["files skipped: 2 hidden"] and passed_over({}) == []


def test_a_damaged_image_without_an_extension_stays_to_be_named(tmp_path: Path) -> None:
    ONE.save(tmp_path / "whole", "JPEG")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[:60])
    assert images_below(str(tmp_path)).files == ["half", "whole"]


def test_a_pipe_without_an_extension_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    ONE.save(tmp_path / "one.png")
    walked = images_below(str(tmp_path))
    assert walked.files == ["one.png"] and sum(walked.passed.values()) == 2


def test_known_extensions_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50_000):
        (tmp_path / f"{number}.JPEG").touch()
        if not number % 10:
            (tmp_path / f"{number}.txt").touch()
    opened: list[object] = []
    monkeypatch.setattr("engine.datasets.walk.holds_image", lambda path: opened.append(path) or False)
    started = time.monotonic()
    (found,) = discover(tmp_path).values()
    assert len(found.members) == 50_000 and not opened
    assert time.monotonic() - started < 20


def test_two_links_to_one_folder_of_a_class_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    ONE.save(tmp_path / "real" / "one.png")
    classes = tmp_path / "classes"
    classes.mkdir()
    for name in ("cat", "dog"):
        (classes / name).symlink_to(tmp_path / "real")
    walked = images_below(str(classes))
    assert walked.files == ["cat/one.png"]
    assert list(walked.problems) == ["dog"] and "first as cat" in walked.problems["dog"]
