"""Files that list images with their labels: of OpenOOD, ViM, ImageNet's development kit and others."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.datasets.formats import EXTENSIONS
from engine.datasets.walk import is_file, same_names
from engine.datasets.wordnet import synsets
from engine.errors import InputError
from engine.text import decoded

PROBED = 50  # lines that are tried to find the folder that a list refers to
_LAST = re.compile(r"(.*\S)[ \t]+(\S+)")
_TITLES = {"label", "labels", "class", "class_id", "classid", "target", "index", "synset", "predictionstring"}


class Listed(NamedTuple):
    """Paths as a list has them, and labels, -1 for no ID class; `notes` say how lines were read."""

    files: list[str]
    labels: list[int]
    notes: list[str] = []


def lines_of(path: Path, field: str = "list") -> list[str]:
    """Return the lines of a text file; raise InputError about `field` if it is not one."""
    try:
        text = decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        raise InputError(field, str(path), f"a readable text file is needed ({error})") from None
    return text.splitlines()


def read(path: Path, near: Sequence[Path] = ()) -> Listed:
    """Read a list of images with labels; raise InputError naming a line that cannot be right.

    A line is a path and a label, in either order, separated by a space, a tab, a comma or a semicolon; the
    path may be in quotes. The label is a whole number, a WordNet identifier of ImageNet-1k, or a Python
    dictionary with a `label`, as in OpenOOD; a line without one is only a path. All lines are
    read in the same way: the one by which most files exist, beside the list or in one of the folders `near`,
    or else by which most lines have a label.
    """
    lines = [(number, line.strip()) for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    if lines and _is_title(lines[0][1]):
        lines = lines[1:]
    parse, how = _reading([line for _, line in lines], (path.parent, *near))
    listed = Listed([], [], [how] if how else [])
    unlabelled: list[int] = []
    for number, line in lines:
        name, label = parse(line)
        if label is None:
            unlabelled.append(number)
        if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
            raise InputError(f"{path.name} line {number}", name, "a path below the data folder is needed")
        listed.files.append(name.removeprefix("./"))
        listed.labels.append(-1 if label is None else label)
    if not listed.files:
        raise InputError("list", str(path), "it lists no images")
    if 0 < len(unlabelled) < len(lines):
        number = unlabelled[0]
        line = next(text for at, text in lines if at == number)
        more = f", and {len(unlabelled) - 1:,} more" if len(unlabelled) > 1 else ""
        listed.notes.append(f"line {number} was read as a path without a label: {line[:200]!r}{more}")
    return listed


def base_of(listed: Listed, candidates: Iterable[Path]) -> Path | None:
    """Return the folder that holds most of some listed files, None if none holds any."""
    probe = _probe(listed)
    held = {
        folder: max(_held(folder, probe), _held(folder, [_with_slashes(name) for name in probe]))
        for folder in candidates
    }
    best = max(held, key=lambda folder: held[folder], default=None)
    return best if best is not None and held[best] else None


def placed(listed: Listed, base: Path) -> Listed:
    """Return a list with its paths as the disk has them below `base`: in its normalization, with slashes."""
    probe = [name for name in listed.files if "\\" in name][:PROBED]
    turned = probe and _held(base, [_with_slashes(name) for name in probe]) > _held(base, probe)
    files = [_with_slashes(name) for name in listed.files] if turned else listed.files
    notes = [*listed.notes, *(["backslashes in its paths are read as slashes"] if turned else [])]
    return Listed(same_names(base, files), listed.labels, notes)


def kaggle_labels(path: Path) -> dict[str, int]:
    """Return the labels in Kaggle's `LOC_val_solution.csv` by the name of the image without extension."""
    rows = csv.reader(lines_of(path))
    return {
        row[0]: synsets().get(row[1].split(" ")[0], -1) for row in rows if len(row) == 2 and row[1][:1] == "n"
    }


Parse = Callable[[str], tuple[str, int | None]]


