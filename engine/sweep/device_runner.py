"""One device with every variant on it: fits scores, reads chunks ahead, scores them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple

from engine.plan.variants import Column
from engine.scores.outputs import Outputs
from engine.session.arrays import stored_scores
from engine.sweep import threads
from engine.sweep.batches import Attempt, Batches, submit
from engine.sweep.calibration import CalibratedVariant, Variants
from engine.sweep.chunk import AHEAD, Chunk, ReadAhead, ScoredChunk
from engine.sweep.devices.backend import backend_of
from engine.sweep.fit_pass import FitPass
from engine.sweep.fitting import Fitting, arrays_of
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers

NextRow = Callable[[bool], int | None]  # the first row of the next chunk to do; waits for one if asked to


class Begun(NamedTuple):
    """A chunk that threads are scoring."""

    chunk: Chunk
    attempt: Attempt
    started: float
    waited: float


class DeviceRunner:
    """Everything that one device needs to score the chunks of a sweep."""

    def __init__(self, setup: Setup, workers: Workers, control: RetryControl) -> None:
        self.setup, self.plan, self.control = setup, setup.plan, control
        self.passes = workers.passes
        self.batches = Batches(setup.batch, backend_of(setup.device), control.emit)
        self.outputs = setup.output_writer()
        self.fitting = Fitting(setup.plan, control.emit)
        self.fit_pass = (
            FitPass(setup.sets.fit, setup.device, self.batches, control) if setup.sets.fit else None
        )
        self.ahead = ReadAhead(self._read, control, setup.device)
        self._threads = workers.threads
        self._ended = 0.0

    def each(self, work: Callable[[Column], CalibratedVariant | None]) -> Variants:
        """Return `work` of the column of every variant, several at a time."""
        return threads.each(self.passes, self.control.stoppable(work), range(len(self.plan.variants())))

    def fit(self, variants: Variants) -> Variants:
        """Return the variants with their scores, after one pass over the fit set if there is one."""
        if self.fit_pass is not None:
            self.fit_pass.run(variants, self.setup.models.geometries, self.passes)

        def with_scorers(column: Column) -> CalibratedVariant | None:
            variant = variants[column]
            return self.with_scorers(column, variant) if variant is not None else None

        fitted = self.each(with_scorers)
        if self.outputs is not None:
            lost = [column for column, variant in enumerate(variants) if variant is None]
            self.control.emit(self.outputs.kept(lost))
        return fitted

    def with_scorers(self, column: Column, variant: CalibratedVariant) -> CalibratedVariant:
        """Return a variant with its scores, fitted if they learn."""
        fit = self.fit_pass.fit_set(column, variant) if self.fit_pass is not None else None
        if fit is not None and self.outputs is not None:
            self.outputs.keep_fit(column, arrays_of(fit))
        scorers = self.fitting.fitted(variant.variant.key, stored_scores(self.plan), fit)
        return variant._replace(scorers=scorers)

    def scored(self, variants: Variants, next_row: NextRow) -> Generator[ScoredChunk]:
        """Yield the chunks that `next_row` names, in that order.

        Threads that have nothing left to do for one chunk start on the next.
        """
        begun: deque[Begun] = deque()
        try:
            while True:
                self.control.stop_if_asked()
                self._read_ahead(next_row, must_wait=not begun)
                if not begun and not len(self.ahead):
                    return
                if self._takes_next(begun, variants):
                    begun.append(self.begin(variants))
                else:
                    yield self.finish(begun.popleft())
        finally:
            for one in begun:
                one.attempt.cancel()

    def begin(self, variants: Variants) -> Begun:
        """Take the next chunk that was read and hand it to the threads."""
        started = time.monotonic()
        chunk, waited = self.ahead.take()
        return Begun(chunk, self.attempt(chunk, variants), started, waited)

    def attempt(self, chunk: Chunk, variants: Variants) -> Attempt:
        """Let every variant score a chunk, batch by batch on all threads."""
        alive = {column: variant for column, variant in enumerate(variants) if variant is not None}

        def fill(column: Column, outputs: Outputs) -> None:
            chunk.fill(column, alive[column], outputs)

        def score(size: int) -> list[Future[None]]:
            passes = {column: chunk.passes(variant, size) for column, variant in alive.items()}
            return submit(self.passes, passes, fill, self.batches, self.control)

        return Attempt(self.batches, score, chunk.first)

    def finish(self, begun: Begun) -> ScoredChunk:
        """Wait until a chunk is scored; its time counts from the end of the one before, if that is later."""
        size = begun.attempt.finish()
        since, self._ended = max(begun.started, self._ended), time.monotonic()
        return ScoredChunk.of(begun.chunk, size, self._ended - since, begun.waited)

    def _read_ahead(self, next_row: NextRow, *, must_wait: bool) -> None:
        while len(self.ahead) < AHEAD:
            first = next_row(must_wait and not len(self.ahead))
            if first is None:
                return
            self.ahead.ask(first)

    def _takes_next(self, begun: deque[Begun], variants: Variants) -> bool:
        """Return whether to begin another chunk before the oldest ends; wait until either can be done."""
        if not begun:
            return True
        batches = -(-len(begun[0].chunk) // self.batches.size)
        units = max(1, batches * sum(variant is not None for variant in variants))
        if len(begun) > -(-self._threads // units):  # enough for all threads, whichever of them ends first
            return False
        while (reading := self.ahead.reading) is not None and not reading.done():
            pending = begun[0].attempt.pending
            if not pending:
                return False
            either: list[Future[Any]] = [reading, *pending]
            wait(either, return_when=FIRST_COMPLETED)
        return reading is not None and reading.exception() is None

    def _read(self, first: int) -> Chunk:
        setup = self.setup
        return Chunk(self.plan, setup.sets, first, setup.models.geometries, setup.device, self.outputs)
