"""Paired bootstrap: both models are measured on the same resampled images.

Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3 (percentile interval).
Images are resampled within the ID set and within each OOD set, so prevalence never changes; the ID
images are resampled once for all OOD sets, variants and models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.measure.detection import Floats

Weights = NDArray[np.float32]


def resample(n: int, resamples: int, random: np.random.Generator) -> Weights:
    """Draw how often each of `n` images is in each resample: (resamples + 1, n), row 0 all ones."""
    draws = random.integers(0, n, (resamples, n)) + np.arange(resamples)[:, None] * n
    counts = np.bincount(draws.ravel(), minlength=resamples * n).reshape(resamples, n)
    return np.concatenate([np.ones((1, n), np.float32), counts.astype(np.float32)])


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled values (resamples + 1,), whose first is the estimate."""
    tail = (1 - level) / 2
    low, high = np.quantile(values[1:], (tail, 1 - tail))
    return float(low), float(high)


class ResampledId:
    """The ID side of every comparison: sorted once, shared by all OOD sets of a variant."""

    def __init__(self, scores: Floats, weights: Weights) -> None:
        scores = np.asarray(scores, np.float64)
        order = np.argsort(scores, kind="stable")
        self.ascending = scores[order]
        # Counts stay below 2**24, where float32 holds every whole number.
        self.below = np.zeros((len(weights), len(scores) + 1), np.float32)
        np.cumsum(weights[:, order], axis=1, out=self.below[:, 1:])

    def passed(self, scores: Floats) -> tuple[Weights, Weights]:
        """Count the ID images below each of `scores`, and below or tied with it: (resamples + 1, n) each."""
        lower: Weights = self.below[:, np.searchsorted(self.ascending, scores, "left")]
        lower_or_tied: Weights = self.below[:, np.searchsorted(self.ascending, scores, "right")]
        return lower, lower_or_tied


class ResampledPair:
    """One OOD set beside the ID set in every resample: (resamples + 1, n_ood), the largest score first.

    `lower` and `lower_or_tied` count the ID images below each OOD image, `ood` the OOD images at or above
    it; `positives` and `negatives` count the OOD and ID images, and are (resamples + 1,).
    """

    def __init__(self, id_side: ResampledId, scores: Floats, weights: Weights) -> None:
        scores = np.asarray(scores, np.float64)
        order = np.argsort(-scores, kind="stable")
        descending, self.weights, self.id_side = scores[order], weights[:, order], id_side
        self.negated = -descending
        self.lower, self.lower_or_tied = id_side.passed(descending)
        self.above = np.zeros((len(weights), len(scores) + 1), np.float32)
        np.cumsum(self.weights, axis=1, out=self.above[:, 1:])
        self.ood = self.above[:, np.searchsorted(self.negated, self.negated, "right")]
        self.positives = self.above[:, -1].astype(np.float64)
        self.negatives = id_side.below[:, -1].astype(np.float64)


def auroc(pair: ResampledPair) -> Floats:
    """Return the AUROC of every resample."""
    halves = (pair.lower + pair.lower_or_tied) / 2
    wins: Floats = np.einsum("bn,bn->b", pair.weights, halves, dtype=np.float64)
    share: Floats = wins / (pair.positives * pair.negatives)
    return share


def average_precision_out(pair: ResampledPair) -> Floats:
    """Return average precision, OOD positive, of every resample."""
    precision = _ratio(pair.ood, pair.id_side.below[:, -1:] - pair.lower)
    total: Floats = np.einsum("bn,bn->b", pair.weights, precision, dtype=np.float64)
    return total / pair.positives


def average_precision_in(pair: ResampledPair) -> Floats:
    """Return average precision, ID positive and scores negated, of every resample."""
    below, ascending = pair.id_side.below, pair.id_side.ascending
    id_seen = below[:, np.searchsorted(ascending, ascending, "right")]
    # OOD images at or below each ID score.
    ood_seen = pair.above[:, -1:] - pair.above[:, np.searchsorted(pair.negated, -ascending, "left")]
    precision, weights = _ratio(id_seen, ood_seen), np.diff(below, axis=1)
    total: Floats = np.einsum("bn,bn->b", weights, precision, dtype=np.float64)
    return total / pair.negatives


def fpr_ood_positive(pair: ResampledPair, rate: float) -> Floats:
    """Return the share of ID images flagged where `rate` of the OOD images are, of every resample."""
    at = np.argmax(pair.ood >= rate * pair.positives[:, None] - 1e-3, axis=1)
    passed = pair.lower[np.arange(len(at)), at].astype(np.float64)
    flagged: Floats = 1 - passed / pair.negatives
    return flagged


def _ratio(part: Weights, rest: Weights) -> Weights:
    """Return part / (part + rest), 0 where nothing is seen yet."""
    seen = part + rest
    share: Weights = np.divide(part, seen, out=np.zeros_like(seen), where=seen > 0)
    return share


def mean_under_weights(values: Floats, weights: Weights) -> Floats:
    """Return the weighted mean of `values` (n,) in every resample."""
    means: Floats = (weights @ values) / weights.sum(1)
    return means
