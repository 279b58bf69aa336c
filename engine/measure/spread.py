"""How far numbers differ between draws of calibration images, everything else being equal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec

from engine.plan.plan import Plan
from engine.plan.variants import Variant
from engine.protocol.events import MAIN_MEASURE, Measured, VariantDelta

LOST = (MAIN_MEASURE, "top1")  # measures whose losses are shown with their spread


class Spread(msgspec.Struct, frozen=True):
    """One number over the draws: `deviation` is the sample standard deviation (n - 1)."""

    draws: int
    mean: float
    deviation: float
    low: float
    high: float


class SpreadRow(msgspec.Struct, frozen=True):
    """The spread of one measure of a variant; `set` and `score` are empty where it has none."""

    model: str
    bits: str
    measure: str
    set: str
    score: str
    spread: Spread


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the values that are not None; None if there are fewer than two."""
    present = [value for value in values if value is not None]
    if len(present) < 2:
        return None
    return Spread(
        len(present), statistics.fmean(present), statistics.stdev(present), min(present), max(present)
    )


def groups(plan: Plan) -> list[list[Variant]]:
    """List the variants that differ only in their draw, group by group, in the order of the plan."""
    by_model: dict[tuple[str, str], list[Variant]] = {}
    for variant in plan.variants():
        by_model.setdefault((variant.model, str(variant.bits)), []).append(variant)
    return list(by_model.values())


def table(plan: Plan, measured: dict[str, Measured], deltas: Iterable[VariantDelta]) -> tuple[SpreadRow, ...]:
    """Return the spread of every number of a plan with several draws, by variant."""
    lost = {delta.variant: delta for delta in deltas}
    rows = []
    for group in groups(plan):
        numbers: dict[tuple[str, str, str], list[float | None]] = {}
        for variant in group:
            if variant.key in measured:
                for place, value in _numbers(measured[variant.key], lost.get(variant.key)).items():
                    numbers.setdefault(place, []).append(value)
        for (measure, of_set, score), values in numbers.items():
            if (over_draws := spread(values)) is not None:
                rows.append(SpreadRow(group[0].model, str(group[0].bits), measure, of_set, score, over_draws))
    return tuple(rows)


def _numbers(measured: Measured, lost: VariantDelta | None) -> dict[tuple[str, str, str], float | None]:
    numbers = {(name, "", ""): value for name, value in measured.values.items()}
    if lost is not None:
        deltas = ((name, lost.whole(name)) for name in LOST)
        numbers |= {(f"{name} lost", "", ""): delta.value if delta else None for name, delta in deltas}
    for cell in measured.cells:
        numbers |= {(name, cell.name, cell.score): value for name, value in cell.values.items()}
    return numbers
