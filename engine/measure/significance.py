"""Is it more than chance? McNemar for accuracy, Holm for many tests, intervals for many looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

NORMAL = NormalDist()
MOST_EXACT = 1000  # images on which two models differ, up to which McNemar's test is exact
ALPHA = 0.05


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the p-value of two models being right equally often, from which of them is right on each image.

    McNemar, Psychometrika 1947: exact and two-sided where few images differ, else with Edwards's
    correction for continuity.
    """
    only_one, only_other = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    differ, fewer = only_one + only_other, min(only_one, only_other)
    if differ == 0:
        return 1.0
    if differ <= MOST_EXACT:
        tail = sum(math.comb(differ, k) for k in range(fewer + 1))
        return min(1.0, float(2 * tail / 2**differ))
    return 2 * NORMAL.cdf(-max(abs(only_one - only_other) - 1, 0) / math.sqrt(differ))


def two_sided(value: float, error: float) -> float:
    """Return the p-value of an estimate being 0, by its standard error."""
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return 2 * NORMAL.cdf(-abs(value) / error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that all tests together err with their level (Holm, 1979).

    NaN stays NaN and counts as no test.
    """
    adjusted = [math.nan] * len(p_values)
    tests = sorted((p, position) for position, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, position) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[position] = largest
    return adjusted


def sequential_reach(n: int, planned: int, alpha: float = ALPHA) -> float:
    """Return how many standard errors an interval must reach to hold at all looks together.

    An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform
    central limit theory and asymptotic confidence sequences", Annals of Statistics 2024, theorem 2.2):
    you may look after any number of images `n`, and stop because of what you see. It is tightest near
    `planned` images, where it reaches about 3.04 standard errors at 95 % instead of 1.96.
    """
    rho = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / max(planned, 1)
    seen = max(n, 1) * rho
    return math.sqrt(2 * (seen + 1) / seen * math.log(math.sqrt(seen + 1) / alpha))
