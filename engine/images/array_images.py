"""Image sets that are held in memory, such as those of the demo."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from engine.images.image_set import Geometry, Images, Indices, Pixels


class ArrayImages:
    """Images that are held in memory: uint8 (n, height, width, 3)."""

    expected: int | None = None
    notes: tuple[str, ...] = ()
    is_guessed = False

    def __init__(self, name: str, label: str, role: str, images: Pixels, labels: Indices) -> None:
        self.name, self.label, self.role = name, label, role
        self.images, self.labels = images, labels
        self.classes: Mapping[str, int] = {}
        self.contents: dict[int, str] = {}

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

    def remember(self, contents: Mapping[int, str]) -> None:
        """Do nothing: what is held in memory does not change."""
