"""The order of a sweep: every set equally far along at every moment, classes in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def draw(labels: Indices, count: int, seed: int) -> Indices:
    """Choose `count` images of a set in a seeded order whose every prefix is balanced over labels.

    A smaller subset with the same seed is a prefix of a larger one.
    """
    shuffled = np.argsort(np.random.Generator(np.random.PCG64(seed)).random(len(labels)), kind="stable")
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        turn[members] = np.arange(len(members))
    if len(np.unique(labels)) == 1:
        return shuffled[:count]
    return shuffled[np.argsort(turn, kind="stable")][:count]


def interleave(sizes: list[int]) -> tuple[Indices, Indices]:
    """Mix sets of the given sizes in fixed proportions: for every row its set and its place in that set."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    due = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    order = np.lexsort((which, due))
    return which[order], place[order]
