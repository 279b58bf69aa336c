"""An image set of files, found below a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from engine.datasets.disk_set import DiskSet
from engine.images.decoders import Decoders
from engine.images.digests import digests
from engine.images.image_set import Geometry, Images, Indices


class DiskImages:
    """Images that are decoded when they are needed, in processes of their own."""

    def __init__(self, found: DiskSet, decoders: Decoders) -> None:
        self.name, self.label, self.role = found.name, found.label, found.role
        self.root, self.files = found.root, found.files
        self.labels = np.asarray(found.labels, np.int64)
        self.expected, self.notes = found.expected, (*found.notes, *_problems(found))
        self.is_guessed = found.is_guessed
        is_counted = bool(found.classes) and not found.is_of_imagenet
        self.folders = _labels_of(found) if is_counted else {}  # of classes, with their labels
        self.is_named = is_counted and not found.is_guessed
        self.contents: dict[int, str] = {}  # SHA-256 by index, of the files that were asked for
        self._decoders = decoders

    @property
    def largest(self) -> int:
        """Return how many pixels an image may have."""
        return self._decoders.largest

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return the images; an unreadable one is grey and named with its reason.

        A file whose digest is known must still have that content, or it is unreadable.
        """
        files = [self.files[i] for i in indices]
        contents = [self.contents.get(i, "") for i in indices.tolist()]
        return self._decoders.read(self.root, files, geometries, contents)

    def name_of(self, index: int) -> str:
        """Return the path of one image relative to its folder."""
        return os.fsencode(self.files[index]).decode("utf-8", "backslashreplace")

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of each file as it was when first asked for, `NO_FILE` if it was unreadable."""
        new = [i for i in indices.tolist() if i not in self.contents]
        self.remember(dict(zip(new, digests(self.root, [self.files[i] for i in new]), strict=True)))
        return [self.contents[i] for i in indices.tolist()]

    def remember(self, contents: Mapping[int, str]) -> None:
        """Take in the SHA-256 of files by index: what is read later must have that content."""
        self.contents.update(contents)


def _labels_of(found: DiskSet) -> dict[str, int]:
    """Return the label of each folder of a class, -1 for one without an image."""
    labels = dict.fromkeys(found.classes, -1)
    paths = zip(found.files, found.labels, strict=True)
    return labels | {path.split("/")[0]: label for path, label in paths if "/" in path and label >= 0}


def _problems(found: DiskSet) -> list[str]:
    """Say what could not be looked at below a set's folder."""
    if not found.problems:
        return []
    path, reason = next(iter(found.problems.items()))
    more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
    return [f"{os.fsencode(path).decode('utf-8', 'backslashreplace')}: {reason}{more}"]
