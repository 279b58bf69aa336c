"""One chunk of a sweep: its images, read once, and what every variant says of them."""

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
from engine.session.arrays import LONG, READABLE, layout
from engine.session.outputs import OutputWriter, joined
from engine.sweep.batches import forward
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.devices import use
from engine.sweep.fitting import needs_features
from engine.sweep.retry import RetryControl

AHEAD = 2  # chunks that are read while one is scored


class Chunk:
    """Some rows of a sweep: read once for every geometry, filled in column by column.

    `parts` has the rows of every array; the column of a variant that is not scored stays NaN. `predicted`
    is what a variant takes the images for. What `outputs` is to keep of a variant is on the disk once it
    has scored the images; `kept` is its digest.
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
        self.predicted: dict[int, NDArray[np.int64]] = {}
        self.kept: dict[int, str] = {}
        self._features = needs_features(plan)
        self._pixels = self._read(sets, geometries)

    def __len__(self) -> int:
        return len(self.labels)

    def load(self) -> None:
        """Put the images on the device."""
        self._pixels = {g: pixels.to(self.device, non_blocking=True) for g, pixels in self._pixels.items()}

    def score(self, column: Column, ready: CalibratedVariant, size: int) -> None:
        """Fill in what one variant says of the images, `size` of them at once."""
        with torch.inference_mode():
            given = self._pixels[ready.source.geometry]
            seen = forward(ready.model, ready.source, given, size, features=self._features)
            logits, labels = seen.logits, torch.from_numpy(self.labels).to(self.device)
            found = {
                "nll": negative_log_likelihood(logits, labels),
                "brier": brier(logits, labels),
                "rank": rank_of_label(logits, labels),
            }
            found |= {name: score(seen) for name, score in ready.scorers.items()}
        self.predicted[column] = logits.argmax(1).cpu().numpy()
        if self.outputs is not None and seen.features is not None:
            arrays = (logits.cpu().numpy(), seen.features.cpu().numpy())
            self.kept[column] = self.outputs.write(column, self.first, *arrays)
        for name, values in found.items():
            self.parts[name][:, column] = values.cpu().numpy()

    def _read(self, sets: Sets, geometries: list[Geometry]) -> dict[Geometry, Tensor]:
        which, places = self.parts["samples"][:, 0], self.parts["samples"][:, 1].astype(np.int64)
        pixels = {g: np.empty((len(which), 3, g.size, g.size), np.uint8) for g in geometries}
        for position, of_set in enumerate(sets.sets):
            rows = np.flatnonzero(which == position)
            read = of_set.read(places[rows], geometries)
            for geometry, images in read.pixels.items():
                pixels[geometry][rows] = images
            for at, reason in read.unreadable.items():
                name = of_set.name_of(int(places[rows[at]]))
                self.unreadable.append(ImageUnreadable(of_set.name, name, reason))
                self.parts["samples"][rows[at], READABLE] = 0
        tensors = {geometry: torch.from_numpy(images) for geometry, images in pixels.items()}
        pinned = self.device.type == "cuda"
        return {g: images.pin_memory() if pinned else images for g, images in tensors.items()}


class ScoredChunk(NamedTuple):
    """What all variants say of a chunk.

    `predicted` is of the first variant alone; `kept` is the digest of outputs that are kept, if they are.
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
        """Return a chunk that was scored in so many seconds, `waited` of them for its images."""
        none = np.full(len(chunk), -1)
        predicted = chunk.predicted[min(chunk.predicted)] if chunk.predicted else none
        unreadable = tuple(chunk.unreadable)
        times = round(seconds, 3), round(waited, 3)
        kept = joined(chunk.kept) if chunk.outputs is not None else ""
        return cls(chunk.first, chunk.parts, unreadable, predicted, batch, *times, kept)


class ReadAhead:
    """Chunks in the order in which they are asked for, read while earlier ones are scored."""

    def __init__(self, read: Callable[[int], Chunk], patience: RetryControl, device: torch.device) -> None:
        self._read, self._patience = read, patience
        self._reader = ThreadPoolExecutor(1, initializer=use, initargs=(device,))
        self._asked: deque[tuple[int, Future[Chunk]]] = deque()

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, first: int) -> None:
        """Begin to read the chunk from row `first` on."""
        self._asked.append((first, self._reader.submit(self._read, first)))

    def take(self) -> tuple[Chunk, float]:
        """Return the next chunk, on its device, and for how many seconds it was waited for."""
        first, reading = self._asked.popleft()
        started = monotonic()
        try:
            chunk = reading.result()
        except TransientError:
            chunk = self._patience.patiently(lambda: self._read(first))
        waited = monotonic() - started
        chunk.load()
        return chunk, waited

    def close(self) -> None:
        """Read no more."""
        self._reader.shutdown(wait=False, cancel_futures=True)
