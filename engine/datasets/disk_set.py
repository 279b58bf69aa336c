"""An image set as discovery found it on a disk."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engine import catalog
from engine.catalog import Set
from engine.datasets.walk import Walked, passed_over
from engine.text import counted


class DiskSet(msgspec.Struct):
    """The images of a set as members of a source at `root`, with their labels; -1 is no ID class.

    Only the source interprets a member; to all others it is a name. `expected` is how many images the
    complete set has; `problems` says by path what could not be read; `notes` say what was done to the set and
    what is worth knowing about it.
    """

    name: str
    role: str
    label: str
    kind: str  # of layout
    root: Path
    members: list[str]
    labels: list[int]
    source: str = "files"  # a kind of `catalog.SOURCES`
    expected: int | None = None
    classes: dict[str, int] = {}  # labels by the names of folders that are classes; -1 for an empty one
    is_guessed: bool = False  # labels are indices of the folders in an order
    of_order: str = ""  # the note that says which order that is
    is_of_imagenet: bool = False  # labels stand for WordNet identifiers of ImageNet-1k
    problems: dict[str, str] = {}
    notes: list[str] = []
    parts: list[str] = []  # the folders in `root` that it consists of, if there are others
    beside: list[Path] = []  # folders that came with the set or duplicate it, and are not sets themselves


def found_in(
    name: str,
    role: str,
    label: str,
    kind: str,
    root: Path,
    walked: Walked,
    labels: list[int] | None = None,
    notes: list[str] | None = None,
) -> DiskSet:
    """Return what was listed as a set, with a note on what was skipped."""
    labels = [-1] * len(walked.files) if labels is None else labels
    notes = [*(notes or []), *passed_over(walked.passed)]
    return DiskSet(name, role, label, kind, root, walked.files, labels, problems=walked.problems, notes=notes)


def sized(one: DiskSet, expected: int) -> DiskSet:
    """Return a set with its expected number of images, and a note if it has more or fewer."""
    missing = expected - len(one.members)
    one.expected = expected
    if missing > 0:
        one.notes.append(
            f"{missing:,} of {expected:,} images are missing: its numbers are not the published ones"
        )
    elif missing < 0:
        one.notes.append(f"{counted(-missing, 'image')} more than the {expected:,} of the published set")
    return one


def with_catalog_notes(one: DiskSet, entry: Set) -> DiskSet:
    """Return a published set with the notes of its catalog entry."""
    if entry.listed and entry.listed != entry.available:
        which = "OpenOOD's list" if one.expected == entry.listed else "the whole set"
        other = entry.available if one.expected == entry.listed else entry.listed
        one.notes.append(f"this is {which} of {one.expected:,}; another version has {other:,}")
    if entry.note:
        one.notes.append(entry.note)
    return one


def add(found: dict[str, DiskSet], one: DiskSet, name: str) -> None:
    """Add a set under its name, or a similar one if that is taken or belongs to a published set."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:40] or "images"
    while name in found or name in catalog.SETS:
        name += "-own"
    one.name = name
    found[name] = one
