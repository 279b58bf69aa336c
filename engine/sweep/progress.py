"""The measures that a sweep emits while it runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.measure import deltas, means, table
from engine.measure.pair import LEAST_DISTINCT, share_of_distinct
from engine.plan.plan import Plan
from engine.plan.variants import Column
from engine.protocol.events import CurvesDrawn, DeltasMeasured, Logged, PhaseChanged
from engine.session.arrays import Arrays, FinishedRows
from engine.sweep.retry import Emit
from engine.text import counted, short

FINAL_RESAMPLES, INTERIM_RESAMPLES = 1000, 200
FINAL_POINTS, INTERIM_POINTS = 128, 24
FINAL_DECIMALS, INTERIM_DECIMALS = 4, 3
FIRST_CURVE_ROWS = 500
MEASURE_STEP = 1.4  # interim measures whenever the finished rows have grown by this factor


class Progress:
    """Emit measures as rows accumulate: tables often, curves and intervals at doubling counts."""

    def __init__(self, plan: Plan, emit: Emit, first_row: int = 0) -> None:
        self.plan, self.emit = plan, emit
        self.next_table, self.next_curve = 2 * plan.chunk_images, FIRST_CURVE_ROWS
        self.diverged: set[str] = set()
        self.classes: dict[str, int] = {}  # of every variant that is measured
        self._enough = self._waits = False
        # A resumed sweep measures when it would have anyway, and at its first row: it may have stopped
        # between measuring there and deciding.
        for finished in range(plan.chunk_images, first_row, plan.chunk_images):
            self._is_due(finished)

    def preview(self, parts: dict[str, NDArray[Any]], column: Column, classes: int) -> None:
        """Emit the measures of one variant on the first chunk, before the others are calibrated."""
        rows = FinishedRows(self.plan, parts)
        self._table(rows, column, classes, (self.plan.headline,))
        self._curves(rows, column, INTERIM_POINTS, INTERIM_DECIMALS)

    def measure(
        self,
        arrays: Arrays,
        finished: int,
        total: int,
        pool: ThreadPoolExecutor,
        *,
        last: bool = False,
    ) -> None:
        """Emit what is due after `finished` of `total` rows."""
        rows = arrays.first(finished)
        keys = [variant.key for variant in self.plan.variants()]
        alive = [(column, self.classes[key]) for column, key in enumerate(keys) if key in self.classes]
        if last:
            self.emit(PhaseChanged("measuring", f"{FINAL_RESAMPLES} bootstrap resamples"))
        table_is_due, curve_is_due = self._is_due(finished)
        if last or table_is_due:
            for column, classes in alive:
                self._table(rows, column, classes, self.plan.scores if last else (self.plan.headline,))
        if last or curve_is_due:
            points, decimals = (FINAL_POINTS, FINAL_DECIMALS) if last else (INTERIM_POINTS, INTERIM_DECIMALS)
            for column, _ in alive:
                self._curves(rows, column, points, decimals)
            resamples = FINAL_RESAMPLES if last else INTERIM_RESAMPLES
            measured = deltas.measure_deltas(rows, resamples, self.plan.seed, pool, planned=total)
            self.emit(measured)
            self._decide(measured)
        if last:
            self._warn_of_ties(rows, alive)

    def is_enough(self) -> bool:
        """Return whether the plan needs no more images."""
        return self._enough

    def _is_due(self, finished: int) -> tuple[bool, bool]:
        """Return whether tables and curves are due, and set when they are next."""
        due = finished >= self.next_table, finished >= self.next_curve
        if due[0]:
            self.next_table = max(int(finished * MEASURE_STEP), finished + 1)
        if due[1]:
            self.next_curve = 2 * finished
        return due

    def _decide(self, measured: DeltasMeasured) -> None:
        """Decide whether the plan needs no more images: every mean is of all OOD sets and narrow enough."""
        width = self.plan.stop_width
        if width is None or self._enough or not measured.by_bits or not measured.sequential:
            return
        widest = max(delta.high - delta.low for delta in measured.by_bits.values()) * 100
        if widest >= width:
            return
        reason = f"the widest interval of a mean is {widest:.1f} points, narrower than {short(width, 6)}"
        missing = [n for n in self.plan.ood_sets if any(n not in one.main.sets for one in measured.variants)]
        if not missing:
            self._enough = True
            self.emit(Logged("info", f"enough after {measured.rows} images: {reason}"))
        elif not self._waits:
            self._waits = True
            few = f"fewer than {means.LEAST} images of {', '.join(missing)} were seen"
            self.emit(Logged("info", f"not enough after {measured.rows} images: {reason}, but {few}"))

    def _warn_of_ties(self, rows: FinishedRows, alive: list[tuple[int, int]]) -> None:
        for column, _ in alive:
            sets = range(len(rows.of_set))
            scores = np.concatenate([rows.values(self.plan.headline, column, i) for i in sets])
            share = share_of_distinct(scores)
            if share < LEAST_DISTINCT:
                text = f"only {share:.2%} of its {self.plan.headline} scores are distinct, so ties decide"
                self.emit(Logged("warning", f"{self.plan.variants()[column].key}: {text}"))

    def _table(self, rows: FinishedRows, column: Column, classes: int, scores: tuple[str, ...]) -> None:
        measured = table.measure_variant(rows, column, scores, classes)
        self.emit(measured)
        lost = int(np.isnan(rows.values("msp", column, 0)).sum())
        if lost and measured.variant not in self.diverged:
            self.diverged.add(measured.variant)
            text = f"{measured.variant} diverges: its logits are NaN for {counted(lost, 'ID image')}"
            self.emit(Logged("warning", text))

    def _curves(self, rows: FinishedRows, column: Column, points: int, decimals: int) -> None:
        sets = range(1, 1 + len(self.plan.ood_sets))
        drawn = [table.draw_curve(rows, column, self.plan.headline, s, points, decimals) for s in sets]
        key = self.plan.variants()[column].key
        self.emit(CurvesDrawn(rows.count, key, tuple(curve for curve in drawn if curve)))
