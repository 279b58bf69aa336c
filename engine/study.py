"""What the study's abstract states of a model, beside what was measured of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine import catalog
from engine.protocol import Delta, VariantDelta

BITS = "W4A4"
MEASURES = {"ap_out": "AUPR-out, mean over OOD sets", "top1": "top-1"}


class Stated(msgspec.Struct, frozen=True):
    """A loss that the study states, in percent, and the same as measured: absolute and relative."""

    variant: str
    stands_for: str
    measure: str
    stated: float
    measured: Delta


def beside(deltas: Iterable[VariantDelta]) -> tuple[Stated, ...]:
    """Return what the study states of any of these variants."""
    found = []
    for delta in deltas:
        model, _, bits = delta.variant.partition(" ")
        entry = catalog.MODELS.get(model)
        if entry is None or bits.split(" ")[0] != BITS:
            continue
        measured = {"ap_out": delta.ap_out_mean, "top1": delta.top1}
        found += [
            Stated(delta.variant, entry.stands_for, measure, stated, loss)
            for measure, stated in entry.stated.items()
            if (loss := measured[measure]) is not None
        ]
    return tuple(found)


def order_holds(rows: Iterable[Stated]) -> str:
    """Say whether models pretrained on more classes lost more, as the study found; empty if untold."""
    lost = {row.variant.split(" ")[0]: row.measured for row in rows if row.measure == "ap_out"}
    told = []
    for family, label in (("vit", "ViT-S"), ("deit3", "DeiT3-S")):
        of_family = [m for m in catalog.MODELS.values() if m.family == family and m.name in lost]
        by_pretraining = {model.pretraining: lost[model.name] for model in of_family}
        small, large = by_pretraining.get("ImageNet-1k"), by_pretraining.get("ImageNet-22k")
        if small is not None and large is not None:
            verb = "more" if large.value > small.value else "no more"
            overlap = large.low <= small.high and small.low <= large.high
            told.append(
                f"{label} pretrained on ImageNet-22k lost {verb} than on ImageNet-1k "
                f"({large.value * 100:+.1f} against {small.value * 100:+.1f} points"
                f"{', intervals overlap' if overlap else ''})"
            )
    return "; ".join(told)
