"""OOD scores from logits that learn something from a fit set."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.logits import msp
from engine.scores.outputs import FitSet, Outputs, Scorer

NEWTON_STEPS = 50


def msp_temperature(fit: FitSet) -> Scorer:
    """Score by MSP after temperature scaling (Guo et al., ICML 2017; as an OOD score, ODIN without noise).

    The temperature minimises the negative log-likelihood of the fit set.
    """
    temperature = best_temperature(fit.outputs.logits, fit.classes())
    return lambda outputs: msp(outputs.logits.double() / temperature)


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T > 0 with the least mean of -log softmax(logits / T) at the labels.

    The loss is convex in 1 / T, so Newton steps, halved where they overshoot, find its minimum.
    """
    wide = logits.double()
    at_label = wide.gather(1, labels[:, None])[:, 0]

    def loss(inverse: float) -> float:
        return float((torch.logsumexp(wide * inverse, 1) - at_label * inverse).mean())

    inverse = 1.0
    for _ in range(NEWTON_STEPS):
        p = (wide * inverse).softmax(1)
        mean = (p * wide).sum(1)
        slope = float((mean - at_label).mean())
        curvature = float(((p * wide.square()).sum(1) - mean.square()).mean())
        if not curvature > 0:
            break
        step = -slope / curvature
        while inverse + step <= 0 or loss(inverse + step) > loss(inverse) + 1e-15:
            step /= 2
            if abs(step) < 1e-12 * inverse:
                return 1 / inverse
        inverse += step
        if abs(step) < 1e-12 * inverse:
            break
    return 1 / inverse


def klm(fit: FitSet) -> Scorer:
    """Score by the least divergence min_k KL(p || d_k) from the mean softmax of every predicted class.

    KL-matching (Hendrycks et al., ICML 2022). Classes that the fit set never predicts have no d_k, as in
    pytorch-ood; OpenOOD gives them a one-hot d_k, to which most divergences are infinite.
    """
    log_p = fit.outputs.logits.double().log_softmax(1)
    if not len(log_p):
        raise ScoreError("the fit set is empty")
    known, rows = torch.unique(log_p.argmax(1), return_inverse=True)
    sums = log_p.new_zeros(len(known), log_p.shape[1]).index_add_(0, rows, log_p.exp())
    log_means = (sums / rows.bincount()[:, None]).clamp(min=torch.finfo(sums.dtype).tiny).log()

    def score(outputs: Outputs) -> Tensor:
        p = outputs.logits.double().softmax(1)
        divergence: Tensor = -torch.special.entr(p).sum(1) - (p @ log_means.T).amax(1)
        return divergence

    return score
