"""Logits and features that a session keeps, so that scores can be added later: plain `.npy` arrays.

Per variant: `logits` (rows, classes) and `features` (rows, width), float32, in sweep order; its outputs for
the fit set, `fit_logits`, `fit_features` and `fit_labels`; and its head's `weight` (classes, width) and
`bias` (classes,). A variant that could not be calibrated has none. `qood-tui scores` reads these files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError, JournalError
from engine.plan.plan import Plan
from engine.plan.variants import Column, Variant
from engine.protocol.events import AnyEvent, ChunkFinished, OutputsKept
from engine.session.arrays import Array, make_array, mapped, put_rows
from engine.session.layout import OUTPUTS, output_file
from engine.session.place import Place

SINGLE, WHOLE = np.dtype("<f4"), np.dtype("<i8")
ROWS = ("logits", "features")
FIT: Mapping[str, tuple[np.dtype[Any], int]] = {  # type and number of dimensions
    "fit_logits": (SINGLE, 2),
    "fit_features": (SINGLE, 2),
    "fit_labels": (WHOLE, 1),
    "weight": (SINGLE, 2),
    "bias": (SINGLE, 1),
}
HEAD_BYTES = 128  # of an .npy file


def bytes_of(classes: int, width: int, rows: int, fit_images: int) -> int:
    """Return how many bytes a variant's outputs take on disk."""
    of_fit = fit_images * WHOLE.itemsize + classes * (width + 1) * SINGLE.itemsize
    heads = (len(ROWS) + len(FIT)) * HEAD_BYTES
    return (rows + fit_images) * (classes + width) * SINGLE.itemsize + of_fit + heads


def path_of(session: Path, variant: Variant, name: str) -> Path:
    """Return the file of one of a variant's arrays."""
    return session / output_file(variant.stem, name)


class OutputWriter:
    """Write the outputs of variants; `sizes` are the classes and width of every model.

    Threads, and processes of several devices, write concurrently, each its own rows of a variant.
    """

    def __init__(self, session: Path, plan: Plan, sizes: Mapping[str, tuple[int, int]]) -> None:
        self.session, self.variants, self.sizes = session, plan.variants(), sizes
        self._fits: dict[str, str] = {}

    def make(self, rows: int) -> None:
        """Allocate space for all rows; existing files come from an attempt that finished none."""
        folder = self.session / OUTPUTS
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        for variant in self.variants:
            for name, columns in zip(ROWS, self.sizes[variant.model], strict=True):
                make_array(path_of(self.session, variant, name), SINGLE, (rows, columns))

    def write(self, column: Column, first: int, logits: Array, features: Array) -> str:
        """Write a variant's rows from `first` on to the disk and return their SHA-256."""
        parts = [np.ascontiguousarray(part, SINGLE) for part in (logits, features)]
        for name, part in zip(ROWS, parts, strict=True):
            put_rows(path_of(self.session, self.variants[column], name), first, part)
        return digest_of(*parts)

    def keep_fit(self, column: Column, arrays: Mapping[str, Array]) -> None:
        """Write what scores of a variant are fitted on.

        Raises EngineError if different arrays are already there: another device, or this one before an
        interruption, would fit different scores.
        """
        variant = self.variants[column]
        typed = {name: np.ascontiguousarray(arrays[name], dtype) for name, (dtype, _) in FIT.items()}
        for name, array in typed.items():
            path = path_of(self.session, variant, name)
            partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            if path.exists() and path.read_bytes() != partial.read_bytes():
                partial.unlink()
                raise EngineError(
                    f"{variant.key}: its outputs for the fit set differ from those already kept "
                    f"({path.name}); start a new session"
                )
            partial.replace(path)
        self._fits[variant.key] = digest_of(*typed.values())

    def kept(self, lost: Iterable[int]) -> OutputsKept:
        """Return the event for what is kept, after all fit outputs; `lost` columns have nothing to keep."""
        for column in lost:
            for name in ROWS:
                path_of(self.session, self.variants[column], name).unlink(missing_ok=True)
        kept = [variant for variant in self.variants if variant.key in self._fits]
        size = sum(
            path_of(self.session, variant, name).stat().st_size for variant in kept for name in (*ROWS, *FIT)
        )
        return OutputsKept(size, {variant.key: self._fits[variant.key] for variant in kept})


