"""The kinds of curve that the curve pane draws: a title, axes, and the function that computes the points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.measure import detection
from engine.measure.measures import AP_OUT
from qood_tui.plot.curve import Axes, Floats

LEAST_RATE = 1e-3  # where the logarithmic axis begins
SHARES = ((0.0, "0"), (0.25, ".25"), (0.5, ".5"), (0.75, ".75"), (1.0, "1"))
POWERS = ((-3.0, "0.001"), (-2.0, "0.01"), (-1.0, "0.1"), (0.0, "1"))


class CurvePoints(NamedTuple):
    """Points of a curve, each coordinate (n,), and the area under it."""

    x: Floats
    y: Floats
    area: float


class CurveKind(NamedTuple):
    """One way to draw how well a score tells OOD from ID images; `area` is the measure in the legend."""

    title: str
    area: str
    axes: Axes
    compute: Callable[[Floats, Floats], CurvePoints]  # from the scores of ID and of OOD images
    is_journaled: bool = False  # the journal holds a thinned copy, for sessions without score arrays


def roc(id_scores: Floats, ood_scores: Floats) -> CurvePoints:
    """Return the ROC curve; raise MeasureError for an empty set or NaN."""
    counts = detection.count(id_scores, ood_scores)
    fpr, tpr = detection.roc(counts)
    return CurvePoints(fpr, tpr, float(np.trapezoid(tpr, fpr)))


def precision_recall(id_scores: Floats, ood_scores: Floats) -> CurvePoints:
    """Return precision over recall, OOD positive; raise MeasureError for an empty set or NaN."""
    points = detection.precision_recall(detection.count(id_scores, ood_scores))
    return CurvePoints(*points, AP_OUT(id_scores, ood_scores))


ROC = CurveKind("ROC", "AUROC", Axes((0, 1), (0, 1), SHARES, SHARES), roc, is_journaled=True)
LOG_ROC = CurveKind(
    "ROC, logarithmic",
    "AUROC",
    Axes((math.log10(LEAST_RATE), 0), (0, 1), POWERS, SHARES, logarithmic=True),
    roc,
    is_journaled=True,
)
PRECISION_RECALL = CurveKind(
    "Precision-recall", "AUPR-out", Axes((0, 1), (0, 1), SHARES, SHARES, corner="left"), precision_recall
)
KINDS: tuple[CurveKind, ...] = (ROC, LOG_ROC, PRECISION_RECALL)
