"""A kind of source and a layout that the product does not have: images in zip archives.

All that a new kind needs is in this file; `registered` adds the two lines of the catalog.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from engine import catalog
from engine.datasets.disk_set import DiskSet, add
from engine.datasets.folders import as_classes, as_ood
from engine.datasets.formats import is_image
from engine.datasets.sources.base import Stamp, UnreadableError, read_patiently, stamp_of
from engine.datasets.walk import Walked


class ZipFiles(NamedTuple):
    """Members of one zip archive, by their names in it."""

    root: Path

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether a path is a zip archive."""
        return path.suffix == ".zip" and path.is_file()

    def ood_set(self, name: str) -> DiskSet:
        """Return all images as an OOD set."""
        return msgspec.structs.replace(as_ood(name, self.root, self._walked()), source="zip")

    def id_set(self, name: str, class_names: tuple[str, ...], order: str) -> DiskSet:
        """Return all images as an ID set whose folders are classes."""
        one = as_classes(name, self.root, class_names, order, self._walked())
        return msgspec.structs.replace(one, source="zip")

    def read(self, member: str, *, was_there: bool = False) -> bytes:
        """Return the content of a member."""
        try:
            return read_patiently(partial(self._read, member), self.root, member, was_there=was_there)
        except KeyError:
            raise UnreadableError("the archive has no such member") from None
        except zipfile.BadZipFile as error:
            raise UnreadableError(f"the archive is damaged ({error})") from None

    def stamp(self, member: str) -> Stamp | None:
        """Return the stamp of the archive."""
        return stamp_of(self.root)

    def _walked(self) -> Walked:
        try:
            with zipfile.ZipFile(self.root) as archive:
                return Walked(sorted(filter(is_image, archive.namelist())), {})
        except (OSError, zipfile.BadZipFile) as error:
            return Walked([], {self.root.name: str(error)})

    def _read(self, member: str) -> bytes:
        with zipfile.ZipFile(self.root) as archive:
            return archive.read(member)


def zip_archives(root: Path, found: dict[str, DiskSet]) -> None:
    """Take every zip archive in the root as an OOD set."""
    for path in sorted(root.glob("*.zip")):
        add(found, ZipFiles(path).ood_set(""), path.stem)


def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the kind of source and the layout to the catalog."""
    monkeypatch.setattr(catalog, "SOURCES", {**catalog.SOURCES, "zip": f"{__name__}:ZipFiles"})
    monkeypatch.setattr(catalog, "LAYOUTS", (f"{__name__}:zip_archives", *catalog.LAYOUTS))


def zipped(folder: Path) -> Path:
    """Return a zip archive of what is in a folder, beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path
