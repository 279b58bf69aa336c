"""What a sweep needs of an image set, wherever its images lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


class Geometry(NamedTuple):
    """How an image is cut for a model, in timm's terms: resized to size / crop, then its centre is cut."""

    size: int
    crop: float = 1.0
    interpolation: str = "bicubic"
    mode: str = "center"  # the shorter side is resized; `squash` resizes both


class Images(NamedTuple):
    """Some images of a set: uint8 (n, 3, size, size) for every geometry, and why some could not be read."""

    pixels: dict[Geometry, Pixels]
    unreadable: dict[int, str]  # by position, whose pixels are grey


class ImageSet(Protocol):
    """Images with labels; `labels` holds -1 for images of no ID class."""

    name: str
    label: str
    role: str
    labels: Indices
    expected: int | None  # how many images the complete set has
    notes: tuple[str, ...]
    classes: Mapping[str, int]  # labels by folder name, where folders are classes
    is_guessed: bool  # nobody said in which order the folders are numbered
    contents: dict[int, str]  # SHA-256 by index; an image must have this content when it is read

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return images, each decoded once whatever the number of geometries.

        An image whose content is not what it was when hashed is unreadable. Raises TransientError where the
        disk, not an image, is at fault.
        """
        ...

    def name_of(self, index: int) -> str:
        """Return a name for one image that a user can find again."""
        ...

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of the content of each image."""
        ...

    def remember(self, contents: Mapping[int, str]) -> None:
        """Take over the SHA-256 of images by index, as another process hashed them."""
        ...


def digest_of(digests: Iterable[str], labels: Indices) -> str:
    """Return the SHA-256 over the contents (their SHA-256) and labels of images, in their order."""
    state = hashlib.sha256()
    for digest in digests:
        state.update(bytes.fromhex(digest))
    state.update(np.ascontiguousarray(labels, "<i8").tobytes())
    return state.hexdigest()
