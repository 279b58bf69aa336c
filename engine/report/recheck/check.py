"""Does the journal agree with the arrays? Every number, every end of an interval, every hash of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.measure.detection import Floats
from engine.measure.measures import MEASURES
from engine.plan.plan import Plan
from engine.protocol.events import (
    AnyEvent,
    Cell,
    ChunkFinished,
    CurvesDrawn,
    Delta,
    DeltasMeasured,
    Measured,
    ScoresAdded,
    VariantDelta,
)
from engine.report.contents import Checked, Mismatch
from engine.report.words import NO_VALUE, SHOWN
from engine.session.arrays import Arrays, layout
from engine.text import short

ROUNDING = 1.5e-7  # numbers are written with seven digits
ROUNDING_OF_P = 0.011  # relative: p-values are written with three digits
ROUNDING_OF_CURVES = 5.1e-4  # points of curves are written with three digits or four
FIELDS = {  # of a Delta
    "value": "value",
    "low": "low end",
    "high": "high end",
    "relative": "relative",
    "p": "p",
    "p_holm": "p adjusted",
}

Place = tuple[str, str, str]  # variant, set, measure


class Check:
    """Collect comparisons one by one."""

    def __init__(self) -> None:
        self.numbers = self.hashes = 0
        self.mismatches: list[Mismatch] = []

    def result(self) -> Checked:
        """Return everything that was compared so far."""
        return Checked(self.numbers, self.hashes, tuple(self.mismatches))

    def same(self, place: Place, recorded: object, measured: object, relative: float = 0) -> None:
        """Compare what the journal says at a place with what the arrays say."""
        self.numbers += 1
        if not _agree(recorded, measured, relative):
            self.differs(place, _written(recorded), _written(measured))

    def differs(self, place: Place, recorded: str, measured: str) -> None:
        """Record a disagreement."""
        self.mismatches.append(Mismatch(*place, recorded, measured))

    def measures(self, recorded: Measured, measured: Measured) -> None:
        """Compare the measures of one variant; the journal need not have every score or measure."""
        for name in filter(MEASURES.__contains__, recorded.values):
            self.same((recorded.variant, "", name), recorded.value(name), measured.value(name))
        cells = {(cell.name, cell.score): _numbers(cell) for cell in measured.cells}
        for cell in recorded.cells:
            again = cells.get((cell.name, cell.score), {})
            for name, value in _numbers(cell).items():
                self.same((recorded.variant, cell.name, f"{cell.score}, {name}"), value, again.get(name))

    def deltas(self, recorded: DeltasMeasured, measured: DeltasMeasured, *, quick: bool) -> None:
        """Compare two delta tables; with `quick`, only their values."""
        self.same(("", "", "sequential intervals"), recorded.sequential, measured.sequential)
        self.same(("", "", "seed of the bootstrap"), recorded.seed, measured.seed)
        again = dict(placed(measured))
        for place, delta in placed(recorded):
            other = again.get(place)
            for name in ("value", "relative") if quick else Delta.__struct_fields__:
                where = (*place[:2], f"{place[2]}, {FIELDS[name]}")
                tolerance = ROUNDING_OF_P if name in ("p", "p_holm") else 0
                self.same(where, getattr(delta, name), getattr(other, name) if other else None, tolerance)

    def curves(self, recorded: CurvesDrawn, exact: Mapping[str, tuple[Floats, Floats]]) -> None:
        """Compare recorded curves with the whole ones: every point must be one of theirs."""
        for curve in recorded.curves:
            self.numbers += len(curve.fpr)
            place = (recorded.variant, curve.set, "ROC curve")
            if curve.set not in exact:
                self.differs(place, f"{len(curve.fpr)} points", NO_VALUE)
            elif len(curve.fpr) != len(curve.tpr):
                self.differs(place, f"{len(curve.fpr)} and {len(curve.tpr)} rates", "equally many of both")
            elif off := _points_off(curve.fpr, curve.tpr, *exact[curve.set]):
                self.differs(place, f"{len(curve.fpr)} points", f"that {off} of them are off the curve")

    def rows(self, arrays: Arrays, events: Sequence[AnyEvent], plan: Plan) -> None:
        """Compare the finished rows with the hashes recorded when they were written."""
        finished = 0
        unseen = set(layout(plan))
        for event in events:
            if isinstance(event, ChunkFinished) and event.first == finished:
                unseen -= self._hashes(arrays, finished, event.rows, event.digests)
                finished += event.rows
        for event in events:
            if isinstance(event, ScoresAdded):
                unseen -= self._hashes(arrays, 0, finished, event.digests)
        for name in sorted(unseen):
            self.differs(("", "", f"{name}.npy"), "no hash", "that there are rows")

    def _hashes(self, arrays: Arrays, first: int, rows: int, recorded: Mapping[str, str]) -> set[str]:
        """Compare some rows; return the names of the arrays compared (never kept outputs)."""
        measured = arrays.digests(first, rows)
        for name in sorted(measured.keys() & recorded.keys()):
            self.hashes += 1
            if measured[name] != recorded[name]:
                place = ("", "", f"SHA-256 of {name}.npy, rows {first} to {first + rows - 1}")
                self.differs(place, recorded[name][:SHOWN], measured[name][:SHOWN])
        return measured.keys() & recorded.keys()


def _numbers(cell: Cell) -> dict[str, object]:
    """Return the contents of a cell by name, without unknown measures."""
    values = {name: value for name, value in cell.values.items() if name in MEASURES}
    return {"n_id": cell.n_id, "n_ood": cell.n_ood, **values, "problem": cell.problem}


def placed(table: DeltasMeasured) -> Iterable[tuple[Place, Delta]]:
    """Return every delta of a table with its place: variant or group, set, measure."""
    for row in table.variants:
        yield from _of_variant(row)
    groups = {"": table.by_bits, **table.by_pretraining}
    for group, means in groups.items():
        for bits, delta in means.items():
            yield (f"mean of {group} {bits}".replace("  ", " "), "", "ap_out lost"), delta
    for bits, delta in table.twins.items():
        yield (f"larger pretraining minus its twin {bits}", "", "ap_out lost"), delta


def _of_variant(row: VariantDelta) -> Iterable[tuple[Place, Delta]]:
    for measure, delta in row.of_labels.items():
        if measure in MEASURES:
            yield (row.variant, "", f"{measure} lost"), delta
    for measure, measured in row.by_set.items():
        if measure not in MEASURES:
            continue
        yield (row.variant, "", f"{measure} lost"), measured.mean
        for of_set, delta in measured.sets.items():
            yield (row.variant, of_set, f"{measure} lost"), delta


def _agree(recorded: Any, measured: Any, relative: float) -> bool:
    if not (_is_number(recorded) and _is_number(measured)):
        return bool(recorded == measured)
    return math.isclose(recorded, measured, rel_tol=relative, abs_tol=0 if relative else ROUNDING)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: object) -> str:
    if isinstance(value, float):
        return short(value, 7)
    return NO_VALUE if value is None or value == "" else str(value)


def _points_off(fpr: Sequence[float], tpr: Sequence[float], whole_fpr: Floats, whole_tpr: Floats) -> int:
    """Count the points of a thinned curve that are not on the whole curve.

    Along a ROC curve the sum of both rates never falls, so it locates the neighbours of a point.
    """
    along, reach = whole_fpr + whole_tpr, 2 * ROUNDING_OF_CURVES
    off = 0
    for x, y in zip(fpr, tpr, strict=True):
        near = slice(np.searchsorted(along, x + y - reach), np.searchsorted(along, x + y + reach, "right"))
        distance = np.maximum(np.abs(whole_fpr[near] - x), np.abs(whole_tpr[near] - y))
        off += not (distance <= ROUNDING_OF_CURVES).any()
    return off
