"""Image files in a folder and the folders below it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.datasets.disk_set import DiskSet
from engine.datasets.folders import as_classes, as_ood
from engine.datasets.sources.base import Stamp, read_patiently, stamp_of
from engine.datasets.walk import images_below


class Files(NamedTuple):
    """Files below a folder; a member is the path of a file relative to it."""

    root: Path

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether a path is a folder."""
        return path.is_dir()

    def ood_set(self, name: str) -> DiskSet:
        """Return all image files as an OOD set."""
        return as_ood(name, self.root, images_below(str(self.root)))

    def id_set(self, name: str, class_names: tuple[str, ...], order: str) -> DiskSet:
        """Return all image files as an ID set whose folders are classes."""
        return as_classes(name, self.root, class_names, order)

    def read(self, member: str, *, was_there: bool = False) -> bytes:
        """Return the content of a file."""
        path = self.root / member
        return read_patiently(path.read_bytes, self.root, member, was_there=was_there)

    def stamp(self, member: str) -> Stamp | None:
        """Return size, modification time, change time and inode of a file."""
        return stamp_of(self.root / member)
