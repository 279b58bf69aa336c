"""What a sweep needs of an image set, whatever layout it comes in."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Geometry(NamedTuple):
    """How an image is cut for a model: bicubic resize to size / crop, then centre crop."""

    size: int
    crop: float = 1.0


class ImageSet(Protocol):
    """Images with labels; `labels` holds -1 for images of no ID class."""

    name: str
    label: str
    role: str
    labels: NDArray[np.int64]

    def read(self, indices: NDArray[np.int64], geometry: Geometry) -> tuple[Pixels, dict[int, str]]:
        """Return uint8 images (n, 3, size, size) and, for positions that cannot be read, the reason."""
        ...

    def name_of(self, index: int) -> str:
        """Return a name for one image that a user can find again."""
        ...

    def digest(self, indices: NDArray[np.int64]) -> str:
        """Return the SHA-256 of the contents of the given images, in their order."""
        ...


class ArrayImages:
    """Images that are held in memory: uint8 (n, height, width, 3)."""

    def __init__(self, name: str, label: str, role: str, images: Pixels, labels: NDArray[np.int64]) -> None:
        self.name, self.label, self.role = name, label, role
        self.images, self.labels = images, labels

    def read(self, indices: NDArray[np.int64], geometry: Geometry) -> tuple[Pixels, dict[int, str]]:
        """Return the images; they must already have the size of the geometry."""
        assert self.images.shape[1] == geometry.size, "in-memory images come in their model's size"
        return np.ascontiguousarray(self.images[indices].transpose(0, 3, 1, 2)), {}

    def name_of(self, index: int) -> str:
        """Return the number of the image in its set."""
        return f"{self.name}[{index}]"

    def digest(self, indices: NDArray[np.int64]) -> str:
        """Return the SHA-256 of pixels and labels."""
        state = hashlib.sha256(self.images[indices].tobytes())
        state.update(self.labels[indices].tobytes())
        return state.hexdigest()
