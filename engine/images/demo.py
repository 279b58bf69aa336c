"""The demo sets: images that need no download, the same on every run, made in seconds and cached."""

from __future__ import annotations

import hashlib
import os
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_path

from engine import catalog
from engine.images import fractals
from engine.images.array_images import ArrayImages
from engine.images.decode import made_by
from engine.images.image_set import Pixels

SIZE = fractals.SIZE
ID_SEED, UNSEEN_SEED, CALIBRATION_SEED, FIT_SEED = 21, 22, 31, 32
DIGITS_SEED, PATCHES_SEED, NOISE_SEED = 41, 42, 43


def load_set(name: str) -> ArrayImages:
    """Return the whole demo set `name`; a plan's subset is drawn from it, whatever its size."""
    entry = catalog.SETS[name]
    images, labels = _cached(name, entry.available)
    return ArrayImages(name, entry.label, entry.role, images, labels)


def make_all() -> None:
    """Fill the cache, so that nobody has to wait for it later."""
    for name in MAKERS:
        load_set(name)


def _cached(name: str, count: int) -> tuple[Pixels, NDArray[np.int64]]:
    path = cache_file(name, count)
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["images"], file["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        images, labels = MAKERS[name](count)
        _keep(path, images, labels)
        return images, labels


def cache_file(name: str, count: int) -> Path:
    """Return where the images of a set are cached, under a key of everything that makes them."""
    state = hashlib.sha256(f"{made_by()} {version('numpy')} {version('scikit-learn')}".encode())
    for source in (__file__, fractals.__file__, fractals.CLASSES):
        state.update(Path(source).read_bytes())
    return user_cache_path("qood-tui") / "demo" / f"{name}-{count}-{state.hexdigest()[:16]}.npz"


def _keep(path: Path, images: Pixels, labels: NDArray[np.int64]) -> None:
    """Write the cache file if possible; a full or read-only disk costs only time."""
    partial = path.with_suffix(f".{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, images=images, labels=labels)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)


def _fractals(pool: str, seed: int, count: int) -> tuple[Pixels, NDArray[np.int64]]:
    numbers = np.asarray(fractals.classes(pool))
    labels = np.arange(count) % len(numbers)
    return fractals.render(numbers[labels], seed), labels


def _seen(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    return _fractals("id", ID_SEED, count)


def _calibration(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    images, labels = _fractals("id", CALIBRATION_SEED, count)
    order = np.argsort(_generator(CALIBRATION_SEED).random(count), kind="stable")
    return images[order], labels[order]


def _fit(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    return _fractals("id", FIT_SEED, count)


def _unseen(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    images, _ = _fractals("unseen", UNSEEN_SEED, count)
    return images, _no_class(count)


def _digits(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Handwritten digits of scikit-learn, enlarged and painted as the fractals are."""
    random = _generator(DIGITS_SEED)
    drawn = digits()
    pick = np.argsort(random.random(len(drawn)), kind="stable")[:count]
    shades = np.stack([_resized(image / 16 * 255, SIZE) for image in drawn[pick]]) / 255
    return fractals.colourise(shades, random), _no_class(count)


def _patches(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Squares cut from the two photographs that scikit-learn ships."""
    random = _generator(PATCHES_SEED)
    photos = [Image.open(shipped("images", name)).convert("RGB") for name in ("china.jpg", "flower.jpg")]
    patches = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for i in range(count):
        photo = photos[i % len(photos)]
        side = 40 + int(random.random() * 140)
        left = int(random.random() * (photo.width - side))
        top = int(random.random() * (photo.height - side))
        box = (left, top, left + side, top + side)
        patches[i] = np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))
    return patches, _no_class(count)


def digits() -> NDArray[np.float64]:
    """Return the handwritten digits that scikit-learn ships: (1797, 8, 8) from 0 to 16."""
    table = np.loadtxt(shipped("data", "digits.csv.gz"), delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8)


def shipped(*parts: str) -> Path:
    """Return a data file of scikit-learn without importing it, which takes longer than all images here."""
    found = find_spec("sklearn")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]).joinpath("datasets", *parts)


def _noise(count: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Random values on grids of 2 to 32 cells a side, enlarged: from smooth clouds to rough noise."""
    random = _generator(NOISE_SEED)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for i in range(count):
        cells = (2, 4, 8, 16, 32)[i % 5]
        grid = random.random((cells, cells, 3)) * 255
        images[i] = np.stack([_resized(grid[..., c], SIZE) for c in range(3)], -1)
    return images, _no_class(count)


def _resized(image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    small = Image.fromarray(image.astype(np.uint8), "L")
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), np.float64)


def _no_class(count: int) -> NDArray[np.int64]:
    return np.full(count, -1)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


MAKERS = {
    "fractals": _seen,
    catalog.DEMO_CALIBRATION: _calibration,
    catalog.DEMO_FIT: _fit,
    "unseen-fractals": _unseen,
    "digits": _digits,
    "photo-patches": _patches,
    "noise": _noise,
}


if __name__ == "__main__":
    make_all()
