"""What can be picked, as data. Objects lie behind `module:name` and are loaded only where they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import msgspec

AUTO = "auto"  # a set that is chosen by what there is, before the plan is one
STATED_BY = "abstract of arXiv 2602.01459 (Kuang & Wong 2026)"
STATED_NOT = (
    "The abstract of arXiv 2602.01459 states neither OOD score, quantizer, calibration set, estimator of "
    "AUPR-out, OOD sets beyond OpenImage-O and iNaturalist, ID images, nor whether its deltas are "
    "percentage points or relative. These are this plan's own choices; both kinds of delta are shown, and "
    "what can be compared is their order."
)
BITS = ("FP32", "W8A8", "W6A6", "W4A8", "W8A4", "W4A4")
DEMO_OOD = ("unseen-fractals", "digits", "photo-patches", "noise")
CALIBRATION_IMAGES = 500
FIT_IMAGES = 1500
MINIATURE = "a miniature of the study on fractals, not ImageNet"
_TIMM_NAME = re.compile(r"[a-z0-9_]*(vit|deit)[a-z0-9_]*(\.[a-z0-9_]+)?")


class Model(msgspec.Struct, frozen=True):
    """A model that can be swept; `stands_for` names the system of the study that it is, or is like.

    `stated` is what the study's abstract says its 4 bits cost, in percent.
    """

    name: str
    family: str
    pretraining: str
    stands_for: str
    short: str  # what fits into a table
    trained_on: str = "imagenet"  # the ID set
    target: str = "engine.models.pretrained:load_model"
    stated: Mapping[str, float] = {}


class Set(msgspec.Struct, frozen=True):
    """An image set: `role` is `id`, `ood`, or `train` for images that are learnt from and never evaluated.

    A set of the demo is `made`. Others lie on the user's disk: `available` images in the folder that it is
    handed out as, `listed` in OpenOOD's list; `places` are names of that folder, the most specific first;
    subfolders in `without` are left out as the benchmark does.
    """

    name: str
    role: str
    label: str
    available: int
    made: bool = False
    listed: int = 0
    lists: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    note: str = ""


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
    """A named plan; `choices` says what of it its source does not state."""

    label: str
    plan: Mapping[str, Any]
    choices: str = ""


def _by_name(*entries: Any) -> Mapping[str, Any]:
    return MappingProxyType({entry.name: entry for entry in entries})


_ZOO = "engine.models.zoo:load_model"
MODELS: Mapping[str, Model] = _by_name(
    Model("vit-narrow", "vit", "narrow", "ViT-S/16 trained on ImageNet-1k", "vit-narrow", "fractals", _ZOO),
    Model("vit-wide", "vit", "wide", "ViT-S/16 pretrained on ImageNet-22k", "vit-wide", "fractals", _ZOO),
    Model(
        "deit-narrow", "deit", "narrow", "DeiT-S/16 trained on ImageNet-1k", "deit-narrow", "fractals", _ZOO
    ),
    Model(
        "deit3-narrow",
        "deit3",
        "narrow",
        "DeiT3-S/16 trained on ImageNet-1k",
        "deit3-narrow",
        "fractals",
        _ZOO,
    ),
    Model(
        "deit3-wide", "deit3", "wide", "DeiT3-S/16 pretrained on ImageNet-22k", "deit3-wide", "fractals", _ZOO
    ),
    Model(
        "vit_small_patch16_224.augreg_in1k",
        "vit",
        "ImageNet-1k",
        "ViT-S/16 trained on ImageNet-1k",
        "ViT-S 1k",
        stated={"ap_out": 9.5},
    ),
    Model(
        "vit_small_patch16_224.augreg_in21k_ft_in1k",
        "vit",
        "ImageNet-22k",
        "ViT-S/16 pretrained on ImageNet-22k",
        "ViT-S 22k",
        stated={"ap_out": 15.0},
    ),
    Model(
        "deit_small_patch16_224.fb_in1k",
        "deit",
        "ImageNet-1k",
        "DeiT-S/16 trained on ImageNet-1k",
        "DeiT-S 1k",
    ),
    Model(
        "deit3_small_patch16_224.fb_in1k",
        "deit3",
        "ImageNet-1k",
        "DeiT3-S/16 trained on ImageNet-1k",
        "DeiT3-S 1k",
        stated={"ap_out": 12.0},
    ),
    Model(
        "deit3_small_patch16_224.fb_in22k_ft_in1k",
        "deit3",
        "ImageNet-22k",
        "DeiT3-S/16 pretrained on ImageNet-22k",
        "DeiT3-S 22k",
        stated={"ap_out": 19.2, "top1": 17.0},
    ),
)
DEMO_MODELS = tuple(name for name, model in MODELS.items() if model.trained_on == "fractals")
STUDY_MODELS = tuple(name for name, model in MODELS.items() if model.trained_on == "imagenet")

DEMO_CALIBRATION, DEMO_FIT = "fractals-calibration", "fractals-fit"
HELD_OUT = "held-out"  # a tenth of the ID set, where there are no training images
_SHOWN = "annotators of NINCO found an ImageNet-1k class in {} of {} images (Bitterwolf et al. 2023)"

SETS: Mapping[str, Set] = _by_name(
    Set("fractals", "id", "50 known fractal classes", 2000, True),
    Set(DEMO_CALIBRATION, "train", "calibration set, ID classes", CALIBRATION_IMAGES, True),
    Set(DEMO_FIT, "train", "fit set, ID classes", FIT_IMAGES, True),
    Set("unseen-fractals", "ood", "100 other fractal classes (near)", 600, True),
    Set("digits", "ood", "handwritten digits (far)", 600, True),
    Set("photo-patches", "ood", "patches of two photographs (far)", 600, True),
    Set("noise", "ood", "smooth and rough noise (far)", 600, True),
    Set(
        "imagenet",
        "id",
        "ImageNet-1k validation",
        50_000,
        listed=45_000,
        lists=("test_imagenet.txt",),
        places=(
            "imagenet_1k/val",
            "imagenet/val",
            "imagenet1k/val",
            "imagenet-1k/val",
            "ilsvrc2012/val",
            "ilsvrc/data/cls-loc/val",
            "ilsvrc2012_img_val",
            "imagenet_val",
            "imagenet-val",
            "val",
        ),
    ),
    Set(
        "imagenet-train",
        "train",
        "ImageNet-1k training",
        1_281_167,
        listed=1_281_167,
        places=(
            "imagenet_1k/train",
            "imagenet/train",
            "imagenet1k/train",
            "imagenet-1k/train",
            "ilsvrc2012/train",
            "ilsvrc/data/cls-loc/train",
            "ilsvrc2012_img_train",
            "train",
        ),
    ),
    Set(
        "imagenet-held-out",
        "train",
        "ImageNet-1k validation, held out by OpenOOD",
        5_000,
        listed=5_000,
        lists=("val_imagenet.txt",),
    ),
    Set(
        "ssb-hard",
        "ood",
        "SSB-hard (near)",
        49_000,
        listed=49_000,
        lists=("test_ssb_hard.txt",),
        places=("ssb_hard", "ssb-hard", "ssbhard"),
    ),
    Set(
        "ninco",
        "ood",
        "NINCO (near)",
        5_879,
        listed=5_879,
        lists=("test_ninco.txt",),
        places=("ninco/ninco_ood_classes", "ninco_ood_classes", "ninco"),
    ),
    Set(
        "inaturalist",
        "ood",
        "iNaturalist, as chosen by MOS (far)",
        10_000,
        listed=10_000,
        lists=("test_inaturalist.txt",),
        places=("inaturalist/images", "inaturalist"),
        note=_SHOWN.format(10, 400),
    ),
    Set(
        "textures",
        "ood",
        "Textures, DTD without four overlapping classes (far)",
        5_160,
        listed=5_160,
        lists=("test_textures.txt",),
        places=("dtd/images", "textures/images", "texture/images", "textures", "texture", "dtd"),
        without=("bubbly", "cobwebbed", "honeycombed", "spiralled"),
        note=_SHOWN.format(99, 400),
    ),
    Set(
        "openimage-o",
        "ood",
        "OpenImage-O (far)",
        17_632,
        listed=15_869,
        lists=("test_openimage_o.txt", "openimage_o.txt"),
        places=("openimage_o/images", "openimage-o/images", "openimage_o", "openimage-o", "openimages_o"),
        note=_SHOWN.format(19, 400),
    ),
    Set("sun", "ood", "SUN, as chosen by MOS (far)", 10_000, places=("sun/images", "sun")),
    Set(
        "places",
        "ood",
        "Places, as chosen by MOS (far)",
        10_000,
        places=("places/images", "places"),
        note=_SHOWN.format(227, 410),
    ),
    Set(
        "imagenet-o",
        "ood",
        "ImageNet-O (near)",
        2_000,
        places=("imagenet-o", "imagenet_o"),
        note=_SHOWN.format(78, 400),
    ),
)
LAYOUTS = (  # how sets lie below a root; what an earlier one finds, a later one does not look for
    "engine.datasets.layouts:openood_lists",
    "engine.datasets.layouts:known_folders",
    "engine.datasets.layouts:other_folders",
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
        "demo": Preset("five micro models at six bit settings", {"models": DEMO_MODELS}),
        "quick": Preset(
            "two micro models, FP32 against W4A4, in a few seconds",
            {
                "models": ("vit-narrow", "vit-wide"),
                "bits": ("FP32", "W4A4"),
                "id_images": 500,
                "ood_images": 250,
            },
        ),
        "kuang-wong-2026": Preset(
            "the study of arXiv 2602.01459: five models at six bit settings, ImageNet-1k, OpenOOD's OOD sets",
            {
                "models": STUDY_MODELS,
                "id_set": "imagenet",
                "ood_sets": ("ssb-hard", "ninco", "inaturalist", "textures", "openimage-o"),
                "calibration_set": AUTO,
                "fit_set": AUTO,
                "share": 1.0,
                "chunk_images": 500,
            },
            STATED_NOT,
        ),
    }
)


def is_timm_name(name: str) -> bool:
    """Tell whether a name may be one of timm's plain vision transformers, with or without a tag."""
    return _TIMM_NAME.fullmatch(name) is not None


def is_made(name: str) -> bool:
    """Tell whether a set is one of the demo's, made and not found."""
    return name in SETS and SETS[name].made


def note_of(id_set: str) -> str:
    """Return what must be said of everything that is measured against an ID set; empty if nothing."""
    return MINIATURE if is_made(id_set) else ""


def short_of(model: str) -> str:
    """Return how a model is written where there is little room."""
    return str(MODELS[model].short) if model in MODELS else re.sub(r"_patch\d+_\d+", "", model)


def label_of(score: str) -> str:
    """Return how a score is written; a session may name one that this catalog does not know."""
    return str(SCORES[score].label) if score in SCORES else score


def resolve(target: str) -> Any:
    """Load the object behind `module:name`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
