"""The layouts in which image sets lie below a folder: one function each, listed in `catalog.LAYOUTS`.

Each takes the root and what is found already, and adds what it finds. Counts and names follow OpenOOD
v1.5's lists and the sets as their authors hand them out.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine import catalog
from engine.catalog import Set
from engine.datasets import imagenet, lists
from engine.datasets.found import Found, sized
from engine.datasets.walk import Walked, folders_in, images_below, is_file, is_image
from engine.errors import InputError

DEPTH = 4  # folders below the root that are looked into
MOST_FOLDERS = 64  # a folder of more folders than this holds classes, not sets
OF_LAYOUTS = ("benchmark_imglist", "images_largescale", "images_classic", "data")
PLACES365 = 36_500
SPLITS = {"train": "train", "training": "train", "val": "id", "validation": "id", "test": "id"}
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def openood_lists(root: Path, found: dict[str, Found]) -> None:
    """Find sets by OpenOOD's lists, `benchmark_imglist/imagenet/*.txt`, wherever their images lie."""
    for top in (root, root / "data"):
        folder = top / "benchmark_imglist" / "imagenet"
        for entry in catalog.SETS.values():
            path = next((folder / name for name in entry.lists if is_file(folder / name)), None)
            if path is not None and entry.name not in found:
                try:
                    listed = lists.read(path)
                except InputError as error:
                    problems = {f"benchmark_imglist/imagenet/{path.name}": error.right}
                    found[entry.name] = Found(
                        entry.name, entry.role, entry.label, "OpenOOD list", folder, [], [], problems=problems
                    )
                    continue
                base = lists.base_of(listed, (top / "images_largescale", top / "images_classic", top, root))
                if base is not None:
                    none = [-1] * len(listed.files)
                    labels, notes = (
                        (none, [])
                        if entry.role == "ood"
                        else imagenet.checked(imagenet.by_name(listed), listed.files, path.name)
                    )
                    kind = "OpenOOD list"
                    one = Found(
                        entry.name, entry.role, entry.label, kind, base, listed.files, labels, notes=notes
                    )
                    found[entry.name] = _described(sized(one, entry.listed or entry.available), entry)


def known_folders(root: Path, found: dict[str, Found]) -> None:
    """Find sets by the names of the folders that they are handed out in, in upper or lower case."""
    tree = _tree(root)
    for entry in catalog.SETS.values():
        if entry.made or entry.name in found:
            continue
        folder = next((place for top in tree for place in _places(top, tree[top], entry)), None)
        if folder is not None and (one := _known(folder, root, entry)) is not None:
            found[entry.name] = _described(one, entry)


def other_folders(root: Path, found: dict[str, Found]) -> None:
    """Take every other folder of images as an OOD set; a root of nothing but classes is one ID set."""
    taken = {_real(one.root) for one in found.values()} | {
        _real(one.root / name.split("/")[0]) for one in found.values() for name in one.files[:1]
    }
    known = {
        place.split("/")[0] for name in found if name in catalog.SETS for place in catalog.SETS[name].places
    }
    tops = [top for top in (root, root / "images_largescale", root / "images_classic") if top.is_dir()]
    if not found and _holds_classes(root):
        return _add(found, as_classes(_name(root.name), root))
    for top in tops:
        for name in folders_in(str(top)):
            folder = top / name
            inside = _real(folder)
            if name in OF_LAYOUTS or name.lower() in known:
                continue
            if any(inside == t or inside in t.parents or t in inside.parents for t in taken):
                continue
            if (name.lower() in SPLITS and folders_in(str(folder))) or _holds_classes(folder):
                one = as_classes(_name(name), folder)
                one.role = SPLITS.get(name.lower(), "id")
                _add(found, one)
                continue
            walked = images_below(str(folder))
            if walked.files or walked.problems:
                _add(found, as_ood(_name(name), folder, walked.files, walked.problems))
    if not found and any(is_image(path.name) for path in root.iterdir()):
        walked = images_below(str(root))
        _add(found, as_ood(_name(root.name), root, walked.files, walked.problems))
    return None


