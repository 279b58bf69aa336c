"""Find every image set below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from engine import catalog
from engine.datasets import imagenet, lists
from engine.datasets.class_order import placed
from engine.datasets.disk_set import DiskSet
from engine.datasets.folders import as_classes, as_ood
from engine.datasets.walk import images_below, normal, on_disk, passed_over
from engine.datasets.wordnet import synsets
from engine.errors import InputError
from engine.plan.resources import Resources


def discover(root: Path) -> dict[str, DiskSet]:
    """Return the image sets below `root` by name; raise InputError if it is no readable folder."""
    try:
        folder = on_disk(root.expanduser()).resolve()
        next(folder.iterdir(), None)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("data", str(root), f"a folder that can be read is needed ({reason})") from None
    found: dict[str, DiskSet] = {}
    for target in catalog.LAYOUTS:
        catalog.resolve(target)(folder, found)
    return {name: found[name] for name in (*catalog.SETS, *found) if name in found}


def below_root(resources: Resources, names: Iterable[str]) -> dict[str, DiskSet]:
    """Return the sets below the root of image sets, if any of the named ones may be among them."""
    if not resources.data:
        return {}
    root = Path(resources.data)
    places = [Path(resources.ood[name]) for name in names if name in resources.ood]
    is_published = any(name in catalog.SETS and not catalog.is_made(name) for name in names)
    return discover(root) if is_published or any(root in (p, *p.parents) for p in places) else {}


def is_found(name: str, resources: Resources, found: Mapping[str, DiskSet]) -> bool:
    """Return whether a set is the one that was found below the root, and no folder of the user's own."""
    if name not in found or name in resources.id or name in resources.train:
        return False
    return name not in resources.ood or resources.ood[name] == str(found[name].root)


def with_names(one: DiskSet, names: tuple[str, ...]) -> DiskSet:
    """Return a set with labels that are places among the classes that a model's own file names.

    Its folders, or the WordNet identifiers that its labels stand for, must be among them, or it is returned
    as it is.
    """
    if not names or one.role == "ood":
        return one
    if one.is_guessed:
        places = placed(one.classes, names)
        if places is None:
            return one
        one.labels = [places.get(path.split("/")[0], -1) if "/" in path else -1 for path in one.files]
        one.is_guessed = False
        one.notes = [note for note in one.notes if not note.startswith(one.of_order)]
    else:
        known = sorted(synsets(), key=synsets().__getitem__)
        shown = sorted({label for label in one.labels if label >= 0})
        if not one.is_of_imagenet or (places := placed([known[label] for label in shown], names)) is None:
            return one
        one.labels = [places[known[label]] if label >= 0 else -1 for label in one.labels]
    one.notes.append("labels are places among the classes that the model's own file names")
    return one


def ood_folder(name: str, given: str) -> DiskSet:
    """Return a folder of images as an OOD set; raise InputError where there are none."""
    root = _folder(f"ood {name}", given)
    walked = images_below(str(root))
    if not walked.files:
        blocked = f"; {next(iter(walked.problems.values()))}" if walked.problems else ""
        passed = "".join(f"; {text}" for text in passed_over(walked.passed))
        raise InputError(f"ood {name}", given, f"it holds no image{blocked}{passed}")
    return as_ood(name, root, walked)


def id_set(
    name: str, given: str, data: Path | None, classes: tuple[str, ...] = (), order: str = ""
) -> DiskSet:
    """Return an ID set: a folder of classes, or a list of images with labels and its images near it.

    Folders are counted by their places among `classes`, or else in an order (`class_order`). Raises
    InputError if it is neither, or if a folder is not one of `classes`.
    """
    path = on_disk(Path(given).expanduser())
    if path.is_file():
        return _of_list(name, path, data)
    found = as_classes(name, _folder(f"id {name}", given), classes, order)
    if not found.files:
        passed = "".join(f"; {text}" for text in found.notes)
        raise InputError(f"id {name}", given, f"it holds no image{passed}")
    return found


def _of_list(name: str, path: Path, data: Path | None) -> DiskSet:
    """Return the images of a list as an ID set; raise InputError where they are not found."""
    near = (path.resolve().parent, *([data] if data else []))
    listed = lists.read(path, near)
    base = lists.base_of(listed, near)
    if base is None:
        right = (
            "its images are neither in its folder nor below --data; its first line is understood as path "
            f"{listed.files[0]!r}, label {listed.labels[0]}"
        )
        raise InputError(f"id {name}", str(path), right)
    listed = lists.placed(listed, base)
    labels, notes = listed.labels, [f"labels from {path.name}"]
    if any(imagenet.key_of(file) in imagenet.FIRST for file in listed.files):
        labels, notes = imagenet.checked(imagenet.by_name(listed), listed.files, path.name)
    notes = [*notes, *listed.notes]
    return DiskSet(name, "id", "images of a list", "list", base, listed.files, labels, notes=notes)


def read_classes(given: str) -> tuple[str, ...]:
    """Return the names of classes in a file, one a line, in the order of a model's outputs."""
    path = on_disk(Path(given).expanduser())
    names = tuple(line.strip() for line in lists.lines_of(path, "classes") if line.strip())
    if len(names) < 2 or len({normal(name) for name in names}) < len(names):
        raise InputError("classes", given, f"different names are needed, a line each; it has {len(names)}")
    return names


def _folder(field: str, given: str) -> Path:
    try:
        given.encode()
        root = on_disk(Path(given).expanduser()).resolve()
        if not root.is_dir():
            raise InputError(field, given, "a folder of images is needed, there is none of that name")
        return root
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(field, repr(given), f"it cannot be read ({error})") from None
