"""The image files below a folder, in a fixed order, whatever else lies there."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from engine.datasets.formats import holds_image, is_image

# What systems and programs leave beside images, with images of their own: thumbnails, trash, copies.
JUNK = {
    "@eadir": "thumbnails of a NAS",
    "@recycle": "a recycle bin",
    "#recycle": "a recycle bin",
    "#snapshot": "snapshots of a NAS",
    "$recycle.bin": "a recycle bin",
    "system volume information": "a Windows system folder",
    "lost+found": "fragments found by a file system check",
    "__macosx": "copies of file attributes",
    "__pycache__": "a Python cache",
}
THUMBNAILS = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
MOST_PASSED = 10_000  # files in skipped folders are counted up to here
NAMED = 6  # kinds of files that a note names, besides all folders
_IN = "in "


class Walked(NamedTuple):
    """Image paths relative to their root, sorted, and why something below it could not be read.

    `passed` counts by kind the files that were skipped.
    """

    files: list[str]
    problems: dict[str, str]
    passed: dict[str, int] = {}


def images_below(folder: str) -> Walked:
    """List the image files below `folder`, without hidden ones, entering every folder once.

    A folder that cannot be opened, a broken link and a link to a folder that was entered already (as in a
    loop) are problems, named by path. Files that are not images, hidden files, and those in folders that
    systems leave behind are counted.
    """
    files: list[str] = []
    problems: dict[str, str] = {}
    passed: Counter[str] = Counter()
    entered: dict[tuple[int, int], str] = {}
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        place = os.path.join(folder, relative)  # noqa: PTH118
        try:
            first, entries = _entries(place, relative, entered)
        except OSError as error:
            problems[relative or "."] = f"the folder cannot be read ({error.strerror})"
            continue
        if entries is None:
            of = f" (first as {first})" if first else ""
            problems[relative] = f"the folder is reached again through a link{of} and counts once"
            continue
        inside: list[str] = []
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if not _is_seen(entry.name):
                _pass_over(entry, passed)
            elif _holds(entry.is_dir):
                inside.append(path)
            elif (by_name := is_image(entry.name)) is False:
                passed[_kind(entry.name)] += 1
            elif _holds(entry.is_file):
                if by_name or holds_image(entry.path):
                    files.append(path)
                else:
                    passed[_kind(entry.name)] += 1
            elif by_name:
                problems[path] = "the link is broken" if entry.is_symlink() else "it is not a file"
            else:
                passed["broken links or special files"] += 1
        waiting += sorted(inside, reverse=True)
    return Walked(sorted(files), dict(sorted(problems.items())), dict(passed))


def passed_over(passed: dict[str, int]) -> list[str]:
    """Return a note on the files of a folder that are not among its images, if any."""
    if not passed:
        return []
    kinds = sorted(passed, key=lambda kind: (-passed[kind], kind))
    named = [kind for kind in kinds if kind.startswith(_IN)]
    named += [kind for kind in kinds if kind not in named][:NAMED]
    counts = [f"{'at least ' if passed[k] >= MOST_PASSED else ''}{passed[k]:,} {k}" for k in named]
    rest = sum(passed.values()) - sum(passed[kind] for kind in named)
    more = f", {rest:,} of other kinds" if rest else ""
    return [f"files skipped: {', '.join(counts)}{more}"]


def is_file(path: Path) -> bool:
    """Return whether a path is a file; one that cannot be accessed is not."""
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


def images_in(folder: str) -> list[str]:
    """List the names of the image files in `folder` itself, sorted; one that cannot be read has none."""
    try:
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if _is_seen(entry.name) and is_image(entry.name) is not False]
            files = [entry for entry in seen if _holds(entry.is_file)]
            return sorted(e.name for e in files if is_image(e.name) or holds_image(e.path))
    except OSError:
        return []


def some_files(folder: str, count: int) -> list[str]:
    """List the names of up to `count` files in `folder` itself, in no order."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(names) == count:
                    break
                if _is_seen(entry.name) and is_image(entry.name) and _holds(entry.is_file):
                    names.append(entry.name)
    except OSError:
        pass
    return names


def normal(name: str) -> str:
    """Return a name in the form in which names are compared: systems encode the same letters differently."""
    return unicodedata.normalize("NFC", name)


def on_disk(path: Path) -> Path:
    """Return a path as the disk has it, if that differs only in Unicode normalization.

    macOS and some archives store an accent as a separate character; what is typed or listed rarely does.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    real = Path(path.anchor) if path.anchor else Path()
    for part in path.parts[1:] if path.anchor else path.parts:
        real /= part if os.path.lexists(real / part) else _same(real, part)
    return real


def same_names(folder: Path, files: Iterable[str]) -> list[str]:
    """Return relative paths as the disk has them below `folder` (see `on_disk`), reading each folder once."""
    listed: dict[str, dict[str, str]] = {}

    def name_in(parent: str, part: str) -> str:
        if part.isascii():
            return part
        if parent not in listed:
            try:
                names = os.listdir(folder / parent)  # noqa: PTH208
            except (OSError, ValueError):
                names = []
            listed[parent] = {normal(name): name for name in names} | {name: name for name in names}
        return listed[parent].get(part) or listed[parent].get(normal(part), part)

    real = []
    for file in files:
        path = ""
        for part in () if file.isascii() else file.split("/"):
            name = name_in(path, part)
            path = f"{path}/{name}" if path else name
        real.append(path or file)
    return real


def _same(folder: Path, name: str) -> str:
    try:
        return next((n for n in os.listdir(folder) if normal(n) == normal(name)), name)  # noqa: PTH208
    except OSError:
        return name


def _entries(
    folder: str, relative: str, entered: dict[tuple[int, int], str]
) -> tuple[str, list[os.DirEntry[str]] | None]:
    """Return what is in a folder; None, and its earlier path, if it was entered before."""
    about = os.stat(folder)  # noqa: PTH116
    identity = (about.st_dev, about.st_ino)
    if identity in entered:
        return entered[identity], None
    entered[identity] = relative
    with os.scandir(folder) as entries:
        return "", list(entries)


def _pass_over(entry: os.DirEntry[str], passed: Counter[str]) -> None:
    """Count what is hidden, or in a folder that systems leave behind."""
    if not (_holds(entry.is_dir) and not entry.is_symlink()):
        passed["hidden" if entry.name.startswith(".") else entry.name] += 1
        return
    about = JUNK.get(entry.name.lower(), "a hidden folder")
    kind = f"{_IN}{entry.name} ({about})"
    for _, _, names in os.walk(entry.path):
        if passed[kind] >= MOST_PASSED:
            return
        passed[kind] += len(names)


def _kind(name: str) -> str:
    """Return how a file that is not an image is counted: by its extension, or a well-known name."""
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if name.lower() in THUMBNAILS:
        return name
    if not extension or len(extension) > 12:
        return "without a known extension that are not images"
    return f"{extension} that Pillow cannot open" if is_image(name) is None else extension


def _is_seen(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def _holds(question: Callable[[], bool]) -> bool:
    """Return the answer about an entry; a link in a loop is neither file nor folder."""
    try:
        return question()
    except OSError:
        return False
