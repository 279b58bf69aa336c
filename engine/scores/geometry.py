"""OOD scores from how features lie to class means, decision boundaries and the head's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.distance import Nearest
from engine.scores.outputs import FitSet, Outputs, Scorer, class_means


def she(fit: FitSet) -> Scorer:
    """Score by minus the inner product with the predicted class's pattern (Zhang et al., "SHE", ICLR 2023).

    The pattern is the mean of the class's correctly classified fit features. A class without any has the
    mean of all patterns.
    """
    labels = fit.classes()
    correct = fit.outputs.logits.argmax(1) == labels
    if not correct.any():
        raise ScoreError("no fit image is classified correctly, so there are no patterns")
    means, _ = class_means(fit.features()[correct], labels[correct])
    patterns = means.mean(0).repeat(fit.outputs.logits.shape[1], 1)
    patterns[torch.unique(labels[correct])] = means
    return lambda outputs: -(outputs.wide() * patterns[outputs.logits.argmax(1)]).sum(1)


def fdbd(fit: FitSet) -> Scorer:
    """Score by minus the mean distance to the decision boundaries (Liu & Qin, "fDBD", ICML 2024).

    Distances are relative to that from the mean fit feature. The mean is over the other classes, as in
    pytorch-ood; OpenOOD's sum ranks the same.
    """
    weight, centre = fit.last_layer().weight.double(), fit.features().mean(0)
    between = torch.cdist(weight, weight)
    # Equal weights have no boundary between them, and a class none with itself.
    inverse = torch.where(between > 0, 1 / between, torch.zeros_like(between))

    def score(outputs: Outputs) -> Tensor:
        logits = outputs.logits.double()
        best = logits.max(1)
        distances = ((best.values[:, None] - logits) * inverse[best.indices]).sum(1) / (len(weight) - 1)
        away = torch.linalg.vector_norm(outputs.wide() - centre, dim=1)
        # At the mean itself the ratio has no limit; the tiniest distance keeps it finite.
        scores: Tensor = -distances / away.clamp(min=torch.finfo(away.dtype).tiny)
        return scores

    return score


def nnguide(fit: FitSet, k: int = 10) -> Scorer:
    """Score by minus log-sum-exp times the mean similarity to k neighbours (Park et al., ICCV 2023).

    Similarity is the cosine times the neighbour's log-sum-exp; the bank is the whole fit set, as in
    pytorch-ood (OpenOOD draws 1 % of it and takes k = 100).
    """
    logits = torch.logsumexp(fit.outputs.logits.double(), 1)
    nearest = Nearest(F.normalize(fit.features()) * logits[:, None], k)

    def score(outputs: Outputs) -> Tensor:
        near = nearest(F.normalize(outputs.wide())).mean(1)
        return -near * torch.logsumexp(outputs.logits.double(), 1)

    return score


def nci(fit: FitSet, alpha: float = 1e-4) -> Scorer:
    """Score by minus the projection of the predicted weight on the centred feature, minus alpha |x|_1.

    Liu & Qin, "Detecting Out-of-Distribution Through the Lens of Neural Collapse", CVPR 2025.
    """
    weight, centre = fit.last_layer().weight.double(), fit.features().mean(0)

    def score(outputs: Outputs) -> Tensor:
        features = outputs.wide()
        direction = F.normalize(features - centre)
        along = (weight[outputs.logits.argmax(1)] * direction).sum(1)
        return -along - alpha * features.abs().sum(1)

    return score
