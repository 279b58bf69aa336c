"""An image set as it lies on a disk."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Found(msgspec.Struct):
    """File names with labels below `root`; -1 is no ID class.

    `expected` is how many images the set has where it is complete; `problems` says by path what could not
    be looked at; `notes` say what was done to the set, and what to know of it.
    """

    name: str
    role: str
    label: str
    kind: str  # of layout
    root: Path
    files: list[str]
    labels: list[int]
    expected: int | None = None
    classes: tuple[str, ...] = ()  # names of the folders that the labels count
    is_guessed: bool = False  # labels are places of the folders in alphabetical order
    problems: dict[str, str] = {}
    notes: list[str] = []


def sized(found: Found, expected: int) -> Found:
    """Return the set with what its size says."""
    missing = expected - len(found.files)
    found.expected = expected
    if missing > 0:
        found.notes.append(
            f"{missing:,} of {expected:,} images are missing: its numbers are not the published ones"
        )
    elif missing < 0:
        found.notes.append(f"{-missing:,} images more than the {expected:,} of the published set")
    return found
