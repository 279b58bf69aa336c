"""What a sweep says of its numbers while it runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from engine.arrays import Arrays, Rows
from engine.calibration import Emit, Ready
from engine.chunk import Chunk
from engine.measure import deltas, table
from engine.plan import Plan
from engine.protocol import CurvesDrawn, Logged, PhaseChanged

FINAL_RESAMPLES, INTERIM_RESAMPLES = 1000, 200
FINAL_POINTS, INTERIM_POINTS = 128, 24
FINAL_DECIMALS, INTERIM_DECIMALS = 4, 3
FIRST_CURVE_ROWS = 500
MEASURE_STEP = 1.4  # interim measures each time this many times as many rows are finished


class Progress:
    """Emit measures as rows accumulate: tables often, curves and intervals at doubling counts."""

    def __init__(self, plan: Plan, emit: Emit) -> None:
        self.plan, self.emit = plan, emit
        self.next_table, self.next_curve = 2 * plan.chunk_images, FIRST_CURVE_ROWS
        self.diverged: set[str] = set()

    def preview(self, chunk: Chunk, column: int, ready: Ready) -> None:
        """Show what one variant says of the first chunk, before the others are there."""
        rows = Rows(self.plan, chunk.parts)
        self._table(rows, column, ready, (self.plan.headline,))
        self._curves(rows, column, INTERIM_POINTS, INTERIM_DECIMALS)

    def measure(
        self,
        arrays: Arrays,
        finished: int,
        total: int,
        variants: list[Ready | None],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Emit what is due after `finished` of `total` rows."""
        done = finished == total
        rows = arrays.first(finished)
        alive = [(column, ready) for column, ready in enumerate(variants) if ready]
        if done:
            self.emit(PhaseChanged("measuring", f"{FINAL_RESAMPLES} bootstrap resamples"))
        if done or finished >= self.next_table:
            self.next_table = max(int(finished * MEASURE_STEP), finished + 1)
            for column, ready in alive:
                self._table(rows, column, ready, self.plan.scores if done else (self.plan.headline,))
        if done or finished >= self.next_curve:
            self.next_curve = 2 * finished
            points, decimals = (FINAL_POINTS, FINAL_DECIMALS) if done else (INTERIM_POINTS, INTERIM_DECIMALS)
            for column, _ in alive:
                self._curves(rows, column, points, decimals)
            resamples = FINAL_RESAMPLES if done else INTERIM_RESAMPLES
            self.emit(deltas.measure_deltas(rows, resamples, self.plan.seed, pool, planned=total))

    def _table(self, rows: Rows, column: int, ready: Ready, scores: tuple[str, ...]) -> None:
        measured = table.measure_variant(rows, column, scores, ready.source.classes)
        self.emit(measured)
        problem = next((cell.problem for cell in measured.cells if "NaN" in cell.problem), "")
        if problem and measured.variant not in self.diverged:
            self.diverged.add(measured.variant)
            self.emit(Logged("warning", f"{measured.variant} diverges: {problem}"))

    def _curves(self, rows: Rows, column: int, points: int, decimals: int) -> None:
        sets = range(1, 1 + len(self.plan.ood_sets))
        drawn = [table.draw_curve(rows, column, self.plan.headline, s, points, decimals) for s in sets]
        key = self.plan.variants()[column].key
        self.emit(CurvesDrawn(rows.count, key, tuple(curve for curve in drawn if curve)))
