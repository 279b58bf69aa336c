"""ROC curves and histograms of the headline score, from the arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from engine.errors import MeasureError
from engine.measure.detection import Floats, count, roc, thin
from engine.plan.bits import Bits
from engine.plan.variants import Column, Variant
from engine.protocol.events import Curve
from engine.report.contents import ScoreHistogram
from engine.session.arrays import FinishedRows

POINTS = 64  # of a thinned curve: about one per millimetre on paper
BINS = 40
MIDDLE = (0.005, 0.995)  # the share of scores that the bins span

Whole = tuple[Floats, Floats]  # false and true positive rates at every threshold


def whole_curves(rows: FinishedRows, column: Column) -> dict[str, Whole]:
    """Return the ROC curves of one variant by OOD set, without those that have no value."""
    plan, curves = rows.plan, {}
    for at, name in enumerate(plan.ood_sets, start=1):
        try:
            curves[name] = roc(count(*(rows.values(plan.headline, column, which) for which in (0, at))))
        except MeasureError:
            continue  # its measures say why
    return curves


def thinned(curves: Mapping[str, Whole]) -> tuple[Curve, ...]:
    """Return curves with fewer points, all of them from the whole curves."""
    thin_curves = []
    for name, (fpr, tpr) in curves.items():
        x, y = thin(fpr, tpr, POINTS)
        thin_curves.append(Curve(name, tuple(np.round(x, 5).tolist()), tuple(np.round(y, 5).tolist())))
    return tuple(thin_curves)


def histograms(rows: FinishedRows, measured: Collection[str]) -> tuple[ScoreHistogram, ...]:
    """Return the distribution of the headline score: per model in FP32 and at its fewest bits, same bins."""
    of_models: list[ScoreHistogram] = []
    for model in rows.plan.models:
        shown = [
            (column, variant)
            for column, variant in enumerate(rows.plan.variants())
            if variant.model == model and variant.key in measured and not variant.draw
        ]
        if shown:
            ends = [shown[0], min(shown, key=lambda one: _width(one[1].bits))]
            of_models += _of_model(rows, [one for one in shown if one in ends])
    return tuple(of_models)


def _width(bits: Bits) -> int:
    return bits.weight + bits.activation


def _of_model(rows: FinishedRows, shown: list[tuple[Column, Variant]]) -> list[ScoreHistogram]:
    names = (rows.plan.id_set, *rows.plan.ood_sets)
    scores = {
        variant.key: [rows.values(rows.plan.headline, column, which) for which in range(len(names))]
        for column, variant in shown
    }
    every = np.concatenate([values for of_variant in scores.values() for values in of_variant])
    finite = every[np.isfinite(every)]
    if not len(finite):
        return []
    low, high = np.quantile(finite, MIDDLE).tolist()
    if not np.isfinite(high - low):
        return []
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    return [_histogram(key, edges, dict(zip(names, values, strict=True))) for key, values in scores.items()]


def _histogram(key: str, edges: Floats, scores: Mapping[str, Floats]) -> ScoreHistogram:
    shares, beyond = {}, {}
    for name, values in scores.items():
        if len(values):
            counts = np.histogram(values[np.isfinite(values)], edges)[0]
            shares[name] = tuple((counts / len(values)).round(6).tolist())
            beyond[name] = round(1 - int(counts.sum()) / len(values), 6)
    return ScoreHistogram(key, tuple(edges.tolist()), shares, beyond)
