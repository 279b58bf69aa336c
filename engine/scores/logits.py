"""OOD scores from logits (n, classes), in float64: larger looks more out-of-distribution."""

from __future__ import annotations

import torch
from torch import Tensor

GEN_GAMMA = 0.1
CLAMP = 1e-7  # pytorch-ood keeps probabilities this far from 0 and 1


def msp(logits: Tensor) -> Tensor:
    """Score by minus the maximum softmax probability (Hendrycks & Gimpel, ICLR 2017)."""
    # The largest softmax probability is exp(max - logsumexp). Its logarithm would saturate later, but
    # MSP is published as a probability and ranks the same.
    largest = logits.double().amax(1)
    return -torch.exp(largest - torch.logsumexp(logits.double(), 1))


def max_logit(logits: Tensor) -> Tensor:
    """Score by minus the largest logit (Hendrycks et al., ICML 2022)."""
    return -logits.double().amax(1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Score by the free energy -T logsumexp(logits / T) (Liu et al., NeurIPS 2020, equation 4)."""
    return -temperature * torch.logsumexp(logits.double() / temperature, 1)


def entropy(logits: Tensor) -> Tensor:
    """Score by the entropy of the softmax, in nats."""
    scores: Tensor = torch.special.entr(logits.double().softmax(1)).sum(1)
    return scores


def margin(logits: Tensor) -> Tensor:
    """Score by minus the difference of the two largest logits, which never saturates."""
    two = logits.double().topk(2, 1).values
    return two[:, 1] - two[:, 0]


def gen(logits: Tensor, gamma: float = GEN_GAMMA, top: int = 100) -> Tensor:
    """Score by the generalized entropy, the sum of p^gamma (1 - p)^gamma over the `top` largest p.

    Liu et al., "GEN", CVPR 2023, equation 5, as OpenOOD has it: a sum, nothing clamped. Where p is within
    rounding of 1, so is 1 - p, and the power of 0.1 makes it visible.
    """
    wide = logits.double()
    powers = (wide - wide.amax(1, keepdim=True)).exp()
    # Summed in NumPy's order on every device, so that this rounding is everywhere the same.
    total = torch.from_numpy(powers.cpu().numpy().sum(1)).to(powers.device)
    largest = (powers / total[:, None]).topk(min(top, logits.shape[1]), 1).values
    return (largest * (1 - largest)).pow(gamma).sum(1)


def gen_all(logits: Tensor, gamma: float = GEN_GAMMA) -> Tensor:
    """Score by the generalized entropy as pytorch-ood has it: the mean over all classes.

    Probabilities are kept in [1e-7, 1 - 1e-7], which decides the ranking of confident images.
    """
    p = logits.double().softmax(1).clamp(CLAMP, 1 - CLAMP)
    return (p * (1 - p)).pow(gamma).mean(1)


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log softmax at the label, in nats; NaN where the label is negative (no ID class)."""
    wide = logits.double()
    at_label = wide.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    loss = torch.logsumexp(wide, 1) - at_label
    return torch.where(labels >= 0, loss, torch.nan)


def brier(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the squared distance of the softmax from the one-hot label, 0 to 2; NaN without a label.

    Brier, "Verification of forecasts expressed in terms of probability", 1950, summed over classes.
    """
    p = logits.double().softmax(1)
    at_label = p.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return torch.where(labels >= 0, p.square().sum(1) - 2 * at_label + 1, torch.nan)


def rank_of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the classes ranked before the label: 0 is a correct top-1; -1 where there is no label.

    Classes with equal logits are ranked by their index, as argmax does. NaN logits rank the label last.
    """
    at_label = logits.gather(1, labels.clamp(min=0)[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    before = (logits > at_label) | ((logits == at_label) & (classes < labels[:, None]))
    rank = before.sum(1)
    rank = torch.where(torch.isfinite(logits).all(1), rank, logits.shape[1])
    return torch.where(labels >= 0, rank, -1)
