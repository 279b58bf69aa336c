"""Vision transformers as timm builds them for weights that are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.errors import InputError
from engine.images.decode import INTERPOLATIONS
from engine.images.image_set import Geometry
from engine.models.contents import FormError
from engine.models.loaded import LoadedModel

CLASS = "vision_transformer"  # timm's class itself, under its arguments
NORM_EPS = "norm_eps"  # an argument of ours: epsilon of every LayerNorm
MODES = ("center", "squash")
MOST_NAMES = 4
LAYER_SCALE = 1e-5  # to begin with; the weights bring their own


def build(
    name: str, arguments: Mapping[str, Any], overlay: Mapping[str, Any] | None = None
) -> VisionTransformer:
    """Return a model of timm's in evaluation mode, its weights random.

    Raises InputError if timm's model of that name is no plain vision transformer; what timm raises for
    arguments that do not fit passes through.
    """
    given = dict(arguments)
    epsilon = given.pop(NORM_EPS, None)
    if name == CLASS:
        model: nn.Module = VisionTransformer(**given)
    else:
        model = timm.create_model(name, pretrained=False, pretrained_cfg_overlay=dict(overlay or {}), **given)
    if not isinstance(model, VisionTransformer):
        kind = type(model).__name__
        raise InputError("model", name, f"it is a {kind}; a plain vision transformer of timm is needed")
    if epsilon is not None:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = float(epsilon)
    return model.eval().requires_grad_(False)


def arguments_for(name: str, state: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model must be built with to take weights: what is given, and what follows from them.

    Follows: how many classes, for how many pixels; pooling by mean where the norm comes after it (MAE);
    LayerScale. Raises FormError for positions that are no square.
    """
    found: dict[str, Any] = {"num_classes": len(state["head.weight"]), **given}
    blank = build(name, {**found, "num_classes": 2})
    if "fc_norm.weight" in state and "norm.weight" not in state and isinstance(blank.fc_norm, nn.Identity):
        found.setdefault("global_pool", "avg")
    if "blocks.0.ls1.gamma" in state and isinstance(getattr(blank.blocks[0], "ls1", None), nn.Identity):
        found.setdefault("init_values", LAYER_SCALE)
    position = state.get("pos_embed")
    if position is not None and blank.pos_embed is not None and "img_size" not in given:
        own = blank.pos_embed.shape[1]
        if position.ndim == 3 and position.shape[1] != own:
            tokens = position.shape[1] - (own - math.prod(blank.patch_embed.grid_size))
            side = math.isqrt(max(tokens, 0))
            if side * side != tokens:
                raise FormError(
                    f"they have positions for {tokens} patches, which are no square; only models for square "
                    "images are read"
                )
            stride = blank.patch_embed.img_size[0] // blank.patch_embed.grid_size[0]
            found["img_size"] = side * stride
    return found


def said_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a model's form was inferred from its weights, beyond classes and pixels."""
    notes = []
    if "global_pool" in arguments:
        notes.append(f"global_pool {arguments['global_pool']!r}, as the norm after it (fc_norm) says")
    if "init_values" in arguments:
        notes.append("LayerScale, as the weights say")
    return tuple(notes)


@torch.no_grad()
def fill(model: VisionTransformer, state: Mapping[str, Tensor]) -> None:
    """Give a model its weights in float32: every one of them, and no other.

    Raises FormError naming what is missing, left over or of another shape: nothing is resampled.
    """
    own = model.float().state_dict()
    other = [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in state.items()
        if name in own and own[name].shape != value.shape
    ]
    for words, names in (
        ("shapes differ", other),
        ("missing", [name for name in own if name not in state]),
        ("not in this model", [name for name in state if name not in own]),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            raise FormError(f"{words}: {', '.join(names[:MOST_NAMES])}{more}")
    for name, value in state.items():
        own[name].copy_(value.to_dense() if value.is_sparse else value)


def split(name: str) -> tuple[str, str]:
    """Return the architecture and the tag in a name of timm's."""
    architecture, _, tag = name.partition(".")
    return architecture, tag


def overlay_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what timm's description of weights must say for a model of these arguments."""
    size = arguments.get("img_size")
    overlay = {"num_classes": arguments["num_classes"]} if "num_classes" in arguments else {}
    return overlay | ({"input_size": (3, size, size)} if isinstance(size, int) else {})


def loaded_of(
    name: str, model: Any, origin: str, architecture: str, arguments: Mapping[str, Any]
) -> LoadedModel:
    """Return a model of timm's with timm's preprocessing; raise InputError for one that is not understood."""
    if not isinstance(model, VisionTransformer):
        kind = type(model).__name__
        raise InputError("models", name, f"it is a {kind}; a plain vision transformer of timm is needed")
    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    mode, interpolation = config["crop_mode"] or "center", config["interpolation"]
    if channels != 3 or height != width or mode not in MODES or interpolation not in INTERPOLATIONS:
        shape = f"{config['input_size']}, {mode}, {interpolation}"
        right = f"square RGB images, cut by {' or '.join(MODES)}, are needed"
        raise InputError("models", name, f"its images are {shape}; {right}")
    return LoadedModel(
        model.float().eval().requires_grad_(False),
        Geometry(height, float(config["crop_pct"]), interpolation, mode),
        tuple(config["mean"]),
        tuple(config["std"]),
        model.num_classes,
        origin,
        architecture,
        dict(arguments),
    )
