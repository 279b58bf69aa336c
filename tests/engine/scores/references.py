"""Every score a second time: written again with NumPy, SciPy and scikit-learn, and as pytorch-ood has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from tests.engine.scores.arrays import Array, Arrays

Reference = Callable[[Arrays], Array]


def gen(a: Arrays) -> Array:
    p = np.sort(softmax(a.logits, axis=1))[:, -100:]
    return (p**0.1 * (1 - p) ** 0.1).sum(1)


def gen_all(a: Arrays) -> Array:
    p = np.clip(softmax(a.logits, axis=1), 1e-7, 1 - 1e-7)
    return (p**0.1 * (1 - p) ** 0.1).mean(1)


def margin(a: Arrays) -> Array:
    ordered = np.sort(a.logits)
    return ordered[:, -2] - ordered[:, -1]


def msp_temperature(a: Arrays) -> Array:
    def loss(log_t: float) -> float:
        scaled = a.fit_logits / np.exp(log_t)
        at_label = scaled[np.arange(len(scaled)), a.fit_labels]
        return float((logsumexp(scaled, axis=1) - at_label).mean())

    best = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x
    return -softmax(a.logits / np.exp(best), axis=1).max(1)


def klm(a: Arrays) -> Array:
    fit, predicted = softmax(a.fit_logits, axis=1), a.fit_logits.argmax(1)
    p = softmax(a.logits, axis=1)
    means = [fit[predicted == k].mean(0) for k in np.unique(predicted)]
    return np.min([stats.entropy(p, mean[None], axis=1) for mean in means], axis=0)


def nearest_class(x: Array, fit: Array, labels: Array) -> Array:
    means = np.stack([fit[labels == k].mean(0) for k in range(labels.max() + 1)])
    covariance = np.cov((fit - means[labels]).T, bias=True)
    return cdist(x, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(1) ** 2


def mahalanobis(a: Arrays) -> Array:
    return nearest_class(a.features, a.fit_features, a.fit_labels)


def mahalanobis_pp(a: Arrays) -> Array:
    return nearest_class(normalize(a.features), normalize(a.fit_features), a.fit_labels)


def relative_mahalanobis(a: Arrays) -> Array:
    return mahalanobis(a) - nearest_class(a.features, a.fit_features, np.zeros_like(a.fit_labels))


def knn(a: Arrays) -> Array:
    bank = NearestNeighbors(n_neighbors=50, algorithm="brute").fit(normalize(a.fit_features))
    distances: Array = bank.kneighbors(normalize(a.features))[0][:, -1]
    return distances


def residual(a: Arrays) -> Array:
    origin = -np.linalg.pinv(a.weight) @ a.bias
    directions = np.linalg.svd(a.fit_features - origin)[2]
    return np.linalg.norm((a.features - origin) @ directions[a.features.shape[1] // 2 :].T, axis=1)


def vim(a: Arrays) -> Array:
    largest = a.head(a.fit_features).max(1).mean()
    strength = largest / residual(a._replace(features=a.fit_features)).mean()
    return residual(a) * strength - logsumexp(a.logits, axis=1)


def energy_of(a: Arrays, features: Array) -> Array:
    return -logsumexp(a.head(features), axis=1)


def pruned(features: Array, share: float) -> Array:
    """Return features of which each row keeps only its largest."""
    kept = features.shape[1] - round(features.shape[1] * share)
    return np.where(features >= np.sort(features)[:, -kept, None], features, 0)


def strength(features: Array, share: float) -> Array:
    return np.exp(features.sum(1, keepdims=True) / pruned(features, share).sum(1, keepdims=True))


def react(a: Arrays) -> Array:
    return energy_of(a, np.minimum(a.features, np.quantile(a.fit_features, 0.9)))


def ash_p(a: Arrays) -> Array:
    return energy_of(a, pruned(a.features, 0.65))


def ash_s(a: Arrays) -> Array:
    return energy_of(a, pruned(a.features, 0.65) * strength(a.features, 0.65))


def ash_b(a: Arrays) -> Array:
    is_kept = pruned(a.features, 0.65) != 0
    return energy_of(a, is_kept * (a.features.sum(1) / is_kept.sum(1))[:, None])


def scale(a: Arrays) -> Array:
    return energy_of(a, a.features * strength(a.features, 0.85))


def dice(a: Arrays) -> Array:
    contribution = a.fit_features.mean(0) * a.weight
    sparse = np.where(contribution > np.quantile(contribution, 0.9), a.weight, 0)
    return energy_of(a._replace(weight=sparse), a.features)


def she(a: Arrays) -> Array:
    correct = a.fit_logits.argmax(1) == a.fit_labels
    patterns = [
        a.fit_features[correct & (a.fit_labels == k)].mean(0) for k in range(int(a.fit_labels.max()) + 1)
    ]
    return -np.array([x @ patterns[k] for x, k in zip(a.features, a.logits.argmax(1), strict=True)])


def fdbd(a: Arrays) -> Array:
    found = []
    for x, logits in zip(a.features, a.logits, strict=True):
        best = logits.argmax()
        distances = [
            (logits[best] - logits[k]) / np.linalg.norm(a.weight[best] - a.weight[k])
            for k in range(len(logits))
            if k != best
        ]
        found.append(-np.mean(distances) / np.linalg.norm(x - a.fit_features.mean(0)))
    return np.array(found)


def nnguide(a: Arrays) -> Array:
    cosine = normalize(a.features) @ normalize(a.fit_features).T
    near = np.sort(cosine * logsumexp(a.fit_logits, axis=1))[:, -10:].mean(1)
    return -near * logsumexp(a.logits, axis=1)


def nci(a: Arrays) -> Array:
    direction = normalize(a.features - a.fit_features.mean(0))
    along = np.einsum("nd,nd->n", a.weight[a.logits.argmax(1)], direction)
    return -along - 1e-4 * np.abs(a.features).sum(1)


EXACT: dict[str, Reference] = {
    "msp": lambda a: -softmax(a.logits, axis=1).max(1),
    "maxlogit": lambda a: -a.logits.max(1),
    "energy": lambda a: -logsumexp(a.logits, axis=1),
    "energy:temperature=3": lambda a: -3 * logsumexp(a.logits / 3, axis=1),
    "entropy": lambda a: stats.entropy(softmax(a.logits, axis=1), axis=1),
    "gen": gen,
    "gen_all": gen_all,
    "margin": margin,
    "msp_temperature": msp_temperature,
    "klm": klm,
    "mahalanobis": mahalanobis,
    "relative_mahalanobis": relative_mahalanobis,
    "mahalanobis_pp": mahalanobis_pp,
    "knn": knn,
    "vim": vim,
    "residual": residual,
    "react": react,
    "ash_p": ash_p,
    "ash_s": ash_s,
    "ash_b": ash_b,
    "scale": scale,
    "dice": dice,
    "she": she,
    "fdbd": fdbd,
    "nnguide": nnguide,
    "nci": nci,
}
TOLERANCE = {"msp_temperature": 1e-6}  # a minimum is flat: its place is known to half the digits


class PytorchOOD:
    """The scores of pytorch-ood, fitted on the same arrays in float32, as some of them compute."""

    def __init__(self, arrays: Arrays) -> None:
        """Import pytorch-ood, which takes seconds."""
        from pytorch_ood import detector

        floats = [array.astype("f4") for array in arrays[:-1]]
        self.detectors = detector
        self.tensors = Arrays(*map(torch.from_numpy, [*floats, arrays.fit_labels]))
        self.head = torch.nn.Linear(*reversed(arrays.weight.shape))
        self.head.weight.data, self.head.bias.data = self.tensors.weight, self.tensors.bias

    def of_logits(self, name: str, *arguments: object) -> Array:
        """Return a score of logits, fitted where it learns from them."""
        found = getattr(self.detectors, name)(None, *arguments)
        if hasattr(found, "fit_logits"):
            found.fit_logits(self.tensors.fit_logits, self.tensors.fit_labels)
        return self._array(found.predict_logits(self.tensors.logits))

    def of_features(self, name: str, *arguments: object) -> Array:
        """Return a score of features."""
        found = getattr(self.detectors, name)(None, *arguments)
        found.fit_features(self.tensors.fit_features, self.tensors.fit_labels)
        return self._array(found.predict_features(self.tensors.features))

    def of_maps(self, name: str, **options: object) -> Array:
        """Return a score of feature maps, here of one pixel each."""
        maps, fit = self.tensors.features[:, :, None, None], self.tensors.fit_features[:, :, None, None]
        found = getattr(self.detectors, name)(None, lambda x: self.head(x.flatten(1)), **options)
        if hasattr(found, "fit_feature_maps"):
            found.fit_feature_maps(fit, self.tensors.fit_labels)
        return self._array(found.predict_feature_maps(maps))

    @staticmethod
    def _array(found: torch.Tensor) -> Array:
        return found.detach().double().numpy()


LIBRARY: dict[str, Callable[[PytorchOOD], Array]] = {
    "msp": lambda o: o.of_logits("MaxSoftmax"),
    "maxlogit": lambda o: o.of_logits("MaxLogit"),
    "energy": lambda o: o.of_logits("EnergyBased"),
    "entropy": lambda o: o.of_logits("Entropy"),
    "gen_all": lambda o: o.of_logits("GEN"),
    "klm": lambda o: o.of_logits("KLMatching"),
    "mahalanobis": lambda o: o.of_features("Mahalanobis"),
    "relative_mahalanobis": lambda o: o.of_features("RMD"),
    "knn": lambda o: o.of_features("KNN"),
    "knn:k=10": lambda o: o.of_features("KNN", 10),
    "vim": lambda o: o.of_features("ViM", o.head.in_features // 2, o.tensors.weight, o.tensors.bias),
    "react": lambda o: o.of_maps("ReAct"),
    "ash_p": lambda o: o.of_maps("ASH", variant="ash-p"),
    "ash_s:share=0.9": lambda o: o.of_maps("ASH", variant="ash-s", percentile=0.9),
    "ash_b:share=0.9": lambda o: o.of_maps("ASH", variant="ash-b", percentile=0.9),
    "scale": lambda o: o.of_maps("SCALE", percentile=0.85),
    "dice": lambda o: o.of_features("DICE", o.tensors.weight, o.tensors.bias, 0.9),
    "she": lambda o: o.of_features("SHE", o.head),
    "fdbd": lambda o: o.of_features("fDBD", o.head),
    "nnguide": lambda o: o.of_features("NNGuide", o.head),
    "nci:alpha=0.001": lambda o: o.of_features("NCI", o.head, 0.001),
}
