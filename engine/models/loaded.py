"""A model together with how its images are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine import catalog
from engine.errors import InputError
from engine.images.image_set import Geometry
from engine.plan.resources import Resources
from engine.protocol.events import WeightsTaken

Log = Callable[[str], None]  # receives messages about the progress of slow work

_PRETRAINED = "engine.models.pretrained:load_model"


class LoadedModel(NamedTuple):
    """A float32 model in evaluation mode with its own preprocessing.

    `build` and `arguments` recreate the architecture; `origin` says where the weights are from.
    `class_names` are the names of the outputs in order, if the file or folder of weights has them. `weights`
    says what was taken from it, and `warnings` what the user should check.
    """

    model: VisionTransformer  # of timm
    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    origin: str
    build: str
    arguments: Mapping[str, Any] = MappingProxyType({})
    class_names: tuple[str, ...] = ()
    weights: WeightsTaken | None = None
    warnings: tuple[str, ...] = ()


def load(name: str, device: torch.device, resources: Resources, log: Log) -> LoadedModel:
    """Return the model `name` on `device`; raise InputError if its weights are unavailable."""
    if name in catalog.DEMO_MODELS and name in resources.checkpoints:
        raise InputError("checkpoint", name, "this is a demo model; choose another name")
    target = catalog.MODELS[name].target if name in catalog.MODELS else _PRETRAINED
    loaded: LoadedModel = catalog.resolve(target)(name, resources, log)
    return loaded._replace(model=loaded.model.to(device))


def count_parameters(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(p.numel() for p in model.parameters())


def normalise(pixels: Tensor, loaded: LoadedModel) -> Tensor:
    """Map uint8 images (n, 3, size, size) to the range the model was trained on, as timm does."""
    mean = torch.tensor(loaded.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(loaded.std, device=pixels.device)[:, None, None]
    return pixels.float().div_(255).sub_(mean).div_(std)
