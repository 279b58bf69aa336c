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

    def detection(self, scores: Floats, weights: Weights, *, whole: bool = False) -> dict[str, Floats]:
        """Return measures of every resample by the names in Detection, (resamples + 1,) each.

        AUROC and average precision with OOD positive; if `whole`, all that depend on ranks alone.
        """
        scores = np.asarray(scores, np.float64)
        order = np.argsort(-scores, kind="stable")
        descending, weights = scores[order], weights[:, order]
        total = self.below[:, -1:]
        lower = self.below[:, np.searchsorted(self.ascending, descending, "left")]
        lower_or_tied = self.below[:, np.searchsorted(self.ascending, descending, "right")]
        above = np.zeros((len(weights), len(scores) + 1), np.float32)
        np.cumsum(weights, axis=1, out=above[:, 1:])
        ood = above[:, np.searchsorted(-descending, -descending, "right")]
        positives, negatives = above[:, -1].astype(np.float64), total[:, 0].astype(np.float64)
        precision = _ratio(ood, total - lower)
        wins = np.einsum("bn,bn->b", weights, (lower + lower_or_tied) / 2, dtype=np.float64)
        found = {
            "auroc": wins / (positives * negatives),
            "ap_out": np.einsum("bn,bn->b", weights, precision, dtype=np.float64) / positives,
        }
        if whole:
            before = above[:, np.searchsorted(-descending, -descending, "left")]
            steps = (precision + _ratio(before, total - lower_or_tied, at_start=1.0)) / 2
            found["aupr_out_trapezoid"] = np.einsum("bn,bn->b", weights, steps, dtype=np.float64) / positives
            at = np.argmax(ood >= 0.95 * positives[:, None] - 1e-3, axis=1)
            found["fpr95_ood_positive"] = 1 - _pick(lower, at) / negatives
            found |= self._id_positive(-descending, above, positives)
        return found

    def _id_positive(self, negated: Floats, above: Weights, positives: Floats) -> dict[str, Floats]:
        """Return what has ID as the positive class: precision and recall from the smallest score up.

        `negated` are the OOD scores from the largest down, times -1; `above` (resamples + 1, n_ood + 1)
        counts the OOD images above each.
        """
        ends = np.searchsorted(self.ascending, self.ascending, "right")
        starts = np.searchsorted(self.ascending, self.ascending, "left")
        weights, total = np.diff(self.below, axis=1), above[:, -1:]
        negatives = self.below[:, -1].astype(np.float64)
        id_seen = self.below[:, ends]
        # OOD images at or below an ID score, and below it.
        ood_seen = total - above[:, np.searchsorted(negated, -self.ascending, "left")]
        ood_before = total - above[:, np.searchsorted(negated, -self.ascending, "right")]
        precision = _ratio(id_seen, ood_seen)
        steps = (precision + _ratio(self.below[:, starts], ood_before, at_start=1.0)) / 2
        at = np.argmax(id_seen >= 0.95 * negatives[:, None] - 1e-3, axis=1)
        return {
            "ap_in": np.einsum("bn,bn->b", weights, precision, dtype=np.float64) / negatives,
            "aupr_in_trapezoid": np.einsum("bn,bn->b", weights, steps, dtype=np.float64) / negatives,
            "fpr95_id_positive": _pick(ood_seen, at) / positives,
        }


def _ratio(part: Weights, rest: Weights, at_start: float = 0.0) -> Weights:
    """Return part / (part + rest); where nothing is seen yet, `at_start`."""
    seen = part + rest
    share: Weights = np.divide(part, seen, out=np.full_like(seen, at_start), where=seen > 0)
    return share


def _pick(values: Weights, at: NDArray[np.int64]) -> Floats:
    return values[np.arange(len(values)), at].astype(np.float64)


def mean_under_weights(values: Floats, weights: Weights) -> Floats:
    """Return the weighted mean of `values` (n,) in every resample."""
    means: Floats = (weights @ values) / weights.sum(1)
    return means
