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

RESAMPLES = 1000  # where the journal has no delta table of these rows
MOST_RESAMPLES = 20_000
MOST_THREADS = 8  # each holds some tens of MB
LEAST_RESAMPLES = 2


class Remeasured:
    """Every variant that was ready, measured again on the finished rows."""

    def __init__(self, finished: FinishedRows, classes: Mapping[str, int]) -> None:
        """Measure; `classes` are those of every variant that was ready."""
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
        found = table.measure_variant(rows, column, (), classes)
        cells = tuple(map(table.cell_of, pairs))
        self.measured[variant.key] = msgspec.structs.replace(found, cells=cells)
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
                values=found.values,
                sets=pairs,
                means=tuple(_mean(score, pairs) for score in plan.scores),
            )
        )

    def compare(self, events: Sequence[AnyEvent], check: Check) -> None:
        """Compare all of it with what the journal says of as many rows."""
        count = self.finished.count
        for event in events:
            if not isinstance(event, Measured | CurvesDrawn) or event.rows != count:
                continue
            if event.variant not in self.measured:
                told = "that there are some"
                check.differs((event.variant, "", "measures"), told, "nothing of such a variant")
            elif isinstance(event, Measured):
                check.measures(event, self.measured[event.variant])
            else:
                check.curves(event, self._whole[event.variant])


def compared(
    finished: FinishedRows, events: Sequence[AnyEvent], check: Check, *, planned: int | None, quick: bool
) -> tuple[DeltasMeasured, bool]:
    """Return the delta table, compared with the journal's, and whether its intervals are the journal's.

    With `quick` they are, where it has a table of as many rows. Raises JournalError for a seed that none is.
    """
    seed = finished.plan.seed
    if seed < 0:
        raise JournalError(f"seed {seed}: a whole number from 0 on is needed to resample with")
    of_these = [e for e in events if isinstance(e, DeltasMeasured) and e.rows == finished.count]
    told = of_these[-1] if of_these else None
    resamples = told.resamples if told else RESAMPLES
    if told and not LEAST_RESAMPLES <= resamples <= MOST_RESAMPLES:
        check.differs(("", "", "resamples"), f"{resamples:,}", f"nothing: {RESAMPLES:,} are made instead")
        resamples = RESAMPLES
    is_recorded = quick and told is not None
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        found = deltas.measure_deltas(
            finished, LEAST_RESAMPLES if is_recorded else resamples, seed, pool, planned=planned
        )
    for one in of_these:
        check.deltas(one, found, quick=quick or one.resamples != found.resamples)
    if told is None or not quick:
        return found, False
    return _with_intervals(found, told), True


def _with_intervals(found: DeltasMeasured, told: DeltasMeasured) -> DeltasMeasured:
    """Return a delta table with its own values and the recorded intervals and tests, where there are any."""
    recorded = {row.variant: row for row in told.variants}
    return msgspec.structs.replace(
        found,
        resamples=told.resamples,
        variants=tuple(
            _row_with_intervals(row, recorded[row.variant])
            for row in found.variants
            if row.variant in recorded
        ),
        by_bits=_each(found.by_bits, told.by_bits),
        by_pretraining={
            name: _each(means, told.by_pretraining.get(name, {}))
            for name, means in found.by_pretraining.items()
        },
        twins=_each(found.twins, told.twins),
    )


def _row_with_intervals(row: VariantDelta, recorded: VariantDelta) -> VariantDelta:
    by_set = {
        measure: SetDeltas(_each(found.sets, there.sets), _with_interval(found.mean, there.mean))
        for measure, found in row.by_set.items()
        if (there := recorded.by_set.get(measure)) is not None
    }
    return VariantDelta(row.variant, by_set, _each(row.of_labels, recorded.of_labels))


def _each(found: Mapping[str, Delta], told: Mapping[str, Delta]) -> dict[str, Delta]:
    return {name: _with_interval(found[name], told[name]) for name in found if name in told}


def _with_interval(found: Delta, told: Delta) -> Delta:
    return msgspec.structs.replace(found, low=told.low, high=told.high, p=told.p, p_holm=told.p_holm)


def _mean(score: str, pairs: Sequence[PairMeasures]) -> MeanMeasures:
    """Return the mean over the OOD sets that have enough images."""
    under = [one for one in pairs if one.score == score]
    values = {measure.id: means.mean_over_sets(under, measure.id) for measure in BY_SET}
    return MeanMeasures(score, len(means.in_mean(under)), values)
