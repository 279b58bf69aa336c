"""Images below one root as a set: an OOD set without labels, or one whose folders are classes."""

from __future__ import annotations

from pathlib import Path

from engine.datasets import imagenet
from engine.datasets.class_order import CODEPOINT, NATURAL, differences, placed, sorted_by
from engine.datasets.disk_set import DiskSet, found_in
from engine.datasets.walk import Walked, folders_in, images_below
from engine.datasets.wordnet import are_classes, label_of
from engine.errors import InputError
from engine.text import counted


def as_ood(name: str, folder: Path, walked: Walked) -> DiskSet:
    """Return the images below a root as an OOD set, without labels."""
    one = found_in(name, "ood", _label(walked.files), "folder", folder, walked)
    own = {part for path in walked.files for part in path.split("/")[:-1]}
    if shared := sum(label_of(part) >= 0 for part in own):
        one.notes.append(f"folders named by identifiers of ImageNet-1k's classes: {shared:,}")
    return one


def as_classes(
    name: str,
    folder: Path,
    class_names: tuple[str, ...] = (),
    order: str = "",
    walked: Walked | None = None,
    names: tuple[str, ...] = (),
) -> DiskSet:
    """Return the images below a root as an ID set whose folders are classes.

    Folders named by ImageNet-1k's WordNet identifiers get ImageNet's labels, however many there are; with
    `class_names` a folder's label is its index in that list; else it is its index among all folders in
    `order`, as timm or torchvision numbers them. `walked` is what lies below the root, if already known, and
    `names` are its classes. Raises InputError if a folder is not in `class_names`.
    """
    walked = walked or images_below(str(folder))
    parents = [path.split("/")[0] if "/" in path else "" for path in walked.files]
    held = set(parents) - {""}
    others = (n for n in folders_in(str(folder)) if n not in held and _is_class(folder / n, walked))
    names = names or tuple(sorted({*held, *others}))
    if not class_names and (are_classes(list(names)) or not held):
        return imagenet.labelled(name, folder, folder, walked)
    if class_names:
        places, note = _listed_places(name, names, class_names)
    else:
        places = {class_name: at for at, class_name in enumerate(sorted_by(order or CODEPOINT, names))}
        note = _of_order(names, order)
    labels, notes = [places.get(parent, -1) for parent in parents], [note]
    if stray := sum(label < 0 for label in labels):
        notes.append(f"{counted(stray, 'image')} outside the class folders, without a label")
    if empty := [class_name for class_name in names if class_name not in held]:
        notes.append(f"{counted(len(empty), 'class folder')} without images: {', '.join(empty[:5])}")
    one = found_in(name, "id", f"{len(names)} classes", "folder of classes", folder, walked, labels, notes)
    one.classes = {class_name: places[class_name] if class_name in held else -1 for class_name in names}
    one.is_guessed, one.of_order = not class_names, "" if class_names else note
    return one


def _listed_places(
    name: str, names: tuple[str, ...], class_names: tuple[str, ...]
) -> tuple[dict[str, int], str]:
    """Return the index of every folder in `class_names`, and a note that it is its label."""
    places = placed(names, class_names)
    if places is None:
        unknown = next(folder for folder in names if placed([folder], class_names) is None)
        raise InputError("classes", unknown, f"it is a folder of {name}, but not in the list of classes")
    return places, f"labels are the folders' indices in the {len(class_names)} given class names"


def _is_class(folder: Path, walked: Walked) -> bool:
    """Return whether a folder without images is still a class: an empty one, or a link to another."""
    try:
        return folder.name in walked.problems or not any(folder.iterdir())
    except OSError:
        return True


def _of_order(names: tuple[str, ...], order: str) -> str:
    """Return a note on which order the labels follow, and whether that matters."""
    if not (unlike := differences(names)):
        return "labels are the folders' indices in alphabetical order, the same for timm and torchvision"
    numbering = {
        NATURAL: "natural order, as in timm",
        CODEPOINT: "code point order, as in torchvision",
    }
    if order:
        return f"labels are the folders' indices in {numbering[order]} (--class-order {order})"
    return f"timm and torchvision number its classes differently: {'; '.join(unlike)}"


def _label(files: list[str]) -> str:
    return f"{counted(len(files), 'image')} of a folder"
