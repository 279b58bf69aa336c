"""OOD scores by the part of a feature that lies outside the principal subspace of the fit set."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.outputs import FitSet, Head, Outputs, Scorer

LARGE, LARGER = 768, 2048  # feature sizes from which ViM's code keeps 512 and 1,000 dimensions
DEFAULT_DIMENSIONS = "width / 2 below 768"


def vim(fit: FitSet, dimensions: int | None = None) -> Scorer:
    """Score by the virtual logit minus the log-sum-exp of the others (Wang et al., "ViM", CVPR 2022).

    The virtual logit is the norm outside the principal subspace, scaled so that its mean over the fit set
    is that of the largest logit. `dimensions` of the subspace: as in ViM's code half the width below 768,
    512 below 2,048, then 1,000.
    """
    outside = _Outside(fit, dimensions)
    virtual = outside(fit.features())
    largest = fit.last_layer().logits(fit.features()).amax(1)
    scale = largest.mean() / virtual.mean()

    def score(outputs: Outputs) -> Tensor:
        return outside(outputs.wide()) * scale - torch.logsumexp(outputs.logits.double(), 1)

    return score


def residual(fit: FitSet, dimensions: int | None = None) -> Scorer:
    """Score by only the norm outside the principal subspace of the fit set (ViM, section 4.1)."""
    outside = _Outside(fit, dimensions)
    return lambda outputs: outside(outputs.wide())


class _Outside:
    """The norm of features outside the principal subspace around the point where all logits are least."""

    def __init__(self, fit: FitSet, dimensions: int | None) -> None:
        features, head = fit.features(), fit.last_layer()
        width = features.shape[1]
        kept = default_dimensions(width) if dimensions is None else dimensions
        if not 1 <= kept < width:
            raise ScoreError(f"{kept} dimensions leave nothing of {width} features; give 1 to {width - 1}")
        self.origin = origin(head)
        centred = features - self.origin
        directions = torch.linalg.eigh(centred.T @ centred / len(features)).eigenvectors
        self.outside = directions[:, : width - kept]  # eigenvalues ascend

    def __call__(self, features: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm((features - self.origin) @ self.outside, dim=1)
        return norm


def default_dimensions(width: int) -> int:
    """Return how many dimensions ViM's code keeps of features of this width."""
    return 1000 if width >= LARGER else 512 if width >= LARGE else width // 2


def origin(head: Head) -> Tensor:
    """Return the point -W^+ b, from where features have no bias."""
    point: Tensor = -torch.linalg.pinv(head.weight.double()) @ head.bias.double()
    return point
