"""ImageNet-1k as it lies on disks: folders by WordNet identifier, or one flat folder and a list of labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.datasets import lists
from engine.datasets.found import Found
from engine.datasets.walk import images_below, is_file

CLASSES = 1000
# Labels of the first validation images by sorted WordNet identifier, as every model here has them.
FIRST = {f"ILSVRC2012_val_{at:08d}": label for at, label in enumerate((65, 970, 230, 809, 516), start=1)}
_FLAT = re.compile(r"ILSVRC2012_val_(\d{8})", re.IGNORECASE)
LABEL_LISTS = (
    "LOC_val_solution.csv",
    "imagenet2012_val_list.txt",
    "val_imagenet.txt",
    "val.txt",
    "val_list.txt",
    "val_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
)
OTHER_ORDER = (
    "its labels count classes in another order, such as that of ImageNet's development kit ({} is {}); "
    "models count sorted WordNet identifiers (it is {}), so no label is used and accuracy is not measured"
)


@cache
def synsets() -> dict[str, int]:
    """Return ImageNet-1k's labels by WordNet identifier, as timm ships them."""
    found = find_spec("timm")
    assert found is not None and found.submodule_search_locations
    path = Path(found.submodule_search_locations[0], "data", "_info", "imagenet_synsets.txt")
    return {line: label for label, line in enumerate(path.read_text("utf-8").split())}


def in_folder(folder: Path, root: Path, name: str, as_classes: Callable[..., Found]) -> Found | None:
    """Return ImageNet from its folder: of classes, or flat with a list found near it; else None."""
    walked = images_below(str(folder))
    flat = [path for path in walked.files if "/" not in path]
    if len(flat) < len(walked.files) / 2:
        found = as_classes(name, folder, walked=walked)
        is_own = found.classes and set(found.classes) <= set(synsets())
        found.role, found.label = (
            ("id", "ImageNet-1k validation") if name == "imagenet" else ("train", "ImageNet-1k training")
        )
        return found if is_own else None
    if name != "imagenet" or not any(_FLAT.match(path) for path in flat[:1]):
        return None
    labels, notes = _flat_labels(flat, folder, root)
    label = "ImageNet-1k validation"
    return Found(
        name, "id", label, "flat with a list", folder, flat, labels, problems=walked.problems, notes=notes
    )


def _flat_labels(files: list[str], folder: Path, root: Path) -> tuple[list[int], list[str]]:
    """Return labels for a flat folder, and what is to be said of them."""
    for place in dict.fromkeys((folder, folder.parent, folder.parent.parent, root, root / "devkit" / "data")):
        for path in (place / name for name in LABEL_LISTS):
            if is_file(path):
                return checked(_labels_in(path), files, path.name)
    wanted = ", ".join(LABEL_LISTS[:3])
    return [-1] * len(files), [f"no list of labels lies near it ({wanted}): accuracy is not measured"]


def checked(by_name: dict[str, int], files: list[str], source: str) -> tuple[list[int], list[str]]:
    """Return labels of files that count sorted identifiers from 0, and what was seen of their order.

    `by_name` are the labels of a list by image name without extension. Labels from 1 are moved to 0; labels
    in the development kit's order are not used. Both show in the first images, whose labels are known.
    """
    notes = [f"labels from {source}"]
    known = {name: by_name[name] for name in FIRST if by_name.get(name, -1) >= 0}
    from_1 = min(by_name.values(), default=0) >= 1 and max(by_name.values(), default=0) == CLASSES
    from_1 |= bool(known) and all(label == FIRST[name] + 1 for name, label in known.items())
    if from_1:
        by_name = {name: label - 1 for name, label in by_name.items()}
        notes.append("its labels count from 1: 1 is subtracted")
    wrong = [name for name in known if by_name[name] != FIRST[name]]
    if wrong:
        return [-1] * len(files), [*notes, OTHER_ORDER.format(wrong[0], by_name[wrong[0]], FIRST[wrong[0]])]
    labels = [by_name.get(Path(name).stem, -1) for name in files]
    if missing := sum(label < 0 for label in labels):
        notes.append(f"{missing:,} images have no label there: their accuracy is not measured")
    return labels, notes


def by_name(listed: lists.Listed) -> dict[str, int]:
    """Return the labels of a list by image name without extension."""
    return {Path(name).stem: label for name, label in zip(listed.files, listed.labels, strict=True)}


def _labels_in(path: Path) -> dict[str, int]:
    """Return the labels of a list by image name without extension; raise InputError if it is damaged."""
    if path.suffix == ".csv":
        return lists.kaggle_labels(path, synsets())
    text = path.read_text("utf-8-sig", "replace").split()
    if text and all(word.isascii() and word.isdecimal() for word in text):  # a label a line, images in order
        return {f"ILSVRC2012_val_{at:08d}": int(word[:9]) for at, word in enumerate(text, start=1)}
    return by_name(lists.read(path))
