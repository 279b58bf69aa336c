from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from engine.measure.bootstrap import ResampledId, interval, resample


@pytest.mark.parametrize("decimals", [1, 12])
def test_every_resample_equals_scikit_learn_with_weights(decimals: int) -> None:
    random = np.random.default_rng(0)
    id_scores = random.normal(size=300).round(decimals)
    ood_scores = random.normal(1, 1, 120).round(decimals)
    id_weights, ood_weights = resample(300, 20, random), resample(120, 20, random)
    auroc, ap = ResampledId(id_scores, id_weights).detection(ood_scores, ood_weights)
    is_ood = np.r_[np.zeros(300), np.ones(120)]
    together = np.r_[id_scores, ood_scores]
    for i in range(21):
        weights = np.r_[id_weights[i], ood_weights[i]]
        assert auroc[i] == pytest.approx(roc_auc_score(is_ood, together, sample_weight=weights), abs=1e-6)
        assert ap[i] == pytest.approx(
            average_precision_score(is_ood, together, sample_weight=weights), abs=1e-6
        )


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
