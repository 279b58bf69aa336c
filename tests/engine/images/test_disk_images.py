"""Images of files: whatever is in them, a defined answer."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.discover import ood_set
from engine.datasets.walk import images_below
from engine.images.decoders import Decoders
from engine.images.image_set import Geometry, digest_of
from tests.engine.images.albums import opened, png_that_claims, save


@pytest.fixture
def album(tmp_path: Path) -> Path:
    inside = tmp_path / "a b"
    inside.mkdir()
    red = Image.new("RGB", (40, 70), (200, 30, 30))
    for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA"):
        extension = "JPG" if mode in ("RGB", "L", "CMYK") else "png"
        save(inside / f"{mode}.{extension}", red.convert(mode))
    save(inside / "animated.gif", red, save_all=True, append_images=[Image.new("RGB", (40, 70), "blue")])
    whole = save(tmp_path / "whole.jpeg")
    (tmp_path / "truncated.jpeg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is a text")
    (tmp_path / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_kind_of_file_has_its_answer(album: Path, decoders: Decoders) -> None:
    images = opened(album, decoders)
    read = images.read(np.arange(len(images.members)), [Geometry(32, 0.9)])
    reasons = {images.name_of(at): reason for at, reason in read.unreadable.items()}
    assert set(reasons) == {"truncated.jpeg", "empty.jpg", "text.jpg", "bomb.png"}
    for name, words in (
        ("truncated.jpeg", "truncated"),
        ("empty.jpg", "empty"),
        ("text.jpg", "not an image"),
        ("bomb.png", "pixels"),
    ):
        assert words in reasons[name]
    pixels = read.pixels[Geometry(32, 0.9)]
    assert (pixels[list(read.unreadable)] == 128).all()
    for name in ("a b/RGB.JPG", "a b/RGBA.png", "a b/P.png", "a b/CMYK.JPG", "a b/animated.gif"):
        red = pixels[images.members.index(name)]
        assert red[0].mean() > 180 and red[2].mean() < 60, name
    grey = pixels[images.members.index("a b/L.JPG")]
    assert (grey[0] == grey[1]).all() and 60 < grey.mean() < 110


def test_links_in_circles_and_links_to_nowhere_are_named(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save(inside / "one.png")
    (inside / "around").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    found = ood_set("mine", str(tmp_path))
    assert found.members == ["inside/one.png"]
    assert set(found.problems) == {"gone.jpg", "inside/around", "self.png"}
    assert "broken" in found.problems["gone.jpg"] and "reached again" in found.problems["inside/around"]


def test_a_folder_that_may_not_be_read_is_a_problem_and_no_end() -> None:
    """Look as somebody else, since root may read everything."""
    place = Path(tempfile.mkdtemp(prefix="qood-walk-"))
    place.chmod(0o755)
    save(place / "one.png")
    (place / "closed").mkdir(mode=0)
    answer, told = os.pipe()
    child = os.fork()
    if not child:
        if os.getuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        os.write(told, repr(images_below(str(place))).encode())
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    with os.fdopen(answer) as file:
        walked = file.read()
    shutil.rmtree(place)
    assert (
        "files=['one.png']" in walked
        and "'closed': 'the folder cannot be read (Permission denied)'" in walked
    )


def test_50_000_files_in_one_folder_are_listed_in_seconds(tmp_path: Path) -> None:
    for number in range(50_000):
        (tmp_path / f"{number}.jpg").touch()
    started = time.monotonic()
    found = ood_set("mine", str(tmp_path))
    assert len(found.members) == 50_000 and not found.problems
    assert time.monotonic() - started < 5


def test_the_hash_of_a_set_is_of_contents_labels_and_order(tmp_path: Path, decoders: Decoders) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / name)
    images = opened(tmp_path, decoders)

    def digest(*indices: int) -> str:
        return digest_of(images.digests(np.array(indices)), images.labels[np.array(indices)])

    whole = digest(0, 1, 2)
    assert digest(0, 2, 1) != whole
    images.labels[1] = 5
    assert digest(0, 1, 2) != whole


def test_a_name_that_is_no_text_is_shown_as_text(tmp_path: Path, decoders: Decoders) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"broken")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert opened(tmp_path, decoders).name_of(0) == "caf\\xe9.png"


def test_pixels_are_of_the_content_that_the_sweep_began_with(tmp_path: Path, decoders: Decoders) -> None:
    for name in ("changed.png", "kept.png", "late.png"):
        save(tmp_path / name)
    late = (tmp_path / "late.png").read_bytes()
    (tmp_path / "late.png").write_bytes(b"")
    images, everything = opened(tmp_path, decoders), np.arange(3)
    images.digests(everything)
    save(tmp_path / "changed.png", Image.new("RGB", (30, 30), "red"))
    (tmp_path / "late.png").write_bytes(late)
    read = images.read(everything, [Geometry(16)])
    assert read.unreadable.keys() == {0, 2}
    assert "has changed since" in read.unreadable[0] and "when the sweep began" in read.unreadable[2]
