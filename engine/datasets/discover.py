"""Find every image set below a folder."""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.datasets import imagenet, lists
from engine.datasets.found import Found
from engine.datasets.others import as_classes, as_ood
from engine.datasets.walk import images_below, normal, on_disk, passed_over
from engine.errors import InputError


def discover(root: Path) -> dict[str, Found]:
    """Return the image sets below `root` by name; raise InputError if it is no readable folder."""
    try:
        folder = on_disk(root.expanduser()).resolve()
        next(folder.iterdir(), None)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("data", str(root), f"a folder that can be read is needed ({reason})") from None
    found: dict[str, Found] = {}
    for target in catalog.LAYOUTS:
        catalog.resolve(target)(folder, found)
    return {name: found[name] for name in (*catalog.SETS, *found) if name in found}


def ood_folder(name: str, given: str) -> Found:
    """Return a folder of images as an OOD set; raise InputError where there are none."""
    root = _folder(f"ood {name}", given)
    walked = images_below(str(root))
    if not walked.files:
        blocked = f"; {next(iter(walked.problems.values()))}" if walked.problems else ""
        passed = "".join(f"; {text}" for text in passed_over(walked.passed))
        raise InputError(f"ood {name}", given, f"it holds no image{blocked}{passed}")
    return as_ood(name, root, walked)


def id_set(name: str, given: str, data: Path | None, classes: tuple[str, ...] = (), order: str = "") -> Found:
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


def _of_list(name: str, path: Path, data: Path | None) -> Found:
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
    return Found(name, "id", "images of a list", "list", base, listed.files, labels, notes=notes)


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
