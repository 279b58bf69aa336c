"""The numbers of a report as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from engine.measure import means
from engine.measure.measure import Measure
from engine.plan.plan import Plan
from engine.protocol.events import BitsTabled, Delta, VariantDelta

NO_VALUE = "no value"
SHOWN = 16  # characters of a hash
LEAST_IN_FLOAT = 0.0005  # of the weights; less is shown as 0.0 %


def points(delta: Delta | None) -> str:
    """Return a delta as signed percentage points, with a star if it is significant."""
    if delta is None:
        return "-"
    star = "*" if delta.is_change else " "
    return f"{delta.value * 100:+.1f}{star}"


def interval(delta: Delta) -> str:
    """Return the ends of a delta's interval in percentage points."""
    return f"{delta.low * 100:+.1f} to {delta.high * 100:+.1f}"


def with_interval(delta: Delta | None) -> str:
    """Return a delta in percentage points with its interval."""
    return NO_VALUE if delta is None else f"{points(delta).strip()} ({interval(delta)})"


def relative(delta: Delta | None) -> str:
    """Return a delta relative to the FP32 value."""
    return NO_VALUE if delta is None or delta.relative is None else f"{delta.relative:+.1%}"


def relative_with_interval(delta: Delta | None, whole: float | None) -> str:
    """Return a delta and its interval relative to `whole`, the FP32 value."""
    if delta is None or delta.relative is None or not whole:
        return NO_VALUE
    return f"{delta.relative:+.1%} ({delta.low / whole:+.1%} to {delta.high / whole:+.1%})"


def titled(measure: Measure) -> str:
    """Return the label of a measure, with its unit unless it is a fraction."""
    return measure.label if measure.is_fraction else f"{measure.label} ({measure.unit})"


def lost(delta: Delta | None, measure: Measure) -> str:
    """Return a delta with its interval, in percentage points or in the unit of its measure."""
    if delta is None or measure.is_fraction:
        return with_interval(delta)
    return f"{delta.value:+.3f}{'*' if delta.is_change else ''} ({delta.low:+.3f} to {delta.high:+.3f})"


def fraction(value: float | None) -> str:
    """Return a fraction with four digits."""
    return NO_VALUE if value is None else f"{value:.4f}"


def mean_of(deltas: Sequence[VariantDelta], bits: str) -> str:
    """Name the mean over models and draws at a bit setting, with the number of variants."""
    return f"mean of {len(means.at_bits(deltas, bits))} {bits}"


def grouped(names: tuple[str, ...]) -> list[str]:
    """Return names, with those that differ only in the block grouped and counted."""
    counts = Counter(re.sub(r"^blocks\.\d+\.", "blocks.*.", name) for name in names)
    return [f"{name} ({count}x)" if count > 1 else name for name, count in counts.items()]


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names separated by commas; beyond `most` they are only counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_float(plan: Plan, tables: Iterable[BitsTabled]) -> list[str]:
    """Say how many of each model's weights stay in floating point, by bit setting if that differs."""
    shares = {table.variant: table.float_share for table in tables}
    models: dict[str, dict[str, list[str]]] = {}
    for variant in plan.variants():
        if shares.get(variant.key, 0) >= LEAST_IN_FLOAT:
            of_model = models.setdefault(variant.model, {}).setdefault(f"{shares[variant.key]:.1%}", [])
            of_model.append(str(variant.bits))
    return [
        f"{model}: {share} of its weights stay in floating point"
        + (f" at {', '.join(dict.fromkeys(bits))}" if len(of_model) > 1 else "")
        for model, of_model in models.items()
        for share, bits in of_model.items()
    ]
