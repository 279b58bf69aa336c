"""OOD detection measures. OOD is the positive class; a larger score looks more out-of-distribution.

Every measure treats equal scores as one threshold, so none depends on the order of the images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import MeasureError

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """Images at or above each distinct score, from the largest score down."""

    ood: Floats
    id: Floats


class Detection(NamedTuple):
    """All measures of one pair of score sets, as fractions."""

    n_id: int
    n_ood: int
    auroc: float
    ap_out: float
    ap_in: float
    aupr_out_trapezoid: float
    aupr_in_trapezoid: float
    fpr95_ood_positive: float
    fpr95_id_positive: float
    detection_error: float
    partial_auroc: float


def detection(id_scores: Floats, ood_scores: Floats) -> Detection:
    """Measure how well a score tells OOD images (n_ood,) from ID images (n_id,).

    Raises MeasureError for an empty set or NaN. Infinite scores are ranked like any other.
    """
    counts = count(id_scores, ood_scores)
    flipped = count(-np.asarray(ood_scores), -np.asarray(id_scores))
    return Detection(
        len(id_scores),
        len(ood_scores),
        auroc(counts),
        average_precision(counts),
        average_precision(flipped),
        trapezoid_pr(counts),
        trapezoid_pr(flipped),
        fpr_at_tpr(counts),
        fpr_at_tpr(flipped),
        detection_error(counts),
        partial_auroc(counts),
    )


def count(negative: Floats, positive: Floats) -> Counts:
    """Count positives and negatives at or above each distinct score; raise MeasureError."""
    check_scores(negative, positive)
    scores = np.concatenate([positive, negative])
    is_positive = np.arange(len(scores)) < len(positive)
    order = np.argsort(-scores, kind="stable")
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


def auroc(counts: Counts) -> float:
    """Return the area under the ROC curve; ties count one half (Mann-Whitney U)."""
    fpr, tpr = roc(counts)
    return float(np.trapezoid(tpr, fpr))


def roc(counts: Counts) -> tuple[Floats, Floats]:
    """Return the false and true positive rates, from (0, 0) to (1, 1)."""
    fpr = np.append(0.0, counts.id / counts.id[-1])
    tpr = np.append(0.0, counts.ood / counts.ood[-1])
    return fpr, tpr


def average_precision(counts: Counts) -> float:
    """Return the sum of precision times the step in recall (as scikit-learn defines it)."""
    precision = counts.ood / (counts.ood + counts.id)
    recall = counts.ood / counts.ood[-1]
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def trapezoid_pr(counts: Counts) -> float:
    """Return the area under the linearly joined precision-recall curve, from precision 1 at recall 0.

    OpenOOD and pytorch-ood report this. With ties it is too large: constant scores give
    (1 + prevalence) / 2 where average precision gives the prevalence.
    """
    precision = np.append(1.0, counts.ood / (counts.ood + counts.id))
    recall = np.append(0.0, counts.ood / counts.ood[-1])
    return float(np.trapezoid(precision, recall))


def fpr_at_tpr(counts: Counts, rate: float = 0.95) -> float:
    """Return the false positive rate at the first threshold whose true positive rate is `rate` or more."""
    at = int(np.argmax(counts.ood >= rate * counts.ood[-1] - 1e-9))
    return float(counts.id[at] / counts.id[-1])


def detection_error(counts: Counts) -> float:
    """Return the least mean of both error rates over all thresholds (Liang et al., "ODIN", ICLR 2018)."""
    fpr, tpr = roc(counts)
    return float(np.min((fpr + 1 - tpr) / 2))


def partial_auroc(counts: Counts, most: float = 0.05) -> float:
    """Return the area under the ROC curve up to a false positive rate, scaled so that chance is one half.

    McClish, "Analyzing a Portion of the ROC Curve", Medical Decision Making 1989, as scikit-learn has it.
    """
    fpr, tpr = roc(counts)
    inside = fpr <= most
    rates = np.append(fpr[inside], most)
    area = np.trapezoid(np.append(tpr[inside], np.interp(most, fpr, tpr)), rates)
    least = most**2 / 2
    return float((1 + (area - least) / (most - least)) / 2)


def precision_recall(counts: Counts) -> tuple[Floats, Floats]:
    """Return recall and precision at every threshold, from the largest score down."""
    return counts.ood / counts.ood[-1], counts.ood / (counts.ood + counts.id)


def thin(fpr: Floats, tpr: Floats, points: int = 128) -> tuple[Floats, Floats]:
    """Return at most `points` points of a curve, evenly spaced along fpr + tpr, both ends kept."""
    if len(fpr) <= points:
        return fpr, tpr
    length = fpr + tpr
    wanted = np.linspace(0.0, length[-1], points)
    keep = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(fpr) - 1))
    keep[0], keep[-1] = 0, len(fpr) - 1
    return fpr[keep], tpr[keep]
