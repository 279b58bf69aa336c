"""OOD scores on shaped features: change them, let the head judge, and take Energy or MaxLogit of that.

All of these were made for features that are never negative, as behind a ReLU. The features of a vision
transformer lie behind a LayerNorm: half of them are negative, and the scores may say little.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.logits import energy, max_logit
from engine.scores.outputs import FitSet, Head, Outputs, Scorer

MOST = 500.0
JUDGES: dict[str, Callable[[Tensor], Tensor]] = {"energy": energy, "maxlogit": max_logit}


def react(fit: FitSet, share: float = 0.9, judge: str = "energy") -> Scorer:
    """Clip features at a quantile of all fit features (Sun et al., "ReAct", NeurIPS 2021)."""
    flat = fit.features().flatten()
    rank = _share(share) * (len(flat) - 1)
    # The quantile, interpolated; `torch.quantile` refuses more than 16 million values on some devices.
    ordered = flat.sort().values
    low, high = ordered[int(rank)], ordered[min(int(rank) + 1, len(flat) - 1)]
    limit = torch.lerp(low, high, rank - int(rank))
    return _judged(fit.last_layer(), judge, lambda features: features.clamp(max=limit))


def ash_p(fit: FitSet, share: float = 0.65, judge: str = "energy") -> Scorer:
    """Remove the smallest `share` of each image's features (Djurisic et al., "ASH", ICLR 2023)."""
    return _judged(fit.last_layer(), judge, lambda features: _pruned(features, share)[0])


def ash_s(fit: FitSet, share: float = 0.65, judge: str = "energy") -> Scorer:
    """Remove as `ash_p` does and scale the rest by exp(sum before / sum after) (ASH, algorithm 2)."""

    def shape(features: Tensor) -> Tensor:
        kept, _ = _pruned(features, share)
        return kept * _strength(features, kept)

    return _judged(fit.last_layer(), judge, shape)


def ash_b(fit: FitSet, share: float = 0.65, judge: str = "energy") -> Scorer:
    """Remove as `ash_p` does and give the rest equal shares of the sum before (ASH, algorithm 3)."""

    def shape(features: Tensor) -> Tensor:
        kept, places = _pruned(features, share)
        equal = (features.sum(1, keepdim=True) / places.shape[1]).expand(places.shape)
        return torch.zeros_like(kept).scatter_(1, places, equal)

    return _judged(fit.last_layer(), judge, shape)


def scale(fit: FitSet, share: float = 0.85, judge: str = "energy") -> Scorer:
    """Scale all features by exp(sum / sum of the largest) (Xu et al., "SCALE", ICLR 2024)."""

    def shape(features: Tensor) -> Tensor:
        kept, _ = _pruned(features, share)
        return features * _strength(features, kept)

    return _judged(fit.last_layer(), judge, shape)


def dice(fit: FitSet, share: float = 0.9, judge: str = "energy") -> Scorer:
    """Drop the `share` of head weights that contribute least on average (Sun & Li, "DICE", ECCV 2022)."""
    head = fit.last_layer()
    contribution = fit.features().mean(0) * head.weight.double()
    limit = torch.quantile(contribution.flatten(), _share(share))
    sparse = Head(torch.where(contribution > limit, head.weight.double(), 0.0), head.bias)
    return _judged(sparse, judge, lambda features: features)


def _judged(head: Head, judge: str, shape: Callable[[Tensor], Tensor]) -> Scorer:
    if judge not in JUDGES:
        raise ScoreError(f"judge = {judge} is unknown; give one of {', '.join(JUDGES)}")

    def score(outputs: Outputs) -> Tensor:
        return JUDGES[judge](head.logits(shape(outputs.wide())))

    return score


def _pruned(features: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return features with all but each row's largest set to 0, and where those are."""
    width = features.shape[1]
    largest = features.topk(max(width - round(width * _share(share)), 1), 1)
    return torch.zeros_like(features).scatter_(1, largest.indices, largest.values), largest.indices


def _strength(features: Tensor, kept: Tensor) -> Tensor:
    """Return exp(sum of all / sum of the kept), (n, 1).

    The sums of signed features may have any ratio; beyond e^500 the difference is lost, but nothing is NaN.
    """
    ratio = features.sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    return ratio.nan_to_num(nan=0.0).clamp(-MOST, MOST).exp()


def _share(share: float) -> float:
    if not 0 <= share < 1:
        raise ScoreError(f"share = {share} must be at least 0 and less than 1")
    return share
