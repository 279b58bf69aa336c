"""DeLong's variance of AUROC, and the test of a difference between two scores on the same images.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988; in O(n log n) by midranks as Sun & Xu, "Fast
Implementation of DeLong's Algorithm", IEEE Signal Processing Letters 2014.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from engine.measure.detection import Floats, check_scores

NORMAL = NormalDist()


class Estimate(NamedTuple):
    """A value with its standard error, an interval at a level and the p-value of its being `null`."""

    value: float
    error: float
    low: float
    high: float
    p: float


class Placements(NamedTuple):
    """For every image the share of the other set that it is ranked rightly against; ties count one half."""

    ood: Floats
    id: Floats

    @property
    def auroc(self) -> float:
        """Return their mean, which is the AUROC."""
        return float(self.ood.mean())


def placements(id_scores: Floats, ood_scores: Floats) -> Placements:
    """Return the placement values of scores (n_id,) and (n_ood,); raise MeasureError for NaN or nothing."""
    check_scores(id_scores, ood_scores)
    return Placements(_share_below(ood_scores, id_scores), 1 - _share_below(id_scores, ood_scores))


def auroc_interval(id_scores: Floats, ood_scores: Floats, level: float = 0.95) -> Estimate:
    """Return AUROC with its interval, made on the logit scale so that it stays inside [0, 1].

    Near 0 and 1 the plain interval is too short (Pepe, "The Statistical Evaluation of Medical Tests",
    2003, section 5.2.4). `p` is of an AUROC of one half. An AUROC of exactly 0 or 1 has a standard error
    of 0; its interval is then that of Newcombe for the smaller set (the rule of three).
    """
    found = placements(id_scores, ood_scores)
    value, error = found.auroc, math.sqrt(_variance(found, found))
    if not 0 < value < 1:
        reach = 1 - (1 - level) ** (1 / min(len(found.ood), len(found.id)))
        low, high = (1 - reach, 1.0) if value == 1 else (0.0, reach)
        return Estimate(value, error, low, high, _p_value(value - 0.5, error))
    centre, spread = math.log(value / (1 - value)), error / (value * (1 - value))
    reach = NORMAL.inv_cdf(0.5 + level / 2) * spread
    low, high = _logistic(centre - reach), _logistic(centre + reach)
    return Estimate(value, error, low, high, _p_value(value - 0.5, error))


def auroc_difference(one: Placements, other: Placements, level: float = 0.95) -> Estimate:
    """Return the difference of two AUROCs on the same images, with interval and p-value of no difference."""
    value = one.auroc - other.auroc
    variance = _variance(one, one) + _variance(other, other) - 2 * _variance(one, other)
    error = math.sqrt(max(variance, 0.0))
    reach = NORMAL.inv_cdf(0.5 + level / 2) * error
    return Estimate(value, error, max(value - reach, -1.0), min(value + reach, 1.0), _p_value(value, error))


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    share: Floats = (left + right) / (2 * len(others))
    return share


def _variance(one: Placements, other: Placements) -> float:
    """Return the covariance of two AUROCs; of a single image there is none, which counts as the most, 1/4."""
    total = 0.0
    for a, b in ((one.ood, other.ood), (one.id, other.id)):
        total += float(np.cov(a, b)[0, 1]) / len(a) if len(a) > 1 else 0.25
    return total


def _p_value(value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return 2 * NORMAL.cdf(-abs(value) / error)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
