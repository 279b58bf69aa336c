"""What can be picked, as data. Objects lie behind `module:name` and are loaded only where they run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import msgspec

BITS = ("FP32", "W8A8", "W6A6", "W4A8", "W8A4", "W4A4")
DEMO_OOD = ("unseen-fractals", "digits", "photo-patches", "noise")
CALIBRATION_IMAGES = 500
FIT_IMAGES = 1500
MINIATURE = "a miniature of the study on fractals, not ImageNet"


class Model(msgspec.Struct, frozen=True):
    """A model that can be swept; `stands_for` names the system of the study it is a miniature of."""

    name: str
    family: str
    pretraining: str
    stands_for: str
    target: str


class Set(msgspec.Struct, frozen=True):
    """An image set: `role` is `id` or `ood`, `available` how many images it can give."""

    name: str
    role: str
    label: str
    available: int
    target: str = "engine.images.demo:load_set"


class Quantizer(msgspec.Struct, frozen=True):
    """A post-training quantization method, with the options that its function is called with.

    `seconds` is roughly what calibrating one micro model costs on one core.
    """

    name: str
    label: str
    target: str
    options: Mapping[str, Any] = {}
    seconds: float = 0.3


class Score(msgspec.Struct, frozen=True):
    """An OOD score: larger for images that look more out-of-distribution.

    Its function takes logits and returns scores or, where it is `fitted`, takes a FitSet and returns a
    function of Outputs. `needs` are arrays beyond logits; `note` warns of what it assumes.
    """

    name: str
    label: str
    target: str
    fitted: bool = False
    needs: tuple[str, ...] = ()
    note: str = ""


class Preset(msgspec.Struct, frozen=True):
    """A named plan."""

    label: str
    plan: Mapping[str, Any]


def _by_name(*entries: Any) -> Mapping[str, Any]:
    return MappingProxyType({entry.name: entry for entry in entries})


_ZOO = "engine.models.zoo:load_model"
MODELS: Mapping[str, Model] = _by_name(
    Model("vit-narrow", "vit", "narrow", "ViT-S/16 trained on ImageNet-1k", _ZOO),
    Model("vit-wide", "vit", "wide", "ViT-S/16 pretrained on ImageNet-22k", _ZOO),
    Model("deit-narrow", "deit", "narrow", "DeiT-S/16 trained on ImageNet-1k", _ZOO),
    Model("deit3-narrow", "deit3", "narrow", "DeiT3-S/16 trained on ImageNet-1k", _ZOO),
    Model("deit3-wide", "deit3", "wide", "DeiT3-S/16 pretrained on ImageNet-22k", _ZOO),
)

SETS: Mapping[str, Set] = _by_name(
    Set("fractals", "id", "50 known fractal classes", 2000),
    Set("unseen-fractals", "ood", "100 other fractal classes (near)", 600),
    Set("digits", "ood", "handwritten digits (far)", 600),
    Set("photo-patches", "ood", "patches of two photographs (far)", 600),
    Set("noise", "ood", "smooth and rough noise (far)", 600),
)

_REPQ = "engine.quantize.repq:quantize"
QUANTIZERS: Mapping[str, Quantizer] = _by_name(
    Quantizer("minmax", "round to nearest between minimum and maximum", "engine.quantize.plain:minmax"),
    Quantizer("percentile", "both ends clipped at percentile 0.9999", "engine.quantize.plain:percentile"),
    Quantizer("omse", "clipped where the squared error is least", "engine.quantize.plain:omse"),
    Quantizer("repq", "RepQ-ViT as its official code does it", _REPQ),
    Quantizer("repq-rounded", "RepQ-ViT with rounded zero points", _REPQ, {"rounded_zero_point": True}),
    Quantizer("repq-uniform", "RepQ-ViT with a uniform softmax", _REPQ, {"uniform_softmax": True}),
    Quantizer("repq-again", "RepQ-ViT, all scales searched again", _REPQ, {"search_again": True}),
    Quantizer(
        "ptq4vit",
        "PTQ4ViT: twin uniform, scales by the Fisher information",
        "engine.quantize.ptq4vit:quantize",
        seconds=6,
    ),
    Quantizer(
        "adalog", "AdaLog: logarithms of a searched base", "engine.quantize.adalog:quantize", seconds=50
    ),
    Quantizer("erq", "ridge-corrected weights, rounded by halves", "engine.quantize.erq:quantize"),
    Quantizer("qwt", "RepQ-ViT with a linear correction beside each block", "engine.quantize.qwt:quantize"),
)


def _logits(name: str, label: str, function: str = "") -> Score:
    return Score(name, label, f"engine.scores.logits:{function or name}")


def _fitted(name: str, label: str, module: str, *needs: str, note: str = "") -> Score:
    return Score(name, label, f"engine.scores.{module}:{name}", True, needs, note)


def _third_party() -> list[Score]:
    """List scores that other packages offer; none is imported before it is used.

    The entry point `NAME = "module:function"` in the group `qood_tui.scores` is a function of logits, one
    in `qood_tui.fitted_scores` takes a FitSet. A name that is taken stays what it is.
    """
    return [
        Score(point.name, point.name, point.value, fitted, _FEATURES if fitted else ())
        for group, fitted in (("qood_tui.scores", False), ("qood_tui.fitted_scores", True))
        for point in entry_points(group=group)
        if point.name not in _OWN
    ]


FEATURES = ("features", "fit_features")  # what makes a score one of features
_FEATURES = (*FEATURES, "fit_labels", "weight", "bias")
_SIGNED = "it assumes features that are never negative"
_HEAD = (*FEATURES, "weight", "bias")
_CLASSES = (*FEATURES, "fit_labels")

_OWN: Mapping[str, Score] = _by_name(
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
SCORES: Mapping[str, Score] = _by_name(*_OWN.values(), *_third_party())

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "demo": Preset("five micro models at six bit settings", {"models": tuple(MODELS)}),
        "quick": Preset(
            "two micro models, FP32 against W4A4, in a few seconds",
            {
                "models": ("vit-narrow", "vit-wide"),
                "bits": ("FP32", "W4A4"),
                "id_images": 500,
                "ood_images": 250,
            },
        ),
    }
)


def label_of(score: str) -> str:
    """Return how a score is written; a session may name one that this catalog does not know."""
    return str(SCORES[score].label) if score in SCORES else score


def resolve(target: str) -> Any:
    """Load the object behind `module:name`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
