"""OOD sets by the names of the folders in which their authors distribute them.

Counts and names follow OpenOOD v1.5's lists and the sets themselves.
"""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.catalog import Set
from engine.datasets.disk_set import DiskSet, found_in, sized, with_catalog_notes
from engine.datasets.tree import TakenFolders, tree_of
from engine.datasets.walk import folders_in, images_below
from engine.text import counted

PLACES365 = 36_500


def published_folders(root: Path, found: dict[str, DiskSet]) -> None:
    """Find OOD sets by the names of the folders that they are published in, in any case.

    Of several such folders, the one with the published number of images is taken, else the largest.
    """
    tree, taken = tree_of(root), TakenFolders(found)
    for entry in catalog.SETS.values():
        if entry.made or entry.role != "ood" or entry.name in found:
            continue
        candidates: dict[Path, Path] = {}  # and the folder that each was published in
        for top in tree:
            for place, outermost in _places(top, tree[top], entry):
                if not any(place in other.parents or other in place.parents for other in candidates):
                    candidates.setdefault(place, outermost)
        several = [
            one
            for place in candidates
            if not taken.is_in(place) and (one := _published(place, entry)) is not None
        ]
        if not several:
            continue
        published = {entry.available, entry.listed}
        best = max(several, key=lambda one: (len(one.members) in published, len(one.members)))
        best.notes += _siblings(best, candidates[best.root])
        for one in several:
            best.beside.append(candidates[one.root])
            if one is not best:
                where = one.root.relative_to(root)
                there = counted(len(one.members), "image")
                best.notes.append(f"{where} holds {there} of that name and is left out")
        found[entry.name] = with_catalog_notes(best, entry)
        taken.add(best)


def _published(folder: Path, entry: Set) -> DiskSet | None:
    """Return a published OOD set from its folder, None if it holds no image."""
    walked = images_below(str(folder))
    files = [path for path in walked.files if path.split("/")[0].lower() not in entry.without]
    if not files:
        return None
    one = found_in(entry.name, "ood", entry.label, "folder", folder, walked._replace(files=files))
    if left := len(walked.files) - len(files):
        one.notes.append(f"{counted(left, 'image')} of the classes {', '.join(entry.without)} left out")
    if entry.name == "places" and len(files) == PLACES365:
        one.notes.append("this is OpenOOD's Places365 for CIFAR, not the set that MOS chose")
    return sized(one, entry.listed if entry.listed == len(files) else entry.available)


def _siblings(one: DiskSet, outermost: Path) -> list[str]:
    """Return a note on other folders with images that a set came with, which are not part of it."""
    if one.root == outermost:
        return []
    held = {name: len(images_below(str(outermost / name)).files) for name in folders_in(str(outermost))}
    others = [f"{name} ({count:,})" for name, count in held.items() if count and name != one.root.name]
    return [f"images beside it are left out: {', '.join(others)}"] if others else []


def _places(folder: Path, names: list[str], entry: Set) -> list[tuple[Path, Path]]:
    """List the places of a set in a folder, the most specific first, each with its outermost folder."""
    places = []
    for place in entry.places:
        path: Path | None = folder
        outermost = folder
        for part in place.split("/"):
            inside = names if path is folder else folders_in(str(path))
            match = next((name for name in inside if name.lower() == part), None)
            path = path / match if path is not None and match is not None else None
            if path is None:
                break
            outermost = path if path.parent == folder else outermost
        if path is not None:
            places.append((path, outermost))
    return places
