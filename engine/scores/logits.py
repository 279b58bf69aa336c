"""OOD scores from logits (n, classes), in float64: larger looks more out-of-distribution."""

from __future__ import annotations

import torch
from torch import Tensor


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


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log softmax at the label, in nats; NaN where the label is negative (no ID class)."""
    wide = logits.double()
    at_label = wide.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    loss = torch.logsumexp(wide, 1) - at_label
    return torch.where(labels >= 0, loss, torch.nan)


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
