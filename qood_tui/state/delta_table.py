"""The delta table as data: what every screen, figure and export shows the numbers of."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from engine import catalog
from engine.measure.means import in_mean, mean_over_sets
from engine.measure.measure import Measure
from engine.measure.measures import TOP1
from engine.measure.spread import groups, spread
from engine.plan.variants import Variant
from engine.protocol.events import Cell, Delta, VariantDelta
from engine.report.words import in_float
from engine.text import counted
from qood_tui.state.state import State
from qood_tui.state.view_options import RowOrder, Unit, ViewOptions
from qood_tui.words import verdict

FEW_IMAGES = 1000  # average precision and FPR95 of fewer images a set are biased while a sweep runs
LEAST_EXACT = 1e-4  # a relative delta, from which the FP32 value follows well enough from seven digits


class Number(msgspec.Struct, frozen=True):
    """A cell: in percent or points, or, of a value, as it is; `low` to `high` where an interval is known.

    `mark` is that of a change that is distinguishable from none.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    mark: str = " "

    @property
    def interval(self) -> str:
        """Return the ends of the interval, nothing where they are not known."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:+.1f} to {self.high:+.1f}"


class Row(msgspec.Struct, frozen=True):
    """One variant, or several draws of it, whose standard deviations it holds."""

    variants: tuple[Variant, ...]
    sets: dict[str, Number] = {}
    mean: Number = Number()
    top1: Number = Number()
    problem: str = ""
    images: int = 0  # that the numbers are of
    averaged: tuple[str, ...] = ()  # the OOD sets that the mean is over

    @property
    def variant(self) -> Variant:
        """Return the variant, of several the last."""
        return self.variants[-1]

    @property
    def is_spread(self) -> bool:
        """Return whether the numbers are standard deviations."""
        return len(self.variants) > 1

    @property
    def label(self) -> str:
        """Return how the row is named where there is room."""
        if self.is_spread:
            return f"SD of {len(self.variants)} draws"
        draw = f" #{self.variant.draw + 1}" if self.variant.draw else ""
        return f"{catalog.short_of(self.variant.model)} {self.variant.bits}{draw}"

    @property
    def is_change(self) -> bool:
        """Return whether the mean or a set changed distinguishably."""
        return any(number.mark != " " for number in (self.mean, *self.sets.values()))


class DeltaTable(msgspec.Struct, frozen=True):
    """Rows in the order they are shown; `total` counts those that the filter leaves out too."""

    measure: Measure
    unit: Unit
    score: str
    sets: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int
    left_out: tuple[str, ...]  # variants without a number, by label
    is_filtered: bool
    intervals: str  # what is known of them
    is_provisional: bool
    in_float: tuple[str, ...] = ()  # models that keep weights in floating point, in words


def table(state: State, look: ViewOptions) -> DeltaTable:
    """Return the table of a moment, filtered and sorted as it is looked at."""
    plan = state.header.plan
    every = _rows(state, look)
    kept = [row for row in every if _matches(row, look)]
    return DeltaTable(
        look.measure,
        look.unit,
        plan.headline,
        plan.ood_sets,
        tuple(_sorted(kept, look)),
        len(every),
        tuple(row.label for row in every if row.problem),
        bool(look.words or look.only_changes),
        _intervals(state, look.measure),
        _is_provisional(state, look.measure),
        tuple(in_float(plan, state.bits.values())),
    )


def _rows(state: State, look: ViewOptions) -> list[Row]:
    """Return a row for every variant, and after several draws of one another for their spread."""
    found = []
    for group in groups(state.header.plan):
        rows = [row_of(state, variant, look) for variant in group]
        found += [*rows, _spread(rows)] if len(rows) > 1 else rows
    return found


def row_of(state: State, variant: Variant, look: ViewOptions, over: Collection[str] | None = None) -> Row:
    """Return the row of one variant; where `over` is given, its mean is over these OOD sets only."""
    if variant.key in state.failed:
        return Row((variant,), problem=f"left out: {state.failed[variant.key]}")
    delta = state.delta_of(variant.key)
    if variant.bits.is_float or look.unit is Unit.VALUE:
        return _of_values(state, variant, delta, look, over)
    if delta is not None and state.deltas and delta.mean(look.measure.id) is not None:
        return _of_deltas(state, variant, delta, look, over)
    return _of_losses(state, variant, look, over)


def _of_values(
    state: State,
    variant: Variant,
    delta: VariantDelta | None,
    look: ViewOptions,
    over: Collection[str] | None,
) -> Row:
    """Return the measure itself, with the marks of what was lost."""
    cells, measured, measure = state.cells_of(variant.key), state.measured.get(variant.key), look.measure
    values = {name: cell.value(measure.id) for name, cell in cells.items()}
    deltas = delta.sets(measure.id) if delta else {}
    of_mean = delta.mean(measure.id) if delta else None
    averaged = _averaged(cells, over)
    top1 = measured.value("top1") if measured else None
    return Row(
        (variant,),
        {
            name: Number(value, mark=_mark(deltas.get(name), measure))
            for name, value in values.items()
            if value is not None
        },
        Number(
            mean_over_sets(averaged, measure.id),
            mark=_mark(of_mean, measure) if deltas.keys() <= {*_names(averaged)} else " ",
        ),
        Number(
            None if top1 is None else top1 * 100,
            mark=_mark(delta.of_labels.get("top1") if delta else None, TOP1),
        ),
        images=measured.rows if measured else 0,
        averaged=_names(averaged),
    )


def _of_deltas(
    state: State, variant: Variant, delta: VariantDelta, look: ViewOptions, over: Collection[str] | None
) -> Row:
    """Return deltas with their intervals; a mean over only some of their sets has none."""
    unit, measure = look.unit, look.measure
    found, mean = delta.by_set[measure.id].sets, delta.by_set[measure.id].mean
    base = state.references.get(variant.baseline)
    whole = state.under_headline(base.cells) if base else {}
    references = {name: cell.value(measure.id) for name, cell in whole.items()}
    averaged = {name: found[name] for name in found if over is None or name in over}
    if len(averaged) == len(found):
        reference = mean_over_sets([whole[name] for name in averaged if name in whole], measure.id)
        of_mean = number_of(mean, measure, unit, reference)
    else:
        lost = [one.value for one in averaged.values()]
        of_mean = Number(_mean_lost(lost, [references.get(name) for name in averaged], unit))
    of_top1 = delta.of_labels.get("top1")
    top1 = number_of(of_top1, TOP1, unit, base.value("top1") if base else None) if of_top1 else Number()
    return Row(
        (variant,),
        {name: number_of(one, measure, unit, references.get(name)) for name, one in found.items()},
        of_mean,
        top1,
        images=state.deltas.rows if state.deltas else 0,
        averaged=tuple(averaged),
    )


def number_of(delta: Delta, measure: Measure, unit: Unit, reference: float | None) -> Number:
    """Return a delta in points, or in percent of the FP32 value; nothing where that is 0.

    `reference` is the FP32 value on the same images; where it is not known it follows from a delta that is
    large enough for that, and else there is no relative interval.
    """
    mark = _mark(delta, measure)
    if unit is not Unit.RELATIVE:
        return Number(delta.value * 100, delta.low * 100, delta.high * 100, mark)
    if delta.relative is None or reference == 0:
        return Number()
    if reference is None and abs(delta.relative) >= LEAST_EXACT:
        reference = delta.value / delta.relative
    if reference is None:
        return Number(delta.relative * 100, mark=mark)
    return Number(delta.relative * 100, delta.low / reference * 100, delta.high / reference * 100, mark)


def _of_losses(state: State, variant: Variant, look: ViewOptions, over: Collection[str] | None) -> Row:
    """Return what was lost where no interval is known, once both are measured on the same images."""
    measure, unit = look.measure.id, look.unit
    base, own = (state.measured.get(key) for key in (variant.baseline, variant.key))
    if base is None or own is None or base.rows != own.rows:
        return Row((variant,), images=own.rows if own else 0)
    whole, cells = (state.under_headline(found.cells) for found in (base, own))
    both = _averaged({name: cell for name, cell in cells.items() if name in whole}, None)
    lost = {cell.name: _lost(whole[cell.name].value(measure), cell.value(measure), unit) for cell in both}
    averaged = _averaged({cell.name: cell for cell in both}, over)
    reference = mean_over_sets([whole[cell.name] for cell in averaged], measure)
    return Row(
        (variant,),
        {name: Number(value) for name, value in lost.items() if value is not None},
        Number(_lost(reference, mean_over_sets(averaged, measure), unit)),
        Number(_lost(base.value("top1"), own.value("top1"), unit)),
        images=own.rows,
        averaged=_names(averaged),
    )


def _spread(rows: list[Row]) -> Row:
    """Return the standard deviations over draws of calibration images of the numbers in their rows."""
    names = dict.fromkeys(name for row in rows for name in row.sets)
    known = [row for row in rows if row.sets] or rows
    return Row(
        tuple(row.variant for row in (known if len(known) > 1 else rows)),
        {name: _deviation(row.sets.get(name, Number()) for row in rows) for name in names},
        _deviation(row.mean for row in rows),
        _deviation(row.top1 for row in rows),
    )


def _deviation(numbers: Iterable[Number]) -> Number:
    values = (number.value for number in numbers)
    found = spread(value for value in values if value is not None and math.isfinite(value))
    return Number() if found is None else Number(found.deviation)


def _averaged(cells: Mapping[str, Cell], over: Collection[str] | None) -> list[Cell]:
    """Return the sets that a mean is over, of those in `over` where that is given."""
    return in_mean(cell for name, cell in cells.items() if over is None or name in over)


def _names(cells: Iterable[Cell]) -> tuple[str, ...]:
    return tuple(cell.name for cell in cells)


def _mean_lost(lost: Sequence[float], references: Sequence[float | None], unit: Unit) -> float | None:
    """Return the mean of losses; relative is to the mean of the references, as where intervals are known."""
    if not lost:
        return None
    if unit is not Unit.RELATIVE:
        return sum(lost) / len(lost) * 100
    whole = sum(value for value in references if value is not None)
    return sum(lost) / whole * 100 if whole and None not in references else None


def _lost(reference: float | None, value: float | None, unit: Unit) -> float | None:
    is_relative = unit is Unit.RELATIVE
    if value is None or reference is None or (is_relative and not reference):
        return None
    return (reference - value) / (reference if is_relative else 1.0) * 100


def _mark(delta: Delta | None, measure: Measure) -> str:
    return " " if delta is None else verdict(delta, larger_is_better=measure.larger_is_better)


def _matches(row: Row, look: ViewOptions) -> bool:
    variant = row.variant
    named = f"{variant.key} {row.label} {catalog.pretraining_of(variant.model)}".lower()
    if look.only_changes and not row.is_change:
        return False
    return all(word in named for word in look.words.lower().split())


def _sorted(rows: list[Row], look: ViewOptions) -> list[Row]:
    """Put the largest loss on top; references, which lose nothing, and what has no number to the end."""
    if look.order is RowOrder.PLAN:
        return rows
    is_larger = look.measure.larger_is_better or look.order is RowOrder.TOP1
    sign = 1.0 if is_larger != (look.unit is Unit.VALUE) else -1.0

    def key(row: Row) -> tuple[bool, float]:
        of_order = {RowOrder.MEAN: row.mean, RowOrder.TOP1: row.top1}
        value = of_order.get(look.order, row.sets.get(look.ood_set, Number())).value
        is_last = value is None or (row.variant.bits.is_float and look.unit is not Unit.VALUE)
        return is_last, -sign * (value or 0.0)

    return sorted((row for row in rows if not row.is_spread), key=key)


def _intervals(state: State, measure: Measure) -> str:
    """Say what the marks mean at this moment."""
    if state.deltas is None or not state.deltas.variants:
        return f"no intervals yet, {counted(state.rows, 'image')}"
    count = counted(state.deltas.rows, "image")
    if state.deltas.sequential:
        if state.deltas.variants[0].mean(measure.id) is None:
            return "intervals of this measure follow at the end"
        return f"▼ ▲ 95 % interval excludes zero, valid however often you look, {count}"
    return f"▼ ▲ p < 0.05, Holm-corrected across the table; intervals are not corrected; {count}"


def _is_provisional(state: State, measure: Measure) -> bool:
    """Return whether a measure that is biased at small counts has few images and will get more."""
    is_final = state.deltas is not None and state.deltas.rows >= state.total
    if not measure.is_biased or is_final or not state.rows:
        return False
    counts = [n for found in state.measured.values() for c in found.cells for n in (c.n_id, c.n_ood)]
    return bool(counts) and min(counts) < FEW_IMAGES
