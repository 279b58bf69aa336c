"""How far a model's confidence can be trusted: calibration errors and selective prediction.

`confidence` (n,) is the maximum softmax probability, `right` (n,) whether the prediction is the label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.measure.bootstrap import ResampledId, Weights
from engine.measure.detection import Floats, last_of_ties

BINS = 15


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3; bins are (low, high].
    """
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def adaptive_calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean gap over bins with equally many images (Nguyen & O'Connor, EMNLP 2015).

    Images of equal confidence count with the mean of theirs, so that their order does not matter.
    """
    ordered, accuracy = _by_confidence(confidence, right)
    edges = np.linspace(0, len(ordered), bins + 1).round().astype(np.int64)
    sums = np.concatenate([[0.0], np.cumsum(accuracy - ordered)])
    return float(np.abs(np.diff(sums[edges])).sum() / len(ordered))


def area_under_risk_coverage(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Return the mean error rate among the k most confident images, over all k (AURC; 0 is best).

    Geifman, Uziel & El-Yaniv, ICLR 2019, equation 4; images of equal confidence count with
    the mean over all their orders.
    """
    _, accuracy = _by_confidence(confidence, right)
    wrong = np.cumsum(1 - accuracy)
    return float(np.mean(wrong / np.arange(1, len(wrong) + 1)))


def area_under_generalized_risk_coverage(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Return the mean share of images that are accepted and wrong, over all coverages (AUGRC; 0 is best).

    Traub et al., "Overcoming Common Flaws in the Evaluation of Selective Classification Systems", NeurIPS
    2024. It is the chance that a wrong image is at least as confident as another, ties counting
    one half: (1 - accuracy) * (accuracy * (1 - AUROC of confidence) + (1 - accuracy) / 2), at most 1/2.
    """
    _, accuracy = _by_confidence(confidence, right)
    risk = np.concatenate([[0.0], np.cumsum(1 - accuracy)]) / len(accuracy)
    return float(np.trapezoid(risk) / len(accuracy))


def resampled_augrc(confidence: Floats, right: NDArray[np.bool_], weights: Weights) -> Floats:
    """Return AUGRC in every resample, the share of pairs that a wrong image wins.

    `weights` (resamples + 1, n) say how often each image occurs in each.
    """
    images = ResampledId(confidence, weights)
    lower, lower_or_tied = images.passed(confidence)
    won: Floats = np.einsum("bn,bn->b", weights * ~right, (lower + lower_or_tied) / 2, dtype=np.float64)
    return won / images.below[:, -1].astype(np.float64) ** 2


def _by_confidence(confidence: Floats, right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return confidences from the largest down and the accuracy at each, ties sharing theirs."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    ends = last_of_ties(ordered)
    sizes = np.diff(ends, prepend=-1)
    sums = np.diff(np.cumsum(right[order])[ends], prepend=0)
    return ordered, np.repeat(sums / sizes, sizes)
