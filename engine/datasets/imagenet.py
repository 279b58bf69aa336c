"""ImageNet-1k as it lies on disks: folders by WordNet identifier, or one flat folder and a list of labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.datasets import lists
from engine.datasets.found import Found
from engine.datasets.walk import images_below
from engine.errors import InputError

CLASSES = 1000
# Labels of ILSVRC2012_val_00000001: by sorted WordNet identifier, as every model here has them, and by the
# number that the development kit gives its classes. Counted from 0.
SORTED_FIRST, KIT_FIRST = 65, 489
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
KIT_ORDER = (
    "its labels count classes as ImageNet's development kit does (image 1 is {}); models count sorted "
    "WordNet identifiers (image 1 is 65), so no label is used and accuracy is not measured"
)


@cache
def synsets() -> dict[str, int]:
    """Return ImageNet-1k's labels by WordNet identifier, as timm ships them."""
    found = find_spec("timm")
    assert found is not None and found.submodule_search_locations
    path = Path(found.submodule_search_locations[0], "data", "_info", "imagenet_synsets.txt")
    return {line: label for label, line in enumerate(path.read_text("utf-8").split())}


def in_folder(folder: Path, root: Path, name: str, as_classes: Callable[[str, Path], Found]) -> Found | None:
    """Return ImageNet from its folder: of classes, or flat with a list found near it; else None."""
    walked = images_below(str(folder))
    flat = [path for path in walked.files if "/" not in path]
    if len(flat) < len(walked.files) / 2:
        found = as_classes(name, folder)
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
            if path.is_file():
                by_name = _labels_in(path)
                labels = [by_name.get(Path(name).stem, -1) for name in files]
                return checked(labels, files, path.name)
    wanted = ", ".join(LABEL_LISTS[:3])
    return [-1] * len(files), [f"no list of labels lies near it ({wanted}): accuracy is not measured"]


def checked(labels: list[int], files: list[str], source: str) -> tuple[list[int], list[str]]:
    """Return labels that count sorted identifiers from 0, and what was seen of their order.

    Labels from 1 are moved to 0; labels in the development kit's order are not used.
    """
    notes = [f"labels from {source}"]
    if min(labels, default=0) >= 1 and max(labels, default=0) == CLASSES:
        labels = [label - 1 for label in labels]
        notes.append("its labels count from 1: 1 is subtracted")
    first = next((at for at, name in enumerate(files) if _FLAT.match(Path(name).name)), None)
    if first is not None and Path(files[first]).stem.endswith("_00000001") and labels[first] == KIT_FIRST:
        return [-1] * len(labels), [*notes, KIT_ORDER.format(KIT_FIRST)]
    if missing := sum(label < 0 for label in labels):
        notes.append(f"{missing:,} images have no label there: their accuracy is not measured")
    return labels, notes


def _labels_in(path: Path) -> dict[str, int]:
    """Return the labels of a list by image name without extension; raise InputError if it is damaged."""
    if path.suffix == ".csv":
        return lists.kaggle_labels(path, synsets())
    text = path.read_text("utf-8", "replace").split()
    if text and all(word.isdecimal() for word in text[:20]):  # a label a line, images in order
        try:
            return {f"ILSVRC2012_val_{at:08d}": int(word) for at, word in enumerate(text, start=1)}
        except ValueError:
            raise InputError("list", str(path), "a whole number in every line is needed") from None
    listed = lists.read(path)
    return {Path(name).stem: label for name, label in zip(listed.files, listed.labels, strict=True)}
