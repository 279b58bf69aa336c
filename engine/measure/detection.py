"""OOD detection measures. OOD is the positive class; a larger score looks more out-of-distribution.

Every measure treats equal scores as one threshold, so none depends on the order of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import MeasureError

Floats = NDArray[np.float64]
Counted = NDArray[np.int64]


class Counts(NamedTuple):
    """Images at or above each distinct score, from the largest score down."""

    ood: Floats
    id: Floats


def ranked(id_scores: Floats, ood_sets: Sequence[Floats]) -> list[Ranked]:
    """Rank OOD sets (n_ood,) against one ID set (n_id,), which is sorted once.

    Raises MeasureError for an empty set or NaN. Infinite scores are ranked like any other.
    """
    for ood_scores in ood_sets:
        check_scores(id_scores, ood_scores)
    ascending = np.sort(id_scores)
    ties = _ties(ascending)
    return [Ranked(ascending, ties, np.sort(ood_scores)) for ood_scores in ood_sets]


class Ranked:
    """Two sets of scores in ascending order, and how many images lie below, at and above each score.

    An OOD image's `lower` and `upper` count the ID images below it, and below or tied with it; for an ID
    image they count OOD images. `first` and `after` are where an image's own ties begin and end.
    """

    def __init__(self, id_scores: Floats, id_ties: tuple[Counted, Counted], ood_scores: Floats) -> None:
        self.n, self.m = len(id_scores), len(ood_scores)
        self.id_first, self.id_after = id_ties
        self.ood_lower = np.searchsorted(id_scores, ood_scores, "left")
        self.ood_upper = self.ood_lower.copy()
        tied = id_scores.take(self.ood_lower, mode="clip") == ood_scores
        self.ood_upper[tied] = self.id_after[self.ood_lower[tied]]
        # An OOD image is at or below the j-th ID image exactly if at most j ID images are below it.
        self.id_upper = np.cumsum(np.bincount(self.ood_lower, minlength=self.n + 1))[: self.n]
        self.id_lower = np.cumsum(np.bincount(self.ood_upper, minlength=self.n + 1))[: self.n]
        self.ood_first, self.ood_after = _ties(ood_scores)

    @cached_property
    def ood_here(self) -> Counted:
        """Count the OOD images at or above each OOD image."""
        return self.m - self.ood_first

    @cached_property
    def id_here(self) -> Counted:
        """Count the ID images at or above each OOD image."""
        return self.n - self.ood_lower

    @cached_property
    def precision_out(self) -> Floats:
        """Return the precision of flagging everything from each OOD image up."""
        precision: Floats = self.ood_here / (self.ood_here + self.id_here)
        return precision

    @cached_property
    def precision_in(self) -> Floats:
        """Return the precision of accepting everything from each ID image down."""
        precision: Floats = self.id_after / (self.id_after + self.id_upper)
        return precision


def auroc(r: Ranked) -> float:
    """Return the share of pairs in which the OOD image scores higher; ties count one half."""
    return float((r.ood_lower + r.ood_upper).sum() / (2 * r.n * r.m))


def average_precision_out(r: Ranked) -> float:
    """Return average precision with OOD positive, as scikit-learn defines it."""
    return float(r.precision_out.mean())


def average_precision_in(r: Ranked) -> float:
    """Return average precision with ID positive and scores negated."""
    return float(r.precision_in.mean())


def trapezoid_out(r: Ranked) -> float:
    """Return the area under the linearly joined precision-recall curve, OOD positive."""
    return _trapezoid(r.precision_out, r.m - r.ood_after, r.n - r.ood_upper)


def trapezoid_in(r: Ranked) -> float:
    """Return the area under the linearly joined precision-recall curve, ID positive."""
    return _trapezoid(r.precision_in, r.id_first, r.id_lower)


def _trapezoid(precision: Floats, positives_before: Counted, negatives_before: Counted) -> float:
    """Return the area under a linearly joined precision-recall curve, from precision 1 at recall 0.

    OpenOOD and pytorch-ood report this. With ties it is too large: constant scores give
    (1 + prevalence) / 2 where average precision gives the prevalence.
    """
    seen = positives_before + negatives_before
    before = np.divide(positives_before, seen, out=np.ones(len(seen)), where=seen > 0)
    return float((precision + before).mean() / 2)


def fpr_ood_positive(r: Ranked, rate: float) -> float:
    """Return the share of ID images flagged at the first threshold that catches `rate` of the OOD images."""
    return float(r.id_here[r.m - enough(r.m, rate)] / r.n)


def fpr_id_positive(r: Ranked, rate: float) -> float:
    """Return the share of OOD images accepted at the first threshold that accepts `rate` of the ID images."""
    return float(r.id_upper[enough(r.n, rate) - 1] / r.m)


def enough(n: int, rate: float) -> int:
    """Return how many of `n` images are `rate` of them or more."""
    return max(int(np.ceil(rate * n - 1e-9)), 1)


def detection_error(r: Ranked) -> float:
    """Return the smallest mean of both error rates over all thresholds (Liang et al., "ODIN", ICLR 2018)."""
    fpr, tpr = r.id_here / r.n, r.ood_here / r.m
    return min(0.5, float(np.min(fpr + 1 - tpr)) / 2)


def partial_auroc(r: Ranked, most: float = 0.05) -> float:
    """Return the area under the ROC curve up to a false positive rate, scaled so that chance is one half.

    McClish, "Analyzing a Portion of the ROC Curve", Medical Decision Making 1989, as scikit-learn has it.
    """
    limit = most * r.n
    # True positives where an ID image's ties begin, from above, and where they end.
    before, after = r.m - r.id_upper, r.m - r.id_lower
    whole = r.n - r.id_first <= limit
    area = float((before + after)[whole].sum()) / 2
    edge = r.n - 1 - int(limit)
    left = limit - (r.n - r.id_after[edge])  # how far the limit reaches into the ties at the edge
    slope = (after[edge] - before[edge]) / (r.id_after[edge] - r.id_first[edge])
    area += left * (before[edge] + slope * left / 2)
    share, least = area / (r.n * r.m), most**2 / 2
    return float((1 + (share - least) / (most - least)) / 2)


def _ties(ascending: Floats) -> tuple[Counted, Counted]:
    """Return for every image where the run of equal scores around it begins, and where it has ended."""
    ends = last_of_ties(ascending) + 1
    if len(ends) == len(ascending):
        return np.arange(len(ascending)), ends
    sizes = np.diff(ends, prepend=0)
    return np.repeat(ends - sizes, sizes), np.repeat(ends, sizes)


def count(negative: Floats, positive: Floats) -> Counts:
    """Count positives and negatives at or above each distinct score; raise MeasureError."""
    check_scores(negative, positive)
    scores = np.concatenate([positive, negative]).astype(np.float64)
    is_positive = np.arange(len(scores)) < len(positive)
    order = np.argsort(-scores)
    ends = last_of_ties(scores[order])
    above = np.cumsum(is_positive[order])[ends].astype(np.float64)
    return Counts(above, ends + 1 - above)


def check_scores(id_scores: Floats, ood_scores: Floats) -> None:
    """Raise MeasureError where a set is empty or holds NaN."""
    for name, scores in (("ID", id_scores), ("OOD", ood_scores)):
        if len(scores) == 0:
            raise MeasureError(f"the {name} set is empty")
        if missing := int(np.isnan(scores).sum()):
            raise MeasureError(f"{missing} of {len(scores)} {name} scores are NaN")


def last_of_ties(ordered: Floats) -> NDArray[np.int64]:
    """Return the last position of each run of equal values."""
    changes = ordered[1:] != ordered[:-1]
    return np.append(np.flatnonzero(changes), len(ordered) - 1)


def roc(counts: Counts) -> tuple[Floats, Floats]:
    """Return the false and true positive rates, from (0, 0) to (1, 1)."""
    fpr = np.append(0.0, counts.id / counts.id[-1])
    tpr = np.append(0.0, counts.ood / counts.ood[-1])
    return fpr, tpr


def precision_recall(counts: Counts) -> tuple[Floats, Floats]:
    """Return recall and precision, OOD positive, at every threshold from the largest score down."""
    return counts.ood / counts.ood[-1], counts.ood / (counts.ood + counts.id)


def thin(x: Floats, y: Floats, points: int = 128) -> tuple[Floats, Floats]:
    """Return at most `points` points of a curve, evenly along its length |dx| + |dy|, both ends kept."""
    if len(x) <= points:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0.0, length[-1], points)
    keep = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(x) - 1))
    keep[0], keep[-1] = 0, len(x) - 1
    return x[keep], y[keep]
