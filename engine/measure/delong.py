"""DeLong's variance of AUROC, and the test of a difference between two scores on the same images.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988; in O(n log n) by midranks as Sun & Xu, "Fast
Implementation of DeLong's Algorithm", IEEE Signal Processing Letters 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.measure.detection import Floats, check_scores
from engine.measure.significance import NORMAL, two_sided


class Estimate(NamedTuple):
    """A value with its standard error, an interval at a level and a p-value."""

    value: float
    error: float
    low: float
    high: float
    p: float


class Placements(NamedTuple):
    """For every image the share of the other set that it is correctly ranked against; ties count one half."""

    ood: Floats
    id: Floats

    @property
    def auroc(self) -> float:
        """Return their mean, which is the AUROC."""
        return float(self.ood.mean())


def placements(id_scores: Floats, ood_scores: Floats) -> Placements:
    """Return the placement values of scores (n_id,) and (n_ood,); raise MeasureError for NaN or no scores."""
    check_scores(id_scores, ood_scores)
    return Placements(_share_below(ood_scores, id_scores), 1 - _share_below(id_scores, ood_scores))


def auroc_interval(id_scores: Floats, ood_scores: Floats, level: float = 0.95) -> Estimate:
    """Return AUROC with its interval, made on the logit scale so that it stays inside [0, 1].

    Near 0 and 1 the plain interval is too short (Pepe, "The Statistical Evaluation of Medical Tests",
    2003, section 5.2.4). `p` tests an AUROC of one half. An AUROC of exactly 0 or 1 has a standard error
    of 0; its interval is then the exact one of the smaller set (the rule of three), and it has no p.
    """
    placed = placements(id_scores, ood_scores)
    value, error = placed.auroc, math.sqrt(_variance_of_mean(placed.ood) + _variance_of_mean(placed.id))
    if not 0 < value < 1:
        reach = 1 - (1 - level) ** (1 / min(len(placed.ood), len(placed.id)))
        low, high = (1 - reach, 1.0) if value == 1 else (0.0, reach)
        return Estimate(value, error, low, high, math.nan)
    centre, spread = math.log(value / (1 - value)), error / (value * (1 - value))
    reach = NORMAL.inv_cdf(0.5 + level / 2) * spread
    low, high = _logistic(centre - reach), _logistic(centre + reach)
    return Estimate(value, error, low, high, two_sided(value - 0.5, error))


def auroc_difference(one: Placements, other: Placements, level: float = 0.95) -> Estimate:
    """Return the difference of two AUROCs on the same images, with interval and p-value of no difference."""
    return mean_difference([(one, other)], level)


def mean_difference(pairs: Sequence[tuple[Placements, Placements]], level: float = 0.95) -> Estimate:
    """Return the mean over OOD sets of the difference of two AUROCs, the ID images being the same for all.

    The mean's influence of an ID image is the mean of its influences; the OOD sets are independent.
    """
    value = sum(one.auroc - other.auroc for one, other in pairs) / len(pairs)
    id_side = np.mean([one.id - other.id for one, other in pairs], axis=0)
    ood = sum(_variance_of_mean(one.ood - other.ood, 1.0) for one, other in pairs) / len(pairs) ** 2
    error = math.sqrt(_variance_of_mean(id_side, 1.0) + ood)
    reach = NORMAL.inv_cdf(0.5 + level / 2) * error
    return Estimate(value, error, max(value - reach, -1.0), min(value + reach, 1.0), two_sided(value, error))


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    share: Floats = (left + right) / (2 * len(others))
    return share


def _variance_of_mean(values: Floats, most: float = 0.25) -> float:
    """Return the variance of a mean; a single value counts with the most it can have, 1 / 4 for a share."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else most


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
