"""The per-sample numbers of a session: plain `.npy` arrays, one row an image, in sweep order.

`samples` (rows, 4): set, index in the set, label or -1, 1 if the image was readable. `rank` (rows,
variants): classes ranked before the label, -1 without one. `nll`, `brier` and every score (rows,
variants) in float64. Sets count from 0, the ID set first.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import JournalError
from engine.journal import sync
from engine.plan import Plan

FOLDER = "arrays"
SET, INDEX, LABEL, READABLE = range(4)
Array = NDArray[Any]


def layout(plan: Plan) -> dict[str, tuple[np.dtype[Any], int]]:
    """Return type and number of columns of every array of a plan."""
    variants = len(plan.variants())
    double = np.dtype("<f8")
    scores = dict.fromkeys(stored_scores(plan), (double, variants))
    return {
        "samples": (np.dtype("<i4"), 4),
        "rank": (np.dtype("<i2"), variants),
        "nll": (double, variants),
        "brier": (double, variants),
        **scores,
    }


def stored_scores(plan: Plan) -> tuple[str, ...]:
    """Return the scores of a plan, and MSP, which calibration errors are measured by."""
    return tuple(dict.fromkeys((*plan.scores, "msp")))


class ArrayWriter:
    """Write finished rows; all space is taken at the start, so a full disk shows before the sweep."""

    def __init__(self, session: Path, plan: Plan, rows: int) -> None:
        self.folder = session / FOLDER
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self.layout = layout(plan)
        for name, (dtype, columns) in self.layout.items():
            path = self._path(name)
            if not path.exists():
                partial = path.with_suffix(".partial")
                np.lib.format.open_memmap(partial, "w+", dtype, (rows, columns)).flush()
                with partial.open("r+b") as file:
                    _take_space(file, partial.stat().st_size)
                partial.replace(path)

    def write(self, first: int, chunk: dict[str, Array]) -> dict[str, str]:
        """Put rows from `first` on the disk and return the SHA-256 of each array's part."""
        digests = {}
        for name, (dtype, columns) in self.layout.items():
            part = np.ascontiguousarray(chunk[name], dtype)
            data = part.tobytes()
            with self._path(name).open("r+b") as file:
                start = file.seek(0, os.SEEK_END) - self._rows_after(name, first) * columns * dtype.itemsize
                file.seek(start)
                file.write(data)
                file.flush()
                sync(file.fileno())
            digests[name] = hashlib.sha256(data).hexdigest()
        return digests

    def _rows_after(self, name: str, first: int) -> int:
        array = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
        return int(array.shape[0]) - first

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


class Arrays:
    """Read the arrays of a session; they may still be growing."""

    def __init__(self, session: Path, plan: Plan) -> None:
        self.plan = plan
        self._arrays: dict[str, Array] = {}
        for name, (dtype, columns) in layout(plan).items():
            path = session / FOLDER / f"{name}.npy"
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise JournalError(f"{path}: the array cannot be read ({error})") from None
            if array.dtype != dtype or array.ndim != 2 or array.shape[1] != columns:
                raise JournalError(
                    f"{path}: {dtype} with {columns} columns is needed, this is {array.dtype} {array.shape}"
                )
            self._arrays[name] = array
        if len({len(array) for array in self._arrays.values()}) != 1:
            raise JournalError(f"{session / FOLDER}: the arrays have different numbers of rows")

    def digests(self, first: int, rows: int) -> dict[str, str]:
        """Return the SHA-256 of some rows of every array, as `ArrayWriter.write` does."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(array[first : first + rows]).tobytes()).hexdigest()
            for name, array in self._arrays.items()
        }

    def first(self, rows: int) -> Rows:
        """Return the first `rows` rows."""
        return Rows(self.plan, {name: array[:rows] for name, array in self._arrays.items()})


def _take_space(file: IO[bytes], size: int) -> None:
    """Take the space of a file now, so that the disk cannot be full later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    start = file.tell()
    data = file.read()
    file.seek(start)
    file.write(data)
    sync(file.fileno())


class Rows:
    """The finished rows of a session, as measures see them; unreadable images are left out."""

    def __init__(self, plan: Plan, parts: dict[str, Array]) -> None:
        samples = parts["samples"]
        self.plan = plan
        self.count = len(samples)
        readable = samples[:, READABLE] == 1
        self.of_set = [readable & (samples[:, SET] == i) for i in range(1 + len(plan.ood_sets))]
        self._parts = parts

    def column(self, name: str, variant: int, which_set: int) -> Array:
        """Return one array's values for one variant on one set (0 is the ID set)."""
        return np.asarray(self._parts[name][self.of_set[which_set], variant])
