"""Image sets of no known name: folders of images, folders of classes, and images that lie loose."""

from __future__ import annotations

from pathlib import Path

from engine.datasets import imagenet
from engine.datasets.class_order import CODEPOINT, NATURAL, differences, placed, sorted_by
from engine.datasets.disk_set import DiskSet, found_in
from engine.datasets.imagenet_folders import add
from engine.datasets.tree import MOST_FOLDERS, SPLITS, Taken
from engine.datasets.walk import Walked, folders_in, images_below, images_in
from engine.datasets.wordnet import are_classes, label_of
from engine.errors import InputError
from engine.text import counted

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
        if one.files or one.problems:
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
        whole = found_in("", "ood", _label(loose), "folder", folder, Walked(loose, {}))
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


def as_ood(name: str, folder: Path, walked: Walked) -> DiskSet:
    """Return images of a folder as an OOD set: none has a label."""
    one = found_in(name, "ood", _label(walked.files), "folder", folder, walked)
    own = {part for path in walked.files for part in path.split("/")[:-1]}
    if shared := sum(label_of(part) >= 0 for part in own):
        one.notes.append(f"{shared:,} of its folders are named by identifiers of ImageNet-1k's classes")
    return one


def as_classes(
    name: str,
    folder: Path,
    class_names: tuple[str, ...] = (),
    order: str = "",
    walked: Walked | None = None,
    names: tuple[str, ...] = (),
) -> DiskSet:
    """Return a folder whose subfolders are classes.

    Folders named by ImageNet-1k's WordNet identifiers get ImageNet's labels, however many there are; with
    `class_names` a folder's label is its place in that list; else it is its place among all folders in
    `order`, as timm or torchvision counts. `walked` is what lies below it, where that is known, and `names`
    are its classes. Raises InputError where a folder is not in `class_names`.
    """
    walked = walked or images_below(str(folder))
    parents = [path.split("/")[0] if "/" in path else "" for path in walked.files]
    held = set(parents) - {""}
    names = names or tuple(n for n in folders_in(str(folder)) if n in held or _is_class(folder / n, walked))
    if not class_names and (are_classes(list(names)) or not held):
        return imagenet.labelled(name, folder, folder, walked)
    notes = []
    if class_names:
        places = placed(names, class_names)
        if places is None:
            unknown = next(known for known in names if placed([known], class_names) is None)
            raise InputError("classes", unknown, f"it is a folder of {name}, but not in the list of classes")
        notes.append(f"labels are the folders' places among the {len(class_names)} classes given")
    else:
        places = {known: at for at, known in enumerate(sorted_by(order or CODEPOINT, names))}
        notes += _of_order(names, order)
    labels = [places.get(parent, -1) for parent in parents]
    if stray := sum(label < 0 for label in labels):
        notes.append(f"{stray:,} images lie in no folder of a class and have no label")
    if empty := [known for known in names if known not in held]:
        notes.append(f"{len(empty)} folders of classes hold no image: {', '.join(empty[:5])}")
    one = found_in(name, "id", f"{len(names)} classes", "folder of classes", folder, walked, labels, notes)
    one.classes, one.is_guessed = tuple(names), not class_names
    one.of_order = "" if class_names else notes[0]
    return one


def _is_class(folder: Path, walked: Walked) -> bool:
    """Return whether a folder without images is a class all the same: empty, or a link to another one."""
    try:
        return folder.name in walked.problems or not any(folder.iterdir())
    except OSError:
        return True


def _of_order(names: tuple[str, ...], order: str) -> list[str]:
    """Say which order the labels follow, and whether that matters."""
    if not (unlike := differences(names)):
        return ["labels are the folders' places in alphabetical order, the same to timm and torchvision"]
    said = {
        NATURAL: "natural order, as timm counts",
        CODEPOINT: "order of code points, as torchvision counts",
    }
    if order:
        return [f"labels are the folders' places in {said[order]} (--class-order {order})"]
    return [f"timm and torchvision count its classes in different orders: {'; '.join(unlike)}"]


def _label(files: list[str]) -> str:
    return f"{counted(len(files), 'image')} of a folder"
