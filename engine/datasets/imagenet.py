"""ImageNet-1k's labels, however they come: in names of folders or files, or in a list nearby."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from engine.datasets import lists
from engine.datasets.class_order import NATURAL, sorted_by
from engine.datasets.disk_set import DiskSet, found_in
from engine.datasets.walk import Walked, is_file
from engine.datasets.wordnet import are_classes, label_of, label_of_path, synsets
from engine.errors import InputError
from engine.text import counted

CLASSES = 1000
# Labels of the first validation images by sorted WordNet identifier, as models number classes.
FIRST = {f"ILSVRC2012_val_{at:08d}": label for at, label in enumerate((65, 970, 230, 809, 516), start=1)}
VALIDATION = re.compile(r"ILSVRC20\d\d_val_(\d{8})", re.IGNORECASE)
LABEL_LISTS = (
    "LOC_val_solution.csv",
    "imagenet2012_val_list.txt",
    "val_imagenet.txt",
    "val_map.txt",
    "val.txt",
    "val_list.txt",
    "val_labels.txt",
    "imagenet_2012_validation_synset_labels.txt",
    "synset_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
)
BESIDE = ("", "caffe_ilsvrc12", "labels", "meta", "devkit/data", "ILSVRC2012_devkit_t12/data")
OTHER_ORDER = (
    "its labels number classes in another order, such as that of ImageNet's development kit ({} has {}); "
    "models use sorted WordNet identifiers (it has {}), so no label is used and accuracy is not measured"
)
NUMBERS = (
    "its folders are numbers, and no image in them shows whether they follow sorted WordNet identifiers or "
    "ImageNet's development kit, so no label is used and accuracy is not measured; rename the folders to "
    "WordNet identifiers"
)


def key_of(name: str) -> str:
    """Return the name by which lists and files refer to one image: without folder, suffix and extension."""
    stem = Path(name.replace("\\", "/")).stem
    of_validation = VALIDATION.match(stem)
    return f"ILSVRC2012_val_{of_validation[1]}" if of_validation else stem


def labelled(name: str, folder: Path, root: Path, walked: Walked) -> DiskSet:
    """Return images of ImageNet's classes as an ID set, with labels from its folders, files or a list."""
    one = _labelled(name, folder, root, walked)
    one.is_of_imagenet = True
    return one


def _labelled(name: str, folder: Path, root: Path, walked: Walked) -> DiskSet:
    tops = sorted({path.split("/")[0] for path in walked.files if "/" in path})
    labels = [label_of_path(path) for path in walked.files]
    if are_classes(tops):
        notes: list[str] = []
        if strange := [top for top in tops if top not in synsets()]:
            notes.append(f"identifiers are read from names such as {strange[0]}")
        if stray := sum(label < 0 for label in labels):
            notes.append(f"{counted(stray, 'image')} outside the class folders, without a label")
        one = found_in(name, "id", f"{len(tops)} classes", "folder of classes", folder, walked, labels, notes)
        one.classes = {top: label_of(top) for top in tops}
        return one
    if tops and all(top.isdecimal() for top in tops):
        labels, notes = _of_numbers(walked.files)
        return found_in(name, "id", f"{len(tops)} classes", "numbered folders", folder, walked, labels, notes)
    if sum(label >= 0 for label in labels) * 2 > len(labels):
        is_flat = not any(label_of(part) >= 0 for path in walked.files for part in path.split("/")[:-1])
        kind = "flat, identifiers in names" if is_flat else "folders of classes below others"
        notes = ["labels are the WordNet identifiers in its file names"] if is_flat else []
        if stray := sum(label < 0 for label in labels):
            notes.append(f"{counted(stray, 'image')} without an identifier or label")
        of = f"{len(set(labels) - {-1})} classes"
        return found_in(name, "id", of, kind, folder, walked, labels, notes)
    labels, notes = _of_lists(walked.files, folder, root)
    return found_in(name, "id", "images of a list", "flat with a list", folder, walked, labels, notes)


