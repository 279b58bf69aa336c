"""A sweep on one device: calibration and scoring in the worker itself."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from engine.plan.variants import Column
from engine.protocol.events import PhaseChanged
from engine.sweep.calibration import CalibratedVariant, Calibration, Variants
from engine.sweep.chunk import AHEAD, Chunk, ScoredChunk
from engine.sweep.device_runner import DeviceRunner
from engine.sweep.executors.base import Preview
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers


class SingleDevice:
    """Score chunks on the device of this process."""

    def __init__(self, setup: Setup, workers: Workers, control: RetryControl) -> None:
        self.setup, self.control = setup, control
        self.runner = DeviceRunner(setup, workers, control)
        self.variants: Variants = []
        self._rows = iter(setup.firsts)
        self._first: ScoredChunk | None = None

    @staticmethod
    def can_run(devices: Sequence[str]) -> bool:
        """Return whether there is one device."""
        return len(devices) == 1

    def prepare(self, preview: Preview) -> dict[str, int]:
        """Calibrate every variant and let it score the first chunk.

        If nothing has to be fitted it does so right away, so that the first curve appears before the last
        variant is calibrated.
        """
        for _ in range(AHEAD):
            if (row := next(self._rows, None)) is not None:
                self.runner.ahead.ask(row)
        calibration = self.control.retrying(lambda: Calibration(self.setup, self.control.emit))
        started = time.monotonic()
        chunk, waited = self.runner.ahead.take() if self.setup.firsts else (None, 0.0)
        self.variants = self._calibrated(calibration, chunk, preview)
        if chunk is not None:
            seconds = time.monotonic() - started
            self._first = ScoredChunk.of(chunk, self.runner.batches.size, seconds, waited)
        self.control.emit(PhaseChanged("sweeping", f"{self.setup.sets.rows} images"))
        return {one.variant.key: one.float_model.classes for one in self.variants if one is not None}

    def chunks(self) -> Generator[ScoredChunk]:
        """Yield the first chunk, then the others as they are scored."""
        if self._first is not None:
            yield self._first
        yield from self.runner.scored(self.variants, lambda _: next(self._rows, None))

    def close(self) -> None:
        """Read no more images."""
        self.runner.ahead.close()

    def _calibrated(self, calibration: Calibration, chunk: Chunk | None, preview: Preview) -> Variants:
        """Return the variants with their scores; all of them have scored the chunk, at one batch size."""
        runner, plan = self.runner, self.setup.plan
        size = runner.batches.size

        def calibrate(column: Column) -> CalibratedVariant | None:
            variant = calibration.calibrate(plan.variants()[column])
            if variant is None or plan.needs_fit_set:
                return variant
            scored = runner.with_scorers(column, variant)
            if chunk is not None:
                runner.batches.fitting(lambda size: chunk.score(column, scored, size), chunk.first)
                show(column, scored)
            return scored

        def show(column: Column, variant: CalibratedVariant) -> None:
            if chunk is not None and not chunk.first:
                preview(chunk.parts, column, variant.float_model.classes)

        variants = runner.each(calibrate)
        if plan.needs_fit_set:
            variants = runner.fit(variants)
        if chunk is not None and (plan.needs_fit_set or runner.batches.size != size):
            runner.attempt(chunk, variants).finish()
            if not plan.needs_fit_set:  # what was shown came from batches of another size
                for column, variant in enumerate(variants):
                    if variant is not None:
                        show(column, variant)
        return variants
