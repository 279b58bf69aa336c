"""The demo zoo: five micro vision transformers that represent the five models of the study.

They are miniatures, trained on fractals by `engine.models.train`; none was trained on ImageNet.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from safetensors.torch import load
from timm.models.vision_transformer import VisionTransformer

from engine.images.image_set import Geometry
from engine.models.loaded import LoadedModel, Log
from engine.plan.resources import Resources

CLASSES = 50


class Recipe(msgspec.Struct, frozen=True):
    """How a micro model is built and trained."""

    epochs: int
    loss: str = "softmax"
    label_smoothing: float = 0.0
    mixup: float = 0.0  # probability of mixing a batch, by mixup 0.8 or cutmix 1.0
    erase: float = 0.0
    three_augment: bool = False
    layer_scale: float | None = None
    drop_path: float = 0.0
    pretrain_epochs: int = 0  # on all 500 classes with the plain recipe of ViT, before fine-tuning on 50


PLAIN: dict[str, Any] = {"label_smoothing": 0.05}
DEIT: dict[str, Any] = {"label_smoothing": 0.1, "mixup": 0.6, "erase": 0.25, "drop_path": 0.02}
DEIT3: dict[str, Any] = {
    "loss": "binary",
    "mixup": 0.6,
    "three_augment": True,
    "layer_scale": 0.1,
    "drop_path": 0.02,
}

RECIPES: dict[str, Recipe] = {
    "vit-narrow": Recipe(epochs=28, **PLAIN),
    "vit-wide": Recipe(epochs=6, pretrain_epochs=16, **PLAIN),
    "deit-narrow": Recipe(epochs=32, **DEIT),
    "deit3-narrow": Recipe(epochs=48, **DEIT3),
    "deit3-wide": Recipe(epochs=12, pretrain_epochs=18, **{**DEIT3, "layer_scale": 0.5}),
}


def build(name: str, classes: int = CLASSES) -> VisionTransformer:
    """Return the untrained micro model `name` (timm, 32x32 pixels, patch 8, 64 wide, 6 deep)."""
    recipe = RECIPES[name]
    return VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=6,
        num_heads=4,
        num_classes=classes,
        init_values=recipe.layer_scale,
        drop_path_rate=recipe.drop_path,
    )


def weights_file(name: str) -> Traversable:
    """Return the packaged file with the trained fp16 weights of `name`."""
    return resources.files("engine.models").joinpath("zoo_weights", f"{name}.safetensors")


def load_model(name: str, resources: Resources | None = None, log: Log | None = None) -> LoadedModel:
    """Return the trained micro model `name` in float32, in evaluation mode."""
    model = build(name)
    state = {key: value.float() for key, value in load(weights_file(name).read_bytes()).items()}
    model.load_state_dict(state)
    half = (0.5,) * 3
    return LoadedModel(
        model.eval().requires_grad_(False), Geometry(32), half, half, CLASSES, "demo zoo", name
    )
