"""Means over OOD sets and over models: what they are of, and in which words; one rule for all who show one.

An OOD set is in means and deltas if it has at least `LEAST` images, and so has the ID set.
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
    """Return the sets that a mean is over, including those without a value."""
    return [cell for cell in cells if takes_part(cell.n_id, cell.n_ood)]


def takes_part(n_id: int, n_ood: int) -> bool:
    """Return whether a set with this many images, and this many ID images, is in means and deltas."""
    return min(n_id, n_ood) >= LEAST


def mean_over_sets(cells: Iterable[Kind], measure: str) -> float | None:
    """Return the mean of a measure over the sets that are in it; None where one of them has no value."""
    values = [cell.value(measure) for cell in in_mean(cells)]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def at_bits(deltas: Iterable[VariantDelta], bits: str) -> list[VariantDelta]:
    """Return the variants that the mean at a bit setting is over: models, and their draws."""
    return [delta for delta in deltas if str(VariantId.parse(delta.variant).bits) == bits]


def models_at_bits(deltas: Iterable[VariantDelta], bits: str) -> tuple[str, ...]:
    """Return the models that the mean at a bit setting is over."""
    return tuple(dict.fromkeys(VariantId.parse(delta.variant).model for delta in at_bits(deltas, bits)))


def models_in_words(deltas: Iterable[VariantDelta], bits: str) -> str:
    """Return in words over how many models the mean at a bit setting is."""
    return counted(len(models_at_bits(deltas, bits)), "model")


def sets_in_words(deltas: Iterable[VariantDelta], planned: Sequence[str]) -> str:
    """Return in words over how many OOD sets means are, and out of how many if some are in none."""
    over = {name for delta in deltas for name in delta.main.sets}
    count = sum(name in over for name in planned)
    if count < len(planned):
        return f"{count} of {counted(len(planned), 'OOD set')}"
    return counted(count, "OOD set")
