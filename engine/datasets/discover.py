"""Find every image set below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from engine import catalog
from engine.datasets import imagenet, lists
from engine.datasets.class_order import placed
from engine.datasets.disk_set import DiskSet
from engine.datasets.sources.base import Source
from engine.datasets.walk import normal, on_disk
from engine.datasets.wordnet import synsets
from engine.errors import InputError
from engine.plan.resources import Resources


def discover(root: Path) -> dict[str, DiskSet]:
    """Return the image sets below `root` by name; raise InputError if it is not a readable folder."""
    try:
        folder = on_disk(root.expanduser()).resolve()
        next(folder.iterdir(), None)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("data", str(root), f"a readable folder is needed ({reason})") from None
    sets: dict[str, DiskSet] = {}
    for target in catalog.LAYOUTS:
        catalog.resolve(target)(folder, sets)
    return {name: sets[name] for name in (*catalog.SETS, *sets) if name in sets}


def below_root(resources: Resources, names: Iterable[str]) -> dict[str, DiskSet]:
    """Return the sets below the root of image sets, if any of the named ones may be among them."""
    if not resources.data:
        return {}
    root = Path(resources.data)
    places = [Path(resources.ood[name]) for name in names if name in resources.ood]
    is_published = any(name in catalog.SETS and not catalog.is_made(name) for name in names)
    return discover(root) if is_published or any(root in (p, *p.parents) for p in places) else {}


def is_found(name: str, resources: Resources, found: Mapping[str, DiskSet]) -> bool:
    """Return whether a set is the one found below the root, not a path that the user gave."""
    if name not in found or name in resources.id or name in resources.train:
        return False
    return name not in resources.ood or resources.ood[name] == str(found[name].root)


def with_names(one: DiskSet, names: tuple[str, ...]) -> DiskSet:
    """Return a set labelled by the class names in a model's own file.

    It is returned unchanged unless its folders, or the WordNet identifiers of its labels, are among them.
    """
    if not names or one.role == "ood":
        return one
    if one.is_guessed:
        by_label = {label: name for name, label in one.classes.items()}
        places = placed(one.classes, names)
    elif one.is_of_imagenet:
        shown = {*one.labels}
        by_label = {label: wnid for wnid, label in synsets().items() if label in shown}
        places = placed(by_label.values(), names)
    else:
        return one
    if places is None:
        return one
    moved = {label: places[name] for label, name in by_label.items() if label >= 0}
    one.labels = [moved.get(label, -1) for label in one.labels]
    one.classes = {name: moved.get(label, -1) for name, label in one.classes.items()}
    one.notes = [note for note in one.notes if not (one.is_guessed and note.startswith(one.of_order))]
    one.notes.append("labels are indices in the class names of the model's own file")
    one.is_guessed = False
    return one


def ood_set(name: str, location: str) -> DiskSet:
    """Return the images of a folder, or of another source, as an OOD set; raise InputError if it has none."""
    return _filled(f"ood {name}", location, _source(f"ood {name}", location).ood_set(name))


def id_set(
    name: str, location: str, data: Path | None, classes: tuple[str, ...] = (), order: str = ""
) -> DiskSet:
    """Return an ID set: a folder of classes, another source of them, or a list whose images are near it.

    Labels of folders are their indices in `classes`, or else in an order (`class_order`). Raises InputError
    for anything else, or for a folder that is not in `classes`.
    """
    path = on_disk(Path(location).expanduser())
    if path.is_file() and _kind(path) is None:
        return _of_list(name, path, data)
    return _filled(f"id {name}", location, _source(f"id {name}", location).id_set(name, classes, order))


def _filled(field: str, location: str, one: DiskSet) -> DiskSet:
    """Return a set that holds images; raise InputError if it holds none."""
    if not one.members:
        reasons = "".join(f"; {text}" for text in (*[*one.problems.values()][:1], *one.notes))
        raise InputError(field, location, f"it holds no image{reasons}")
    return one


def _of_list(name: str, path: Path, data: Path | None) -> DiskSet:
    """Return the images of a list as an ID set; raise InputError if they are not found."""
    near = (path.resolve().parent, *([data] if data else []))
    listed = lists.read(path, near)
    base = lists.base_of(listed, near)
    if base is None:
        right = (
            "its images are neither in its folder nor below --data; its first line was read as path "
            f"{listed.files[0]!r}, label {listed.labels[0]}"
        )
        raise InputError(f"id {name}", str(path), right)
    listed = lists.placed(listed, base)
    labels, notes = listed.labels, [f"labels from {path.name}"]
    if any(imagenet.key_of(file) in imagenet.FIRST for file in listed.files):
        labels, notes = imagenet.checked(imagenet.by_name(listed), listed.files, path.name)
    notes = [*notes, *listed.notes]
    return DiskSet(name, "id", "images of a list", "list", base, listed.files, labels, notes=notes)


def read_classes(location: str) -> tuple[str, ...]:
    """Return the class names in a file, one per line, in the order of a model's outputs."""
    path = on_disk(Path(location).expanduser())
    names = tuple(line.strip() for line in lists.lines_of(path, "classes") if line.strip())
    if len(names) < 2 or len({normal(name) for name in names}) < len(names):
        raise InputError("classes", location, f"distinct names are needed, one per line; it has {len(names)}")
    return names


def _source(field: str, location: str) -> Source:
    """Return the source that has a path as its root; raise InputError if there is none."""
    try:
        location.encode()
        root = on_disk(Path(location).expanduser()).resolve()
        kind = _kind(root)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(field, repr(location), f"it cannot be read ({error})") from None
    if kind is None:
        raise InputError(field, location, "a folder of images is needed, and there is none of that name")
    source: Source = catalog.resolve(catalog.SOURCES[kind])(root)
    return source


def _kind(path: Path) -> str | None:
    """Return the first kind of source that accepts a path, None if none does."""
    kinds = (kind for kind, target in catalog.SOURCES.items() if catalog.resolve(target).accepts(path))
    return next(kinds, None)