def checked(by_name: dict[str, int], files: list[str], source: str) -> tuple[list[int], list[str]]:
    """Return labels of files as indices of sorted identifiers from 0, and notes on their order.

    `by_name` are the labels of a list by image name without extension. Labels that start at 1 are moved to 0;
    labels in the development kit's order are not used. Both show in the first images, whose labels are known.
    """
    notes = [f"labels from {source}"]
    probes = {name: by_name[name] for name in FIRST if by_name.get(name, -1) >= 0}
    highest = max(by_name.values(), default=0)
    from_1 = min(by_name.values(), default=0) >= 1 and highest == CLASSES
    from_1 |= bool(probes) and all(label == FIRST[name] + 1 for name, label in probes.items())
    if from_1:
        by_name = {name: label - 1 for name, label in by_name.items()}
        notes.append("its labels start at 1: 1 is subtracted")
    wrong = [name for name in probes if by_name[name] != FIRST[name]]
    if wrong:
        return [-1] * len(files), [*notes, OTHER_ORDER.format(wrong[0], by_name[wrong[0]], FIRST[wrong[0]])]
    if highest > CLASSES:
        return [-1] * len(files), [*notes, f"its numbers go up to {highest:,}: they are not labels"]
    labels = [by_name.get(key_of(name), -1) for name in files]
    if missing := sum(label < 0 for label in labels):
        notes.append(f"{counted(missing, 'image')} without a label there: accuracy is not measured on these")
    return labels, notes


def by_name(listed: lists.Listed) -> dict[str, int]:
    """Return the labels of a list by image name without extension."""
    return {key_of(name): label for name, label in zip(listed.files, listed.labels, strict=True)}


def _of_lists(files: list[str], folder: Path, root: Path) -> tuple[list[int], list[str]]:
    """Return labels from the first list near the images that has some, and notes on them.

    If no list gives labels, those that are damaged or in another order are named.
    """
    unlabelled, refused = [-1] * len(files), []
    for path in _near(folder, root):
        try:
            labels, notes = checked(_labels_in(path), files, path.name)
        except InputError as error:
            labels, notes = unlabelled, [f"{path.name} cannot be read: {error.right}"]
        if any(label >= 0 for label in labels):
            return labels, notes
        refused += notes
    wanted = ", ".join(LABEL_LISTS[:3])
    why = f"no list of labels nearby ({wanted}): accuracy is not measured"
    return unlabelled, refused or [why]


def _near(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the files near a folder, up to the root, that are named like lists of labels."""
    parents = [place for place in folder.parents if place == root or root in place.parents]
    for place in dict.fromkeys((folder, *parents, folder.parent, folder.parent.parent, root)):
        for beside in BESIDE:
            yield from filter(is_file, (place / beside / name for name in LABEL_LISTS))


def _labels_in(path: Path) -> dict[str, int]:
    """Return the labels of a list by image name without extension; raise InputError if it is damaged."""
    if path.suffix == ".csv":
        return lists.kaggle_labels(path)
    words = [line.strip() for line in lists.lines_of(path) if line.strip()]
    if words and all(
        word.isascii() and word.isdecimal() for word in words
    ):  # one label per line, images in order
        labels = [int(word[:9]) for word in words]
    elif words and all(word.lower() in synsets() for word in words):
        labels = [synsets()[word.lower()] for word in words]
    else:
        return by_name(lists.read(path))
    return {f"ILSVRC2012_val_{at:08d}": label for at, label in enumerate(labels, start=1)}


def _of_numbers(files: list[str]) -> tuple[list[int], list[str]]:
    """Return labels of folders that are numbers, if the first images, whose labels are known, show them."""
    numbers = [int(path.split("/")[0]) if "/" in path else -1 for path in files]
    by_key: dict[str, set[int]] = {}
    for path, number in zip(files, numbers, strict=True):
        if key_of(path) in FIRST:
            by_key.setdefault(key_of(path), set()).add(number)
    probes = {key: min(labels) for key, labels in by_key.items() if len(labels) == 1}
    if not probes:
        return [-1] * len(files), [NUMBERS]
    for less in (0, 1):
        if all(number - less == FIRST[key] for key, number in probes.items()):
            labels = [number - less if number >= less else -1 for number in numbers]
            return labels, [f"labels are the numbers of its folders, which start at {less}"]
    key = min(probes)
    return [-1] * len(files), [OTHER_ORDER.format(key, probes[key], FIRST[key])]


def of_version_2(name: str, folder: Path, walked: Walked) -> DiskSet | None:
    """Return ImageNet-V2, whose folders are named by the labels 0 to 999; None if they are not."""
    tops = sorted_by(NATURAL, {path.split("/")[0] for path in walked.files if "/" in path})
    if not tops or not all(top.isdecimal() and int(top) < CLASSES for top in tops):
        return None
    labels = [int(path.split("/")[0]) if "/" in path else -1 for path in walked.files]
    notes = ["labels are the numbers of its folders, as ImageNet-V2 has them"]
    one = found_in(name, "id", f"{len(tops)} classes", "numbered folders", folder, walked, labels, notes)
    one.classes, one.is_of_imagenet = {top: int(top) for top in tops}, True
    return one