def joined(digests: Mapping[int, str]) -> str:
    """Return one digest for the rows of several variants, by their columns."""
    together = "".join(digests[column] for column in sorted(digests))
    return hashlib.sha256(together.encode()).hexdigest()


class KeptOutputs:
    """Read the outputs that a session keeps; raise JournalError if an array is missing or invalid.

    `columns` are those of the variants with kept outputs.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place, self.variants = place, plan.variants()
        self._rows: dict[int, tuple[Array, Array]] = {}
        files = {file.name for file in place.files()}
        for column, variant in enumerate(self.variants):
            names = [output_file(variant.stem, name) for name in ROWS]
            if not files.isdisjoint(names):
                logits, features = (mapped(place, name, (SINGLE,), (None, None)) for name in names)
                self._rows[column] = logits, features
        self.columns = tuple(self._rows)
        if not self.columns:
            raise JournalError(f"{place.where(OUTPUTS)}: the kept logits and features are missing")
        if len({len(array) for pair in self._rows.values() for array in pair}) != 1:
            raise JournalError(f"{place.where(OUTPUTS)}: the arrays have different numbers of rows")

    def __len__(self) -> int:
        return len(next(iter(self._rows.values()))[0])

    def part(self, column: Column, first: int, rows: int) -> tuple[Array, Array]:
        """Return logits and features of some rows."""
        logits, features = (np.array(array[first : first + rows]) for array in self._rows[column])
        return logits, features

    def fit(self, column: Column) -> dict[str, Array]:
        """Return what scores of a variant are fitted on; its digest covers the arrays in this order."""
        stem = self.variants[column].stem
        arrays = {
            name: np.array(mapped(self.place, output_file(stem, name), (dtype,), (None,) * count))
            for name, (dtype, count) in FIT.items()
        }
        classes, width = (array.shape[1] for array in self._rows[column])
        images = len(arrays["fit_labels"])
        wanted = ((images, classes), (images, width), (images,), (classes, width), (classes,))
        for (name, array), shape in zip(arrays.items(), wanted, strict=True):
            if array.shape != shape:
                where = self.place.where(output_file(stem, name))
                raise JournalError(f"{where}: {shape} is needed; this is {array.shape}")
        return arrays

    def damage(self, events: Iterable[AnyEvent]) -> list[str]:
        """List what differs from what was written, according to the session's journal."""
        damage, fits = [], {}
        for event in events:
            if isinstance(event, OutputsKept):
                fits = event.fits
            elif isinstance(event, ChunkFinished) and event.digests.get(OUTPUTS) != (
                self.digest(event.first, event.rows) if event.first + event.rows <= len(self) else ""
            ):
                last = event.first + event.rows - 1
                damage.append(f"{OUTPUTS}: rows {event.first:,} to {last:,} are not those that were written")
        for column in self.columns:
            key = self.variants[column].key
            try:
                is_same = digest_of(*self.fit(column).values()) == fits.get(key)
            except JournalError as error:
                damage.append(str(error))
                continue
            if not is_same:
                damage.append(f"{OUTPUTS}: what {key} computed for the fit set is not what was written")
        return damage

    def digest(self, first: int, rows: int) -> str:
        """Return the SHA-256 of some rows of all variants, as in `chunk.finished`."""
        return joined({column: digest_of(*self.part(column, first, rows)) for column in self.columns})


def digest_of(*arrays: Array) -> str:
    """Return the SHA-256 of the bytes of several arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
