"""OOD scores from logits that learn something from a fit set."""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.logits import msp
from engine.scores.outputs import FitSet, Outputs, Scorer, mean_by_row

LOG_REACH = math.log(1e4)  # temperatures are searched within this of the spread of the logits


def msp_temperature(fit: FitSet) -> Scorer:
    """Score by MSP after temperature scaling (Guo et al., ICML 2017; as an OOD score, ODIN without noise).

    The temperature minimises the negative log-likelihood of the fit set.
    """
    temperature = best_temperature(fit.outputs.logits, fit.classes())
    return lambda outputs: msp(outputs.logits.double() / temperature)


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T > 0 with the least mean of -log softmax(logits / T) at the labels.

    The loss is convex in 1 / T, so its slope has one root. Raises ScoreError where there is none: labels
    that fit no better than chance want T infinite, labels that are all the largest logit want T = 0.
    """
    spread = float(logits.double().std())
    if not spread > 0:
        raise ScoreError("all logits of the fit set are equal, so no temperature is best")
    wide = logits.double() / spread
    at_label = wide.gather(1, labels[:, None])[:, 0]

    def slope(log_inverse: float) -> float:
        p = (wide * math.exp(log_inverse)).softmax(1)
        return float(((p * wide).sum(1) - at_label).mean())

    low, high = -LOG_REACH, LOG_REACH
    if not slope(low) < 0:
        raise ScoreError("the labels of the fit set fit its logits no better than chance")
    if not slope(high) > 0:
        raise ScoreError("every fit image is classified correctly, so no temperature is best")
    return spread / math.exp(brentq(slope, low, high, xtol=1e-12))


def klm(fit: FitSet) -> Scorer:
    """Score by the least divergence min_k KL(p || d_k) from the mean softmax of every predicted class.

    KL-matching (Hendrycks et al., ICML 2022). Classes that the fit set never predicts have no d_k, as in
    pytorch-ood; OpenOOD gives them a one-hot d_k, to which most divergences are infinite.
    """
    log_p = fit.outputs.logits.double().log_softmax(1)
    if not len(log_p):
        raise ScoreError("the fit set is empty")
    predicted, rows = torch.unique(log_p.argmax(1), return_inverse=True)
    means = mean_by_row(log_p.exp(), rows, len(predicted))
    log_means = means.clamp(min=torch.finfo(means.dtype).tiny).log()

    def score(outputs: Outputs) -> Tensor:
        p = outputs.logits.double().softmax(1)
        divergence: Tensor = -torch.special.entr(p).sum(1) - (p @ log_means.T).amax(1)
        return divergence

    return score
