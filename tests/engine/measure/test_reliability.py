from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.measure.reliability import (
    adaptive_calibration_error,
    area_under_risk_coverage,
    expected_calibration_error,
)
from engine.scores.logits import brier


def made(n: int = 3000, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, n)
    if levels:
        confidence = np.ceil(confidence * levels) / levels
    return confidence, random.uniform(size=n) < confidence**2


@pytest.mark.parametrize("levels", [None, 15, 40])
def test_ece_is_the_sum_over_bins(levels: int | None) -> None:
    confidence, right = made(levels=levels)
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(confidence, right) == pytest.approx(expected, abs=1e-12)


def test_bins_of_equal_mass_are_sorted_splits() -> None:
    confidence, right = made()
    order = np.argsort(-confidence)
    parts = np.array_split(order, 15)
    expected = sum(len(p) * abs(right[p].mean() - confidence[p].mean()) for p in parts) / len(order)
    assert adaptive_calibration_error(confidence, right) == pytest.approx(expected, abs=1e-12)


def test_no_measure_depends_on_the_order_of_images() -> None:
    confidence, right = made(levels=7)
    shuffled = np.random.default_rng(1).permutation(len(right))
    for measure in (expected_calibration_error, adaptive_calibration_error, area_under_risk_coverage):
        assert measure(confidence[shuffled], right[shuffled]) == pytest.approx(
            measure(confidence, right), abs=1e-12
        )


def test_risk_coverage_is_the_mean_error_of_the_most_confident() -> None:
    confidence, right = made(200)
    ordered = right[np.argsort(-confidence)]
    expected = np.mean([1 - ordered[: k + 1].mean() for k in range(200)])
    assert area_under_risk_coverage(confidence, right) == pytest.approx(expected, abs=1e-12)
    assert area_under_risk_coverage(np.ones(10), np.arange(10) < 7) == pytest.approx(0.3)


def test_brier_is_the_squared_distance_from_the_one_hot_label() -> None:
    logits, labels = torch.randn(20, 6), torch.randint(0, 6, (20,))
    one_hot = torch.nn.functional.one_hot(labels, 6)
    expected = (logits.double().softmax(1) - one_hot).square().sum(1)
    torch.testing.assert_close(brier(logits, labels), expected)
    assert torch.isnan(brier(logits, torch.full((20,), -1))).all()
