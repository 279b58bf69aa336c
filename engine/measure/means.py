"""Means over OOD sets and over models: of what they are, and how that is said; one rule for all who show one.

An OOD set is in a mean, and in a delta, with `LEAST` images or more, beside as many ID images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from engine.measure.pair import PairMeasures
from engine.plan.variants import VariantId
from engine.protocol.events import Cell, VariantDelta
from engine.text import counted

LEAST = 2  # images of the ID set, and of an OOD set


Kind = TypeVar("Kind", Cell, PairMeasures)


def in_mean(cells: Iterable[Kind]) -> list[Kind]:
    """Return the sets that a mean is over, those without a value too."""
    return [cell for cell in cells if takes_part(cell.n_id, cell.n_ood)]


def takes_part(n_id: int, n_ood: int) -> bool:
    """Return whether a set of so many images, beside so many ID images, is in means and deltas."""
    return min(n_id, n_ood) >= LEAST


def mean_over_sets(cells: Iterable[Kind], measure: str) -> float | None:
    """Return the mean of a measure over the sets that are in it; None where one of them has no value."""
    values = [cell.value(measure) for cell in in_mean(cells)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def at_bits(deltas: Iterable[VariantDelta], bits: str) -> list[VariantDelta]:
    """Return the variants that the mean at a bit setting is over: models, and their draws."""
    return [delta for delta in deltas if str(VariantId.parse(delta.variant).bits) == bits]


def models_at_bits(deltas: Iterable[VariantDelta], bits: str) -> tuple[str, ...]:
    """Return the models that the mean at a bit setting is over."""
    return tuple(dict.fromkeys(VariantId.parse(delta.variant).model for delta in at_bits(deltas, bits)))


def models_in_words(deltas: Iterable[VariantDelta], bits: str) -> str:
    """Say over how many models the mean at a bit setting is."""
    return counted(len(models_at_bits(deltas, bits)), "model")


def sets_in_words(deltas: Iterable[VariantDelta], planned: Sequence[str]) -> str:
    """Say over how many OOD sets means are, and of how many where some are in none."""
    over = {name for delta in deltas for name in delta.main.sets}
    count = sum(name in over for name in planned)
    if count < len(planned):
        return f"{count} of {counted(len(planned), 'OOD set')}"
    return counted(count, "OOD set")
