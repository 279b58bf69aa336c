"""Files that list images with their labels: those of OpenOOD, of ViM, of ImageNet's development kit."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from engine.datasets.walk import is_file
from engine.errors import InputError

PROBED = 50  # lines by which the folder that a list refers to is found


class Listed(NamedTuple):
    """Paths as the list has them, and labels; -1 is no ID class."""

    files: list[str]
    labels: list[int]


def read(path: Path) -> Listed:
    """Read a list of `PATH LABEL` lines; raise InputError naming the line that is none.

    The path may hold spaces. The label is a whole number or a Python dictionary with a `label`, as in
    OpenOOD; a line without one is a path alone.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("list", str(path), f"a readable text file is needed ({error})") from None
    found = Listed([], [])
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, label = _parse(line.strip())
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(f"{path.name} line {number}", name, "a path below the data folder is needed")
        found.files.append(name)
        found.labels.append(label)
    if not found.files:
        raise InputError("list", str(path), "it lists no image")
    return found


def base_of(listed: Listed, candidates: Iterable[Path]) -> Path | None:
    """Return the folder that holds most of the first listed files, None if none holds any."""
    probe = listed.files[:: max(1, len(listed.files) // PROBED)][:PROBED]
    held = {folder: sum(is_file(folder / name) for name in probe) for folder in candidates}
    best = max(held, key=lambda folder: held[folder], default=None)
    return best if best is not None and held[best] else None


def kaggle_labels(path: Path, synsets: dict[str, int]) -> dict[str, int]:
    """Return the labels in Kaggle's `LOC_val_solution.csv` by the name of the image without extension."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        return {
            row[0]: synsets.get(row[1].split(" ")[0], -1)
            for row in rows
            if len(row) == 2 and row[1][:1] == "n"
        }


def _parse(line: str) -> tuple[str, int]:
    if line.endswith("}") and " {" in line:
        name, _, extra = line.rpartition(" {")
        try:
            about = ast.literal_eval("{" + extra)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return line, -1
        label = about.get("label", -1) if isinstance(about, dict) else -1
        return name.strip(), label if isinstance(label, int) else -1
    name, _, label = line.replace("\t", " ").rpartition(" ")
    number = label.removeprefix("-")
    if name and number.isascii() and number.isdecimal() and len(number) < 10:
        return name.rstrip(), max(int(label), -1)
    return line, -1
