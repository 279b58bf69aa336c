"""Find every image set below a folder."""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.datasets import imagenet, lists
from engine.datasets.found import Found
from engine.datasets.layouts import as_classes, as_ood
from engine.datasets.walk import images_below
from engine.errors import InputError


def discover(root: Path) -> dict[str, Found]:
    """Return the image sets below `root` by name; raise InputError if it is no readable folder."""
    try:
        folder = root.expanduser().resolve()
        next(folder.iterdir(), None)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("data", str(root), f"a folder that can be read is needed ({reason})") from None
    found: dict[str, Found] = {}
    for target in catalog.LAYOUTS:
        catalog.resolve(target)(folder, found)
    return found


def ood_folder(name: str, given: str) -> Found:
    """Return a folder of images as an OOD set; raise InputError where there are none."""
    root = _folder(f"ood {name}", given)
    walked = images_below(str(root))
    if not walked.files:
        blocked = f"; {next(iter(walked.problems.values()))}" if walked.problems else ""
        raise InputError(f"ood {name}", given, f"it holds no image{blocked}")
    return as_ood(name, root, walked.files, walked.problems)


def id_set(name: str, given: str, data: Path | None, classes: tuple[str, ...]) -> Found:
    """Return an ID set: a folder of classes, or a list of `PATH LABEL` lines with its images near it.

    Raises InputError if it is neither, or if a folder is not one of `classes`.
    """
    path = Path(given).expanduser()
    if path.is_file():
        listed = lists.read(path)
        base = lists.base_of(listed, [path.resolve().parent, *([data] if data else [])])
        if base is None:
            right = "its images are neither in its folder nor below --data"
            raise InputError(f"id {name}", given, right)
        labels, notes = listed.labels, [f"labels from {path.name}"]
        if any(Path(file).stem in imagenet.FIRST for file in listed.files):
            labels, notes = imagenet.checked(imagenet.by_name(listed), listed.files, path.name)
        return Found(name, "id", "images of a list", "list", base, listed.files, labels, notes=notes)
    found = as_classes(name, _folder(f"id {name}", given), classes)
    if not found.files:
        raise InputError(f"id {name}", given, "it holds no image")
    return found


def read_classes(given: str) -> tuple[str, ...]:
    """Return the names of classes in a file, one a line, in the order of a model's outputs."""
    try:
        lines = Path(given).expanduser().read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise InputError("classes", given, f"a text file with a class a line is needed ({error})") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError("classes", given, f"different names are needed, a line each; it has {len(names)}")
    return names


def _folder(field: str, given: str) -> Path:
    try:
        given.encode()
        root = Path(given).expanduser().resolve()
        if not root.is_dir():
            raise InputError(field, given, "a folder of images is needed, there is none of that name")
        return root
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(field, repr(given), f"it cannot be read ({error})") from None
