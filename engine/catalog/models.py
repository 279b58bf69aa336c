"""Models that can be swept."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from engine.catalog.named import by_name

UNKNOWN = "own models"
_WIDTHS = {"tiny": 192, "small": 384, "base": 768, "large": 1024, "huge": 1280}
_TIMM_NAME = re.compile(r"[a-z0-9_]*(vit|deit)[a-z0-9_]*(\.[a-z0-9_]+)?")


class Model(msgspec.Struct, frozen=True):
    """A model that can be swept; `stands_for` names the study's model that it is or resembles.

    `stated` are its losses at 4 bits in the study's abstract, in percent.
    """

    name: str
    family: str
    pretraining: str
    stands_for: str
    short: str  # for narrow tables
    trained_on: str = "imagenet"  # the ID set
    target: str = "engine.models.pretrained:load_model"
    stated: Mapping[str, float] = {}
    classes: int = 1000
    width: int = 384  # of the head's input


def _micro(name: str, family: str, pretraining: str, stands_for: str) -> Model:
    target = "engine.models.zoo:load_model"
    return Model(name, family, pretraining, stands_for, name, "fractals", target, {}, 50, 64)


MODELS: Mapping[str, Model] = by_name(
    _micro("vit-narrow", "vit", "narrow", "ViT-S/16 trained on ImageNet-1k"),
    _micro("vit-wide", "vit", "wide", "ViT-S/16 pretrained on ImageNet-22k"),
    _micro("deit-narrow", "deit", "narrow", "DeiT-S/16 trained on ImageNet-1k"),
    _micro("deit3-narrow", "deit3", "narrow", "DeiT3-S/16 trained on ImageNet-1k"),
    _micro("deit3-wide", "deit3", "wide", "DeiT3-S/16 pretrained on ImageNet-22k"),
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


def is_timm_name(name: str) -> bool:
    """Return whether a name may be one of timm's plain vision transformers, with or without a tag."""
    return _TIMM_NAME.fullmatch(name) is not None


def short_of(model: str) -> str:
    """Return a model's short name, for where space is tight."""
    return str(MODELS[model].short) if model in MODELS else re.sub(r"_patch\d+_\d+", "", model)


def pretraining_of(model: str) -> str:
    """Return what a model was pretrained on; UNKNOWN for a model that is not in the catalog."""
    return MODELS[model].pretraining if model in MODELS else UNKNOWN


def outputs_of(model: str) -> tuple[int, int]:
    """Return how many logits and features a model has per image; a guess if it is not in the catalog."""
    if model in MODELS:
        return MODELS[model].classes, MODELS[model].width
    width = next((width for name, width in _WIDTHS.items() if name in model), _WIDTHS["base"])
    return 1000, width * (2 if "distilled" in model else 1)


def twins(models: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs of models that differ only in pretraining, the smaller pretraining first."""
    entries = [model for model in MODELS.values() if model.name in models]
    return [
        (one.name, other.name)
        for position, one in enumerate(entries)
        for other in entries[position + 1 :]
        if (one.family, one.trained_on) == (other.family, other.trained_on)
    ]