def _reading(lines: list[str], near: Sequence[Path]) -> tuple[Parse, str]:
    """Return how lines are read, and a note on it.

    It is the reading by which most files exist, then the one by which most lines have a label and name an
    image.
    """
    probe = lines[:: max(1, len(lines) // PROBED)][:PROBED]

    def scored(parse: Parse) -> tuple[int, int]:
        read = [parse(line) for line in probe]
        names = [name for name, _ in read]
        there = max((_held(folder, names) for folder in near), default=0)
        return there, sum(2 * (label is not None) + _is_named(name) for name, label in read)

    readings = dict(_readings())
    best = max(readings, key=lambda how: scored(readings[how]))  # the first of equals
    return readings[best], best


def _readings() -> Iterator[tuple[str, Parse]]:
    yield "", _plain
    for name, separator in (("a tab", "\t"), ("a comma", ","), ("a semicolon", ";")):
        yield f"its lines are read as path, then label, with {name} between", _split(separator, -1)
        yield f"its lines are read as label, then path, with {name} between", _split(separator, 0)
        yield (
            f"its lines are read as columns with {name} between, one a path, one a label",
            _columns(separator),
        )
    yield "its lines are read as label, then path, with a space between", _split(" ", 0)


def _split(separator: str, at: int) -> Parse:
    """Return a reading of lines whose first or last part is a label, and the rest a path."""

    def parse(line: str) -> tuple[str, int | None]:
        parts = _parts(line, separator) if '"' in line else line.split(separator)
        rest = separator.join(parts[1:] if at == 0 else parts[:-1]).strip()
        label = _label(parts[at].strip()) if rest else None
        return (_unquoted(line), None) if label is None else (_unquoted(rest), label)

    return parse


def _columns(separator: str) -> Parse:
    """Return a reading of lines of several columns: the label is the nearest after the path, or before."""

    def parse(line: str) -> tuple[str, int | None]:
        parts = _parts(line, separator)
        path = next((at for at, part in enumerate(parts) if _is_named(part)), None)
        if path is None or len(parts) < 3:
            return _unquoted(line), None
        labels = map(_label, (*parts[path + 1 :], *reversed(parts[:path])))
        return parts[path], next((label for label in labels if label is not None), None)

    return parse


def _parts(line: str, separator: str) -> list[str]:
    try:
        return [part.strip() for part in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return [line]


def _plain(line: str) -> tuple[str, int | None]:
    """Read `PATH LABEL`; the path may hold spaces."""
    if line.endswith("}") and " {" in line:
        name, _, extra = line.rpartition(" {")
        try:
            about = ast.literal_eval("{" + extra)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return line, None
        label = about.get("label", -1) if isinstance(about, dict) else -1
        return name.strip(), label if isinstance(label, int) else -1
    parts = _LAST.fullmatch(line)
    number = _label(parts[2]) if parts else None
    if parts is None or number is None:
        return _unquoted(line), None
    return _unquoted(parts[1]), number


def _label(text: str) -> int | None:
    """Return a label: a whole number, or that of a WordNet identifier; None if it is neither."""
    digits = text.removeprefix("-").removesuffix(".0")
    if digits.isascii() and digits.isdecimal() and len(digits) < 10:
        return max(int(text.removesuffix(".0")), -1)
    return synsets().get(text.lower())


def _is_named(name: str) -> bool:
    """Return whether a path has the extension of an image."""
    extension = Path(name).suffix.lower()
    return extension in EXTENSIONS


def _is_title(line: str) -> bool:
    """Return whether a first line names columns, not an image."""
    words = line.replace(",", " ").replace(";", " ").replace('"', " ").lower().split()
    return len(words) > 1 and any(word in _TITLES for word in words) and not any("." in w for w in words)


def _unquoted(name: str) -> str:
    for quote in "\"'":
        if len(name) > 1 and name[0] == name[-1] == quote:
            return name[1:-1]
    return name


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _probe(listed: Listed) -> list[str]:
    return listed.files[:: max(1, len(listed.files) // PROBED)][:PROBED]


def _held(folder: Path, names: list[str]) -> int:
    return sum(is_file(folder / name) for name in same_names(folder, names))
