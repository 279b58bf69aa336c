from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from engine.measure.detection import count, precision_recall, roc, thin


@settings(deadline=None)
@given(st.integers(2, 2000), st.integers(2, 500), st.integers(2, 200), st.integers(0, 9))
def test_a_thinned_curve_keeps_its_ends_and_its_course(n_id: int, n_ood: int, points: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    fpr, tpr = roc(count(random.normal(size=n_id), random.normal(1, 1, n_ood)))
    thin_fpr, thin_tpr = thin(fpr, tpr, points)
    assert len(thin_fpr) <= max(points, 2)
    assert (thin_fpr[0], thin_tpr[0], thin_fpr[-1], thin_tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(thin_fpr) >= 0).all() and (np.diff(thin_tpr) >= 0).all()
    kept = set(zip(fpr, tpr, strict=True))
    assert set(zip(thin_fpr, thin_tpr, strict=True)) <= kept


def test_precision_and_recall_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    id_scores, ood_scores = random.normal(0, 1, 300).round(1), random.normal(1, 1, 100).round(1)
    recall, precision = precision_recall(count(id_scores, ood_scores))
    is_ood = np.r_[np.zeros(300), np.ones(100)]
    expected = precision_recall_curve(is_ood, np.r_[id_scores, ood_scores])
    np.testing.assert_allclose(precision, expected[0][:-1][::-1])
    np.testing.assert_allclose(recall, expected[1][:-1][::-1])
    thin_recall, thin_precision = thin(recall, precision, 20)
    assert len(thin_recall) <= 20 and set(thin_precision) <= set(precision)
