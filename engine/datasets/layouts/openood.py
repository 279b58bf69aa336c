"""Sets by OpenOOD's lists of images."""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.catalog import Set
from engine.datasets import imagenet, lists
from engine.datasets.disk_set import DiskSet, sized, with_catalog_notes
from engine.datasets.tree import LISTED
from engine.datasets.walk import folders_in, is_file
from engine.errors import InputError


def openood_lists(root: Path, found: dict[str, DiskSet]) -> None:
    """Find sets by OpenOOD's lists, `benchmark_imglist/imagenet/*.txt`, wherever their images lie."""
    for top in (root, root / "data"):
        folder = top / "benchmark_imglist" / "imagenet"
        bases = (top / "images_largescale", top / "images_classic", top, root)
        for entry in catalog.SETS.values():
            path = next((folder / name for name in entry.lists if is_file(folder / name)), None)
            if path is not None and entry.name not in found:
                one = _listed(path, bases, entry)
                if one is not None:
                    found[entry.name] = one


def _listed(path: Path, bases: tuple[Path, ...], entry: Set) -> DiskSet | None:
    """Return a set by its list, None if its images are nowhere; a damaged list is a problem of its set."""
    try:
        listed = lists.read(path, bases)
    except InputError as error:
        problems = {f"benchmark_imglist/imagenet/{path.name}": error.right}
        one = DiskSet(entry.name, entry.role, entry.label, LISTED, path.parent, [], [], problems=problems)
        names = {place.split("/")[0] for place in entry.places}
        one.beside = [top / name for top in bases for name in folders_in(str(top)) if name.lower() in names]
        return one
    base = lists.base_of(listed, bases)
    if base is None:
        return None
    listed = lists.placed(listed, base)
    labels, notes = [-1] * len(listed.files), list[str]()
    if entry.role != "ood":
        labels, notes = imagenet.checked(imagenet.by_name(listed), listed.files, path.name)
    notes += listed.notes
    one = DiskSet(entry.name, entry.role, entry.label, LISTED, base, listed.files, labels, notes=notes)
    one.is_of_imagenet = entry.role != "ood"
    return with_catalog_notes(sized(one, entry.listed or entry.available), entry)
