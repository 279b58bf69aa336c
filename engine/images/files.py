"""An image set of files, found below a folder."""

from __future__ import annotations

import os

import numpy as np

from engine.datasets.found import Found
from engine.images.decoders import Decoders
from engine.images.digests import NO_FILE, digests
from engine.images.source import Geometry, Images, Indices


class FileImages:
    """Images that are decoded when they are needed, in processes of their own."""

    def __init__(self, found: Found, decoders: Decoders) -> None:
        self.name, self.label, self.role = found.name, found.label, found.role
        self.root, self.files = found.root, found.files
        self.labels = np.asarray(found.labels, np.int64)
        self.expected, self.notes = found.expected, (*found.notes, *_problems(found))
        self.is_guessed = found.is_guessed
        self.present = np.zeros(len(self.files), bool)  # files whose content has been read
        self._decoders = decoders

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return the images; an unreadable one is grey and named with its reason."""
        files, present = [self.files[i] for i in indices], self.present[indices].tolist()
        return self._decoders.read(self.root, files, geometries, present)

    def name_of(self, index: int) -> str:
        """Return the path of one image relative to its folder."""
        return os.fsencode(self.files[index]).decode("utf-8", "backslashreplace")

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of each file; one that cannot be read counts as empty."""
        found = digests(self.root, [self.files[i] for i in indices])
        self.present[indices] = [digest != NO_FILE for digest in found]
        return found


def _problems(found: Found) -> list[str]:
    """Say what could not be looked at below a set's folder."""
    if not found.problems:
        return []
    path, reason = next(iter(found.problems.items()))
    more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
    return [f"{os.fsencode(path).decode('utf-8', 'backslashreplace')}: {reason}{more}"]
