from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import catalog
from engine.images import decode, demo, fractals


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


@pytest.mark.parametrize("name", [name for name in catalog.SETS if catalog.is_made(name)])
def test_demo_sets_have_what_the_catalog_says(name: str) -> None:
    images = demo.load_set(name)
    entry = catalog.SETS[name]
    assert images.images.shape == (entry.available, 32, 32, 3)
    assert (images.labels >= 0).all() == (entry.role != "ood")
    assert images.images.std() > 20


def test_calibration_images_are_never_evaluated() -> None:
    evaluated = {image.tobytes() for image in demo.load_set("fractals").images}
    assert not any(image.tobytes() in evaluated for image in demo.load_set(catalog.DEMO_CALIBRATION).images)


def test_demo_images_come_back_from_the_cache_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = demo.load_set("noise").images
    (kept,) = tmp_path.rglob("*.npz")
    np.testing.assert_array_equal(demo.load_set("noise").images, made)
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(demo.load_set("noise").images, made)


def test_every_part_of_the_key_of_demo_images_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def file() -> Path:
        return demo.cache_file("noise", 10)

    before = file()
    assert demo.cache_file("digits", 10) != before and demo.cache_file("noise", 11) != before
    for name in ("numpy", "scikit-learn"):
        with monkeypatch.context() as patch:
            patch.setattr(demo, "version", lambda one, name=name: version(one) + ("x" if one == name else ""))
            assert file() != before, name
    for part in decode.made_by():
        with monkeypatch.context() as patch:
            patch.setattr(demo, "made_by", lambda part=part: {**decode.made_by(), part: "another"})
            assert file() != before, part
    for module, attribute in ((demo, "__file__"), (fractals, "__file__"), (fractals, "CLASSES")):
        source = tmp_path / "source"
        source.write_bytes(Path(getattr(module, attribute)).read_bytes() + b"\n")
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, source)
            assert file() != before, attribute
    assert file() == before


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
