"""DeLong's variance computed a second way, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from engine.errors import MeasureError
from engine.measure.delong import auroc_difference, auroc_interval, placements
from engine.measure.measures import MEASURES


def test_the_standard_error_is_that_of_the_definition_with_ties() -> None:
    random = np.random.default_rng(0)
    ood, id_scores = random.integers(0, 6, 40) + 1.0, random.integers(0, 6, 70) * 1.0
    kernel = (ood[:, None] > id_scores) + 0.5 * (ood[:, None] == id_scores)
    expected = np.sqrt(kernel.mean(1).var(ddof=1) / 40 + kernel.mean(0).var(ddof=1) / 70)
    found = auroc_interval(id_scores, ood)
    assert found.value == pytest.approx(kernel.mean(), abs=1e-12)
    assert found.value == pytest.approx(MEASURES["auroc"](id_scores, ood), abs=1e-12)
    assert found.error == pytest.approx(expected, abs=1e-12)


def test_a_difference_counts_the_correlation_of_two_scores_on_the_same_images() -> None:
    random = np.random.default_rng(1)
    id_one, ood_one = random.normal(0, 1, 400), random.normal(1, 1, 300)
    id_two, ood_two = id_one + random.normal(0, 0.2, 400), ood_one + random.normal(0, 0.2, 300)
    one, two = placements(id_one, ood_one), placements(id_two, ood_two)
    found = auroc_difference(one, two)
    draws = []
    for _ in range(600):
        i, o = random.integers(0, 400, 400), random.integers(0, 300, 300)
        draws.append(MEASURES["auroc"](id_one[i], ood_one[o]) - MEASURES["auroc"](id_two[i], ood_two[o]))
    assert found.error == pytest.approx(np.std(draws), rel=0.15)
    assert found.error < auroc_interval(id_one, ood_one).error / 2
    assert auroc_difference(one, one).p == 1.0


def test_intervals_stay_inside_and_perfect_detectors_are_not_certain() -> None:
    perfect = auroc_interval(np.arange(20.0), np.arange(30.0) + 50)
    assert perfect.value == 1 and perfect.high == 1 and 0.8 < perfect.low < 0.9
    near = auroc_interval(np.arange(20.0), np.arange(20.0) + 18)
    assert 0 < near.low < near.value < near.high < 1
    with pytest.raises(MeasureError):
        auroc_interval(np.array([np.nan]), np.array([1.0]))


@pytest.mark.parametrize("true", [0.6, 0.9])
def test_ninety_five_percent_intervals_cover(true: float) -> None:
    random = np.random.default_rng(2)
    shift = norm.ppf(true) * np.sqrt(2)
    found = [auroc_interval(random.normal(0, 1, 200), random.normal(shift, 1, 80)) for _ in range(400)]
    covered = np.mean([f.low <= true <= f.high for f in found])
    assert 0.92 <= covered <= 0.98
