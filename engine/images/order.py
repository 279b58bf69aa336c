"""The order of a sweep: every set equally far along at every row, classes in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
HELD_OUT, HELD_OUT_SEED = 0.1, 20260201


def draw(labels: Indices, count: int, seed: int) -> Indices:
    """Draw `count` images of a set in a seeded order in which every prefix is balanced over labels.

    A smaller subset with the same seed is a prefix of a larger one.
    """
    shuffled = np.argsort(np.random.Generator(np.random.PCG64(seed)).random(len(labels)), kind="stable")
    by_label = np.argsort(labels[shuffled], kind="stable")
    _, sizes = np.unique(labels, return_counts=True)
    if len(sizes) == 1:
        return shuffled[:count]
    turn = np.empty(len(labels), np.int64)
    turn[by_label] = np.concatenate([np.arange(size) for size in sizes])
    return shuffled[np.argsort(turn, kind="stable")][:count]


def hold_out(labels: Indices) -> tuple[Indices, Indices]:
    """Split a set into images that are evaluated and a tenth, balanced over labels, that is held out.

    The split is the same for every plan, whatever its seed. OpenOOD holds out as much of ImageNet's
    validation images.
    """
    count = round(len(labels) * HELD_OUT)
    held = draw(labels, count, HELD_OUT_SEED)
    evaluated = np.setdiff1d(np.arange(len(labels)), held)
    return evaluated, np.sort(held)


def interleave(sizes: list[int]) -> tuple[Indices, Indices]:
    """Interleave sets of some sizes in proportion: return for every row its set and place in that set."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    due = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    order = np.lexsort((which, due))
    return which[order], place[order]