def as_classes(
    name: str, folder: Path, class_names: tuple[str, ...] = (), walked: Walked | None = None
) -> Found:
    """Return a folder whose subfolders are classes, as torchvision reads it: classes by sorted name.

    Folders named by ImageNet-1k's WordNet identifiers get ImageNet's labels, however many there are; with
    `class_names` a folder's label is its place in that list. `walked` is what lies below it, where that is
    known. Raises InputError where a folder is not in `class_names`.
    """
    walked = walked or images_below(str(folder))
    parents = [path.split("/")[0] if "/" in path else "" for path in walked.files]
    names = tuple(sorted(set(parents) - {""}))
    synsets = imagenet.synsets()
    notes, is_guessed = [], False
    if class_names:
        order = {known: at for at, known in enumerate(class_names)}
        if unknown := [known for known in names if known not in order]:
            raise InputError(
                "classes", unknown[0], f"it is a folder of {name}, but not in the list of classes"
            )
    elif names and all(known in synsets for known in names):
        order = synsets
    else:
        order = {known: at for at, known in enumerate(names)}
        is_guessed = True
        notes.append("labels are the folders' places in alphabetical order")
    labels = [order.get(parent, -1) for parent in parents]
    if class_names:
        notes.append(f"labels are the folders' places among the {len(class_names)} classes given")
    if stray := sum(label < 0 for label in labels):
        notes.append(f"{stray:,} images lie in no folder of a class and have no label")
    return Found(
        name,
        "id",
        f"{len(names)} classes",
        "folder of classes",
        folder,
        walked.files,
        labels,
        classes=names,
        is_guessed=is_guessed,
        problems=walked.problems,
        notes=notes,
    )


def _known(folder: Path, root: Path, entry: Set) -> Found | None:
    """Return a known set from its folder, None if no image is in it."""
    if entry.role != "ood":
        one = imagenet.in_folder(folder, root, entry.name, as_classes)
        return sized(one, entry.available) if one is not None and one.files else None
    walked = images_below(str(folder))
    files = [path for path in walked.files if path.split("/")[0].lower() not in entry.without]
    if not files:
        return None
    one = as_ood(entry.name, folder, files, walked.problems)
    one.label = entry.label
    if left := len(walked.files) - len(files):
        one.notes.append(f"{left:,} images of the classes {', '.join(entry.without)} are left out")
    if entry.name == "places" and len(files) == PLACES365:
        one.notes.append("this is OpenOOD's Places365 for CIFAR, not the set that MOS chose")
    return sized(one, entry.listed if entry.listed == len(files) else entry.available)


def _described(one: Found, entry: Set) -> Found:
    """Return a known set with what is to be known of it."""
    if entry.listed and entry.listed != entry.available:
        which = "OpenOOD's list" if one.expected == entry.listed else "the whole set"
        other = entry.available if one.expected == entry.listed else entry.listed
        one.notes.append(f"this is {which} of {one.expected:,}; another version has {other:,}")
    if entry.note:
        one.notes.append(entry.note)
    return one


def as_ood(name: str, folder: Path, files: list[str], problems: dict[str, str]) -> Found:
    """Return images of a folder as an OOD set: none has a label."""
    label = f"{len(files)} images of a folder"
    return Found(name, "ood", label, "folder", folder, files, [-1] * len(files), problems=problems)


def _add(found: dict[str, Found], one: Found) -> None:
    name = one.name
    while name in found or name in catalog.SETS:
        name += "-own"
    one.name = name
    found[name] = one


def _tree(root: Path) -> dict[Path, list[str]]:
    """Return the root and the folders below it that may hold sets, nearest first, with what they hold."""
    tree: dict[Path, list[str]] = {}
    level = [root]
    for _ in range(DEPTH):
        tree |= {folder: folders_in(str(folder)) for folder in level}
        level = [
            folder / name for folder in level if len(tree[folder]) <= MOST_FOLDERS for name in tree[folder]
        ]
    return tree


def _places(folder: Path, names: list[str], entry: Set) -> list[Path]:
    """List the places of a set in one folder, the most specific first."""
    found = []
    for place in entry.places:
        path: Path | None = folder
        for part in place.split("/"):
            inside = names if path is folder else folders_in(str(path))
            match = next((name for name in inside if name.lower() == part), None)
            path = path / match if path is not None and match is not None else None
            if path is None:
                break
        if path is not None:
            found.append(path)
    return found


def _holds_classes(root: Path) -> bool:
    """Tell whether the folders in `root` are classes rather than sets: by their number or their names."""
    names = folders_in(str(root))
    return len(names) > MOST_FOLDERS or (len(names) > 1 and all(name in imagenet.synsets() for name in names))


def _name(text: str) -> str:
    return _UNFIT.sub("-", text).strip("-._")[:40] or "images"


def _real(path: Path) -> Path:
    return path.resolve()
