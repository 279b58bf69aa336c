"""OOD scores by the distance of features from those of the fit set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ScoreError
from engine.scores.outputs import FitSet, Outputs, Scorer, class_means

ROWS_AT_ONCE = 1024
RIDGE = 1e-10  # of the mean variance: a width that never varies has no inverse


def mahalanobis(fit: FitSet) -> Scorer:
    """Score by the least Mahalanobis distance from a class mean, covariance shared (Lee et al., 2018).

    The covariance is divided by n, as in OpenOOD; pytorch-ood does not, which changes no rank.
    """
    distance = _NearestClass(fit.features(), fit.classes())
    return lambda outputs: distance(outputs.wide())


def mahalanobis_pp(fit: FitSet) -> Scorer:
    """Score by the Mahalanobis distance of features of length 1 (Müller & Hein, "Mahalanobis++", 2025)."""
    distance = _NearestClass(F.normalize(fit.features()), fit.classes())
    return lambda outputs: distance(F.normalize(outputs.wide()))


def relative_mahalanobis(fit: FitSet) -> Scorer:
    """Score by the Mahalanobis distance minus that from all ID features (Ren et al., "RMD", 2021)."""
    distance = _NearestClass(fit.features(), fit.classes())
    background = _NearestClass(fit.features(), torch.zeros_like(fit.classes()))
    return lambda outputs: distance(outputs.wide()) - background(outputs.wide())


def knn(fit: FitSet, k: int = 50) -> Scorer:
    """Score by the distance to the k-th nearest feature of length 1 (Sun et al., ICML 2022)."""
    nearest = Nearest(F.normalize(fit.features()), k)

    def score(outputs: Outputs) -> Tensor:
        # On the sphere the k-th nearest has the k-th largest cosine.
        cosine = nearest(F.normalize(outputs.wide()))[:, -1]
        return (2 - 2 * cosine).clamp(min=0).sqrt()

    return score


class Nearest:
    """The `k` nearest of a bank (n, width) by inner product; raise ScoreError if there are fewer."""

    def __init__(self, bank: Tensor, k: int) -> None:
        if not 1 <= k <= len(bank):
            raise ScoreError(f"k = {k} needs at least as many fit images, there are {len(bank)}")
        self.bank, self.k = bank, k

    def __call__(self, queries: Tensor) -> Tensor:
        """Return the k largest inner products of every query, from the largest down."""
        parts = torch.split(queries, ROWS_AT_ONCE)
        return torch.cat([(part @ self.bank.T).topk(self.k, 1).values for part in parts])


class _NearestClass:
    """The squared Mahalanobis distance from the nearest class mean, in coordinates where it is Euclidean."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        if len(features) < 2:
            raise ScoreError(f"a covariance needs two fit images, there are {len(features)}")
        means, rows = class_means(features, labels)
        centred = features - means[rows]
        covariance = centred.T @ centred / len(features)
        variances, directions = torch.linalg.eigh(covariance)
        if not float(variances.max()) > 0:
            raise ScoreError("no fit image differs from the mean of its class; several per class are needed")
        self.whiten = directions / variances.clamp(min=RIDGE * float(variances.mean()) + 1e-300).sqrt()
        self.centre = means.mean(0)
        self.means = (means - self.centre) @ self.whiten

    def __call__(self, features: Tensor) -> Tensor:
        x = (features - self.centre) @ self.whiten
        cross = self.means.square().sum(1) - 2 * (x @ self.means.T)
        distance: Tensor = (x.square().sum(1) + cross.amin(1)).clamp(min=0)
        return distance
