from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine import catalog
from engine.errors import InputError
from engine.folders import parse_folders
from engine.images import demo, fractals, order
from engine.images.folder import FolderImages
from engine.images.source import Geometry


def test_fractals_are_a_function_of_class_and_seed() -> None:
    numbers = np.asarray(fractals.classes("id"))[[0, 3, 3]]
    first = fractals.render(numbers, 5)
    assert first.shape == (3, 32, 32, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, fractals.render(numbers, 5))
    assert (first != fractals.render(numbers, 6)).any()
    assert (first[1] != first[2]).any()


def test_pools_do_not_share_unseen_classes_and_wide_is_ten_times_id() -> None:
    known, wide, unseen = (set(fractals.classes(pool)) for pool in ("id", "wide", "unseen"))
    assert known < wide and len(wide) == 10 * len(known) and not unseen & wide


@pytest.mark.parametrize("name", [*catalog.DEMO_OOD, "fractals"])
def test_demo_sets_have_what_the_catalog_says(name: str) -> None:
    images = demo.load_set(name)
    entry = catalog.SETS[name]
    assert images.images.shape == (entry.available, 32, 32, 3)
    assert (images.labels >= 0).all() == (entry.role == "id")
    assert images.images.std() > 20


def test_calibration_images_are_never_evaluated() -> None:
    evaluated = {image.tobytes() for image in demo.load_set("fractals").images}
    assert not any(image.tobytes() in evaluated for image in demo.load_calibration().images)


def test_demo_images_come_back_from_the_cache_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = demo.load_set("noise").images
    (kept,) = tmp_path.rglob("*.npz")
    np.testing.assert_array_equal(demo.load_set("noise").images, made)
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(demo.load_set("noise").images, made)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_every_set_is_equally_far_along_at_every_row(sizes: list[int]) -> None:
    which, place = order.interleave(sizes)
    assert len(which) == sum(sizes)
    for rows in range(1, len(which) + 1, max(1, len(which) // 20)):
        for i, size in enumerate(sizes):
            seen = int((which[:rows] == i).sum())
            assert abs(seen - size * rows / len(which)) <= 1.0 + len(sizes)
    for i in range(len(sizes)):
        np.testing.assert_array_equal(place[which == i], np.arange(sizes[i]))


@given(st.integers(1, 100), st.integers(0, 5))
def test_a_smaller_subset_is_a_balanced_prefix_of_a_larger_one(count: int, seed: int) -> None:
    labels = np.repeat(np.arange(10), 20)
    larger = order.draw(labels, 100, seed)
    np.testing.assert_array_equal(order.draw(labels, count, seed), larger[:count])
    share = np.bincount(labels[larger[:count]], minlength=10)
    assert share.max() - share.min() <= 1
    assert len(set(larger.tolist())) == 100


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "a b").mkdir()
    for i, mode in enumerate(("RGB", "L", "RGBA", "P", "CMYK", "1")):
        extension = "jpg" if mode in ("RGB", "L", "CMYK") else "PNG"
        Image.new("RGB", (40 + i, 70), (200, 30, 30)).convert(mode).save(
            tmp_path / "a b" / f"{mode}.{extension}"
        )
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_read_whatever_the_modes_and_says_what_is_broken(album: Path) -> None:
    images = FolderImages("mine", str(album))
    everything = np.arange(len(images.labels))
    pixels, unreadable = images.read(everything, Geometry(32, 0.9))
    assert pixels.shape == (7, 3, 32, 32)
    (broken,) = unreadable
    assert images.name_of(broken) == "broken.jpg" and "decoded" in unreadable[broken]
    red = pixels[[i for i in everything if images.name_of(i) == "a b/RGB.jpg"]][0]
    assert red[0].mean() > 190 and red[1].mean() < 45
    assert len(images.digest(everything)) == 64


def test_the_content_hash_follows_the_content(album: Path) -> None:
    first = FolderImages("mine", str(album)).digest(np.arange(7))
    Image.new("RGB", (40, 40), "blue").save(album / "a b" / "RGB.jpg")
    assert FolderImages("mine", str(album)).digest(np.arange(7)) != first


@pytest.mark.parametrize("text", ["photos", "=/tmp", "a/b=/tmp", "digits=/tmp", "x=/nowhere/at/all"])
def test_folders_that_cannot_be_are_refused_in_words(text: str) -> None:
    with pytest.raises(InputError):
        parse_folders((text,))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        parse_folders((f"mine={tmp_path}",))


def test_real_photographs_are_read(photographs: Path) -> None:
    images = FolderImages("photos", str(photographs))
    assert len(images.labels) == 1000
    pixels, unreadable = images.read(np.arange(0, 1000, 100), Geometry(224, 0.9))
    assert pixels.shape == (10, 3, 224, 224) and not unreadable and pixels.std() > 40


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (3, 5000)])
def test_very_long_images_take_no_more_memory_than_others(tmp_path: Path, shape: tuple[int, int]) -> None:
    Image.new("RGB", shape, (9, 200, 9)).save(tmp_path / "long.png")
    pixels, unreadable = FolderImages("mine", str(tmp_path)).read(np.arange(1), Geometry(32))
    assert not unreadable and abs(int(pixels[0, 1].mean()) - 200) < 3


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    Image.fromarray(shades).save(tmp_path / "grey.png")
    pixels, _ = FolderImages("mine", str(tmp_path)).read(np.arange(1), Geometry(64))
    assert len(np.unique(pixels)) > 40


def test_a_name_that_is_no_text_is_shown_as_text(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"broken")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    images = FolderImages("mine", str(tmp_path))
    assert images.name_of(0) == "caf\\xe9.png"


@pytest.mark.parametrize("text", ["x=~nobody-of-that-name/p", f"x={'a' * 5000}", "x=/\0"])
def test_folders_that_no_system_has_are_refused_in_words(text: str) -> None:
    with pytest.raises(InputError):
        parse_folders((text,))


def test_a_cut_cache_file_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = demo.load_set("noise").images
    (kept,) = tmp_path.rglob("*.npz")
    for size in (0, 100, kept.stat().st_size - 50):
        kept.write_bytes(kept.read_bytes()[:size])
        np.testing.assert_array_equal(demo.load_set("noise").images, made)


def test_the_data_read_past_scikit_learn_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits, load_sample_images

    np.testing.assert_array_equal(demo.digits(), load_digits().images)
    photos = [np.asarray(Image.open(demo.shipped("images", name))) for name in ("china.jpg", "flower.jpg")]
    for ours, theirs in zip(photos, load_sample_images().images, strict=True):
        np.testing.assert_array_equal(ours, theirs)
