"""What a sweep needs of an image set, whatever layout it comes in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]
NO_FILE = hashlib.sha256().hexdigest()  # the digest of a file that cannot be read


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

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return images, each decoded once whatever the number of geometries.

        Raises PassingError where the disk, not an image, is at fault.
        """
        ...

    def name_of(self, index: int) -> str:
        """Return a name for one image that a user can find again."""
        ...

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of the content of each image."""
        ...


class PassingError(OSError):
    """A disk does not answer as it should; it may again. No image is to blame."""


def digest_of(digests: Iterable[str], labels: Indices) -> str:
    """Return the SHA-256 over the contents (their SHA-256) and labels of images, in their order."""
    state = hashlib.sha256()
    for digest in digests:
        state.update(bytes.fromhex(digest))
    state.update(np.ascontiguousarray(labels, "<i8").tobytes())
    return state.hexdigest()


class ArrayImages:
    """Images that are held in memory: uint8 (n, height, width, 3)."""

    def __init__(self, name: str, label: str, role: str, images: Pixels, labels: Indices) -> None:
        self.name, self.label, self.role = name, label, role
        self.images, self.labels = images, labels

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return the images; they must already have the size of the geometry."""
        assert {g.size for g in geometries} <= {self.images.shape[1]}, "in-memory images come in their size"
        pixels = np.ascontiguousarray(self.images[indices].transpose(0, 3, 1, 2))
        return Images(dict.fromkeys(geometries, pixels), {})

    def name_of(self, index: int) -> str:
        """Return the number of the image in its set."""
        return f"{self.name}[{index}]"

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of the pixels of each image."""
        return [hashlib.sha256(self.images[i].tobytes()).hexdigest() for i in indices]
