from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from engine.errors import ScoreError
from engine.scores import scorers
from engine.scores.fitted_logits import best_temperature
from engine.scores.outputs import FitSet, Outputs
from tests.engine.scores.arrays import FIT_OUTPUTS, LABELS


def test_the_temperature_is_that_of_a_general_minimiser() -> None:
    logits = FIT_OUTPUTS.logits * 3

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_t), LABELS))

    expected = np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x)
    assert best_temperature(logits, LABELS) == pytest.approx(expected, rel=1e-5)


def test_a_temperature_that_does_not_exist_is_refused() -> None:
    logits = torch.randn(200, 6, generator=torch.Generator().manual_seed(3))
    for labels, words in ((logits.argmax(1), "every fit image"), (logits.argmin(1), "no better than chance")):
        with pytest.raises(ScoreError, match=words):
            scorers.scorer("msp_temperature", FitSet(Outputs(logits), labels))
    labels = torch.where(torch.arange(200) % 5 == 0, logits.argmin(1), logits.argmax(1))
    small = best_temperature(logits, labels)
    assert best_temperature(logits * 1e4, labels) == pytest.approx(small * 1e4, rel=1e-6)
