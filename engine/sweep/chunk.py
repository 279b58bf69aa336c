"""One chunk of a sweep: its images, read once, and the results of every variant on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.datasets.sources.base import TransientError
from engine.images.image_set import Geometry
from engine.images.sets import Sets
from engine.plan.plan import Plan
from engine.plan.variants import Column
from engine.protocol.events import ImageUnreadable
from engine.scores.logits import brier, negative_log_likelihood, rank_of_label
from engine.scores.outputs import Outputs
from engine.session.arrays import LONG, READABLE, layout
from engine.session.outputs import OutputWriter, joined
from engine.sweep.batches import Passes
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.devices.backend import backend_of
from engine.sweep.fitting import needs_features
from engine.sweep.retry import RetryControl

AHEAD = 2  # chunks read while one is scored


class Chunk:
    """Some rows of a sweep: read once for every geometry, filled in column by column.

    `parts` has the rows of every array; the column of a variant that is not scored stays NaN. `predicted`
    holds the predicted classes of each variant. Outputs that are kept are on disk once a variant has scored
    the images; `kept` holds their digests.
    """

    def __init__(
        self,
        plan: Plan,
        sets: Sets,
        first: int,
        geometries: list[Geometry],
        device: torch.device,
        outputs: OutputWriter | None = None,
    ) -> None:
        self.plan, self.first, self.device, self.outputs = plan, first, device, outputs
        rows = slice(first, first + plan.chunk_images)
        which, places = sets.which[rows], sets.places[rows]
        self.labels = np.array([sets.sets[s].labels[i] for s, i in zip(which, places, strict=True)], np.int64)
        self.parts: dict[str, NDArray[Any]] = {
            name: np.full((len(which), columns), np.nan if dtype.kind == "f" else -1, dtype)
            for name, (dtype, columns) in layout(plan, LONG).items()
        }
        self.parts["samples"][:] = np.stack([which, places, self.labels, np.ones(len(which))], 1)
        self.unreadable: list[ImageUnreadable] = []
        self.predicted: dict[Column, NDArray[np.int64]] = {}
        self.kept: dict[Column, str] = {}
        self._features = needs_features(plan)
        self._pixels = self._read(sets, geometries)

    def __len__(self) -> int:
        return len(self.labels)

    def load(self) -> None:
        """Put the images on the device."""
        self._pixels = {g: pixels.to(self.device, non_blocking=True) for g, pixels in self._pixels.items()}

    def passes(self, variant: CalibratedVariant, size: int) -> Passes:
        """Return the forward passes of a variant over the images, `size` per batch."""
        return Passes(variant, self._pixels, size, features=self._features)

    def fill(self, column: Column, variant: CalibratedVariant, outputs: Outputs) -> None:
        """Fill in the column of a variant from its outputs."""
        with torch.inference_mode():
            logits = outputs.logits
            labels = torch.from_numpy(self.labels).to(logits.device)
            values = {
                "nll": negative_log_likelihood(logits, labels),
                "brier": brier(logits, labels),
                "rank": rank_of_label(logits, labels),
            }
            values |= {name: score(outputs) for name, score in variant.scorers.items()}
        self.predicted[column] = logits.argmax(1).cpu().numpy()
        if self.outputs is not None and outputs.features is not None:
            arrays = (logits.cpu().numpy(), outputs.features.cpu().numpy())
            self.kept[column] = self.outputs.write(column, self.first, *arrays)
        for name, of_images in values.items():
            self.parts[name][:, column] = of_images.cpu().numpy()

    def score(self, column: Column, variant: CalibratedVariant, size: int) -> None:
        """Run a variant over the images on this thread, `size` per batch, and fill in its column."""
        self.fill(column, variant, self.passes(variant, size).run_all())

    def _read(self, sets: Sets, geometries: list[Geometry]) -> dict[Geometry, Tensor]:
        which, places = self.parts["samples"][:, 0], self.parts["samples"][:, 1].astype(np.int64)
        pixels = {g: np.empty((len(which), 3, g.size, g.size), np.uint8) for g in geometries}
        for position, image_set in enumerate(sets.sets):
            rows = np.flatnonzero(which == position)
            read = image_set.read(places[rows], geometries)
            for geometry, images in read.pixels.items():
                pixels[geometry][rows] = images
            for at, reason in read.unreadable.items():
                name = image_set.name_of(int(places[rows[at]]))
                self.unreadable.append(ImageUnreadable(image_set.name, name, reason))
                self.parts["samples"][rows[at], READABLE] = 0
        tensors = {geometry: torch.from_numpy(images) for geometry, images in pixels.items()}
        is_pinned = backend_of(self.device).pins_memory
        return {g: images.pin_memory() if is_pinned else images for g, images in tensors.items()}


class ScoredChunk(NamedTuple):
    """A chunk scored by all variants: everything of it that is written and journaled.

    `predicted` is from the first variant only; `kept` is the digest of the kept outputs, if any.
    """

    first: int
    parts: dict[str, NDArray[Any]]
    unreadable: tuple[ImageUnreadable, ...]
    predicted: NDArray[np.int64]
    batch: int
    seconds: float
    waited: float
    kept: str = ""

    @classmethod
    def of(cls, chunk: Chunk, batch: int, seconds: float, waited: float) -> ScoredChunk:
        """Return a chunk that took `seconds` to score, `waited` of them spent waiting for its images."""
        unknown = np.full(len(chunk), -1)
        predicted = chunk.predicted[min(chunk.predicted)] if chunk.predicted else unknown
        unreadable = tuple(chunk.unreadable)
        times = round(seconds, 3), round(waited, 3)
        kept = joined(chunk.kept) if chunk.outputs is not None else ""
        return cls(chunk.first, chunk.parts, unreadable, predicted, batch, *times, kept)


class ReadAhead:
    """Chunks in the order in which they are requested, read while earlier ones are scored."""

    def __init__(self, read: Callable[[int], Chunk], control: RetryControl, device: torch.device) -> None:
        self._read, self._control = read, control
        self._reader = ThreadPoolExecutor(1, initializer=backend_of(device).use, initargs=(device,))
        self._asked: deque[tuple[int, Future[Chunk]]] = deque()

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def reading(self) -> Future[Chunk] | None:
        """Return the pending read of the next chunk, None if none was requested."""
        return self._asked[0][1] if self._asked else None

    def ask(self, first: int) -> None:
        """Start reading the chunk that begins at row `first`."""
        self._asked.append((first, self._reader.submit(self._read, first)))

    def take(self) -> tuple[Chunk, float]:
        """Return the next chunk, on its device, and how many seconds it was waited for."""
        first, reading = self._asked.popleft()
        started = monotonic()
        try:
            chunk = reading.result()
        except TransientError:
            chunk = self._control.retrying(lambda: self._read(first))
        waited = monotonic() - started
        chunk.load()
        return chunk, waited

    def close(self) -> None:
        """Stop reading."""
        self._reader.shutdown(wait=False, cancel_futures=True)
