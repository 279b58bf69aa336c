"""Arrays from which every score can be computed, as NumPy and as torch have them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.scores.outputs import FitSet, Head, Outputs

Array = NDArray[Any]
CLASSES, WIDTH, FIT_IMAGES, IMAGES = 7, 12, 300, 90


class Arrays(NamedTuple):
    """What scores are computed from, in float64: (n, classes), (n, width) and the head between them."""

    logits: Array
    features: Array
    weight: Array
    bias: Array
    fit_logits: Array
    fit_features: Array
    fit_labels: Array

    def head(self, features: Array) -> Array:
        """Return the logits of features."""
        return features @ self.weight.T + self.bias


def _made() -> Arrays:
    """Return features of either sign, as behind a LayerNorm, and a head that is right on 70 %."""
    random = np.random.default_rng(1)
    weight, bias = random.normal(size=(CLASSES, WIDTH)), np.full(CLASSES, 0.1)
    fit, features = random.normal(size=(FIT_IMAGES, WIDTH)) + 0.2, random.normal(size=(IMAGES, WIDTH)) * 1.2
    fit_logits, logits = fit @ weight.T + bias, features @ weight.T + bias
    wrong = random.integers(0, CLASSES, FIT_IMAGES)
    labels = np.where(random.random(FIT_IMAGES) < 0.7, fit_logits.argmax(1), wrong)
    return Arrays(logits, features, weight, bias, fit_logits, fit, labels)


ARRAYS = _made()
_tensors = Arrays(*map(torch.from_numpy, ARRAYS))
HEAD = Head(_tensors.weight, _tensors.bias)
LABELS = _tensors.fit_labels
OUTPUTS = Outputs(_tensors.logits, _tensors.features)
FIT_OUTPUTS = Outputs(_tensors.fit_logits, _tensors.fit_features)
FIT = FitSet(FIT_OUTPUTS, LABELS, HEAD)
