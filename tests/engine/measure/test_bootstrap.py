from __future__ import annotations

import numpy as np

from engine.measure.bootstrap import interval, resample


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
