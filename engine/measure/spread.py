"""How far numbers differ between draws of calibration images, everything else being equal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec

from engine.plan.plan import Plan
from engine.plan.variants import Variant
from engine.protocol.events import Cell, Measured, VariantDelta

COUNTS = ("name", "score", "n_id", "n_ood", "problem")


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
    """Return the spread of values that are there; None of fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    return Spread(len(known), statistics.fmean(known), statistics.stdev(known), min(known), max(known))


def groups(plan: Plan) -> list[list[Variant]]:
    """List the variants that differ by their draw alone, group by group, in the order of the plan."""
    found: dict[tuple[str, str], list[Variant]] = {}
    for variant in plan.variants():
        found.setdefault((variant.model, str(variant.bits)), []).append(variant)
    return list(found.values())


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
            found = spread(values)
            if found is not None:
                rows.append(SpreadRow(group[0].model, str(group[0].bits), measure, of_set, score, found))
    return tuple(rows)


def _numbers(measured: Measured, lost: VariantDelta | None) -> dict[tuple[str, str, str], float | None]:
    found = {(name, "", ""): getattr(measured, name) for name in ("top1", "top5", "nll")}
    if lost is not None:
        found["ap_out lost", "", ""] = lost.ap_out_mean.value
        found["top1 lost", "", ""] = lost.top1.value if lost.top1 is not None else None
    for cell in measured.cells:
        for name in Cell.__struct_fields__:
            if name not in COUNTS:
                found[name, cell.name, cell.score] = getattr(cell, name)
    return found
