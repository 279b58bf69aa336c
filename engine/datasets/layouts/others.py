"""Image sets of no known name: folders of images, folders of classes, and loose images."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.disk_set import DiskSet, add
from engine.datasets.folders import as_classes, as_ood
from engine.datasets.tree import MOST_FOLDERS, SPLITS, TakenFolders
from engine.datasets.walk import Walked, folders_in, images_below, images_in
from engine.datasets.wordnet import are_classes, label_of
from engine.text import counted

CONTAINERS = ("images_largescale", "images_classic", "data")  # of OpenOOD: they hold sets
LISTS = "benchmark_imglist"
MANY_CLASSES = 8  # sibling folders: as many small ones are the classes of one set
SMALL_CLASS = 1000  # images


def other_folders(root: Path, found: dict[str, DiskSet]) -> None:
    """Take every other folder of images as an OOD set; a root of only classes is one ID set."""
    _visit(root, root, found, TakenFolders(found))


def _visit(folder: Path, root: Path, found: dict[str, DiskSet], taken: TakenFolders) -> None:
    """Take a folder as one set, or its contents one by one if it contains sets already."""
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
            whole.notes.append("only the images directly in the folder, beside its subfolders")
        add(found, whole, folder.name)


def _is_free(folder: Path, taken: TakenFolders) -> bool:
    return not taken.is_in(folder) and not taken.is_below(folder)


def _judged(folder: Path) -> DiskSet:
    """Return a folder as a set of classes, by their number or by the name of a split, else as an OOD set."""
    inside = folders_in(str(folder))
    role = SPLITS.get(folder.name.lower())
    if (role and inside) or len(inside) > MOST_FOLDERS or are_classes(inside):
        one = as_classes(folder.name, folder)
        one.role = role or "id"
        return one
    return as_ood(folder.name, folder, images_below(str(folder)))


def _classes(folder: Path, free: list[str]) -> list[str]:
    """Return the folders that are classes of one set: by their names, or because they are many and small.

    A few folders, and folders of folders, are sets of their own.
    """
    if of_imagenet := [name for name in free if label_of(name) >= 0]:
        return of_imagenet if len(of_imagenet) > 1 else []
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
    """Return some subfolders as the classes of one set, with the loose images beside them unlabelled."""
    wanted = set(names)
    walked = images_below(str(folder))
    files = [path for path in walked.files if "/" not in path or path.split("/")[0] in wanted]
    one = as_classes(folder.name, folder, walked=walked._replace(files=files), names=tuple(names))
    left = len({path.split("/")[0] for path in walked.files if "/" in path} - wanted)
    if left:
        one.notes.append(f"{counted(left, 'folder')} beside its classes left out, as separate sets")
    else:
        one.notes.append("its folders are taken as classes; if one is a set, give it with --ood NAME=FOLDER")
    return one
