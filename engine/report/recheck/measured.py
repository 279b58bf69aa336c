"""Every variant and every delta of a session, measured again and compared with its journal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from engine import catalog
from engine.errors import JournalError
from engine.measure import deltas, means, pair, table
from engine.measure.measures import BY_SET
from engine.measure.pair import PairMeasures
from engine.plan.variants import Column, Variant
from engine.protocol.events import (
    AnyEvent,
    CurvesDrawn,
    Delta,
    DeltasMeasured,
    Measured,
    SetDeltas,
    VariantDelta,
)
from engine.report.contents import MeanMeasures, VariantCurves, VariantRow
from engine.report.curves import Whole, thinned, whole_curves
from engine.report.recheck.check import Check
from engine.session.arrays import FinishedRows

RESAMPLES = 1000  # if the journal has no delta table for these rows
MOST_RESAMPLES = 20_000
MOST_THREADS = 8  # each needs tens of MB
LEAST_RESAMPLES = 2


class Remeasured:
    """Every calibrated variant, measured again on the finished rows."""

    def __init__(self, finished: FinishedRows, classes: Mapping[str, int]) -> None:
        """Measure; `classes` are those of every calibrated variant."""
        self.finished = finished
        self.variants: list[VariantRow] = []
        self.measured: dict[str, Measured] = {}
        self.curves: list[VariantCurves] = []
        self._whole: dict[str, dict[str, Whole]] = {}
        for column, variant in enumerate(finished.plan.variants()):
            if variant.key in classes:
                self._measure(column, variant, classes[variant.key])

    def _measure(self, column: Column, variant: Variant, classes: int) -> None:
        rows, plan = self.finished, self.finished.plan
        pairs = tuple(
            pair.measure(name, rows.values(score, column, 0), rows.values(score, column, at), score)
            for score in plan.scores
            for at, name in enumerate(plan.ood_sets, start=1)
        )
        measured = table.measure_variant(rows, column, (), classes)
        cells = tuple(map(table.cell_of, pairs))
        self.measured[variant.key] = msgspec.structs.replace(measured, cells=cells)
        self._whole[variant.key] = whole_curves(rows, column)
        self.curves.append(VariantCurves(variant.key, thinned(self._whole[variant.key])))
        self.variants.append(
            VariantRow(
                model=variant.model,
                pretraining=catalog.MODELS[variant.model].pretraining
                if variant.model in catalog.MODELS
                else "",
                bits=str(variant.bits),
                method=variant.method,
                draw=variant.draw,
                values=measured.values,
                sets=pairs,
                means=tuple(_mean(score, pairs) for score in plan.scores),
            )
        )

    def compare(self, events: Sequence[AnyEvent], check: Check) -> None:
        """Compare everything with what the journal says about as many rows."""
        count = self.finished.count
        for event in events:
            if not isinstance(event, Measured | CurvesDrawn) or event.rows != count:
                continue
            if event.variant not in self.measured:
                check.differs((event.variant, "", "measures"), "that there are some", "no such variant")
            elif isinstance(event, Measured):
                check.measures(event, self.measured[event.variant])
            else:
                check.curves(event, self._whole[event.variant])


def compared(
    finished: FinishedRows, events: Sequence[AnyEvent], check: Check, *, planned: int | None, quick: bool
) -> tuple[DeltasMeasured, bool]:
    """Return the delta table, compared with the journal's, and whether its intervals are the journal's.

    With `quick` they are, if it has a table of as many rows. Raises JournalError for an invalid seed.
    """
    seed = finished.plan.seed
    if seed < 0:
        raise JournalError(f"seed {seed}: resampling needs a whole number from 0 on")
    of_these = [e for e in events if isinstance(e, DeltasMeasured) and e.rows == finished.count]
    recorded = of_these[-1] if of_these else None
    resamples = recorded.resamples if recorded else RESAMPLES
    if recorded and not LEAST_RESAMPLES <= resamples <= MOST_RESAMPLES:
        check.differs(("", "", "resamples"), f"{resamples:,}", f"nothing: {RESAMPLES:,} are used instead")
        resamples = RESAMPLES
    is_recorded = quick and recorded is not None
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        measured = deltas.measure_deltas(
            finished, LEAST_RESAMPLES if is_recorded else resamples, seed, pool, planned=planned
        )
    for one in of_these:
        check.deltas(one, measured, quick=quick or one.resamples != measured.resamples)
    if recorded is None or not quick:
        return measured, False
    return _with_intervals(measured, recorded), True


def _with_intervals(measured: DeltasMeasured, recorded: DeltasMeasured) -> DeltasMeasured:
    """Return a delta table with its own values and the recorded intervals and tests, if there are any."""
    rows = {row.variant: row for row in recorded.variants}
    return msgspec.structs.replace(
        measured,
        resamples=recorded.resamples,
        variants=tuple(
            _row_with_intervals(row, rows[row.variant]) for row in measured.variants if row.variant in rows
        ),
        by_bits=_each(measured.by_bits, recorded.by_bits),
        by_pretraining={
            name: _each(means, recorded.by_pretraining.get(name, {}))
            for name, means in measured.by_pretraining.items()
        },
        twins=_each(measured.twins, recorded.twins),
    )


def _row_with_intervals(row: VariantDelta, recorded: VariantDelta) -> VariantDelta:
    by_set = {
        measure: SetDeltas(_each(measured.sets, there.sets), _with_interval(measured.mean, there.mean))
        for measure, measured in row.by_set.items()
        if (there := recorded.by_set.get(measure)) is not None
    }
    return VariantDelta(row.variant, by_set, _each(row.of_labels, recorded.of_labels))


def _each(measured: Mapping[str, Delta], recorded: Mapping[str, Delta]) -> dict[str, Delta]:
    return {name: _with_interval(measured[name], recorded[name]) for name in measured if name in recorded}


def _with_interval(measured: Delta, recorded: Delta) -> Delta:
    return msgspec.structs.replace(
        measured, low=recorded.low, high=recorded.high, p=recorded.p, p_holm=recorded.p_holm
    )


def _mean(score: str, pairs: Sequence[PairMeasures]) -> MeanMeasures:
    """Return the mean over the OOD sets with enough images."""
    under = [one for one in pairs if one.score == score]
    values = {measure.id: means.mean_over_sets(under, measure.id) for measure in BY_SET}
    return MeanMeasures(score, len(means.in_mean(under)), values)
