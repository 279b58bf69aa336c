"""One device with every variant on it: fits scores, reads chunks ahead, scores them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from engine.images.sets import Sets
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.plan.variants import Column
from engine.session.outputs import OutputWriter
from engine.sweep.batches import Batches, first_size, of_each
from engine.sweep.calibration import CalibratedVariant, Models
from engine.sweep.chunk import Chunk, ReadAhead, ScoredChunk
from engine.sweep.devices import use
from engine.sweep.features import sizes_of
from engine.sweep.fitting import Fitting
from engine.sweep.retry import RetryControl

Variants = list[CalibratedVariant | None]


class DeviceRunner:
    """Everything that one device needs to score the chunks of a sweep."""

    def __init__(
        self,
        plan: Plan,
        resources: Resources,
        sets: Sets,
        device: torch.device,
        patience: RetryControl,
        pool: ThreadPoolExecutor,
        session: Path,
    ) -> None:
        use(device)
        self.plan, self.sets, self.device = plan, sets, device
        self.patience, self.pool = patience, pool
        self.models = Models(plan, resources, device, patience.emit)
        largest = max(geometry.size for geometry in self.models.geometries)
        self.batches = Batches(first_size(device, plan.chunk_images, largest), patience.emit)
        sizes = {name: sizes_of(loaded.model) for name, loaded in self.models.by_name.items()}
        self.outputs = OutputWriter(session, plan, sizes) if plan.keep_outputs else None
        self.fitting = Fitting(plan, sets.fit, device, patience.emit, self.outputs)
        self.ahead = ReadAhead(self._read, patience, device)

    def take(self, sets: Sets) -> None:
        """Take the sets as they are once what is learnt from is told from what is evaluated."""
        self.sets, self.fitting.learnt = sets, sets.fit

    def each(self, work: Callable[[int], CalibratedVariant | None]) -> Variants:
        """Return what `work` makes of the column of every variant, several at a time."""

        def one(column: Column) -> CalibratedVariant | None:
            self.patience.stop_if_asked()
            return work(column)

        return of_each(self.pool, one, range(len(self.plan.variants())))

    def with_scorers(self, column: Column, ready: CalibratedVariant | None) -> CalibratedVariant | None:
        """Return a variant with its scores, fitted where they learn."""
        return ready and ready._replace(scorers=self.fitting.scorers(column, ready))

    def fit(self, variants: Variants) -> Variants:
        """Return the variants with their scores, after one pass over the fit set if there is one."""
        self.fitting.learn(variants, self.models.geometries, self.batches, self.patience, self.pool)
        fitted = self.each(lambda column: self.with_scorers(column, variants[column]))
        if self.outputs is not None:
            lost = [column for column, ready in enumerate(variants) if ready is None]
            self.patience.emit(self.outputs.kept(lost))
        return fitted

    def score(self, chunk: Chunk, variants: Variants) -> int:
        """Let every variant score a chunk; return how many images went through at once."""

        def all_at(size: int) -> int:
            def one(column: Column) -> None:
                if (ready := variants[column]) is not None:
                    self.patience.stop_if_asked()
                    chunk.score(column, ready, size)

            of_each(self.pool, one, range(len(variants)))
            return size

        return self.batches.fitting(all_at, chunk.first)

    def next_scored(self, variants: Variants) -> ScoredChunk:
        """Return the next chunk that was asked for, scored."""
        started = time.monotonic()
        chunk, waited = self.ahead.take()
        size = self.score(chunk, variants)
        return ScoredChunk.of(chunk, size, time.monotonic() - started, waited)

    def _read(self, first: int) -> Chunk:
        return Chunk(self.plan, self.sets, first, self.models.geometries, self.device, self.outputs)
