"""The folders below a root that may hold sets, and which of them are taken."""

from __future__ import annotations

import os
from pathlib import Path

from engine.datasets.disk_set import DiskSet
from engine.datasets.walk import folders_in

LISTED = "OpenOOD list"
DEPTH = 5  # levels of folders below the root that are searched
MOST_FOLDERS = 64  # a folder of more folders holds classes, not sets
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "validation", "valid", "test", "testing"), "id"),
}


def tree_of(root: Path) -> dict[Path, list[str]]:
    """Return the root and the folders below it that may hold sets, nearest first, with their subfolders."""
    tree: dict[Path, list[str]] = {}
    level, entered = [root], {root.resolve()}
    for _ in range(DEPTH):
        tree |= {folder: folders_in(str(folder)) for folder in level}
        level = [
            folder / name for folder in level if len(tree[folder]) <= MOST_FOLDERS for name in tree[folder]
        ]
        links = [folder for folder in level if folder.is_symlink()]
        again = {link for link in links if link.resolve() in entered}
        entered.update(link.resolve() for link in links)
        level = [folder for folder in level if folder not in again]
    return tree


class TakenFolders:
    """The folders whose images belong to sets that were found."""

    def __init__(self, found: dict[str, DiskSet]) -> None:
        self.folders: set[Path] = set()
        self._above: set[Path] = set()
        for one in found.values():
            self.add(one)

    def add(self, one: DiskSet) -> None:
        """Take the folders of a set: for one defined by a list, the folders that its images are in."""
        if one.kind == LISTED:
            for name in _folders_of(one):
                self.take(one.root / name)
        elif one.parts:
            for name in one.parts:
                self.take(one.root / name)
        else:
            self.take(one.root)
        for folder in one.beside:
            self.take(folder)

    def take(self, folder: Path) -> None:
        """Take a folder."""
        real = folder.resolve()
        self.folders.add(real)
        self._above.update(real.parents)

    def is_in(self, folder: Path) -> bool:
        """Return whether a folder is taken, or lies in one that is."""
        real = folder.resolve()
        return real in self.folders or any(parent in self.folders for parent in real.parents)

    def is_below(self, folder: Path) -> bool:
        """Return whether a folder that is taken lies in this one."""
        return folder.resolve() in self._above


def _folders_of(one: DiskSet) -> set[str]:
    """Return the folders that listed images are in; for an OOD set, their topmost folders."""
    tops: dict[str, set[str]] = {}
    for file in one.members:
        tops.setdefault(file.split("/")[0], set()).add(os.path.dirname(file))  # noqa: PTH120
    if one.role == "ood":
        return set(tops)
    return {os.path.commonpath(folders) for folders in tops.values()}
