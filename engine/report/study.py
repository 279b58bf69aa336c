"""What the study's abstract states about a model, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

import msgspec

from engine import catalog
from engine.measure.measures import MEASURES
from engine.plan.variants import VariantId, VariantKey
from engine.protocol.events import MAIN_MEASURE, Delta, VariantDelta

BITS = "W4A4"


class Stated(msgspec.Struct, frozen=True):
    """A loss that the study states, in percent, and the same loss as measured: absolute and relative."""

    variant: VariantKey
    stands_for: str
    measure: str
    stated: float
    measured: Delta


def beside(deltas: Iterable[VariantDelta]) -> tuple[Stated, ...]:
    """Return what the study states about any of these variants."""
    rows: list[Stated] = []
    for delta in deltas:
        identity = VariantId.parse(delta.variant)
        entry = catalog.MODELS.get(identity.model)
        if entry is None or str(identity.bits) != BITS:
            continue
        rows += [
            Stated(delta.variant, entry.stands_for, measure, stated, loss)
            for measure, stated in entry.stated.items()
            if (loss := delta.whole(measure)) is not None
        ]
    return tuple(rows)


def label_of(measure: str) -> str:
    """Return the label of a measure that the study states."""
    entry = MEASURES[measure]
    return f"{entry.label}, mean over OOD sets" if entry.is_by_set else entry.label


def order_holds(rows: Iterable[Stated]) -> str:
    """Say whether models pretrained on more classes lost more, as the study found; empty if unknown.

    Losses are means over the calibration draws that both models have.
    """
    lost: dict[str, dict[int, Delta]] = {}
    for row in rows:
        if row.measure == MAIN_MEASURE:
            identity = VariantId.parse(row.variant)
            lost.setdefault(identity.model, {})[identity.draw] = row.measured
    sentences = []
    for family, label in (("vit", "ViT-S"), ("deit3", "DeiT3-S")):
        of_family = [m for m in catalog.MODELS.values() if m.family == family and m.name in lost]
        by_pretraining = {model.pretraining: lost[model.name] for model in of_family}
        small, large = (by_pretraining.get(name, {}) for name in ("ImageNet-1k", "ImageNet-22k"))
        if pairs := [(small[draw], large[draw]) for draw in small if draw in large]:
            sentences.append(f"{label} pretrained on ImageNet-22k lost {_compared(pairs)}")
    return "; ".join(sentences)


def _compared(pairs: Sequence[tuple[Delta, Delta]]) -> str:
    """Say how much more the second of each pair of models lost; there is one pair per draw."""
    small, large = (fmean(delta.value for delta in deltas) for deltas in zip(*pairs, strict=True))
    verb = "more" if large > small else "no more"
    words = f"{verb} than on ImageNet-1k ({large * 100:+.1f} against {small * 100:+.1f} points"
    overlap = sum(two.low <= one.high and one.low <= two.high for one, two in pairs)
    if len(pairs) == 1:
        return f"{words}{', intervals overlap' if overlap else ''})"
    more = sum(two.value > one.value for one, two in pairs)
    words += f", means of {len(pairs)} calibration draws; more in {more} of them"
    return f"{words}{f', intervals overlap in {overlap}' if overlap else ''})"
