"""The image files below a folder, in a fixed order, whatever is in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
JUNK = {"__macosx"}


class Walked(NamedTuple):
    """Image paths relative to their folder, sorted, and why something below it could not be looked at."""

    files: list[str]
    problems: dict[str, str]


def images_below(folder: str) -> Walked:
    """List the image files below `folder`; hidden files do not count, every folder is entered once.

    A folder that cannot be opened, a link that leads nowhere and a link to a folder that was entered
    already (as in a loop) are problems, named by path.
    """
    files: list[str] = []
    problems: dict[str, str] = {}
    entered: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        try:
            entries = _entries(os.path.join(folder, relative), entered)  # noqa: PTH118
        except OSError as error:
            problems[relative or "."] = f"the folder cannot be read ({error.strerror})"
            continue
        if entries is None:
            problems[relative] = "the folder is reached a second time over a link and counts once"
            continue
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if _holds(entry.is_dir):
                waiting.append(path)
            elif is_image(entry.name):
                if _holds(entry.is_file):
                    files.append(path)
                else:
                    problems[path] = "the link leads nowhere" if entry.is_symlink() else "it is no file"
    return Walked(sorted(files), dict(sorted(problems.items())))


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image, in upper or lower case."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122


def is_file(path: Path) -> bool:
    """Tell whether there is a file; one that may not be looked at, or cannot be, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def folders_in(folder: str) -> list[str]:
    """List the names of the folders in `folder`, sorted; one that cannot be read has none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_seen(entry.name) and _holds(entry.is_dir))
    except OSError:
        return []


def _entries(folder: str, entered: set[tuple[int, int]]) -> list[os.DirEntry[str]] | None:
    """Return what is in a folder, None if it has been entered before."""
    about = os.stat(folder)  # noqa: PTH116
    identity = (about.st_dev, about.st_ino)
    if identity in entered:
        return None
    entered.add(identity)
    with os.scandir(folder) as entries:
        return [entry for entry in entries if _is_seen(entry.name)]


def _is_seen(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def _holds(question: Callable[[], bool]) -> bool:
    """Return the answer about an entry; a link that goes round in circles is neither file nor folder."""
    try:
        return question()
    except OSError:
        return False
