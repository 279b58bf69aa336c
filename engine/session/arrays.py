"""The per-sample numbers of a session: plain `.npy` arrays, one row per image, in sweep order.

`samples` (rows, 4): set, index in the set, label or -1, 1 if the image was readable. `rank` (rows,
variants): number of classes ranked before the label, -1 without a label; in 16 bits, or in 32 if a model has
too many classes for 16. `nll`, `brier` and every score (rows, variants) in float64. Sets count from 0, the
ID set first.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, JournalError
from engine.plan.plan import Plan
from engine.plan.variants import Column
from engine.session.layout import ARRAYS, array_file
from engine.session.place import Place
from engine.system import npy
from engine.system.files import sync, sync_folder

LONGEST_HEADER = 1024  # bytes of an .npy file before its numbers
SET, INDEX, LABEL, READABLE = range(4)
SHORT, LONG = np.dtype("<i2"), np.dtype("<i4")  # of ranks
Array = NDArray[Any]


def type_of_ranks(classes: int) -> np.dtype[Any]:
    """Return the type of `rank` for this number of classes."""
    return SHORT if classes <= np.iinfo(SHORT).max else LONG


def layout(plan: Plan, ranks: np.dtype[Any] = SHORT) -> dict[str, tuple[np.dtype[Any], int]]:
    """Return the type and number of columns of every array of a plan."""
    variants = len(plan.variants())
    double = np.dtype("<f8")
    scores = dict.fromkeys(stored_scores(plan), (double, variants))
    return {
        "samples": (np.dtype("<i4"), 4),
        "rank": (ranks, variants),
        "nll": (double, variants),
        "brier": (double, variants),
        **scores,
    }


def stored_scores(plan: Plan) -> tuple[str, ...]:
    """Return the scores of a plan and MSP, which calibration errors need."""
    return tuple(dict.fromkeys((*plan.scores, "msp")))


class ArrayWriter:
    """Write finished rows; all space is allocated first, so a full disk shows before the sweep.

    `classes` is the largest number of classes of any model. If no row is `finished`, existing arrays come
    from an attempt that left nothing, and are replaced.
    """

    def __init__(self, session: Path, plan: Plan, rows: int, classes: int, finished: int = 0) -> None:
        self.folder = session / ARRAYS
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self.layout = layout(plan, type_of_ranks(classes))
        for name, (dtype, columns) in self.layout.items():
            if not finished:
                make_array(self._path(name), dtype, (rows, columns))
        sync_folder(session)

    def write(self, first: int, chunk: dict[str, Array]) -> dict[str, str]:
        """Write rows from `first` on to the disk and return the SHA-256 of each array's part."""
        digests = {}
        for name, (dtype, _) in self.layout.items():
            data = put_rows(self._path(name), first, np.ascontiguousarray(chunk[name], dtype))
            digests[name] = hashlib.sha256(data).hexdigest()
        return digests

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def make_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
    """Make an array of zeros whose space on the disk is allocated."""
    partial = path.with_name(f"{path.stem}.partial")
    np.lib.format.open_memmap(partial, "w+", dtype, shape).flush()
    with partial.open("r+b") as file:
        _allocate(file, partial.stat().st_size)
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def put_rows(path: Path, first: int, part: Array) -> bytes:
    """Write rows from `first` on into an array and to the disk; return their bytes.

    Raises EngineError if the array has another type.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype != part.dtype:
        raise EngineError(f"{path}: it holds {array.dtype} instead of {part.dtype}; start a new session")
    rows = len(array)
    data = part.tobytes()
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(end - (rows - first) * part.shape[1] * part.itemsize)
        file.write(data)
        file.flush()
        sync(file.fileno())
    return data


def mapped(
    place: Place, name: str, types: tuple[np.dtype[Any], ...], wanted: tuple[int | None, ...]
) -> Array:
    """Map an array of a session into memory; raise JournalError for an unexpected type or shape.

    A size of None in `wanted` may be anything. The header of the file is trusted only if the file has the
    length that it implies.
    """
    where = place.where(name)
    try:
        with place.open_local(name) as file:
            shape, dtype = _described(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
            fits = len(shape) == len(wanted) and all(
                right in (None, here) for right, here in zip(wanted, shape, strict=True)
            )
            if dtype not in types or not fits:
                needed = " x ".join("n" if one is None else str(one) for one in wanted)
                of_type = " or ".join(map(str, types))
                raise JournalError(f"{where}: {needed} times {of_type} are needed; this is {dtype} {shape}")
            if size - start != math.prod(shape) * dtype.itemsize:
                raise JournalError(
                    f"{where}: its header declares {shape[0]:,} rows, but {size - start:,} bytes follow"
                )
            if 0 in shape:
                return np.empty(shape, dtype)
            return np.memmap(file, dtype, "r", start, shape)
    except (OSError, *npy.UNREADABLE) as error:
        raise JournalError(f"{where}: the array cannot be read ({npy.short(error)})") from None


def _described(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type from the header of an .npy file; raise ValueError for a header not by numpy."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version} of the .npy format is not supported")
    shape, is_transposed, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=LONGEST_HEADER)
    length = file.tell()
    file.seek(0)
    plain = io.BytesIO()
    head = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(plain, head)
    if is_transposed or file.read(length) != plain.getvalue():
        raise ValueError("its header is not as it was written")
    return shape, dtype


class Arrays:
    """The arrays of a session, which may still be growing."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.plan = plan
        self._arrays: dict[str, Array] = {}
        for name, (dtype, columns) in layout(plan).items():
            types = (SHORT, LONG) if name == "rank" else (dtype,)
            self._arrays[name] = mapped(place, array_file(name), types, (None, columns))
        if len({len(array) for array in self._arrays.values()}) != 1:
            raise JournalError(f"{place.where(ARRAYS)}: the arrays have different numbers of rows")

    @property
    def count(self) -> int:
        """Return the number of rows, finished or not."""
        return len(self._arrays["samples"])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(self._arrays)

    def array(self, name: str) -> Array:
        """Return a whole array."""
        return self._arrays[name]

    def digests(self, first: int, rows: int) -> dict[str, str]:
        """Return the SHA-256 of some rows of every array, as `ArrayWriter.write` does."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(array[first : first + rows]).tobytes()).hexdigest()
            for name, array in self._arrays.items()
        }

    def extended(self, plan: Plan, more: Mapping[str, Array]) -> Arrays:
        """Return the arrays of a plan with scores that are not on disk yet."""
        arrays = object.__new__(Arrays)
        arrays.plan, arrays._arrays = plan, {**self._arrays, **more}
        return arrays

    def first(self, rows: int) -> FinishedRows:
        """Return the first `rows` rows."""
        return FinishedRows(self.plan, {name: array[:rows] for name, array in self._arrays.items()})


def _allocate(file: IO[bytes], size: int) -> None:
    """Allocate the space of a file now, so that the disk cannot be full later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    start = file.tell()
    data = file.read()
    file.seek(start)
    file.write(data)
    sync(file.fileno())


class FinishedRows:
    """The finished rows of a session, as measures see them, without unreadable images."""

    def __init__(self, plan: Plan, parts: dict[str, Array]) -> None:
        samples = parts["samples"]
        self.plan = plan
        self.count = len(samples)
        readable = samples[:, READABLE] == 1
        self.of_set = [readable & (samples[:, SET] == i) for i in range(1 + len(plan.ood_sets))]
        self._parts = parts

    def values(self, name: str, column: Column, which_set: int) -> Array:
        """Return the values of one array for one variant on one set (0 is the ID set)."""
        return np.asarray(self._parts[name][self.of_set[which_set], column])
