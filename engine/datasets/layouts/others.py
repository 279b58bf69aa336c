"""Image sets of no known name: folders of images, folders of classes, and images that lie loose."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.disk_set import DiskSet, add
from engine.datasets.folders import as_classes, as_ood
from engine.datasets.tree import MOST_FOLDERS, SPLITS, Taken
from engine.datasets.walk import Walked, folders_in, images_below, images_in
from engine.datasets.wordnet import are_classes, label_of

CONTAINERS = ("images_largescale", "images_classic", "data")  # of OpenOOD: they hold sets
LISTS = "benchmark_imglist"
MANY_CLASSES = 8  # folders beside each other, from which on small ones are classes of one set
SMALL_CLASS = 1000  # images


def other_folders(root: Path, found: dict[str, DiskSet]) -> None:
    """Take every other folder of images as an OOD set; a root of nothing but classes is one ID set."""
    _visit(root, root, found, Taken(found))


def _visit(folder: Path, root: Path, found: dict[str, DiskSet], taken: Taken) -> None:
    """Take a folder as one set, or what is in it one by one where sets lie in it already."""
    if folder != root and taken.is_in(folder):
        return
    is_container = folder.name in CONTAINERS and folder.parent == root
    if folder != root and not taken.is_below(folder) and not is_container:
        one = _judged(folder)
        if one.members or one.problems:
            add(found, one, folder.name)
        return
    free = [name for name in folders_in(str(folder)) if _is_free(folder / name, taken)]
    free = [name for name in free if not (folder == root and name in (*CONTAINERS, LISTS))]
    classes = [] if is_container else _classes(folder, free)
    if classes:
        add(found, _of_classes(folder, classes), folder.name)
    for name in folders_in(str(folder)):
        if name not in classes and name != LISTS:
            _visit(folder / name, root, found, taken)
    is_counted = classes or any(one.root == folder and one.parts for one in found.values())
    if not is_counted and (loose := images_in(str(folder))):
        whole = as_ood("", folder, Walked(loose, {}))
        if free or found:
            whole.notes.append("images that lie in the folder itself, beside its folders")
        add(found, whole, folder.name)


def _is_free(folder: Path, taken: Taken) -> bool:
    return not taken.is_in(folder) and not taken.is_below(folder)


def _judged(folder: Path) -> DiskSet:
    """Return a folder as a set of classes, by their number, by the name of a split, or else as an OOD set."""
    inside = folders_in(str(folder))
    role = SPLITS.get(folder.name.lower())
    if (role and inside) or len(inside) > MOST_FOLDERS or are_classes(inside):
        one = as_classes(folder.name, folder)
        one.role = role or "id"
        return one
    return as_ood(folder.name, folder, images_below(str(folder)))


def _classes(folder: Path, free: list[str]) -> list[str]:
    """Return those folders that are classes of one set: by their names, or as they are many and small.

    A few folders, and folders of folders, are sets of their own.
    """
    if known := [name for name in free if label_of(name) >= 0]:
        return known if len(known) > 1 else []
    if len(free) > MOST_FOLDERS:
        return free
    if {name.lower() for name in free} & SPLITS.keys():
        return []
    numbers = len(free) > 1 and all(name.isdecimal() for name in free)
    if len(free) < MANY_CLASSES and not numbers:
        return []
    counts = [len(images_in(str(folder / name))) for name in free]
    is_flat = not any(folders_in(str(folder / name)) for name in free)
    return free if is_flat and all(counts) and sorted(counts)[len(counts) // 2] <= SMALL_CLASS else []


def _of_classes(folder: Path, names: list[str]) -> DiskSet:
    """Return some folders of a folder as classes, and images that lie loose beside them without a label."""
    wanted = set(names)
    walked = images_below(str(folder))
    files = [path for path in walked.files if "/" not in path or path.split("/")[0] in wanted]
    one = as_classes(folder.name, folder, walked=walked._replace(files=files), names=tuple(names))
    left = len({path.split("/")[0] for path in walked.files if "/" in path} - wanted)
    if left:
        one.notes.append(f"{left} folders beside its classes are sets of their own and left out")
    else:
        one.notes.append("its folders are taken for classes; give one that is a set with --ood NAME=FOLDER")
    return one
