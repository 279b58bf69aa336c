"""A model together with how its images are prepared."""

from __future__ import annotations

from typing import NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine import catalog
from engine.images.source import Geometry


class Loaded(NamedTuple):
    """A float32 model in evaluation mode with its own preprocessing."""

    model: VisionTransformer  # of timm
    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int


def load(name: str, device: torch.device) -> Loaded:
    """Return the model `name` of the catalog on `device`."""
    loaded: Loaded = catalog.resolve(catalog.MODELS[name].target)(name)
    return loaded._replace(model=loaded.model.to(device))


def normalise(pixels: Tensor, loaded: Loaded) -> Tensor:
    """Map uint8 images (n, 3, size, size) to the range the model was trained on."""
    mean = torch.tensor(loaded.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(loaded.std, device=pixels.device)[:, None, None]
    return pixels.float().div_(255).sub_(mean).div_(std)
