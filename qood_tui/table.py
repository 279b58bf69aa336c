"""The delta table as data: what every screen, figure and export shows the numbers of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from engine import catalog
from engine.measure.spread import groups, spread
from engine.plan import Plan, Variant
from engine.protocol import Delta, VariantDelta
from qood_tui.look import Look, Measure, Order, Unit
from qood_tui.store import State
from qood_tui.words import verdict

FEW_IMAGES = 1000  # average precision and FPR95 of fewer images a set are biased while a sweep runs
TOP1 = Measure("top1", "top-1", "top1", is_biased=False)


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

    @property
    def variant(self) -> Variant:
        """Return the variant, of several the last."""
        return self.variants[-1]

    @property
    def is_spread(self) -> bool:
        """Tell whether the numbers are standard deviations."""
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
        """Tell whether the mean or a set changed distinguishably."""
        return any(number.mark != " " for number in (self.mean, *self.sets.values()))


class Table(msgspec.Struct, frozen=True):
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


def table(state: State, look: Look) -> Table:
    """Return the table of a moment, filtered and sorted as it is looked at."""
    plan = state.header.plan
    every = [_row(state, group, look) for group in _groups(plan)]
    kept = [row for row in every if _matches(row, look)]
    return Table(
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
    )


def _groups(plan: Plan) -> list[tuple[Variant, ...]]:
    """Return every variant, and after several draws of one all of them."""
    found: list[tuple[Variant, ...]] = []
    for group in groups(plan):
        found += [(variant,) for variant in group]
        found += [tuple(group)] if len(group) > 1 else []
    return found


def _row(state: State, variants: tuple[Variant, ...], look: Look) -> Row:
    if len(variants) > 1:
        return _spread(state, variants, look)
    (variant,) = variants
    if variant.key in state.failed:
        return Row(variants, problem=f"left out: {state.failed[variant.key]}")
    measured, delta = state.measured.get(variant.key), state.delta_of(variant.key)
    images = measured.rows if measured else 0
    if variant.bits.is_float or look.unit is Unit.VALUE:
        return _of_values(state, variant, delta, look, images)
    if delta is not None and state.deltas and getattr(delta, f"{look.measure.name}_mean") is not None:
        return _of_deltas(state, variant, delta, look, state.deltas.rows)
    lost = _losses(state, variant, look)
    return Row(
        variants,
        {name: Number(value) for name, value in lost.items()},
        Number(_mean_loss(state, variant, look)),
        Number(_top1_loss(state, variant, look)),
        images=images,
    )


def _of_values(state: State, variant: Variant, delta: VariantDelta | None, look: Look, images: int) -> Row:
    """Return the measure itself, with the marks of what was lost."""
    values, measured = _values(state, variant.key, look.measure), state.measured.get(variant.key)
    deltas: dict[str, Delta] = getattr(delta, look.measure.name) if delta else {}
    of_mean = getattr(delta, f"{look.measure.name}_mean") if delta else None
    top1 = measured.top1 * 100 if measured and measured.top1 is not None else None
    return Row(
        (variant,),
        {name: Number(value, mark=_mark(deltas.get(name), look.measure)) for name, value in values.items()},
        Number(_mean(values), mark=_mark(of_mean, look.measure)),
        Number(top1, mark=_mark(delta.top1 if delta else None, TOP1)),
        images=images,
    )


def _of_deltas(state: State, variant: Variant, delta: VariantDelta, look: Look, images: int) -> Row:
    found: dict[str, Delta] = getattr(delta, look.measure.name)
    mean: Delta = getattr(delta, f"{look.measure.name}_mean")
    whole = _values(state, variant.baseline, look.measure)
    base = state.measured.get(variant.baseline)
    unit, measure = look.unit, look.measure
    top1 = number_of(delta.top1, TOP1, unit, base.top1 if base else None) if delta.top1 else Number()
    return Row(
        (variant,),
        {name: number_of(one, measure, unit, whole.get(name)) for name, one in found.items()},
        number_of(mean, measure, unit, _mean(whole)),
        top1,
        images=images,
    )


def number_of(delta: Delta, measure: Measure, unit: Unit, reference: float | None) -> Number:
    """Return a delta in points, or in percent of the reference; nothing where that is 0 or not known."""
    scale = 100.0
    if unit is Unit.RELATIVE:
        if delta.relative and delta.value:  # of the same images as the delta, which later values are not
            reference = delta.value / delta.relative
        if not reference or delta.relative is None:
            return Number()
        scale = 100.0 / reference
    return Number(delta.value * scale, delta.low * scale, delta.high * scale, _mark(delta, measure))


def _spread(state: State, variants: tuple[Variant, ...], look: Look) -> Row:
    """Return the standard deviation over draws of calibration images, in the unit of the rows."""
    is_value = look.unit is Unit.VALUE
    found = [_values(state, v.key, look.measure) if is_value else _losses(state, v, look) for v in variants]
    means = [
        _mean(one) if is_value else _mean_loss(state, v, look) for one, v in zip(found, variants, strict=True)
    ]
    base = state.measured.get
    values = [m.top1 * 100 if (m := base(v.key)) and m.top1 is not None else None for v in variants]
    top1 = values if is_value else [_top1_loss(state, v, look) for v in variants]
    names = state.header.plan.ood_sets
    known = tuple(v for v, one in zip(variants, found, strict=True) if one)
    return Row(
        known if len(known) > 1 else variants,
        {name: _deviation(one.get(name) for one in found) for name in names},
        _deviation(means),
        _deviation(top1),
    )


def _deviation(values: Iterable[float | None]) -> Number:
    found = spread(value for value in values if value is not None and math.isfinite(value))
    return Number() if found is None else Number(found.deviation)


def _values(state: State, key: str, measure: Measure) -> dict[str, float]:
    """Return the measure of the headline score on every OOD set that has one."""
    found = {name: getattr(cell, measure.field) for name, cell in state.cells_of(key).items()}
    return {name: value for name, value in found.items() if value is not None}


def _losses(state: State, variant: Variant, look: Look) -> dict[str, float]:
    """Return what was lost on every OOD set where that is known."""
    values, whole = (_values(state, key, look.measure) for key in (variant.key, variant.baseline))
    found = {name: _lost(whole.get(name), value, look.unit) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _mean_loss(state: State, variant: Variant, look: Look) -> float | None:
    """Return what the mean over OOD sets lost: relative is to the mean, as where intervals are known."""
    values, whole = (_values(state, key, look.measure) for key in (variant.key, variant.baseline))
    both = values.keys() & whole.keys()
    reference, own = (_mean({name: of[name] for name in both}) for of in (whole, values))
    return _lost(reference, own, look.unit)


def _top1_loss(state: State, variant: Variant, look: Look) -> float | None:
    base, own = (state.measured.get(key) for key in (variant.baseline, variant.key))
    return _lost(base.top1 if base else None, own.top1 if own else None, look.unit)


def _mean(values: Mapping[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None


def _lost(reference: float | None, value: float | None, unit: Unit) -> float | None:
    is_relative = unit is Unit.RELATIVE
    if value is None or reference is None or (is_relative and not reference):
        return None
    return (reference - value) / (reference if is_relative else 1.0) * 100


def _mark(delta: Delta | None, measure: Measure) -> str:
    return " " if delta is None else verdict(delta, less_is_better=measure.less_is_better)


def _matches(row: Row, look: Look) -> bool:
    variant = row.variant
    named = f"{variant.key} {row.label} {catalog.pretraining_of(variant.model)}".lower()
    if look.only_changes and not row.is_change:
        return False
    return all(word in named for word in look.words.lower().split())


def _sorted(rows: list[Row], look: Look) -> list[Row]:
    """Put the largest loss on top; references, which lose nothing, and what has no number to the end."""
    if look.order is Order.PLAN:
        return rows
    is_less = look.measure.less_is_better and look.order is not Order.TOP1
    sign = -1.0 if is_less != (look.unit is Unit.VALUE) else 1.0

    def key(row: Row) -> tuple[bool, float]:
        of_order = {Order.MEAN: row.mean, Order.TOP1: row.top1}
        value = of_order.get(look.order, row.sets.get(look.ood_set, Number())).value
        is_last = value is None or (row.variant.bits.is_float and look.unit is not Unit.VALUE)
        return is_last, -sign * (value or 0.0)

    return sorted((row for row in rows if not row.is_spread), key=key)


def _intervals(state: State, measure: Measure) -> str:
    """Say what the marks mean at this moment."""
    if state.deltas is None or not state.deltas.variants:
        return f"no intervals yet, {state.rows:,} images"
    count = f"{state.deltas.rows:,} images"
    if state.deltas.sequential:
        if getattr(state.deltas.variants[0], f"{measure.name}_mean") is None:
            return "this measure gets its intervals at the end"
        return f"▼ ▲ outside 95 % intervals good at every look, {count}"
    return f"▼ ▲ p < 0.05 by Holm over the table, intervals 95 % each, {count}"


def _is_provisional(state: State, measure: Measure) -> bool:
    """Tell whether a measure that is biased at small counts has few images and will get more."""
    is_final = state.deltas is not None and state.deltas.rows >= state.total
    if not measure.is_biased or is_final or not state.rows:
        return False
    counts = [n for found in state.measured.values() for c in found.cells for n in (c.n_id, c.n_ood)]
    return bool(counts) and min(counts) < FEW_IMAGES
