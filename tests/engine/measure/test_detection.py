from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from engine.errors import MeasureError
from engine.measure.detection import count, detection, precision_recall, roc, thin

scores = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.sampled_from([-1.0, 0.0, 0.1, 0.25, 1.0, 2.0])
)


def test_agrees_with_the_reference_values(reference: Path) -> None:
    folder = reference / "metrics"
    for case, expected in json.loads((folder / "expected.json").read_text()).items():
        with np.load(folder / f"{case}.npz") as pair:
            id_scores, ood_scores = (
                -pair["id_confidence"].astype(float),
                -pair["ood_confidence"].astype(float),
            )
        if "error" in expected:
            with pytest.raises(MeasureError):
                detection(id_scores, ood_scores)
            continue
        found = detection(id_scores, ood_scores)._asdict()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-9), (case, name)


@settings(deadline=None)
@given(scores, scores)
def test_agrees_with_scikit_learn_whatever_the_ties(id_scores: np.ndarray, ood_scores: np.ndarray) -> None:
    found = detection(id_scores, ood_scores)
    is_ood = np.r_[np.zeros(len(id_scores)), np.ones(len(ood_scores))]
    together = np.r_[id_scores, ood_scores]
    assert found.auroc == pytest.approx(roc_auc_score(is_ood, together), abs=1e-12)
    assert found.ap_out == pytest.approx(average_precision_score(is_ood, together), abs=1e-12)
    assert found.ap_in == pytest.approx(average_precision_score(1 - is_ood, -together), abs=1e-12)
    fpr, tpr, _ = roc_curve(is_ood, together, drop_intermediate=False)
    assert found.fpr95_ood_positive == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-9)], abs=1e-12)


def test_constant_scores_are_chance_by_average_precision_but_not_by_trapezoid() -> None:
    found = detection(np.zeros(100), np.zeros(60))
    assert found.auroc == 0.5
    assert found.ap_out == pytest.approx(60 / 160)
    assert found.aupr_out_trapezoid == pytest.approx((1 + 60 / 160) / 2)


@pytest.mark.parametrize(("id_scores", "ood_scores"), [([], [1.0]), ([1.0], []), ([np.nan, 1.0], [2.0])])
def test_missing_values_are_refused_not_scored(id_scores: list[float], ood_scores: list[float]) -> None:
    with pytest.raises(MeasureError):
        detection(np.array(id_scores), np.array(ood_scores))


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
