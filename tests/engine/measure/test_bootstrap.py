from __future__ import annotations

import numpy as np
import pytest

from engine.measure.bootstrap import ResampledId, interval, resample
from engine.measure.detection import Detection, detection


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_every_resample_equals_the_measures_of_the_images_drawn(decimals: int) -> None:
    random = np.random.default_rng(0)
    id_scores = random.normal(size=300).round(decimals)
    ood_scores = random.normal(1, 1, 120).round(decimals)
    id_weights, ood_weights = resample(300, 20, random), resample(120, 20, random)
    found = ResampledId(id_scores, id_weights).detection(ood_scores, ood_weights, whole=True)
    assert set(found) == set(Detection._fields) - {"n_id", "n_ood", "detection_error", "partial_auroc"}
    for i in range(21):
        drawn = detection(
            np.repeat(id_scores, id_weights[i].astype(int)), np.repeat(ood_scores, ood_weights[i].astype(int))
        )
        for name, values in found.items():
            assert values[i] == pytest.approx(getattr(drawn, name), abs=1e-6), name


def test_first_resample_is_the_sample_itself_and_sizes_stay() -> None:
    weights = resample(50, 30, np.random.default_rng(1))
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 50).all()


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        sample = random.normal(size=80)
        weights = resample(80, 200, random)
        low, high = interval((weights @ sample) / weights.sum(1))
        hits += low <= 0.0 <= high
    assert 0.89 <= hits / 200 <= 0.99
