"""A sweep on one device: calibration and scoring in the worker itself."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from pathlib import Path

from engine.plan.variants import Column
from engine.protocol.events import PhaseChanged, SetsPrepared
from engine.sweep.calibration import CalibratedVariant, Calibration, PriorVariants
from engine.sweep.chunk import AHEAD, Chunk, ScoredChunk
from engine.sweep.device_runner import DeviceRunner, Variants
from engine.sweep.progress import Progress
from engine.sweep.saved_variants import SavedVariants


class SingleDevice:
    """Score chunks on the one device that there is."""

    def __init__(self, station: DeviceRunner, progress: Progress, firsts: Sequence[int]) -> None:
        self.station, self.progress, self.firsts = station, progress, firsts

    def scored(self, session: Path, prepared: SetsPrepared, known: PriorVariants) -> Generator[ScoredChunk]:
        """Calibrate every variant, then yield chunk after chunk."""
        station, patience = self.station, self.station.patience
        for first in self.firsts[:AHEAD]:
            station.ahead.ask(first)
        try:
            calibration = patience.patiently(
                lambda: Calibration(
                    station.plan, station.models, station.sets, prepared, SavedVariants(session)
                )
            )
            started = time.monotonic()
            chunk, waited = station.ahead.take() if self.firsts else (None, 0.0)
            variants = self._begin(calibration, known, chunk)
            self.progress.know(variants)
            patience.emit(PhaseChanged("sweeping", f"{station.sets.rows} images"))
            for position in range(len(self.firsts)):
                if position + AHEAD < len(self.firsts):
                    station.ahead.ask(self.firsts[position + AHEAD])
                if not position and chunk is not None:
                    yield ScoredChunk.of(chunk, station.batches.size, time.monotonic() - started, waited)
                else:
                    yield station.next_scored(variants)
        finally:
            station.ahead.close()

    def _begin(self, calibration: Calibration, known: PriorVariants, chunk: Chunk | None) -> Variants:
        """Calibrate every variant and let it score the first chunk.

        Where nothing has to be fitted, that is at once, so that a first curve is there before the last
        variant is calibrated.
        """
        station = self.station
        size = station.batches.size

        def begin(column: Column) -> CalibratedVariant | None:
            variant = station.plan.variants()[column]
            ready = calibration.calibrate(variant, known, station.patience.emit)
            if station.plan.needs_fit_set:
                return ready
            ready = station.with_scorers(column, ready)
            if ready is not None and chunk is not None:
                alive = ready
                station.batches.fitting(lambda size: chunk.score(column, alive, size), chunk.first)
                if not chunk.first:
                    self.progress.preview(chunk.parts, column, ready.source.classes)
            return ready

        variants = station.each(begin)
        if station.plan.needs_fit_set:
            variants = station.fit(variants)
        if chunk is not None and (station.plan.needs_fit_set or station.batches.size != size):
            station.score(chunk, variants)
            if not chunk.first and not station.plan.needs_fit_set:  # what was shown is of other batches
                for column, ready in enumerate(variants):
                    if ready is not None:
                        self.progress.preview(chunk.parts, column, ready.source.classes)
        return variants
