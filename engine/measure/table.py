"""From rows to tables: what every variant scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.errors import MeasureError
from engine.measure.detection import Detection, count, detection, roc, thin
from engine.measure.pair import PairMeasures
from engine.measure.reliability import (
    adaptive_calibration_error,
    area_under_risk_coverage,
    expected_calibration_error,
)
from engine.plan.variants import Column
from engine.protocol.events import Cell, Curve, Measured
from engine.session.arrays import FinishedRows

LEAST_FOR_TOP5 = 10  # classes
DIGITS = 7


def measure_variant(rows: FinishedRows, column: Column, scores: Iterable[str], classes: int) -> Measured:
    """Measure detection for each score and OOD set, and accuracy and calibration on images with a label."""
    rank = rows.values("rank", column, 0)
    labelled = rank >= 0
    cells = tuple(
        measure_cell(rows, column, score, which_set)
        for score in scores
        for which_set in range(1, len(rows.of_set))
    )
    found: dict[str, float | None] = {"top1": None, "top5": None, "nll": None}
    if labelled.any():
        right = rank[labelled] == 0
        nll, brier = (rows.values(name, column, 0)[labelled] for name in ("nll", "brier"))
        found |= {name: _number(np.mean(x)) for name, x in (("top1", right), ("nll", nll), ("brier", brier))}
        if classes >= LEAST_FOR_TOP5:
            found["top5"] = _number(np.mean(rank[labelled] < 5))
        confidence = -rows.values("msp", column, 0)[labelled]
        if np.isfinite(confidence).all():
            found["ece"] = _number(expected_calibration_error(confidence, right))
            found["ece_adaptive"] = _number(adaptive_calibration_error(confidence, right))
            found["aurc"] = _number(area_under_risk_coverage(confidence, right))
    return Measured(rows.count, rows.plan.variants()[column].key, cells=cells, **found)


def measure_cell(rows: FinishedRows, column: Column, score: str, which_set: int) -> Cell:
    """Measure how well one score of one variant detects one OOD set."""
    id_scores, ood_scores = (rows.values(score, column, which) for which in (0, which_set))
    name = rows.plan.ood_sets[which_set - 1]
    try:
        found = detection(id_scores, ood_scores)
    except MeasureError as error:
        return Cell(name, score, len(id_scores), len(ood_scores), problem=str(error))
    return cell_of(name, score, found)


def cell_of(name: str, score: str, found: Detection | PairMeasures, problem: str = "") -> Cell:
    """Return as the journal has it what was measured, or why it was not."""
    return Cell(
        name,
        score,
        found.n_id,
        found.n_ood,
        auroc=_number(found.auroc),
        ap_out=_number(found.ap_out),
        ap_in=_number(found.ap_in),
        fpr95_ood_positive=_number(found.fpr95_ood_positive),
        fpr95_id_positive=_number(found.fpr95_id_positive),
        problem=problem,
    )


def draw_curve(
    rows: FinishedRows, column: Column, score: str, which_set: int, points: int, decimals: int = 4
) -> Curve | None:
    """Return the thinned ROC curve of one cell, or None where it has no value."""
    try:
        counts = count(*(rows.values(score, column, which) for which in (0, which_set)))
    except MeasureError:
        return None
    fpr, tpr = thin(*roc(counts), points)
    name = rows.plan.ood_sets[which_set - 1]
    return Curve(name, tuple(np.round(fpr, decimals).tolist()), tuple(np.round(tpr, decimals).tolist()))


def _number(value: float | np.floating[Any] | None) -> float | None:
    if value is None:
        return None
    number = float(value)
    return round(number, DIGITS) if np.isfinite(number) else None
