"""Vision transformers as timm builds them for given weights."""

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
LAYER_SCALE = 1e-5  # initially; replaced by that of the weights


def build(
    name: str, arguments: Mapping[str, Any], overlay: Mapping[str, Any] | None = None
) -> VisionTransformer:
    """Return a timm model in evaluation mode, with random weights.

    Raises InputError if timm's model of that name is not a plain vision transformer, and whatever timm raises
    for arguments that do not fit.
    """
    own = dict(arguments)
    epsilon = own.pop(NORM_EPS, None)
    if name == CLASS:
        model: nn.Module = VisionTransformer(**own)
    else:
        model = timm.create_model(name, pretrained=False, pretrained_cfg_overlay=dict(overlay or {}), **own)
    if not isinstance(model, VisionTransformer):
        kind = type(model).__name__
        raise InputError("model", name, f"it is a {kind}; a plain vision transformer from timm is needed")
    if epsilon is not None:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = float(epsilon)
    return model.eval().requires_grad_(False)


def arguments_for(name: str, state: Mapping[str, Tensor], explicit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model for these weights: those given, and others inferred from the weights.

    Inferred are the number of classes and pixels, mean pooling if the norm comes after it (MAE), and
    LayerScale. Raises FormError if the positions do not form a square.
    """
    arguments: dict[str, Any] = {"num_classes": len(state["head.weight"]), **explicit}
    blank = build(name, {**arguments, "num_classes": 2})
    if "fc_norm.weight" in state and "norm.weight" not in state and isinstance(blank.fc_norm, nn.Identity):
        arguments.setdefault("global_pool", "avg")
    if "blocks.0.ls1.gamma" in state and isinstance(getattr(blank.blocks[0], "ls1", None), nn.Identity):
        arguments.setdefault("init_values", LAYER_SCALE)
    position = state.get("pos_embed")
    if position is not None and blank.pos_embed is not None and "img_size" not in explicit:
        own = blank.pos_embed.shape[1]
        if position.ndim == 3 and position.shape[1] != own:
            tokens = position.shape[1] - (own - math.prod(blank.patch_embed.grid_size))
            side = math.isqrt(max(tokens, 0))
            if side * side != tokens:
                raise FormError(
                    f"they have positions for {tokens} patches, which do not form a square; only models for "
                    "square images are supported"
                )
            stride = blank.patch_embed.img_size[0] // blank.patch_embed.grid_size[0]
            arguments["img_size"] = side * stride
    return arguments


def inferences(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Describe the arguments that were inferred from weights, other than classes and pixels."""
    notes = []
    if "global_pool" in arguments:
        notes.append(f"global_pool {arguments['global_pool']!r}, because the norm comes after it (fc_norm)")
    if "init_values" in arguments:
        notes.append("LayerScale, because the weights have it")
    return tuple(notes)


@torch.no_grad()
def fill(model: VisionTransformer, state: Mapping[str, Tensor]) -> None:
    """Fill a model with weights in float32: all that it has, and no others.

    Raises FormError naming weights that are missing, left over or of another shape; nothing is resampled.
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
    """Split a timm name into architecture and tag."""
    architecture, _, tag = name.partition(".")
    return architecture, tag


def overlay_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overlay of timm's weight description for a model with these arguments."""
    size = arguments.get("img_size")
    overlay = {"num_classes": arguments["num_classes"]} if "num_classes" in arguments else {}
    return overlay | ({"input_size": (3, size, size)} if isinstance(size, int) else {})


def loaded_of(
    name: str, model: Any, origin: str, architecture: str, arguments: Mapping[str, Any]
) -> LoadedModel:
    """Return a timm model with timm's preprocessing; raise InputError if it is not supported."""
    if not isinstance(model, VisionTransformer):
        kind = type(model).__name__
        raise InputError("models", name, f"it is a {kind}; a plain vision transformer from timm is needed")
    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    mode, interpolation = config["crop_mode"] or "center", config["interpolation"]
    if channels != 3 or height != width or mode not in MODES or interpolation not in INTERPOLATIONS:
        shape = f"{config['input_size']}, {mode}, {interpolation}"
        right = f"square RGB images with crop mode {' or '.join(MODES)} are needed"
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
