"""From rows to tables: what every variant scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from engine.errors import MeasureError
from engine.measure import measures
from engine.measure.detection import count, roc, thin
from engine.measure.measure import Labelled
from engine.measure.pair import PairMeasures
from engine.plan.variants import Column
from engine.protocol.events import Cell, Curve, Measured
from engine.session.arrays import FinishedRows

DIGITS = 7


def measure_variant(rows: FinishedRows, column: Column, scores: Iterable[str], classes: int) -> Measured:
    """Measure detection for each score and OOD set, and accuracy and calibration on images with a label."""
    cells = tuple(
        measure_cell(rows, column, score, which_set)
        for score in scores
        for which_set in range(1, len(rows.of_set))
    )
    values = measures.of_labelled(labelled(rows, column, classes))
    return Measured(rows.count, rows.plan.variants()[column].key, rounded(values), cells)


def labelled(rows: FinishedRows, column: Column, classes: int = 0) -> Labelled:
    """Return what a variant says of the ID images that have a label."""
    rank = rows.values("rank", column, 0)
    has_label = rank >= 0
    nll, brier, msp = (rows.values(name, column, 0)[has_label] for name in ("nll", "brier", "msp"))
    return Labelled(rank[has_label], nll, brier, -msp, classes)


def measure_cell(rows: FinishedRows, column: Column, score: str, which_set: int) -> Cell:
    """Measure how well one score of one variant detects one OOD set."""
    id_scores, ood_scores = (rows.values(score, column, which) for which in (0, which_set))
    values, problem = measures.of_scores(id_scores, ood_scores)
    name = rows.plan.ood_sets[which_set - 1]
    return Cell(name, score, len(id_scores), len(ood_scores), rounded(values), problem)


def cell_of(pair: PairMeasures) -> Cell:
    """Return measures in the form of the journal."""
    return Cell(pair.name, pair.score, pair.n_id, pair.n_ood, rounded(pair.values), pair.problem)


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


def rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return measures with the digits that a journal has, None for what is not finite."""
    return {
        name: None if value is None or not math.isfinite(value) else round(value, DIGITS)
        for name, value in values.items()
    }
