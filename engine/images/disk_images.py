"""An image set that discovery found on a disk, in whatever kind of source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.datasets.disk_set import DiskSet
from engine.datasets.sources.base import source_of
from engine.images.decoders import Decoders, Wanted
from engine.images.digests import digests
from engine.images.image_set import Geometry, Images, Indices
from engine.text import path_as_text


class DiskImages:
    """Images that are decoded when they are needed, in processes of their own."""

    def __init__(self, disk_set: DiskSet, decoders: Decoders) -> None:
        self.name, self.label, self.role = disk_set.name, disk_set.label, disk_set.role
        self.source, self.members = source_of(disk_set), disk_set.members
        self.labels = np.asarray(disk_set.labels, np.int64)
        self.expected, self.notes = disk_set.expected, (*disk_set.notes, *_problems(disk_set))
        self.classes: Mapping[str, int] = {} if disk_set.is_of_imagenet else disk_set.classes
        self.is_guessed = disk_set.is_guessed
        self.contents: dict[int, str] = {}
        self._decoders = decoders

    @property
    def largest(self) -> int:
        """Return how many pixels an image may have."""
        return self._decoders.largest

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return the images; an unreadable one is grey and named with its reason.

        A member whose digest is known must still have that content, or it is unreadable.
        """
        wanted = [Wanted(self.members[i], self.contents.get(i, "")) for i in indices.tolist()]
        return self._decoders.read(self.source, wanted, geometries)

    def name_of(self, index: int) -> str:
        """Return the name of one image below the root of its set, as text."""
        return path_as_text(self.members[index])

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of each image as it was when first asked for, `NO_CONTENT` if unreadable."""
        new = [i for i in indices.tolist() if i not in self.contents]
        hashed = digests(self.source, [self.members[i] for i in new])
        self.remember(dict(zip(new, hashed, strict=True)))
        return [self.contents[i] for i in indices.tolist()]

    def remember(self, contents: Mapping[int, str]) -> None:
        """Take over the SHA-256 of images by index: what is read later must have that content."""
        self.contents.update(contents)


def _problems(disk_set: DiskSet) -> list[str]:
    """Return a note on what could not be read below a set's root."""
    if not disk_set.problems:
        return []
    path, reason = next(iter(disk_set.problems.items()))
    more = f", and {len(disk_set.problems) - 1} more" if len(disk_set.problems) > 1 else ""
    return [f"{path_as_text(path)}: {reason}{more}"]
