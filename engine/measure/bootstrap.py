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
        order = np.argsort(scores, kind="stable")
        self.ascending = scores[order]
        # Counts stay below 2**24, where float32 holds every whole number.
        self.below = np.zeros((len(weights), len(scores) + 1), np.float32)
        np.cumsum(weights[:, order], axis=1, out=self.below[:, 1:])

    def detection(self, scores: Floats, weights: Weights) -> tuple[Floats, Floats]:
        """Return AUROC and average precision of every resample, two arrays (resamples + 1,)."""
        order = np.argsort(-scores, kind="stable")
        descending, weights = scores[order], weights[:, order]
        total = self.below[:, -1:]
        lower = self.below[:, np.searchsorted(self.ascending, descending, "left")]
        lower_or_tied = self.below[:, np.searchsorted(self.ascending, descending, "right")]
        ood = np.cumsum(weights, axis=1)
        ood = ood[:, np.searchsorted(-descending, -descending, "right") - 1]
        positives = ood[:, -1].astype(np.float64)
        precision = np.divide(ood, ood + total - lower, out=np.zeros_like(ood), where=ood > 0)
        ap = np.einsum("bn,bn->b", weights, precision, dtype=np.float64) / positives
        wins = np.einsum("bn,bn->b", weights, (lower + lower_or_tied) / 2, dtype=np.float64)
        return wins / (positives * total[:, 0]), ap


def mean_under_weights(values: Floats, weights: Weights) -> Floats:
    """Return the weighted mean of `values` (n,) in every resample."""
    means: Floats = (weights @ values) / weights.sum(1)
    return means
