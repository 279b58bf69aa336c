"""OOD scores."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import msgspec

from engine.catalog.named import by_name


class Score(msgspec.Struct, frozen=True):
    """An OOD score: larger for images that look more out-of-distribution.

    Its function takes logits and returns scores or, if it is `fitted`, takes a FitSet and returns a
    function of Outputs. `needs` are arrays beyond logits; `note` warns of its assumptions.
    """

    name: str
    label: str
    target: str
    fitted: bool = False
    needs: tuple[str, ...] = ()
    note: str = ""


def _logits(name: str, label: str, function: str = "") -> Score:
    return Score(name, label, f"engine.scores.logits:{function or name}")


def _fitted(name: str, label: str, module: str, *needs: str, note: str = "") -> Score:
    return Score(name, label, f"engine.scores.{module}:{name}", True, needs, note)


def _third_party() -> list[Score]:
    """List the scores of other packages; none is imported before it is used.

    The entry point `NAME = "module:function"` in the group `qood_tui.scores` is a function of logits, one
    in `qood_tui.fitted_scores` takes a FitSet. A name that is already taken keeps its meaning.
    """
    return [
        Score(point.name, point.name, point.value, fitted, _FEATURES if fitted else ())
        for group, fitted in (("qood_tui.scores", False), ("qood_tui.fitted_scores", True))
        for point in entry_points(group=group)
        if point.name not in _OWN
    ]


FEATURES = ("features", "fit_features")  # a score that needs these is one of features
_FEATURES = (*FEATURES, "fit_labels", "weight", "bias")
_SIGNED = "it assumes features that are never negative"
_HEAD = (*FEATURES, "weight", "bias")
_CLASSES = (*FEATURES, "fit_labels")

_OWN: Mapping[str, Score] = by_name(
    _logits("msp", "MSP"),
    _logits("maxlogit", "MaxLogit", "max_logit"),
    _logits("energy", "Energy"),
    _logits("entropy", "Entropy"),
    _logits("gen", "GEN"),
    _logits("gen_all", "GEN, all classes"),
    _logits("margin", "Margin"),
    _fitted("msp_temperature", "MSP, scaled", "fitted_logits", "fit_logits", "fit_labels"),
    _fitted("klm", "KL-matching", "fitted_logits", "fit_logits"),
    _fitted("mahalanobis", "Mahalanobis", "distance", *_CLASSES),
    _fitted("relative_mahalanobis", "Relative Mahalanobis", "distance", *_CLASSES),
    _fitted("mahalanobis_pp", "Mahalanobis++", "distance", *_CLASSES),
    _fitted("knn", "KNN", "distance", *FEATURES),
    _fitted("vim", "ViM", "subspace", *_HEAD),
    _fitted("residual", "Residual", "subspace", *_HEAD),
    _fitted("react", "ReAct", "shaping", *_HEAD, note=_SIGNED),
    _fitted("ash_p", "ASH-P", "shaping", *_HEAD, note=_SIGNED),
    _fitted("ash_s", "ASH-S", "shaping", *_HEAD, note=_SIGNED),
    _fitted("ash_b", "ASH-B", "shaping", *_HEAD, note=_SIGNED),
    _fitted("scale", "SCALE", "shaping", *_HEAD, note=_SIGNED),
    _fitted("dice", "DICE", "shaping", *_HEAD, note=_SIGNED),
    _fitted("she", "SHE", "geometry", *_CLASSES, "fit_logits"),
    _fitted("fdbd", "fDBD", "geometry", *_HEAD),
    _fitted("nnguide", "NNGuide", "geometry", *FEATURES, "fit_logits"),
    _fitted("nci", "NCI", "geometry", *_HEAD),
)
SCORES: Mapping[str, Score] = by_name(*_OWN.values(), *_third_party())


def label_of(score: str) -> str:
    """Return the label of a score, or its name if the catalog does not know it."""
    return str(SCORES[score].label) if score in SCORES else score
